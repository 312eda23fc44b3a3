"""What is known of this user's runs, going on or ended: MUSTER_HOME says where the journal of each is.

A run that goes on, or may be resumed, has its journal beside its output; a note tells where. The journals of finished
runs are kept there: the last hundred, without what only a resumed run needs.
"""

import contextlib
import os
import sys
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from muster._files import notes
from muster._files.home import home, make
from muster._near import with_guess
from muster._words import plural
from muster.errors import UsageError

from .events import (
    ONLY_TO_RESUME,
    ONLY_TO_RETRY,
    Accepted,
    Attempt,
    Dropped,
    Event,
    Finished,
    Kept,
    Measured,
    Settled,
    Started,
    Stopped,
    UnreadableError,
)
from .file import Entry, abridge, replay

if TYPE_CHECKING:
    from muster._clouds.base import Access

_KEPT: Final = 100
_OF_A_FILE: Final = ("path", "bytes", "version")
_ARCHIVE: Final = "runs"
_BOOT: Final = Path("/proc/sys/kernel/random/boot_id")
SECONDS_UNHEARD: Final = 120.0
"""Who works on another computer counts as dead when nothing was heard of it for so long."""
_UNFINISHED: Final = "unfinished"


class State(StrEnum):
    """What became of a run so far. One that is unfinished goes on when its command is typed again."""

    RUNNING = "running"
    UNFINISHED = "unfinished"
    FINISHED = "finished"


_ON_PURPOSE: Final = frozenset({"KeyboardInterrupt", "Terminated"})
"""Raised to stop a run on purpose: by Ctrl-C, or by a signal to end."""


def became_of(error: str) -> str:
    """Name what an error made of a run: it was ``stopped`` on purpose, or it ``failed``."""
    return "stopped" if error in _ON_PURPOSE else "failed"


def status(state: State, *, error: str | None, has_finished: bool) -> str:
    """Say in one word, wherever runs are shown, how a run is: running, finished, stopped, failed or killed.

    ``error`` is what stopped its last attempt, if that is known: one that was killed could not tell.
    """
    if has_finished or state is State.FINISHED:
        return "finished"
    if error is not None:
        return became_of(error)
    return "running" if state is State.RUNNING else "killed"


@dataclass(frozen=True, slots=True)
class Known:
    """A run that is known: its id, its journal, and what became of it so far."""

    run: str
    journal: Path
    state: State

    def entries(self) -> Iterator[Entry]:
        """Replay what is worth showing of its journal."""
        return replay(self.journal, without=ONLY_TO_RESUME)


def note(run: str, journal: Path) -> None:
    """Note that this process works on a run, so that others find its journal; drop notes that lead nowhere."""
    pid = os.getpid()
    told = {"journal": str(journal.absolute()), "pid": pid, "born": birth_of(pid), "computer": computer()}
    path = _note_of(run)
    make(home(), _UNFINISHED)
    notes.write(path, told)
    for other in path.parent.glob("*.json"):
        noted = _noted(other)
        if noted is None or not noted.journal.exists():
            other.unlink(missing_ok=True)


def forget(run: str) -> None:
    """Forget a run that was given up."""
    with contextlib.suppress(OSError):
        _note_of(run).unlink(missing_ok=True)


def archive(journal: Path, run: str, *, has_rejects: bool) -> None:
    """Keep a finished run's journal, and forget the oldest over a hundred."""
    folder = make(home(), _ARCHIVE)
    without = ONLY_TO_RESUME - ONLY_TO_RETRY if has_rejects else ONLY_TO_RESUME
    abridge(journal, folder / f"{run}.jsonl", without=without)
    _note_of(run).unlink(missing_ok=True)
    for old in sorted(folder.glob("*.jsonl"))[:-_KEPT]:
        old.unlink(missing_ok=True)


def known() -> list[Known]:
    """List the runs of this user, newest first."""
    noted = [_noted(path) for path in (home() / _UNFINISHED).glob("*.json")]
    found = {one.run: one for one in noted if one is not None and one.journal.exists()}
    # Looked at last: a run that is archived meanwhile is in both, and not in neither.
    found |= {path.stem: Known(path.stem, path, State.FINISHED) for path in _archive().glob("*.jsonl")}
    return [found[run] for run in sorted(found, reverse=True)]


def _noted(path: Path) -> Known | None:
    """Read a note; ``None`` for one that is damaged, or gone."""
    told = notes.read(path)
    with contextlib.suppress(OSError, KeyError, TypeError):
        if told is None:
            return None
        journal = Path(told["journal"])
        return Known(path.stem, journal, State.RUNNING if _may_live(told, journal) else State.UNFINISHED)
    return None


def _may_live(told: Mapping[str, Any], journal: Path) -> bool:
    """Tell whether the process of a note lives; of one on another computer, whether its journal grew of late.

    A home that several computers have in common holds notes of them all, and ids of processes mean nothing elsewhere.
    """
    if told.get("computer", computer()) == computer():  # an earlier version did not say
        return bool(told["born"] is not None and birth_of(told["pid"]) == told["born"])
    return time.time() - journal.stat().st_mtime < SECONDS_UNHEARD


def computer() -> str:
    """Name this computer since it was started, and the set of process ids that this process sees; empty if unknown."""
    if sys.platform != "linux":
        return ""
    try:
        return f"{_BOOT.read_text().strip()} {os.readlink('/proc/self/ns/pid')}"  # noqa: PTH115 (it is no path)
    except OSError:
        return ""


def find(run: str | None) -> Known:
    """Find a run by its id, or by the beginning of it; the newest for ``None``. Raises ``UsageError``."""
    runs = known()
    matching = [one for one in runs if run is None or one.run.startswith(run)]
    if not runs:
        raise UsageError("There is no run yet. Begin one with muster run.")
    if not matching:
        newest = ", ".join(one.run for one in runs[:3]) or "none"
        said = with_guess(run, (one.run for one in runs), shown=repr(run))
        raise UsageError(f"There is no run {said}. The newest are: {newest}. See all with muster runs.")
    if run is not None and len(matching) > 1 and matching[0].run != run:
        raise UsageError(f"{len(matching)} runs begin with {run!r}: {', '.join(one.run for one in matching[:5])}.")
    return matching[0]


def runs() -> Iterator[dict[str, Any]]:
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
    """How a run went: its first event and when that was, its last attempt's end, and how many processes it had."""

    started: Started | None = None
    at: float = 0.0
    accepted: Accepted | None = None
    stopped: Stopped | None = None
    finished: Finished | None = None
    processes: set[tuple[int, str | None]] = field(default_factory=set)

    def take(self, entry: Entry) -> None:
        """Take in an event."""
        event = entry.event
        self.stopped = event if isinstance(event, Stopped) else None
        match event:
            case Started():
                self.started, self.at = event, entry.at or 0.0
            case Accepted():
                self.accepted = event
            case Finished():
                self.finished = event
            case Attempt():
                self.processes.add((event.pid, event.born))


def _summed_up(one: Known) -> dict[str, Any] | None:
    course = _Course()
    tally = None if one.state is State.FINISHED else _Tally()
    for entry in replay(one.journal, without=ONLY_TO_RESUME | {Measured} if tally is None else ()):
        if tally is None or not tally.take(entry.event):
            course.take(entry)
    if course.started is None:
        return None
    job, finished = course.started.job, course.finished if one.state is State.FINISHED else None
    error = course.stopped.error if course.stopped else None
    return {
        "run": one.run,
        "state": str(one.state),
        "status": status(one.state, error=error, has_finished=course.finished is not None),
        "at": course.at,
        "target": job["steps"],
        "inputs": job["inputs"],
        "functions": [name for name, *_ in job["steps"]],
        "files": [dict(zip(_OF_A_FILE, one, strict=False)) for one in job["inputs"]],
        "output": job["output"],
        **({"retry": retried} if (retried := job.get("retry")) else {}),
        **({"accepted": course.accepted.changes} if course.accepted else {}),
        **(_result(one, finished.result, processes=len(course.processes)) if finished else {}),
        **(_so_far(one, tally) if tally is not None else {}),
    }


def _so_far(one: Known, tally: "_Tally") -> dict[str, Any]:
    """Tell how far a run has come that has not ended, and how it goes on unless it does."""
    found = {**tally.rows(), "seconds_at_work": round(at_work(one.entries()), 3)}
    if one.state is State.RUNNING:
        return found
    done = plural(found["rows_done"], "row")
    return {
        **found,
        "go_on": f"{one.run}: {done} done. To go on, type its command again; to start over, the same with --fresh. What"
        f" was done lies in {str(one.journal.parent)!r}.",
    }


@dataclass(slots=True)
class _Tally:
    """How many rows of an unfinished run are kept: those that the same command would not do again."""

    total: int | None = None
    kept: dict[tuple[int, int], tuple[int, int, int]] = field(default_factory=dict)

    def take(self, event: Event) -> bool:
        """Take in an event; tell whether it was only about rows."""
        match event:
            case Kept(outcome):
                counts = outcome.rows_in, outcome.rows_out, outcome.bad_rows
                self.kept[outcome.task.first, outcome.task.lo] = counts
            case Dropped():
                for key in [key for key in self.kept if self._is_in(key, event)]:
                    del self.kept[key]
            case Settled():
                self.kept.clear()
                return False
            case Measured():
                self.total = event.rows_total
            case _:
                return type(event) in ONLY_TO_RESUME
        return True

    @staticmethod
    def _is_in(key: tuple[int, int], dropped: Dropped) -> bool:
        first, lo = key
        return (first, lo) == (dropped.first, dropped.lo) or dropped.first < first < dropped.last

    def rows(self) -> dict[str, Any]:
        """Count them."""
        sums = [sum(one) for one in zip(*self.kept.values(), strict=True)] or [0, 0, 0]
        return dict(zip(("rows_done", "rows_out", "bad_rows"), sums, strict=True)) | {"rows_total": self.total}


def _result(one: Known, result: dict[str, Any], *, processes: int) -> dict[str, Any]:
    """Tell what a run came to, and how long it was at work in all its attempts: ``seconds`` are those of the last."""
    seconds = round(at_work(one.entries()), 3) if processes > 1 else result.get("seconds")
    return {**result, "seconds_at_work": seconds}


def at_work(entries: Iterable[Entry]) -> float:
    """Add up the seconds of all attempts, without the gaps between them."""
    seconds, last, process = 0.0, 0.0, None
    for event, said_at in entries:
        at = last if said_at is None else said_at
        is_another = isinstance(event, Attempt) and process not in {None, (event.pid, event.born)}
        if isinstance(event, Attempt):
            process = event.pid, event.born
        if last and not is_another:
            seconds += max(at - last, 0.0)
        last = max(at, last)
    return seconds


def _archive() -> Path:
    return home() / _ARCHIVE


def _note_of(run: str) -> Path:
    return home() / _UNFINISHED / f"{run}.json"


def attempt(number: int, *, workers: int, access: "Access | None") -> Attempt:
    """Say which process begins an attempt of a run, and on what."""
    return Attempt(
        number,
        os.getpid(),
        workers,
        birth_of(os.getpid()),
        "ray" if access else "cores" if workers else "inline",
        access.name if access else None,
        access.prices if access else {},
        access is not None and access.shares_files,
    )


def birth_of(pid: int) -> str | None:
    """Tell when a process was born, which with its id names it for good; ``None`` for one that is gone.

    Linux counts from when the computer started, so that no clock that is set changes it.
    """
    if sys.platform == "linux":
        from muster._clouds.there import processes  # noqa: PLC0415 (a command that asks for no run starts sooner without)

        return processes.birth_of(pid)
    import psutil

    try:
        process = psutil.Process(pid)
        return str(process.create_time()) if process.status() != psutil.STATUS_ZOMBIE else None
    except psutil.Error:
        return None
