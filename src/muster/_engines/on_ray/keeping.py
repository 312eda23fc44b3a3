"""Files that stay on the machine whose worker wrote them, and what others need of them.

A worker leaves a file in its station's folder for what is kept. A request that needs such files is a ``Needing``: it
says which bytes of which files, in what order. The station that gets it reads them from the others, puts them into one
file of its own, and only then hands the request to a worker, as a ``Supplied``; meanwhile its workers do what they
have. What a station reads of another is the answer to a call: Ray carries it from machine to machine in its object
store, from which it spills to disk. Whoever called owns the answer, and it is gone once it is copied.

Nothing is copied ahead of that: a machine that dies takes its files with it. A station that cannot get what a request
needs says so (``Unsupplied``), and which station it could not read from. Home knows what those files are made of.
"""

import os
import tempfile
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import IO, Any, Final, NamedTuple

from muster._private.files import own_folder
from muster._words import text_of

CHUNK: Final = 8 << 20
"""Bytes that are read of a station at a time: several such are in memory together, and in Ray's store."""

_UNDER_WAY: Final = 2
"""How many chunks of a request may be under way."""


class Slice(NamedTuple):
    """Bytes of a file that the station of this number keeps."""

    station: int
    file: str
    start: int
    stop: int


class Needing(NamedTuple):
    """A request that needs a file which is made of slices, in order, and of the ``end``."""

    request: Any
    slices: tuple[Slice, ...]
    end: bytes


class Supplied(NamedTuple):
    """A request and the file that it needs, which is gone once the request is answered."""

    request: Any
    path: str


class Unsupplied(NamedTuple):
    """A request could not begin: what it needs of a station's files cannot be read, for this reason."""

    ticket: int
    station: int
    why: str


class NotReadThereError(Exception):
    """A station's files cannot be read."""

    def __init__(self, station: int, why: str) -> None:
        """Say which station, and why."""
        super().__init__(station, why)
        self.station, self.why = station, why


def kept_folder(beside: str) -> Path:
    """Name the folder where workers of this machine leave what is kept: beside that where they find home's files."""
    return Path(f"{beside}-kept")


class Peer(NamedTuple):
    """Another station: ``ask`` asks it to read slices, and ``get`` waits for what came of that."""

    ask: Callable[[Sequence[Slice]], Any]
    get: Callable[[Any], bytes]
    """Raises ``NotReadThereError``, or ``OSError`` where there is no room here for what is read."""


class KeptFiles:
    """What is kept on this machine, and what its tasks need of what others keep."""

    def __init__(self, station: int, *, beside: str, chunk: int = CHUNK) -> None:
        """Begin with nothing, in folders ``beside`` another. ``station`` is the number of the one here."""
        self._station, self._chunk = station, chunk
        self._folder, self._supplies = kept_folder(beside), Path(f"{beside}-supplies")
        for folder in (self._folder, self._supplies):
            own_folder(folder)
        self.peers: dict[int, Peer] = {}

    def read(self, slices: Sequence[Slice]) -> bytes:
        """Read bytes of files that are kept here. Raises ``OSError``."""
        found = []
        for _, name, start, stop in slices:
            with self._place(name).open("rb") as file:
                file.seek(start)
                found.append(file.read(stop - start))
        return b"".join(found)

    def forget(self, names: Iterable[str]) -> None:
        """Remove files that nobody needs any more."""
        for name in names:
            self._place(name).unlink(missing_ok=True)

    def _place(self, name: str) -> Path:
        if Path(name).name != name:  # no other file of this machine is anybody's to read
            raise FileNotFoundError(f"nothing is kept as {name!r}")
        return self._folder / name

    def supply(self, needing: Needing) -> Path:
        """Put together what a request needs. Raises ``NotReadThereError``; ``OSError`` where it cannot be written."""
        descriptor, name = tempfile.mkstemp(dir=self._supplies)
        path = Path(name)
        try:
            with os.fdopen(descriptor, "wb") as file:
                self._copy(needing.slices, file)
                file.seek(0, 2)
                file.write(needing.end)
        except BaseException:
            path.unlink(missing_ok=True)
            raise
        return path

    def _copy(self, slices: Sequence[Slice], file: IO[bytes]) -> None:
        """Copy slices to their places, some of them while others are asked for."""
        under_way: deque[tuple[_Batch, Peer, Any]] = deque()
        for batch in _batches(slices, chunk=self._chunk):
            peer = self._peer(batch.station)
            under_way.append((batch, peer, peer.ask(batch.slices)))
            if len(under_way) >= _UNDER_WAY:
                _write(*under_way.popleft(), file)
        for one in under_way:
            _write(*one, file)

    def _peer(self, station: int) -> Peer:
        if station == self._station:
            return Peer(lambda slices: slices, self._read_here)
        if station not in self.peers:
            raise NotReadThereError(station, "it is gone")
        return self.peers[station]

    def _read_here(self, slices: Sequence[Slice]) -> bytes:
        try:
            return self.read(slices)
        except OSError as error:
            raise NotReadThereError(self._station, text_of(error)) from error


class _Batch(NamedTuple):
    """Slices that one call asks a station for, and where each goes."""

    station: int
    slices: list[Slice]
    places: list[int]


def _batches(slices: Sequence[Slice], *, chunk: int) -> Iterator[_Batch]:
    """Put the slices of each station together, up to a chunk; a slice that is larger is cut."""
    filling: dict[int, tuple[_Batch, int]] = {}
    place = 0
    for whole in slices:
        for start in range(whole.start, whole.stop, chunk):
            one = whole._replace(start=start, stop=min(start + chunk, whole.stop))
            count = one.stop - one.start
            batch, size = filling.get(one.station, (_Batch(one.station, [], []), 0))
            if size + count > chunk:
                yield batch
                batch, size = _Batch(one.station, [], []), 0
            batch.slices.append(one)
            batch.places.append(place)
            filling[one.station] = batch, size + count
            place += count
    for batch, _ in filling.values():
        yield batch


def _write(batch: _Batch, peer: Peer, asked: Any, file: IO[bytes]) -> None:  # noqa: ANN401 (whatever a peer gives)
    data = peer.get(asked)
    sizes = [one.stop - one.start for one in batch.slices]
    if len(data) != sum(sizes):
        raise NotReadThereError(batch.station, f"{len(data)} bytes are there, of {sum(sizes)}")
    at = 0
    for place, size in zip(batch.places, sizes, strict=True):
        file.seek(place)
        file.write(data[at : at + size])
        at += size
