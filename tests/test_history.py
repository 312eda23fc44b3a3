"""What is known of runs: going on, unfinished, finished; by processes that live and others that do not."""

import asyncio
import json
import os
import subprocess
import sys
from pathlib import Path
from types import FrameType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import journals
from conftest import Muster
from muster import UsageError
from muster._journal.events import FORMAT, Dropped, Event, Finished, Kept, Started
from muster._journal.file import Journal, replay
from muster._journal.kept_rows import KeptRows
from muster._journal.runs import SECONDS_UNHEARD, archive, find, known, note
from muster._journal.status import RunState
from muster._journal.summaries import summaries
from muster._model import Outcome, Task
from muster._run.history.past import Past
from muster._run.history.resume import differences_of_rows
from muster._watch.serving.feed import RunFeed

JOB = {"steps": [["classify", "code"]], "inputs": [["in.csv", 10, "stamp"]], "output": "out.csv"}


def begin(folder: Path, run: str) -> Path:
    """Write the journal of a run that has begun."""
    path = folder / f"{run}.muster" / "journal.jsonl"
    path.parent.mkdir()
    with Journal(path) as journal:
        journal.write(Started(run, JOB, format=FORMAT), at=1.0)
        journal.write(Kept(Outcome(Task(1, 0, 1, 0, 0, 10, 0, 3, 0, 3), 3, 3)))
    return path


def test_a_run_is_running_while_its_process_lives_and_unfinished_when_it_is_gone(tmp_path: Path, home: Path) -> None:
    note("1-mine", begin(tmp_path, "1-mine"))
    code = "import sys, pathlib; from muster._journal.runs import note; note('2-other', pathlib.Path(sys.argv[1]))"
    other = begin(tmp_path, "2-other")
    subprocess.run([sys.executable, "-c", code, str(other)], check=True)
    assert [(one.run, one.state) for one in known()] == [("2-other", RunState.UNFINISHED), ("1-mine", RunState.RUNNING)]
    told = json.loads((home / "unfinished" / "1-mine.json").read_text())
    (home / "unfinished" / "1-mine.json").write_text(json.dumps({**told, "born": told["born"] + "0"}))
    assert find("1").state is RunState.UNFINISHED  # another process has its id by now


def test_a_run_on_another_computer_with_the_same_home_is_running_while_its_journal_grows(
    tmp_path: Path, home: Path
) -> None:
    journal = begin(tmp_path, "1")
    note("1", journal)
    path = home / "unfinished" / "1.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "computer": "another", "pid": 1, "born": "1"}))
    assert find("1").state is RunState.RUNNING
    long_ago = journal.stat().st_mtime - SECONDS_UNHEARD - 1
    os.utime(journal, (long_ago, long_ago))
    assert find("1").state is RunState.UNFINISHED


def test_a_note_of_an_earlier_version_is_of_this_computer(tmp_path: Path, home: Path) -> None:
    note("1", begin(tmp_path, "1"))
    path = home / "unfinished" / "1.json"
    told = json.loads(path.read_text())
    del told["computer"]
    path.write_text(json.dumps(told))
    assert find("1").state is RunState.RUNNING


def test_a_journal_that_is_gone_is_forgotten(tmp_path: Path, home: Path) -> None:
    journal = begin(tmp_path, "1")
    note("1", journal)
    journal.unlink()
    assert known() == []
    note("2", begin(tmp_path, "2"))
    assert [path.name for path in (home / "unfinished").iterdir()] == ["2.json"]


def test_a_finished_run_is_kept_without_what_only_a_resumed_one_needs(tmp_path: Path) -> None:
    journal = begin(tmp_path, "1")
    note("1", journal)
    with Journal(journal) as writing:
        writing.write(Finished({"rows_in": 7}))
    archive(journal, "1", has_rejects=False)
    (one,) = known()
    assert (one.state, one.journal.exists(), journal.exists()) == (RunState.FINISHED, True, False)
    assert [type(entry.event) for entry in replay(one.journal)] == [Started, Finished]
    assert next(summaries())["rows_in"] == 7


def test_a_journal_that_is_damaged_costs_its_own_line_and_no_other(tmp_path: Path, home: Path) -> None:
    journal = begin(tmp_path, "1")
    note("1", journal)
    archive(journal, "1", has_rejects=False)
    (home / "runs" / "2.jsonl").write_text("null\n")
    (home / "runs" / "3.jsonl").write_text('{"event":"started"}\n')
    (home / "runs" / "4.jsonl").mkdir()
    (home / "runs" / "5.jsonl").write_bytes(b"\x00junk\n[]\n")
    assert [one["run"] for one in summaries()] == ["1"]


def test_the_oldest_over_a_hundred_are_forgotten(tmp_path: Path) -> None:
    for number in range(103):
        archive(begin(tmp_path, f"{number:03}"), f"{number:03}", has_rejects=False)
    assert [one.run for one in known()] == [f"{number:03}" for number in range(102, 2, -1)]


def test_a_run_is_found_by_the_beginning_of_its_id_and_the_newest_without_one(tmp_path: Path) -> None:
    for run in ("20260101-aa", "20260101-bb", "20260102-cc"):
        archive(begin(tmp_path, run), run, has_rejects=False)
    assert find(None).run == "20260102-cc"
    assert find("20260102").run == "20260102-cc"
    with pytest.raises(UsageError, match="2 runs begin with '20260101'"):
        find("20260101")
    with pytest.raises(UsageError, match=r"There is no run 'x'.*20260102-cc"):
        find("x")


@pytest.mark.parametrize("text", ["", "no JSON", "[]", '{"journal": 1}'])
def test_a_note_that_is_damaged_harms_nobody(home: Path, text: str) -> None:
    (home / "unfinished").mkdir()
    (home / "unfinished" / "1.json").write_text(text)
    assert known() == []
    with pytest.raises(UsageError, match="There is no run yet"):
        find(None)


def test_a_note_names_this_process(tmp_path: Path, home: Path) -> None:
    note("1", begin(tmp_path, "1"))
    assert json.loads((home / "unfinished" / "1.json").read_text())["pid"] == os.getpid()


def test_an_unfinished_run_tells_rows_bad_rows_and_time_and_how_to_go_on(tmp_path: Path, muster: Muster) -> None:
    rows = "".join(f"{n}\n" for n in range(30_000))
    (tmp_path / "in.csv").write_text(f"n\n{rows}")
    (tmp_path / "f.py").write_text(
        "from pathlib import Path\ndef f(df):\n    if df.n.iloc[-1] > 20_000 and not Path('go').exists():\n"
        "        raise KeyboardInterrupt\n    if (df.n == 7).any():\n        raise ValueError('seven')\n    return df\n"
    )
    command = ("run", "f.py:f", "in.csv", "-o", "out.csv", "--workers", "0")
    assert muster(*command).code == 130
    (told,) = json.loads(muster("runs", "--json").out)
    assert (told["status"], told["rows_total"], told["bad_rows"]) == ("stopped", 30_000, 1)
    assert 0 < told["rows_done"] == told["rows_out"] + 1 < 30_000
    assert told["seconds_at_work"] > 0
    work = str(tmp_path / "out.csv.muster")
    assert told["go_on"] == (
        f"{told['run']}: {told['rows_done']:,} rows done. To go on, type its command again; to start over, the same"
        f" with --fresh. What was done lies in {work!r}."
    )
    shown = muster("runs").out
    assert f"  {told['rows_done']:,} of 30,000  1 " in shown
    assert shown.splitlines()[-1] == told["go_on"]
    refused = muster(*command, "--limit", "9")
    assert "--limit was not given, and is 9 now" in refused.err
    (tmp_path / "go").touch()
    ended = muster(*command, "--json", "--accept-changes").json
    assert ended["rows_in"] == 30_000
    assert "go_on" not in json.loads(muster("runs", "--json").out)[0]


def test_what_has_changed_since_an_unfinished_run_is_said_in_words() -> None:
    before = {
        "facts": {"the function 'main' of x.py": "#1"},
        "inputs": [],
        "steps": [["main"]],
        "format": [None, None, None],
        "dialect": {"delimiter": ",", "quote": '"'},
        "dtype": {"a": "str"},
        "batch_rows": None,
    }
    now = {
        "facts": {"the function 'enrich' of x.py": "#2"},
        "inputs": [],
        "steps": [["enrich"]],
        "format": ["csv", None, None],
        "dialect": {"delimiter": ";", "quote": '"'},
        "dtype": {"a": "int64", "b": "str"},
        "batch_rows": 10,
    }
    assert list(differences_of_rows(before, now)) == [
        "the function was 'main' of x.py, and is 'enrich' of x.py now",
        "--format was not given, and is 'csv' now",
        "--sep was ',', and is ';' now",
        "--dtype of a was 'str', and is 'int64' now",
        "--dtype of b was not given, and is 'str' now",
        "--batch-rows was not given, and is 10 now",
    ]
    two = {**now, "steps": [["clean"], ["enrich"]]}
    assert next(differences_of_rows(before, two)) == (
        "the functions were 'main' of x.py, and are 'clean', then 'enrich' of x.py now"
    )
    assert list(differences_of_rows(now, now)) == []


def test_a_run_of_a_later_version_is_refused_in_words_and_hides_no_other(tmp_path: Path, muster: Muster) -> None:
    note("1-now", begin(tmp_path, "1-now"))
    later = begin(tmp_path, "2-later")
    later.write_text(journals.without_checks(later.read_text()).replace(f'"format":{FORMAT}', f'"format":{FORMAT + 1}'))
    note("2-later", later)  # of a process that lives: the page follows it
    told = muster("report", "2-later", "-o", "report.html")
    assert (told.code, f"its format is {FORMAT + 1}" in told.err, "Traceback" in told.err) == (2, True, False), told.err
    assert [line.run for line in asyncio.run(RunFeed().lines())] == ["1-now"]


PARTS = 40


@given(st.lists(st.tuples(st.sampled_from(["keep", "join", "drop"]), st.integers(0, PARTS - 1)), max_size=60))
def test_rows_are_counted_by_the_rule_that_a_resumed_run_reads_its_journal_by(
    steps: list[tuple[str, int]],
) -> None:
    """Tasks of one to three parts are kept, joined to stretches and dropped, as a run does it."""
    ends = [first + 1 + first % 3 for first in range(PARTS)]
    stretches: dict[int, int] = {}
    past, tally = Past(), KeptRows()
    for what, first in steps:
        covered = any(begin < ends[first] and first < end for begin, end in stretches.items())
        if what == "keep" and not covered:
            outcome = Outcome(Task(1, first, ends[first], 0, 0, 10, 0, 3, 0, 3), 3, 2, bad_rows=1)
            told: list[Event] = [Kept(outcome)]
            stretches[first] = ends[first]
        elif what == "join" and first in stretches and stretches[first] in stretches:
            stretches[first] = stretches.pop(stretches[first])
            continue
        elif what == "drop" and first in stretches:
            told = [Dropped(first, stretches.pop(first), 0)]
        else:
            continue
        for event in told:
            past.add(event)
            tally.take(event)
    kept = past.kept.values()
    assert tally.rows() == (sum(one.rows_in for one in kept), 2 * len(kept), len(kept))


def test_rows_are_counted_in_time_that_grows_with_the_journal_and_no_faster() -> None:
    def steps(stretches: int) -> int:
        """Count the instructions that it takes to count the rows of a run that keeps stretches, and drops each."""
        done = 0

        def trace(frame: FrameType, event: str, _: object) -> Any:  # noqa: ANN401 (itself)
            nonlocal done
            frame.f_trace_opcodes = True
            done += event == "opcode"
            return trace

        tally = KeptRows()
        tasks = [Task(1, at, at + 1, 0, 0, 10, 0, 3, 0, 3) for at in range(stretches * 3)]
        keeps: list[Event] = [Kept(Outcome(task, 3, 3)) for task in tasks]
        drops: list[Event] = [Dropped(at, at + 3, 0) for at in range(0, stretches * 3, 3)]
        before = sys.gettrace()
        sys.settrace(trace)
        try:
            for event in (*keeps, *drops, *keeps):
                tally.take(event)
            rows = tally.rows()
        finally:
            sys.settrace(before)
        assert rows.done == stretches * 9
        return done

    few, many = steps(20), steps(200)
    assert few > 1000
    assert many < few * 11
