"""This computer's workers are let go while a cluster does the tasks, and are there again when the end needs them."""

import sys
from pathlib import Path

import pandas as pd
import pytest

from muster._clouds.base import Access
from muster._engines.base import Done, Left, wait
from muster._engines.inline import InlineEngine
from muster._job import Job, Options
from muster._model import Target
from muster._run.runner import run
from muster._run.this_computer import ThisComputer
from muster._worker.task import Worker
from muster.testing import FakeEngine

ROWS = 500


class _Echo:
    """Answers with its briefing."""

    briefing = b""

    def brief(self, briefing: bytes) -> None:
        self.briefing = briefing

    def end(self) -> None:
        pass

    def __call__(self, request: object) -> object:
        del request
        return self.briefing


def computer(*, is_kept: bool) -> tuple[ThisComputer, list[InlineEngine]]:
    made: list[InlineEngine] = []

    def make() -> InlineEngine:
        made.append(InlineEngine(_Echo))
        return made[-1]

    return ThisComputer(make, is_kept=is_kept), made


def test_who_is_let_go_is_there_again_when_asked_and_knows_what_was_said_meanwhile() -> None:
    here, made = computer(is_kept=False)
    here.let_go()
    here.brief(b"said meanwhile")
    assert len(made) == 1, "nobody has asked yet"
    engine = here.engine()
    assert made == [made[0], engine]
    assert here.engine() is engine
    (machine,) = engine.slots()
    engine.submit(1, "what do you know?", machine=machine)
    answers = [told for _ in range(3) for told in wait(engine, 1.0) if not isinstance(told, Left)]
    assert Done(1, b"said meanwhile") in answers
    here.close()


def test_an_engine_that_a_caller_gave_is_not_let_go() -> None:
    here, made = computer(is_kept=True)
    engine = here.engine()
    here.let_go()
    assert here.engine() is engine
    assert len(made) == 1
    here.close()


@pytest.mark.parametrize("name", ["out.csv", "out.parquet", "out.csv.gz", "out/"])
def test_what_a_cluster_has_done_is_put_together_by_this_computer(tmp_path: Path, name: str) -> None:
    (tmp_path / "functions.py").write_text("def double(df):\n    return df.assign(m=2 * df['n'])\n")
    (tmp_path / "rows.csv").write_text("n\n" + "".join(f"{n}\n" for n in range(ROWS)))
    cluster = Access("", {}, 2, sys.executable, make_engine=lambda _: FakeEngine(Worker, workers=2))
    target, options = Target("file", str(tmp_path / "functions.py"), "double"), Options(workers=1, part_bytes=100)
    output = str(tmp_path / name).removesuffix("/") + ("/" if name.endswith("/") else "")
    result = run(Job((target,), (str(tmp_path / "rows.csv"),), output, options), watch=lambda _: None, access=cluster)
    assert (result.rows_out, result.workers, result.machines) == (ROWS, 2, 1)
    read = pd.read_parquet if name.endswith("parquet") else pd.read_csv
    parts = sorted((tmp_path / name).glob("*.csv")) if name.endswith("/") else [tmp_path / name]
    rows = pd.concat([read(path) for path in parts], ignore_index=True)
    assert rows.equals(pd.DataFrame({"n": range(ROWS), "m": range(0, 2 * ROWS, 2)}))
