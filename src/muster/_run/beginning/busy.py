"""What a run does while another process works on its output: fail, skip, or wait until that is over."""

import time
from collections.abc import Callable, Iterator
from typing import Final, TypeVar

from muster._job import Result
from muster._output.folder import WorkFolder
from muster.errors import OutputBusyError

T = TypeVar("T")

CHOICES: Final = ("fail", "skip", "wait")

_FIRST_PAUSE: Final = 0.05
"""Seconds: runs that meet are often just ending."""

_LONGEST_PAUSE: Final = 1.0
"""Seconds: so late the next run begins behind one that took hours."""

_PAUSES_IN_A_STORE: Final = (1.0, 20.0)
"""Seconds, the first and the longest: each look lists objects there, which is paid for."""


def begin_once_free(begin: Callable[[], T], *, work: WorkFolder, choice: str, tell: Callable[[str], None]) -> T | None:
    """Begin, and have the output; ``None`` where another process has it, and that is to be skipped.

    ``begin`` looks at what there is to do, before the output is taken, and once more after a wait: meanwhile it may
    have changed. ``tell`` hears what is done instead. Raises ``OutputBusyError`` where it is to fail.
    """
    made = begin()
    try:
        work.take()
    except OutputBusyError as error:
        if choice == "fail":
            raise
        tell(f"{'skipped' if choice == 'skip' else 'waits'}. {error.who or error}")
    else:
        return made
    if choice == "skip":
        return None
    _wait_for(work)
    try:
        return begin()
    except BaseException:
        work.leave()
        raise


def _wait_for(work: WorkFolder) -> None:
    """Take the output once nobody else has it, however long that may be."""
    for pause in _pauses(*(_PAUSES_IN_A_STORE if work.is_remote else (_FIRST_PAUSE, _LONGEST_PAUSE))):
        time.sleep(pause)
        try:
            work.take(again=True)
        except OutputBusyError:
            continue
        return


def _pauses(pause: float, longest: float) -> Iterator[float]:
    while True:
        yield pause
        pause = min(2 * pause, longest)


def skipped(output: str) -> Result:
    """Say what a run comes to that was skipped."""
    return Result(
        rows_in=0,
        rows_out=0,
        bad_rows=0,
        parts=0,
        resumed_parts=0,
        workers=0,
        machines=0,
        seconds=0.0,
        rows_per_second=0.0,
        output=output,
        rejects=None,
        cost=0.0,
        skipped=True,
    )
