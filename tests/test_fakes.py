"""The public fakes: what they refuse, how they end, and that what their documentation shows is so."""

import ast
import inspect
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import muster
from muster import UsageError, testing
from muster.errors import EngineError
from muster.testing import FakeCloud, FakeEngine, Task


@pytest.fixture(autouse=True)
def rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("in.csv").write_text("id\n" + "".join(f"{n}\n" for n in range(40)))


def function(df: pd.DataFrame) -> pd.DataFrame:
    return df


def docstrings() -> Iterator[str]:
    yield testing.__doc__ or ""
    for name in testing.__all__:
        value = getattr(testing, name)
        if value is Task:
            continue  # muster's own, which has no example
        parsed = ast.parse(textwrap.dedent(inspect.getsource(value)))
        for node in ast.walk(parsed):
            if isinstance(node, ast.ClassDef | ast.FunctionDef):
                yield ast.get_docstring(node) or ""


def examples() -> Iterator[str]:
    """Take each indented block behind a paragraph that ends with two colons."""
    for docstring in docstrings():
        for behind in docstring.split("::\n\n")[1:]:
            lines = behind.splitlines()
            ends = next((at for at, line in enumerate(lines) if line and not line.startswith("    ")), len(lines))
            yield textwrap.dedent("\n".join(lines[:ends]))


@pytest.mark.parametrize("example", [*examples()])
def test_an_example_that_is_shown_does_what_it_says(example: str) -> None:
    exec(example, {"muster": muster, "function": function})  # noqa: S102 (what we show to others)


def test_there_are_examples_of_the_cloud_and_of_the_engine() -> None:
    shown = "".join(examples())
    assert [name in shown for name in ("FakeCloud(", "FakeEngine(")] == [True, True]


@pytest.mark.parametrize("wrong", [0, -1, 1.5, True, "2", None])
@pytest.mark.parametrize("name", ["workers", "machines"])
def test_an_engine_of_no_workers_is_refused_in_words(name: str, wrong: Any) -> None:  # noqa: ANN401 (of any kind)
    with pytest.raises(UsageError, match=rf"FakeEngine\({name}={wrong!r}\): it must be a whole number, 1 or more"):
        FakeEngine(**{name: wrong})


@pytest.mark.parametrize("name", ["at_most", "price", "patience"])
def test_a_cloud_of_less_than_nothing_is_refused_in_words(name: str) -> None:
    wrong: dict[str, Any] = {name: -1}
    with pytest.raises(UsageError, match=rf"FakeCloud\({name}=-1\): it must be a number, 0 or more"):
        FakeCloud(**wrong)


def test_workers_that_die_of_every_task_end_the_run_in_words() -> None:
    engine = FakeEngine(workers=4, machines=2, kills=lambda request: isinstance(request, Task))
    with pytest.raises(EngineError, match=r"Workers die of whatever they are given: of one task 8 times"):
        muster.run(function, "in.csv", "out.csv", engine=engine, batch_rows=10, part_bytes=20)
    assert not Path("out.csv").exists()


def test_a_machine_that_kills_all_that_it_is_given_is_not_taken_for_a_damaged_file() -> None:
    engine = FakeEngine(workers=4, machines=2, kills_on=lambda machine, _: machine == "machine 1")
    Path("in.csv").write_text("id,amount\n" + "".join(f"{n},{n * 1.5}\n" for n in range(1_000)))
    result = muster.run(function, "in.csv", "out.csv", engine=engine, batch_rows=10, part_bytes=200)
    assert (result.rows_out, result.bad_rows) == (1_000, 0)
