"""The one loop: split, submit, record, retry, commit."""

import dataclasses
import os
import pickle
import secrets
import shutil
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

from muster import _progress
from muster._desk import Desk, as_muster_error
from muster._engines.base import Body, Done, Engine, Event, Failed, Lost
from muster._engines.cores import CoresEngine
from muster._engines.inline import InlineEngine
from muster._finish import Growing, seal
from muster._formats._sources import find_sources, format_of
from muster._history import archive, home
from muster._inputs import Inputs
from muster._journal import Journal, as_fields, as_outcome, replay
from muster._model import Briefing, Column, Job, Outcome, Part, Piece, Result, Snapshot, Task
from muster._output import Work
from muster._progress import Progress
from muster._targets import Describe
from muster.errors import EngineError, MusterError, ResumeError, TooManyBadRowsError

_TICK: Final = 0.1
_VOLUME_BYTES: Final = 64 << 20
_VOLUME_BYTES_COMPRESSED: Final = 8 << 20
_VOLUME_ROWS: Final = 1 << 19
_BYTES_A_WORKER: Final = 16 << 10
_BACKLOG_BYTES: Final = 16 << 20
_NO_ROWS: Final = 0

Watch = Callable[[Snapshot], None]
MakeEngine = Callable[[int], Engine]


def run(job: Job, *, watch: Watch, make_engine: MakeEngine | None = None) -> Result:
    """Run a job to its end. Raises ``MusterError``; what was done until then is kept for the next attempt."""
    runner = _Runner(job, watch, make_engine or _engine_of_this_computer)
    try:
        return runner.run()
    except OSError as error:
        raise EngineError(
            f"Cannot read or write: {error}. What was done is kept in {str(runner.work.folder)!r}. Make room or mend"
            " the access, then type the same command again."
        ) from error


def _make_body() -> Body:
    from muster._task import Worker  # noqa: PLC0415 (pandas and Arrow stay out of muster's own process)

    return Worker()


def _engine_of_this_computer(workers: int) -> Engine:
    if workers == 0:
        return InlineEngine(_make_body)
    return CoresEngine(_make_body, workers=workers, preload=["muster._task"])


class _Runner:
    def __init__(self, job: Job, watch: Watch, make_engine: MakeEngine) -> None:
        self._job = job
        self._watch = watch
        self._began = time.monotonic()
        self.work = Work(job.output, home=home())
        chosen = job.options
        self._sources = find_sources(job.inputs, forced=chosen.input_format, default=chosen.format)
        if self.work.is_folder:
            self._format, self._codec = chosen.output_format or chosen.format or self._sources[0].format, ""
        else:
            self._format, self._codec = format_of(job.output, forced=chosen.output_format, default=chosen.format)
        self._workers = self._count_workers()
        self._make_engine = make_engine
        self._run_id = time.strftime("%Y%m%d-%H%M%S-") + secrets.token_hex(2)
        self._resumed: list[Outcome] = []
        self._seconds = [0.0, 0.0]

    def _count_workers(self) -> int:
        chosen = self._job.options.workers
        if chosen is None:
            chosen = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        if any(source.codec or source.format == "parquet" for source in self._sources):
            return chosen
        return min(chosen, max(1, sum(source.size for source in self._sources) // _BYTES_A_WORKER))

    def run(self) -> Result:
        self.work.take()
        engine = None
        try:
            self._say("starting")
            engine = self._engine = self._make_engine(self._workers)
            self._desk = Desk(engine, tick=lambda: None)
            return self._run()
        finally:
            if engine is not None:
                engine.close()
            self.work.release()

    def _run(self) -> Result:
        described = self._desk.ask([Describe(self._job.steps)])[0]
        self._fingerprint = _fingerprint(self._job, self._sources, [(one.name, one.fingerprint) for one in described])
        past = self._past()
        with Journal(self.work.journal) as journal:
            self._journal = journal
            self._inputs = Inputs(self._sources, self._job.options, self.work.spool)
            if not past:
                journal.write("started", run=self._run_id, at=time.time(), job=self._fingerprint)
            self._attempt = sum(event["event"] == "attempt" for event in past)
            journal.write("attempt", number=self._attempt, pid=os.getpid())
            self._say("looking at the input")
            self._survey(past)
            self._settle(past)
            progress = self._work_through(past)
            result = self._commit(progress)
        archive(self.work.journal, self._run_id)
        self.work.remove()
        return result

    # What an earlier attempt left

    def _past(self) -> list[dict[str, Any]]:
        """Read what an unfinished run left. Raises ``ResumeError`` when it was another job's."""
        past = list(replay(self.work.journal))
        if self._job.options.fresh or not past:
            self.work.clear()
            return []
        self._run_id = past[0]["run"]
        for what, (before, now) in _differences(past[0]["job"], self._fingerprint):
            raise ResumeError(
                f"{str(self.work.folder)!r} holds an unfinished run of another job: {what} was {before}, and is {now}"
                " now. To go on with that run, restore what it had; to start over, type the command again with --fresh."
            )
        return past

    def _survey(self, past: Sequence[dict[str, Any]]) -> None:
        inputs = self._inputs
        before = next((event for event in past if event["event"] == "surveyed"), None)
        if before is None:
            inputs.survey(self._desk.ask)
            parts = [[p.file, p.start, p.stop, p.row, p.rows, p.fault] for p in inputs.surveyed]
            starts = {str(at): start for at, start in inputs.stream_starts.items()}
            self._journal.write(
                "surveyed", parts=parts, orders=inputs.orders, columns=_columns(inputs.columns), starts=starts
            )
            return
        inputs.surveyed = tuple(_part(*fields) for fields in before["parts"])
        inputs.orders = tuple(tuple(order) for order in before["orders"])
        inputs.columns = _read_columns(before["columns"])
        inputs.stream_starts = {int(at): start for at, start in before["starts"].items()}

    def _settle(self, past: Sequence[dict[str, Any]]) -> None:
        self._feed = self._inputs.feed()
        self._fed: list[Part] = []
        settled = [event for event in past if event["event"] == "settled"]
        if settled:
            self._inputs.columns = _read_columns(settled[-1]["columns"])
            return
        sample: list[Part] = list(self._inputs.surveyed)
        if len(sample) == 0:
            while not self._fed and self._take_parts():
                pass
            sample = self._fed
        self._inputs.observe(self._desk.ask, sample, everything=False)
        self._journal.write("settled", columns=_columns(self._inputs.columns), because="of a sample")

    def _take_parts(self) -> bool:
        parts = next(self._feed, None)
        if parts is None:
            return False
        self._fed += parts
        return True

    # The loop

    def _work_through(self, past: Sequence[dict[str, Any]]) -> Progress:
        kept = self._kept_before(past)
        while True:
            self._brief()
            self._growing = self._new_growing()
            try:
                progress = self._new_progress()
                misfit = self._loop(progress, kept)
            finally:
                if self._growing is not None:
                    self._growing.close()
            if misfit is None:
                return progress
            self._widen(misfit)
            kept = {}

    def _kept_before(self, past: Sequence[dict[str, Any]]) -> dict[tuple[int, int], Outcome]:
        kept: dict[tuple[int, int], Outcome] = {}
        for event in past:
            if event["event"] == "kept":
                outcome = as_outcome(event)
                kept[outcome.task.first, outcome.task.lo] = outcome
            elif event["event"] == "dropped":
                kept.pop((event["first"], event["lo"]), None)
            elif event["event"] == "settled":
                kept.clear()
        return {key: outcome for key, outcome in kept.items() if self.work.is_intact(outcome)}

    def _brief(self) -> None:
        inputs = self._inputs
        briefing = Briefing(
            sources=self._sources,
            dialect=inputs.worker_dialect,
            steps=self._job.steps,
            format=self._format,
            folder=str(self.work.parts / str(self._attempt)),
            delimiter=self._delimiter or ",",
            columns=inputs.columns,
            orders=inputs.orders,
            batch_rows=self._job.options.batch_rows,
            timeout=self._job.options.timeout,
        )
        self._engine.brief(pickle.dumps(briefing))

    @property
    def _delimiter(self) -> str | None:
        """Tell what separates the columns of a header row, if the output has one."""
        if self._format != "csv":
            return None
        return "\t" if ".tsv" in self._job.output.lower() else ","

    @property
    def _header_delimiter(self) -> str | None:
        return self._delimiter if self._inputs.format != "csv" or self._inputs.dialect.header else None

    @property
    def _grows(self) -> bool:
        return self._format != "parquet" and not self._codec and not self.work.is_folder

    def _new_growing(self) -> Growing | None:
        return Growing(self.work, delimiter=self._header_delimiter) if self._grows else None

    def _new_progress(self) -> Progress:
        options = self._job.options
        is_parquet = self._inputs.format == "parquet"
        volume = _VOLUME_BYTES_COMPRESSED if self._codec else _VOLUME_BYTES
        return Progress(
            workers=max(self._workers, 1),
            max_bad_rows=0 if options.strict else options.max_bad_rows,
            batch_rows=options.batch_rows,
            volume=None if self._grows else _VOLUME_ROWS if is_parquet else volume,
            same_text=self._format != "parquet",
            unit_bytes=_ROW_BYTES if is_parquet else 1,
        )

    def _loop(self, progress: Progress, kept: dict[tuple[int, int], Outcome]) -> Outcome | None:
        """Work until everything is settled; or until a type turns out too narrow, and then return that outcome."""
        self._add(progress, self._fed, kept)
        while not progress.is_done:
            while progress.waiting_weight < _BACKLOG_BYTES and not progress.is_complete:
                before = len(self._fed)
                if not self._take_parts():
                    progress.no_more_parts()
                    break
                self._add(progress, self._fed[before:], kept)
            slots = self._engine.slots()
            self._act(progress.submit(idle=slots.idle, ahead=slots.ahead))
            if progress.is_done:
                break
            for event in self._engine.wait(_TICK):
                misfit = self._act(self._on(progress, event))
                if misfit is not None:
                    self._drain(progress)
                    return misfit
            self._say("working", progress)
        return None

    def _add(self, progress: Progress, parts: Sequence[Part], kept: dict[tuple[int, int], Outcome]) -> None:
        first = progress.parts
        progress.add_parts(parts)
        found = [outcome for (at, _), outcome in sorted(kept.items()) if first <= at < progress.parts]
        if found:
            self._resumed += found
            self._act(progress.restore(found))

    def _on(self, progress: Progress, event: Event) -> list[_progress.Action]:
        if isinstance(event, Done) and event.ticket > 0:
            self._seconds[0] += event.answer.seconds.function
            self._seconds[1] += event.answer.seconds.total
            return progress.done(event.ticket, event.answer)
        if isinstance(event, Lost) and event.ticket > 0:
            return progress.lost(event.ticket, event.reason, began=event.began)
        if isinstance(event, Failed):
            if isinstance(event.error, MemoryError):
                return progress.lost(event.ticket, "memory ran out", began=True)
            raise as_muster_error(event.error)
        return []

    def _act(self, actions: Sequence[_progress.Action]) -> Outcome | None:
        for action in actions:
            match action:
                case _progress.Submit(task):
                    self._engine.submit(task.number, task)
                case _progress.Keep(outcome):
                    self._journal.write("kept", **as_fields(outcome))
                case _progress.Drop(outcome):
                    self._journal.write("dropped", first=outcome.task.first, lo=outcome.task.lo)
                case _progress.Append(outcome) if self._growing is not None:
                    self._growing.append(outcome)
                case _progress.Rewind() if self._growing is not None:
                    self._growing.rewind()
                case _progress.Widen(outcome):
                    return outcome
                case _progress.GiveUp(bad_rows, first_error):
                    raise self._too_many(bad_rows, first_error)
                case _:
                    pass
        return None

    def _too_many(self, bad_rows: int, first_error: str) -> MusterError:
        allowed = 0 if self._job.options.strict else self._job.options.max_bad_rows
        return TooManyBadRowsError(
            f"{bad_rows} rows could not be processed, and {allowed} are allowed. The first of them:\n{first_error}\n"
            "Mend the function or the data and type the command again with --fresh; or allow more with --max-bad-rows,"
            " and the run goes on where it stopped."
        )

    # Types that turned out too narrow

    def _drain(self, progress: Progress) -> None:
        """Let the tasks that are running end; their outcomes no longer count."""
        while progress.running:
            for event in self._engine.wait(_TICK):
                if isinstance(event, Done | Failed | Lost) and event.ticket in progress.running:
                    progress.failed(event.ticket)

    def _widen(self, misfit: Outcome) -> None:
        names = ", ".join(repr(name) for name in misfit.misfits)
        self._say("looking at every value", note=f"{names} holds values that the sample did not show; starting over")
        while self._take_parts():
            pass
        before = {column.name: column for column in self._inputs.columns}
        self._inputs.observe(self._desk.ask, self._fed, everything=True)
        self._inputs.columns = tuple(
            dataclasses.replace(
                column,
                kinds=column.kinds
                | misfit.misfits.get(column.name, frozenset())
                | (before[column.name].kinds if column.name in before else frozenset({"missing"})),
            )
            for column in self._inputs.columns
        )
        self._journal.write("settled", columns=_columns(self._inputs.columns), because=f"of {names}")
        shutil.rmtree(self.work.parts)
        self.work.parts.mkdir()
        self._resumed = []
        self._attempt += 1
        self._journal.write("attempt", number=self._attempt, pid=os.getpid())

    # The end

    def _commit(self, progress: Progress) -> Result:
        self._say("writing the output", progress)
        outcomes, columns = progress.outcomes, progress.columns
        if columns is None and self._inputs.columns:
            blank = self._desk.ask([_blank_task()])[0]
            outcomes, columns = [*outcomes, blank], blank.columns
        seals = []
        if self._grows:
            if progress.columns is None:
                growing = Growing(self.work, delimiter=self._header_delimiter)
                growing.begin(columns)
                growing.close()
        else:
            seals = seal(
                self.work,
                outcomes,
                self._desk.ask,
                volume_of=progress.volume_of,
                format_=self._format,
                codec=self._codec,
                columns=columns,
                delimiter=self._header_delimiter,
            )
        rejects = [outcome.rejects for outcome in outcomes if outcome.rejects is not None]
        self.work.publish(rejects, seals=seals)
        result = self._result(outcomes, rejects, parts=progress.parts)
        self._journal.write("finished", at=time.time(), result=dataclasses.asdict(result))
        return result

    def _result(self, outcomes: Sequence[Outcome], rejects: Sequence[Piece], *, parts: int) -> Result:
        seconds = time.monotonic() - self._began
        rows_in = sum(outcome.rows_in for outcome in outcomes)
        return Result(
            rows_in=rows_in,
            rows_out=sum(outcome.rows_out for outcome in outcomes),
            bad_rows=sum(outcome.bad_rows for outcome in outcomes),
            parts=parts,
            resumed_parts=sum(outcome.task.last - outcome.task.first for outcome in self._resumed),
            workers=self._workers,
            machines=1,
            seconds=round(seconds, 3),
            rows_per_second=round(rows_in / seconds, 1),
            output=self._job.output,
            rejects=self.work.rejects if rejects else None,
            cost=0.0,
        )

    def _say(self, phase: str, progress: Progress | None = None, *, note: str = "") -> None:
        known = sum(part.rows for part in self._inputs.surveyed) if progress is not None else 0
        streams = progress is not None and any(self._inputs.is_stream(source) for source in self._sources)
        self._watch(
            Snapshot(
                phase,
                rows_done=progress.rows_done if progress is not None else 0,
                rows_total=known if progress is not None and not streams else None,
                bad_rows=progress.bad_rows if progress is not None else 0,
                workers=self._workers,
                function_seconds=self._seconds[0],
                worker_seconds=self._seconds[1],
                note=note,
            )
        )


_ROW_BYTES: Final = 64
"""What a Parquet row counts as, where work is measured in bytes."""


def _blank_task() -> Task:
    return Task(number=_NO_ROWS, first=1 << 62, last=1 << 62, file=0, start=0, stop=0, row=0, rows=0, lo=0, hi=0)


def _part(file: int, start: int, stop: int, row: int, rows: int, fault: str) -> Part:  # noqa: PLR0913, PLR0917 (as journaled)
    return Part(file, start, stop, row, rows, fault=fault)


def _columns(columns: Sequence[Column]) -> list[list[Any]]:
    return [[column.name, sorted(column.kinds), column.fixed] for column in columns]


def _read_columns(fields: Sequence[Sequence[Any]]) -> tuple[Column, ...]:
    return tuple(Column(name, frozenset(kinds), fixed) for name, kinds, fixed in fields)


def _fingerprint(job: Job, sources: Sequence[Any], steps: Sequence[tuple[str, str]]) -> dict[str, Any]:
    """Say what the rows of the output depend on; a run is resumed only when none of it has changed."""
    options = job.options
    return {
        "inputs": [[source.path, source.size, source.stamp] for source in sources],
        "steps": [list(step) for step in steps],
        "output": job.output,
        "options": {
            "dtype": options.dtype if isinstance(options.dtype, str | None) else dict(options.dtype),
            "batch_rows": options.batch_rows,
            "format": options.format,
            "dialect": dataclasses.asdict(options.dialect),
        },
        "python": ".".join(map(str, sys.version_info[:2])),
    }


def _differences(before: dict[str, Any], now: dict[str, Any]) -> Iterator[tuple[str, tuple[Any, Any]]]:
    for path, size, stamp in now["inputs"]:
        old = next((one for one in before["inputs"] if one[0] == path), None)
        if old is not None and old != [path, size, stamp]:
            yield f"the input {path!r}", (f"{old[1]} bytes, stamped {old[2]}", f"{size} bytes, stamped {stamp}")
    for (name, code), (old_name, old_code) in zip(now["steps"], before["steps"], strict=False):
        if (name, code) != (old_name, old_code):
            yield f"the function {old_name!r}", (f"code {old_code[:8]}", f"{name!r} with code {code[:8]}")
    for what, value in now.items():
        if before.get(what) != value:
            yield f"the {what}", (before.get(what), value)
