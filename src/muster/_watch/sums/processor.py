"""How much of a processor workers get: whether a computer is crowded, or the function waits for something else."""

from dataclasses import dataclass
from typing import Final

from muster import _words as words

from .moment import Moment

_LITTLE: Final = 0.6
"""Of a core: a worker that gets less is slow for a reason outside the function's own computing."""

_FULL: Final = 0.9
"""Of a machine's cores: above it, workers wait for each other."""

_MUCH: Final = 0.25
"""Of a machine's cores, taken by programs that are not muster's."""

_ENOUGH_SECONDS: Final = 5.0
"""Of work: in less than that a clock of processors shows little."""


@dataclass(frozen=True, slots=True)
class Use:
    """Which share of a core each worker had while it was at tasks, and what is remarkable about that."""

    share: float
    kind: str = ""
    remark: str = ""


def processor(moment: Moment) -> Use | None:
    """Add up what the workers of all machines used; ``None`` where no task has told."""
    rows = moment.machines
    used, busy = sum(row.cpu for row in rows), sum(row.at_tasks for row in rows)
    if not busy:
        return None
    share = used / busy
    loads = [row.machine.load for row in rows if row.machine.load is not None]
    if share >= _LITTLE or busy < _ENOUGH_SECONDS or not loads:
        return Use(share)
    load = max(loads, key=lambda load: load.cpu)
    each = f"{words.share(share)} of a core each"
    use, take, are = ("use", "take", "are") if moment.is_going else ("used", "took", "were")
    if load.cpu <= _FULL:
        waits = "waits" if moment.is_going else "waited"
        return Use(share, "plain", f"Workers {use} {each}: your function {waits}, for network, disk or sleep.")
    counts = [row.there or row.workers for row in rows]
    workers = sum(counts) if moment.is_one_computer else max(counts)
    others = load.cpu - share * workers / load.cores
    if others > _MUCH:
        taken = f"other programs {take} about {words.share(others)} of its processor"
        crowded = f"The computer {'is' if moment.is_going else 'was'} crowded"
        return Use(share, "warning", f"{crowded}: workers {use} {each}, and {taken}.")
    return Use(share, "plain", f"There {are} more workers than cores: they {use} {each}, on {load.cores} of them.")
