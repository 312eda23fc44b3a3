"""What is known of runs: going on, unfinished, finished; by processes that live and others that do not."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from muster import UsageError
from muster._history import State, archive, find, known, note, runs
from muster._journal import Journal, replay

JOB = {"steps": [["classify", "code"]], "inputs": [["in.csv", 10, "stamp"]], "output": "out.csv"}


def begin(folder: Path, run: str) -> Path:
    """Write the journal of a run that has begun."""
    path = folder / f"{run}.muster" / "journal.jsonl"
    path.parent.mkdir()
    with Journal(path) as journal:
        journal.write("started", run=run, job=JOB, at=1.0)
        journal.write("kept", task=[])
    return path


def test_a_run_is_running_while_its_process_lives_and_unfinished_when_it_is_gone(tmp_path: Path, home: Path) -> None:
    note("1-mine", begin(tmp_path, "1-mine"))
    code = "import sys, pathlib; from muster._history import note; note('2-other', pathlib.Path(sys.argv[1]))"
    other = begin(tmp_path, "2-other")
    subprocess.run([sys.executable, "-c", code, str(other)], check=True)
    assert [(one.run, one.state) for one in known()] == [("2-other", State.UNFINISHED), ("1-mine", State.RUNNING)]
    told = json.loads((home / "unfinished" / "1-mine.json").read_text())
    (home / "unfinished" / "1-mine.json").write_text(json.dumps({**told, "born": told["born"] + "0"}))
    assert find("1").state is State.UNFINISHED  # another process has its id by now


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
        writing.write("finished", result={"rows_in": 7})
    archive(journal, "1", has_rejects=False)
    (one,) = known()
    assert (one.state, one.journal.exists(), journal.exists()) == (State.FINISHED, True, False)
    assert [event["event"] for event in replay(one.journal)] == ["started", "finished"]
    assert next(runs())["rows_in"] == 7


def test_a_journal_that_is_damaged_costs_its_own_line_and_no_other(tmp_path: Path, home: Path) -> None:
    journal = begin(tmp_path, "1")
    note("1", journal)
    archive(journal, "1", has_rejects=False)
    (home / "runs" / "2.jsonl").write_text("null\n")
    (home / "runs" / "3.jsonl").write_text('{"event":"started"}\n')
    (home / "runs" / "4.jsonl").mkdir()
    (home / "runs" / "5.jsonl").write_bytes(b"\x00junk\n[]\n")
    assert [one["run"] for one in runs()] == ["1"]


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
