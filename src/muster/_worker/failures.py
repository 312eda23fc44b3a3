"""How a call of the user's function failed, and whether two of them failed alike."""

import functools
import re
from bdb import BdbQuit
from types import TracebackType
from typing import Any, Final

from muster._private.secrets import scrubbed
from muster._user_code.origins import is_users, user_traceback
from muster.errors import UserCodeError

_VARIABLE: Final = re.compile(r"""'[^']*'|"[^"]*"|\b[+-]?\d[\w.+-]*""")
"""What differs from row to row in an error: quoted text, and numbers."""

_IS_OF_ONE_VALUE: Final = re.compile(
    r"truth value of (a|an array)\b|can only convert an array of size 1|only (length-1|0-dimensional) arrays can be"
    r"|cannot convert the series to|setting an array element with a sequence"
)
"""What is said where a function that is written for one value gets a column of them."""

_LONGEST: Final = 2000
"""How many letters of an error, or of a line of its traceback, are kept."""

_TRIES: Final = 32
"""Rows of a task that are tried as a sample of all; of a smaller task, every row."""

_TRIES_AT_LEAST: Final = 8
"""Rows that are tried where few would do: whether all fail alike."""

_LENGTH: Final = 200
"""Letters by which two errors count as alike: what follows is often the data."""

_NOBODY_TYPES: Final = ("EOF when reading a line",)
"""What ``input()`` says at the end of standard input, and nothing else does."""


class NoFrameError(TypeError):
    """Raised when a function returns something that is no frame."""

    def __init__(self, result: object, *, verb: str = "returned") -> None:
        """Keep what kind of thing it was."""
        super().__init__(f"the function {verb} {type(result).__name__}, not a DataFrame")
        self.kind = type(result).__name__


def check_frame(result: Any, *, verb: str = "returned") -> None:  # noqa: ANN401 (whatever a function may return)
    """Raise ``NoFrameError`` for what is neither a pandas or Polars frame nor an Arrow table."""
    kind: type = type(result)
    if not _is_of_frames(kind):
        raise NoFrameError(result, verb=verb)


@functools.lru_cache(maxsize=32)  # a group of a few rows takes no longer than this
def _is_of_frames(kind: type) -> bool:
    names = {f"{one.__module__.partition('.')[0]}.{one.__name__}" for one in kind.__mro__}
    return not names.isdisjoint({"pandas.DataFrame", "polars.DataFrame", "pyarrow.Table"})


def said(error: BaseException) -> str:
    """Write an error on one line, or several where its text has them; without what is known to be secret."""
    name = "TypeError" if isinstance(error, NoFrameError) else type(error).__name__
    try:
        return shortened(scrubbed(f"{name}: {error}".removesuffix(": ")))
    except Exception:  # noqa: BLE001 (even an error's own text may raise)
        return name


def shortened(text: str) -> str:
    """Cut a text that nobody would read to its end, such as a page that a service sends with its refusal."""
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}… ({len(text):,} characters)"


def traced(error: BaseException, *, function: object = None) -> str:
    """Show where in the user's code an error was raised; nothing where muster itself objects to a result."""
    if isinstance(error, NoFrameError):
        return ""
    return "\n".join(map(shortened, user_traceback(error, function=function).split("\n")))


def check_needs_no_terminal(step: str, error: BaseException) -> None:
    """Raise ``UserCodeError`` for a function that wants somebody at a terminal: no row is to blame for that."""
    if isinstance(error, BdbQuit):
        what = "stopped in a debugger, which was left or found no terminal: a worker has none"
        else_ = "take the breakpoint out"
    elif isinstance(error, EOFError) and error.args == _NOBODY_TYPES:
        what = "asks with input() for what somebody shall type, and nobody can: a worker has no terminal"
        else_ = "give it what it asks for in another way"
    else:
        return
    raise UserCodeError(
        f"{step!r} {what}. To debug, type the same command with --workers 0, in a terminal; to run it, {else_}.",
        traced(error),
    ) from error


def masked(text: str) -> str:
    """Leave out of an error's text what differs from row to row."""
    return _VARIABLE.sub("…", text)


def sort_of(step: str, error: BaseException) -> tuple[str, ...]:
    """Tell what failures that are alike have in common: step, kind of error, the user's line, text without values."""
    return step, type(error).__qualname__, _line(error.__traceback__), masked(said(error)[:_LENGTH])


def _line(trace: TracebackType | None) -> str:
    """Name the last line of the user's own that a traceback comes through."""
    line = ""
    while trace is not None:
        if is_users(name := trace.tb_frame.f_code.co_filename):
            line = f"{name}:{trace.tb_lineno}"
        trace = trace.tb_next
    return line


def is_of_one_value(error: BaseException) -> bool:
    """Tell whether an error may come of several values where a function is written for one."""
    return isinstance(error, TypeError | ValueError) and _IS_OF_ONE_VALUE.search(said(error)) is not None


def most_tries(error: BaseException, *, bad_rows_left: int) -> int:
    """Tell how many rows to try: few if no row can explain the failure, or if few bad rows already end the run."""
    most = 0 if isinstance(error, NoFrameError) else bad_rows_left + 1
    return min(max(most, _TRIES_AT_LEAST), _TRIES)


def spread(count: int, *, most: int) -> list[int]:
    """Choose evenly spread rows, the first and the last among them."""
    if count <= most:
        return list(range(count))[::-1]
    return [at * (count - 1) // (most - 1) for at in range(most)][::-1]
