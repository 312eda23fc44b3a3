"""Dicts without keys are held in Parquet beside others of their column, in whatever batches they come."""

from itertools import pairwise
from typing import Any

import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from columns import objects_of
from muster import DataError
from muster._formats import parquet, parquet_schema
from muster._formats.results import reply_of


def written(*batches: list[Any]) -> pa.ChunkedArray:
    """Give the column that batches have in the output."""
    replies = [reply_of(pd.DataFrame({"x": objects_of(values)}), use="parquet") for values in batches]
    pieces = [parquet_schema.piece([reply]) for reply in replies]
    assert all(parquet.render(piece) for piece in pieces)
    schema = parquet_schema.shared([piece.schema for piece in pieces])
    return pa.concat_tables([parquet_schema.typed(piece, schema) for piece in pieces])["x"]


@pytest.mark.parametrize(
    "values",
    [
        [{}, {"a": 1}, None, {}],
        [[{}], [], [{"a": "x"}, {}], None],
        [{"a": {}}, {"a": {"b": 1.5}}, {}, {"a": None}],
        [{"a": {}, "c": 1}, {"c": 2}, {"a": {"b": [{}]}}, {"a": {"b": [{"d": True}]}}],
    ],
)
@settings(deadline=None)
@given(cuts=st.sets(st.integers(1, 3)))
def test_dicts_without_keys_are_held_in_any_batches(values: list[Any], cuts: set[int]) -> None:
    whole = pa.array(values)
    column = written(*(values[lo:hi] for lo, hi in pairwise([0, *sorted(cuts), len(values)])))
    assert column.to_pylist() == whole.to_pylist()
    assert "\0" not in str(column.type)


@pytest.mark.parametrize("values", [[{}], [None, {}], [[{}]], [{"a": {}}]])
def test_a_column_whose_dicts_have_no_key_at_all_is_refused_by_name(values: list[Any]) -> None:
    with pytest.raises(DataError, match=r"Column 'x' .* dicts without a key in any row.*astype\(str\)"):
        written(values)
