"""The list of runs: a line for each, from its journal."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from muster._journal.events import Measured
from muster._journal.runs import KnownRun
from muster._journal.status import RunState

from .moment import Moment
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


def listed(moment: Moment) -> Listed:
    """Tell of a run what its line says."""
    view = moment.view
    return Listed(
        run=view.run,
        state=str(moment.state),
        badge=moment.badge,
        at=view.time.begun or 0.0,
        names=moment.short_names,
        inputs=moment.inputs,
        output=str(view.job.get("output", "")),
        rows=view.standing.rows_done,
        share=moment.share,
        pace=moment.pace,
        seconds=moment.took,
        bad_rows=moment.bad_rows,
        workers=moment.there,
    )


def in_order(lines: list[Listed]) -> list[Listed]:
    """Put runs that go on first, then those that may be resumed; of each the newest first."""
    return sorted(lines, key=lambda line: (_ORDER[line.badge[0]], -line.at))


def of_ended(known: KnownRun) -> Listed | None:
    """Read of a run that has ended what its line says; its measures are left out, as they are most of its journal."""
    view = RunView(known.run)
    for entry in known.entries():
        if isinstance(entry.event, Measured) and known.state is RunState.FINISHED:
            view.see(entry)
        else:
            view.take(entry)
    view.count(known)
    return listed(Moment(view, known.state, view.time.last_at)) if view.job else None
