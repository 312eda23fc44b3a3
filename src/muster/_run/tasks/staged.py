"""One process's work on a run that has groups: several stages, each of which goes on where an earlier attempt was.

The first stage reads the input. Behind it, each step that gets rows by their keys takes two stages. In one, rows are
read from the lanes of their keys, and the step is called, lane by lane. In the other, the results are put in order, and
the steps behind it are called; what these give goes to the lanes of the next key, or to the output. A stage begins when
the one before it is done; its parts are journaled, so that another attempt cuts nothing otherwise.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final, TypeVar

from muster._engines.base import UnreadError
from muster._formats.gaps import LocateGroups, Looks
from muster._formats.holders import BETWEEN
from muster._formats.lanes import Arrange, CountGroups, CutLane, Settle, Weighed, WeighLanes
from muster._formats.settled import Ranking
from muster._journal import events
from muster._model import (
    NO_FILE,
    PLACES_TOGETHER,
    Block,
    Column,
    Exchange,
    Gap,
    LaneShare,
    Outcome,
    Part,
    PlaceRange,
    Schema,
    StageDone,
    StageKind,
    StepChain,
    StoredStates,
)
from muster._progress.kept_outcomes import KeptOutcomes
from muster._run.asking.questions import Asker
from muster._run.history.past import Later, Past
from muster._run.staffing.keepers import InTheFolder, Keeper
from muster._words import plural, size
from muster.errors import EngineError, UserCodeError

from .loop import Loop
from .measured import check_grouping, check_measures, check_window, key_of
from .stage import PartsOfStage, Stage, is_whole
from .task_phase import TaskPhase

_LANE_BYTES: Final = 64 << 20
"""How much of a lane is in a worker's memory at a time, unless it is of one key: several times as much is needed."""

_STRETCH_BYTES: Final = 1 << 20
"""How much of the results is put in order together, at least."""

_ONLY_SOME: Final = (
    "only some rows are done, so groups and states are of these alone; nobody can tell from them what all rows would"
    " take, as the rest may have other keys"
)

_Done = TypeVar("_Done")


@dataclass(slots=True)
class StagedTaskPhase(TaskPhase):
    """Has the stages done, one after the other."""

    past: Past
    asker: Asker
    """Who is asked what the work folder alone tells."""
    _told: list[StageDone] = field(default_factory=list, init=False)
    _done: list[tuple[Stage, Loop]] = field(default_factory=list, init=False)
    """The stages that are done, by their numbers: what they made may have to be made again."""

    @property
    def _last(self) -> int:
        """Number the last stage."""
        return 2 * len(self.run.job.exchanges)

    @property
    def stages_done(self) -> Sequence[StageDone]:
        """Tell what the stages came to."""
        return self._told

    @property
    def has_gaps(self) -> bool:
        """Tell whether it is known where in the output groups are missing that failed."""
        return bool(self.past.later.exchanged[self._last].gaps)

    def first_stage(self) -> Stage:
        """Read the input, and send rows to the lanes of their keys."""
        stages, exchange = self.run.job.chains, self._exchange(0)
        steps = stages[0].steps
        if exchange.grouping.has_own and not steps:
            exchange = exchange._replace(begins_own=True)
        begins = stages[1].steps[:1] if exchange.begins_own else ()
        return Stage(self.attempt.input_reader, steps, BETWEEN, is_last=False, exchange=exchange, begins=begins)

    def outcomes(self) -> list[Outcome]:
        """List what the output, and the rejects, are made of. Rows of the input are counted in the first stage."""
        before = (_without_block(one, stage) for stage, loop in self._done for one in loop.progress.outcomes)
        return [*before, *(one._replace(rows_in=0) for one in self.loop.progress.outcomes)]

    def work_through(self, kept: KeptOutcomes) -> None:
        """Have all stages done, but for what was ``kept`` of the first, and what the past kept of the others."""
        self._check_columns()
        if self.run.job.options.limit or self.run.job.options.sample:
            self.teller.say(note=_ONLY_SOME)
        tries, left = self.number, self._left(0, kept)
        self._name_stage()
        super(StagedTaskPhase, self).work_through(left)
        if self.number != tries:  # the types of columns were widened, so nothing counts that was done before
            self.past.later = Later()
        for number in range(1, self._last + 1):
            if self.stage.steps and not is_whole(self.stage.feed.fed, left.values()):
                self._forget(number)
            self._begin(number)
            left = self._left(number, self.past.later.kept.get(number, KeptOutcomes()))
            super(StagedTaskPhase, self).work_through(left)
            self._forget_blocks(number)
        self._tell_of_stage()

    def _check_columns(self) -> None:
        """Raise ``UsageError`` or ``DataError`` where the input has not the columns that the first key needs."""
        by, steps, inputs = self._exchange(0).grouping, self.run.job.chains[0].steps, self.run.inputs
        if not inputs.columns:
            return
        if not steps:
            check_grouping(by, [column.name for column in inputs.columns])
            check_measures(by, inputs, self.asker.ask)
        elif len(steps) == 1 and by.window is not None:  # its step is the only one
            check_window(by, inputs, self.asker.ask)

    def _name_stage(self) -> None:
        """Have a bar, and whoever hears of rows that are no file's, know which stage it is at."""
        self.teller.stage = self.teller.observer.under_way.stage = self._stage_name

    @property
    def _stage_name(self) -> str:
        return f"stage {self.stage.number + 1} of {self._last + 1}"

    def _tell_of_stage(self) -> None:
        """Journal what a stage came to, for those who look; another attempt that goes on behind it tells it, too."""
        done, exchange = self.loop.progress.outcomes, self.stage.exchange
        lanes = Counter[int]()
        if exchange is not None and exchange.does is StageKind.GROUPING:
            for part, share in zip(self.stage.feed.fed, exchange.shares, strict=False):
                lanes[share.lane] += part.rows
        told = StageDone(
            number=self.stage.number + 1,
            stages=self._last + 1,
            does=self._does(),
            rows_in=sum(one.rows_in for one in done),
            rows_out=sum(one.rows_out for one in done),
            bytes=sum(one.output.bytes for one in done if one.output),
            lanes=len(lanes),
            largest=max(lanes.values(), default=0),
            median=sorted(lanes.values())[len(lanes) // 2] if lanes else 0,
        )
        self._told.append(told)
        self.teller.record.write(told)

    def _does(self) -> str:
        """Say in a few words what the stage does."""
        number, names = self.stage.number, ", ".join(step.name for step in self.stage.steps)
        if number % 2 == 0:
            does = "puts in order" if number else "reads"
            return f"{does}, then {names}" if names else does
        key = ", ".join(self.run.job.exchanges[number // 2].by.columns)
        return f"{names} by {key}" if key else f"{names} of all rows"

    def _keeper(self, number: int) -> Keeper:
        """Say who keeps what a stage reads: where machines do it, they do."""
        if self._is_at_home(number):
            return InTheFolder(self.asker.ask)
        return self.workplace.keeper(self.teller, self.asker)

    def _is_at_home(self, number: int) -> bool:
        """Tell whether a stage only puts the output in order, which is on this computer.

        So what it reads comes home, and machines that do not see this computer's files have no part in it.
        """
        return number == self._last and not self._chain(number).steps[1:]

    def _forget_blocks(self, number: int) -> None:
        """Have blocks removed that are not read any more, now that a stage is done.

        Where its own may be lost, they are made again of those that it has read: then all are kept for longer.
        """
        if number == self._last or self._keeper(number + 1).may_lose:
            return
        for stage in [*(one for one, _ in self._done), self.stage]:
            if stage.exchange is not None and (stage.number == number or self._keeper(stage.number).may_lose):
                self._keeper(stage.number).forget(stage.exchange.blocks)

    # What is lost with a machine

    def _work(self, kept: KeptOutcomes) -> Outcome | None:
        """Have the tasks of the stage done, or return the outcome of which a type turned out too narrow."""
        once, maker = [kept], self.stage.number - 1
        return self._until_read(
            lambda: super(StagedTaskPhase, self)._work(once.pop() if once else KeptOutcomes()), maker
        )

    def _until_read(self, do: Callable[[], _Done], maker: int) -> _Done:
        """Do what reads the blocks of the stage ``maker``; where some are gone with their machine, first make these."""
        while True:
            try:
                return do()
            except UnreadError as error:
                self._make_again(maker, error)

    def _make_again(self, maker: int, error: UnreadError) -> None:
        """Go back to the stage ``maker`` for blocks that are gone, and then on with the one that reads them."""
        stage, loop = self.stage, self.loop
        is_done = maker < stage.number  # else the next stage is not begun: what it is cut into is asked for
        if is_done:
            self.stage, self.loop = self._done[maker]
        self._make_blocks_again(error, behind=loop.progress.last_number)
        if is_done and stage.exchange is not None:
            self._done[maker] = self.stage, self.loop
            loop.progress.number_behind(self.loop.progress.last_number)
            self.stage, self.loop = replace(stage, exchange=stage.exchange._replace(blocks=self._blocks())), loop
            self._name_stage()

    def _make_blocks_again(self, error: UnreadError, *, behind: int) -> None:
        """Do the tasks of the stage again whose blocks are gone, no others; blocks that these read may be gone, too."""
        before, names = self._counted(), [Path(block.path).name for block in self._blocks()]
        gone = self._keeper(self.stage.number + 1).gone(names)
        if not gone:
            raise EngineError(
                f"A machine cannot read what the others keep, and all of it is there: {error}. Look at that machine,"
                " then type the same command again. What was done is kept."
            ) from error
        self._name_stage()
        self.teller.say(note=f"{error}; {plural(len(gone), 'task')} of {self._stage_name} are done again")
        self.loop.progress.number_behind(behind)
        self.loop.lose(lambda one: one.output is not None and one.output.name in gone)
        if self._work(KeptOutcomes()) is not None or self._counted() != before:
            names_of_steps = ", ".join(repr(step.name) for step in self.stage.steps) or "the input"
            raise UserCodeError(
                f"A machine was lost, so its rows were made again, and {names_of_steps} gave other rows when it was"
                " called again. So nobody knows which groups are right. Have it give the same rows each time, without"
                " random numbers or a clock, then type the same command again with --fresh."
            )

    def _counted(self) -> object:
        """Count the rows that the stage has given to each lane, or for each group."""
        blocks, exchange = tuple(block.path for block in self._blocks()), self.stage.exchange
        if exchange is not None and exchange.does is StageKind.GROUPING:
            return self.asker.ask([CountGroups(blocks)])[0]
        return self.asker.ask([WeighLanes(blocks)])[0][0]

    def _forget(self, number: int) -> None:
        """Forget stages that an earlier attempt has begun, as one before them was done anew: for good."""
        if number in self.past.later.exchanged:
            self.past.later.forget(number)
            self.teller.record.write(events.Exchanged(number, (), ()), durable=True)

    def _left(self, number: int, kept: KeptOutcomes) -> KeptOutcomes:
        """Choose what still lies there of a stage; its blocks are removed once all that reads them is done."""
        is_read, is_away = self._is_past(number + 1), number < self._last and self._keeper(number + 1).may_lose
        return KeptOutcomes(one for one in kept.values() if self._is_left(one, is_read=is_read, is_away=is_away))

    def _is_left(self, outcome: Outcome, *, is_read: bool, is_away: bool) -> bool:
        """Tell whether what came of a task is there still; blocks end with the machines that keep them."""
        if is_away and not is_read and outcome.output is not None:
            return False
        return self.run.work.is_intact(outcome._replace(output=None) if is_read else outcome, self.past.locations)

    def _is_past(self, number: int) -> bool:
        """Tell whether an earlier attempt has done a stage, and it needs not be done again."""
        exchanged, kept = self.past.later.exchanged.get(number), self.past.later.kept.get(number)
        if exchanged is None or kept is None or number > self._last:
            return False
        return is_whole(exchanged.parts, self._left(number, kept).values())

    def _begin(self, number: int) -> None:
        """End a stage, and begin the one behind it, which reads its blocks."""
        self.check_settled()
        self._tell_of_stage()
        known = self._until_read(lambda: self._cut(number), number - 1)
        exchange = self._exchange(number, self._blocks())
        ended = self.loop.progress
        self._done.append((self.stage, self.loop))
        hindsight, stage = self.loop.harvest.hindsight, self._chain(number)
        self.stage = Stage(
            PartsOfStage(known.parts),
            stage.steps[:1] if exchange.does is StageKind.GROUPING else stage.steps[1:],
            BETWEEN if exchange.goes_on else self.run.output_builder.format,
            number,
            is_last=number == self._last,
            exchange=exchange._replace(
                shares=tuple(one for one in known.shares if isinstance(one, LaneShare)),
                places=tuple(one for one in known.shares if isinstance(one, PlaceRange)),
                schema=known.schema,
                agreed=known.agreed,
                gaps=tuple(known.gaps),
            ),
            is_at_home=self._is_at_home(number),
            columns=tuple(known.columns) if known.agreed else None,
            schema=self._expected(number, known),
            bad_rows=ended.bad_rows,
            allowed=ended.allowed,
            before=self.stage.before,
        )
        self._name_stage()
        self.loop = self._new_loop(ended.last_number)
        self.loop.harvest.hindsight = hindsight

    def _expected(self, number: int, known: events.Exchanged) -> Schema | None:
        """Say what all results of a stage look like, where that is known before."""
        return known.schema if self._is_at_home(number) else None

    def _chain(self, number: int) -> StepChain:
        return self.run.job.chains[(number + 1) // 2]

    def _exchange(self, number: int, blocks: tuple[Block, ...] = ()) -> Exchange:
        """Say what workers must know of a stage."""
        job, inputs = self.run.job, self.run.inputs
        at = (number + 1) // 2
        is_read, is_last = number % 2 == 1, number == self._last
        by = job.exchanges[at - 1 if is_read or is_last else at]
        does = StageKind.of(number)
        before = job.exchanges[at - 1].at + (does is StageKind.ORDERING) if number else 0
        stored = StoredStates() if is_read and by.has_state else None
        goes_on = not (is_last or self._is_at_home(number + 1))
        exchange = Exchange(by.by, does, stored, goes_on, blocks=blocks, before=before)
        if is_last:
            exchange = exchange._replace(steps=job.steps, columns=inputs.columns)
        return exchange._replace(ranks=self._ranks(number)) if does is StageKind.ORDERING else exchange

    def _ranks(self, number: int) -> str:
        """Name the file that says the ranks of the sorted keys whose groups a stage puts in order."""
        by = self.run.job.exchanges[number // 2 - 1].by
        return str(self.run.work.parts / f"ranks-{number}") if by.sort else ""

    def _blocks(self) -> tuple[Block, ...]:
        """List the blocks that the stage has written, in order; of rows, each with how many rows are before it."""
        outcomes, exchange = self.loop.progress.outcomes, self.stage.exchange
        if exchange is not None and exchange.does is StageKind.GROUPING:
            bases = [0] * len(outcomes)
        elif self.stage.number or self.stage.steps:
            bases = _sums_before(one.rows_out for one in outcomes)
        else:
            return self._blocks_of_input()
        return tuple(
            Block(str(self.run.work.parts / one.output.name), base)
            for one, base in zip(outcomes, bases, strict=True)
            if one.output is not None
        )

    def _blocks_of_input(self) -> tuple[Block, ...]:
        sources, bases, rows = self.run.inputs.sources, dict[int, int](), 0
        for part in self.attempt.input_reader.fed:
            base = bases.setdefault(part.file, rows)
            rows = base + part.row + part.rows  # of a sample, not all rows before it are there
        return tuple(
            Block(str(self.run.work.parts / one.output.name), bases[one.task.file], sources[one.task.file].name)
            for one in self.loop.progress.outcomes
            if one.output is not None
        )

    # What stages are cut into

    def _cut(self, number: int) -> events.Exchanged:
        """Say what a stage is cut into, as an earlier attempt did, if it was begun.

        Without parts, it was forgotten, or nothing was to be done: to cut it again takes no time. Where groups are
        sorted, their ranks must still be there, which are a file of their own: cutting writes it.
        """
        exchange, known = self._exchange(number, self._blocks()), self.past.later.exchanged.get(number)
        has_ranks = not exchange.ranks or Path(exchange.ranks).exists()
        if known is not None and known.parts and has_ranks:
            return known
        return (self._weighed if exchange.does is StageKind.GROUPING else self._arranged)(number, exchange)

    def _weighed(self, number: int, exchange: Exchange) -> events.Exchanged:
        """Cut the rows of blocks into lanes, and a lane that is too large for memory into shares of it."""
        paths = tuple(block.path for block in exchange.blocks)
        rows, sizes = self.asker.ask([WeighLanes(paths)])[0]
        columns, agreed = self._columns(number, paths)
        most = self.run.job.options.part_bytes or _LANE_BYTES
        lanes = [Weighed(LaneShare.of(lane), count, sizes[lane]) for lane, count in enumerate(rows) if count]
        large = [] if exchange.has_state else [lane for lane in lanes if lane.bytes > most]
        key = exchange.grouping.columns
        questions = [
            CutLane(paths, lane.share.lane, key, columns, bytes=lane.bytes, most=most, agreed=agreed) for lane in large
        ]
        cut = dict(zip([lane.share.lane for lane in large], self._keeper(number).ask(questions), strict=True))
        shares = [one for lane in lanes for one in cut.get(lane.share.lane, [lane])]
        what = f"{plural(sum(rows), 'row')} ({size(sum(sizes))}), in {plural(len(lanes), 'lane')}"
        self.teller.say(note=f"the next stage reads {what}")
        listed = [(one.share, one.rows, one.bytes) for one in shares]
        return self._journaled(events.Exchanged(number, (), (), None, columns if agreed else (), agreed), listed)

    def _columns(self, number: int, paths: tuple[str, ...]) -> tuple[tuple[Column, ...], bytes]:
        """Say which columns the rows have that lie in lanes; what steps have made of them is settled first."""
        if number == 1 and not self.stage.steps:
            columns, by = self.run.inputs.columns, self._exchange(0).grouping
            return key_of(by.columns, columns) if by.measures else columns, b""
        return self._settled(number, paths)

    def _settled(self, number: int, paths: tuple[str, ...]) -> tuple[tuple[Column, ...], bytes]:
        """Settle what steps have made. Raises ``UsageError`` where that lacks a column which rows are grouped by next.

        Workers raise that, too, as soon as they have such rows; here it is known also where there is none.
        """
        columns, agreed, seen = self.asker.ask([Settle(paths, self._seen_before(number))])[0]
        self._see(number, seen)
        by, stage = self._exchange(number).grouping, self.run.job.chains[number // 2]
        is_read_next = number % 2 == 1 or (number < self._last and not stage.steps[1:])
        if agreed and is_read_next:
            check_grouping(by, [column.name for column in columns], step=stage.steps[-1].name)
        return columns, agreed

    def _seen_before(self, number: int) -> bytes:
        """Tell what earlier results of steps looked like that those which a stage reads have to agree with: none."""
        del number
        return b""

    def _see(self, number: int, seen: bytes) -> None:
        """Take note of what the results looked like that a stage reads."""

    def _arranged(self, number: int, exchange: Exchange) -> events.Exchanged:
        """Cut the results into stretches of the output's order."""
        paths = tuple(block.path for block in exchange.blocks)
        options, has_steps = self.run.job.options, not self._is_at_home(number)
        batch_rows = options.batch_rows if has_steps else None
        width = PLACES_TOGETHER if self.run.job.exchanges[number // 2 - 1].has_state else 1
        size = options.part_bytes or (self._stretch_bytes if has_steps else _STRETCH_BYTES)
        question = Arrange(paths, size, self._ranking(number), batch_rows, width)
        columns, agreed = self._settled(number, paths) if has_steps else ((), b"")
        schema, stretches, of_a_row = self.asker.ask([question])[0]
        listed = [(share, rows, rows * of_a_row) for share, rows in stretches]
        gaps, looks = self._located(number, exchange) if self._is_at_home(number) else ((), ())
        exchanged = events.Exchanged(number, (), (), schema, columns, agreed, gaps, looks)
        return self._journaled(exchanged, listed)

    def _located(self, number: int, exchange: Exchange) -> tuple[Sequence[Gap], Sequence[Looks]]:
        """Find out where groups are missing that failed, for a retry of them, and where each look of results begins."""
        failed = [group for one in self.loop.progress.outcomes for group in one.failed]
        if not failed:
            return (), ()
        paths = tuple(block.path for block in exchange.blocks)
        question = LocateGroups(paths, self._ranks(number), tuple(group.place for group in failed))
        listed, looks = self.asker.ask([question])[0]
        return [Gap(failed[at].place, failed[at].hash, row) for at, row in listed], looks

    @property
    def _stretch_bytes(self) -> int:
        """Tell how much of the results steps get together, at least."""
        return _STRETCH_BYTES

    def _ranking(self, number: int) -> Ranking | None:
        """Say how keys are sorted, and where their ranks are written down; ``None`` where groups are not sorted."""
        path = self._ranks(number)
        if not (path and self._blocks()):  # without a result, nobody may know the columns of the key
            return None
        columns = self.run.inputs.columns if self.stage.columns is None else self.stage.columns
        grouping = self._exchange(number - 1).grouping
        is_numbered = self.stage.columns is None and self.run.inputs.worker_dialect.is_numbered
        return Ranking(path, grouping, key_of(grouping.columns, columns), is_numbered)

    def _journaled(
        self, exchanged: events.Exchanged, listed: Iterable[tuple[LaneShare | PlaceRange, int, int]]
    ) -> events.Exchanged:
        """Make the parts of a stage, and journal them beyond a power cut: what was kept of it is about them."""
        parts, start, row = list[Part](), 0, 0
        shares = list[LaneShare | PlaceRange]()
        for share, rows, weight in listed:
            parts.append(Part(NO_FILE, start, start + max(weight, 1), row, rows))
            shares.append(share)
            start, row = start + max(weight, 1), row + rows
        exchanged = exchanged._replace(parts=parts, shares=shares)
        self.past.later.add(exchanged)
        self.teller.record.write(exchanged, durable=True)
        return exchanged


def _without_block(outcome: Outcome, stage: Stage) -> Outcome:
    """Leave out of what came of a stage before the last what is not of the output; its rows count in the first."""
    rows_in = 0 if stage.number else outcome.rows_in
    return outcome._replace(output=None, schema=None, written=None, rows_out=0, rows_in=rows_in)


def _sums_before(numbers: Iterable[int]) -> list[int]:
    """Add up all numbers that stand before each."""
    sums, total = [], 0
    for number in numbers:
        sums.append(total)
        total += number
    return sums
