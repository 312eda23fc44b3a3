"""Rows are the same JSON lines, however many are written at once: those of Python's own encoder, cell by cell."""

import sys
from collections.abc import Callable
from typing import Any, Final

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from muster._formats import jsonl_text
from muster._formats._json import as_json

ROWS: Final = 6

texts = st.text(
    st.one_of(st.sampled_from('"\\\n\r\t\b\f\0\x1f\x7f /ü水🙂\u2028'), st.characters(codec="utf-8")), max_size=8
)
numbers = st.one_of(
    st.floats(),
    st.sampled_from((0.1, -0.0, 1e15, 1e16, 123456789012345680.0, 1e-4, 9.999e-5, 5e-324, 1.7976931348623157e308)),
)


def cells(values: st.SearchStrategy[Any], kind: pa.DataType) -> st.SearchStrategy[pa.Array]:
    rows = st.lists(st.none() | values, min_size=ROWS, max_size=ROWS)
    return rows.map(lambda some: pa.array(some, kind))


def integers(kind: pa.DataType) -> st.SearchStrategy[int]:
    most = 2 ** (kind.bit_width - pa.types.is_signed_integer(kind))
    return st.integers(-most if pa.types.is_signed_integer(kind) else 0, most - 1)


columns = st.one_of(
    *(cells(texts, kind) for kind in (pa.string(), pa.large_string())),
    *(cells(integers(kind), kind) for kind in (pa.int8(), pa.uint16(), pa.int64(), pa.uint64())),
    cells(st.floats(width=16), pa.float16()),
    cells(st.floats(width=32), pa.float32()),
    *(cells(st.none(), kind) for kind in (pa.null(), pa.string(), pa.float64())),
    cells(numbers, pa.float64()),
    cells(st.booleans(), pa.bool_()),
    cells(st.lists(st.none() | numbers, max_size=2), pa.list_(pa.float64())),
)


def by_cell(table: pa.Table) -> bytes:
    """Write rows one cell after another."""
    keys = [as_json(name) for name in table.column_names]
    rows = zip(*(column.to_pylist() for column in table.columns), strict=True)
    return "".join(
        "{" + ",".join(f"{key}:{as_json(cell)}" for key, cell in zip(keys, row, strict=True)) + "}\n" for row in rows
    ).encode()


@settings(max_examples=300, deadline=None)
@given(st.lists(columns, min_size=1, max_size=3), texts, st.integers(0, ROWS), st.integers(0, ROWS))
@example([pa.array(["\\" * 3 + '"\\n', "\n", None, "", "\\u0000", "ü\0"])], 'na"me', 0, ROWS)
def test_cells_written_at_once_are_those_written_one_by_one(
    arrays: list[pa.Array], name: str, first: int, cut: int
) -> None:
    whole = pa.table(arrays, names=[f"{name}{at}" for at in range(len(arrays))]).slice(first)
    chunks = pa.concat_tables([whole.slice(0, cut), whole.slice(cut)])
    assert bytes(jsonl_text.render(chunks, rows=len(chunks))) == by_cell(chunks)


def calls_of(function: Callable[[], object]) -> int:
    """Count the calls of Python's functions that a call makes."""
    counted = 0

    def count(_frame: object, event: str, _given: object) -> None:
        nonlocal counted
        counted += event == "call"

    sys.setprofile(count)
    try:
        function()
    finally:
        sys.setprofile(None)
    return counted


@pytest.mark.parametrize(
    "values",
    [
        ["plain", 'a "quote"', "a\\b", "two\nlines", None],
        [1, -2, 3, 4, 5],
        [0.1, 2.5, None, 1e5, -3.25],
        [True, False, True, True, False],
    ],
    ids=["texts", "integers", "floats", "truths"],
)
def test_no_cell_of_a_common_type_is_written_by_itself(values: list[Any]) -> None:
    def calls(rows: int) -> int:
        table = pa.table({"x": pa.array(values * (rows // len(values)))})
        return calls_of(lambda: jsonl_text.render(table, rows=rows))

    assert calls(10) == calls(10_000)


def test_text_that_is_not_unicode_is_refused() -> None:
    garbled = pa.Array.from_buffers(pa.string(), 1, [*pa.array(["x"]).buffers()[:2], pa.py_buffer(b"\xff")])
    with pytest.raises(ValueError, match="UTF8"):
        jsonl_text.render(pa.table({"x": garbled}), rows=1)


def test_lines_of_a_frame_are_those_of_pandas() -> None:
    frame = pd.DataFrame(
        {
            "id": np.arange(1000),
            "v": np.arange(1000) / 8,
            "note": [None if at % 7 == 0 else f'say "{at}"\n' for at in range(1000)],
            "truth": np.arange(1000) % 2 == 0,
        }
    )
    table = pa.table({name: jsonl_text.column_of(frame[name]) for name in frame})
    expected = frame.to_json(orient="records", lines=True, double_precision=15, force_ascii=False)
    assert bytes(jsonl_text.render(table, rows=1000)).decode() == expected
