"""The state of a run, as a pure machine: messages go in, actions come out. No clock, no files, no processes.

Every race between workers is therefore a unit test: it is only an order of messages. What time it is comes with what is
asked. What is said of a task that is no longer running, as its machine was late, changes nothing. After Dask's
``worker_state_machine.py``.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import Final

from muster._model import Fault, Outcome, Part, Schema, Slots, Task
from muster._words import plural

from .actions import Action, Blame, Drop, GiveUp, Keep, NeverSettles, PutAside, Recall, Widen
from .allowance import Allowance
from .assignments import Assignments
from .cut_lanes import CutLanes
from .cuts import shares, uncovered
from .doubt import Doubt
from .extent import Extent
from .handing_out import Calls, HandingOut, Terms
from .openings import Openings
from .order import Order, key_of
from .queue import Queue
from .repeats import Repeats
from .retries import Retries
from .schema import Union
from .suspects import Setback, Suspects, name_of

MOST_FILES: Final = 256
"""How many files a task is of at most: beyond, what handing it over costs is nothing beside what its files cost."""


_BEFORE_ALL: Final = (-1, 0)
"""A place in the input that is before every part."""


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
        groups: AbstractSet[tuple[int, int]] = frozenset(),
        most_calls: int | None = None,
        most_files: int = 1,
        may_duplicate: bool = False,
        last_number: int = 0,
        lanes_end: bool = False,
        calls_nothing: bool = False,
    ) -> None:
        """Begin without parts.

        ``volume``: an output file, or a stretch of one, is made of about that much input; tasks do not cross its
        borders. ``same_text``: the output is text, so all rows must be written under one schema from the start.
        ``unit_bytes``: how many bytes a part's unit of length is worth (Parquet counts in rows). ``groups``: the file
        and the row where each stretch begins that a worker reads as a whole, whichever of its rows a task has; a task
        goes on to the end of one, if there is work enough. ``most_calls``: no task has more batches of ``batch_rows``.
        ``most_files``: nor is one of parts of more files. ``may_duplicate``: what is with a worker that loads for
        longer than all the rest takes, another machine does, too. ``last_number``: of the tasks that the engine was
        given before, and may tell of still. ``lanes_end``: each part is a lane, and a step may have something to do at
        its end. ``calls_nothing``: tasks call nothing of the user's, so each row is known to take little time.
        """
        self._extent = Extent(Allowance.of(max_bad_rows))
        self._queue = Queue(workers=workers, volume=volume, unit_bytes=unit_bytes, most_files=most_files, groups=groups)
        self._queue.calls_nothing = calls_nothing
        self._suspects = Suspects()
        self._doubt = Doubt()
        self._retries = Retries(
            self._queue.parts,
            batch_rows=batch_rows,
            suspects=self._suspects,
            doubt=self._doubt,
            lanes_end=lanes_end,
        )
        self._cut_lanes = CutLanes(self._queue.parts)
        self._assignments = Assignments(last_number)
        self._handing_out = HandingOut(
            self._queue,
            self._retries,
            doubt=self._doubt,
            assignments=self._assignments,
            extent=self._extent,
            calls=Calls(batch_rows, most_calls),
            may_duplicate=may_duplicate,
        )
        self._union = Union(same_text=same_text)
        self._may_duplicate = may_duplicate
        self._have_answered: set[str] = set()
        """Machines that have done a task, whatever came of it: they do not load any more."""
        self._repeats = Repeats()
        self._order = Order(joins=volume is None)
        self._first_error = ""

    @property
    def is_complete(self) -> bool:
        """Tell whether all of the input is known."""
        return self._extent.is_complete

    @property
    def is_done(self) -> bool:
        """Tell whether every part is settled and no more will come."""
        return self._extent.is_complete and not (
            self._queue or self._retries or self._assignments or self._repeats or self._doubt.is_asking
        )

    @property
    def workers(self) -> int:
        """Tell how many workers there are, or will be."""
        return self._queue.workers

    @workers.setter
    def workers(self, count: int) -> None:
        if count != self._queue.workers:
            self._queue.workers = count

    @property
    def parts(self) -> int:
        """Count the parts that are known."""
        return len(self._queue.parts)

    def work_on(self, machines: frozenset[str]) -> None:
        """Know which machines are at work."""
        self._suspects.machines = machines

    @property
    def running(self) -> frozenset[int]:
        """Number the tasks that are with the engine."""
        return frozenset(self._assignments.numbers)

    def began(self, number: int, worker: str) -> None:
        """Know that a worker is on a task."""
        self._assignments.began(number, worker)

    def left(self, worker: str) -> None:
        """Know that a worker is gone; another may have its name."""
        self._assignments.left(worker)

    @property
    def last_number(self) -> int:
        """Tell the number that was given out last: an engine may tell of a task that nobody waits for any more."""
        return self._assignments.last

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
        known = len(self._queue.parts)
        self._queue.add(parts)
        self._extent.add(self._queue.parts[known:])

    @property
    def allowed(self) -> int:
        """Tell how many rows may be bad, as far as the input is known."""
        return self._extent.allowed

    def expect(self, schema: Schema | None, *, bad_rows: int, rows_done: int = 0, rows_out: int = 0) -> None:
        """Know what all results look like before the first is there, and what came of earlier stages or epochs."""
        self._union.learn(_BEFORE_ALL, schema)
        self._order.bad_rows += bad_rows
        self._order.rows_done += rows_done
        self._order.rows_out += rows_out
        self._doubt.has_worked = rows_done > bad_rows

    def trust(self) -> None:
        """Know that the functions have done rows before: where they fail on all alike, these rows are bad."""
        self._retries.add(*self._doubt.dismiss())

    def no_more_parts(self) -> None:
        """Know that the input is complete."""
        self._extent.complete()

    def restore(self, outcomes: Sequence[Outcome]) -> list[Action]:
        """Take over what an earlier attempt kept; only the rest is done. Their parts must be known."""
        if not outcomes:
            return []
        left = uncovered(self._queue.parts, [outcome.task for outcome in outcomes])
        self._queue.keep(lambda index: index not in left.touched)
        self._retries.add(*left.tasks)
        before, has_changed = self.columns, False
        for outcome in outcomes:
            has_changed |= self._union.learn(key_of(outcome), outcome.schema)
            self._put(outcome)
        if has_changed or not all(map(self._union.is_written_so, outcomes)):
            return self._settle(before)  # which looks at all that is kept
        return self._order.advance(self._queue.parts)

    def submit(self, slots: Mapping[str, Slots], *, now: float = 0.0) -> list[Action]:
        """Hand out work to idle workers; ahead of time only while there is plenty, and never what killed a worker.

        ``slots``: what machines take now. None gets more than that.
        """
        if self._repeats and self._extent.is_complete and not (self._queue or self._retries or self._assignments):
            if self._repeats.is_in_vain(self.columns):
                return [NeverSettles(self.columns or ())]
            for task in self._repeats.let_go():
                self._wait_again(task)
        left = self._extent.allowed - self._order.bad_rows
        if left < 0:  # as less is allowed, now that all of the input is known
            return [GiveUp(self._order.bad_rows, self._first_error)]
        self._suspects.taking = slots
        openings = Openings(slots, pace=self._queue.paces.of, without=self._suspects.unfit, now=now)
        terms = Terms(self._union.schema, left)
        if not (self._assignments or self._retries or self._doubt.faults):
            self._retries.add(*self._doubt.let_go())  # before what is done again is handed out: it may be all there is
        actions = self._handing_out.again(openings, terms)
        if self._doubt.faults:
            tried = self._handing_out.elsewhere(openings, terms)
            return actions + ([Blame(tried)] if isinstance(tried, Fault) else tried)
        return actions + self._handing_out.what_waits(openings, terms)

    def stands_still(self, slots: Mapping[str, Slots]) -> bool:
        """Tell whether nothing is under way though there is work, and all machines that could do it are idle.

        ``slots``: what machines took when work was handed out last. Where one is not idle that is fit for work, it may
        be the one that is waited for.
        """
        if self._assignments or self.is_done:
            return False
        idle = {machine for machine, (count, _) in slots.items() if count} - self._suspects.unfit
        return bool(idle) and self._suspects.machines - self._suspects.unfit <= idle

    def facts(self) -> str:
        """Say how far it is, for whoever looks for a fault."""
        return (
            f"{plural(self.parts, 'part')}, {self.rows_done} of {plural(self._extent.rows, 'row')} done,"
            f" {'all' if self.is_complete else 'not all'} read; waiting: {self.waiting_weight} in line,"
            f" {self._retries.count} to do again, {self._repeats.count} to repeat, {self._doubt.count} in doubt"
        )

    def done(self, number: int, *outcomes: Outcome, machine: str = "") -> list[Action]:
        """Take an outcome: keep it, do it again under what is now expected, or stop for what it says.

        A task of several files has outcomes in order, of one or more files each. The files behind the last of them wait
        again.
        """
        twin = self._assignments.twin_of(number)
        if (ended := self._assignments.answered(number)) is None:
            return []
        actions: list[Action] = []
        if twin is not None:
            self._assignments.end(twin)
            actions.append(Recall(twin))
        task, machine = ended.task, machine or ended.machine
        self._have_answered.add(machine)
        if not task.members:
            return actions + self._done(task, outcomes[0], machine=machine)
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
            if not self._suspects.is_to_blame(name_of(task), machine):
                self._retries.add(task)
                return []
        elif self._suspects:  # hardly ever any
            aside = [PutAside(guilty) for guilty in self._suspects.done(name_of(task), machine)]
        return aside + self._take(task, outcome, machine=machine)

    def _take(self, task: Task, outcome: Outcome, *, machine: str) -> list[Action]:
        if outcome.fault is not None:
            self._retries.add(*self._doubt.hold(task, outcome.fault))
            return []
        self._first_error = self._first_error or outcome.first_error
        if (bad_rows := self._order.bad_rows + outcome.bad_rows) > self._extent.allowed:
            return [GiveUp(bad_rows, outcome.first_error, outcome)]
        if task.is_whole or (task.rows and machine not in self._queue.paces.known):
            self._queue.learn(task, seconds=outcome.seconds.total, machine=machine)
        was_cut_short = outcome.bad_rows > task.bad_rows_left  # and what used up the allowance was dropped since
        if was_cut_short:
            self._retries.add(task)
            return []
        if outcome.owes_end:
            self._settle_piece(outcome)
            return []
        return self._keep(outcome)

    def take_back(self, number: int) -> None:
        """Have a task wait again that could not begin, which nobody is to blame for."""
        if (ended := self._assignments.end(number)) is not None:
            self._retries.add(ended.task)

    def number_behind(self, last: int) -> None:
        """Give numbers behind those of another stage."""
        self._assignments.last = max(self._assignments.last, last)

    def lose(self, is_lost: Callable[[Outcome], bool]) -> list[Action]:
        """Do rows again of which what was made is gone."""
        lost = self._order.drop(is_lost)
        for outcome in lost:
            self._wait_again(outcome.task)
        return [*map(Drop, lost)]

    def is_running(self, number: int) -> bool:
        """Tell whether a task is with an engine."""
        return number in self._assignments

    def set_back(self, number: int, machine: str) -> Setback:
        """Know that a machine could not read or write for a task, which still counts as running: take it back next."""
        return self._suspects.set_back(name_of(self._assignments[number].task), machine)

    @property
    def unfit(self) -> frozenset[str]:
        """Name the machines that are put aside."""
        return frozenset(self._suspects.unfit)

    def put_aside(self, machine: str) -> bool:
        """Give a machine nothing more; tell whether that can be, as it is not the last one that is fit for work."""
        return self._suspects.put_aside(machine)

    def cancel(self, machine: str) -> list[int]:
        """Mark the tasks on a machine as cancelled, and number them: when they are ``lost``, nobody is to blame."""
        return self._assignments.cancel(machine)

    def let_go_of_what_loads(self) -> list[int]:
        """Forget the tasks of machines that have done none yet, and number them; none where nothing is done twice."""
        numbers = self._assignments.numbers_elsewhere(self._have_answered) if self._may_duplicate else []
        for number in numbers:
            self._assignments.end(number)
        return numbers

    def failed(self, number: int) -> None:
        """Forget a task whose worker lives but which did not come to an end."""
        self._assignments.end(number)

    def _keep(self, outcome: Outcome) -> list[Action]:
        """Keep an outcome, unless the schema writes it otherwise by now. If the schema grows by it, check all again."""
        before = self.columns
        has_changed = self._union.learn(key_of(outcome), outcome.schema)
        if not self._union.is_written_so(outcome):
            self._do_again(outcome.task)
            return self._settle(before) if has_changed else []
        self._put(outcome)
        return [Keep(outcome), *(self._settle(before) if has_changed else self._order.advance(self._queue.parts))]

    def _settle_piece(self, outcome: Outcome) -> None:
        """Know what a piece of a lane tells. Nothing of it is kept, so another attempt begins with the whole lane."""
        self._know_of_good_rows(outcome)
        if (lane := self._cut_lanes.settle(outcome.task)) is not None:
            self._retries.add_whole(lane)

    def _put(self, outcome: Outcome) -> None:
        self._order.put(outcome)
        self._know_of_good_rows(outcome)

    def _know_of_good_rows(self, outcome: Outcome) -> None:
        if self._doubt.is_open and outcome.rows_in > outcome.bad_rows:
            self._retries.add(*self._doubt.dismiss())

    def _settle(self, columns_before: tuple[str, ...] | None) -> list[Action]:
        """Drop outcomes that the grown schema writes differently, append the rest; rewind if the header changes."""
        stale = self._order.drop(lambda kept: not self._union.is_written_so(kept))
        for outcome in stale:
            self._do_again(outcome.task)
        again = self._order.rewind(stale, has_another_header=self.columns != columns_before)
        return [*map(Drop, stale), *again, *self._order.advance(self._queue.parts)]

    def _do_again(self, task: Task) -> None:
        """Have rows done again that were written under a schema that has grown since."""
        if self._repeats.has_room_for(task, rows=self._extent.rows):
            self._wait_again(task)

    def _wait_again(self, task: Task) -> None:
        if task.is_whole:
            self._queue.put_back(task.first, task.last)
        else:
            self._retries.add(task)

    def lost(self, number: int, reason: str, *, began: bool, machine: str = "") -> list[Action]:
        """Take back a task whose worker died: try again, then halve it until what kills workers stands alone.

        One that had not begun is not to blame, unless it was so again and again: then it takes with it even those that
        would know. Where there are several machines, one that died on one of them is tried on another first.
        """
        has_twin = self._assignments.twin_of(number) is not None
        if (ended := self._assignments.end(number)) is None or has_twin:  # then another machine has its rows
            return []
        if ended.is_cancelled:
            self._retries.add(ended.task)
        elif ended.task.members:  # any of the files may have been to blame
            self._retries.add(*shares(ended.task))
        else:
            return [*self._retries.judge(ended.task, reason, began=began, machine=machine or ended.machine)]
        return []


def _is_strange(task: Task, outcome: Outcome) -> bool:
    """Tell whether not a row was good: then the machine may be to blame."""
    if task.condemned or task.without or not outcome.bad_rows:
        return False
    return outcome.bad_rows > task.bad_rows_left or outcome.bad_rows == outcome.rows_in
