"""Results of a few rows each are written together in the bytes that each would be written in by itself."""

from typing import Any

import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from muster._formats import _pandas, csv_text, jsonl_text, parquet_schema
from muster._formats._results import Reply, reply_of, shaped
from muster._formats._unmade import Unmade, made, reply_in_time
from muster._progress.schema import united

SURE = (
    pd.Series([1, 2, 3]),
    pd.Series([0.5, None, 1e300]),
    pd.Series([None, None, None], dtype="float64"),
    pd.Series([True, False, True]),
    pd.Series(["a", 'b"\n', None], dtype="str"),
    pd.Series(pd.to_datetime(["2020-01-01", "NaT", "2020-01-02 03:04:05.678"], format="ISO8601")),
    pd.Series(pd.to_timedelta([1, 2, 3], unit="s")),
    pd.Series([1, 2, 3], dtype="uint8"),
)
OTHERS = (
    pd.Series([1, None, 3], dtype="Int64"),
    pd.Series(["a", 1, None], dtype=object),
    pd.Series(["a", "b", "a"], dtype="category"),
    pd.Series(pd.to_datetime(["2020-01-01", "2020-01-02", "2020-01-03"])).dt.tz_localize("UTC"),
    pd.Series([[1], [], None]),
    pd.Series([0.1, 1e9, None], dtype="float32"),
    pd.Series([0.1, 1e4, None], dtype="float16"),
)
frames = st.builds(
    lambda series, other, cut, name: pd.DataFrame({name: series.reset_index(drop=True), "y": other}).iloc[:cut],
    series=st.sampled_from((*SURE, *OTHERS)),
    other=st.integers(-5, 5),
    cut=st.integers(0, 3),
    name=st.sampled_from(["x", "x", "z"]),
)


def as_text(replies: list[Reply], *, use: str) -> bytes:
    schemas = [reply.schema for reply in replies if reply.schema]
    schema = united(schemas) if schemas else None
    pieces = [(*shaped(reply, schema), reply.rows) for reply in replies if reply.schema and schema]
    if use == "jsonl":
        return b"".join(bytes(jsonl_text.render(table, rows=rows)) for table, _, rows in pieces)
    tables = [(table.rename_columns([str(at) for at in range(table.num_columns)]), forms) for table, forms, _ in pieces]
    return b"".join(
        bytes(csv_text.render(table, delimiter=",", forms={str(at): form for at, form in enumerate(forms) if form}))
        for table, forms in tables
    )


def both(results: list[pd.DataFrame], *, use: str) -> tuple[list[Reply], list[Reply]]:
    """Make replies of frames together, and each by itself."""
    together = made([reply_in_time(frame, use=use) for frame in results], apart=False)
    return together, [reply_of(frame, use=use) for frame in results]


@pytest.mark.parametrize("use", ["csv", "jsonl"])
@settings(max_examples=100, deadline=None)
@given(results=st.lists(frames, min_size=1, max_size=5))
def test_frames_written_together_are_as_those_written_one_by_one(use: str, results: list[pd.DataFrame]) -> None:
    together, alone = both(results, use=use)
    assert as_text(together, use=use) == as_text(alone, use=use)
    assert sum(reply.rows for reply in together) == sum(map(len, results))


@settings(max_examples=100, deadline=None)
@given(results=st.lists(st.sampled_from(SURE).map(lambda series: pd.DataFrame({"x": series})), min_size=1, max_size=4))
def test_frames_are_the_same_in_parquet_together_and_one_by_one(results: list[pd.DataFrame]) -> None:
    def in_parquet(replies: list[Reply]) -> pa.Table | str:
        try:
            table = parquet_schema.piece(replies)
            return parquet_schema.typed(table, parquet_schema.shared([table.schema]))
        except Exception as error:  # noqa: BLE001 (which must be the same)
            return type(error).__name__

    together, alone = both(results, use="parquet")
    assert in_parquet(together) == in_parquet(alone)


needs_shared_values = pytest.mark.skipif(
    not _pandas.copies_on_write() or pd.Series(["a"]).dtype == object, reason="only pandas 3 shares values of frames"
)


def results_of_files(count: int, **columns: Any) -> list[Reply | Unmade]:  # noqa: ANN401 (cells)
    return [reply_in_time(pd.DataFrame(columns), use="csv") for _ in range(count)]


@needs_shared_values
def test_one_reply_is_made_of_all_frames_that_are_alike() -> None:
    alike = results_of_files(3, x=[1, 2], name=["a", None])
    other = results_of_files(2, x=[1.5], name=["a"])
    assert [reply.rows for reply in made([*alike, *other, *alike], apart=False)] == [6, 2, 6]
    assert [reply.rows for reply in made([*alike, *other], apart=True)] == [2, 2, 2, 1, 1]


@needs_shared_values
def test_what_a_function_changes_later_in_a_frame_that_it_returned_is_not_written() -> None:
    frame = pd.DataFrame({"x": [1, 2], "name": ["a", "b"]})
    reply = reply_in_time(frame, use="csv")
    frame.loc[0, "x"] = 7
    frame["name"] = "changed"
    frame["x"] += 1
    assert made([reply], apart=False)[0].table.to_pydict() == {"x": [1, 2], "name": ["a", "b"]}


def test_a_reply_of_many_rows_is_made_at_once() -> None:
    assert isinstance(reply_in_time(pd.DataFrame({"x": range(100_000)}), use="csv"), Reply)


def test_columns_that_may_be_refused_are_looked_at_when_the_function_returns() -> None:
    for column in ([object()], pd.Series(["a"], dtype="string[python]"), pd.Categorical(["a"])):
        assert isinstance(reply_in_time(pd.DataFrame({"x": column}), use="csv"), Reply)
