"""Run the pandas function you have over files that have outgrown it: exact, fast, resumable."""

import importlib
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from muster._dialect import Dialect
    from muster._generate import generate
    from muster._job import Result, Snapshot
    from muster._pipeline import Pipeline, check, read_csv, read_json, read_parquet, run
    from muster._retry import retry
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

__version__ = "0.1.0"

_ROOMS: Final = {
    "_generate": ("generate",),
    "_dialect": ("Dialect",),
    "_job": ("Result", "Snapshot"),
    "_pipeline": ("Pipeline", "check", "read_csv", "read_json", "read_parquet", "run"),
    "_retry": ("retry",),
    "errors": (
        *("DataError", "EngineError", "MusterError", "NotRowWiseWarning", "RejectedRowsWarning", "TooManyBadRowsError"),
        *("UsageError", "UserCodeError"),
    ),
}

__all__ = [
    "DataError",
    "Dialect",
    "EngineError",
    "MusterError",
    "NotRowWiseWarning",
    "Pipeline",
    "RejectedRowsWarning",
    "Result",
    "Snapshot",
    "TooManyBadRowsError",
    "UsageError",
    "UserCodeError",
    "check",
    "generate",
    "read_csv",
    "read_json",
    "read_parquet",
    "retry",
    "run",
]


def __getattr__(name: str) -> object:
    """Load a name when it is first asked for: workers ask for none of them, and start sooner."""
    for room, names in _ROOMS.items():
        if name in names:
            return getattr(importlib.import_module(f"muster.{room}"), name)
    raise AttributeError(f"module 'muster' has no attribute {name!r}")


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
