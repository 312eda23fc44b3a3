"""Sort the keys of all groups, where groups are sorted, and write down the rank of each."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from muster._files import whole
from muster.errors import DataError

from .blocks import KEYS, PLACE, as_block, each_section
from .keyed import ranks_of, renamed
from .ranks import Ranks
from .rows import to_pandas

if TYPE_CHECKING:
    from .settled import Ranking

_Numbers = np.ndarray[Any, np.dtype[np.int64]]


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
    data = b"".join(as_block([Ranks(places, ranks).section()]))
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
