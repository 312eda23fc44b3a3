"""A machine that says nothing before it is ready is begun with anew, and at last is put aside: no run waits for it."""

import shlex
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import pytest

import bodies
from machines import living
from muster._engines.base import Done, Joined, Message, Told, wait
from muster._engines.on_ray.engine import RayEngine
from muster._engines.on_ray.freight import Freight
from muster._engines.on_ray.vigil import Vigil
from muster._user_code.world import World
from muster.errors import EngineError
from muster.testing import FakeClock
from waiting import until

HEAD = """
import sys
from multiprocessing.connection import Connection
from muster._engines.base import Joined
from muster._engines.on_ray import hello
from muster._engines.on_ray.plain import encode

def say(*message):
    writing.send_bytes(encode(message))

def open_on(machine):
    numbers.append(machine)
    say("opened", len(numbers), machine)
    if machine in sys.argv:
        say("heard", len(numbers), [encode(Joined("w", machine))])

hello.say(1)
hello.answer(0)
reading, writing = Connection(0, writable=False), Connection(1, readable=False)
reading.recv()
numbers = []
for machine in ("m1", "m2"):
    open_on(machine)
while True:
    verb, *told = reading.recv()
    if verb == "drain":
        say("told", "heard of " + told[0])
    elif verb == "replace":
        say("closed", *told)
        open_on(numbers[told[0] - 1])
    elif verb == "put_aside":
        last = max(at for at, machine in enumerate(numbers, 1) if machine == told[0])
        say("closed", last, "its machine is put aside")
    elif verb == "end":
        break
"""
"""A driver of two machines of which those are ready that it is told of; it answers whoever drains a third."""


class Run:
    """An engine, whose time is the test's own, and what it has told."""

    def __init__(self, engine: RayEngine, clock: FakeClock) -> None:
        self.engine = engine
        self.told: list[Message] = []
        self._clock = clock

    @property
    def texts(self) -> list[str]:
        return [one.text for one in self.told if isinstance(one, Told) and not one.text.startswith("heard of")]

    def hear_driver(self) -> None:
        """Hear all that the driver has said up to now."""
        self.engine.drain("m3")
        before = len(self.told)
        while not any(one == Told("heard of m3") for one in self.told[before:]):
            self.told += wait(self.engine, 30)

    def pass_by(self, seconds: int) -> None:
        for _ in range(seconds):
            self._clock.seconds += 1
            self.hear_driver()

    def listen_in_vain(self, seconds: int) -> None:
        for _ in range(seconds):
            self._clock.seconds += 1
            self.told += self.engine.messages()


@pytest.fixture
def begin(tmp_path: Path) -> Iterator[Callable[..., Run]]:
    with ExitStack() as ending:

        def make(*ready: str) -> Run:
            (tmp_path / "head.py").write_text(HEAD)
            clock = FakeClock()
            through = ("sh", "-c", f"exec {shlex.join([sys.executable, str(tmp_path / 'head.py'), *ready])}; true")
            engine = RayEngine(
                bodies.obedient_engine,
                address="",
                environment={},
                through=through,
                world=World.here(),
                vigil=Vigil(clock=lambda: clock.seconds),
            )
            run = Run(ending.enter_context(closing(engine)), clock)
            run.hear_driver()
            return run

        yield make


def test_a_machine_that_never_gets_ready_is_begun_with_anew_and_then_put_aside(begin: Callable[..., Run]) -> None:
    run = begin("m2")
    run.pass_by(299)
    assert run.texts == []
    run.pass_by(310)
    anew = "machine m1 is begun with anew: it has said nothing for 5 min, and is not ready"
    assert run.texts == [anew, anew]
    run.pass_by(310)
    assert run.texts[2:] == ["machine m1 is put aside: it has said nothing for 5 min, and is not ready"]
    run.pass_by(1000)  # the other is ready: what it says, or does not, is about its requests
    assert len(run.texts) == 3
    assert [machine for machine, slots in run.engine.slots().items() if slots.idle] == ["m2"]


def test_where_no_machine_gets_ready_the_run_ends_in_words(begin: Callable[..., Run]) -> None:
    run = begin()
    with pytest.raises(EngineError, match="No machine is ready"):
        run.pass_by(1000)


def test_a_machine_that_does_not_take_what_goes_along_is_begun_with_anew(begin: Callable[..., Run]) -> None:
    run = begin("m1", "m2")
    run.pass_by(1000)
    assert run.texts == []
    run.engine.stock(Freight())
    run.pass_by(299)
    assert run.texts == []
    run.pass_by(10)
    assert len(run.texts) == 2


def test_a_driver_that_says_nothing_ends_the_run_in_words(begin: Callable[..., Run]) -> None:
    run = begin("m1", "m2")
    run.listen_in_vain(600)
    with pytest.raises(EngineError, match=r"for 10 min muster has said nothing there: Ray hangs"):
        run.listen_in_vain(10)


def test_time_in_which_nobody_listened_does_not_count() -> None:
    clock = FakeClock()
    vigil = Vigil(clock=lambda: clock.seconds)
    vigil.hear(1)
    for _ in range(100):
        clock.seconds += 3600
        vigil.listen()
    assert not vigil.is_over(1)
    vigil.check_driver()


@pytest.mark.waits
def test_another_station_works_where_the_first_hangs_as_it_starts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    clock = FakeClock()
    with living(tmp_path / "cluster", machines=1, workers=1) as cloud, cloud.access() as access:
        engine = RayEngine(
            bodies.engine_after_one_that_hangs,
            address=access.address,
            environment=access.environment,
            world=World.here(),
            vigil=Vigil(clock=lambda: clock.seconds),
        )
        with closing(engine):
            run = Run(engine, clock)

            def heard(what: type[Message]) -> bool:
                run.told += wait(engine, 0.1)
                return any(isinstance(one, what) for one in run.told)

            until(lambda: heard(Told) or Path("hangs").exists())
            run.listen_in_vain(310)
            assert len(run.texts) == 1
            until(lambda: heard(Joined))
            engine.submit(1, ("echo", 7), machine="m1")
            until(lambda: heard(Done))
            assert Done(1, 7) in run.told
