"""Blocks that stay on the machines whose workers wrote them: who keeps each, and what a task needs of all of them.

Home has the end of each block, in the work folder, under the block's name: how many rows each lane has, and where they
lie. So what is asked of that alone is answered here, and no row comes home. A task of some lanes goes out with what
its rows are copied from, stretch by stretch; its machine gets them from the others.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path
from typing import NamedTuple, Protocol

from muster._engines.base import UnreadError
from muster._engines.on_ray.keeping import Needing, Slice
from muster._formats import excerpts
from muster._formats.lanes import CutLane
from muster._model import LANES, NO_FILE, Exchange, Piece, Task
from muster._private.files import keep


class KeepingEngine(Protocol):
    """An engine whose machines keep what their workers write."""

    def station_of(self, ticket: int) -> int | None:
        """Tell the number of the station that has a request; ``None`` where nobody has it."""

    @property
    def keepers(self) -> Collection[int]:
        """Give the numbers of the stations whose files can be read, as far as is known."""

    def forget(self, station: int, names: Sequence[str]) -> None:
        """Have a station remove files that it keeps."""


class _Lanes(NamedTuple):
    """Lanes that a request reads of blocks: from the first to before the last."""

    first: int
    last: int
    blocks: Sequence[str]


class Away:
    """The blocks that are kept on machines; ``parts`` is the folder of their ends."""

    def __init__(self, engine: KeepingEngine, parts: Path) -> None:
        """Begin with none."""
        self._engine = engine
        self._parts = parts
        self._keepers: dict[str, int] = {}
        """The number of each block's station."""

    def note(self, piece: Piece, ends: Sequence[excerpts.SectionEnd], station: int | None) -> None:
        """Know that a station keeps a block. Raises ``ValueError`` for what is not the end of one."""
        excerpts.check(ends, lanes=LANES, size=piece.bytes)
        keep(self._parts / piece.name, excerpts.end_of(ends))
        self._keepers[piece.name] = -1 if station is None else station

    def supplied(self, request: object, exchange: Exchange | None) -> object:
        """Say what a request needs of blocks, if anything. Raises ``UnreadError`` where that is gone."""
        lanes = _lanes_of(request, exchange)
        if lanes is None:
            return request
        names = [Path(path).name for path in lanes.blocks]
        made = excerpts.excerpt(lanes.blocks, lanes.first, lanes.last)
        if gone := self.gone({names[one.block] for one in made.copied}):
            raise UnreadError(f"{len(gone)} of {len(names)} blocks of rows are gone with their machines")
        slices = (Slice(self._keepers[names[block]], names[block], start, stop) for block, start, stop in made.copied)
        return Needing(request, tuple(slices), made.end)

    def gone(self, names: Iterable[str]) -> frozenset[str]:
        """Choose the blocks whose machines are gone."""
        there = self._engine.keepers
        return frozenset(name for name in names if self._keepers.get(name) not in there)

    def forget(self, names: Iterable[str]) -> None:
        """Have machines remove blocks."""
        of_station: defaultdict[int, list[str]] = defaultdict(list)
        for name in names:
            if (station := self._keepers.pop(name, None)) is not None:
                of_station[station].append(name)
        for station, its in of_station.items():
            self._engine.forget(station, its)


def _lanes_of(request: object, exchange: Exchange | None) -> _Lanes | None:
    """Tell which lanes a request reads; ``None`` where it reads no block."""
    if isinstance(request, CutLane):
        return _Lanes(request.lane, request.lane + 1, request.blocks)
    if not isinstance(request, Task) or request.file != NO_FILE or exchange is None:
        return None
    shares = exchange.shares[request.first : request.last]
    return _Lanes(shares[0].lane, shares[-1].lane + 1, [block.path for block in exchange.blocks])
