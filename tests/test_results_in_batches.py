"""However a result is cut into batches, each column is in the output what pandas would write of the whole."""

from typing import Any

import pandas as pd
import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from columns import columns
from muster import DataError
from muster._formats import csv_text, jsonl_text, parquet_schema
from muster._formats.results import Reply, reply_of, shaped
from muster._formats.tables import from_result
from muster._progress.schema import united

CUTS = st.integers(0, 5)


def replies(series: "pd.Series[Any]", cut: int, *, use: str) -> tuple[pd.DataFrame, list[Reply]]:
    frame = pd.DataFrame({"x": series, "y": 1})
    return frame, [reply_of(batch, use=use) for batch in (frame.iloc[:cut], frame.iloc[cut:])]


def shaped_alike(batches: list[Reply]) -> list[tuple[pa.Table, dict[str, str]]]:
    schema = united(reply.schema for reply in batches if reply.schema)
    tables = [shaped(reply, schema) for reply in batches]
    return [(table, {name: form for name, form in zip("xy", forms, strict=True) if form}) for table, forms in tables]


@settings(max_examples=120, deadline=None)
@given(series=columns(), cut=CUTS)
def test_any_column_is_in_csv_what_pandas_writes_of_the_whole(series: "pd.Series[Any]", cut: int) -> None:
    frame, batches = replies(series, cut, use="csv")
    written = [bytes(csv_text.render(table, delimiter=",", forms=forms)) for table, forms in shaped_alike(batches)]
    assert b"".join(written).decode() == frame.to_csv(index=False, header=False)


@settings(max_examples=120, deadline=None)
@given(series=columns(), cut=CUTS)
def test_any_column_is_the_same_in_json_for_any_batches(series: "pd.Series[Any]", cut: int) -> None:
    frame, batches = replies(series, cut, use="jsonl")
    written = [jsonl_text.render(table, rows=len(table)) for table, _ in shaped_alike(batches)]
    assert b"".join(written) == jsonl_text.render(from_result(frame, use="jsonl"), rows=len(frame))


@settings(max_examples=120, deadline=None)
@given(series=columns(), cut=CUTS)
def test_any_column_is_the_same_in_parquet_for_any_batches_or_is_refused(series: "pd.Series[Any]", cut: int) -> None:
    try:
        frame, batches = replies(series, cut, use="parquet")
        pieces = [parquet_schema.piece([reply]) for reply in batches]
        schema = parquet_schema.shared([piece.schema for piece in pieces])
        written = pa.concat_tables([parquet_schema.typed(piece, schema) for piece in pieces])
    except DataError:
        return
    whole = from_result(frame, use="parquet")
    assert repr(written["x"].to_pylist()) == repr(whole["x"].to_pylist())  # where NaN equals NaN
