"""One contract for all engines; and what those that have processes promise beyond it."""

import contextlib
import os
import signal
import struct
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from random import Random
from select import select
from typing import Any

import psutil
import pytest

import bodies
import engines
from conftest import WARM, Muster
from engines import (
    ENGINES,
    OF_PROCESSES,
    SECONDS,
    SPREAD,
    FakeSentNothing,
    Watched,
    answers,
    done_of,
    ended_of,
    free,
    lost_of,
    messages_of,
    outcomes_of,
    really_started,
    results,
    said_later,
    submit,
    wait_for_workers,
)
from machines import living
from muster._clouds.base import Access
from muster._engines.base import CANCELLED, Began, Done, Engine, Failed, Joined, Left, Lost, Message, wait
from muster._engines.cores.engine import CoresEngine
from muster._engines.inline import InlineEngine
from muster._engines.on_ray.engine import RayEngine
from muster._model import Outcome, Source, Task
from muster._travel.parcels import ParcelEngine, Returned
from muster.errors import EngineError
from muster.testing import FakeEngine
from waiting import until

ON_RAY = pytest.param("ray", marks=pytest.mark.waits("together"))
GIVES_UP = 5.0
"""Seconds that a request waits at most for what should come, or should end it, before: then the engine is at fault."""


@pytest.fixture(scope="module")
def access(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Access]:
    """A cluster of two machines with a worker each, for all tests of this file."""
    with living(tmp_path_factory.mktemp("cluster"), machines=2, workers=1) as cloud, cloud.access() as found:
        yield found


class OnRay:
    """Engines on one cluster: a test gets that of the test before it, where that left all workers idle.

    A new one takes a driver and two stations, which load for seconds.
    """

    def __init__(self, access: Access, *, workers: int) -> None:
        self._access = access
        self._workers = workers
        self._made: Watched | None = None

    def engine(self) -> Watched:
        if self._made and self._is_busy(self._made):
            self.close()
        self._made = self._made or engines.on_ray(self._access, workers=self._workers)
        wait_for_workers(self._made)
        while wait(self._made, 0.05):
            pass
        return self._made

    def close(self) -> None:
        if self._made:
            self._made.close()
        self._made = None

    @staticmethod
    def _is_busy(engine: Engine) -> bool:
        while wait(engine, 0):
            pass
        return free(engine).ahead > 0  # as a worker has only where its machine holds a request


@pytest.fixture(scope="module")
def on_ray(access: Access) -> Iterator[OnRay]:
    made = OnRay(access, workers=2)
    yield made
    made.close()


def made(request: pytest.FixtureRequest) -> Iterator[Watched]:
    if request.param == "ray":
        yield request.getfixturevalue("on_ray").engine()
        return
    engine = ENGINES[request.param]()
    yield engine
    engine.close()


@pytest.fixture(params=[*ENGINES, ON_RAY])
def engine(request: pytest.FixtureRequest) -> Iterator[Watched]:
    """Each engine in turn, with workers that do what they are told."""
    yield from made(request)


@pytest.fixture(params=[*SPREAD, ON_RAY])
def spread(request: pytest.FixtureRequest) -> Iterator[Watched]:
    """Each engine that has two machines."""
    yield from made(request)


@pytest.fixture(params=[*OF_PROCESSES, ON_RAY])
def beside(request: pytest.FixtureRequest) -> Iterator[Watched]:
    """Each engine whose workers work beside this process, those of its first machine at least."""
    yield from made(request)


@pytest.fixture(params=["cores", ON_RAY])
def processes(request: pytest.FixtureRequest) -> Iterator[Watched]:
    """Each engine whose workers are processes that can be killed, with two of them."""
    yield from made(request)


@pytest.fixture(params=[*ENGINES, ON_RAY])
def engine_to_close(request: pytest.FixtureRequest) -> Iterator[Watched]:
    """Each engine in turn, for a test that closes it."""
    if request.param == "ray":
        yield request.getfixturevalue("on_ray").engine()
        request.getfixturevalue("on_ray").close()
        return
    yield ENGINES[request.param]()


@pytest.fixture
def cores() -> Iterator[Watched]:
    with contextlib.closing(engines.cores()) as made:
        yield made


# The contract


def test_every_request_is_answered_once(engine: Watched) -> None:
    wait_for_workers(engine)
    told = results(engine, *(("echo", number) for number in range(100)))
    assert all(isinstance(one, Done) for one in told)
    assert sorted(one.ticket for one in told) == list(range(100))
    assert all(one.answer == one.ticket for one in told if isinstance(one, Done))
    assert said_later(engine) == []


def test_an_exception_comes_back_and_the_worker_goes_on(engine: Watched) -> None:
    wait_for_workers(engine)
    (failed,) = results(engine, ("fail", "no such row"))
    assert isinstance(failed, Failed)
    assert type(failed.error) is ValueError
    assert str(failed.error) == "no such row"
    assert free(engine).idle == engine.workers
    assert said_later(engine) == []


def test_an_exception_that_only_the_worker_knows_still_comes_back(engine: Watched) -> None:
    (failed,) = results(engine, ("fail_strangely", "no such row"))
    assert isinstance(failed, Failed)
    assert "no such row" in str(failed.error)
    assert answers(engine, ("echo", 1)) == [1]


def test_a_briefing_reaches_every_worker_before_the_requests_that_follow_it(engine: Watched) -> None:
    engine.brief(b"one")
    assert set(answers(engine, *[("briefed",)] * 10)) == {b"one"}
    engine.brief(b"two")
    assert set(answers(engine, *[("briefed",)] * 10)) == {b"two"}


def test_a_request_keeps_the_briefing_under_which_it_was_submitted(engine: Watched) -> None:
    engine.brief(b"one")
    wait_for_workers(engine)
    submit(engine, 1, ("briefed",))
    engine.brief(b"two")
    assert Done(1, b"one") in messages_of(engine, done_of)
    assert answers(engine, ("briefed",)) == [b"two"]


def test_slots_go_down_with_a_request_and_up_with_its_answer(engine: Watched) -> None:
    wait_for_workers(engine)
    before = free(engine)
    assert (before.idle, before.ahead) == (engine.workers, 0)
    for number in range(engine.workers):
        assert free(engine).idle == engine.workers - number
        submit(engine, number, ("echo", number))
    assert free(engine).idle == 0
    while (slots := free(engine)).ahead:
        submit(engine, 100 + slots.ahead, ("echo", 0))
    messages_of(engine, lambda _: free(engine) == before)


def test_where_nothing_happens_nothing_is_told(engine: Watched) -> None:
    wait_for_workers(engine)
    assert said_later(engine) == []
    assert wait(engine, 0.01) == []


def test_messages_come_at_once_or_not_at_all_while_a_request_is_under_way(beside: Watched, tmp_path: Path) -> None:
    wait_for_workers(beside)
    gate = tmp_path / "gate"
    beside.submit(1, ("wait_for", str(gate), GIVES_UP), machine=next(iter(beside.slots())))
    messages_of(beside, lambda messages: any(isinstance(message, Began) for message in messages))
    assert said_later(beside) == []
    gate.touch()  # which comes too late where messages waits for the answer
    assert Done(1, answer=True) in messages_of(beside, done_of)


def test_large_requests_and_large_answers_do_not_wait_for_each_other(engine: Watched) -> None:
    size = 4 << 20
    told = answers(engine, *[("grow", bytes(size), size)] * 8)
    assert [len(answer) for answer in told] == [size] * 8


def test_many_requests_of_a_lane_and_large_answers_do_not_wait_for_each_other(engine: Watched) -> None:
    wait_for_workers(engine)
    machine, count = next(iter(engine.slots())), 80
    for number in range(count):  # each small, and together more than a pipe takes
        engine.submit(number, ("grow", bytes(10_000), 1 << 19), machine=machine, lane=0)
    messages = messages_of(engine, lambda messages: len(done_of(messages)) == count)
    assert [message.ticket for message in messages if isinstance(message, Done)] == [*range(count)]


def test_a_large_briefing_behind_a_large_answer_arrives(engine: Watched) -> None:
    size = 4 << 20
    wait_for_workers(engine)
    submit(engine, 1, ("grow", b"", size))
    engine.brief(bytes(size))
    assert done_of(messages_of(engine, done_of)) == {1}
    assert answers(engine, ("briefed",)) == [bytes(size)]


def test_closing_waits_for_no_request_and_may_be_repeated(engine_to_close: Watched, tmp_path: Path) -> None:
    wait_for_workers(engine_to_close)
    mark = tmp_path / "mark"
    engine_to_close.submit(1, ("hang", str(mark)), machine=next(iter(engine_to_close.slots())))
    if engine_to_close.has_processes:  # else it begins when messages are asked for
        until(mark.exists)
    engine_to_close.close()
    engine_to_close.close()
    assert mark.exists() == engine_to_close.has_processes
    if mark.exists():
        assert mark.with_suffix(".interrupted").exists()
        until(lambda: is_gone(int(mark.read_text())))


def test_each_request_begins_once_on_the_worker_that_then_answers_it(engine: Watched) -> None:
    wait_for_workers(engine)
    slots = free(engine)
    for number in range(slots.idle):
        submit(engine, number, ("echo", number))
    while (slots := free(engine)).ahead:
        submit(engine, 100 + slots.ahead, ("echo", 0))
    told = messages_of(engine, lambda _: not (free(engine).ahead or free(engine).idle < engine.workers))
    began = {message.ticket: (at, message.worker) for at, message in enumerate(told) if isinstance(message, Began)}
    answered = {message.ticket: (at, message.worker) for at, message in enumerate(told) if isinstance(message, Done)}
    assert began.keys() == answered.keys() != set()
    assert len(told) == 2 * len(answered)
    assert all(began[ticket][0] < at and began[ticket][1] == worker for ticket, (at, worker) in answered.items())


def test_what_is_submitted_to_a_machine_is_done_there_also_where_another_is_idle(spread: Watched) -> None:
    wait_for_workers(spread)
    machines = [*spread.slots()]
    assert len(machines) == 2
    for machine in (*machines, *reversed(machines)):
        (other,) = {*machines} - {machine}
        before = spread.slots()[other]
        for ticket in (1, 2):
            spread.submit(ticket, ("echo", machine), machine=machine)
        assert spread.slots()[other] == before
        told = messages_of(spread, lambda messages: done_of(messages) == {1, 2})
        at = {spread.roll.machine_of[one.worker] for one in told if isinstance(one, Began | Done)}
        assert at == {machine}
        assert all(one.answer == machine for one in told if isinstance(one, Done))


def test_a_request_for_a_machine_that_nobody_knows_is_lost_and_none_is_drained_for_it(engine: Watched) -> None:
    wait_for_workers(engine)
    before = dict(engine.slots())
    engine.submit(1, ("echo", 1), machine="nobody's", lane=3)
    (lost,) = outcomes_of(messages_of(engine, ended_of))
    assert isinstance(lost, Lost)
    assert (lost.ticket, lost.began, lost.lane) == (1, False, 3)
    engine.drain("nobody's")
    assert engine.slots() == before
    assert answers(engine, ("echo", 2)) == [2]


def test_a_request_for_a_fresh_worker_is_done_also_where_all_are_busy(engine: Watched) -> None:
    wait_for_workers(engine)
    for number in range(engine.workers):
        submit(engine, number, ("echo", number))
    engine.submit(99, ("echo", 99), machine=next(iter(engine.slots())), fresh=True)
    told = messages_of(engine, lambda messages: len(ended_of(messages)) == engine.workers + 1)
    assert all(isinstance(one, Done) for one in outcomes_of(told))


def test_a_descriptor_says_that_there_are_messages_and_that_there_are_none(engine: Watched) -> None:
    wait_for_workers(engine)
    assert said_later(engine) == []
    submit(engine, 1, ("echo", 1))
    assert done_of(messages_of(engine, done_of)) == {1}
    assert said_later(engine) == []


def test_requests_of_a_lane_go_to_one_worker_in_order(engine: Watched) -> None:
    wait_for_workers(engine)
    machines = [*engine.slots()]
    lanes = {lane: machines[lane % len(machines)] for lane in range(6)}
    for number in range(60):
        engine.submit(number, ("echo", number), machine=lanes[number % 6], lane=number % 6)
    told = messages_of(engine, lambda messages: len(done_of(messages)) == 60)
    answered = [message for message in told if isinstance(message, Done)]
    for lane in range(6):
        of_lane = [message for message in answered if message.ticket % 6 == lane]
        assert [message.ticket for message in of_lane] == list(range(lane, 60, 6))
        assert len({message.worker for message in of_lane}) == 1
        assert engine.roll.machine_of[of_lane[0].worker] == lanes[lane]
    assert len({message.worker for message in answered}) == engine.workers


def test_a_request_that_is_cancelled_while_a_worker_is_on_it_is_lost_and_the_worker_off_it(
    engine: Watched, tmp_path: Path
) -> None:
    wait_for_workers(engine)
    engine.submit(1, ("wait_for", str(tmp_path / "never"), GIVES_UP), machine=next(iter(engine.slots())))
    if engine.has_processes or isinstance(engine.within, InlineEngine):  # a fake tells it only with the answer
        messages_of(engine, lambda messages: any(isinstance(message, Began) for message in messages))
    engine.cancel(1)
    assert outcomes_of(messages_of(engine, ended_of)) == [Lost(1, CANCELLED, began=True)]
    wait_for_workers(engine)
    assert answers(engine, ("echo", 1)) == [1]


def test_a_request_that_is_cancelled_behind_another_is_lost_and_that_one_answered(
    engine: Watched, tmp_path: Path
) -> None:
    wait_for_workers(engine)
    gate, machine = tmp_path / "gate", next(iter(engine.slots()))
    engine.submit(1, ("wait_for", str(gate), GIVES_UP), machine=machine, lane=0)
    engine.submit(2, ("wait_for", str(tmp_path / "never"), GIVES_UP), machine=machine, lane=0)
    engine.cancel(2)
    gate.touch()
    told = messages_of(engine, lambda messages: ended_of(messages) == {1, 2})
    assert Done(1, answer=True) in told
    assert [(one.ticket, one.reason, one.lane) for one in told if isinstance(one, Lost)] == [(2, CANCELLED, 0)]
    wait_for_workers(engine)
    assert answers(engine, ("echo", 1)) == [1]


def test_what_is_cancelled_as_it_is_answered_is_told_of_once(engine: Watched) -> None:
    wait_for_workers(engine)
    tickets = list(range(2 * engine.workers))
    for ticket in tickets:
        submit(engine, ticket, ("echo", ticket))
    for ticket in tickets:
        engine.cancel(ticket)
    engine.cancel(99)
    told = messages_of(engine, lambda messages: len(outcomes_of(messages)) >= len(tickets))
    wait_for_workers(engine)
    engine.cancel(0)
    assert outcomes_of(said_later(engine)) == []  # a worker that was killed as it answered may leave only now
    assert sorted(one.ticket for one in outcomes_of(told)) == tickets
    assert all(one.reason == CANCELLED for one in told if isinstance(one, Lost) and one.began)
    until(lambda: answers(engine, ("echo", 1)) == [1])


def test_a_machine_that_is_drained_does_what_it_holds_and_its_workers_leave(
    engine_to_close: Watched, tmp_path: Path
) -> None:
    engine, gate = engine_to_close, tmp_path / "gate"
    wait_for_workers(engine)
    there, (machine, *others) = engine.roll.machine_of, [*engine.slots()]
    its_workers = {worker for worker, at in there.items() if at == machine}
    assert its_workers
    left_before = len(engine.roll.left)
    engine.submit(1, ("wait_for", str(gate), GIVES_UP), machine=machine, lane=5)
    engine.drain(machine)
    assert [*engine.slots()] == others
    engine.submit(2, ("echo", 2), machine=machine, lane=6)
    gate.touch()
    told = messages_of(engine, lambda messages: ended_of(messages) == {1, 2} and not its_workers & there.keys())
    assert Done(1, answer=True) in told
    assert [(one.ticket, one.began, one.lane) for one in told if isinstance(one, Lost)] == [(2, False, 6)]
    left = engine.roll.left[left_before:]
    assert {one.worker for one in left} == its_workers
    assert [lane for one in left for lane in one.lanes] == [5]
    for other in others:
        engine.submit(3, ("echo", 3), machine=other)
        assert Done(3, 3) in messages_of(engine, ended_of)
        assert engine.slots()[other].idle
    engine.submit(4, ("echo", 4), machine=machine)
    assert lost_of(messages_of(engine, lost_of)) == {4: False}
    engine.close()


def assert_nobody_is_left(engine: Watched) -> None:
    assert_is_over(engine, why="nobody is left")
    assert not engine.roll.machine_of


def assert_is_over(engine: Watched, *, why: str | None = None) -> None:
    """Ask until the end is told; whatever is asked of the engine then is lost, and the end told again."""
    for ticket in (91, 92):
        with pytest.raises(EngineError, match=why):
            messages_of(engine, lambda _: False)
        engine.brief(b"for nobody")
        engine.submit(ticket, ("echo", 0), machine="gone", lane=7)
        assert lost_of(messages_of(engine, ended_of)) == {ticket: False}
    assert not engine.slots()


def test_an_engine_whose_machines_are_all_drained_ends_once_what_they_held_is_told(
    engine_to_close: Watched, tmp_path: Path
) -> None:
    engine, gate = engine_to_close, tmp_path / "gate"
    wait_for_workers(engine)
    first, *others = engine.slots()
    engine.submit(1, ("wait_for", str(gate), GIVES_UP), machine=first)
    for machine in (*others, first):
        engine.drain(machine)
    gate.touch()
    assert Done(1, answer=True) in messages_of(engine, ended_of)
    assert_nobody_is_left(engine)
    engine.close()


@pytest.mark.parametrize("name", ENGINES)
def test_an_engine_whose_machines_are_all_drained_before_anybody_is_ready_ends_too(name: str) -> None:
    with contextlib.closing(ENGINES[name]()) as engine:
        for machine in [*engine.slots()]:
            engine.drain(machine)
        assert_nobody_is_left(engine)


# Losing workers: the engines that can


class AllAtOnce(FakeSentNothing):
    """Its answers are there all at once, as they are where a driver was heard late."""

    def messages(self) -> list[Message]:
        said = super().messages()
        while more := super().messages():
            said += more
        return said


class FromAStore(ParcelEngine):
    """Its tasks read from a store, so that nothing of the input is sent."""

    def brief(self, briefing: bytes) -> None:
        self._briefed = self._briefed._replace(sources=(Source("s3://a/b.csv", 0, "", "csv"),))
        self._engine.brief(briefing)


class SecondIsOfAnotherKind(bodies.Obedient):
    def __call__(self, request: Any) -> object:  # noqa: ANN401 (a parcel)
        self.answered += 1
        return Returned(Outcome(request.task, 1, 1), {}) if self.answered == 1 else "what no worker sends"


def test_rows_that_come_with_an_answer_that_ends_the_run_are_heard_before_it() -> None:
    within = AllAtOnce(SecondIsOfAnotherKind, workers=1)
    engine = FromAStore(within, parts=Path(), pack=engines.pack_nothing, note=lambda _: None)
    engine.brief(b"")
    tasks = [Task(number, 0, 1, 0, 0, 10, 0, 1, 0, 1) for number in (1, 2)]
    for task in tasks:
        submit(engine, task.number, task)
    with contextlib.closing(engine):
        assert Done(1, Outcome(tasks[0], 1, 1)) in engine.messages()
        assert within.slots()
        assert not engine.slots()
        assert select([engine], [], [], 0)[0]
        engine.submit(3, tasks[0], machine="machine 1")  # as somebody may who has asked for slots before
        assert engine.messages() == [Lost(3, "its engine has ended", began=False)]
        assert not within.messages(), "nobody was sent anything"
        assert select([engine], [], [], 0)[0]
        with pytest.raises(EngineError, match="sends what muster never sends"):
            engine.messages()


@pytest.fixture(scope="module")
def small_access(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Access]:
    """A cluster of one machine with one worker."""
    with living(tmp_path_factory.mktemp("cluster"), workers=1) as cloud, cloud.access() as found:
        yield found


@pytest.fixture(scope="module")
def on_small_ray(small_access: Access) -> Iterator[OnRay]:
    made = OnRay(small_access, workers=1)
    yield made
    made.close()


@pytest.fixture(params=[*engines.LOSING, ON_RAY])
def losing(request: pytest.FixtureRequest) -> Iterator[Watched]:
    """An engine of one worker, for which every request to ``die`` is the worker's last."""
    if request.param == "ray":
        yield request.getfixturevalue("on_small_ray").engine()
        return
    with contextlib.closing(engines.LOSING[request.param]()) as engine:
        yield engine


def test_a_dead_worker_loses_what_it_was_on_and_what_it_had_ahead_and_is_replaced(losing: Watched) -> None:
    losing.brief(b"for all")
    wait_for_workers(losing)
    submit(losing, 1, ("die", signal.SIGKILL))
    submit(losing, 2, ("echo", 2))
    first, second = outcomes_of(messages_of(losing, lambda messages: ended_of(messages) == {1, 2}))
    assert isinstance(first, Lost)
    assert (first.ticket, first.began) == (1, True)
    if not isinstance(losing.within, RayEngine):
        assert second == Lost(2, first.reason, began=False)
    else:  # whose station may hear of it only when it has replaced the worker
        assert second in (Lost(2, first.reason, began=False), Done(2, 2))
    assert answers(losing, ("echo", 3)) == [3]


def test_workers_say_when_they_join_and_leave_and_who_answered(losing: Watched) -> None:
    wait_for_workers(losing)
    joined = losing.roll.told[-1]
    assert isinstance(joined, Joined)
    assert joined.machine
    before = len(losing.roll.told)
    submit(losing, 1, ("echo", 1))
    (answered,) = (message for message in messages_of(losing, done_of) if isinstance(message, Done))
    assert answered.worker == joined.worker
    submit(losing, 2, ("die", signal.SIGKILL))
    messages_of(losing, lambda _: len(losing.roll.told) == before + 2)
    assert losing.roll.told[before:] == [Left(joined.worker, losing.roll.left[-1].reason), joined]


def test_a_worker_that_comes_later_is_briefed_too(losing: Watched) -> None:
    losing.brief(b"old")
    losing.brief(b"new")
    assert isinstance(results(losing, ("die", signal.SIGKILL))[0], Lost)
    assert answers(losing, ("briefed",), ("count",)) == [b"new", 2]


def test_a_request_that_is_for_a_fresh_worker_is_the_first_that_this_one_answers(losing: Watched) -> None:
    losing.brief(b"for all")
    before, after = answers(losing, ("count",), ("count",))
    assert after == before + 1
    submit(losing, 3, ("count",), fresh=True)
    messages = messages_of(losing, done_of)
    assert [message.answer for message in messages if isinstance(message, Done)] == [1]
    assert not lost_of(messages)
    assert answers(losing, ("briefed",)) == [b"for all"]


def test_lanes_are_lost_with_their_worker_and_named(losing: Watched) -> None:
    wait_for_workers(losing)
    machine, before = next(iter(losing.slots())), len(losing.roll.left)
    for ticket, request in enumerate([("echo", 0), ("die", signal.SIGKILL), ("echo", 2), ("echo", 3)]):
        losing.submit(ticket, request, machine=machine, lane=ticket % 2)
    messages = messages_of(
        losing, lambda messages: len(losing.roll.left) > before and ended_of(messages) == {0, 1, 2, 3}
    )
    (left,) = losing.roll.left[before:]
    assert left.lanes == (0, 1)
    losses = [message for message in messages if isinstance(message, Lost)]
    assert [(message.ticket, message.lane) for message in losses] == [(1, 1), (2, 0), (3, 1)]
    wait_for_workers(losing)
    losing.submit(9, ("count",), machine=machine, lane=1)
    assert Done(9, 1) in messages_of(losing, done_of)


@pytest.mark.parametrize("name", engines.ENDING)
def test_what_came_before_the_end_is_told_before_it(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GATE", str(tmp_path))
    with contextlib.closing(engines.ENDING[name]()) as engine:
        wait_for_workers(engine, 1)
        submit(engine, 1, ("echo", 1))
        if engine.has_processes:
            until(lambda: len([*tmp_path.glob("*.waits")]) == engine.workers - 1)
            assert select([engine], [], [], SECONDS)[0], "it was not answered"
            (tmp_path / "open").touch()
            until(lambda: all(is_gone(int(mark.stem)) for mark in tmp_path.glob("*.waits")))
        assert Done(1, 1) in messages_of(engine, done_of)
        assert_is_over(engine)


def test_a_fake_worker_can_be_lost_at_will() -> None:
    engine = FakeEngine(bodies.Obedient, workers=2)
    submit(engine, 1, ("echo", 1))
    engine.lose_worker()
    assert Lost(1, "the worker was lost", began=True) in engine.messages()
    assert engine.messages() == []
    assert free(engine).idle == 2


def test_a_fake_engine_answers_in_the_order_that_chance_chose_and_in_the_same_one_again() -> None:
    orders = []
    for seed in (1, 1, 2, 3):
        engine = FakeEngine(bodies.Obedient, workers=4, chance=Random(seed))  # noqa: S311 (no secret)
        engine.messages()  # that they have joined
        for number in range(4):
            submit(engine, number, ("echo", number))
        orders.append([event.ticket for _ in range(4) for event in engine.messages() if isinstance(event, Done)])
    assert orders[0] == orders[1]
    assert len({tuple(order) for order in orders}) > 1
    assert all(sorted(order) == [0, 1, 2, 3] for order in orders)


# Processes


OTHERS: set[int] = set()
"""The children that other tests have left to work on: machines, servers, what waits for commands."""


@pytest.fixture(autouse=True)
def others() -> None:
    OTHERS.clear()
    OTHERS.update(child.pid for child in psutil.Process().children())


def family(pid: int | None = None) -> set[int]:
    """The ids of all processes below one that began in this test, or whose ancestors did."""
    children = [child for child in psutil.Process(pid).children() if child.pid not in OTHERS | WARM[0].waiting]
    found = {child.pid for child in children}
    for child in children:
        with contextlib.suppress(psutil.NoSuchProcess):
            found |= {deeper.pid for deeper in child.children(recursive=True)}
    return found


def is_gone(pid: int) -> bool:
    try:
        return bool(psutil.Process(pid).status() == psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return True


def start_hanging(engine: Watched, mark: Path, *, ticket: int = 1) -> int:
    """Have a worker hang; return its process id."""
    wait_for_workers(engine, 1)
    submit(engine, ticket, ("hang", str(mark)))
    until(mark.exists)
    return int(mark.read_text())


@pytest.mark.parametrize(
    ("request_", "reason"),
    [
        (("die", signal.SIGKILL), "killed by SIGKILL, as the kernel does when memory runs out"),
        (("die", signal.SIGSEGV), "killed by SIGSEGV, a crash in compiled code"),
        (("die", signal.SIGTERM), "killed by SIGTERM"),
        (("leave", 3), "exited by itself with status 1"),
        (("alarm",), "longer than the time limit"),
    ],
)
def test_the_cause_of_a_death_is_named(processes: Watched, request_: object, reason: str) -> None:
    (lost,) = results(processes, request_)
    assert isinstance(lost, Lost)
    assert reason in lost.reason


def test_a_worker_killed_from_outside_loses_only_its_own(processes: Watched, tmp_path: Path) -> None:
    victim = start_hanging(processes, tmp_path / "one")
    wait_for_workers(processes, 1)
    other = start_hanging(processes, tmp_path / "two", ticket=2)
    os.kill(victim, signal.SIGKILL)
    assert lost_of(messages_of(processes, lost_of)) == {1: True}
    assert not is_gone(other)
    wait_for_workers(processes, 1)
    assert answers(processes, ("echo", 1)) == [1]
    os.kill(other, signal.SIGKILL)  # an engine that closes gives it time
    assert lost_of(messages_of(processes, lost_of)) == {2: True}


def test_a_worker_that_is_killed_in_the_middle_of_a_large_answer_is_lost_like_any_other(processes: Watched) -> None:
    wait_for_workers(processes, 2)
    submit(processes, 1, ("die_in_the_middle_of_an_answer", 8_000_000))
    assert lost_of(messages_of(processes, lost_of)) == {1: True}
    assert answers(processes, ("echo", 1)) == [1]


@pytest.mark.parametrize("end", ["cancel", "kill"])
def test_a_worker_that_is_stopped_in_the_middle_of_a_large_answer_holds_nobody_up(
    processes: Watched, tmp_path: Path, end: str
) -> None:
    wait_for_workers(processes, 2)
    mark = tmp_path / "mark"
    submit(processes, 1, ("stop_in_the_middle_of_an_answer", 8_000_000, str(mark)))
    until(lambda: not processes.messages() and mark.exists())  # half of the answer is more than a pipe takes
    stopped = int(mark.read_text())
    until(lambda: psutil.Process(stopped).status() == psutil.STATUS_STOPPED)
    for ticket in range(2, 6):
        submit(processes, ticket, ("echo", ticket))
        assert done_of(messages_of(processes, done_of)) == {ticket}
    if end == "cancel":
        processes.cancel(1)
    else:
        os.kill(stopped, signal.SIGKILL)
    (lost,) = (one for one in messages_of(processes, lost_of) if isinstance(one, Lost))
    assert (lost.ticket, lost.began, "SIGKILL" in lost.reason) == (1, True, end == "kill")
    assert is_gone(stopped)
    wait_for_workers(processes, 2)
    assert answers(processes, ("echo", 1)) == [1]


def test_a_worker_that_is_stopped_before_a_large_request_holds_nobody_up_and_does_it_later(processes: Watched) -> None:
    wait_for_workers(processes, 2)
    machine = next(iter(processes.slots()))
    processes.submit(1, ("who",), machine=machine, lane=0)
    (pid,) = (one.answer for one in messages_of(processes, done_of) if isinstance(one, Done))
    os.kill(pid, signal.SIGSTOP)
    try:
        processes.submit(2, ("grow", bytes(8_000_000), 1), machine=machine, lane=0)
        for ticket in range(3, 6):
            submit(processes, ticket, ("echo", ticket))
            assert done_of(messages_of(processes, done_of)) == {ticket}
        processes.brief(bytes(8_000_000))
    finally:
        os.kill(pid, signal.SIGCONT)
    assert done_of(messages_of(processes, done_of)) == {2}
    assert answers(processes, ("briefed",)) == [bytes(8_000_000)]


@pytest.mark.parametrize(("verb", "kind"), [("break_off", ConnectionResetError), ("end_early", EOFError)])
def test_a_connection_that_breaks_in_a_worker_is_a_failure_of_its_request_and_no_death(
    processes: Watched, verb: str, kind: type[Exception]
) -> None:
    (failed,) = results(processes, (verb,))
    assert isinstance(failed, Failed)
    assert type(failed.error) is kind


def test_a_fault_brings_its_traceback_from_where_it_happened(processes: Watched) -> None:
    (failed,) = results(processes, ("fail", "no such row"))
    assert isinstance(failed, Failed)
    assert "in fail\n" in "".join(failed.error.__notes__)


def test_a_briefing_that_fails_is_the_failure_of_each_request_that_it_was_for() -> None:
    engine = engines.cores(bodies.Fussy, workers=1)
    with contextlib.closing(engine):
        engine.brief(b"bad")
        bad = results(engine, ("echo", 1), ("echo", 2))
        assert [str(event.error) for event in bad if isinstance(event, Failed)] == ["[Errno 28] no room"] * 2
        engine.brief(b"good")
        assert answers(engine, ("echo", 3)) == [3]


def test_a_muster_that_is_killed_in_the_middle_of_a_message_leaves_no_driver_and_all_processors_free(
    small_access: Access, on_small_ray: OnRay
) -> None:
    on_small_ray.close()
    engine = engines.ray(small_access)
    messages_of(engine, lambda _: free(engine).idle)
    pipe = engine._line._writing.fileno()  # noqa: SLF001 (to which nobody but the engine writes)
    os.write(pipe, struct.pack("!i", 8_000_000) + bytes(1 << 10))
    with open(os.devnull, "wb") as nothing:  # noqa: PTH123 (short)
        os.dup2(nothing.fileno(), pipe)  # which closes it, as the kernel does where its process is killed
    assert engine._line._process.wait(SECONDS) == 0  # noqa: SLF001 (likewise)
    engine.close()
    other = engines.on_ray(small_access, workers=1)
    with contextlib.closing(other):
        wait_for_workers(other)
        assert answers(other, ("echo", 1)) == [1]


def test_a_thread_that_never_ends_does_not_hide_that_its_worker_ran_out_of_memory(processes: Watched) -> None:
    (lost,) = results(processes, ("run_out_of_memory_beside_a_thread_that_never_ends",))
    assert isinstance(lost, Lost)
    assert answers(processes, ("echo", 1)) == [1]


def test_a_worker_that_hangs_is_ended_where_its_request_is_cancelled(processes: Watched, tmp_path: Path) -> None:
    victim = start_hanging(processes, tmp_path / "one")
    processes.cancel(1)
    events = messages_of(processes, lost_of)
    assert is_gone(victim)
    assert Lost(1, CANCELLED, began=True) in events
    wait_for_workers(processes, 2)
    assert len(set(answers(processes, *[("who",)] * 10))) <= 2


def test_what_is_cancelled_behind_another_request_never_begins(cores: Watched, tmp_path: Path) -> None:
    wait_for_workers(cores, 2)
    machine = next(iter(cores.slots()))
    for ticket in (1, 2):
        cores.submit(ticket, ("hang", str(tmp_path / str(ticket))), machine=machine, lane=1)
    until((tmp_path / "1").exists)
    cores.cancel(2)
    cores.cancel(1)
    assert lost_of(messages_of(cores, lambda events: len(lost_of(events)) == 2)) == {1: True, 2: False}
    assert not (tmp_path / "2").exists()


def test_an_idle_worker_that_is_killed_is_replaced(processes: Watched) -> None:
    wait_for_workers(processes, 2)
    (victim,) = answers(processes, ("who",))
    os.kill(victim, signal.SIGKILL)
    messages_of(processes, lambda events: any(isinstance(event, Left) for event in events))
    wait_for_workers(processes, 2)
    assert victim not in answers(processes, *[("who",)] * 10)


def test_a_worker_that_closed_its_own_pipe_is_put_to_death(processes: Watched) -> None:
    (lost,) = results(processes, ("close_everything",))
    assert isinstance(lost, Lost)
    assert answers(processes, ("echo", 1)) == [1]


def test_what_a_function_started_neither_hides_the_death_of_its_worker_nor_outlives_it(
    cores: Watched, tmp_path: Path
) -> None:
    mark = tmp_path / "child"
    (lost,) = results(cores, ("die_with_a_child_left", str(mark)))
    assert isinstance(lost, Lost)
    child = int(mark.read_text())
    until(lambda: is_gone(child))


def zygote_of(worker: int) -> int:
    return int(psutil.Process(worker).ppid())


def test_a_killed_zygote_takes_all_with_it_and_the_engine_recovers(cores: Watched, tmp_path: Path) -> None:
    cores.brief(b"still known")
    worker = start_hanging(cores, tmp_path / "mark")
    wait_for_workers(cores, 1)
    submit(cores, 2, ("echo", 2))
    submit(cores, 3, ("hang", str(tmp_path / "three")))
    before = family()
    os.kill(zygote_of(worker), signal.SIGKILL)
    found = messages_of(cores, lambda events: 1 in lost_of(events))
    lost = lost_of(found) | lost_of(messages_of(cores, lambda _: free(cores).idle == 2))
    assert set(lost) | done_of(found) == {1, 2, 3}
    assert set(answers(cores, *[("briefed",)] * 4)) == {b"still known"}
    until(lambda: all(is_gone(pid) for pid in before))


def test_closing_ends_every_process_busy_or_not(cores: Watched, tmp_path: Path) -> None:
    start_hanging(cores, tmp_path / "mark")
    until(lambda: len(family()) >= 3)  # the zygote may just have forked the first worker
    processes = family()
    cores.close()
    until(lambda: all(is_gone(pid) for pid in processes))


def test_closing_before_the_workers_are_ready_leaves_none() -> None:
    engine = engines.cores(workers=2)
    processes = family()
    engine.close()
    until(lambda: all(is_gone(pid) for pid in processes))
    until(lambda: not family())


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_no_process_outlives_a_parent_that_is_killed(tmp_path: Path, number: int) -> None:
    script = tmp_path / "parent.py"
    script.write_text(
        f"import sys; sys.path.insert(0, {str(Path(__file__).parent)!r})\n"
        "import bodies\n"
        "from muster._engines.base import wait\n"
        "from muster._engines.cores.engine import CoresEngine\n"
        "engine = CoresEngine(bodies.Obedient, workers=2)\n"
        "while not engine.slots() or [*engine.slots().values()][0].idle < 2: wait(engine)\n"
        f"engine.submit(1, ('hang', {str(tmp_path / 'mark')!r}), machine='')\n"
        "while True: wait(engine)\n"
    )
    with subprocess.Popen([sys.executable, script]) as parent:
        until((tmp_path / "mark").exists)
        processes = family(parent.pid)
        assert len(processes) >= 3
        parent.send_signal(number)
        parent.wait()
    until(lambda: all(is_gone(pid) for pid in processes))


def test_the_zygote_has_one_thread_when_it_forks(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
        monkeypatch.setenv(name, "4")
    engine = CoresEngine(bodies.Obedient, workers=1, preload=["muster._worker.task"])
    try:
        assert answers(engine, ("threads_of_parent",)) == [1]
        assert isinstance(results(engine, ("die", signal.SIGKILL))[0], Lost)
        assert answers(engine, ("threads_of_parent",)) == [1]
        assert answers(engine, ("environment", "OMP_NUM_THREADS")) == ["4"]
    finally:
        engine.close()


def test_what_loads_pandas_is_started_to_have_one_thread_and_to_keep_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    one = {f"{name}_THREADS": "1" for name in ("OMP_NUM", "OPENBLAS_NUM", "MKL_NUM", "NUMEXPR_NUM", "POLARS_MAX")}
    expected = {
        **one,
        "JE_ARROW_MALLOC_CONF": "background_thread:false",
        "MALLOC_TRIM_THRESHOLD_": "134217728",
        "MALLOC_MMAP_THRESHOLD_": "67108864",
        "ARROW_DEFAULT_MEMORY_POOL": "system",
    }
    for name in expected:
        monkeypatch.delenv(name, raising=False)
    for name in one:
        monkeypatch.setenv(name, "4")
    with really_started():
        engine = CoresEngine(bodies.Obedient, workers=1, preload=["muster._worker.task"])
    try:
        (worker,) = answers(engine, ("who",))
        zygote = psutil.Process(zygote_of(worker))
        assert any("muster._engines.cores.zygote" in word for word in zygote.cmdline())
        given = zygote.environ()
        assert {name: given.get(name) for name in expected} == expected
        assert answers(engine, ("threads_of_parent",)) == [1]
    finally:
        engine.close()


def test_a_worker_has_one_thread_for_numbers_unless_the_user_says_otherwise(
    cores: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    assert answers(cores, ("environment", "OMP_NUM_THREADS")) == ["1"]


def test_files_of_the_users_folder_do_not_pass_for_pythons_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("random", "struct", "selectors"):
        (tmp_path / f"{name}.py").write_text("raise SystemError('this is no module of Python')")
    monkeypatch.chdir(tmp_path)
    engine = engines.cores(workers=1)
    try:
        assert answers(engine, ("echo", 1)) == [1]
    finally:
        engine.close()


def test_workers_that_cannot_start_end_in_an_error() -> None:
    engine = engines.cores(bodies.StillBorn, workers=2)
    try:
        with pytest.raises(EngineError, match="die before they are ready"):
            messages_of(engine, lambda _: False)
    finally:
        engine.close()
    until(lambda: not family())


def test_an_answer_that_cannot_travel_is_a_failure_and_no_death(processes: Watched) -> None:
    (failed,) = results(processes, ("answer_strangely",))
    assert isinstance(failed, Failed)


# The user's functions, wherever they are defined

ROWS = "a\n" + "\n".join(map(str, range(20_000))) + "\n"
SCRIPT = """
import muster
{body}
result = muster.run({function}, "rows.csv", "out.csv", workers=2)
assert result.workers == 2, result
"""


@pytest.mark.parametrize(
    ("body", "function"),
    [
        ("", "lambda df: df.assign(b=df.a + 1)"),
        ("def add(n):\n    return lambda df: df.assign(b=df.a + n)", "add(1)"),
        ("import os\nn = 1\ndef add(df):\n    assert os\n    df['b'] = df.a + n\n    return df", "add"),
        ("import beside", "beside.add"),
        ("class Add:\n    n = 1\n    def __call__(self, df):\n        return df.assign(b=df.a + self.n)", "Add"),
    ],
    ids=["lambda", "closure", "function of __main__", "function of a module beside the script", "class of __main__"],
)
def test_a_script_without_a_main_guard_runs_its_own_functions(
    tmp_path: Path, python: Muster, body: str, function: str
) -> None:
    (tmp_path / "rows.csv").write_text(ROWS)
    (tmp_path / "beside.py").write_text("def add(df):\n    return df.assign(b=df.a + 1)\n")
    (tmp_path / "script.py").write_text(SCRIPT.format(body=body, function=function))
    ended = python("script.py")
    assert ended.code == 0, ended.err
    lines = (tmp_path / "out.csv").read_text().splitlines()
    assert lines == ["a,b", *(f"{n},{n + 1}" for n in range(20_000))]


def test_a_class_is_built_once_per_worker(tmp_path: Path, muster: Muster) -> None:
    (tmp_path / "rows.csv").write_text(ROWS)
    (tmp_path / "model.py").write_text(
        "import os\n"
        "class Model:\n"
        "    def __init__(self):\n"
        "        with open('built', 'a') as log: log.write(f'{os.getpid()}\\n')\n"
        "    def __call__(self, df):\n"
        "        with open('called', 'a') as log: log.write(f'{os.getpid()}\\n')\n"
        "        return df\n"
    )
    ended = muster("run", "model.py:Model", "rows.csv", "-o", "out.csv", "--workers", "2", "--batch-rows", "100")
    assert ended.code == 0, ended.err
    built = (tmp_path / "built").read_text().split()
    called = (tmp_path / "called").read_text().split()
    assert len(called) >= 200
    assert len(built) == len(set(built)) <= 2
    assert set(called) <= set(built)
