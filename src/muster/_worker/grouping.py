"""The function on each group of a task; what it gave goes into a block, in the order of the output."""

import json
import time
from collections.abc import Iterator
from typing import Any, Final

import numpy as np
import pyarrow as pa

from muster._formats._results import Reply
from muster._formats._unmade import Unmade, Waiting
from muster._formats.blocks import INDEX, KEYS, PLACE, Section, packed
from muster._model import Briefing, Exchange, Fault, Outcome, Piece, Seconds, Task

from .calling import Failure, MemoryBlame
from .calling_groups import GroupCaller
from .failures import said, sort_of, traced
from .groups import Gathered, Group
from .reader import Raw
from .steps import BadRow, reasons
from .writing import Writer

_STRETCH_BYTES: Final = 128 << 10
"""How much of results is read together, at least: so a block is read in little more than what is needed of it."""

_TRIES: Final = 8
_FEWEST_TO_BLAME: Final = 2


class Grouping:
    """Calls the function on the groups of one task."""

    def __init__(self, briefing: Briefing, task: Task, exchange: Exchange, memory: MemoryBlame) -> None:
        """Take the task; nothing is read yet."""
        self._briefing = briefing
        self._task = task
        self._exchange = exchange
        self._caller = GroupCaller(briefing, memory)
        self._bad: list[tuple[str, int, Raw, BadRow]] = []
        self._results = Results()

    def outcomes(self) -> Iterator[Outcome]:
        """Read the rows and call the function on each group."""
        task, began = self._task, time.perf_counter()
        gathered = Gathered(self._briefing, task, self._exchange)
        frame = gathered.frame
        read = time.perf_counter()
        outcome = Outcome(task, task.hi - task.lo, 0)
        if (fault := self._fault(gathered, frame)) is not None:
            yield outcome._replace(fault=fault, bad_rows=outcome.rows_in, seconds=self._seconds(began, read))
            return
        for group, key in zip(gathered.groups, gathered.keys(frame), strict=True):
            self._do(gathered, frame, group, key)
            if len(self._bad) > task.bad_rows_left:
                break
        called = time.perf_counter()
        bad = [one for *_, one in self._bad]
        outcome = outcome._replace(bad_rows=len(bad), reasons=reasons(bad), steps=self._caller.measures)
        outcome = outcome._replace(first_error=f"{bad[0].error}\n{bad[0].traceback}".strip() if bad else "")
        if len(bad) <= task.bad_rows_left:
            outcome = self._written(outcome, gathered)
        ended = time.perf_counter()
        seconds = Seconds(
            called - began - self._caller.seconds,
            self._caller.seconds,
            ended - called,
            ended - began,
            failed=self._caller.failed,
        )
        yield outcome._replace(seconds=seconds)

    def _seconds(self, began: float, read: float) -> Seconds:
        return Seconds(read - began, self._caller.seconds, total=time.perf_counter() - began)

    def _do(self, gathered: Gathered, frame: Any, group: Group, key: object) -> None:  # noqa: ANN401 (a frame)
        if self._task.condemned:
            self._reject(gathered, group, key, BadRow(self._briefing.steps[0].name, self._task.condemned))
            return
        result = self._caller.on_group(frame, group.lo, group.hi, key, place=group.place)
        if isinstance(result, Failure):
            self._reject(gathered, group, key, BadRow(result.step, said(result.error), traced(result.error)))
        else:
            self._results.add(result, group.place)

    def _reject(self, gathered: Gathered, group: Group, key: object, why: BadRow) -> None:
        """Reject every row of a group."""
        names = {block.base: block.name for block in self._exchange.blocks}
        why = why._replace(key=_shown(key))
        self._bad += [(names[base], number, Raw(None, text), why) for base, number, text in gathered.rows_of(group)]

    def _fault(self, gathered: Gathered, frame: Any) -> Fault | None:  # noqa: ANN401 (a frame)
        """Tell how the function fails on groups from all over, if no row is known to be good."""
        if not self._task.is_doubted or self._task.condemned or not gathered.groups:
            return None
        each = list(zip(gathered.groups, gathered.keys(frame), strict=True))
        tried = [each[at] for at in sorted({(len(each) - 1) * at // (_TRIES - 1) for at in range(_TRIES)})]
        first: Failure | None = None
        for group, key in tried:  # on copies, as the function may change what it gets
            apart = frame.iloc[group.lo : group.hi].copy()
            result = self._caller.on_group(apart, 0, len(apart), key, place=group.place)
            if not isinstance(result, Failure):
                return None
            first = first or result
            if sort_of(result.step, result.error) != sort_of(first.step, first.error):
                return None
        if first is None:
            return None
        sort = sort_of(first.step, first.error)
        return Fault(first.step, sort, said(first.error), traced(first.error), "", len(tried), _FEWEST_TO_BLAME)

    def _written(self, outcome: Outcome, gathered: Gathered) -> Outcome:
        writer = Writer(self._briefing, self._task, is_packed=False)
        rejects = writer.reject_all(self._bad) if self._bad else None
        sections = self._results.sections()
        rows = sum(len(section.table) for section in sections if INDEX not in section.said)
        if sections and self._exchange.grouping.sort:
            keys = gathered.key_table()
            sections.append(Section(keys, [0, len(keys)], {KEYS: True}))
        block: Piece | None = writer.piece("block", packed(sections), rows) if sections else None
        return outcome._replace(rows_out=rows, output=block, rejects=rejects, index_names=self._results.index)


def _shown(key: object) -> str:
    """Write a key for the rejects: as JSON where that can be."""
    try:
        return json.dumps(key, ensure_ascii=False)
    except (TypeError, ValueError):
        return str(key)


class Results:
    """What the function gave for groups, each with its place in the output."""

    def __init__(self) -> None:
        """Begin with none."""
        self._waiting = Waiting()
        self._places: list[int] = []
        """Of those that wait."""
        self._made: dict[Any, list[tuple[Reply, np.ndarray]]] = {}
        self.index = ""

    def add(self, reply: Reply | Unmade, place: int) -> None:
        """Take the result of a group, in the order of the output: small ones that are alike become one table."""
        self.index = self.index or reply.index
        if isinstance(reply, Reply):
            self._keep(reply, np.full(reply.rows, place))
            return
        if not self._waiting.takes(reply):
            self._make()
        self._waiting.add(reply)
        self._places.append(place)

    def _make(self) -> None:
        """Make a reply of what waits."""
        if frames := self._waiting.frames:
            places = np.repeat(self._places, [one.rows for one in frames])
            self._keep(self._waiting.made(), places)
            self._places = []

    def _keep(self, reply: Reply, places: np.ndarray) -> None:
        if reply.schema is not None:
            bare = reply.table.schema.serialize().to_pybytes()
            self._made.setdefault((reply.schema, bare), []).append((reply, places))

    def replies(self) -> list[Reply]:
        """Give what there is, without places."""
        self._make()
        return [reply for kept in self._made.values() for reply, _ in kept]

    def sections(self) -> list[Section]:
        """Put the results together by what they look like, each kind in the order of the output."""
        self._make()
        sections = [self._section(kept) for kept in self._made.values()]
        if not sections:
            return []
        places, rows = np.unique(np.concatenate([one.table.column(PLACE) for one in sections]), return_counts=True)
        index = pa.table({PLACE: pa.array(places, pa.int64()), "rows": pa.array(rows, pa.int64())})
        return [*sections, Section(index, [0, len(index)], {INDEX: True})]

    def _section(self, kept: list[tuple[Reply, np.ndarray]]) -> Section:
        schema = kept[0][0].schema
        places = np.concatenate([own for _, own in kept])
        table = pa.concat_tables([reply.table for reply, _ in kept])
        fields = [field.with_name(str(at)) for at, field in enumerate(table.schema)]
        fields.append(pa.field(PLACE, pa.int64()))
        table = pa.table([*table.columns, pa.array(places, pa.int64())], schema=pa.schema(fields))
        step = max(1, _STRETCH_BYTES * len(table) // max(table.nbytes, 1))
        borders = [*range(0, len(table), step), len(table)]
        ends = [[int(places[lo]), int(places[min(lo + step, len(table)) - 1])] for lo in borders[:-1]]
        return Section(table, borders, {"schema": schema, "places": ends})
