"""A worker reads a row group of Parquet as a whole, so a task goes on to the end of one where there is work enough."""

from collections.abc import Iterator
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from muster._formats.survey import survey_parquet
from muster._model import Outcome, Part, Piece, Seconds, Slots, Source, Task
from muster._progress.actions import Submit
from muster._progress.progress import Progress
from muster._progress.queue import LARGEST_TASK

PART: Final = 1000
ROW_BYTES: Final = 64
FAST: Final = 1e-9
SLOW: Final = 1e-3
"""Seconds that a row takes."""


def done(progress: Progress, *, seconds: float) -> Iterator[Task]:
    """Do one task after another."""
    while not progress.is_done:
        (action,) = progress.submit({"here": Slots(idle=1, ahead=0)})
        assert isinstance(action, Submit)
        task = action.task
        yield task
        piece, took = Piece(str(task.number), 1, 0, task.rows), Seconds(total=task.rows * seconds)
        progress.done(task.number, Outcome(task, task.rows, task.rows, output=piece, seconds=took))


def tasks_of(*, groups: int, parts: int, seconds: float, workers: int = 1) -> list[Task]:
    """Do groups of so many parts each, one task after another."""
    starts = frozenset((0, at * parts * PART) for at in range(groups + 1))
    progress = Progress(workers=workers, max_bad_rows=0, unit_bytes=ROW_BYTES, groups=starts)
    progress.add_parts(Part(0, at * PART, (at + 1) * PART, at * PART, PART) for at in range(groups * parts))
    progress.no_more_parts()
    tasks = list(done(progress, seconds=seconds))
    assert [task.lo for task in tasks[1:]] == [task.hi for task in tasks[:-1]]
    assert tasks[-1].hi == groups * parts * PART
    return tasks


def test_no_group_is_read_for_two_tasks_while_there_is_work_enough() -> None:
    largest = LARGEST_TASK // ROW_BYTES // PART
    for parts in (largest // 3, 2 * largest - 1, 4 * largest):
        tasks = tasks_of(groups=40, parts=parts, seconds=FAST)
        whole = [task for task in tasks[1:] if task.hi <= 30 * parts * PART]
        assert whole
        assert all(task.hi % (parts * PART) == 0 for task in whole)


def test_a_task_of_a_slow_function_takes_its_time_and_does_not_go_on() -> None:
    tasks = tasks_of(groups=4, parts=20, seconds=SLOW)
    assert max(task.rows for task in tasks) == PART


def test_no_worker_is_left_without_work_as_another_has_all_of_a_group() -> None:
    workers = 8
    tasks = tasks_of(groups=1, parts=1000, seconds=FAST, workers=workers)
    left = 1000 * PART
    for task in tasks:
        assert task.rows <= max(left / workers, PART)
        left -= task.rows
    assert left == 0


def survey(path: Path, batch_rows: int | None = None) -> frozenset[tuple[int, int]]:
    source = Source(str(path), path.stat().st_size, "", "parquet")
    ask = lambda questions: [question.answer() for question in questions]  # noqa: E731 (as a worker would)
    return survey_parquet([source], ask, batch_rows=batch_rows).row_groups


def test_row_groups_are_known_where_they_are_small(tmp_path: Path) -> None:
    path = tmp_path / "in.parquet"
    pq.write_table(pa.table({"a": range(25)}), path, row_group_size=10)
    assert survey(path) == {(0, 0), (0, 10), (0, 20), (0, 25)}
    assert survey(path, batch_rows=3) == frozenset()  # then tasks are cut between batches


def test_no_task_is_as_large_as_a_row_group_of_many_rows_or_bytes(tmp_path: Path) -> None:
    many, wide = tmp_path / "many.parquet", tmp_path / "wide.parquet"
    pq.write_table(pa.table({"a": np.zeros(1_100_000, np.int8)}), many, row_group_size=1_100_000)
    numbers = np.random.default_rng(1).random(300_000)
    pq.write_table(pa.table([numbers] * 8, names=list("abcdefgh")), wide, use_dictionary=False)
    assert survey(many) == survey(wide) == frozenset()


def test_a_task_that_goes_on_ends_where_its_file_does() -> None:
    progress = Progress(workers=1, max_bad_rows=0, unit_bytes=ROW_BYTES, groups=frozenset({(0, 0)}))
    progress.add_parts(Part(file, at * PART, (at + 1) * PART, at * PART, PART) for file in (0, 1) for at in range(300))
    progress.no_more_parts()
    assert not any(task.members for task in done(progress, seconds=FAST))
