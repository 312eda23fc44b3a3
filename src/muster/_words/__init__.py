"""Words for people: numbers as a person would write them, text of others, guesses at names, tables of a notebook."""

from .numbers import (
    NOTHING,
    between,
    clock,
    count,
    day,
    dollars,
    duration,
    latency,
    left,
    moment,
    pace,
    plural,
    share,
    short,
    size,
    worker_count,
)
from .quoted import bare, named, printable, text_of

__all__ = [
    "NOTHING",
    "bare",
    "between",
    "clock",
    "count",
    "day",
    "dollars",
    "duration",
    "latency",
    "left",
    "moment",
    "named",
    "pace",
    "plural",
    "printable",
    "share",
    "short",
    "size",
    "text_of",
    "worker_count",
]
