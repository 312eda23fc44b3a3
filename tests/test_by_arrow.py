"""What Arrow reads of CSV by itself is what is read cell by cell, which is slower and exact."""

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from muster._dialects import Dialect, Reading
from muster._formats import csv
from muster._formats._arrow_text import ArrowText
from muster._formats._by_arrow import by_arrow
from muster._formats._by_cell import by_cell, decode
from muster._formats.rows import Rows
from muster._model import Column

NUMBERS = ("1", "-7", "+3", " 5 ", "", "1.5", "1e3", "inf", "99999999999999999999")
HEXADECIMAL = ("0x10", "0X1f", "-0x1", " 0x2", '"0x3"', "10x", "x0x1", "0x", "0xg", "a 0x1", '"x\n0x1"')
KINDS = {
    "int64": frozenset({"integer"}),
    "float64": frozenset({"decimal"}),
    "str": frozenset({"text"}),
    "int8": frozenset[str](),
    "uint64": frozenset[str](),
}
TEXTS_BEHIND = b"x" * 70_000
"""So much that cells behind it are looked at apart."""


def columns_of(kinds: tuple[str, ...]) -> tuple[Column, ...]:
    return tuple(Column(f"c{at}", KINDS[kind], fixed="" if KINDS[kind] else kind) for at, kind in enumerate(kinds))


def by_cells(text: ArrowText, columns: tuple[Column, ...]) -> Rows:
    raw, _ = text.cells([column.name for column in columns])
    rows = Rows(raw, pa.array(range(len(raw))).to_numpy())
    decode(rows)
    return by_cell(rows, columns, Reading())


@settings(max_examples=500, deadline=None)
@given(
    kinds=st.tuples(*[st.sampled_from(list(KINDS))] * 3),
    rows=st.lists(st.tuples(*[st.sampled_from((*NUMBERS, *HEXADECIMAL, "abc"))] * 3), min_size=1, max_size=3),
    long=st.booleans(),
)
def test_what_arrow_reads_is_what_is_read_cell_by_cell(
    kinds: tuple[str, ...], rows: list[tuple[str, ...]], *, long: bool
) -> None:
    data = "".join(f"{','.join(cells)},\n" for cells in rows).encode()
    data = b"1,1,1," + TEXTS_BEHIND + b"\n" + data if long else data
    columns = (*columns_of(kinds), Column("c3", KINDS["str"]))
    text = ArrowText(data, [column.name for column in columns], Dialect(), Reading())
    try:
        table = by_arrow(text, columns, Reading())
    except pa.ArrowInvalid:
        return
    if table is not None:
        expected = by_cells(text, columns)
        assert not expected.bad
        assert not expected.misfits
        assert table.combine_chunks().equals(expected.table.combine_chunks())


@pytest.mark.parametrize("cell", ["0x10", '"0X10"', "0x8ba1f109551bD432803012645Ac136ddd64DBA72"])
def test_text_that_begins_like_a_hexadecimal_number_is_read_by_arrow(cell: str) -> None:
    columns = (Column("n", KINDS["int64"]), Column("t", KINDS["str"]), Column("f", KINDS["float64"]))
    text = ArrowText(f"1,{cell},0.5\n".encode() * 3, ["n", "t", "f"], Dialect(), Reading())
    table = by_arrow(text, columns, Reading())
    assert table is not None
    assert table["t"].to_pylist() == [cell.strip('"')] * 3


@pytest.mark.parametrize("kind", ["int64", "uint64", "int8"])
@pytest.mark.parametrize("cell", ["0x10", "0X10", '"0x1"', " 0x1"])
def test_an_integer_that_is_hexadecimal_is_not_read_as_a_number(kind: str, cell: str) -> None:
    rows = csv.read(f"1\n{cell}\n".encode(), row=0, order=["c0"], columns=columns_of((kind,)), dialect=Dialect())
    assert rows.misfits or list(rows.bad) == [1]
