"""What is kept of the values of a column, of each group: for some rows alone, or put together for all of them.

Each is made of columns of its own, which have a row for each group. What is kept of rows here and of rows there comes
together to what would have been kept of all, whatever rows were where.
"""

from collections.abc import Mapping
from functools import cached_property
from typing import Final, Protocol

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from muster._formats.cells import one_chunk
from muster._model import Column

from .codes import Codes, codes_of, firsts_of, lasts_of
from .exact import Exact

Columns = Mapping[str, pa.Array]


class Cells:
    """The values of a column, in rows of some groups."""

    def __init__(self, cells: pa.Array, column: Column) -> None:
        """Take them; a float that is no number is missing."""
        is_nan = pa.types.is_floating(cells.type) and pc.any(pc.is_nan(cells)).as_py()
        self.array = pc.if_else(pc.is_nan(cells), pa.scalar(None, cells.type), cells) if is_nan else cells
        self.column = column

    @cached_property
    def rows(self) -> np.ndarray | None:
        """Name the rows that have a value; ``None`` where all have."""
        if not self.array.null_count:
            return None
        return np.flatnonzero(self.array.is_valid().to_numpy(zero_copy_only=False))

    def of_them(self, codes: Codes) -> Codes:
        """Keep the codes of the rows that have a value."""
        return codes if self.rows is None else codes[self.rows]

    @cached_property
    def numbers(self) -> np.ndarray:
        """Give the values of the rows that have one, as numbers; of moments, how many units they count."""
        cells, kind = self.array.drop_null(), self.array.type
        if pa.types.is_temporal(kind):
            cells = cells.cast(pa.int64())
        return np.asarray(cells.to_numpy(zero_copy_only=False))


class Partial(Protocol):
    """One sort of what is kept."""

    name: str

    def of_rows(self, cells: Cells, codes: Codes, groups: int) -> Columns:
        """Make it of rows, each in the group that its code says."""

    def together(self, columns: Columns, column: Column, codes: Codes, groups: int) -> Columns:
        """Make it of what was kept elsewhere, in the order of the input."""


class Size:
    """How many rows there are."""

    name = "size"

    def of_rows(self, cells: Cells, codes: Codes, groups: int) -> Columns:
        """Count them."""
        del cells
        return {"n": pa.array(np.bincount(codes, minlength=groups))}

    def together(self, columns: Columns, column: Column, codes: Codes, groups: int) -> Columns:
        """Add up the counts."""
        del column
        return {"n": pa.array(np.bincount(codes, np.asarray(columns["n"]), minlength=groups).astype(np.int64))}


class Count(Size):
    """How many rows have a value."""

    name = "count"

    def of_rows(self, cells: Cells, codes: Codes, groups: int) -> Columns:
        """Count them."""
        return super().of_rows(cells, cells.of_them(codes), groups)


class Truths(Size):
    """How many values are true, as Python takes them."""

    name = "truths"

    def of_rows(self, cells: Cells, codes: Codes, groups: int) -> Columns:
        """Count them."""
        return super().of_rows(cells, cells.of_them(codes)[cells.numbers != 0], groups)


class Sum:
    """The exact sum."""

    name = "sum"

    def of_rows(self, cells: Cells, codes: Codes, groups: int) -> Columns:
        """Add the values."""
        exact = Exact(groups)
        self._add(exact, cells.numbers, cells.of_them(codes))
        return {name: pa.array(numbers) for name, numbers in exact.columns().items()}

    def _add(self, exact: Exact, numbers: np.ndarray, codes: Codes) -> None:
        if numbers.dtype.kind == "f":
            exact.add_floats(numbers, codes)
        else:
            exact.add_integers(numbers, codes)

    def together(self, columns: Columns, column: Column, codes: Codes, groups: int) -> Columns:
        """Add the sums."""
        del column
        return {name: pa.array(numbers) for name, numbers in exact_of(columns, codes, groups).columns().items()}


class Squares(Sum):
    """The exact sum of the squares."""

    name = "squares"

    def _add(self, exact: Exact, numbers: np.ndarray, codes: Codes) -> None:
        exact.add_squares(numbers, codes)


def exact_of(columns: Columns, codes: Codes | None = None, groups: int | None = None) -> Exact:
    """Make exact sums of columns: of those of groups that some rows are of, or of one row for each group."""
    numbers = {name: np.asarray(column.fill_null(0)) for name, column in columns.items()}
    if codes is None:
        groups = len(next(iter(numbers.values()), ()))
        codes = np.arange(groups)
    return Exact.together(numbers, codes, groups or 0)


class DecimalSum:
    """The sum of decimals, in as many digits as there can be."""

    name = "decimals"

    def of_rows(self, cells: Cells, codes: Codes, groups: int) -> Columns:
        """Add the values."""
        wide = pa.decimal256(_MOST_DIGITS, cells.array.type.scale)
        return {"v": _by_arrow(cells.array.cast(wide), codes, groups, "sum")}

    def together(self, columns: Columns, column: Column, codes: Codes, groups: int) -> Columns:
        """Add the sums."""
        return self.of_rows(Cells(columns["v"], column), codes, groups)


_MOST_DIGITS: Final = 76
"""Of Arrow's ``decimal256``."""


class _Value:
    """One value of each group; none where there is none."""

    name = ""

    def of_rows(self, cells: Cells, codes: Codes, groups: int) -> Columns:
        """Choose among the values of each group."""
        return {"v": self.chosen(cells, codes, groups)}

    def together(self, columns: Columns, column: Column, codes: Codes, groups: int) -> Columns:
        """Choose among those that were chosen."""
        return self.of_rows(Cells(columns["v"], column), codes, groups)

    def chosen(self, cells: Cells, codes: Codes, groups: int) -> pa.Array:
        raise NotImplementedError


class First(_Value):
    """The first value."""

    name = "first"

    def chosen(self, cells: Cells, codes: Codes, groups: int) -> pa.Array:
        """Take it."""
        return _taken(cells.array, firsts_of(codes, groups, cells.rows))


class Last(_Value):
    """The last value."""

    name = "last"

    def chosen(self, cells: Cells, codes: Codes, groups: int) -> pa.Array:
        """Take it."""
        rows = np.arange(len(codes)) if cells.rows is None else cells.rows
        return _taken(cells.array, lasts_of(codes, groups, rows))


class Least(_Value):
    """The least value; of those that are equal, the first."""

    name = "min"

    def chosen(self, cells: Cells, codes: Codes, groups: int) -> pa.Array:
        """Choose it."""
        array = cells.array
        if pa.types.is_dictionary(array.type):  # whose categories stand in their order
            codes_of_values = Cells(array.indices, cells.column)
            chosen = self.chosen(codes_of_values, codes, groups)
            return pa.DictionaryArray.from_arrays(chosen, array.dictionary, ordered=array.type.ordered)
        if pa.types.is_duration(array.type):  # of which Arrow knows no least one
            counted = Cells(array.cast(pa.int64()), cells.column)
            return self.chosen(counted, codes, groups).cast(array.type)
        if pa.types.is_float16(array.type):  # likewise
            wider = Cells(array.cast(pa.float32()), cells.column)
            return self.chosen(wider, codes, groups).cast(array.type)
        best = _by_arrow(array, codes, groups, self.name)
        if pa.types.is_floating(array.type) and _has_negative_zero(array):
            is_best = pc.equal(array, best.take(pa.array(codes))).fill_null(fill_value=False)
            rows = np.flatnonzero(is_best.to_numpy(zero_copy_only=False))
            return _taken(array, firsts_of(codes, groups, rows))
        return best


class Greatest(Least):
    """The greatest value; of those that are equal, the first."""

    name = "max"


class Distinct:
    """The values that differ, each of them once."""

    name = "distinct"

    def of_rows(self, cells: Cells, codes: Codes, groups: int) -> Columns:
        """List them, in the order in which they appear in each group."""
        rows = _firsts_of_pairs(cells, codes)
        rows = rows[np.argsort(codes[rows], kind="stable")]
        offsets = np.searchsorted(codes[rows], np.arange(groups + 1))
        return {"v": pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), cells.array.take(pa.array(rows)))}

    def together(self, columns: Columns, column: Column, codes: Codes, groups: int) -> Columns:
        """Put the lists together."""
        lists = columns["v"]
        own = np.repeat(codes, np.diff(np.asarray(lists.offsets)))
        return self.of_rows(Cells(lists.flatten(), column), own, groups)


def _firsts_of_pairs(cells: Cells, codes: Codes) -> np.ndarray:
    """Name the first row of each value in each group."""
    rows = np.arange(len(codes)) if cells.rows is None else cells.rows
    values = codes_of(pa.chunked_array([cells.array.take(pa.array(rows))]), cells.column)
    pairs = codes[rows] * (int(values.max(initial=0)) + 1) + values
    is_again = pd.Series(pairs).duplicated().to_numpy()
    return rows[~is_again]


def _by_arrow(cells: pa.Array, codes: Codes, groups: int, how: str) -> pa.Array:
    table = pa.table({"code": codes, "v": cells})
    grouped = pa.TableGroupBy(table, "code", use_threads=False).aggregate([("v", how)])
    places = np.full(groups, -1)
    places[np.asarray(grouped.column("code"))] = np.arange(len(grouped))
    return _taken(one_chunk(grouped.column(f"v_{how}")), places)


def _taken(cells: pa.Array, rows: np.ndarray) -> pa.Array:
    """Take rows; none where the number is -1."""
    return cells.take(pa.array(rows, pa.int64(), mask=rows < 0))


def _has_negative_zero(cells: pa.Array) -> bool:
    numbers = cells.to_numpy(zero_copy_only=False)
    return bool((np.signbit(numbers) & (numbers == 0)).any())
