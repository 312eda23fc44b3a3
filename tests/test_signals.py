"""Signals that come while Arrow reads: none is lost, and none is handled in the middle of it."""

import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from random import Random
from types import FrameType

import pytest

from muster._dialects import Dialect
from muster._formats import csv
from muster._model import Column

TIMES = 300
COLUMNS = (Column("a", fixed="int64"), Column("b", fixed="str"))
RAGGED = b"".join(b"1,x\n2\n3,y,z\n" for _ in range(300))


class CameError(Exception):
    """What the handler raises."""


def came(_signal: int, _frame: FrameType | None) -> None:
    raise CameError


@pytest.fixture(params=[signal.SIGINT, signal.SIGTERM], ids=["SIGINT", "SIGTERM"])
def number(request: pytest.FixtureRequest) -> Iterator[int]:
    before = signal.signal(request.param, came)
    yield request.param
    signal.signal(request.param, before)


def test_no_signal_that_comes_while_a_ragged_file_is_read_is_lost(number: int) -> None:
    main, chance = threading.main_thread().ident or 0, Random(5)  # noqa: S311 (a moment is no secret)
    csv.read(RAGGED, row=0, order=("a", "b"), columns=COLUMNS, dialect=Dialect())  # compiled code loads pandas
    for _ in range(TIMES):
        raised = False
        sender = threading.Timer(chance.random() * 0.001, signal.pthread_kill, (main, number))
        try:
            sender.start()
            while sender.is_alive():
                csv.read(RAGGED, row=0, order=("a", "b"), columns=COLUMNS, dialect=Dialect())
            sender.join()
        except CameError:
            raised = True
        sender.join()
        assert raised


def test_the_handlers_are_those_from_before_when_a_file_was_read(number: int) -> None:
    csv.read(b"1,x\n", row=0, order=("a", "b"), columns=COLUMNS, dialect=Dialect())
    assert signal.getsignal(number) is came


SWALLOWING = """
import os, signal, threading
from muster._process.signals import Terminated, obey
class Swallowing:
    def __del__(self):
        os.kill(os.getpid(), signal.SIGTERM)
        for _ in range(1000):
            pass
obey()
try:
    Swallowing()
    print("swallowed", flush=True)
    threading.Event().wait(60)
except Terminated as asked:
    print("heard of", asked, flush=True)
"""


@pytest.mark.parametrize("other", ["", "os.kill(os.getpid(), signal.SIGHUP)"])
def test_a_signal_whose_exception_is_swallowed_comes_again_and_is_the_one_that_counts(other: str) -> None:
    script = SWALLOWING.replace("    threading.Event", f"    {other}\n    threading.Event")
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=50, check=False)
    assert done.stdout.split("\n")[:2] == ["swallowed", "heard of SIGTERM"]
