"""A retry of groups that failed: they are done again, alone, and stand between the rows of the output that is there.

The input is read once more, and of its rows those are sent on that have the key of such a group. The function is called
on these groups, and what it gives is put where each is missing. All other rows of the output stay as they were written.
"""

from collections import deque
from collections.abc import Iterator, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Final, NamedTuple

from muster._formats.gaps import GroupRows, ListGroups, Looks
from muster._formats.lanes import bytes_of_a_row
from muster._journal import events
from muster._model import Block, Exchange, Gap, Outcome, Piece, PlaceRange, Schema
from muster._progress.cuts import task_of
from muster._progress.kept_outcomes import KeptOutcomes
from muster._progress.schema import stays_as_written, united
from muster._run.beginning.taken_over import NOT_AS_WRITTEN, EarlierOutput, RowsLeft
from muster._run.history.earlier import check_stands
from muster._run.history.past import Past
from muster.errors import EngineError, UsageError

from .staged import StagedTaskPhase

_STAYS: Final = PlaceRange(0, 0, -1)
"""What a part is whose rows stay as they are: no result of this run is of it."""


class _Woven(NamedTuple):
    """The new output in order: stretches of the earlier one, and groups that were done again; and what is missing."""

    each: Sequence[RowsLeft | GroupRows]
    gaps: Sequence[Gap]
    looks: Sequence[Looks]


@dataclass(slots=True)
class RetriedTaskPhase(StagedTaskPhase):
    """Has groups done that failed before."""

    @property
    def _earlier(self) -> Past:
        """The run whose groups are done again. Raises ``UsageError`` where nothing is known of it any more."""
        earlier = self.run.earlier
        if earlier is None or earlier.retries == self.run.job.retry:  # only this retry itself was found
            raise UsageError(
                f"Run {self.run.job.retry} is not remembered any more, and its bad groups cannot be retried without"
                " that: muster keeps the last hundred runs. Run the whole again, with --fresh."
            )
        return earlier

    def _exchange(self, number: int, blocks: tuple[Block, ...] = ()) -> Exchange:
        """Say what workers must know of a stage: the first sends on rows of keys that failed, and no others."""
        exchange = super(RetriedTaskPhase, self)._exchange(number, blocks)
        if number:
            return exchange
        gaps = self._earlier.later.exchanged[self._last].gaps
        return exchange._replace(only=tuple(sorted({gap.hash for gap in gaps})))

    def _begin(self, number: int) -> None:
        """End a stage, and begin the one behind it: that the function works on some groups is known from before."""
        super(RetriedTaskPhase, self)._begin(number)
        if any(one.rows for one in _stretches(self._earlier, self._last)):
            self.loop.progress.trust()

    def _weighed(self, number: int, exchange: Exchange) -> events.Exchanged:
        """Cut the rows of the groups into lanes. Raises ``UsageError`` where these are not the rows that were rejected.

        They are others where a step before the groups gives other rows, or refuses others, than it did.
        """
        exchanged, before = super(RetriedTaskPhase, self)._weighed(number, exchange), self._earlier
        rows = sum(part.rows for part in exchanged.parts)
        was_bad = sum(one.bad_rows for one in before.kept.values())
        are_rows = bool(self.stage.steps) or not exchange.grouping.measures  # else what was worked out of some rows
        if (are_rows and rows != _rejected(before, number)) or was_bad != self.loop.progress.bad_rows:
            steps = ", ".join(repr(step.name) for step in self.stage.steps)
            raise UsageError(
                f"The groups that failed do not have the rows any more that were rejected: {steps or 'the input'} gives"
                " others now, so groups that are done may have other rows, too. Nothing was written. Run the whole"
                " again, with --fresh."
            )
        return exchanged

    def _arranged(self, number: int, exchange: Exchange) -> events.Exchanged:
        """Put the groups that were done again between the rows that are there."""
        paths = tuple(block.path for block in exchange.blocks)
        groups, looks = self.asker.ask([ListGroups(paths, self._ranking(number))])[0]
        failed = {group.place for one in self.loop.progress.outcomes for group in one.failed}
        woven = _woven(self._earlier, number, groups, looks, failed)
        schema = united(one.schema for one in woven.looks) if woven.looks else None
        before = self._earlier.later.exchanged[number].schema
        is_text = self.run.output_builder.format != "parquet"  # what is written of Parquet is united at the end
        if is_text and before is not None and schema is not None and not stays_as_written(before, schema):
            raise UsageError(
                "The groups that failed give columns, or types of values, that the others do not have, so all rows"
                " would be written otherwise. Nothing was written. Run the whole again, with --fresh."
            )
        of_a_row = bytes_of_a_row(schema) if schema is not None else 1
        listed = [
            (PlaceRange(0, one.rank, one.rank) if isinstance(one, GroupRows) else _STAYS, one.rows, one.rows * of_a_row)
            for one in woven.each
        ]
        return self._journaled(events.Exchanged(number, (), (), schema, gaps=woven.gaps, looks=woven.looks), listed)

    def _left(self, number: int, kept: KeptOutcomes) -> KeptOutcomes:
        """Choose what still lies there of a stage: of the last one, rows of the output that is there, too."""
        left = super(RetriedTaskPhase, self)._left(number, kept)
        if number != self._last or self.stage.number != number:
            return left
        known = self.past.later.exchanged[number]
        stays = [task_of(known.parts, at, at + 1) for at, share in enumerate(known.shares) if share == _STAYS]
        if any((task.first, task.lo) not in left for task in stays):
            for task, piece in zip(stays, self._pieces(number), strict=True):
                outcome = Outcome(task, piece.rows, piece.rows, piece, schema=known.schema)
                self.teller.record.write(events.KeptLater(number, outcome))
                self.past.locations.note(outcome)
                left.keep([outcome])
        if not all(self.run.work.is_intact(one, self.past.locations) for one in left.values()):
            raise EngineError(NOT_AS_WRITTEN)
        return left

    def _pieces(self, number: int) -> list[Piece]:
        """Cut the earlier output up into what lies between groups that are missing."""
        run, earlier = self.run, self._earlier
        if run.work.is_folder:  # of a file there is a second name
            check_stands(earlier, run.work)
        output = EarlierOutput(earlier, self.attempt.input_reader.fed, run.sources, run.work, run.output_builder)
        outcomes = _written(earlier, number)
        return output.pieces_of([_stretches_in(one) for one in outcomes], outcomes, self.asker.ask)


def _rejected(before: Past, number: int) -> int:
    """Count the rows of groups that failed in a stage."""
    return sum(one.bad_rows for one in before.later.kept[number].values())


def _written(earlier: Past, number: int) -> list[Outcome]:
    """List what an output was made of, in its order."""
    in_order = sorted(earlier.later.kept.get(number, {}).items())
    return [one for _, one in in_order if one.output is not None]


def _stretches_in(outcome: Outcome) -> list[RowsLeft]:
    """Say what the rows of a task are: one stretch, or those between groups that are missing among them."""
    if outcome.spans:
        each = [RowsLeft(span.rows_out, span.bytes, span.crc) for span in outcome.spans]
    else:
        each = [RowsLeft(one.rows, one.bytes, one.crc) for one in (outcome.output,) if one is not None]
    return [one for one in each if one.rows]


def _stretches(earlier: Past, number: int) -> Iterator[RowsLeft]:
    """Go through the rows of an output that is there: each stretch between two groups that are missing."""
    return (one for outcome in _written(earlier, number) for one in _stretches_in(outcome))


def _woven(
    earlier: Past, number: int, groups: Sequence[GroupRows], looks: Sequence[Looks], failed: AbstractSet[int]
) -> _Woven:
    """Put groups where they are missing in the earlier output; those that ``failed`` again are missing still."""
    known, left = earlier.later.exchanged[number], {group.place: group for group in groups}
    stretches, each, gaps = deque(_stretches(earlier, number)), list[RowsLeft | GroupRows](), list[Gap]()
    before = row = 0  # in the earlier output, and in the new one
    begins, added = dict[int, int](), list[tuple[int, int]]()
    for gap in known.gaps:
        while before < gap.row and stretches:
            each.append(stretches.popleft())
            before, row = before + each[-1].rows, row + each[-1].rows
        if before != gap.row:
            raise UsageError(
                f"A group is missing before row {gap.row} of the output, and an earlier version of muster, which wrote"
                " that, did not keep where this row begins. Nothing was written. Run the whole again, with --fresh."
            )
        if gap.place in failed:
            gaps.append(gap._replace(row=row))
        elif (group := left.pop(gap.place, None)) is not None:
            begins[group.place] = row
            added.append((before, group.rows))
            each.append(group)
            row += group.rows
    each += stretches
    moved = [
        *(Looks(schema, first + sum(rows for at, rows in added if at <= first)) for schema, first in known.looks),
        *(Looks(schema, begins.get(place, row + sum(one.rows for one in stretches))) for schema, place in looks),
    ]
    firsts: dict[Schema, int] = {}
    for look in sorted(moved, key=lambda one: one.first):
        firsts.setdefault(look.schema, look.first)
    return _Woven(each, gaps, [Looks(*one) for one in firsts.items()])
