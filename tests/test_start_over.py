"""A run that did nothing that counts stands in nobody's way; one that did is refused with all that differs."""

from pathlib import Path

import pandas as pd
import pytest

import muster as the_module
from conftest import Muster

DOUBLE = "def double(df):\n    return df.assign(twice=df['amount'] * 2)\n"


@pytest.fixture(autouse=True)
def german(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "f.py").write_text(DOUBLE)
    rows = "".join(f"{n};{n},5;Kassel\n" for n in range(300))
    (tmp_path / "k.csv").write_text(f"id;amount;city\n{rows}")
    return tmp_path


def test_a_command_that_was_advised_is_not_refused_for_the_rejects_of_the_one_before(
    muster: Muster, german: Path
) -> None:
    with pytest.raises(the_module.MusterError, match="are allowed"):
        the_module.run("f.py:double", "k.csv", "o.csv", workers=0, part_bytes=200, max_bad_rows=250)
    assert (german / "o.csv.muster").exists(), "rejects of the first parts are kept"
    ended = muster("run", "f.py:double", "k.csv", "-o", "o.csv", "--workers", "0", "--sep", ";", "--decimal", ",")
    assert ended.code == 0, ended.err
    (said,) = [line for line in ended.err.splitlines() if "starts over" in line]
    assert "--sep was ',', and is ';' now" in said
    assert "decimal was '.', and is ',' now" in said
    want = pd.read_csv(german / "k.csv", sep=";", decimal=",")
    pd.testing.assert_frame_equal(pd.read_csv(german / "o.csv"), want.assign(twice=want["amount"] * 2))


def test_a_function_that_was_mended_needs_no_fresh_where_it_had_done_no_row(muster: Muster, german: Path) -> None:
    (german / "f.py").write_text("def double(df):\n    raise (ValueError, KeyError, TypeError)[df['id'].iloc[0] % 3]\n")
    asked = ("run", "f.py:double", "k.csv", "-o", "o.csv", "--workers", "0", "--sep", ";")
    with pytest.raises(the_module.MusterError):
        the_module.run("f.py:double", "k.csv", "o.csv", workers=0, sep=";", part_bytes=200, max_bad_rows=250)
    assert (german / "o.csv.muster").exists(), "rejects of the first parts are kept"
    (german / "f.py").write_text(DOUBLE)
    ended = muster(*asked)
    assert ended.code == 0, ended.err


def test_where_rows_were_done_the_refusal_names_all_that_differs(muster: Muster, german: Path) -> None:
    (german / "g.py").write_text(
        "def f(df):\n    if df['id'].iloc[-1] > 150:\n        raise KeyboardInterrupt\n    return df\n"
    )
    asked = ("run", "g.py:f", "k.csv", "-o", "o.csv", "--workers", "0", "--sep", ";", "--batch-rows", "50")
    with pytest.raises(KeyboardInterrupt):
        the_module.run("g.py:f", "k.csv", "o.csv", workers=0, sep=";", batch_rows=50, part_bytes=500)
    with (german / "k.csv").open("a") as more:
        more.write("300;300,5;Kassel\n")
    refused = muster(*asked, "--decimal", ",", "--dtype", "city=str")
    assert refused.code == 2, refused.err
    for difference in ("has changed: it had 4,", "decimal was '.'", "dtype was not given", "part_bytes was 500"):
        assert difference in refused.err
