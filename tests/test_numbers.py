"""Objects that are numbers of several sorts become one Parquet column that holds each exactly, or are refused."""

from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from columns import objects_of
from muster import DataError
from muster._formats import parquet_schema
from muster._formats.results import reply_of

INTEGERS = (0, -1, 7, 2**53 + 1, 2**60, 2**63, 2**64 - 1, 2**70, np.int8(3), np.int64(2**53 + 1), np.uint64(2**64 - 1))
OTHERS = (0.5, 1e300, float(2**60), np.float16(0.1), np.float32(0.1), Decimal("1.50"), Decimal("1E+5"), Decimal(-7))


def column(*batches: list[Any]) -> pa.ChunkedArray | None:
    """Give the column that batches of objects have in Parquet; ``None`` where it is refused."""
    try:
        replies = [reply_of(pd.DataFrame({"x": objects_of(values)}), use="parquet") for values in batches if values]
        pieces = [parquet_schema.piece([reply]) for reply in replies]
        schema = parquet_schema.shared([piece.schema for piece in pieces])
        return pa.concat_tables([parquet_schema.typed(piece, schema) for piece in pieces])["x"]
    except DataError:
        return None


@settings(max_examples=200, deadline=None)
@given(values=st.lists(st.sampled_from((None, *INTEGERS, *OTHERS)), min_size=1, max_size=4), cut=st.integers(0, 4))
def test_numbers_of_several_sorts_are_held_exactly_or_refused_in_any_batches(values: list[Any], cut: int) -> None:
    whole, cut_up = column(values), column(values[:cut], values[cut:])
    plain = [int(value) if isinstance(value, np.integer) else value for value in values]
    for found in (whole, cut_up):
        assert found is None or [*found.to_pylist()] == plain
    if not needs_both_signs(plain):
        assert (whole and whole.type) == (cut_up and cut_up.type)


def needs_both_signs(values: list[Any]) -> bool:
    """Tell whether some integers need a sign, and others its bit: docs/types.md says that no type holds both."""
    whole = [value for value in values if isinstance(value, int)]
    return min(whole, default=0) < 0 and max(whole, default=0) >= 2**63


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        ([1, Decimal("1.5")], pa.decimal128(20, 1)),
        ([np.uint64(1), Decimal("1.5")], pa.decimal128(21, 1)),
        ([1, 0.5], pa.float64()),
        ([np.float16(0.5), 1], pa.float64()),
        ([2**63, 0.5], pa.float64()),
        ([2**53 + 1, 0.5], None),
        ([Decimal("0.1"), 0.1], None),
        ([True, 1], None),
        ([np.float32(0.1), np.float16(0.1)], pa.float32()),
        ([np.float16(0.1), np.float32(0.1)], pa.float32()),
        ([np.float16(0.1), 0.1], pa.float64()),
        ([np.int8(3), 2**64 - 1], pa.uint64()),
        ([np.uint8(3), np.int8(-3)], pa.int16()),
        ([np.uint64(2**63), -1], None),
    ],
)
def test_what_holds_numbers_of_two_sorts(values: list[Any], kind: pa.DataType | None) -> None:
    for found in (column(values), column(values[:1], values[1:])):
        assert (found is not None and found.type) == (kind is not None and kind)


def test_a_refusal_names_the_two_values_that_do_not_go_together() -> None:
    frame = pd.DataFrame({"x": objects_of([1, 2, 0.5, 3, 2**53 + 1, 4])})
    with pytest.raises(DataError, match=r"holds 0\.5 \(float\) and 9007199254740993 \(int\)"):
        reply_of(frame, use="parquet")


def test_moments_that_need_a_column_of_their_type_are_refused_with_what_makes_it() -> None:
    frame = pd.DataFrame({"x": objects_of([pd.Timestamp("2020-01-01 00:00:00.000000001")])})
    with pytest.raises(DataError, match=r"df\['x'\] = pd\.to_datetime\(df\['x'\]\)"):
        reply_of(frame, use="parquet")
    frame["x"] = pd.to_datetime(frame["x"])
    assert reply_of(frame, use="parquet").table["x"].type == pa.timestamp("ns")
