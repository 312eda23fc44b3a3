"""What an unfinished run left in its journal: the events of earlier attempts, added up."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, Self

from muster._job import Result
from muster._journal import events
from muster._journal.billing import RunCost
from muster._journal.events import DamagedError, Event, Fields, Finished, Surveyed, UnreadableError
from muster._journal.file import replay
from muster._model import Column, DataFile, Outcome
from muster._output.growing import PieceLocations
from muster._progress.kept_outcomes import KeptOutcomes
from muster.errors import ResumeError

from .stream_past import StreamPast


class Tried(NamedTuple):
    """How often a run was tried, and what its machines have cost by the last event, in dollars, where that is known."""

    tries: int = 0
    dollars: float | None = 0.0


@dataclass(slots=True)
class Later:
    """What earlier attempts left of the stages behind the first, by their numbers."""

    exchanged: dict[int, events.Exchanged] = field(default_factory=dict)
    """The parts of each, as far as they are known."""
    kept: dict[int, KeptOutcomes] = field(default_factory=dict)

    def forget(self, first: int) -> None:
        """Forget all stages from one on."""
        for stages in (self.exchanged, self.kept):
            for stage in [one for one in stages if one >= first]:
                del stages[stage]

    def add(self, event: Event) -> None:
        """Take an event into account if it is about that."""
        match event:
            case events.Exchanged(stage):
                self.forget(stage)
                self.exchanged[stage] = event
            case events.KeptLater(stage, outcome):
                self.kept.setdefault(stage, KeptOutcomes()).keep([outcome])
            case events.DroppedLater(stage):
                self.kept[stage].forget(first=event.first, last=event.last, lo=event.lo)


@dataclass(slots=True)
class Mending:
    """What is known of an output that is published, for a retry that does its bad rows again."""

    layout: events.OutputLayout = field(default_factory=lambda: events.OutputLayout(()))
    """Where in the output the rows lie, if some were rejected."""
    is_laid_out: bool = False
    """Whether the retry has taken over all rows of the output."""
    standing: frozenset[str] = frozenset()
    """Fingerprints of outputs that the retry may replace: the one that it mends, and what it was about to publish."""

    def add(self, event: Event) -> None:
        """Take an event into account if it is about that."""
        match event:
            case events.OutputLayout():
                self.layout = event
            case events.EarlierRowsTaken():
                self.is_laid_out = True
            case events.Standing(output):
                self.standing |= {output}


@dataclass(slots=True)
class Past:
    """The events of earlier attempts, added up; empty for a run that has not begun."""

    job: Fields = field(default_factory=dict)
    tried: Tried = field(default_factory=Tried)
    surveyed: Surveyed | None = None
    columns: tuple[Column, ...] | None = None
    kept: KeptOutcomes = field(default_factory=KeptOutcomes)
    later: Later = field(default_factory=Later)
    """What is known of the stages behind the first, where there are some."""
    locations: PieceLocations = field(default_factory=PieceLocations)
    """Where the pieces of what is kept lie."""
    started: events.Started = field(default_factory=lambda: events.Started("", {}))
    """What the run was asked for, as was journaled last: a later muster that goes on with it says so anew."""
    first_format: int = 0
    """The format of its journal when it began; its parts were cut as in those days."""
    mending: Mending = field(default_factory=Mending)
    stream: StreamPast = field(default_factory=StreamPast)
    """What came of the epochs of a stream."""
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
        return self.mending.is_laid_out or any(outcome.rows_in > outcome.bad_rows for outcome in self.kept.values())

    @property
    def is_of_use(self) -> bool:
        """Tell whether another attempt could go on with what lies there, if only one of another version."""
        return bool(self.kept) or self.stream.is_of_use or self.mending.is_laid_out or self.is_unreadable

    @property
    def retries(self) -> str:
        """Name the run whose bad rows this one does; empty where it is no retry."""
        return str(self.job.get("retry", ""))

    @classmethod
    def read(cls, journal: Path, *, fresh: bool = False) -> Self:
        """Replay a journal.

        Where another version of muster wrote it, in a way of its own, or it is damaged, it counts for nothing if the
        run is to begin afresh, whatever is the matter; else this raises ``ResumeError``.
        """
        past, spent = cls(), RunCost()
        try:
            for entry in replay(journal):
                past.add(entry.event)
                spent.take(entry)
        except (LookupError, TypeError, ValueError, AttributeError, ArithmeticError) as error:
            if fresh:
                return cls(started=events.Started("of another version", {}), is_unreadable=True)
            if isinstance(error, UnreadableError):
                raise ResumeError(_why_not_to_go_on(journal, error)) from error
            raise
        past.tried = past.tried._replace(dollars=spent.dollars)
        return past

    def add(self, event: Event) -> None:
        """Take one event into account."""
        match event:
            case events.Started():
                self.job, self.started = event.job, event
                self.first_format = self.first_format or event.format
            case events.TryStarted():
                self.tried, self.finished = self.tried._replace(tries=self.tried.tries + 1), None
            case events.Finished():
                self.finished = event
            case events.Surveyed():
                self.surveyed = event
            case events.Settled():
                self.columns = tuple(event.columns)
                self.kept, self.later = KeptOutcomes(), Later()
                self.locations.clear()
            case events.Kept(outcome) | events.KeptLater(_, outcome):
                self._keep(event, outcome)
            case events.Dropped():
                self.kept.forget(first=event.first, last=event.last, lo=event.lo)
            case events.Moved():
                self.locations.move(event)
            case events.Regrown():
                self.locations.follow(event)
            case _:
                self.stream.add(event)
                self.later.add(event)
                self.mending.add(event)
                self._depend(event)

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

    def _keep(self, event: Event, outcome: Outcome) -> None:
        if isinstance(event, events.Kept):
            self.kept.keep([outcome])
        self.later.add(event)
        self.locations.note(outcome)

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
