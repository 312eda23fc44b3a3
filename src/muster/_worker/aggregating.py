"""Aggregations of groups, stage by stage: what is kept of the rows of a task, and what comes of all that was kept."""

import time
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import pandas as pd
import pyarrow as pa

from muster._formats.blocks import INDEX, KEYS, PLACE, Section
from muster._formats.keyed import ROW, hashes_of, numbered, places_of, ranks_of
from muster._formats.results import reply_of
from muster._model import Briefing, Column, Exchange, FailedGroup, Outcome, Seconds, Task
from muster.errors import EngineError

from .aggregates.cells import IS
from .aggregates.codes import codes_of, firsts_of, together
from .aggregates.kinds import frame_of, table_of
from .aggregates.outputs import Kept
from .aggregates.plan import MeasurePlan, plan_of
from .calling import MemoryBlame
from .groups import Chunk, of_task, rows_of_lanes
from .own_keys import OwnKeys, TaskKeys
from .results import Results
from .writing import Writer


def reduced(table: pa.Table, plan: MeasurePlan, places: Sequence[int]) -> pa.Table:
    """Make one row of all rows of a key: the key, what is kept of its rows, and the number of the first of them."""
    columns = [codes_of(table.column(at), column) for at, column in zip(places, plan.keys, strict=True)]
    codes, firsts = together(columns)
    kept = plan.of_rows(table, codes, len(firsts))
    first_rows = pa.array(firsts)
    keys = {str(at): table.column(place).take(first_rows) for at, place in enumerate(places)}
    return pa.table({**keys, **kept, ROW: table.column(ROW).take(first_rows)})


class Aggregating:
    """Puts together what tasks have kept of the rows of some lanes, and works out the output."""

    def __init__(self, briefing: Briefing, task: Task, exchange: Exchange, memory: MemoryBlame) -> None:
        """Take the task; nothing is read yet."""
        self._briefing = briefing
        self._task = task
        self._exchange = exchange
        self._memory = memory
        self._plan = plan_of(briefing, exchange)

    def outcomes(self) -> Iterator[Outcome]:
        """Do all groups at once. Raises ``EngineError`` where no worker survives that."""
        task, began, plan = self._task, time.perf_counter(), self._plan
        if task.condemned and not plan.own:
            raise EngineError(
                f"No worker survives putting groups together: {task.condemned}. Is there memory left? Try fewer"
                " workers, then type the same command again."
            )
        columns = self._briefing.columns if self._exchange.agreed else plan.keys
        chunk = of_task(rows_of_lanes(task, self._exchange), task, self._exchange, columns)
        chunk = chunk.in_order() if plan.own else chunk
        read = time.perf_counter()
        outcome = Outcome(task, task.hi - task.lo, 0)
        keys = self._keys(chunk)
        own = OwnKeys(self._briefing, task, self._exchange, self._memory, plan) if plan.own else None
        if own is not None:
            own.work_out(chunk, keys)
            outcome = own.said_in(outcome)
        called = 0.0 if own is None else own.seconds
        if own is None or not own.ends:
            failed = self._failed(chunk, keys, own, columns) if own is not None else ()
            outcome = self._written(outcome._replace(failed=failed), *self._sections(chunk, keys, own), own)
        ended = time.perf_counter()
        spent = Seconds(read - began, called, ended - read - called, ended - began)
        yield outcome._replace(seconds=spent)

    def _written(self, outcome: Outcome, sections: list[Section], rows: int, own: OwnKeys | None) -> Outcome:
        writer = Writer(self._briefing, self._task)
        hashes = [one.hash for one in outcome.failed]
        rejects = writer.reject_all(own.bad.by_hash(hashes)) if own is not None and hashes else None
        block = writer.block(sections, rows) if sections else None
        return outcome._replace(rows_out=rows, output=block, rejects=rejects)

    def _keys(self, chunk: Chunk) -> TaskKeys:
        """Give keys numbers; the rows are in the order of the input, within each key."""
        grouping, plan, table = self._exchange.grouping, self._plan, chunk.table
        places = places_of(grouping.columns, self._briefing.columns) if self._exchange.agreed else range(len(plan.keys))
        cells = [table.column(at) for at in places]
        frame = frame_of(plan.keys, plan.agreed, cells)
        codes = numbered(_columns_of(frame), grouping, sort=False).astype(np.int64)
        firsts = firsts_of(codes, int(codes.max(initial=-1)) + 1)
        return TaskKeys(cells, codes, firsts, frame.take(firsts).reset_index(drop=True))

    def _sections(self, chunk: Chunk, keys: TaskKeys, own: OwnKeys | None) -> tuple[list[Section], int]:
        """Work out the output of each group, in its order."""
        grouping, plan = self._exchange.grouping, self._plan
        at = (chunk.bases + chunk.numbers)[keys.firsts]
        order = np.argsort(at)
        if grouping.sort:
            order = order[np.argsort(ranks_of(_columns_of(keys.frame.take(order)), grouping), kind="stable")]
        keyed = order
        made = plan.frame(keys.frame, self._kept(chunk.table, keys), {} if own is None else own.columns)
        results = Results(goes_on=self._exchange.goes_on)
        if own is None:
            results.add_all(reply_of(made.take(order), use=self._briefing.format), at[order])
        else:
            for reply, those in own.replies(made, order, use=self._briefing.format):
                results.add_all(reply, at[those])
            order = order[own.is_good[order]]
        sections = results.sections()
        if grouping.sort and len(keyed):  # those that failed, too: a retry must know where they belong
            named = [cells.take(pa.array(keys.firsts[keyed])) for cells in keys.cells]
            table = pa.table([*named, at[keyed]], names=[*map(str, range(len(named))), PLACE])
            dtypes = table_of(plan.keys, plan.agreed).schema.metadata
            sections.append(Section(table.replace_schema_metadata(dtypes), [0, len(keyed)], {KEYS: True}))
        return sections, sum(len(one.table) for one in sections if not {INDEX, KEYS} & {*one.said})

    def _failed(
        self, chunk: Chunk, keys: TaskKeys, own: OwnKeys, columns: tuple[Column, ...]
    ) -> tuple[FailedGroup, ...]:
        """Name the keys that could not be done."""
        rows = keys.firsts[~own.is_good]
        if not len(rows):
            return ()
        hashed = hashes_of(chunk.table.take(pa.array(rows)), self._exchange.grouping.columns, columns)
        places = (chunk.bases + chunk.numbers)[rows]
        return tuple(map(FailedGroup, places.tolist(), hashed.tolist()))

    def _kept(self, table: pa.Table, keys: TaskKeys) -> Mapping[int, Kept]:
        """Put together what is worked out in columns."""
        plan, codes, groups = self._plan, keys.codes, len(keys.firsts)
        if not plan.has_ready:
            return {}
        if self._exchange.agreed:
            return plan.kept_of(table, codes, groups)
        if IS in table.column_names:
            is_kept = table.column(IS).is_null()
            table, codes = table.filter(is_kept), codes[np.asarray(is_kept)]
        return plan.together(table, codes, groups)


def _columns_of(frame: pd.DataFrame) -> list["pd.Series"]:
    return [frame.iloc[:, at] for at in range(frame.shape[1])]
