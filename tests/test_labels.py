"""Column labels: whatever pandas allows for one is in the output what pandas would write, each column apart."""

import datetime as dt
import json
import warnings
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
from columns import Colour, Shade
from muster import DataError
from muster._formats import csv_text
from muster._formats.labels import labels_of_header, shown_name
from muster._formats.tables import from_result
from muster._formats.volumes import header
from muster.errors import ColumnsError

LABELS = (
    "a",
    "a",
    "",
    "x,y",
    'q"',
    "\0",
    '\0[1, "a"]',
    0,
    1,
    0.5,
    True,
    None,
    np.nan,
    pd.NA,
    pd.NaT,
    ("x", "a"),
    b"raw",
)
DAYS = (pd.Timestamp("2020-01-01"), pd.Timestamp("2020-01-02 05:00"), dt.date(2020, 1, 1), Colour.RED, Shade.DARK)
INDEXES = (
    pd.to_datetime(["2020-01-01", "2020-02-01"]),
    pd.to_datetime(["2020-01-01 05:00", "2020-02-01 00:00"]).tz_localize("UTC"),
    pd.to_timedelta(["1 days", "2 days"]),
    pd.period_range("2020-01", periods=2, freq="M"),
    pd.interval_range(0, 2),
    pd.CategoricalIndex(["a", "b"]),
    pd.Index([0.1, 1], dtype="float32"),
    pd.Index([1, None], dtype="Int64"),
    pd.RangeIndex(2),
)


@st.composite
def indexes(draw: st.DrawFn) -> "pd.Index[Any]":
    labels = st.sampled_from((*LABELS, *DAYS))
    if draw(st.integers(0, 3)) == 0:
        return draw(st.sampled_from(INDEXES))
    if draw(st.booleans()):
        levels = draw(st.integers(1, 3))
        tuples = draw(st.lists(st.tuples(*[st.sampled_from(LABELS[:13])] * levels), min_size=1, max_size=4))
        return pd.MultiIndex.from_tuples(tuples)
    array = np.empty(len(drawn := draw(st.lists(labels, min_size=1, max_size=4))), object)
    for at, label in enumerate(drawn):
        array[at] = label
    return pd.Index(array, dtype=object, tupleize_cols=False)


@settings(max_examples=200, deadline=None)
@given(columns=indexes())
def test_any_labels_are_the_header_that_pandas_writes(columns: "pd.Index[Any]") -> None:
    frame = pd.DataFrame([range(len(columns))] * 2, columns=columns)
    table = from_result(frame, use="csv")
    written = header(table.column_names, delimiter=",") + bytes(csv_text.render(table, delimiter=","))
    assert written.decode() == frame.to_csv(index=False)


def test_plain_labels_are_their_own_names() -> None:
    assert labels_of_header(pd.Index(["a", "b c", ""])) == ["a", "b c", ""]


def repeated(frame: pd.DataFrame) -> pd.DataFrame:
    return pd.concat([frame, frame[["a"]] * 10, frame[["a"]] * 100], axis=1)


def two_levels(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.set_axis(pd.MultiIndex.from_tuples([("x", "a"), ("x", "b")]), axis=1)


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    (tmp_path / "in.csv").write_text("a,b\n" + "".join(f"{at},{at}\n" for at in range(50)))
    return tmp_path / "in.csv"


@pytest.mark.parametrize("function", [repeated, two_levels])
@pytest.mark.parametrize("output", ["out.csv", "out/"])
def test_repeated_and_layered_labels_come_through_a_run_as_pandas_writes_them(
    rows: Path, function: Callable[[pd.DataFrame], pd.DataFrame], output: str
) -> None:
    muster.run(function, rows, f"{rows.parent}/{output}", workers=0, batch_rows=20)
    written = rows.parent / output
    text = written.read_text() if written.is_file() else (written / "part-00000.csv").read_text()
    assert text == function(pd.read_csv(rows)).to_csv(index=False)


@pytest.mark.parametrize("output", ["out.jsonl", "out.parquet"])
def test_a_name_that_stands_twice_is_refused_where_it_can_stand_only_once(rows: Path, output: str) -> None:
    with pytest.raises(DataError, match=r"two columns named 'a'.* only once.*Rename.*or write CSV"):
        muster.run(repeated, rows, rows.parent / output, workers=0)
    assert not list(rows.parent.glob("*.rejects.jsonl"))


def test_keys_of_json_are_the_labels_as_text() -> None:
    labels = pd.Index([1, 0.5, ("x", "a"), None, dt.date(2020, 1, 1)], dtype=object, tupleize_cols=False)
    names = from_result(pd.DataFrame([range(5)], columns=labels), use="jsonl").column_names
    expected = pd.DataFrame([range(4)], columns=labels[:4]).to_json(orient="records", lines=True)
    assert names[:3] == list(json.loads(expected))[:3] == ["1", "0.5", "('x', 'a')"]
    assert names[3:] == ["None", "2020-01-01"]


@pytest.mark.parametrize("labels", [[0, 1], [("x", "a"), ("x", "b")], ["a", None]])
def test_parquet_with_other_labels_than_text_is_read_as_pandas_reads_it(tmp_path: Path, labels: list[Any]) -> None:
    frame = pd.DataFrame([[True, 1], [None, 2]]).astype({0: object}).set_axis(pd.Index(labels), axis=1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pandas 2.2 says that a missing label becomes text
        frame.to_parquet(tmp_path / "in.parquet")
    muster.run(lambda df: df, tmp_path / "in.parquet", tmp_path / "out.csv", workers=0)
    assert (tmp_path / "out.csv").read_text() == pd.read_parquet(tmp_path / "in.parquet").to_csv(index=False)


def test_repeated_names_of_an_arrow_table_stand_twice_in_csv() -> None:
    table = from_result(pa.table([[1], [2]], names=["a", "a"]), use="csv")
    assert header(table.column_names, delimiter=",") == b"a,a\n"
    assert bytes(csv_text.render(table, delimiter=",")) == b"1,2\n"


def test_a_label_of_several_levels_is_shown_to_people_as_pandas_shows_it() -> None:
    columns = pd.Index([("a", "x"), ("b", 1)])
    names = from_result(pd.DataFrame([[1, 2]], columns=columns), use="csv").column_names
    assert [shown_name(name) for name in [*names, "c"]] == ["('a', 'x')", "('b', '1')", "'c'"]
    message = str(ColumnsError.of([*map(shown_name, names)]))
    assert "the last of them ('a', 'x'), ('b', '1')." in message
