"""The rows of a lane, in the order of the input, in batches that do not depend on where they lie in blocks."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pyarrow as pa

from muster._formats.blocks import each_section
from muster._formats.keyed import hashes_of, places_of, read_numbered, renamed, without_made
from muster._model import Briefing, Exchange, LaneShare, Task

from .groups import apart, starting_within

_BATCH_ROWS: Final = 65_536
"""How many rows a call gets, where nobody says it: few enough for memory, and so many that a call costs nothing."""


@dataclass(frozen=True, slots=True)
class LaneBatch:
    """Rows of a lane: ``places`` are their numbers in the whole input, ``blocks`` the number of the block of each."""

    table: pa.Table
    places: np.ndarray
    blocks: np.ndarray

    def __len__(self) -> int:
        """Count the rows."""
        return len(self.places)

    def between(self, lo: int, hi: int) -> "LaneBatch":
        """Take some of the rows."""
        return LaneBatch(self.table.slice(lo, hi - lo), self.places[lo:hi], self.blocks[lo:hi])

    def where(self, mask: np.ndarray) -> "LaneBatch":
        """Take the rows that are marked."""
        return LaneBatch(self.table.filter(pa.array(mask)), self.places[mask], self.blocks[mask])


class LaneRows:
    """The rows of a lane that a task is about: all, or those of some keys."""

    def __init__(
        self, briefing: Briefing, task: Task, exchange: Exchange, share: LaneShare, *, ahead: LaneBatch | None = None
    ) -> None:
        """Know which rows; nothing is read yet, unless it was read ``ahead`` with those of other lanes."""
        self._briefing = briefing
        self._exchange = exchange
        self._lane = share.lane
        self._ahead = ahead
        self._hashes = None if task.is_whole else self._of_some_keys([(task.lo, task.hi)], task)[0]
        self._lethal = self._of_lethal_keys(task)

    def batches(self) -> Iterator[LaneBatch]:
        """Read the rows, from the first on; each batch but the last has so many."""
        size = self._briefing.batch_rows or _BATCH_ROWS
        waiting, count = list[LaneBatch](), 0
        for rows in self._each_block():
            waiting.append(rows)
            count += len(rows)
            if count < size:
                continue
            whole = _together(waiting)
            for lo in range(0, count - count % size, size):
                yield whole.between(lo, lo + size)
            waiting, count = [whole.between(count - count % size, count)], count % size
        if count:
            yield _together(waiting)

    def lethal(self) -> Iterator[tuple[LaneBatch, str]]:
        """Read the rows of the keys that end workers, which no batch has; and why they are not done."""
        for hashes, why in self._lethal:
            for batch in self._read():
                yield batch.where(np.isin(self._hashed(batch), hashes)), why

    def _each_block(self) -> Iterator[LaneBatch]:
        for batch in self._read():
            own = batch if self._hashes is None else batch.where(np.isin(self._hashed(batch), self._hashes))
            if self._lethal:
                gone = np.concatenate([hashes for hashes, _ in self._lethal])
                own = own.where(~np.isin(self._hashed(own), gone))
            if len(own):
                yield own

    def _read(self) -> Iterator[LaneBatch]:
        if self._ahead is not None:
            return iter([self._ahead])
        return _of_blocks(self._briefing, self._exchange, self._lane, self._lane + 1)

    def _hashed(self, batch: LaneBatch) -> np.ndarray:
        return hashes_of(batch.table, self._exchange.grouping.columns, self._briefing.columns)

    def _of_lethal_keys(self, task: Task) -> list[tuple[np.ndarray, str]]:
        lethal = task.without or ()
        hashes = self._of_some_keys([(one.lo, one.hi) for one in lethal], task) if lethal else []
        return [(own, one.why) for own, one in zip(hashes, lethal, strict=True)]

    def _of_some_keys(self, rows: Sequence[tuple[int, int]], task: Task) -> list[np.ndarray]:
        """Choose the hashes that some rows of a lane are about: it has cost a worker, and one key may be why."""
        hashed = np.concatenate([self._hashed(batch) for batch in self._read()])
        return [starting_within(hashed, task.row, lo, hi) for lo, hi in rows]

    def shown(self, batch: LaneBatch) -> Iterator[tuple[str, int, str, object]]:
        """Show rows: of each the name of its file, its number there, its values as text, and its key."""
        columns, agreed, blocks = self._briefing.columns, self._exchange.agreed, self._exchange.blocks
        bases = np.array([block.base for block in blocks])
        numbers = batch.places if agreed else batch.places - bases[batch.blocks]
        keys = [batch.table.column(at).to_pylist() for at in places_of(self._exchange.grouping.columns, columns)]
        table, columns = without_made(batch.table, columns, self._exchange.grouping)
        table = table.rename_columns(apart([column.name for column in columns]))
        for at, (block, number, row) in enumerate(
            zip(batch.blocks.tolist(), numbers.tolist(), table.to_pylist(), strict=True)
        ):
            yield blocks[block].name, number, str(row), self._key(keys, at)

    def _key(self, keys: Sequence[Sequence[Any]], at: int) -> object:
        return keys[0][at] if self._exchange.grouping.is_scalar else [own[at] for own in keys]


def lanes_of(briefing: Briefing, task: Task, exchange: Exchange) -> Iterator[tuple[LaneShare, LaneRows]]:
    """Give the lanes of a task. Several are read at once, as they are small: a block is opened once for all of them.

    At the end of a stream there are lanes without a row.
    """
    shares = exchange.shares[task.first : task.last]
    if not task.rows:
        exchange = exchange._replace(blocks=())
    if len(shares) == 1 or not task.rows:
        yield from ((share, LaneRows(briefing, task, exchange, share)) for share in shares)
        return
    first, last = shares[0].lane, shares[-1].lane + 1
    counts = [section.rows(first, last) for _, section in each_section(exchange.paths)]
    lanes = np.concatenate([np.repeat(np.arange(first, last), own) for own in counts])
    whole, order = _together(list(_of_blocks(briefing, exchange, first, last))), np.argsort(lanes, kind="stable")
    whole = LaneBatch(whole.table.take(pa.array(order)), whole.places[order], whole.blocks[order])
    borders = np.searchsorted(lanes[order], np.arange(first, last + 1)).tolist()
    for share in shares:
        own = whole.between(borders[share.lane - first], borders[share.lane - first + 1])
        yield share, LaneRows(briefing, task, exchange, share, ahead=own)


def _of_blocks(briefing: Briefing, exchange: Exchange, first: int, last: int) -> Iterator[LaneBatch]:
    """Read the rows of some lanes of each block, in the order of the input within each lane of a block."""
    names = [column.name for column in briefing.columns]
    for at, section in each_section(exchange.paths):
        table, numbers = read_numbered(section, first, last, agreed=exchange.agreed, key=exchange.grouping.columns)
        places = numbers + exchange.blocks[at].base
        yield LaneBatch(renamed(table, names), places, np.full(len(numbers), at))


def _together(batches: Sequence[LaneBatch]) -> LaneBatch:
    if len(batches) == 1:
        return batches[0]
    return LaneBatch(
        pa.concat_tables([one.table for one in batches]).combine_chunks(),
        np.concatenate([one.places for one in batches]),
        np.concatenate([one.blocks for one in batches]),
    )
