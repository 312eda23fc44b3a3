"""Each engine that there is, with workers that do what they are told, and a note of who is there."""

import contextlib
import subprocess
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from random import Random
from select import select
from time import monotonic
from typing import Any, Final

import bodies
from muster._clouds.base import Access
from muster._engines.around import Around, AtHome, LoadingAhead
from muster._engines.base import Done, Engine, Failed, Joined, Left, Lost, MakeBody, Message
from muster._engines.cores.engine import CoresEngine
from muster._engines.cores.starter import start_by
from muster._engines.crew import Crew
from muster._engines.inline import InlineEngine
from muster._engines.on_ray.engine import RayEngine
from muster._engines.on_ray.freight import Freight
from muster._model import Briefing, Slots
from muster._progress.openings import Openings
from muster._run.staffing.kept_workers import KeptWorkers
from muster._travel.luggage import Luggage
from muster._user_code.world import World
from muster.testing import FakeEngine
from parcelled import InParcels, far_obedient, far_only_the_first_starts, request_in

SECONDS: Final = 30.0
"""How long something may take that an engine is to do."""


class Roll:
    """Who came and who left, as far as an engine has told."""

    def __init__(self, prefix: str = "") -> None:
        self.told: list[Joined | Left] = []
        self.machine_of: dict[str, str] = {}
        """The machine of each worker that is there."""
        self._prefix = prefix

    def hear(self, messages: Iterable[Message]) -> None:
        for message in messages:
            if isinstance(message, Joined | Left):
                known = replace(message, worker=self._prefix + message.worker)
                self.told.append(known)
                if isinstance(known, Joined):
                    self.machine_of[known.worker] = known.machine
                else:
                    del self.machine_of[known.worker]

    @property
    def left(self) -> list[Left]:
        return [one for one in self.told if isinstance(one, Left)]


class Watched(Around[Engine]):
    """An engine of so many workers; ``roll`` is kept elsewhere where nobody is told that they come and go."""

    def __init__(self, engine: Engine, *, workers: int, has_processes: bool = False, roll: Roll | None = None) -> None:
        super().__init__(engine)
        self.workers = workers
        self.has_processes = has_processes
        """Whether the workers of its first machine work beside this process."""
        self.roll = Roll() if roll is None else roll

    @property
    def within(self) -> Engine:
        return self._engine

    def messages(self) -> list[Message]:
        messages = super().messages()
        self.roll.hear(messages)
        return messages


# One after the other


class KeepsNothing:
    """What an engine has to do with files besides, where none need be sent, and none is kept."""

    keepers = frozenset[int]()

    def stock(self, freight: Freight) -> None:
        pass

    def station_of(self, ticket: int) -> int | None:
        del ticket
        return None

    def station_on(self, machine: str) -> int | None:
        del machine
        return None

    def forget(self, station: int, names: Sequence[str]) -> None:
        pass


class CoresSentNothing(KeepsNothing, CoresEngine):
    """An engine of this computer."""


class FakeSentNothing(KeepsNothing, FakeEngine):
    """An engine of no computer."""


def pack_nothing(_: Briefing) -> Luggage:
    raise AssertionError


def cores(make_body: MakeBody = bodies.Obedient, *, workers: int = 2) -> Watched:
    return Watched(CoresEngine(make_body, workers=workers), workers=workers, has_processes=True)


@contextlib.contextmanager
def really_started() -> Iterator[None]:
    """Have what forks workers be started as where no test runs: it is no fork of what waits for tests."""
    before = start_by(subprocess.Popen)
    try:
        yield
    finally:
        start_by(before)


def cores_started() -> Watched:
    with really_started():
        return cores()


def fake(*, workers: int = 2, machines: int = 1, **script: Any) -> Watched:  # noqa: ANN401 (what a fake takes)
    return Watched(_fake(workers, machines, **script), workers=workers)


def _fake(
    workers: int,
    machines: int,
    make_body: MakeBody = bodies.Obedient,
    **script: Any,  # noqa: ANN401 (likewise)
) -> FakeSentNothing:
    chance = Random(7)  # noqa: S311 (an order of events is no secret)
    return FakeSentNothing(make_body, workers=workers, machines=machines, chance=chance, **script)


def inline() -> Watched:
    return Watched(InlineEngine(bodies.Obedient), workers=1)


def parcels(make_body: MakeBody = far_obedient, *, workers: int = 2) -> Watched:
    engine = CoresSentNothing(make_body, workers=workers, preload=["pyarrow"])
    return Watched(InParcels(engine), workers=workers, has_processes=True)


def parcels_far(*, workers: int = 2, machines: int = 2, **script: Any) -> Watched:  # noqa: ANN401 (likewise)
    return Watched(InParcels(_fake(workers, machines, far_obedient, **script)), workers=workers)


def crew() -> Watched:
    """Processes and a fake; a machine of each."""
    return Watched(Crew(near=CoresEngine(bodies.Obedient, workers=1), far=_fake(1, 1)), workers=2, has_processes=True)


def crew_of_fakes(*, workers: int = 2, **script: Any) -> Watched:  # noqa: ANN401 (likewise)
    return Watched(Crew(**{name: _fake(1, 1, **script) for name in "ab"[:workers]}), workers=workers)


def at_home(*, workers: int = 2, machines: int = 2, **script: Any) -> Watched:  # noqa: ANN401 (likewise)
    within = Watched(_fake(workers, machines, **script), workers=workers, roll=Roll("home-"))
    return Watched(AtHome(within), workers=workers, roll=within.roll)


def loading_ahead(*, workers: int = 2, machines: int = 2, **script: Any) -> Watched:  # noqa: ANN401 (likewise)
    return Watched(LoadingAhead(_fake(workers, machines, **script), ("echo", "ahead")), workers=workers)


def loaded(ahead: Watched) -> Watched:
    """Have the one worker answer what it was asked as it joined."""
    ahead.brief(b"")
    for number in (1, 2):  # that stands between the two, as it is asked once it is known that the worker has joined
        answers(ahead, ("echo", number))
    return ahead


class InTurn(Watched):
    """The engine of the second run, where the first has left its workers; after that these end."""

    def __init__(self, kept_workers: KeptWorkers, *, workers: int) -> None:
        first = kept_workers.begin(workers)
        answers(first, ("echo", 1))
        first.close()
        super().__init__(kept_workers.begin(workers), workers=workers)
        self._kept_workers = kept_workers

    def close(self) -> None:
        super().close()
        self._kept_workers.end()


def in_turn(*, workers: int = 2, machines: int = 2, **script: Any) -> Watched:  # noqa: ANN401 (likewise)
    return InTurn(KeptWorkers(lambda: _fake(workers, machines, **script)), workers=workers)


def ray(access: Access) -> RayEngine:
    return RayEngine(bodies.obedient_engine, address=access.address, environment=access.environment, world=World.here())


def on_ray(access: Access, *, workers: int) -> Watched:
    return Watched(ray(access), workers=workers, has_processes=True)


ENGINES: Mapping[str, Callable[[], Watched]] = {
    "inline": inline,
    "cores": cores,
    "cores, started": cores_started,
    "fake": fake,
    "fake of two machines": lambda: fake(machines=2),
    "parcels": parcels,
    "parcels to two machines": parcels_far,
    "crew": crew,
    "home": at_home,
    "loading ahead": loading_ahead,
    "in turn": in_turn,
}
SPREAD: Final = ("fake of two machines", "parcels to two machines", "crew", "home", "loading ahead", "in turn")
"""Those with two machines."""
OF_PROCESSES: Final = ("cores", "cores, started", "parcels", "crew")
"""Those that have processes on the first of their machines."""

KILLS: Final[dict[str, Any]] = {"kills": lambda asked: "die" in asked}
KILLS_FAR: Final[dict[str, Any]] = {"kills": lambda parcel: "die" in request_in(parcel)}
LOSING: Mapping[str, Callable[[], Watched]] = {
    "cores": lambda: cores(workers=1),
    "parcels": lambda: parcels(workers=1),
    "fake": lambda: fake(workers=1, **KILLS),
    "parcels far": lambda: parcels_far(workers=1, machines=1, **KILLS_FAR),
    "crew": lambda: crew_of_fakes(workers=1, **KILLS),
    "home": lambda: at_home(workers=1, machines=1, **KILLS),
    "loading ahead": lambda: loaded(loading_ahead(workers=1, machines=1, **KILLS)),
    "in turn": lambda: in_turn(workers=1, machines=1, **KILLS),
}
"""Engines of one worker, for which every request to ``die`` is the worker's last."""

ENDING: Mapping[str, Callable[[], Watched]] = {
    "cores": lambda: cores(bodies.OnlyTheFirstStarts, workers=6),
    "parcels": lambda: parcels(far_only_the_first_starts, workers=6),
    "fake": lambda: fake(workers=1, fails_after=1),
    "parcels far": lambda: parcels_far(workers=1, machines=1, fails_after=1),
    "crew": lambda: crew_of_fakes(workers=1, fails_after=1),
    "home": lambda: at_home(workers=1, machines=1, fails_after=1),
    "in turn": lambda: in_turn(workers=1, machines=1, fails_after=2),
}
"""Engines that end with the first answer; those of processes end as five workers cannot start, once these try."""


# What is done with them


def free(engine: Engine) -> Slots:
    """Count what all machines take now."""
    slots = engine.slots().values()
    return Slots(sum(one.idle for one in slots), sum(one.ahead for one in slots))


def submit(engine: Engine, ticket: int, request: object, *, lane: int | None = None, fresh: bool = False) -> str:
    """Hand a request to the machine that is next, which is returned."""
    openings = Openings(engine.slots(), pace=lambda _: 1.0)  # of machines that have done something
    machine = openings.idle() or openings.ahead() or next(iter(engine.slots()))
    engine.submit(ticket, request, machine=machine, lane=lane, fresh=fresh)
    return machine


def messages_of(engine: Engine, enough: Callable[[list[Message]], object]) -> list[Message]:
    """Collect messages until there are enough; nobody asks for them before the descriptor says that there are some."""
    messages: list[Message] = []
    deadline = monotonic() + SECONDS
    while not enough(messages):
        assert select([engine], [], [], max(0.0, deadline - monotonic()))[0], f"only {messages} were told"
        messages += engine.messages()
    return messages


def wait_for_workers(engine: Watched, count: int | None = None) -> list[Message]:
    """Wait until so many workers, or all, are there and idle."""
    count = engine.workers if count is None else count
    return messages_of(engine, lambda _: free(engine).idle >= count <= len(engine.roll.machine_of))


def said_later(engine: Engine) -> list[Message]:
    """Say what an engine tells still, until its descriptor says that there is nothing."""
    deadline = monotonic() + SECONDS
    told: list[Message] = []
    while select([engine], [], [], 0.05)[0]:
        assert monotonic() < deadline, "the descriptor says without end that there is something"
        told += engine.messages()
    return [*told, *engine.messages()]


def outcomes_of(messages: Iterable[Message]) -> list[Done | Failed | Lost]:
    return [message for message in messages if isinstance(message, Done | Failed | Lost)]


def ended_of(messages: Iterable[Message]) -> set[int]:
    return {message.ticket for message in outcomes_of(messages)}


def done_of(messages: Iterable[Message]) -> set[int]:
    return {message.ticket for message in messages if isinstance(message, Done)}


def lost_of(messages: Iterable[Message]) -> dict[int, bool]:
    return {message.ticket: message.began for message in messages if isinstance(message, Lost)}


def answers(engine: Engine, *requests: object) -> list[Any]:
    """Answer requests, in order, each worker holding as many as it takes."""
    told = sorted(results(engine, *requests), key=lambda message: message.ticket)
    return [message.answer for message in told if isinstance(message, Done)]


def results(engine: Engine, *requests: object) -> list[Done | Failed | Lost]:
    """Tell what becomes of requests, each of which is submitted once there is room for it."""
    waiting = deque(enumerate(requests))
    told: list[Done | Failed | Lost] = []
    while len(told) < len(requests):
        slots = free(engine)
        for _ in range(min(len(waiting), slots.idle + slots.ahead)):
            submit(engine, *waiting.popleft())
        told += outcomes_of(messages_of(engine, lambda messages: messages or (waiting and sum(free(engine)))))
    return told
