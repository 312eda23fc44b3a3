"""A function on each group of a file gives what pandas gives for the whole file, however many workers there are."""

import hashlib
import io
import json
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import muster
from conftest import Muster
from muster import DataError, TooManyBadRowsError, UsageError, UserCodeError

Columns = str | list[str]

CELLS: dict[str, st.SearchStrategy[Any]] = {
    "integers": st.integers(-3, 3),
    "large": st.sampled_from([2**62, -(2**62), 2**53 + 1, 2**53, 0]),
    "beyond 64 bits": st.sampled_from([2**64, 2**64 + 1, 1]),
    "floats": st.sampled_from([0.5, 0.0, 1.0, None, 1e300]),
    "texts": st.sampled_from(["a", "é", "é", "x,y", 'q"q', "line\nbreak", "  s", "1", "01", None]),
    "booleans": st.booleans(),
    "dates": st.sampled_from(["2020-01-01", "2020-01-02 03:04:05", None]),
    "one value": st.just("same"),
}


@st.composite
def frames(draw: st.DrawFn) -> pd.DataFrame:
    rows = draw(st.integers(0, 40))
    kinds = [CELLS[draw(st.sampled_from([*CELLS]))] for _ in "abc"]
    columns = [draw(st.lists(cells, min_size=rows, max_size=rows)) for cells in kinds]
    return pd.DataFrame({name: pd.Series(own, dtype=object) for name, own in zip("abc", columns, strict=True)})


def all_of_it(df: pd.DataFrame) -> pd.DataFrame:
    return df


def one_row(df: pd.DataFrame) -> pd.DataFrame:
    return pd.DataFrame({"n": [len(df)], "first": [df.index[0]], "c": [df["c"].iloc[-1]]})


def few_of_few(df: pd.DataFrame) -> pd.DataFrame:
    return df.head(len(df) // 2)


def other_columns_for_some(df: pd.DataFrame) -> pd.DataFrame:
    return pd.DataFrame({"n": [len(df)]} if len(df) % 2 else {"m": [len(df) / 2], "t": ["x"]})


def other_types_for_some(df: pd.DataFrame) -> pd.DataFrame:
    day = pd.Timestamp("2020-01-01") + pd.Timedelta(seconds=len(df) if len(df) > 2 else 0)
    return pd.DataFrame({"v": [len(df) if len(df) % 2 else len(df) / 4], "d": [day]})


def nothing(df: pd.DataFrame) -> pd.DataFrame:
    del df
    return pd.DataFrame()


def missing_for_some(df: pd.DataFrame) -> pd.DataFrame:
    return pd.DataFrame({"s": [str(df["c"].iloc[0])], "z": [np.nan if len(df) == 1 else 3]})


def with_key(df: pd.DataFrame, key: object) -> pd.DataFrame:
    return pd.DataFrame({"key": [str(key)], "n": [len(df)]})


FUNCTIONS = (
    *(all_of_it, one_row, few_of_few, other_columns_for_some, other_types_for_some, nothing, missing_for_some),
    with_key,
)


def by_pandas(
    frame: pd.DataFrame, function: Callable[..., pd.DataFrame], columns: Columns, *, dropna: bool, sort: bool = False
) -> pd.DataFrame | None:
    """Call the function on each group of the whole frame; ``None`` where there are no groups."""
    groups: Any = frame.groupby(columns, sort=sort, dropna=dropna)
    results = [function(group, key) if function is with_key else function(group) for key, group in groups]
    return pd.concat(results) if results else None


@settings(max_examples=40)
@given(
    frame=frames(),
    columns=st.sampled_from(["a", ["a"], ["a", "b"]]),
    dropna=st.booleans(),
    sort=st.booleans(),
    function=st.sampled_from(FUNCTIONS),
    part_bytes=st.sampled_from([None, 100, 2000]),
    cut=st.integers(0, 40),
)
def test_groups_come_out_as_pandas_makes_them_of_the_whole_input(  # noqa: PLR0913, PLR0917 (what may differ)
    frame: pd.DataFrame,
    columns: Columns,
    dropna: bool,  # noqa: FBT001 (hypothesis gives it by name)
    sort: bool,  # noqa: FBT001 (likewise)
    function: Callable[..., pd.DataFrame],
    part_bytes: int | None,
    cut: int,
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        names = [f"{folder}/{name}" for name in ("1.csv", "2.csv")]
        text = frame.to_csv(index=False)
        first, second = frame.iloc[:cut], frame.iloc[cut:]
        first.to_csv(names[0], index=False)
        second.to_csv(names[1], index=False)
        whole = pd.read_csv(io.StringIO(text))
        whole.index = pd.Index([*range(len(first)), *range(len(second))])  # each file has row numbers of its own
        expected = by_pandas(whole, function, columns, dropna=dropna, sort=sort)
        grouped = muster.read_csv(names).group_by(columns, dropna=dropna).map_groups(function, sort=sort)
        result = grouped.write_csv(f"{folder}/out.csv").run(workers=0, part_bytes=part_bytes)
        assert (result.rows_in, result.bad_rows) == (len(frame), 0)
        if expected is not None:
            told = expected.to_csv(index=False) if len(expected.columns) else ""  # as map_batches writes no columns
            assert Path(folder, "out.csv").read_text() == told


@pytest.fixture
def clicks(tmp_path: Path) -> Path:
    """Write rows of 120 users, one of whom has a third of all."""
    rng = np.random.default_rng(5)
    rows = 1500
    user = np.where(rng.random(rows) < 1 / 3, 7, rng.integers(0, 120, rows))
    pd.DataFrame(
        {
            "user": user,
            "page": [f"/p/{at % 23}" if at % 11 else None for at in range(rows)],
            "seconds": rng.random(rows).round(3),
            "at": pd.date_range("2026-01-01", periods=rows, freq="min"),
        }
    ).to_csv(tmp_path / "in.csv", index=False)
    return tmp_path / "in.csv"


def summed(df: pd.DataFrame) -> pd.DataFrame:
    last = pd.to_datetime(df["at"]).max()
    return df.assign(total=df["seconds"].cumsum(), last=last).tail(5)


@pytest.mark.parametrize(
    ("suffix", "sort"),
    [(".csv", False), (".csv.gz", False), (".jsonl", True), (".parquet", False), (".parquet", True), ("/", True)],
)
def test_the_output_is_the_same_bytes_with_any_number_of_workers(
    clicks: Path,
    suffix: str,
    sort: bool,  # noqa: FBT001 (pytest gives it by name)
) -> None:
    digests = set[str]()
    for workers, part_bytes in ((0, None), (1, 10_000), (2, 10_000), (4, None)):
        if part_bytes is None or suffix in {".csv", ".jsonl"}:  # else it decides about stretches of the output
            output = f"{clicks.parent}/out{suffix}"
            grouped = muster.read_csv(clicks).group_by(["page"], dropna=False).map_groups(summed, sort=sort)
            pipeline = grouped.write_csv(output) if suffix == "/" else _written(grouped, output)
            pipeline.run(workers=workers, part_bytes=part_bytes, fresh=True)
            files = sorted(Path(output).iterdir()) if suffix == "/" else [Path(output)]
            digests.add(hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest())
    assert len(digests) == 1


def _written(pipeline: muster.Pipeline, output: str) -> muster.Pipeline:
    if output.endswith(".parquet"):
        return pipeline.write_parquet(output)
    return pipeline.write_json(output) if output.endswith(".jsonl") else pipeline.write_csv(output)


@pytest.mark.parametrize("part_bytes", [None, 100])
@pytest.mark.parametrize("suffix", [".csv", ".jsonl", ".parquet"])
def test_a_column_that_only_frames_without_rows_have_is_in_the_output(
    tmp_path: Path, suffix: str, part_bytes: int | None
) -> None:
    (tmp_path / "in.csv").write_text("k,v\n" + "".join(f"{at % 5},{at}\n" for at in range(50)))
    output = tmp_path / f"out{suffix}"
    grouped = muster.read_csv(tmp_path / "in.csv").group_by("k").map_groups(more_columns_of_no_rows)
    _written(grouped, str(output)).run(workers=0, part_bytes=part_bytes)
    read: Any = {".csv": pd.read_csv, ".jsonl": of_lines, ".parquet": pd.read_parquet}[suffix]
    frame = read(output)
    assert [*frame] == ["k", "v", "more"]
    assert len(frame) == 30
    assert not frame["more"].count()


def more_columns_of_no_rows(df: pd.DataFrame) -> pd.DataFrame:
    return df if df["k"].iloc[0] > 1 else df.head(0).assign(more=1.5)


def by_name(df: pd.DataFrame, *, key: str) -> pd.DataFrame:
    return df.assign(key=key)


def of_lines(path: Path) -> pd.DataFrame:
    return pd.read_json(path, lines=True)


def through(
    source: Path,
    function: Callable[..., Any] | str,
    columns: Columns = "user",
    **options: Any,  # noqa: ANN401 (those of a run)
) -> muster.Result:
    pipeline = muster.read_csv(source).group_by(columns).map_groups(function, args=options.pop("args", None))
    return pipeline.write_csv(source.parent / "out.csv").run(**{"workers": 0, "fresh": True, **options})


def test_each_group_draws_random_numbers_of_its_own_whoever_calls_the_function(clicks: Path, muster: Muster) -> None:
    (clicks.parent / "drawing.py").write_text(
        "import random\nimport numpy as np\nimport muster\n\nHERE = __file__.removesuffix('drawing.py')\n"
        "random.seed(5)\nnp.random.seed(5)\n\n"
        "def drawn(df):\n    return df.head(1).assign(python=random.random(), numpy=np.random.rand())\n\n"
        "pipeline = muster.read_csv(HERE + 'in.csv').group_by('user').map_groups(drawn).write_csv(HERE + 'out.csv')\n"
    )
    texts = set[str]()
    for workers in (1, 2):
        done = muster("run", str(clicks.parent / "drawing.py"), "--workers", str(workers), "--fresh")
        assert done.code == 0, done.err
        texts.add((clicks.parent / "out.csv").read_text())
    assert len(texts) == 1
    read = pd.read_csv(clicks.parent / "out.csv")
    assert read["python"].is_unique
    assert read["numpy"].is_unique


def test_parquet_and_json_lines_are_grouped_as_csv_is(clicks: Path) -> None:
    frame = pd.read_csv(clicks)
    frame.to_parquet(clicks.parent / "in.parquet")
    frame.to_json(clicks.parent / "in.jsonl", orient="records", lines=True)
    expected = by_pandas(frame, one_row_of_clicks, "page", dropna=True)
    assert expected is not None
    for pipeline in (muster.read_parquet(clicks.parent / "in.parquet"), muster.read_json(clicks.parent / "in.jsonl")):
        pipeline.group_by("page").map_groups(one_row_of_clicks).write_csv(clicks.parent / "o.csv").run(workers=0)
        assert (clicks.parent / "o.csv").read_text() == expected.to_csv(index=False)


def one_row_of_clicks(df: pd.DataFrame) -> pd.DataFrame:
    return pd.DataFrame({"page": [df["page"].iloc[0]], "n": [len(df)], "most": [df["seconds"].max()]})


def test_categories_and_times_in_a_zone_are_keys(tmp_path: Path) -> None:
    frame = pd.DataFrame(
        {
            "kind": pd.Categorical(["a", "b", None, "a"], categories=["z", "b", "a"]),
            "at": pd.to_datetime(["2026-03-29 01:00", "2026-03-29 03:00", "NaT", "2026-03-29 01:00"]).tz_localize(
                "Europe/Berlin"
            ),
        }
    )
    frame.to_parquet(tmp_path / "in.parquet")
    for columns, sort in (
        ("kind", False),
        ("kind", True),
        ("at", True),
        (["at", "kind"], False),
        (["at", "kind"], True),
    ):
        grouped = muster.read_parquet(tmp_path / "in.parquet").group_by(columns, dropna=False)
        mapped = grouped.map_groups(lambda df: df.assign(n=len(df)), sort=sort)
        mapped.write_csv(tmp_path / "out.csv").run(workers=0)
        pieces = frame.groupby(columns, sort=sort, dropna=False, observed=True)
        expected = pd.concat([group.assign(n=len(group)) for _, group in pieces]).to_csv(index=False)
        assert (tmp_path / "out.csv").read_text() == expected


def test_keys_that_are_numbers_and_texts_are_sorted_as_pandas_sorts_them(tmp_path: Path) -> None:
    values = ["b", 2, 10, "a", 1.5, None, "10", -1, True, "b", 2]
    (tmp_path / "in.jsonl").write_text(
        "".join(f"{json.dumps({'k': value, 'n': at})}\n" for at, value in enumerate(values))
    )
    frame = pd.DataFrame({"k": pd.Series(values, dtype=object), "n": range(len(values))})
    for dropna in (True, False):
        grouped = muster.read_json(tmp_path / "in.jsonl").group_by("k", dropna=dropna)
        mapped = grouped.map_groups(lambda df: df[["n"]], sort=True)
        mapped.write_csv(tmp_path / "out.csv").run(workers=0, part_bytes=40)
        expected = pd.concat([group[["n"]] for _, group in frame.groupby("k", dropna=dropna)])
        assert (tmp_path / "out.csv").read_text() == expected.to_csv(index=False)


def test_a_key_is_a_value_where_one_name_was_given_and_else_a_tuple(clicks: Path) -> None:
    def told(df: pd.DataFrame, key: object) -> pd.DataFrame:
        del df
        return pd.DataFrame({"kind": [type(key).__name__], "value": [str(key)]})

    for columns, kind in (("user", "int"), (["user"], "tuple"), (["user", "page"], "tuple")):
        through(clicks, told, columns)
        assert pd.read_csv(clicks.parent / "out.csv")["kind"].unique().tolist() == [kind]


NULLABLE = ["Int64", "UInt16", "Float64", "boolean", "string"]


@pytest.mark.parametrize("columns", ["Int64", ["Int64"], NULLABLE, ["boolean", "plain"]], ids=str)
def test_a_function_gets_each_key_in_the_types_of_pandas(tmp_path: Path, columns: str | list[str]) -> None:
    def types_of(key: object) -> list[str]:
        return [f"{type(one).__qualname__} {one}" for one in (key if isinstance(key, tuple) else (key,))]

    def told(df: pd.DataFrame, key: object) -> pd.DataFrame:
        return pd.DataFrame({"types": [" ".join(types_of(key))], "rows": [len(df)]})

    columns_of = {"plain": [3, 4, 3, 5], **{one: [1, 0, 1, None] for one in NULLABLE}, "string": ["b", "a", "b", None]}
    frame = pd.DataFrame(columns_of).astype({name: name for name in NULLABLE})
    frame.to_parquet(tmp_path / "in.parquet")
    grouped = muster.read_parquet(tmp_path / "in.parquet").group_by(columns, dropna=False)
    grouped.map_groups(told).write_csv(tmp_path / "out.csv").run(workers=0)
    read = pd.read_parquet(tmp_path / "in.parquet")
    by_pandas = [told(df, key) for key, df in read.groupby(columns, sort=False, dropna=False)]
    assert (tmp_path / "out.csv").read_text() == pd.concat(by_pandas).to_csv(index=False)


class Counter:
    """Is built once in each worker, and called with rows and key."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __call__(self, df: pd.DataFrame, key: int) -> pd.DataFrame:
        return pd.DataFrame({"user": [key], self.name: [len(df)]})


def test_a_class_is_built_with_arguments_and_called_with_groups(clicks: Path) -> None:
    through(clicks, Counter, args={"name": "n"}, workers=2)
    counted = pd.read_csv(clicks.parent / "out.csv")
    assert counted["n"].sum() == 1500
    assert [*counted] == ["user", "n"]


def test_a_second_parameter_that_has_a_value_is_no_key(clicks: Path) -> None:
    def tops(df: pd.DataFrame, most: int) -> pd.DataFrame:
        return df.head(most)

    def first(df: pd.DataFrame, most: int = 1) -> pd.DataFrame:
        return df.head(most)

    assert through(clicks, tops, args={"most": 1}).rows_out == through(clicks, first).rows_out


def test_a_function_may_take_arrow_or_polars(clicks: Path) -> None:
    import polars as pl  # noqa: PLC0415 (loaded where it is tested)

    def in_polars(df: pl.DataFrame) -> pl.DataFrame:
        return df.select(pl.col("user").first(), n=pl.len())

    through(clicks, in_polars)
    assert pd.read_csv(clicks.parent / "out.csv")["n"].sum() == 1500


def fails_for_some(df: pd.DataFrame, key: int) -> pd.DataFrame:
    if key % 100 == 3:
        raise ValueError(f"no {key}")
    return pd.DataFrame({"user": [key], "n": [len(df)]})


@pytest.mark.parametrize("workers", [0, 2])
def test_every_row_of_a_group_that_fails_is_in_the_rejects_and_the_others_are_done(clicks: Path, workers: int) -> None:
    with pytest.warns(muster.RejectedRowsWarning):
        result = through(clicks, fails_for_some, workers=workers)
    frame = pd.read_csv(clicks)
    bad = frame[frame["user"] % 100 == 3]
    rejects = [json.loads(line) for line in (clicks.parent / "out.csv.rejects.jsonl").read_text().splitlines()]
    assert (result.rows_in, result.bad_rows) == (1500, len(bad))
    assert sorted(one["row"] for one in rejects) == sorted(bad.index)
    assert {(one["key"], one["step"], one["error"]) for one in rejects} == {
        (str(key), "fails_for_some", f"ValueError: no {key}") for key in bad["user"]
    }
    assert {one["file"] for one in rejects} == {str(clicks)}
    assert all(f"'user': {one['key']}, " in one["raw"] for one in rejects)
    assert pd.read_csv(clicks.parent / "out.csv")["n"].sum() == 1500 - len(bad)


def test_too_many_bad_rows_stop_the_run_and_strict_stops_at_the_first_group(clicks: Path) -> None:
    with pytest.raises(TooManyBadRowsError):
        through(clicks, fails_for_some, max_bad_rows=10)
    with pytest.raises(TooManyBadRowsError, match=r"no \d"):
        through(clicks, fails_for_some, strict=True)


def test_a_function_that_fails_on_every_group_is_to_blame(clicks: Path) -> None:
    def broken(df: pd.DataFrame) -> pd.DataFrame:
        return df[["no such column"]]

    with pytest.raises(UserCodeError, match=r"'broken' fails on all \d+ groups that were tried"):
        through(clicks, broken)


def test_rows_that_cannot_be_read_are_rejected_and_the_others_are_grouped(tmp_path: Path) -> None:
    lines = ["user,n", *(f"{at % 3},{at}" for at in range(90))]
    lines[40] = "1,2,3,4"
    (tmp_path / "in.csv").write_text("\n".join(lines) + "\n")
    with pytest.warns(muster.RejectedRowsWarning):
        result = through(tmp_path / "in.csv", lambda df: df.head(1).assign(rows=len(df)))
    assert (result.rows_in, result.bad_rows) == (90, 1)
    assert pd.read_csv(tmp_path / "out.csv")["rows"].sum() == 89


@pytest.mark.parametrize("how", ["os._exit(1)", "time.sleep(60)"])
def test_a_group_that_ends_its_worker_is_rejected_alone(clicks: Path, how: str) -> None:
    (clicks.parent / "deadly.py").write_text(
        "import os, time\nimport pandas as pd\n"
        f"def deadly(df, key):\n    if key == 7:\n        {how}\n"
        "    return pd.DataFrame({'user': [key], 'n': [len(df)]})\n"
    )
    with pytest.warns(muster.RejectedRowsWarning):
        result = through(
            clicks, f"{clicks.parent}/deadly.py:deadly", workers=2, timeout=2, max_bad_rows=5000, part_bytes=10_000
        )
    frame = pd.read_csv(clicks)
    of_seven = int((frame["user"] == 7).sum())
    assert result.bad_rows == of_seven
    assert sorted(pd.read_csv(clicks.parent / "out.csv")["user"]) == sorted(set(frame["user"]) - {7})


def test_an_input_without_rows_has_the_columns_that_the_function_gives(tmp_path: Path) -> None:
    (tmp_path / "in.csv").write_text("user,n\n")
    assert through(tmp_path / "in.csv", lambda df: df.assign(k=1)).rows_out == 0
    assert (tmp_path / "out.csv").read_text() == "user,n,k\n"


def test_types_that_turn_out_too_narrow_are_settled_anew(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    rows = [f"{at % 5},{at}" for at in range(60_000)]
    rows[23_457] = "2,a word"
    (tmp_path / "in.csv").write_text("user,n\n" + "\n".join(rows) + "\n")
    result = through(
        tmp_path / "in.csv",
        lambda df: pd.DataFrame({"last": [df["n"].iloc[-1]], "rows": [len(df)]}),
        part_bytes=3_000,  # so that there is a part that nobody looks at before
        progress=True,
    )
    assert "starting over" in capfd.readouterr().err
    assert result.rows_in == 60_000
    assert pd.read_csv(tmp_path / "out.csv")["rows"].tolist() == [12_000] * 5


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda it: it.group_by("usr").map_groups(all_of_it), "no column 'usr' to group by. Did you mean 'user'"),
        (lambda it: it.group_by([]), "one or more names"),
        (lambda it: it.group_by(0), "Where an input has no header, the names of its columns are '0', '1' and so on"),
        (lambda it: it.group_by(["user", "user"]), "each once"),
        (lambda it: it.group_by(3), "the name of a column"),
        (lambda it: it.group_by("user").map_groups(3), "no function"),
        (lambda it: it.group_by("user").map_groups(by_name), r"'key' is given by its place: no \* may stand before it"),
    ],
)
def test_what_cannot_be_grouped_is_refused_in_words(
    clicks: Path, make: Callable[[muster.Pipeline], muster.Pipeline], said: str
) -> None:
    with pytest.raises(UsageError, match=said):
        make(muster.read_csv(clicks)).write_csv(clicks.parent / "out.csv").run(workers=0)
    assert not (clicks.parent / "out.csv.muster").exists()


@pytest.mark.parametrize("options", [{"limit": 1700}, {"sample": 700}])
def test_only_some_rows_of_the_input_are_grouped_where_that_is_asked(clicks: Path, options: dict[str, Any]) -> None:
    frame = pd.read_csv(clicks)
    frame.assign(user=frame["user"] + 1).to_csv(clicks.parent / "2.csv", index=False)
    inputs = [clicks, clicks.parent / "2.csv"]
    muster.run(all_of_it, inputs, clicks.parent / "some.csv", workers=0, **options)
    expected = by_pandas(pd.read_csv(clicks.parent / "some.csv"), one_row_of_clicks, "user", dropna=True)
    assert expected is not None
    for workers in (0, 2):
        grouped = muster.read_csv(inputs).group_by("user").map_groups(one_row_of_clicks)
        result = grouped.write_csv(clicks.parent / "out.csv").run(workers=workers, fresh=True, **options)
        assert (result.rows_in, result.estimate) == (*options.values(), None)
        assert (clicks.parent / "out.csv").read_text() == expected.to_csv(index=False)


def test_workers_are_replaced_behind_tasks_that_have_called_the_function_often_enough(clicks: Path) -> None:
    def told(df: pd.DataFrame) -> pd.DataFrame:
        return pd.DataFrame({"process": [os.getpid()], "n": [len(df)]})

    through(clicks, told, workers=1, calls_per_worker=30, part_bytes=3_000)
    done = pd.read_csv(clicks.parent / "out.csv")
    assert done["n"].sum() == 1500
    assert done["process"].nunique() >= 2


def test_a_column_of_lists_is_no_key(tmp_path: Path) -> None:
    (tmp_path / "in.jsonl").write_text('{"a": [1]}\n{"a": [2]}\n')
    grouped = muster.read_json(tmp_path / "in.jsonl").group_by("a").map_groups(all_of_it)
    with pytest.raises(DataError, match="cannot be grouped"):
        grouped.write_csv(tmp_path / "out.csv").run(workers=0)


def test_blocks_are_gone_when_the_run_is_done(clicks: Path) -> None:
    through(clicks, all_of_it)
    assert sorted(path.name for path in clicks.parent.iterdir()) == ["in.csv", "out.csv"]


CURES: Final[dict[str, tuple[Callable[[pd.DataFrame], Any], str]]] = {
    "a number": (len, r"pd\.DataFrame\(\[\{'name': it\}\]\)"),
    "a row": (lambda df: df.sum(numeric_only=True), r"If it is a row, return pd\.DataFrame\(\[it\]\)"),
    "nothing": (lambda _: None, "Is a `return df` missing"),
    "a typo": (lambda df: df[["nn"]], "did you mean 'n'"),
    "a date": (lambda df: df.assign(year=df["day"].dt.year), r"dtype=\{'day': 'datetime'\} makes it a date"),
    "one value": (lambda df: df if df["n"] else df[:1], "It gets many rows"),
}


@pytest.mark.parametrize("by", ["groups", "states"])
@pytest.mark.parametrize("kind", CURES)
def test_a_function_that_fails_on_all_alike_is_told_what_would_mend_it(tmp_path: Path, kind: str, by: str) -> None:
    (tmp_path / "in.csv").write_text("k,n,day\n" + "".join(f"{at % 9},{at},2026-01-{at + 1:02}\n" for at in range(30)))
    function, cure = CURES[kind]
    rows = muster.read_csv(tmp_path / "in.csv")
    if by == "groups":
        pipeline = rows.group_by("k").map_groups(function)
    else:
        pipeline = rows.key_by("k").map_batches(lambda df, states: (states, function(df))[1], state=int)
    with pytest.raises(UserCodeError, match=cure):
        pipeline.write_csv(tmp_path / "out.csv").run(workers=0)
