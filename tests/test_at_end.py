"""What a step gives at the end of a lane is what a plain loop gives, also where a lane was cut as it ended workers."""

import json
import os
import threading
from collections import Counter
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

import muster
from muster import UserCodeError
from muster._formats import keys
from muster._formats.keyed import hashes_of
from muster._model import NO_FILE, Column, Task
from muster.testing import FakeEngine


class Totals:
    """Gives each row the total of its user so far; and at the end what it knows of all users of a lane."""

    def __call__(self, df: pd.DataFrame, states: Any) -> pd.DataFrame:  # noqa: ANN401 (a mapping)
        totals = []
        for user, seconds in zip(df["user"], df["seconds"], strict=True):
            states[user] += seconds
            totals.append(states[user])
        return df.assign(total=totals, of=0)

    def at_end(self, states: dict[int, int]) -> pd.DataFrame:
        return pd.DataFrame({"user": [*states], "seconds": -1, "total": [*states.values()], "of": len(states)})


@pytest.fixture
def clicks(tmp_path: Path) -> Path:
    """Write rows of 600 users, so that some lanes have several, one of whom has a third of all."""
    rng = np.random.default_rng(5)
    rows = 2500
    user = np.where(rng.random(rows) < 1 / 3, 7, rng.integers(0, 600, rows))
    frame = pd.DataFrame({"user": user, "seconds": rng.integers(0, 100, rows)})
    frame.to_csv(tmp_path / "in.csv", index=False)
    return tmp_path / "in.csv"


def lanes_of(users: "pd.Series[int]") -> list[int]:
    table = pa.table({"user": users.to_numpy()})
    lanes: list[int] = keys.lanes(hashes_of(table, ("user",), (Column("user"),))).tolist()
    return lanes


def by_a_loop(clicks: Path, *, without: frozenset[int] = frozenset()) -> str:
    """Go through the whole file, row by row; behind its rows stands what is known of each lane in the end."""
    frame = pd.read_csv(clicks)
    frame = frame[~frame["user"].isin(without)]
    totals, lanes, rows = Counter[int](), dict[int, dict[int, int]](), []
    for user, seconds, lane in zip(frame["user"], frame["seconds"], lanes_of(frame["user"]), strict=True):
        totals[user] += seconds
        lanes.setdefault(lane, {})[user] = totals[user]
        rows.append((user, seconds, totals[user], 0))
    for lane in sorted(lanes):
        rows += [(user, -1, total, len(lanes[lane])) for user, total in lanes[lane].items()]
    return pd.DataFrame(rows, columns=["user", "seconds", "total", "of"]).to_csv(index=False)


class DeathsOfLanes:
    """Ends the worker of some lanes twice, so that they are cut, and then those of some of the pieces, once."""

    def __init__(self, chance: Random) -> None:
        self._chance = chance
        self._is_cut = dict[int, bool]()
        self._deaths = Counter[object]()

    @property
    def total(self) -> int:
        return self._deaths.total()

    def __call__(self, request: object) -> bool:
        if not isinstance(request, Task) or request.file != NO_FILE or request.hi - request.lo == 1:
            return False
        at, lanes = (request.first, request.lo, request.hi), range(request.first, request.last)
        are_cut = [self._is_cut.setdefault(lane, self._chance.random() < 0.05) for lane in lanes]
        if not any(are_cut) or self._deaths[at] >= 1 + request.is_whole:
            return False
        if not request.is_whole and self._chance.random() < 0.3:
            return False
        self._deaths[at] += 1
        return True


@pytest.mark.parametrize("workers", [1, 2, 4])
def test_a_lane_that_was_cut_as_it_ended_workers_ends_once_with_all_of_its_states(clicks: Path, workers: int) -> None:
    seed = os.urandom(4).hex()
    print(f"the seed is {seed}")  # noqa: T201 (which a failure shows)
    chance = Random(seed)  # noqa: S311 (of a test)
    deaths = DeathsOfLanes(chance)
    engine = FakeEngine(workers=workers, chance=chance, kills=deaths)
    output = clicks.parent / "out.csv"
    pipeline = muster.read_csv(clicks).key_by("user").map_batches(Totals, state=int).write_csv(output)
    result = pipeline.run(engine=engine, part_bytes=2_000)
    assert (result.rows_in, result.bad_rows) == (2500, 0)
    assert output.read_text() == by_a_loop(clicks)
    assert deaths.total > 10


def sharing_a_lane(clicks: Path, *, most: int) -> frozenset[int]:
    """Choose users of whom two share a lane with others, and one has a lane alone."""
    users = pd.read_csv(clicks)["user"].drop_duplicates()
    lanes = dict(zip(users, lanes_of(users), strict=True))
    mates = {lane: [user for user in users if lanes[user] == lane] for lane in lanes.values()}
    several = next(own for own in mates.values() if len(own) > most)
    alone = next(own for own in mates.values() if len(own) == 1)
    return frozenset([*several[:2], *alone])


DEADLY = """
import os
import threading
import pandas as pd

class Deadly:
    def __call__(self, df, states):
        if df["user"].isin(DEADLY).any():
            os._exit(1)
        totals = []
        for user, seconds in zip(df["user"], df["seconds"]):
            states[user] += seconds
            totals.append(states[user])
        return df.assign(total=totals, of=0)

    def at_end(self, states):
        if states.keys() & {*AT_END}:
            os._exit(1)
        return pd.DataFrame({"user": [*states], "seconds": -1, "total": [*states.values()], "of": len(states)})
"""


@pytest.mark.parametrize("workers", [1, 2, 4])
def test_keys_that_end_workers_are_rejected_and_the_lane_ends_with_all_others(clicks: Path, workers: int) -> None:
    deadly = sharing_a_lane(clicks, most=2)
    (clicks.parent / "deadly.py").write_text(f"DEADLY, AT_END = {[*deadly]}, []\n{DEADLY}")
    output = clicks.parent / "out.csv"
    pipeline = muster.read_csv(clicks).key_by("user").map_batches(f"{clicks.parent}/deadly.py:Deadly", state=int)
    with pytest.warns(muster.RejectedRowsWarning):
        result = pipeline.write_csv(output).run(workers=workers)
    frame = pd.read_csv(clicks)
    rejects = [json.loads(line) for line in (clicks.parent / "out.csv.rejects.jsonl").read_text().splitlines()]
    assert {(one["row"], one["key"]) for one in rejects} == {
        (row, str(user)) for row, user in frame["user"].items() if user in deadly
    }
    assert result.bad_rows == len(rejects) == frame["user"].isin(deadly).sum()
    assert (result.rows_in, result.rows_out) == (len(frame), output.read_text().count("\n") - 1)
    assert output.read_text() == by_a_loop(clicks, without=deadly)


def test_an_at_end_that_ends_its_worker_stops_the_run_in_words(clicks: Path) -> None:
    (clicks.parent / "deadly.py").write_text(f"DEADLY, AT_END = [], range(600)\n{DEADLY}")
    pipeline = muster.read_csv(clicks).key_by("user").map_batches(f"{clicks.parent}/deadly.py:Deadly", state=int)
    with pytest.raises(UserCodeError, match="'Deadly' ended its worker again and again at the end of a lane"):
        pipeline.write_csv(clicks.parent / "out.csv").run(workers=2)


def in_lanes_of_one_row(tmp_path: Path) -> list[int]:
    """Write rows of users who each have one row, and a lane alone; but for the first, who has many rows."""
    every = pd.Series(range(400))
    users: list[int] = every[~pd.Series(lanes_of(every)).duplicated()].tolist()
    frame = pd.DataFrame({"user": [users[0]] * 30 + [*users], "seconds": range(30 + len(users))})
    frame.to_csv(tmp_path / "in.csv", index=False)
    return users


@pytest.mark.parametrize("everywhere", [False, True])
def test_an_at_end_that_ends_its_worker_on_a_lane_of_one_row_stops_the_run_and_rejects_no_row(
    tmp_path: Path,
    everywhere: bool,  # noqa: FBT001 (pytest gives it by name)
) -> None:
    users = in_lanes_of_one_row(tmp_path)
    at_end = users if everywhere else [users[5]]
    (tmp_path / "deadly.py").write_text(f"DEADLY, AT_END = [], {at_end}\n{DEADLY}")
    keyed = muster.read_csv(tmp_path / "in.csv").key_by("user")
    pipeline = keyed.map_batches(f"{tmp_path}/deadly.py:Deadly", state=int)
    with pytest.raises(UserCodeError, match="'Deadly' ended its worker again and again at the end of a lane"):
        pipeline.write_csv(tmp_path / "out.csv").run(workers=2)


def test_a_row_that_ends_its_worker_in_a_lane_of_its_own_is_rejected_alone(tmp_path: Path) -> None:
    users = in_lanes_of_one_row(tmp_path)
    (tmp_path / "deadly.py").write_text(f"DEADLY, AT_END = [{users[5]}], [{users[5]}]\n{DEADLY}")
    keyed = muster.read_csv(tmp_path / "in.csv").key_by("user")
    pipeline = keyed.map_batches(f"{tmp_path}/deadly.py:Deadly", state=int)
    output = tmp_path / "out.csv"
    with pytest.warns(muster.RejectedRowsWarning):
        result = pipeline.write_csv(output).run(workers=2)
    assert result.bad_rows == 1
    assert output.read_text() == by_a_loop(tmp_path / "in.csv", without=frozenset([users[5]]))


@pytest.mark.parametrize(
    ("workers", "said"),
    [
        (0, "at_end of 'Stuck' raised TimeoutError"),
        (2, "at the end of a lane: the function ran longer than the time limit"),
    ],
)
def test_an_at_end_that_takes_too_long_stops_the_run_in_words(clicks: Path, workers: int, said: str) -> None:
    class Stuck(Totals):
        def at_end(self, states: dict[int, int]) -> pd.DataFrame:
            if 7 in states:
                threading.Event().wait()
            return super().at_end(states)

    pipeline = muster.read_csv(clicks).key_by("user").map_batches(Stuck, state=int)
    with pytest.raises(UserCodeError, match=said):
        pipeline.write_csv(clicks.parent / "out.csv").run(workers=workers, timeout=2)
