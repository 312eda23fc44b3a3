"""The observer of a run: what it journals and when, on a clock that stands still until it is told."""

import itertools
from typing import TYPE_CHECKING, TypeVar

import pytest

from muster._engines.base import Began, Joined, Left, Told
from muster._journal import events
from muster._model import Outcome, Part, Reason, Seconds, Slots, Task
from muster._planner import Plan
from muster._progress.actions import Submit
from muster._progress.progress import Progress
from muster._run.telling.observer import Observer
from muster.testing import FakeClock

if TYPE_CHECKING:
    from collections.abc import Callable

ROWS = 100
Kind = TypeVar("Kind", bound=events.Event)


class Scene:
    """An observer, what it wrote, and a run of one part whose rows are said to be done."""

    def __init__(self, prices: dict[str, float] | None = None) -> None:
        self.clock = FakeClock()
        self.events: list[events.Event] = []
        self.observer = Observer(self.events.append, prices=prices or {}, clock=lambda: self.clock.seconds)
        self.progress = Progress(workers=1, max_bad_rows=0)
        self.idle = 0

    def all(self, kind: type[Kind]) -> list[Kind]:
        return [one for one in self.events if isinstance(one, kind)]

    def do(self, worker: str, rows: int, seconds: float) -> None:
        row = self.progress.rows_done
        self.progress.add_parts([Part(0, row, row + rows, row, rows)])
        (begun,) = self.progress.submit({"": Slots(1, 0)})
        assert isinstance(begun, Submit)
        outcome = Outcome(begun.task, rows, rows, seconds=Seconds(function=seconds, total=seconds))
        self.observer.done(worker, outcome, is_kept=True)
        self.progress.done(begun.task.number, outcome)

    def run_the_only_part(self) -> None:
        self.progress.add_parts([Part(0, 0, 10, 0, 10)])
        self.progress.submit({"": Slots(1, 0)})

    def look(self, seconds: float = 0.0) -> None:
        self.clock.reach(self.clock.seconds + seconds)
        self.observer.look(self.progress, rows_total=10 * ROWS, idle=lambda: self.idle)


def test_what_was_done_is_journaled_now_and_then_and_once() -> None:
    scene = Scene()
    scene.observer.hear(Joined("1", "here"))
    scene.do("1", 10, 0.1)
    scene.look(0.3)
    assert not scene.all(events.Measured)
    scene.do("1", 5, 0.1)
    scene.look(0.3)
    scene.look(4.0)
    (event,) = scene.all(events.Measured)
    assert event.workers["1"][:2] == [2, 15]
    assert (event.span, event.rows_done, event.rows_total) == (0.6, 15, 10 * ROWS)


def test_a_run_in_which_nothing_is_done_still_says_that_it_lives() -> None:
    scene = Scene()
    scene.look(11.0)
    assert [event.waiting_for for event in scene.all(events.Measured)] == ["workers start"]


def test_how_far_a_long_run_is_is_told_every_five_seconds_and_what_workers_did_more_rarely() -> None:
    scene = Scene()
    scene.observer.hear(Joined("1", "here"))
    for _ in range(36_000):
        scene.do("1", 1, 1.0)
        scene.look(1.0)
    measured = scene.all(events.Measured)
    last = measured[-100:]
    assert all(event.rows_done - before.rows_done <= 6 for before, event in itertools.pairwise(last))
    assert sum(bool(event.workers) for event in last) <= 10
    assert sum(event.workers["1"][1] for event in measured if event.workers) > 35_900
    assert scene.observer.pace.rows_per_second == pytest.approx(1.0, rel=0.01)


def test_a_task_that_will_be_done_again_counts_with_its_time_alone() -> None:
    scene = Scene()
    scene.observer.hear(Joined("1", "here"))
    task = Task(1, 0, 1, 0, 0, 9, 0, 9, 0, 9)
    lost = Outcome(task, 9, 9, bad_rows=9, seconds=Seconds(total=1.0), reasons=(Reason("f", "no model", 9, ""),))
    scene.observer.done("1", lost, is_kept=False)
    scene.look(2.0)
    (event,) = scene.all(events.Measured)
    assert (event.workers["1"][:6], event.reasons) == ([1, 0, 0, 0, 0, 0], [])
    assert event.workers["1"][6][3] == 1.0


def test_a_first_task_counts_for_all_the_time_that_it_took() -> None:
    scene = Scene()
    scene.observer.hear(Joined("1", "here"))
    for _ in range(19):
        scene.look(0.5)
    scene.do("1", 1000, 9.5)
    scene.look(0.5)
    assert scene.observer.pace.rows_per_second == pytest.approx(1000 / 9.5, rel=0.01)


def test_pace_and_prediction_follow_what_is_done_and_are_made_into_one_plan() -> None:
    scene = Scene({"here": 36.0})
    scene.observer.hear(Joined("1", "here"))
    scene.observer.hear(Joined("2", "here"))
    for _ in range(12):
        scene.do("1", 6, 0.5)
        scene.do("2", 4, 0.25)
        scene.look(1.0)
    assert scene.observer.pace.rows_per_second == 10.0
    assert scene.observer.pace.seconds_left == (88.0, 88.0)
    (pace,) = scene.observer.pace.machines
    assert (pace.machine, pace.workers, pace.rows_per_second, pace.busy) == ("here", 2, 10.0, 0.375)
    (made,) = scene.all(Plan)
    assert (made.workers, made.rows_per_second, made.seconds) == (2, 10.0, (92.0, 92.0))
    assert scene.observer.there.dollars == pytest.approx(0.12)


def test_why_workers_wait_is_said_while_they_do() -> None:
    scene = Scene()
    said = []
    steps: list[Callable[[], object]] = [
        lambda: None,
        lambda: scene.observer.hear(Joined("1", "here")),
        lambda: setattr(scene, "idle", 1),
        scene.run_the_only_part,
        scene.progress.no_more_parts,
        lambda: scene.observer.hear(Left("1", "killed")),
    ]
    for step in steps:
        step()
        scene.look(0.3)
        said.append(scene.observer.waiting_for)
    assert said == [
        "workers start",
        "",
        "the input is read no faster",
        "the input is read no faster",
        "the last task is with its worker",
        "every worker is gone; waiting for others",
    ]


def test_who_comes_and_goes_and_what_engines_tell_is_journaled() -> None:
    scene = Scene()
    for message in (
        Joined("m1-1", "m1"),
        Told("machine m2 is gone"),
        Left("m1-1", "killed"),
        Left("unknown", "killed"),
    ):
        scene.observer.hear(message)
    assert [type(event) for event in scene.events] == [
        events.WorkerJoined,
        events.UserTold,
        events.WorkerLeft,
        events.WorkerLeft,
    ]
    assert scene.events[0] == events.WorkerJoined("m1-1", "m1")


def test_workers_and_machines_are_counted_when_they_were_most_and_only_those_that_joined() -> None:
    scene = Scene()
    assert (scene.observer.there.most_workers, scene.observer.there.most_machines) == (0, 0)
    for worker in ("m1-1", "m1-2", "m2-1"):
        scene.observer.hear(Joined(worker, worker[:2]))
    scene.observer.hear(Left("m2-1", "killed"))
    scene.observer.hear(Joined("m3-1", "m3"))
    assert (scene.observer.there.most_workers, scene.observer.there.most_machines) == (3, 2)


def test_the_pace_of_a_run_forgets_what_was_long_ago() -> None:
    scene = Scene()
    scene.observer.hear(Joined("1", "here"))
    for _ in range(100):
        scene.do("1", 1, 1.0)
        scene.look(1.0)
    for _ in range(100):
        scene.do("1", 9, 1.0)
        scene.look(1.0)
    assert scene.observer.pace.rows_per_second == 9.0


def test_a_try_that_ended_with_its_worker_counts_with_its_time_and_rows() -> None:
    scene = Scene()
    scene.observer.hear(Joined("1", "here"))
    scene.observer.under_way.submitted(Task(7, 0, 1, 0, 0, 9, 0, 9, 3, 9))
    scene.observer.hear(Began(7, "1"))
    scene.clock.reach(8.0)
    scene.observer.lost(7, "killed")
    scene.look()
    (retried,), (event,) = scene.all(events.Retried), scene.all(events.Measured)
    assert (retried.worker, retried.seconds, retried.row, retried.rows) == ("1", 8.0, 3, 6)
    spent = scene.observer.spent
    assert (spent.lost, spent.there, spent.busy) == (8.0, 8.0, 8.0)
    assert event.workers["1"][0] == 0
    seconds = dict(zip(Seconds._fields, event.workers["1"][6], strict=True))
    assert seconds["lost"] == 8.0


def test_the_time_of_a_task_that_is_recalled_is_lost_but_it_was_no_try() -> None:
    scene = Scene()
    scene.observer.hear(Joined("1", "here"))
    for number in (7, 8):
        scene.observer.under_way.submitted(Task(number, 0, 1, 0, 0, 9, 0, 9, 3, 9))
    scene.observer.hear(Began(7, "1"))
    scene.clock.reach(8.0)
    scene.observer.recalled(7)
    scene.observer.recalled(8)  # which nobody has begun
    scene.observer.recalled(7)
    assert scene.all(events.Retried) == []
    spent = scene.observer.spent
    assert (spent.lost, spent.there, spent.busy) == (8.0, 8.0, 8.0)
    assert scene.observer.under_way.at_work(9.0) == {}


def test_a_call_that_hangs_is_remarked_upon_once_and_journaled_at_once() -> None:
    scene = Scene()
    scene.observer.hear(Joined("1", "here"))
    scene.do("1", 5, 0.1)
    scene.observer.under_way.submitted(Task(2, 0, 1, 0, 0, 9, 0, 9, 3, 9))
    scene.observer.hear(Began(2, "1"))
    said = []
    for _ in range(12):
        scene.look(0.5)
        said.append(scene.observer.remark())
    (remark,) = filter(None, said)
    assert said.index(remark) == 9
    assert "worker 1 has been at rows 3 to 8" in remark
    assert "--timeout 60s" in remark
    assert [bool(event.held) for event in scene.all(events.Measured)] == [False, True]
    assert scene.observer.snapshot("working", scene.progress, run="", rows_total=9, workers=1).seconds_left is None


def test_workers_count_for_as_long_as_they_were_there() -> None:
    scene = Scene()
    for worker, at in (("1", 0.0), ("2", 1.0)):
        scene.clock.reach(at)
        scene.observer.hear(Joined(worker, "here"))
    scene.clock.reach(4.0)
    scene.observer.hear(Left("1", "killed"))
    scene.clock.reach(6.0)
    scene.observer.hear(Joined("1", "here"))
    scene.clock.reach(7.0)
    assert scene.observer.spent.there == 4.0 + 1.0 + 6.0


def test_the_pace_is_that_of_the_last_minute_also_where_nothing_is_done_any_more() -> None:
    scene = Scene()
    scene.observer.hear(Joined("1", "here"))
    for _ in range(20):
        scene.do("1", 10, 1.0)
        scene.look(1.0)
    for _ in range(13):
        scene.look(5.0)
    assert scene.observer.pace.rows_per_second == 0.0
    assert scene.observer.pace.machines[0].rows_per_second == 0.0


def test_what_comes_before_the_first_task_does_not_count_as_slow_work() -> None:
    scene = Scene()
    scene.observer.hear(Joined("1", "here"))
    for _ in range(4):
        scene.look(4.0)
    scene.observer.under_way.submitted(Task(1, 0, 1, 0, 0, 9, 0, 9, 0, 9))
    scene.observer.hear(Began(1, "1"))
    for _ in range(4):
        scene.clock.reach(scene.clock.seconds + 0.5)
        scene.do("1", 50, 0.5)
    scene.look()
    assert scene.observer.pace.rows_per_second == 100.0
