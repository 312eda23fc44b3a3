"""What is meant by a wrong name: of a verb, a flag, an option, a function, a file, a column or a type."""

import copy
import re
from pathlib import Path
from typing import Any

import pytest

import muster as the_module
from conftest import Muster
from muster._words.near import nearest, with_guess

FILE = """
THRESHOLD = 3
def process(df):
    return df
def prepare(df):
    return df
def _own(df):
    return df
"""


@pytest.fixture(autouse=True)
def files(tmp_path: Path) -> None:
    (tmp_path / "f.py").write_text(FILE)
    (tmp_path / "in.csv").write_text("zip,ordered_at,qty\n01,2026-01-01,3\n")


def test_a_pipeline_that_is_made_elsewhere_is_to_be_called_so(muster: Muster, tmp_path: Path) -> None:
    made = 'made = getattr(muster.read_csv("in.csv").map_batches(len), "write_csv")("out.csv")'
    (tmp_path / "far.py").write_text(f"import muster\n\n{made}\n")
    said = muster("run", "far.py:made").err
    assert (
        "far.py is of type Pipeline, not a function or a class. A pipeline is taken that is called 'pipeline'" in said
    )


def test_a_method_of_pandas_that_is_none_of_a_pipeline_is_told_what_there_is() -> None:
    read = the_module.read_csv("in.csv")
    for of, name, said in (
        (read, "groupby", "'Pipeline' object has no attribute 'groupby' (did you mean group_by?). It has: group_by, "),
        (read, "to_csv", "(did you mean write_csv?)"),
        (read, "window", "windows stand behind keys"),
        (read.group_by("qty"), "sum", "It has: agg, map_groups, window. "),
        (read.key_by("qty"), "agg", "Groups are .group_by('column'), which has agg and map_groups."),
    ):
        with pytest.raises(AttributeError, match=re.escape(said)):
            getattr(of, name)
    assert copy.deepcopy(read) == read
    assert not hasattr(read, "_repr_html_")


def test_a_wrong_option_of_a_stream_is_told_all_that_it_has() -> None:
    wrong: dict[str, Any] = {"evry": 1}
    for begins in (the_module.follow_csv, the_module.listen_tcp):
        with pytest.raises(
            the_module.UsageError, match=r"option evry \(did you mean every\?\).* every, dtype, .*decimal"
        ):
            begins("8888", **wrong)


def test_pipelines_of_a_file_that_names_none_are_what_to_type(muster: Muster, tmp_path: Path) -> None:
    made = 'muster.read_csv("in.csv").map_batches(keep).write_csv("out.csv")'
    (tmp_path / "two.py").write_text(f"import muster\ndef keep(df):\n    return df\none = {made}\nother = {made}\n")
    said = muster("run", "two.py").err
    assert "no function is named. Type two.py:one, two.py:other or two.py:keep." in said
    assert "two.py has no 'onee' (did you mean one?). It defines: one, other, keep." in muster("run", "two.py:onee").err


@pytest.mark.parametrize(
    ("typed", "says"),
    [
        ("rnu f.py", "invalid choice: 'rnu' (did you mean run?). There are: run, "),
        ("help rnu", "'rnu' (did you mean run?)"),
        (
            "run f.py:process in.csv -o o.csv --worker 2",
            "arguments: --worker (did you mean --workers?) 2.",
        ),
        ("run f.py:process in.csv -o o.csv --batchrows=2", "--batchrows (did you mean --batch-rows?)=2"),
        ("run f.py:process in.csv -o o.csv --format parqet", "'parqet' (did you mean parquet?)"),
        ("check f.py:process in.csv --sampel 3", "--sampel (did you mean --sample?) 3. Type muster check --help"),
        ("status --jsn", "--jsn (did you mean --json?)"),
        ("run f.py in.csv -o o.csv", "f.py has no 'pipeline', and no function is named. Type f.py:process or f.py:"),
        ("run f.p:process in.csv -o o.csv", "No module 'f.p' in this environment or folder. Did you mean f.py?"),
        (
            "run f.py:proces in.csv -o o.csv",
            "f.py has no 'proces' (did you mean process?). It defines: process,",
        ),
        ("run f.py:proces", "f.py has no 'proces' (did you mean process?). It defines: process,"),
        ("check f.py:proces", "f.py has no 'proces' (did you mean process?). It defines: process,"),
        ("run f.py:process", "Name what to read and where to write: muster run TARGET INPUT... -o OUTPUT"),
        ("run f:proces in.csv -o o.csv", "f has no 'proces' (did you mean process?)"),
        ("run ff.py:process in.csv -o o.csv", "Did you mean f.py?"),
        ("run killer.py:process in.csv -o o.csv", "Check the path before the colon."),
        ("run f.py:process in.csv -o o.csv --dtype zpi=str", "zpi (did you mean zip?). It has: zip, ordered_at, qty."),
        ("run f.py:process in.csv -o o.csv --dtype zip=strr", "Did you mean str?"),
        ("run f.py:process in.csv -o o.csv --usecols ZIP,qty", "'ZIP' (did you mean zip?)"),
        ("run f.py:process in.csv -o o.csv --parse-dates orderd_at", "'orderd_at' (did you mean ordered_at?)"),
        (
            "run f.py:process in.csv -o o.csv --usecols x",
            "muster: --usecols names columns that the input has not: 'x'.",
        ),
        ("run f.py:process in.csv -o o.csv --max-bad-rows 5x", "muster: --max-bad-rows 5x: it must be"),
        ("run f.py:process in.csv -o o.csv --sep ab", "muster: --sep ab: it must be one byte"),
        ("run f.py:process in.csv -o o.csv --batch-rows 0", "muster: --batch-rows 0: it must be"),
        (
            "run f.py:process in.csv -o o.csv --nrows 5",
            "--nrows is not offered: a run is about every row. With --limit N",
        ),
        ("run f.py:process in.csv -o o.csv --chunksize 5", "--batch-rows N gives them"),
        (
            "run f.py:process in.csv -o o.csv --float-format %.2f",
            "--float-format is not offered: numbers are written as",
        ),
        ("run f.py:process in.csv -o o.csv --na-rep NA", "--na-rep is not offered: a missing value"),
        ("run f.py:process in.csv -o o.csv --cluster defualt", "There is no cluster 'defualt'. There are: none."),
    ],
)
def test_a_wrong_word_of_a_command_is_answered_with_the_right_one(muster: Muster, typed: str, says: str) -> None:
    ended = muster(*typed.split(), *(["--workers", "0"] if typed.startswith("run") and "cluster" not in typed else []))
    assert ended.code == 2, ended.err
    assert says in ended.err
    assert len(ended.err.splitlines()) == 1, "a screen of usage hides what is wrong"


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"worker": 2}, r"no option worker \(did you mean workers\?\)\. There are: .*batch_rows"),
        ({"dtyp": "str", "seperator": ";"}, r"dtyp \(did you mean dtype\?\), seperator\."),
        ({"parse_date": ["a"]}, r"parse_date \(did you mean parse_dates\?\)"),
        ({"reading": None}, "no option reading"),
        ({"output_format": "csv"}, "no option output_format"),
        ({"usecols": ["zpi"]}, r"'zpi' \(did you mean zip\?\)"),
    ],
    ids=str,
)
def test_a_wrong_option_of_a_call_is_answered_with_the_right_one(
    tmp_path: Path, wrong: dict[str, Any], says: str
) -> None:
    with pytest.raises(the_module.UsageError, match=says):
        the_module.run(lambda df: df, tmp_path / "in.csv", tmp_path / "o.csv", **({"workers": 0} | wrong))


def test_an_option_of_read_csv_that_there_is_not_is_answered_with_the_right_one(tmp_path: Path) -> None:
    options: dict[str, Any] = {"skip_rows": 1}
    with pytest.raises(the_module.UsageError, match=r"skip_rows \(did you mean skiprows\?\). There are: .*usecols"):
        the_module.read_csv(tmp_path / "in.csv", **options)


def test_inputs_may_stand_behind_flags(muster: Muster, tmp_path: Path) -> None:
    (tmp_path / "more.csv").write_text("zip,ordered_at,qty\n02,2026-01-02,4\n")
    ended = muster("run", "f.py:process", "-o", "o.csv", "in.csv", "--workers", "0", "more.csv", "--quiet")
    assert ended.code == 0, ended.err
    assert (tmp_path / "o.csv").read_text() == "zip,ordered_at,qty\n1,2026-01-01,3\n2,2026-01-02,4\n"


def test_what_is_like_nothing_is_not_guessed() -> None:
    assert with_guess("xyz", ["workers", "dtype"]) == "xyz"
    assert with_guess(7, ["7a"]) == "7"
    assert nearest(" Price", ["cost", "prices", "price"]) == "price"


def test_a_suffix_makes_no_two_names_alike() -> None:
    assert nearest("nofile.csv", ["o_write1.csv", "out.csv", "ref.csv", "in.csv"]) == ""
    assert nearest("nofile.csv.gz", ["o_write1.csv.gz"]) == ""
    assert nearest("nofile.py", ["killer.py", "wrong.py"]) == ""
    assert nearest("ordres.csv", ["odd.csv", "orders.csv", "order.csv"]) == "orders.csv"
    assert nearest("orders.csv", ["orders.csv.gz"]) == "orders.csv.gz"
