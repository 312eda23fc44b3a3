"""Read what steps gave, in its order: the steps behind an exchange get it as if it were a file of its own."""

from collections.abc import Collection, Mapping

import numpy as np
import pyarrow as pa

from muster._formats import between
from muster._formats.blocks import PLACE
from muster._formats.rows import Rows
from muster._model import Briefing, Exchange, Task

from .groups import apart
from .ordering import in_order, results_of
from .reader import Raw, Reader


class OrderedReader(Reader):
    """Reads results of the steps before an exchange. Rows are numbered from 0, over all of them."""

    def __init__(self, briefing: Briefing, task: Task, exchange: Exchange) -> None:
        """Take the task; nothing is read yet."""
        self.briefing = briefing
        self.task = task
        self.name = ""
        self.ahead = None
        self._exchange = exchange

    @property
    def order(self) -> tuple[str, ...]:
        """Name nothing: it is no file."""
        return ()

    def read(self) -> Rows:
        """Read the rows of the task, with the columns of all results."""
        if self.task.condemned:
            bad = dict.fromkeys(range(self.task.lo, self.task.hi), self.task.condemned)
            return Rows(self.empty(), np.empty(0, np.int64), bad)
        return self.parsed()

    def parsed(self) -> Rows:
        """Read the rows of the task, and put them in order."""
        agreed, tables, places = self._exchange.agreed, list[pa.Table](), list[np.ndarray]()
        for section, table in results_of(self.task, self._exchange):
            places.append(table.column(PLACE).to_numpy())
            tables.append(between.typed(table.drop_columns([PLACE]), section.said, agreed))
        order = in_order(np.concatenate(places), self.task, self._exchange)
        rows = pa.concat_tables(tables).combine_chunks().take(pa.array(order))
        return Rows(rows, np.arange(self.task.lo, self.task.hi))

    def raw(self, rows: Collection[int]) -> Mapping[int, Raw]:
        """Show rows by their values."""
        chosen = sorted(rows)
        shown = self.parsed().table.take(pa.array([row - self.task.lo for row in chosen], pa.int64()))
        names = apart(shown.column_names)
        return {
            row: Raw(None, str(values))
            for row, values in zip(chosen, shown.rename_columns(names).to_pylist(), strict=True)
        }

    def empty(self) -> pa.Table:
        """Make a table of the columns without a row."""
        return pa.ipc.read_schema(pa.py_buffer(self._exchange.agreed)).empty_table()
