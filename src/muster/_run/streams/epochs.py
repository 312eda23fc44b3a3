"""One process's work on the epochs of a stream: the tasks of each, and what commits it."""

import pickle
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

from muster._files.whole import sync
from muster._formats.chosen import fixed_types
from muster._formats.volumes import Seal, ShareSchema, header
from muster._journal.events import Committed, Settled, Totals
from muster._model import Column, Outcome, Part, Schema
from muster._output.build import check_every_row_is_settled, totals
from muster._output.numbered import NumberedParts, part_name
from muster._progress.allowance import Allowance
from muster._progress.kept_outcomes import KeptOutcomes
from muster._run.asking.questions import Asker
from muster._run.history.past import Past
from muster._run.history.stream_past import StreamPast
from muster._run.tasks.stage import PartsOfStage, Stage
from muster._run.tasks.task_phase import TaskPhase
from muster._run.telling.under_way import UnderWay
from muster._streams.epochs import Epoch
from muster._streams.state_log import StateLog
from muster.errors import DataError, UserCodeError

from .epoch_stages import BetweenEpochs, EpochStages
from .windows import WindowClocks

_FIXED: Final = frozenset({"int64", "uint64", "float64", "bool"})
"""Types that a column keeps from the first epoch on: a value that does not fit makes its row a bad one."""


@dataclass(slots=True)
class Epochs(TaskPhase):
    """Has the epochs done, one after the other, under one schema."""

    asker: Asker
    past: StreamPast
    output: NumberedParts
    silences: Callable[[], Mapping[int, float]]
    """Tells for how long each of several sources has given nothing."""
    log: StateLog | None = None
    """Where steps keep states."""
    _briefing_sent: bytes = b""
    _stages: EpochStages | None = field(default=None, init=False)

    def first_stage(self) -> Stage:
        """Have no parts yet."""
        return self._stage(())

    def _stage(self, parts: Sequence[Part], rows: int = 0) -> Stage:
        before, options = self.past.totals, self.run.job.options
        allowance = Allowance.of(0 if options.strict else options.max_bad_rows)
        return Stage(
            PartsOfStage(parts),
            self.run.job.steps,
            self.run.output_builder.format,
            schema=self.past.schema,
            allowed=allowance.rows(before.rows_in + rows, is_all=False),
            before=before,
        )

    def know_columns(self, columns: Sequence[Column] | None) -> None:
        """Take over the types of an earlier attempt, but for those that the user has chosen since."""
        if columns is None:
            return
        names = [column.name for column in columns]
        chosen = fixed_types(self.run.job.options.dtype, names)
        known = tuple(column._replace(fixed=chosen.get(column.name, column.fixed)) for column in columns)
        self._settle(known, "an earlier attempt, and --dtype" if known != tuple(columns) else "")

    def _settle(self, columns: tuple[Column, ...], by: str) -> None:
        self.run.inputs.columns = columns
        if by:
            self.teller.record.write(Settled(columns, by))

    # One epoch

    def check_columns(self, epoch: Epoch) -> None:
        """Raise ``DataError`` where a file has other columns than those before it; so no row of it is begun."""
        names = [column.name for column in self.run.inputs.columns]
        for stretch in epoch.stretches:
            own = [*stretch.position.order, *(name for name, _ in stretch.keys)]
            names = names or own
            lacks = [name for name in names if name not in own]
            has = [name for name in own if name not in names] if self.run.job.options.reading.usecols is None else []
            if lacks or has:
                raise _other_columns(stretch.name, lacks=lacks, has=has)

    def work(self, epoch: Epoch) -> "Worked":
        """Have an epoch done, up to where it only needs to be committed.

        Raises ``MusterError`` where it cannot be done; it is begun again then.
        """
        inputs = self.run.inputs
        inputs.sources = epoch.sources
        inputs.orders = tuple(stretch.position.order for stretch in epoch.stretches)
        if not inputs.columns or self._has_seen_nothing:
            inputs.observe(self.asker.ask, epoch.parts, everything=True)
            self._settle(inputs.columns, "the first epoch")
        self.teller.observer.under_way = UnderWay(
            [source.name for source in epoch.sources], limit=self.run.job.options.timeout
        )
        return self._worked(epoch, self._done(epoch))

    @property
    def _has_seen_nothing(self) -> bool:
        """Tell whether no row has shown yet what columns hold, as none could be read: types are settled anew then."""
        return not self.past.totals.parts and not any(one.kinds or one.fixed for one in self.run.inputs.columns)

    @property
    def has_end(self) -> bool:
        """Tell whether rows have come to states since ``at_end`` was called."""
        states = self.past.states
        return states is not None and not states.is_end

    def end(self) -> None:
        """Have ``at_end`` called, as the stream ends; what it gives is an epoch without rows of the input."""
        self._do_without_rows(ends=True)

    def close_windows(self) -> bool:
        """Have windows closed that are due, in an epoch without rows of the input; tell whether any may have been."""
        if self.log is None or not self.past.totals.epochs or not self._with_states.has_due_windows:
            return False
        self._do_without_rows(closes=True)
        return True

    @property
    def watermark(self) -> int | None:
        """Tell up to when windows are closed, in microseconds since 1970; ``None`` where no time closes any."""
        if self.log is None or not self.past.totals.epochs:
            return None
        return self._with_states.kept.windows.watermark

    @property
    def late_rows(self) -> int:
        """Count the rows that came too late for their window."""
        states = self.past.states
        return sum(one.late_rows for one in states.windows.values()) if states is not None else 0

    def _do_without_rows(self, *, ends: bool = False, closes: bool = False) -> None:
        """Do an epoch that has no rows of the input, and commit it unless nothing came of it."""
        epoch = Epoch(self.past.totals.epochs + 1, (), (), ())
        self.run.inputs.sources = self.run.inputs.orders = ()
        outcomes = self._with_states.work_on(self._stage(epoch.parts), ends=ends, closes=closes)
        if any(one.output is not None or one.states is not None for one in outcomes):
            self.commit(self._worked(epoch, outcomes))
        else:
            self._be_idle()

    def commit(self, worked: "Worked") -> None:
        """Commit an epoch; that of a stream without states beside the next one, which is being worked on."""
        committed, sizes = worked.committed, self.output.sizes()
        size, digest = self._seal(worked) if committed.part else (0, "")
        if worked.rejects:
            self.output.gather(committed.number, worked.rejects)
        committed = committed._replace(bytes=size, sha256=digest, rejects_at=sizes.rejects, manifest_at=sizes.manifest)
        self.teller.record.write(committed, durable=True)
        self.output.publish(committed, is_new=True)
        self.past.committed = committed
        if self.log is not None:
            self.log.tidy()
            self._be_idle()
        for piece in worked.left:
            piece.unlink(missing_ok=True)  # another epoch may have seen it, too

    def _be_idle(self) -> None:
        """Count from what is committed; the numbers of tasks go on. Machines need not keep rows any longer."""
        self._with_states.forget_blocks()
        last, self.stage = self._with_states.loop.progress.last_number, self._stage(())
        self.loop = self._new_loop(last)
        self.teller.rows = self.loop.progress

    @property
    def _with_states(self) -> EpochStages:
        """Give the stages, which are made with the first epoch."""
        if self._stages is None:
            if self.log is None:
                raise ValueError("stages without a log of states")
            attempt = replace(self.attempt, tries_before=self.number)
            done = self.past.states.windows if self.past.states else {}
            windows = WindowClocks(self.run.job, done, self.silences)
            kept = BetweenEpochs(self.log, windows, {})
            self._stages = EpochStages(attempt, Past(), self.asker, self.past, kept, keep_types=self._keep_types)
        return self._stages

    def _done(self, epoch: Epoch) -> list[Outcome]:
        """Have the tasks of an epoch done; give what the output and the rejects are made of."""
        if self.log is not None:
            return self._with_states.work_on(self._stage(epoch.parts, epoch.rows), origin=epoch.origin)
        self._work_on(epoch)
        check_every_row_is_settled(epoch.parts, done=self.loop.progress.rows_done - self.past.totals.rows_in)
        return self.loop.progress.outcomes

    def _work_on(self, epoch: Epoch) -> None:
        while True:
            hindsight = self.loop.harvest.hindsight
            self.stage = self._stage(epoch.parts, epoch.rows)
            self.loop = self._new_loop(self.loop.progress.last_number)
            self.loop.harvest.hindsight = hindsight
            self._brief()
            if (misfit := self.loop.work(KeptOutcomes())) is None:
                return
            self._keep_types(misfit)

    def _brief(self) -> None:
        """Brief workers where they do not know yet what this epoch takes."""
        briefing = pickle.dumps(self._briefing())
        if briefing != self._briefing_sent:
            self.stage_workplace.brief(briefing)
            self._briefing_sent = briefing

    def _keep_types(self, misfit: Outcome) -> None:
        """Have rows with values that do not fit be bad ones. Raises ``DataError`` where a type cannot tell them."""
        from muster._formats.rows import type_of  # with Arrow, which a stream of text needs for nothing else

        columns = {column.name: column for column in self.run.inputs.columns}
        for name in misfit.misfits:
            kind = type_of(columns[name])
            if kind not in _FIXED:
                raise _does_not_fit(name, kind)
            columns[name] = columns[name]._replace(fixed=kind)
            self.teller.note(
                f"{name!r} is {kind}, as in the first epoch, and has values now that are not: their rows are bad ones."
                f" To have later ones done, say what it holds, {_wider(name, kind)}, and type the same command again"
                " with --accept-changes"
            )
        self._settle(tuple(columns.values()), "the first epoch, for good")

    # Its end

    def _worked(self, epoch: Epoch, outcomes: Sequence[Outcome]) -> "Worked":
        """Tell what the epoch adds to the stream; what comes behind it counts from there."""
        counted, before, schema = totals(outcomes), self.past.totals, self._schema()
        format_ = self.stage.format
        name = part_name(before.parts, format_) if counted["rows_out"] and schema else ""
        agreed = self._agreed(outcomes) if name else b""
        committed = Committed(
            epoch.number,
            [stretch.position for stretch in epoch.stretches],
            Totals(
                before.epochs + 1,
                before.parts + bool(name),
                before.rows_in + counted["rows_in"],
                before.rows_out + counted["rows_out"],
                before.bad_rows + counted["bad_rows"],
            ),
            name,
            counted["rows_out"],
            schema=schema if schema != self.past.schema else None,
            agreed=agreed if agreed != self.past.agreed else b"",
            states=self._with_states.done(outcomes, epoch=epoch.number) if self.log is not None else None,
        )
        self.past.add(committed)
        return Worked(
            epoch,
            committed,
            format=format_,
            pieces=self._pieces(outcomes),
            rejects=[self.run.work.parts / one.rejects.name for one in outcomes if one.rejects is not None],
            schema=schema,
            agreed=agreed,
            left=[*self.run.work.parts.iterdir()],
        )

    def _schema(self) -> Schema | None:
        """Tell what all results look like. Raises ``UserCodeError`` where some have a column that a part lacks."""
        before, schema = self.past.schema, (self._stages or self).loop.progress.schema
        if before is None or schema is None or len(before.columns) == len(schema.columns):
            return schema
        if not self.past.totals.parts:  # only frames without rows came before: nothing is written that lacks a column
            return schema
        new = [name for name in schema.columns if name not in before.columns]
        raise UserCodeError(
            f"The function gives the column{'s' if len(new) > 1 else ''} {', '.join(map(repr, new)) or 'twice'} now,"
            f" which no part before has. Have it give the same columns whatever rows it gets,"
            " .reindex(columns=[...]), and type the same command again with --accept-changes."
        )

    def _pieces(self, outcomes: Sequence[Outcome]) -> tuple[str, ...]:
        return tuple(str(self.run.work.parts / one.output.name) for one in outcomes if one.output is not None)

    def _agreed(self, outcomes: Sequence[Outcome]) -> bytes:
        if self.stage.format != "parquet":
            return b""
        return self.past.agreed or ShareSchema((self._pieces(outcomes),)).answer()[0]

    def _seal(self, worked: "Worked") -> tuple[int, str]:
        """Write the part of an epoch up to where it only needs to be put in its place."""
        name, format_ = worked.committed.part, worked.format
        path, columns = self.output.sealed(name), worked.schema.columns if worked.schema else ()
        has_header = format_ == "csv" and not self.run.inputs.dialect.is_numbered
        head = header(columns, delimiter=self.run.output_builder.delimiter) if has_header else b""
        made = Seal(
            pieces=worked.pieces, output=str(path), format=format_, codec="", header=head, schema=worked.agreed
        ).answer()
        sync(Path(path))
        self.output.share(name)
        sync(Path(path).parent)  # its names, too, before the journal says that it is there
        return made


@dataclass(frozen=True, slots=True)
class Worked:
    """An epoch whose tasks are done, and that is not committed yet."""

    epoch: Epoch
    committed: Committed
    """All but what is known once its part is written."""
    format: str
    pieces: tuple[str, ...]
    rejects: Sequence[Path]
    schema: Schema | None
    agreed: bytes
    left: Sequence[Path]
    """What its tasks have left, which goes in the end."""


def _other_columns(name: str, *, lacks: Sequence[str], has: Sequence[str]) -> DataError:
    said = [f"lacks {', '.join(map(repr, lacks))}"] if lacks else []
    said += [f"has {', '.join(map(repr, has))} besides"] if has else []
    return DataError(
        f"{name!r} has other columns than the stream had so far: it {' and '.join(said)}. No row of it is"
        " done. Mend its header, or move it away, and type the same command again; or give it a stream of its own."
    )


def _wider(name: str, kind: str) -> str:
    """Say the types that take what no column of this one does."""
    text = f"such as dtype={{{name!r}: 'str'}}"
    return text if kind == "float64" else f"{text}, or 'float64' for numbers with decimals or gaps"


def _does_not_fit(name: str, kind: str) -> DataError:
    return DataError(
        f"{name!r} was read as {kind} since the first epoch, and has a value now that is not. Say what it holds,"
        f" such as dtype={{{name!r}: 'str'}}, and type the same command again with --accept-changes."
    )
