"""Dtypes of pandas that a column's Arrow type does not tell: a file's metadata says them to ``pandas.read_parquet``."""

import json
from collections.abc import Collection
from typing import Any, Final

import pyarrow as pa
from pyarrow.pandas_compat import get_logical_type

from .frames import frame_of

DTYPE: Final = b"muster.dtype"
"""Where a field of a piece says which dtype of pandas it had."""

_PANDAS: Final = b"pandas"
_BY_ARROW: Final = "[pyarrow]"
_TEXT: Final = "string"
_MASKED: Final = {
    "bool": "boolean",
    "float": "Float32",
    "double": "Float64",
    **{f"{sign.lower()}int{bits}": f"{sign}Int{bits}" for sign in ("", "U") for bits in (8, 16, 32, 64)},
}
"""pandas' dtypes with a mask, by the names of Arrow's types."""


def untold(dtype: Any) -> str:  # noqa: ANN401 (a dtype of NumPy's or pandas')
    """Name a dtype that its Arrow type alone does not bring back; empty if it does."""
    import pandas as pd

    if isinstance(dtype, pd.StringDtype):
        return _TEXT if dtype.na_value is pd.NA else ""
    if isinstance(dtype, pd.ArrowDtype):
        return _as_read(str(dtype))
    return str(dtype) if str(dtype) in _MASKED.values() else ""


def united(names: Collection[str], kind: pa.DataType) -> str:
    """Find the dtype of a column that has these in its batches, as ``pandas.concat`` would; empty for a plain one.

    ``kind`` is the Arrow type of them all.
    """
    if len(set(names)) == 1:
        return next(iter(names))
    others = set(names) - {""}
    if others <= {_TEXT}:
        return _TEXT if others else ""
    if others <= set(_MASKED.values()):
        return _MASKED.get(str(kind), "")
    return _as_read(f"{kind}{_BY_ARROW}") if all(other.endswith(_BY_ARROW) for other in others) else ""


def _as_read(name: str) -> str:
    """Name a dtype as pandas itself would; empty where pandas knows none by that name, as for some of Arrow's types."""
    import pandas as pd

    try:
        return str(pd.api.types.pandas_dtype(name))
    except (TypeError, ValueError, NotImplementedError):
        return ""


def described(schema: pa.Schema) -> pa.Schema:
    """Say in pandas' own metadata which dtypes the fields have, where one of them has a dtype to tell."""
    names = [(field.metadata or {}).get(DTYPE, b"").decode() for field in schema]
    plain = pa.schema([field.remove_metadata() for field in schema])
    if not any(names):
        return plain
    import pandas as pd

    dtypes = frame_of(plain.empty_table()).dtypes
    columns = [
        {
            "name": field.name,
            "field_name": field.name,
            "pandas_type": get_logical_type(field.type),
            "numpy_type": name or str(dtype),
            "metadata": None,
        }
        for field, name, dtype in zip(plain, names, dtypes, strict=True)
    ]
    creator = {"library": "pyarrow", "version": pa.__version__}
    said = {"index_columns": [], "column_indexes": [], "columns": columns, "creator": creator}
    return plain.with_metadata({_PANDAS: json.dumps({**said, "pandas_version": pd.__version__}).encode()})
