"""The stages of one epoch after another, where rows of a stream come to steps that keep states.

They are those of a run over files, with three differences: rows are numbered on from the epoch before, states begin as
it has left them, and nothing is journaled before the epoch is committed: an epoch that was begun is done anew.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Final, NamedTuple

from muster._formats.holders import BETWEEN
from muster._formats.lanes import WeighLanes
from muster._journal import events
from muster._journal.events import StatesDone
from muster._model import LANES, NO_FILE, Block, Column, Exchange, LaneShare, Outcome, Part, PlaceRange, Schema
from muster._output.build import check_every_row_is_settled
from muster._progress.kept_outcomes import KeptOutcomes
from muster._progress.schema import united
from muster._run.history.stream_past import StreamPast
from muster._run.tasks.measured import check_grouping, check_windows_of
from muster._run.tasks.stage import Stage
from muster._run.tasks.staged import StagedTaskPhase
from muster._run.tasks.task_phase import TaskPhase
from muster._streams.state_log import StateLog

from .windows import WindowClocks

_STRETCH_BYTES: Final = 16 << 10
"""How much of an epoch's results steps get together, at least: so little that all workers have some of a small epoch.

It was a MiB, and 8,000 short rows for a step that took 1 ms for each were with one of 4 workers, for 9 s; now 2.9 s.
As places are counted together, no stretch has fewer than 1,024 rows, but for the last one.
"""


class BetweenEpochs(NamedTuple):
    """What is kept from epoch to epoch."""

    log: StateLog
    windows: WindowClocks
    checked: dict[int, object]
    """Which columns came to windows when they were looked at last."""


@dataclass(slots=True)
class EpochStages(StagedTaskPhase):
    """Has the stages of an epoch done, and gathers what has become of states."""

    stream: StreamPast
    kept: BetweenEpochs
    keep_types: Callable[[Outcome], None]
    """What is done where a value does not fit the types of the first epoch."""
    ends: bool = field(default=False, init=False)
    """Whether the stream ends with this epoch."""
    _given: list[int] = field(default_factory=list, init=False)
    """How many rows each stage of this epoch gave, but for the last."""
    _seen: dict[int, bytes] = field(default_factory=dict, init=False)
    """What the results of steps look like that stages read."""

    def first_stage(self) -> Stage:
        """Have no rows yet."""
        return Stage(self.attempt.input_reader, (), "", before=self.stream.totals)

    def work_on(
        self, first: Stage, *, ends: bool = False, closes: bool = False, origin: int | None = None
    ) -> list[Outcome]:
        """Do the stages of an epoch, whose rows the first one reads; give what output and rejects are made of.

        ``origin`` is the source of all its rows, where there are several.
        """
        stages, self._given, self._done = self.run.job.chains, [], []
        self.ends = ends
        self.kept.windows.begin(closes=closes)
        self._check_columns()
        hindsight, last = self.loop.harvest.hindsight, self.loop.progress.last_number
        exchange = self._exchange(0)
        first = replace(first, steps=stages[0].steps, format=BETWEEN, is_last=False, exchange=exchange, schema=None)
        self.stage = first
        self.loop = self.first = self._new_loop(last)
        self.loop.harvest.hindsight = hindsight
        TaskPhase.work_through(self, KeptOutcomes())
        for number in range(1, self._last + 1):
            self._begin(number)
            TaskPhase.work_through(self, KeptOutcomes())
        self.check_settled()
        outcomes = self.outcomes()
        self.kept.windows.take(outcomes, has_rows=not (ends or closes), origin=origin)
        return outcomes

    @property
    def has_due_windows(self) -> bool:
        """Tell whether a lane may have a window that is to be closed."""
        return any(self._due_lanes(number) for number in range(1, self._last + 1, 2))

    def _due_lanes(self, number: int) -> list[int]:
        return self.kept.windows.due(number, self.kept.log.stored(number, ends=False).lanes)

    def done(self, outcomes: Iterable[Outcome], *, epoch: int) -> StatesDone:
        """Have the log say what became of states, beyond a power cut; tell up to where it counts."""
        self.kept.log.append(
            (self.run.work.parts / one.states.name for one in outcomes if one.states is not None), epoch=epoch
        )
        given = [sum(two) for two in zip(self._given_before, self._given, strict=True)]
        seen = {number: own for number, own in self._seen.items() if own != self._seen_before(number)}
        return StatesDone(
            *self.kept.log.place, given=given, is_end=self.ends, seen=seen, windows=dict(self.kept.windows.done)
        )

    @property
    def _given_before(self) -> Sequence[int]:
        """Tell how many rows each stage gave in all epochs before."""
        states = self.stream.states
        return states.given if states is not None else [0] * self._last

    def forget_blocks(self) -> None:
        """Have machines remove what they keep of an epoch that is done."""
        self._keeper(1).forget_all()

    def check_settled(self) -> None:
        """Raise ``EngineError`` where a row of a stage has no outcome."""
        done = self.loop.progress.rows_done - self.stream.totals.rows_in
        check_every_row_is_settled(self.stage.feed.fed, done=done)

    def _widen(self, misfit: Outcome) -> None:
        self.keep_types(misfit)
        self.run.work.clear_parts()

    def _name_stage(self) -> None:
        """Name it where rows are no file's; a bar names none, as they change with each epoch, many times a second."""
        self.teller.observer.under_way.stage = self._stage_name

    def _tell_of_stage(self) -> None:
        """Journal nothing before the epoch is committed."""

    # What differs from stages over files

    @property
    def _stretch_bytes(self) -> int:
        """Spread an epoch over all workers."""
        return _STRETCH_BYTES

    def _check_columns(self) -> None:
        """Raise ``MusterError`` where rows have not the columns that the first key, or a measure of its windows, needs.

        What stands behind windows first gets rows as one closes, which may be in hours: nobody should learn it then.
        """
        columns = self.run.inputs.columns
        if not columns or self.run.job.chains[0].steps:
            return
        check_grouping(self._exchange(0).grouping, [column.name for column in columns])
        self._check_windows(0, columns)

    def _check_windows(self, at: int, columns: tuple[Column, ...], agreed: bytes = b"", *, step: str = "") -> None:
        """Raise ``MusterError`` where rows with these columns lack what is asked of the windows that keep them."""
        by, behind = self.run.job.exchanges[at].by, self.run.job.exchanges[at + 1 :]
        window = by.window
        if window is None or self.kept.checked.get(at) == (columns, agreed):
            return
        if window.measures:
            by = by._replace(columns=(*by.columns, *window.columns), measures=window.measures)
        elif behind:
            by = behind[0].by
        self.kept.checked[at] = columns, agreed
        if questions := check_windows_of(by, window, columns, agreed, step=step):
            self.asker.ask(questions)

    def _settled(self, number: int, paths: tuple[str, ...]) -> tuple[tuple[Column, ...], bytes]:
        columns, agreed = super(EpochStages, self)._settled(number, paths)
        if number % 2 and agreed:
            step = self.run.job.chains[number // 2].steps[-1].name
            self._check_windows(number // 2, columns, agreed, step=step)
        return columns, agreed

    def _expected(self, number: int, known: events.Exchanged) -> Schema | None:
        """Have the output look as in the epochs before."""
        expected = super(EpochStages, self)._expected(number, known)
        return self.stream.schema if number == self._last and expected is None else expected

    def _seen_before(self, number: int) -> bytes:
        states = self.stream.states
        return states.seen.get(number, b"") if states is not None else b""

    def _see(self, number: int, seen: bytes) -> None:
        self._seen[number] = seen

    def _begin(self, number: int) -> None:
        self._given.append(sum(one.rows_out for one in self.loop.progress.outcomes))
        super(EpochStages, self)._begin(number)

    def _exchange(self, number: int, blocks: tuple[Block, ...] = ()) -> Exchange:
        exchange = super(EpochStages, self)._exchange(number, blocks)
        if not exchange.has_state:
            return exchange
        stored = self.kept.log.stored(number, ends=self.ends)
        return exchange._replace(stored=replace(stored, clock=self.kept.windows.clock(number)))

    def _blocks(self) -> tuple[Block, ...]:
        blocks, number = super(EpochStages, self)._blocks(), self.stage.number
        if number % 2 or not (number or self.stage.steps):
            return blocks
        return tuple(block._replace(base=block.base + self._given_before[number]) for block in blocks)

    def _blocks_of_input(self) -> tuple[Block, ...]:
        """List the blocks; each begins so that its rows, by their numbers in their file, go on where the stream was."""
        sources, bases, rows = self.run.inputs.sources, dict[int, int](), self.stream.totals.rows_in
        for part in self.stage.feed.fed:
            bases.setdefault(part.file, rows - part.row)
            rows += part.rows
        return tuple(
            Block(str(self.run.work.parts / one.output.name), bases[one.task.file], sources[one.task.file].name)
            for one in self.loop.progress.outcomes
            if one.output is not None
        )

    def _weighed(self, number: int, exchange: Exchange) -> events.Exchanged:
        """Take the lanes that have rows; also those that had some, where the stream ends, or their windows may."""
        paths = tuple(block.path for block in exchange.blocks)
        rows, sizes = self.asker.ask([WeighLanes(paths)])[0]
        columns, agreed = self._columns(number, paths)
        also = set(self.kept.log.stored(number, ends=True).lanes) if self.ends else set[int]()
        also |= set(self._due_lanes(number)) if self.kept.windows.closes else set()
        listed = [(LaneShare.of(lane), rows[lane], sizes[lane]) for lane in range(LANES) if rows[lane] or lane in also]
        return self._journaled(events.Exchanged(number, (), (), None, columns if agreed else (), agreed), listed)

    def _journaled(
        self, exchanged: events.Exchanged, listed: Iterable[tuple[LaneShare | PlaceRange, int, int]]
    ) -> events.Exchanged:
        """Make the parts of a stage, whose rows are numbered on from the epoch before; they are not journaled."""
        number = exchanged.stage
        is_in_order = number % 2 == 0
        parts, start, row = list[Part](), 0, self._given_before[number - 1] if is_in_order else 0
        shares = list[LaneShare | PlaceRange]()
        for share, rows, weight in listed:
            parts.append(Part(NO_FILE, start, start + max(weight, 1), row, rows))
            shares.append(share)
            start, row = start + max(weight, 1), row + rows
        schemas = [one for one in (self.stream.schema, exchanged.schema) if one is not None]
        is_output = number == self._last and schemas
        return exchanged._replace(parts=parts, shares=shares, schema=united(schemas) if is_output else exchanged.schema)
