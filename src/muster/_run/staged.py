"""One process's work on a run that has groups: three stages, each of which goes on where an earlier attempt was.

First rows are read and sent to the lanes of their keys. Then the function is called on each group, lane by lane. At
last the results are put in the order of the output. A stage begins when the one before it is done; its parts are
journaled, so that another attempt cuts nothing otherwise.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from muster._formats.lanes import Arrange, CutLane, Ranking, Weighed, WeighLanes
from muster._journal import events
from muster._model import GROUPING, NO_FILE, ORDERING, SPLITTING, Block, Exchange, Outcome, Part, Schema, Share, Target
from muster._near import nearest
from muster._progress.stretches import Kept
from muster._words import plural, size
from muster.errors import UsageError

from .attempt import Attempt
from .course import Course, PartsOfStage, is_whole
from .past import Later, Past

_LANE_BYTES: Final = 64 << 20
"""How much of a lane is in a worker's memory at a time, unless it is of one key: several times as much is needed."""

_STRETCH_BYTES: Final = 1 << 20
"""How much of the results is put in order together, at least."""

_MOST_NAMES: Final = 20

_IN_GROUPS, _IN_ORDER = 1, 2
"""The stages behind the first."""


@dataclass(slots=True)
class StagedAttempt(Attempt):
    """Has the stages done, one after the other."""

    past: Past
    ask: Callable[[Sequence[Any]], list[Any]]
    _before: list[Outcome] = field(default_factory=list, init=False)
    """What came of the stages that are done, without their blocks: those are not the output."""

    def first_course(self) -> Course:
        """Send rows to the lanes of their keys."""
        return Course(self.intake, is_last=False, exchange=self._exchange(SPLITTING))

    def steps(self) -> tuple[Target, ...]:
        """Name the steps of the stage: while rows are sent to lanes, there are none."""
        return self.run.job.steps if self.course.number else ()

    def outcomes(self) -> list[Outcome]:
        """List what the output, and the rejects, are made of. Rows of the input are counted in the first stage."""
        return [*self._before, *(one._replace(rows_in=0) for one in self.loop.progress.outcomes)]

    def work_through(self, kept: Kept) -> None:
        """Have all stages done, but for what was ``kept`` of the first, and what the past kept of the others."""
        self._check_columns()
        number = self.number
        super(StagedAttempt, self).work_through(self._needed(kept))
        if self.number != number:  # the types of columns were widened, so nothing counts that was done before
            self.past.later = Later()
        self._group(self._blocks())
        self._put_in_order(self._blocks())

    def _needed(self, kept: Kept) -> Kept:
        """Choose what still lies there of the first stage: blocks are removed once the groups in them are done."""
        exchanged, work = self.past.later.exchanged.get(_IN_GROUPS), self.run.work
        is_past = exchanged is not None and is_whole(exchanged.parts, self._intact(_IN_GROUPS).values())
        return Kept(
            one
            for one in kept.values()
            if work.is_intact(one._replace(output=None) if is_past else one, self.past.places)
        )

    def _intact(self, stage: int) -> Kept:
        """Take what was kept of a stage and is still what was written."""
        kept = self.past.later.kept.get(stage, Kept())
        return Kept(one for one in kept.values() if self.run.work.is_intact(one, self.past.places))

    def _group(self, blocks: tuple[Block, ...]) -> None:
        """Call the function on each group, lane by lane; then remove the rows that it was called with."""
        exchanged = self.past.later.exchanged.get(_IN_GROUPS) or self._weighed(blocks)
        self._begin(exchanged, self._exchange(GROUPING, blocks, exchanged.shares), is_last=False)
        super(StagedAttempt, self).work_through(self._intact(_IN_GROUPS))
        for block in blocks:
            Path(block.path).unlink(missing_ok=True)

    def _put_in_order(self, blocks: tuple[Block, ...]) -> None:
        ranking = self._ranking()
        known = self.past.later.exchanged.get(_IN_ORDER)
        if known is None or (ranking and not Path(ranking.path).exists()):
            known = self._arranged(blocks, ranking)
        exchange = self._exchange(ORDERING, blocks, known.shares)
        exchange = exchange._replace(schema=known.schema, ranks=ranking.path if ranking else "")
        self._begin(known, exchange, is_last=True)
        super(StagedAttempt, self).work_through(self._intact(_IN_ORDER))

    def _begin(self, exchanged: events.Exchanged, exchange: Exchange, *, is_last: bool) -> None:
        """End a stage, and begin the one behind it."""
        self.check_settled()
        ended, done = self.loop.progress, self.loop.progress.outcomes
        rows_in = {} if self.course.number else {one.task: one.rows_in for one in done}
        self._before += [one._replace(output=None, rows_out=0, rows_in=rows_in.get(one.task, 0)) for one in done]
        hindsight = self.loop.harvest.hindsight
        self.course = Course(
            PartsOfStage(exchanged.parts),
            exchanged.stage,
            is_last=is_last,
            exchange=exchange,
            schema=exchange.schema,
            bad_rows=ended.bad_rows,
            allowed=ended.allowed,
        )
        self.loop = self._new_loop(ended.last_number)
        self.loop.harvest.hindsight = hindsight

    # What stages are cut into

    def _exchange(self, does: int, blocks: tuple[Block, ...] = (), shares: Iterable[Share] = ()) -> Exchange:
        grouping = self.run.job.grouping
        if grouping is None:
            raise ValueError("a job of one stage has no exchange")
        return Exchange(grouping, does, blocks, tuple(shares))

    def _blocks(self) -> tuple[Block, ...]:
        """List the blocks that the stage has written, in order; of rows, each with where its file begins."""
        sources, bases, rows = self.run.inputs.sources, dict[int, int](), 0
        for part in self.intake.fed:
            bases.setdefault(part.file, rows)
            rows += part.rows
        return tuple(
            Block(str(self.run.work.parts / one.output.name))
            if self.course.number
            else Block(str(self.run.work.parts / one.output.name), bases[one.task.file], sources[one.task.file].name)
            for one in self.loop.progress.outcomes
            if one.output is not None
        )

    def _weighed(self, blocks: Sequence[Block]) -> events.Exchanged:
        """Cut the stage of groups into lanes, and a lane that is too large for memory into shares of it."""
        paths = tuple(block.path for block in blocks)
        rows, sizes = self.ask([WeighLanes(paths)])[0]
        most = self.run.job.options.part_bytes or _LANE_BYTES
        lanes = [Weighed(Share.of(lane), count, sizes[lane]) for lane, count in enumerate(rows) if count]
        large = [lane for lane in lanes if lane.bytes > most]
        key = self._exchange(GROUPING).grouping.columns
        questions = [
            CutLane(paths, lane.share.lane, key, self.run.inputs.columns, bytes=lane.bytes, most=most) for lane in large
        ]
        cut = dict(zip([lane.share.lane for lane in large], self.ask(questions), strict=True))
        shares = [one for lane in lanes for one in cut.get(lane.share.lane, [lane])]
        self.teller.say(note=f"{plural(sum(rows), 'row')} ({size(sum(sizes))}) are with {plural(len(lanes), 'lane')}")
        return self._journaled(_IN_GROUPS, [(one.share, one.rows, one.bytes) for one in shares])

    def _ranking(self) -> Ranking | None:
        """Say where the ranks of sorted keys are written down; ``None`` where groups are not sorted."""
        grouping, columns = self._exchange(ORDERING).grouping, self.run.inputs.columns
        if not grouping.sort:
            return None
        key = tuple(next(one for one in columns if one.name == name) for name in grouping.columns)
        return Ranking(str(self.run.work.parts / "ranks"), grouping, key, self.run.inputs.worker_dialect.is_numbered)

    def _arranged(self, blocks: Sequence[Block], ranking: Ranking | None) -> events.Exchanged:
        """Cut the results into stretches of the output's order."""
        most = self.run.job.options.part_bytes or _STRETCH_BYTES
        schema, stretches, of_a_row = self.ask([Arrange(tuple(block.path for block in blocks), most, ranking)])[0]
        listed = [(Share(0, lo, hi), rows, rows * of_a_row) for lo, hi, rows in stretches]
        return self._journaled(_IN_ORDER, listed, schema=schema)

    def _journaled(
        self, stage: int, listed: Iterable[tuple[Share, int, int]], *, schema: Schema | None = None
    ) -> events.Exchanged:
        """Make the parts of a stage, and journal them beyond a power cut: what was kept of the stage is about them."""
        parts, start, row = list[Part](), 0, 0
        shares = list[Share]()
        for share, rows, weight in listed:
            parts.append(Part(NO_FILE, start, start + max(weight, 1), row, rows))
            shares.append(share)
            start, row = start + max(weight, 1), row + rows
        exchanged = events.Exchanged(stage, parts, shares, schema)
        self.teller.record.write(exchanged, durable=True)
        return exchanged

    def _check_columns(self) -> None:
        """Raise ``UsageError`` where there is no column to group by, or several of its name."""
        names = [column.name for column in self.run.inputs.columns]
        for name in self._exchange(SPLITTING).grouping.columns:
            if names and name not in names:
                meant = f" Did you mean {near!r}?" if (near := nearest(name, names)) else ""
                raise UsageError(
                    f"There is no column {name!r} to group by.{meant} The columns are: {', '.join(names[:_MOST_NAMES])}"
                    f"{' …' if len(names) > _MOST_NAMES else ''}."
                )
            if names.count(name) > 1:
                raise UsageError(
                    f"{names.count(name)} columns are called {name!r}, so it is not known which of them to group by."
                    " Give them names of their own: read_csv has names=[...]."
                )
