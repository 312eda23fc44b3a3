"""What a run does while another process works on its output: fail, skip, or wait until that is over."""

import time
from collections.abc import Callable
from typing import Final, TypeVar

from muster._job import Result
from muster._urls import is_remote
from muster.errors import OutputBusyError

T = TypeVar("T")

CHOICES: Final = ("fail", "skip", "wait")

_SECONDS: Final = 0.2
_SECONDS_IN_A_STORE: Final = 5.0
"""A look at the lock of a store writes to it, lists it and deletes from it, and each of these is paid for."""


def begun(begin: Callable[[], T], *, output: str, choice: str, tell: Callable[[str], None]) -> T | None:
    """Begin once nobody else works on the output; ``None`` where that is to be skipped.

    ``begin`` raises ``OutputBusyError`` as long as somebody does, and so does this where it is to fail. It is called
    again and again while this waits, so that it sees what has changed meanwhile. ``tell`` hears what is done instead.
    """
    is_told = False
    while True:
        try:
            return begin()
        except OutputBusyError as error:
            if choice == "fail":
                raise
            who, _, _ = str(error).partition(". Two runs")
            if choice == "skip":
                tell(f"skipped. {who}")
                return None
            if not is_told:
                tell(f"waits. {who}")
                is_told = True
        time.sleep(_SECONDS_IN_A_STORE if is_remote(output) else _SECONDS)


def skipped(output: str) -> Result:
    """Say what a run comes to that was skipped."""
    return Result(0, 0, 0, 0, 0, 0, 0, 0.0, 0.0, output, None, 0.0, skipped=True)
