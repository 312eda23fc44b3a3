"""Sums and the like of groups are what pandas works out for the whole input, however the rows were cut into tasks."""

import datetime as dt
import decimal
import io
import math
import tempfile
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import muster
from muster import DataError, UsageError

Cells = st.SearchStrategy[Any]

EXACT = ("count", "size", "min", "max", "first", "last", "nunique")
ROUNDED = ("mean", "std", "var")
OF_NUMBERS = (*EXACT, *ROUNDED, "sum", "any", "all")

NUMBERS: dict[str, tuple[Cells, tuple[str, ...]]] = {
    "integers": (st.integers(-1000, 1000), OF_NUMBERS),
    "large": (st.sampled_from([2**53 + 1, -(2**40), 2**57, 0]), (*EXACT, "sum", "mean")),
    "beyond 63 bits": (st.sampled_from([2**63 + 1, 5]), (*EXACT, "mean")),
    "decimals": (st.sampled_from([0.1, 0.7, -0.3, 1e9, 0.0, -0.0, 12.34]), OF_NUMBERS),
    "gaps": (st.sampled_from([0.5, 3.0, None]), OF_NUMBERS),
    "whole with gaps": (st.sampled_from([1, 3, None]), OF_NUMBERS),
    "infinite": (st.sampled_from([1.5, math.inf, -math.inf, None]), (*EXACT, "sum", "mean")),
    "truths": (st.booleans(), OF_NUMBERS),
    "truths with gaps": (st.sampled_from([True, False, None]), (*EXACT, "any", "all")),
    "texts": (st.sampled_from(["a", "B", "é", "z\ny", "x,y", "", None, "10", "9"]), EXACT),
    "nothing": (st.just(None), (*EXACT, "sum", "mean")),
}
MEASURED = [(column, how) for column, (_, all_of_it) in NUMBERS.items() for how in all_of_it]

KEYS: dict[str, Cells] = {
    "whole": st.integers(-3, 3),
    "float": st.sampled_from([0.0, -0.0, 0.5, None]),
    "text": st.sampled_from(["a", "é", "x\ny", None, "1"]),
    "truth": st.booleans(),
    "one": st.just("same"),
    "each": st.integers(-(2**62), 2**62),
}


@st.composite
def frames(draw: st.DrawFn, columns: dict[str, Cells]) -> pd.DataFrame:
    rows = draw(st.integers(0, 30))
    drawn = {name: draw(st.lists(cells, min_size=rows, max_size=rows)) for name, cells in columns.items()}
    return pd.DataFrame({name: pd.Series(own, dtype=object) for name, own in drawn.items()})


def check(told: str, expected: pd.DataFrame, hows: dict[str, str]) -> None:
    """Compare with what pandas gives: floats nearly, and all else as it is written."""
    ours, theirs = (
        pd.read_csv(io.StringIO(text), dtype=str, keep_default_na=False)
        for text in (told, expected.to_csv(index=False))
    )
    assert [*ours] == [*theirs]
    assert len(ours) == len(theirs)
    for name in map(str, ours):
        own, other = ours[name], theirs[name]
        if hows.get(name) in {*ROUNDED, "sum"}:
            nearly = 1e-5 if name.endswith("single") else 1e-9  # pandas adds 32 bits at a time
            np.testing.assert_allclose(_numbers(own), _numbers(other), rtol=nearly, atol=nearly, err_msg=name)
        elif name in KEYS:  # pandas spells a zero in one of several keys as the first in the whole column
            assert own.replace("-0.0", "0.0").tolist() == other.replace("-0.0", "0.0").tolist(), name
        else:
            assert own.tolist() == other.tolist(), name


def _numbers(texts: "pd.Series[str]") -> np.ndarray:
    """Read numbers; of dates and time spans, the seconds."""
    if texts.str.contains("days").any():
        return pd.to_timedelta(texts.replace("", None)).dt.total_seconds().to_numpy(float)
    if texts.str.contains(":").any():
        moments = pd.to_datetime(texts.replace("", None), format="ISO8601", utc=True)
        return (moments - pd.Timestamp(0, tz="UTC")).dt.total_seconds().to_numpy(float)
    return pd.to_numeric(texts.replace("", None)).to_numpy(float)


@settings(max_examples=25)
@given(
    frame=frames(KEYS | {name: cells for name, (cells, _) in NUMBERS.items()}),
    key=st.lists(st.sampled_from([*KEYS]), min_size=1, max_size=2, unique=True),
    measured=st.lists(st.sampled_from(MEASURED), min_size=1, max_size=8, unique=True),
    dropna=st.booleans(),
    sort=st.booleans(),
    part_bytes=st.sampled_from([None, 60, 700]),
    cut=st.integers(0, 30),
)
def test_sums_and_the_like_are_what_pandas_works_out_of_the_whole_input(  # noqa: PLR0913, PLR0917 (what may differ)
    frame: pd.DataFrame,
    key: list[str],
    measured: list[tuple[str, str]],
    dropna: bool,  # noqa: FBT001 (hypothesis gives it by name)
    sort: bool,  # noqa: FBT001 (likewise)
    part_bytes: int | None,
    cut: int,
) -> None:
    named: dict[str, Any] = {f"{how} of {column}": (column, how) for column, how in measured}
    with tempfile.TemporaryDirectory() as folder:
        names = [f"{folder}/{name}" for name in ("1.csv", "2.csv")]
        text = frame.to_csv(index=False)
        frame.iloc[:cut].to_csv(names[0], index=False)
        frame.iloc[cut:].to_csv(names[1], index=False)
        grouped = muster.read_csv(names).group_by(key, dropna=dropna).agg(sort=sort, rows="count", **named)
        result = grouped.write_csv(f"{folder}/out.csv").run(workers=0, part_bytes=part_bytes)
        assert (result.rows_in, result.bad_rows) == (len(frame), 0)
        told = Path(folder, "out.csv").read_text()
    whole = pd.read_csv(io.StringIO(text))
    groups = whole.groupby(key, sort=sort, dropna=dropna)
    expected = groups.agg(rows=("one", "size"), **named).reset_index()
    check(told, expected, {name: how for name, (_, how) in named.items()})


def of_parquet(rows: int, seed: int) -> pd.DataFrame:
    """Make a column of each type that Parquet and pandas have, with keys that are types of their own, too."""
    rng = np.random.default_rng(seed)
    gaps = rng.random(rows) < 0.3

    def with_gaps(values: list[Any], dtype: str) -> "pd.Series[Any]":
        own = [None if gap else value for gap, value in zip(gaps, values, strict=True)]
        return pd.Series(own, dtype=dtype)

    whole = rng.integers(-100, 100, rows)
    moments = pd.Series(pd.Timestamp("2026-03-29") + pd.to_timedelta(whole, unit="h")).where(~gaps)
    categories = pd.Categorical(rng.choice(["low", "high", "mid"], rows), ["low", "mid", "high", "none"], ordered=True)
    return pd.DataFrame(
        {
            "kind": pd.Series(categories).where(~gaps),
            "code": with_gaps([int(one) % 3 for one in whole], "Int64"),
            "small": whole.astype("int8"),
            "unsigned": (whole + 100).astype("uint16"),
            "single": pd.Series(whole / 8).astype("float32").where(~gaps),
            "nullable": with_gaps([*map(int, whole)], "Int64"),
            "float": with_gaps([float(one) / 4 for one in whole], "Float64"),
            "truth": with_gaps([bool(one % 2) for one in whole], "boolean"),
            "plain": pd.Series(whole).where(~gaps),
            "at": moments,
            "zoned": moments.dt.tz_localize("UTC").dt.tz_convert("Europe/Berlin"),
            "took": pd.Series(pd.to_timedelta(whole, unit="s")).where(~gaps),
            "day": with_gaps([dt.date(2026, 1, 1 + one % 28) for one in whole], "object"),
            "price": with_gaps([decimal.Decimal(int(one) + 1000) / 100 for one in whole], "object"),
            "bytes": with_gaps([bytes([one % 5]) for one in whole], "object"),
            "unordered": pd.Series(pd.Categorical(rng.choice(["a", "b"], rows))).where(~gaps),
        }
    )


OF_TYPES: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(("small", "unsigned", "single", "nullable", "float", "truth", "plain"), OF_NUMBERS),
    **dict.fromkeys(("at", "zoned"), (*EXACT, "mean")),
    "took": (*EXACT, "sum", "mean"),
    "kind": EXACT,
    **dict.fromkeys(("day", "bytes"), EXACT),
    "price": (*EXACT, "sum"),
    "unordered": ("count", "size", "first", "last", "nunique"),
}


@pytest.mark.parametrize(
    ("key", "dropna"),
    [(["kind"], False), (["code"], True), (["truth", "day"], False), (["took"], True), (["single"], False)],
)
def test_columns_of_every_type_are_worked_out_as_pandas_does(tmp_path: Path, key: list[str], *, dropna: bool) -> None:
    frame = of_parquet(200, seed=len(key[0]))
    frame.iloc[:80].to_parquet(tmp_path / "1.parquet", index=False, row_group_size=40)
    frame.iloc[80:].to_parquet(tmp_path / "2.parquet", index=False, row_group_size=90)
    named: dict[str, Any] = {
        f"{how} of {column}": (column, how) for column, hows in OF_TYPES.items() for how in hows if column not in key
    }
    inputs = [tmp_path / "1.parquet", tmp_path / "2.parquet"]
    grouped = muster.read_parquet(inputs).group_by(key, dropna=dropna).agg(**named)
    grouped.write_csv(tmp_path / "out.csv").run(workers=0)
    whole: Any = pd.concat(map(pd.read_parquet, inputs), ignore_index=True)
    expected = whole.groupby(key, sort=False, dropna=dropna).agg(**named).reset_index()
    check((tmp_path / "out.csv").read_text(), expected, {name: how for name, (_, how) in named.items()})
    grouped.write_parquet(tmp_path / "out.parquet").run(workers=0)
    read = pd.read_parquet(tmp_path / "out.parquet")
    for name, column in zip(map(str, read), (column for _, column in read.items()), strict=True):
        if str(expected[name].dtype) != "category" and not name.startswith("sum of unsigned"):  # see docs/groups.md
            assert column.dtype == expected[name].dtype, name


@pytest.fixture
def sales(tmp_path: Path) -> Path:
    """Write rows of 300 users, whose amounts are floats of all sizes: to add them in another order gives other sums."""
    rng = np.random.default_rng(3)
    rows = 4000
    amounts = rng.uniform(-1, 1, rows) * 10.0 ** rng.integers(-12, 12, rows)
    frame = pd.DataFrame({"user": rng.integers(0, 300, rows), "amount": amounts, "item": rng.integers(0, 20, rows)})
    frame["item"] = "item " + frame["item"].astype(str)
    frame.to_csv(tmp_path / "in.csv", index=False)
    return tmp_path / "in.csv"


ALL: dict[str, Any] = {
    **{how: ("amount", how) for how in ("sum", "mean", "min", "max", "std", "var", "first", "last", "count")},
    "items": ("item", "nunique"),
    "least": ("item", "min"),
    "n": "count",
}


@pytest.mark.parametrize(("suffix", "sort"), [(".csv", True), (".parquet", False), (".jsonl", False)])
def test_the_output_is_the_same_bytes_however_rows_were_cut(sales: Path, suffix: str, *, sort: bool) -> None:
    outputs = set[bytes]()
    for workers, part_bytes in ((0, None), (1, 20_000), (2, 50_000), (4, 90_000)):
        if suffix == ".csv" or workers in {0, 2}:
            output = sales.parent / f"out{suffix}"
            grouped = muster.read_csv(sales).group_by("user").agg(sort=sort, **ALL)
            write = {".csv": grouped.write_csv, ".parquet": grouped.write_parquet, ".jsonl": grouped.write_json}[suffix]
            write(output).run(workers=workers, part_bytes=None if suffix == ".parquet" else part_bytes, fresh=True)
            outputs.add(output.read_bytes())
    assert len(outputs) == 1


def test_sums_of_floats_are_rounded_once(sales: Path) -> None:
    muster.read_csv(sales).group_by("user").agg(**ALL).write_csv(sales.parent / "out.csv").run(
        workers=0, part_bytes=7000
    )
    read = pd.read_csv(sales.parent / "out.csv", index_col="user")
    for user, amounts in pd.read_csv(sales).groupby("user")["amount"]:
        numbers = [*map(Fraction, amounts)]
        total, squares = sum(numbers), sum(one * one for one in numbers)
        variance = (len(numbers) * squares - total * total) / (len(numbers) * (len(numbers) - 1))
        own: Any = read.loc[[user]].iloc[0]
        assert own["sum"] == math.fsum(amounts) == float(total)
        assert own["var"] == float(variance)


def test_sums_of_more_floats_than_are_added_at_a_time_are_rounded_once(tmp_path: Path) -> None:
    rng = np.random.default_rng(5)
    amounts = rng.normal(size=150_000) * 10.0 ** rng.integers(-12, 13, 150_000)
    frame = pd.DataFrame({"user": rng.integers(0, 3, len(amounts)), "amount": amounts})
    frame.to_parquet(tmp_path / "in.parquet")
    sums = muster.read_parquet(tmp_path / "in.parquet").group_by("user").agg(total=("amount", "sum"), sort=True)
    sums.write_parquet(tmp_path / "out.parquet").run(workers=0)
    totals = pd.read_parquet(tmp_path / "out.parquet")["total"]
    assert totals.tolist() == [math.fsum(own) for _, own in frame.groupby("user")["amount"]]


@pytest.mark.parametrize("has_step", [False, True])
def test_half_floats_and_columns_without_a_value_have_all_of_it(tmp_path: Path, *, has_step: bool) -> None:
    halves = np.array([1.5, -0.1, math.nan, 2, math.inf, 0.1, -0.0], "float16")
    frame = pd.DataFrame({"k": [1, 1, 2, 2, 3, 1, 4], "half": halves, "void": [None] * 7})
    frame.to_parquet(tmp_path / "in.parquet", row_group_size=2)
    named: dict[str, Any] = {f"{how} of {name}": (name, how) for name in ("half", "void") for how in OF_NUMBERS}
    read = muster.read_parquet(tmp_path / "in.parquet")
    grouped = (read.map_batches(as_it_is) if has_step else read).group_by("k").agg(**named)
    grouped.write_csv(tmp_path / "out.csv").run(workers=0)
    exact = frame.astype({"half": float}).groupby("k").agg(**named)  # in 16 or 32 bits pandas loses digits of these
    chosen: Any = frame.groupby("k").agg(**{how: ("half", how) for how in ("min", "max", "first", "last")})
    expected = exact.assign(**{f"{how} of half": chosen[how] for how in chosen}).reset_index()
    check((tmp_path / "out.csv").read_text(), expected, {name: how for name, (_, how) in named.items()})
    grouped.write_parquet(tmp_path / "out.parquet").run(workers=0)
    told = pd.read_parquet(tmp_path / "out.parquet").dtypes
    assert {str(told[f"{how} of half"]) for how in chosen} == {"float16"}
    assert {str(told[f"{how} of half"]) for how in (*ROUNDED, "sum")} == {"float64"}


def as_it_is(df: pd.DataFrame) -> pd.DataFrame:
    return df


@pytest.mark.parametrize(("key", "outputs"), [("k", {"n": "count"}), ("v", {"n": ("k", "nunique")})])
@pytest.mark.parametrize("cell", ["[1]", '{"a": 1}'])
def test_lists_and_mappings_are_no_keys_and_not_counted(
    tmp_path: Path, cell: str, key: str, outputs: dict[str, Any]
) -> None:
    (tmp_path / "in.jsonl").write_text(f'{{"k": 1, "v": 1}}\n{{"k": {cell}, "v": 1}}\n')
    grouped = muster.read_json(tmp_path / "in.jsonl").group_by(key).agg(**outputs)
    with pytest.raises(DataError, match=r"column 'k' holds .* cannot be hashed: so it is no key, and no 'nunique'"):
        grouped.write_csv(tmp_path / "out.csv").run(workers=0)


def test_an_input_that_is_empty_gives_an_empty_output(tmp_path: Path) -> None:
    (tmp_path / "in.csv").write_text("")
    read = muster.read_csv(tmp_path / "in.csv")
    for grouped in (read.group_by("user").agg(n="count"), read.group_by("user").map_groups(as_it_is)):
        assert grouped.write_csv(tmp_path / "out.csv").run(workers=0, fresh=True).rows_in == 0
        assert not (tmp_path / "out.csv").read_bytes()


def test_an_input_without_rows_has_the_columns_of_the_output(tmp_path: Path) -> None:
    (tmp_path / "in.csv").write_text("user,amount\n")
    grouped = muster.read_csv(tmp_path / "in.csv").group_by("user").agg(n="count", total=("amount", "sum"))
    assert grouped.write_csv(tmp_path / "out.csv").run(workers=0).rows_out == 0
    assert (tmp_path / "out.csv").read_text() == "user,n,total\n"


def test_rows_that_cannot_be_read_are_rejected_and_the_others_are_counted(tmp_path: Path) -> None:
    lines = ["user,n", *(f"{at % 3},{at}" for at in range(90))]
    lines[40] = "1,2,3,4"
    (tmp_path / "in.csv").write_text("\n".join(lines) + "\n")
    grouped = muster.read_csv(tmp_path / "in.csv").group_by("user").agg(rows="count", last=("n", "last"))
    with pytest.warns(muster.RejectedRowsWarning):
        result = grouped.write_csv(tmp_path / "out.csv").run(workers=0)
    assert (result.rows_in, result.bad_rows, result.rows_out) == (90, 1, 3)
    assert (tmp_path / "out.csv").read_text() == "user,rows,last\n0,29,87\n1,30,88\n2,30,89\n"


def test_types_that_turn_out_too_narrow_are_settled_anew(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    rows = [f"{at % 5},{at}" for at in range(60_000)]
    rows[23_457] = "2,1.5"
    (tmp_path / "in.csv").write_text("user,n\n" + "\n".join(rows) + "\n")
    grouped = muster.read_csv(tmp_path / "in.csv").group_by("user").agg(total=("n", "sum"), most=("n", "max"))
    # so that there is a part that nobody looks at before
    grouped.write_csv(tmp_path / "out.csv").run(workers=0, part_bytes=3_000, progress=True)
    assert "starting over" in capfd.readouterr().err
    expected = pd.read_csv(tmp_path / "in.csv").groupby("user").agg(total=("n", "sum"), most=("n", "max"))
    assert (tmp_path / "out.csv").read_text() == expected.to_csv()


def test_a_column_that_turns_out_to_be_text_stops_the_run_in_words(tmp_path: Path) -> None:
    rows = [f"{at % 5},{at}" for at in range(60_000)]
    rows[23_457] = "2,a word"
    (tmp_path / "in.csv").write_text("user,n\n" + "\n".join(rows) + "\n")
    grouped = muster.read_csv(tmp_path / "in.csv").group_by("user").agg(total=("n", "sum"))
    with pytest.raises(DataError, match=r"holds text, which have no 'sum'.*dtype=\{'n': 'float64'\}"):
        grouped.write_csv(tmp_path / "out.csv").run(workers=0)


def test_a_sum_beyond_64_bits_is_an_error_that_names_the_group(tmp_path: Path) -> None:
    (tmp_path / "in.csv").write_text(f"user,n\nann,1\nbob,{2**62}\nbob,{2**62}\n")
    grouped = muster.read_csv(tmp_path / "in.csv").group_by("user").agg(total=("n", "sum"))
    with pytest.raises(DataError, match=r"total=\('n', 'sum'\): the sum of the group 'bob' does not fit into 64 bits"):
        grouped.write_csv(tmp_path / "out.csv").run(workers=0)


@pytest.mark.parametrize(
    ("outputs", "said"),
    [
        ({}, "nothing to work out"),
        ({"sort": ("amount", "sum")}, r"sort=\('amount', 'sum'\): it must be True or False"),
        ({"total": ("amont", "sum")}, "no column 'amont' to work 'total' out of. Did you mean 'amount'"),
        ({"total": ("amount", "summ")}, "there is no 'summ'. Did you mean 'sum'"),
        ({"total": "sum"}, "of which column"),
        ({"user": ("amount", "sum")}, "'user' is a column of the key"),
        ({"middle": ("amount", "median")}, "no 'median', as it cannot be put together.*map_groups"),
        ({"n": ("amount", len)}, "a function of all values of a group.*map_groups"),
        ({"n": 3}, "give 'count', or a column"),
        ({"total": ("item", "sum")}, "holds text, which have no 'sum'"),
    ],
)
def test_what_cannot_be_worked_out_is_refused_in_words(sales: Path, outputs: dict[str, Any], said: str) -> None:
    with pytest.raises((UsageError, DataError), match=said):
        muster.read_csv(sales).group_by("user").agg(**outputs).write_csv(sales.parent / "out.csv").run(workers=0)
    assert not (sales.parent / "out.csv").exists()


@pytest.mark.parametrize("outputs", [{"amount": "sum"}, "sum", ["sum", "mean"]])
def test_outputs_without_names_are_told_how_to_be_written(sales: Path, outputs: object) -> None:
    with pytest.raises(UsageError, match=r"each output has a name.*agg\(amount=\('amount', 'sum'\)\)"):
        muster.read_csv(sales).group_by("user").agg(outputs)


def by_item(df: pd.DataFrame) -> pd.DataFrame:
    return df.assign(kind=df["item"].str[-1], half=df["amount"] / 2)


def share(df: pd.DataFrame) -> pd.DataFrame:
    return df.assign(share=df["half"] / df["n"])


@pytest.mark.parametrize(("workers", "part_bytes"), [(0, None), (2, 20_000)])
def test_sums_stand_behind_functions_and_before_others(sales: Path, workers: int, part_bytes: int | None) -> None:
    grouped = muster.read_csv(sales).map_batches(by_item).group_by("kind").agg(n="count", half=("half", "sum"))
    again = grouped.map_batches(share).group_by("n").agg(kinds=("kind", "nunique"), share=("share", "max"))
    again.write_csv(sales.parent / "out.csv").run(workers=workers, part_bytes=part_bytes)
    first = by_item(pd.read_csv(sales)).groupby("kind", sort=False).agg(n=("kind", "size"), half=("half", "sum"))
    second = share(first.reset_index()).groupby("n", sort=False).agg(kinds=("kind", "nunique"), share=("share", "max"))
    check((sales.parent / "out.csv").read_text(), second.reset_index(), {"share": "sum"})
