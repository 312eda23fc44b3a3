"""What a terminal shows of a run: a bar, a line for each machine, why it waits, what it costs."""

import io
import re
import sys
from dataclasses import replace

import pytest

from muster._job import MachinePace, Result, Snapshot
from muster._show.summary import summary
from muster._show.terminal import show
from muster._words import left


class Terminal(io.StringIO):
    """A stream that says that it is a terminal."""

    def isatty(self) -> bool:
        return True

    @property
    def text(self) -> str:
        """All that was ever drawn, without what moves the cursor or colours."""
        return re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", self.getvalue())


def snapshot(**more: object) -> Snapshot:
    known: dict[str, object] = {
        "rows_done": 250,
        "rows_total": 1000,
        "workers": 4,
        "rows_per_second": 12.5,
        "seconds_left": (50.0, 70.0),
    }
    return Snapshot("working", **{**known, **more})  # type: ignore[arg-type]  # fields by name


def drawn(shot: Snapshot, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "160")
    terminal = Terminal()
    with show(quiet=False, to=terminal) as shown:
        shown.watch(shot)
    return terminal.text


def test_the_bar_tells_rows_pace_time_left_as_a_range_and_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    text = drawn(snapshot(), monkeypatch)
    assert "25% 250 of 1,000 rows, 12 rows/s, 50 s to 1m10s left, 4 workers" in text


def test_several_machines_have_a_line_each_and_one_has_none(monkeypatch: pytest.MonkeyPatch) -> None:
    one, other = MachinePace("m1", 2, 7.0, 0.98), MachinePace("m2", 2, 5.5, 0.5)
    text = drawn(snapshot(machines=(one, other)), monkeypatch)
    assert "m1: 7 rows/s, 2 workers, busy 98%" in text
    assert "m2: 6 rows/s, 2 workers, busy 50%" in text
    assert "m1:" not in drawn(snapshot(machines=(one,)), monkeypatch)


def test_of_many_machines_the_fastest_are_shown_and_the_others_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    many = tuple(MachinePace(f"m{number:02}", 7, float(number), 1.0) for number in range(40))
    text = drawn(snapshot(machines=many), monkeypatch)
    assert "m39:" in text
    assert "m23:" not in text
    assert "and 24 machines that are slower" in text


def test_money_bad_rows_and_why_it_waits_are_told_where_there_is_anything_to_tell(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    text = drawn(snapshot(dollars=1.234, bad_rows=3, waiting_for="the last task is with its worker"), monkeypatch)
    assert "4 workers, 3 bad, $1.23 so far; the last task is with its worker" in text
    assert "4 workers, cost unknown" in drawn(snapshot(dollars=None), monkeypatch)
    assert "$" not in drawn(snapshot(), monkeypatch)


def test_a_call_that_hangs_stands_where_nobody_can_say_how_long_the_rest_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    held = "worker 2 has been at rows 50 to 89 of rows.csv for 20 s"
    text = drawn(snapshot(seconds_left=None, held=held), monkeypatch)
    assert f"250 of 1,000 rows, {held}, 4 workers" in text
    assert "left" not in text


@pytest.mark.parametrize(
    ("spent", "said"),
    [
        ({"function_seconds": 99.4}, "99% of the workers' time was your function."),
        (
            {"function_seconds": 10.0, "sorting_seconds": 5.0, "lost_seconds": 80.0},
            (
                "10% of the workers' time was your function, 5% went into sorting out bad rows,"
                " 80% was lost to crashes and time limits."
            ),
        ),
    ],
)
def test_the_end_says_where_the_time_went_as_shares_of_all_the_time_workers_were_there(
    spent: dict[str, float], said: str
) -> None:
    result = Result(10, 7, 1, 1, 0, 2, 1, 50.0, 0.2, "out.csv", "out.csv.rejects.jsonl", 0.0)
    told = summary(result, snapshot(worker_seconds=100.0, **spent)).splitlines()
    assert told[1] == said
    assert "2 rows were dropped by the function." in told


def test_a_short_run_in_which_nothing_went_wrong_is_not_asked_where_its_time_went() -> None:
    short = Result(10, 10, 0, 1, 0, 2, 1, 2.0, 5.0, "out.csv", None, 0.0)
    last = snapshot(run="r1", worker_seconds=4.0, function_seconds=0.1)
    assert summary(short, last).splitlines() == [str(short)]
    long = replace(short, seconds=20.0)
    assert summary(long, last).splitlines()[1:] == [
        "2% of the workers' time was your function.",
        "Where the time went: muster report r1 -o report.html",
    ]
    assert "was lost to crashes" in summary(short, replace(last, lost_seconds=1.0))


def test_a_report_is_not_advised_where_what_it_needs_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    long = Result(10, 10, 0, 1, 0, 2, 1, 20.0, 5.0, "out.csv", None, 0.0)
    monkeypatch.setitem(sys.modules, "jinja2", None)
    assert "muster report" not in summary(long, snapshot(run="r1", worker_seconds=4.0))


def test_a_note_stands_on_a_line_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "muster: machine m2 is gone\n" in drawn(snapshot(note="machine m2 is gone"), monkeypatch).replace("\r", "")


def test_elsewhere_a_note_is_a_line_and_nothing_is_drawn() -> None:
    stream = io.StringIO()
    with show(quiet=False, to=stream) as shown:
        shown.watch(snapshot())
        shown.watch(snapshot(note="machine m2 is gone"))
    assert stream.getvalue() == "muster: machine m2 is gone\n"


@pytest.mark.parametrize(
    ("seconds", "written"),
    [(None, "?"), ((5.0, 5.01), "5.0 s"), ((50.0, 70.0), "50 s to 1m10s"), ((3600.0, 7200.0), "1h00m to 2h00m")],
)
def test_time_left_is_written_as_a_range_unless_both_ends_read_the_same(
    seconds: tuple[float, float] | None, written: str
) -> None:
    assert left(seconds) == written
