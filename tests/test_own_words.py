"""Errors in Python name arguments where those of the command line name flags, and leave the user's own names alone."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

import muster
from muster._show.arguments import in_python

ODD = [
    "b --limit 5",
    "--strict",
    "type the same command again --fresh",
    "n --dtype n=str",
    "it's --fresh",
    "Type the command again with --fresh",
    "a -o b",
    '"--timeout" 5s',
]


def same(df: pd.DataFrame) -> pd.DataFrame:
    return df


def without_input(at: Path, name: str) -> None:
    muster.run(same, at / f"{name}.csv", at / "out.csv", workers=0)


def with_a_like_input(at: Path, name: str) -> None:
    (at / f"{name}.csv").write_text("n\n1\n")
    muster.run(same, at / f"{name}x.csv", at / "out.csv", workers=0)


def into_no_folder(at: Path, name: str) -> None:
    muster.run(same, at / "in.csv", at / name / "out.csv", workers=0)


def into_another_kind(at: Path, name: str) -> None:
    muster.run(same, at / "in.csv", at / f"{name}.unknown", workers=0)


def with_types_of_no_column(at: Path, name: str) -> None:
    muster.run(same, at / "in.csv", at / "out.csv", workers=0, dtype={name: "str"})


def with_no_type(at: Path, name: str) -> None:
    muster.run(same, at / "in.csv", at / "out.csv", workers=0, dtype={"n": name})


def without_the_column(at: Path, name: str) -> None:
    muster.run(same, at / "in.csv", at / "out.csv", workers=0, usecols=[name])


def among_columns(at: Path, name: str) -> None:
    pd.DataFrame({name: [1], "b": [2]}).to_csv(at / "odd.csv", index=False)
    muster.run(same, at / "odd.csv", at / "out.csv", workers=0, usecols=[f"{name}x"])


def among_types(at: Path, name: str) -> None:
    pd.DataFrame({name: [1], "b": [2]}).to_csv(at / "odd.csv", index=False)
    muster.run(same, at / "odd.csv", at / "out.csv", workers=0, dtype={f"{name}x": "str"})


def by_no_file(at: Path, name: str) -> None:
    muster.run(f"{at}/{name}.py:f", at / "in.csv", at / "out.csv", workers=0)


def by_a_like_file(at: Path, name: str) -> None:
    (at / f"{name}.py").write_text("def f(df):\n    return df\n")
    muster.run(f"{at}/{name}x.py:f", at / "in.csv", at / "out.csv", workers=0)


def by_no_function(at: Path, name: str) -> None:
    (at / f"{name}.py").write_text("def f(df):\n    return df\n")
    muster.run(f"{at}/{name}.py:g", at / "in.csv", at / "out.csv", workers=0)


def with_no_file(at: Path, name: str) -> None:
    muster.run(same, at / "in.csv", at / "out.csv", workers=0, with_files=[at / name])


def with_an_argument(at: Path, name: str) -> None:
    muster.run(same, at / "in.csv", at / "out.csv", workers=0, args={name: 1})


def with_no_variable(at: Path, name: str) -> None:
    muster.run(same, at / "in.csv", at / "out.csv", workers=0, env=[name])


def onto_a_folder(at: Path, name: str) -> None:
    (at / f"{name}.csv").mkdir(exist_ok=True)
    muster.run(same, at / "in.csv", at / f"{name}.csv", workers=0)


def without_input_in_a_folder(at: Path, name: str) -> None:
    (at / name).mkdir(exist_ok=True)
    muster.run(same, at / name, at / "out.csv", workers=0)


def reading_no_such_column(at: Path, name: str) -> None:
    pd.DataFrame({f"{name}s": [1]}).to_csv(at / "odd.csv", index=False)
    muster.run(lambda df: df[[name]], at / "odd.csv", at / "out.csv", workers=0)


FAILING: list[Callable[[Path, str], Any]] = [
    *(without_input, with_a_like_input, into_no_folder, into_another_kind, with_types_of_no_column, with_no_type),
    *(without_the_column, among_columns, among_types, by_no_file, by_a_like_file, by_no_function, with_no_file),
    *(with_an_argument, with_no_variable, onto_a_folder, without_input_in_a_folder, reading_no_such_column),
]


@pytest.mark.parametrize("fails", FAILING)
def test_names_of_the_users_stand_in_errors_as_they_are(fails: Callable[[Path, str], Any], tmp_path: Path) -> None:
    for at, name in enumerate(ODD):
        folder = tmp_path / str(at)
        folder.mkdir()
        (folder / "in.csv").write_text("n\n1\n2\n")
        with pytest.raises(muster.MusterError) as raised:
            fails(folder, name)
        told = str(raised.value)
        said = told.replace(name, "").replace(repr(name)[1:-1], "").replace(name.replace("'", "'\"'\"'"), "")
        assert said != told, told
        assert re.findall(r"=True|limit[ =]5|\bdtype=\{'n': 'str|timeout\b|output=|make the|[Cc]all again", said) == [
            one for one in ["make the", "call again"] if one in said
        ], told


@given(
    own=st.text(st.characters(codec="utf-8", exclude_categories=["Cc", "Cs"]), min_size=1, max_size=6),
    flag=st.sampled_from(["--fresh", "--limit 5", "-o x", "type the command again with --strict"]),
)
@example(own="'", flag="--fresh")
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_stands_in_quotes_stays_as_it_is(own: str, flag: str) -> None:
    name = f"{own} {flag}"
    assert in_python(f"No input at {name!r}. Type the command again with --fresh.") == (
        f"No input at {name!r}. Call again with fresh=True."
    )
    assert in_python(f"It has: {name}, {name}. Leave out --strict", quoted=[name]) == (
        f"It has: {name}, {name}. Leave out strict=True"
    )
