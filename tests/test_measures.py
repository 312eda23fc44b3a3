"""What work comes to: bins that add up, sums that travel through a journal, predictions and bills."""

import json
import math
from collections import Counter
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from muster._journal.bill import Bill
from muster._journal.measures import MOST_REASONS, Measures, WorkerSum, added, bin_of, bound, span, upper_edge
from muster._model import Load, Outcome, Piece, Reason, Seconds, StepMeasure, Task
from muster._planner import plan, remaining

TASK = Task(1, 0, 1, 0, 100, 400, 0, 10, 0, 10)
SECONDS = st.floats(1e-5, 1e5)
COUNTS = st.integers(0, 10**9)
STEPS = st.builds(StepMeasure, COUNTS, COUNTS, COUNTS, SECONDS, st.dictionaries(st.integers(-80, 80), COUNTS))
OUTCOMES = st.builds(
    Outcome,
    st.just(TASK),
    COUNTS,
    COUNTS,
    output=st.none() | st.builds(Piece, st.text(), COUNTS, COUNTS, COUNTS),
    bad_rows=COUNTS,
    seconds=st.builds(Seconds, *[SECONDS] * len(Seconds._fields)),
    steps=st.lists(STEPS, min_size=2, max_size=2).map(tuple),
    reasons=st.lists(st.builds(Reason, st.text(max_size=2), st.text(max_size=2), COUNTS, st.text()), max_size=3).map(
        tuple
    ),
    cpu=SECONDS,
    memory=COUNTS,
    load=st.none() | st.builds(Load, SECONDS, COUNTS, COUNTS, COUNTS, COUNTS),
)


def noted(outcomes: list[Outcome]) -> Measures:
    found = Measures()
    for at, outcome in enumerate(outcomes):
        found.note(f"worker {at % 2}", "machine", outcome)
    return found


@given(SECONDS)
def test_a_time_lies_in_the_bin_whose_edges_are_around_it(seconds: float) -> None:
    number = bin_of(seconds)
    assert upper_edge(number - 1) <= seconds * (1 + 1e-9)
    assert seconds <= upper_edge(number) * (1 + 1e-9)


@pytest.mark.parametrize("seconds", [0.0, -1.0, 1e-300])
def test_what_is_shorter_than_can_be_measured_is_a_microsecond(seconds: float) -> None:
    assert 0 < upper_edge(bin_of(seconds)) < 2e-6


@given(st.lists(SECONDS, min_size=1), st.sampled_from([0.5, 0.95, 0.99, 0.999, 1.0]))
def test_a_bound_is_at_most_a_fifth_above_the_true_one(seconds: list[float], share: float) -> None:
    bins = Counter(map(bin_of, seconds))
    true = sorted(seconds)[math.ceil(share * len(seconds) - 1e-9) - 1]
    found = bound(bins, share)
    assert found is not None
    assert true * (1 - 1e-9) <= found <= true * 1.2


def test_there_is_no_bound_of_nothing() -> None:
    assert bound({}, 0.5) is None


@given(st.lists(OUTCOMES, max_size=6), st.integers(0, 6))
def test_sums_that_travelled_through_a_journal_add_up_to_those_that_did_not(outcomes: list[Outcome], cut: int) -> None:
    total: dict[str, WorkerSum] = {}
    told: dict[str, list[Any]] = {}
    for stretch in (outcomes[: cut - cut % 2], outcomes[cut - cut % 2 :]):
        for name, worker in json.loads(json.dumps(noted(stretch).as_fields()))["workers"].items():
            told.setdefault(name, []).append(worker)
            total.setdefault(name, WorkerSum()).add(added([worker]))
    assert {name: added(worker) for name, worker in told.items()} == total
    direct = noted(outcomes).workers
    assert {name: (one.tasks, one.rows_in, one.bytes_out, one.bad_rows) for name, one in total.items()} == {
        name: (one.tasks, one.rows_in, one.bytes_out, one.bad_rows) for name, one in direct.items()
    }
    for name, one in total.items():
        assert [(step.rows_in, step.batches, step.bins) for step in one.steps] == [
            (step.rows_in, step.batches, step.bins) for step in direct[name].steps
        ]
        assert one.seconds.function == pytest.approx(direct[name].seconds.function, rel=1e-3, abs=1e-4)


def test_a_run_of_a_week_journals_few_times_as_many_measures_as_one_of_an_hour() -> None:
    def events(seconds: float, workers: int) -> int:
        at, count = 0.0, 0
        while at < seconds:
            at, count = at + span(at, workers), count + 1
        return count

    assert events(7 * 24 * 3600, 112) < 4 * events(3600, 112) < 12_000
    assert events(7 * 24 * 3600, 16_000) < 100


def test_reasons_beyond_those_told_apart_are_counted_together() -> None:
    found = Measures()
    found.add_reasons(Reason("step", f"error {number}", 1, "") for number in range(MOST_REASONS + 30))
    assert sum(reason.rows for reason in found.reasons.values()) == MOST_REASONS + 30
    assert len(found.reasons) == MOST_REASONS + 1
    assert found.reasons["", "other reasons"].rows == 30


def test_a_prediction_narrows_with_what_is_known_and_holds_the_truth_of_a_steady_run() -> None:
    widths = []
    for count in (2, 8, 32):
        found = remaining([(1.0, 90.0), (1.0, 110.0)] * (count // 2), 1000)
        assert found is not None
        low, high = found
        assert low <= 10.0 <= high
        widths.append(high - low)
    assert widths == sorted(widths, reverse=True)


def test_stretches_of_any_length_count_by_how_long_they_are() -> None:
    found = remaining([(10.0, 0.0), (10.0, 0.0), (10.0, 0.0), (0.5, 1000.0)] * 9, 100_000)
    assert found is not None
    assert found[0] < 3050 < found[1]


def test_nothing_is_predicted_before_a_row_is_done() -> None:
    assert remaining([], 10) is None
    assert remaining([(1.0, 0.0), (2.0, 0.0)], 10) is None
    assert plan([(1.0, 0.0)], rows_left=10, workers=1, dollars_an_hour=1.0) is None


def test_a_plan_prices_the_time_that_is_left() -> None:
    made = plan([(0.5, 50.0)] * 10, rows_left=360_000, workers=4, dollars_an_hour=2.0)
    assert made is not None
    assert made.seconds == (3600.0, 3600.0)
    assert made.dollars == 2.0


def test_a_machine_costs_from_when_the_run_has_it_until_its_last_worker_left() -> None:
    bill = Bill()
    bill.hold({"dear": 3.6}, 0.0)
    bill.joined("1", "dear", 300.0)  # it has booted
    bill.joined("2", "dear", 500.0)
    bill.joined("3", "free", 0.0)
    assert bill.dollars(1000.0) == pytest.approx(1.0)
    assert bill.dollars_an_hour == 3.6
    bill.left("1", 1000.0)
    bill.left("2", 2000.0)
    assert bill.dollars(9000.0) == pytest.approx(2.0)
    bill.joined("4", "dear", 9000.0)
    assert bill.dollars(10_000.0) == pytest.approx(3.0)
    bill.hold({"dear": 7.2, "idle": 3.6}, 10_000.0)  # what is charged already goes on as it was
    assert bill.dollars(11_000.0) == pytest.approx(5.0)
    bill.end(11_000.0)
    assert bill.dollars(99_000.0) == pytest.approx(5.0)
    assert bill.dollars_an_hour == pytest.approx(0.0)
