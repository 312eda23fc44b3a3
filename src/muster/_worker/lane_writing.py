"""Write what steps gave as a block, in which each lane has a stretch: the next stage reads its rows by their keys."""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from muster._formats import between, keys
from muster._formats.agreed import AS_IS
from muster._formats.blocks import Section
from muster._formats.keyed import ROW
from muster._formats.lanes import check_key
from muster._formats.results import Reply
from muster._model import LANES, Briefing, Exchange, Schema, Task
from muster._progress.schema import united

from .writing import Writer, Written


class LaneWriter(Writer):
    """Writes the rows that steps gave for one task to their lanes."""

    def __init__(self, briefing: Briefing, task: Task, exchange: Exchange) -> None:
        """Name the task, and by which columns its rows are grouped next."""
        super().__init__(briefing, task)
        self._grouping = exchange.grouping
        self._only = exchange.only
        self._step = briefing.steps[-1].name if briefing.steps else ""

    def write(self, replies: Sequence[Reply], *, apart: bool) -> Written:
        """Write results, in order. All rows count, also those of no group, which are not written."""
        del apart
        texts = [b""] * len(replies)
        telling = [reply for reply in replies if reply.schema is not None]
        if not telling:
            return Written(texts=texts)
        schema, rows = united(reply.schema for reply in telling if reply.schema), sum(one.rows for one in telling)
        section = self._in_lanes(between.section(telling, schema, pa.array(np.arange(rows)), ROW), schema)
        return Written(rows, self.block([section], len(section.table)), schema, schema, texts)

    def _in_lanes(self, section: Section, schema: Schema) -> Section:
        """Put rows in the order of their lanes; without those whose key is missing, if these are of no group."""
        table = section.table
        if not len(table):  # whether the key is there, the columns of all tasks together say
            return in_lanes(table, None, section.said)
        check_key(self._grouping.columns, schema.columns, step=self._step)
        places = [schema.columns.index(name) for name in self._grouping.columns]
        if self._grouping.dropna:
            gone = keys.missing(table.column(at) for at in places)
            table = table.filter(pa.array(~gone)) if gone.any() else table
        columns = [(table.column(at), AS_IS) for at in places]
        if not columns:
            return in_lanes(table, None, section.said)
        return in_lanes(*of_keys(table, keys.hashes(columns, self._grouping.columns), self._only), section.said)


def of_keys(table: pa.Table, hashed: np.ndarray, only: Sequence[int] = ()) -> tuple[pa.Table, np.ndarray]:
    """Say the lane of each row, by the hash of its key; rows of other keys are left out where ``only`` names some."""
    if only:
        is_one = np.isin(hashed, np.array(only, np.uint64))
        table, hashed = table.filter(pa.array(is_one)), hashed[is_one]
    return table, keys.lanes(hashed)


def in_lanes(table: pa.Table, lanes: np.ndarray | None, said: dict[str, object]) -> Section:
    """Make a section of rows in which each lane has a stretch; without a key, all rows are of the first lane."""
    if lanes is None:
        return Section(table, [0, *[len(table)] * LANES], {**said, "bytes": table.nbytes})
    order = np.argsort(lanes, kind="stable")
    borders = np.searchsorted(lanes[order], np.arange(LANES + 1))
    return Section(table.take(pa.array(order)), borders.tolist(), {**said, "bytes": table.nbytes})
