"""The one loop: submit, wait, take what comes, try again, until everything is settled."""

import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Final

from muster._engines.base import (
    Began,
    Done,
    Failed,
    Joined,
    Left,
    Lost,
    Message,
    Told,
    UnreadError,
    has_own_disks,
    wait,
)
from muster._formats.holders import AS_PARQUET
from muster._journal.events import Totals
from muster._model import Outcome, Outcomes
from muster._progress import actions as act
from muster._progress.allowance import Allowance
from muster._progress.kept_outcomes import KeptOutcomes
from muster._progress.progress import MOST_FILES, Progress
from muster._run.beginning.holding import Holding
from muster._run.beginning.run import Run
from muster._run.telling.teller import Teller
from muster._run.workplace import Workplace
from muster._user_code.data_files import DataFiles

from .harvest import Harvest
from .setbacks import Setbacks
from .stage import Stage
from .standstill import Standstill
from .stopping import reason_to_stop

_TICK: Final = 0.1
"""So soon a Ctrl-C, a lease or a bar is looked after while no message comes."""

_BACKLOG_BYTES: Final = 16 << 20
"""Input that waits to become tasks: two of the largest of text, so that no worker waits for the reader.

Of Parquet rows are counted, so more of it waits: where its parts begin is known without reading them.
"""

_NO_BORDERS: Final = 1 << 62
"""The bytes of a volume where results are no output: so many that no task ends at a border.

With volumes, outcomes stay apart: that is what is wanted of it.
"""

_ROW_BYTES: Final = 64
"""What a Parquet row counts as, where work is measured in bytes."""


class Loop:
    """Has a workplace do all tasks, under the types that the input's columns are thought to have."""

    def __init__(  # noqa: PLR0913 (all that have part in it)
        self,
        run: Run,
        *,
        workplace: Workplace,
        stage: Stage,
        teller: Teller,
        files: DataFiles,
        holding: Holding,
        last_number: int,
    ) -> None:
        """Begin without a task; ``last_number`` is that of the tasks before."""
        self._run = run
        self._workplace = workplace
        self._engine = workplace.engine
        self.stage = stage
        self._feed = stage.feed
        self._teller = teller
        self._observer = teller.observer
        self._files = files
        self._holding = holding
        self._has_begun = False
        self._unread: UnreadError | None = None
        """Why tasks cannot begin, where what they read is gone."""
        self._standstill = Standstill()
        self.harvest = Harvest(run, teller.record, stage)
        self.progress = progress_of(
            run, stage, workers=teller.workers, is_far=workplace.is_far, last_number=last_number
        )
        self._work_on_machines()
        self._setbacks = Setbacks(
            self._observer,
            has_own_disks=workplace.is_far or has_own_disks(self._engine),
            put_aside=self._put_aside,
            tell=self._note,
        )

    def work(self, kept: KeptOutcomes) -> Outcome | None:
        """Work until everything is settled; or until a type turns out too narrow, and then return that outcome.

        Raises ``UnreadError`` where what tasks read is gone, once no task is with an engine. To work again, when it was
        made anew, goes on from there.
        """
        progress, observer, teller = self.progress, self._observer, self._teller
        observer.under_way.clear()
        self.harvest.trial = self._feed.trial(since=self._run.began)  # all that comes before the first task is over
        teller.rows = progress
        teller.rows_total = self._feed.count_rows() if self.stage.before is None else None  # nobody knows of a stream
        earlier = deque(outcome for _, outcome in sorted(kept.items()))
        self._add(earlier)
        while True:
            self._read_ahead(earlier)
            self._act(self._setbacks.due(progress))
            teller.workers = self._workplace.workers(observer.there)
            progress.workers = max(teller.workers, 1)
            self._check_can_read()
            now = time.monotonic()
            self._hand_out(now)
            self.harvest.move()
            if progress.is_done:
                self.harvest.settle()
                return None
            if (misfit := self._wait()) is not None:
                self.harvest.settle()
                self._drain()
                return misfit
            observer.look(progress, rows_total=teller.rows_total, idle=self._count_idle)
            self._spare_what_leaves()
            teller.follow("working", note=observer.remark(), now=now)

    def _check_can_read(self) -> None:
        """Raise ``UnreadError`` where tasks cannot begin, and those that had begun have come to their end."""
        if self._unread is not None and not self.progress.running:
            error, self._unread = self._unread, None
            self.harvest.settle()
            raise error

    def _hand_out(self, now: float) -> None:
        """Hand out what the engine takes; the workplace begins behind its first tasks, which nothing is to hold up."""
        if self._unread is not None:
            return
        slots = self._engine.slots()
        actions = self.progress.submit(slots, now=now)
        self._act(actions)
        self._standstill.check(self.progress, slots, self.stage)
        if actions and not self._has_begun:
            self._has_begun = True
            self._workplace.begin()

    def _count_idle(self) -> int:
        return sum(slots.idle for slots in self._engine.slots().values())

    # What there is to do

    def _read_ahead(self, earlier: deque[Outcome]) -> None:
        """Keep a backlog of parts, but do not read a whole stream before it is needed."""
        progress = self.progress
        while not progress.is_complete and progress.waiting_weight < _BACKLOG_BYTES:
            if self._feed.take_parts():
                self._add(earlier)
            else:
                progress.no_more_parts()
        if not progress.waiting_weight:
            self._workplace.near_the_end()

    def _add(self, earlier: deque[Outcome]) -> None:
        """Add the parts that were read, and what an earlier attempt made of them; its tasks may be of several files."""
        fed, found = self._feed.fed, list[Outcome]()
        while earlier and earlier[0].task.first < len(fed):
            if earlier[0].task.last <= len(fed) or not self._feed.take_parts():
                found.append(earlier.popleft())
        self.progress.add_parts(fed[self.progress.parts :])
        self.harvest.resume(found)
        self._act(self.progress.restore(found))
        if found and not earlier:  # for each block of a stream, to look at all places of rows would take long
            self.harvest.move()
            self.harvest.settle()  # until the journal says where rows were moved, they count where they were
            self.harvest.tidy()

    # What comes of it

    def _wait(self) -> Outcome | None:
        """Take what the engine tells; of outcomes that do not fit their types, return the first."""
        # Every message of a wait is taken: what is thrown away here nobody would ever hear of again.
        misfits = [self._take(message) for message in self._messages()]
        self.harvest.settle()  # what comes next may take long: reading a stream, or ending processes
        return next((found for found in misfits if found is not None), None)

    def _messages(self) -> list[Message]:
        """Have the journal say what was done, then wait: an engine of this process does the next task meanwhile."""
        self.harvest.settle()
        return wait(self._engine, self._setbacks.seconds_left(_TICK))

    def _take(self, message: Message) -> Outcome | None:
        progress = self.progress
        match message:
            case Began():  # as often as the next kind, which is why these two stand first
                self._observer.began(message)
                progress.began(message.ticket, message.worker)
            case Done() if progress.is_running(message.ticket):
                return self._act(self._done(message), worker=message.worker)
            case Lost(ticket, reason, began, worker) if progress.is_running(ticket):
                self._observer.lost(ticket, reason)
                machine = self._observer.there.machine_of(worker)
                return self._act(progress.lost(ticket, reason, began=began, machine=machine))
            case Failed(ticket, UnreadError() as error):
                self._take_back(ticket, error)
            case Failed():
                return self._act(self._setbacks.failed(progress, message))
            case Told() | Joined() | Left():
                self._hear(message)
        return None  # a question that nobody waits for; or a task that somebody else has by now

    def _take_back(self, ticket: int, error: UnreadError) -> None:
        if self.progress.is_running(ticket):
            self._unread = error
            self._observer.lost(ticket, f"the rows that it reads are gone: {error}")
            self.progress.take_back(ticket)

    def lose(self, is_lost: Callable[[Outcome], bool]) -> None:
        """Know that some of what was made is gone; the next ``work`` makes it again."""
        self._act(self.progress.lose(is_lost))

    def _done(self, message: Done) -> list[act.Action]:
        answer, worker = message.answer, message.worker
        outcomes = answer.each if isinstance(answer, Outcomes) else (answer,)
        for outcome in outcomes:
            if outcome.read_files or outcome.written_files:
                self._files.take(outcome.read_files, outcome.written_files)
            self.harvest.hindsight.hear(outcome)
        actions = self.progress.done(message.ticket, *outcomes, machine=self._observer.there.machine_of(worker))
        kept = {id(action.outcome) for action in actions if isinstance(action, act.Keep)}
        for outcome in outcomes:
            self._observer.done(worker, outcome, is_kept=id(outcome) in kept)
        for action in actions:
            if isinstance(action, act.GiveUp) and action.outcome is not None:
                self._observer.gave_up(action.outcome)
        return actions

    def _hear(self, message: Message) -> None:
        self._teller.hear(message)
        if isinstance(message, Left):
            self.progress.left(message.worker)
        self._work_on_machines()

    def _work_on_machines(self) -> None:
        """Know which machines there are: none but this computer where a stage is done at home."""
        self.progress.work_on(frozenset() if self.stage.is_at_home else self._observer.there.machines)

    def _note(self, text: str) -> None:
        self._hear(Told(text))

    # What is done about it

    def _act(self, actions: Sequence[act.Action], *, worker: str = "") -> Outcome | None:
        """Do what progress wants; ``worker`` has given the outcome that is kept, if any is."""
        for action in actions:
            match action:
                case act.Submit():
                    self._observer.under_way.submitted(action.task)
                    self._engine.submit(action.task.number, action.task, machine=action.machine, fresh=action.fresh)
                case act.Keep():
                    self._holding.is_of_use = True
                    self.harvest.keep(action.outcome, worker)
                case act.Append():
                    self.harvest.append(action.outcome, self.progress.columns)
                case act.Forget():
                    self.harvest.forget(action.name)
                case act.Drop():
                    self.harvest.move()  # the journal says in this order what becomes of rows
                    self.harvest.drop(action.outcome.task)
                case act.Widen():
                    return action.outcome
                case _:
                    self._act_on_trouble(action)
        return None

    def _act_on_trouble(self, action: act.Action) -> None:
        """Do what is rarely wanted. Raises the error that stops the run."""
        match action:
            case act.Recall():
                self._observer.recalled(action.number)
                self._engine.cancel(action.number)
            case act.PutAside():
                self._put_aside(action.machine, "tasks fail there that others do")
            case act.Rewind():
                self.harvest.move()
                self.harvest.settle()  # as in _add
                self._run.output_builder.begin()
            case act.GiveUp() | act.NeverSettles() | act.Blame() | act.DiesOfNothing():
                stage, left = self.stage, "Nothing was written"
                if stage.before is not None:
                    left = "Nothing of this epoch was written"
                steps, allowed = self._run.job.steps, self.progress.allowed
                raise reason_to_stop(action, steps=steps, of=stage.fails_on, allowed=allowed, left=left)

    def _put_aside(self, machine: str, why: str) -> None:
        self._engine.drain(machine)
        for ticket in self.progress.cancel(machine):
            self._engine.cancel(ticket)
        self._note(f"machine {machine} is put aside: {why}")

    def _spare_what_leaves(self) -> None:
        """Give machines that are taken away soon nothing more. What they hold they may do; else it is done elsewhere.

        The last one that is fit for work works on for as long as it is there, unless others come.
        """
        there = self._observer.there
        for machine in sorted(there.leaving):  # hardly ever any, and this is asked at every turn
            if machine in there.machines and machine not in self.progress.unfit and self.progress.put_aside(machine):
                self._engine.drain(machine)

    def _drain(self) -> None:
        """Let the tasks that are running end; their outcomes no longer count.

        Nobody waits for a machine that may still load. It is not told to stop, as it would have to load anew: what it
        tells later is of numbers that are given to no other task.
        """
        progress = self.progress
        self._setbacks.forget(progress)
        for number in progress.let_go_of_what_loads():
            self._observer.recalled(number)
        while progress.running:
            for message in wait(self._engine, _TICK):
                if not isinstance(message, Done | Failed | Lost):
                    self._hear(message)
                elif progress.is_running(message.ticket):
                    progress.failed(message.ticket)


def progress_of(run: Run, stage: Stage, *, workers: int, is_far: bool, last_number: int) -> Progress:
    """Make what counts the parts, tells what to do next, and when too many rows are bad."""
    options, output_builder = run.job.options, run.output_builder
    if stage.number:
        return _progress_of_later(run, stage, workers=workers, last_number=last_number)
    unit = _ROW_BYTES if run.inputs.format == "parquet" else 1
    allowance = 0 if options.strict else Allowance.of(options.max_bad_rows)
    is_apart = options.calls_per_worker or options.limit or options.sample or is_far
    progress = Progress(
        workers=max(workers, 1),
        max_bad_rows=allowance if stage.before is None else stage.allowed,
        batch_rows=options.batch_rows,
        volume=(output_builder.volume_bytes and output_builder.volume_bytes // unit) if stage.is_last else _NO_BORDERS,
        same_text=stage.format not in AS_PARQUET,
        unit_bytes=unit,
        groups=frozenset() if is_far else run.inputs.row_groups,
        most_calls=options.calls_per_worker,
        most_files=1 if is_apart else MOST_FILES,
        may_duplicate=stage.exchange is None
        and not run.work.staging,  # a store would keep the piece of whoever comes second
        last_number=last_number,
        calls_nothing=stage.calls_nothing,
    )
    if (before := stage.before) is not None:
        progress.expect(stage.schema, bad_rows=before.bad_rows, rows_done=before.rows_in, rows_out=before.rows_out)
    return progress


def _progress_of_later(run: Run, stage: Stage, *, workers: int, last_number: int) -> Progress:
    """Make it for a stage behind the first, whose parts are sized in bytes of memory and are cut between keys."""
    output_builder, exchange = run.output_builder, stage.exchange
    progress = Progress(
        workers=max(workers, 1),
        max_bad_rows=stage.allowed,
        volume=output_builder.volume_bytes if stage.is_last else _NO_BORDERS,
        same_text=stage.format not in AS_PARQUET,
        last_number=last_number,
        lanes_end=exchange is not None and exchange.has_state and bool(exchange.grouping.columns),
        calls_nothing=stage.calls_nothing,
    )
    before = stage.before or Totals()
    progress.expect(stage.schema, bad_rows=stage.bad_rows, rows_done=before.rows_in, rows_out=before.rows_out)
    return progress
