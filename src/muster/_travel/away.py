"""Blocks that stay on the machines whose workers wrote them: who keeps each, and what a task needs of all of them.

Home has the end of each block, in the work folder, under the block's name: how many rows each lane, or each group, has,
and where they lie. So what is asked of that alone is answered here, and no row comes home. A task of some lanes, or of
results that it puts in order, goes out with what its rows are copied from, stretch by stretch; its machine gets them
from the others.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path
from typing import Protocol

from muster._engines.base import UnreadError
from muster._engines.on_ray.keeping import Needing, Slice
from muster._formats import excerpts
from muster._formats.lanes import CutLane
from muster._formats.ranks import ranks_at
from muster._model import LANES, NO_FILE, Exchange, Piece, StageKind, Task
from muster._private.files import keep


class KeepingEngine(Protocol):
    """An engine whose machines keep what their workers write."""

    def station_of(self, ticket: int) -> int | None:
        """Tell the number of the station that has a request; ``None`` where nobody has it."""

    def station_on(self, machine: str) -> int | None:
        """Tell the number of the station that gets the next request for a machine; ``None`` where nobody does."""

    @property
    def keepers(self) -> Collection[int]:
        """Give the numbers of the stations whose files can be read, as far as is known."""

    def forget(self, station: int, names: Sequence[str]) -> None:
        """Have a station remove files that it keeps."""


class Away:
    """The blocks that are kept on machines; ``parts`` is the folder of their ends."""

    def __init__(self, engine: KeepingEngine, parts: Path) -> None:
        """Begin with none."""
        self._engine = engine
        self._parts = parts
        self._keepers: dict[str, int] = {}
        """The number of each block's station."""

    def note(self, piece: Piece, ends: Sequence[excerpts.SectionEnd], station: int | None, exchange: Exchange) -> None:
        """Know that a station keeps a block of a stage. Raises ``ValueError`` for what is not the end of one."""
        excerpts.check(ends, lanes=None if exchange.does is StageKind.GROUPING else LANES, size=piece.bytes)
        keep(self._parts / piece.name, excerpts.end_of(ends))
        self._keepers[piece.name] = -1 if station is None else station

    def supplied(self, request: object, exchange: Exchange | None) -> object:
        """Say what a request needs of blocks, if anything. Raises ``UnreadError`` where that is gone."""
        needed = _needed(request, exchange)
        if needed is None:
            return request
        names, made = [Path(path).name for path in needed[0]], needed[1]
        if gone := self.gone({names[one.block] for one in made.copied}):
            raise UnreadError(f"{len(gone)} of {len(names)} blocks of rows are gone with their machines")
        slices = (Slice(self._keepers[names[block]], names[block], start, stop) for block, start, stop in made.copied)
        return Needing(request, tuple(slices), made.end)

    def gone(self, names: Iterable[str]) -> frozenset[str]:
        """Choose the blocks whose machines are gone."""
        there = self._engine.keepers
        return frozenset(name for name in names if self._keepers.get(name) not in there)

    def forget_all(self) -> None:
        """Have machines remove all blocks, also those that came too late to be of use."""
        self.forget([*self._keepers])

    def forget(self, names: Iterable[str]) -> None:
        """Have machines remove blocks."""
        of_station: defaultdict[int, list[str]] = defaultdict(list)
        for name in names:
            if (station := self._keepers.pop(name, None)) is not None:
                of_station[station].append(name)
        for station, its in of_station.items():
            self._engine.forget(station, its)


def _needed(request: object, exchange: Exchange | None) -> tuple[Sequence[str], excerpts.Excerpt] | None:
    """Name the blocks that a request reads, and say what its rows are copied from; ``None`` where it reads none."""
    if isinstance(request, CutLane):
        return request.blocks, excerpts.of_lanes(request.blocks, request.lane, request.lane + 1)
    if not isinstance(request, Task) or request.file != NO_FILE or not request.rows or exchange is None:
        return None
    blocks = [block.path for block in exchange.blocks]
    if exchange.does is StageKind.ORDERING:
        places = exchange.places[request.first : request.last]
        return blocks, excerpts.of_places(blocks, places[0].lo, places[-1].hi, ranks_at(exchange.ranks))
    shares = exchange.shares[request.first : request.last]
    return blocks, excerpts.of_lanes(blocks, shares[0].lane, shares[-1].lane + 1)
