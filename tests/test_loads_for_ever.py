"""A run does not wait for a machine that is still loading when all the rest is done."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import muster
from muster._engines.base import CANCELLED, Lost, Message
from muster._model import Task
from muster._progress.openings import Slots
from muster.testing import FakeEngine

LOADS = "machine 2"


class LoadsForEver:
    """Two machines, the second of which takes tasks and does none; what is recalled from it is lost."""

    def __init__(self) -> None:
        self._engine = FakeEngine(workers=2, machines=2)
        self._untold: list[Message] = []
        self.held: list[int] = []
        self.recalled: list[int] = []

    def fileno(self) -> int:
        return self._engine.fileno()

    def messages(self) -> list[Message]:
        told, self._untold = self._untold, []
        return told or self._engine.messages()

    def slots(self) -> Mapping[str, Slots]:
        return {name: Slots(0, 0) if name == LOADS and self.held else one for name, one in self._engine.slots().items()}

    def submit(self, ticket: int, request: Any, *, machine: str, lane: int | None = None, fresh: bool = False) -> None:  # noqa: ANN401 (a task, or any question)
        if machine == LOADS and isinstance(request, Task):
            self.held.append(ticket)
        else:
            self._engine.submit(ticket, request, machine=machine, lane=lane, fresh=fresh)

    def cancel(self, ticket: int) -> None:
        self.recalled.append(ticket)
        self._untold.append(Lost(ticket, CANCELLED, began=False, worker="2"))

    def drain(self, machine: str) -> None:
        self._engine.drain(machine)

    def brief(self, briefing: bytes) -> None:
        self._engine.brief(briefing)

    def close(self) -> None:
        self._engine.close()


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
    assert engine.held == engine.recalled, "one task, which is taken back"
    assert len(engine.held) == 1
