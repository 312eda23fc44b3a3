"""The Python face: run, and the lazy pipeline."""

import dataclasses
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc
import pytest

import muster
from conftest import Muster
from journals import kept

FACE: Final = [
    *(
        "Aggregation",
        "DataError",
        "Dialect",
        "EngineError",
        "MusterError",
        "NotRowWiseWarning",
        "Pipeline",
        "RejectedRowsWarning",
        "Result",
        "Runs",
        "Snapshot",
        "StreamRows",
        "StreamSink",
        "StreamSource",
    ),
    *(
        "TooManyBadRowsError",
        "UsageError",
        "UserCodeError",
        "check",
        "follow_csv",
        "follow_kafka",
        "follow_redis",
        "generate",
        "listen_tcp",
        "read_csv",
        "read_from",
        "read_json",
        "read_parquet",
        "retry",
        "run",
        "run_each",
        "run_since_last",
    ),
]

DEFINED: Final = """
import muster
def double(df):
    return df * 2
pipeline = muster.read_csv("own.csv").map_batches(double).map_batches(lambda df: df + 1).write_csv("own-out.csv")
"""


def double(frame: pd.DataFrame) -> pd.DataFrame:
    return frame * 2


def times(factor: int) -> Callable[[pd.DataFrame], pd.DataFrame]:
    return lambda frame: frame * factor


class Counting:
    """Number the batches that this very object got."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, frame: pd.DataFrame) -> pd.DataFrame:
        self.calls += 1
        return frame.assign(call=self.calls)


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    path = tmp_path / "rows.csv"
    path.write_text("a\n" + "".join(f"{at}\n" for at in range(10)))
    return path


def column(path: Path, name: str = "a") -> list[Any]:
    return pd.read_csv(path)[name].tolist()


# muster.run


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize(
    "function",
    [
        pytest.param(double, id="a function"),
        pytest.param(lambda frame: frame * 2, id="a lambda"),
        pytest.param(times(2), id="a closure"),
    ],
)
def test_any_function_can_be_run(
    tmp_path: Path, rows: Path, function: Callable[[pd.DataFrame], pd.DataFrame], workers: int
) -> None:
    muster.run(function, rows, tmp_path / "out.csv", workers=workers)
    assert column(tmp_path / "out.csv") == [at * 2 for at in range(10)]


def test_a_class_is_made_once_and_then_called(tmp_path: Path, rows: Path) -> None:
    muster.run(Counting, rows, tmp_path / "out.csv", workers=0, batch_rows=4)
    assert column(tmp_path / "out.csv", "call") == [1, 1, 1, 1, 2, 2, 2, 2, 3, 3]


def test_a_class_begins_anew_in_every_run(tmp_path: Path, rows: Path) -> None:
    for _ in range(2):
        muster.run(Counting, rows, tmp_path / "out.csv", workers=0, fresh=True)
        assert column(tmp_path / "out.csv", "call") == [1] * 10


def test_an_object_that_can_be_called_is_a_function_too(tmp_path: Path, rows: Path) -> None:
    muster.run(Counting(), rows, tmp_path / "out.csv", workers=0)
    assert column(tmp_path / "out.csv", "call") == [1] * 10


@pytest.mark.parametrize("workers", [0, 1])
def test_a_target_may_be_named_by_its_file(tmp_path: Path, rows: Path, workers: int) -> None:
    (tmp_path / "beside.py").write_text("FACTOR = 3\n")
    (tmp_path / "target.py").write_text("import beside\ndef times(df):\n    return df * beside.FACTOR\n")
    muster.run(f"{tmp_path}/target.py:times", rows, tmp_path / "out.csv", workers=workers)
    assert column(tmp_path / "out.csv") == [at * 3 for at in range(10)]


def test_a_target_file_that_was_edited_is_read_anew_by_the_next_run(tmp_path: Path, rows: Path) -> None:
    for factor in (2, 3000):
        (tmp_path / "edited.py").write_text(f"def times(df):\n    return df * {factor}\n")
        muster.run(f"{tmp_path}/edited.py:times", rows, tmp_path / "out.csv", workers=0)
        assert column(tmp_path / "out.csv") == [at * factor for at in range(10)]


def test_a_target_may_be_named_by_its_module(tmp_path: Path, rows: Path) -> None:
    muster.run("copy:copy", rows, tmp_path / "out.csv", workers=0)
    assert column(tmp_path / "out.csv") == list(range(10))


def test_types_and_batches_can_be_chosen(tmp_path: Path, rows: Path) -> None:
    def show(frame: pd.DataFrame) -> pd.DataFrame:
        return pd.DataFrame({"type": [str(frame["a"].dtype)], "rows": [len(frame)]})

    text = str(pd.Series(["x"], dtype="str").dtype)  # "object" before pandas 3
    for dtype, expected in (("str", text), ({"a": "float64"}, "float64"), ("a=int8", "int8"), (None, "int64")):
        muster.run(show, rows, tmp_path / "out.csv", workers=0, dtype=dtype, batch_rows=6)
        assert (tmp_path / "out.csv").read_text() == f"type,rows\n{expected},6\n{expected},4\n"


def test_paths_may_be_text_or_paths_one_or_many(tmp_path: Path, rows: Path) -> None:
    for inputs in (rows, str(rows), [rows], (str(rows),)):
        muster.run(double, inputs, str(tmp_path / "out.csv"), workers=0)
        assert len(column(tmp_path / "out.csv")) == 10


def test_the_result_says_what_the_run_came_to(tmp_path: Path, rows: Path) -> None:
    def odd_only(frame: pd.DataFrame) -> pd.DataFrame:
        if (frame["a"] == 4).any():
            raise ValueError("no four")
        return frame[frame["a"] % 2 == 1]

    result = muster.run(odd_only, rows, tmp_path / "out.csv", workers=0)
    assert [field.name for field in dataclasses.fields(result)] == [
        *("rows_in", "rows_out", "bad_rows", "parts", "resumed_parts", "workers", "machines"),
        *("seconds", "rows_per_second", "output", "rejects", "cost", "rows_before", "estimate", "unchanged"),
        *("skipped", "stages", "epochs", "warnings", "remedy", "has_groups"),
    ]
    assert (result.rows_in, result.rows_out, result.bad_rows, result.parts) == (10, 5, 1, 1)
    assert (result.resumed_parts, result.workers, result.machines, result.cost) == (0, 0, 1, 0.0)
    assert (result.output, result.rejects) == (f"{tmp_path}/out.csv", f"{tmp_path}/out.csv.rejects.jsonl")
    assert result.seconds > 0
    assert result.rows_per_second > 0
    assert muster.run(double, rows, tmp_path / "out.csv", workers=0).rejects is None


def test_who_watches_is_told_how_far_the_run_is(tmp_path: Path, rows: Path) -> None:
    seen: list[muster.Snapshot] = []
    muster.run(double, rows, tmp_path / "out.csv", workers=0, watch=seen.append)
    assert {"working", "writing the output"} <= {snapshot.phase for snapshot in seen}
    assert (seen[-1].rows_done, seen[-1].rows_total, seen[-1].bad_rows) == (10, 10, 0)


# The lazy pipeline


@pytest.mark.parametrize("workers", [0, 2])
def test_a_pipeline_reads_maps_and_writes_any_format(tmp_path: Path, rows: Path, workers: int) -> None:
    muster.read_csv(rows).map_batches(double).map_batches(lambda frame: frame + 1).write_parquet(
        tmp_path / "1.parquet"
    ).run(workers=workers)
    muster.read_parquet(tmp_path / "1.parquet").map_batches(double).write_json(tmp_path / "2.jsonl").run(
        workers=workers
    )
    result = (
        muster.read_json(tmp_path / "2.jsonl")
        .map_batches(double)
        .map_batches(double)
        .map_batches(double)
        .write_csv(tmp_path / "3.csv")
        .run(workers=workers)
    )
    assert column(tmp_path / "3.csv") == [(at * 2 + 1) * 16 for at in range(10)]
    assert result.output == f"{tmp_path}/3.csv"


def test_nothing_happens_before_run(tmp_path: Path) -> None:
    muster.read_csv(tmp_path / "missing.csv").map_batches(double).write_csv(tmp_path / "out.csv")
    assert list(tmp_path.iterdir()) == []


def test_a_pipeline_is_never_changed_and_can_be_used_again(tmp_path: Path, rows: Path) -> None:
    source = muster.read_csv(rows)
    doubled = source.map_batches(double)
    fourfold = doubled.map_batches(double)
    assert (len(source.steps), len(doubled.steps), len(fourfold.steps)) == (0, 1, 2)
    with pytest.raises(dataclasses.FrozenInstanceError):
        doubled.output = "elsewhere"  # type: ignore[misc]
    for _ in range(2):
        doubled.write_csv(tmp_path / "2.csv").run(workers=0, fresh=True)
        fourfold.write_csv(tmp_path / "4.csv").run(workers=0, fresh=True)
        assert column(tmp_path / "2.csv") == [at * 2 for at in range(10)]
        assert column(tmp_path / "4.csv") == [at * 4 for at in range(10)]
    assert doubled.output == ""


def test_the_method_decides_the_format_whatever_the_suffix(tmp_path: Path) -> None:
    (tmp_path / "rows.txt").write_text("a;b\n1;x\n")
    source = muster.read_csv(tmp_path / "rows.txt", delimiter=";").map_batches(lambda frame: frame)
    source.write_json(tmp_path / "out.txt").run(workers=0)
    assert (tmp_path / "out.txt").read_text() == '{"a":1,"b":"x"}\n'
    source.write_csv(tmp_path / "out.dat").run(workers=0)
    assert (tmp_path / "out.dat").read_text() == "a,b\n1,x\n"
    source.write_parquet(f"{tmp_path}/folder/").run(workers=0)
    assert pd.read_parquet(tmp_path / "folder/part-00000.parquet").to_numpy().tolist() == [[1, "x"]]


def test_read_csv_knows_every_dialect(tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_bytes("1|'ä|b'\n2|c\n".encode("latin-1"))
    (
        muster.read_csv(tmp_path / "rows.csv", delimiter="|", quote="'", header=False, encoding="latin-1", dtype="str")
        .map_batches(lambda frame: frame.rename(columns={0: "number", 1: "text"}))
        .write_json(tmp_path / "out.jsonl")
        .run(workers=0)
    )
    lines = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text(encoding="utf-8").splitlines()]
    assert lines == [{"number": "1", "text": "ä|b"}, {"number": "2", "text": "c"}]


def test_a_tsv_file_is_read_with_tabs_unless_said_otherwise(tmp_path: Path) -> None:
    (tmp_path / "rows.tsv").write_text("a\tb\n1\tx,y\n")
    muster.read_csv(tmp_path / "rows.tsv").map_batches(lambda frame: frame).write_json(tmp_path / "o.jsonl").run(
        workers=0
    )
    assert (tmp_path / "o.jsonl").read_text() == '{"a":1,"b":"x,y"}\n'


def test_read_json_can_fix_types(tmp_path: Path) -> None:
    (tmp_path / "rows.jsonl").write_text('{"a":1}\n')
    (
        muster.read_json(tmp_path / "rows.jsonl", dtype={"a": "float64"})
        .map_batches(lambda frame: frame)
        .write_csv(tmp_path / "out.csv")
        .run(workers=0)
    )
    assert (tmp_path / "out.csv").read_text() == "a\n1.0\n"


# A file that defines pipeline


def test_a_file_that_defines_a_pipeline_is_run_as_it_is(tmp_path: Path, muster: Muster) -> None:
    (tmp_path / "defined.py").write_text(DEFINED)
    (tmp_path / "own.csv").write_text("a\n1\n2\n")
    ended = muster("run", "defined.py", "--workers", "0", "--json")
    assert ended.code == 0, ended.err
    assert ended.json["output"] == "own-out.csv"
    assert column(tmp_path / "own-out.csv") == [3, 5]


def test_what_the_command_line_says_counts_before_what_the_file_says(tmp_path: Path, muster: Muster) -> None:
    (tmp_path / "defined.py").write_text(DEFINED)
    (tmp_path / "own.csv").write_text("a\n1\n2\n")
    (tmp_path / "other.jsonl").write_text('{"a":10}\n')
    assert muster("run", "defined.py:pipeline", "other.jsonl", "--workers", "1").code == 0
    assert column(tmp_path / "own-out.csv") == [21]
    assert muster("run", "defined.py", "-o", "other.parquet", "--workers", "0").code == 0
    assert pd.read_parquet(tmp_path / "other.parquet")["a"].tolist() == [3, 5]
    assert muster("run", "defined.py", "other.jsonl", "-o", "out.jsonl", "--workers", "0").code == 0
    assert (tmp_path / "out.jsonl").read_text() == '{"a":21}\n'


def test_a_pipeline_in_a_file_keeps_its_own_options(tmp_path: Path, muster: Muster) -> None:
    (tmp_path / "defined.py").write_text(
        "import muster\n"
        "source = muster.read_csv('in.csv', delimiter=';', dtype='str')\n"
        "pipeline = source.map_batches(lambda df: df).write_json('out')\n"
    )
    (tmp_path / "in.csv").write_text("a;b\n007;x\n")
    ended = muster("run", "defined.py", "--workers", "0")
    assert ended.code == 0, ended.err
    assert (tmp_path / "out").read_text() == '{"a":"007","b":"x"}\n'


LATIN = """
import muster
pipeline = muster.read_csv("lat.csv", delimiter=";", encoding="latin-1").map_batches(lambda df: df).write_csv("out.csv")
"""


@pytest.mark.parametrize(
    ("typed", "text"),
    [
        (("--delimiter", ";"), "a;b\né;1\n"),
        (("--quote", "'"), "a;b\n'é';1\n"),
        (("--delimiter", ","), "a,b\né,1\n"),
    ],
)
def test_a_command_line_changes_no_more_of_a_pipelines_dialect_than_it_names(
    tmp_path: Path, muster: Muster, typed: tuple[str, ...], text: str
) -> None:
    (tmp_path / "defined.py").write_text(LATIN)
    (tmp_path / "lat.csv").write_text(text, encoding="latin-1")
    ended = muster("run", "defined.py", "--workers", "0", *typed)
    assert ended.code == 0, ended.err
    assert (tmp_path / "out.csv").read_text() == "a,b\né,1\n"


def test_a_header_row_and_an_encoding_can_be_typed_over_a_pipelines_own(tmp_path: Path, muster: Muster) -> None:
    (tmp_path / "defined.py").write_text(LATIN)
    (tmp_path / "lat.csv").write_text("é;1\n", encoding="utf-8")
    assert muster("run", "defined.py", "--workers", "0", "--no-header", "--encoding", "utf-8").code == 0
    assert (tmp_path / "out.csv").read_text() == "é,1\n"


def test_other_inputs_of_a_pipeline_have_its_own_delimiter_or_that_of_their_name(
    tmp_path: Path, muster: Muster
) -> None:
    (tmp_path / "defined.py").write_text(LATIN)
    (tmp_path / "other.csv").write_text("a;b\né;1\n", encoding="latin-1")
    assert muster("run", "defined.py", "other.csv", "--workers", "0").code == 0
    assert (tmp_path / "out.csv").read_text() == "a,b\né,1\n"
    (tmp_path / "plain.py").write_text(LATIN.replace('delimiter=";", ', ""))
    (tmp_path / "other.tsv").write_text("a\tb\né\t2\n", encoding="latin-1")
    assert muster("run", "plain.py", "other.tsv", "--workers", "0").code == 0
    assert (tmp_path / "out.csv").read_text() == "a,b\né,2\n"


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("import muster\n", "'pipeline'"),
        ("pipeline = 5\n", "not a pipeline of muster"),
        ("import muster\npipeline = muster.read_csv('own.csv').write_csv('out.csv')\n", "no function"),
        ("import muster\npipeline = muster.read_csv('own.csv').map_batches(len)\n", "no output"),
    ],
)
def test_a_file_without_a_whole_pipeline_is_a_wrong_command(
    tmp_path: Path, muster: Muster, content: str, words: str
) -> None:
    (tmp_path / "defined.py").write_text(content)
    (tmp_path / "own.csv").write_text("a\n1\n")
    ended = muster("run", "defined.py")
    assert ended.code == 2, ended.err
    assert words in ended.err
    assert "Traceback" not in ended.err


SEVERAL = """import muster


def twice(df):
    return df * 2


base = muster.read_csv("own.csv")
doubled = base.map_batches(twice).write_csv("doubled.csv")
summed = base.group_by("a").agg(n="count").write_csv("summed.csv")
number = 5
chained = "a".join("bc").write_csv if False else 3
"""


def test_a_file_may_define_several_pipelines_which_are_named(tmp_path: Path, muster: Muster) -> None:
    (tmp_path / "several.py").write_text(SEVERAL)
    (tmp_path / "own.csv").write_text("a\n1\n1\n")
    assert muster("run", "several.py:doubled", "--workers", "0").code == 0
    assert muster("run", "several:summed", "--workers", "0").code == 0
    assert (tmp_path / "doubled.csv").read_text() == "a\n2\n2\n"
    assert (tmp_path / "summed.csv").read_text() == "a,n\n1,2\n"
    assert muster("check", "several.py:doubled").code == 0
    for name in ("number", "chained"):
        ended = muster("run", f"several.py:{name}", "own.csv", "-o", "out.csv", "--workers", "0")
        assert (ended.code, "is of type int, not a" in ended.err) == (2, True), ended.err


def test_a_pipeline_is_not_a_step_of_another(tmp_path: Path) -> None:
    (tmp_path / "several.py").write_text(SEVERAL)
    (tmp_path / "own.csv").write_text("a\n1\n1\n")
    rows = muster.read_csv(tmp_path / "own.csv")
    with pytest.raises(muster.UsageError, match=r"'summed' in .* is of type Pipeline, not a function"):
        rows.map_batches(f"{tmp_path}/several.py:summed").write_csv(tmp_path / "out.csv").run(workers=0)


# Frames of other kinds


def arrow_step(table: pa.Table) -> pa.Table:
    return table.set_column(0, "a", pc.add(table["a"], 1))


def polars_step(frame: pl.DataFrame) -> pl.DataFrame:
    return frame.with_columns(a=frame["a"] * 10)


def arrow_text_step(table: "pa.Table") -> "pa.Table":
    return table.set_column(0, "a", pc.add(table["a"], 1))


def polars_text_step(frame: "pl.DataFrame") -> "pl.DataFrame":
    return frame.with_columns(a=frame["a"] * 10)


class PolarsModel:
    def __init__(self) -> None:
        self.factor = 10

    def __call__(self, frame: pl.DataFrame) -> pl.DataFrame:
        return frame.with_columns(a=frame["a"] * self.factor)


@pytest.mark.parametrize("workers", [0, 1])
@pytest.mark.parametrize(
    ("steps", "expected"),
    [
        pytest.param([arrow_step], 4, id="Arrow"),
        pytest.param([polars_step], 30, id="Polars"),
        pytest.param([PolarsModel], 30, id="a class"),
        pytest.param([arrow_text_step, polars_text_step], 40, id="annotations that are text"),
        pytest.param([double, arrow_step, polars_step, double], 140, id="pandas, Arrow, Polars, pandas"),
        pytest.param([polars_step, polars_step, arrow_step, arrow_step], 302, id="two of each"),
    ],
)
def test_a_function_gets_the_frame_that_it_is_annotated_with(
    tmp_path: Path, rows: Path, steps: list[Callable[..., Any]], expected: int, workers: int
) -> None:
    pipeline = muster.read_csv(rows)
    for step in steps:
        pipeline = pipeline.map_batches(step)
    pipeline.write_csv(tmp_path / "out.csv").run(workers=workers)
    assert column(tmp_path / "out.csv")[3] == expected


@pytest.mark.parametrize(
    "content",
    [
        "from __future__ import annotations\nimport {module} as m\ndef step(frame: m.{name}) -> m.{name}:\n",
        "from __future__ import annotations\nfrom {module} import {name}\ndef step(frame: {name}):\n",
        "from __future__ import annotations\nif 0:\n    import {module} as {short}\ndef step(frame: {short}.{name}):\n",
        "import {module}\ndef step(frame: '{module}.{name}', other: 'not.there' = None):\n",
    ],
)
@pytest.mark.parametrize(("module", "name", "short"), [("pyarrow", "Table", "pa"), ("polars", "DataFrame", "pl")])
def test_annotations_count_however_they_are_written(  # noqa: PLR0913, PLR0917 (a module by its three names)
    tmp_path: Path, rows: Path, content: str, module: str, name: str, short: str
) -> None:
    body = f"    assert type(frame).__module__.startswith('{module}'), type(frame)\n    return frame\n"
    (tmp_path / "target.py").write_text(content.format(module=module, name=name, short=short) + body)
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            f"import muster; muster.run('target.py:step', {str(rows)!r}, 'out.csv', workers=0, strict=True)",
        ],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "out.csv").read_text() == rows.read_text()


def test_arrow_and_polars_results_keep_nested_values(tmp_path: Path, rows: Path) -> None:
    def nest(frame: pl.DataFrame) -> pl.DataFrame:
        return frame.select(pl.struct("a", b=pl.concat_list("a", "a")).alias("s")).head(1)

    muster.run(nest, rows, tmp_path / "out.jsonl", workers=0)
    assert json.loads((tmp_path / "out.jsonl").read_text()) == {"s": {"a": 0, "b": [0, 0]}}
    muster.run(nest, rows, tmp_path / "out.parquet", workers=0)
    assert pd.read_parquet(tmp_path / "out.parquet")["s"][0]["a"] == 0


@pytest.mark.parametrize("kind", ["frame", "arrow", "polars"])
def test_a_bad_row_is_found_whatever_the_frame(tmp_path: Path, rows: Path, kind: str) -> None:
    def no_seven(frame: pd.DataFrame) -> pd.DataFrame:
        if 7 in list(frame["a"]):
            raise ValueError("seven")
        return frame

    def arrow(table: pa.Table) -> pa.Table:
        no_seven(table.to_pandas())
        return table

    def polars(frame: pl.DataFrame) -> pl.DataFrame:
        no_seven(frame.to_pandas())
        return frame

    steps: dict[str, Callable[..., Any]] = {"frame": no_seven, "arrow": arrow, "polars": polars}
    result = muster.run(steps[kind], rows, tmp_path / "out.csv", workers=0)
    assert (result.rows_out, result.bad_rows) == (9, 1)
    assert json.loads((tmp_path / "out.csv.rejects.jsonl").read_text())["row"] == 7


# What goes wrong


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"workers": -1}, "workers=-1"),
        ({"batch_rows": 0}, "batch_rows=0"),
        ({"max_bad_rows": -5}, "max_bad_rows=-5"),
        ({"timeout": 0}, "timeout=0"),
        ({"dtype": "complex"}, "complex"),
        ({"dtype": {"nope": "str"}}, "nope"),
        ({"dtype": "a=float,nope=str"}, "nope"),
        ({"format": "xml"}, "xml"),
        ({"dialect": muster.Dialect(delimiter="||")}, "one byte"),
        ({"dialect": muster.Dialect(delimiter='"')}, "differ"),
        ({"dialect": muster.Dialect(delimiter="\n")}, "line"),
        ({"dialect": muster.Dialect(quote="\n")}, "line"),
        ({"workers": "2"}, "whole number"),
        ({"batch_rows": 1.5}, "whole number"),
        ({"dialect": muster.Dialect(quote="“")}, "one byte"),
        ({"dialect": muster.Dialect(encoding="klingon")}, "klingon"),
        ({"dialect": muster.Dialect(encoding="rot13")}, "rot13"),
        ({"colour": "red"}, "colour"),
    ],
)
def test_wrong_options_are_a_usage_error(tmp_path: Path, rows: Path, options: dict[str, Any], words: str) -> None:
    with pytest.raises(muster.UsageError, match=words) as raised:
        muster.run(double, rows, tmp_path / "out.csv", **{"workers": 0, **options})
    assert raised.value.exit_code == 2
    assert not (tmp_path / "out.csv").exists()


@pytest.mark.parametrize("target", ["missing.py:f", "no module:f", "nothing_like_this:f", "json:nope", "", "x.py:", 5])
def test_a_target_that_is_none_is_a_usage_error(tmp_path: Path, rows: Path, target: str) -> None:
    with pytest.raises(muster.UsageError):
        muster.run(target, rows, tmp_path / "out.csv", workers=0)


@pytest.mark.parametrize(
    ("pipeline", "words"),
    [
        (muster.read_csv("x.csv").write_csv("out.csv"), "no function"),
        (muster.read_csv("x.csv").map_batches(double), "no output"),
        (muster.read_csv([]).map_batches(double).write_csv("out.csv"), "no input"),
    ],
)
def test_a_pipeline_that_is_not_whole_is_a_usage_error(pipeline: muster.Pipeline, words: str) -> None:
    with pytest.raises(muster.UsageError, match=words):
        pipeline.run()


def test_every_error_is_a_muster_error_with_an_exit_code() -> None:
    codes = {error.__name__: error.exit_code for error in (muster.UsageError, muster.DataError, muster.UserCodeError)}
    assert codes == {"UsageError": 2, "DataError": 1, "UserCodeError": 1}
    assert muster.EngineError.exit_code == 3
    assert muster.TooManyBadRowsError.exit_code == 1
    for error in (muster.UsageError, muster.DataError, muster.UserCodeError, muster.EngineError):
        assert issubclass(error, muster.MusterError)


@pytest.mark.parametrize("workers", [0, 1])
def test_errors_are_raised_as_muster_errors_with_the_users_own_words(tmp_path: Path, rows: Path, workers: int) -> None:
    def broken(frame: pd.DataFrame) -> pd.DataFrame:
        return frame["no such column"].to_frame()

    with pytest.raises(muster.UserCodeError, match="no such column") as raised:
        muster.run(broken, rows, tmp_path / "out.csv", workers=workers, strict=True)
    assert raised.value.exit_code == 1
    assert "in broken" in raised.value.details
    (tmp_path / "target.py").write_text("import not_installed\ndef f(df):\n    return df\n")
    with pytest.raises(muster.UserCodeError, match="not_installed") as mistaken:
        muster.run(f"{tmp_path}/target.py:f", rows, tmp_path / "other.csv", workers=workers)
    assert "target.py" in mistaken.value.details


# The face itself


def test_the_face_has_these_names_and_no_others() -> None:
    assert sorted(muster.__all__) == FACE
    assert {name for name in dir(muster) if not name.startswith("_")} == set(FACE)
    assert all(getattr(muster, name).__module__.startswith("muster.") for name in FACE)


def test_importing_muster_loads_nothing_heavy() -> None:
    heavy = [
        "pandas",
        "pyarrow",
        "numpy",
        "fsspec",
        "rich",
        "ray",
        "pulumi",
        "ansible",
        "polars",
        "cloudpickle",
        "s3fs",
    ]
    code = f"import sys, muster; print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_run_on_files_of_this_computer_loads_nothing_that_only_stores_need(tmp_path: Path) -> None:
    (tmp_path / "in.csv").write_text("a\n1\n")
    needless = {
        "fsspec",
        "aiohttp",
        "s3fs",
        "muster._output.shelf",
        "muster._output.store_lock",
        "muster._urls.objects",
    }
    needless |= {"muster._formats._stores", "muster._formats._web", "muster._formats._copies"}
    code = f"""
import sys, muster
muster.run(lambda df: df, "in.csv", "out.csv", workers=0)
print(sorted({needless} & set(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_in_one_process_each_target_gets_the_module_beside_itself(tmp_path: Path, rows: Path) -> None:
    for factor in (3, 5):
        folder = tmp_path / str(factor)
        folder.mkdir()
        (folder / "neighbour.py").write_text(f"FACTOR = {factor}\n")
        (folder / "target.py").write_text("import neighbour\ndef times(df):\n    return df * neighbour.FACTOR\n")
        muster.run(f"{folder}/target.py:times", rows, tmp_path / "out.csv", workers=0)
        assert column(tmp_path / "out.csv") == [at * factor for at in range(10)]


def test_without_workers_a_task_is_journaled_before_the_next_one_begins(tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text("a\n" + "1\n" * 100)
    journal = tmp_path / "out.csv.muster" / "journal.jsonl"
    done: list[int] = []

    def count(df: pd.DataFrame) -> pd.DataFrame:
        done.append(kept(journal))
        return df

    muster.run(count, tmp_path / "rows.csv", tmp_path / "out.csv", workers=0, part_bytes=20)
    in_tasks = done[-5:]  # questions call it before the first task
    assert len(in_tasks) == 5
    assert in_tasks == [*range(in_tasks[0], in_tasks[0] + 5)]
