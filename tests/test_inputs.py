"""What may be named as input and as output: files, patterns, folders; and how files go together."""

import gzip
import hashlib
import json
import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, Literal

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import muster
from conftest import Ended, Muster
from muster._dialects import Dialect
from muster._formats.streams import Stream
from muster._formats.survey import atom_of
from muster._model import Source

Run = Callable[..., Ended]

MEGABYTE: Final = 1 << 20


def same(frame: pd.DataFrame) -> pd.DataFrame:
    return frame


def text(path: Path, content: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content, encoding="utf-8")
    return path


def lines(inputs: Any, tmp_path: Path, **options: Any) -> list[str]:  # noqa: ANN401 (whatever muster.run takes)
    """Run over inputs and tell the lines of the output after its header."""
    muster.run(same, inputs, tmp_path / "out.csv", **{"workers": 0, **options})
    return (tmp_path / "out.csv").read_text(encoding="utf-8").splitlines()[1:]


@pytest.fixture
def run(muster: Muster, tmp_path: Path) -> Run:
    """Type ``muster run`` with a function that changes nothing."""
    text(tmp_path / "same.py", "def same(df):\n    return df\n")

    def call(*arguments: str | Path) -> Ended:
        return muster("run", "same.py:same", *arguments, "--quiet", "--workers", "0")

    return call


def refused(ended: Ended, *words: str, code: int = 2) -> None:
    """Check that a command ended with this code and one clear message that has these words in it."""
    assert ended.code == code, ended.err
    assert "Traceback" not in ended.err
    assert ended.err.startswith("muster: ")
    for word in words:
        assert word in ended.err


# Which files


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """Make a tree of files, each with one row that says which it is."""
    tree = tmp_path / "tree"
    for name in (
        "b.csv",
        "a.csv",
        "c10.csv",
        "c9.csv",
        "deep/d.csv",
        "deep/er/e.csv",
        "_f.csv",
        ".g.csv",
        "deep/.h.csv",
    ):
        text(tree / name, f"name\n{name}\n")
    return tree


@pytest.mark.parametrize(
    ("inputs", "expected"),
    [
        pytest.param(["a.csv"], ["a.csv"], id="a file"),
        pytest.param(["b.csv", "a.csv"], ["b.csv", "a.csv"], id="files in the order given"),
        pytest.param(["a.csv", "a.csv"], ["a.csv", "a.csv"], id="a file twice"),
        pytest.param(["*.csv"], ["_f.csv", "a.csv", "b.csv", "c10.csv", "c9.csv"], id="a glob in name order"),
        pytest.param(["c?.csv", "[ab].csv"], ["c9.csv", "a.csv", "b.csv"], id="globs one after the other"),
        pytest.param(
            ["**/*.csv"],
            ["_f.csv", "a.csv", "b.csv", "c10.csv", "c9.csv", "deep/d.csv", "deep/er/e.csv"],
            id="a glob of all folders",
        ),
        pytest.param(["deep"], ["deep/d.csv", "deep/er/e.csv"], id="a folder, with those below, without hidden files"),
        pytest.param(
            ["."],
            ["a.csv", "b.csv", "c10.csv", "c9.csv", "deep/d.csv", "deep/er/e.csv"],
            id="a folder, without _ and hidden files",
        ),
        pytest.param(["_f.csv", ".g.csv"], ["_f.csv", ".g.csv"], id="hidden files when they are named"),
        pytest.param(["deep/", "a.csv"], ["deep/d.csv", "deep/er/e.csv", "a.csv"], id="a folder with a slash"),
    ],
)
def test_inputs_are_read_in_name_order_or_as_given(
    tree: Path, tmp_path: Path, inputs: list[str], expected: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert lines([f"{tree}/{name}" for name in inputs], tmp_path) == expected
    monkeypatch.chdir(tree)
    assert lines(inputs, tmp_path, fresh=True) == expected


def test_names_may_have_blanks_and_any_letters(tmp_path: Path, run: Run) -> None:
    text(tmp_path / "données à lire/ein Blatt 水.csv", "a\n1\n")
    ended = run("données à lire/*.csv", "-o", "résultat final.csv")
    assert ended.code == 0, ended.err
    assert (tmp_path / "résultat final.csv").read_text() == "a\n1\n"
    assert run("données à lire/ein Blatt 水.csv", "-o", "in parts/").code == 0
    assert (tmp_path / "in parts/part-00000.csv").read_text() == "a\n1\n"


def test_a_file_whose_name_looks_like_a_pattern_is_that_file(tmp_path: Path) -> None:
    text(tmp_path / "a[1].csv", "name\nbrackets\n")
    text(tmp_path / "a1.csv", "name\nplain\n")
    assert lines(tmp_path / "a[1].csv", tmp_path) == ["brackets"]


def test_suffixes_count_in_capitals_too(tmp_path: Path) -> None:
    assert lines(text(tmp_path / "IN.CSV", "a\n1\n"), tmp_path) == ["1"]


# One header rule


def test_columns_in_another_order_are_matched_by_name(tmp_path: Path) -> None:
    text(tmp_path / "a.csv", "x,y,z\n1,2,3\n")
    text(tmp_path / "b.csv", "z,x,y\n30,10,20\n")
    text(tmp_path / "c.csv", "y,z,x\n")
    muster.run(same, tmp_path / "*.csv", f"{tmp_path}/out/", workers=0)
    assert (tmp_path / "out/part-00000.csv").read_text() == "x,y,z\n1,2,3\n10,20,30\n"


@pytest.mark.parametrize("suffix", [".csv", ".csv.gz"])
def test_types_are_those_of_all_files_together(tmp_path: Path, suffix: str) -> None:
    pd.DataFrame({"a": [1, 2], "b": ["007", "008"]}).to_csv(tmp_path / f"1{suffix}", index=False)
    pd.DataFrame({"a": [2.5, None], "b": ["009", "x"]}).to_csv(tmp_path / f"2{suffix}", index=False)
    assert lines(tmp_path / f"[12]{suffix}", tmp_path) == ["1.0,007", "2.0,008", "2.5,009", ",x"]


def test_plain_and_compressed_files_may_be_mixed(tmp_path: Path) -> None:
    for name in ("1.csv", "2.csv.gz", "3.csv", "4.csv.gz"):
        pd.DataFrame({"a": [name]}).to_csv(tmp_path / name, index=False)
    assert lines(tmp_path / "*.csv*", tmp_path, workers=2) == ["1.csv", "2.csv.gz", "3.csv", "4.csv.gz"]


def test_files_without_a_column_in_common_stop_the_run_and_are_named(tmp_path: Path, run: Run) -> None:
    text(tmp_path / "a.csv", "x,y\n1,2\n")
    text(tmp_path / "b.csv", "1,2\n3,4\n")
    refused(run("a.csv", "b.csv", "-o", "out.csv"), "'b.csv'", "'a.csv'", "['x', 'y']", "['1', '2']", code=1)
    assert not (tmp_path / "out.csv").exists()


DIFFERING: Final = {
    "a.csv": "n,t,whole\n1,x,1\n2,y,2\n",
    "b.csv": "t,late,n\nz,true,3\n",
    "c.csv": "",
    "d.csv": "late,n,late.1\nfalse,4,2024-01-01\n,5,\n",
}


@pytest.mark.parametrize(("workers", "part_bytes"), [(0, None), (0, 8), (2, 8)])
def test_files_that_lack_columns_are_read_as_pandas_puts_them_together(
    tmp_path: Path, workers: int, part_bytes: int | None
) -> None:
    for name, content in DIFFERING.items():
        text(tmp_path / "in" / name, content)
    files = sorted(path for path in (tmp_path / "in").iterdir() if path.stat().st_size)
    expected = pd.concat([pd.read_csv(path) for path in files], ignore_index=True)
    muster.run(same, tmp_path / "in", tmp_path / "out.parquet", workers=workers, part_bytes=part_bytes)
    expected.to_parquet(tmp_path / "expected.parquet")
    found = pd.read_parquet(tmp_path / "out.parquet")
    pd.testing.assert_frame_equal(found, pd.read_parquet(tmp_path / "expected.parquet"))
    muster.run(same, tmp_path / "in", tmp_path / "out.csv", workers=workers, part_bytes=part_bytes)
    assert (tmp_path / "out.csv").read_text() == expected.to_csv(index=False)


def test_a_column_that_a_file_lacks_is_said_and_must_not_be_of_a_type_without_gaps(
    tmp_path: Path, muster: Muster
) -> None:
    text(tmp_path / "a.csv", "x,y\n1,2\n")
    text(tmp_path / "b.csv", "x\n1\n")
    text(tmp_path / "same.py", "def same(df):\n    return df\n")
    ended = muster("run", "same.py:same", "a.csv", "b.csv", "-o", "out.csv", "--workers", "0")
    assert "'b.csv' lacks column 'y': it is missing there" in ended.err
    assert (tmp_path / "out.csv").read_text() == "x,y\n1,2.0\n1,\n"
    ended = muster("run", "same.py:same", "a.csv", "b.csv", "-o", "o2.csv", "--workers", "0", "--dtype", "y=int64")
    refused(ended, "'b.csv' lacks column 'y'", "int64 has no missing value", code=1)


def test_other_columns_or_types_of_parquet_stop_the_run_and_are_named(tmp_path: Path, run: Run) -> None:
    pq.write_table(pa.table({"x": [1]}), tmp_path / "a.parquet")
    pq.write_table(pa.table({"x": ["text"]}), tmp_path / "b.parquet")
    refused(
        run("a.parquet", "b.parquet", "-o", "out.csv"), "'x'", "int64 in 'a.parquet'", "string in 'b.parquet'", code=1
    )


def test_empty_files_among_the_inputs_are_no_trouble(tmp_path: Path) -> None:
    text(tmp_path / "1.csv", "")
    text(tmp_path / "2.csv", "a,b\n1,x\n")
    text(tmp_path / "3.csv", "b,a\n")
    text(tmp_path / "4.csv", "")
    text(tmp_path / "5.csv", "a,b\n2,y")
    assert lines(tmp_path / "[1-5].csv", tmp_path) == ["1,x", "2,y"]


def test_rows_are_numbered_in_each_file_anew(tmp_path: Path) -> None:
    def number(frame: pd.DataFrame) -> pd.DataFrame:
        return frame.assign(row=frame.index)

    for name in "ab":
        text(tmp_path / f"{name}.csv", "v\n" + f"{name}\n" * 3)
    muster.run(number, tmp_path / "*.csv", f"{tmp_path}/out/", workers=0)
    assert (tmp_path / "out/part-00000.csv").read_text() == "v,row\na,0\na,1\na,2\nb,0\nb,1\nb,2\n"


def test_rejects_name_the_file_and_its_own_row(tmp_path: Path) -> None:
    text(tmp_path / "a.csv", "v,w\n1,2\n3\n")
    text(tmp_path / "b.csv", "w,v\n1,2,3\n")
    muster.run(same, [tmp_path / "a.csv", tmp_path / "b.csv"], tmp_path / "out.csv", workers=0)
    found = [json.loads(line) for line in (tmp_path / "out.csv.rejects.jsonl").read_text().splitlines()]
    assert [(Path(reject["file"]).name, reject["row"], reject["raw"]) for reject in found] == [
        ("a.csv", 1, "3"),
        ("b.csv", 0, "1,2,3"),
    ]


# What cannot be read


@pytest.mark.parametrize("name", ["missing.csv", "missing*.csv", "empty", "missing/", "missing/**/*.csv"])
def test_an_input_that_names_nothing_is_a_wrong_command(tmp_path: Path, run: Run, name: str) -> None:
    (tmp_path / "empty").mkdir()
    text(tmp_path / "in.csv", "a\n1\n")
    refused(run("in.csv", name, "-o", "out.csv"), repr(name), "no such file")
    assert not (tmp_path / "out.csv.muster").exists()


@pytest.mark.parametrize("name", ["in.txt", "in", "in.csv.lzma", "in.csv.gz.gz", "in.xlsx", "in.parquet.gz"])
def test_an_unknown_suffix_is_a_wrong_command(tmp_path: Path, run: Run, name: str) -> None:
    text(tmp_path / name, "a\n1\n")
    refused(run(name, "-o", "out.csv"), repr(name), "parquet")
    text(tmp_path / "in.csv", "a\n1\n")
    refused(run("in.csv", "-o", name.replace("in", "out")), repr(name.replace("in", "out")))


def test_a_format_may_be_said_where_no_suffix_does(tmp_path: Path, run: Run) -> None:
    text(tmp_path / "rows", '{"a":1}\n')
    ended = run("rows", "-o", "out", "--format", "jsonl")
    assert ended.code == 0, ended.err
    assert (tmp_path / "out").read_text() == '{"a":1}\n'


def test_formats_cannot_be_mixed(tmp_path: Path, run: Run) -> None:
    text(tmp_path / "a.csv", "a\n1\n")
    text(tmp_path / "b.jsonl", '{"a":1}\n')
    refused(run("a.csv", "b.jsonl", "-o", "out.csv"), "several formats", "csv", "jsonl")


def test_csv_and_tsv_are_not_read_with_one_delimiter_in_silence(tmp_path: Path, run: Run) -> None:
    text(tmp_path / "a.csv", "a,b\n1,2\n")
    text(tmp_path / "b.tsv", "a\tb\n3\t4\n")
    ended = run("a.csv", "b.tsv", "-o", "out.csv")
    if ended.code == 0:
        assert (tmp_path / "out.csv").read_text() == "a,b\n1,2\n3,4\n"
    else:
        refused(ended, code=ended.code)


def test_what_is_no_regular_file_is_refused_not_waited_for(tmp_path: Path, run: Run) -> None:
    os.mkfifo(tmp_path / "pipe.csv")
    refused(run("pipe.csv", "-o", "out.csv"), "'pipe.csv'", "not a regular file")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read_is_a_wrong_command(tmp_path: Path, run: Run) -> None:
    text(tmp_path / "in.csv", "a\n1\n").chmod(0)
    refused(run("in.csv", "-o", "out.csv"), "'in.csv'", "permission")


# Where the output goes


def test_an_output_that_cannot_be_is_a_wrong_command(tmp_path: Path, run: Run) -> None:
    text(tmp_path / "in.csv", "a\n1\n")
    (tmp_path / "folder").mkdir()
    text(tmp_path / "full/notes.txt", "mine")
    refused(run("in.csv", "-o", "nowhere/out.csv"), "No folder", "nowhere")
    refused(run("in.csv", "-o", "folder"), "'folder'")
    refused(run("in.csv", "-o", "folder.csv/../folder"), "folder")
    refused(run("in.csv", "-o", "full/"), "'full/'", "did not write")
    refused(run("in.csv", "-o", "in.csv/"), "in.csv")
    refused(run("in.csv", "-o", "/proc/out.csv"), "/proc/out.csv")
    assert (tmp_path / "full/notes.txt").read_text() == "mine"
    assert (tmp_path / "in.csv").read_text() == "a\n1\n"


def test_the_output_may_be_named_by_an_absolute_or_a_relative_path(tmp_path: Path, run: Run) -> None:
    text(tmp_path / "in/a.csv", "a\n1\n")
    (tmp_path / "out").mkdir()
    assert run("in/a.csv", "-o", "out/relative.csv").code == 0
    assert run(tmp_path / "in/a.csv", "-o", tmp_path / "out/absolute.csv").code == 0
    assert run("./in/../in/a.csv", "-o", "./out/../out/dotted.csv").code == 0
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["absolute.csv", "dotted.csv", "relative.csv"]


@pytest.mark.parametrize("output", ["rows.csv", "./rows.csv", "../{folder}/rows.csv", "{absolute}/rows.csv"])
def test_an_input_is_never_overwritten_whatever_its_name(tmp_path: Path, run: Run, output: str) -> None:
    text(tmp_path / "rows.csv", "a\n1\n2\n")
    output = output.format(folder=tmp_path.name, absolute=tmp_path)
    refused(run("rows.csv", "-o", output), "both input and output")
    assert (tmp_path / "rows.csv").read_text() == "a\n1\n2\n"


def test_an_earlier_output_stays_until_the_new_one_is_complete(tmp_path: Path) -> None:
    def broken(_: pd.DataFrame) -> pd.DataFrame:
        raise ValueError

    text(tmp_path / "in.csv", "a\n1\n")
    muster.run(same, tmp_path / "in.csv", tmp_path / "out.csv", workers=0)
    with pytest.raises(muster.UserCodeError, match="fails on the only row"):
        muster.run(broken, tmp_path / "in.csv", tmp_path / "out.csv", workers=0, strict=True)
    assert (tmp_path / "out.csv").read_text() == "a\n1\n"


# Folders of parts


def manifest(folder: Path) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads((folder / "_manifest.json").read_text())["parts"]
    return found


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make Parquet with rows enough for two output parts."""
    path = tmp_path_factory.mktemp("many") / "in.parquet"
    pq.write_table(pa.table({"a": range(1_200_000)}), path, row_group_size=100_000)
    return path


READ: Final[dict[str, Callable[[Path], pd.DataFrame]]] = {
    "csv": pd.read_csv,
    "jsonl": lambda path: pd.read_json(path, lines=True),
    "parquet": pd.read_parquet,
}


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_a_folder_is_numbered_parts_and_a_manifest_that_is_true(
    tmp_path: Path, many: Path, kind: Literal["csv", "parquet"]
) -> None:
    result = muster.run(same, many, f"{tmp_path}/out/", workers=2, format=kind)
    parts = manifest(tmp_path / "out")
    assert [part["name"] for part in parts] == [f"part-{at:05d}.{kind}" for at in range(len(parts))]
    assert len(parts) > 1
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "_manifest.json",
        *(part["name"] for part in parts),
    ]
    frames = []
    for part in parts:
        data = (tmp_path / "out" / part["name"]).read_bytes()
        frames.append(READ[kind](tmp_path / "out" / part["name"]))
        assert part["rows"] == len(frames[-1])
        assert part["bytes"] == len(data)
        assert part["sha256"] == hashlib.sha256(data).hexdigest()
    assert pd.concat(frames)["a"].tolist() == list(range(1_200_000))
    assert sum(part["rows"] for part in parts) == result.rows_out == 1_200_000


def test_the_parts_are_the_same_for_any_number_of_workers(tmp_path: Path) -> None:
    wide = "w" * MEGABYTE
    text(tmp_path / "in.csv", "a,b\n" + "".join(f"{at},{wide}\n" for at in range(140)))
    for workers in (0, 1, 2):
        muster.run(same, tmp_path / "in.csv", f"{tmp_path}/out{workers}/", workers=workers)
    found = [manifest(tmp_path / f"out{workers}") for workers in (0, 1, 2)]
    assert len(found[0]) > 1
    assert found[0] == found[1] == found[2]
    assert sum(part["rows"] for part in found[0]) == 140


def test_a_second_run_replaces_the_folder_as_a_whole(tmp_path: Path, many: Path) -> None:
    muster.run(same, many, f"{tmp_path}/out/", workers=2, format="parquet")
    before = len(manifest(tmp_path / "out"))
    text(tmp_path / "small.csv", "a\n1\n")
    muster.run(same, tmp_path / "small.csv", f"{tmp_path}/out/", workers=0)
    assert before > 1
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["_manifest.json", "part-00000.csv"]
    assert not (tmp_path / "out.muster").exists()


def test_a_folder_that_muster_wrote_is_an_input_again(tmp_path: Path) -> None:
    text(tmp_path / "in.csv", "a\n1\n2\n")
    muster.run(same, tmp_path / "in.csv", f"{tmp_path}/out/", workers=0)
    assert lines(tmp_path / "out", tmp_path) == ["1", "2"]


@pytest.mark.parametrize(
    ("name", "expected"),
    [("in.tsv", "part-00000.csv"), ("in.csv.gz", "part-00000.csv"), ("in.jsonl", "part-00000.jsonl")],
)
def test_parts_have_the_format_of_the_input_unless_another_is_said(tmp_path: Path, name: str, expected: str) -> None:
    frame = pd.DataFrame({"a": [1, 2], "b": ["x", "y,z"]})
    if name.endswith("jsonl"):
        frame.to_json(tmp_path / name, orient="records", lines=True)
    else:
        frame.to_csv(tmp_path / name, index=False, sep="\t" if "tsv" in name else ",")
    muster.run(same, tmp_path / name, f"{tmp_path}/out/", workers=0)
    muster.run(same, tmp_path / name, f"{tmp_path}/other/", workers=0, format="parquet")
    assert [part["name"] for part in manifest(tmp_path / "out")] == [expected]
    pd.testing.assert_frame_equal(pd.read_parquet(tmp_path / "other/part-00000.parquet"), frame)
    if name == "in.tsv":
        assert (tmp_path / "out" / expected).read_text() == 'a,b\n1,x\n2,"y,z"\n'


def test_a_folder_without_rows_has_a_manifest_and_the_header(tmp_path: Path) -> None:
    text(tmp_path / "in.csv", "a,b\n")
    muster.run(same, tmp_path / "in.csv", f"{tmp_path}/out/", workers=0)
    assert [part["rows"] for part in manifest(tmp_path / "out")] == [0]
    assert (tmp_path / "out/part-00000.csv").read_text() == "a,b\n"


def test_an_output_may_be_read_by_others_as_any_new_file(tmp_path: Path) -> None:
    text(tmp_path / "in.csv", "a\n1\n")
    for name in ("out.csv", "out.csv.gz", "out.parquet", "folder/"):
        muster.run(same, tmp_path / "in.csv", f"{tmp_path}/{name}", workers=0)
        written = tmp_path / name / "part-00000.csv" if name == "folder/" else tmp_path / name
        assert stat.S_IMODE(written.stat().st_mode) == stat.S_IMODE((tmp_path / "in.csv").stat().st_mode)


# What changes while it is read


def test_an_input_that_changes_while_it_is_read_gives_no_output(tmp_path: Path) -> None:
    path = text(tmp_path / "in.csv", "a\n" + "1\n" * 100_000)

    def change(frame: pd.DataFrame) -> pd.DataFrame:
        with path.open("r+b") as file:
            file.seek(2)
            file.write(b"2\n" * 100_000)
        return frame

    with pytest.raises(muster.MusterError, match="changed"):
        muster.run(change, path, tmp_path / "out.csv", workers=0)
    assert not (tmp_path / "out.csv").exists()


# In one process, one run after the other


@pytest.mark.parametrize("suffix", [".csv", ".parquet", ".jsonl", ".csv.gz"])
def test_an_input_that_was_replaced_is_read_anew_by_the_next_run(tmp_path: Path, suffix: str) -> None:
    def write(frame: pd.DataFrame) -> None:
        new = tmp_path / f"new{suffix}"
        if suffix == ".parquet":
            frame.to_parquet(new)
        elif suffix == ".jsonl":
            frame.to_json(new, orient="records", lines=True)
        else:
            frame.to_csv(new, index=False)
        new.replace(tmp_path / f"in{suffix}")

    for content in (["one", "two"], ["2ND", "RUN"], ["three", "is", "longer"]):
        write(pd.DataFrame({"a": content}))
        assert lines(tmp_path / f"in{suffix}", tmp_path) == content


# Parts of what cannot be split


def test_there_are_not_too_many_parts_however_large_a_stream_is() -> None:
    read = parts = 0
    while read < 100 << 30:
        parts += -(-(4 << 20) // atom_of(read))
        read += 4 << 20
    assert parts < 150_000


def test_parts_of_many_streams_grow_with_all_that_was_read_and_hold_every_row(tmp_path: Path) -> None:
    text = "n\n" + "".join(f"{n:0100}\n" for n in range(20_000))
    for before, most in ((0, 1_000), (1 << 40, 4)):
        path = tmp_path / "in.csv.gz"
        path.write_bytes(gzip.compress(text.encode()))
        source = Source(str(path), path.stat().st_size, "", "csv", "gzip")
        stream = Stream(source, 0, dialect=Dialect(), folder=tmp_path, before=before)
        parts = [part for more in stream for part in more]
        assert sum(part.rows for part in parts) == 20_000
        assert stream.size == len(text)
        assert len(parts) <= most
