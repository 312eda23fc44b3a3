"""How many rows may be bad: a number, a share of all, or neither said."""

import gzip
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

import muster
from muster._progress.allowance import Allowance


@pytest.mark.parametrize(
    ("chosen", "rows", "allowed"),
    [
        (None, 5, 10),
        (None, 100, 10),
        (None, 500, 50),
        (None, 9_990, 999),
        (None, 1_000_000, 1000),
        (7, 3, 7),
        (0, 1000, 0),
        ("25", 10, 25),
        ("1%", 1000, 10),
        ("0.5%", 1000, 5),
        ("0.5%", 100, 0),
        ("100%", 60, 60),
        (0.01, 1000, 10),
        (0.29, 100, 29),
    ],
)
def test_a_number_a_share_or_nothing_says_how_many(chosen: float | str | None, rows: int, allowed: int) -> None:
    assert Allowance.of(chosen).rows(rows, is_all=True) == allowed


@pytest.mark.parametrize("chosen", [-1, "-1", "many", "101%", "%", 1.5, 1.0, 0.0, True, [1], "1 %"])
def test_what_is_neither_a_number_nor_a_share_is_a_usage_error(tmp_path: Path, chosen: Any) -> None:  # noqa: ANN401 (what no type checker lets through)
    (tmp_path / "in.csv").write_text("a\n1\n")
    with pytest.raises(muster.UsageError, match="max_bad_rows"):
        muster.run(lambda frame: frame, tmp_path / "in.csv", tmp_path / "out.csv", max_bad_rows=chosen)


@given(known=st.integers(0, 100_000), more=st.integers(0, 100_000), share=st.floats(0.001, 0.999))
def test_no_row_stops_a_run_that_the_whole_input_would_allow_among_the_first(
    known: int, more: int, share: float
) -> None:
    allowance = Allowance.of(share)
    assert allowance.rows(known, is_all=False) >= allowance.rows(min(known, 10_000), is_all=True)
    assert allowance.rows(known, is_all=True) <= allowance.rows(known + more, is_all=True)


def some_bad(frame: pd.DataFrame) -> pd.DataFrame:
    if (frame["n"] % 5 == 0).any():
        raise ValueError("a fifth of them is bad")
    return frame


@pytest.mark.parametrize("name", ["in.csv", "in.csv.gz"])
def test_a_run_stops_where_more_than_a_tenth_is_bad_and_goes_on_where_more_may_be(tmp_path: Path, name: str) -> None:
    data = "".join(f"{n}\n" for n in range(500)).encode()
    (tmp_path / name).write_bytes(gzip.compress(b"n\n" + data) if name.endswith("gz") else b"n\n" + data)
    with pytest.raises(muster.TooManyBadRowsError, match="50 are allowed"):
        muster.run(some_bad, tmp_path / name, tmp_path / "out.csv", workers=0)
    assert not (tmp_path / "out.csv").exists()
    result = muster.run(some_bad, tmp_path / name, tmp_path / "out.csv", workers=0, max_bad_rows="20%")
    assert (result.rows_out, result.bad_rows) == (400, 100)
