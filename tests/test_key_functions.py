"""Rows go by keys that a function makes of them: what comes out is what pandas gives for the same keys of the whole."""

import io
import json
import tempfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import muster
from conftest import Muster
from muster import UsageError, UserCodeError
from muster.testing import FakeEngine

Keys = Callable[[Any], Any]


@st.composite
def frames(draw: st.DrawFn) -> pd.DataFrame:
    rows = draw(st.integers(1, 40))
    cells: dict[str, st.SearchStrategy[Any]] = {
        "a": st.integers(-3, 3),
        "b": st.sampled_from(["ab", "ac", "é", "x,y", "b"]),
        "c": st.sampled_from([0.5, None, 2.0]),
    }
    columns = {name: draw(st.lists(own, min_size=rows, max_size=rows)) for name, own in cells.items()}
    return pd.DataFrame(columns)


def initial(df: pd.DataFrame) -> "pd.Series[str]":
    df["used"] = 1  # which nobody else sees
    return df["b"].str[0]


def sign(df: pd.DataFrame) -> Any:  # noqa: ANN401 (an array)
    return np.sign(df["a"].to_numpy())


def if_any(df: pd.DataFrame) -> list[float | None]:
    return [None if pd.isna(one) else one for one in df["c"]]


def half(df: pd.DataFrame) -> "pd.Series[float]":
    return df["a"].where(df["a"] > 0) / 2


def by_arrow(table: pa.Table) -> pa.ChunkedArray:
    return table.column("b")


def by_polars(df: pl.DataFrame) -> pl.Series:
    return df["a"] + 1


async def awaited(df: pd.DataFrame) -> "pd.Series[int]":
    return df["a"] // 2


FUNCTIONS = (initial, sign, if_any, half, by_arrow, by_polars, awaited, lambda df: df["a"] == 1)


def keys_of(key: Any, frame: pd.DataFrame) -> Any:  # noqa: ANN401 (a function or the name of a column)
    """Make the keys of the whole frame."""
    if isinstance(key, str):
        return frame[key]
    if key is by_arrow:
        return frame["b"]
    if key is by_polars:
        return frame["a"] + 1
    return pd.Series(frame["a"] // 2 if key is awaited else key(frame.copy()), frame.index)


def told(df: pd.DataFrame, key: object) -> pd.DataFrame:
    what = [str(one) for one in (key if isinstance(key, tuple) else (key,))]
    return df.assign(key=" ".join(what), n=len(df), columns=str([*df.columns]))


def doubled(df: pd.DataFrame) -> pd.DataFrame:
    return df.assign(a=df["a"] * 2)


@settings(max_examples=20)
@given(
    frame=frames(),
    key=st.one_of(
        st.sampled_from(FUNCTIONS),
        st.lists(st.sampled_from([*FUNCTIONS, "a"]), min_size=1, max_size=2, unique=True),
    ),
    dropna=st.booleans(),
    sort=st.booleans(),
    step_before=st.booleans(),
    part_bytes=st.sampled_from([None, 50]),
)
def test_groups_of_a_function_are_those_that_pandas_makes_of_its_keys(  # noqa: PLR0913, PLR0917 (what may differ)
    frame: pd.DataFrame,
    key: Any,  # noqa: ANN401 (a function, or a list of functions and names)
    dropna: bool,  # noqa: FBT001 (hypothesis gives it by name)
    sort: bool,  # noqa: FBT001 (likewise)
    step_before: bool,  # noqa: FBT001 (likewise)
    part_bytes: int | None,
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        source, output = f"{folder}/in.csv", Path(folder, "out.csv")
        frame.to_csv(source, index=False)
        whole = pd.read_csv(io.StringIO(frame.to_csv(index=False)))
        whole = doubled(whole) if step_before else whole
        by = [keys_of(one, whole) for one in key] if isinstance(key, list) else keys_of(key, whole)
        groups = whole.groupby(by, sort=sort, dropna=dropna)
        expected = [told(group, one) for one, group in groups]
        read = muster.read_csv(source)
        grouped = (read.map_batches(doubled) if step_before else read).group_by(key, dropna=dropna)
        result = grouped.map_groups(told, sort=sort).write_csv(output).run(workers=0, part_bytes=part_bytes)
        assert (result.rows_in, result.bad_rows) == (len(frame), 0)
        if expected:
            assert output.read_text() == pd.concat(expected).to_csv(index=False)


@pytest.fixture
def clicks(tmp_path: Path) -> Path:
    rng, rows = np.random.default_rng(5), 3000
    names = ["Ada", "Alan", "Barbara", "Bob", "Claude", None]
    frame = pd.DataFrame({"name": rng.choice(np.array(names, object), rows), "n": rng.integers(0, 1000, rows)})
    frame[:1000].to_csv(tmp_path / "1.csv", index=False)
    frame[1000:].to_csv(tmp_path / "2.csv", index=False)
    return tmp_path


def first_letter(df: pd.DataFrame) -> "pd.Series[str]":
    return df["name"].str[0]


def hundred(df: pd.DataFrame) -> Any:  # noqa: ANN401 (an array)
    return df["n"].to_numpy() // 100


class Highest(muster.Aggregation):
    def initial(self) -> int:
        return -1

    def update(self, partial: int, rows: Any) -> int:  # noqa: ANN401 (a Series)
        return max(partial, int(rows.max()))

    def combine(self, partial: int, later: int) -> int:
        return max(partial, later)

    def output(self, partial: int) -> int:
        return partial


def read_whole(folder: Path) -> pd.DataFrame:
    return pd.concat([pd.read_csv(folder / "1.csv"), pd.read_csv(folder / "2.csv")], ignore_index=True)


@pytest.mark.parametrize("workers", [0, 2])
def test_sums_by_a_function_have_its_name_as_the_column_of_the_key(clicks: Path, workers: int) -> None:
    read = muster.read_csv([clicks / "1.csv", clicks / "2.csv"])
    sums = read.group_by([first_letter, hundred]).agg(total=("n", "sum"), top=("n", Highest), rows="count")
    sums.write_csv(clicks / "out.csv").run(workers=workers, part_bytes=4_000)
    whole = read_whole(clicks)
    by = [first_letter(whole).rename("first_letter"), pd.Series(hundred(whole), name="hundred")]
    expected = whole.groupby(by, sort=False)["n"].agg(total="sum", top="max", rows="size").reset_index()
    assert (clicks / "out.csv").read_text() == expected.to_csv(index=False)


def numbered(df: pd.DataFrame, states: Any) -> pd.DataFrame:  # noqa: ANN401 (a mapping)
    numbers = []
    for name in df["name"].fillna("-"):
        states[name[0]] += 1
        numbers.append(states[name[0]])
    return df.assign(number=numbers)


@pytest.mark.parametrize("engine", ["inline", "cores", "fake"])
def test_a_state_is_kept_for_each_key_that_a_function_makes(clicks: Path, engine: str) -> None:
    pipeline = muster.read_csv([clicks / "1.csv", clicks / "2.csv"]).key_by(first_letter)
    options: dict[str, Any] = {"workers": 2 if engine == "cores" else 0}
    if engine == "fake":
        chance = Random(3)  # noqa: S311 (of a test)
        options = {"engine": FakeEngine(workers=3, machines=3, chance=chance)}
    written = pipeline.map_batches(numbered, state=int).write_csv(clicks / "out.csv")
    written.run(part_bytes=4_000, batch_rows=100, **options)
    whole = read_whole(clicks)
    numbers = whole.groupby(whole["name"].str[0].fillna("-")).cumcount() + 1
    assert (clicks / "out.csv").read_text() == whole.assign(number=numbers).to_csv(index=False)


GIVES: dict[str, Keys] = {
    "few": lambda df: df["name"].iloc[:-1],
    "other index": lambda df: df["name"].set_axis(df.index + 1),
    "one": len,
    "text": lambda df: "a" * len(df),
    "frame": lambda df: df[["name"]],
    "plane": lambda df: df.to_numpy(),
    "nothing": lambda _: None,
    "ranges": lambda df: pd.cut(pd.Series(range(len(df)), df.index), [-1, 1, 1_000_000]),
    "months": lambda df: pd.Series(pd.Timestamp("2026-11-28"), df.index).dt.to_period("M"),
    "tuples": lambda df: [None, *[(1, "a")] * (len(df) - 1)],
}


@pytest.mark.parametrize(
    ("what", "said"),
    [
        ("few", r"'by_name' gave \d+ keys? for \d+ rows"),
        ("other index", "'by_name' gave keys with another index"),
        ("one", r"'by_name' gave int as the keys of \d+ rows"),
        ("text", "'by_name' gave str as the keys"),
        ("frame", "'by_name' gave DataFrame as the keys .* by a list of functions"),
        ("plane", "'by_name' gave an array of 2 dimensions as the keys"),
        ("nothing", "'by_name' gave NoneType as the keys"),
        ("ranges", r"'by_name' gave keys of the type interval\[int64, right\].*: return keys\.astype\(str\)"),
        ("months", r"'by_name' gave keys of the type period\[M\]"),
        ("tuples", "'by_name' gave keys of the type tuple"),
    ],
)
def test_what_are_no_keys_of_the_rows_stops_the_run_in_words(clicks: Path, what: str, said: str) -> None:
    def by_name(df: pd.DataFrame) -> Any:  # noqa: ANN401 (whatever it gives)
        return GIVES[what](df)

    for pipeline in (
        muster.read_csv(clicks / "1.csv").group_by(by_name).map_groups(told),
        muster.read_csv(clicks / "1.csv").key_by(by_name).map_batches(numbered, state=int),
    ):
        with pytest.raises(UserCodeError, match=said):
            pipeline.write_csv(clicks / "out.csv").run(workers=0, fresh=True)


def test_a_column_that_is_called_as_the_keys_are_is_refused_in_words(clicks: Path) -> None:
    pipeline = muster.read_csv(clicks / "1.csv").map_batches(lambda df: df.assign(**{"first_letter()": 1}))
    with pytest.raises(UserCodeError, match=r"a column 'first_letter\(\)' already"):
        pipeline.group_by(first_letter).map_groups(told).write_csv(clicks / "out.csv").run(workers=0)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda it: it.group_by(3), "the name of a column, a function"),
        (lambda it: it.key_by([3]), "the name of a column, a function"),
        (lambda it: it.group_by(str), "the name of a column, a function"),
        (lambda it: it.group_by([first_letter, first_letter]), "each once"),
        (lambda it: it.group_by([first_letter, "first_letter"]), "called as the function is"),
        (lambda it: it.group_by([lambda df: df["n"], lambda df: df["name"]]), "each once"),
        (lambda it: it.group_by(first_letter).agg(first_letter="count"), "a column of the key"),
    ],
)
def test_what_rows_cannot_go_by_is_refused_in_words(
    clicks: Path, make: Callable[[muster.Pipeline], Any], said: str
) -> None:
    with pytest.raises(UsageError, match=said):
        make(muster.read_csv(clicks / "1.csv"))


def whole_hundred(df: pd.DataFrame) -> Any:  # noqa: ANN401 (an array)
    if (df["n"] == 7).any():
        raise ValueError("seven")
    return df["n"].to_numpy() // 100


@pytest.mark.parametrize("workers", [0, 2])
def test_rows_that_a_function_makes_no_key_of_are_rejected_one_by_one(clicks: Path, workers: int) -> None:
    for number in (1, 2):
        frame = pd.read_csv(clicks / f"{number}.csv")
        frame.loc[[3, 500], "n"] = 7
        frame.to_csv(clicks / f"{number}.csv", index=False)
    pipeline = muster.read_csv([clicks / "1.csv", clicks / "2.csv"]).group_by(whole_hundred)
    with pytest.warns(muster.RejectedRowsWarning):
        result = pipeline.agg(rows="count").write_csv(clicks / "out.csv").run(workers=workers, part_bytes=4_000)
    rejects = [json.loads(line) for line in (clicks / "out.csv.rejects.jsonl").read_text().splitlines()]
    whole = read_whole(clicks)
    assert {(Path(one["file"]).name, one["row"], one["step"]) for one in rejects} == {
        (f"{number}.csv", row, "whole_hundred")
        for number in (1, 2)
        for row, n in pd.read_csv(clicks / f"{number}.csv")["n"].items()
        if n == 7
    }
    assert result.bad_rows == len(rejects) == (whole["n"] == 7).sum()
    counts = Counter(whole["n"][whole["n"] != 7] // 100)
    read = pd.read_csv(clicks / "out.csv")
    assert dict(zip(read["whole_hundred"], read["rows"], strict=True)) == counts


def test_without_a_row_the_output_has_the_columns_of_all_steps(tmp_path: Path) -> None:
    (tmp_path / "in.csv").write_text("name,n\n")
    read, output = muster.read_csv(tmp_path / "in.csv"), tmp_path / "out.csv"
    read.group_by(hundred).agg(total=("n", "sum")).write_csv(output).run(workers=0)
    assert output.read_text() == "hundred,total\n"
    read.group_by(hundred).map_groups(lambda df: df.head(1)).write_csv(output).run(workers=0)
    assert output.read_text() == "name,n\n"
    read.key_by(hundred).map_batches(lambda df, states: df.assign(x=len(states)), state=int).write_csv(output).run(
        workers=0
    )
    assert output.read_text() == "name,n,x\n"


def stopping(df: pd.DataFrame) -> pd.DataFrame:
    raise KeyError(len(df))


def test_an_unfinished_run_does_not_go_on_with_another_function(clicks: Path) -> None:
    def pipeline(size: int) -> muster.Pipeline:
        def part(df: pd.DataFrame) -> "pd.Series[int]":
            return df["n"] // size

        grouped = muster.read_csv(clicks / "1.csv").group_by(part).agg(rows="count")
        return grouped.map_batches(stopping).write_csv(clicks / "out.csv")

    with pytest.raises(UserCodeError):
        pipeline(10).run(workers=0)
    with pytest.raises(UsageError, match=r"the function 'part'"):
        pipeline(20).run(workers=0)


SCRIPT = """
import muster

SIZE = 100

def hundred(df):
    return df["n"] // SIZE

def largest(df, key):
    return df.nlargest(1, "n").assign(hundred=key)

pipeline = muster.read_csv("1.csv").group_by(hundred).map_groups(largest, sort=True).write_csv("out.csv")
"""


def test_a_file_may_define_the_function_and_a_check_calls_it(clicks: Path, muster: Muster) -> None:
    (clicks / "app.py").write_text(SCRIPT)
    assert muster("run", "app.py").code == 0
    frame = pd.read_csv(clicks / "1.csv")
    expected = [group.nlargest(1, "n").assign(hundred=key) for key, group in frame.groupby(frame["n"] // 100)]
    assert (clicks / "out.csv").read_text() == pd.concat(expected).to_csv(index=False)
    checked = muster("check", "app.py")
    assert checked.code == 0, checked.err
    assert "not of largest" in checked.out
