"""A function that takes each row by itself gives what pandas writes of the whole, in any batches."""

from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import muster

CELLS: Final[dict[str, tuple[Any, ...]]] = {
    "whole": (1, -(2**62), None),
    "number": (1, 0.5, None),
    "truth": (True, False, None),
    "text": ("x", 'a,"b"', None),
    "day": (pd.Timestamp("2020-01-01"), pd.Timestamp("1999-12-31"), None),
    "moment": (pd.Timestamp("2020-01-01"), pd.Timestamp("2020-01-01 10:00:00.5"), None),
    "span": (pd.Timedelta("1 days"), pd.Timedelta("00:00:01"), None),
    "date": (date(2020, 1, 1), None),
    "money": (Decimal("0.10"), Decimal("1000.5"), None),
    "list": ([1], [], None),
}
"""What a function may return under each name."""

cells = {name: st.sampled_from(values) for name, values in CELLS.items()}
rows = st.lists(st.fixed_dictionaries({}, optional=cells).filter(bool), min_size=1, max_size=7)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("batches")


def written(folder: Path, rows: list[dict[str, Any]], batch_rows: int | None, output: str) -> bytes:
    (folder / "in.csv").write_text("n\n" + "".join(f"{number}\n" for number in range(len(rows))))
    path = folder / output

    def look(frame: pd.DataFrame) -> pd.DataFrame:
        return pd.DataFrame([rows[number] for number in frame["n"]])

    result = muster.run(look, folder / "in.csv", path, batch_rows=batch_rows, workers=0, fresh=True)
    assert (result.rows_out, result.bad_rows) == (len(rows), 0)
    return path.read_bytes()


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(rows=rows, batch_rows=st.sampled_from([1, 2, 3]))
def test_any_batches_give_the_csv_that_pandas_writes_of_the_whole(
    folder: Path, rows: list[dict[str, Any]], batch_rows: int
) -> None:
    assert written(folder, rows, batch_rows, "out.csv").decode() == pd.DataFrame(rows).to_csv(index=False)


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(rows=rows, batch_rows=st.sampled_from([1, 2, 3]), suffix=st.sampled_from(["jsonl", "parquet", "csv.gz"]))
def test_any_batches_give_the_same_bytes(
    folder: Path, rows: list[dict[str, Any]], batch_rows: int, suffix: str
) -> None:
    assert written(folder, rows, batch_rows, f"out.{suffix}") == written(folder, rows, None, f"out.{suffix}")


def optional(frame: pd.DataFrame) -> pd.DataFrame:
    """Give some rows what others lack: a name, a decimal, a time of day."""
    return pd.DataFrame(
        [
            {
                **({"RARE": "x"} if n % 97 == 5 else {}),
                "N": n,
                "HALF": n / 2 if n == 1900 else n,
                "AT": pd.Timestamp("2020-01-01") + pd.Timedelta(seconds=n // 1000),
                **({"LATE": n} if n > 1500 else {}),
            }
            for n in frame["n"]
        ]
    )


@pytest.mark.parametrize("suffix", ["csv", "jsonl", "parquet"])
def test_two_workers_give_the_bytes_of_one_though_columns_come_late(tmp_path: Path, suffix: str) -> None:
    (tmp_path / "in.csv").write_text("n\n" + "".join(f"{n}\n" for n in range(2000)))
    outputs = [tmp_path / f"{workers}.{suffix}" for workers in (0, 1, 2)]
    for workers, output in enumerate(outputs):
        result = muster.run(optional, tmp_path / "in.csv", output, workers=workers, part_bytes=256)
        assert (result.rows_out, result.bad_rows) == (2000, 0)
    first, *others = [output.read_bytes() for output in outputs]
    assert others == [first, first]
    if suffix == "csv":
        assert first.decode() == optional(pd.read_csv(tmp_path / "in.csv")).to_csv(index=False)
