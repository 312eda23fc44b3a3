"""What a task took: time by what it went into, calls of each step, load of the machine."""

from collections.abc import Mapping
from operator import add
from typing import NamedTuple


class Seconds(NamedTuple):
    """Where a task's time went, in seconds: reading and converting, in the user's function, writing.

    ``transfer`` is what rows cost the worker that travel between machines, ``total`` its wall time, and ``waiting`` how
    long it had had nothing to do before. ``sorting`` went into finding the bad rows of batches that the function could
    not take, without its calls; ``lost`` into tries that ended with their worker: crashes, and calls over their limit.
    ``failed`` is what of ``function`` went into calls that raised.
    """

    read: float = 0.0
    function: float = 0.0
    write: float = 0.0
    total: float = 0.0
    transfer: float = 0.0
    waiting: float = 0.0
    sorting: float = 0.0
    lost: float = 0.0
    failed: float = 0.0

    def __add__(self, other: "Seconds") -> "Seconds":  # type: ignore[override]  # what adds up is the fields
        """Add up two tasks; quickly, as it is done for every task there is."""
        return tuple.__new__(Seconds, map(add, self, other))


class StepMeasure(NamedTuple):
    """What a step did in a task: rows that it took and gave, calls, and seconds in them.

    ``bins`` count how many calls took how long; ``_journal.measures`` tells how wide they are.
    """

    rows_in: int
    rows_out: int
    batches: int
    seconds: float
    bins: Mapping[int, int]


class Load(NamedTuple):
    """How loaded a machine is: the share of its processor that is busy, 0 to 1; its cores; bytes of memory and disk."""

    cpu: float
    cores: int
    memory: int
    memory_total: int
    disk_free: int
