"""What a user asks for and is told: the nouns of a job, of how far it is, and of what comes of it."""

from .estimate import Estimate
from .job import Follow, Job, ListenTcp, Options, SendTcp
from .result import Result
from .snapshot import MachinePace, Snapshot, StreamLag

__all__ = [
    "Estimate",
    "Follow",
    "Job",
    "ListenTcp",
    "MachinePace",
    "Options",
    "Result",
    "SendTcp",
    "Snapshot",
    "StreamLag",
]
