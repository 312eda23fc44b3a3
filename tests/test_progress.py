"""The state of a run, driven through orders of events that no cluster would show in a lifetime."""

import json
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from random import Random
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from muster._journal.coding import as_fields, of_fields
from muster._journal.events import Dropped, Event, Kept
from muster._journal.fields import schemas_of
from muster._model import Outcome, Part, Piece, Schema, Seconds, Slots, Task
from muster._progress.actions import (
    Action,
    Append,
    DiesOfNothing,
    Drop,
    Forget,
    GiveUp,
    Keep,
    NeverSettles,
    Recall,
    Rewind,
    Submit,
    Widen,
)
from muster._progress.cuts import together
from muster._progress.progress import Progress
from muster._progress.queue import (
    FIRST_TASK,
    FIRST_TASK_WITHOUT_CALLS,
    LARGEST_TASK,
    LEAST_SECONDS,
    LEAST_SECONDS_WITHOUT_CALLS,
    TASK_SECONDS,
)
from muster._progress.schema import by_column, form, united
from muster._run.history.past import Past


def slots(idle: int, ahead: int) -> dict[str, Slots]:
    """Say what an only machine takes."""
    return {"": Slots(idle, ahead)}


Row = tuple[int, int]
"""A row's file and its number there."""

MANY = 1 << 40
ROW_BYTES = 8


@dataclass(frozen=True)
class World:
    """An input, and what a function makes of each of its rows."""

    parts: tuple[Part, ...]
    poison: frozenset[Row] = frozenset()
    """Rows that kill the worker."""
    raising: frozenset[Row] = frozenset()
    other: frozenset[Row] = frozenset()
    """Rows for which the function returns column ``b`` alone; for most it is ``a``."""
    both: frozenset[Row] = frozenset()
    """Rows for which it returns ``b`` and ``a``, in this order."""
    decimal: frozenset[Row] = frozenset()
    """Rows whose ``a`` is no integer: then it must be written so everywhere, as where it is missing in some row."""
    batch_rows: int | None = None
    volume: int | None = None
    most_files: int = 1

    @cached_property
    def rows(self) -> list[Row]:
        return [row for part in self.parts for row in rows_of_part(part)]

    @property
    def faults(self) -> frozenset[Row]:
        return frozenset(row for part in self.parts if part.fault for row in rows_of_part(part))

    @cached_property
    def good(self) -> list[Row]:
        """The rows that must end up in the output."""
        return [row for row in self.rows if row not in self.poison | self.raising | self.faults]

    def columns_of(self, row: Row) -> tuple[str, ...]:
        if row in self.other:
            return ("b",)
        return ("b", "a") if row in self.both else ("a",)

    def schema_of(self, row: Row) -> Schema:
        kinds = {"a": ("float64" if row in self.decimal else "int64",), "b": ("str",)}
        columns = self.columns_of(row)
        return Schema(columns, tuple(kinds[name] for name in columns))

    def written(self, row: Row, columns: Iterable[str], *, as_decimal: bool) -> str:
        own = {"a": f"{row}.0" if as_decimal or row in self.decimal else f"{row}", "b": f"{row}"}
        return ",".join(f"{name}={own[name] if name in self.columns_of(row) else ''}" for name in columns)

    @cached_property
    def columns(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(name for row in self.good for name in self.columns_of(row)))

    @property
    def output(self) -> list[str]:
        as_decimal = any(row in self.decimal - self.other or row in self.other for row in self.good)
        return [self.written(row, self.columns, as_decimal=as_decimal) for row in self.good]

    def rows_of(self, task: Task) -> list[Row]:
        rows = [row for part in self.parts[task.first : task.last] for row in rows_of_part(part)]
        return rows[task.lo - task.row : task.hi - task.row]

    def progress(self) -> Progress:
        return Progress(
            workers=3,
            max_bad_rows=MANY,
            batch_rows=self.batch_rows,
            volume=self.volume,
            most_files=self.most_files,
            may_duplicate=True,
            groups=frozenset((part.file, part.row) for part in self.parts[::3]),
        )


def rows_of_part(part: Part) -> list[Row]:
    return [(part.file, row) for row in range(part.row, part.row + part.rows)]


@dataclass
class Worker:
    """Does to a task what the real one does, on rows that are mere numbers."""

    world: World
    texts: dict[str, list[str]] = field(default_factory=dict)
    """What was written, by the piece's name."""
    calls: int = 0
    """How many rows the function was called on."""

    def is_killed_by(self, task: Task) -> bool:
        return not task.condemned and not self.world.poison.isdisjoint(self.world.rows_of(task))

    def answers(self, task: Task) -> list[Outcome]:
        """Give one outcome for files in a row that have no bad row, one for each that has, none behind too many."""
        if not task.members:
            return [self.answer(task)]
        outcomes: list[Outcome] = []
        good: list[Task] = []
        left = task.bad_rows_left
        for member in task.members:
            if self.world.raising.isdisjoint(self.world.rows_of(member)):
                good.append(member)
                continue
            outcomes += self._answers_together(good)
            good = []
            outcomes.append(self.answer(member._replace(bad_rows_left=left)))
            left -= outcomes[-1].bad_rows
            if left < 0:
                return outcomes
        return outcomes + self._answers_together(good)

    def _answers_together(self, members: list[Task]) -> list[Outcome]:
        return [self.answer(together(members)._replace(members=()))] if members else []

    def answer(self, task: Task) -> Outcome:
        world = self.world
        self.calls += task.hi - task.lo
        good = [row for row in world.rows_of(task) if not task.condemned and row not in world.raising]
        bad = task.hi - task.lo - len(good)
        outcome = Outcome(task, task.hi - task.lo, 0, bad_rows=bad, seconds=Seconds(total=1.0 * len(good)))
        if bad > task.bad_rows_left or not good:
            return outcome
        own = united(map(world.schema_of, good))
        schema = united([task.expected or own, own])
        as_decimal = "a" in schema.columns and form("int64", by_column(schema)["a", 0]) == "float64"
        name = f"piece-{len(self.texts)}"
        self.texts[name] = [world.written(row, schema.columns, as_decimal=as_decimal) for row in good]
        piece = Piece(name, 1, 0, len(good))
        return outcome._replace(rows_out=len(good), output=piece, schema=own, written=None if schema == own else schema)


class Run:
    """Obey a machine's actions as the runner does, and object to any that it must not ask for."""

    def __init__(self, world: World, *, past: Sequence[Event] = (), worker: Worker | None = None) -> None:
        self.world = world
        self.worker = worker or Worker(world)
        self.progress = world.progress()
        self.events = list(past)
        self.earlier = kept_in(past)
        self.fed = 0
        self.running: dict[int, Task] = {}
        self.now = 0.0
        """Each time that tasks are handed out is a minute after the last: whoever loads is late."""
        self.kept: dict[Row, Outcome] = {}
        self.kept_rows: set[Row] = set()
        self.appended: list[Outcome] = []
        self.forgotten: set[str] = set()
        self.finished_tasks = 0

    @property
    def is_fed(self) -> bool:
        return self.fed == len(self.world.parts)

    def feed(self, count: int) -> None:
        """Give the machine more parts, and what an earlier attempt made of them."""
        first, self.fed = self.fed, min(self.fed + count, len(self.world.parts))
        while 0 < self.fed < len(self.world.parts) and any(
            task.first < self.fed < task.last for task in (outcome.task for outcome in self.earlier)
        ):
            self.fed += 1  # the parts of one task come in one go: as the runner sees to
        self.progress.add_parts(self.world.parts[first : self.fed])
        found = [outcome for outcome in self.earlier if first <= outcome.task.first < self.fed]
        for outcome in found:
            self._keep(outcome)
        if found:
            self.act(self.progress.restore(found))
        if self.is_fed:
            self.progress.no_more_parts()

    def submit(self, *, idle: int, ahead: int, others: int = 0) -> None:
        """Hand out what one machine takes, and a second one with so many idle workers."""
        self.now += 60.0
        taken = slots(idle, ahead) | ({"other": Slots(others, 0)} if others else {})
        actions = self.progress.submit(taken, now=self.now)
        assert len(actions) <= idle + ahead + others
        self.act(actions)

    def end(self, number: int) -> None:
        """Let a task come to its end: an outcome, or a dead worker."""
        task = self.running[number]
        self.finished_tasks += 1
        if self.worker.is_killed_by(task):
            self.lose(number, began=True)
        else:
            del self.running[number]
            self.act(self.progress.done(number, *self.worker.answers(task)))

    def lose(self, number: int, *, began: bool) -> None:
        del self.running[number]
        self.act(self.progress.lost(number, "it died", began=began))

    def to_the_end(self) -> None:
        self.feed(len(self.world.parts) - self.fed)
        while not self.progress.is_done:
            self.submit(idle=3, ahead=2)
            assert self.running, "nothing runs, and yet it is not done"
            self.end(min(self.running))
            assert self.finished_tasks < 100 * (len(self.world.rows) + 100), "it goes round in circles"

    def act(self, actions: Iterable[Action]) -> None:
        for action in actions:
            match action:
                case Submit(task):
                    self._start(task)
                case Recall(number):
                    del self.running[number]
                case Keep(outcome):
                    self._keep(outcome)
                    self.events.append(as_journaled(outcome))
                case Drop(outcome):
                    task = outcome.task
                    self._parts_of(outcome)
                    rows = self.world.rows_of(task)
                    self.kept = {row: kept for row, kept in self.kept.items() if row not in rows}
                    self.kept_rows.difference_update(rows)
                    self.events.append(Dropped(task.first, task.last, task.lo))
                case Append(outcome):
                    self._append(outcome)
                case Forget(name):
                    self.forgotten.add(name)
                case Rewind():
                    assert self.appended
                    self.appended = []
                case Widen() | GiveUp() | NeverSettles():
                    pytest.fail(f"nothing is wrong, and yet {action}")

    def _start(self, task: Task) -> None:
        assert task.number not in self.running
        assert task.lo < task.hi
        parts = self.world.parts[task.first : task.last]
        for member in task.members or (task,):
            assert {part.file for part in self.world.parts[member.first : member.last]} == {member.file}
        assert len({part.file for part in parts}) == max(len(task.members), 1) <= self.world.most_files
        assert [row for member in task.members for row in self.world.rows_of(member)] in ([], self.world.rows_of(task))
        assert {row for part in parts for row in rows_of_part(part)}.issuperset(self.world.rows_of(task))
        assert not task.condemned or task.hi - task.lo == 1
        if self.world.batch_rows and not self.earlier:  # what a crash leaves of a batch is done as it lies
            for member in task.members or (task,):
                assert_whole_batches(member, self.world.batch_rows)
        self.running[task.number] = task

    def _keep(self, outcome: Outcome) -> None:
        assert self.kept_rows.isdisjoint(self.world.rows_of(outcome.task)), "a row was kept twice"
        self.kept_rows.update(self.world.rows_of(outcome.task))
        self.kept[self.world.rows_of(outcome.task)[0]] = outcome

    def _append(self, outcome: Outcome) -> None:
        reached = sum(before.rows_in for before in self.appended)
        rows = self.world.rows_of(outcome.task)
        assert rows == self.world.rows[reached : reached + len(rows)], "a row was appended out of order"
        self.appended += self._parts_of(outcome)

    def _parts_of(self, outcome: Outcome) -> list[Outcome]:
        """List what a stretch was put together of, and check that it says the same."""
        found = [self.kept[row] for row in self.world.rows_of(outcome.task) if row in self.kept]
        assert [row for part in found for row in self.world.rows_of(part.task)] == self.world.rows_of(outcome.task)
        assert sum(part.rows_out for part in found) == outcome.rows_out
        pieces = [part.output for part in found if part.output]
        assert (outcome.output.name if outcome.output else None) == (pieces[0].name if pieces else None)
        assert (outcome.output.bytes if outcome.output else 0) == sum(piece.bytes for piece in pieces)
        return found

    @property
    def appended_rows(self) -> list[Row]:
        return [row for outcome in self.appended for row in self.world.rows_of(outcome.task)]

    def assert_ended_well(self) -> None:
        """Every row is settled once, in order, and the output is what one process would have written."""
        progress, world = self.progress, self.world
        assert progress.is_done
        assert not self.running
        assert not progress.running
        assert self.appended_rows == world.rows
        assert [part for outcome in progress.outcomes for part in self._parts_of(outcome)] == self.appended
        assert self.forgotten.isdisjoint(outcome.output.name for outcome in progress.outcomes if outcome.output)
        assert progress.rows_done == len(world.rows)
        assert progress.bad_rows == len(world.rows) - len(world.good)
        assert progress.columns == (world.columns or None)
        pieces = [outcome.output for outcome in self.appended if outcome.output]
        assert [text for piece in pieces for text in self.worker.texts[piece.name]] == world.output
        volumes = volumes_of(world)
        for outcome in self.appended:
            task = outcome.task
            assert set(volumes[task.first : task.last]) == {progress.volume_of(outcome)}


def as_journaled(outcome: Outcome) -> Event:
    """Write a task that is done as its line of the journal, and read it."""
    told = dict(enumerate(dict.fromkeys(schemas_of(outcome))))
    line = json.dumps(as_fields(Kept(outcome), {schema: number for number, schema in told.items()}))
    return of_fields("kept", json.loads(line), told)


def assert_whole_batches(task: Task, batch_rows: int) -> None:
    if task.lo // batch_rows != (task.hi - 1) // batch_rows:
        assert task.lo % batch_rows == 0
        assert task.hi % batch_rows == 0 or task.hi == task.row + task.rows


def kept_in(events: Iterable[Event]) -> list[Outcome]:
    """Add up a journal."""
    past = Past()
    for event in events:
        past.add(event)
    return [past.kept[key] for key in sorted(past.kept)]


def volumes_of(world: World) -> list[int]:
    """Number each part's volume: a new one begins with the first part after the last one is full."""
    volumes, volume, filled = [], 0, 0
    for part in world.parts:
        if world.volume and filled >= world.volume:
            volume, filled = volume + 1, 0
        volumes.append(volume)
        filled += max(part.stop - part.start, 1)
    return volumes


MOST_POISON = 2
"""More rows that kill may stand wherever one looks: then the function is to blame."""


@st.composite
def worlds(draw: st.DrawFn) -> World:
    batch_rows = draw(st.sampled_from([None, None, 1, 3, 4]))
    parts: list[Part] = []
    for file in range(draw(st.integers(1, 6))):
        row = 0
        counts = draw(st.lists(st.integers(1, 9), max_size=6))
        for at, count in enumerate(counts):
            rows = count if batch_rows is None or at == len(counts) - 1 else -(-count // batch_rows) * batch_rows
            parts.append(Part(file, row * ROW_BYTES, (row + rows) * ROW_BYTES, row, rows))
            row += rows
        if draw(st.booleans()):
            parts.append(Part(file, row * ROW_BYTES, row * ROW_BYTES, row, 1, fault="never closed"))
    numbered = [row for part in parts if not part.fault for row in rows_of_part(part)]
    some = st.frozensets(st.sampled_from(numbered), max_size=4) if numbered else st.just(frozenset())
    few = some.filter(lambda rows: len(rows) <= MOST_POISON)
    every = frozenset(numbered)
    others = draw(st.one_of(st.just(frozenset()), st.just(every), some, some.map(every.difference)))
    volume = draw(st.sampled_from([None, 1, 10 * ROW_BYTES]))
    most_files = draw(st.sampled_from([1, 2, 4]))
    return World(tuple(parts), draw(few), draw(some), others, draw(some), draw(some), batch_rows, volume, most_files)


class AnyOrder(RuleBasedStateMachine):
    """Feed, submit, finish, lose and crash in any order; then let it end."""

    @initialize(world=worlds())
    def begin(self, world: World) -> None:
        self.run_ = Run(world)
        self.died: set[Row] = set()

    @rule(count=st.integers(1, 8))
    @precondition(lambda self: not self.run_.is_fed)
    def feed(self, count: int) -> None:
        self.run_.feed(count)

    @rule(idle=st.integers(0, 4), ahead=st.integers(0, 4), others=st.sampled_from([0, 0, 1, 3]))
    def submit(self, idle: int, ahead: int, others: int) -> None:
        self.run_.submit(idle=idle, ahead=ahead, others=others)

    @rule(data=st.data())
    @precondition(lambda self: self.run_.running)
    def end(self, data: st.DataObject) -> None:
        self.run_.end(data.draw(st.sampled_from(sorted(self.run_.running))))

    @rule(data=st.data())
    @precondition(lambda self: self.run_.running)
    def lose_what_had_not_begun(self, data: st.DataObject) -> None:
        self.run_.lose(data.draw(st.sampled_from(sorted(self.run_.running))), began=False)

    @rule(data=st.data())
    @precondition(lambda self: self.run_.running)
    def lose_what_is_innocent(self, data: st.DataObject) -> None:
        number = data.draw(st.sampled_from(sorted(self.run_.running)))
        rows = self.run_.world.rows_of(self.run_.running[number])
        alone = len(rows) == 1 and rows[0] not in self.run_.world.poison
        if alone and rows[0] in self.died:
            return  # who dies alone again and again is taken for the culprit, and rightly
        self.died.update(rows if alone else ())
        self.run_.lose(number, began=True)

    @rule(data=st.data())
    @precondition(lambda self: self.run_.fed)
    def crash(self, data: st.DataObject) -> None:
        events = self.run_.events
        past = events[: data.draw(st.integers(0, len(events)))]
        self.run_ = Run(self.run_.world, past=past, worker=self.run_.worker)
        self.died = set()

    def teardown(self) -> None:
        if hasattr(self, "run_"):
            self.run_.to_the_end()
            self.run_.assert_ended_well()


AnyOrder.TestCase.settings = settings(
    max_examples=150,
    stateful_step_count=40,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)


TestAnyOrderOfEventsEndsWithEveryRowSettledOnce = AnyOrder.TestCase


def in_some_order(world: World, chance: Random, *, deaths: int = 3) -> Run:
    """Run to the end: who ends next, and who dies on the way, is chance."""
    run = Run(world)
    deaths = chance.choice([0, 0, deaths])
    while not run.progress.is_done:
        if not run.progress.is_complete and chance.random() < 0.5:
            run.feed(chance.randint(1, 6))
        run.submit(idle=chance.randint(0, 4), ahead=chance.randint(0, 4), others=chance.choice([0, 0, 1, 3]))
        if run.running:
            number = chance.choice(sorted(run.running))
            if deaths and len(run.world.rows_of(run.running[number])) > 1:
                deaths -= 1
                run.lose(number, began=chance.random() < 0.7)
            else:
                run.end(number)
    run.assert_ended_well()
    return run


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(world=worlds(), seed=st.integers(0, 1 << 32))
def test_any_prefix_of_a_journal_resumes_to_the_same_end(world: World, seed: int) -> None:
    run = in_some_order(world, Random(seed))  # noqa: S311 (an order of events is no secret)
    step = max(1, len(run.events) // 12)
    for length in range(seed % step, len(run.events) + 1, step):
        resumed = Run(world, past=run.events[:length], worker=run.worker)
        resumed.to_the_end()
        resumed.assert_ended_well()


def line_of_parts(count: int, *, rows: int = 1, size: int | None = None) -> tuple[Part, ...]:
    length = size or rows * ROW_BYTES
    return tuple(Part(0, at * length, (at + 1) * length, at * rows, rows) for at in range(count))


def progress_over(parts: Sequence[Part], **options: Any) -> Progress:  # noqa: ANN401 (those of Progress)
    progress = Progress(**{"workers": 2, "max_bad_rows": MANY, **options})
    progress.add_parts(parts)
    progress.no_more_parts()
    return progress


def submitted(actions: Iterable[Action]) -> Iterator[Task]:
    return (action.task for action in actions if isinstance(action, Submit))


def schema(**kinds: str) -> Schema:
    return Schema(tuple(kinds), tuple((kind,) for kind in kinds.values()))


def outcome_of(task: Task, **fields: Any) -> Outcome:  # noqa: ANN401 (those of Outcome)
    rows = task.hi - task.lo
    piece = Piece(f"piece-{task.number}", rows, 0, rows)
    usual = {"rows_in": rows, "rows_out": rows, "output": piece, "schema": schema(a="str")}
    return Outcome(task, **{**usual, **fields})


def three_tasks(progress: Progress) -> tuple[Task, Task, Task]:
    """Hand out three parts in a task each."""
    first, second, third = submitted(progress.submit(slots(3, 0)))
    return first, second, third


def test_columns_stand_in_the_order_of_the_input_whoever_answers_first() -> None:
    progress = progress_over(line_of_parts(3))
    first, second, third = three_tasks(progress)
    late = outcome_of(third, schema=schema(z="str", a="str"))
    assert progress.done(third.number, late) == [Keep(late)]
    assert progress.columns == ("z", "a")
    early = outcome_of(first, schema=schema(a="str", b="str"))
    assert progress.done(first.number, early) == [Drop(late)]
    again = {task.first: task for task in submitted(progress.submit(slots(3, 0)))}
    assert again.keys() == {0, 2}
    assert {task.expected.columns for task in again.values() if task.expected} == {("a", "b", "z")}
    written = early._replace(task=again[0], written=again[0].expected)
    assert progress.done(again[0].number, written) == [Keep(written), Append(written)]
    assert progress.done(second.number, outcome_of(second)) == []


def test_a_column_that_comes_late_begins_the_output_anew() -> None:
    progress = progress_over(line_of_parts(3))
    first, second, _ = three_tasks(progress)
    narrow = outcome_of(first)
    assert progress.done(first.number, narrow) == [Keep(narrow), Append(narrow)]
    both = outcome_of(
        second, schema=schema(a="str", b="str"), written=united([schema(a="str"), schema(a="str", b="str")])
    )
    assert progress.done(second.number, both) == [Keep(both), Drop(narrow), Rewind()]
    assert progress.columns == ("a", "b")


def test_a_header_that_was_begun_before_any_row_is_begun_anew_with_other_columns() -> None:
    progress = progress_over(line_of_parts(3))
    first, second, third = three_tasks(progress)
    progress.done(third.number, outcome_of(third, schema=schema(z="str")))
    nothing = outcome_of(first, schema=None, output=None, rows_out=0, bad_rows=1)
    assert progress.done(first.number, nothing) == [Keep(nothing), Append(nothing)]
    actions = progress.done(second.number, outcome_of(second))
    assert Rewind() in actions
    assert progress.columns == ("a", "z")


def test_a_batch_without_columns_settles_nothing() -> None:
    progress = progress_over(line_of_parts(3))
    first, second, _ = three_tasks(progress)
    progress.done(first.number, outcome_of(first, schema=None, output=None, rows_out=0, bad_rows=1))
    assert progress.columns is None
    progress.done(second.number, outcome_of(second))
    assert progress.columns == ("a",)


def test_an_integer_that_was_written_before_a_decimal_was_seen_is_written_anew() -> None:
    progress = progress_over(line_of_parts(3))
    first, second, third = three_tasks(progress)
    whole = outcome_of(first, schema=schema(a="int64"))
    assert progress.done(first.number, whole) == [Keep(whole), Append(whole)]
    decimal = outcome_of(second, schema=schema(a="float64"))
    assert progress.done(second.number, decimal) == [Keep(decimal), Drop(whole), Rewind()]
    assert progress.done(third.number, outcome_of(third, schema=schema(a="int64"))) == []
    again = list(submitted(progress.submit(slots(2, 0))))
    assert {task.expected for task in again} == {Schema(("a",), (("float64", "int64"),))}
    ends = [
        progress.done(task.number, outcome_of(task, schema=schema(a="int64"), written=task.expected)) for task in again
    ]
    assert [type(action) for action in ends[0]] == [Keep, Append, Append]
    assert progress.is_done


def test_what_a_function_calls_anew_each_time_stops_the_run() -> None:
    progress = progress_over(line_of_parts(3))
    calls = 0
    while not progress.is_done:
        actions = progress.submit(slots(1, 0))
        if isinstance(actions[0], NeverSettles):
            break
        (task,) = submitted(actions)
        calls += 1
        own = schema(**{f"call {calls}": "str"})
        progress.done(task.number, outcome_of(task, schema=own, written=united([task.expected or own, own])))
    assert isinstance(actions[0], NeverSettles)
    assert calls < 3 * (2 + 4)


@settings(max_examples=100, deadline=None)
@given(world=worlds(), seed=st.integers(0, 1 << 32))
def test_a_schema_that_grows_costs_at_most_two_more_runs(world: World, seed: int) -> None:
    run = in_some_order(replace(world, poison=frozenset()), Random(seed), deaths=0)  # noqa: S311 (likewise)
    assert run.worker.calls <= 3 * len(world.rows)


def test_integers_beside_decimals_stay_where_the_format_knows_types() -> None:
    progress = progress_over(line_of_parts(3), same_text=False)
    first, second, _ = three_tasks(progress)
    progress.done(first.number, outcome_of(first, schema=schema(a="int64")))
    actions = progress.done(second.number, outcome_of(second, schema=schema(a="float64")))
    assert [type(action) for action in actions] == [Keep, Append]


def test_a_task_that_was_cut_short_is_done_again_when_its_allowance_came_back() -> None:
    progress = progress_over(line_of_parts(3), max_bad_rows=1)
    first, second = submitted(progress.submit(slots(2, 0)))
    bad = outcome_of(second, bad_rows=1, schema=schema(a="int64"))
    progress.done(second.number, bad)
    (third,) = submitted(progress.submit(slots(1, 0)))
    assert third.bad_rows_left == 0
    assert Drop(bad) in progress.done(first.number, outcome_of(first, schema=schema(a="float64")))
    nothing_written = outcome_of(third, rows_out=0, schema=None, output=None, bad_rows=1)
    assert progress.done(third.number, nothing_written) == []
    assert {task.first for task in submitted(progress.submit(slots(2, 0)))} == {1, 2}


def test_more_bad_rows_than_allowed_stop_the_run_and_are_not_kept() -> None:
    progress = progress_over(line_of_parts(3), max_bad_rows=2)
    first, second, third = three_tasks(progress)
    progress.done(first.number, outcome_of(first, bad_rows=1))
    progress.done(second.number, outcome_of(second, bad_rows=1))
    outcome = outcome_of(third, bad_rows=1, first_error="why")
    assert progress.done(third.number, outcome) == [GiveUp(3, "why", outcome)]
    assert len(progress.outcomes) == 2


def test_a_value_that_does_not_fit_asks_for_wider_types_and_keeps_nothing() -> None:
    progress = progress_over(line_of_parts(3))
    first, second, third = three_tasks(progress)
    misfit = outcome_of(second, misfits={"a": frozenset({"text"})})
    assert progress.done(second.number, misfit) == [Widen(misfit)]
    progress.failed(first.number)
    progress.failed(third.number)
    assert not progress.running
    assert not progress.outcomes


def test_a_task_that_had_not_begun_is_not_to_blame_for_the_death_of_its_worker() -> None:
    progress = progress_over(line_of_parts(1))
    for _ in range(9):
        (task,) = submitted(progress.submit(slots(1, 0)))
        assert not task.condemned
        assert progress.lost(task.number, "it died", began=False) == []


@pytest.mark.parametrize("parts", [1, 2, 64])
def test_a_row_that_kills_costs_a_logarithm_of_deaths_and_is_rejected_alone(parts: int) -> None:
    rows = 1024 // parts
    world = World(line_of_parts(parts, rows=rows), poison=frozenset({(0, 700)}))
    run = Run(world)
    run.feed(parts)
    deaths = 0
    while not run.progress.is_done:
        run.submit(idle=1, ahead=0)
        (number,) = run.running
        deaths += run.worker.is_killed_by(run.running[number])
        run.end(number)
    run.assert_ended_well()
    assert deaths <= 10 + 3
    (condemned,) = [outcome.task for outcome in run.appended if outcome.task.condemned]
    assert world.rows_of(condemned) == [(0, 700)]
    assert condemned.condemned == "it died (3 times)"


def test_what_killed_a_worker_is_never_handed_out_ahead_of_time() -> None:
    progress = progress_over(line_of_parts(4000, rows=1, size=FIRST_TASK))
    done, first = submitted(progress.submit(slots(2, 0)))
    progress.done(done.number, outcome_of(done, seconds=Seconds(total=0.5)))
    progress.lost(first.number, "it died", began=True)
    ahead = list(submitted(progress.submit(slots(0, 2))))
    assert len(ahead) == 2
    assert all(task.first >= first.last for task in ahead)
    (again,) = submitted(progress.submit(slots(1, 0)))
    assert (again.first, again.last) == (first.first, first.last)


def test_a_row_that_cannot_be_read_is_condemned_alone_from_the_start() -> None:
    fault = Part(0, 80, 80, 10, 1, fault="never closed")
    progress = progress_over([*line_of_parts(10), fault])
    tasks: list[Task] = []
    while not progress.is_done:
        (task,) = submitted(progress.submit(slots(1, 0)))
        tasks.append(task)
        progress.done(task.number, outcome_of(task))
    assert [(task.condemned, task.rows) for task in tasks if task.last == 11] == [("never closed", 1)]


def sizes_of_tasks(*, parts: int, size: int, seconds_a_byte: float, calls_nothing: bool = False) -> list[int]:
    progress = progress_over(line_of_parts(parts, size=size), calls_nothing=calls_nothing)
    sizes: list[int] = []
    while not progress.is_done:
        (task,) = submitted(progress.submit(slots(1, 0)))
        sizes.append(task.stop - task.start)
        progress.done(task.number, outcome_of(task, seconds=Seconds(total=sizes[-1] * seconds_a_byte)))
    return sizes


def test_tasks_begin_small_then_take_their_time_and_shrink_towards_the_end() -> None:
    part, seconds_a_byte = 16 << 10, 1e-6
    sizes = sizes_of_tasks(parts=1000, size=part, seconds_a_byte=seconds_a_byte)
    assert sum(sizes) == 1000 * part
    assert sizes[0] <= FIRST_TASK
    wanted = TASK_SECONDS / seconds_a_byte
    assert max(sizes) <= wanted
    assert sizes[1] > wanted - part
    left = sum(sizes)
    for size in sizes:
        assert size <= max(left / 4, part)
        left -= size
    assert sizes[-1] <= 2 * part


def test_few_tasks_are_shorter_than_what_it_costs_to_hand_one_over() -> None:
    part, seconds_a_byte, workers = 1 << 10, 1e-7, 2
    first, *others = sizes_of_tasks(parts=20_000, size=part, seconds_a_byte=seconds_a_byte)
    least, left = LEAST_SECONDS / seconds_a_byte, 20_000 * part - first
    short = [size for size in others if size < least - part]
    assert len(short) <= math.log(least / part, workers) + 2, "each has a worker's share of what is left"
    for size in others:
        assert size <= max(left / workers, part)
        left -= size
    assert left == 0


def test_tasks_that_call_nothing_begin_large_and_do_not_shrink_to_what_it_costs_to_begin_one() -> None:
    part, seconds_a_byte = 16 << 10, 1e-6
    sizes = sizes_of_tasks(parts=1000, size=part, seconds_a_byte=seconds_a_byte, calls_nothing=True)
    assert sum(sizes) == 1000 * part
    assert sizes[0] == FIRST_TASK_WITHOUT_CALLS
    assert min(sizes[:-1]) > LEAST_SECONDS_WITHOUT_CALLS / seconds_a_byte - part
    slow = sizes_of_tasks(parts=100, size=part, seconds_a_byte=1e-4, calls_nothing=True)
    assert set(slow[1:]) == {part}


def test_no_task_is_larger_than_the_largest_however_fast_the_function_is() -> None:
    sizes = sizes_of_tasks(parts=1000, size=1 << 20, seconds_a_byte=1e-12)
    assert LARGEST_TASK - (1 << 20) < max(sizes) <= LARGEST_TASK


def test_a_part_larger_than_any_task_is_a_task_of_its_own() -> None:
    size = 2 * LARGEST_TASK
    assert sizes_of_tasks(parts=3, size=size, seconds_a_byte=1e-6) == [size] * 3


def test_work_is_handed_out_ahead_only_while_there_is_plenty() -> None:
    progress = progress_over(line_of_parts(20, size=FIRST_TASK))
    assert progress.submit(slots(0, 2)) == []  # nobody knows yet how long a task takes
    (first,) = submitted(progress.submit(slots(1, 0)))
    progress.done(first.number, outcome_of(first, seconds=Seconds(total=TASK_SECONDS)))
    assert len(progress.submit(slots(0, 2))) == 2
    while not progress.is_done:
        ahead = progress.submit(slots(0, 1))
        assert not ahead or progress.waiting_weight >= 3 * FIRST_TASK
        list(submitted(progress.submit(slots(1, 0))))
        for number in progress.running:
            progress.failed(number)


@given(world=worlds(), cuts=st.lists(st.integers(1, 5), max_size=8))
def test_volumes_are_the_same_however_the_parts_come(world: World, cuts: list[int]) -> None:
    run = Run(world)
    for count in cuts:
        run.feed(count)
    run.to_the_end()
    run.assert_ended_well()


def test_a_crash_between_what_was_kept_and_what_it_made_obsolete_loses_no_row() -> None:
    parts = line_of_parts(3)
    tasks = three_tasks(progress_over(parts))
    decimal = outcome_of(tasks[0], schema=schema(a="float64"))
    whole = outcome_of(tasks[2], schema=schema(a="int64"))
    progress = progress_over(parts)
    assert progress.restore([decimal, whole]) == [Drop(whole), Append(decimal)]
    assert {task.first for task in submitted(progress.submit(slots(2, 0)))} == {1, 2}


def test_a_task_that_is_lost_unbegun_again_and_again_is_to_blame_in_the_end() -> None:
    progress = progress_over(line_of_parts(1, rows=1))
    lost = 0
    (task,) = submitted(progress.submit(slots(1, 0)))
    while not task.condemned:
        progress.lost(task.number, "its machine is gone", began=False)
        lost += 1
        (task,) = submitted(progress.submit(slots(1, 0)))
    assert lost == 30
    assert "its machine is gone (3 times)" in task.condemned


def test_a_row_that_kills_even_who_only_reads_it_is_known_for_that_after_two_more_deaths() -> None:
    progress = progress_over(line_of_parts(1, rows=1))
    (task,) = submitted(progress.submit(slots(1, 0)))
    seen = []
    while not task.dies_unread:
        progress.lost(task.number, "it died", began=True)
        (task,) = submitted(progress.submit(slots(1, 0)))
        seen.append(bool(task.condemned))
    assert seen == [False, False, True, True, True]
    assert task.condemned == "it died (3 times)"
    progress.lost(task.number, "its machine is gone", began=False)
    (again,) = submitted(progress.submit(slots(1, 0)))
    assert again.dies_unread
    for _ in range(2):
        assert progress.lost(again.number, "it died", began=True) == []
        (again,) = submitted(progress.submit(slots(1, 0)))
    assert progress.lost(again.number, "it died", began=True) == [DiesOfNothing("it died", 8)]


def on_two(parts: int, **options: Any) -> tuple[Progress, Task, Task]:  # noqa: ANN401 (those of Progress)
    """Give each of two machines a task, at second 0, where no row is doubted; "fast" has done one before."""
    progress = progress_over(line_of_parts(parts + 1), **{"may_duplicate": True, **options})
    progress.work_on(frozenset({"fast", "loads"}))
    (before,) = submitted(progress.submit({"fast": Slots(1, 0)}))
    progress.done(before.number, outcome_of(before, seconds=Seconds(total=0.1)))
    (one,) = submitted(progress.submit({"fast": Slots(1, 0)}))
    (other,) = submitted(progress.submit({"loads": Slots(1, 0)}))
    return progress, one, other


def beside(progress: Progress, *, now: float, machine: str = "fast") -> list[Task]:
    return list(submitted(progress.submit({machine: Slots(3, 0)}, now=now)))


def test_what_is_with_a_machine_that_loads_is_done_by_an_idle_one_too_and_counts_once() -> None:
    progress, one, other = on_two(2)
    progress.done(one.number, outcome_of(one))
    (twin,) = beside(progress, now=10.0)
    assert (twin.first, twin.last) == (other.first, other.last)
    assert beside(progress, now=20.0) == [], "one more is enough"
    recalled, *kept = progress.done(twin.number, outcome_of(twin))
    assert recalled == Recall(other.number)
    assert [type(action) for action in kept] == [Keep, Append, Forget]
    assert progress.is_done
    assert progress.done(other.number, outcome_of(other)) == [], "it comes too late"
    assert progress.rows_done == 3


def test_the_machine_that_loaded_may_be_the_first_after_all() -> None:
    progress, one, other = on_two(2)
    progress.done(one.number, outcome_of(one))
    (twin,) = beside(progress, now=10.0)
    recalled, *_ = progress.done(other.number, outcome_of(other))
    assert recalled == Recall(twin.number)
    assert progress.is_done
    assert progress.lost(twin.number, "it was cancelled", began=True) == []
    assert progress.is_done


@pytest.mark.parametrize("first_lost", [0, 1])
def test_where_one_of_two_is_lost_the_other_does_the_rows_and_if_both_are_they_are_done_again(
    first_lost: int,
) -> None:
    progress, one, other = on_two(2)
    progress.done(one.number, outcome_of(one))
    (twin,) = beside(progress, now=10.0)
    numbers = [other.number, twin.number]
    assert progress.lost(numbers.pop(first_lost), "it died", began=True) == []
    assert beside(progress, now=99.0) == [], "there is no third"
    progress.lost(numbers[0], "it died", began=True)
    assert not progress.is_done
    (again,) = beside(progress, now=100.0, machine="loads" if first_lost == 0 else "fast")
    progress.done(again.number, outcome_of(again))
    assert progress.is_done
    assert progress.rows_done == 3


@pytest.mark.parametrize(
    ("left", "begins", "twins"),
    [
        pytest.param([], ["1"], 0, id="who has done a task is waited for"),
        pytest.param([], ["2"], 1, id="who has done none may load, also where others of its machine do not"),
        pytest.param(["1"], ["1"], 1, id="who has the name of one that is gone loads anew"),
        pytest.param([], [], 1, id="nobody has begun it"),
    ],
)
def test_rows_are_done_twice_unless_somebody_is_on_them_who_has_done_others(
    left: list[str], begins: list[str], twins: int
) -> None:
    progress, one, other = on_two(3)
    progress.began(other.number, "1")
    progress.done(other.number, outcome_of(other, seconds=Seconds(total=0.1)))
    (slow,) = submitted(progress.submit({"loads": Slots(1, 0)}))
    for worker in left:
        progress.left(worker)
    for worker in begins:
        progress.began(slow.number, worker)
    progress.done(one.number, outcome_of(one))
    assert [task.first for task in beside(progress, now=1000.0)] == [slow.first] * twins
    assert progress.is_running(slow.number)


def test_it_is_another_machine_that_does_rows_beside_one_that_loads() -> None:
    progress, one, other = on_two(2)
    progress.done(one.number, outcome_of(one))
    assert beside(progress, now=10.0, machine="loads") == []
    assert [task.first for task in beside(progress, now=20.0)] == [other.first]


@pytest.mark.parametrize(
    ("parts", "now", "options"),
    [
        pytest.param(2, 0.9, {}, id="it has had it for less than a second"),
        pytest.param(3, 10.0, {}, id="other rows wait"),
        pytest.param(2, 10.0, {"may_duplicate": False}, id="nothing is to be done twice"),
        pytest.param(2, 10.0, {"most_calls": 5, "batch_rows": 1}, id="calls are counted"),
    ],
)
def test_nothing_is_done_twice(parts: int, now: float, options: dict[str, Any]) -> None:
    progress, one, other = on_two(parts, **options)
    progress.done(one.number, outcome_of(one))
    assert other.first not in {task.first for task in beside(progress, now=now)}


def test_nothing_is_done_twice_while_more_input_may_come() -> None:
    progress = Progress(workers=2, max_bad_rows=0, may_duplicate=True)
    progress.add_parts(line_of_parts(2))
    (one,) = submitted(progress.submit({"fast": Slots(1, 0)}))
    (other,) = submitted(progress.submit({"loads": Slots(1, 0)}))
    progress.done(one.number, outcome_of(one, seconds=Seconds(total=0.1)))
    assert beside(progress, now=10.0) == []
    progress.no_more_parts()
    assert [task.first for task in beside(progress, now=11.0)] == [other.first]
