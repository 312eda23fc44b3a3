"""The state of a run, as a pure machine: events go in, actions come out. No clock, no files, no processes.

Every race between workers is therefore a unit test: it is only an order of events. What time it is comes with what is
asked. What is said of a task that is no longer running, as its machine was late, changes nothing. After Dask's
``worker_state_machine.py``.
"""

from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Final

from muster._model import Outcome, Part, Schema, Task

from .actions import (
    Action,
    Assignment,
    Blame,
    Drop,
    GiveUp,
    Keep,
    NeverSettles,
    PutAside,
    Submit,
    Widen,
)
from .allowance import Allowance
from .cuts import condemned, first_calls, halves, last_row, shares, some_rows, task_of
from .doubt import Doubt
from .openings import Openings, Slots
from .order import Order, key_of
from .queue import Queue
from .repeats import Repeats
from .schema import Union
from .suspects import Setback, Suspects

MOST_FILES: Final = 256
"""How many files a task is of at most: beyond, what handing it over costs is nothing beside what its files cost."""

_DEATHS_BEFORE_HALVING: Final = 2
_DEATHS_BEFORE_REJECTING: Final = 3
_DEATHS_OF_READING: Final = 5
"""Two tries more than tasks that call the function: a condemned task only reads its rows."""
_TIMES_A_BYSTANDER: Final = 10


class Progress:
    """Which parts are waiting, running and done; what every output must look like; what comes next."""

    def __init__(  # noqa: PLR0913 (the options that decide about tasks)
        self,
        *,
        workers: int,
        max_bad_rows: int | Allowance,
        batch_rows: int | None = None,
        volume: int | None = None,
        same_text: bool = True,
        unit_bytes: int = 1,
        most_calls: int | None = None,
        most_files: int = 1,
    ) -> None:
        """Begin without parts.

        ``volume``: an output file, or a stretch of one, is made of about that much input; tasks do not cross its
        borders. ``same_text``: the output is text, so all rows must be written under one schema from the start.
        ``unit_bytes``: how many bytes a part's unit of length is worth (Parquet counts in rows). ``most_calls``: no
        task has more batches of ``batch_rows``. ``most_files``: nor is one of parts of more files.
        """
        self._queue = Queue(workers=workers, volume=volume, unit_bytes=unit_bytes, most_files=most_files)
        self._parts = self._queue.parts
        self._allowance = Allowance.of(max_bad_rows)
        self._first_error = ""
        self._batch_rows = batch_rows
        self._union = Union(same_text=same_text)
        self._most_calls = most_calls
        self._rows = 0
        self._again: deque[Task] = deque()
        self._repeats = Repeats()
        self._running: dict[int, Assignment] = {}
        self._deaths: dict[tuple[int, int, int], int] = {}
        self._bystander: dict[tuple[int, int, int], int] = {}
        self._suspects = Suspects()
        self._doubt = Doubt()
        self._order = Order(joins=volume is None)
        self._next_number = 0
        self.is_complete = False

    @property
    def is_done(self) -> bool:
        """Tell whether every part is settled and no more will come."""
        return self.is_complete and not (
            self._queue or self._again or self._running or self._repeats or self._doubt.is_asking
        )

    @property
    def workers(self) -> int:
        """Tell how many workers there are, or will be."""
        return self._queue.workers

    @workers.setter
    def workers(self, count: int) -> None:
        self._queue.workers = count

    @property
    def parts(self) -> int:
        """Count the parts that are known."""
        return len(self._parts)

    def work_on(self, machines: frozenset[str]) -> None:
        """Know which machines are at work."""
        self._suspects.machines = machines

    @property
    def running(self) -> frozenset[int]:
        """Number the tasks that are with the engine."""
        return frozenset(self._running)

    @property
    def waiting_weight(self) -> int:
        """Say how much input waits to be handed out, in bytes (rows for Parquet)."""
        return self._queue.weight

    @property
    def columns(self) -> tuple[str, ...] | None:
        """Name the columns of the output, as far as results have told them."""
        return None if self._union.schema is None else self._union.schema.columns

    @property
    def schema(self) -> Schema | None:
        """Say what all results look like, as far as they have told."""
        return self._union.schema

    @property
    def outcomes(self) -> list[Outcome]:
        """List what is kept, in the order of the input."""
        return self._order.outcomes

    @property
    def bad_rows(self) -> int:
        """Count the bad rows of what is kept."""
        return self._order.bad_rows

    @property
    def rows_done(self) -> int:
        """Count the rows of the input whose outcome is kept."""
        return self._order.rows_done

    @property
    def rows_out(self) -> int:
        """Count the rows that they gave."""
        return self._order.rows_out

    def volume_of(self, outcome: Outcome) -> int:
        """Tell which volume of the output an outcome belongs to."""
        volumes = self._queue.volumes
        return volumes[outcome.task.first] if outcome.task.first < len(volumes) else 0

    def add_parts(self, parts: Iterable[Part]) -> None:
        """Take more of the input, in order."""
        known = len(self._parts)
        self._queue.add(parts)
        self._rows += sum(part.rows for part in self._parts[known:])

    @property
    def allowed(self) -> int:
        """Tell how many rows may be bad, as far as the input is known."""
        return self._allowance.rows(self._rows, is_all=self.is_complete)

    def no_more_parts(self) -> None:
        """Know that the input is complete."""
        self.is_complete = True

    def restore(self, outcomes: Sequence[Outcome]) -> list[Action]:
        """Take over what an earlier attempt kept; only the rest is done. Their parts must be known."""
        if not outcomes:
            return []
        gaps: dict[int, list[tuple[int, int]]] = {}
        done: set[int] = set()
        for outcome in outcomes:
            task = outcome.task
            if task.is_whole:
                done.update(range(task.first, task.last))
                continue
            for index in range(task.first, task.last):
                part = self._parts[index]
                lo, hi = max(task.lo, part.row), min(task.hi, part.row + part.rows)
                if lo < hi:
                    gaps.setdefault(index, []).append((lo, hi))
        self._queue.keep(lambda index: index not in done and index not in gaps)
        for index, covered in gaps.items():
            self._fill(index, sorted(covered))
        before, has_changed = self.columns, False
        for outcome in outcomes:
            has_changed |= self._union.learn(key_of(outcome), outcome.schema)
            self._put(outcome)
        is_settled = not has_changed and all(map(self._union.is_written_so, outcomes))
        return (
            self._order.advance(self._parts) if is_settled else self._settle(before)
        )  # which looks at all that is kept

    def _fill(self, index: int, covered: list[tuple[int, int]]) -> None:
        part = self._parts[index]
        reached = part.row
        for lo, hi in [*covered, (part.row + part.rows, 0)]:
            if lo > reached:
                self._again.append(self._task(index, index + 1, rows=(reached, lo)))
            reached = hi

    def submit(self, slots: Mapping[str, Slots], *, now: float = 0.0) -> list[Action]:
        """Hand out work to idle workers; ahead of time only while there is plenty, and never what killed a worker.

        ``slots``: what machines take now. None gets more than that.
        """
        if self._repeats and self.is_complete and not (self._queue or self._again or self._running):
            if self._repeats.is_in_vain(self.columns):
                return [NeverSettles(self.columns or ())]
            for task in self._repeats.let_go():
                self._wait_again(task)
        if self.bad_rows > self.allowed:  # which has become less, now that all of the input is known
            return [GiveUp(self.bad_rows, self._first_error)]
        openings = Openings(slots, pace=self._queue.paces.of, without=self._suspects.unfit, now=now)
        actions = self._hand_out_again(openings)
        if self._doubt.faults:
            return actions + self._ask_elsewhere(openings)
        if not (self._running or self._again):
            self._again.extend(self._doubt.let_go())
        return actions + self._hand_out(openings)

    def _hand_out_again(self, openings: Openings) -> list[Action]:
        """Hand out what is to be done again, where it has not failed yet."""
        actions: list[Action] = []
        kept_back: list[Task] = []
        while self._again and openings.has_idle():
            task = self._again.popleft()
            machine = openings.idle(self._suspects.avoid(_name(task)))
            if machine is None:
                kept_back.append(task)
            else:
                actions.append(self._start(task, machine, openings.now))
        self._again.extendleft(reversed(kept_back))
        return actions

    def _hand_out(self, openings: Openings) -> list[Action]:
        actions: list[Action] = []
        while self._queue and (machine := openings.idle()) is not None:
            actions.append(self._start(self._next_task(machine), machine, openings.now))
        if not self._queue.paces.mean:  # nobody knows yet how long a task takes
            return actions
        if any(self._suspects.avoid(_name(task)) for task in self._again):  # it waits for one machine to have room
            return actions
        while self._queue and self._queue.has_plenty() and (machine := openings.ahead()) is not None:
            actions.append(self._start(self._next_task(machine), machine, openings.now))
        return actions

    def _ask_elsewhere(self, openings: Openings) -> list[Action]:
        """Try rows from other places while the function has failed on all; blame it if they all fail there too."""
        places = self._doubt.places(self._queue)
        actions: list[Action] = []
        while places and (machine := openings.idle()) is not None:
            index = places.pop()
            self._queue.take_out(index)
            task = self._task(index, index + 1)
            if self._doubt.is_about_deaths and not task.condemned:
                (task,) = self._apart(task, last_row(self._parts, task))
            actions.append(self._start(task, machine, openings.now))
        if not (places or self._running or self._again) and (self._queue or self.is_complete):
            if (fault := self._doubt.verdict(rows=self._rows)) is not None:
                return [Blame(fault)]
            self._again.extend(self._doubt.dismiss())
            return actions + self._hand_out_again(openings)
        return actions

    def _start(self, task: Task, machine: str, now: float) -> Submit:
        task, *rest = first_calls(self._parts, task, batch_rows=self._batch_rows, most=self._most_calls)
        self._again.extendleft(reversed(rest))
        number, left = self._next_number + 1, max(self.allowed - self.bad_rows, 0)
        self._next_number += max(len(task.members), 1)
        doubted = self._doubt.is_open
        task = task.again(number, expected=self._union.schema, bad_rows_left=left, is_doubted=doubted)
        self._running[task.number] = Assignment(task, machine, now)
        return Submit(task, machine, _name(task) in self._deaths)

    def _next_task(self, machine: str) -> Task:
        return self._task(*self._queue.take(machine, joins=self._joins))

    def _joins(self, index: int) -> bool:
        """Tell whether a part may be in one task with the part before it."""
        part, before, volumes = self._parts[index], self._parts[index - 1], self._queue.volumes
        if part.file != before.file:
            goes_on = not self._doubt.is_open  # while nobody knows whether the function can be called at all
        else:
            goes_on = part.row == before.row + before.rows  # of a sample, what lies between is not there
            goes_on = goes_on and part.spool == before.spool
        return goes_on and not (part.fault or before.fault) and volumes[index] == volumes[index - 1]

    def _task(self, first: int, last: int, *, rows: tuple[int, int] | None = None) -> Task:
        return task_of(self._parts, first, last, rows=rows)

    def done(self, number: int, *outcomes: Outcome, machine: str = "") -> list[Action]:
        """Take an outcome: keep it, do it again under what is now expected, or stop for what it says.

        A task of several files has outcomes in order, of one or more files each. The files behind the last of them wait
        again.
        """
        if (ended := self._running.pop(number, None)) is None:
            return []
        task, machine = ended.task, machine or ended.machine
        if not task.members:
            return self._done(task, outcomes[0], machine=machine)
        actions: list[Action] = []
        for one in outcomes:
            actions += self._done(one.task, one, machine=machine)
            if actions and isinstance(actions[-1], GiveUp):
                return actions
        self._queue.put_back(outcomes[-1].task.last, task.last)
        return actions

    def _done(self, task: Task, outcome: Outcome, *, machine: str) -> list[Action]:
        if outcome.misfits:
            return [Widen(outcome)]
        aside: list[Action] = []
        if _is_strange(task, outcome):
            if not self._suspects.is_to_blame(_name(task), machine):
                self._again.append(task)
                return []
        else:
            aside = [PutAside(guilty) for guilty in self._suspects.done(_name(task), machine)]
        return aside + self._take(task, outcome, machine=machine)

    def _take(self, task: Task, outcome: Outcome, *, machine: str) -> list[Action]:
        if outcome.fault is not None:
            self._again.extend(self._doubt.hold(task, outcome.fault))
            return []
        self._first_error = self._first_error or outcome.first_error
        if self.bad_rows + outcome.bad_rows > self.allowed:
            return [GiveUp(self.bad_rows + outcome.bad_rows, outcome.first_error, outcome)]
        if task.is_whole:
            self._queue.learn(task.first, task.last, seconds=outcome.seconds.total, machine=machine)
        was_cut_short = outcome.bad_rows > task.bad_rows_left  # and what used up the allowance was dropped since
        if was_cut_short:
            self._again.append(task)
            return []
        return self._keep(outcome)

    def is_running(self, number: int) -> bool:
        """Tell whether a task is with an engine."""
        return number in self._running

    def set_back(self, number: int, machine: str) -> Setback:
        """Know that a machine could not read or write for a task, which still counts as running: take it back next."""
        return self._suspects.set_back(_name(self._running[number].task), machine)

    @property
    def unfit(self) -> frozenset[str]:
        """Name the machines that are put aside."""
        return frozenset(self._suspects.unfit)

    def put_aside(self, machine: str) -> bool:
        """Give a machine nothing more; tell whether that can be, as it is not the last one that is fit for work."""
        return self._suspects.put_aside(machine)

    def cancel(self, machine: str) -> list[int]:
        """Mark the tasks on a machine as cancelled, and number them: when they are ``lost``, nobody is to blame."""
        numbers = [number for number, one in self._running.items() if one.machine == machine and not one.is_cancelled]
        for number in numbers:
            self._running[number] = self._running[number]._replace(is_cancelled=True)
        return numbers

    def failed(self, number: int) -> None:
        """Forget a task whose worker lives but which did not come to an end."""
        self._running.pop(number, None)

    def _keep(self, outcome: Outcome) -> list[Action]:
        """Keep an outcome, unless the schema writes it otherwise by now. If the schema grows by it, check all again."""
        before = self.columns
        has_changed = self._union.learn(key_of(outcome), outcome.schema)
        if not self._union.is_written_so(outcome):
            self._do_again(outcome.task)
            return self._settle(before) if has_changed else []
        self._put(outcome)
        return [Keep(outcome), *(self._settle(before) if has_changed else self._order.advance(self._parts))]

    def _put(self, outcome: Outcome) -> None:
        self._order.put(outcome)
        if self._doubt.is_open and outcome.rows_in > outcome.bad_rows:
            self._again.extend(self._doubt.dismiss())

    def _settle(self, columns_before: tuple[str, ...] | None) -> list[Action]:
        """Drop outcomes that the grown schema writes differently, append the rest; rewind if the header changes."""
        stale = self._order.drop(lambda kept: not self._union.is_written_so(kept))
        for outcome in stale:
            self._do_again(outcome.task)
        again = self._order.rewind(stale, has_another_header=self.columns != columns_before)
        return [*map(Drop, stale), *again, *self._order.advance(self._parts)]

    def _do_again(self, task: Task) -> None:
        """Have rows done again that were written under a schema that has grown since."""
        if self._repeats.has_room_for(task, rows=self._rows):
            self._wait_again(task)

    def _wait_again(self, task: Task) -> None:
        if task.is_whole:
            self._queue.put_back(task.first, task.last)
        else:
            self._again.append(task)

    def lost(self, number: int, reason: str, *, began: bool, machine: str = "") -> list[Action]:
        """Take back a task whose worker died: try again, then halve it until what kills workers stands alone.

        One that had not begun is not to blame, unless it was so again and again: then it takes with it even those that
        would know. Where there are several machines, one that died on one of them is tried on another first.
        """
        if (ended := self._running.pop(number, None)) is None:
            return []
        if ended.is_cancelled:
            self._again.append(ended.task)
        elif ended.task.members:  # any of the files may have been to blame
            self._again.extend(shares(ended.task))
        else:
            self._judge(ended.task, reason, began=began, machine=machine or ended.machine)
        return []

    def _judge(self, task: Task, reason: str, *, began: bool, machine: str) -> None:
        """Decide what becomes of a task that was lost."""
        key = _name(task)
        if not began:
            times = self._bystander[key] = self._bystander.get(key, 0) + 1
            if times % _TIMES_A_BYSTANDER:
                self._again.append(task)
                return
        deaths = self._deaths[key] = self._deaths.get(key, 0) + 1
        both = halves(self._parts, task, batch_rows=self._batch_rows)
        if task.condemned:
            self._again.append(replace(task, dies_unread=deaths >= _DEATHS_OF_READING))
        elif not self._suspects.is_to_blame(key, machine) or deaths < (
            _DEATHS_BEFORE_HALVING if both else _DEATHS_BEFORE_REJECTING
        ):
            self._again.append(task)
        elif self._doubt.is_open and not self._batch_rows:
            self._doubt_for(task, reason)
        elif both:
            for half in both:
                self._deaths[_name(half)] = 1
                self._suspects.inherit(key, _name(half))
            self._again.extendleft(reversed(both))
        else:
            self._again.append(condemned(task, reason, deaths=deaths))

    def _doubt_for(self, task: Task, reason: str) -> None:
        """Know that a task kills workers while no row is known to be good: try single rows of it, before any other."""
        if task.hi - task.lo <= 1:
            self._again.extend(self._doubt.hold_death(task, reason, deaths=self._deaths[_name(task)]))
        elif self._doubt.is_asking:
            self._doubt.put_off([task])
        else:
            self._again.extendleft(self._apart(task, some_rows(self._parts, task)))

    def _apart(self, task: Task, cut: tuple[list[Task], list[Task]]) -> list[Task]:
        """Put off what is left of a task; for all of it, one death more is proof."""
        rows, left = cut
        self._doubt.put_off(left)
        for one in (*rows, *left):
            self._deaths[_name(one)] = 1
            self._suspects.inherit(_name(task), _name(one))
        return rows


def _name(task: Task) -> tuple[int, int, int]:
    """Name a task by its rows, however often it is done."""
    return task.first, task.lo, task.hi


def _is_strange(task: Task, outcome: Outcome) -> bool:
    """Tell whether not a row was good: then the machine may be to blame."""
    if task.condemned or not outcome.bad_rows:
        return False
    return outcome.bad_rows > task.bad_rows_left or outcome.bad_rows == outcome.rows_in
