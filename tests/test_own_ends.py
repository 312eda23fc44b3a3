"""Streams from a source of the user's own, and into a sink of the user's own."""

import random
import re
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import muster as the_module
import own_ends
from conftest import Muster, begun
from followed import kill_a_child
from muster.errors import UsageError
from waiting import until

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable

PIPELINE = """
import muster, own_ends
def double(df):
    return df.assign(double=df["n"] * 2)
source = own_ends.LinesOfFile("in.csv")
pipeline = muster.read_from(source, every=0.0).map_batches(double).write_to(own_ends.Folder("got"))
"""


def written(folder: Path, text: str = PIPELINE) -> None:
    shutil.copy(own_ends.__file__, folder)
    (folder / "pipeline.py").write_text(text)


def lines(count: int, start: int = 0) -> str:
    return "".join(f'{n},"row, {n}"\n' for n in range(start, start + count))


def doubled(count: int) -> str:
    return "".join(f'{n},"row, {n}",{2 * n}\n' for n in range(count))


def got(folder: Path) -> str:
    """Put what the sink shows together, without headers."""
    return "".join(path.read_text().removeprefix("n,text,double\n") for path in sorted(folder.glob("got/*/*.csv")))


def ended(process: "subprocess.Popen[str]") -> tuple[int, str, str]:
    out, err = process.communicate(timeout=120)
    return process.returncode, out, err


def test_each_row_arrives_once_whatever_is_killed_and_the_source_ends_the_stream(tmp_path: Path) -> None:
    """The stream, and workers of it, whose number is another each time."""
    seed = random.randrange(1 << 32)  # noqa: S311 (moments, no secrets)
    dice = random.Random(seed)  # noqa: S311 (likewise)
    written(tmp_path)
    (tmp_path / "in.csv").write_text("n,text\n")
    rows = 0
    for _ in range(6):
        with (
            begun(tmp_path, "run", "pipeline.py", "--workers", dice.choice("0123")) as process,
            (tmp_path / "in.csv").open("a") as file,
        ):
            for _ in range(dice.randrange(1, 6)):
                more = dice.choice([1, 40, 3000])
                file.write(lines(more, rows))
                file.flush()
                rows += more
            aim = dice.randrange(rows + 1)
            until(lambda aim=aim: got(tmp_path).count("row") >= aim or process.poll() is not None)  # type: ignore[misc]
            if dice.random() < 0.6:
                kill_a_child(process.pid, dice)
                until(lambda rows=rows: got(tmp_path).count("row") >= rows or process.poll() is not None)  # type: ignore[misc]
            process.kill()
    (tmp_path / "in.csv.end").touch()
    with begun(tmp_path, "run", "pipeline.py", "--workers", "1") as process:
        code, _, err = ended(process)
    assert code == 0, (seed, err)
    assert got(tmp_path) == doubled(rows), seed
    assert "nothing comes any more" in err
    assert (
        "Its source has ended, and all that had come is done"
        in (tmp_path / "Folder.muster" / "journal.jsonl").read_text()
    )
    assert f"Folder has all {rows:,} rows of the stream" in err
    assert (tmp_path / "in.csv.done").read_text() == str((tmp_path / "in.csv").stat().st_size)
    with begun(tmp_path, "report", "-o", "report.html") as process:
        assert ended(process)[0] == 0
    assert "Stopped by the end of its source" in (tmp_path / "report.html").read_text()


MISBEHAVING = """
import muster, own_ends
from pathlib import Path
class Source(own_ends.LinesOfFile):
    def read(self, position, limit):
        given = super().read(position, limit)
        {read}
class Sink(own_ends.Folder):
    def commit(self, number):
        {commit}
def same(df):
    return df
pipeline = muster.read_from(Source("in.csv"), every=0.0).map_batches(same).write_to(Sink("got"))
"""
FINE, COMMITS = "return given", "super().commit(number)"


@pytest.mark.parametrize(
    ("read", "commit", "why"),
    [
        ("return given and (given.text, 7)", COMMITS, "Source: read gave 7 as position. A position is text"),
        ("return given and given._replace(text=given.text[:-1])", COMMITS, "Each row needs its line end"),
        ("return given and given._replace(position=position)", COMMITS, "gave rows and the position before them"),
        ("return given and given._replace(text=b'n,text\\n1,\"a\\n')", COMMITS, "within a quoted cell"),
        ("return given and given.text", COMMITS, "It gives muster.StreamRows(text, position), or None"),
        ("raise ValueError('no such table')", COMMITS, "Source: read('', 4194304) raised ValueError: no such table"),
        (FINE, "raise KeyError('x')", "Sink: commit(3) raised KeyError: 'x'"),
    ],
)
def test_what_an_end_does_that_it_may_not_is_said_and_nothing_is_lost(
    tmp_path: Path, muster: Muster, read: str, commit: str, why: str
) -> None:
    text = "n,text\n" + lines(3)
    (tmp_path / "in.csv").write_text(text)
    (tmp_path / "in.csv.end").touch()
    written(tmp_path, MISBEHAVING.format(read=read, commit=commit))
    run = muster("run", "pipeline.py", "--workers", "0")
    assert (run.code, why in run.err) == (1, True), run.err
    assert "no row is lost. Mend it, and type the same command again" in run.err
    written(tmp_path, MISBEHAVING.format(read=FINE, commit=COMMITS))
    run = muster("run", "pipeline.py", "--workers", "0")
    assert run.code == 0, run.err
    [part] = tmp_path.glob("got/*/*.csv")
    assert part.read_text() == text


@pytest.mark.parametrize("error", ["ValueError('no such table')", "SystemExit(5)"])
def test_what_a_source_has_given_is_done_before_it_is_said_that_it_has_failed(
    tmp_path: Path, muster: Muster, error: str
) -> None:
    (tmp_path / "in.csv").write_text("n,text\n" + lines(3))
    fails = MISBEHAVING.format(read=f"if not given.text: raise {error}\n        return given", commit=COMMITS)
    written(tmp_path, fails)
    run = muster("run", "pipeline.py", "--workers", "0")
    assert (run.code, f"raised {error.partition('(')[0]}" in run.err) == (1, True), run.err
    assert (tmp_path / "in.csv.done").exists() is False  # it is not called any more
    (tmp_path / "in.csv.end").touch()
    written(tmp_path, MISBEHAVING.format(read=FINE, commit=COMMITS))
    assert "3 rows of 3, 0 of them now" in muster("run", "pipeline.py", "--workers", "0").err


def test_an_epoch_without_a_row_that_can_be_read_settles_no_types(tmp_path: Path) -> None:
    written(tmp_path, PIPELINE.replace("every=0.0", "every=0.0, columns=['n', 'text']"))
    (tmp_path / "in.csv").write_text("1,2,3,4\n")
    with begun(tmp_path, "run", "pipeline.py", "--workers", "0") as process:
        until(lambda: (tmp_path / "in.csv.done").exists() or process.poll() is not None)
        with (tmp_path / "in.csv").open("a") as file:
            file.write(lines(2))
        (tmp_path / "in.csv.end").touch()
        code, _, err = ended(process)
    assert code == 4, err
    assert got(tmp_path) == doubled(2)


def test_an_end_that_is_away_is_waited_for_and_said_once(tmp_path: Path) -> None:
    away = "if Path('away').exists():\n            raise ConnectionError('nobody there')\n        "
    (tmp_path / "in.csv").write_text("n,text\n" + lines(3))
    (tmp_path / "in.csv.end").touch()
    written(tmp_path, MISBEHAVING.format(read=away + FINE, commit=away + COMMITS))
    (tmp_path / "away").touch()
    with begun(tmp_path, "run", "pipeline.py", "--workers", "0") as process:
        assert process.stderr is not None
        assert "Source: read raised ConnectionError: nobody there" in process.stderr.readline()
        (tmp_path / "away").unlink()
        code, _, err = ended(process)
    assert code == 0, err
    assert "Source: it is there again" in err
    assert "Sink has all 3 rows of the stream" in err


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        ("ConnectionError", 0, "so what was done last is acknowledged when the same command is typed again"),
        ("KeyError", 1, "no row is lost. Mend it, and type the same command again"),
    ],
)
def test_an_acknowledgement_that_fails_at_the_very_end_is_told_in_this_run(
    tmp_path: Path, muster: Muster, error: str, code: int, said: str
) -> None:
    refuses = f"def acknowledge(self, position):\n        raise {error}('full')\n    "
    (tmp_path / "in.csv").write_text("n,text\n" + lines(3))
    (tmp_path / "in.csv.end").touch()
    text = MISBEHAVING.format(read=FINE, commit=COMMITS)
    written(tmp_path, text.replace("def read", f"{refuses}def read", 1))
    run = muster("run", "pipeline.py", "--workers", "0")
    assert (run.code, f"raised {error}" in run.err, said in run.err) == (code, True, True), run.err
    written(tmp_path, text)
    run = muster("run", "pipeline.py", "--workers", "0")
    assert run.code == 0, run.err
    assert got(tmp_path).count("row") == 3
    assert (tmp_path / "in.csv.done").read_text() == str((tmp_path / "in.csv").stat().st_size)


def test_a_sink_that_has_forgotten_what_it_had_stops_the_stream(tmp_path: Path, muster: Muster) -> None:
    (tmp_path / "in.csv").write_text("n,text\n" + lines(3))
    (tmp_path / "in.csv.end").touch()
    written(tmp_path)
    assert muster("run", "pipeline.py", "--workers", "0").code == 0
    shutil.rmtree(tmp_path / "got")
    run = muster("run", "pipeline.py", "--workers", "0")
    assert (run.code, "open says that 0 is the last number" in run.err) == (3, True), run.err


def test_what_is_no_source_or_sink_is_refused() -> None:
    for wrong, why in (
        (own_ends.LinesOfFile, "it is a class. Pass an object of it"),
        ("orders", "it has no method 'open' and no 'read'"),
        (own_ends.Folder("x"), "it has no method 'read' and no 'acknowledge'"),
    ):
        with pytest.raises(UsageError, match=why):
            the_module.read_from(wrong)  # type: ignore[arg-type]
    with pytest.raises(UsageError, match=r"read_from\(Folder\(\.\.\.\)\): it has no method 'read'"):
        the_module.read_from(own_ends.Folder("x"))  # type: ignore[arg-type]


def test_a_place_that_is_no_text_is_refused_in_words() -> None:
    listens, place = the_module.listen_tcp(":0"), "a place is text. Give for example '127.0.0.1:"
    wrong: list[tuple[Callable[[], object], str]] = [
        (lambda: the_module.listen_tcp(8888), f"listen_tcp 8888: {place}8888'"),  # type: ignore[arg-type]
        (lambda: listens.send_tcp(9999), f"send_tcp 9999: {place}9999'"),  # type: ignore[arg-type]
        (lambda: listens.send_tcp(":1", folder=3), "folder=3: it must be a path"),  # type: ignore[arg-type]
        (lambda: the_module.listen_tcp(":0", token=5), "token=5: it must be a path"),  # type: ignore[arg-type]
        (lambda: the_module.follow_redis(5, "a"), "follow_redis: '5' is no URL of a Redis server"),  # type: ignore[arg-type]
    ]
    for call, why in wrong:
        with pytest.raises(UsageError, match=f"^{re.escape(why)}"):
            call()
