"""What functions print comes home whole: from every engine, with whose it is, and without tearing the bar."""

import io
import os
import re
import sys
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import muster
from conftest import Muster
from muster._clouds.base import Access
from muster._engines.prints import Prints, labelled, unlabelled
from muster._job import Job, Options
from muster._run.runner import run
from muster._user_code.targets import parse_target
from test_results_shown import Terminal

TALKER = """
import atexit
import os
import sys

atexit.register(print, "no end of line", end="", flush=True)

def talk(df):
    for number in df["n"]:
        sys.stdout.write(f"row {number}")
        print(f" on {'x' * 200}", file=sys.stdout)
    os.system("echo a child speaks")
    return df

def die(df):
    print("before the end", flush=True)
    if (df["n"] == 7).any():
        os.kill(os.getpid(), 9)
    return df

def much(df):
    for number in range(2000):
        print("line", number)
    return df

def ask(df):
    input("who? ")
    return df
"""
ROWS = 100


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "talker.py").write_text(TALKER)
    (tmp_path / "rows.csv").write_text("n\n" + "".join(f"{number}\n" for number in range(ROWS)))
    monkeypatch.chdir(tmp_path)
    return tmp_path


@dataclass
class Heard:
    """Takes what is printed."""

    lines: list[tuple[str, bytes]] = field(default_factory=list)

    def __call__(self, worker: str, lines: bytes) -> None:
        self.lines.append((worker, lines))

    def of(self, worker: str) -> bytes:
        return b"".join(lines for name, lines in self.lines if name == worker)


@settings(deadline=None, max_examples=30, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.lists(st.tuples(st.sampled_from("ab"), st.sampled_from([b"x", b"\n", b"one\ntwo", b"\xff\r\n", b"y" * 70_000])))
)
def test_lines_come_whole_in_their_order_and_the_last_is_ended(written: list[tuple[str, bytes]]) -> None:
    heard = Heard()
    prints = Prints(heard)
    ends = {name: prints.pipe(name) for name in "ab"}
    for name, text in written:
        assert os.write(ends[name], text) == len(text) or text[:1] == b"y"
    os.close(ends["a"])
    prints.close()
    os.close(ends["b"])
    assert all(lines.endswith(b"\n") for _, lines in heard.lines)
    for name in "ab":
        sent = b"".join(text for one, text in written if one == name)
        assert heard.of(name) == (sent if sent.endswith(b"\n") or not sent else sent + b"\n")


def test_each_line_begins_with_whose_it_is_where_several_print() -> None:
    said: list[str] = []
    labelled(said.append)("2", b"one\n\xfftwo\n")
    labelled(said.append)("", b"nobody's\n")
    unlabelled(said.append)("2", b"alone\n")
    assert said == ["worker 2: one\nworker 2: \\xfftwo\n", "nobody's\n", "alone\n"]


def assert_all_is_there(text: str, mark: str) -> None:
    lines = text.splitlines()
    assert sorted(line for line in lines if " on x" in line) == sorted(
        line for line in lines if re.fullmatch(rf"{mark}row \d+ on x{{200}}", line)
    )
    rows = Counter(int(number) for number in re.findall(r"row (\d+) on", text))
    assert rows == dict.fromkeys(range(ROWS), 1)
    assert len(re.findall(rf"^{mark}a child speaks$", text, flags=re.MULTILINE)) == 4
    assert re.search(r"^(worker \S+: )?no end of line$", text, flags=re.MULTILINE)


@pytest.mark.parametrize(("workers", "mark"), [("1", ""), ("2", r"worker [12]: ")])
def test_what_workers_of_this_computer_print_goes_to_standard_error(
    folder: Path, muster: Muster, workers: str, mark: str
) -> None:
    command = ("run", "talker.py:talk", "rows.csv", "-o", "out.csv", "--batch-rows", "25", "--quiet")
    end = muster(*command, "--workers", workers)
    assert (end.code, end.out) == (0, ""), end.err
    assert_all_is_there(end.err, mark)
    assert (folder / "out.csv").exists()


@pytest.mark.usefixtures("folder")
@pytest.mark.waits
def test_what_far_machines_print_comes_home_with_the_names_of_both(far: Access) -> None:
    said: list[str] = []
    options = Options(batch_rows=25)
    job = Job((parse_target("talker.py:talk"),), ("rows.csv",), "out.csv", options)
    run(job, watch=lambda _: None, printed=said.append, access=far)
    assert_all_is_there("".join(said), r"worker m1-[12]: ")


@pytest.mark.usefixtures("folder")
def test_what_a_worker_had_printed_when_it_was_killed_is_not_lost(muster: Muster) -> None:
    end = muster("run", "talker.py:die", "rows.csv", "-o", "out.csv", "--workers", "1", "--batch-rows", "10")
    assert end.code == 4, end.err
    assert end.err.count("before the end\n") >= 11


@pytest.mark.usefixtures("folder")
def test_twenty_thousand_lines_come_above_the_bar_each_on_a_line_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("TERM", "xterm")
    muster.run("talker.py:much", "rows.csv", "out.csv", workers=2, batch_rows=10)
    lines = re.split(r"[\r\n]|\x1b\[[0-9;?]*[a-zA-Z]", terminal.getvalue())
    assert sum(1 for line in lines if re.fullmatch(r"worker [12]: line \d+", line)) == 20_000
    assert not [
        line for line in lines if "line" in line and not re.fullmatch(r"worker [12]: (line \d+|no end of line)", line)
    ]


@pytest.mark.usefixtures("folder")
def test_prints_go_where_the_caller_has_put_standard_error(monkeypatch: pytest.MonkeyPatch) -> None:
    to = io.StringIO()
    monkeypatch.setattr(sys, "stderr", to)
    muster.run("talker.py:talk", "rows.csv", "out.csv", workers=2, batch_rows=25)
    assert_all_is_there(to.getvalue(), r"worker [12]: ")


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize("workers", [1, 0])
def test_a_function_that_asks_for_something_to_be_typed_is_told_how_and_no_row_is_blamed(
    workers: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO())
    with pytest.raises(muster.UserCodeError, match=r"asks with input\(\).*workers=0, in a terminal"):
        muster.run("talker.py:ask", "rows.csv", "out.csv", workers=workers)
    assert not Path("out.csv").exists()
