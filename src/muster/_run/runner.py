"""The one loop: split, submit, record, retry, commit."""

import contextlib
import dataclasses
import functools
import os
import pickle
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from muster._engines.base import Began, Done, Engine, Failed, Joined, Left, Lost, Message, Told, wait
from muster._files.home import home
from muster._files.temporary import sweep_temporary
from muster._formats._sources import find_sources
from muster._formats.inputs import Inputs, as_named
from muster._job import Job, Result, Snapshot
from muster._journal import events
from muster._journal.events import FORMAT, Laid
from muster._journal.file import Journal
from muster._journal.runs import archive, attempt, note
from muster._model import Outcome, Outcomes, Task
from muster._output.build import Finish, check_every_row_is_settled, check_worth_publishing, totals
from muster._output.folder import Work
from muster._private.secrets import set_options, shown
from muster._progress import actions as act
from muster._progress.progress import Progress
from muster._progress.stretches import forget
from muster._user_code.arguments import hide_secrets
from muster._user_code.data_files import DataFiles
from muster._user_code.laid_down import laid_down
from muster._user_code.with_files import stamps
from muster.errors import DataError, UsageError

from . import unchanged
from .apart import check_apart, check_no_twins
from .asked import asked
from .assembly import engine_of_a_cluster, engine_of_this_computer, parcelled, to_the_terminal, workers_for
from .busy import begun, skipped
from .calls import Calls
from .earlier import changed, check_same_rows, check_stands
from .faults import keeping_faults
from .hindsight import Hindsight
from .lent import goes_elsewhere, machines_for
from .observer import NONE_DONE, Observer
from .prepare import Preparation
from .questions import Desk, in_our_words
from .resume import Kept, Past, sources_of
from .setbacks import Setbacks
from .stopping import reason_to_stop
from .taken_over import Layout

if TYPE_CHECKING:
    from muster._clouds.base import Access

    from .estimate import Trial

_TICK: Final = 0.1
_BACKLOG_BYTES: Final = 16 << 20

Watch = Callable[[Snapshot], None]
MakeEngine = Callable[[int], Engine]
Say = Callable[[str], None]


def run(  # noqa: PLR0913 (what is asked, and who is told)
    job: Job,
    *,
    watch: Watch,
    remark: Callable[[str], None] = lambda _: None,
    make_engine: MakeEngine | None = None,
    printed: Say = to_the_terminal,
    access: "Access | Callable[[], Access] | None" = None,
    earlier: Past | None = None,
    warnings: Sequence[str] = (),
) -> Result:
    """Run a job to its end. Raises ``MusterError``; what was done until then is kept for the next attempt.

    A job that retries bad rows is given the ``earlier`` run whose rows they are. ``remark`` is told why the results
    may be wrong: the ``warnings``, before the function is called, and more once all is done; ``printed``, what workers
    print. ``access`` is to a cluster that is there, or calls one up; without it the job's options say whether one is
    borrowed or called up.
    """
    set_options(job.options.storage_options)
    for step in job.steps:
        hide_secrets(step.arguments)
    job = dataclasses.replace(job, inputs=tuple(map(shown, job.inputs)), output=shown(job.output))
    make_engine = make_engine or functools.partial(engine_of_this_computer, printed=printed)
    with in_our_words():
        work = Work(job.output, home=home())
        runner = begun(
            lambda: _Runner(job, watch, remark, work=work, earlier=earlier, warnings=warnings),
            work=work,
            choice=job.options.if_running,
            tell=lambda text: watch(Snapshot("starting", note=text)),
        )
        if runner is None:
            return skipped(job.output)
        runner.recall()
        return runner.run(make_engine, access, printed=printed)


class _Runner:
    def __init__(  # noqa: PLR0913 (what is asked, and who is told)
        self, job: Job, watch: Watch, remark: Say, *, work: Work, earlier: Past | None, warnings: Sequence[str]
    ) -> None:
        self._began = time.monotonic()
        self._began_at = round(time.time(), 3)
        self._folder = Path.cwd()
        self._earlier = earlier
        self._watch = watch
        self._remark = remark
        self._warnings = list(warnings)
        self._last = Snapshot("starting")
        self._progress: Progress | None = None
        self._hindsight = Hindsight()
        self._trial: Trial | None = None
        self._rows_total: int | None = None
        self._phase = "starting"
        notes: list[str] = []
        forced, default = job.options.input_format, job.options.format
        self._sources = find_sources(job.inputs, forced=forced, default=default, tell=notes.append, only=job.only)
        if earlier is not None:
            self._sources = sources_of(earlier, self._sources)
        self._job = job = dataclasses.replace(job, options=as_named(job.options, self._sources))
        self._seen = unchanged.seen(self._sources)
        self._workers = workers_for(self._sources, chosen=job.options.workers)
        self.work = work
        check_apart([self.work], sources=self._sources, given=job.inputs)
        check_no_twins(self.work, sources=self._sources)
        self._inputs = Inputs(self._sources, job.options, self.work.spool, notes=notes)
        self._finish = Finish(self.work, job.options, self._inputs)
        self._past = Past()
        self._has_kept = False
        self._resumed: Kept = {}
        self._journal: Journal | None = None
        self._answering = ""  # the worker whose outcome is taken just now
        self._early: list[tuple[events.Event, float]] = []
        self._is_elsewhere = False
        self._is_far = False
        self._run_id = ""
        self._why_anew = ""
        self._access: Access | None = None
        self._observer = self._observe()
        self._files = self._data_files(Past())

    def _data_files(self, past: Past) -> DataFiles:
        """Know the files that earlier attempts have read, but for those that were accepted to have changed."""
        return DataFiles(
            past.files,
            read=lambda file: self._write(events.Read(file)),
            wrote=lambda path: self._write(events.Wrote(path)),
            note=lambda text: self._hear(Told(text)),
        )

    def _observe(self) -> Observer:
        calls = Calls([source.name for source in self._sources], limit=self._job.options.timeout)
        return Observer(self._write, prices={}, calls=calls)

    def recall(self) -> None:
        """Know what an earlier attempt has left in the output's folder, which is this run's by now."""
        try:
            self._past = Past.read(self.work.journal, fresh=self._job.options.fresh)
        except BaseException:
            self.work.release()
            raise

    def run(self, make_engine: MakeEngine, access: "Access | Callable[[], Access] | None", *, printed: Say) -> Result:
        """Run on the engine that is made here; where there is ``access``, tasks go to that cluster."""
        with contextlib.ExitStack() as engines:
            engines.callback(self._end)
            engines.enter_context(keeping_faults(self.work.fault))
            if self._job.options.workers != 0:  # else functions are called as they are
                steps = engines.enter_context(laid_down(self._job.steps))
                self._job = dataclasses.replace(self._job, steps=steps)
            self._say("starting")
            self._home = self._engine = make_engine(self._workers)
            engines.callback(self._home.close)
            sweep_temporary()  # while workers start
            self._is_elsewhere = access is not None or goes_elsewhere(self._job.options)
            self._desk = Desk(
                self._home, workers=self._workers, tick=lambda: self._watch(self._last), hear=self._hear_at_home
            )
            if self._past.surveyed is None and self._earlier is None:
                self._desk.begin(self._inputs.first_questions())
            self._prepared = Preparation(
                self._job,
                inputs=self._inputs,
                work=self.work,
                desk=self._desk,
                write=self._write,
                earlier=self._earlier,
                builders=0 if self._is_elsewhere else max(self._workers, 1),
            )
            return self._run(lambda: self._go_elsewhere(access, engines, printed=printed))

    def _go_elsewhere(
        self, access: "Access | Callable[[], Access] | None", engines: contextlib.ExitStack, *, printed: Say
    ) -> None:
        """Have a cluster do the tasks, where the job asks for one."""
        if callable(access):
            access = access()
        access = access or engines.enter_context(machines_for(self._job.options, say=self._say))
        if access is None:
            return
        self._access = access
        self._observer.begin_on(access.prices, access.renewals)
        self._engine = engine_of_a_cluster(access, env=self._job.options.env, printed=printed)
        self._is_far = not access.shares_files
        if self._is_far:
            self._engine = parcelled(
                self._engine, job=self._job, parts=self.work.parts, note=lambda text: self._hear(Told(text))
            )
        engines.callback(self._engine.close)  # the outer one, which also forgets what it has packed
        self._workers = access.workers
        self.work.stage()

    def _end(self) -> None:
        """Leave nothing behind that nobody needs, and let others work on the output."""
        past = self._past
        if not (past.kept or past.is_laid_out or past.is_unreadable or self._has_kept or self.work.fault.exists()):
            self.work.remove()
        self.work.release()

    def _run(self, go_elsewhere: Callable[[], None]) -> Result:
        past = self._prepared.recognise(self._past, put_away=self._put_away)
        if self._earlier is not None and not past.is_laid_out and not past.finished:
            check_same_rows(self._earlier, self._prepared.fingerprint)
            check_stands(self._earlier, self.work)
        if not self._prepared.gives_up:
            self._past = past
        self._run_id = self._prepared.run_id
        self._made = unchanged.Made(self._job, self._prepared.fingerprint, self._seen, self._sources)
        result = past.result(self.work.visible()) if past.finished else None
        if result is not None:
            self._say(self._phase, note="an earlier attempt had finished; its output is as it was written")
        elif self._may_be_unchanged(past) and (result := self._unchanged_result()) is not None:
            self.work.remove()
            return result
        else:
            self._warn(self._warnings)
            go_elsewhere()
            self._prepared.load(is_far=self._is_far)
            self._prepared.start_over(past)
            self._past = past
            result = self._attempt_it(past)
        self._archive(self._run_id, has_rejects=result.bad_rows > 0)
        self.work.remove()
        return result

    def _may_be_unchanged(self, past: Past) -> bool:
        return not (past.run or self._earlier or self._job.options.fresh)

    def _unchanged_result(self) -> Result | None:
        """Tell what an earlier run came to that had finished, if this one would give the same."""
        answer = unchanged.answer(self._made, visible=self.work.visible())
        if answer.result is not None:
            self._run_id = answer.run
        self._why_anew = answer.note
        return answer.result

    def _attempt_it(self, past: Past) -> Result:
        with Journal(self.work.journal) as journal:
            self._journal = journal
            if not past.run:
                said = asked(self._job, place=self.work.place, folder=str(self._folder))
                self._write(events.Started(self._run_id, self._prepared.fingerprint, said, FORMAT), at=self._began_at)
            elif past.format < FORMAT:
                self._write(events.Started(past.run, past.job, past.asked, FORMAT))
            self._begin_attempt(past.attempts)
            for early, at in self._early:
                journal.write(early, at=at)
            if (changes := self._prepared.accepted).texts:
                self._write(events.Accepted(changes.texts, changes.files, self._prepared.fingerprint))
            for text in self._prepared.remarks():
                self._say(self._phase, note=text)
            self._files = self._data_files(past)
            self._files.take(stamps(self._job.options.with_files), ())
            with contextlib.suppress(OSError):  # then nobody can list the run, which is no reason to stop it
                note(self._run_id, self.work.journal)
            with self._telling_why_it_stops(), self._blaming_changes():
                self._say("looking at the input")
                self._look(past)
                for text in (*([self._why_anew] if self._why_anew else []), *self._inputs.notes):
                    self._say("looking at the input", note=text)
                self._finish.places = past.places
                kept = {key: kept for key, kept in past.kept.items() if self.work.is_intact(kept, past.places)}
                progress = self._work_through(kept)
                result = self._commit(progress)
        return result

    def _look(self, past: Past) -> None:
        """Find out what the input is; for a retry, also take over what needs not be done again."""
        self._prepared.look(past)
        if self._earlier is None or past.is_laid_out:
            return
        self._say("looking at the output")
        while self._prepared.take_parts():  # a stream, too: where its rows lie is known of all parts alone
            pass
        layout = Layout(self._earlier, self._prepared.fed, self._sources, self.work, self._finish)
        self._note(past, events.Standing(self.work.standing()))
        for outcome in layout.outcomes(self._desk.ask):
            self._note(past, events.Kept(outcome))
        self._note(past, events.LaidOut())

    def _note(self, past: Past, event: events.Event) -> None:
        """Journal an event, and know it, as the next attempt will."""
        self._write(event)
        past.add(event)

    def _ready(self, laid: Laid, made: str) -> None:
        """Journal how the output is laid that is about to become visible; a retry replaces what it mends alone."""
        if self._earlier is not None:
            self._check_still_stands(self._earlier)
            self._note(self._past, events.Standing(made))
        self._write(laid, durable=True)

    def _check_still_stands(self, earlier: Past) -> None:
        """Raise ``UsageError`` where somebody has changed the output since the retry began, or published itself."""
        standing = self._past.standing
        if self.work.standing() not in standing and "" not in standing:
            raise UsageError(changed(self._job.output, run=earlier.run))

    def _put_away(self, past: Past) -> None:
        self._archive(past.run, has_rejects=past.finished is not None and past.finished.result["bad_rows"] > 0)

    def _archive(self, run: str, *, has_rejects: bool) -> None:
        """Keep the journal of a run that has finished where those of all runs are."""
        try:
            archive(self.work.journal, run, has_rejects=has_rejects)
        except OSError as error:
            self._say(self._phase, note=f"the journal of run {run} could not be kept: {error}")

    @contextlib.contextmanager
    def _telling_why_it_stops(self) -> Iterator[None]:
        """Journal what stops the run, where it is not the end of this process."""
        try:
            yield
        except BaseException as error:
            with contextlib.suppress(OSError):  # the disk may be full
                if self._progress is not None:
                    self._observer.tell(self._progress, rows_total=self._rows_total)
                self._observer.stopped(error)
            if self._earlier is not None and isinstance(error, OSError):  # as somebody may have written to the output
                self._check_still_stands(self._earlier)
            raise

    @contextlib.contextmanager
    def _blaming_changes(self) -> Iterator[None]:
        """Say of data that cannot be read, where somebody is writing it just then, that this is why."""
        try:
            yield
        except DataError as error:
            self._check_inputs(error)
            raise

    def _write(self, event: events.Event, *, at: float | None = None, durable: bool = False) -> None:
        """Journal an event with the time of day; workers may join before there is a journal."""
        if self._journal is None:
            self._early.append((event, round(time.time(), 3)))
        else:
            self._journal.write(event, at=at, durable=durable)

    def _begin_attempt(self, number: int) -> None:
        self._attempt = number
        self._write(attempt(number, workers=self._workers, access=self._access), at=self._began_at)

    # The loop

    def _work_through(self, kept: Kept) -> Progress:
        while True:
            self._finish.begin()
            self._brief()
            progress = self._new_progress()
            try:
                misfit = self._loop(progress, kept)
            finally:
                self._finish.pause()
            if misfit is None:
                return progress
            self._widen(misfit)
            kept = {}

    def _brief(self) -> None:
        briefing = pickle.dumps(self._prepared.briefing(self._finish, attempt=self._attempt))
        for engine in {id(engine): engine for engine in (self._home, self._engine)}.values():
            engine.brief(briefing)

    def _new_progress(self) -> Progress:
        self._progress = self._prepared.progress(self._finish, workers=self._workers, is_far=self._is_far)
        self._progress.work_on(self._observer.there.machines)
        self._hindsight = Hindsight(self._job.options.batch_rows)
        self._observer.calls.clear()
        self._setbacks = Setbacks(
            self._observer,
            has_own_disks=self._is_far,
            put_aside=self._put_aside,
            tell=lambda text: self._hear(Told(text)),
        )
        return self._progress

    def _loop(self, progress: Progress, kept: Kept) -> Outcome | None:
        """Work until everything is settled; or until a type turns out too narrow, and then return that outcome."""
        self._rows_total = self._prepared.count_rows()
        self._trial = None if self._earlier else self._prepared.trial(since=self._began)
        earlier = deque(outcome for _, outcome in sorted(kept.items()))
        self._add(progress, earlier)
        while True:
            self._read_ahead(progress, earlier)
            self._act(self._setbacks.due(progress))
            if self._engine is not self._home:  # whose workers come, and may come to be more
                self._workers = max(self._workers, self._observer.there.most_workers)
            progress.workers = max(self._workers, 1)
            self._act(progress.submit(self._engine.slots(), now=time.monotonic()))
            if progress.is_done:
                return None
            # Every event of a wait is taken: what is thrown away here nobody would ever hear of again.
            misfits = [
                self._act(self._on(progress, event)) for event in wait(self._engine, self._setbacks.seconds_left(_TICK))
            ]
            misfit = next((found for found in misfits if found is not None), None)
            if misfit is not None:
                self._drain(progress)
                return misfit
            self._observer.look(progress, rows_total=self._rows_total, idle=self._count_idle)
            self._say("working", note=self._observer.remark())

    def _count_idle(self) -> int:
        return sum(slots.idle for slots in self._engine.slots().values())

    def _read_ahead(self, progress: Progress, earlier: deque[Outcome]) -> None:
        """Keep a backlog of parts, but do not read a whole stream before it is needed."""
        while not progress.is_complete and progress.waiting_weight < _BACKLOG_BYTES:
            if self._prepared.take_parts():
                self._add(progress, earlier)
            else:
                progress.no_more_parts()

    def _add(self, progress: Progress, earlier: deque[Outcome]) -> None:
        """Add the parts that were read, and what an earlier attempt made of them; its tasks may be of several files."""
        fed, found = self._prepared.fed, []
        while earlier and earlier[0].task.first < len(fed):
            if earlier[0].task.last <= len(fed) or not self._prepared.take_parts():
                found.append(earlier.popleft())
        progress.add_parts(fed[progress.parts :])
        self._resumed.update(((one.task.first, one.task.lo), one) for one in found)
        if self._trial is not None:
            self._trial.take("", *found)
        self._hindsight.take(*found)
        self._act(progress.restore(found))
        if found and not earlier:  # for each block of a stream, to look at all places of rows would take long
            self._finish.tidy()

    def _on(self, progress: Progress, event: Message) -> list[act.Action]:
        if isinstance(event, Done | Failed | Lost) and event.ticket < 0:  # a question that nobody waits for
            return []
        match event:
            case Done():
                return self._done(progress, event)
            case Lost(ticket, reason, began, worker) if progress.is_running(ticket):
                self._observer.lost(ticket, reason)
                return progress.lost(ticket, reason, began=began, machine=self._observer.there.machine_of(worker))
            case Failed():
                return self._setbacks.failed(progress, event)
            case Told() | Joined() | Left() | Began():
                self._hear(event)
        return []

    def _done(self, progress: Progress, event: Done) -> list[act.Action]:
        if not progress.is_running(event.ticket):  # it was given to somebody else: what comes late changes nothing
            return []
        answer, worker = event.answer, event.worker
        outcomes = answer.each if isinstance(answer, Outcomes) else (answer,)
        for outcome in outcomes:
            self._files.take(outcome.read_files, outcome.written_files)
            self._hindsight.hear(outcome)
        self._answering = worker
        actions = progress.done(event.ticket, *outcomes, machine=self._observer.there.machine_of(worker))
        kept = {id(action.outcome) for action in actions if isinstance(action, act.Keep)}
        for outcome in outcomes:
            self._observer.done(worker, outcome, is_kept=id(outcome) in kept)
        for action in actions:
            if isinstance(action, act.GiveUp) and action.outcome is not None:
                self._observer.gave_up(action.outcome)
        return actions

    def _put_aside(self, machine: str, why: str) -> None:
        self._engine.drain(machine)
        for ticket in self._progress.cancel(machine) if self._progress else ():
            self._engine.cancel(ticket)
        self._hear(Told(f"machine {machine} is put aside: {why}"))

    def _hear(self, event: Message) -> None:
        self._observer.hear(event)
        if self._progress is not None:
            self._progress.work_on(self._observer.there.machines)
        if isinstance(event, Told):
            self._say(self._last.phase, note=event.text)

    def _hear_at_home(self, event: Message) -> None:
        """Hear of workers of this computer, which count where they do the tasks."""
        if not self._is_elsewhere:
            self._hear(event)

    def _act(self, actions: Sequence[act.Action]) -> Outcome | None:
        for action in actions:
            match action:
                case act.Submit() | act.PutAside():
                    self._pass_on(action)
                case act.Keep(outcome):
                    self._keep(outcome)
                case act.Drop(outcome):
                    self._drop(outcome.task)
                case act.Append(outcome):
                    self._append(outcome)
                case act.Forget(name):
                    self._finish.places.forget(name)
                case act.Rewind():
                    self._finish.begin()
                case act.Widen(outcome):
                    return outcome
                case act.GiveUp() | act.NeverSettles() | act.Blame():
                    allowed = self._progress.allowed if self._progress else 0
                    raise reason_to_stop(action, steps=self._job.steps, allowed=allowed)
        return None

    def _drop(self, task: Task) -> None:
        self._write(events.Dropped(task.first, task.last, task.lo))
        forget(self._resumed, first=task.first, last=task.last, lo=task.lo)

    def _keep(self, outcome: Outcome) -> None:
        self._has_kept = True
        self._hindsight.take(outcome)
        if self._trial is not None:
            self._trial.take(self._answering, outcome)
        self._write(events.Kept(outcome, self._answering))

    def _pass_on(self, action: act.Submit | act.PutAside) -> None:
        """Have the engine do what it shall."""
        if isinstance(action, act.Submit):
            self._observer.calls.submitted(action.task)
            self._engine.submit(action.task.number, action.task, machine=action.machine, fresh=action.fresh)
            return
        self._put_aside(action.machine, "tasks fail there that others do")

    def _append(self, outcome: Outcome) -> None:
        """Move an outcome's rows to the output that grows; their own file, often not on the disk yet, need never be."""
        moved = self._finish.append(outcome, self._progress.columns if self._progress else None)
        if moved is not None:
            self._write(moved)
            (self.work.parts / moved.name).unlink(missing_ok=True)

    # A type that turned out too narrow

    def _drain(self, progress: Progress) -> None:
        """Let the tasks that are running end; their outcomes no longer count."""
        self._setbacks.forget(progress)
        while progress.running:
            for event in wait(self._engine, _TICK):
                if not isinstance(event, Done | Failed | Lost):
                    self._hear(event)
                elif event.ticket in progress.running:
                    progress.failed(event.ticket)

    def _widen(self, misfit: Outcome) -> None:
        """Settle the types by every value, so that this is needed once; forget what was done under narrower ones."""
        names = ", ".join(repr(name) for name in misfit.misfits)
        self._say(
            f"looking at every value of {names}", note=f"{names} holds values that the sample did not; starting over"
        )
        self._prepared.widen(misfit, names=names)
        self.work.clear_parts()
        self._finish.places.clear()
        self._resumed = {}
        self._begin_attempt(self._attempt + 1)

    # The end

    def _commit(self, progress: Progress) -> Result:
        self._say("writing the output")
        worked = time.monotonic() - self._began
        self._observer.tell(progress, rows_total=self._rows_total)
        os.chdir(self._folder)  # the user's function may have gone elsewhere, where it runs in this process
        self._check_inputs()
        check_every_row_is_settled(self._prepared.fed, done=progress.rows_done)
        check_worth_publishing(progress.outcomes, self.work)
        desk = self._desk
        if self.work.staging:  # workers put the output together where it lies
            desk = Desk(
                self._engine,
                workers=self._observer.there.most_workers,
                tick=lambda: self._watch(self._last),
                hear=self._hear,
            )
        outcomes = self._finish.end(progress.outcomes, desk.ask, progress.volume_of, ready=self._ready)
        seconds, sums = time.monotonic() - self._began, totals(outcomes)
        remarks = self._hindsight.remarks(progress.schema)
        is_here = self._engine is self._home  # whose workers all take part, for as long as the run takes
        workers = self._workers if is_here else self._observer.there.most_workers
        rows_before = totals(self._resumed.values())["rows_in"]
        result = Result(
            **sums,
            parts=progress.parts,
            resumed_parts=0 if self._earlier else sum(one.task.last - one.task.first for one in self._resumed.values()),
            workers=workers,
            machines=max(self._observer.there.most_machines, int(is_here)),
            seconds=round(seconds, 3),
            rows_per_second=round((sums["rows_in"] - rows_before) / seconds, 1),
            output=self._job.output,
            rejects=self.work.rejects if any(outcome.rejects for outcome in outcomes) else None,
            cost=round(self._observer.there.dollars, 4),
            rows_before=rows_before,
            estimate=self._trial.estimate(worked, seconds, workers=workers) if self._trial else None,
            warnings=(*self._warnings, *remarks),
        )
        self._observer.tell(progress, rows_total=self._rows_total)
        for text in self._hindsight.raised():
            self._hear(Told(text))
        self._warn(remarks)
        published = self.work.visible()
        end = unchanged.End(self._run_id, self._files.known, result, published)
        if self._may_be_mixed():
            unchanged.note_mixture(self._made, end, why=unchanged.ACCEPTED)
        elif self._earlier is not None:
            unchanged.note_retry(self._made, end, of=self._earlier.run)
        else:
            unchanged.note(self._made, end)
        standing, standing_rejects = self.work.standing(), self.work.standing_rejects()
        self._write(events.Finished(result.as_fields(), published, standing, standing_rejects))
        self._say(self._phase)
        return result

    def _warn(self, texts: Sequence[str]) -> None:
        """Say why the results may be wrong."""
        for text in texts:
            self._write(events.Told(text))
            self._remark(text)

    def _check_inputs(self, cause: DataError | None = None) -> None:
        """Raise ``DataError`` when an input was written while it was read; the next command then starts over."""
        name = unchanged.changed_since(self._seen, self._sources, only=self._job.only)
        if name:
            self._past, self._has_kept = Past(), False  # rows of no use to anybody
            raise DataError(
                f"{name!r} has changed while muster read it, so its rows may be of two versions. There is no output."
                " Type the command again when nobody writes to it."
            ) from cause

    def _may_be_mixed(self) -> bool:
        """Tell whether rows of two versions of the function, or of what it reads, may be in the output."""
        return self._past.is_mixed or bool(self._prepared.accepted.texts) or self._files.have_changed

    # What watchers are told

    def _say(self, phase: str, *, note: str = "") -> None:
        if phase != self._phase:
            self._phase = phase
            self._write(events.Phase(phase))
        self._last = self._observer.snapshot(
            phase, self._progress or NONE_DONE, run=self._run_id, rows_total=self._rows_total, workers=self._workers
        )
        self._watch(dataclasses.replace(self._last, note=note) if note else self._last)
