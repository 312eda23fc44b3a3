"""What comes out is what pandas would write, for any column of a result; or it is refused, with its name."""

import datetime as dt
import io
import json
import math
import uuid
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, reject, settings

import muster
from columns import columns, objects_of
from muster import DataError
from muster._formats import csv_text, jsonl_text, parquet
from muster._formats.tables import from_result
from muster._formats.volumes import header


def as_csv(frame: pd.DataFrame | pa.Table) -> str:
    table = from_result(frame, use="csv")
    return (header(table.column_names, delimiter=",") + bytes(csv_text.render(table, delimiter=","))).decode()


@settings(max_examples=250, deadline=None)
@given(series=columns())
def test_any_column_is_in_csv_what_pandas_writes(series: "pd.Series[Any]") -> None:
    frame = pd.DataFrame({"x": series, "y": 1})
    try:
        expected = frame.to_csv(index=False)
    except TypeError:  # pandas 2.2 cannot write categories of Arrow's moments beside a gap
        reject()
    assert as_csv(frame) == expected


@settings(max_examples=250, deadline=None)
@given(series=columns())
def test_any_value_is_in_json_what_the_documentation_says(series: "pd.Series[Any]") -> None:
    lines = (
        bytes(jsonl_text.render(from_result(pd.DataFrame({"x": series}), use="jsonl"), rows=len(series)))
        .decode()
        .splitlines()
    )
    missing = series.isna().to_list()
    for line, value, gone in zip(lines, series.astype(object), missing, strict=True):
        assert_alike(json.loads(line, parse_constant=pytest.fail)["x"], None if gone else in_json(value))


def in_json(value: Any) -> Any:  # noqa: ANN401, PLR0911 (any value, of which each kind is a case)
    """Give what ``to_json`` makes of a value, or else the text that ``to_csv`` writes for it alone."""
    if isinstance(value, list | tuple | set | frozenset | np.ndarray):
        return [in_json(item) for item in value]
    if isinstance(value, dict):
        return {str(key): in_json(item) for key, item in value.items()}
    if isinstance(value, bytearray):
        return value.decode()
    if isinstance(value, np.floating):
        return float(value) if math.isfinite(value) else None
    if isinstance(value, np.generic) and not isinstance(value, np.datetime64 | np.timedelta64 | str):
        return value.item()
    if isinstance(value, Decimal):
        return f"{value:f}"  # pandas 2.2 makes a float of it
    if value is None or isinstance(value, bool | int | float | str | bytes | complex):
        written = pd.DataFrame({"x": objects_of([value])}).to_json(orient="records", lines=True, double_precision=15)
        return json.loads(written)["x"]
    return str(value)


def assert_alike(found: Any, expected: Any) -> None:  # noqa: ANN401 (any value of JSON)
    if isinstance(expected, float) and found is not None:
        assert math.isclose(found, expected, rel_tol=1e-9, abs_tol=1e-14)
    elif isinstance(expected, list):
        for one, other in zip(found, expected, strict=True):
            assert_alike(one, other)
    else:
        assert found == expected


@settings(max_examples=250, deadline=None)
@given(series=columns())
def test_any_value_is_in_parquet_what_it_was_or_its_column_is_refused(series: "pd.Series[Any]") -> None:
    try:
        table = from_result(pd.DataFrame({"x": series}), use="parquet")
    except DataError:
        return
    read = pq.read_table(io.BytesIO(parquet.render(table))).column("x")
    if isinstance(read.type, pa.BaseExtensionType) and read.type.extension_name.startswith("pandas."):
        back = read.to_pandas().tolist()
    else:
        back = read.to_pylist()
    for value, gone, copy in zip(series.astype(object), series.isna().to_list(), back, strict=True):
        assert known(copy) == (None if gone else known(value))


def known(value: Any) -> Any:  # noqa: ANN401, PLR0911 (any value, of which each kind is a case)
    """Make values equal that are the same to pandas, and unequal what Python takes for equal."""
    if isinstance(value, dict):
        return {key: known(item) for key, item in value.items() if known(item) is not None}
    if isinstance(value, list | tuple | set | frozenset | np.ndarray):
        return [known(item) for item in value]
    if pd.isna(value):
        return None
    if isinstance(value, np.datetime64 | dt.datetime):
        return "datetime", pd.Timestamp(value)
    if isinstance(value, np.timedelta64 | dt.timedelta):
        return "span", pd.Timedelta(value)
    if isinstance(value, bool | np.bool_):
        return "bool", bool(value)
    return bytes(value) if isinstance(value, bytearray) else value


MIXES: dict[str, list[Any]] = {
    "a day and a moment": [dt.date(2020, 1, 1), dt.datetime(2020, 1, 1, 12, 30)],  # noqa: DTZ001 (no zone)
    "a time of day and a number": [dt.time(5, 6), 0.5],
    "times of day of which one has a zone": [dt.time(1, tzinfo=dt.UTC), dt.time(2)],
    "text and bytes": ["plain", b"raw"],
    "a number and a UUID": [1, uuid.UUID(int=3)],
    "numbers of which one is a truth": [1, np.bool_(False)],  # noqa: FBT003 (a value)
    "moments of which one has no zone": [pd.Timestamp("2020-01-01", tz="UTC"), pd.Timestamp("2020-01-01")],
    "a moment that is finer than the type": [pd.Timestamp("2020-01-01 00:00:00.000000001")],
    "numbers of which one is huge": [1, 2**70],
    "lists of which one holds text": [[1], ["x"]],
}


@pytest.mark.parametrize("values", MIXES.values(), ids=MIXES.keys())
@pytest.mark.parametrize("use", ["parquet", "pyarrow", "polars"])
def test_what_arrow_would_bend_is_refused_with_the_column_the_value_and_a_way_out(values: list[Any], use: str) -> None:
    with pytest.raises(
        DataError,
        match=r"Column 'mix' .* holds .*, which (?:Parquet|an Arrow step|Polars) cannot hold.*df\['mix'\]",
    ) as refusal:
        from_result(pd.DataFrame({"mix": objects_of(values)}), use=use)
    assert any(repr(value) in str(refusal.value) for value in values)


def mixed(df: pd.DataFrame) -> pd.DataFrame:
    return df.assign(mix=objects_of([1, "x"]))


def raw(df: pd.DataFrame) -> pd.DataFrame:
    return df.assign(a=df["a"].map({1: b"\xff", 2: b"good"}))


def test_a_column_that_parquet_cannot_hold_ends_the_run_and_costs_no_row(tmp_path: Path) -> None:
    (tmp_path / "in.csv").write_text("a\n1\n2\n")
    with pytest.raises(DataError, match="Column 'mix'"):
        muster.run(
            lambda df: df.assign(mix=objects_of([1, "x"])), tmp_path / "in.csv", tmp_path / "out.parquet", workers=0
        )
    assert not (tmp_path / "out.parquet").exists()
    assert not (tmp_path / "out.parquet.rejects.jsonl").exists()


def test_bytes_that_are_no_text_cost_their_row_in_json(tmp_path: Path) -> None:
    (tmp_path / "in.csv").write_text("a\n1\n2\n")
    raw = {1: b"\xff", 2: b"good"}
    result = muster.run(
        lambda df: df.assign(a=df["a"].map(raw)), tmp_path / "in.csv", tmp_path / "out.jsonl", workers=0
    )
    assert (result.bad_rows, (tmp_path / "out.jsonl").read_text()) == (1, '{"a":"good"}\n')


def test_arrow_tables_are_written_like_the_frames_that_they_make() -> None:
    table = pa.table(
        {
            "day": pa.array([0, 86_400], pa.timestamp("s")),
            "zoned": pa.array([0, 1500], pa.timestamp("ms", "Asia/Tokyo")),
            "span": pa.array([0, 1], pa.duration("us")),
            "colour": pa.array(["red", None]).dictionary_encode(),
            "raw": pa.array([b"a", None]),
            "amount": pa.array([Decimal("1.10"), None]),
        }
    )
    assert as_csv(table) == table.to_pandas().to_csv(index=False)
