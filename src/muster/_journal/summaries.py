"""Each run of this user in a few fields, as ``muster runs --json`` gives them."""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final

from muster._words import plural

from .events import (
    ONLY_TO_RESUME,
    Accepted,
    Attempt,
    Finished,
    Measured,
    Started,
    Stopped,
    UnreadableError,
)
from .file import Entry, replay
from .kept_rows import KeptRows, Rows
from .runs import Known, known
from .status import State, status
from .work_time import WorkTime, work_time

_OF_A_FILE: Final = ("path", "bytes", "version")


def summaries() -> Iterator[dict[str, Any]]:
    """Yield what is known of each run, newest first: ``run state status at target inputs output functions files``.

    ``functions`` and ``files`` say by name what stands in ``target`` and ``inputs`` without names.
    ``status`` is the word that pages use for it. All have ``seconds_at_work``: of all attempts. Those that finished
    also have the fields of ``--json``; the others ``rows_done rows_total rows_out bad_rows``, and, unless they are
    running, ``go_on``: how.
    """
    for one in known():
        # A journal that is damaged costs its own line.
        with contextlib.suppress(OSError, KeyError, TypeError, UnreadableError):
            if (summed_up := _summed_up(one)) is not None:
                yield summed_up


@dataclass(slots=True)
class _Course:
    """How a run went: its first event and when that was, what ended its last attempt, and how long it was at work."""

    started: Started | None = None
    accepted: Accepted | None = None
    stopped: Stopped | None = None
    finished: Finished | None = None
    time: WorkTime = field(default_factory=WorkTime)

    def take(self, entry: Entry) -> None:
        """Take in an event."""
        event = entry.event
        self.time.take(entry)
        match event:
            case Started():
                self.started = event
            case Attempt():
                self.stopped = None
            case Stopped():
                self.stopped = event
            case Accepted():
                self.accepted = event
            case Finished():
                self.finished = event


def _summed_up(one: Known) -> dict[str, Any] | None:
    """Sum up a run; ``None`` where its journal has not begun."""
    kept = None if one.state is State.FINISHED else KeptRows()
    course = _course_of(one, kept)
    if course.started is None:
        return None
    job, result = course.started.job, course.finished.result if course.finished else None
    error = course.stopped.error if course.stopped else None
    return {
        "run": one.run,
        "state": str(one.state),
        "status": status(one.state, error=error, has_finished=course.finished is not None),
        "at": course.time.begun or 0.0,
        "target": job["steps"],
        "inputs": job["inputs"],
        "functions": [name for name, *_ in job["steps"]],
        "files": [dict(zip(_OF_A_FILE, one, strict=False)) for one in job["inputs"]],
        "output": job["output"],
        **({"retry": retried} if (retried := job.get("retry")) else {}),
        **({"accepted": course.accepted.changes} if course.accepted else {}),
        **(result if result and kept is None else {}),
        **(_so_far(one, kept.rows(), total=kept.total) if kept is not None else {}),
        "seconds_at_work": round(course.time.took(result if kept is None else None), 3),
    }


def _course_of(one: Known, kept: KeptRows | None) -> _Course:
    """Read how a run went, and count its rows, where they are to be counted.

    Most of a finished run's journal is measured events. They are read only where they say how long it was at work.
    """
    course = _Course()
    for entry in replay(one.journal, without=() if kept is not None else ONLY_TO_RESUME | {Measured}):
        if kept is not None:
            kept.take(entry.event)
        if type(entry.event) not in ONLY_TO_RESUME:
            course.take(entry)
    if kept is None and course.time.processes > 1:
        course.time = work_time(one.entries())
    return course


def _so_far(one: Known, rows: Rows, *, total: int | None) -> dict[str, Any]:
    """Tell how far a run has come that has not ended, and how it goes on unless it does."""
    so_far = {"rows_done": rows.done, "rows_out": rows.out, "bad_rows": rows.bad, "rows_total": total}
    if one.state is State.RUNNING:
        return so_far
    go_on = (
        f"{one.run}: {plural(rows.done, 'row')} done. To go on, type its command again; to start over, the same with"
        f" --fresh. What was done lies in {str(one.journal.parent)!r}."
    )
    return {**so_far, "go_on": go_on}
