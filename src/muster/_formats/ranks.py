"""The rank of each group among the sorted keys, in a block: it counts instead of the place of the group's first row."""

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from muster._files import whole
from muster.errors import DataError

from .blocks import KEYS, PLACE, Section, each_section, packed, sections_of
from .keyed import ranks_of, renamed
from .rows import to_pandas

if TYPE_CHECKING:
    from .settled import Ranking

_Numbers = np.ndarray[Any, np.dtype[np.int64]]


@dataclass(frozen=True, slots=True)
class Ranks:
    """Says the rank of each place; without places, each is its own rank."""

    places: _Numbers | None = None
    ranks: _Numbers | None = None

    def of(self, places: np.ndarray) -> np.ndarray:
        """Give the ranks of places. All of them must be there."""
        if self.places is None or self.ranks is None:
            return places
        return self.ranks[np.searchsorted(self.places, places)]


def write_ranks(ranking: "Ranking", blocks: Sequence[str]) -> None:
    """Sort the keys of all groups as pandas does, and write the ranks down. Raises ``DataError`` where it cannot."""
    tables = [section.read(0, 1) for _, section in each_section(blocks) if KEYS in section.said]
    tables = [table for table in tables if len(table)]
    if not tables:
        places, ranks = np.empty(0, np.int64), np.empty(0, np.int64)
    else:
        table = pa.concat_tables(tables).combine_chunks()
        unsorted = table.column(PLACE).to_numpy()
        order = np.argsort(unsorted)
        places, ranks = unsorted[order], _ranked(table.take(pa.array(order)), ranking)
        _check_agree(Ranks(places, ranks), tables, ranking)
    written = pa.table({PLACE: pa.array(places, pa.int64()), "rank": pa.array(ranks, pa.int64())})
    data = b"".join(packed([Section(written, [0, len(written)], {})]))
    whole.write(Path(ranking.path), data, durable=True)  # the journal relies on it from now on


def _ranked(table: pa.Table, ranking: "Ranking") -> _Numbers:
    names = [column.name for column in ranking.key]
    keys = renamed(table.drop_columns([PLACE]), names)
    header = not ranking.is_numbered
    frame = to_pandas(keys, np.arange(len(keys)), ranking.key, header=header)
    return ranks_of([frame.iloc[:, at] for at in range(len(names))], ranking.grouping)


def _check_agree(ranks: Ranks, tables: Sequence[pa.Table], ranking: "Ranking") -> None:
    """Check that tasks have sorted some of the keys as all are sorted: pandas cannot order keys of any kinds."""
    if any((np.diff(ranks.of(table.column(PLACE).to_numpy())) <= 0).any() for table in tables):
        names = ", ".join(map(repr, ranking.grouping.columns))
        raise DataError(
            f"The keys of {names} cannot be sorted: they are of kinds that have no order among them. Leave sort=True"
            " out: then groups come in the order in which their keys first appear."
        )


def ranks_at(path: str) -> Ranks:
    """Read ranks; without a path, each place is its own. Raises ``EngineError`` where they are damaged."""
    return _read(path, Path(path).stat().st_mtime_ns) if path else Ranks()


@functools.lru_cache(maxsize=1)  # all tasks of a worker that put results in order need the same
def _read(path: str, _version: int) -> Ranks:
    table = sections_of(path)[0].read(0, 1)
    return Ranks(table.column(PLACE).to_numpy(), table.column("rank").to_numpy())
