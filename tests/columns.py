"""Columns of every dtype of pandas, and of any mix of values, for tests that compare with what pandas writes."""

import contextlib
import datetime as dt
import enum
import io
import uuid
from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from hypothesis import strategies as st

LONG_DECIMAL = "100000000000000000000000.0"
READS_EXACTLY = bool(pd.read_csv(io.StringIO(f"a\n{LONG_DECIMAL}\n"))["a"][0] == float(LONG_DECIMAL))
"""Since version 3. Before, pandas loses the last digit of some decimals, and the smallest integer beside a gap;
decimals with many digits are text to it."""
EXACTLY: dict[str, Any] = {} if READS_EXACTLY else {"float_precision": "round_trip"}
"""What to give to ``read_csv``, so that it reads decimals as muster does."""


class Colour(enum.Enum):
    RED = 1


class Shade(enum.StrEnum):
    DARK = "dark"


class Level(enum.IntEnum):
    HIGH = 3


ZONE = dt.timezone(dt.timedelta(hours=5, minutes=30))
MISSING = (None, np.nan, pd.NaT, pd.NA)
NUMBERS = (0, 1, -7, 2**53 + 1, 2**63, 2**70, 0.5, -0.0, 1e16, 1e-5, np.inf)
NUMPY = (np.bool_(True), np.int8(3), np.uint64(2**64 - 1), np.float16(0.1), np.float32(0.1), np.str_("n"))  # noqa: FBT003 (a value)
TEXTS = ("x", "", "a,b", 'q"q', "é\n", "05", b"raw", bytearray(b"z"), Shade.DARK)
MOMENTS = (
    *(dt.date(2020, 1, 1), dt.datetime(2020, 1, 1), dt.datetime(2020, 1, 1, 5, 6, 7, 500000)),  # noqa: DTZ001 (no zone)
    *(dt.datetime(2020, 1, 1, tzinfo=ZONE), dt.datetime(2020, 1, 1, tzinfo=dt.UTC), dt.datetime(1, 1, 1)),  # noqa: DTZ001
    *(pd.Timestamp("2020-01-01 00:00:00.000000001"), pd.Timestamp("2020-01-01", tz="Europe/Berlin")),
    *(np.datetime64("2020-01-01"), dt.time(1, 2), dt.time(1, 2, tzinfo=ZONE)),
    *(dt.timedelta(1), pd.Timedelta("1 days"), pd.Timedelta(1), np.timedelta64(1, "D"), dt.timedelta(10**8)),
)
OTHERS = (
    *(True, Decimal("1.10"), Decimal("1E+5"), 1 + 2j, uuid.UUID(int=3), Colour.RED, Level.HIGH),
    *(pd.Period("2020-01", "M"), pd.Interval(0, 2), pd.Interval(0.5, 2, closed="left")),
)
NESTED: tuple[Any, ...] = (
    *([1, 2], [1.5, None], ["x"], [[1]], (1, 2), (1, "x"), {1}, frozenset({"x"}), [dt.date(2020, 1, 1)], [True], []),
    *({"a": 1}, {"a": "x"}, {"b": None}, {1: 2}, {"a": [np.nan]}, np.array([1, 2]), np.array([1.5, np.nan])),
)

objects = st.lists(st.sampled_from((*MISSING, *NUMBERS, *NUMPY, *TEXTS, *MOMENTS, *OTHERS, *NESTED)), max_size=5)
few_kinds = st.lists(
    st.sampled_from((*MISSING, *NUMBERS, *NUMPY, *TEXTS, *MOMENTS, *OTHERS, *NESTED)), min_size=1, max_size=2
)


def objects_of(values: list[Any]) -> "pd.Series[Any]":
    """Make an object column; pandas must not look into lists."""
    array = np.empty(len(values), object)
    array[:] = [None] * len(values)
    for at, value in enumerate(values):
        array[at] = value
    return pd.Series(array, dtype=object)


DAYS = ("2020-01-01", "2020-01-01 05:06:07", "2020-01-01 05:06:07.5", "1969-12-31 23:59:59.000001")
SPANS = ("1 days", "-1 days +02:00:00", "00:00:00.5", "2 days 00:00:00.000001")
INTEGERS, FLOATS = (0, 1, 7), (0.0, 0.1, 1.0, 1e-5, 65000.0)
ARROW = {
    **dict.fromkeys((pa.int8(), pa.uint64(), pa.int64()), INTEGERS),
    **dict.fromkeys((pa.float32(), pa.float64()), FLOATS),
    **{kind: tuple(map(pd.Timestamp, DAYS)) for kind in (pa.timestamp("us"), pa.timestamp("ns", "Europe/Berlin"))},
    pa.duration("us"): tuple(map(pd.Timedelta, SPANS)),
    pa.bool_(): (True, False),
    pa.string(): ("x", "a,b", ""),
    pa.large_string(): ("x",),
    pa.binary(): (b"raw", b""),
    pa.date32(): (dt.date(2020, 1, 1),),
    pa.time64("us"): (dt.time(1, 2), dt.time(1, 2, 3, 500)),
    pa.decimal128(8, 2): (Decimal("1.10"), Decimal("100000.00")),
    pa.list_(pa.int64()): ([1, 2], []),
    pa.struct([("a", pa.int64())]): ({"a": 1},),
    pa.dictionary(pa.int32(), pa.string()): ("x", "y"),
    pa.null(): (None,),
}


@st.composite
def columns(draw: st.DrawFn) -> "pd.Series[Any]":
    """Draw a column of any dtype, perhaps as categories."""
    series: pd.Series[Any] = draw(st.sampled_from(KINDS).flatmap(lambda kind: kind))
    if draw(st.booleans()):
        # Lists have no hash, and pandas cannot compare each number with each other one.
        with contextlib.suppress(TypeError, ValueError, NotImplementedError, OverflowError):
            values = series.dropna().drop_duplicates()
            categories = pd.Index(values, dtype=values.dtype)
            series = series.astype(pd.CategoricalDtype(categories, ordered=draw(st.booleans())))
    return series


def _typed(dtype: Any, *pool: Any) -> st.SearchStrategy["pd.Series[Any]"]:  # noqa: ANN401 (any dtype, any values)
    return st.lists(st.sampled_from(pool), max_size=5).map(lambda values: pd.Series(values, dtype=dtype))


def _arrow(kind: pa.DataType, pool: tuple[Any, ...]) -> st.SearchStrategy["pd.Series[Any]"]:
    lists = st.lists(st.sampled_from((None, *pool)), max_size=5)
    return lists.map(lambda values: pd.Series(pd.arrays.ArrowExtensionArray(pa.array(values, kind))))


_moments = st.lists(st.sampled_from((None, *DAYS)), max_size=5)
_spans = st.lists(st.sampled_from((None, *SPANS)), max_size=5)
_units = st.sampled_from(["s", "ms", "us", "ns"])
_sparse = st.lists(st.sampled_from((np.nan, *FLOATS)), max_size=5)
_mixed = few_kinds.flatmap(lambda pool: st.lists(st.sampled_from(pool), min_size=1, max_size=4))
KINDS = (
    *[objects.map(objects_of)] * 3,  # more often than any single dtype
    *[_mixed.map(objects_of)] * 9,
    *(_typed(f"{sign}int{bits}", *INTEGERS) for sign in ("", "u") for bits in (8, 16, 32, 64)),
    *(_typed(f"{sign}Int{bits}", None, *INTEGERS) for sign in ("", "U") for bits in (8, 16, 32, 64)),
    *(_typed(f"float{bits}", np.nan, np.inf, *FLOATS) for bits in (16, 32, 64)),
    *(_typed(f"Float{bits}", None, np.inf, *FLOATS) for bits in (32, 64)),
    _typed("bool", True, False),  # noqa: FBT003 (values)
    _typed("boolean", True, False, None),  # noqa: FBT003 (values)
    *(_typed(dtype, "x", "a,b", "", None) for dtype in ("str", "string")),
    _typed("complex128", 1 + 2j, 0j),
    _typed("longdouble", 0.1, 1.0),
    _typed(">i4", *INTEGERS),
    _typed("Sparse[int64]", *INTEGERS),
    _sparse.map(lambda values: pd.Series(pd.arrays.SparseArray(values))),
    st.builds(lambda days, unit: pd.Series(pd.to_datetime(days, format="ISO8601").as_unit(unit)), _moments, _units),
    st.builds(
        lambda days, zone: pd.Series(pd.to_datetime(days, format="ISO8601").tz_localize(zone)),
        _moments,
        st.sampled_from(["UTC", "Europe/Berlin", ZONE]),
    ),
    st.builds(lambda spans, unit: pd.Series(pd.to_timedelta(spans).as_unit(unit)), _spans, _units),
    _typed("period[M]", pd.Period("2020-01", "M"), None),
    _typed("period[h]", pd.Period("2020-01-01 05:00", "h"), None),
    _typed("interval[int64, right]", pd.Interval(0, 2), pd.Interval(2, 4)),
    _typed("interval[float64, left]", pd.Interval(0.0, 2.5, closed="left"), None),
    st.lists(st.sampled_from((1, 3, 9)), max_size=5).map(lambda values: pd.Series(pd.cut(values, [0, 2, 4]))),
    *(_arrow(kind, pool) for kind, pool in ARROW.items()),
)
