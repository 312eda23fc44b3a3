"""What is said of a run agrees wherever it is said: page, report, terminal, ``--json``, ``muster runs``, metrics."""

import json
import os
import re
import signal
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from conftest import MUSTER, Ended, Muster
from muster._journal.runs import known
from muster._watch import pages
from muster._watch.metrics import text
from muster._watch.report import report
from muster._watch.sums.moment import Moment
from muster._watch.sums.run import RunView
from waiting import until

ROWS = 2000
FUNCTIONS = """
import os, threading

def clean(df):
    return df.assign(twice=df["n"] * 2)

def choose(df):
    if (df["n"] % 500 == 7).any():
        raise ValueError("seven")
    return df[df["n"] % 10 != 0]

def trouble(df):
    if (df["n"] == 1234).any():
        os._exit(3)
    if (df["n"] == 77).any():
        threading.Event().wait()
    return df

def fail(df):
    if (df["n"] % 3 == 1).any():
        raise KeyError("price")
    return df

def wait(df):
    while os.path.exists("hold") and df["n"].max() >= 1000:
        threading.Event().wait(0.01)
    return df
"""


@dataclass(frozen=True)
class Told:
    """What is said of a run, in each place where it is."""

    end: Ended
    look: Moment
    page: str
    report: str
    json: dict[str, Any]
    line: str
    listed: dict[str, Any]
    metrics: dict[str, float]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path) -> Path:
    (tmp_path / "f.py").write_text(FUNCTIONS)
    (tmp_path / "rows.csv").write_text("n\n" + "".join(f"{n}\n" for n in range(ROWS)))
    return tmp_path


def told_of(muster: Muster, end: Ended) -> Told:
    (one,) = known()
    view = RunView(one.run)
    view.take_all(one.entries())
    view.count(one)
    look = Moment(view, one.state, view.time.last_at)
    page = words_of(pages.whole(pages.overview(look)))
    (listed,) = json.loads(muster("runs", "--json").out)
    samples = [sample for family in text_string_to_metric_families(text([look])) for sample in family.samples]
    metrics = {sample.name: sample.value for sample in samples if len(sample.labels) == 1}
    last = end.out.strip().splitlines()[-1:] or ["{}"]
    answer = json.loads(last[0]) if last[0].startswith("{") else {}
    line = muster("runs").out.splitlines()[1]
    return Told(end, look, page, words_of(report(one.run)), answer, line, listed, metrics)


def words_of(html: str) -> str:
    """Read a page as a person does: what stands in it, without its tags."""
    body = re.sub(r"<(style|script)\b.*?</\1>", " ", html, flags=re.DOTALL)
    return " ".join(re.sub(r"<[^>]+>", " ", body).split())


def run(muster: Muster, function: str, *options: str) -> Told:
    end = muster("run", f"f.py:{function}", "rows.csv", "-o", "out.csv", "--workers", "2", "--json", *options)
    return told_of(muster, end)


def check_that_a_finished_run_is_told_alike(told: Told) -> None:
    result, metrics = told.json, told.metrics
    rows_in, rows_out, bad = result["rows_in"], result["rows_out"], result["bad_rows"]
    dropped = rows_in - rows_out - bad
    assert {key: told.listed[key] for key in result} == result
    for shown in (told.page, told.report):
        assert f"{rows_out:,} written {bad:,} rejected" in shown
        assert f"Rows {rows_in:,} of {rows_in:,}" in shown
        assert f"Bad rows {bad:,}" in shown
        assert (f"{dropped:,} dropped by the function" in shown) == (dropped > 0)
        assert (f"{bad:,} in out.csv.rejects.jsonl" in shown) == (bad > 0)
    now = f", {rows_in - before:,} of them now," if (before := result.get("rows_before", 0)) else ""
    assert f"out.csv: {rows_out:,} rows of {rows_in:,}{now} in" in told.end.err
    assert (result["resumed_parts"] > 0) == (before > 0)
    assert (f"{dropped:,} rows were dropped by the function." in told.end.err) == (dropped > 0)
    assert ("in out.csv.rejects.jsonl" in told.end.err) == (bad > 0)
    assert (metrics["muster_run_rows_settled"], metrics["muster_bad_rows_total"]) == (rows_in, bad)
    assert metrics["muster_run_rows_written"] == rows_out
    assert told.look.status == told.listed["status"] == "finished"
    assert "finished" in told.line
    if not result["resumed_parts"]:
        shares = re.search(r"(\d+)% of the workers' time was your function", told.end.err)
        has_gone_wrong = bad > 0 or told.look.spent.lost > 0
        assert (shares is not None) == (has_gone_wrong or result["seconds"] >= 10)
    if not result["resumed_parts"] and shares:
        function = told.look.spent.share(told.look.spent.function)
        assert function is not None
        assert int(shares[1]) == pytest.approx(100 * function, abs=3)
        assert (told.look.took, told.look.pace) == (result["seconds"], result["rows_per_second"])


def test_of_a_clean_run(muster: Muster) -> None:
    told = run(muster, "clean")
    assert told.end.code == 0
    check_that_a_finished_run_is_told_alike(told)
    assert told.json["rows_out"] == ROWS


def test_of_a_run_with_rejected_and_dropped_rows(muster: Muster) -> None:
    told = run(muster, "choose")
    assert told.end.code == 4
    check_that_a_finished_run_is_told_alike(told)
    assert (told.json["rows_out"], told.json["bad_rows"]) == (1796, 4)
    assert sum(reason.rows for reason in told.look.rejected) == 4
    assert told.look.spent.sorting > 0
    assert told.look.spent.read < told.look.spent.there


def test_of_a_run_with_a_crash_and_a_call_over_its_limit(muster: Muster) -> None:
    told = run(muster, "trouble", "--timeout", "300ms", "--batch-rows", "500")
    assert told.end.code == 4
    check_that_a_finished_run_is_told_alike(told)
    assert told.json["bad_rows"] == 2
    lost = told.look.spent.lost
    assert lost > 0.3 * 3
    share = re.search(r"(\d+)% was lost to crashes and time limits", told.end.err)
    assert share
    assert int(share[1]) == pytest.approx(100 * (told.look.spent.share(lost) or 0.0), abs=3)
    assert f"{told.look.view.log.lost_tries} tries that ended in a crash" in told.page
    assert told.look.spent.rest < told.look.spent.there / 2 or told.look.spent.there < 4


def test_of_a_run_that_too_many_bad_rows_stopped(muster: Muster) -> None:
    told = run(muster, "fail", "--max-bad-rows", "100")
    assert told.end.code == 1
    count = re.search(r"(\d+) rows could not be processed", told.end.err)
    assert count
    bad = int(count[1])
    for shown in (told.page, told.report):
        assert f"{bad} rows could not be processed" in shown
        assert f"Bad rows {bad}" in shown
        assert "out.csv.rejects.jsonl" not in shown
        assert "type the same command again" not in shown
    assert sum(reason.rows for reason in told.look.rejected) == told.metrics["muster_bad_rows_total"] == bad
    assert told.look.view.standing.rows_done == told.look.figures.rows_in
    assert told.look.status == told.listed["status"] == "failed"
    assert told.listed["state"] == "unfinished"
    assert "failed" in told.line


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, "stopped"), (signal.SIGKILL, "killed")])
def test_of_a_run_that_was_interrupted_and_goes_on(
    muster: Muster, folder: Path, number: signal.Signals, status: str
) -> None:
    (folder / "hold").touch()
    command = ("run", "f.py:wait", "rows.csv", "-o", "out.csv", "--workers", "2", "--batch-rows", "100", "--json")
    with subprocess.Popen([*MUSTER, *command], cwd=folder, stderr=subprocess.PIPE, text=True) as process:
        until(lambda: any(b'"rows_done":' in one.journal.read_bytes() for one in known()))
        os.kill(process.pid, number)
        assert process.stderr
        said = process.stderr.read()
    before = told_of(muster, Ended(process.returncode, "", said))
    assert before.look.status == before.listed["status"] == status
    shown, listed = before.look.standing, before.listed
    assert (shown.rows_done, shown.rows_out) == (listed["rows_done"], listed["rows_out"])
    assert f"{shown.rows_done:,}" in before.page
    assert status in before.line
    assert ">failed<" not in before.page
    assert (status == "stopped") == ("Stopped by you (Ctrl-C)" in said) == ("Stopped by you (Ctrl-C) at" in before.page)
    assert "type the same command again" in before.page
    (folder / "hold").unlink()
    told = told_of(muster, muster(*command))
    check_that_a_finished_run_is_told_alike(told)
    assert told.listed["seconds_at_work"] == pytest.approx(told.look.took, abs=0.01)
    (gap,) = told.look.view.breaks
    assert f"of work, over {told.look.over.rpartition('over ')[2]}" in told.page
    assert 0 < gap.away < told.look.view.time.last_at - (told.look.view.time.begun or 0.0)
