"""One contract for all engines; and what those that have processes promise beyond it."""

import contextlib
import os
import signal
import struct
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from select import select
from time import monotonic
from typing import Any

import psutil
import pytest

import bodies
from conftest import Muster
from machines import living
from muster._clouds.base import Access
from muster._engines.base import CANCELLED, Began, Done, Engine, Failed, Joined, Left, Lost, MakeBody, Message, wait
from muster._engines.cores.engine import CoresEngine
from muster._engines.inline import InlineEngine
from muster._engines.on_ray.engine import RayEngine
from muster._engines.on_ray.freight import Freight
from muster._model import Briefing, Outcome, Source, Task
from muster._progress.openings import Openings, Slots
from muster._travel.luggage import Luggage
from muster._travel.parcels import ParcelEngine, Returned
from muster._user_code.world import World
from muster.errors import EngineError
from muster.testing import FakeEngine
from waiting import until
from warm import POPEN

SECONDS = 30.0
Make = Callable[..., Engine]


def make_inline(make_body: MakeBody, *, workers: int) -> Engine:
    del workers
    return InlineEngine(make_body)


def make_cores(make_body: MakeBody, *, workers: int) -> CoresEngine:
    return CoresEngine(make_body, workers=workers)


def make_fake(make_body: MakeBody, *, workers: int) -> FakeEngine:
    return FakeEngine(make_body, workers=workers, chance=Random(7))  # noqa: S311 (an order of events is no secret)


def make_ray(access: Access) -> RayEngine:
    return RayEngine(bodies.obedient_engine, address=access.address, environment=access.environment, world=World.here())


class Parcels(ParcelEngine):
    """Its workers take any briefing, as those of other engines do here."""

    def brief(self, briefing: bytes) -> None:
        self._engine.brief(briefing)


class SentNothing(CoresEngine):
    """An engine of this computer, to which files need not be sent."""

    def stock(self, freight: Freight) -> None:
        pass


def make_parcels(make_body: MakeBody, *, workers: int) -> Engine:
    def pack(_: Briefing) -> Luggage:
        raise AssertionError

    return Parcels(SentNothing(make_body, workers=workers), parts=Path(), pack=pack, note=lambda _: None)


ENGINES: dict[str, Make] = {
    "inline": make_inline,
    "cores": make_cores,
    "fake": make_fake,
    "parcels": make_parcels,
}


def free(engine: Engine) -> Slots:
    """Count what all machines take now."""
    slots = engine.slots().values()
    return Slots(sum(one.idle for one in slots), sum(one.ahead for one in slots))


def workers_of(engine: Engine) -> int:
    """Tell how many workers an engine of the fixture has."""
    return 1 if isinstance(engine, InlineEngine) else 2


def submit(engine: Engine, ticket: int, request: object, *, lane: int | None = None, fresh: bool = False) -> str:
    """Hand a request to the machine that is next, which is returned."""
    openings = Openings(engine.slots())
    machine = openings.idle() or openings.ahead() or next(iter(engine.slots()))
    engine.submit(ticket, request, machine=machine, lane=lane, fresh=fresh)
    return machine


@pytest.fixture(scope="module")
def access(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Access]:
    """A cluster of two machines with a worker each, for all tests of this file."""
    with living(tmp_path_factory.mktemp("cluster"), machines=2, workers=1) as cloud, cloud.access() as found:
        yield found


class OnRay:
    """Engines on one cluster: a test gets that of the test before it, where that left both workers idle.

    A new one takes a driver and two stations, which load for seconds.
    """

    def __init__(self, access: Access) -> None:
        self._access = access
        self._made: RayEngine | None = None

    def engine(self) -> RayEngine:
        if self._made and self._is_busy(self._made):
            self.close()
        self._made = self._made or make_ray(self._access)
        wait_for_workers(self._made, 2)
        while wait(self._made, 0.05):
            pass
        return self._made

    def close(self) -> None:
        if self._made:
            self._made.close()
        self._made = None

    @staticmethod
    def _is_busy(engine: RayEngine) -> bool:
        while wait(engine, 0):
            pass
        return free(engine).ahead > 0  # as a worker has only where its machine holds a request


@pytest.fixture(scope="module")
def on_ray(access: Access) -> Iterator[OnRay]:
    made = OnRay(access)
    yield made
    made.close()


@pytest.fixture(params=[*ENGINES, "ray"])
def engine(request: pytest.FixtureRequest) -> Iterator[Engine]:
    """Each engine in turn, with two workers that do what they are told."""
    if request.param == "ray":
        yield request.getfixturevalue("on_ray").engine()
        return
    made = ENGINES[request.param](bodies.Obedient, workers=2)
    yield made
    made.close()


@pytest.fixture(params=[*ENGINES, "ray"])
def engine_to_close(request: pytest.FixtureRequest) -> Iterator[Engine]:
    """Each engine in turn, with two workers, for a test that closes it."""
    if request.param == "ray":
        yield request.getfixturevalue("on_ray").engine()
        request.getfixturevalue("on_ray").close()
        return
    yield ENGINES[request.param](bodies.Obedient, workers=2)


@pytest.fixture
def cores() -> Iterator[CoresEngine]:
    made = make_cores(bodies.Obedient, workers=2)
    yield made
    made.close()


@pytest.fixture(params=["cores", "ray"])
def processes(request: pytest.FixtureRequest) -> Iterator[Engine]:
    """Each engine whose workers are processes, with two of them."""
    if request.param == "ray":
        yield request.getfixturevalue("on_ray").engine()
        return
    made = make_cores(bodies.Obedient, workers=2)
    yield made
    made.close()


def events_of(engine: Engine, enough: Callable[[list[Message]], object]) -> list[Message]:
    """Collect events until there are enough."""
    events: list[Message] = []
    deadline = monotonic() + SECONDS
    while not enough(events):
        assert monotonic() < deadline, f"only {events} happened"
        events += wait(engine, 0.1)
    return events


def done_of(events: list[Message]) -> set[int]:
    return {event.ticket for event in events if isinstance(event, Done)}


def wait_for_workers(engine: Engine, count: int = 1) -> list[Message]:
    events: list[Message] = []
    if isinstance(engine, InlineEngine | FakeEngine):
        events += wait(engine, 0)  # whose workers are there at once, and say so first
    return events + events_of(engine, lambda _: free(engine).idle >= count)


def ask(engine: Engine, *requests: object) -> list[Any]:
    """Answer requests, in order, each worker holding as many as it takes."""
    events = ask_for_events(engine, *requests)
    return [event.answer for event in sorted(events, key=lambda event: event.ticket) if isinstance(event, Done)]


def ask_for_events(engine: Engine, *requests: object) -> list[Done | Failed | Lost]:
    waiting = list(enumerate(requests))
    found: list[Done | Failed | Lost] = []
    deadline = monotonic() + SECONDS
    while len(found) < len(requests):
        assert monotonic() < deadline, f"only {found} came"
        slots = free(engine)
        for _ in range(min(len(waiting), slots.idle + slots.ahead)):
            submit(engine, *waiting.pop(0))
        found += [event for event in wait(engine, 0.1) if isinstance(event, Done | Failed | Lost)]
    return found


# The contract


def test_every_request_is_answered_once(engine: Engine) -> None:
    events = ask_for_events(engine, *(("echo", number) for number in range(100)))
    assert all(isinstance(event, Done) for event in events)
    assert sorted(event.ticket for event in events) == list(range(100))
    assert all(event.answer == event.ticket for event in events if isinstance(event, Done))
    assert not [event for event in wait(engine, 0.05) if isinstance(event, Done)]


def test_an_exception_comes_back_and_the_worker_goes_on(engine: Engine) -> None:
    wait_for_workers(engine, workers_of(engine))
    (failed,) = ask_for_events(engine, ("fail", "no such row"))
    assert isinstance(failed, Failed)
    assert type(failed.error) is ValueError
    assert str(failed.error) == "no such row"
    assert free(engine).idle == workers_of(engine)
    assert wait(engine, 0.05) == []


def test_an_exception_that_only_the_worker_knows_still_comes_back(engine: Engine) -> None:
    (failed,) = ask_for_events(engine, ("fail_strangely", "no such row"))
    assert isinstance(failed, Failed)
    assert "no such row" in str(failed.error)
    assert ask(engine, ("echo", 1)) == [1]


def test_a_briefing_reaches_every_worker_before_the_requests_that_follow_it(engine: Engine) -> None:
    engine.brief(b"one")
    assert set(ask(engine, *[("briefed",)] * 10)) == {b"one"}
    engine.brief(b"two")
    assert set(ask(engine, *[("briefed",)] * 10)) == {b"two"}


def test_a_request_keeps_the_briefing_under_which_it_was_submitted(engine: Engine) -> None:
    engine.brief(b"one")
    wait_for_workers(engine)
    submit(engine, 1, ("briefed",))
    engine.brief(b"two")
    assert Done(1, b"one") in events_of(engine, done_of)
    assert ask(engine, ("briefed",)) == [b"two"]


def test_slots_go_down_with_a_request_and_up_with_its_answer(engine: Engine) -> None:
    wait_for_workers(engine, workers_of(engine))
    before = free(engine)
    assert (before.idle, before.ahead) == (workers_of(engine), 0)
    for number in range(workers_of(engine)):
        assert free(engine).idle == workers_of(engine) - number
        submit(engine, number, ("echo", number))
    assert free(engine).idle == 0
    while (slots := free(engine)).ahead:
        submit(engine, 100 + slots.ahead, ("echo", 0))
    events_of(engine, lambda _: free(engine) == before)


def test_waiting_for_nothing_ends_with_nothing(engine: Engine) -> None:
    wait_for_workers(engine, workers_of(engine))
    assert wait(engine, 0.01) == []


def test_large_requests_and_large_answers_do_not_wait_for_each_other(engine: Engine) -> None:
    size = 4 << 20
    answers = ask(engine, *[("grow", bytes(size), size)] * 8)
    assert [len(answer) for answer in answers] == [size] * 8


def test_many_requests_of_a_lane_and_large_answers_do_not_wait_for_each_other(engine: Engine) -> None:
    wait_for_workers(engine)
    machine, count = next(iter(engine.slots())), 80
    for number in range(count):  # each small, and together more than a pipe takes
        engine.submit(number, ("grow", bytes(10_000), 1 << 19), machine=machine, lane=0)
    events = events_of(engine, lambda events: len(done_of(events)) == count)
    assert [event.ticket for event in events if isinstance(event, Done)] == [*range(count)]


def test_a_large_briefing_behind_a_large_answer_arrives(engine: Engine) -> None:
    size = 4 << 20
    wait_for_workers(engine)
    submit(engine, 1, ("grow", b"", size))
    engine.brief(bytes(size))
    assert done_of(events_of(engine, done_of)) == {1}
    assert ask(engine, ("briefed",)) == [bytes(size)]


def test_closing_with_work_in_hand_is_quick_and_may_be_repeated(engine_to_close: Engine) -> None:
    wait_for_workers(engine_to_close)
    submit(engine_to_close, 1, ("echo", 1))
    engine_to_close.close()
    engine_to_close.close()


def test_each_request_begins_once_on_the_worker_that_then_answers_it(engine: Engine) -> None:
    wait_for_workers(engine, workers_of(engine))
    slots = free(engine)
    for number in range(slots.idle):
        submit(engine, number, ("echo", number))
    while (slots := free(engine)).ahead:
        submit(engine, 100 + slots.ahead, ("echo", 0))
    events = events_of(engine, lambda _: not (free(engine).ahead or free(engine).idle < workers_of(engine)))
    began = {event.ticket: (at, event.worker) for at, event in enumerate(events) if isinstance(event, Began)}
    done = {event.ticket: (at, event.worker) for at, event in enumerate(events) if isinstance(event, Done)}
    assert began.keys() == done.keys() != set()
    assert len(events) == 2 * len(done)
    assert all(began[ticket][0] < at and began[ticket][1] == worker for ticket, (at, worker) in done.items())


def test_what_is_submitted_to_a_machine_is_answered_there(engine: Engine) -> None:
    joined = {
        event.worker: event.machine
        for event in wait_for_workers(engine, workers_of(engine))
        if isinstance(event, Joined)
    }
    machines = [*engine.slots()]
    for number, machine in enumerate(machines):
        engine.submit(number, ("echo", machine), machine=machine)
    events = events_of(engine, lambda events: len(done_of(events)) == len(machines))
    for event in events:
        if isinstance(event, Done):
            assert joined.get(event.worker, event.answer) == event.answer


def test_a_descriptor_says_that_there_are_messages(engine: Engine) -> None:
    wait_for_workers(engine, workers_of(engine))
    while select([engine], [], [], 0.05)[0]:
        engine.messages()
    submit(engine, 1, ("echo", 1))
    found: list[Message] = []
    while not done_of(found):
        assert select([engine], [], [], SECONDS)[0]
        found += engine.messages()


def test_requests_of_a_lane_go_to_one_worker_in_order(engine: Engine) -> None:
    wait_for_workers(engine, workers_of(engine))
    machines = [*engine.slots()]
    lanes = {lane: machines[lane % len(machines)] for lane in range(6)}
    for number in range(60):
        engine.submit(number, ("echo", number), machine=lanes[number % 6], lane=number % 6)
    events = [
        event for event in events_of(engine, lambda events: len(done_of(events)) == 60) if isinstance(event, Done)
    ]
    for lane in range(6):
        of_lane = [event for event in events if event.ticket % 6 == lane]
        assert [event.ticket for event in of_lane] == list(range(lane, 60, 6))
        assert len({event.worker for event in of_lane}) == 1
    assert len({event.worker for event in events}) == workers_of(engine)


def test_a_request_that_is_cancelled_is_answered_once_and_the_engine_goes_on(engine: Engine) -> None:
    wait_for_workers(engine, workers_of(engine))
    tickets = list(range(2 * workers_of(engine)))
    for ticket in tickets:
        submit(engine, ticket, ("echo", ticket))
    for ticket in tickets:
        engine.cancel(ticket)
    engine.cancel(99)
    ended: list[Message] = []

    def is_enough(events: list[Message]) -> bool:
        ended[:] = [event for event in events if isinstance(event, Done | Failed | Lost)]
        return len(ended) == len(tickets)

    events_of(engine, is_enough)
    assert sorted(event.ticket for event in ended if isinstance(event, Done | Lost)) == tickets
    assert all(event.reason == CANCELLED for event in ended if isinstance(event, Lost) and event.began)
    wait_for_workers(engine, workers_of(engine))
    assert ask(engine, ("echo", 1)) == [1]


def test_a_machine_that_is_drained_does_what_it_holds_and_its_workers_leave(engine_to_close: Engine) -> None:
    engine = engine_to_close
    joined = [event for event in wait_for_workers(engine, workers_of(engine)) if isinstance(event, Joined)]
    machine = submit(engine, 1, ("echo", 1))
    engine.drain(machine)
    assert machine not in engine.slots()
    engine.submit(2, ("echo", 2), machine=machine)
    left: set[str] = set()
    mine = {event.worker for event in joined if event.machine == machine} or {"any"}

    def is_enough(events: list[Message]) -> bool:
        left.update(event.worker for event in events if isinstance(event, Left))
        return bool(left >= mine or (mine == {"any"} and left)) and {1, 2} <= ended_of(events)

    events = events_of(engine, is_enough)
    assert Done(1, 1) in events
    assert [event.ticket for event in events if isinstance(event, Lost)] == [2]
    others = [*engine.slots()]
    for other in others:
        engine.submit(3, ("echo", 3), machine=other)
        assert done_of(events_of(engine, done_of)) == {3}
    engine.close()


def ended_of(events: list[Message]) -> set[int]:
    return {event.ticket for event in events if isinstance(event, Done | Failed | Lost)}


# Losing workers: the engines that can


class AllAtOnce(FakeEngine):
    """Its answers are there all at once, as they are where a driver was heard late."""

    def messages(self) -> list[Message]:
        said = super().messages()
        while more := super().messages():
            said += more
        return said

    def stock(self, freight: Freight) -> None:
        pass


class FromAStore(ParcelEngine):
    """Its tasks read from a store, so that nothing of the input is sent."""

    def brief(self, briefing: bytes) -> None:
        self._sources = (Source("s3://a/b.csv", 0, "", "csv"),)
        self._engine.brief(briefing)


class SecondIsOfAnotherKind(bodies.Obedient):
    def __call__(self, request: Any) -> object:  # noqa: ANN401 (a parcel)
        self.answered += 1
        return Returned(Outcome(request.task, 1, 1), {}) if self.answered == 1 else "what no worker sends"


def test_rows_that_come_with_an_answer_that_ends_the_run_are_heard_before_it() -> None:
    def pack(_: Briefing) -> Luggage:
        raise AssertionError

    within = AllAtOnce(SecondIsOfAnotherKind, workers=1)
    engine = FromAStore(within, parts=Path(), pack=pack, note=lambda _: None)
    engine.brief(b"")
    tasks = [Task(number, 0, 1, 0, 0, 10, 0, 1, 0, 1) for number in (1, 2)]
    for task in tasks:
        submit(engine, task.number, task)
    with contextlib.closing(engine):
        assert Done(1, Outcome(tasks[0], 1, 1)) in engine.messages()
        assert within.slots()
        assert not engine.slots()
        engine.submit(3, tasks[0], machine="machine 1")  # as somebody may who has asked for slots before
        assert engine.messages() == [Lost(3, "its engine has ended", began=False)]
        assert not within.messages(), "nobody was sent anything"
        with pytest.raises(EngineError, match="sends what muster never sends"):
            engine.messages()


@pytest.fixture(scope="module")
def small_access(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Access]:
    """A cluster of one machine with one worker."""
    with living(tmp_path_factory.mktemp("cluster"), workers=1) as cloud, cloud.access() as found:
        yield found


@pytest.fixture(params=["cores", "parcels", "fake", "ray"])
def losing(request: pytest.FixtureRequest) -> Iterator[Engine]:
    """An engine of one worker, for which every request to ``die`` is the worker's last."""
    made: Engine
    if request.param == "cores":
        made = make_cores(bodies.Obedient, workers=1)
    elif request.param == "parcels":
        made = make_parcels(bodies.Obedient, workers=1)
    elif request.param == "ray":
        made = make_ray(request.getfixturevalue("small_access"))
    else:
        made = FakeEngine(bodies.Obedient, workers=1, kills=lambda asked: isinstance(asked, tuple) and "die" in asked)
    yield made
    made.close()


def test_a_dead_worker_loses_what_it_was_on_and_what_it_had_ahead_and_is_replaced(losing: Engine) -> None:
    losing.brief(b"for all")
    wait_for_workers(losing)
    submit(losing, 1, ("die", signal.SIGKILL))
    submit(losing, 2, ("echo", 2))
    lost = [event for event in events_of(losing, lambda _: free(losing).idle) if isinstance(event, Lost)]
    assert (lost[0].ticket, lost[0].began) == (1, True)
    assert [(event.ticket, event.began) for event in lost[1:]] in ([(2, False)], [])  # a station has replaced it first
    assert ask(losing, ("echo", 3)) == [3]


def test_workers_say_when_they_join_and_leave_and_who_answered(losing: Engine) -> None:
    (joined,) = (event for event in wait_for_workers(losing) if isinstance(event, Joined))
    assert joined.machine
    submit(losing, 1, ("echo", 1))
    (done,) = (event for event in events_of(losing, done_of) if isinstance(event, Done))
    assert done.worker == joined.worker
    submit(losing, 2, ("die", signal.SIGKILL))
    events = events_of(losing, lambda events: any(isinstance(event, Joined) for event in events))
    (left,) = (event for event in events if isinstance(event, Left))
    assert left.worker == joined.worker
    (other,) = (event for event in events if isinstance(event, Joined))
    assert (other.worker, other.machine) == (joined.worker, joined.machine)


def test_a_worker_that_comes_later_is_briefed_too(losing: Engine) -> None:
    losing.brief(b"old")
    losing.brief(b"new")
    assert isinstance(ask_for_events(losing, ("die", signal.SIGKILL))[0], Lost)
    assert ask(losing, ("briefed",), ("count",)) == [b"new", 2]


def test_a_request_that_is_for_a_fresh_worker_is_the_first_that_this_one_answers(losing: Engine) -> None:
    losing.brief(b"for all")
    assert ask(losing, ("count",), ("count",)) == [1, 2]
    submit(losing, 3, ("count",), fresh=True)
    events = events_of(losing, done_of)
    assert [event.answer for event in events if isinstance(event, Done)] == [1]
    assert not [event for event in events if isinstance(event, Lost)]
    assert ask(losing, ("briefed",)) == [b"for all"]


def test_lanes_are_lost_with_their_worker_and_named(losing: Engine) -> None:
    wait_for_workers(losing)
    machine = next(iter(losing.slots()))
    for ticket, request in enumerate([("echo", 0), ("die", signal.SIGKILL), ("echo", 2), ("echo", 3)]):
        losing.submit(ticket, request, machine=machine, lane=ticket % 2)
    events = events_of(losing, lambda events: any(isinstance(event, Left) for event in events))
    (left,) = (event for event in events if isinstance(event, Left))
    assert left.lanes == (0, 1)
    while ended_of(events) != {0, 1, 2, 3}:  # those that were on their way
        events += wait(losing, 0.1)
    lost = [event for event in events if isinstance(event, Lost)]
    assert [(event.ticket, event.lane) for event in lost] == [(1, 1), (2, 0), (3, 1)]
    wait_for_workers(losing)
    losing.submit(9, ("count",), machine=machine, lane=1)
    assert Done(9, 1) in events_of(losing, done_of)


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
        wait_for_workers(engine, 4)
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
    children = [child for child in psutil.Process(pid).children() if child.pid not in OTHERS]
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


def start_hanging(engine: Engine, mark: Path, *, ticket: int = 1) -> int:
    """Have a worker hang; return its process id."""
    wait_for_workers(engine)
    submit(engine, ticket, ("hang", str(mark)))
    until(mark.exists)
    return int(mark.read_text())


def lost_of(events: list[Message]) -> dict[int, bool]:
    return {event.ticket: event.began for event in events if isinstance(event, Lost)}


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
def test_the_cause_of_a_death_is_named(processes: Engine, request_: object, reason: str) -> None:
    (lost,) = ask_for_events(processes, request_)
    assert isinstance(lost, Lost)
    assert reason in lost.reason


def test_a_worker_killed_from_outside_loses_only_its_own(processes: Engine, tmp_path: Path) -> None:
    victim = start_hanging(processes, tmp_path / "one")
    wait_for_workers(processes)
    other = start_hanging(processes, tmp_path / "two", ticket=2)
    os.kill(victim, signal.SIGKILL)
    assert lost_of(events_of(processes, lost_of)) == {1: True}
    assert not is_gone(other)
    wait_for_workers(processes)
    assert ask(processes, ("echo", 1)) == [1]
    os.kill(other, signal.SIGKILL)  # an engine that closes gives it time
    assert lost_of(events_of(processes, lost_of)) == {2: True}


def test_a_worker_that_is_killed_in_the_middle_of_a_large_answer_is_lost_like_any_other(processes: Engine) -> None:
    wait_for_workers(processes, 2)
    submit(processes, 1, ("die_in_the_middle_of_an_answer", 8_000_000))
    assert lost_of(events_of(processes, lost_of)) == {1: True}
    assert ask(processes, ("echo", 1)) == [1]


@pytest.mark.parametrize(("verb", "kind"), [("break_off", ConnectionResetError), ("end_early", EOFError)])
def test_a_connection_that_breaks_in_a_worker_is_a_failure_of_its_request_and_no_death(
    processes: Engine, verb: str, kind: type[Exception]
) -> None:
    (failed,) = ask_for_events(processes, (verb,))
    assert isinstance(failed, Failed)
    assert type(failed.error) is kind


def test_a_fault_brings_its_traceback_from_where_it_happened(processes: Engine) -> None:
    (failed,) = ask_for_events(processes, ("fail", "no such row"))
    assert isinstance(failed, Failed)
    assert "in fail\n" in "".join(failed.error.__notes__)


def test_a_briefing_that_fails_is_the_failure_of_each_request_that_it_was_for() -> None:
    engine = make_cores(bodies.Fussy, workers=1)
    with contextlib.closing(engine):
        engine.brief(b"bad")
        bad = ask_for_events(engine, ("echo", 1), ("echo", 2))
        assert [str(event.error) for event in bad if isinstance(event, Failed)] == ["[Errno 28] no room"] * 2
        engine.brief(b"good")
        assert ask(engine, ("echo", 3)) == [3]


def test_a_muster_that_is_killed_in_the_middle_of_a_message_leaves_no_driver_and_all_processors_free(
    small_access: Access,
) -> None:
    engine = make_ray(small_access)
    wait_for_workers(engine)
    pipe = engine._line._writing.fileno()  # noqa: SLF001 (to which nobody but the engine writes)
    os.write(pipe, struct.pack("!i", 8_000_000) + bytes(1 << 10))
    with open(os.devnull, "wb") as nothing:  # noqa: PTH123 (short)
        os.dup2(nothing.fileno(), pipe)  # which closes it, as the kernel does where its process is killed
    assert engine._line._process.wait(SECONDS) == 0  # noqa: SLF001 (likewise)
    engine.close()
    other = make_ray(small_access)
    with contextlib.closing(other):
        wait_for_workers(other)
        assert ask(other, ("echo", 1)) == [1]


def test_a_thread_that_never_ends_does_not_hide_that_its_worker_ran_out_of_memory(processes: Engine) -> None:
    (lost,) = ask_for_events(processes, ("run_out_of_memory_beside_a_thread_that_never_ends",))
    assert isinstance(lost, Lost)
    assert ask(processes, ("echo", 1)) == [1]


def test_a_worker_that_hangs_is_ended_where_its_request_is_cancelled(processes: Engine, tmp_path: Path) -> None:
    victim = start_hanging(processes, tmp_path / "one")
    processes.cancel(1)
    events = events_of(processes, lost_of)
    assert is_gone(victim)
    assert Lost(1, CANCELLED, began=True) in events
    wait_for_workers(processes, 2)
    assert len(set(ask(processes, *[("who",)] * 10))) <= 2


def test_what_is_cancelled_behind_another_request_never_begins(cores: CoresEngine, tmp_path: Path) -> None:
    wait_for_workers(cores, 2)
    machine = next(iter(cores.slots()))
    for ticket in (1, 2):
        cores.submit(ticket, ("hang", str(tmp_path / str(ticket))), machine=machine, lane=1)
    until((tmp_path / "1").exists)
    cores.cancel(2)
    cores.cancel(1)
    assert lost_of(events_of(cores, lambda events: len(lost_of(events)) == 2)) == {1: True, 2: False}
    assert not (tmp_path / "2").exists()


def test_an_idle_worker_that_is_killed_is_replaced(processes: Engine) -> None:
    wait_for_workers(processes, 2)
    (victim,) = ask(processes, ("who",))
    os.kill(victim, signal.SIGKILL)
    events_of(processes, lambda events: any(isinstance(event, Left) for event in events))
    wait_for_workers(processes, 2)
    assert victim not in ask(processes, *[("who",)] * 10)


def test_a_worker_that_closed_its_own_pipe_is_put_to_death(processes: Engine) -> None:
    (lost,) = ask_for_events(processes, ("close_everything",))
    assert isinstance(lost, Lost)
    assert ask(processes, ("echo", 1)) == [1]


def test_what_a_function_started_neither_hides_the_death_of_its_worker_nor_outlives_it(
    cores: CoresEngine, tmp_path: Path
) -> None:
    mark = tmp_path / "child"
    (lost,) = ask_for_events(cores, ("die_with_a_child_left", str(mark)))
    assert isinstance(lost, Lost)
    child = int(mark.read_text())
    until(lambda: is_gone(child))


def zygote_of(worker: int) -> int:
    return int(psutil.Process(worker).ppid())


def test_a_killed_zygote_takes_all_with_it_and_the_engine_recovers(cores: CoresEngine, tmp_path: Path) -> None:
    cores.brief(b"still known")
    worker = start_hanging(cores, tmp_path / "mark")
    wait_for_workers(cores)
    submit(cores, 2, ("echo", 2))
    submit(cores, 3, ("hang", str(tmp_path / "three")))
    before = family()
    os.kill(zygote_of(worker), signal.SIGKILL)
    found = events_of(cores, lambda events: 1 in lost_of(events))
    lost = lost_of(found) | lost_of(events_of(cores, lambda _: free(cores).idle == 2))
    assert set(lost) | done_of(found) == {1, 2, 3}
    assert set(ask(cores, *[("briefed",)] * 4)) == {b"still known"}
    until(lambda: all(is_gone(pid) for pid in before))


def test_closing_ends_every_process_busy_or_not(cores: CoresEngine, tmp_path: Path) -> None:
    start_hanging(cores, tmp_path / "mark")
    processes = family()
    assert len(processes) >= 3
    cores.close()
    until(lambda: all(is_gone(pid) for pid in processes))


def test_closing_before_the_workers_are_ready_leaves_none() -> None:
    engine = make_cores(bodies.Obedient, workers=2)
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
        assert ask(engine, ("threads_of_parent",)) == [1]
        assert isinstance(ask_for_events(engine, ("die", signal.SIGKILL))[0], Lost)
        assert ask(engine, ("threads_of_parent",)) == [1]
        assert ask(engine, ("environment", "OMP_NUM_THREADS")) == ["4"]
    finally:
        engine.close()


def test_what_loads_pandas_is_started_to_have_one_thread_and_to_keep_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subprocess, "Popen", POPEN)  # no fork of what the tests have started otherwise
    one = {f"{name}_THREADS": "1" for name in ("OMP_NUM", "OPENBLAS_NUM", "MKL_NUM", "NUMEXPR_NUM", "POLARS_MAX")}
    expected = {
        **one,
        "JE_ARROW_MALLOC_CONF": "background_thread:false",
        "MALLOC_TRIM_THRESHOLD_": "134217728",
        "MALLOC_MMAP_THRESHOLD_": "67108864",
    }
    for name in expected:
        monkeypatch.delenv(name, raising=False)
    for name in one:
        monkeypatch.setenv(name, "4")
    engine = CoresEngine(bodies.Obedient, workers=1, preload=["muster._worker.task"])
    try:
        (worker,) = ask(engine, ("who",))
        given = psutil.Process(zygote_of(worker)).environ()
        assert {name: given.get(name) for name in expected} == expected
        assert ask(engine, ("threads_of_parent",)) == [1]
    finally:
        engine.close()


def test_a_worker_has_one_thread_for_numbers_unless_the_user_says_otherwise(
    cores: CoresEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    assert ask(cores, ("environment", "OMP_NUM_THREADS")) == ["1"]


def test_files_of_the_users_folder_do_not_pass_for_pythons_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("random", "struct", "selectors"):
        (tmp_path / f"{name}.py").write_text("raise SystemError('this is no module of Python')")
    monkeypatch.chdir(tmp_path)
    engine = make_cores(bodies.Obedient, workers=1)
    try:
        assert ask(engine, ("echo", 1)) == [1]
    finally:
        engine.close()


def test_workers_that_cannot_start_end_in_an_error() -> None:
    engine = make_cores(bodies.StillBorn, workers=2)
    try:
        with pytest.raises(EngineError, match="die before they are ready"):
            events_of(engine, lambda _: False)
    finally:
        engine.close()
    until(lambda: not family())


def test_an_answer_that_cannot_travel_is_a_failure_and_no_death(processes: Engine) -> None:
    (failed,) = ask_for_events(processes, ("answer_strangely",))
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
