"""Between two steps a frame stays what it is, and is made another kind only where the next function asks for it."""

import enum
from pathlib import Path
from typing import Any

import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

import muster


class Colour(enum.Enum):
    RED = 1


class Labelled(pd.DataFrame):
    """A frame of a class of its own, as geopandas has one."""

    @property
    def _constructor(self) -> type["Labelled"]:
        return Labelled


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    (tmp_path / "in.csv").write_text("a,b\n" + "".join(f"{at},x{at % 3}\n" for at in range(7)))
    return tmp_path / "in.csv"


def through(rows: Path, *steps: Any) -> str:  # noqa: ANN401 (functions)
    pipeline = muster.read_csv(rows)
    for step in steps:
        pipeline = pipeline.map_batches(step)
    pipeline.write_csv(rows.parent / "out.csv").run(workers=0, fresh=True)
    return (rows.parent / "out.csv").read_text()


@pytest.mark.parametrize("make", [pd.DataFrame, Labelled])
def test_the_next_pandas_function_gets_the_very_frame(rows: Path, make: type[pd.DataFrame]) -> None:
    def first(df: pd.DataFrame) -> pd.DataFrame:
        mixed = [1 if at % 2 else "x" for at in range(len(df))]
        colours = pd.Series([Colour.RED] * len(df), dtype=object)
        frame = make(df.assign(mixed=mixed, colour=colours, b=pd.Categorical(df["b"], ordered=True))).set_index("a")
        frame.attrs["id"] = id(frame)
        return frame

    def second(df: pd.DataFrame) -> pd.DataFrame:
        if id(df) != df.attrs["id"]:
            raise TypeError("a copy, or made anew")
        return df

    assert through(rows, first, second) == first(pd.read_csv(rows)).to_csv(index=False)


def test_frames_change_kind_between_steps_and_keep_their_values(rows: Path) -> None:
    def in_pandas(df: pd.DataFrame) -> pd.DataFrame:
        return df.assign(c=pd.Categorical(df["b"], ordered=True), day=pd.Timestamp("2020-01-01"), one=["t"] * len(df))

    def in_polars(df: pl.DataFrame) -> pl.DataFrame:
        return df.with_columns(pl.col("a") * 2)

    def again(df: pd.DataFrame) -> pd.DataFrame:
        assert isinstance(df["c"].dtype, pd.CategoricalDtype)
        return df.assign(span=pd.Timedelta("1 days"))

    def in_arrow(table: pa.Table) -> pa.Table:
        return table.append_column("n", pa.array(range(len(table))))

    expected = again(in_pandas(pd.read_csv(rows))).assign(a=lambda df: df["a"] * 2, n=range(7))
    assert through(rows, in_pandas, in_polars, again, in_arrow) == expected.to_csv(index=False)


def test_what_polars_has_no_type_for_is_refused_by_name(rows: Path) -> None:
    def periods(df: pd.DataFrame) -> pd.DataFrame:
        return df.assign(month=pd.period_range("2020-01", periods=len(df), freq="M"))

    def in_polars(df: pl.DataFrame) -> pl.DataFrame:
        return df

    with pytest.raises(muster.DataError, match=r"Column 'month' .*Period\('2020-01', 'M'\).* Polars cannot hold"):
        through(rows, periods, in_polars)
