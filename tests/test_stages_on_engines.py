"""One job of several stages gives the same bytes on every engine, whoever has which lane and whichever workers die."""

import os
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pandas as pd
import pytest

import muster
from muster._model import Task
from muster.testing import FakeEngine


def exploded(df: pd.DataFrame) -> pd.DataFrame:
    """Give a row for each tag, and none of users whose number divides by 5: all rows of some keys are gone."""
    some = df[df["user"] % 5 != 0]
    return some.assign(tag=some["tags"].str.split("|")).explode("tag").drop(columns="tags")


def running(df: pd.DataFrame, states: dict[int, float]) -> pd.DataFrame:
    totals = []
    for user, amount in zip(df["user"], df["amount"], strict=True):
        states[user] += amount
        totals.append(states[user])
    return df.assign(total=totals).rename(columns={"user": "who"})


def last_of_each(df: pd.DataFrame, key: tuple[int, str]) -> pd.DataFrame:
    who, tag = key
    last: Any = df["total"].iloc[-1]
    return pd.DataFrame({"tag": [tag], "who": [who if len(df) % 2 else who / 2], "total": [last], "rows": [len(df)]})


class Spread:
    """How far apart the totals of a tag are."""

    def initial(self) -> tuple[float, float]:
        return np.inf, -np.inf

    def update(self, partial: tuple[float, float], rows: "pd.Series[float]") -> tuple[float, float]:
        return min(partial[0], rows.min()), max(partial[1], rows.max())

    def combine(self, partial: tuple[float, float], later: tuple[float, float]) -> tuple[float, float]:
        return min(partial[0], later[0]), max(partial[1], later[1])

    def output(self, partial: tuple[float, float]) -> float:
        return float(partial[1] - partial[0])


@pytest.fixture(scope="module")
def orders(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder, rng, rows = tmp_path_factory.mktemp("orders"), np.random.default_rng(11), 900
    tags = ["new|paid", "paid", "", "new|gift|paid", 'said "no"|paid', "two\nlines"]
    user = np.where(rng.random(rows) < 0.3, 7, rng.integers(0, 60, rows))
    frame = pd.DataFrame({"user": user, "amount": rng.integers(1, 400, rows) / 8})
    frame["tags"] = [tags[one] for one in rng.integers(0, len(tags), rows)]
    frame[:500].to_csv(folder / "1.csv", index=False)
    frame[500:].to_csv(folder / "2.csv", index=False)
    return [folder / "1.csv", folder / "2.csv"]


def told(orders: list[Path], output: Path, **options: Any) -> str:  # noqa: ANN401 (those of a run)
    keyed = muster.read_csv(orders, dtype={"tags": "str"}).map_batches(exploded).key_by("user")
    grouped = keyed.map_batches(running, state=float).group_by(["who", "tag"]).map_groups(last_of_each)
    sums = grouped.group_by("tag").agg(sort=True, n="count", total=("total", "sum"), spread=("total", Spread))
    result = sums.write_csv(output).run(fresh=True, **options)
    assert result.bad_rows == 0
    return output.read_text()


def by_pandas(orders: list[Path]) -> str:
    rows = exploded(pd.concat([pd.read_csv(one) for one in orders], ignore_index=True))
    rows["total"] = rows.groupby("user")["amount"].cumsum()
    last = rows.groupby(["user", "tag"], sort=False)["total"].last().reset_index()
    grouped = last.groupby("tag")["total"]
    sums = grouped.agg(n="size", total="sum", spread=lambda one: one.max() - one.min())
    return str(sums.reset_index().to_csv(index=False))


@pytest.mark.parametrize("workers", [0, 1, 2, 4])
def test_any_number_of_workers_gives_what_pandas_makes_of_the_whole(
    orders: list[Path], tmp_path: Path, workers: int
) -> None:
    assert told(orders, tmp_path / "out.csv", workers=workers, part_bytes=4_000) == by_pandas(orders)


_SPARED = 0.2
"""The share of tasks whose worker does not end."""


class Deaths:
    """Ends workers now and then, each time at other rows: rows that end their worker again and again are rejected."""

    def __init__(self, chance: Random, *, most: int) -> None:
        self._chance = chance
        self._most = most
        self._at = set[object]()

    def __len__(self) -> int:
        return len(self._at)

    def __call__(self, request: object) -> bool:
        rows = (request.file, request.first, request.lo, request.hi) if isinstance(request, Task) else ()
        if not rows or rows in self._at or len(self) >= self._most or self._chance.random() < _SPARED:
            return False
        self._at.add(rows)
        return True


@pytest.mark.parametrize("number", range(3))
def test_whoever_has_which_lane_and_dies_when_the_bytes_are_the_same(
    orders: list[Path], tmp_path: Path, number: int
) -> None:
    seed = os.urandom(4).hex()
    print(f"the seed is {seed}")  # noqa: T201 (which a failure shows)
    chance = Random(seed)  # noqa: S311 (of a test)
    deaths = Deaths(chance, most=30 if number else 0)
    engine = FakeEngine(workers=2 + number, chance=chance, kills=deaths)
    assert told(orders, tmp_path / "out.csv", engine=engine, part_bytes=4_000) == by_pandas(orders)
    assert len(deaths) > 10 or not number
