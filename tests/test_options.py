"""The options of a run: the same in Python, on the command line and in the docs; known to editors and type checkers."""

import argparse
import ast
import dataclasses
import inspect
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import pandas as pd
import pytest
from mypy import api

import muster
from muster import cli
from muster._api.options import DEFAULTS, CheckOptions, RetryOptions, RunOptions, laid_over
from muster._dialects.options import DEFAULTS as OF_CSV
from muster._job import Options
from muster._verbs._run_flags import RETRIED

ALL: Final[tuple[Callable[..., Any], ...]] = (muster.run, muster.check, muster.Pipeline.run)
NO_FLAGS: Final = {"dialect", "part_bytes", "quote", "delimiter", "quoting", "index_col"}
"""Options that Python has alone: objects, other names of what flags name, and those with harmless values alone."""

TYPED: Final = """
import numpy as np
import pandas as pd
import muster

def same(frame: pd.DataFrame) -> pd.DataFrame:
    return frame

muster.run(same, "a.csv", "b.csv", workers=2, dtype="str", timeout=1.5, max_bad_rows="1%", strict=True, sep=";")
muster.run(same, "a.csv", "b.csv", dtype={"a": str, "b": "int", "c": np.int64, "d": np.dtype("int8")})
muster.run(same, "a.csv", "b.csv", parse_dates=["e"], storage_options={"anon": True}, with_files=["model.pkl"])
muster.check(same, ["a.csv"], sample=10, usecols=["a"], na_values=["-"])
done: muster.Result = muster.read_csv("a.csv").map_batches(same).write_csv("b.csv").run(workers=0, fresh=True)
"""


def types_complain(text: str, path: Path) -> str:
    """Ask mypy, as ``make lint`` does: what that has found out of muster itself is used again."""
    path.write_text(text)
    root = Path(__file__).parents[1]
    with pytest.MonkeyPatch.context() as variables:
        variables.setenv("MYPY_CONFIG_FILE_DIR", "")  # as mypy does, which would leave it behind
        out, err, _ = api.run(
            ["--config-file", str(root / "pyproject.toml"), "--cache-dir", str(root / ".mypy_cache"), str(path)]
        )
    return out + err


def test_type_checkers_take_every_option_and_refuse_what_is_none(tmp_path: Path) -> None:
    every = ", ".join(f"{name}={value!r}" for name, value in DEFAULTS.items() if name in RunOptions.__annotations__)
    wrong = {
        'muster.run(same, "a", "b", worker=2)': 'Unexpected keyword argument "worker"',
        'muster.run(same, "a", "b", dtyp="str")': 'Unexpected keyword argument "dtyp"',
        'muster.run(same, "a", "b", workers="two")': 'Argument "workers"',
        'muster.run(same, "a", "b", format="xml")': 'Argument "format"',
        'muster.check(same, "a", tmeout=2)': 'Unexpected keyword argument "tmeout"',
        'muster.read_csv("a", seperator=";")': 'Unexpected keyword argument "seperator"',
        'muster.read_csv("a").run(part_byte=2)': 'Unexpected keyword argument "part_byte"',
    }
    right = f'{TYPED}\nmuster.run(same, "a.csv", "b.csv", {every})\n'
    lines = len(right.splitlines())
    said = types_complain(right + "\n".join(wrong), tmp_path / "typed.py")
    for at, complaint in enumerate(wrong.values(), start=lines + 1):
        assert f"typed.py:{at}: error: {complaint}" in said
    assert f"Found {len(wrong)} errors" in said, said


@pytest.mark.parametrize(
    ("function", "of_all"),
    [*zip(ALL, (RunOptions, CheckOptions, RunOptions), strict=True)],
    ids=["run", "check", "Pipeline.run"],
)
def test_a_signature_lists_every_option_with_its_default(function: Callable[..., Any], of_all: type) -> None:
    listed = inspect.signature(function).parameters
    options = {name: one.default for name, one in listed.items() if name in of_all.__annotations__}
    assert options == {name: DEFAULTS[name] for name in of_all.__annotations__}
    assert all(listed[name].annotation is not inspect.Parameter.empty for name in options)
    assert not [one for one in listed.values() if one.kind is one.VAR_KEYWORD]


def test_every_field_of_options_is_an_option_of_a_run() -> None:
    inner = {"reading", "input_format", "output_format"}
    assert {field.name for field in dataclasses.fields(Options)} - inner == RunOptions.__annotations__.keys() - OF_CSV


@pytest.mark.parametrize("name", RunOptions.__annotations__)
def test_the_default_of_an_option_is_as_good_as_leaving_it_out(name: str) -> None:
    assert laid_over(Options(), {name: DEFAULTS[name]}) == laid_over(Options(), {})


def test_options_of_csv_have_the_defaults_of_pandas() -> None:
    of_pandas = {name: one.default for name, one in inspect.signature(pd.read_csv).parameters.items()}
    stand_ins = {"sep": ",", "delimiter": None, "names": None}  # pandas has an object there that means "not given"
    differ = {name for name, value in OF_CSV.items() if name != "quote" and of_pandas[name] != value}
    assert differ <= stand_ins.keys()
    assert stand_ins == {name: OF_CSV[name] for name in stand_ins}


def test_a_call_that_gives_every_option_of_pandas_its_default_changes_nothing(tmp_path: Path) -> None:
    (tmp_path / "in.csv").write_text("a,b\n1,x\n,y\n")
    listed = [one for one in inspect.signature(pd.read_csv).parameters.values() if one.kind is one.KEYWORD_ONLY]
    defaults: dict[str, Any] = {one.name: one.default for one in listed if "no_default" not in repr(one.default)}
    for more in ({}, {"names": ["c", "d"]}):
        muster.run(lambda df: df, tmp_path / "in.csv", tmp_path / "out.csv", workers=0, **(defaults | more))
        pd.read_csv(tmp_path / "in.csv", **(defaults | more)).to_csv(tmp_path / "want.csv", index=False)
        assert (tmp_path / "out.csv").read_bytes() == (tmp_path / "want.csv").read_bytes()


def test_the_docstring_of_run_says_every_option_and_its_default() -> None:
    said = re.findall(r"- ``(\w+)=([^`]+)``: ", inspect.getdoc(muster.run) or "")
    own = {name: DEFAULTS[name] for name in RunOptions.__annotations__ if name not in OF_CSV}
    assert {name: ast.literal_eval(default) for name, default in said} == own | dict.fromkeys(
        ["watch", "progress", "args", "engine"]
    )
    of_csv = inspect.getdoc(muster.read_csv) or ""
    assert {name for name in OF_CSV if not re.search(rf"``{name}(?:=[^`]*)?``", of_csv)} == {"quote"}


def test_every_option_is_a_flag() -> None:
    verbs = next(one for one in cli.parser()._actions if isinstance(one, argparse._SubParsersAction))  # noqa: SLF001 (argparse says it nowhere else)
    actions = [one for one in verbs.choices["run"]._actions if one.help != argparse.SUPPRESS]  # noqa: SLF001 (likewise)
    flags = {one.dest for one in actions if one.option_strings}
    assert RunOptions.__annotations__.keys() - NO_FLAGS - flags == {"storage_options"}  # which is --storage-option


def test_a_retry_takes_in_python_what_it_takes_on_the_command_line() -> None:
    typed = {{"--with": "with_files"}.get(flag, flag[2:].replace("-", "_")) for flag in RETRIED}
    assert typed | {"storage_options"} == RetryOptions.__annotations__.keys()


def same(df: pd.DataFrame) -> pd.DataFrame:
    return df


SWITCHES: Final[dict[str, Callable[[Any], Any]]] = {
    **{
        name: lambda value, name=name: muster.run(lambda df: df, "in.csv", "out.csv", **{name: value})  # type: ignore[misc]
        for name in sorted(RunOptions.__annotations__)
        if isinstance(DEFAULTS[name], bool)
    },
    "of a pipeline": lambda value: muster.read_csv("in.csv").map_batches(same).write_csv("out.csv").run(strict=value),
    "of a check": lambda value: muster.check(lambda df: df, "in.csv", fresh=value),
    "of a retry": lambda value: muster.retry("out.csv", fresh=value),
    "progress": lambda value: muster.run(lambda df: df, "in.csv", "out.csv", progress=value),
    "dropna": lambda value: muster.read_csv("in.csv").group_by("a", dropna=value),
    "sort": lambda value: muster.read_csv("in.csv").group_by("a").agg(sort=value, n="count"),
    "plain": lambda value: muster.read_csv("in.csv").send_tcp("localhost:1", plain=value),
    "tls": lambda value: muster.read_csv("in.csv").send_tcp("localhost:1", tls=value),
}


@pytest.mark.parametrize("given", ["no", 5, 0, "", [1]])
@pytest.mark.parametrize("name", SWITCHES)
def test_what_is_neither_true_nor_false_is_refused_where_one_is_meant(
    name: str, given: object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("in.csv").write_text("a\n1\n")
    with pytest.raises(muster.UsageError, match=rf"={re.escape(repr(given))}: it must be True or False"):
        SWITCHES[name](given)
    assert [path.name for path in tmp_path.iterdir()] == ["in.csv"]


def test_a_watcher_that_cannot_be_called_is_refused(tmp_path: Path) -> None:
    wrong: Any = 5
    with pytest.raises(muster.UsageError, match="watch=5: it must be a function"):
        muster.run(lambda df: df, tmp_path / "in.csv", tmp_path / "out.csv", watch=wrong)
