"""Whose run it is that lies in the folder, and what of it counts."""

import os
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Final, NamedTuple

from muster._journal.events import Fields
from muster._run.history import resume
from muster._run.history.past import Past
from muster._run.history.resume import Changes
from muster._user_code.described import Described

from .run import Run

_TICKS: Final = 1 << 16
"""So many parts of a second ids tell apart: the newest of two runs that begin in one second is the one begun later."""

_RANDOM_BYTES: Final = 2
"""How many keep the ids of runs apart that begin in the same part of a second."""


class Recognised(NamedTuple):
    """A run as it is to go on: its id, what its rows depend on, and what counts of earlier attempts."""

    run: str
    fingerprint: Fields
    past: Past
    gives_up: str = ""
    """The unfinished run that lies there and is going to be forgotten; until it is, it counts as kept."""
    starts_over: str = ""
    """What has changed since an attempt that got no row done."""
    accepted: Changes = Changes()

    def remarks(self, described: Sequence[Described]) -> Iterator[str]:
        """Say what the user should know of the code before its first call."""
        if self.starts_over:
            yield f"starts over, as no row was done before, and this has changed: {self.starts_over}"
        if outdated := [what for step in described for what in step.outdated]:
            written = ", ".join(outdated)
            yield f"not as this program imported it, as its file was written since: {written}"
        if self.accepted.texts:
            yield f"going on although this has changed: {'; '.join(self.accepted.texts)}"


def recognise(run: Run, past: Past, fingerprint: Fields, *, put_away: Callable[[Past], None]) -> Recognised:
    """Tell what counts of an earlier attempt. Raises ``ResumeError`` when it was another job's.

    ``put_away`` is given a run that has finished and stands in nobody's way.
    """
    options, work, gives_up = run.job.options, run.work, ""
    if past.finished and (options.fresh or any(resume.differences(past.job, fingerprint))):
        put_away(past)
        past = Past()
    elif options.fresh and past.run:
        gives_up = past.run
        run.inputs.spool = work.spool_apart()
        past = Past()
    run_id = past.run or new_id()
    work.begin(run_id)
    anew = Recognised(run_id, fingerprint, Past(), gives_up)
    if not (past.kept or past.mending.is_laid_out or past.finished):
        if not gives_up:
            work.clear()
        return anew
    starts_over = resume.why_in_vain(past, fingerprint, accept=options.accept_changes)
    if starts_over and not past.finished:
        work.clear()
        return anew._replace(starts_over=starts_over)
    accepted = resume.check_same(past, fingerprint, folder=str(work.folder), accept=options.accept_changes)
    past.accept(accepted.files)
    return anew._replace(past=past, starts_over=starts_over, accepted=accepted)


def new_id() -> str:
    """Name a run that begins. Names are in the order in which runs begin."""
    now = time.time()
    stamp, part = time.strftime("%Y%m%d-%H%M%S", time.localtime(now)), int(now % 1 * _TICKS)
    return f"{stamp}-{part:04x}{os.urandom(_RANDOM_BYTES).hex()}"
