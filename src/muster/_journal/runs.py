"""All runs of this user, going on or ended: MUSTER_HOME says where the journal of each is.

A run that goes on, or may be resumed, has its journal beside its output; a note tells where. The journals of finished
runs are kept there: the last hundred, without what only a resumed run needs.
"""

import contextlib
import os
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from muster._files import notes
from muster._files.home import home, make
from muster._words.near import with_guess
from muster.errors import UsageError

from .events import ONLY_TO_RESUME, ONLY_TO_RETRY, Started, TryStarted
from .file import Entry, abridge, replay
from .processes import birth_of, computer, is_alive
from .status import RunState

if TYPE_CHECKING:
    from muster._clouds.base import Access

_KEPT: Final = 100
"""Journals of finished runs: four days of an hourly job. Each is some kilobytes."""

_ARCHIVE: Final = "runs"
SECONDS_UNHEARD: Final = 120.0
"""Who works on another computer counts as dead when nothing was heard of it for so long."""
_UNFINISHED: Final = "unfinished"


@dataclass(frozen=True, slots=True)
class KnownRun:
    """A run that is known: its id, its journal, and what became of it so far."""

    run: str
    journal: Path
    state: RunState

    def entries(self) -> Iterator[Entry]:
        """Replay what is worth showing of its journal."""
        return replay(self.journal, without=ONLY_TO_RESUME)

    def follows(self) -> bool:
        """Tell whether it is a stream, which ends when somebody stops it."""
        first = next(replay(self.journal), None)
        return first is not None and isinstance(first.event, Started) and "follows" in first.event.job


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


def known() -> list[KnownRun]:
    """List the runs of this user, newest first."""
    noted = [_noted(path) for path in (home() / _UNFINISHED).glob("*.json")]
    found = {one.run: one for one in noted if one is not None and one.journal.exists()}
    # Looked at last: a run that is archived meanwhile is in both, and not in neither.
    found |= {path.stem: KnownRun(path.stem, path, RunState.FINISHED) for path in _archive().glob("*.jsonl")}
    return [found[run] for run in sorted(found, reverse=True)]


def _noted(path: Path) -> KnownRun | None:
    """Read a note; ``None`` for one that is damaged, or gone."""
    told = notes.read(path)
    with contextlib.suppress(OSError, KeyError, TypeError):
        if told is None:
            return None
        journal = Path(told["journal"])
        return KnownRun(path.stem, journal, RunState.RUNNING if _may_live(told, journal) else RunState.UNFINISHED)
    return None


def _may_live(told: Mapping[str, Any], journal: Path) -> bool:
    """Tell whether the process of a note lives; of one on another computer, whether its journal grew of late.

    A home that several computers have in common holds notes of them all, and ids of processes mean nothing elsewhere.
    """
    if told.get("computer", computer()) == computer():  # an earlier version did not say
        return is_alive(told["pid"], told["born"])
    return time.time() - journal.stat().st_mtime < SECONDS_UNHEARD


def process_of(run: KnownRun) -> int | None:
    """Name the process of a run that goes on; ``None`` where it is on another computer, or gone."""
    told = notes.read(_note_of(run.run))
    if told is None or told.get("computer", computer()) != computer():
        return None
    return int(told["pid"])


def find(run: str | None) -> KnownRun:
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


def _archive() -> Path:
    return home() / _ARCHIVE


def _note_of(run: str) -> Path:
    return home() / _UNFINISHED / f"{run}.json"


def try_started(number: int, *, workers: int, access: "Access | None") -> TryStarted:
    """Say which process begins a try of a run, and on what."""
    return TryStarted(
        number=number,
        pid=os.getpid(),
        workers=workers,
        born=birth_of(os.getpid()),
        engine="ray" if access else "cores" if workers else "inline",
        cluster=access.name if access else None,
        prices=access.prices if access else {},
        one_computer=access is not None and access.shares_files,
    )
