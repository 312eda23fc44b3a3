"""The main job, from the command line, as a user would see it."""

import hashlib
from pathlib import Path

import pandas as pd
import pytest

from columns import EXACTLY
from conftest import Muster

CHEAP = """
def cheap(df):
    df["TWICE"] = df["SKU"] * 2 + df["FLUX"]
    df["SHORT"] = df["MANUFACTURER_NAME"].str[:4]
    return df
"""


@pytest.fixture
def cheap(tmp_path: Path) -> str:
    (tmp_path / "cheap.py").write_text(CHEAP)
    return "cheap.py:cheap"


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def expected(seed_rows: Path, path: Path) -> Path:
    frame = pd.read_csv(seed_rows, **EXACTLY)
    frame["TWICE"] = frame["SKU"] * 2 + frame["FLUX"]
    frame["SHORT"] = frame["MANUFACTURER_NAME"].str[:4]
    frame.to_csv(path, index=False)
    return path


@pytest.mark.parametrize("workers", [0, 1, 2, 4])
def test_the_output_is_what_pandas_writes_whatever_the_number_of_workers(
    muster: Muster, tmp_path: Path, seed_rows: Path, cheap: str, workers: int
) -> None:
    ended = muster("run", cheap, seed_rows, "-o", "out.csv", "--workers", str(workers), "--json")
    assert ended.code == 0, ended.err
    assert sha256(tmp_path / "out.csv") == sha256(expected(seed_rows, tmp_path / "pandas.csv"))
    assert ended.json["rows_in"] == ended.json["rows_out"] == 20_000
    assert not (tmp_path / "out.csv.muster").exists()
