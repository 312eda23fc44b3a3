"""Where versions of pandas differ, muster does as the one that is installed: these tests ask it."""

import subprocess
import sys
import warnings
from pathlib import Path

import pandas as pd
import pytest

from muster import run

FILES = {
    "text": "a,b\nx,1\n,2\nNA,3\ny,4\n",
    "text that is always there": "a,b\nx,1\ny,2\n",
    "whole numbers beyond 64 bits": f"a,b\n{2**64},1\n-7,2\n",
    "whole numbers beyond 64 bits, and missing": f"a,b\n{2**64},1\n,2\n",
    "a number that no float holds": "a,b\n1e400,1\n2,2\n",
    "a negative one, and a gap": "a,b\n-1e400,1\n,2\n",
    "infinities": "a,b\ninf,1\n-Infinity,2\n",
    "truths with gaps": "a,b\nTrue,1\n,2\n",
}
DATES = {
    "days": "a,b\n2020-01-01,1\n2020-01-02,2\n",
    "days with a gap": "a,b\n2020-01-01,1\n,2\n",
    "only gaps": "a,b\n,1\nNA,2\n",
    "nanoseconds": "a,b\n2020-01-01 00:00:00.000000001,1\n",
    "years beyond what nanoseconds reach": "a,b\n3020-01-01,1\n2020-01-01,2\n",
    "a zone": "a,b\n2020-01-01T00:00:00+01:00,1\n2020-01-02T00:00:00+01:00,2\n",
    "no dates": "a,b\nx,1\n2020-01-01,2\n",
}


def cells_of(df: pd.DataFrame) -> pd.DataFrame:
    """Tell the types of columns, and each value with its own."""
    cells = [[f"{value!r} {type(value).__name__}" for value in column] for _, column in df.items()]
    rows = [" | ".join(row) for row in zip(*cells, strict=True)]
    return pd.DataFrame({"seen": rows, "dtypes": " ".join(map(str, df.dtypes))})


def seen(df: pd.DataFrame) -> pd.DataFrame:
    """Tell all that a function can see of a frame, the type of its labels, too."""
    return cells_of(df).assign(labels=str(df.columns.dtype))


def check(tmp_path: Path, whole: pd.DataFrame, **options: object) -> None:
    run(seen, tmp_path / "in.csv", tmp_path / "out.csv", workers=0, **options)  # type: ignore[arg-type]
    assert (tmp_path / "out.csv").read_text() == seen(whole).to_csv(index=False)


@pytest.mark.parametrize("text", FILES.values(), ids=FILES.keys())
def test_a_function_sees_the_values_and_types_of_the_pandas_that_is_here(tmp_path: Path, text: str) -> None:
    (tmp_path / "in.csv").write_text(text)
    check(tmp_path, pd.read_csv(tmp_path / "in.csv"))


@pytest.mark.parametrize("text", FILES.values(), ids=FILES.keys())
def test_text_is_what_this_pandas_makes_of_it(tmp_path: Path, text: str) -> None:
    (tmp_path / "in.csv").write_text(text)
    check(tmp_path, pd.read_csv(tmp_path / "in.csv", dtype=str), dtype="str")


@pytest.mark.parametrize("text", DATES.values(), ids=DATES.keys())
def test_dates_have_the_unit_of_the_pandas_that_is_here(tmp_path: Path, text: str) -> None:
    (tmp_path / "in.csv").write_text(text)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that one of these columns holds no dates
        whole = pd.read_csv(tmp_path / "in.csv", parse_dates=["a"])
    check(tmp_path, whole, parse_dates=["a"])


def test_a_parquet_file_gives_the_text_and_moments_that_read_parquet_gives(tmp_path: Path) -> None:
    rows = pd.DataFrame(
        {
            "t": ["x", None],
            "d": pd.to_datetime(pd.Series(["2020-01-01", None])),
            "c": pd.Categorical(["x", None]),
            "i": [1, 2],
        }
    )
    rows.to_parquet(tmp_path / "in.parquet")
    run(seen, tmp_path / "in.parquet", tmp_path / "out.csv", workers=0)
    assert (tmp_path / "out.csv").read_text() == seen(pd.read_parquet(tmp_path / "in.parquet")).to_csv(index=False)


def test_a_user_of_an_older_pandas_may_switch_to_text_of_arrow(tmp_path: Path) -> None:
    """In a process of its own, as pandas should not be switched in that of other tests.

    It ends at once: in pandas 2.2, ``read_parquet`` leaves a thread of Arrow's with a file of Python's, and then one
    end of Python in about forty is an abort, also without muster.
    """
    (tmp_path / "in.csv").write_text(FILES["text"])
    (tmp_path / "switched.py").write_text(
        "import os, sys\nsys.path.insert(0, sys.argv[1])\nimport pandas as pd\nfrom test_pandas import cells_of\n"
        "import muster\n"
        "pd.read_csv('in.csv').to_parquet('in.parquet')\n"
        "pd.set_option('future.infer_string', True)\n"
        "for read, name in ((pd.read_csv, 'in.csv'), (pd.read_parquet, 'in.parquet')):\n"
        "    muster.run(cells_of, name, 'out.csv', workers=0)\n"
        "    assert open('out.csv').read() == cells_of(read(name)).to_csv(index=False), (name, read(name).dtypes)\n"
        "print('all is the same', flush=True)\nos._exit(0)\n"
    )
    command = [sys.executable, "switched.py", str(Path(__file__).parent)]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False)
    assert (done.returncode, done.stdout) == (0, "all is the same\n"), done.stderr


def test_a_function_may_change_its_frame_in_place_without_a_warning(tmp_path: Path) -> None:
    """Warnings are errors in these tests: before pandas 3, one that a frame is a slice of another would be one."""

    def change(df: pd.DataFrame) -> pd.DataFrame:
        df["c"] = df["b"] * 2
        df.loc[df["b"] > 1, "a"] = "changed"
        df["b"] += 1
        return df

    (tmp_path / "in.csv").write_text(FILES["text"])
    run(change, tmp_path / "in.csv", tmp_path / "out.csv", workers=0, batch_rows=2)
    expected = change(pd.read_csv(tmp_path / "in.csv"))
    assert (tmp_path / "out.csv").read_text() == expected.to_csv(index=False)
