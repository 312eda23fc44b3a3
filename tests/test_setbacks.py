"""What a run can do without: one machine's disk, one request to a store; and what is kept of a fault of muster's."""

import errno
import os
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import NamedTuple

import pytest

import muster
from muster._engines.base import Message
from muster._engines.cores.engine import CoresEngine
from muster._engines.inline import InlineEngine
from muster._model import Slots, Task
from muster._progress.suspects import Setback
from muster._run.asking.questions import Asker
from muster._run.asking.transient import Deferred, pause_after
from muster._run.staffing.bodies import make_body
from muster._worker.task import TaskBody
from muster.errors import DataError, EngineError, FaultError, UnreachableError
from muster.testing import FakeEngine
from test_suspects import ROWS, run_on

BUSY = OSError(errno.EIO, "Input/output error")
FULL = OSError(errno.ENOSPC, "No space left on device")
GONE = FileNotFoundError(errno.ENOENT, "No such file or directory")
SLOW_DOWN = UnreachableError("Cannot reach 's3://b/in.csv': SlowDown")


def engine_of(*errors: list[Exception], seed: int = 1) -> FakeEngine:
    """Make an engine with a machine for each list of errors, which its tasks raise as long as there are any."""

    def fails_on(machine: str, request: object) -> Exception | None:
        left = errors[int(machine.split()[1]) - 1]
        return left.pop() if left and isinstance(request, Task) else None

    chance = Random(seed)  # noqa: S311 (an order of events is no secret)
    return FakeEngine(TaskBody, workers=len(errors), machines=len(errors), fails_on=fails_on, chance=chance)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("error", [BUSY, GONE, SLOW_DOWN], ids=["disk", "missing", "store"])
def test_what_one_of_three_machines_cannot_read_or_write_is_done_by_the_others(
    tmp_path: Path, error: Exception, seed: int
) -> None:
    result, _ = run_on(tmp_path, engine_of([], [error], [], seed=seed))
    assert (result.rows_out, result.bad_rows) == (ROWS, 0)


def test_a_machine_on_which_nothing_can_be_written_is_put_aside(tmp_path: Path) -> None:
    result, notes = run_on(tmp_path, engine_of([], [GONE] * 1_000, []))
    assert (result.rows_out, result.bad_rows) == (ROWS, 0)
    assert notes == ["machine machine 2 is put aside: tasks fail there that others do"]


@pytest.mark.parametrize("machines", [1, 2])
def test_one_full_disk_among_several_machines_does_not_end_the_run(tmp_path: Path, machines: int) -> None:
    engine = engine_of([FULL] * 1_000, *[[]] * (machines - 1))
    if machines == 1:
        with pytest.raises(EngineError, match="No space left on device"):
            run_on(tmp_path, engine)
        return
    result, notes = run_on(tmp_path, engine)
    assert (result.rows_out, result.bad_rows) == (ROWS, 0)
    assert notes == [f"machine machine 1 is put aside: its disk is full ({FULL})"]


@pytest.mark.parametrize("error", [BUSY, SLOW_DOWN], ids=["disk", "store"])
def test_on_a_single_machine_a_task_is_tried_again_where_that_may_help(tmp_path: Path, error: Exception) -> None:
    result, _ = run_on(tmp_path, engine_of([error, error]))
    assert (result.rows_out, result.bad_rows) == (ROWS, 0)


@pytest.mark.parametrize(
    ("machines", "error", "tried"), [(1, GONE, 1), (1, BUSY, 3), (1, SLOW_DOWN, 3), (3, GONE, 3), (3, SLOW_DOWN, 3)]
)
def test_what_fails_on_every_machine_stops_the_run_and_no_row_is_to_blame(
    tmp_path: Path, machines: int, error: Exception, tried: int
) -> None:
    tries = Counter[int]()

    def fails_on(_: str, request: object) -> Exception | None:
        if isinstance(request, Task):
            tries[request.lo] += 1
            return error
        return None

    with pytest.raises(EngineError, match=r"What was done is kept|Cannot reach"):
        run_on(tmp_path, FakeEngine(TaskBody, workers=machines, machines=machines, fails_on=fails_on))
    assert not (tmp_path / "out.csv.rejects.jsonl").exists()
    assert max(tries.values()) == tried
    result, _ = run_on(tmp_path, engine_of([]))
    assert (result.rows_out, result.bad_rows) == (ROWS, 0)


@pytest.mark.parametrize(
    ("error", "setback", "pause"),
    [
        (BUSY, Setback(1, is_elsewhere_untried=True), 0.0),
        (BUSY, Setback(1, is_elsewhere_untried=False), 0.5),
        (BUSY, Setback(3, is_elsewhere_untried=True), None),
        (GONE, Setback(1, is_elsewhere_untried=True), 0.0),
        (GONE, Setback(1, is_elsewhere_untried=False), None),
        (SLOW_DOWN, Setback(1, is_elsewhere_untried=True), 0.5),
        (SLOW_DOWN, Setback(2, is_elsewhere_untried=False), 2.0),
    ],
)
def test_a_store_is_given_time_and_what_lasts_is_tried_elsewhere_alone(
    error: Exception, setback: Setback, pause: float | None
) -> None:
    assert pause_after(error, setback) == pause


def test_things_come_when_their_time_has_come() -> None:
    now = [0.0]
    later = Deferred[str](clock=lambda: now[0])
    later.add("second", seconds=2)
    later.add("first", seconds=1)
    assert later.take() == []
    now[0] = 1.5
    assert later.take() == ["first"]
    assert (len(later), later.take_all(), len(later)) == (1, ["second"], 0)


class Asking:
    """A question that fails some times before it is answered."""

    def __init__(self, *errors: Exception) -> None:
        self._errors = list(errors)

    def answer(self) -> str:
        if self._errors:
            raise self._errors.pop()
        return "answered"


class Nameless(InlineEngine):
    """An engine of a computer whose name is empty."""

    def slots(self) -> dict[str, Slots]:
        return dict.fromkeys([""], *super().slots().values())


def ask(questions: list[Asking], engine: type[InlineEngine] = InlineEngine) -> list[str]:
    def ignore(_: Message | None = None) -> None:
        pass

    answering = engine(TaskBody)
    try:
        return Asker(lambda: answering, tick=ignore, hear=ignore).ask(questions)
    finally:
        answering.close()


def test_a_question_to_a_store_that_fails_once_is_asked_again() -> None:
    assert ask([Asking(SLOW_DOWN), Asking(BUSY), Asking()]) == ["answered"] * 3


def test_questions_are_put_to_a_machine_without_a_name() -> None:
    assert ask([Asking(), Asking()], Nameless) == ["answered"] * 2


@pytest.mark.parametrize(("errors", "left"), [([GONE] * 9, 8), ([SLOW_DOWN] * 9, 6)])
def test_a_question_that_fails_each_time_is_not_asked_for_ever(errors: list[Exception], left: int) -> None:
    asking = Asking(*errors)
    with pytest.raises(EngineError):
        ask([asking])
    assert len(asking._errors) == left  # noqa: SLF001 (of this test)


class Small(NamedTuple):
    """A question that is put with others; some end the worker that is asked, or fail."""

    name: str
    does: str = "answer"
    weight: int = 1

    def answer(self) -> str:
        with Path("asked").open("a") as file:
            file.write(f"{os.getpid()} {self.name}\n")
        if self.does == "kill":
            os._exit(3)
        if self.does == "fail":
            raise DataError(f"{self.name} cannot be read")
        return self.name


def on_cores(questions: list[Small]) -> list[str]:
    engine = CoresEngine(make_body, workers=2)
    try:
        return Asker(lambda: engine, tick=lambda: None, hear=lambda _: None).ask(questions)
    finally:
        engine.close()


def test_small_questions_are_put_together_and_answered_in_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    questions = [Small(f"{at}.csv") for at in range(400)]
    assert on_cores(questions) == [f"{at}.csv" for at in range(400)]
    lines = Path("asked").read_text().splitlines()
    assert len(lines) == 400
    assert len({line.split()[0] for line in lines}) == 2, "one worker had nothing to do"


@pytest.mark.parametrize("does", ["fail", "kill"])
def test_the_one_of_many_small_questions_that_cannot_be_answered_is_named(
    does: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    questions = [Small(f"{at}.csv", does if at == 77 else "answer") for at in range(200)]
    with pytest.raises(DataError, match=r"\b77\.csv"):
        on_cores(questions)


def test_a_journal_that_cannot_be_read_does_not_keep_the_lock(tmp_path: Path, take_one: Callable[[], int]) -> None:
    journal = tmp_path / "out.csv.muster" / "journal.jsonl"
    journal.mkdir(parents=True)
    for _ in range(2):
        with pytest.raises(EngineError, match="journal"):
            take_one()
    journal.rmdir()
    assert take_one() == 3


@pytest.fixture
def take_one(tmp_path: Path) -> Callable[[], int]:
    """Run three rows in this process, and tell how many came out."""
    (tmp_path / "in.csv").write_text("n\n1\n2\n3\n")
    return lambda: muster.run(lambda df: df, tmp_path / "in.csv", tmp_path / "out.csv", workers=0).rows_out


# Faults of muster's own


class Faulty(TaskBody):
    """A worker with a fault."""

    def __call__(self, request: object) -> object:
        if isinstance(request, Task):
            raise ZeroDivisionError("a fault of muster's")
        return super().__call__(request)


def test_a_fault_of_musters_own_keeps_its_traceback_in_a_file_that_the_message_names(tmp_path: Path) -> None:
    kept = tmp_path / "out.csv.muster" / "fault.txt"
    with pytest.raises(FaultError, match="please report it") as caught:
        run_on(tmp_path, FakeEngine(Faulty))
    assert repr(str(kept)) in str(caught.value)
    text = kept.read_text()
    assert f"muster {muster.__version__}, Python " in text
    assert __file__ in text
    assert "ZeroDivisionError: a fault of muster's" in text
    assert os.stat(kept).st_mode & 0o777 == 0o600  # noqa: PTH116 (short)
    result, _ = run_on(tmp_path, FakeEngine(TaskBody))
    assert (result.rows_out, kept.parent.exists()) == (ROWS, False)
