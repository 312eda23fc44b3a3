"""Which rows are with which worker: calls that hang are named while they do, and those that end are not."""

from muster._model import NO_FILE, Task
from muster._run.telling.under_way import StuckRows, UnderWay


def task(number: int, lo: int, hi: int, *, file: int = 0) -> Task:
    return Task(number, 0, 1, file, 0, 100, 0, 100, lo, hi)


def begun(under_way: UnderWay, one: Task, worker: str, now: float) -> Task:
    under_way.submitted(one)
    under_way.began(one.number, worker, now)
    return one


def test_a_call_that_runs_ten_times_as_long_as_the_longest_is_named_with_its_worker_and_rows() -> None:
    under_way = UnderWay(["a.csv", "b.csv"])
    under_way.done(begun(under_way, task(1, 0, 50), "1", 0.0), 2.0, 2.0)
    begun(under_way, task(2, 50, 90, file=1), "2", 2.0)
    begun(under_way, task(3, 90, 100), "1", 3.0)
    assert under_way.held(21.9, workers=2) is None
    held = under_way.held(22.0, workers=2)
    assert held == StuckRows("2", "b.csv", 50, 89, 20.0, 1, 2.0, None)
    assert held.told() == "worker 2 has been at rows 50 to 89 of b.csv for 20 s"
    assert "; the longest before took 2.0 s. Nothing ends it: with --timeout 60s" in held.advice()


def test_some_seconds_are_not_strange_however_quick_all_others_were() -> None:
    under_way = UnderWay(["a.csv"])
    under_way.done(begun(under_way, task(1, 0, 50), "1", 0.0), 0.01, 0.01)
    begun(under_way, task(2, 50, 51), "1", 1.0)
    assert under_way.held(5.9, workers=2) is None
    assert under_way.held(6.0, workers=500) is None  # of whom each gets more at a time
    held = under_way.held(6.0, workers=2)
    assert held is not None
    assert held.rows == "row 50 of a.csv"


def test_a_first_call_that_takes_long_is_named_late_as_nothing_is_known_to_compare_it_with() -> None:
    under_way = UnderWay(["a.csv"])
    begun(under_way, task(1, 0, 50), "1", 0.0)
    assert under_way.held(29.0, workers=2) is None
    held = under_way.held(30.0, workers=2)
    assert held is not None
    assert "; no call has ended yet." in held.advice()


def test_rows_that_are_tried_again_and_again_stay_named_and_their_tries_are_counted() -> None:
    under_way = UnderWay(["a.csv"], limit=8.0)
    under_way.done(begun(under_way, task(1, 0, 50), "1", 0.0), 0.5, 0.5)
    begun(under_way, task(2, 50, 90), "1", 1.0)
    assert under_way.lost(2, 9.0) == (task(2, 50, 90), "1", 8.0)
    begun(under_way, task(3, 60, 70), "2", 9.0)
    begun(under_way, task(4, 0, 10), "1", 9.5)
    held = under_way.held(10.0, workers=2)
    assert held == StuckRows("2", "a.csv", 60, 69, 1.0, 2, 0.5, 8.0)
    assert held.told() == "worker 2 has been at rows 60 to 69 of a.csv for 1.0 s (try 2, limit 8.0 s)"
    assert "--timeout" not in held.advice()
    under_way.done(task(3, 60, 70), 1.0, 10.0)
    assert under_way.held(10.1, workers=2) is None


def test_questions_and_tasks_that_nobody_began_are_not_named() -> None:
    under_way = UnderWay(["a.csv"])
    under_way.began(-1, "1", 0.0)
    under_way.submitted(task(1, 0, 50))
    assert under_way.held(1000.0, workers=2) is None
    assert under_way.lost(1, 1000.0) == (task(1, 0, 50), "", 0.0)
    assert under_way.lost(7, 1000.0) == (None, "", 0.0)


def test_who_is_at_a_task_for_how_long_is_known() -> None:
    under_way = UnderWay(["a.csv"])
    begun(under_way, task(1, 0, 50), "1", 0.0)
    begun(under_way, task(2, 50, 60), "2", 3.0)
    assert under_way.at_work(4.0) == {"1": 4.0, "2": 1.0}
    assert under_way.at_work(4.0, longer=2.0) == {"1": 4.0}


def test_what_is_named_travels_through_a_journal_and_grows_older() -> None:
    held = StuckRows("m1-2", "a.csv", 3, 3, 20.0, 4, 2.0, 60.0)
    assert StuckRows.of_field(held.as_field(), later=5.0) == StuckRows("m1-2", "a.csv", 3, 3, 25.0, 4, 2.0, 60.0)


def test_rows_that_steps_have_made_are_named_by_their_stage() -> None:
    under_way = UnderWay(["a.csv"])
    begun(under_way, task(1, 0, 900, file=NO_FILE), "1", 0.0)
    held = under_way.held(31.0, workers=1)
    assert held is not None
    assert held.told() == "worker 1 has been at rows 0 to 899 for 31 s"
    under_way.stage = "stage 2 of 3"
    held = under_way.held(31.0, workers=1)
    assert held is not None
    assert held.told() == "worker 1 has been at rows 0 to 899 of stage 2 of 3 for 31 s"
