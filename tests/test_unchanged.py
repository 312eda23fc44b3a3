"""A run that finished, and of which nothing has changed since, is not done again."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import muster as package
from conftest import Muster, begun, started
from waiting import until

CODE = """
import json, os, pathlib
FACTOR = 2

def double(df):
    with open("calls.txt", "a") as calls:
        print("called", file=calls)
    df["a"] = df["a"].map(lambda value: int(value) * FACTOR)
    return df

def looked_up(df):
    df["a"] = df["a"] + json.loads(pathlib.Path("lookup.json").read_text())
    return df


class Doubles:
    def __init__(self):
        with open("built.txt", "a") as built:
            print("built", file=built)

    def __call__(self, df):
        return df * 2
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "f.py").write_text(CODE)
    (tmp_path / "in.csv").write_text("a\n1\n2\n3\n")
    return tmp_path


def calls(folder: Path) -> int:
    path = folder / "calls.txt"
    return len(path.read_text().splitlines()) if path.exists() else 0


RUN = ("run", "f.py:double", "in.csv", "-o", "out.csv", "--workers", "0")


def test_a_second_command_does_nothing_and_says_so_in_one_line(folder: Path, muster: Muster) -> None:
    first = muster(*RUN, "--json")
    written, before = (folder / "out.csv").stat(), calls(folder)
    again = muster(*RUN, "--json")
    assert (first.code, again.code) == (0, 0)
    assert calls(folder) == before
    assert (folder / "out.csv").stat().st_mtime_ns == written.st_mtime_ns
    assert again.json == {**first.json, "unchanged": True}
    (line,) = again.err.splitlines()
    assert "nothing to do" in line
    assert not (folder / "out.csv.muster").exists()
    assert muster(*RUN, "--quiet").err == ""


@pytest.mark.parametrize("workers", ["0", "2"])
def test_nothing_of_the_users_is_built_where_there_is_nothing_to_do(folder: Path, muster: Muster, workers: str) -> None:
    run = ("run", "f.py:Doubles", "in.csv", "-o", "out.csv", "--workers", workers, "--json")
    assert muster(*run).code == 0
    built = (folder / "built.txt").read_text()
    assert muster(*run).json["unchanged"]
    assert (folder / "built.txt").read_text() == built


@pytest.mark.usefixtures("folder")
def test_no_machines_are_called_up_where_there_is_nothing_to_do(muster: Muster, home: Path) -> None:
    assert muster(*RUN).code == 0
    again = muster(*RUN[:-2], "--machines", "2", "--json")
    assert again.json["unchanged"], again.err
    assert "machines" not in again.err
    assert not (home / "clusters").exists()


LARGE_SCRIPT = """
import sys, numpy, muster
array = numpy.arange(1 << 18)
result = muster.run(lambda df: df + array[0], "in.csv", "out.csv", workers=1, if_running="skip", progress=False)
print(result.skipped)
"""


def test_nothing_large_is_written_before_the_output_is_this_runs_own(
    folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    temporary = tmp_path_factory.mktemp("temporary")
    (folder / "script.py").write_text(LARGE_SCRIPT)
    (folder / "slow.py").write_text(
        "import pathlib, threading\ndef slow(df):\n    pathlib.Path('began').touch()\n    threading.Event().wait()\n"
    )
    with started(folder, "run", "slow.py:slow", "in.csv", "-o", "out.csv", "--workers", "1", start=begun) as process:
        until((folder / "began").exists)
        before = temporary.stat().st_mtime_ns
        done = subprocess.run(
            [sys.executable, "script.py"],
            cwd=folder,
            env={**os.environ, "TMPDIR": str(temporary)},
            capture_output=True,
            text=True,
            check=False,
        )
        process.terminate()
    assert done.stdout == "True\n", done.stderr
    assert temporary.stat().st_mtime_ns == before


def test_it_is_done_anyhow_with_fresh(folder: Path, muster: Muster) -> None:
    muster(*RUN)
    before = calls(folder)
    assert muster(*RUN, "--fresh", "--json").json.get("unchanged", False) is False
    assert calls(folder) > before


def rewrite(path: Path) -> None:
    """Write something else of the same size, and set the time back, as some tools that copy do."""
    status = path.stat()
    path.write_text(path.read_text().replace("1", "7"))
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (lambda folder: (folder / "in.csv").write_text("a\n4\n5\n6\n"), "in.csv"),
        (lambda folder: rewrite(folder / "in.csv"), "in.csv"),
        (lambda folder: (folder / "f.py").write_text(CODE.replace("FACTOR = 2", "FACTOR = 3")), "FACTOR"),
        (lambda folder: (folder / "out.csv").write_text("a\n9\n"), "out.csv"),
        (lambda folder: (folder / "out.csv").unlink(), "out.csv"),
        (lambda folder: (folder / "out.csv.rejects.jsonl").write_text(""), "out.csv"),
    ],
    ids=["input", "input of the same size and time", "function", "output", "no output", "rejects"],
)
def test_what_has_changed_is_named_and_all_is_done_anew(
    folder: Path, muster: Muster, change: Callable[[Path], object], named: str
) -> None:
    muster(*RUN)
    change(folder)
    again = muster(*RUN, "--json")
    assert again.json.get("unchanged", False) is False, again
    assert "runs anew" in again.err
    assert named in again.err
    factor = 3 if named == "FACTOR" else 2
    rows = (folder / "in.csv").read_text().splitlines()[1:]
    assert (folder / "out.csv").read_text().splitlines()[1:] == [str(int(row) * factor) for row in rows]
    assert muster(*RUN, "--json").json.get("unchanged", False) is True


@pytest.mark.usefixtures("folder")
def test_other_options_that_decide_rows_count_and_the_number_of_workers_does_not(muster: Muster) -> None:
    muster(*RUN)
    assert muster(*RUN[:-1], "1", "--json").json.get("unchanged", False) is True
    assert muster(*RUN, "--batch-rows", "1", "--json").json.get("unchanged", False) is False
    assert muster(*RUN, "--dtype", "str", "--json").json.get("unchanged", False) is False


def test_a_file_that_the_function_reads_counts(folder: Path, muster: Muster) -> None:
    (folder / "lookup.json").write_text("1")
    command = ("run", "f.py:looked_up", "in.csv", "-o", "out.csv", "--workers", "1", "--json")
    muster(*command)
    assert muster(*command).json.get("unchanged", False) is True
    (folder / "lookup.json").write_text("5")
    again = muster(*command)
    assert again.json.get("unchanged", False) is False
    assert "lookup.json" in again.err
    assert (folder / "out.csv").read_text() == "a\n6\n7\n8\n"


def test_rows_that_are_missing_are_told_again_with_the_same_exit_code(folder: Path, muster: Muster) -> None:
    (folder / "in.csv").write_text("a\n1\nx\n3\n")
    first, again = muster(*RUN, "--json"), muster(*RUN, "--json", "--quiet")
    assert (first.code, again.code) == (4, 4)
    assert again.json == {**first.json, "unchanged": True}
    assert "1 bad row is in out.csv.rejects.jsonl" in again.err
    assert muster(*RUN, "--strict").code == 1  # what may be bad is another question now


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize("output", ["out/", "out.parquet", "out.csv.gz", "out.jsonl"])
def test_every_form_of_output_is_recognised(muster: Muster, output: str) -> None:
    command = ("run", "f.py:double", "in.csv", "-o", output, "--workers", "0", "--json")
    assert [muster(*command).json.get("unchanged", False) for _ in range(2)] == [False, True]


@pytest.mark.usefixtures("folder")
def test_a_note_that_is_lost_or_damaged_costs_one_run(muster: Muster, home: Path) -> None:
    muster(*RUN)
    (note,) = (home / "done").iterdir()
    note.write_text("{")
    assert muster(*RUN, "--json").json.get("unchanged", False) is False
    note.unlink()
    assert muster(*RUN, "--json").json.get("unchanged", False) is False
    assert muster(*RUN, "--json").json.get("unchanged", False) is True
    assert note.stat().st_mode & 0o777 == 0o600


@pytest.mark.usefixtures("folder")
def test_another_output_of_the_same_inputs_is_another_run(muster: Muster) -> None:
    muster(*RUN)
    assert (
        muster("run", "f.py:double", "in.csv", "-o", "other.csv", "--workers", "0", "--json").json.get(
            "unchanged", False
        )
        is False
    )
    assert muster(*RUN, "--json").json.get("unchanged", False) is True


def test_a_file_that_is_named_in_another_way_may_have_other_columns(folder: Path, muster: Muster) -> None:
    (folder / "top" / "code=7").mkdir(parents=True)
    (folder / "top" / "code=7" / "a.csv").write_text("a\n1\n")
    for name, header in (("top/code=*/a.csv", "a,code"), ("top/code=7/a.csv", "a"), ("top/", "a,code")):
        ended = muster("run", "f.py:double", name, "-o", "out.csv", *RUN[-2:], "--json")
        assert ended.json.get("unchanged", False) is False, ended
        assert (folder / "out.csv").read_text().splitlines()[0] == header


def test_in_python_the_result_says_so(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    results = [package.run("f.py:double", "in.csv", "out.csv", workers=0) for _ in range(2)]
    assert [result.unchanged for result in results] == [False, True]
    assert results[0].rows_out == results[1].rows_out == 3
    assert "3 rows of 3 in " in str(results[0])
    again = "out.csv: 3 rows of 3, unchanged since they were written: nothing was done. fresh=True does it all again."
    assert str(results[1]) == again
    assert "Nothing was done" in results[1]._repr_html_()
    assert "Nothing was done" not in results[0]._repr_html_()
    assert package.run("f.py:double", "in.csv", "out.csv", workers=0, fresh=True).unchanged is False


def test_a_sample_that_is_unchanged_shows_itself_as_before(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    first, again = (package.run("f.py:double", "in.csv", "out.csv", workers=0, limit=2) for _ in range(2))
    assert again.unchanged
    assert again.estimate == first.estimate
    assert "2 rows of 2" in again._repr_html_()


def test_an_output_of_two_versions_of_the_function_is_not_taken_for_unchanged(folder: Path, muster: Muster) -> None:
    (folder / "in.csv").write_text("a\n" + "1\n" * 50_000 + "x\n")
    many = (*RUN, "--batch-rows", "1000", "--strict")
    assert muster(*many).code == 1
    (folder / "f.py").write_text(CODE.replace("int(value) * FACTOR", "len(value) * FACTOR").replace("= 2", "= 3"))
    ended = muster(*many, "--accept-changes", "--json")
    assert ended.code == 0, ended.err
    assert ended.json["resumed_parts"] > 0
    assert muster(*many, "--json").json.get("unchanged", False) is False
    assert set((folder / "out.csv").read_text().split()) == {"a", "3"}
    assert muster(*many, "--json").json["unchanged"] is True


WAITS = """
import os, pathlib, time

def waits(df):
    pathlib.Path("began").touch()
    while not pathlib.Path("go").exists():
        time.sleep(0.01)
    return df
"""


PICKY = """
import os

def picky(df):
    with open("calls.txt", "a") as calls:
        print(len(df), file=calls)
    if (df["a"] == 2).any() and not os.path.exists("service"):
        raise ValueError("no 2 now")
    return df
"""


def test_an_output_that_no_known_run_has_made_is_replaced_and_named_first(folder: Path, muster: Muster) -> None:
    (folder / "out.csv").write_text("my,own\n1,2\n")
    named = "'out.csv' is there, and no note here says what made it: it is replaced at the end"
    assert named in muster(*RUN).err
    assert (folder / "out.csv").read_text().startswith("a\n")
    assert named not in muster(*RUN, "--fresh").err
    assert named not in muster(*RUN[:-1], "0", "--limit", "2").err
    (folder / "empty.csv").touch()
    assert "is there" not in muster("run", "f.py:double", "in.csv", "-o", "empty.csv").err


def test_after_a_retry_of_the_same_function_there_is_nothing_to_do(folder: Path, muster: Muster) -> None:
    (folder / "f.py").write_text(PICKY)
    run = ("run", "f.py:picky", "in.csv", "-o", "out.csv", "--workers", "0", "--json")
    assert muster(*run).code == 4
    assert muster("retry", "out.csv").code == 4  # in vain
    (folder / "service").touch()
    assert muster("retry", "out.csv").code == 0
    before = calls(folder)
    again = muster(*run)
    assert (again.code, again.json["unchanged"], again.json["rows_out"]) == (0, True, 3)
    assert calls(folder) == before
    (folder / "out.csv").write_text("a\n")
    assert "'out.csv' is not as that run left it" in muster(*run).err


@pytest.mark.parametrize("mended", ["code", "file"])
def test_after_a_retry_with_something_else_all_is_done_anew_and_it_says_why(
    folder: Path, muster: Muster, mended: str
) -> None:
    (folder / "lookup.json").write_text("[1]")
    code = PICKY.replace('not os.path.exists("service")', 'open("lookup.json").read() == "[1]"')
    (folder / "f.py").write_text(code)
    run = ("run", "f.py:picky", "in.csv", "-o", "out.csv", "--workers", "0", "--json")
    assert muster(*run).code == 4
    if mended == "code":
        (folder / "f.py").write_text(code.replace("== 2", "== 7"))
    else:
        (folder / "lookup.json").write_text("[2]")
    assert muster("retry", "out.csv").code == 0
    assert muster("retry", "out.csv").code == 2  # nothing left to retry
    again = muster(*run)
    assert (again.code, "unchanged" in again.json and again.json["unchanged"]) == (0, False)
    assert "runs anew, as a retry did its bad rows after a change, and the other rows are of the" in again.err
    assert ("'picky' of f.py" if mended == "code" else "lookup.json") in again.err
    assert muster(*run).json["unchanged"]


def test_after_a_retry_of_an_input_that_was_replaced_unseen_by_its_size_and_time_all_is_done_anew(
    folder: Path, muster: Muster
) -> None:
    (folder / "f.py").write_text(PICKY)
    run = ("run", "f.py:picky", "in.csv", "-o", "out.csv", "--workers", "0", "--json")
    assert muster(*run).code == 4
    (folder / "service").touch()
    source, before = folder / "in.csv", (folder / "in.csv").stat()
    (folder / "new.csv").write_bytes(source.read_bytes().replace(b"1", b"9"))
    os.utime(folder / "new.csv", ns=(before.st_atime_ns, before.st_mtime_ns))
    (folder / "new.csv").replace(source)
    assert muster("retry", "out.csv").code == 0
    again = muster(*run)
    assert (again.code, again.json.get("unchanged", False)) == (0, False)
    assert "'in.csv' was written again" in again.err
    assert "9" in (folder / "out.csv").read_text()


@pytest.mark.usefixtures("folder")
def test_why_a_run_does_all_anew_is_not_said_where_the_command_is_refused(muster: Muster) -> None:
    assert muster(*RUN).code == 0
    refused = muster(*RUN, "--dtype", "b=str")
    assert (refused.code, "runs anew" in refused.err) == (2, False)
    assert "runs anew, as --dtype" in muster(*RUN, "--dtype", "a=str").err


def test_while_another_process_works_on_the_output_it_fails_or_skips_or_waits(folder: Path, muster: Muster) -> None:
    (folder / "w.py").write_text(WAITS)
    command = ("run", "w.py:waits", "in.csv", "-o", "out.csv", "--workers", "0")
    with started(folder, *command, start=begun) as first:
        until((folder / "began").exists)
        assert muster(*command).code == 2
        skipped = muster(*command, "--if-running", "skip", "--json")
        assert (skipped.code, skipped.json.get("skipped")) == (0, True), skipped
        (line,) = skipped.err.splitlines()
        assert str(first.pid) in line
        assert muster(*command, "--if-running", "skip", "--quiet").err == ""
        with started(folder, *command, "--if-running", "wait", "--json", start=begun) as second:
            assert second.stderr is not None
            assert "waits" in second.stderr.readline()
            (folder / "go").touch()
            out, _ = second.communicate(timeout=60)
        first.communicate(timeout=60)
    assert (first.returncode, second.returncode) == (0, 0)
    assert json.loads(out).get("unchanged") is True  # what the first has done, the second need not do
