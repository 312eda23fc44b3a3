"""Files that are followed: each row is done once, in order, whatever becomes of the files and of muster."""

import json
import random
import shutil
from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq
import pytest

from conftest import Muster
from disks import small
from followed import append, follow_in_turn, following, joined, kill_a_child, manifest, rejects, rows_out, stopped
from waiting import until

PIPELINE = """
import muster
def step(df):
    if (df["n"] == 13).any():
        raise ValueError("thirteen")
    return df.assign(double=df["n"] * 2)
pipeline = muster.follow_csv({inputs!r}, every={every}{more}).map_batches(step).write_{kind}({output!r})
"""


def written(folder: Path, *, inputs: str = "in/", every: float = 0.05, kind: str = "csv", **more: object) -> Path:
    (folder / "in").mkdir(exist_ok=True)
    path = folder / "pipeline.py"
    said = "".join(f", {name}={value!r}" for name, value in more.items())
    path.write_text(PIPELINE.format(inputs=inputs, every=every, kind=kind, output="out/", more=said))
    return path


def test_new_rows_and_new_files_come_out_once_and_the_same_command_goes_on(tmp_path: Path, muster: Muster) -> None:
    written(tmp_path)
    first = tmp_path / "in" / "a.csv"
    first.write_text('n,text\n1,x\n2,"y\nz"\n3,half')
    with following(tmp_path, "--workers", "2", "--json") as process:
        until(lambda: rows_out(tmp_path) == 2)
        append(first, ' a row\n4,"still open')
        until(lambda: rows_out(tmp_path) == 3)
        (tmp_path / "in" / "b.csv").write_text("text,n\nbad,13\n")
        append(first, '\nclosed"\n')
        until(lambda: rows_out(tmp_path) == 4)
        until((tmp_path / "out.rejects.jsonl").exists)
        (tmp_path / "once.csv").write_text("n\n1\n")
        assert muster("run", "pipeline.py:step", "once.csv", "-o", "done.csv", "--workers", "0").code == 0
        refused = muster("stop")  # the newest run has ended, and the stream goes on
        assert (refused.code, "is not running. These go on: " in refused.err) == (2, True), refused.err
        ended = muster("stop", refused.err.rpartition("Type for example: muster stop ")[2].strip())
        assert (ended.code, ended.err) == (0, "")
        assert "is not running. muster runs lists the runs" in muster("stop").err
        out, err = process.communicate(timeout=120)
    told = json.loads(out.splitlines()[-1])
    assert process.returncode == 4, err
    assert (told["rows_in"], told["rows_out"], told["bad_rows"]) == (5, 4, 1)
    assert [one["raw"] for one in rejects(tmp_path)] == ["bad,13"]
    before = {path: path.read_bytes() for path in (tmp_path / "out").glob("part-*")}
    append(first, "5,more\n")
    with following(tmp_path, "--workers", "0", "--json") as process:
        until(lambda: rows_out(tmp_path) == 5)
        code, out, err = stopped(tmp_path, process)
    told = json.loads(out.splitlines()[-1])
    assert code == 4, err
    assert (told["rows_in"], told["rows_before"], told["parts"]) == (6, 5, len(before) + 1)
    assert {path: path.read_bytes() for path in before} == before
    assert joined(tmp_path) == (
        'n,text,double\n1,x,2\n2,"y\nz",4\n3,half a row,6\n4,"still open\nclosed",8\n5,more,10\n'
    )
    assert manifest(tmp_path)[-1]["sources"] == [{"path": str(first), "bytes": first.stat().st_size, "rows": 5}]
    assert "5 rows" in muster("runs").out or "6 so far" in muster("runs").out


KILLS = 4
LEAD = 300
"""How many rows are written ahead of those that are done, about."""


class Writer:
    """Writes rows to files, one after the other; now and then one is begun, or the last one renamed."""

    def __init__(self, folder: Path, dice: random.Random) -> None:
        self._folder, self._dice = folder, dice
        self.count = self._file = 0

    def write(self) -> None:
        if self.count - rows_out(self._folder) > LEAD:
            return
        more = self._dice.randrange(1, 90)
        rows = "".join(f'{n},"row\n{n}"\n' for n in range(self.count, self.count + more))
        self.count += more
        path = self._folder / "in" / f"{self._file:03}.csv"
        if self._dice.random() < 0.1 and path.exists():
            path.rename(path.with_name(f"{self._file:03}-old.csv"))
            self._file += 1
            path = self._folder / "in" / f"{self._file:03}.csv"
        append(path, rows if path.exists() else f"n,text\n{rows}")

    def has_written(self, aim: int) -> bool:
        """Write, and tell whether so many rows are done."""
        self.write()
        return rows_out(self._folder) >= aim


@pytest.mark.parametrize("workers", ["0", "2"])
def test_killed_at_any_moment_all_rows_are_there_once_and_parts_never_change(tmp_path: Path, workers: str) -> None:
    """Rows are appended, files renamed and begun, while muster, a worker, or both are killed."""
    seed = random.randrange(1 << 32)  # noqa: S311 (moments, no secrets)
    dice = random.Random(seed)  # noqa: S311 (likewise)
    written(tmp_path, inputs="in/*.csv", every=0.0)
    writer, seen = Writer(tmp_path, dice), dict[Path, bytes]()
    for kill in range(KILLS + 1):
        with following(tmp_path, "--workers", workers, "--quiet") as process:
            wait_for(writer, rows_out(tmp_path) + dice.randrange(1, 400))
            if workers == "2" and dice.random() < 0.7:
                kill_a_child(process.pid, dice)
                wait_for(writer, rows_out(tmp_path) + dice.randrange(1, 200))
            if kill == KILLS:
                code, _, err = stopped(tmp_path, process)
                assert code == 4, (err, seed)
            else:
                process.kill()
                process.communicate()
        for path in (tmp_path / "out").glob("part-*"):
            assert seen.setdefault(path, path.read_bytes()) == path.read_bytes(), f"seed {seed}: {path} has changed"
    oracle = "n,text,double\n" + "".join(f'{n},"row\n{n}",{2 * n}\n' for n in range(writer.count) if n != 13)
    assert joined(tmp_path) == oracle, f"seed {seed}"
    assert [one["raw"] for one in rejects(tmp_path)] == ['13,"row\n13"'], f"seed {seed}"
    assert [part["name"] for part in manifest(tmp_path)] == sorted(path.name for path in seen)


def wait_for(writer: Writer, rows: int) -> None:
    until(lambda: writer.has_written(rows), 60)


def test_a_stop_takes_the_unread_rows_of_a_file_that_was_renamed_and_removed(tmp_path: Path) -> None:
    written(tmp_path, inputs="in/*.csv", every=30.0)
    path = tmp_path / "in" / "a.csv"
    path.write_text("n,text\n1,x\n")
    with following(tmp_path, "--workers", "0") as process:
        until(lambda: rows_out(tmp_path) == 1)
        append(path, "2,y\n3,z\n")
        path.rename(tmp_path / "in" / "a.csv.1")
        path.write_text("n,text\n")
        (tmp_path / "in" / "a.csv.1").unlink()
        code, _, err = stopped(tmp_path, process)
    assert code == 0, err
    assert joined(tmp_path) == "n,text,double\n1,x,2\n2,y,4\n3,z,6\n"


def test_what_a_stop_leaves_behind_is_named(tmp_path: Path) -> None:
    written(tmp_path)
    (tmp_path / "in" / "a.csv").write_text("n,text\n1,x\n2,half")
    (tmp_path / "in" / "b.csv").write_bytes(b"n,text\r2,y\r")
    with following(tmp_path, "--workers", "0") as process:
        until(lambda: rows_out(tmp_path) == 1)
        code, _, err = stopped(tmp_path, process)
    assert code == 0, err
    assert "in/a.csv: 6 bytes behind row 1 are left: its last line has no end" in err
    assert "in/b.csv: 11 bytes behind row 0 are left: its lines end with \\r alone" in err


@pytest.mark.parametrize("kind", ["parquet", "json"])
def test_parts_are_of_the_format_that_is_written(tmp_path: Path, kind: str) -> None:
    written(tmp_path, kind=kind)
    code, err = follow_in_turn(tmp_path, "n,text\n1,x\n2,y\n", "3,\n", "4,z\n")
    assert code == 0, err
    paths = sorted((tmp_path / "out").glob("part-*"))
    read = pd.read_parquet if kind == "parquet" else lambda path: pd.read_json(path, lines=True)
    frames = [read(path) for path in paths]
    assert len(frames) == 3
    assert pd.concat(frames)["double"].to_list() == [2, 4, 6, 8]
    if kind == "parquet":
        assert len({str(pq.read_schema(path)) for path in paths}) == 1


def test_a_value_that_does_not_fit_the_types_of_the_first_epoch_makes_a_bad_row_and_no_null(tmp_path: Path) -> None:
    path = written(tmp_path)
    path.write_text(path.read_text().replace("* 2", "* 2 + 0 * len(df)"))
    (tmp_path / "in" / "a.csv").write_text("n,text\n1,x\n")
    with following(tmp_path, "--workers", "0") as process:
        until(lambda: rows_out(tmp_path) == 1)
        append(tmp_path / "in" / "a.csv", "2,y\nseven,z\n,w\n3,v\n")
        until(lambda: rows_out(tmp_path) == 3)
        code, _, err = stopped(tmp_path, process)
    assert code == 4, err
    assert "dtype={'n': 'str'}, or 'float64' for numbers with decimals or gaps, and type the same command again" in err
    assert "may not treat each row by itself" in err
    assert "--batch-rows" not in err  # which a stream refuses
    assert joined(tmp_path) == "n,text,double\n1,x,2\n2,y,4\n3,v,6\n"
    assert [one["raw"] for one in rejects(tmp_path)] == ["seven,z", ",w"]
    code, err = follow_in_turn(tmp_path, "4,u\n8.5,t\n")  # and so it stays in another process
    assert code == 4, err
    assert [one["raw"] for one in rejects(tmp_path)] == ["seven,z", ",w", "8.5,t"]
    written(tmp_path, dtype={"n": "float64"})
    code, err = follow_in_turn(tmp_path, "9.5,s\n")
    assert code == 2
    assert "dtype" in err
    code, err = follow_in_turn(tmp_path, "9.5,s\n", flags=("--workers", "0", "--accept-changes"))
    assert code == 4, err
    assert joined(tmp_path).endswith("4,u,8\n9.5,s,19.0\n9.5,s,19.0\n")


def test_too_many_bad_rows_stop_the_stream_and_nothing_of_their_epoch_comes_out(tmp_path: Path) -> None:
    written(tmp_path)
    code, err = follow_in_turn(tmp_path, "n,text\n1,x\n", "2,y\n13,z\n", flags=("--workers", "0", "--strict"))
    assert code == 1
    assert "thirteen" in err
    assert joined(tmp_path) == "n,text,double\n1,x,2\n"
    code, err = follow_in_turn(tmp_path, "3,w\n")
    assert code == 4, err
    assert joined(tmp_path) == "n,text,double\n1,x,2\n2,y,4\n3,w,6\n"


def test_a_function_that_fails_on_a_whole_later_epoch_stops_the_stream_and_the_epoch_is_done_again(
    tmp_path: Path,
) -> None:
    path, down = written(tmp_path), tmp_path / "down"
    path.write_text(path.read_text().replace(".any()", f".any() or __import__('os').path.exists({str(down)!r})"))
    assert follow_in_turn(tmp_path, "n,text\n1,x\n", "13,alone\n2,y\n")[0] == 4
    down.touch()
    with following(tmp_path, "--workers", "0", "--quiet") as process:
        append(tmp_path / "in" / "a.csv", "3,few\n")  # which are bad rows, as one or two may be
        until(lambda: len(rejects(tmp_path)) == 2)
        append(tmp_path / "in" / "a.csv", "".join(f"{n},z\n" for n in range(20, 50)))
        _, err = process.communicate(timeout=120)
    assert process.returncode == 1
    assert "in the same way: ValueError: thirteen" in err
    assert "Nothing of this epoch was written" in err
    assert len(rejects(tmp_path)) == 2
    down.unlink()
    assert follow_in_turn(tmp_path, "50,w\n")[0] == 4
    assert joined(tmp_path) == "n,text,double\n1,x,2\n2,y,4\n" + "".join(
        f"{n},{'w' if n == 50 else 'z'},{2 * n}\n" for n in range(20, 51)
    )
    assert [one["raw"] for one in rejects(tmp_path)] == ["13,alone", "3,few"]


def test_a_file_with_another_header_stops_the_stream_and_goes_on_once_it_is_mended(tmp_path: Path) -> None:
    written(tmp_path)
    assert follow_in_turn(tmp_path, "n,text\n1,x\n")[0] == 0
    other = tmp_path / "in" / "b.csv"
    other.write_text("n,words\n2,y\n")
    code, err = follow_in_turn(tmp_path, "3,z\n")
    assert code == 1
    assert "'in/b.csv' has other columns than the stream had so far: it lacks 'text' and has 'words' besides." in err
    other.write_text("text,n\ny,2\n")
    assert follow_in_turn(tmp_path, "4,w\n")[0] == 0
    assert sorted(joined(tmp_path).splitlines()[1:]) == ["1,x,2", "2,y,4", "3,z,6", "4,w,8"]


def test_a_column_that_the_function_gives_later_stops_the_stream(tmp_path: Path) -> None:
    path = written(tmp_path)
    path.write_text(path.read_text().replace("df.assign(", "df.assign(**{str(n): 1 for n in df['n'] if n > 2}, "))
    code, err = follow_in_turn(tmp_path, "n,text\n1,x\n", "2,y\n3,z\n")
    assert code == 1
    assert "The function gives the column '3' now, which no part before has." in err
    written(tmp_path)
    code, err = follow_in_turn(tmp_path, "4,w\n", flags=("--workers", "0", "--accept-changes"))
    assert code == 0, err
    assert joined(tmp_path) == "n,text,double\n1,x,2\n2,y,4\n3,z,6\n4,w,8\n"


def test_columns_of_frames_without_rows_bind_no_later_part(tmp_path: Path) -> None:
    """A function that finds nothing may give a bare frame: no part has been written that lacks a column."""
    path = written(tmp_path)
    path.write_text(
        path.read_text().replace(
            "    return", "    if (df['n'] < 0).all():\n        return df.loc[:-1, ['n']]\n    return"
        )
    )
    (tmp_path / "in" / "a.csv").write_text("n,text\n-1,x\n")
    assert follow_in_turn(tmp_path)[0] == 0
    assert rows_out(tmp_path) == 0
    code, err = follow_in_turn(tmp_path, "2,y\n", "-3,z\n4,w\n")
    assert code == 0, err
    assert joined(tmp_path) == "n,text,double\n2,y,4\n-3,z,-6\n4,w,8\n"


def test_what_a_stream_cannot_have_is_refused_in_words(tmp_path: Path, muster: Muster) -> None:
    written(tmp_path)
    (tmp_path / "in" / "a.csv").write_text("n\n1\n")
    cases = {
        ("-o", "out.csv"): "a stream writes a folder",
        ("--batch-rows", "5"): "A stream cannot have --batch-rows",
        ("--limit", "5"): "A stream cannot have --limit",
        ("-o", "s3://bucket/out/"): "follows files of this computer",
        ("-o", "out/{date}/", "--since-last"): "this pipeline follows its inputs",
        ("-o", "out/{name}/", "--each"): "this pipeline follows its inputs",
        ("-o", "in/"): "'in/'",
    }
    for flags, why in cases.items():
        ended = muster("run", "pipeline.py", "in/", *flags)
        assert ended.code == 2, (flags, ended.err)
        assert why in ended.err, flags
    (tmp_path / "in" / "a.csv.gz").write_bytes(b"")
    assert "'in/a.csv.gz' is compressed" in muster("run", "pipeline.py").err
    (tmp_path / "in" / "a.csv.gz").unlink()
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine.txt").touch()
    assert "holds files that are not of this stream, such as 'mine.txt'" in muster("run", "pipeline.py").err
    assert {path.name for path in tmp_path.iterdir()} - {"__pycache__"} == {"in", "out", "pipeline.py"}


def test_fresh_removes_the_parts_and_begins_anew_and_a_lost_work_folder_is_told(tmp_path: Path, muster: Muster) -> None:
    written(tmp_path)
    assert follow_in_turn(tmp_path, "n,text\n1,x\n", "13,y\n2,z\n")[0] == 4
    written(tmp_path, inputs="more/")
    assert "what the stream reads was 'in/', and is 'more/' now" in muster("run", "pipeline.py").err
    written(tmp_path)
    shutil.rmtree(tmp_path / "out.muster")
    refused = muster("run", "pipeline.py")
    assert refused.code == 2
    assert "holds parts of a stream whose work folder" in refused.err
    assert follow_in_turn(tmp_path, "3,w\n", flags=("--workers", "0", "--fresh"))[0] == 4
    assert joined(tmp_path) == "n,text,double\n1,x,2\n2,z,4\n3,w,6\n"
    assert [one["raw"] for one in rejects(tmp_path)] == ["13,y"]


def test_fresh_is_refused_before_it_removes_anything(tmp_path: Path, muster: Muster) -> None:
    written(tmp_path)
    assert follow_in_turn(tmp_path, "n,text\n1,x\n", "13,y\n2,z\n")[0] == 4
    (tmp_path / "out" / "notes.txt").write_text("mine")
    before = {path: path.read_bytes() for path in kept_by(tmp_path)}
    refused = muster("run", "pipeline.py", "--workers", "0", "--fresh")
    assert (refused.code, "'notes.txt'" in refused.err) == (2, True), refused.err
    assert {path: path.read_bytes() for path in kept_by(tmp_path)} == before
    assert follow_in_turn(tmp_path, "3,w\n")[0] == 4
    assert joined(tmp_path) == "n,text,double\n1,x,2\n2,z,4\n3,w,6\n"


def kept_by(folder: Path) -> list[Path]:
    journal = folder / "out.muster" / "journal.jsonl"
    return [*sorted((folder / "out").iterdir()), folder / "out.rejects.jsonl", journal]


def as_after_a_crash(folder: Path, *, last: str) -> None:
    """Have the journal end with the last event of a kind, as one who died right behind it leaves it."""
    journal = folder / "out.muster" / "journal.jsonl"
    lines = journal.read_bytes().splitlines(keepends=True)
    at = max(at for at, line in enumerate(lines) if f'"event":"{last}"'.encode() in line)
    journal.write_bytes(b"".join(lines[: at + 1]))


@pytest.mark.parametrize("what", ["part", "copy"])
def test_what_a_crash_left_and_somebody_removed_is_an_error_in_words_until_it_is_there_again(
    tmp_path: Path, what: str
) -> None:
    """A part that was about to appear; rows of which file and copy are gone."""
    written(tmp_path)
    path, part = tmp_path / "in" / "a.csv", tmp_path / "out" / "part-00000000.csv"
    path.write_text("n,text\n1,x\n2,y\n")
    with following(tmp_path, "--workers", "0", "--quiet") as process:
        assert stopped(tmp_path, process)[0] == 0
    text, rows = part.read_text(), path.read_text()
    as_after_a_crash(tmp_path, last="committed" if what == "part" else "epoch began")
    (tmp_path / "out" / "_manifest.jsonl").unlink()
    part.unlink()
    if what == "copy":
        path.unlink()
    with following(tmp_path, "--workers", "0", "--quiet") as process:
        _, err = process.communicate(timeout=120)
    gone = "out.muster/sealed/part-00000000.csv" if what == "part" else "in/a.csv"
    assert (process.returncode, gone in err, "is not there any more" in err) == (3, True, True), err
    assert "Restore" in err
    assert "--fresh" in err
    if what == "part":
        (tmp_path / "out.muster" / "sealed" / part.name).write_text(text)
    else:
        path.write_text(rows)
    with following(tmp_path, "--workers", "0", "--quiet") as process:
        assert stopped(tmp_path, process)[0] == 0
    assert part.read_text() == text
    assert rows_out(tmp_path) == 2


def test_a_full_disk_is_told_with_its_folder_and_the_same_command_goes_on_once_there_is_room(tmp_path: Path) -> None:
    written(tmp_path)
    with small(tmp_path / "disk") as disk:
        (tmp_path / "pipeline.py").write_text((tmp_path / "pipeline.py").read_text().replace("'out/'", "'disk/out/'"))
        filler = disk / "filler"
        filler.write_bytes(b"x" * 1_500_000)
        text = "n\n" + "".join(f"{n}\n" for n in range(100, 150_000))
        append(tmp_path / "in" / "a.csv", text)
        with following(tmp_path, "--workers", "0", "--quiet") as process:
            _, err = process.communicate(timeout=120)
        assert process.returncode == 3
        assert f"No space left on device: '{disk}/out.muster" in err
        assert "Make room or mend the access, then type the same command again" in err
        filler.unlink()
        (tmp_path / "in" / "a.csv").write_text(text[:60_002])
        with following(disk.parent, "--workers", "0", "--quiet") as process:
            until(lambda: rows_out(disk) > 0 or process.poll() is not None)
            process.kill()
            process.communicate()
        assert rows_out(disk) > 0
