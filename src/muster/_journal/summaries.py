"""Each run of this user in a few fields, as ``muster runs --json`` gives them."""

import contextlib
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final

from muster._words import plural

from .events import (
    ONLY_TO_RESUME,
    Accepted,
    Finished,
    Measured,
    Started,
    Stopped,
    TryStarted,
    UnreadableError,
)
from .file import Entry, replay
from .kept_rows import KeptRows, RowCounts
from .runs import KnownRun, known
from .status import RunState, status
from .streaming import StreamSums
from .work_time import WorkTime, work_time

_OF_A_FILE: Final = ("path", "bytes", "version")


def summaries() -> Iterator[dict[str, Any]]:
    """Yield what is known of each run, newest first: ``run state status at target inputs output functions files``.

    ``functions`` and ``files`` say by name what stands in ``target`` and ``inputs`` without names.
    ``status`` is the word that pages use for it. All have ``seconds_at_work``: of all attempts. Those that finished
    also have the fields of ``--json``; the others ``rows_done rows_total rows_out bad_rows``, and, unless they are
    running, ``go_on``: how. Those that are streams also have ``stream``: how they stand.
    """
    for one in known():
        # A journal that is damaged costs its own line.
        with contextlib.suppress(OSError, KeyError, TypeError, UnreadableError):
            if (summed_up := summary(one)) is not None:
                yield summed_up


@dataclass(slots=True)
class _History:
    """How a run went: its first event and when that was, what ended its last attempt, and how long it was at work."""

    started: Started | None = None
    accepted: Accepted | None = None
    stopped: Stopped | None = None
    finished: Finished | None = None
    time: WorkTime = field(default_factory=WorkTime)
    measured: Measured | None = None
    """How far the last attempt is."""
    stream: StreamSums = field(default_factory=StreamSums)

    def take(self, entry: Entry) -> None:
        """Take in an event."""
        event = entry.event
        self.time.take(entry)
        self.stream.take(entry)
        match event:
            case Started():
                self.started = event
            case TryStarted():
                self.stopped = self.measured = None
            case Measured():
                self.measured = event
            case Stopped():
                self.stopped = event
            case Accepted():
                self.accepted = event
            case Finished():
                self.finished = event


def summary(one: KnownRun) -> dict[str, Any] | None:
    """Sum up a run; ``None`` where its journal has not begun."""
    kept = None if one.state is RunState.FINISHED else KeptRows()
    history = _history_of(one, kept)
    if history.started is None:
        return None
    job, result = history.started.job, history.finished.result if history.finished else None
    error = history.stopped.error if history.stopped else None
    now = time.time() if one.state is RunState.RUNNING else history.time.last_at
    return {
        "run": one.run,
        "state": str(one.state),
        "status": status(one.state, error=error, has_finished=history.finished is not None),
        "at": history.time.begun or 0.0,
        "target": job["steps"],
        "inputs": job["inputs"],
        "functions": [name for name, *_ in job["steps"]],
        "files": [dict(zip(_OF_A_FILE, one, strict=False)) for one in job["inputs"]],
        "output": job["output"],
        **({"retry": retried} if (retried := job.get("retry")) else {}),
        **({"accepted": history.accepted.changes} if history.accepted else {}),
        **(result if result and kept is None else {}),
        **(_so_far(one, kept.rows(), total=kept.total) if kept is not None else {}),
        **(_pace(history.measured) if one.state is RunState.RUNNING else {}),
        **({"stream": history.stream.as_fields(now)} if history.stream else {}),
        "seconds_at_work": round(history.time.took(result if kept is None else None), 3),
    }


def _history_of(one: KnownRun, kept: KeptRows | None) -> _History:
    """Read how a run went, and count its rows, where they are to be counted.

    Most of a finished run's journal is measured events. They are read only where they say how long it was at work.
    """
    history = _History()
    for entry in replay(one.journal, without=() if kept is not None else ONLY_TO_RESUME | {Measured}):
        if kept is not None:
            kept.take(entry.event)
        if type(entry.event) not in ONLY_TO_RESUME:
            history.take(entry)
    if kept is None and history.time.processes > 1:
        history.time = work_time(one.entries())
    return history


def _pace(measured: Measured | None) -> dict[str, Any]:
    """Tell how fast a run goes, which an earlier muster did not journal."""
    pace = measured.rows_per_second if measured else None
    return {"rows_per_second": pace} if pace is not None else {}


def _so_far(one: KnownRun, rows: RowCounts, *, total: int | None) -> dict[str, Any]:
    """Tell how far a run has come that has not ended, and how it goes on unless it does."""
    so_far = {"rows_done": rows.done, "rows_out": rows.out, "bad_rows": rows.bad, "rows_total": total}
    if one.state is RunState.RUNNING:
        return so_far
    go_on = (
        f"{one.run}: {plural(rows.done, 'row')} done. To go on, type its command again; to start over, the same with"
        f" --fresh. What was done lies in {str(one.journal.parent)!r}."
    )
    return {**so_far, "go_on": go_on}
