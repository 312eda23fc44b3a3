"""``--since-last``: what is new goes into one output, each file once, whatever happens."""

import json
import os
import random
import re
import signal
import subprocess
from pathlib import Path

import pandas as pd
import pytest

import muster as package
from conftest import MUSTER, Muster, begun, started
from muster._hourly.pattern import folder_of, found_again, named
from waiting import until

CODE = """
import pathlib, time

def double(df):
    df["b"] = df["a"].map(int) * 2
    return df

def waits(df):
    pathlib.Path("began").touch()
    while not pathlib.Path("go").exists():
        time.sleep(0.01)
    return double(df)
"""
SINCE = ("run", "f.py:double", "in", "-o", "out/{date}.csv", "--since-last", "--json")
INLINE = ("--workers", "0")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "f.py").write_text(CODE)
    (tmp_path / "in").mkdir()
    return tmp_path


def put(folder: Path, **files: int) -> None:
    """Write files of one row each, whole when they appear."""
    for name, row in files.items():
        unfinished = folder / "unfinished"
        unfinished.write_text(f"a\n{row}\n")
        unfinished.rename(folder / "in" / f"{name}.csv")


def rows(folder: Path) -> list[int]:
    """Read all rows of all outputs."""
    paths = [path for path in (folder / "out").glob("*.csv") if not path.name.startswith(".")]
    return sorted(int(line.split(",")[0]) for path in paths for line in path.read_text().splitlines()[1:])


def test_only_what_is_new_is_done_and_nothing_new_is_said(folder: Path, muster: Muster) -> None:
    put(folder, a=1, b=2)
    first = muster(*SINCE, *INLINE)
    assert (first.code, first.json["new_files"], first.json["rows_in"]) == (0, 2, 2), first
    put(folder, c=3)
    second = muster(*SINCE, *INLINE)
    assert (second.code, second.json["new_files"], rows(folder)) == (0, 1, [1, 2, 3])
    before = sorted((folder / "out").iterdir())
    third = muster(*SINCE, *INLINE)
    assert (third.code, third.json["new_files"], third.json["outputs"]) == (0, 0, [])
    assert third.err == "muster: out/{date}.csv: nothing new: nothing to do\n"
    assert sorted((folder / "out").iterdir()) == before
    assert muster(*SINCE[:-1], *INLINE, "--quiet").err == ""
    names = [path.name for path in before if not path.name.startswith(".")]
    assert all(re.fullmatch(r"\d{4}-\d\d-\d\d(-2)?\.csv", name) for name in names), names
    assert (folder / "out" / ".date.csv.since-last.json").stat().st_mode & 0o777 == 0o600


def test_a_file_is_known_by_its_content(folder: Path, muster: Muster) -> None:
    put(folder, a=1, b=2)
    muster(*SINCE, *INLINE)
    (folder / "in" / "a.csv").rename(folder / "in" / "renamed.csv")
    os.utime(folder / "in" / "b.csv")
    (folder / "in" / "copy.csv").write_text((folder / "in" / "b.csv").read_text())
    again = muster(*SINCE, *INLINE)
    assert again.json["new_files"] == 0, again
    assert "copy.csv" in again.err
    put(folder, b=7)  # another content under a name that was done
    assert muster(*SINCE, *INLINE).json["new_files"] == 1
    assert rows(folder) == [1, 2, 7]


def test_what_was_done_stays_done_where_outputs_are_moved_on(folder: Path, muster: Muster) -> None:
    put(folder, a=1)
    muster(*SINCE, *INLINE)
    for path in (folder / "out").glob("2*"):
        path.unlink()
    assert muster(*SINCE, *INLINE).json["new_files"] == 0


def test_without_its_ledger_nothing_is_done_twice_unless_that_is_said(folder: Path, muster: Muster) -> None:
    put(folder, a=1)
    muster(*SINCE, *INLINE)
    (folder / "out" / ".date.csv.since-last.json").unlink()
    lost = muster(*SINCE, *INLINE)
    assert (lost.code, lost.json["kind"]) == (2, "usage")
    assert "since-last.json" in lost.err
    assert muster(*SINCE, *INLINE, "--fresh").json["new_files"] == 1
    (folder / "out" / ".date.csv.since-last.json").write_text("{")
    assert muster(*SINCE, *INLINE).code == 2


def test_a_folder_with_nothing_in_it_is_no_error_and_one_that_is_not_there_is(folder: Path, muster: Muster) -> None:
    assert muster(*SINCE, *INLINE).json["new_files"] == 0
    pattern = [*SINCE, *INLINE]
    pattern[2] = "in/*.csv"
    assert muster(*pattern).json["new_files"] == 0
    pattern[2] = "inn/*.csv"
    assert muster(*pattern).code == 2
    assert not (folder / "out" / "2").exists()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("in", "-o", "out/new.csv", "--since-last"), "{date}"),
        (("in", "-o", "out/{date}.csv", "--since-last", "--each"), "--each"),
        (("in/*.csv", "-o", "in/{date}.csv", "--since-last"), "next time"),
        (("in", "-o", "in/{date}.csv", "--since-last"), "lies in"),
        (("in", "-o", "out/{date}.csv", "--since-last", "--limit", "1"), "--limit"),
        (("in", "-o", "out/{date}.csv", "--since-last", "--sample", "1"), "--sample"),
        (("**/*.csv", "-o", "out/{date}.csv", "--since-last"), "next time"),
    ],
)
def test_what_cannot_be_is_refused(folder: Path, muster: Muster, arguments: tuple[str, ...], said: str) -> None:
    put(folder, a=1)
    ended = muster("run", "f.py:double", *arguments, *INLINE, "--json")
    assert ended.code == 2, ended
    assert said in ended.json["error"]


def test_outputs_that_a_pattern_finds_are_no_input(folder: Path, muster: Muster) -> None:
    put(folder, a=1)
    command = ("run", "f.py:double", "*/*.csv", "in/*.csv", "-o", "out/{date}/", "--since-last", *INLINE, "--json")
    assert muster(*command).json["rows_in"] == 1
    (part,) = (folder / "out").glob("*/*.csv")
    part.rename(folder / "out" / "moved.csv")  # only an output's own place tells what it is
    (folder / "out" / "moved.csv").rename(part)
    again = muster("run", "f.py:double", "*/*/*.csv", "-o", "out/{date}/", "--since-last", *INLINE, "--json")
    assert (again.code, again.json["new_files"]) == (0, 0), again


def test_an_output_may_lie_below_what_a_pattern_finds(folder: Path, muster: Muster) -> None:
    put(folder, a=1)
    command = ("run", "f.py:double", "in/*.csv", "-o", "in/done/{date}.csv", "--since-last", *INLINE, "--json")
    assert [muster(*command).json["new_files"] for _ in range(2)] == [1, 0]


def test_rejects_give_exit_code_4_once_and_the_file_counts_as_done(folder: Path, muster: Muster) -> None:
    (folder / "in" / "a.csv").write_text("a\n1\nx\n")
    hook = 'echo "$MUSTER_KIND $MUSTER_BAD_ROWS" > told'
    assert muster(*SINCE, *INLINE, "--on-failure", hook).code == 4
    assert (folder / "told").read_text() == "rejects 1\n"
    assert muster(*SINCE, *INLINE).code == 0
    assert rows(folder) == [1]


def test_what_failed_is_done_by_the_next_command(folder: Path, muster: Muster) -> None:
    put(folder, a=1)
    (folder / "in" / "bad.csv").write_text("a\nx\n")
    assert muster(*SINCE, *INLINE, "--strict").code == 1
    put(folder, bad=2, c=3)
    ended = muster(*SINCE, *INLINE)
    assert ended.code == 0, ended
    muster(*SINCE, *INLINE)
    assert rows(folder) == [1, 2, 3]


def test_what_comes_while_it_runs_is_done_the_next_time_and_what_is_being_written_too(
    folder: Path, muster: Muster
) -> None:
    put(folder, a=1, b=2)
    command = [*SINCE, *INLINE]
    command[1] = "f.py:waits"
    with started(folder, *command, start=begun) as process:
        until((folder / "began").exists)
        assert muster(*command).code == 2  # another process works on this pattern
        assert muster(*command, "--if-running", "skip").json["skipped"] is True
        put(folder, c=3)
        with (folder / "in" / "b.csv").open("a") as growing:
            growing.write("5\n")
        (folder / "go").touch()
        out, err = process.communicate(timeout=100)
    assert process.returncode == 0, err
    assert "b.csv" in err
    assert json.loads(out.splitlines()[-1])["new_files"] == 1
    assert rows(folder) == [1]
    assert muster(*command).json["new_files"] == 2
    assert rows(folder) == [1, 2, 3, 5]


@pytest.mark.parametrize("workers", ["0", "1"])
def test_killed_at_any_moment_each_file_is_done_once(folder: Path, muster: Muster, workers: str, home: Path) -> None:
    chance = random.Random()  # noqa: S311 (no secret)
    command = [*MUSTER, *SINCE, "--workers", workers]
    for at in range(6):
        put(folder, **{f"x{at}{number}": 100 * at + number for number in range(4)})
        done = len(list((folder / "out").glob("2*.csv")))
        moments = [
            (folder / "out" / ".date.csv.since-last.json").exists,
            lambda: any((folder / "out").glob("2*.muster")),
            lambda done=done: len(list((folder / "out").glob("2*.csv"))) > done,  # type: ignore[misc]
            lambda: any((home / "unfinished").glob("*")),
        ]
        moment = chance.choice(moments)
        with subprocess.Popen(
            command, cwd=folder, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL, start_new_session=True
        ) as process:
            until(lambda moment=moment: moment() or process.poll() is not None)  # type: ignore[misc]
            if process.poll() is None:  # or its id may be another's
                os.killpg(process.pid, signal.SIGKILL)
        if at == 2:
            for path in (home / "done").glob("*"):  # what tells that nothing has changed may be lost
                path.unlink()
    ended = muster(*SINCE, "--workers", workers)
    assert ended.code == 0, ended
    assert rows(folder) == sorted(100 * at + number for at in range(6) for number in range(4))
    assert muster(*SINCE, *INLINE).json["new_files"] == 0
    assert not list((folder / "out").glob("*.muster"))


def test_a_file_that_somebody_has_open_to_write_is_left_until_it_is_closed(folder: Path, muster: Muster) -> None:
    put(folder, a=1)
    with (folder / "in" / "slow.csv").open("w") as slow:
        slow.write("a\n2\n")
        slow.flush()
        first = muster(*SINCE, *INLINE)
        assert (first.json["new_files"], first.json["left_files"], rows(folder)) == (1, 1, [1]), first
        assert "slow.csv" in first.err
        slow.write("3\n")
    assert muster(*SINCE, *INLINE).json["new_files"] == 1
    assert rows(folder) == [1, 2, 3]


def test_files_with_the_content_of_others_are_counted(folder: Path, muster: Muster) -> None:
    put(folder, a=1, b=1)
    first = muster(*SINCE, *INLINE, "--quiet")
    assert (first.json["new_files"], first.json["duplicate_files"], first.err) == (1, 1, "")
    put(folder, c=1)
    (folder / "in" / "a.csv").rename(folder / "in" / "d.csv")
    assert muster(*SINCE, *INLINE, "--quiet").json["duplicate_files"] == 2
    assert muster(*SINCE, *INLINE, "--quiet").json["duplicate_files"] == 0
    put(folder, e=2)
    muster(*SINCE, *INLINE)
    put(folder, e=1)  # what was written over it is what another was
    assert muster(*SINCE, *INLINE, "--quiet").json["duplicate_files"] == 1
    assert rows(folder) == [1, 2]


def test_a_folder_where_all_is_hidden_or_nothing_is_yet_has_nothing_new(folder: Path, muster: Muster) -> None:
    (folder / "in" / ".unfinished").write_text("a\n")
    (folder / "in" / "deeper").mkdir()
    assert muster(*SINCE, *INLINE).json["new_files"] == 0


def test_another_command_does_not_take_the_ledger_for_its_own(folder: Path, muster: Muster) -> None:
    (folder / "f.py").write_text(CODE + "def other(df):\n    return df\n")
    put(folder, a=1)
    assert muster(*SINCE, *INLINE).code == 0
    other = ("run", "f.py:other", *SINCE[2:], *INLINE)
    refused = muster(*other)
    assert (refused.code, refused.json["kind"]) == (2, "usage")
    assert "double" in refused.err
    assert "--accept-changes" in refused.err
    ledger = folder / "out" / ".date.csv.since-last.json"
    before = json.loads(ledger.read_text())
    assert muster(*other, "--accept-changes").json["new_files"] == 0
    assert muster(*other).code == 0
    for text in ("", "[]", '{"since-last": 1}', '{"since-last": {"done": 1, "seen": {}, "begun": null}}', "\0"):
        ledger.write_text(text)
        cut = muster(*other)
        assert (cut.code, cut.json["kind"]) == (2, "usage"), cut
        assert str(ledger.relative_to(folder)) in cut.err
    del before["since-last"]["of"]  # as an earlier version wrote it
    ledger.write_text(json.dumps(before))
    assert muster(*SINCE, *INLINE).json["new_files"] == 0
    assert muster(*other).code == 2
    (folder / "out" / ".date~x.csv.since-last.json").write_text(ledger.read_text())
    (folder / "out" / ".date~x.csv.since-last.json").write_text(
        (folder / "out" / ".date~x.csv.since-last.json").read_text().replace("{date}.csv", "{date}/x.csv")
    )
    assert muster("run", "f.py:double", "in", "-o", "out/{date}~x.csv", "--since-last", *INLINE).code == 2


def test_in_python_it_is_run_since_last(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    put(folder, a=1, b=2, same=2)
    runs = package.run_since_last("f.py:double", "in", "out/{date}.csv", workers=0)
    assert (len(runs), runs.rows_out, runs.left, runs.duplicates) == (1, 2, (), ("in/same.csv",))
    nothing = package.run_since_last("f.py:double", "in", "out/{date}.csv", workers=0)
    assert (list(nothing), nothing.skipped) == ([], False)
    with pytest.raises(package.UsageError, match=r"with muster\.run_since_last"):
        package.run_since_last("f.py:double", "in", "out/new.csv", workers=0)


def test_a_function_of_the_caller_is_known_again_by_its_name(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)

    def hour(name: str) -> int:
        def copies(df: pd.DataFrame) -> pd.DataFrame:
            return df

        put(folder, **{name: ord(name)})
        return package.run_since_last(copies, "in", "out/{date}.csv", workers=0).rows_out

    assert [hour(name) for name in "abc"] == [1, 1, 1]
    with pytest.raises(package.UsageError, match="which files copies has done, and this command is of <lambda>"):
        package.run_since_last(lambda df: df, "in", "out/{date}.csv", workers=0)


def test_a_pipeline_of_a_file_is_known_again(folder: Path, muster: Muster) -> None:
    (folder / "p.py").write_text(
        "import muster\nfrom f import double\n"
        "pipeline = muster.read_csv('in').map_batches(double).write_csv('out/{date}.csv')\n"
    )
    for name in ("a", "b", "c"):
        put(folder, **{name: ord(name)})
        ended = muster("run", "p.py", "--since-last", "--json", *INLINE)
        assert (ended.code, ended.json["new_files"]) == (0, 1), ended
    assert muster("run", "p.py", "--since-last", "--json", *INLINE).json["new_files"] == 0
    assert rows(folder) == [97, 98, 99]


def rewrite(path: Path, text: str, *, how: str) -> None:
    """Write other bytes, of the same size, to a file whose size and time then are what they were."""
    before = path.stat()
    place = path if how == "written over" else path.with_name(".new")
    place.write_text(text)
    os.utime(place, ns=(before.st_atime_ns, before.st_mtime_ns))
    if place != path:
        place.replace(path)
    assert (path.stat().st_size, path.stat().st_mtime_ns) == (before.st_size, before.st_mtime_ns)


@pytest.mark.parametrize("how", ["written over", "replaced"])
@pytest.mark.parametrize("is_killed", [False, True])
def test_a_file_with_the_size_and_time_of_another_is_not_taken_for_it(
    folder: Path, muster: Muster, how: str, *, is_killed: bool
) -> None:
    put(folder, a=1, b=2)
    command = [*SINCE, *INLINE]
    command[1] = "f.py:waits"
    with started(folder, *command, start=begun) as process:
        until((folder / "began").exists)
        if is_killed:
            process.kill()
        rewrite(folder / "in" / "b.csv", "a\n7\n", how=how)
        (folder / "go").touch()
        out, _ = process.communicate(timeout=100)
    left = 0 if is_killed else json.loads(out.splitlines()[-1])["left_files"]
    assert left == (0 if is_killed else 1)
    assert muster(*command).code == 0
    assert muster(*command).code == 0
    assert rows(folder) == [1, 7]


def test_a_file_that_is_as_it_was_is_done_whatever_else_changes_of_it_meanwhile(folder: Path, muster: Muster) -> None:
    put(folder, a=1, b=2, c=3)
    command = [*SINCE, *INLINE]
    command[1] = "f.py:waits"
    with started(folder, *command, start=begun) as process:
        until((folder / "began").exists)
        rewrite(folder / "in" / "a.csv", "a\n1\n", how="written over")
        rewrite(folder / "in" / "b.csv", "a\n2\n", how="replaced")
        (folder / "in" / "c.csv").chmod(0o640)
        (folder / "go").touch()
        out, err = process.communicate(timeout=100)
    assert process.returncode == 0, err
    assert [json.loads(out.splitlines()[-1])[name] for name in ("new_files", "left_files")] == [3, 0]
    assert muster(*command).json["new_files"] == 0
    assert rows(folder) == [1, 2, 3]


def test_a_ledger_gives_no_name_that_its_pattern_does_not_give(folder: Path, muster: Muster) -> None:
    put(folder, a=1)
    assert muster(*SINCE, *INLINE).code == 0
    (folder / "mine").mkdir()
    ledger = folder / "out" / ".date.csv.since-last.json"
    kept = json.loads(ledger.read_text())
    (known,) = kept["since-last"]["seen"].items()
    (done,) = kept["since-last"]["done"].values()
    put(folder, b=2)
    others = ["precious.csv", str(folder / "mine" / "2026-11-01.csv"), "out/../mine/2026-11-01.csv", "out/precious.csv"]
    others += ["\0/2026-11-01.csv"]
    for name in others:
        place = folder / name.replace("\0", "nul")
        if place.parent.is_dir() and not place.is_dir() and place.parent != Path("/"):
            place.write_text("precious\n")
        said = {**kept["since-last"], "begun": {"output": name, "files": dict([known])}}
        ledger.write_text(json.dumps({"since-last": said}))
        refused = muster(*SINCE, *INLINE)
        assert (refused.code, refused.json["kind"], "Nothing was written" in refused.err) == (2, "usage", True), name
        if place.is_file():
            assert place.read_text() == "precious\n"
            place.unlink()
    for name in ("in", "in/a.csv"):  # it would count as an output, and so as no input
        said = {**kept["since-last"], "done": {**kept["since-last"]["done"], "0": name}}
        ledger.write_text(json.dumps({"since-last": said}))
        assert muster(*SINCE, *INLINE).code == 2, name
    assert rows(folder) == [1]
    for name in (done.replace(".csv", "-7.csv"), str(folder / done).replace(".csv", "-8.csv")):
        said = {**kept["since-last"], "begun": {"output": name, "files": dict([known])}}
        ledger.write_text(json.dumps({"since-last": said}))
        assert muster(*SINCE, *INLINE).code == 0
        assert (folder / name).exists()


@pytest.mark.parametrize(
    ("output", "known"),
    [
        ("out/2026-11-01.csv", ("out/2026-11-01.csv", "out/")),
        ("/far/2026-11-01-12.csv", ("out/2026-11-01-12.csv", "/far/")),
        ("2026-11-01.csv", ("out/2026-11-01.csv", "")),
        ("/2026-11-01.csv", ("out/2026-11-01.csv", "/")),
        *[
            (f"out/{name}", None)
            for name in (
                "",
                "x.csv",
                "2026-11-01",
                "2026-11-01.csv/",
                "2026-11-01.csv\n",
                "2026-11-01.csv.rejects.jsonl",
            )
        ],
        *[(f"out/{name}", None) for name in ("2026-1-1.csv", "2026-11-01-.csv", "2026-11-01/x.csv", "x2026-11-01.csv")],
    ],
)
def test_an_output_is_known_by_its_name_in_the_folder(output: str, known: tuple[str, str] | None) -> None:
    assert found_again(output, pattern="out/{date}.csv") == known


@pytest.mark.parametrize(
    "pattern", ["{date}", "/a b/x.{date}.b.csv.gz", "s3://b/{date}/", "o/{time}{date}.csv", "o/{date}/{x}.csv"]
)
def test_each_output_that_is_named_is_known_again(pattern: str) -> None:
    for number in (1, 2, 30):
        name = named(pattern, number=number)
        assert found_again(name, pattern=pattern) == (name, folder_of(pattern))


def test_outputs_are_known_in_a_folder_that_was_moved_or_is_named_from_elsewhere(folder: Path, muster: Muster) -> None:
    put(folder, a=1)
    command = ["run", "f.py:double", "*/*/*.csv", "-o", "in/{date}/", "--since-last", "--json", *INLINE]
    (folder / "in" / "raw").mkdir()
    (folder / "in" / "a.csv").rename(folder / "in" / "raw" / "a.csv")
    assert muster(*command).json["rows_in"] == 1
    (folder / "in").rename(folder / "moved")
    command[4] = str(folder / "moved" / "{date}") + "/"
    again = muster(*command)
    assert (again.code, again.json["new_files"]) == (0, 0), again


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can make what belongs to somebody else")
def test_a_ledger_that_others_may_have_written_is_refused(folder: Path, muster: Muster) -> None:
    put(folder, a=1)
    assert muster(*SINCE, *INLINE).code == 0
    put(folder, b=2)
    ledger = folder / "out" / ".date.csv.since-last.json"
    text = ledger.read_text()

    def refused(said: str) -> None:
        ended = muster(*SINCE, *INLINE)
        assert (ended.code, ended.json["kind"]) == (2, "usage"), ended
        assert said in ended.err
        assert rows(folder) == [1]

    os.chown(ledger, 54_321, 54_321)
    refused("belongs to user 54321")
    os.chown(ledger, 0, 54_321)
    for mode in (0o660, 0o602):
        ledger.chmod(mode)
        refused("Others may write")
    ledger.rename(folder / "elsewhere.json")
    ledger.symlink_to(folder / "elsewhere.json")
    refused("is a link")
    ledger.unlink()
    os.mkfifo(ledger)
    refused("is neither a file nor")
    ledger.unlink()
    ledger.mkdir()
    refused("is a folder")
    ledger.rmdir()
    ledger.write_text(text)
    ledger.chmod(0o644)  # as a copy has
    planted = ledger.with_name(ledger.name + ".unfinished")
    planted.symlink_to(folder / "f.py")
    assert muster(*SINCE, *INLINE).json["new_files"] == 1
    assert (folder / "f.py").read_text() == CODE
    assert (ledger.stat().st_mode & 0o777, rows(folder)) == (0o600, [1, 2])
