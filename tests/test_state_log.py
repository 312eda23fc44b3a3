"""States in the log of a stream: what tasks write there, and what is read again, also once the log is cut."""

import itertools
import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

import dying
from muster._model import StoredStates
from muster._streams.state_log import StateLog
from muster._worker.lane_states import StateCache, StoredLanes
from muster._worker.states import States

LANE, STAGE = 3, 1
EPOCHS = 6


@pytest.fixture
def log(tmp_path: Path) -> Iterator[StateLog]:
    log = StateLog(tmp_path)
    yield log
    log.close()


def lanes(stored: StoredStates, *, is_whole: bool = True) -> StoredLanes:
    return StoredLanes(list, stored, StateCache(), step="step", is_whole=is_whole)


def append(log: StateLog, folder: Path, tasks: list[StoredLanes], *, epoch: int) -> None:
    piece = folder / "piece"
    piece.write_bytes(b"".join(itertools.chain.from_iterable(task.records for task in tasks)))
    log.append([piece], epoch=epoch)


def read(log: StateLog) -> States:
    return lanes(log.stored(STAGE, ends=False)).begin(LANE)


def test_a_task_of_some_keys_that_goes_through_all_writes_down_its_own(log: StateLog, tmp_path: Path) -> None:
    """As a lane is cut by keys, each task has all states of the lane before it, and changes those of its rows."""
    base = {key: [{key, "x", str(ord(key) * 8)}, key] for key in "abcdefgh"}
    first = lanes(log.stored(STAGE, ends=False))
    states = first.begin(LANE)
    states.update(base)
    first.end(LANE, states)
    append(log, tmp_path, [first], epoch=1)
    tasks = [lanes(log.stored(STAGE, ends=False), is_whole=False) for _ in range(3)]
    for task, own in zip(tasks, ("abc", "def", "ghi"), strict=True):
        states = task.begin(LANE)
        assert len([*states.items()]) == 8
        for key in own:
            states[key].append(10)
        task.end(LANE, states)
    append(log, tmp_path, tasks, epoch=2)
    assert read(log).plain() == {key: [*state, 10] for key, state in base.items()} | {"i": [10]}


def committed(folder: Path) -> tuple[int, str, int]:
    """Tell the last epoch that counts, and what log it has led to."""
    path = folder / "committed"
    epoch, name, size = json.loads(path.read_text()) if path.exists() else (0, "", 0)
    return epoch, name, size


def go_on(folder: Path) -> int:
    """Do the epochs that are left, as a stream does; the log is cut whenever more than half of it is useless."""
    done, name, size = committed(folder)
    log = StateLog(folder, name, size, fewest_bytes=0)
    log.tidy()
    for epoch in range(done + 1, EPOCHS + 1):
        task = lanes(log.stored(STAGE, ends=False))
        states = task.begin(LANE)
        states[epoch % 3].append(epoch)
        states["text"] = ["x" * 1000]
        task.end(LANE, states)
        append(log, folder, [task], epoch=epoch)
        (folder / "next").write_text(json.dumps([epoch, *log.place]))
        (folder / "next").rename(folder / "committed")
        log.tidy()
    log.close()
    return 0


def test_killed_while_the_log_is_cut_states_go_on_from_the_log_that_counts(tmp_path: Path) -> None:
    """A process is killed before each operation on a file in turn; a log that does not count is torn, too."""
    whole = tmp_path / "0"
    whole.mkdir()
    code, count = dying.forked(lambda: go_on(whole))
    assert code == 0
    torn = 0
    for point in range(1, count + 1):
        folder = tmp_path / str(point)
        folder.mkdir()
        dying.forked(lambda folder=folder: go_on(folder), dies_before=point)  # type: ignore[misc]
        for path in folder.glob("states-*"):
            if path.name != committed(folder)[1]:
                os.truncate(path, path.stat().st_size // 2)
                torn += path.name != "states-0"
        assert go_on(folder) == 0
        _, name, size = committed(folder)
        assert name != "states-0"
        log = StateLog(folder, name, size)
        expected = {key: [at for at in range(1, EPOCHS + 1) if at % 3 == key] for key in range(3)}
        assert read(log).plain() == expected | {"text": ["x" * 1000]}, point
        log.close()
    assert torn
