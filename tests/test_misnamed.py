"""A file that is named as text and holds something else: said by its first bytes, with what to do."""

import bz2
import gzip
import io
import lzma
import zipfile
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from conftest import Muster

TEXT = b"a,b\n" + b"1,2\n" * 50


def zipped(text: bytes, name: str = "in.csv") -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as packed:
        packed.writestr(name, text)
    return made.getvalue()


def parquet(text: bytes) -> bytes:
    return bytes(pd.read_csv(io.BytesIO(text)).to_parquet())


@pytest.mark.parametrize("name", ["in.csv", "in.jsonl"])
@pytest.mark.parametrize(
    ("made", "says"),
    [
        (gzip.compress, "is packed by gzip, and its name does not say so. Rename it to '{name}.gz'"),
        (bz2.compress, "Rename it to '{name}.bz2'"),
        (lzma.compress, "Rename it to '{name}.xz'"),
        (lambda text: b"\x28\xb5\x2f\xfd" + text, "Rename it to '{name}.zst'"),
        (zipped, "Rename it to '{name}.zip'"),
        (lambda text: zipped(text, "xl/workbook.xml"), "is an Excel workbook. Save it as CSV"),
        (lambda text: b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + text, "is an Excel workbook"),
        (parquet, "is no text, but Parquet. Give it a name that says so, such as 'in.parquet'"),
    ],
)
def test_what_a_misnamed_file_is_and_what_to_do_is_said(
    muster: Muster, tmp_path: Path, made: Callable[[bytes], bytes], says: str, name: str
) -> None:
    (tmp_path / "f.py").write_text("def f(df):\n    return df\n")
    (tmp_path / name).write_bytes(made(TEXT))
    ended = muster("run", "f.py:f", name, "-o", "out.csv", "--workers", "0")
    assert ended.code == 2, ended.err
    assert says.format(name=name) in ended.err
    assert not (tmp_path / "out.csv").exists()


@pytest.mark.parametrize("header", ["BZh9", "PAR1", "PK"])
def test_text_that_begins_as_such_a_file_is_text(muster: Muster, tmp_path: Path, header: str) -> None:
    (tmp_path / "f.py").write_text("def f(df):\n    return df\n")
    (tmp_path / "in.csv").write_text(f"{header},b\n1,2\n")
    assert muster("run", "f.py:f", "in.csv", "-o", "out.csv", "--workers", "0").code == 0
    assert (tmp_path / "out.csv").read_text() == f"{header},b\n1,2\n"
