"""A flag that is typed twice: lists add up; of one value the last counts, as in most programs, so that aliases work."""

from pathlib import Path

import pytest

from conftest import Muster
from muster.cli import parser

FILE = """
def kinds(df):
    import pandas as pd
    return pd.DataFrame({"got": [f"{name}:{kind}:{df[name].isna().sum()}" for name, kind in df.dtypes.items()]})
"""


@pytest.fixture(autouse=True)
def files(tmp_path: Path) -> None:
    (tmp_path / "f.py").write_text(FILE)
    (tmp_path / "in.csv").write_text("zip,b,d,e\n01,02,2026-01-02,2026-01-03\n1,3,2026-01-05,2026-01-04\n")


@pytest.mark.parametrize(
    ("typed", "at_once"),
    [
        ("--dtype zip=str --dtype b=str", "--dtype zip=str,b=str"),
        ("--dtype zip=str --dtype zip=str", "--dtype zip=str"),
        ("--dtype str --dtype=str", "--dtype str"),
        ("--usecols zip --usecols b,d", "--usecols zip,b,d"),
        ("--usecols 0 --usecols 2", "--usecols 0,2"),
        ("--parse-dates d --parse-dates e", "--parse-dates d,e"),
        ("--na-values 1 --na-values 2", "--na-values 1,2"),
        ("--na-values 1 --na-values 3 --na-values 1", "--na-values 1,3"),
        ("--header 0 --names a,b --names c,d", "--header 0 --names a,b,c,d"),
        ("--true-values 01 --true-values 1", "--true-values 01,1"),
        ("--false-values 02 --false-values 3 --true-values x", "--false-values 02,3 --true-values x"),
        ("--limit 1 --limit 1", "--limit 1"),
        ("--sep , --delimiter ,", "--sep ,"),
        ("--limit 1 --limit 2", "--limit 2"),
        ("--header 1 --header 0", "--header 0"),
        ("--sep ; --delimiter ,", "--sep ,"),
    ],
)
def test_what_is_typed_in_two_flags_is_what_is_typed_in_one(typed: str, at_once: str) -> None:
    assert meant(typed) == meant(at_once) != meant("")


def meant(flags: str) -> dict[str, object]:
    """Tell what a run gets of flags; not how they were typed, which messages name."""
    parsed = parser().parse_args(["run", "f.py:kinds", "in.csv", "-o", "out.csv", *flags.split()])
    return {name: value for name, value in vars(parsed).items() if name not in {"typed_lists", "typed_flags"}}


@pytest.mark.parametrize(
    ("typed", "at_once"),
    [
        ("--dtype zip=str --dtype b=str", "--dtype zip=str,b=str"),
        ("--na-values 1 --na-values 2", "--na-values 1,2"),
        ("--skiprows 1, --skiprows 2,", "--skiprows 1,2"),
        ("--sep ; --delimiter ,", "--sep ,"),
    ],
)
def test_a_run_does_the_same_of_two_flags_as_of_one(muster: Muster, tmp_path: Path, typed: str, at_once: str) -> None:
    for name, flags in (("two.csv", typed), ("one.csv", at_once)):
        ended = muster("run", "f.py:kinds", "in.csv", "-o", name, "--workers", "0", "--batch-rows", "9", *flags.split())
        assert ended.code == 0, ended.err
    assert (tmp_path / "two.csv").read_bytes() == (tmp_path / "one.csv").read_bytes()


@pytest.mark.parametrize(
    ("typed", "says"),
    [
        ("--dtype str --dtype zip=int64", "--dtype str and --dtype zip=int64"),
        ("--dtype zip=int64 --dtype b=str --dtype str", "--dtype zip=int64 and --dtype str"),
        ("--dtype zip=int64 --dtype zip=str", "it names 'zip' twice"),
        ("--skiprows 1 --skiprows 2,", "--skiprows 1 and --skiprows 2,"),
        ("--storage-option anon=true --storage-option anon=false", "--storage-option anon=... is typed with two"),
        ("--arg n=1 --arg n=2", "--arg n=... is typed twice"),
    ],
)
def test_of_two_values_none_is_chosen_in_silence(muster: Muster, tmp_path: Path, typed: str, says: str) -> None:
    ended = muster("run", "f.py:kinds", "in.csv", "-o", "o.csv", "--workers", "0", *typed.split())
    assert ended.code == 2, ended.err
    assert says in ended.err.splitlines()[-1]
    assert not (tmp_path / "o.csv").exists()
