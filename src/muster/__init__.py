"""Run the pandas function you have over files that have outgrown it: exact, fast, resumable.

Run a function that takes a DataFrame and returns one over a file, on all cores. Your function sees a batch of rows at a
time; the output has the rows in the order of the input::

    import muster

    def total(df):
        return df.assign(total=df["price"] * df["quantity"])

    result = muster.run(total, "orders.csv", "totals.csv")

Find out first whether it treats each row by itself, which it has to::

    print(muster.check(total, "orders.csv"))

Read many files as pandas.read_csv would, with its options, and look at what could not be done::

    pipeline = muster.read_csv("orders*.csv", dtype={"zip": "str"}, na_values=["-"])
    result = pipeline.map_batches(total).write_parquet("totals.parquet").run(workers=2, max_bad_rows="1%")
    print(result.rows_out, result.bad_rows, result.rejects)

What there is; help(muster.run), for example, says all about one:

    run                  Run a function over every row of the inputs, on all cores, and write one output.
    run_each             Run a function over many files, each into an output of its own, on one set of workers.
    run_since_last       Run a function over the files that are new since the last call, all into one output; each file
                         once.
    retry                Run the bad rows of an output through the function as it is now.
    check                Check whether a function treats each row by itself.
    read_csv             Begin a pipeline over CSV or TSV.
    read_json            Begin a pipeline over JSON lines.
    read_parquet         Begin a pipeline over Parquet.
    follow_csv           Begin a pipeline that follows CSV or TSV.
    listen_tcp           Begin a pipeline over rows that senders send to ``place``.
    follow_kafka         Begin a pipeline over the messages of a topic of Kafka.
    follow_redis         Begin a pipeline over the entries of a stream of Redis.
    read_from            Begin a pipeline over rows of a source of your own.
    StreamSource         Where a stream takes rows from.
    StreamRows           Rows that a source gives.
    StreamSink           Where a stream puts rows.
    Pipeline             Inputs, functions and an output, put together step by step.
    Aggregation          An aggregation of your own, for ``agg``.
    Dialect              How the text of an input is written.
    Result               What a finished run amounts to.
    Runs                 What several runs amount to, of one call; it can be looped over, and has a length.
    Snapshot             How far a run is, for those who watch it.
    generate             Write ``rows`` synthetic rows of about 130 bytes as CSV.
    MusterError          What all errors of muster are: UsageError, DataError with TooManyBadRowsError, UserCodeError,
                         EngineError.
    NotRowWiseWarning    Warns that a function seems to mix rows.
    RejectedRowsWarning  Warns that rows are missing in an output.

muster.errors has the tree of errors, muster.testing a fake engine for tests. On the command line: muster help.
"""

import importlib
import sys
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from types import FrameType

    from muster._api.aggregation import Aggregation
    from muster._api.generate import generate
    from muster._api.pipeline import Pipeline, check, run
    from muster._api.reading import read_csv, read_json, read_parquet
    from muster._api.retry import retry
    from muster._api.servers import follow_kafka, follow_redis
    from muster._api.streams import follow_csv, listen_tcp, read_from
    from muster._dialects import Dialect
    from muster._hourly.python import Runs, run_each, run_since_last
    from muster._job import Result, Snapshot, StreamRows, StreamSink, StreamSource
    from muster._version import __version__ as __version__
    from muster.errors import (
        DataError,
        EngineError,
        MusterError,
        NotRowWiseWarning,
        RejectedRowsWarning,
        TooManyBadRowsError,
        UsageError,
        UserCodeError,
    )

_ROOMS: Final = {
    "_api.aggregation": ("Aggregation",),
    "_api.generate": ("generate",),
    "_dialects": ("Dialect",),
    "_hourly.python": ("Runs", "run_each", "run_since_last"),
    "_job": ("Result", "Snapshot", "StreamRows", "StreamSink", "StreamSource"),
    "_api.pipeline": ("Pipeline", "check", "run"),
    "_api.reading": ("read_csv", "read_json", "read_parquet"),
    "_api.retry": ("retry",),
    "_api.servers": ("follow_kafka", "follow_redis"),
    "_api.streams": ("follow_csv", "listen_tcp", "read_from"),
    "_version": ("__version__",),
    "errors": (
        *("DataError", "EngineError", "MusterError", "NotRowWiseWarning", "RejectedRowsWarning", "TooManyBadRowsError"),
        *("UsageError", "UserCodeError"),
    ),
}

__all__ = [
    "Aggregation",
    "DataError",
    "Dialect",
    "EngineError",
    "MusterError",
    "NotRowWiseWarning",
    "Pipeline",
    "RejectedRowsWarning",
    "Result",
    "Runs",
    "Snapshot",
    "StreamRows",
    "StreamSink",
    "StreamSource",
    "TooManyBadRowsError",
    "UsageError",
    "UserCodeError",
    "check",
    "follow_csv",
    "follow_kafka",
    "follow_redis",
    "generate",
    "listen_tcp",
    "read_csv",
    "read_from",
    "read_json",
    "read_parquet",
    "retry",
    "run",
    "run_each",
    "run_since_last",
]


def __getattr__(name: str) -> object:
    """Load a name when it is first asked for: workers ask for none of them, and start sooner."""
    if name == "__path__" and not _is_for_help():
        return _path
    for room, names in _ROOMS.items():
        if name in names:
            return getattr(importlib.import_module(f"muster.{room}"), name)
    raise AttributeError(f"module 'muster' has no attribute {name!r}")


def __dir__() -> list[str]:
    return [] if _is_for_help() else [*__all__, "__version__"]


def _is_for_help() -> bool:
    """Tell whether pydoc asks: it would show every private module, and all that dataclasses have.

    It offers no other way to choose what it shows of a package: what is above says it shorter, and in order.
    """
    most = 4
    frame: FrameType | None = sys._getframe(2)  # noqa: SLF001 (inspect has the same, but takes time to load)
    while frame is not None and most and "pydoc" in sys.modules:
        if frame.f_code.co_name == "docmodule" and frame.f_globals.get("__name__") == "pydoc":
            return True
        frame, most = frame.f_back, most - 1
    return False


_path: Final = __path__
del globals()["__path__"]  # __getattr__ has it, for all but help
