"""Equal keys have the same hash, of whatever type and width they are, and in every process: so they share a lane."""

import datetime as dt
import itertools
import math
import subprocess
import sys
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from muster import DataError
from muster._formats.keys import hashes, lanes, missing

Number = int | float | bool | Decimal
ZONES = (None, "UTC", "Europe/Berlin", "+05:30")
KNOWN = [9465117046696855685, 2551227311605575073, 15002643425695671927]
"""Hashes that never change: the lanes of an unfinished run are those of the muster that goes on with it."""

NUMBERS = (
    *(pa.int8(), pa.int16(), pa.int32(), pa.int64(), pa.uint8(), pa.uint16(), pa.uint32(), pa.uint64(), pa.bool_()),
    *(pa.float32(), pa.float64(), pa.decimal128(38, 0), pa.decimal128(38, 5), pa.decimal256(60, 10)),
)
TEXTS = (pa.string(), pa.large_string(), pa.dictionary(pa.int8(), pa.string()))
MOMENTS = tuple(pa.timestamp(unit, zone) for unit in ("s", "ms", "us", "ns") for zone in ZONES)
SPANS = tuple(map(pa.duration, ("s", "ms", "us", "ns")))

numbers = st.one_of(
    st.sampled_from((0, 1, -1, 255, 2**53 + 1, 2**63 - 1, 2**63, 2**64 - 1, -(2**63), 0.0, -0.0, 0.5, 1e300, math.inf)),
    *(st.integers(-(2**63), 2**64 - 1), st.floats(allow_nan=False), st.booleans(), st.integers()),
    st.decimals(allow_nan=False, allow_infinity=False, min_value=-(10**20), max_value=10**20, places=3),
)


def hash_of(value: object, kind: pa.DataType, type_name: str = "") -> int:
    return int(hashes([(pa.chunked_array([pa.array([value], kind)]), type_name)])[0])


def held(value: object, kinds: tuple[pa.DataType, ...]) -> list[pa.DataType]:
    """List the types that hold a value exactly."""
    exact = []
    for kind in kinds:
        try:
            if pa.array([value], kind)[0].as_py() == value:
                exact.append(kind)
        except (pa.ArrowInvalid, pa.ArrowTypeError, TypeError, OverflowError, ValueError):
            pass
    return exact


def of_every_type(value: Number) -> set[int]:
    """Hash a number in every type that holds what is equal to it."""
    found = set[int]()
    for same in (value, *(kind(value) for kind in (int, float, Decimal, bool) if is_same(kind, value))):
        found |= {hash_of(same, kind) for kind in held(same, NUMBERS)}
    if is_same(int, value):
        found.add(hash_of(str(int(value)), pa.string(), "bigint"))
        found.add(hash_of(str(int(value)), pa.string(), "object"))
    return found


def is_same(kind: Callable[[Number], object], value: Number) -> bool:
    try:
        return bool(kind(value) == value)
    except (OverflowError, ValueError):
        return False


@given(numbers)
def test_a_number_has_one_hash_in_every_type_that_holds_it(value: Number) -> None:
    assert len(of_every_type(value)) <= 1


@given(numbers, numbers)
def test_numbers_that_python_takes_for_equal_have_the_same_hash(one: Number, other: Number) -> None:
    if one == other:
        assert of_every_type(one) == of_every_type(other)


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_text_has_one_hash_in_every_type_that_holds_it(value: str) -> None:
    assert len({hash_of(value, kind) for kind in TEXTS}) == 1


def test_text_is_equal_where_its_code_points_are_and_a_number_is_no_text() -> None:
    whole, put_together = "\u00e9", "e\u0301"
    assert hash_of(whole, pa.string()) != hash_of(put_together, pa.string())
    assert hash_of("1", pa.string()) != hash_of(1, pa.int64())


@given(st.datetimes(dt.datetime(1700, 1, 1), dt.datetime(2200, 1, 1)))  # noqa: DTZ001 (the zone comes with the type)
def test_one_instant_has_one_hash_however_fine_its_column_and_whatever_its_zone(moment: dt.datetime) -> None:
    aware = moment.replace(tzinfo=dt.UTC)
    found = {hash_of(aware, kind) for kind in MOMENTS if kind.tz and (kind.unit != "s" or not moment.microsecond)}
    exact = [kind for kind in MOMENTS if kind.tz and held(aware, (kind,))]
    assert len({hash_of(aware, kind) for kind in exact}) == 1
    assert found


@given(st.timedeltas(dt.timedelta(-(10**4)), dt.timedelta(10**4)))
def test_a_time_span_has_one_hash_however_fine_its_column(span: dt.timedelta) -> None:
    assert len({hash_of(span, kind) for kind in held(span, SPANS)}) == 1


def test_all_missing_values_are_one_key() -> None:
    kinds = (*NUMBERS, *TEXTS, *MOMENTS, *SPANS, pa.null())
    found = {hash_of(None, kind) for kind in kinds} | {
        hash_of(float("nan"), kind) for kind in (pa.float32(), pa.float64())
    }
    assert len(found) == 1
    assert missing([pa.chunked_array([[1.0, float("nan"), None]]), pa.chunked_array([["a", "b", "c"]])]).tolist() == [
        *(False, True, True),
    ]


@given(st.lists(st.tuples(st.sampled_from((1, 2, None)), st.sampled_from(("a", "b", None))), min_size=1, max_size=9))
def test_a_key_of_several_columns_depends_on_each_and_on_their_order(keys: list[tuple[Any, Any]]) -> None:
    first, second = (pa.chunked_array([list(one)]) for one in zip(*keys, strict=True))
    hashed = hashes([(first, ""), (second, "")]).tolist()
    for one, other in itertools.combinations(range(len(keys)), 2):
        assert (hashed[one] == hashed[other]) == (keys[one] == keys[other])
    assert (hashes([(first, ""), (first, "")]) != hashes([(first, "")])).all()


@given(st.lists(st.sampled_from((0, 1, 1.0, -0.0, True, 2**63, 0.5, None, float("nan"), "1", "a", b"a")), max_size=12))
def test_what_pandas_puts_into_one_group_has_one_hash(values: list[Any]) -> None:
    codes = pd.Series(range(len(values))).groupby(pd.Series(values, dtype=object), dropna=False, sort=False).ngroup()
    by_code: dict[int, set[int]] = {}
    for code, value in zip(codes.tolist(), values, strict=True):
        kind = pa.uint64() if value == 2**63 else pa.array([value]).type
        by_code.setdefault(code, set()).add(hash_of(value, kind))
    assert all(len(hashed) == 1 for hashed in by_code.values())


def test_hashes_are_the_same_in_another_process() -> None:
    script = (
        "import pyarrow as pa; from muster._formats.keys import hashes;"
        "texts, numbers = pa.chunked_array([['a', 'é', None]]), pa.chunked_array([[1.5, 2.0, 3.0]]);"
        "print(hashes([(texts, ''), (numbers, '')]).tolist())"
    )
    ran = [
        subprocess.run(
            [sys.executable, "-c", script], check=True, capture_output=True, text=True, env={"PYTHONHASHSEED": seed}
        )
        for seed in ("1", "2")
    ]
    assert ran[0].stdout == ran[1].stdout == f"{KNOWN}\n"


def test_keys_are_spread_over_all_lanes() -> None:
    for cells in ([*range(20_000)], [float(at) for at in range(20_000)], [f"user-{at}" for at in range(20_000)]):
        counts = np.bincount(lanes(hashes([(pa.chunked_array([cells]), "")])), minlength=256)
        assert counts.min() > 40
        assert counts.max() < 130


def test_what_cannot_be_a_key_is_refused_in_words() -> None:
    with pytest.raises(DataError, match=r"cannot be grouped by 'k', a column of the type list.*=df\['k'\]"):
        hashes([(pa.chunked_array([[1]]), ""), (pa.chunked_array([[[1]]]), "")], ["j", "k"])
    with pytest.raises(DataError, match="a list is no key"):
        hash_of("[1]", pa.string(), "object")
