"""Where there is nothing to write, the output is what pandas writes of nothing, and every row is accounted for."""

import gzip
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import muster

Function = Callable[[pd.DataFrame], pd.DataFrame]


def same(frame: pd.DataFrame) -> pd.DataFrame:
    return frame


def no_rows(frame: pd.DataFrame) -> pd.DataFrame:
    return frame[frame.index < 0].assign(m=1.5)


def no_columns(frame: pd.DataFrame) -> pd.DataFrame:
    return frame[[]]


def nothing(frame: pd.DataFrame) -> pd.DataFrame:
    return frame[[]].head(0)


def no_columns_at_first(frame: pd.DataFrame) -> pd.DataFrame:
    return frame[[]] if 0 in frame.index else frame


def bad_or_nothing(frame: pd.DataFrame) -> pd.DataFrame:
    if 0 in frame.index:
        raise ValueError("no")
    return frame[frame.index < 0]


def as_csv(frame: pd.DataFrame) -> bytes:
    """Write as pandas does; of a frame without columns and rows nothing is known, not even that there is a header."""
    return frame.to_csv(index=False).encode() if frame.shape != (0, 0) else b""


CASES = {
    "no byte": (b"", same, pd.DataFrame()),
    "a header alone": (b"n,t\n", same, pd.DataFrame(columns=["n", "t"])),
    "a header alone, and a new column": (b"n,t\n", no_rows, pd.DataFrame(columns=["n", "t", "m"])),
    "every row dropped": (b"n,t\n1,x\n2,y\n", no_rows, pd.DataFrame(columns=["n", "t", "m"])),
    "every row bad or dropped": (b"n,t\n1,x\n2,y\n", bad_or_nothing, pd.DataFrame(columns=["n", "t"])),
    "every row unreadable": (b"n,t\n1\n2\n", same, pd.DataFrame(columns=["n", "t"])),
    "rows without columns": (b"n,t\n1,x\n2,y\n", no_columns, pd.DataFrame(index=range(2))),
    "nothing for every batch": (b"n,t\n1,x\n2,y\n", nothing, pd.DataFrame()),
    "columns for some rows": (
        b"n,t\n1,x\n2,y\n",
        no_columns_at_first,
        pd.DataFrame({"n": [None, 2.0], "t": [None, "y"]}),
    ),
}


@pytest.mark.parametrize("suffix", ["csv", "csv.gz", "parquet"])
@pytest.mark.parametrize(("data", "function", "whole"), CASES.values(), ids=CASES)
def test_what_pandas_writes_of_nothing_is_the_output(
    tmp_path: Path, data: bytes, function: Function, whole: pd.DataFrame, suffix: str
) -> None:
    (tmp_path / "in.csv").write_bytes(data)
    output = tmp_path / f"out.{suffix}"
    result = muster.run(function, tmp_path / "in.csv", output, workers=0, batch_rows=1)
    if suffix == "parquet":
        table = pq.read_table(output)
        assert (table.num_rows, table.column_names) == (len(whole) if len(whole.columns) else 0, list(whole.columns))
        assert result.rows_out == table.num_rows
    else:
        written = output.read_bytes()
        assert (gzip.decompress(written) if suffix == "csv.gz" else written) == as_csv(whole)
        assert result.rows_out == len(whole)
    rejects = Path(result.rejects).read_text().splitlines() if result.rejects else []
    assert len(rejects) == result.bad_rows
    assert result.rows_in == data.count(b"\n") - bool(data)


@pytest.mark.parametrize("suffix", ["jsonl", "parquet", "csv"])
def test_objects_without_a_key_are_rows(tmp_path: Path, suffix: str) -> None:
    (tmp_path / "in.jsonl").write_text("{}\n{}\n")
    result = muster.run(same, tmp_path / "in.jsonl", tmp_path / f"out.{suffix}", workers=0)
    assert (result.rows_in, result.rows_out) == (2, 0 if suffix == "parquet" else 2)
    if suffix != "parquet":
        expected = b"{}\n{}\n" if suffix == "jsonl" else pd.DataFrame(index=range(2)).to_csv(index=False).encode()
        assert (tmp_path / f"out.{suffix}").read_bytes() == expected


def test_every_file_of_a_parquet_folder_has_the_schema_of_all(tmp_path: Path) -> None:
    """Where an input is large, the first rows of it fill a file of their own."""
    numbers = pa.table({"n": pa.array(range(3 << 20))})
    pq.write_table(numbers, tmp_path / "in.parquet")

    def late(frame: pd.DataFrame) -> pd.DataFrame:
        return frame.iloc[:1].assign(m="late") if frame["n"].iloc[-1] == (3 << 20) - 1 else frame.iloc[:1]

    muster.run(late, tmp_path / "in.parquet", f"{tmp_path}/out/", workers=0)
    files = sorted((tmp_path / "out").glob("*.parquet"))
    assert len(files) > 1
    assert {str(pq.read_schema(file)) for file in files} == {"n: int64\nm: large_string"}
    assert pq.read_table(files[-1])["m"].to_pylist()[-1] == "late"
