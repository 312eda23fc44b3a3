"""Who is to blame for tasks that fail: rows or machines; judged alone, and in runs on a machine that fails all."""

from pathlib import Path
from random import Random

import pytest

from muster._job import Job, Options, Result, Snapshot
from muster._model import Target, Task
from muster._progress.suspects import Suspects
from muster._run.runner import run
from muster._worker.task import TaskBody
from muster.testing import FakeEngine

TASK = (0, 0, 10)
TWO = frozenset({"a", "b"})
ROWS = 1_200


def test_on_the_only_machine_a_task_is_to_blame_at_once() -> None:
    assert Suspects(frozenset({"a"})).is_to_blame(TASK, "a")
    assert Suspects().is_to_blame(TASK, "")


def test_where_there_are_two_a_task_is_to_blame_when_it_failed_on_both() -> None:
    suspects = Suspects(TWO)
    assert not suspects.is_to_blame(TASK, "a")
    assert not suspects.is_to_blame(TASK, "a")
    assert suspects.avoid(TASK) == {"a"}
    assert suspects.is_to_blame(TASK, "b")


def test_what_a_machine_fails_after_it_was_put_aside_is_tried_on_the_one_that_is_left() -> None:
    suspects = Suspects(TWO)
    for number in range(3):
        suspects.is_to_blame((number, 0, 1), "a")
        suspects.done((number, 0, 1), "b")
    assert not suspects.is_to_blame((9, 0, 1), "a"), "its answer came late"
    assert suspects.is_to_blame((9, 0, 1), "b")


def test_halves_of_a_task_that_failed_on_both_are_to_blame_wherever_they_fail() -> None:
    suspects = Suspects(TWO)
    for machine in sorted(TWO):
        suspects.is_to_blame(TASK, machine)
    suspects.inherit(TASK, (0, 0, 5))
    assert suspects.is_to_blame((0, 0, 5), "a")


def test_a_machine_is_to_blame_that_failed_three_tasks_in_a_row_which_others_did() -> None:
    suspects = Suspects(TWO)
    for number in range(3):
        suspects.is_to_blame((number, 0, 1), "a")
    assert [suspects.done((number, 0, 1), "b") for number in range(3)] == [[], [], ["a"]]
    assert suspects.is_to_blame((9, 0, 1), "b"), "the other one is the only one now"


def test_a_machine_that_does_something_between_its_failures_is_not_to_blame() -> None:
    suspects = Suspects(TWO)
    for number in range(9):
        suspects.is_to_blame((number, 0, 1), "a")
        assert suspects.done((number, 0, 1), "b") == []
        assert suspects.done((100 + number, 0, 1), "a") == []


def run_on(folder: Path, engine: FakeEngine, *, function: str = "same") -> tuple[Result, list[str]]:
    (folder / "functions.py").write_text(
        "def same(df):\n    return df\n"
        "def picky(df):\n    if (df['n'] == 77).any():\n        raise ValueError('77')\n    return df\n"
    )
    (folder / "rows.csv").write_text("n\n" + "".join(f"{n}\n" for n in range(ROWS)))
    notes: list[str] = []

    def watch(snapshot: Snapshot) -> None:
        if "put aside" in snapshot.note:  # on a slow computer calls that take long are told of, too
            notes.append(snapshot.note)

    target = Target("file", str(folder / "functions.py"), function)
    options = Options(workers=3, part_bytes=100)
    job = Job((target,), (str(folder / "rows.csv"),), str(folder / "out.csv"), options)
    return run(job, watch=watch, make_engine=lambda _: engine), notes


@pytest.mark.parametrize("seed", range(5))
def test_a_machine_that_kills_every_task_is_put_aside_and_named_and_costs_no_row(tmp_path: Path, seed: int) -> None:
    def kills_on(machine: str, request: object) -> bool:
        return machine == "machine 2" and isinstance(request, Task)

    chance = Random(seed)  # noqa: S311 (an order of events is no secret)
    engine = FakeEngine(TaskBody, workers=3, machines=3, kills_on=kills_on, chance=chance)
    result, notes = run_on(tmp_path, engine)
    assert (result.rows_out, result.bad_rows) == (ROWS, 0)
    assert notes == ["machine machine 2 is put aside: tasks fail there that others do"]


class Broken(TaskBody):
    """A worker on a machine that lacks something: every row is bad there."""

    def __call__(self, request: object) -> object:
        if isinstance(request, Task):
            request = request._replace(condemned="no model")
        return super().__call__(request)


@pytest.mark.parametrize("seed", range(5))
def test_a_machine_on_which_every_row_is_bad_rejects_none_that_is_good_elsewhere(tmp_path: Path, seed: int) -> None:
    born = iter(range(99))
    engine = FakeEngine(
        lambda: Broken() if next(born) == 1 else TaskBody(),
        workers=3,
        machines=3,
        chance=Random(seed),  # noqa: S311 (an order of events is no secret)
    )
    result, notes = run_on(tmp_path, engine)
    assert (result.rows_out, result.bad_rows) == (ROWS, 0)
    assert notes == ["machine machine 2 is put aside: tasks fail there that others do"]


def test_rows_that_are_bad_everywhere_blame_no_machine(tmp_path: Path) -> None:
    result, notes = run_on(tmp_path, FakeEngine(TaskBody, workers=3, machines=3), function="picky")
    assert (result.rows_out, result.bad_rows) == (ROWS - 1, 1)
    assert notes == []


@pytest.mark.parametrize("seed", range(5))
def test_a_row_that_kills_its_worker_everywhere_is_rejected_and_blames_no_machine(tmp_path: Path, seed: int) -> None:
    def kills(request: object) -> bool:
        return isinstance(request, Task) and request.lo <= 77 < request.hi and not request.condemned

    chance = Random(seed)  # noqa: S311 (an order of events is no secret)
    result, notes = run_on(tmp_path, FakeEngine(TaskBody, workers=3, machines=3, kills=kills, chance=chance))
    assert (result.rows_out, result.bad_rows) == (ROWS - 1, 1)
    assert notes == []


def test_a_machine_that_could_not_read_or_write_says_nothing_of_the_rows_of_a_task() -> None:
    suspects = Suspects(frozenset("abc"))
    assert suspects.set_back((0, 0, 9), "a").is_elsewhere_untried
    assert suspects.avoid((0, 0, 9)) == {"a"}
    assert not suspects.is_to_blame((0, 0, 9), "b")
    assert suspects.avoid((0, 0, 9)) == {"a", "b"}
    assert suspects.is_to_blame((0, 0, 9), "c")


def test_the_last_machine_that_takes_something_is_not_put_aside_while_another_leaves() -> None:
    suspects = Suspects(frozenset("abc"), taking={"b", "c"})  # an engine drains the first, and has not told yet
    assert suspects.put_aside("b")
    assert not suspects.put_aside("c")
    suspects.taking = {"a", "c"}
    assert suspects.put_aside("c")
