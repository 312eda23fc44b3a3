"""The second stage of a job with groups: the rows of some lanes are put together by their keys, group after group."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from operator import itemgetter
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pyarrow as pa

from muster._formats import _rows
from muster._formats._keyed import ROW, hashes_of, numbered, places_of, ranks_of
from muster._formats.blocks import PLACE, each_section
from muster._model import Briefing, Exchange, Grouping, Share, Task

if TYPE_CHECKING:
    import pandas as pd


class Group(NamedTuple):
    """All rows of one key: those of the frame from ``lo`` to ``hi``."""

    lo: int
    hi: int
    place: int
    """Its first row's place in the whole input, which is its place in the output."""


@dataclass(slots=True)
class _Chunk:
    """Rows of some lanes, in the order of the input within each key; ``bases`` says where the file of each begins."""

    table: pa.Table
    bases: np.ndarray


class Gathered:
    """The rows of a task, put together by their keys."""

    def __init__(self, briefing: Briefing, task: Task, exchange: Exchange) -> None:
        """Read the rows of the task, all of them."""
        self._briefing = briefing
        self._grouping: Grouping = exchange.grouping
        chunk = _of_task(_read(task, exchange), task, exchange, briefing)
        self.numbers = chunk.table.column(ROW).to_numpy()
        self._bases = chunk.bases
        names = [column.name for column in briefing.columns]  # of which one may stand twice
        self._table = chunk.table.drop_columns([ROW]).rename_columns(names)
        self._whole = self._frame()

    def _frame(self) -> "pd.DataFrame":
        header = not self._briefing.dialect.is_numbered
        return _rows.to_pandas(self._table, np.arange(len(self._table)), self._briefing.columns, header=header)

    @cached_property
    def _sorted(self) -> tuple[np.ndarray, list[Group]]:
        """Sort rows by their group, and groups by their first row; rows of one group stay in order."""
        places = self._bases + self.numbers
        codes = self._codes()
        order = np.argsort(codes, kind="stable")
        borders = np.flatnonzero(np.diff(codes[order], prepend=-2, append=-2))
        starts = borders[:-1] if len(codes) else borders[:0]
        firsts = places[order[starts]]
        ends = borders[1:]
        listed = [
            Group(lo, hi, place)
            for lo, hi, place in zip(starts.tolist(), ends.tolist(), firsts.tolist(), strict=True)
            if codes[order[lo]] >= 0
        ]
        listed.sort(key=itemgetter(2))
        if self._grouping.sort and listed:
            ranks = ranks_of(self._keys(self._whole.take(order[[one.lo for one in listed]])), self._grouping)
            listed = [listed[at] for at in np.argsort(ranks, kind="stable").tolist()]
        return order, listed

    def _codes(self) -> np.ndarray:
        """Give each row the number of its group, as pandas tells groups apart; a row of none has -1."""
        codes = numbered(self._keys(self._whole), self._grouping, sort=False)
        return np.where(np.isnan(codes), -1, codes).astype(np.int64) if codes.dtype.kind == "f" else codes

    def _keys(self, frame: "pd.DataFrame") -> list[Any]:
        places = places_of(self._grouping.columns, self._briefing.columns)
        return [frame.iloc[:, at] for at in places]

    @property
    def groups(self) -> list[Group]:
        """List the groups in the order of the output."""
        return self._sorted[1]

    @cached_property
    def frame(self) -> "pd.DataFrame":
        """Give the frame whose rows ``groups`` are about; each row is labelled by its number in its file."""
        import pandas as pd

        order = self._sorted[0]
        frame = self._whole.take(order)
        frame.index = pd.Index(self.numbers[order])
        self.__dict__.pop("_whole")
        return frame

    def keys(self, frame: "pd.DataFrame") -> Iterator[Any]:
        """Give the key of each group, as pandas gives it where one goes through groups."""
        import pandas as pd

        starts = [group.lo for group in self.groups]
        each = [pd.Index(column.iloc[starts]) for column in self._keys(frame)]
        yield from each[0] if self._grouping.is_scalar else zip(*each, strict=True)

    def key_table(self) -> pa.Table:
        """Give the key of each group as it lies in blocks, and its place."""
        table = self._table.take(pa.array(self._sorted[0][[group.lo for group in self.groups]]))
        keys = [table.column(at) for at in places_of(self._grouping.columns, self._briefing.columns)]
        places = pa.array([group.place for group in self.groups], pa.int64())
        return pa.table([*keys, places], names=[*map(str, range(len(keys))), PLACE])

    def rows_of(self, group: Group) -> Iterator[tuple[int, int, str]]:
        """Show the rows of a group: of each the number of its file, its number there, and its values as text."""
        order = self._sorted[0][group.lo : group.hi]
        order = order[np.argsort(self._bases[order] + self.numbers[order], kind="stable")]
        names = [column.name for column in self._briefing.columns]
        for base, number, row in zip(
            self._bases[order].tolist(),
            self.numbers[order].tolist(),
            self._table.take(pa.array(order)).rename_columns(_apart(names)).to_pylist(),
            strict=True,
        ):
            yield base, number, str(row)


def _apart(names: Sequence[str]) -> list[str]:
    """Give columns names that each stand once, as a row is shown as a dictionary."""
    return [name if names.count(name) == 1 else f"{name} ({at})" for at, name in enumerate(names)]


def _read(task: Task, exchange: Exchange) -> _Chunk:
    """Read the rows of the lanes that a task is about, in the order of the input within each lane."""
    shares = exchange.shares[task.first : task.last]
    first, last = shares[0].lane, shares[-1].lane + 1
    tables, bases = list[pa.Table](), list[np.ndarray]()
    for at, section in each_section([block.path for block in exchange.blocks]):
        table = section.read(first, last)
        if len(table):
            tables.append(table)
            bases.append(np.full(len(table), exchange.blocks[at].base))
    return _Chunk(pa.concat_tables(tables).combine_chunks(), np.concatenate(bases))


def _of_task(chunk: _Chunk, task: Task, exchange: Exchange, briefing: Briefing) -> _Chunk:
    """Leave out rows that are of other tasks: of keys in the same lane."""
    shares = exchange.shares[task.first : task.last]
    is_of_lanes = shares[0].lo == Share.of(shares[0].lane).lo and shares[-1].hi == Share.of(shares[-1].lane).hi
    if is_of_lanes and task.is_whole:
        return chunk
    hashed = hashes_of(chunk.table, exchange.grouping.columns, briefing.columns)
    keeps = (hashed >= np.uint64(shares[0].lo)) & (hashed <= np.uint64(shares[-1].hi))
    if not task.is_whole:
        keeps &= _starting_within(hashed, keeps, task)
    return _Chunk(chunk.table.filter(pa.array(keeps)), chunk.bases[keeps])


def _starting_within(hashed: np.ndarray, keeps: np.ndarray, task: Task) -> np.ndarray:
    """Choose rows by their hash: where they are sorted by it, each hash begins at a row, which must be in the task."""
    each, counts = np.unique(hashed[keeps], return_counts=True)
    begins = task.row + np.cumsum(counts) - counts
    chosen = each[(begins >= task.lo) & (begins < task.hi)]
    return np.isin(hashed, chosen)
