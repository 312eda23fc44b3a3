"""Which task goes to which machine next. Pure."""

import math
from typing import Final, NamedTuple

from muster._model import Fault, Schema, Task

from .actions import Action, Assignment, Submit
from .assignments import Assignments
from .cuts import first_calls, in_pieces, task_of
from .doubt import Doubt
from .extent import Extent
from .openings import Openings
from .queue import Queue
from .retries import Retries

_LOOK_EVERY: Final = 0.1
"""Seconds from one look at all tasks that are with machines to the next."""

_TIMES_AS_LONG: Final = 2
"""As a worker of known pace would take: sooner, much would be done twice for nothing. Weighed, not measured."""

_LEAST_WAIT: Final = 1.0
"""Seconds for which any machine is waited for: one that is busy, or far, may take a while to tell."""


class Calls(NamedTuple):
    """How a task calls the function: with how many rows at a time, and how often at most; ``None`` where it is open."""

    batch_rows: int | None = None
    most: int | None = None


class Terms(NamedTuple):
    """What is known of the results by now, which each task that is handed out is told."""

    expected: Schema | None
    bad_rows_left: int


class HandingOut:
    """Gives tasks away for openings: what is done again first, then what waits, some of it ahead of time."""

    def __init__(  # noqa: PLR0913 (between whom it stands)
        self,
        queue: Queue,
        retries: Retries,
        *,
        doubt: Doubt,
        assignments: Assignments,
        extent: Extent,
        calls: Calls,
        may_duplicate: bool,
    ) -> None:
        """Begin. Where it ``may_duplicate``, tasks may be given to a second machine while the first one has them."""
        self._queue = queue
        self._parts = queue.parts
        self._retries = retries
        self._doubt = doubt
        self._assignments = assignments
        self._extent = extent
        self._calls = calls
        self._may_duplicate = may_duplicate
        self._next_look = 0.0

    def again(self, openings: Openings, terms: Terms) -> list[Action]:
        """Hand out what is to be done again, where it has not failed yet."""
        if not self._retries:  # as most often
            return []
        return [self._start(task, machine, openings, terms) for task, machine in self._retries.hand_out(openings)]

    def what_waits(self, openings: Openings, terms: Terms) -> list[Action]:
        """Hand out what waits to idle workers; ahead of time only while there is plenty."""
        if not self._queue:
            return self._beside_those_that_load(openings, terms)
        actions: list[Action] = []
        while self._queue and (machine := openings.idle()) is not None:
            actions.append(self._start(self._next_task(machine), machine, openings, terms))
        actions += self.again(openings, terms)  # what is left of a part that was cut just now
        if not self._queue.paces.mean:  # nobody knows yet how long a task takes
            return actions
        if self._retries.needs_another_machine():
            return actions
        while self._queue and self._queue.has_plenty() and (machine := openings.ahead()) is not None:
            actions.append(self._start(self._next_task(machine), machine, openings, terms))
        return actions

    def _beside_those_that_load(self, openings: Openings, terms: Terms) -> list[Action]:
        """Have idle workers also do what others have not begun, or are new to: whoever is first counts.

        A worker may load for longer than all the rest takes, and so do tasks wait that are behind what it has. One that
        has done a task before is waited for: if it is slow now, that may be its rows, on any machine. It is another
        machine that helps: on the same one, all load alike.
        """
        actions: list[Action] = []
        if not self._may_do_twice or openings.now < self._next_look or not openings.has_idle():
            return actions
        self._next_look = openings.now + _LOOK_EVERY
        for one in self._assignments.alone():
            if not self._is_overdue(one, now=openings.now) or not self._may_have_a_twin(one):
                continue
            if (machine := self._idle_elsewhere(openings, one.machine)) is not None:
                actions.append(self._start(one.task, machine, openings, terms, beside=one.task.number))
            elif not openings.has_idle():
                break
        return actions

    def _idle_elsewhere(self, openings: Openings, machine: str) -> str | None:
        """Give away an idle worker on another machine, which has done a task: a new one might load, too."""
        while (other := openings.idle({machine})) is not None and other not in self._queue.paces.known:
            pass
        return other

    def _may_have_a_twin(self, one: Assignment) -> bool:
        is_waited_for = one.is_cancelled or self._assignments.is_under_way(one.task.number)
        return not (is_waited_for or one.task.condemned or self._retries.has_cost_a_worker(one.task))

    def _is_overdue(self, one: Assignment, *, now: float) -> bool:
        """Tell whether a worker of the mean pace would have done the task twice by now; not where none is known."""
        pace = self._queue.paces.mean
        should_take = (one.task.stop - one.task.start) / pace if pace else math.inf
        return now - one.since > max(_TIMES_AS_LONG * should_take, _LEAST_WAIT)

    @property
    def _may_do_twice(self) -> bool:
        is_open = self._doubt.is_open or not self._extent.is_complete
        return self._may_duplicate and not is_open and not self._retries and self._calls.most is None

    def elsewhere(self, openings: Openings, terms: Terms) -> list[Action] | Fault:
        """Try rows from other places while the function has failed on all; blame it if they all fail there too."""
        places = self._doubt.places(self._queue)
        actions: list[Action] = []
        while places and (machine := openings.idle()) is not None:
            actions.append(self._start(self._task_at(places.pop()), machine, openings, terms))
        is_over = not (places or self._assignments or self._retries) and (self._queue or self._extent.is_complete)
        if not is_over:
            return actions
        if (fault := self._doubt.verdict(rows=self._extent.rows)) is not None:
            return fault
        self._retries.add(*self._doubt.dismiss())
        return actions + self.again(openings, terms)

    def _task_at(self, index: int) -> Task:
        """Take a part out of those that wait; of one where rows end their worker, a row."""
        self._queue.take_out(index)
        task = task_of(self._parts, index, index + 1)
        return self._retries.last_row_of(task) if self._doubt.is_about_deaths and not task.condemned else task

    def _start(
        self, task: Task, machine: str, openings: Openings, terms: Terms, *, beside: int | None = None
    ) -> Submit:
        if self._calls.most is not None:
            task, *rest = first_calls(self._parts, task, batch_rows=self._calls.batch_rows, most=self._calls.most)
            self._retries.add_first(rest)
        fresh = self._retries.has_cost_a_worker(task)
        number, (expected, left) = self._assignments.next_number(task), terms
        task = task.again(number, expected=expected, bad_rows_left=left, is_doubted=self._doubt.is_open)
        self._assignments.begin(task, machine, now=openings.now, beside=beside)
        return Submit(task, machine, fresh)

    def _next_task(self, machine: str) -> Task:
        first, last = self._queue.take(machine, joins=self._joins)
        task = task_of(self._parts, first, last)
        if last - first > 1 or task.rows <= 1 or not self._may_be_cut:
            return task
        task, *rest = in_pieces(self._parts, task, self._queue.pieces_of(first, machine))
        self._retries.add_first(rest)
        return task

    @property
    def _may_be_cut(self) -> bool:
        """Tell whether a part may be done in pieces: not where calls are counted, or have rows that a user chose."""
        return self._may_duplicate and self._calls.batch_rows is None and self._calls.most is None

    def _joins(self, index: int) -> bool:
        """Tell whether a part may be in one task with the part before it."""
        part, before, volumes = self._parts[index], self._parts[index - 1], self._queue.volumes
        if part.file != before.file:
            goes_on = not self._doubt.is_open  # while nobody knows whether the function can be called at all
        else:
            goes_on = part.row == before.row + before.rows  # of a sample, what lies between is not there
            goes_on = goes_on and part.local_copy == before.local_copy
        return goes_on and not (part.fault or before.fault) and volumes[index] == volumes[index - 1]
