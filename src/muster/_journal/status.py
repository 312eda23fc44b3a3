"""What became of a run, in one word, which the terminal, the page and ``muster runs`` have in common."""

from enum import StrEnum
from typing import Final


class State(StrEnum):
    """What became of a run so far. One that is unfinished goes on when its command is typed again."""

    RUNNING = "running"
    UNFINISHED = "unfinished"
    FINISHED = "finished"


_ON_PURPOSE: Final = frozenset({"KeyboardInterrupt", "Terminated"})
"""Raised to stop a run on purpose: by Ctrl-C, or by a signal to end."""


def became_of(error: str) -> str:
    """Name what an error made of a run: it was ``stopped`` on purpose, or it ``failed``."""
    return "stopped" if error in _ON_PURPOSE else "failed"


def status(state: State, *, error: str | None, has_finished: bool) -> str:
    """Say in one word, wherever runs are shown, how a run is: running, finished, stopped, failed or killed.

    ``error`` is what stopped its last attempt, if that is known: one that was killed could not tell.
    """
    if has_finished or state is State.FINISHED:
        return "finished"
    if error is not None:
        return became_of(error)
    return "running" if state is State.RUNNING else "killed"
