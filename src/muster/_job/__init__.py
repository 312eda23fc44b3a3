"""What a user asks for and is told: the nouns of a job, of how far it is, and of what comes of it."""

from .ends import Encoding, ListenTcp, ReadFrom, SendTcp, StreamRows, StreamSink, StreamSource, WriteTo
from .estimate import Estimate
from .job import Follow, Job, Options
from .result import Result
from .snapshot import MachinePace, SinkLag, Snapshot, SourceLag, StreamLag

__all__ = [
    "Encoding",
    "Estimate",
    "Follow",
    "Job",
    "ListenTcp",
    "MachinePace",
    "Options",
    "ReadFrom",
    "Result",
    "SendTcp",
    "SinkLag",
    "Snapshot",
    "SourceLag",
    "StreamLag",
    "StreamRows",
    "StreamSink",
    "StreamSource",
    "WriteTo",
]
