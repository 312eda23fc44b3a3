"""Requests of the contract of engines as tasks whose bytes travel in parcels, and answers as the rows that come back.

Workers import this.
"""

import pickle
import zlib
from functools import cache
from itertools import count
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import Any

import bodies
from muster._dialects.dialect import Dialect
from muster._engines.around import Around
from muster._engines.base import Body, Done, Failed, Lost, Message
from muster._engines.on_ray.freight import Freight
from muster._files.temporary import Temporary
from muster._model import Briefing, Outcome, Piece, Source, Task
from muster._travel.codec import compressed, decompressed
from muster._travel.luggage import Luggage
from muster._travel.parcels import FarEngine, Parcel, ParcelEngine, Returned, Sent


@cache
def _noise(size: int) -> int:
    return int.from_bytes(Random(7).randbytes(size))  # noqa: S311 (no secret)


def written(value: object) -> bytes:
    """Write a value so that it takes as many bytes in a parcel, where zeros would take none."""
    data = pickle.dumps(value)
    return (int.from_bytes(data) ^ _noise(len(data))).to_bytes(len(data))


def read(data: bytes) -> Any:  # noqa: ANN401 (whatever was written)
    return pickle.loads((int.from_bytes(data) ^ _noise(len(data))).to_bytes(len(data)))  # noqa: S301 (this test's own)


def request_in(parcel: object) -> Any:  # noqa: ANN401 (a verb and its argument)
    """Unpack the request that a parcel carries."""
    assert isinstance(parcel, Parcel)
    assert parcel.stretch is not None
    return read(decompressed(parcel.stretch, parcel.size))


class Far:
    """Does what the request in a parcel says, and packs the answer as the rows of its task."""

    def __init__(self, body: Body) -> None:
        self._body = body
        self._prefix = ""

    def brief(self, briefing: bytes) -> None:
        sent: Sent = pickle.loads(briefing)  # noqa: S301 (this test's own)
        known: Briefing = pickle.loads(sent.briefing)  # noqa: S301 (likewise)
        self._prefix = Path(known.folder).name
        self._body.brief(known.agreed)

    def __call__(self, request: Any) -> Returned:  # noqa: ANN401 (a parcel)
        task, data = request.task, written(self._body(request_in(request)))
        piece = Piece(f"{self._prefix}-{task.number}.rows", len(data), zlib.crc32(data), 1)
        return Returned(Outcome(task, 1, 1, piece), {piece.name: (compressed(data), len(data))})

    def end(self) -> None:
        self._body.end()


def far_obedient() -> Far:
    return Far(bodies.Obedient())


def far_only_the_first_starts() -> Far:
    return Far(bodies.OnlyTheFirstStarts())


class InParcels(Around[ParcelEngine]):
    """Has an engine do requests as tasks of one source, each of which is a stretch of that."""

    def __init__(self, engine: FarEngine) -> None:
        self._folder = TemporaryDirectory()
        self._parts = Path(self._folder.name) / "parts"
        self._parts.mkdir()
        self._source = Path(self._folder.name) / "requests.csv"
        self._source.touch()
        self._numbers = count(1)
        self._open: set[int] = set()
        super().__init__(ParcelEngine(engine, parts=self._parts, pack=self._pack, note=lambda _: None))
        self.brief(b"")

    def _pack(self, _: Briefing) -> Luggage:
        return Luggage(Freight(), self._folder.name, ((), ()), (), (), {}, (), Temporary(Path(self._folder.name)))

    def brief(self, briefing: bytes) -> None:
        source = Source(str(self._source), 0, "", "csv")
        folder = str(self._parts / "attempt")
        super().brief(pickle.dumps(Briefing((source,), Dialect(), (), "csv", folder, agreed=briefing)))

    def submit(
        self, ticket: int, request: object, *, machine: str, lane: int | None = None, fresh: bool = False
    ) -> None:
        start, data = self._source.stat().st_size, written(request)
        with self._source.open("ab") as file:
            file.write(data)
        task = Task(next(self._numbers), 0, 1, 0, start, start + len(data), 0, 1, 0, 1)
        self._open.add(ticket)
        super().submit(ticket, task, machine=machine, lane=lane, fresh=fresh)

    def messages(self) -> list[Message]:
        told = [self._opened(message) for message in super().messages()]
        assert self._engine._in_flight.keys() <= self._open, "a parcel that was answered counts as under way"  # noqa: SLF001 (nobody tells)
        return told

    def _opened(self, message: Message) -> Message:
        if isinstance(message, Done | Failed | Lost):
            self._open.discard(message.ticket)
        if not isinstance(message, Done):
            return message
        outcome: Outcome = message.answer
        assert outcome.output is not None
        return Done(message.ticket, read((self._parts / outcome.output.name).read_bytes()), message.worker)

    def close(self) -> None:
        try:
            super().close()
        finally:
            self._folder.cleanup()
