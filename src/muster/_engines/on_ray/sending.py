"""Send what goes along to every machine: each chunk once over the line, to all machines that lack it.

Chunks are sent round and round in one order. A machine that comes when half is sent gets the rest with the others, and
then what it has missed.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

from muster._engines.frames import GarbledError
from muster._words import plural

from .freight import CHUNK, Freight

_WINDOW: Final = 8
"""How many chunks may be under way: enough for a fast line that is long, and little memory on all ends."""

_WORTH_TELLING: Final = 16 << 20
"""Bytes: a smaller file is there before anybody has read that it is sent."""

_TAKES_LONG: Final = 256 << 20
"""Bytes, all machines together: from here on it takes a while on a slow line, and quarters are told."""

ChunkOfFile = tuple[int, int]
"""The number of a file, and that of a chunk in it."""


@dataclass(slots=True)
class Sending:
    """Who lacks what. ``send`` is given messages for the driver, ``tell`` what whoever watches should know."""

    freight: Freight
    send: Callable[[tuple[object, ...]], None]
    tell: Callable[[str], None]
    _left: dict[int, int] = field(default_factory=dict)
    """How many chunks each machine has yet to say that it has."""
    _wanted: dict[ChunkOfFile, set[int]] = field(default_factory=dict)
    """Who lacks a chunk that is not under way to them."""
    _under_way: dict[ChunkOfFile, set[int]] = field(default_factory=dict)
    _at: ChunkOfFile = (0, 0)
    _told: set[int] = field(default_factory=set)
    _most: int = 0
    _quarters: int = 0
    """How many of four have arrived of the chunks that were lacking at most, when that was told last."""

    def begin(self, number: int) -> None:
        """Ask a machine what it lacks."""
        self.send(("expect", number, self.freight.cargos))

    def on_lacks(self, number: int, lacking: Sequence[Sequence[int]]) -> None:
        """Hear which chunks of each file a machine lacks. Raises ``GarbledError`` for those that are not of them."""
        cargos = self.freight.cargos
        if len(lacking) != len(cargos):
            raise GarbledError(f"it lacks chunks of {len(lacking)} files, of {len(cargos)}")
        if any(chunk not in range(len(one.chunks)) for one, of in zip(cargos, lacking, strict=True) for chunk in of):
            raise GarbledError("it lacks chunks that no file has")
        self._left[number] = sum(map(len, lacking))
        self._most, self._quarters = sum(self._left.values()), 0
        for cargo, chunks in enumerate(lacking):
            for chunk in chunks:
                self._wanted.setdefault((cargo, chunk), set()).add(number)
        self._finish(number)
        self._pump()

    def on_took(self, number: int, cargo: int, chunk: int) -> None:
        """Hear that a chunk has arrived. Raises ``GarbledError`` for one that was not sent."""
        if number not in self._under_way.get((cargo, chunk), ()):
            raise GarbledError(f"it took chunk {chunk} of file {cargo}, which it was not sent")
        self._arrived(number, (cargo, chunk))
        self._left[number] -= 1
        self._tell_share()
        self._finish(number)
        self._pump()

    def forget(self, number: int) -> None:
        """Send a machine nothing more: it is gone."""
        self._left.pop(number, None)
        for place in [place for place, numbers in self._under_way.items() if number in numbers]:
            self._arrived(number, place)
        for place in [place for place, numbers in self._wanted.items() if number in numbers]:
            self._wanted[place].discard(number)
            if not self._wanted[place]:
                del self._wanted[place]
        self._pump()

    def _finish(self, number: int) -> None:
        if not self._left[number]:
            self.send(("lay_out", number))

    def _arrived(self, number: int, place: ChunkOfFile) -> None:
        numbers = self._under_way.get(place, set())
        numbers.discard(number)
        if not numbers:
            self._under_way.pop(place, None)

    def _pump(self) -> None:
        """Send chunks while not too many are under way."""
        while self._wanted and len(self._under_way) < _WINDOW:
            while self._at not in self._wanted:
                self._at = self._after(self._at)
            self._tell_of(self._at[0])
            numbers = self._wanted.pop(self._at)
            self._under_way.setdefault(self._at, set()).update(numbers)
            self.send(("carry", tuple(sorted(numbers)), *self._at, self.freight.read(*self._at)))

    def _after(self, place: ChunkOfFile) -> ChunkOfFile:
        cargo, chunk = place
        cargos = self.freight.cargos
        return (cargo, chunk + 1) if chunk + 1 < len(cargos[cargo].chunks) else ((cargo + 1) % len(cargos), 0)

    def _tell_of(self, cargo: int) -> None:
        """Say once that a large file is sent, how much of it, and to how many machines."""
        one = self.freight.cargos[cargo]
        if cargo in self._told or one.size < _WORTH_TELLING:
            return
        self._told.add(cargo)
        lacking = [place for place in self._wanted if place[0] == cargo]
        size = sum(min(CHUNK, one.size - chunk * CHUNK) for _, chunk in lacking)
        machines = set[int]().union(*(self._wanted[place] for place in lacking))
        self.tell(f"sending {one.name} ({size / 1e6:,.0f} MB) to {plural(len(machines), 'machine')}")

    def _tell_share(self) -> None:
        """Say now and then how far it is, where it takes long."""
        left = sum(self._left.values())
        quarters = 4 - -(-4 * left // self._most)
        if quarters > self._quarters and left and self._most * CHUNK >= _TAKES_LONG:
            self.tell(f"{quarters * 25}% of what goes along has arrived")
        self._quarters = max(self._quarters, quarters)
