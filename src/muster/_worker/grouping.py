"""The function on each group of a task; what it gave goes into a block, in the order of the output."""

import time
from collections.abc import Iterator
from typing import Any, Final

from muster._formats.blocks import INDEX, KEYS, Section
from muster._model import Briefing, Exchange, Fault, Outcome, Piece, Seconds, Task

from .alike import fault_in_common
from .calling import Failure, MemoryBlame
from .calling_groups import GroupCaller
from .failures import said, traced
from .groups import Gathered, Group
from .rejected import Rejected, shown
from .results import Results
from .slices import Slices
from .steps import BadRow, after
from .writing import Writer

_TRIES: Final = 8
"""Groups, or rows, tried by themselves, from all over: whether all fail alike."""


class GroupedTask:
    """Calls the function on the groups of one task."""

    def __init__(self, briefing: Briefing, task: Task, exchange: Exchange, memory: MemoryBlame) -> None:
        """Take the task; nothing is read yet."""
        self._briefing = briefing
        self._task = task
        self._exchange = exchange
        self._caller = GroupCaller(briefing, memory)
        self._bad = Rejected(exchange)
        self._failed: list[Group] = []
        self._results = Results(goes_on=exchange.goes_on)

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
        groups = gathered.groups
        slices = Slices(frame, [one.lo for one in groups], [one.hi for one in groups])
        for number, key in enumerate(gathered.keys()):
            self._do(gathered, slices, number, key)
            if len(self._bad) > task.bad_rows_left:
                break
        called = time.perf_counter()
        outcome = self._bad.counted_in(outcome)
        outcome = outcome._replace(steps=after(self._exchange.before, self._caller.measures))
        if len(self._bad) <= task.bad_rows_left:
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

    def _do(self, gathered: Gathered, slices: Slices, number: int, key: object) -> None:
        group = gathered.groups[number]
        if self._task.condemned:
            self._reject(gathered, group, key, BadRow(self._briefing.steps[0].name, self._task.condemned))
            return
        result = self._caller.on_group(slices[number], key, place=group.place)
        if isinstance(result, Failure):
            self._reject(gathered, group, key, BadRow(result.step, said(result.error), traced(result.error)))
        else:
            self._results.add(result, group.place)

    def _reject(self, gathered: Gathered, group: Group, key: object, why: BadRow) -> None:
        """Reject every row of a group."""
        self._failed.append(group)
        why = why._replace(key=shown(key))
        self._bad.add_group(gathered.rows_of(group), why)

    def _fault(self, gathered: Gathered, frame: Any) -> Fault | None:  # noqa: ANN401 (a frame)
        """Tell how the function fails on groups from all over, if no row is known to be good."""
        if not self._task.is_doubted or self._task.condemned or not gathered.groups:
            return None
        each = list(zip(gathered.groups, gathered.keys(), strict=True))
        tried = [each[at] for at in sorted({(len(each) - 1) * at // (_TRIES - 1) for at in range(_TRIES)})]
        results = (
            # on copies, as the function may change what it gets
            self._caller.on_group(frame.iloc[group.lo : group.hi].copy(), key, place=group.place)
            for group, key in tried
        )
        return fault_in_common(results, rows=len(tried), cure=self._caller.cure)

    def _written(self, outcome: Outcome, gathered: Gathered) -> Outcome:
        writer = Writer(self._briefing, self._task)
        failed = gathered.failed(self._failed)
        rejects = writer.reject_all(self._bad.by_hash(one.hash for one in failed)) if failed else None
        sections = self._results.sections()
        rows = sum(len(section.table) for section in sections if INDEX not in section.said)
        if (sections or self._failed) and self._exchange.grouping.sort:  # a retry must know where those belong, too
            keys = gathered.key_table()
            sections.append(Section(keys, [0, len(keys)], {KEYS: True}))
        block: Piece | None = writer.block(sections, rows) if sections else None
        outcome = outcome._replace(rows_out=rows, output=block, rejects=rejects, index_names=self._results.index)
        return outcome._replace(failed=failed)
