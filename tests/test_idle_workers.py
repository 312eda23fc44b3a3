"""Nobody who could work is idle while rows are with somebody who loads: on machines whose time is worked out."""

import importlib
from collections import Counter
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"


@pytest.fixture
def makespans(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(BENCHMARKS)
    return importlib.import_module("makespans")


def late_and_idle(played: Any, since: dict[int, float], *, row_seconds: float) -> tuple[set[int], set[int]]:  # noqa: ANN401 (of a benchmark)
    """Name the machines with rows that nobody has begun who is ready, for long, and those that have idle workers.

    A worker is ready once it has done a task. It is long after twice the time that the rows take, and after a second.
    """
    held = [(worker, task) for worker in played.workers for task in worker.held]
    for _, task in held:
        since.setdefault(task.number, played.now)
    tries = Counter((task.first, task.lo) for _, task in held if played.progress.is_running(task.number))
    late = {
        worker.machine
        for worker, task in held
        if worker.ready_at is None
        and tries[task.first, task.lo] == 1
        and played.progress.is_running(task.number)
        and played.now - since[task.number] > 1.5 + 4 * (task.hi - task.lo) * row_seconds
    }
    return late, {worker.machine for worker in played.workers if worker.ready_at is not None and not worker.held}


@given(
    chosen=st.fixed_dictionaries(
        {
            "rows": st.integers(100, 20_000),
            "machines": st.integers(2, 6),
            "each": st.integers(1, 4),
            "joins": st.tuples(st.just(0.0), st.floats(0, 30)),
            "load": st.tuples(st.floats(0, 60), st.floats(0, 60)),
            "stagger": st.floats(0, 20),
        }
    )
)
@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_what_is_with_a_worker_that_loads_is_done_by_an_idle_one_of_another_machine(
    makespans: ModuleType, chosen: dict[str, Any]
) -> None:
    since: dict[int, float] = {}
    was_well = 0.0

    def watch(played: Any) -> None:  # noqa: ANN401 (likewise)
        nonlocal was_well
        late, idle = late_and_idle(played, since, row_seconds=makespans.ROW_SECONDS)
        if all(idle <= {machine} for machine in late):
            was_well = played.now
        # All tasks are looked at each tenth of a second, and a tick may fall just before.
        assert played.now < was_well + 3 * makespans.TICK, f"at {played.now} s machines {idle} wait for {late}"

    played = makespans.Played(makespans.Scene("", **chosen), watch=watch)
    assert played.progress.rows_done == chosen["rows"]


def test_a_job_that_is_small_ends_before_the_last_of_its_workers_has_loaded(makespans: ModuleType) -> None:
    """The workers of each machine are ready one after the other, so that every machine has done a task early."""
    played = makespans.Played(makespans.Scene("", 20_000, 4, each=4, load=(1.0, 2.0), stagger=20.0))
    assert played.now <= 1.25 * played.best
