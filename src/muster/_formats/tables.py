"""What a function returned, as an Arrow table: with the values and the header that pandas would write."""

import functools
import warnings
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from muster.errors import DataError

from . import csv_text, jsonl_text
from .cells import numbers_of, one_chunk
from .frames import arrays_of
from .holders import AS_PARQUET, HOLDERS
from .labels import labels_of_header, labels_of_keys, name_of

if TYPE_CHECKING:
    import pandas as pd


def put_together(frames: Sequence[Any]) -> Any:  # noqa: ANN401 (frames of one kind)
    """Put frames below each other, as the one frame of a batch. Raises ``TypeError`` where they are of two kinds."""
    if len(frames) == 1:
        return frames[0]
    libraries = {type(frame).__module__.partition(".")[0] for frame in frames}
    if len(libraries) > 1:
        raise TypeError(f"the function yielded frames of {' and '.join(sorted(libraries))} for one batch")
    if libraries == {"pyarrow"}:
        return pa.concat_tables(frames, promote_options="permissive")
    if libraries == {"polars"}:
        import polars as pl

        return pl.concat(frames, how="diagonal_relaxed")
    import pandas as pd

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # pandas 2.2 would tell the user about this line of ours
        return pd.concat(frames)


def from_result(result: Any, *, use: str) -> pa.Table:  # noqa: ANN401 (frames of three kinds)
    """Make an Arrow table of what a function returned: a pandas or Polars frame, or an Arrow table.

    ``use`` is the output's format, or ``between`` where a later stage reads it, or ``pyarrow`` or ``polars`` where the
    next function asks for that. For text formats, columns that Arrow might bend are text already. Raises ``DataError``
    when ``use`` cannot hold a column or its name.
    """
    import pandas as pd

    if isinstance(result, pd.DataFrame):
        return from_columns(result.columns, arrays_of(result), use=use)
    return _from_arrow(result if isinstance(result, pa.Table) else result.to_arrow(), use)


def from_columns(labels: "pd.Index[Any]", columns: Sequence[Any], *, use: str) -> pa.Table:
    """Make an Arrow table of the columns of a pandas frame, which are arrays of NumPy or pandas. As ``from_result``."""
    if use == "csv":
        return pa.table([_made(column, csv_text.column_of) for column in columns], names=labels_of_header(labels))
    names = labels_of_keys(labels, use=use)
    if use == "jsonl":
        return pa.table([_made(column, jsonl_text.column_of) for column in columns], names=names)
    from . import _arrow_columns, _dtypes

    arrays = [
        _made(column, functools.partial(_arrow_columns.column_of, name=name, holder=use))
        for column, name in zip(columns, names, strict=True)
    ]
    if use not in AS_PARQUET:
        return pa.table(arrays, names=names)
    dtypes = [_dtypes.untold(column.dtype) for column in columns]
    fields = [
        pa.field(name, array.type, metadata={_dtypes.DTYPE: dtype} if dtype else None)
        for name, array, dtype in zip(names, arrays, dtypes, strict=True)
    ]
    return pa.table(arrays, schema=pa.schema(fields))


def _made(column: Any, make: "Callable[[pd.Series[Any]], pa.Array]") -> pa.Array:  # noqa: ANN401 (an array of NumPy or pandas)
    """Make an Arrow array of a column: without a ``Series`` of numbers, which takes longer than a thousand of them."""
    import pandas as pd

    array = numbers_of(column)
    return make(pd.Series(column, dtype=column.dtype, copy=False)) if array is None else array


def _from_arrow(table: pa.Table, use: str) -> pa.Table:
    if use == "csv":
        names = [name_of((name,)) for name in table.column_names]
    else:
        names = labels_of_keys(table.column_names, use=use)
    columns = table.columns
    if use in {"csv", "jsonl"} | AS_PARQUET:
        columns = [_decoded(column) for column in columns]
    if use in AS_PARQUET:
        from . import _arrow_columns

        for name, column in zip(names, columns, strict=True):
            if not _arrow_columns.can_hold(column.type, use):
                raise DataError(
                    f"Column {name!r} of the function's result has the type {column.type}, which {HOLDERS[use].name}"
                    " cannot hold. Cast it to another, for example text."
                )
    return pa.table(columns, names=names)


def _decoded(column: pa.ChunkedArray) -> pa.ChunkedArray:
    if not pa.types.is_dictionary(column.type):
        return column
    return pa.chunked_array([one_chunk(column).dictionary_decode()])
