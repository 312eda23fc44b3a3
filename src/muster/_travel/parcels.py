"""Work for machines that do not see this computer's files: a task travels with its bytes, and its rows travel back.

``body`` is the other side.
"""

import pickle
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, NamedTuple, Protocol

from muster._engines.around import Answering
from muster._engines.base import Done, Engine, Failed, Lost, Message, UnreadError
from muster._engines.on_ray.freight import Freight
from muster._engines.on_ray.keeping import Needing
from muster._formats.excerpts import SectionEnd
from muster._formats.reader import reader
from muster._formats.survey import LONGEST_TAIL
from muster._model import NO_FILE, Briefing, DataFile, Exchange, Outcome, Slots, Source, Task
from muster._private.files import keep
from muster._urls.urls import is_remote
from muster._words import text_of
from muster.errors import EngineError, MusterError

from .away import Away, KeepingEngine
from .carried_states import CarriedStates, StatesThere, check_states
from .codec import compressed, decompressed
from .luggage import Luggage
from .unsent import check_failures, checked

_IN_FLIGHT_BYTES: Final = 256 << 20
"""How much input may be under way to workers at a time, so that memory stays bounded on any number of them."""


class FarEngine(KeepingEngine, Engine, Protocol):
    """An engine whose machines can be sent files, and keep what their workers write."""

    def stock(self, freight: Freight) -> None:
        """Send files to all machines, also those yet to come, before these are briefed."""


@dataclass(frozen=True, slots=True)
class Parcel:
    """A task with the stretch of its input, compressed; with ``None`` where the worker reaches the input itself."""

    task: Task
    stretch: bytes | None
    size: int
    states: CarriedStates | None = None
    """What earlier epochs of a stream have left of the lanes that it is about, and its machine has not."""

    @property
    def bytes(self) -> int:
        """Count what is under way with it."""
        return len(self.stretch or b"") + (len(self.states.data) if self.states else 0)


@dataclass(frozen=True, slots=True)
class Returned:
    """An outcome with the pieces that its task wrote, compressed, by name."""

    outcome: Outcome
    pieces: Mapping[str, tuple[bytes, int]]
    foreign: tuple[DataFile, ...] = ()
    """Files that the function read there and that are the machine's own."""
    ends: tuple[SectionEnd, ...] = ()
    """The end of the block that it wrote, where that stays there."""


@dataclass(frozen=True, slots=True)
class Unanswered:
    """Why a task was not done, with the files that the function had read or looked for: one may be the reason."""

    error: MusterError
    files: tuple[DataFile, ...]
    foreign: tuple[DataFile, ...]


class _Briefed(NamedTuple):
    """What the last briefing says of tasks; ``prefix`` begins the names of what they write."""

    sources: tuple[Source, ...] = ()
    agreed: bytes = b""
    prefix: str = ""
    exchange: Exchange | None = None

    @property
    def stays(self) -> bool:
        """Whether blocks stay where they are made."""
        return self.exchange is not None and self.exchange.goes_on


class _UnderWay(NamedTuple):
    """A parcel that is with an engine, the number of the station that has it, and the briefing that it is done under.

    What was taken back may come when the next stage has long begun.
    """

    parcel: Parcel
    station: int | None
    briefed: _Briefed


@dataclass(frozen=True, slots=True)
class Sent:
    """A briefing, and where home's working folder, modules and files are found below the mirror."""

    briefing: bytes
    folder: str
    path: tuple[tuple[str, ...], tuple[str, ...]]
    """Where modules of the user's are looked for: before the libraries, and behind them."""
    sent: tuple[str, ...]


class ParcelEngine(Answering[FarEngine]):
    """An engine that packs what another one carries, and unpacks what comes back."""

    def __init__(
        self,
        engine: FarEngine,
        *,
        parts: Path,
        pack: Callable[[Briefing], Luggage],
        note: Callable[[str], None],
    ) -> None:
        """Wrap an engine whose workers open parcels; pieces are put into ``parts``.

        What goes along is packed before the first briefing. ``note`` tells whoever watches the run.
        """
        super().__init__(engine)
        self._briefed = _Briefed()
        self._pack = pack
        self._note = note
        self._luggage: Luggage | None = None
        self._has_warned = False
        self._parts = parts
        self._in_flight: dict[int, _UnderWay] = {}
        self.away = Away(engine, parts)
        self._states = StatesThere()
        self._end: MusterError | OSError | None = None
        """What ends the run, once what came before it is told."""

    def slots(self) -> Mapping[str, Slots]:
        """Take what the engine within takes, while not too much is under way, and nothing once the end is known."""
        if self._end is not None:
            return {}
        under_way = sum(one.parcel.bytes for one in self._in_flight.values())
        return self._engine.slots() if under_way < _IN_FLIGHT_BYTES else {}

    def brief(self, briefing: bytes) -> None:
        """Brief all workers; before, all machines are sent what these need. Nobody is, once the end is known."""
        if self._end is not None:
            return
        known: Briefing = pickle.loads(briefing)  # noqa: S301 (this process's own)
        self._briefed = _Briefed(known.sources, known.agreed, Path(known.folder).name, known.exchange)
        if self._luggage is None:
            self._luggage = self._pack(known)
            if text := self._luggage.remark():
                self._note(text)
            self._engine.stock(self._luggage.freight)
        luggage = self._luggage
        self._engine.brief(pickle.dumps(Sent(briefing, luggage.folder, luggage.path, luggage.sent)))

    def submit(
        self, ticket: int, request: object, *, machine: str, lane: int | None = None, fresh: bool = False
    ) -> None:
        """Hand a request to a worker, a task with its bytes; to nobody once the end is known.

        One that reads blocks which are gone fails with ``UnreadError``.
        """
        if self._end is not None:
            self._tell(Lost(ticket, "its engine has ended", began=False, lane=lane))
            return
        try:
            supplied = self.away.supplied(request, self._briefed.exchange)
        except UnreadError as error:
            self._tell(Failed(ticket, error))
            return
        parcel = self._packed(request, machine) if isinstance(request, Task) else None
        if parcel is not None:
            supplied = supplied._replace(request=parcel) if isinstance(supplied, Needing) else parcel
        self._engine.submit(ticket, supplied, machine=machine, lane=lane, fresh=fresh)
        if parcel is not None:
            station = self._engine.station_of(ticket) if self._briefed.stays or parcel.states else None
            self._in_flight[ticket] = _UnderWay(parcel, station, self._briefed)

    def _packed(self, task: Task, machine: str) -> Parcel:
        if task.file == NO_FILE:
            station = self._engine.station_on(machine)
            return Parcel(task, None, 0, self._states.lacking(task, self._briefed.exchange, station))
        source = self._briefed.sources[task.file]
        path, origin = (task.local_copy.path, task.local_copy.origin) if task.local_copy else (source.path, 0)
        if is_remote(path):
            return Parcel(task, None, 0)
        if source.format == "parquet":
            from muster._formats import parquet

            data = parquet.cut(path, lo=task.lo, hi=task.hi, agreed=self._briefed.agreed)
        else:
            stop = task.stop if task.stop > task.start else task.start + LONGEST_TAIL
            data = reader(path).read(task.start - origin, stop - origin)
        return Parcel(task, compressed(data), len(data))

    def messages(self) -> list[Message]:
        """Collect messages; what tasks wrote is put into files of this computer first. Raises as the engine within.

        Raises ``OSError`` also where this computer cannot keep what comes, and ``UserCodeError`` where the function
        needs files that were not sent. What came before an answer that ends the run is told first, and that is raised
        when it is asked again.
        """
        if refused := self._take_untold():
            self._bell.ring_for(self._end)
            return refused
        if self._end is not None:
            raise self._end
        told: list[Message] = []
        try:
            for message in self._engine.messages():
                told.append(self._unpacked_of(message))  # noqa: PERF401 (what comes before an error counts)
        except (MusterError, OSError) as error:
            if not told:
                raise
            self._end = error
            self._bell.ring()
        return told

    def _unpacked_of(self, message: Message) -> Message:
        """Give the message that the run gets. Raises ``MusterError`` for an answer that no run can go on from."""
        under_way = self._in_flight.pop(message.ticket, None) if isinstance(message, Done | Failed | Lost) else None
        if under_way is None or not isinstance(message, Done):
            return message
        if isinstance(message.answer, Unanswered):
            self._check(message.answer.files, message.answer.foreign)
            return Failed(message.ticket, message.answer.error, message.worker)
        outcome = self._unpacked(under_way, message)
        if (states := under_way.parcel.states) is not None:
            self._states.have_come(states, under_way.station)
        return replace(message, answer=outcome)

    def _check(self, files: tuple[DataFile, ...], foreign: tuple[DataFile, ...]) -> tuple[DataFile, ...]:
        """Name what home has of the files that a function read. Raises ``UserCodeError`` for what was not sent."""
        if self._luggage is None or not (files or foreign):
            return files
        return checked(files, foreign, luggage=self._luggage)

    def _unpacked(self, under_way: _UnderWay, done: Done) -> Outcome:
        """Put what came into files. Raises ``EngineError`` for what no worker of ours sends, before anything is."""
        try:
            exchange = under_way.briefed.exchange
            kind = "block" if exchange is not None and exchange.gives_blocks else "rows"
            returned, pieces = opened(under_way.parcel.task, done.answer, prefix=under_way.briefed.prefix, kind=kind)
            if (states := returned.outcome.states) is not None:
                check_states(returned.outcome, pieces.get(states.name), exchange)
            if exchange is not None and exchange.goes_on:
                self._note_block(returned, under_way.station, exchange)
        except ValueError as error:
            raise EngineError(
                f"Worker {done.worker!r} sends what muster never sends: {error}. Nothing of it was kept. Somebody else"
                " may have taken its place: look who may log in on its machine, then make the cluster again: muster"
                " down, then muster up. What was done is kept."
            ) from error
        read = self._check(returned.outcome.read_files, returned.foreign)
        self._look_at(returned.outcome)
        for name, data in pieces.items():
            keep(self._parts / name, data)
        return returned.outcome._replace(read_files=read)

    def _note_block(self, returned: Returned, station: int | None, exchange: Exchange) -> None:
        """Know that a block stays where it was made. Raises ``ValueError`` where that is not so."""
        if (block := returned.outcome.output) is None:
            return
        if block.name in returned.pieces:
            raise ValueError("rows that were to stay there")
        self.away.note(block, returned.ends, station, exchange)

    def _look_at(self, outcome: Outcome) -> None:
        """Raise where rows failed for want of a file that is here; say once that files are written which are lost."""
        if self._luggage is None:
            return
        errors = [outcome.first_error, *(reason.example for reason in outcome.reasons)]
        check_failures([*errors, outcome.fault.error if outcome.fault else ""], luggage=self._luggage)
        if not self._has_warned and (lost := self._luggage.written(outcome.written_files)):
            self._has_warned = True
            self._note(f"the function writes {lost} on machines, where it ends with the run")

    def close(self) -> None:
        """Close the engine within, and forget what was packed for it."""
        try:
            super().close()
        finally:
            if self._luggage is not None:
                self._luggage.forget()


def opened(task: Task, answer: object, *, prefix: str, kind: str = "rows") -> tuple[Returned, Mapping[str, bytes]]:
    """Look at what came back for a task, with its pieces by name. Raises ``ValueError`` for what none of ours sends.

    A machine chooses no name that leads out of the folder of parts, or to another task's piece, and no place elsewhere.
    """
    if not isinstance(answer, Returned) or answer.outcome.task != task:
        raise ValueError("an answer to something else")
    sizes, outcome = {}, answer.outcome
    for suffix, piece in ((kind, outcome.output), ("rejects", outcome.rejects), ("states", outcome.states)):
        if piece is not None:
            if piece.location is not None or piece.name != f"{prefix}-{task.number}.{suffix}":
                raise ValueError(f"a piece that is called {piece.name!r}, in {piece.location}")
            sizes[piece.name] = piece.bytes
    pieces = {}
    for name, (data, size) in answer.pieces.items():
        if sizes.get(name) != size or size < 0:
            raise ValueError(f"a piece of {size} bytes that is called {name!r}")
        pieces[name] = _decompressed(name, data, size)
    return answer, pieces


def _decompressed(name: str, data: bytes, size: int) -> bytes:
    try:
        return decompressed(data, size)
    except (ValueError, OSError, MemoryError, OverflowError) as error:
        raise ValueError(f"a piece {name!r} that cannot be decompressed: {text_of(error)}") from error
