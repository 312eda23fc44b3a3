"""One job of several stages gives the same bytes on every engine, whoever has which lane and whichever workers die."""

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pandas as pd
import pytest

import muster
from muster._engines.around import Around
from muster._engines.base import Message
from muster._engines.bell import Bell
from muster._model import Slots, Task
from muster._progress.handing_out import HandingOut
from muster.errors import FaultError
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
    result = sums.write_csv(output).run(**{"fresh": True, **options})
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


MOST_TURNS = 10_000
"""The worst of a hundred runs took a tenth of that."""


class Moody(Around[FakeEngine]):
    """An engine whose news come late, whose machines take requests when they like, and of which one leaves at last.

    Each message may wait, behind those before it. ``late`` machines have workers, and take nothing for a while, as one
    that is not sent yet what it needs.
    """

    def __init__(self, engine: FakeEngine, chance: Random, *, late: Mapping[str, int], leaves: int | None) -> None:
        super().__init__(engine)
        self.turns = 0
        self._chance = chance
        self._late = late
        self._leaves = leaves
        self._untold: list[Message] = []
        self._bell = Bell()
        self._bell.ring()  # whoever waits for news asks at once, and may hear nothing

    def fileno(self) -> int:
        return self._bell.fileno()

    def slots(self) -> Mapping[str, Slots]:
        return dict(self._open())

    def _open(self) -> Iterator[tuple[str, Slots]]:
        for machine, (idle, ahead) in super().slots().items():
            if self.turns > self._late.get(machine, 0) and self._chance.random() < 0.7:
                yield machine, Slots(self._chance.randint(0, idle), self._chance.randint(0, ahead))

    def messages(self) -> list[Message]:
        self.turns += 1
        assert self.turns < MOST_TURNS, "it goes round and round"
        if self._leaves is not None and self.turns >= self._leaves and len(super().slots()) > 1:
            self._leaves = None  # who is there alone stays: the others were put aside, as workers ended there by chance
            self.drain("machine 1")
        self._untold += super().messages()
        count = self._chance.choice([0, 1, len(self._untold)])
        told, self._untold = self._untold[:count], self._untold[count:]
        return told

    def close(self) -> None:
        super().close()
        self._bell.close()


@pytest.mark.parametrize("kills", [0, 10, 30])
def test_whenever_machines_come_answer_and_leave_the_run_ends_with_the_same_bytes(
    orders: list[Path], tmp_path: Path, kills: int
) -> None:
    seed = os.urandom(4).hex()
    print(f"the seed is {seed}")  # noqa: T201 (which a failure shows)
    chance = Random(seed)  # noqa: S311 (of a test)
    deaths = Deaths(chance, most=kills)
    engine = FakeEngine(workers=3 + kills // 10, machines=3, chance=chance, kills=deaths)
    late = {f"machine {at + 1}": chance.choice([0, 50, 500]) for at in range(3)}
    leaves = chance.choice([100, 200] if kills > 10 else [None, 1, 100, 400])
    moody = Moody(engine, chance, late=late, leaves=leaves)
    assert told(orders, tmp_path / "out.csv", engine=moody, part_bytes=4_000) == by_pandas(orders)
    assert len(deaths) >= kills // 2
    assert kills <= 10 or (moody.turns > (leaves or 0) and len(deaths) == kills)


def test_a_run_that_stands_still_says_so_with_the_facts_and_what_was_done_is_kept(
    orders: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    what_waits, calls = HandingOut.what_waits, []

    def forgets_what_waits(handing_out: HandingOut, *given: Any) -> Any:  # noqa: ANN401 (whatever it takes and gives)
        calls.append(given)
        return what_waits(handing_out, *given) if len(calls) < 20 else []

    with monkeypatch.context() as faulty:
        faulty.setattr(HandingOut, "what_waits", forgets_what_waits)
        with pytest.raises(FaultError, match=r"nobody is given any \(stage \d; \d+ parts?, .*idle: machine 1\)"):
            told(orders, tmp_path / "out.csv", engine=FakeEngine(), part_bytes=4_000)
    assert told(orders, tmp_path / "out.csv", engine=FakeEngine(), part_bytes=4_000, fresh=False) == by_pandas(orders)


def renamed(df: pd.DataFrame) -> pd.DataFrame:
    return df.rename(columns={"user": "who"})[df["user"] != 3]


def visits(df: pd.DataFrame, states: dict[int, int]) -> pd.DataFrame:
    numbers = []
    for who in df["who"]:
        states[who] += 1
        numbers.append(states[who])
    return df.assign(visit=numbers)


def last(df: pd.DataFrame) -> pd.DataFrame:
    return df.tail(1).assign(rows=len(df))


@pytest.mark.parametrize("engine", [None, "fake"])
def test_types_that_turn_out_too_narrow_when_the_first_stage_has_begun_are_settled_anew_for_all_stages(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], engine: str | None
) -> None:
    users = [str(at % 5) for at in range(60_000)]
    users[40_001] = "a word"
    frame = pd.DataFrame({"user": users, "n": range(60_000)})
    frame.to_csv(tmp_path / "in.csv", index=False)
    pipeline = muster.read_csv(tmp_path / "in.csv").map_batches(renamed).key_by("who").map_batches(visits, state=int)
    written = pipeline.group_by("who").map_groups(last).write_csv(tmp_path / "out.csv")
    chance = Random(5)  # noqa: S311 (of a test)
    options: dict[str, Any] = {"engine": FakeEngine(workers=3, chance=chance)} if engine else {"workers": 2}
    result = written.run(part_bytes=3_000, progress=True, **options)  # there is a part that nobody looks at before
    assert "starting over" in capfd.readouterr().err
    assert (result.rows_in, result.bad_rows) == (60_000, 0)
    whole = pd.read_csv(tmp_path / "in.csv").rename(columns={"user": "who"})
    whole = whole[whole["who"] != 3].assign(visit=lambda df: df.groupby("who").cumcount() + 1).reset_index(drop=True)
    expected = pd.concat(last(group) for _, group in whole.groupby("who", sort=False))
    assert (tmp_path / "out.csv").read_text() == expected.to_csv(index=False)
