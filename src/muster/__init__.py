"""Run the pandas function you have over files that have outgrown it: exact, fast, resumable."""

from muster._generate import generate
from muster._model import Dialect, Result, Snapshot
from muster._pipeline import Pipeline, read_csv, read_json, read_parquet, run
from muster.errors import DataError, EngineError, MusterError, TooManyBadRowsError, UsageError, UserCodeError

__version__ = "0.1.0"

__all__ = [
    "DataError",
    "Dialect",
    "EngineError",
    "MusterError",
    "Pipeline",
    "Result",
    "Snapshot",
    "TooManyBadRowsError",
    "UsageError",
    "UserCodeError",
    "generate",
    "read_csv",
    "read_json",
    "read_parquet",
    "run",
]
