"""Windows of a file are what a loop over its rows makes of them, however the rows were cut into tasks."""

import datetime as dt
import io
import json
import os
import re
import tempfile
from collections.abc import Callable, Iterator
from itertools import product
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import muster
from conftest import Muster
from muster import DataError, UsageError
from muster.testing import FakeEngine
from test_stages_on_engines import Deaths

MINUTE = dt.timedelta(minutes=1)

KINDS: dict[str, dict[str, Any]] = {
    "tumbling": {"size": "1h"},
    "overlapping": {"size": "1h", "every": "20m"},
    "odd": {"size": dt.timedelta(minutes=7)},
    "sessions": {"session": "30m"},
    "rows": {"rows": 3},
}
Row = dict[str, Any]


def windows_of(rows: list[Row], key: str | None, kind: str) -> Iterator[Row]:
    """Give each row with the windows that it is in, one by one."""
    if kind == "rows":
        counts: dict[Any, int] = {}
        for row in rows:
            of = row[key] if key else None
            counts[of] = counts.get(of, -1) + 1
            yield row | {"window": counts[of] // 3}
        return
    if kind == "sessions":
        for of in dict.fromkeys(row[key] if key else None for row in rows):
            own = [row for row in rows if key is None or row[key] == of]
            yield from in_sessions(own)
        return
    size = {"tumbling": 60, "overlapping": 60, "odd": 7}[kind] * MINUTE
    every = 20 * MINUTE if kind == "overlapping" else size
    for row in rows:
        start = dt.datetime(1960, 1, 1)  # noqa: DTZ001 (as the column has no zone)
        start = start + (row["at"] - start) // every * every - size
        start -= (start - dt.datetime(1970, 1, 1)) % every  # noqa: DTZ001 (likewise)
        while start <= row["at"]:
            if row["at"] < start + size:
                yield row | {"window_start": start, "window_end": start + size}
            start += every


def in_sessions(rows: list[Row]) -> Iterator[Row]:
    gap, ends = 30 * MINUTE, list[tuple[dt.datetime, dt.datetime]]()
    for row in sorted(rows, key=lambda one: one["at"]):
        if ends and row["at"] < ends[-1][1]:
            ends[-1] = (ends[-1][0], row["at"] + gap)
        else:
            ends.append((row["at"], row["at"] + gap))
    for row in rows:
        start, end = next(one for one in ends if one[0] <= row["at"] < one[1])
        yield row | {"window_start": start, "window_end": end}


TIMES = "%Y-%m-%d %H:%M:%S"
"""How all files write them: pandas leaves midnight out of a file that has no other time, and that is another form."""


@st.composite
def frames(draw: st.DrawFn) -> pd.DataFrame:
    count = draw(st.integers(1, 30))
    minutes = st.sampled_from([0, 1, 6, 7, 19, 20, 29, 30, 31, 59, 60, 61, 90, 120, 1440, -1, -60, -7])
    times = st.builds(
        lambda minute, second: dt.datetime(2026, 3, 1) + minute * MINUTE + dt.timedelta(seconds=second),  # noqa: DTZ001
        minutes,
        st.sampled_from([0, 0, 1, 59]),
    )
    columns = {"k": st.sampled_from(["a", "b", "c", "é"]), "at": times, "n": st.integers(-5, 5)}
    drawn = {name: draw(st.lists(cells, min_size=count, max_size=count)) for name, cells in columns.items()}
    return pd.DataFrame(drawn)


def all_of_it(df: pd.DataFrame) -> pd.DataFrame:
    return df.reset_index(drop=True)


def one_row(df: pd.DataFrame, key: object) -> pd.DataFrame:
    return pd.DataFrame({"key": [str(key)], "rows": [len(df)], "first": [df["n"].iloc[0]]})


@settings(max_examples=25)
@given(
    frame=frames(),
    kind=st.sampled_from([*KINDS]),
    key=st.sampled_from(["k", None]),
    does=st.sampled_from(["all of it", "one row", "agg"]),
    sort=st.booleans(),
    part_bytes=st.sampled_from([None, 60, 400]),
    cut=st.integers(0, 30),
)
def test_windows_are_those_that_a_loop_over_the_rows_makes(  # noqa: PLR0913, PLR0917 (what may differ)
    frame: pd.DataFrame,
    kind: str,
    key: str | None,
    does: str,
    sort: bool,  # noqa: FBT001 (hypothesis gives it by name)
    part_bytes: int | None,
    cut: int,
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        names = [f"{folder}/{name}" for name in ("1.csv", "2.csv")]
        frame.iloc[:cut].to_csv(names[0], index=False, date_format=TIMES)
        frame.iloc[cut:].to_csv(names[1], index=False, date_format=TIMES)
        read = muster.read_csv(names, parse_dates=["at"])
        time: dict[str, Any] = {} if kind == "rows" else {"time": "at"}
        grouped = (read.group_by(key) if key else read.key_by(None)).window(**KINDS[kind], **time)
        if does == "agg":
            made = grouped.agg(sort=sort, rows="count", total=("n", "sum"), last=("n", "last"), of=("k", "nunique"))
        else:
            made = grouped.map_groups(all_of_it if does == "all of it" else one_row, sort=sort)
        result = made.write_csv(f"{folder}/out.csv").run(workers=0, part_bytes=part_bytes)
        assert (result.rows_in, result.bad_rows) == (len(frame), 0)
        told = Path(folder, "out.csv").read_text()
    cells = pd.read_csv(io.StringIO(frame.to_csv(index=False, date_format=TIMES)), parse_dates=["at"])
    whole = pd.DataFrame(
        windows_of([{str(name): value for name, value in row.items()} for row in cells.to_dict("records")], key, kind)
    )
    by = [*([key] if key else []), *(["window"] if kind == "rows" else ["window_start", "window_end"])]
    groups = whole.groupby(by, sort=sort)
    if does == "agg":
        expected = groups.agg(rows=("n", "size"), total=("n", "sum"), last=("n", "last"), of=("k", "nunique"))
        assert told == expected.reset_index().to_csv(index=False)
    elif does == "all of it":
        assert told == pd.concat([group for _, group in groups]).to_csv(index=False)
    else:
        rows = [(len(group), group["n"].iloc[0]) for _, group in groups]
        own = pd.read_csv(io.StringIO(told))
        assert [*zip(own["rows"], own["first"], strict=True)] == rows
        assert all(one.startswith("('") == bool(key) for one in own["key"])


ROWS = 400


@pytest.fixture
def clicks(tmp_path: Path) -> Path:
    return written_clicks(tmp_path / "in.csv", ROWS)


def written_clicks(path: Path, rows: int) -> Path:
    """Write rows of 40 users, one of whom has a third of all; neither users nor times are in order."""
    rng = np.random.default_rng(3)
    user = np.where(rng.random(rows) < 1 / 3, 7, rng.integers(0, 40, rows))
    at = pd.Timestamp("2026-01-01") + pd.to_timedelta(rng.integers(0, 3 * 86_400, rows), unit="s")
    frame = pd.DataFrame({"user": user, "at": at, "seconds": rng.random(rows).round(3), "page": user % 3})
    frame.to_csv(path, index=False)
    return path


class Longest:
    """An aggregation of one's own."""

    def initial(self) -> float:
        return 0.0

    def update(self, partial: float, rows: "pd.Series[float]") -> float:
        return float(max(partial, rows.max()))

    def combine(self, partial: float, later: float) -> float:
        return max(partial, later)

    def output(self, partial: float) -> float:
        return partial


def totals(df: pd.DataFrame, key: tuple[Any, ...]) -> pd.DataFrame:
    return df.assign(total=df["seconds"].cumsum(), key=str(key)).tail(2)


MADE: dict[str, Callable[[Any], muster.Pipeline]] = {
    "agg": lambda grouped: grouped.agg(n="count", total=("seconds", "sum"), longest=("seconds", Longest)),
    "map_groups": lambda grouped: grouped.map_groups(totals),
    "sorted": lambda grouped: grouped.agg(sort=True, n="count", mean=("seconds", "mean")),
}
CASES = [*product(["agg", "map_groups"], KINDS), ("sorted", "sessions"), ("sorted", "rows")]
"""To sort is to sort, whatever the windows are: by times, or by numbers of rows."""


@pytest.mark.parametrize(("made", "kind"), CASES)
def test_any_number_of_workers_gives_the_same_bytes(clicks: Path, kind: str, made: str) -> None:
    outputs = set[bytes]()
    for workers in (0, 3):
        time: dict[str, Any] = {} if kind == "rows" else {"time": "at"}
        grouped = muster.read_csv(clicks, parse_dates=["at"]).key_by("user").window(**KINDS[kind], **time)
        output = clicks.parent / f"{workers}.csv"
        result = MADE[made](grouped).write_csv(output).run(workers=workers, part_bytes=3_000)
        assert result.bad_rows == 0
        assert result.rows_out > 40
        outputs.add(output.read_bytes())
    assert len(outputs) == 1


def windowed(path: Path, output: str = "out.csv", **options: Any) -> Any:  # noqa: ANN401 (a pipeline)
    """Count rows by user and hour of a file in its folder."""
    if path.suffix == ".csv":
        options.setdefault("parse_dates", ["at"])
    read: Any = {".csv": muster.read_csv, ".parquet": muster.read_parquet, ".jsonl": muster.read_json}[path.suffix]
    grouped = read(path, **options).group_by("user").window("1h", time="at")
    return grouped.agg(n="count").write_csv(path.parent / output)


@pytest.mark.parametrize("dtype", ["datetime64[ns, Europe/Berlin]", "datetime64[ms, UTC]", "datetime64[s]", "date"])
def test_times_of_every_sort_are_cut_where_their_own_clock_says(tmp_path: Path, dtype: str) -> None:
    at: Any = pd.Series(pd.date_range("2026-03-29", periods=9, freq="40min", tz="UTC"))
    plain: Any = at.dt.tz_localize(None)
    kept: Any = plain.dt.date if dtype == "date" else (at if "," in dtype else plain).astype(dtype)
    pd.DataFrame({"user": [1, 2, 1] * 3, "at": kept}).to_parquet(tmp_path / "in.parquet")
    windowed(tmp_path / "in.parquet").run(workers=0)
    told = pd.read_csv(tmp_path / "out.csv", parse_dates=["window_start", "window_end"])
    starts = pd.to_datetime(told["window_start"], utc=True)
    hours = plain.dt.floor("D" if dtype == "date" else "h").dt.tz_localize("UTC")
    expected = pd.DataFrame({"user": [1, 2, 1] * 3, "at": hours}).groupby(["user", "at"], sort=False).size()
    assert [*zip(told["user"], starts, told["n"], strict=True)] == [
        (*key, n) for key, n in dict[Any, Any](expected).items()
    ]
    assert (pd.to_datetime(told["window_end"], utc=True) - starts == pd.Timedelta("1h")).all()


def test_a_window_may_be_finer_than_the_times_are_kept(tmp_path: Path) -> None:
    at = pd.Series(pd.to_datetime(["2026-01-01 00:00:00", "2026-01-01 00:00:01"])).astype("datetime64[s]")
    pd.DataFrame({"user": [1, 1], "at": at}).to_parquet(tmp_path / "in.parquet")
    grouped = muster.read_parquet(tmp_path / "in.parquet").group_by("user").window("0.5s", every="250ms", time="at")
    grouped.agg(n="count").write_csv(tmp_path / "out.csv").run(workers=0)
    told = pd.read_csv(tmp_path / "out.csv", parse_dates=["window_start"])
    expected = ["2025-12-31 23:59:59.750", "2026-01-01", "2026-01-01 00:00:00.750", "2026-01-01 00:00:01"]
    assert told["window_start"].tolist() == [pd.Timestamp(one) for one in expected]


def test_a_row_without_a_time_is_a_bad_row_and_no_other(tmp_path: Path) -> None:
    (tmp_path / "in.csv").write_text("user,at\n1,2026-01-01 10:00\n1,\n2,2026-01-01 10:30\n1,2026-01-01 10:59\n")
    kinds: list[dict[str, Any]] = [{"size": "1h"}, {"session": "2h"}]
    for number, kind in enumerate(kinds):
        grouped = muster.read_csv(tmp_path / "in.csv", parse_dates=["at"]).group_by("user").window(**kind, time="at")
        result = grouped.agg(n="count").write_csv(tmp_path / f"{number}.csv").run(workers=0)
        assert result.bad_rows == 1
        (bad,) = [json.loads(line) for line in (tmp_path / f"{number}.csv.rejects.jsonl").read_text().splitlines()]
        assert (bad["row"], bad["step"], bad["raw"]) == (1, "window" if not number else "times", "1,")
        assert "the row has no time: 'at' is missing" in bad["error"]
        assert pd.read_csv(tmp_path / f"{number}.csv")["n"].tolist() == [2, 1]


def test_keys_that_are_missing_are_in_no_window_unless_they_are_to_be(tmp_path: Path) -> None:
    (tmp_path / "in.csv").write_text("user,at\n1,2026-01-01 10:00\n,2026-01-01 10:10\n,2026-01-01 10:20\n")
    read = muster.read_csv(tmp_path / "in.csv", parse_dates=["at"])
    kinds: list[dict[str, Any]] = [{"size": "1h", "time": "at"}, {"session": "1h", "time": "at"}, {"rows": 2}]
    counts = []
    for grouped in (read.group_by("user"), read.group_by("user", dropna=False), read.key_by("user")):
        for kind in kinds:
            made = grouped.window(**kind).agg(n="count").write_csv(tmp_path / "out.csv")
            made.run(workers=0, fresh=True)
            counts.append(pd.read_csv(tmp_path / "out.csv")["n"].tolist())
    assert counts == [[1]] * 3 + [[1, 2]] * 6


def hourly(df: pd.DataFrame) -> pd.DataFrame:
    return df.assign(at=pd.to_datetime(df["day"] + " " + df["hour"].astype(str) + ":00"))


def renamed(df: pd.DataFrame) -> pd.DataFrame:
    return df.rename(columns={"window_start": "hour", "window_end": "end"})


def test_windows_stand_behind_steps_and_before_other_windows(tmp_path: Path) -> None:
    hours = [(day, hour) for day in ("2026-01-01", "2026-01-02") for hour in range(24) for _ in range(hour % 3)]
    pd.DataFrame(hours, columns=["day", "hour"]).assign(user=1).to_csv(tmp_path / "in.csv", index=False)
    by_hour = muster.read_csv(tmp_path / "in.csv").map_batches(hourly).group_by("user").window("1h", time="at")
    by_day = by_hour.agg(n="count").map_batches(renamed).group_by("user").window("1d", time="hour")
    by_day.agg(n=("n", "sum"), hours="count").write_csv(tmp_path / "out.csv").run(workers=0)
    assert (tmp_path / "out.csv").read_text() == (
        "user,window_start,window_end,n,hours\n1,2026-01-01,2026-01-02,24,16\n1,2026-01-02,2026-01-03,24,16\n"
    )


def test_a_group_that_fails_is_rejected_with_its_window(clicks: Path, tmp_path: Path) -> None:
    def fails(df: pd.DataFrame) -> pd.DataFrame:
        if (df["user"] == 7).any() and df["window"].iloc[0] == 1:
            raise ValueError("seven")
        return df

    grouped = muster.read_csv(clicks).group_by("user").window(rows=10)
    result = grouped.map_groups(fails).write_csv(tmp_path / "out.csv").run(workers=0)
    bad = [json.loads(line) for line in (tmp_path / "out.csv.rejects.jsonl").read_text().splitlines()]
    assert result.bad_rows == len(bad) == 10
    assert {(one["key"], one["step"]) for one in bad} == {("[7, 1]", "fails")}
    assert result.rows_out == ROWS - 10


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "nothing": ({}, r"window\(\): it was told no kind of windows"),
    "two kinds": ({"size": "1h", "rows": 3}, r"window\(\): '1h' and rows=3 are windows of several kinds"),
    "all kinds": ({"size": "1h", "rows": 3, "session": "1m"}, r"windows of several kinds"),
    "no length": ({"size": "an hour", "time": "at"}, r"window\('an hour'\): that is no length of time"),
    "a number": ({"size": 3600, "time": "at"}, r"window\(3600\): that is no length of time.* window|Type for example"),
    "a month": ({"size": "1mo", "time": "at"}, r"window\('1mo'\): that is no length of time"),
    "nothing long": ({"size": "0h", "time": "at"}, r"window\('0h'\): that is no length of time at all"),
    "too fine": ({"size": "0.0001ms", "time": "at"}, r"that is no length of time"),
    "negative": ({"size": "-1h", "time": "at"}, r"window\('-1h'\): a length of time is not negative"),
    "a session of nothing": ({"session": "0s", "time": "at"}, r"window\(session='0s'\): that is no length of time"),
    "does not divide": ({"size": "1h", "every": "25m", "time": "at"}, r"windows would not fit each other.*divides it"),
    "larger": ({"size": "1h", "every": "2h", "time": "at"}, r"rows between two windows would be in none"),
    "too often": ({"size": "1d", "every": "1s", "time": "at"}, r"each row would be in 86400 windows"),
    "every of sessions": ({"session": "1h", "every": "1m", "time": "at"}, r"window\(session='1h', every='1m'\)"),
    "lateness": ({"size": "1h", "time": "at", "lateness": "-5m"}, r"window\(lateness='-5m'\): a length of time is not"),
    "lateness as a span": (
        {"size": "1h", "time": "at", "lateness": dt.timedelta(minutes=-5)},
        r"a length of time is not negative",
    ),
    "no rows": ({"rows": 0}, r"window\(rows=0\): give how many rows"),
    "half a row": ({"rows": 1.5}, r"window\(rows=1.5\): give how many rows"),
    "True rows": ({"rows": True}, r"window\(rows=True\): give how many rows"),
    "times of rows": ({"rows": 3, "time": "at"}, r"window\(rows=3, time='at'\): windows of rows are counted"),
    "lateness of rows": ({"rows": 3, "lateness": "1m"}, r"window\(rows=3, lateness='1m'\)"),
    "no time": ({"size": "1h"}, r"which column has the times of rows\?.*window\('1h', time='at'\)"),
    "no time of sessions": ({"session": "1h"}, r"Name it: window\(session='1h', time='at'\)"),
    "a time that is no name": ({"size": "1h", "time": ["at"]}, r"window\(time=\['at'\]\): give the name"),
}


@pytest.mark.parametrize("what", [*REFUSED])
def test_what_is_no_window_is_refused_before_anything_is_read(what: str) -> None:
    asked, why = REFUSED[what]
    for grouped in (muster.read_csv("none.csv").group_by("user"), muster.read_csv("none.csv").key_by("user")):
        with pytest.raises(UsageError, match=re.compile(why, re.DOTALL)):
            grouped.window(**asked)


COLUMNS: dict[str, tuple[str, dict[str, Any], str]] = {
    "missing": ("user,when\n1,2\n", {"parse_dates": None}, r"There is no column 'at' to take the times of rows from"),
    "misspelled": ("user,At\n1,2\n", {"parse_dates": None}, r"Did you mean 'At'\?"),
    "text": ("user,at\n1,soon\n", {"parse_dates": None}, r"'at' holds text.*parse_dates=\['at'\]"),
    "numbers": ("user,at\n1,1767225600\n", {"parse_dates": None}, r"'at' holds numbers.*unit='s'"),
    "no key": ("usr,at\n1,2026-01-01\n", {}, r"There is no column 'user' to group by"),
    "a window already": ("user,at,window_end\n1,2026-01-01,3\n", {}, r"There is a column 'window_end' already"),
}


@pytest.mark.parametrize("what", [*COLUMNS])
def test_columns_that_are_not_there_or_hold_no_times_are_refused(tmp_path: Path, what: str) -> None:
    text, options, why = COLUMNS[what]
    (tmp_path / "in.csv").write_text(text)
    with pytest.raises(UsageError, match=re.compile(why, re.DOTALL)):
        windowed(tmp_path / "in.csv", **options).run(workers=0)


def test_a_cell_that_is_no_time_leaves_its_column_text_and_what_is_said_rejects_its_row(tmp_path: Path) -> None:
    (tmp_path / "in.csv").write_text("user,at\n" + "1,2026-01-01 10:00\n1,soon\n1,2026-01-01 10:20\n" * 4)
    with pytest.raises(UsageError, match=re.escape("with dtype={'at': 'datetime'} alone, which rejects its row")):
        windowed(tmp_path / "in.csv").run(workers=0)
    with pytest.warns(muster.RejectedRowsWarning):
        result = windowed(tmp_path / "in.csv", parse_dates=None, dtype={"at": "datetime"}).run(workers=0)
    assert (result.bad_rows, result.rows_in - result.bad_rows) == (4, 8)


def mixed(df: pd.DataFrame) -> pd.DataFrame:
    zones = [dt.timezone(dt.timedelta(hours=at % 2)) for at in range(len(df))]
    times = [dt.datetime(2026, 1, 1, 12, tzinfo=zone) for zone in zones]
    return df.assign(at=pd.Series(times, df.index, object))


def in_words(df: pd.DataFrame) -> pd.DataFrame:
    return df.assign(at="soon")


def without(df: pd.DataFrame) -> pd.DataFrame:
    return df.drop(columns="at")


@pytest.mark.parametrize(
    ("step", "why"),
    [
        (mixed, r"holds times of several zones: UTC, UTC\+01:00.*utc=True"),
        (in_words, "'at' holds text"),
        (without, "There is no column 'at' for window"),
    ],
)
def test_what_a_step_makes_of_the_times_is_looked_at_too(tmp_path: Path, step: Any, why: str) -> None:  # noqa: ANN401
    (tmp_path / "in.csv").write_text("user,at\n1,2026-01-01\n2,2026-01-01\n")
    grouped = muster.read_csv(tmp_path / "in.csv", parse_dates=["at"]).map_batches(step).group_by("user")
    with pytest.raises(DataError, match=re.compile(why, re.DOTALL)):
        grouped.window("1h", time="at").agg(n="count").write_csv(tmp_path / "out.csv").run(workers=0)


def test_an_input_without_rows_has_no_windows_and_the_columns_of_them(tmp_path: Path) -> None:
    (tmp_path / "in.csv").write_text("user,at\n")
    windowed(tmp_path / "in.csv").run(workers=0)
    assert (tmp_path / "out.csv").read_text() == "user,window_start,window_end,n\n"


def test_a_pipeline_of_a_file_is_run_from_a_shell_and_goes_on_when_it_was_changed(muster: Muster, clicks: Path) -> None:
    app = (
        "import muster\nread = muster.read_csv('in.csv', parse_dates=['at'])\n"
        "pipeline = read.group_by('user').window({!r}, time='at').agg(n='count').write_csv('out.csv')\n"
    )
    (clicks.parent / "app.py").write_text(app.format("1h"))
    assert muster("run", "app.py").code == 0
    assert "is unchanged" in muster("run", "app.py").err
    (clicks.parent / "app.py").write_text(app.format("2h"))
    assert muster("run", "app.py").code == 0
    assert pd.read_csv(clicks.parent / "out.csv")["n"].sum() == ROWS


def fifth(df: pd.DataFrame) -> "pd.Series[Any]":
    return df["user"] % 5


def with_fifth(df: pd.DataFrame) -> pd.DataFrame:
    return df.assign(fifth=fifth(df))


@pytest.mark.parametrize("kind", [*KINDS])
def test_a_key_that_a_function_makes_is_cut_as_one_that_is_a_column(clicks: Path, kind: str) -> None:
    read = muster.read_csv(clicks, parse_dates=["at"])
    time: dict[str, Any] = {} if kind == "rows" else {"time": "at"}
    for number, grouped in enumerate([read.group_by(fifth), read.map_batches(with_fifth).group_by("fifth")]):
        made = grouped.window(**KINDS[kind], **time)
        made.agg(n="count", total=("seconds", "sum")).write_csv(clicks.parent / f"{number}.csv").run(workers=0)
    assert (clicks.parent / "0.csv").read_text() == (clicks.parent / "1.csv").read_text()
    seen = read.group_by(fifth).window(**KINDS[kind], **time).map_groups(all_of_it).write_csv(clicks.parent / "2.csv")
    assert seen.run(workers=0).bad_rows == 0
    assert (clicks.parent / "2.csv").read_text().partition("\n")[0].startswith("user,at,seconds,page,window")


@pytest.mark.parametrize("kind", [*KINDS])
def test_whichever_workers_die_the_bytes_are_the_same(tmp_path: Path, kind: str) -> None:
    clicks = written_clicks(tmp_path / "in.csv", 2000)  # many tasks, each of which a worker may die on
    seed, outputs = os.urandom(4).hex(), set[bytes]()
    chance, time = Random(seed), {} if kind == "rows" else {"time": "at"}  # noqa: S311 (of a test)
    deaths, windows = Deaths(chance, most=20), KINDS[kind] | time
    for engine in (None, FakeEngine(workers=3, chance=chance, kills=deaths)):
        grouped = muster.read_csv(clicks, parse_dates=["at"]).group_by("user").window(**windows)
        made = MADE["agg"](grouped).write_csv(clicks.parent / "out.csv")
        result = made.run(engine=engine, part_bytes=9_000, fresh=True)
        assert result.bad_rows == 0, seed
        outputs.add((clicks.parent / "out.csv").read_bytes())
    assert len(outputs) == 1, seed
    assert len(deaths) > 5, seed
