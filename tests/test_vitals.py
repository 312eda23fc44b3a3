"""How a worker looks at itself and at its machine."""

from pathlib import Path

from muster._model import Load, Outcome, Outcomes, Task
from muster._worker.vitals import Vitals

TASK = Task(1, 0, 1, 0, 100, 400, 0, 10, 0, 10)


def test_a_machine_is_looked_at_once_a_second_by_a_worker_that_is_some_seconds_old(tmp_path: Path) -> None:
    times = iter((0.0, 0.5, 3.9, 4.0, 4.9, 5.0, 5.9, 6.1))
    vitals = Vitals(lambda: next(times))
    loads = [vitals.measured(lambda: Outcomes((Outcome(TASK, 1, 1),)), folder=tmp_path).each[0].load for _ in range(7)]
    assert [load is not None for load in loads] == [False, False, False, False, True, False, True]
    last = loads[-1]
    assert isinstance(last, Load)
    assert 0 <= last.cpu <= 1 <= last.cores
    assert 0 < last.memory < last.memory_total
    assert last.disk_free > 0


def test_a_task_is_told_apart_from_the_time_that_its_worker_waited_for_it(tmp_path: Path) -> None:
    vitals = Vitals()
    outcomes = Outcomes((Outcome(TASK, 1, 1),))
    first, second = (vitals.measured(lambda: outcomes, folder=tmp_path).each[0] for _ in range(2))
    assert first.seconds.waiting == 0.0 < second.seconds.waiting
    assert second.cpu > 0
    assert second.memory > 1 << 20
