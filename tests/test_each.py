"""``--each``: one output for each input, on one set of workers."""

import bz2
import contextlib
import gzip
import io
import json
import os
import random
import signal
import subprocess
import warnings
from pathlib import Path

import pytest

import muster as package
from conftest import MUSTER, Muster, begun, started
from waiting import until

CODE = """
import os

def double(df):
    df["b"] = df["a"].map(int) * 2
    return df

def who(df):
    with open("who.txt", "a") as out:
        print(os.getpid(), file=out)
    return df

def counts(df, seen=[]):
    seen.append(len(df))
    return double(df)
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "f.py").write_text(CODE)
    (tmp_path / "in" / "sub").mkdir(parents=True)
    for name in ("a", "b", "sub/c"):
        (tmp_path / "in" / f"{name}.csv").write_text(f"a\n{len(name)}\n7\n")
    return tmp_path


INLINE = ("--workers", "0")
EACH = ("run", "f.py:double", "in", "-o", "out/", "--each", "--json")


def outputs(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): path.read_text(errors="replace")
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_every_input_has_an_output_of_its_own_and_what_is_unchanged_is_left_alone(folder: Path, muster: Muster) -> None:
    first = muster(*EACH, *INLINE)
    assert (first.code, first.json["done"], first.json["rows_in"]) == (0, 3, 6), first
    expected = {"a.csv": "a,b\n1,2\n7,14\n", "b.csv": "a,b\n1,2\n7,14\n", "sub/c.csv": "a,b\n5,10\n7,14\n"}
    assert outputs(folder / "out") == expected
    before = {path: (folder / "out" / path).stat().st_mtime_ns for path in expected}
    (folder / "in" / "b.csv").write_text("a\n3\n")
    (folder / "in" / "d.csv").write_text("a\n4\n")
    again = muster(*EACH, *INLINE)
    assert (again.code, again.json["done"], again.json["unchanged"]) == (0, 2, 2)
    assert outputs(folder / "out") == {**expected, "b.csv": "a,b\n3,6\n", "d.csv": "a,b\n4,8\n"}
    assert (folder / "out" / "a.csv").stat().st_mtime_ns == before["a.csv"]
    last = muster(*EACH, *INLINE)
    assert (last.json["done"], last.json["unchanged"]) == (0, 4)
    (line,) = last.err.splitlines()
    assert line == "muster: out/: 4 inputs: 4 unchanged"


def test_a_bad_input_keeps_none_of_the_others_from_being_done(folder: Path, muster: Muster) -> None:
    (folder / "in" / "a.csv").write_text("a\nx\ny\n")
    (folder / "in" / "b.csv").write_text("a\n1\nx\n")
    ended = muster(*EACH, *INLINE, "--quiet")
    assert ended.code == 1, ended
    assert outputs(folder / "out").keys() == {"b.csv", "b.csv.rejects.jsonl", "sub/c.csv"}
    by_input = {one["input"]: one for one in ended.json["outputs"]}
    assert [one["exit_code"] for one in by_input.values()] == [1, 4, 0]
    assert by_input["in/a.csv"]["kind"] == "user_code"
    assert (ended.json["done"], ended.json["failed"], ended.json["bad_rows"]) == (2, 1, 1)
    assert "in/a.csv" in ended.err
    assert "1 bad row is in out/b.csv.rejects.jsonl" in ended.err
    (folder / "in" / "a.csv").write_text("a\n1\n")
    again = muster(*EACH, *INLINE)
    assert (again.code, again.json["done"], again.json["unchanged"]) == (4, 1, 2)


@pytest.mark.parametrize(
    ("output", "options", "expected"),
    [
        ("out/{name}.parquet", (), {"a.parquet", "sub/c.parquet"}),
        ("out/{name}-new.jsonl.gz", (), {"a-new.jsonl.gz", "sub/c-new.jsonl.gz"}),
        ("out/", ("--format", "parquet"), {"a.parquet", "sub/c.parquet"}),
        ("out/{name}/", (), {"a/part-00000.csv", "a/_manifest.json", "sub/c/part-00000.csv", "sub/c/_manifest.json"}),
    ],
)
def test_names_follow_a_pattern_or_a_format(
    folder: Path, muster: Muster, output: str, options: tuple[str, ...], expected: set[str]
) -> None:
    (folder / "in" / "b.csv").unlink()
    ended = muster("run", "f.py:double", "in", "-o", output, "--each", *INLINE, *options)
    assert ended.code == 0, ended
    made = {str(path.relative_to(folder / "out")) for path in (folder / "out").rglob("*") if path.is_file()}
    assert made == expected


def test_compressed_inputs_keep_their_suffix_where_muster_writes_it(folder: Path, muster: Muster) -> None:
    for name, opened in (("a.csv.gz", gzip.open), ("b.csv.bz2", bz2.open)):
        plain = folder / "in" / name.rpartition(".")[0]
        with opened(folder / "in" / name, "wb") as packed:
            packed.write(plain.read_bytes())
        plain.unlink()
    assert muster(*EACH, *INLINE).code == 0
    made = {str(path.relative_to(folder / "out")) for path in (folder / "out").rglob("*") if path.is_file()}
    assert made == {"a.csv.gz", "b.csv", "sub/c.csv"}


@pytest.mark.parametrize(
    ("inputs", "output", "said"),
    [
        (("in/a.csv", "in/sub/../a.tsv"), "out/{name}.csv", "same output"),
        (("in",), "out.csv", "{name}"),
        (("in/*.csv",), "in/", "both input and output"),
        (("in",), "in/out/", "lies in"),
        (("in/*.csv",), "in/{name}-new.csv", "the next time"),
        (("in/a.csv", "in/a"), "out/{name}/", "would lie in"),
        (("in/a.tsv", "in/b.csv", "in/b.csv.gz"), "out/{name}.csv", "same output"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_is_done(
    folder: Path, muster: Muster, inputs: tuple[str, ...], output: str, said: str
) -> None:
    (folder / "in" / "a.tsv").write_text("a\n1\n")
    (folder / "in" / "b.csv.gz").write_bytes(gzip.compress(b"a\n1\n"))
    (folder / "in" / "a" / "a").mkdir(parents=True)
    (folder / "in" / "a" / "a" / "x.csv").write_text("a\n1\n")
    before = outputs(folder / "in")
    ended = muster("run", "f.py:double", *inputs, "-o", output, "--each", *INLINE, "--json")
    assert (ended.code, ended.json["kind"]) == (2, "usage"), ended
    assert said in ended.json["error"]
    assert outputs(folder / "in") == before
    assert not (folder / "out").exists()


def test_all_runs_have_the_same_workers_and_each_the_function_as_it_was_loaded(folder: Path, muster: Muster) -> None:
    for at in range(5):
        (folder / "in" / f"x{at}.csv").write_text(f"a\n{at}\n")
    command = ("run", "f.py:who", "in", "-o", "out/", "--each", "--workers", "1", "--json")
    assert muster(*command).json["done"] == 8
    assert len(set((folder / "who.txt").read_text().split())) <= 2  # a worker makes way where a function is doubted
    assert muster(*command).json["unchanged"] == 8
    counting = ("run", "f.py:counts", "in", "-o", "counted/", "--each", "--workers", "1", "--json")
    assert muster(*counting).json["done"] == 8
    assert muster(*counting).json["unchanged"] == 8  # although each call changes what the function holds


def test_every_output_depends_on_what_the_function_reads_once(folder: Path, muster: Muster) -> None:
    (folder / "g.py").write_text(
        "import pathlib\nADDED = int(pathlib.Path('added.txt').read_text())\n"
        "class Adds:\n"
        "    def __init__(self):\n        self.more = int(pathlib.Path('more.txt').read_text())\n"
        "    def __call__(self, df):\n        return df + self.more\n"
    )
    (folder / "added.txt").write_text("1")
    (folder / "more.txt").write_text("10")
    command = ("run", "g.py:Adds", "in", "-o", "out/", "--each", "--workers", "1", "--json")
    assert muster(*command).json["done"] == 3
    assert muster(*command).json["unchanged"] == 3
    (folder / "more.txt").write_text("100")
    assert muster(*command).json["done"] == 3
    assert (folder / "out" / "sub" / "c.csv").read_text() == "a\n105\n107\n"


def test_killed_at_any_moment_it_goes_on_and_every_output_is_whole(folder: Path, muster: Muster) -> None:
    for at in range(20):
        (folder / "in" / f"x{at:02}.csv").write_text("a\n" + "".join(f"{row}\n" for row in range(at, at + 30)))
    chance = random.Random()  # noqa: S311 (no secret)
    command = [*MUSTER, *EACH[:-1], "--workers", "1"]
    for count in (1, chance.randint(2, 9), chance.randint(10, 15)):
        with subprocess.Popen(command, cwd=folder, stderr=subprocess.PIPE, start_new_session=True) as process:
            until(lambda count=count: len(outputs_there(folder / "out")) >= count or process.poll() is not None)  # type: ignore[misc]
            if process.poll() is None:  # or its id may be another's
                os.killpg(process.pid, signal.SIGKILL)
    for path in outputs_there(folder / "out"):
        assert path.read_bytes().count(b"\n") == (folder / "in" / path.relative_to(folder / "out")).read_bytes().count(
            b"\n"
        )
    ended = muster(*EACH, "--workers", "1")
    assert ended.code == 0, ended
    assert ended.json["done"] + ended.json["unchanged"] == 23
    assert ended.json["unchanged"] > 0
    for path in (folder / "in").rglob("*.csv"):
        rows = path.read_text().split()[1:]
        wanted = "a,b\n" + "".join(f"{row},{int(row) * 2}\n" for row in rows)
        assert (folder / "out" / path.relative_to(folder / "in")).read_text() == wanted
    assert not list((folder / "out").rglob("*.muster"))


def outputs_there(folder: Path) -> list[Path]:
    """List outputs, while folders come and go beside them."""
    found = [Path(where) / name for where, _, names in os.walk(folder) for name in names if name.endswith(".csv")]
    return [path for path in found if ".muster" not in str(path)]


def test_on_failure_hears_of_the_worst(folder: Path, muster: Muster) -> None:
    (folder / "in" / "b.csv").write_text("a\nx\n1\n")
    hook = 'printf "%s %s %s" "$MUSTER_EXIT_CODE" "$MUSTER_KIND" "$MUSTER_REJECTS" > told; echo "$MUSTER_RUN" > run'
    assert muster(*EACH, *INLINE, "--on-failure", hook).code == 4
    assert (folder / "told").read_text() == "4 rejects out/b.csv.rejects.jsonl"
    runs = json.loads(muster("runs", "--json").out)
    (worst,) = [one["run"] for one in runs if one["output"].endswith("b.csv")]
    assert (folder / "run").read_text().strip() == worst


def test_every_file_is_read_as_it_would_be_alone(folder: Path, muster: Muster) -> None:
    (folder / "in" / "t.tsv").write_text("a\tc\n1\t2,3\n")
    (folder / "in" / "j.jsonl").write_text('{"a":5}\n')
    ended = muster(*EACH, *INLINE)
    assert (ended.code, ended.json["done"]) == (0, 5), ended
    assert (folder / "out" / "t.tsv").read_text() == "a\tc\tb\n1\t2,3\t2\n"
    assert (folder / "out" / "j.jsonl").read_text() == '{"a":5,"b":10}\n'
    (folder / "tabs").mkdir()
    (folder / "tabs" / "t.tsv").write_text("a\tc\n1\t2,3\n")
    assert muster("run", "f.py:double", "tabs", "-o", "whole.csv", *INLINE).code == 0
    assert (folder / "whole.csv").read_text() == 'a,c,b\n1,"2,3",2\n'
    (folder / "tabs" / "u.csv").write_text("a,c\n1,2\n")
    mixed = muster("run", "f.py:double", "tabs", "-o", "whole.csv", *INLINE)
    assert mixed.code == 2
    assert "--sep" in mixed.err


def test_a_file_that_is_named_twice_is_done_once_and_names_that_differ_by_case_stay_apart(
    folder: Path, muster: Muster
) -> None:
    (folder / "in" / "A.csv").write_text("a\n3\n")
    ended = muster("run", "f.py:double", "in/a.csv", "in", "in/./a.csv", "-o", "out/", "--each", *INLINE, "--json")
    assert (ended.code, ended.json["inputs"], ended.json["done"]) == (0, 4, 4), ended
    assert (folder / "out" / "A.csv").read_text() == "a,b\n3,6\n"


def test_a_file_in_the_place_of_an_older_one_is_done_again_whatever_its_time(folder: Path, muster: Muster) -> None:
    assert muster(*EACH, *INLINE).json["done"] == 3
    before = (folder / "in" / "a.csv").stat()
    (folder / "other.csv").write_text("a\n8\n7\n")
    os.utime(folder / "other.csv", ns=(before.st_atime_ns, before.st_mtime_ns))
    (folder / "other.csv").replace(folder / "in" / "a.csv")
    again = muster(*EACH, *INLINE)
    assert (again.json["done"], again.json["unchanged"]) == (1, 2)
    assert (folder / "out" / "a.csv").read_text() == "a,b\n8,16\n7,14\n"


def test_in_python_it_is_run_each(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    runs = package.run_each("f.py:double", "in", "out/", workers=0)
    assert [result.output for result in runs] == ["out/a.csv", "out/b.csv", "out/sub/c.csv"]
    assert (len(runs), runs.rows_in, runs.rows_out, runs.bad_rows) == (3, 6, 6, 0)
    assert all(result.unchanged for result in package.run_each("f.py:double", "in", "out/", workers=0))
    (folder / "in" / "a.csv").write_text("a\nx\n")
    (folder / "in" / "b.csv").write_text("a\n1\nx\n")
    with (
        pytest.warns(package.RejectedRowsWarning, match=r"out/b\.csv"),
        pytest.raises(package.UserCodeError, match="invalid literal") as raised,
    ):
        package.run_each("f.py:double", "in", "out/", workers=0)
    assert raised.traceback[-1].path == Path(__file__)
    assert any("'in/a.csv'" in note and "1 of 3 inputs" in note for note in raised.value.__notes__)
    assert (folder / "out" / "b.csv").read_text() == "a,b\n1,2\n"
    with pytest.raises(package.UsageError, match=r"with muster\.run_each it is a folder"):
        package.run_each("f.py:double", "in", "out.csv", workers=0)


def test_what_the_function_prints_is_told_to_who_shows_the_runs(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(folder)
    (folder / "f.py").write_text("def says(df):\n    print('rows', len(df))\n    return df\n")
    with contextlib.redirect_stderr(io.StringIO()) as shown:
        package.run_each("f.py:says", "in", "out/", workers=1, progress=False)
        assert shown.getvalue() == "rows 2\n" * 3
        package.run_since_last("f.py:says", "in", "new/{date}.csv", workers=1, progress=False)
    assert shown.getvalue().count("rows 2\n") > 3
    assert capfd.readouterr().err == ""


@pytest.mark.waits
def test_one_cluster_serves_all_files_and_none_is_called_up_where_nothing_is_to_do(
    folder: Path, muster: Muster, home: Path
) -> None:
    (folder / "in" / "b.csv").unlink()
    ended = muster(*EACH, "--machines", "1", timeout=600)
    assert (ended.code, ended.json["done"]) == (0, 2), ended
    lines = [json.loads(line) for path in home.rglob("*.jsonl") for line in path.read_text().splitlines()]
    clusters = [line["cluster"] for line in lines if line["event"] == "attempt"]
    assert (len(clusters), len(set(clusters))) == (2, 1)
    assert muster(*EACH, "--machines", "1", "--on", "nowhere.yml").json["unchanged"] == 2


def test_an_input_that_fails_before_its_run_begins_keeps_none_from_being_done(folder: Path, muster: Muster) -> None:
    (folder / "out" / "a.csv" / "full").mkdir(parents=True)
    ended = muster(*EACH, *INLINE, "--quiet")
    assert (ended.json["failed"], ended.json["done"]) == (1, 2), ended
    assert "fault of muster" not in ended.err


def test_a_warning_that_is_an_error_hides_no_worse_one(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    (folder / "in" / "a.csv").write_text("a\nx\n")
    (folder / "in" / "b.csv").write_text("a\n1\nx\n")
    with warnings.catch_warnings():
        warnings.simplefilter("error", package.RejectedRowsWarning)
        with pytest.raises(package.UserCodeError):
            package.run_each("f.py:double", "in", "out/", workers=0)


def test_an_input_without_rows_is_no_file_that_the_function_read(muster: Muster, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in/a.csv").touch()
    (tmp_path / "in/b.csv").write_text("n\n1\n")
    (tmp_path / "f.py").write_text("def f(df):\n    return df\n")
    command = ("run", "f.py:f", "in/", "-o", "out/", "--each", "--workers", "1")
    assert muster(*command).code == 0
    (tmp_path / "in/a.csv").unlink()
    again = muster(*command)
    assert again.code == 0
    assert "runs anew" not in again.err


@pytest.mark.parametrize(
    ("function", "code", "said"),
    [
        ("f.py:dubble", 2, "did you mean double?"),
        ("broken.py:f", 1, "no_such_module"),
        ("broken.py:Built", 1, "cannot be built"),
    ],
)
@pytest.mark.parametrize("workers", ["0", "1"])
def test_a_function_that_cannot_be_loaded_is_said_once_and_no_input_is_tried(  # noqa: PLR0913, PLR0917 (a row of the table)
    folder: Path, muster: Muster, function: str, code: int, said: str, workers: str
) -> None:
    (folder / "broken.py").write_text(
        "import pathlib\nclass Built:\n    def __init__(self):\n        raise ValueError('cannot be built')\n"
        "    def __call__(self, df):\n        return df\n"
        if "Built" in function
        else "import no_such_module\n"
    )
    ended = muster("run", function, "in", "-o", "out/", "--each", "--workers", workers, "--json", "--fresh")
    assert (ended.code, ended.json["exit_code"]) == (code, code), ended
    assert said in ended.json["error"] + ended.err
    assert ended.err.count("muster: ") == 1
    assert not [path for path in (folder / "out").rglob("*") if path.is_file()]


@pytest.mark.parametrize("how", ["grows", "written over", "replaced", "linked"])
def test_a_file_that_changes_while_it_is_read_has_no_output_until_the_next_command(
    folder: Path, muster: Muster, how: str
) -> None:
    (folder / "f.py").write_text(
        "import pathlib, time\n\ndef waits(df):\n    pathlib.Path('began').touch()\n"
        "    while not pathlib.Path('go').exists():\n        time.sleep(0.01)\n    return df\n"
    )
    path, other = folder / "in" / "a.csv", folder / "in" / "sub" / "c.csv"
    command = ("run", "f.py:waits", "in", "-o", "out/", "--each", "--json", "--workers", "1")
    with started(folder, *command, start=begun) as process:
        until((folder / "began").exists)
        before = path.stat()
        if how == "linked":
            path.chmod(0o640)
            (folder / "backup.csv").hardlink_to(path)
        else:
            place = folder / "other" if how == "replaced" else path
            place.write_text("a\n1\n8\n9\n" if how == "grows" else "a\n1\n8\n")
            if how != "grows":
                os.utime(place, ns=(before.st_atime_ns, before.st_mtime_ns))
            place.replace(path)
        (folder / "go").touch()
        out, err = process.communicate(timeout=100)
    counts = [json.loads(out.splitlines()[-1])[name] for name in ("done", "failed")]
    assert counts == ([3, 0] if how == "linked" else [2, 1]), err
    assert ("has changed while muster read it" in err) == (how != "linked")
    assert not (folder / "out" / "a.csv.muster").exists()
    again = muster(*command)
    assert again.code == 0, again
    assert (folder / "out" / "a.csv").read_bytes() == path.read_bytes()
    assert (folder / "out" / "sub" / "c.csv").read_bytes() == other.read_bytes()
