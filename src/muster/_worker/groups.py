"""The second stage of a job with groups: the rows of some lanes are put together by their keys, group after group."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from operator import itemgetter
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pyarrow as pa

from muster._formats.blocks import PLACE, each_section
from muster._formats.keyed import hashes_of, numbered, places_of, ranks_of, read_numbered, renamed, without_made
from muster._formats.rows import to_pandas
from muster._model import Briefing, Column, Exchange, FailedGroup, Grouping, LaneShare, Task

if TYPE_CHECKING:
    import pandas as pd


class Group(NamedTuple):
    """All rows of one key: those of the frame from ``lo`` to ``hi``."""

    lo: int
    hi: int
    place: int
    """Its first row's place in the whole input, which is its place in the output."""


@dataclass(slots=True)
class Chunk:
    """Rows of some lanes, in the order of the input within each key; ``bases`` says where the file of each begins."""

    table: pa.Table
    numbers: np.ndarray
    bases: np.ndarray

    def keep(self, mask: np.ndarray) -> "Chunk":
        """Keep some of the rows."""
        return Chunk(self.table.filter(pa.array(mask)), self.numbers[mask], self.bases[mask])

    def in_order(self) -> "Chunk":
        """Put the rows in the order of the input, also where those of one block lie in several sections."""
        order = np.argsort(self.bases + self.numbers, kind="stable")
        return Chunk(self.table.take(pa.array(order)), self.numbers[order], self.bases[order])


class Gathered:
    """The rows of a task, put together by their keys."""

    def __init__(self, briefing: Briefing, task: Task, exchange: Exchange) -> None:
        """Read the rows of the task, all of them."""
        self._briefing = briefing
        self._grouping: Grouping = exchange.grouping
        chunk = of_task(rows_of_lanes(task, exchange), task, exchange, briefing.columns)
        self._places = chunk.bases + chunk.numbers
        self._bases = chunk.bases
        self._numbers = self._places if exchange.agreed else chunk.numbers
        names = [column.name for column in briefing.columns]  # of which one may stand twice
        self._table = renamed(chunk.table, names)
        self._whole = self._frame()

    def _frame(self) -> "pd.DataFrame":
        briefing = self._briefing
        return to_pandas(self._table, np.arange(len(self._table)), briefing.columns, header=briefing.has_header)

    @cached_property
    def _sorted(self) -> tuple[np.ndarray, list[Group]]:
        """Sort rows by their group, and groups by their first row; rows of one group stay in order."""
        places = self._places
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
    def _ordered(self) -> "pd.DataFrame":
        import pandas as pd

        order = self._sorted[0]
        frame = self._whole.take(order)
        frame.index = pd.Index(self._numbers[order])
        self.__dict__.pop("_whole")
        return frame

    @cached_property
    def frame(self) -> "pd.DataFrame":
        """Give the frame whose rows ``groups`` are about; each row is labelled by its number in its file."""
        if not self._grouping.made:
            return self._ordered
        made = {*places_of(self._grouping.made, self._briefing.columns)}
        return self._ordered.iloc[:, [at for at in range(self._ordered.shape[1]) if at not in made]]

    def keys(self) -> Iterator[Any]:
        """Give the key of each group, as pandas gives it where one goes through groups."""
        starts = [group.lo for group in self.groups]
        each = [_named(column.iloc[starts]) for column in self._keys(self._ordered)]
        if len(each) > 1:
            each = [_as_in_tuples(keys) for keys in each]
        yield from each[0] if self._grouping.is_scalar else zip(*each, strict=True)

    def key_table(self) -> pa.Table:
        """Give the key of each group as it lies in blocks, and its place."""
        table = self._table.take(pa.array(self._sorted[0][[group.lo for group in self.groups]]))
        keys = [table.column(at) for at in places_of(self._grouping.columns, self._briefing.columns)]
        places = pa.array([group.place for group in self.groups], pa.int64())
        named_by_number = pa.table([*keys, places], names=[*map(str, range(len(keys))), PLACE])
        return named_by_number.replace_schema_metadata(table.schema.metadata)

    def failed(self, groups: Sequence[Group]) -> tuple[FailedGroup, ...]:
        """Name some groups as ones that failed."""
        if not groups:
            return ()
        table = self._table.take(pa.array(self._sorted[0][[group.lo for group in groups]]))
        hashed = hashes_of(table, self._grouping.columns, self._briefing.columns)
        return tuple(FailedGroup(group.place, one) for group, one in zip(groups, hashed.tolist(), strict=True))

    def rows_of(self, group: Group) -> Iterator[tuple[int, int, str]]:
        """Show the rows of a group: of each the number of its file, its number there, and its values as text."""
        order = self._sorted[0][group.lo : group.hi]
        order = order[np.argsort(self._places[order], kind="stable")]
        table, columns = without_made(self._table.take(pa.array(order)), self._briefing.columns, self._grouping)
        for base, number, row in zip(
            self._bases[order].tolist(),
            self._numbers[order].tolist(),
            table.rename_columns(apart([column.name for column in columns])).to_pylist(),
            strict=True,
        ):
            yield base, number, str(row)


def _named(keys: "pd.Series[Any]") -> Any:  # noqa: ANN401 (an index)
    """Name keys as pandas does: among objects, all that is missing is one key, which is ``NaN``."""
    import pandas as pd

    if keys.dtype != object:
        return pd.Index(keys)
    cells = keys.to_numpy(copy=True)
    cells[pd.isna(cells)] = np.nan
    return pd.Index(cells, dtype=object)


def _as_in_tuples(keys: "pd.Index[Any]") -> "pd.Index[Any]":
    """Spell keys of several columns as pandas does, whose ``Int64`` is one of NumPy's own numbers where it is alone."""
    import pandas as pd

    return keys.astype(object) if isinstance(keys.dtype, pd.api.extensions.ExtensionDtype) else keys


def apart(names: Sequence[str]) -> list[str]:
    """Give columns names that each stand once, as a row is shown as a dictionary."""
    return [name if names.count(name) == 1 else f"{name} ({at})" for at, name in enumerate(names)]


def rows_of_lanes(task: Task, exchange: Exchange) -> Chunk:
    """Read the rows of the lanes that a task is about, in the order of the input within each lane.

    Blocks may have columns of their own: others have no value there.
    """
    shares = exchange.shares[task.first : task.last]
    first, last = shares[0].lane, shares[-1].lane + 1
    tables, numbers, bases = list[pa.Table](), list[np.ndarray](), list[np.ndarray]()
    for at, section in each_section(exchange.paths):
        rows = read_numbered(section, first, last, agreed=exchange.agreed, key=exchange.grouping.columns)
        if len(rows.numbers):
            tables.append(rows.table)
            numbers.append(rows.numbers)
            bases.append(np.full(len(rows.numbers), exchange.blocks[at].base))
    return Chunk(
        pa.concat_tables(tables, promote_options="default").combine_chunks(),
        np.concatenate(numbers),
        np.concatenate(bases),
    )


def of_task(chunk: Chunk, task: Task, exchange: Exchange, columns: tuple[Column, ...]) -> Chunk:
    """Leave out rows that are of other tasks: of keys in the same lane."""
    shares = exchange.shares[task.first : task.last]
    is_of_lanes = shares[0].lo == LaneShare.of(shares[0].lane).lo and shares[-1].hi == LaneShare.of(shares[-1].lane).hi
    if is_of_lanes and task.is_whole:
        return chunk
    hashed = hashes_of(chunk.table, exchange.grouping.columns, columns)
    keeps = (hashed >= np.uint64(shares[0].lo)) & (hashed <= np.uint64(shares[-1].hi))
    if not task.is_whole:
        keeps &= np.isin(hashed, starting_within(hashed[keeps], task.row, task.lo, task.hi))
    return chunk.keep(keeps)


def starting_within(hashed: np.ndarray, first: int, lo: int, hi: int) -> np.ndarray:
    """Choose hashes: where rows are sorted by them, and counted from ``first``, each begins at a row from ``lo`` on."""
    each, counts = np.unique(hashed, return_counts=True)
    begins = first + np.cumsum(counts) - counts
    chosen: np.ndarray = each[(begins >= lo) & (begins < hi)]
    return chosen
