"""What is no function, input or output is refused in words that say what to write instead."""

import re
import sys
import types
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
import pyarrow as pa
import pytest

import muster
from conftest import Muster
from muster._files.home import home
from muster._output.folder import WorkFolder
from muster.errors import OutputBusyError
from muster.testing import FakeEngine

if TYPE_CHECKING:
    from collections.abc import Callable

FRAME = pd.DataFrame({"a": range(100)})


def same(df: Any) -> Any:  # noqa: ANN401 (a frame)
    return df


@pytest.fixture
def rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    FRAME.to_csv("in.csv", index=False)
    return tmp_path


INPUTS: list[tuple[Any, str]] = [
    (FRAME, r"input is a DataFrame.*df\.to_parquet\('in\.parquet'\).*f\(df\)"),
    (FRAME["a"], "input is a Series.*files"),
    ([FRAME, FRAME], r"input is a DataFrame.*df\.to_parquet"),
    (pa.table({"a": [1]}), "input is a Table.*files"),
    (FRAME["a"].to_numpy(), "input is a ndarray.*files"),
    (None, r"input is None.*'in\.csv'"),
    (b"in.csv", r"input is b'in\.csv'.*pass 'in\.csv'"),
    ([Path("in.csv"), None], "input is None"),
    ({"in.csv": 1}, "input is a dict"),
    (7, "input is 7"),
    (same, "function 'same'.*order is: function, inputs, output"),
    ([], "no input"),
]


@pytest.mark.parametrize(("given", "says"), INPUTS, ids=[says for _, says in INPUTS])
def test_an_input_that_is_no_file_is_told_what_to_write(rows: Path, given: Any, says: str) -> None:  # noqa: ANN401
    calls: list[Callable[[], Any]] = [
        lambda: muster.run(same, given, "out.csv", workers=0),
        lambda: muster.check(same, given),
        lambda: muster.read_csv(given).map_batches(same).write_csv("out.csv").run(workers=0),
        lambda: muster.read_parquet(given).map_batches(same).write_csv("out.csv").run(workers=0),
    ]
    for call in calls:
        with pytest.raises(muster.UsageError, match=says):
            call()
    assert [path.name for path in rows.iterdir()] == ["in.csv"]


def test_an_open_file_is_told_its_path(rows: Path) -> None:
    del rows
    with Path("in.csv").open() as file, pytest.raises(muster.UsageError, match=r"open file.*its path, 'in\.csv'"):
        muster.run(same, file, "out.csv")  # type: ignore[arg-type]
    with Path("new.csv").open("w") as file, pytest.raises(muster.UsageError, match=r"output.*its path, 'new\.csv'"):
        muster.run(same, "in.csv", file)  # type: ignore[arg-type]


OUTPUTS: list[tuple[Any, str]] = [
    (None, r"output is None.*larger than memory.*'out\.csv'.*read_csv"),
    (FRAME, "output is a DataFrame.*path"),
    (b"out.csv", r"output is b'out\.csv'.*pass 'out\.csv'"),
    (["out.csv"], "output is a list.*path"),
    (3, "output is 3"),
    (same, "order is: function, inputs, output"),
    ("", "no output"),
]


@pytest.mark.parametrize(("given", "says"), OUTPUTS, ids=[says for _, says in OUTPUTS])
def test_an_output_that_is_no_path_is_told_what_to_write(rows: Path, given: Any, says: str) -> None:  # noqa: ANN401
    calls: tuple[Callable[[], Any], ...] = (
        lambda: muster.run(same, "in.csv", given, workers=0),
        lambda: muster.read_csv("in.csv").map_batches(same).write_csv(given).run(workers=0),
    )
    for call in calls:
        with pytest.raises(muster.UsageError, match=says):
            call()
    assert [path.name for path in rows.iterdir()] == ["in.csv"]


MODULE = types.ModuleType("labels")
exec("def label(df):\n    return df\n", vars(MODULE))  # noqa: S102 (as a file of the user's would)

FUNCTIONS: list[tuple[Any, str]] = [
    (MODULE, r"the module 'labels'.*labels\.label"),
    (sys, "the module 'sys'"),
    (None, "None is no function"),
    (FRAME, r"a DataFrame is no function.*Pass the function itself"),
    (["f"], "a list is no function"),
    (7, "7 is no function"),
    ("gone.py", r"No file 'gone\.py'"),
    ("gone.py:label", r"No file 'gone\.py'"),
    ("gone:label", "No module 'gone'"),
    ("in.csv", "names no function"),
]


@pytest.mark.parametrize(("given", "says"), FUNCTIONS, ids=[says for _, says in FUNCTIONS])
def test_what_cannot_be_called_is_told_what_to_pass(rows: Path, given: Any, says: str) -> None:  # noqa: ANN401
    del rows
    with pytest.raises(muster.UsageError, match=says):
        muster.run(given, "in.csv", "out.csv", workers=0)


@pytest.mark.parametrize(
    ("output", "said"),
    [
        ("-", "would mean standard output"),
        ("out/{date}.csv", "which muster.run_since_last fills in"),
        ("{name}.csv", "run_each"),
    ],
)
def test_an_output_that_means_something_else_elsewhere_is_refused(tmp_path: Path, output: str, said: str) -> None:
    (tmp_path / "in.csv").write_text("a\n1\n")
    with pytest.raises(muster.UsageError, match=re.escape(said)):
        muster.run(lambda df: df, tmp_path / "in.csv", output, workers=0)


ENGINES: list[tuple[Any, str]] = [
    ("ray", r"engine='ray': that is no engine: it has no fileno\(\)\. Give one such as"),
    (FakeEngine, r"engine=FakeEngine: that is a class\. Give an engine: FakeEngine\(\)\."),
    (lambda workers: workers, r"that is no engine"),
    (object(), r"that is no engine"),
]


@pytest.mark.parametrize(("given", "says"), ENGINES, ids=["text", "class", "maker", "object"])
def test_what_is_no_engine_is_refused_before_anything_is_made(rows: Path, given: Any, says: str) -> None:  # noqa: ANN401
    with pytest.raises(muster.UsageError, match=says):
        muster.run(same, "in.csv", "out.csv", engine=given)
    assert [path.name for path in rows.iterdir()] == ["in.csv"]


@pytest.mark.parametrize("others", [{"machines": 2}, {"cluster": "mine"}], ids=str)
def test_an_engine_that_is_given_beside_machines_is_refused(rows: Path, others: dict[str, Any]) -> None:
    says = f"engine= and {next(iter(others))}=.*Leave one of them out"
    with closing(FakeEngine()) as engine, pytest.raises(muster.UsageError, match=says):
        muster.run(same, "in.csv", "out.csv", engine=engine, **others)
    assert [path.name for path in rows.iterdir()] == ["in.csv"]


def test_an_engine_that_is_given_twice_is_refused_and_its_workers_are_those_that_count(rows: Path) -> None:
    engine = FakeEngine(workers=3, machines=2)
    result = muster.run(same, "in.csv", "out.csv", engine=engine, part_bytes=50)
    assert (result.workers, result.machines) == (3, 2)
    with pytest.raises(muster.EngineError, match="it serves one"):
        muster.run(same, "in.csv", "again.csv", engine=engine)
    assert not (rows / "again.csv").exists()


def test_an_engine_that_is_given_is_closed_also_where_the_run_does_not_get_as_far_as_to_ask_it(rows: Path) -> None:
    without_input, refused, skipping = FakeEngine(), FakeEngine(), FakeEngine()
    with pytest.raises(muster.MusterError, match=r"gone\.csv"):
        muster.run(same, "gone.csv", "out.csv", engine=without_input)
    other = WorkFolder(str(rows / "out.csv"), home=home())
    other.take()
    try:
        with pytest.raises(OutputBusyError):
            muster.run(same, "in.csv", "out.csv", engine=refused)
        assert muster.run(same, "in.csv", "out.csv", engine=skipping, if_running="skip").skipped
    finally:
        other.leave()
    assert [engine.fileno() for engine in (without_input, refused, skipping)] == [-1] * 3


def test_an_output_that_is_a_folder_there_is_told_its_slash_and_words_of_others_get_no_second_full_stop(
    rows: Path, muster: Muster
) -> None:
    (rows / "f.py").write_text("def f(df):\n    return df\n")
    (rows / "out").mkdir()
    assert (
        "'out' is a folder. Say 'out/' for numbered parts in it" in muster("run", "f.py:f", "in.csv", "-o", "out").err
    )
    (rows / "fake.parquet").write_bytes(b"PAR1" + b"no Parquet" * 9)
    refused = muster("run", "f.py:f", "fake.parquet", "-o", "out.csv")
    assert "cannot be read as Parquet" in refused.err
    assert ".." not in refused.err
