"""Parquet that muster writes is read by pandas with the dtypes that it would have written itself."""

import io
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow.parquet as pq
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

import muster
from columns import columns
from muster import DataError
from muster._formats import parquet, parquet_schema
from muster._formats.results import reply_of


def read_back(*batches: pd.DataFrame) -> pd.DataFrame:
    """Write batches as the pieces of a run, and read the whole as a user would."""
    pieces = [parquet_schema.piece([reply_of(batch, use="parquet")]) for batch in batches]
    schema = parquet_schema.shared([piece.schema for piece in pieces])
    files = [parquet.render(parquet_schema.typed(piece, schema)) for piece in pieces]
    return pd.concat([pd.read_parquet(io.BytesIO(file)) for file in files], ignore_index=True)


def read_from_pandas(frame: pd.DataFrame) -> pd.DataFrame:
    file = io.BytesIO()
    frame.to_parquet(file, index=False)
    return pd.read_parquet(file)


@settings(max_examples=100, deadline=None)
@given(series=columns(), cut=st.integers(0, 5))
def test_any_column_has_the_dtype_that_pandas_reads_from_its_own_file(series: "pd.Series[Any]", cut: int) -> None:
    assume(not isinstance(series.dtype, pd.CategoricalDtype))
    frame = pd.DataFrame({"x": series, "y": 1})
    try:
        ours, theirs = read_back(frame.iloc[:cut], frame.iloc[cut:]), read_from_pandas(frame)
    except (DataError, TypeError, ValueError, NotImplementedError, ArithmeticError):  # one of both refuses the column
        return
    if str(series.dtype) != "object":
        assert str(ours["x"].dtype) == str(theirs["x"].dtype)


@pytest.mark.parametrize(
    ("dtypes", "expected"),
    [
        (("Int8", "Int64"), "Int64"),
        (("Int64", "int64"), "Int64"),
        (("Int64", "Float32"), "Float64"),
        (("Int64", "float64"), "Float64"),
        (("boolean", "bool"), "boolean"),
        (("int64[pyarrow]", "int8[pyarrow]"), "int64[pyarrow]"),
        (("int64", "int64"), "int64"),
    ],
)
def test_dtypes_of_several_batches_become_one_as_in_a_concat_of_pandas(dtypes: list[str], expected: str) -> None:
    batches = [pd.DataFrame({"x": pd.Series([1, 0], dtype=dtype)}) for dtype in dtypes]
    assert str(read_back(*batches)["x"].dtype) == expected
    assert str(pd.concat(batches)["x"].dtype) == expected


def test_a_batch_without_values_or_without_the_column_leaves_the_dtype_to_the_others() -> None:
    some = pd.DataFrame({"y": [1], "x": pd.array([2], "Int64"), "z": pd.array(["a"], "string")})
    none = pd.DataFrame({"y": [3], "x": [None], "z": [None]})
    for batches in ([some, none], [none, some], [some, none[["y"]]], [some, some.iloc[:0].astype(object)]):
        whole = read_back(*batches)
        assert [str(dtype) for dtype in whole.dtypes] == ["int64", "Int64", "string"]


def test_a_run_writes_dtypes_that_pandas_reads_and_none_where_the_types_tell_all(tmp_path: Path) -> None:
    rows, output = tmp_path / "in.csv", tmp_path / "out.parquet"
    rows.write_text("n,t\n1,x\n2,y\n3,z\n")
    muster.run(lambda df: df.assign(n=df.n.astype("Int64"), t=df.t.astype("string")), rows, output, workers=0)
    assert [str(dtype) for dtype in pd.read_parquet(output).dtypes] == ["Int64", "string"]
    muster.run(lambda df: df, rows, output, workers=0, fresh=True)
    assert b"pandas" not in (pq.read_schema(output).metadata or {})
