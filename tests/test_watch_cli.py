"""The verbs about watching, as real processes: ``muster watch``, ``run --watch``, ``report`` and ``runs``."""

import json
import os
import re
import signal
from pathlib import Path
from typing import IO

import pytest

from conftest import Muster, started
from watching import Served, Streamed, rejecting, resumed, stopped

ROWS = 1000
SLOW = """
import os, threading

def slow(df):
    while os.path.exists("hold"):
        threading.Event().wait(0.01)
    return df
"""


def first_line(stream: IO[str] | None, pattern: str) -> re.Match[str]:
    """Read lines until one matches."""
    assert stream is not None
    for line in stream:
        if match := re.search(pattern, line):
            return match
    raise AssertionError(f"nothing matched {pattern!r}")


def rest_of(stream: Streamed) -> dict[str, str]:
    """Take all that a stream still tells until it ends."""
    seen: dict[str, str] = {}
    while True:
        try:
            seen |= stream.next()
        except EOFError:
            stream.close()
            return seen


def test_watch_serves_until_ctrl_c(tmp_path: Path) -> None:
    story = rejecting(tmp_path)
    with started(tmp_path, "watch", story.run[:10], "--port", "0") as process:
        url = first_line(process.stdout, r"^Watch at (http://127\.0\.0\.1:\d+/)runs/(.+)$")
        assert url[2] == story.run
        assert Served(process, "", url[1]).ask("/")[0] == 200
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=20)
    assert (process.returncode, out, err) == (0, "", "")


def test_watch_ends_when_its_terminal_is_closed(tmp_path: Path) -> None:
    with started(tmp_path, "watch", "--port", "0") as process:
        first_line(process.stdout, r"^Watch at ")
        process.send_signal(signal.SIGHUP)
        _, err = process.communicate(timeout=20)
    assert (process.returncode, err.strip()) == (128 + signal.SIGHUP, "Stopped by a signal (SIGHUP).")


def test_a_run_with_a_page_tells_where_and_the_page_is_told_the_end(tmp_path: Path) -> None:
    (tmp_path / "slow.py").write_text(SLOW)
    (tmp_path / "rows.csv").write_text("n\n" + "".join(f"{n}\n" for n in range(ROWS)))
    (tmp_path / "hold").touch()
    command = ("run", "slow.py:slow", "rows.csv", "-o", "out.csv", "--workers", "2", "--json", "--watch", "--port", "0")
    with started(tmp_path, *command) as process:
        url = first_line(process.stderr, r"^muster: Watch at (http://127\.0\.0\.1:\d+/)(runs/.+)$")
        stream = Streamed(Served(process, "", url[1]), f"/{url[2]}/events")
        seen = stream.next()
        while ">running<" not in seen["head"]:
            seen |= stream.next()
        (tmp_path / "hold").unlink()
        seen |= rest_of(stream)
        out, err = process.communicate(timeout=30)
    assert process.returncode == 0
    run = url[2].removeprefix("runs/")
    assert f"To see it again: muster watch {run}, or as one file: muster report {run} -o report.html" in err
    assert json.loads(out.splitlines()[-1])["rows_in"] == ROWS
    assert "finished" in seen["head"]
    assert "1,000" in seen["progress"]


def test_a_call_that_hangs_is_named_without_a_time_limit_in_terminal_and_page(tmp_path: Path) -> None:
    (tmp_path / "slow.py").write_text(SLOW.replace('exists("hold")', 'exists("hold") and (df["n"] == 990).any()'))
    (tmp_path / "rows.csv").write_text("n\n" + "".join(f"{n}\n" for n in range(ROWS)))
    (tmp_path / "hold").touch()
    command = ("run", "slow.py:slow", "rows.csv", "-o", "out.csv", "--workers", "2", "--watch", "--port", "0")
    with started(tmp_path, *command) as process:
        url = first_line(process.stderr, r"^muster: Watch at (http://127\.0\.0\.1:\d+/)(runs/.+)$")
        said = first_line(
            process.stderr, r"^muster: worker (\d) has been at (rows? .+) of rows\.csv for .+--timeout 60s"
        )
        stream = Streamed(Served(process, "", url[1]), f"/{url[2]}/events")
        while f"Worker {said[1]} has been at {said[2]}" not in (shown := stream.next().get("progress", "")):
            pass
        assert " left" not in shown
        (tmp_path / "hold").unlink()
        rest_of(stream)
        process.communicate(timeout=30)
    assert process.returncode == 0


def test_the_page_of_a_run_that_is_killed_ends_too(tmp_path: Path) -> None:
    (tmp_path / "slow.py").write_text(SLOW)
    (tmp_path / "rows.csv").write_text("n\n1\n2\n")
    (tmp_path / "hold").touch()
    with started(tmp_path, "run", "slow.py:slow", "rows.csv", "-o", "out.csv", "--watch", "--port", "0") as process:
        url = first_line(process.stderr, r"Watch at (http://127\.0\.0\.1:\d+/)(runs/.+)$")
        stream = Streamed(Served(process, "", url[1]), f"/{url[2]}/events")
        stream.next()
        os.kill(process.pid, signal.SIGKILL)
        rest_of(stream)


def test_a_report_is_one_file_about_the_run_that_is_named(muster: Muster, tmp_path: Path) -> None:
    rejecting(tmp_path)
    story = resumed(tmp_path)
    end = muster("report", story.run, "-o", "report.html")
    assert end.code == 0, end.err
    page = (tmp_path / "report.html").read_text()
    assert page.startswith("<!doctype html>")
    assert story.run in page
    assert re.search(r"report\.html: \d+ kB", end.out)
    older = page.replace('<meta name="generator" content="muster report">\n', "")
    assert older != page
    (tmp_path / "older.html").write_text(older)
    assert muster("report", story.run, "-o", "older.html").code == 0
    (tmp_path / "code.py").write_text("x = 1\n")
    refused = muster("report", story.run, "-o", "code.py")
    assert (refused.code, "'code.py' is there, and is no report of muster's" in refused.err) == (2, True)
    assert (tmp_path / "code.py").read_text() == "x = 1\n"
    (tmp_path / "empty.html").touch()
    assert [muster("report", story.run, "-o", name).code for name in ("report.html", "empty.html")] == [0, 0]
    assert "would mean standard output" in muster("report", story.run, "-o", "-").err


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["report", "nope", "-o", "r.html"], "There is no run 'nope'"),
        (["report", "-o", "no/such/folder/r.html"], "Cannot write 'no/such/folder/r.html'"),
        (["report"], "-o"),
        (["watch", "nope"], "There is no run 'nope'"),
        (["watch", "--port", "70000"], "is no port"),
        (["watch", "--port", "http"], "is no port"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_wrong_command_ends_with_2_and_says_what_to_type(
    muster: Muster, tmp_path: Path, arguments: list[str], says: str
) -> None:
    stopped(tmp_path)
    end = muster(*arguments)
    assert end.code == 2
    assert says in end.err
    assert "Traceback" not in end.err


def test_runs_tells_what_became_of_each(muster: Muster, tmp_path: Path) -> None:
    resumed(tmp_path)
    stopped(tmp_path)
    found = {run["run"]: run for run in json.loads(muster("runs", "--json").out)}
    assert {run: one["state"] for run, one in found.items()} == {
        "20261124-070000-d1ed": "finished",
        "20261124-060000-570b": "running",  # its process, which is this one, lives
    }
    assert {run: one["status"] for run, one in found.items()} == {
        "20261124-070000-d1ed": "finished",
        "20261124-060000-570b": "failed",
    }
    assert "rows_in" not in found["20261124-060000-570b"]
    listed = muster("runs").out
    assert "finished" in listed
    assert "failed" in listed
