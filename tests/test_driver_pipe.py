"""The line to a process that a login shell may start: its hello, and what may come in its place."""

import fcntl
import os
import shlex
import struct
import sys
import termios
from collections.abc import Iterator
from contextlib import closing, contextmanager
from select import select

import psutil
import pytest

import bodies
from muster._engines.base import Done, Lost, Message, Told, wait
from muster._engines.on_ray import hello
from muster._engines.on_ray.driver_pipe import DriverPipe
from muster._engines.on_ray.engine import RayEngine
from muster._engines.on_ray.hello import SilenceError, StrangerError
from muster._user_code.world import World
from muster.errors import EngineError
from waiting import until

ECHO = """
import sys
from multiprocessing.connection import Connection
from muster._engines.on_ray import hello
from muster._engines.on_ray.plain import encode
hello.say(1)
hello.answer(0)
reading, writing = Connection(0, writable=False), Connection(1, readable=False)
while True:
    writing.send_bytes(encode(reading.recv()))
"""
SAYS_HELLO = f"exec {shlex.quote(sys.executable)} -c {shlex.quote(ECHO)}"


@contextmanager
def line(shell: str, *, seconds: float = 30.0) -> Iterator[DriverPipe]:
    with closing(DriverPipe(["sh", "-c", shell], dict(os.environ), seconds=seconds)) as opened:
        yield opened


def called(*through: str) -> RayEngine:
    return RayEngine(bodies.obedient_engine, address="", environment={}, through=through, world=World.here())


def heard(opened: DriverPipe) -> object:
    while (message := opened.receive()) is None:
        select([opened], [], [], 0.1)
    return message


def is_alive(process: psutil.Process) -> bool:
    return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)


def unread(opened: DriverPipe) -> int:
    """Count the bytes that lie in the pipe."""
    return int(struct.unpack("i", fcntl.ioctl(opened.fileno(), termios.FIONREAD, bytes(4)))[0])


@pytest.mark.parametrize(
    ("noise", "told"),
    [
        ("", ""),
        ("echo hi", "hi"),
        ("printf hi", "hi"),
        ("printf '\\0mus'", "?mus"),
        ("printf '\\0\\0\\1\\377 {\"a\": 1}\\n\\n'", '???\N{REPLACEMENT CHARACTER} {"a": 1}'),
        ("echo of the house >&2", ""),
        ("yes x | head -c 300000", "x " * 100 + "..."),
    ],
)
def test_what_a_login_shell_prints_before_the_hello_is_no_message(noise: str, told: str) -> None:
    with line(f"{noise}\n{SAYS_HELLO}") as opened:
        opened.send({"sent": "before the hello"})
        assert heard(opened) == {"sent": "before the hello"}
        assert opened.take_noise() == told
        assert opened.take_noise() == ""
        opened.send(b"x" * 1_000_000)
        assert heard(opened) == b"x" * 1_000_000


def test_a_hello_that_lies_there_counts_though_nobody_asked_for_it_in_time() -> None:
    with line(f"yes x | head -c 30000\n{SAYS_HELLO}", seconds=0.0) as opened:
        until(lambda: unread(opened) > 30_000)
        opened.send("something")
        assert heard(opened) == "something"


@pytest.mark.parametrize("shell", ["sleep 1000", "echo hi; sleep 1000", "yes", "cat > /dev/null", "read answer"])
def test_a_process_that_says_no_hello_is_given_up_in_time_and_ended(shell: str) -> None:
    before = set(psutil.Process().children(recursive=True))
    with line(shell, seconds=0.5) as opened:
        started = set(psutil.Process().children(recursive=True)) - before
        opened.send("something")
        with pytest.raises(SilenceError, match=r"no hello came within 0\.5 s"):
            heard(opened)
        until(lambda: started and not any(map(is_alive, started)))  # none of which would end by itself


@pytest.mark.parametrize(
    "greeting",
    [
        "\\0muster\\0wire 1, muster 0.0.1, code 123\\n",
        "\\0muster\\0" + "x" * 300,
    ],
)
def test_another_muster_is_refused_with_both_versions(greeting: str) -> None:
    with line(f"printf '{greeting}'; cat > /dev/null") as opened, pytest.raises(StrangerError) as caught:
        heard(opened)
    assert hello.own() in str(caught.value)
    assert greeting[10:20].strip("\\0") in str(caught.value)


def test_the_driver_refuses_to_be_called_by_another_muster() -> None:
    command = [sys.executable, "-P", "-m", "muster._engines.on_ray.driver"]
    for said in (b"\0muster\0wire 1, muster 0.0.1, code 123\n", b"\0\0\0\x10 a message at once"):
        with psutil.Popen(command, stdin=-1, stdout=-1, stderr=-1) as driver:
            _, err = driver.communicate(said, timeout=30)
        assert driver.returncode == 1
        assert b"was called by another muster than" in err
        assert b"Traceback" not in err


@pytest.mark.parametrize(
    ("shell", "told"),
    [
        (
            "echo This account is not available; exit 1; :",
            "No way to the cluster's head: This account is not available",
        ),
        ("echo busy >&2; exit 1; :", "No way to the cluster's head: busy"),
        ("printf '\\0muster\\0wire 1, muster 0.0.1, code 1\\n'; cat > /dev/null; :", "muster 0.0.1.*muster up again"),
    ],
)
def test_an_engine_says_in_words_why_there_is_no_way_to_its_cluster(shell: str, told: str) -> None:
    engine = called("sh", "-c", shell)
    with closing(engine), pytest.raises(EngineError, match=f"(?s){told}"):
        until(lambda: engine.messages() is None)


def test_what_a_login_shell_says_reaches_the_user_once_as_a_note() -> None:
    engine = called("sh", "-c", "echo hi; exec")
    with closing(engine):
        while not (events := wait(engine, 0.05)):
            pass
    assert events[0] == Told("the login shell of the cluster's head prints, which nobody asked it to: hi")


def test_what_is_printed_without_an_end_of_line_is_passed_on_and_not_gathered(
    capsys: pytest.CaptureFixture[str],
) -> None:
    printed = 0

    def has_come() -> bool:
        nonlocal printed
        printed += len(capsys.readouterr().err)
        return printed > 100_000

    with line("yes | tr -d '\\n' | head -c 300000 >&2; exec sleep 1000") as opened:
        until(has_come, 30)
        opened._kill()  # noqa: SLF001 (it says no hello)


HEAD = """
from multiprocessing.connection import Connection
from muster._engines.base import Began, Done, Joined
from muster._engines.on_ray import hello
from muster._engines.on_ray.plain import encode
hello.say(1)
hello.answer(0)
reading, writing = Connection(0, writable=False), Connection(1, readable=False)

def tell(*message):
    writing.send_bytes(encode(message))

tell("opened", 1, "m")
tell("heard", 1, [encode(Joined("1", "m"))])
while (message := reading.recv())[0] != "leave_message":
    pass
answers = [encode(Began(message[2], "1")), encode(Done(message[2], "x", "1"))]
"""


@pytest.mark.parametrize(
    ("end", "why"),
    [
        ("tell('heard', 1, answers)", "The cluster's head is gone"),
        ("tell('heard', 1, [*answers, encode(OSError(28, 'No space left'))])", "workers of machine m .*: OSError"),
        ("tell('heard', 1, [*answers, b'?'])", "says what muster never says"),
        ("tell('heard', 1, answers); tell('gave_up', 'Every machine fails.')", "Every machine fails"),
    ],
)
def test_answers_that_come_with_the_end_of_an_engine_are_heard_before_it(end: str, why: str) -> None:
    engine = called("sh", "-c", f"{shlex.quote(sys.executable)} -c {shlex.quote(HEAD + end)}; :")
    messages: list[Message] = []

    def listen() -> bool:
        messages.extend(engine.messages())
        return bool(engine.slots())

    with closing(engine):
        until(listen)
        engine.submit(7, ("echo", "x"), machine="m")
        engine._line._process.wait(30)  # noqa: SLF001 (so that all it says is there at once)
        with pytest.raises(EngineError, match=f"(?s){why}"):
            until(lambda: listen() and False, 30)
        assert Done(7, "x") in messages
        with pytest.raises(EngineError, match=f"(?s){why}"):  # and nothing but that from now on
            engine.messages()
        assert not engine.slots()
        engine.submit(8, ("echo", "nobody is to read this"), machine="m")
        assert engine.messages() == [Lost(8, "its cluster is gone", began=False)]
        with pytest.raises(EngineError, match=f"(?s){why}"):
            engine.messages()
