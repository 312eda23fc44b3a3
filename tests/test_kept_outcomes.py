"""What an earlier run has kept: outcomes by their tasks, of which stretches are forgotten as one."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from muster._model import Outcome, Task
from muster._progress.kept_outcomes import KeptOutcomes


def outcome_of(first: int, last: int, *, lo: int = 0, rows: int = 10) -> Outcome:
    """Make what became of whole parts, or of ten rows from ``lo`` on of one."""
    row = 10 * first
    return Outcome(
        Task(0, first, last, 0, row, 10 * last, row, 10 * (last - first), row + lo, row + lo + rows), rows, 0
    )


@st.composite
def histories(draw: st.DrawFn) -> list[tuple[str, list[Outcome]]]:
    """Draw what is kept, and of it stretches that are forgotten, and kept again, in any order."""
    borders = sorted(draw(st.sets(st.integers(0, 40), min_size=2)))
    tasks = [outcome_of(first, last, rows=10 * (last - first)) for first, last in pairwise(borders)]
    done: list[tuple[str, list[Outcome]]] = [("keep", draw(st.permutations(tasks)))]
    for _ in range(draw(st.integers(1, 8))):
        begin = draw(st.integers(0, len(tasks) - 1))
        stretch = tasks[begin : draw(st.integers(begin + 1, len(tasks)))]
        done.append(("forget", stretch))
        if draw(st.booleans()):
            done.append(("keep", draw(st.permutations(stretch))))
    return done


@given(histories())
def test_what_is_forgotten_is_what_a_search_of_everything_finds(history: list[tuple[str, list[Outcome]]]) -> None:
    kept, expected = KeptOutcomes(), set[int]()
    for what, outcomes in history:
        if what == "keep":
            kept.keep(outcomes)
            expected |= {one.task.first for one in outcomes}
            continue
        first, last = outcomes[0].task, outcomes[-1].task
        if first.first in expected:
            expected = {one for one in expected if not first.first <= one < last.last}
        kept.forget(first=first.first, last=last.last, lo=first.lo)
        assert {one.task.first for one in kept.values()} == expected


def test_of_a_part_that_is_done_by_rows_only_those_rows_are_forgotten() -> None:
    rows = [outcome_of(3, 4, lo=lo, rows=5) for lo in (0, 5)]
    kept = KeptOutcomes([outcome_of(2, 3), *rows, outcome_of(4, 5)])
    kept.forget(first=3, last=4, lo=rows[1].task.lo)
    assert [*kept.values()] == [outcome_of(2, 3), rows[0], outcome_of(4, 5)]


def test_as_many_stretches_are_forgotten_as_there_are_outcomes() -> None:
    pairs = [outcome_of(at, at + 1, rows=10) for at in range(40_000)]  # to look through all for each would take minutes
    kept = KeptOutcomes(pairs)
    for at in range(0, 40_000, 2):
        kept.forget(first=at, last=at + 2, lo=10 * at)
    assert not kept
