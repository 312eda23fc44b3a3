"""This computer's workers are let go while a cluster does the tasks, and are there again when the end needs them."""

import os
import sys
from pathlib import Path
from time import monotonic
from typing import Any

import pandas as pd
import psutil
import pytest

from muster._clouds.base import Access
from muster._engines.base import Done, Left, wait
from muster._engines.inline import InlineEngine
from muster._formats.survey import ATOM_BYTES
from muster._job import Job, Options
from muster._model import Target, Task
from muster._output.folder import WorkFolder
from muster._run.beginning.holding import Holding
from muster._run.runner import run
from muster._run.staffing.assembly import engine_of_a_cluster
from muster._run.staffing.this_computer import ThisComputer
from muster._run.workplace import Elsewhere
from muster._worker.task import TaskBody
from muster.errors import EngineError
from muster.testing import FakeEngine
from waiting import until

ROWS = 500
BRIEFING_SECONDS = 1.0
"""Ten times what a run of these rows takes besides."""


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


def computer(*, is_given: bool) -> tuple[ThisComputer, list[InlineEngine]]:
    made: list[InlineEngine] = []

    def make() -> InlineEngine:
        made.append(InlineEngine(_Echo))
        return made[-1]

    return ThisComputer(make, is_given=is_given), made


def test_who_is_let_go_is_there_again_when_asked_and_knows_what_was_said_meanwhile() -> None:
    here, made = computer(is_given=False)
    here.let_go()
    here.brief(b"said meanwhile")
    assert len(made) == 1, "nobody has asked yet"
    engine = here.engine()
    assert made == [made[0], engine]
    assert here.engine() is engine
    (machine,) = engine.slots()
    engine.submit(1, "what do you know?", machine=machine)
    answers = [told for _ in range(3) for told in wait(engine, 1.0)]
    assert not any(isinstance(told, Left) for told in answers)
    assert Done(1, b"said meanwhile") in answers
    here.close()


def test_an_engine_that_a_caller_gave_is_not_let_go() -> None:
    here, made = computer(is_given=True)
    engine = here.engine()
    here.let_go()
    assert here.engine() is engine
    assert len(made) == 1
    here.close()


@pytest.mark.parametrize("name", ["out.csv", "out.parquet", "out.csv.gz", "out/"])
def test_what_a_cluster_has_done_is_put_together_by_this_computer(tmp_path: Path, name: str) -> None:
    (tmp_path / "functions.py").write_text("def double(df):\n    return df.assign(m=2 * df['n'])\n")
    (tmp_path / "rows.csv").write_text("n\n" + "".join(f"{n}\n" for n in range(ROWS)))
    cluster = Access("", {}, 2, sys.executable, make_engine=lambda _: FakeEngine(TaskBody, workers=2))
    target, options = Target("file", str(tmp_path / "functions.py"), "double"), Options(workers=1, part_bytes=100)
    output = str(tmp_path / name).removesuffix("/") + ("/" if name.endswith("/") else "")
    result = run(Job((target,), (str(tmp_path / "rows.csv"),), output, options), watch=lambda _: None, access=cluster)
    assert (result.rows_out, result.workers, result.machines) == (ROWS, 2, 1)
    read = pd.read_parquet if name.endswith("parquet") else pd.read_csv
    parts = sorted((tmp_path / name).glob("*.csv")) if name.endswith("/") else [tmp_path / name]
    rows = pd.concat([read(path) for path in parts], ignore_index=True)
    assert rows.equals(pd.DataFrame({"n": range(ROWS), "m": range(0, 2 * ROWS, 2)}))


def leads_a_session(pid: int) -> bool:
    try:
        return os.getsid(pid) == pid
    except ProcessLookupError:
        return False


class _Watched(FakeEngine):
    """A cluster that counts this process's children: when it gets each task, and when its workers do it."""

    def __init__(self) -> None:
        self.others = {child.pid for child in psutil.Process().children()}
        self.at_tasks: list[int] = []
        self.in_bodies: list[int] = []
        self.tries: list[int] = []
        """The place in ``in_bodies`` where each try begins."""
        super().__init__(self._body, workers=2)

    def children(self) -> int:
        new = [child.pid for child in psutil.Process().children() if child.pid not in self.others]
        return sum(leads_a_session(pid) for pid in new)  # as what forks workers does, and nobody else that tests start

    def _body(self) -> TaskBody:
        count = self

        class Counting(TaskBody):
            def __call__(self, request: Any) -> object:  # noqa: ANN401 (a request)
                count.in_bodies.append(count.children())
                return super().__call__(request)

        return Counting(is_replaceable=False)

    def brief(self, briefing: bytes) -> None:
        self.tries.append(len(self.in_bodies))
        super().brief(briefing)

    def submit(self, ticket: int, request: object, **how: Any) -> None:  # noqa: ANN401 (passed on)
        if isinstance(request, Task):
            self.at_tasks.append(self.children())
        super().submit(ticket, request, **how)


def watched(folder: Path, name: str, *, surprise: float = 20, width: int = 1, limit: int | None = None) -> _Watched:
    """Run on a cluster that looks at this computer's workers, which are one."""
    (folder / "functions.py").write_text("def same(df):\n    return df\n")
    (folder / "rows.csv").write_text(
        "n,x\n" + "".join(f"{n},{'x' * width}\n" for n in [*range(20), surprise, *range(21, ROWS)])
    )
    cluster = _Watched()
    target = Target("file", str(folder / "functions.py"), "same")
    job = Job(
        (target,), (str(folder / "rows.csv"),), str(folder / name), Options(workers=1, part_bytes=100, limit=limit)
    )
    run(job, watch=lambda _: None, access=Access("", {}, 2, sys.executable, make_engine=lambda _: cluster))
    return cluster


def test_nobody_of_this_computer_stays_while_a_cluster_works_and_the_first_task_does_not_wait_for_that(
    tmp_path: Path,
) -> None:
    seen = watched(tmp_path, "out.csv")
    assert seen.at_tasks[0] == 1, "they are ended behind the first tasks"
    assert len(seen.in_bodies) > 5
    assert set(seen.in_bodies) == {0}


def test_they_are_there_again_for_the_last_tasks_where_they_put_the_output_together(tmp_path: Path) -> None:
    seen = watched(tmp_path, "out.parquet")
    assert (seen.in_bodies[0], seen.in_bodies[-1]) == (0, 1)


def test_they_go_again_after_they_were_asked_about_types_that_are_too_narrow(tmp_path: Path) -> None:
    seen = watched(tmp_path, "out.csv", surprise=20.5, width=ATOM_BYTES // 14)  # in the second of 36 parts: no sample
    assert len(seen.tries) == 2
    assert set(seen.in_bodies[seen.tries[1] :]) == {0}


def test_a_start_for_the_end_that_fails_is_tried_again_when_somebody_asks() -> None:
    made: list[InlineEngine] = []

    def make() -> InlineEngine:
        if len(made) == 1:
            made.append(made[0])
            raise BlockingIOError("Resource temporarily unavailable")
        made.append(InlineEngine(_Echo))
        return made[-1]

    here = ThisComputer(make, is_given=False)
    access = Access("", {}, 2, sys.executable)
    workplace = Elsewhere(InlineEngine(_Echo), here, access, has_work_at_the_end=True, is_staged=False)
    workplace.begin()
    for _ in range(5):  # as the loop does, again and again, while it waits for the last tasks
        workplace.near_the_end()
    assert len(made) == 2, "it is tried once"
    assert here.engine() is made[2]
    here.close()
    workplace.engine.close()


def test_a_folder_that_cannot_be_removed_is_released_all_the_same(tmp_path: Path) -> None:
    class Stuck(WorkFolder):
        def remove(self) -> None:
            raise PermissionError("Operation not permitted")

    work = Stuck(str(tmp_path / "out.csv"), home=tmp_path / "home")
    work.take()
    with pytest.raises(PermissionError), Holding(work) as holding:
        holding.is_of_use = False
    again = WorkFolder(str(tmp_path / "out.csv"), home=tmp_path / "home")
    again.take()
    again.release()


def test_a_cluster_without_an_address_is_no_cluster_of_this_computer() -> None:
    with pytest.raises(EngineError, match="the address is empty"):
        engine_of_a_cluster(Access("", {}, 2, sys.executable, name="c"))
    fake = FakeEngine(_Echo)
    assert engine_of_a_cluster(Access("somewhere", {}, 2, sys.executable, make_engine=lambda _: fake)) is fake
    fake.close()


class _SlowToBrief(FakeEngine):
    """A cluster whose workers load for a while before the first task."""

    def brief(self, briefing: bytes) -> None:
        super().brief(briefing)
        ready = monotonic() + BRIEFING_SECONDS
        until(lambda: monotonic() >= ready)


def test_what_some_rows_foretell_counts_the_time_in_which_workers_are_briefed(tmp_path: Path) -> None:
    (tmp_path / "functions.py").write_text("def same(df):\n    return df\n")
    (tmp_path / "rows.csv").write_text("n\n" + "1\n" * ROWS)
    cluster = Access("", {}, 2, sys.executable, make_engine=lambda _: _SlowToBrief(TaskBody, workers=2))
    target = Target("file", str(tmp_path / "functions.py"), "same")
    job = Job((target,), (str(tmp_path / "rows.csv"),), str(tmp_path / "out.csv"), Options(workers=1, limit=50))
    estimate = run(job, watch=lambda _: None, access=cluster).estimate
    assert estimate is not None
    assert estimate.seconds[0] >= BRIEFING_SECONDS
