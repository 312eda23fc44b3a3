"""What the page says in words of each state of a run: nothing that is not so, and nothing that contradicts."""

import json
import os
import time
from collections import Counter
from pathlib import Path

import pytest

from muster._journal import events
from muster._journal.measures import Measures, StepSum, WorkerSum
from muster._journal.runs import find
from muster._model import Load, Seconds
from muster._run.telling.under_way import StuckRows
from muster._watch import charts, pages
from muster._watch.outlook import outlook, remarks
from muster._watch.sums.figures import activity
from muster._watch.sums.moment import Moment
from muster._watch.sums.processor import processor
from muster._watch.sums.run import RunView
from watching import Story, going, resumed


def look_at(story: Story, *, later: float = 0.0) -> Moment:
    found = find(story.run)
    view = RunView(found.run)
    view.take_all(found.entries())
    return Moment(view, found.state, view.time.last_at + later)


def said_of(look: Moment) -> str:
    return " ".join(f"{one.title} {one.detail} {one.text}" for one in remarks(look))


def test_while_one_call_holds_all_up_nobody_says_how_long_the_rest_takes(tmp_path: Path) -> None:
    story = Story(tmp_path).begin().work(5)
    held = StuckRows("2", "rows.csv", 8996, 9003, 6.0, 5, 0.9, 8.0)
    story.measured(Measures(), held=held, waiting_for="the last task is with its worker")
    look = look_at(story, later=1.5)
    assert look.left is None
    assert outlook(look) == "waiting for one call"
    (only,) = remarks(look)
    assert only.text.startswith("Worker 2 has been at rows 8,996 to 9,003 of rows.csv for 7.5 s (try 5, limit 8.0 s)")
    assert " left" not in pages.overview(look).fragments["progress"]


def test_what_was_foretold_runs_down_and_is_not_told_any_more_when_nothing_is_heard(tmp_path: Path) -> None:
    story = going(tmp_path)
    now, later, silent = (look_at(story, later=seconds) for seconds in (0, 4, 25))
    assert now.left is not None
    assert later.left is not None
    assert later.left[0] == pytest.approx(now.left[0] - 4)
    assert (silent.left, silent.pace) == (None, None)
    assert outlook(silent) == "nothing heard from muster for 25 s"
    assert "though its process lives" in said_of(silent)
    assert not said_of(later)


def test_a_run_in_this_process_is_silent_while_a_call_lasts(tmp_path: Path) -> None:
    story = Story(tmp_path).begin().work(5)
    story.write(events.TryStarted(2, 1, 0, engine="inline"), events.WorkerJoined("1", "atlas"))
    assert "with --workers 0 muster itself makes the call" in said_of(look_at(story, later=25))


def test_before_the_first_worker_is_there_a_run_starts(tmp_path: Path) -> None:
    story = Story(tmp_path, machines={"m1": 2, "m2": 2})
    job = {"inputs": [["rows.csv", 1, ""]], "steps": [["f", ""]], "output": "o"}
    story.write(events.Started(story.run, job), events.TryStarted(1, 1, 4, engine="ray", cluster="c"))
    story.write(events.Phase("working"))
    story.measured(Measures(), waiting_for="workers start")
    look = look_at(story, later=30)
    assert look.badge == ("running", "starting")
    assert outlook(look) == "waiting for the first of 4 workers"
    assert remarks(look) == []
    assert "0%" not in pages.overview(look).fragments["progress"]
    story.write(events.WorkerJoined("m1-1", "m1"))
    assert look_at(story).badge == ("running", "running")


@pytest.mark.parametrize(
    ("error", "message", "badge", "says", "resumes"),
    [
        ("KeyboardInterrupt", "", "stopped", "Stopped by you (Ctrl-C) at", True),
        ("Terminated", "", "stopped", "Stopped by a signal (SIGTERM) at", True),
        ("Terminated", "SIGHUP", "stopped", "Stopped by a signal (SIGHUP) at", True),
        ("TooManyBadRowsError", "Type it with --fresh.", "failed", "TooManyBadRowsError Type it with --fresh.", False),
        ("ZeroDivisionError", "division by zero", "failed", "ZeroDivisionError division by zero", True),
    ],
)
def test_a_run_that_stopped_says_why_and_one_thing_to_do(  # noqa: PLR0913 (what is told, and how)
    tmp_path: Path, error: str, message: str, badge: str, says: str, *, resumes: bool
) -> None:
    story = Story(tmp_path).begin().work(5)
    story.write(events.Stopped(error, message))
    look = look_at(story)
    assert look.badge == (badge, badge)
    assert says in said_of(look)
    assert ("type the same command again" in said_of(look)) == resumes
    assert ("KeyboardInterrupt" in pages.overview(look).fragments["progress"]) is False


def test_a_run_that_was_killed_says_so_and_since_when(tmp_path: Path, home: Path) -> None:
    story = going(tmp_path)
    path = home / "unfinished" / f"{story.run}.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "born": "0"}))
    look = look_at(story)
    assert look.badge == ("killed", "killed")
    assert f"Killed at about {time.strftime('%H:%M:%S', time.localtime(look.view.time.last_at))}" in said_of(look)


def test_a_gap_between_attempts_is_marked_and_both_times_are_told(tmp_path: Path) -> None:
    look = look_at(resumed(tmp_path))
    fragments = pages.overview(look).fragments
    for name in ("rates", "timeline"):
        assert "nobody at work for 1h00m" in fragments[name]
    assert "of work, over 1h01m" in fragments["progress"]
    assert "was gone from about now on, for 1h00m." in fragments["notes"]


def test_the_file_of_bad_rows_is_named_once_it_is_there(tmp_path: Path) -> None:
    story = Story(tmp_path, rows_total=20_000).begin().work(5).reject("ValueError", 3)
    shown = pages.overview(look_at(story)).fragments["rejects"]
    assert "3 so far; their file is written when the run finishes" in shown
    assert "rejects.jsonl" not in shown
    story.work(100).finish()
    assert "3 in" in (shown := pages.overview(look_at(story)).fragments["rejects"])
    assert "classified.csv.rejects.jsonl" in shown


def test_what_a_function_drops_and_adds_is_told_beside_what_is_written(tmp_path: Path) -> None:
    story = Story(tmp_path, machines={"atlas": 1}, rows_total=100).begin()
    story.measured(Measures({"1": WorkerSum(1, 60, 40, bad_rows=5)}))
    assert [told for _, told, _ in look_at(story).settled] == ["40 written", "5 rejected", "15 dropped by the function"]
    look = look_at(story)
    look.view.standing.rows_out = 90
    assert [told for _, told, _ in look.settled] == ["90 written", "5 rejected", "35 more than came in"]
    assert sum(amount for _, _, amount in look.settled) == look.view.standing.rows_done == 60
    look.view.job = {"groups": [[0, ["user"], True, True]]}  # whose functions make one row of many
    assert [told for _, told, _ in look.settled] == ["90 written", "5 rejected"]


def test_no_work_is_shown_before_its_worker_was_there(tmp_path: Path) -> None:
    story = Story(tmp_path, machines={"atlas": 1}).begin()
    joined = story.at - story.born
    story.at += 2
    done = WorkerSum(
        1, 100, 100, seconds=Seconds(function=1.0, total=1.0), steps=[StepSum(100, 100, 1, 1.0, Counter())]
    )
    story.measured(Measures({"1": done}), span=60.0)
    look = look_at(story)
    width = look.view.roster.clock.width
    before = [sum(shares) for at, shares in enumerate(activity(look.view, look.view.roster.workers["1"], look.now))]
    assert not any(before[: int(joined / width)])
    assert look.workers[0].pace == pytest.approx(50, rel=0.01)


def test_a_worker_that_is_at_one_task_for_long_is_busy_and_not_idle(tmp_path: Path) -> None:
    story = Story(tmp_path).begin()
    joined = story.at - story.born
    story.at += 20
    story.write(events.Measured(20, 0, 9, 0, 2, "", {}, {}, [], at_work={"1": 20.0, "2": 10.0}))
    look = look_at(story)
    assert look.spent.going == pytest.approx(30, abs=0.1)
    assert look.spent.busy_share == pytest.approx(30 / look.spent.there)
    going = charts.ACTIVITIES.index("going")
    for name, seconds in (("1", 20), ("2", 10)):
        shares = activity(look.view, look.view.roster.workers[name], look.now)
        assert sum(one[going] for one in shares) * look.view.roster.clock.width == pytest.approx(seconds, abs=0.2)
        assert sum(map(sum, shares)) * look.view.roster.clock.width == pytest.approx(look.now - joined, abs=0.6)


def test_machines_that_are_one_computer_show_its_load_once(tmp_path: Path) -> None:
    story = Story(tmp_path, machines={"m1": 2, "m2": 2, "m3": 2}).begin().work(5)
    apart = pages.overview(look_at(story)).fragments["machines"]
    assert apart.count("5.0 GB of 16 GB") == 3
    story.write(events.TryStarted(2, os.getpid() + 1, 6, engine="ray", one_computer=True))
    look = look_at(story)
    shown = pages.overview(look).fragments
    assert shown["machines"].count("5.0 GB of 16 GB") == 1
    assert "on this computer" in shown["machines"]
    assert "on 3 machines, all this computer" in shown["progress"]


@pytest.mark.parametrize(
    ("used", "load", "cores", "says"),
    [
        (0.95, 0.99, 2, ""),
        (
            0.10,
            0.99,
            2,
            "The computer is crowded: workers use 10% of a core each, and other programs take about 89% of its",
        ),
        (0.10, 0.20, 8, "your function waits, for network, disk or sleep"),
        (0.50, 0.99, 1, "There are more workers than cores: they use 50% of a core each, on 1 of them."),
    ],
)
def test_why_workers_get_little_of_the_processor_is_said(
    tmp_path: Path, *, used: float, load: float, cores: int, says: str
) -> None:
    story = Story(tmp_path).begin()
    measured = Measures(machines={"atlas": Load(load, cores, 1, 2, 3)})
    for worker in story.workers:
        measured.workers[worker] = WorkerSum(1, 1, 1, seconds=Seconds(function=10, total=10), cpu=10 * used)
    story.at += 10
    story.measured(measured, span=10)
    use = processor(look_at(story))
    assert use is not None
    assert use.share == pytest.approx(used)
    assert says in use.remark
    assert bool(says) == bool(use.remark)
