"""What became of a run, in one word, which the terminal, the page and ``muster runs`` have in common."""

from enum import StrEnum


class RunState(StrEnum):
    """What became of a run so far. One that is unfinished goes on when its command is typed again."""

    RUNNING = "running"
    UNFINISHED = "unfinished"
    FINISHED = "finished"


class OnPurpose(StrEnum):
    """What stops a run on purpose, as the journal names it.

    Ctrl-C, a signal to end, ``muster stop``, or a source of which nothing comes any more.
    """

    INTERRUPT = "KeyboardInterrupt"
    SIGNAL = "Terminated"
    STOP = "Drained"
    END = "SourceEnded"


def became_of(error: str) -> str:
    """Name what an error made of a run: it was ``stopped`` on purpose, or it ``failed``."""
    return "stopped" if error in frozenset(OnPurpose) else "failed"


def status(state: RunState, *, error: str | None, has_finished: bool) -> str:
    """Say in one word, wherever runs are shown, how a run is: running, finished, stopped, failed or killed.

    ``error`` is what stopped its last attempt, if that is known: one that was killed could not tell.
    """
    if has_finished or state is RunState.FINISHED:
        return "finished"
    if error is not None:
        return became_of(error)
    return "running" if state is RunState.RUNNING else "killed"
