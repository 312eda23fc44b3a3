"""A run does not wait for a machine that is still loading when all the rest is done, or when it starts over."""

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import muster
from muster._engines.base import CANCELLED, Done, Lost, Message
from muster._model import Outcome, Slots, Task
from muster._worker.task import TaskBody
from muster.errors import EngineError
from muster.testing import FakeEngine

WORKS = "machine 1"
DEADLINE = 30.0


class LoadsForEver:
    """Some machines, all of which but the first take a task and do none; what is recalled from them is lost."""

    def __init__(self, machines: int = 2) -> None:
        self._engine = FakeEngine(workers=machines, machines=machines)
        self._untold: list[Message] = []
        self._deadline = time.monotonic() + DEADLINE
        self.held: dict[str, int] = {}
        self.recalled: list[int] = []
        self.briefings: list[bytes] = []

    def fileno(self) -> int:
        return self._engine.fileno()

    def messages(self) -> list[Message]:
        if time.monotonic() > self._deadline:
            raise EngineError("the run waits for a machine that loads for ever")
        told, self._untold = self._untold, []
        return told or self._engine.messages()

    def slots(self) -> Mapping[str, Slots]:
        return {name: Slots(0, 0) if name in self.held else one for name, one in self._engine.slots().items()}

    def submit(self, ticket: int, request: Any, *, machine: str, lane: int | None = None, fresh: bool = False) -> None:  # noqa: ANN401 (a task, or any question)
        if machine != WORKS and isinstance(request, Task):
            self.hold(ticket, request, machine)
        else:
            self._engine.submit(ticket, request, machine=machine, lane=lane, fresh=fresh)

    def hold(self, ticket: int, request: Task, machine: str) -> None:
        del request
        self.held[machine] = ticket

    def cancel(self, ticket: int) -> None:
        self.recalled.append(ticket)
        self._untold.append(Lost(ticket, CANCELLED, began=False, worker="2"))

    def drain(self, machine: str) -> None:
        self._engine.drain(machine)

    def brief(self, briefing: bytes) -> None:
        self.briefings.append(briefing)
        self._engine.brief(briefing)

    def close(self) -> None:
        self._engine.close()


class AnswersLate(LoadsForEver):
    """What is recalled is answered all the same, once the run has started over."""

    def __init__(self, tell: Callable[[int, Outcome], Message], *, of: int) -> None:
        super().__init__(machines=3)
        self._tell = tell
        self._of = of
        self._late: dict[int, Outcome] = {}
        self.told: Message | None = None

    def hold(self, ticket: int, request: Task, machine: str) -> None:
        super().hold(ticket, request, machine)
        body = TaskBody()
        body.brief(self.briefings[-1])
        outcome = body(request)
        body.end()
        assert isinstance(outcome, Outcome)
        self._late[ticket] = outcome

    def submit(self, ticket: int, request: Any, *, machine: str, lane: int | None = None, fresh: bool = False) -> None:  # noqa: ANN401 (likewise)
        super().submit(ticket, request, machine=machine, lane=lane, fresh=fresh)
        if len(self.briefings) > 1 and self.told is None and isinstance(request, Task):
            number = sorted(self._late)[self._of]
            if ticket >= number:  # at the very number, if that were given out again
                self.told = self._tell(number, self._late[number])
                self._untold.append(self.told)

    def cancel(self, ticket: int) -> None:
        self.recalled.append(ticket)


def double(df: pd.DataFrame) -> pd.DataFrame:
    return df.assign(double=df["n"] * 2)


@pytest.mark.parametrize("output", ["out.csv", "out/", "out.parquet"])
def test_what_it_holds_is_done_by_another_and_it_is_told_to_stop(tmp_path: Path, output: str) -> None:
    rows = pd.DataFrame({"n": range(3000)})
    rows.to_csv(tmp_path / "in.csv", index=False)
    engine = LoadsForEver()
    result = muster.run(double, tmp_path / "in.csv", f"{tmp_path}/{output}", engine=engine, part_bytes=500)
    assert (result.rows_in, result.rows_out, result.bad_rows) == (3000, 3000, 0)
    made = tmp_path / output
    read = pd.read_parquet if made.suffix == ".parquet" else pd.read_csv
    frames = [read(path) for path in ([made] if made.is_file() else sorted(made.glob("*.csv")))]
    pd.testing.assert_frame_equal(pd.concat(frames, ignore_index=True), double(rows), check_dtype=False)
    assert [*engine.held.values()] == engine.recalled, "one task, which is taken back"
    assert len(engine.held) == 1


ROWS = 3000
PART = 100
"""Bytes: there are so many parts that before the first task only each fifth is looked at."""


def starts_over(tmp_path: Path, engine: LoadsForEver, *, odd_row: int) -> None:
    """Run over whole numbers, but for one that is found when tasks are done; look at what is made."""
    cells = [*map(str, range(ROWS))]
    cells[odd_row] = "1.5"
    (tmp_path / "in.csv").write_text("n\n" + "\n".join(cells) + "\n")
    result = muster.run(double, tmp_path / "in.csv", tmp_path / "out.csv", engine=engine, part_bytes=PART)
    assert (result.rows_in, result.rows_out, result.bad_rows) == (ROWS, ROWS, 0)
    made = (tmp_path / "out.csv").read_text()
    assert made == double(pd.read_csv(tmp_path / "in.csv")).to_csv(index=False)
    assert len(engine.briefings) == 2, "it has started over, once"


def test_where_the_run_starts_over_nobody_waits_for_it_and_it_goes_on_loading(tmp_path: Path) -> None:
    engine = LoadsForEver(machines=3)
    starts_over(tmp_path, engine, odd_row=1000)
    assert len(engine.held) == 2
    assert engine.recalled == []


@pytest.mark.parametrize(
    ("tell", "of"),
    [
        pytest.param(lambda number, _: Lost(number, CANCELLED, began=False, worker="2"), 0, id="lost"),
        pytest.param(lambda number, outcome: Done(number, outcome, "2"), 0, id="done"),
        pytest.param(lambda number, outcome: Done(number, outcome, "2"), 1, id="done, and a value does not fit"),
    ],
)
def test_what_is_told_of_a_recalled_task_after_the_run_has_started_over_changes_nothing(
    tmp_path: Path, tell: Callable[[int, Outcome], Message], of: int
) -> None:
    engine = AnswersLate(tell, of=of)
    starts_over(tmp_path, engine, odd_row=500)
    assert engine.told is not None
    if isinstance(engine.told, Done):
        assert bool(engine.told.answer.misfits) == bool(of)
    assert engine.recalled == sorted(engine.held.values())
