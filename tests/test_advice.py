"""What a run's figures say is also said in words: what to do about it. Where nothing is the matter, nothing is said."""

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from conftest import Muster
from muster._journal.measures import Measures, StepSum, WorkerSum
from muster._journal.runs import find
from muster._model import Load, Seconds
from muster._watch import pages
from muster._watch.advice import advice, closing
from muster._watch.sums.account import Account, WorkDone, account_of
from muster._watch.sums.moment import Moment
from muster._watch.sums.run import RunView
from watching import Story, going, large, rejecting, resumed, stopped

CALM = Load(0.4, 4, 1 << 30, 64 << 30, 1 << 40)
FULL = Load(0.97, 4, 1 << 30, 64 << 30, 1 << 40)


def one(name: str = "1", **changed: object) -> WorkDone:
    """A worker that computed all the time, at an even pace."""
    seconds = Seconds(read=3.0, function=50.0, write=3.0, total=56.0)
    usual = WorkDone(name, "m1", 40, 40_000, seconds, 54.0, 200 << 20, 59.0, Seconds(0.1, 1.25, total=1.4), 1000)
    return replace(usual, **changed)  # type: ignore[arg-type]


def account(*workers: WorkDone, **changed: object) -> Account:
    found = Account(60.0, 60.0 * max(len(workers), 2), workers or (one("1"), one("2")), load=CALM)
    return replace(found, **changed)  # type: ignore[arg-type]


def chapters(found: Account) -> list[str]:
    return [said.chapter for said in advice(found)]


def test_a_run_whose_workers_computed_all_the_time_is_not_advised() -> None:
    assert chapters(account()) == []
    assert chapters(account(load=None)) == []
    assert chapters(account(bad_rows=3)) == []


WAITED = Seconds(read=1.0, function=55.0, write=0.5, total=57.0)
FAILED = Seconds(read=3.0, function=50.0, write=1.0, total=58.0, sorting=4.0, failed=30.0)
READ = Seconds(read=30.0, function=20.0, write=3.0, total=53.0)
WROTE = Seconds(read=3.0, function=20.0, write=20.0, total=53.0, transfer=10.0)
HUNGRY = Seconds(read=3.0, function=20.0, write=3.0, total=26.0, waiting=33.0)
LOST = Seconds(read=3.0, function=20.0, write=3.0, total=56.0, lost=30.0)


@pytest.mark.parametrize(
    ("found", "chapter", "says"),
    [
        (
            account(one("1", seconds=FAILED), one("2", seconds=FAILED), bad_rows=600),
            "bad-rows",
            "600 bad rows cost 34 s of 1m00s: to find each",
        ),
        (
            account(one("1", seconds=WAITED, cpu=2.0), one("2", seconds=WAITED, cpu=2.0)),
            "your-function-waits",
            "keeps 3.5% of a core busy while it is called. More workers than cores would help: --workers 16",
        ),
        (
            account(*(one(name, first=Seconds(0.1, 9.3), first_rows=100) for name in "12")),
            "first-batches",
            "The first batch of each worker took 8.3 s longer than those after it.",
        ),
        (
            account(one("1", first=Seconds(0.1, 19.3), first_rows=100), one("2", tasks=1, rows=1000, first_rows=1000)),
            "first-batches",
            "The first batch of each worker took 19 s longer than those after it.",
        ),
        (
            account(one("1"), one("2", until=30.0)),
            "the-last-task",
            "The last task held worker 1 for 29 s, 48% of the run",
        ),
        (account(one("1", seconds=READ), one("2", seconds=READ)), "reading", "Reading took 50% of the workers' time"),
        (account(one("1", seconds=WROTE), one("2", seconds=WROTE)), "writing", "Writing and transfer took 50%"),
        (
            account(one("1", seconds=HUNGRY), one("2", seconds=HUNGRY), is_packed=True),
            "compressed-input",
            "Workers waited 55% of their time for the compressed input",
        ),
        (
            account(one("1", seconds=LOST), one("2", seconds=LOST)),
            "crashes",
            "Crashes and time limits cost 30 s of 1m00s",
        ),
        (
            account(*(one(name, machine=f"m{name}", rows=40_000 // (3 if name == "3" else 1)) for name in "123")),
            "a-slow-machine",
            "Machine m3 is 3 times slower than the rest",
        ),
        (
            account(*(one(name, rows=40_000 // (4 if name == "2" else 1)) for name in "123")),
            "a-slow-machine",
            "Worker 2 is",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) and " " not in value else "",
)
def test_each_cause_has_its_sentence_and_no_other(found: Account, chapter: str, says: str) -> None:
    (said,) = advice(found)
    assert said.chapter == chapter
    assert says in said.text
    assert f"\n## {title_of(chapter)}" in SLOW


SLOW = (Path(__file__).parents[1] / "docs" / "slow.md").read_text()


def title_of(chapter: str) -> str:
    """Find the heading whose anchor this is."""
    heads = re.findall(r"^## (.*)$", SLOW, flags=re.MULTILINE)
    return next((head for head in heads if re.sub(r"[^a-z0-9 -]", "", head.lower()).replace(" ", "-") == chapter), "?")


@pytest.mark.parametrize(
    "found",
    [
        account(one("1", seconds=WAITED, cpu=20.0), one("2", seconds=WAITED, cpu=20.0), load=FULL),
        account(one("1", seconds=WAITED, cpu=50.0), one("2", seconds=WAITED, cpu=50.0)),
        account(*(one(str(at), seconds=WAITED, cpu=2.0) for at in range(16))),
        account(one("1"), one("2", until=30.0), is_over=False),
        account(one("1"), one("2", until=57.0)),
        account(one("1", seconds=HUNGRY), one("2", seconds=HUNGRY)),
        account(*(one(name, machine=f"m{name}", rows=40_000 // (4 if name == "3" else 1), tasks=3) for name in "123")),
        account(one("1", seconds=FAILED), one("2", seconds=FAILED), bad_rows=600, took=4.0, there=8.0),
    ],
    ids=[
        "waits on a crowded computer",
        "computes",
        "has four workers a core",
        "is at its end, which has not come",
        "ends within a task",
        "waits, but not for unpacking",
        "has done too few tasks to compare",
        "was over soon",
    ],
)
def test_what_is_not_so_or_cannot_be_known_is_not_said(found: Account) -> None:
    assert chapters(found) == []


def test_a_function_that_hardly_computes_waits_however_crowded_the_computer_is() -> None:
    workers = [one(name, seconds=WAITED, cpu=1.0) for name in "12"]
    assert chapters(account(*workers, load=FULL)) == ["your-function-waits"]


def test_a_stream_is_advised_nothing_that_streams_do_not_have() -> None:
    reads, writes = ([one(name, seconds=seconds) for name in "12"] for seconds in (READ, WROTE))
    ends = one("1", until=59.0), one("2", until=30.0)
    for workers, refused in ((reads, "Parquet"), (writes, "Parquet"), (ends, "--batch-rows")):
        of_files, of_stream = (advice(account(*workers, is_stream=is_stream))[0].text for is_stream in (False, True))
        assert refused in of_files
        assert refused not in of_stream


def test_no_more_workers_are_advised_than_memory_holds() -> None:
    tight = Load(0.4, 4, 60 << 30, 64 << 30, 1 << 40)
    workers = [one(name, seconds=WAITED, cpu=2.0, memory=1 << 30) for name in "12"]
    (said,) = advice(account(*workers, load=tight))
    assert said.text.endswith("--workers 5.")
    assert chapters(account(*(replace(worker, memory=9 << 30) for worker in workers), load=tight)) == []


def test_what_costs_most_comes_first_and_a_terminal_is_told_of_two() -> None:
    spent = FAILED._replace(waiting=0.0, lost=12.0, total=70.0)
    bad = account(*(one(name, seconds=spent, first=Seconds(0.1, 9.3), first_rows=100) for name in "12"), bad_rows=9)
    costs = [said.cost for said in advice(bad)]
    assert len(costs) == 3
    assert costs == sorted(costs, reverse=True)
    assert closing(bad) == [str(said) for said in advice(bad)[:2]]
    assert closing(bad)[0].endswith(" More: muster help slow bad-rows")
    assert closing(replace(bad, took=9.0)) == []


def view_of(story: Story) -> RunView:
    view = RunView(story.run)
    view.take_all(find(story.run).entries())
    return view


@pytest.mark.parametrize("told", [going, large, resumed, stopped, rejecting])
def test_runs_that_are_as_they_should_be_are_not_advised(tmp_path: Path, told: Callable[[Path], Story]) -> None:
    view = view_of(told(tmp_path))
    assert advice(account_of(view, is_over=False)) == []


def test_the_account_of_a_journal_says_what_was_first_and_who_was_last(tmp_path: Path) -> None:
    story = Story(tmp_path, rows_total=100_000).begin(inputs=("in.csv.gz",))
    for at in range(20):
        story.at += 1.0
        slow = 4.0 if at == 0 else 0.9
        busy = {
            name: WorkerSum(1, 500, 500, 0, 0, 0, Seconds(0.05, slow, 0.05, slow + 0.1), slow, 1 << 20, [StepSum()])
            for name in ("1", "2")
            if name == "1" or at < 12
        }
        story.measured(Measures(busy), span=1.0)
    story.finish()
    view = view_of(story)
    found = account_of(view, is_over=True)
    assert [(done.first.function, done.first_rows) for done in found.workers] == [(4.0, 500)] * 2
    assert found.is_packed
    assert found.format == "text"
    assert set(chapters(found)) == {"first-batches", "the-last-task"}
    page = pages.overview(Moment(view, find(story.run).state, view.time.last_at)).fragments["advice"]
    assert "<h2>What to do about it</h2>" in page
    assert "The first batch of each worker took 3.1 s longer" in page


# One real run each


BUSY = """
import time
def busy(rows):
    until = time.process_time() + rows / 20_000
    while time.process_time() < until:
        pass
"""
RAISES = """
def f(df):
    if (df.n % 40 == 7).any():
        busy(len(df))
        raise ValueError
    return df
"""
WAITS = """
def f(df):
    time.sleep(len(df) / 2000)
    return df
"""
# The second worker may start late on a crowded computer: the first waits for it, else it would do all rows alone.
WARMS_UP = """
import os, pathlib
has = []
def f(df):
    if not has:
        here = pathlib.Path(__file__).parent
        (here / f"{os.getpid()}.works").touch()
        while len(list(here.glob("*.works"))) < 2:
            time.sleep(0.01)
        busy(30_000)
        has.append(1)
    busy(len(df))
    return df
"""
ENDS_LATE = """
def f(df):
    busy(40_000 if 3999 in df.n.values else len(df))
    return df
"""


@pytest.mark.parametrize(
    ("function", "chapter"),
    [
        (RAISES, "bad-rows"),
        (WAITS, "your-function-waits"),
        (WARMS_UP, "first-batches"),
        (ENDS_LATE, "the-last-task"),
    ],
    ids=["bad rows", "waiting", "first batches", "the last task"],
)
def test_a_real_run_is_advised_on_what_was_the_matter(
    tmp_path: Path, muster: Muster, function: str, chapter: str
) -> None:
    (tmp_path / "f.py").write_text(BUSY + function)
    (tmp_path / "in.csv").write_text("n\n" + "".join(f"{n}\n" for n in range(4000)))
    end = muster("run", "f.py:f", "in.csv", "-o", "out.csv", "--workers", "2", "--max-bad-rows", "50%")
    assert end.code == (4 if chapter == "bad-rows" else 0), end.err
    view = RunView()
    view.take_all(find(None).entries())
    found = replace(account_of(view, is_over=True), load=CALM)  # other tests may crowd the computer
    assert chapter in [said.chapter for said in advice(found, shortest=0.5)]


def test_workers_of_an_earlier_attempt_did_not_wait_for_the_last_task(tmp_path: Path) -> None:
    story = Story(tmp_path, run="20261124-070000-0001", rows_total=100_000).begin().work(40)
    story.at += 60
    story.machines = dict.fromkeys(story.machines, 1)
    view = RunView("20261124-070000-0001")
    view.take_all(find(story.attempt(2).work(30).finish().run).entries())
    found = account_of(view, is_over=True)
    assert [one.is_of_last_attempt for one in found.workers].count(True) == 1
    assert len(found.workers) > 1
    assert "the-last-task" not in chapters(found)
