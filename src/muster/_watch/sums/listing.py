"""The list of runs: a line for each, from its journal."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from muster._journal.events import Measured
from muster._journal.runs import Known
from muster._journal.status import State

from .moment import Look
from .run import RunView

_ORDER: Final[Mapping[str, int]] = {"running": 0, "stopped": 1, "killed": 1, "failed": 1, "bad": 2, "finished": 2}
"""Kinds of badge, as lines are put in order."""


@dataclass(frozen=True, slots=True)
class Listed:
    """A line of the list of runs."""

    run: str
    state: str
    badge: tuple[str, str]
    at: float
    names: str
    inputs: str
    output: str
    rows: int
    share: float | None
    pace: float | None
    seconds: float
    bad_rows: int
    workers: int


def listed(look: Look) -> Listed:
    """Tell of a run what its line says."""
    view = look.view
    return Listed(
        view.run,
        str(look.state),
        look.badge,
        view.time.begun or 0.0,
        look.short_names,
        look.inputs,
        str(view.job.get("output", "")),
        view.standing.rows_done,
        look.share,
        look.pace,
        look.took,
        look.bad_rows,
        look.there,
    )


def in_order(lines: list[Listed]) -> list[Listed]:
    """Put runs that go on first, then those that may be resumed; of each the newest first."""
    return sorted(lines, key=lambda line: (_ORDER[line.badge[0]], -line.at))


def of_ended(known: Known) -> Listed | None:
    """Read of a run that has ended what its line says; its measures are left out, as they are most of its journal."""
    view = RunView(known.run)
    for entry in known.entries():
        if isinstance(entry.event, Measured) and known.state is State.FINISHED:
            view.see(entry)
        else:
            view.take(entry)
    view.count(known)
    return listed(Look(view, known.state, view.time.last_at)) if view.job else None
