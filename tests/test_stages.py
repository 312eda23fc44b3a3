"""Steps before groups and behind them give what pandas gives where each gets all that the one before has given."""

import hashlib
import inspect
import itertools
import json
import signal
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import muster
from conftest import Muster, begun
from muster import DataError, UsageError
from waiting import until

ROWS = st.lists(
    st.fixed_dictionaries(
        {
            "x": st.integers(-50, 50),
            "t": st.sampled_from(["a", "b,b", 'q"q', "two\nlines", None]),
            "f": st.sampled_from([0.5, 1.0, None]),
        }
    ),
    max_size=40,
)


def with_key(df: pd.DataFrame) -> pd.DataFrame:
    return df.assign(k=df["x"] // 7)[["k", "t", "x", "f"]]


def without_some(df: pd.DataFrame) -> pd.DataFrame:
    some = df[df["x"] % 3 != 0]
    return some.assign(k=some["t"])  # df["t"] would give an empty frame rows, as pandas has it


def several_of_each(df: pd.DataFrame) -> pd.DataFrame:
    several = df.loc[df.index.repeat(df["x"].abs() % 3)]
    return several.assign(k=several["x"] % 2 == 0)


def of_other_types_at_times(df: pd.DataFrame) -> pd.DataFrame:
    """Give integers where a batch has whole numbers alone, and one more column where it has large ones."""
    halves = df["x"] / 2
    is_whole = bool((halves % 1 == 0).all())
    changed = df.assign(k=halves.astype("int64") if is_whole else halves)
    large = df["x"].astype("float64").where(df["x"] >= 40)
    return changed.assign(more=large) if large.notna().any() else changed


def counted(df: pd.DataFrame) -> pd.DataFrame:
    first = df["t"].iloc[0]
    return pd.DataFrame({"t": [first], "n": [len(df)], "first": [df.index[0]], "x": [int(df["x"].sum())]})


def few(df: pd.DataFrame) -> pd.DataFrame:
    return df.iloc[: len(df) // 2]


def numbered(df: pd.DataFrame) -> pd.DataFrame:
    return df.assign(i=df.index, y=df["x"] * 2)


BEFORE = (with_key, without_some, several_of_each, of_other_types_at_times)
GROUPED = (counted, few, lambda df: df.tail(3))


def of_all(frame: pd.DataFrame, function: Callable[[pd.DataFrame], pd.DataFrame], key: str, *, sort: bool) -> Any:  # noqa: ANN401 (a frame, or none)
    pieces = [function(group) for _, group in frame.groupby(key, sort=sort)]
    return pd.concat(pieces).reset_index(drop=True) if pieces else None


@settings(max_examples=30)
@given(
    rows=ROWS,
    before=st.sampled_from(BEFORE),
    function=st.sampled_from(GROUPED),
    sort=st.booleans(),
    again=st.booleans(),
    part_bytes=st.sampled_from([None, 60, 400]),
)
def test_steps_around_groups_give_what_pandas_gives_of_the_whole(  # noqa: PLR0913, PLR0917 (what may differ)
    rows: list[dict[str, Any]],
    before: Callable[[pd.DataFrame], pd.DataFrame],
    function: Callable[[pd.DataFrame], pd.DataFrame],
    sort: bool,  # noqa: FBT001 (hypothesis gives it by name)
    again: bool,  # noqa: FBT001 (likewise)
    part_bytes: int | None,
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        source = pd.DataFrame(rows, columns=["x", "t", "f"])
        source.to_csv(f"{folder}/in.csv", index=False)
        whole = pd.read_csv(f"{folder}/in.csv")
        pipeline = muster.read_csv(f"{folder}/in.csv").map_batches(before)
        pipeline = pipeline.group_by("k").map_groups(function, sort=sort).map_batches(numbered)
        expected = of_all(before(whole).reset_index(drop=True), function, "k", sort=sort)
        expected = None if expected is None or not len(expected) else numbered(expected)
        if again:
            pipeline = pipeline.group_by("t").map_groups(function)
            expected = None if expected is None else of_all(expected, function, "t", sort=False)
        result = pipeline.write_csv(f"{folder}/out.csv").run(workers=0, part_bytes=part_bytes)
        assert (result.rows_in, result.bad_rows) == (len(source), 0)
        if expected is not None and len(expected):
            assert Path(folder, "out.csv").read_text() == expected.to_csv(index=False)
        else:
            assert result.rows_out == 0


@pytest.fixture
def clicks(tmp_path: Path) -> Path:
    rng = np.random.default_rng(3)
    rows = 3000
    frame = pd.DataFrame({"user": rng.integers(0, 150, rows), "seconds": rng.random(rows).round(3)})
    frame.assign(page=[f"/p/{at % 23}" for at in range(rows)]).to_csv(tmp_path / "in.csv", index=False)
    return tmp_path / "in.csv"


def in_hours(df: pd.DataFrame) -> pd.DataFrame:
    return df.assign(hour=df["user"] % 24, long=df["seconds"] > 0.5)[df["user"] != 3]


def of_hour(df: pd.DataFrame, key: int) -> pd.DataFrame:
    return pd.DataFrame({"hour": [key], "n": [len(df)], "long": [int(df["long"].sum())], "page": df["page"].iloc[:1]})


def with_share(df: pd.DataFrame) -> pd.DataFrame:
    return df.assign(share=df["long"] / df["n"])


def most(df: pd.DataFrame) -> pd.DataFrame:
    return df.nlargest(1, "share").assign(hours=len(df))


def three_stages(source: Path) -> muster.Pipeline:
    pipeline = muster.read_csv(source).map_batches(in_hours).group_by("hour").map_groups(of_hour, sort=True)
    return pipeline.map_batches(with_share).group_by("page").map_groups(most).map_batches(with_share)


def by_pandas(source: Path) -> pd.DataFrame:
    hours = of_all_with_key(in_hours(pd.read_csv(source)))
    return with_share(of_all(with_share(hours), most, "page", sort=False))


def of_all_with_key(frame: pd.DataFrame) -> pd.DataFrame:
    groups: Any = frame.groupby("hour")
    return pd.concat([of_hour(group, key) for key, group in groups]).reset_index(drop=True)


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_several_exchanges_give_the_same_bytes_with_any_number_of_workers(clicks: Path, suffix: str) -> None:
    digests = set[str]()
    for workers, part_bytes in ((0, None), (1, 2_000), (2, 2_000), (4, None)):
        if part_bytes is None or suffix == ".csv":
            output = clicks.parent / f"out{suffix}"
            pipeline = three_stages(clicks)
            written = pipeline.write_csv(output) if suffix == ".csv" else pipeline.write_parquet(output)
            written.run(workers=workers, part_bytes=part_bytes, fresh=True)
            digests.add(hashlib.sha256(output.read_bytes()).hexdigest())
    assert len(digests) == 1
    if suffix == ".csv":
        assert output.read_text() == by_pandas(clicks).to_csv(index=False)
    else:
        pd.testing.assert_frame_equal(pd.read_parquet(output), by_pandas(clicks))
    assert {path.name for path in clicks.parent.iterdir()} == {"in.csv", output.name}


def test_rows_that_a_step_before_or_behind_groups_fails_on_are_rejected_one_by_one(clicks: Path) -> None:
    def before(df: pd.DataFrame) -> pd.DataFrame:
        if (df.index % 1000 == 7).any():
            raise ValueError("unlucky number")
        return in_hours(df)

    def behind(df: pd.DataFrame) -> pd.DataFrame:
        if (df["hour"] == 5).any():
            raise KeyError("five")
        return df

    source = muster.read_csv(clicks).map_batches(before).group_by("hour").map_groups(of_hour).map_batches(behind)
    with pytest.warns(muster.RejectedRowsWarning):
        result = source.write_csv(clicks.parent / "out.csv").run(workers=2, part_bytes=2_000)
    rejects = [json.loads(line) for line in (clicks.parent / "out.csv.rejects.jsonl").read_text().splitlines()]
    assert (result.rows_in, result.bad_rows) == (3000, 4)
    assert [(one["file"], one["row"], one["step"]) for one in rejects[:3]] == [
        (str(clicks), row, "before") for row in (7, 1007, 2007)
    ]
    assert (rejects[3]["file"], rejects[3]["step"], rejects[3]["error"]) == ("", "behind", "KeyError: 'five'")
    assert "'hour': 5, " in rejects[3]["raw"]
    written = pd.read_csv(clicks.parent / "out.csv")
    frame = in_hours(pd.read_csv(clicks).drop([7, 1007, 2007]))
    assert written["n"].sum() == len(frame) - (frame["hour"] == 5).sum()
    hours = frame["hour"].unique().tolist()
    assert rejects[3]["row"] == hours.index(5)


def test_a_batch_behind_groups_has_exactly_as_many_rows_as_are_asked_for(clicks: Path) -> None:
    def told(df: pd.DataFrame) -> pd.DataFrame:
        return pd.DataFrame({"first": [df.index[0]], "rows": [len(df)]})

    for workers, part_bytes in ((0, None), (2, 500)):
        grouped = muster.read_csv(clicks).group_by("user").map_groups(lambda df: df).map_batches(told)
        grouped.write_csv(clicks.parent / "out.csv").run(
            workers=workers, batch_rows=7, part_bytes=part_bytes, fresh=True
        )
        read = pd.read_csv(clicks.parent / "out.csv")
        assert read["first"].tolist() == [*range(0, 3000, 7)]
        assert {*read["rows"][:-1]} == {7}


def test_without_a_row_the_output_has_the_columns_that_all_steps_give_for_none(clicks: Path) -> None:
    (clicks.parent / "none.csv").write_text("user,seconds,page\n")
    for source, first in ((clicks.parent / "none.csv", 0), (clicks, 3000)):
        pipeline = muster.read_csv(source).map_batches(lambda df, first=first: df.iloc[first:].assign(k=1))
        pipeline = pipeline.group_by("k").map_groups(lambda df: df[["k"]]).map_batches(lambda df: df.assign(z=0))
        assert pipeline.write_csv(clicks.parent / "out.csv").run(workers=0).rows_out == 0
        assert (clicks.parent / "out.csv").read_text() == "k,z\n"


@pytest.mark.parametrize(
    ("step", "key", "error", "said"),
    [
        (in_hours, "hours", UsageError, "no column 'hours' to group by in what 'in_hours' gives. Did you mean 'hour'"),
        (lambda df: df.assign(k=df["user"].map(lambda user: [user])), "k", DataError, "cannot be grouped"),
        (lambda df: df.assign(k=object()), "k", DataError, "Make it a type that it can hold"),
        (lambda df: df.assign(k=1 if df.index[0] else "a"), "k", DataError, "is .* in some batches and .* in others"),
        (lambda df: df.assign(k=0.5 if df.index[0] else 2**53 + 1), "k", DataError, "not tell such numbers apart"),
    ],
)
def test_what_cannot_be_a_key_of_the_next_stage_is_refused_in_words(
    clicks: Path, step: Callable[[pd.DataFrame], pd.DataFrame], key: str, error: type[Exception], said: str
) -> None:
    pipeline = muster.read_csv(clicks).map_batches(step).group_by(key).map_groups(lambda df: df)
    with pytest.raises(error, match=said):
        pipeline.write_csv(clicks.parent / "out.csv").run(workers=0, part_bytes=2_000)


def on_half(change: Callable[[pd.DataFrame], pd.DataFrame]) -> Callable[[pd.DataFrame], pd.DataFrame]:
    return lambda df: change(df) if df["user"].iloc[0] % 2 else df.assign(k=1)


@pytest.mark.parametrize(
    ("step", "said"),
    [
        (on_half(lambda df: df.assign(k="a")), "which one column between two stages cannot hold. Have"),
        (on_half(lambda df: df.assign(k=df["page"].map(lambda _: {}))), "column between two stages cannot hold. Have"),
        (lambda df: df.assign(k=df["page"].map(lambda _: {})), "which rows between two stages cannot hold"),
        (lambda df: df.assign(k=1j), "which rows between two stages cannot hold. Make it a type"),
        (lambda df: df.assign(k=[1, *"a" * (len(df) - 1)]), "rows between two stages cannot hold in one column"),
        (lambda df: df[["page", "user", "user"]], "rows between two stages hold a name only once. Rename one of them"),
        (
            lambda df: pa.table({"k": pa.nulls(len(df), pa.month_day_nano_interval())}),
            "which rows between two stages cannot hold. Cast it",
        ),
    ],
)
@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_what_a_stage_cannot_give_to_the_next_is_not_said_of_the_output(
    clicks: Path, step: Callable[[pd.DataFrame], pd.DataFrame], said: str, suffix: str
) -> None:
    source, output = muster.read_csv(clicks), str(clicks.parent / f"out.{suffix}")
    for pipeline in (
        source.map_batches(step).group_by("page").map_groups(some),
        source.map_batches(lambda df: df.head(50)).group_by("user").map_groups(step).map_batches(some),
    ):
        written = pipeline.write_csv(output) if suffix == "csv" else pipeline.write_parquet(output)
        with pytest.raises(DataError, match=said) as raised:
            written.run(workers=0, batch_rows=100, part_bytes=2_000, fresh=True)
        assert not [word for word in ("Parquet", "CSV", "JSON") if word in str(raised.value)]


def none(df: pd.DataFrame) -> pd.DataFrame:
    return df.iloc[:0]


def some(df: pd.DataFrame) -> pd.DataFrame:
    return df.iloc[:1]


@pytest.mark.parametrize("function", [none, some])
def test_a_column_that_the_next_stage_lacks_is_refused_with_rows_and_without_any(
    clicks: Path, function: Callable[[pd.DataFrame], pd.DataFrame]
) -> None:
    source, name = muster.read_csv(clicks), function.__name__
    for before in (source.map_batches(function), source.group_by("user").map_groups(function)):
        for pipeline, wanted in (
            (before.group_by("usr").map_groups(some), "'usr' to group by"),
            (before.key_by("usr").map_batches(lambda df, _: df, state=dict), "'usr' to group by"),
            (before.group_by("user").agg(longest=("second", "max")), "'second' to work 'longest' out of"),
        ):
            with pytest.raises(UsageError, match=rf"no column {wanted} in what '{name}' gives\. Did you mean"):
                pipeline.write_csv(clicks.parent / "out.csv").run(workers=0, fresh=True)


def test_batches_without_a_row_may_lack_the_key_where_others_have_it(clicks: Path) -> None:
    def at_times(df: pd.DataFrame) -> pd.DataFrame:
        return in_hours(df) if df.index[0] % 200 else df[["seconds"]].iloc[:0]

    pipeline = muster.read_csv(clicks).map_batches(at_times).group_by("hour").map_groups(of_hour)
    pipeline.write_csv(clicks.parent / "out.csv").run(workers=0, batch_rows=100, part_bytes=2_000)
    frame = pd.read_csv(clicks)
    rows = in_hours(frame[frame.index % 200 >= 100])
    assert pd.read_csv(clicks.parent / "out.csv")["n"].sum() == len(rows)


def test_types_that_turn_out_too_narrow_start_the_first_stage_anew(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    rows = [f"{at % 5},{at}" for at in range(60_000)]
    rows[23_457] = "2,a word"
    (tmp_path / "in.csv").write_text("user,n\n" + "\n".join(rows) + "\n")
    pipeline = muster.read_csv(tmp_path / "in.csv").map_batches(lambda df: df.assign(k=df["user"] + 1))
    pipeline = pipeline.group_by("k").map_groups(lambda df: pd.DataFrame({"n": df["n"].iloc[-1:], "rows": [len(df)]}))
    pipeline = pipeline.map_batches(lambda df: df).write_csv(tmp_path / "out.csv")
    pipeline.run(workers=2, part_bytes=3_000, progress=True)  # so that there is a part that nobody looks at before
    assert "starting over" in capfd.readouterr().err
    assert pd.read_csv(tmp_path / "out.csv")["rows"].tolist() == [12_000] * 5


APP = """
import pandas as pd
from pathlib import Path
import muster

CALLS = Path(__file__).parent / "calls"

def slowly(df):
    import time
    with CALLS.open("ab") as calls:
        calls.write(b".")
    time.sleep(0.03)
    return df

def before(df):
    return in_hours(slowly(df))

def grouped(df, key):
    return of_hour(slowly(df), key)

def behind(df):
    return with_share(slowly(df))

def last(df):
    return most(slowly(df))

pipeline = muster.read_csv("in.csv").map_batches(before).group_by("hour").map_groups(grouped, sort=True)
pipeline = pipeline.map_batches(behind).group_by("page").map_groups(last).map_batches(with_share).write_csv("out.csv")
"""


def test_a_run_that_is_killed_in_each_stage_goes_on_in_it_and_gives_the_same(clicks: Path, muster: Muster) -> None:
    folder = clicks.parent
    functions = "\n\n".join(inspect.getsource(one) for one in (in_hours, of_hour, with_share, most))
    (folder / "app.py").write_text(f"import pandas as pd\n\n{functions}\n{APP}")
    journal = folder / "out.csv.muster" / "journal.jsonl"
    command: tuple[Any, ...] = ("run", "app.py", "--workers", "2")
    seen = '"kept"', *(f'"stage":{at}' for at in (1, 2, 3))
    for sign in seen:
        with begun(folder, *command) as process:
            until(lambda sign=sign: journal.exists() and sign in journal.read_text())  # type: ignore[misc]
            process.send_signal(signal.SIGKILL)
    done = muster(*command, "--json")
    assert done.code == 0, done.err
    assert (folder / "out.csv").read_text() == by_pandas(clicks).to_csv(index=False)
    check_stages(json.loads(done.out.splitlines()[-1])["stages"], clicks)
    assert muster("report", "-o", "report.html").code == 0
    told = (folder / "report.html").read_text()
    assert "2 of 5: grouped by hour" in told
    assert "5 of 5: puts in order, then with_share" in told


def check_stages(stages: list[dict[str, Any]], clicks: Path) -> None:
    """Compare what stages came to with what pandas makes of the input."""
    hours = in_hours(pd.read_csv(clicks))
    assert [one["number"] for one in stages] == [1, 2, 3, 4, 5]
    assert [one["does"] for one in stages[:2]] == ["reads, then before", "grouped by hour"]
    assert (stages[0]["rows_in"], stages[0]["rows_out"]) == (len(pd.read_csv(clicks)), len(hours))
    assert all(before["rows_out"] == behind["rows_in"] for before, behind in itertools.pairwise(stages))
    assert stages[-1]["rows_out"] == len(by_pandas(clicks))
    reading = stages[1]
    assert 1 < reading["lanes"] <= hours["hour"].nunique()
    assert reading["median"] <= reading["largest"] <= len(hours)
    assert reading["largest"] >= hours.groupby("hour").size().max()
