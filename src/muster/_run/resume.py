"""What an unfinished run left in its journal, and whether it belongs to the same job."""

import dataclasses
import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, NamedTuple, Self

from muster._dialect import Dialect, Reading
from muster._job import Job, Result
from muster._journal import events
from muster._journal.billing import Spent
from muster._journal.events import DamagedError, Event, Fields, Finished, Laid, Surveyed, UnreadableError
from muster._journal.file import replay
from muster._model import Column, DataFile, Outcome, Source
from muster._output.growing import Places
from muster._places.identity import local, spelled
from muster._places.urls import is_remote
from muster._progress.stretches import Kept
from muster._user_code.data_files import changed_files
from muster._user_code.described import Described
from muster._user_code.facts import ODD
from muster._user_code.versions import OWN
from muster.errors import ResumeError

_MOST_SAID: Final = 5


class Tried(NamedTuple):
    """How often a run was tried, and what its machines have cost by the last event, in dollars."""

    attempts: int = 0
    dollars: float = 0.0


@dataclass(slots=True)
class Past:
    """The events of earlier attempts, added up; empty for a run that has not begun."""

    job: Fields = field(default_factory=dict)
    tried: Tried = field(default_factory=Tried)
    surveyed: Surveyed | None = None
    columns: tuple[Column, ...] | None = None
    kept: Kept = field(default_factory=Kept)
    places: Places = field(default_factory=Places)
    """Where the pieces of what is kept lie."""
    started: events.Started = field(default_factory=lambda: events.Started("", {}))
    """What the run was asked for, as was journaled last: a later muster that goes on with it says so anew."""
    first_format: int = 0
    """The format of its journal when it began; its parts were cut as in those days."""
    laid: Laid = field(default_factory=lambda: Laid(()))
    """Where in the published output the rows lie, if some were rejected."""
    is_laid_out: bool = False
    """Whether a retry has taken over all rows of the output that it mends."""
    standing: frozenset[str] = frozenset()
    """Fingerprints of outputs that a retry may replace: the one that it mends, and what it was about to publish."""
    files: dict[str, DataFile] = field(default_factory=dict)
    """Files that the user's code has read."""
    is_mixed: bool = False
    """Whether changes of what the rows depend on were accepted."""
    finished: Finished | None = None
    """How the run ended, if all that was left to do then was to tidy up."""
    is_unreadable: bool = False
    """Whether it is of another version of muster, or damaged: much may have been kept."""

    @property
    def run(self) -> str:
        """Tell the run's id; empty where none has begun."""
        return self.started.run

    @property
    def asked(self) -> Mapping[str, Any]:
        """Tell what the run was asked for: nothing where an earlier version began it."""
        return self.started.asked

    @property
    def has_rows(self) -> bool:
        """Tell whether any row is done that starting over would do again; a row that was rejected is none."""
        return self.is_laid_out or any(outcome.rows_in > outcome.bad_rows for outcome in self.kept.values())

    @property
    def is_of_use(self) -> bool:
        """Tell whether another attempt could go on with what lies there, if only one of another version."""
        return bool(self.kept) or self.is_laid_out or self.is_unreadable

    @property
    def retries(self) -> str:
        """Name the run whose bad rows this one does; empty where it is no retry."""
        return str(self.job.get("retry", ""))

    @classmethod
    def read(cls, journal: Path, *, fresh: bool = False) -> Self:
        """Replay a journal.

        Where another version of muster wrote it, in a way of its own, or it is damaged, it counts for nothing if the
        run is to begin afresh; else this raises ``ResumeError``.
        """
        past, spent = cls(), Spent()
        try:
            for entry in replay(journal):
                past.add(entry.event)
                spent.take(entry)
        except UnreadableError as error:
            if fresh:
                return cls(started=events.Started("of another version", {}), is_unreadable=True)
            raise ResumeError(_why_not_to_go_on(journal, error)) from error
        past.tried = past.tried._replace(dollars=spent.dollars)
        return past

    def add(self, event: Event) -> None:
        """Take one event into account."""
        match event:
            case events.Started():
                self.job, self.started = event.job, event
                self.first_format = self.first_format or event.format
            case events.Attempt():
                self.tried, self.finished = self.tried._replace(attempts=self.tried.attempts + 1), None
            case events.Finished():
                self.finished = event
            case events.Surveyed():
                self.surveyed = event
            case events.Settled():
                self.columns = tuple(event.columns)
                self.kept = Kept()
                self.places.clear()
            case events.Kept(outcome):
                self._keep(outcome)
            case events.Dropped():
                self.kept.forget(first=event.first, last=event.last, lo=event.lo)
            case events.Moved():
                self.places.move(event)
            case events.Regrown():
                self.places.follow(event)
            case _:
                self._lay(event)
                self._depend(event)

    def _lay(self, event: Event) -> None:
        """Know where rows lie in an output, or that a retry knows it."""
        match event:
            case events.Laid():
                self.laid = event
            case events.LaidOut():
                self.is_laid_out = True
            case events.Standing(output):
                self.standing |= {output}

    def _depend(self, event: Event) -> None:
        """Know what the rows depend on, or that changes of it were accepted."""
        match event:
            case events.Read(file):
                self.files[file.path] = file
            case events.Wrote(path):
                self.accept([path])
            case events.Accepted(_, files, job):
                self.job, self.is_mixed = job, True
                self.accept(files)

    def accept(self, paths: Iterable[str]) -> None:
        """Accept these files as they are: they are not compared any more."""
        for path in paths:
            self.files.pop(path, None)

    def _keep(self, outcome: Outcome) -> None:
        self.kept.keep([outcome])
        self.places.note(outcome)

    def result(self, visible: str) -> Result | None:
        """Tell what a run came to that had finished, if what stands there for all to see is still what it wrote.

        ``visible`` is the fingerprint of that. Every part counts as done by an earlier attempt.
        """
        finished = self.finished
        if finished is None or not visible or finished.published != visible:
            return None
        try:
            return Result.of_fields(finished.result | {"resumed_parts": finished.result["parts"]})
        except (TypeError, KeyError):  # of another version
            return None


def _why_not_to_go_on(journal: Path, error: UnreadableError) -> str:
    if isinstance(error, DamagedError):
        return (
            f"{str(journal)!r}, the journal of an unfinished run, is damaged: {error.why}. Type the command again with"
            " --fresh to start over."
        )
    return (
        f"{str(journal)!r} is of an unfinished run of another version of muster: {error.why}. Finish it with"
        " that version; or type the command again with --fresh to start over."
    )


def fingerprint(job: Job, sources: Sequence[Source], steps: Sequence[Described]) -> Fields:
    """Say what the rows of the output depend on; a run is resumed only while none of it changes."""
    options = job.options
    return {
        "inputs": [[_normal(source.name), source.size, source.stamp] for source in sources],
        "steps": [[step.name] for step in steps],
        "facts": _facts(steps),
        "output": _normal(job.output),
        "dtype": options.dtype if isinstance(options.dtype, str | None) else dict(options.dtype),
        "part_bytes": options.part_bytes,
        "limit": options.limit,
        "sample": options.sample,
        "batch_rows": options.batch_rows,
        "format": [options.format, options.input_format, options.output_format],
        "dialect": _as_journaled(options.dialect),
        "reading": _as_journaled(options.reading),
        **({"retry": job.retry} if job.retry else {}),
    }


def _facts(steps: Sequence[Described]) -> dict[str, str]:
    """Put the facts of all steps together: two steps may have things of the same name that are not the same."""
    facts: dict[str, str] = {}
    for at, step in enumerate(steps):
        for fact in step.facts:
            is_another = facts.setdefault(fact.what, fact.value) != fact.value
            facts |= {f"{fact.what} (step {at + 1})": fact.value} if is_another else {}
    return facts


def sources_of(past: Past, sources: tuple[Source, ...]) -> tuple[Source, ...]:
    """Keep the files that a run has read; folders and patterns may name more by now."""
    read = {path for path, *_ in past.job["inputs"]}
    return tuple(source for source in sources if _normal(source.name) in read) or sources


def _as_journaled(noun: Dialect | Reading) -> Any:  # noqa: ANN401 (JSON)
    """Write a noun as it comes back from the journal, to be compared with what lies there."""
    return json.loads(json.dumps(dataclasses.asdict(noun)))


def _normal(path: str) -> str:
    """Write a path in one way; a relative one stays so, for a folder may be moved with the run in it."""
    path = spelled(local(path))
    return path if is_remote(path) else os.path.normpath(path) + ("/" if path.endswith("/") else "")


class Changes(NamedTuple):
    """What has changed since an unfinished run, in words; ``files`` are the paths of changed data files."""

    texts: tuple[str, ...] = ()
    files: tuple[str, ...] = ()


def check_same(past: Past, now: Fields, *, folder: str, accept: bool) -> Changes:
    """Tell what has changed since an unfinished run, where that is to be accepted.

    Raises ``ResumeError`` where it is not, or where the rows of that run are not among those of this one.
    """
    if of_rows := list(differences_of_rows(past.job, now)):
        changed = list(of_rows)
        if "facts" in past.job and past.job.get("retry") == now.get("retry"):
            changed += [*changed_facts(past.job["facts"], now["facts"]), *dict(changed_files(past.files)).values()]
        raise ResumeError(
            f"{folder!r} holds an unfinished run of another job: {'; '.join(changed)}. To go on with that run, restore"
            " what it had; to start over, type the command again with --fresh. More: muster help resume"
        )
    files = dict(changed_files(past.files))
    changes = (*changed_facts(past.job["facts"], now["facts"]), *files.values())
    if changes and not accept:
        raise ResumeError(
            f"{folder!r} holds an unfinished run, and its rows depend on what is not the same now: {_listed(changes)}."
            " To go on with that run, restore what it had. To start over, type the command again with --fresh. To go on"
            " all the same, with rows of both in one output, type the command again with --accept-changes. More:"
            " muster help resume"
        )
    return Changes(changes, tuple(files))


_STREAMS_GROW_SINCE: Final = 2


def check_cuts(past: Past, *, has_streams: bool, is_retry: bool) -> None:
    """Raise ``ResumeError`` where an earlier muster has cut an input into other parts than this one would."""
    go_on = "Finish it with that version; or type the command again with --fresh to start over."
    if is_retry:
        go_on = "So the whole has to be run again, with muster run."
    if has_streams and past.first_format < _STREAMS_GROW_SINCE:
        raise ResumeError(
            f"Run {past.run} was begun by an earlier version of muster, which cut inputs that are read as a stream"
            f" (compressed ones, say) into other parts. {go_on}"
        )


def check_same_files(sources: Sequence[Source], before: Mapping[int, int], now: Mapping[int, int]) -> None:
    """Raise ``ResumeError`` where a file holds something else than it did, which only its bytes tell."""
    for at, digest in now.items():
        if before.get(at, digest) != digest:
            raise ResumeError(
                f"the input {sources[at].name!r} has changed since the unfinished run read it. To start over, type the"
                " command again with --fresh."
            )


def why_in_vain(past: Past, now: Fields, *, accept: bool) -> str:
    """Say what has changed since an unfinished run that got no row done; empty where that run may go on."""
    if past.has_rows:
        return ""
    changes = list(differences_of_rows(past.job, now))
    if not accept and "facts" in past.job:
        changes += [*changed_facts(past.job["facts"], now["facts"]), *dict(changed_files(past.files)).values()]
    return _listed(changes)


def _listed(changes: Sequence[str]) -> str:
    more = f"; and {len(changes) - _MOST_SAID} more" if len(changes) > _MOST_SAID else ""
    return "; ".join(changes[:_MOST_SAID]) + more


def differences(before: Fields, now: Fields) -> Iterator[str]:
    """Say in words what has changed between two fingerprints."""
    yield from differences_of_rows(before, now)
    yield from changed_facts(before.get("facts", {}), now["facts"])


def differences_of_rows(before: Fields, now: Fields) -> Iterator[str]:
    """Say in words what has changed of which rows there are, and of how they are read and written."""
    if before.get("retry") != now.get("retry"):
        yield "one of them is a retry of bad rows (muster retry), and the other one is not, or of another run"
        return
    if "facts" not in before:
        yield "it was begun by an earlier version of muster, which did not note what its rows depend on"
        return
    inputs = {path: (size, stamp) for path, size, stamp in before["inputs"]}
    for path, size, stamp in now["inputs"]:
        if path in inputs and inputs[path] != (size, stamp):
            was = inputs[path][0]
            how = f"it had {was:,} bytes, and has {size:,} now" if was != size else "it was written again"
            yield f"the input {path!r} has changed: {how}"
    for what, value in now.items():
        if what not in {"facts", "inputs"} and before.get(what) != value:
            yield from _difference(what, before, now)
    if [path for path, *_ in before["inputs"]] != [path for path, *_ in now["inputs"]]:
        yield f"the inputs were {_said([*inputs])}, and are {_said([path for path, *_ in now['inputs']])} now"


_FORMATS: Final = ("format", "the input's format", "the output's format")


def _difference(what: str, before: Fields, now: Fields) -> Iterator[str]:
    """Say in words how one field of two fingerprints differs."""
    was, value = before.get(what), now[what]
    if what == "steps":
        many = len(was or ()) > 1 or len(value) > 1
        whose = "functions were" if many else "function was"
        yield f"the {whose} {_steps_of(before)}, and {'are' if many else 'is'} {_steps_of(now)} now"
        return
    if what == "format" and isinstance(was, list) and len(was) == len(value):
        was, value = dict(zip(_FORMATS, was, strict=True)), dict(zip(_FORMATS, value, strict=True))
    if isinstance(was, Mapping) and isinstance(value, Mapping):
        for name in dict.fromkeys([*was, *value]):
            if was.get(name) != value.get(name):
                whose = f"{what} of {name}" if what == "dtype" else name
                yield f"{whose} was {_said(was.get(name))}, and is {_said(value.get(name))} now"
        return
    yield f"{what} was {_said(was)}, and is {_said(value)} now"


def _steps_of(job: Fields) -> str:
    """Name the functions of a job, with their files where these are known."""
    places = [fact for fact in job.get("facts", {}) if fact.startswith(("the function ", "the class "))]
    names = []
    for name, *_ in job.get("steps", ()):
        place = next((fact for fact in places if f" {name!r}" in fact), "")
        names.append(place.partition(" ")[2].partition(" ")[2] or repr(name))
    return ", then ".join(names) or "none"


_NOTED_NO_VERSION: Final = "0.1.0"
"""The version of muster that did not note its own."""


def changed_facts(before: Mapping[str, str], now: Mapping[str, str]) -> Iterator[str]:
    """Say in words which facts are others now, or cannot be compared."""
    if OWN in now:
        before = {OWN: _NOTED_NO_VERSION, **before}
    for what in sorted(before.keys() | now.keys()):
        was, value = before.get(what), now.get(what)
        odd = next((one for one in (was, value) if one is not None and one.startswith(ODD)), None)
        if odd is not None:
            yield f"{what} holds {odd.removeprefix(ODD)}, which cannot be compared with what it was"
        elif was is None:
            yield f"{what} is new"
        elif value is None:
            yield f"{what} is no longer used"
        elif was != value:
            is_clear = not (was.startswith("#") or value.startswith("#"))
            yield f"{what} was {was} and is {value} now" if is_clear else f"{what} has changed"


def _said(value: object) -> str:
    if isinstance(value, list):
        return ", ".join(map(_said, value)) or "none"
    return "not given" if value is None else repr(value)
