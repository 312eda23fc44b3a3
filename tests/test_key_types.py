"""Keys of every type of pandas are the groups, and have the states, that pandas makes of the whole input."""

import datetime as dt
import tempfile
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import muster

Made = Callable[[list[Any]], "pd.Series[Any]"]


def of(dtype: str) -> Made:
    return lambda cells: pd.Series(cells, dtype=dtype)


def moments(unit: str, zone: str | None = None) -> Made:
    def made(cells: list[Any]) -> "pd.Series[Any]":
        at = pd.Series(pd.to_datetime(pd.Series(cells, dtype="float64"), unit="s")).dt.as_unit(unit)  # type: ignore[arg-type]
        return at if zone is None else at.dt.tz_localize("UTC").dt.tz_convert(zone)

    return made


def spans(cells: list[Any]) -> "pd.Series[Any]":
    return pd.Series(pd.to_timedelta(pd.Series(cells, dtype="float64"), unit="s"))


def made_of(make: Callable[[int], object]) -> Made:
    return lambda cells: pd.Series([None if cell is None else make(cell) for cell in cells], dtype="object")


def categories(cells: list[Any]) -> "pd.Series[Any]":
    names = [None if cell is None else f"no {cell}" for cell in cells]
    return pd.Series(pd.Categorical(names, [f"no {at}" for at in range(9, -1, -1)]))


TYPES: dict[str, Made] = {
    **{f"int{bits}": of(f"int{bits}") for bits in (8, 16, 32, 64)},
    **{f"uint{bits}": of(f"uint{bits}") for bits in (8, 64)},
    **{f"{name} or nothing": of(name) for name in ("Int8", "Int64", "UInt16", "float32", "float64", "Float64")},
    "bool": of("bool"),
    "boolean or nothing": lambda cells: made_of(bool)(cells).astype("boolean"),
    "large": lambda cells: pd.Series([2**53 + cell for cell in cells], dtype="int64"),
    "large or nothing": lambda cells: pd.Series([cell and 2**53 + cell for cell in cells], dtype="Int64"),
    "zeros": lambda cells: pd.Series([0.0 if cell % 2 else -0.0 for cell in cells]),
    "string or nothing": lambda cells: made_of(lambda cell: f'{cell}\n"é,')(cells).astype("string"),
    "text or nothing": made_of(lambda cell: f" {cell}\n"),
    "bytes or nothing": made_of(lambda cell: bytes([cell, 0])),
    "date or nothing": made_of(lambda cell: dt.date(2026, 1, 1 + cell)),
    "decimal or nothing": made_of(lambda cell: Decimal(cell) / 100),
    "seconds or nothing": moments("s"),
    "microseconds or nothing": moments("us"),
    "nanoseconds or nothing": moments("ns"),
    "Berlin or nothing": moments("ns", "Europe/Berlin"),
    "span or nothing": spans,
    "category or nothing": categories,
}


@st.composite
def frames(draw: st.DrawFn) -> pd.DataFrame:
    rows = draw(st.integers(0, 25))
    columns = dict[str, Any]()
    for name in "ab":
        kind = draw(st.sampled_from([*TYPES]))
        cells = st.integers(0, draw(st.sampled_from([0, 2, 9])))
        some = st.one_of(cells, st.none()) if kind.endswith("nothing") else cells
        columns[name] = TYPES[kind](draw(st.lists(some, min_size=rows, max_size=rows)))
    return pd.DataFrame({**columns, "x": range(rows)})


def spelled(one: Any) -> str:  # noqa: ANN401 (a value of any type)
    """Spell a value of a key; pandas itself has several of zero and of what is missing, and of NumPy's numbers."""
    if pd.isna(one):
        return "nothing"
    return str(one + 0) if isinstance(one, float) else str(one)


def named(one: Any) -> str:  # noqa: ANN401 (likewise)
    """Spell a value of a key, and what is missing as pandas does: ``nan``, ``NaT`` or ``<NA>``."""
    return f"nothing {one!r}" if pd.isna(one) else spelled(one)


def told(df: pd.DataFrame, key: object) -> pd.DataFrame:
    """Tell all there is to know of a group: its key, the types of its columns, its rows, and their labels."""
    what = " ".join(map(named, key if isinstance(key, tuple) else (key,)))
    rows = " ".join(map(str, df["x"]))
    return pd.DataFrame({"key": [what], "types": [str([*df.dtypes])], "rows": [rows], "at": [df.index[0]]})


def numbered(df: pd.DataFrame, states: Any) -> pd.DataFrame:  # noqa: ANN401 (a mapping)
    numbers = []
    for key in zip(df["a"].map(spelled), df["b"].map(spelled), strict=True):
        states[key] += 1
        numbers.append(states[key])
    return pd.DataFrame({"x": df["x"], "n": numbers, "types": str([*df.dtypes])}, df.index)


@pytest.fixture(scope="module", params=["of the input", "of a step"])
def read(request: pytest.FixtureRequest) -> Callable[[str], muster.Pipeline]:
    """Read a file; or have a step between give what it got, of which categories are text."""
    if request.param == "of the input":
        return muster.read_parquet
    return lambda path: muster.read_parquet(path).map_batches(lambda df: df)


def as_given(frame: pd.DataFrame, read: Callable[[str], muster.Pipeline]) -> pd.DataFrame:
    names = [] if read is muster.read_parquet else [*frame.select_dtypes("category")]
    return frame.astype(dict.fromkeys(names, pd.Series(["a"]).dtype))


@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    frame=frames(),
    key=st.sampled_from(["a", ["a"], ["a", "b"]]),
    dropna=st.booleans(),
    sort=st.booleans(),
    part_bytes=st.sampled_from([None, 30]),
    row_group_size=st.integers(1, 25),
)
def test_groups_and_states_of_every_type_of_key_are_those_of_pandas(  # noqa: PLR0913, PLR0917 (what may differ)
    read: Callable[[str], muster.Pipeline],
    frame: pd.DataFrame,
    key: str | list[str],
    dropna: bool,  # noqa: FBT001 (hypothesis gives it by name)
    sort: bool,  # noqa: FBT001 (likewise)
    part_bytes: int | None,
    row_group_size: int,
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        source, output = f"{folder}/in.parquet", Path(folder, "out.csv")
        frame.to_parquet(source, row_group_size=row_group_size)
        whole: Any = as_given(pd.read_parquet(source), read)
        options: Any = {"workers": 0, "part_bytes": part_bytes, "fresh": True}
        grouped = read(source).group_by(key, dropna=dropna)
        expected = [told(group, one) for one, group in whole.groupby(key, sort=sort, dropna=dropna, observed=True)]
        result = grouped.map_groups(told, sort=sort).write_csv(output).run(**options)
        assert (result.rows_in, result.bad_rows, result.rows_out) == (len(frame), 0, len(expected))
        if expected:
            assert output.read_text() == pd.concat(expected).to_csv(index=False)
        grouped.agg(sort=sort, n="count", first=("x", "first")).write_csv(output).run(**options)
        if expected:
            rows = [[int(one) for one in group["rows"].iloc[0].split()] for group in expected]
            read_again = pd.read_csv(output)
            assert read_again["n"].tolist() == [*map(len, rows)]
            assert read_again["first"].tolist() == [own[0] for own in rows]
        read(source).key_by(key).map_batches(numbered, state=int).write_csv(output).run(**options)
        if len(frame):
            both = [whole[name].map(spelled) for name in "ab"]
            numbers = frame.assign(n=whole.groupby(both, sort=False).cumcount() + 1, types=str([*whole.dtypes]))
            assert output.read_text() == numbers[["x", "n", "types"]].to_csv(index=False)


def test_large_whole_numbers_beside_missing_ones_stay_keys_of_their_own(tmp_path: Path) -> None:
    numbers = [*range(2**53, 2**53 + 300), None]
    frame = pd.DataFrame({"a": pd.Series(numbers * 2, dtype="Int64"), "x": range(602)})
    frame.to_parquet(tmp_path / "in.parquet", row_group_size=100)
    for sort in (False, True):
        grouped = muster.read_parquet(tmp_path / "in.parquet").group_by("a", dropna=False)
        for pipeline in (
            grouped.agg(sort=sort, n="count"),
            grouped.map_groups(lambda df: df[["a"]].head(1).assign(n=len(df)), sort=sort),
        ):
            pipeline.write_parquet(tmp_path / "out.parquet").run(workers=0, fresh=True)
            told_of = pd.read_parquet(tmp_path / "out.parquet")
            expected = frame.groupby("a", dropna=False, sort=sort).size().rename("n").reset_index()
            pd.testing.assert_frame_equal(told_of, expected)


@pytest.mark.parametrize("kind", [kind for kind in TYPES if kind.endswith("nothing")])
@pytest.mark.parametrize("key", ["a", ["a", "x"]])
def test_a_missing_key_is_spelled_as_pandas_spells_it(tmp_path: Path, kind: str, key: str | list[str]) -> None:
    frame = pd.DataFrame({"a": TYPES[kind]([None, 1, None, 2]), "x": 0})
    frame.to_parquet(tmp_path / "in.parquet")
    whole: Any = pd.read_parquet(tmp_path / "in.parquet")
    grouped = muster.read_parquet(tmp_path / "in.parquet").group_by(key, dropna=False).map_groups(told)
    grouped.write_csv(tmp_path / "out.csv").run(workers=0)
    groups = whole.groupby(key, sort=False, dropna=False, observed=True)
    assert (tmp_path / "out.csv").read_text() == pd.concat(told(group, one) for one, group in groups).to_csv(
        index=False
    )
