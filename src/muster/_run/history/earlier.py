"""The run that made an output, found again by where the output lies; and whether that still stands there."""

import contextlib
from dataclasses import replace
from typing import Any, Final

from muster._journal.events import Finished, Other, Started, UnreadableError
from muster._journal.file import Entry
from muster._journal.runs import KnownRun, known
from muster._journal.status import RunState
from muster._output.folder import WorkFolder
from muster._words import plural
from muster.errors import UsageError

from .past import Past
from .resume import differences_of_rows

_MOST_NAMED: Final = 5
"""More would hide what the error says."""

_OTHERS: Final = frozenset({"retry", "steps"})
"""In what a retry may differ from the run whose rows it does."""

_AGAIN: Final = "So the whole has to be run again, with muster run"


def earlier(work: WorkFolder, *, fresh: bool) -> Past:
    """Find the run whose bad rows are to be done, or an unfinished retry of them, to go on with.

    Raises ``UsageError`` where no run of the output is known, or none of its rows is in the rejects.
    """
    for one in _newest_first(work.address):
        past = Past.read(one.journal)
        if past.finished is None and fresh:
            continue
        if past.finished is None and not past.retries:
            raise UsageError(
                f"{work.output!r} is the output of run {one.run}, which is unfinished. To finish that, type its command"
                " again; to give it up, and retry the bad rows of the output that is there, add --fresh."
            )
        has_rejects = past.finished is not None and past.finished.result["bad_rows"] > 0
        if not has_rejects and past.retries and one.state is not RunState.FINISHED:
            return _retried_by(past)
        _check_has_rejects(past, work)
        return past
    raise UsageError(
        f"No run is known that made {work.output!r}: muster remembers the last hundred that finished, in MUSTER_HOME."
        f" {_AGAIN}. {_known_outputs()}"
    )


def _retried_by(retry: Past) -> Past:
    """Find the run that a retry, which has not come to its end, was about."""
    before = next((one for one in known() if one.run == retry.retries), None)
    if before is not None:
        return Past.read(before.journal)
    return replace(retry, started=retry.started._replace(run=retry.retries))  # it may have taken over all that it needs


def _newest_first(place: str) -> list[KnownRun]:
    """List the runs to an output; an id tells the second only, and runs may be shorter."""
    begun = {one: _begun(one) for one in known()}
    there = [one for one, entry in begun.items() if _place_of(entry) == place]
    return sorted(there, key=lambda one: begun[one].at or 0.0, reverse=True)


def _place_of(entry: Entry) -> str:
    """Tell where the output of a run lies, by its first entry; nothing where it was not said."""
    return str(entry.event.asked.get("place", "")) if isinstance(entry.event, Started) else ""


def _begun(one: KnownRun) -> Entry:
    """Tell how a run began; nothing of one that is damaged."""
    try:
        return next(one.entries(), Entry(Other()))
    except (OSError, ValueError):
        return Entry(Other())


def _known_outputs() -> str:
    """Name outputs that have bad rows, the newest first."""
    places: dict[str, int] = {}
    for one in known():
        place = _place_of(_begun(one))
        if place and place not in places and one.state is RunState.FINISHED:
            with contextlib.suppress(UnreadableError):  # a journal that is damaged costs its own line
                places[place] = next((e.result["bad_rows"] for e, _ in one.entries() if isinstance(e, Finished)), 0)
    bad = [f"{place} ({plural(rows, 'bad row')})" for place, rows in places.items() if rows]
    if not bad:
        return "No output that is known has bad rows; muster runs lists all runs."
    more = ", and others, which muster runs lists" if len(bad) > _MOST_NAMED else ""
    return f"Outputs with bad rows are: {', '.join(bad[:_MOST_NAMED])}{more}."


def _check_has_rejects(past: Past, work: WorkFolder) -> None:
    if past.finished is None or not past.finished.result["bad_rows"]:
        raise UsageError(
            f"There is nothing to retry: run {past.run} made {work.output!r}, and no row of it is in the rejects."
        )


def check_stands(past: Past, work: WorkFolder) -> None:
    """Raise ``UsageError`` where output or rejects are not what the run wrote that made them."""
    finished = past.finished or Finished({})
    if finished.standing != work.standing():
        raise UsageError(changed(work.output, run=past.run))
    if finished.standing_rejects != work.standing_rejects():
        raise UsageError(changed(work.rejects, run=past.run))


def check_still_stands(past: Past, work: WorkFolder, *, retried: str) -> None:
    """Raise ``UsageError`` where somebody has changed the output since a retry began, or published itself.

    ``past`` is what the retry has journaled so far; ``retried`` is the run whose bad rows it does.
    """
    if work.standing() not in past.mending.standing and "" not in past.mending.standing:
        raise UsageError(changed(work.output, run=retried))


def changed(what: str, *, run: str) -> str:
    """Say that something was changed since a run wrote it."""
    return (
        f"{what!r} is not what run {run} wrote: it was changed, written again or removed since, and where its rows"
        f" belong is known of what the run wrote alone. Nothing was written. {_AGAIN}."
    )


def check_same_rows(past: Past, now: dict[str, Any]) -> None:
    """Raise ``UsageError`` where the input is not what it was, or is read in another way."""
    before, then = ({name: value for name, value in one.items() if name not in _OTHERS} for one in (past.job, now))
    for difference in differences_of_rows(before, then):
        raise UsageError(
            f"Cannot retry the bad rows of {now['output']!r}: {difference}. The numbers of its rows may not fit any"
            f" more. {_AGAIN}."
        )
