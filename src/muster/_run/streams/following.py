"""A run whose inputs are followed: epoch after epoch, until somebody stops it. Typed again, it goes on from there."""

import contextlib
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from muster._engines.base import Joined, Left, Told, wait
from muster._files.whole import naming
from muster._job import Follow, Job, Result, SendTcp, StreamLag, WriteTo
from muster._journal import events
from muster._journal.events import Event
from muster._journal.file import Journal
from muster._journal.runs import forget
from muster._journal.status import OnPurpose
from muster._private.files import remove_all
from muster._run.beginning.begun import Begun
from muster._run.beginning.input_reader import InputReader
from muster._run.beginning.loading import Loading, describe
from muster._run.beginning.recognition import Recognised, new_id
from muster._run.beginning.stop_request import StopRequest
from muster._run.history import unchanged
from muster._run.history.past import Past
from muster._run.history.resume import check_same, fingerprint, why_in_vain
from muster._run.tasks.task_phase import Attempt
from muster._run.working import Working
from muster._run.workplace import Elsewhere, Workplace
from muster._streams.outbox_sink import OutboxSink
from muster._streams.sinks import Sinks
from muster._streams.source import EpochSource
from muster._streams.state_log import StateLog
from muster._words import plural

from .epochs import Epochs
from .origins import source_of
from .turns import Turns

if TYPE_CHECKING:
    from muster._run.beginning.run import Run

_POLL: Final = 0.05
"""Seconds between two looks at the files where nothing is new, unless one look takes long."""

_LOOKS_SHARE: Final = 10
"""How many times as long as a look at the files takes nobody looks again, at the least."""


def follow(begun: Begun, past: Past, *, join: Callable[[Begun], Workplace]) -> Result:
    """Do a job that follows its inputs until it is stopped. Raises ``MusterError``."""
    with contextlib.closing(source_of(begun.run)) as source:  # whose place nobody else may have by now
        return _follow(begun, past, source, join=join)


def _follow(begun: Begun, past: Past, source: EpochSource, *, join: Callable[[Begun], Workplace]) -> Result:
    with contextlib.closing(sinks_of(begun.run)) as sinks:
        return _go_on(begun, past, source, sinks, join=join)


def _go_on(
    begun: Begun, past: Past, source: EpochSource, sinks: Sinks, *, join: Callable[[Begun], Workplace]
) -> Result:
    run = begun.run
    described, loading = describe(run.job, begun.asker)
    depends = fingerprint(run.job, (), described) | {"follows": _followed(run.job)}
    recognised = _recognised(run, past, depends)
    begun.teller.run_id = recognised.run
    made = unchanged.Recipe(run.job, depends, run.seen, run.sources)
    if not recognised.past.run:
        _begin_anew(begun, past, sinks)
    sinks.settle(rows=recognised.past.stream.totals.rows_out)
    begun.teller.warn(run.warnings)
    columns = [column.name for column in recognised.past.columns or ()]
    source.hold(recognised.past.stream.read_up_to(with_begun=False), columns)
    if told := source.open():
        begun.holding.is_of_use = True  # somebody may be told from now on that rows are safe there
        begun.teller.say(note=told)
    workplace = _for_good(join(begun), run.job)
    following = Following(
        begun=begun,
        recognised=recognised,
        made=made,
        workplace=workplace,
        notes=[*recognised.remarks(described)],
        source=source,
        sinks=sinks,
    )
    return following.work(loading, why_anew="")


def _recognised(run: "Run", past: Past, depends: events.Fields) -> Recognised:
    """Tell what counts of earlier attempts. Raises ``ResumeError`` where they were another job's."""
    options = run.job.options
    if options.fresh or not past.stream.is_of_use:
        name = new_id()
        run.work.begin(name)
        return Recognised(name, depends, Past())
    if not past.stream.totals.epochs and (why := why_in_vain(past, depends, accept=options.accept_changes)):
        return Recognised(new_id(), depends, Past(), starts_over=why)
    if options.accept_changes:
        past.job = past.job | {"dtype": depends["dtype"]}
    accepted = check_same(past, depends, folder=str(run.work.folder), accept=options.accept_changes)
    past.accept(accepted.files)
    run.work.begin(past.run)
    return Recognised(past.run, depends, past, accepted=accepted)


def _begin_anew(begun: Begun, past: Past, sinks: Sinks) -> None:
    work, is_fresh = begun.run.work, begun.run.job.options.fresh
    if is_fresh and past.stream.committed is not None:
        # what may lie ready is then named, and goes with the rest
        sinks.parts.publish(past.stream.committed, is_new=False)
    sinks.check_free(but_for_own=is_fresh)
    if past.run:
        forget(past.run)
    work.clear()  # whoever dies behind this has no journal that goes on where rows are gone
    if is_fresh:
        remove_all(work.inbox)
        sinks.remove()
    begun.holding.is_of_use = work.inbox.exists()  # rows there were acknowledged


def _for_good(workplace: Workplace, job: Job) -> Workplace:
    """Have the workers of this computer stay where each epoch asks them, and else not load for its end."""
    if not isinstance(workplace, Elsewhere):
        return workplace
    return replace(workplace, has_work_at_the_end=False, asks_home_again=bool(job.exchanges))


def _followed(job: Job) -> list[str]:
    """Say what tells a stream from others."""
    return [*job.files, *(job.follow.identities if job.follow is not None else ())]


def sinks_of(run: "Run") -> Sinks:
    """Say where rows go. Raises ``UsageError`` where that is nowhere."""
    follow = run.job.follow or Follow()
    return Sinks(run.work, [_sink_of(run, asked) for asked in follow.sinks], has_folder=follow.has_folder)


def _sink_of(run: "Run", asked: SendTcp | WriteTo) -> OutboxSink:
    if isinstance(asked, WriteTo):
        from muster._streams.own_sink import OwnSink

        return OwnSink(asked, run.work, format_=run.output_builder.format)
    from muster._streams.tcp_sink import sink_over_tcp

    delimiter = run.output_builder.delimiter if run.output_builder.format == "csv" else ""
    return sink_over_tcp(asked, run.work, delimiter=delimiter, has_header=not run.inputs.dialect.is_numbered)


@dataclass(slots=True)
class Following(Working):
    """A stream that is recognised and goes on."""

    source: EpochSource
    sinks: Sinks

    def work(self, loading: Loading, *, why_anew: str) -> Result:
        """Do epoch after epoch until the run is stopped, and all that was there then."""
        del why_anew
        run, there = self.begun.run, self.begun.teller.observer.there
        there.spent_before = self.recognised.past.tried.dollars
        loading = self._load(loading)
        with Journal(run.work.journal) as journal:
            self.begun.holding.is_of_use = True
            StopRequest(run.work.folder).forget()  # before anybody can find this process
            self._begin_in(journal)
            with self._telling_why_it_stops(), naming(run.work.folder), contextlib.ExitStack() as ending:
                epochs = self._epochs(loading)
                if epochs.log is not None:
                    ending.callback(epochs.log.close)
                self.sinks.open(self.recognised.run, done=epochs.past.totals.rows_out)
                with epochs.telling_how_far(), contextlib.closing(_Flow(self, epochs, journal)) as flow:
                    return flow.go_on()

    def _state_log(self) -> StateLog | None:
        """Open the log of states, where steps keep some."""
        run, states = self.begun.run, self.recognised.past.stream.states
        if not run.job.exchanges:
            return None
        log = StateLog(run.work.folder, states.log, states.size) if states else StateLog(run.work.folder)
        log.tidy()
        return log

    def _epochs(self, loading: Loading) -> Epochs:
        run, past, teller = self.begun.run, self.recognised.past, self.begun.teller
        if past.stream.committed is not None:
            self.sinks.parts.publish(past.stream.committed, is_new=not past.stream.is_published)
        self._tidy()
        attempt = Attempt(
            run=run,
            workplace=self.workplace,
            input_reader=InputReader(run, asker=self.begun.asker, write=teller.record.write),
            teller=teller,
            loading=loading,
            holding=self.begun.holding,
            files=self._data_files(),
            tries_before=past.tried.tries,
        )
        epochs = Epochs(
            attempt,
            self.begun.asker,
            past.stream,
            self.sinks.parts,
            silences=self.source.silences,
            log=self._state_log(),
        )
        epochs.know_columns(past.columns)
        return epochs

    def _tidy(self) -> None:
        """Remove what earlier attempts left, but for the copies of the epoch that is done again."""
        work, begun = self.begun.run.work, self.recognised.past.stream.begun
        work.clear_parts()
        kept = {stretch.spool for stretch in begun.stretches} if begun else set[str]()
        for path in [*work.sealed.iterdir(), *work.spool.iterdir()]:
            if path.name not in kept:
                path.unlink()

    def again(self, epochs: Epochs) -> Iterator[Event]:
        """Say all that is to be known of the stream, for a journal that begins with that."""
        run, past = self.begun.run, epochs.past
        yield from self._begins_anew()
        if run.inputs.columns:
            yield events.Settled(run.inputs.columns, "before")
        if past.committed is not None:
            yield past.committed._replace(
                positions=list(past.positions.values()),
                schema=past.schema,
                agreed=past.agreed,
                states=past.states,
            )
        for file in epochs.attempt.files.known.values():
            yield events.Read(file)

    def _begins_anew(self) -> Iterator[Event]:
        """Say how the journal begins, with this attempt as its only one."""
        past, self.recognised = self.recognised, self.recognised._replace(past=Past())
        yield from self._begins()
        self.recognised = past
        for worker, machine in self.begun.teller.observer.there.present:
            yield events.WorkerJoined(worker, machine)


class _Flow:
    """The epochs of a run, in turn."""

    def __init__(self, following: Following, epochs: Epochs, journal: Journal) -> None:
        self._following = following
        self._epochs = epochs
        self._source = following.source
        self._sinks = following.sinks
        self._journal = journal
        self._run = following.begun.run
        self._teller = following.begun.teller
        self._began_with = epochs.past.totals
        self._stop = StopRequest(self._run.work.folder)
        self._full: Sequence[str] = ()
        """Who has so much to take that no epoch may begin."""
        self._ends_by = OnPurpose.STOP
        self._turns = Turns(
            epochs,
            self._source,
            journal,
            every=(self._run.job.follow or Follow()).every,
            has_room=lambda: not (self._stop.is_there() or self._sinks.full()),
            write_anew=self._write_journal_anew,
        )

    def close(self) -> None:
        """Have nothing be done beside any more."""
        self._turns.close()

    def go_on(self) -> Result:
        """Do epochs until somebody asks for the end, and then what has come until then."""
        self._epochs.teller.rows = self._epochs.loop.progress
        self._teller.observer.stream.lag = self._lag
        self._end_what_was_begun()
        is_ending = False
        while True:
            self._look()
            has_ended = self._source.has_ended()  # before a look at what is there, which may come until then
            if not is_ending and (has_ended or self._stop.is_there()):
                is_ending = True
                why = "nothing comes any more" if has_ended else "asked to stop"
                self._ends_by = OnPurpose.END if has_ended else OnPurpose.STOP
                self._source.end()
                self._sinks.expect_end()
                self._teller.say("ending", note=f"{why}: what has come until now is done first")
            self._full = self._sinks.full()
            if not self._full and self._epochs.close_windows():
                self._turns.committed_at = time.time()
                continue
            if not self._full and (epoch := self._turns.take(now=is_ending)) is not None:
                self._turns.do(epoch)
            elif self._turns.commit():
                continue
            elif has_ended and not self._full:
                if self._epochs.has_end:
                    self._epochs.end()
                    self._turns.committed_at = time.time()
                return self._drained()
            elif is_ending and self._full and not self._sinks.is_moving():  # what is left stays where it is
                return self._ended()
            else:
                self._wait()

    def _look(self) -> None:
        """See what has come; what another process must know to find the files again is journaled at once."""
        if (event := self._source.look()) is not None:
            self._teller.record.write(event)
            self._epochs.past.add(event)
        for text in self._source.remarks():
            self._teller.note(text)
        self._sinks.look()
        for text in self._sinks.remarks():
            self._teller.note(text)

    def _lag(self) -> StreamLag:
        """Say how the stream stands just now."""
        behind, log = self._turns.behind(), self._epochs.log
        sinks = sorted(self._sinks.lags(), key=lambda one: (one.rows, one.seconds), reverse=True)
        return StreamLag(
            self._turns.committed,
            bytes=behind.bytes,
            rows=behind.rows,
            seconds=round(behind.seconds, 3),
            committed_at=self._turns.committed_at,
            keys=log.keys if log is not None else None,
            state_bytes=log.place[1] if log is not None else None,
            watermark=self._epochs.watermark,
            late_rows=self._epochs.late_rows,
            skipped_rows=behind.skipped,
            sinks=tuple(sinks),
            sources=behind.sources,
        )

    def _end_what_was_begun(self) -> None:
        """Do the epoch once more in which an earlier attempt died; where its copies are gone, its rows come anew."""
        past = self._epochs.past
        epoch = self._source.again(past.begun) if past.begun else None
        self._source.go_on(past.read_up_to(with_begun=epoch is not None))
        if epoch is not None:
            self._turns.do_again(epoch)

    def _write_journal_anew(self) -> None:
        self._journal.begin_anew(self._following.again(self._epochs), at=self._run.began_at)
        self._teller.observer.begin_journal_anew()

    def _wait(self) -> None:
        """Hear what the engine tells of its workers, until it is time to look again, or there is something to see."""
        observer, progress = self._teller.observer, self._epochs.loop.progress
        seconds, also = max(_POLL, _LOOKS_SHARE * self._source.seconds), self._source.fileno()
        if also >= 0 and (early := self._turns.due - time.monotonic()) > 0:  # what has come is not taken before that
            seconds, also = min(seconds, early), -1
        for message in wait(self._epochs.stage_workplace.engine, seconds, also=also):
            if isinstance(message, Joined | Left | Told):
                self._teller.hear(message)
        observer.look(progress, rows_total=None, idle=lambda: 0)
        observer.waiting_for = f"waits for {' and '.join(self._full) or 'rows'}"
        self._teller.follow("working", note=observer.remark(), now=time.monotonic())

    def _drained(self) -> Result:
        """Wait for rows that are on their way; nothing more comes."""
        self._sinks.end()
        while self._sinks.is_moving():
            self._wait()
            self._look()
        self._look()  # at what may have ended it meanwhile
        return self._ended()

    def _ended(self) -> Result:
        """Say what came of the run so far."""
        self._stop.forget()
        self._source.settle()
        for text in (*self._source.remarks(at_the_end=True), *self._sinks.remarks(at_the_end=True)):
            self._teller.note(text)
        if late := self._epochs.late_rows:
            whose = "its" if late == 1 else "their"
            self._teller.note(f"{plural(late, 'row')} came too late for {whose} windows, since the stream began")
        if skipped := self._source.behind().skipped:
            self._teller.note(f"{plural(skipped, 'row')} skipped since the stream began: gone before they were read")
        run, totals, before = self._run, self._epochs.past.totals, self._began_with
        self._epochs.tell()
        why = "Its source has ended" if self._ends_by is OnPurpose.END else "It was asked to stop"
        self._teller.record.write(events.Stopped(self._ends_by, f"{why}, and all that had come is done."))
        workers, machines = self._epochs.workplace.had(self._teller.observer.there)
        self._teller.say()
        return Result(
            rows_in=totals.rows_in,
            rows_out=totals.rows_out,
            bad_rows=totals.bad_rows,
            parts=totals.parts,
            resumed_parts=before.parts,
            workers=workers,
            machines=machines,
            seconds=round(run.seconds, 3),
            rows_per_second=round((totals.rows_in - before.rows_in) / run.seconds, 1),
            output=run.job.output,
            rejects=run.work.rejects if totals.bad_rows else None,
            cost=self._teller.observer.there.cost,
            rows_before=before.rows_in,
            epochs=totals.epochs,
            warnings=run.warnings,
            has_groups=bool(run.job.exchanges),
        )
