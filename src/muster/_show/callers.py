"""What callers of ``muster.run`` get: errors that name arguments instead of flags, and warnings at their own line."""

import dataclasses
import functools
import inspect
import json
import os
import re
import sys
import types
import warnings
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Final, ParamSpec, TypeVar

from muster._job import Result
from muster._job.remedy import Remedy
from muster._private.secrets import harmless
from muster._user_code.origins import is_users
from muster._words import plural
from muster.errors import MusterError, NotRowWiseWarning, RejectedRowsWarning, UserCodeError

from .arguments import in_python
from .mending import to_mend

P = ParamSpec("P")
T = TypeVar("T")

_HERE: Final = str(Path(__file__).resolve().parents[1])
_DEEPEST: Final = 6
"""Levels of what a call was given: a pipeline, its options, one of them, a mapping in it, and what that holds."""
_FLAG_ALONE: Final = re.compile(r"-[\w-]*")
_PLACE: Final = re.compile(r'File "([^"]+)", line (\d+)')


def from_the_callers_line(function: Callable[P, T]) -> Callable[P, T]:
    """Have errors of a public function begin at the line that calls it, and speak of arguments.

    Of an interruption, too, the traceback shows the user's own frames alone. A fault of muster keeps all of its frames.
    """

    @functools.wraps(function)
    def called(*args: P.args, **named: P.kwargs) -> T:
        try:
            return function(*args, **named)
        except MusterError as error:
            _dress(error, words_of((args, named)))
            raise  # again: where an error is raised, or passes, Python adds a frame to its traceback, but not here
        except KeyboardInterrupt as stop:
            stop.__traceback__ = _users_frames(stop.__traceback__)
            raise

    return called


def words_of(given: object) -> frozenset[str]:
    """Collect the texts in what a call was given, such as names of files: a message holds them as they are."""
    words: set[str] = set()
    levels = [given]
    for _ in range(_DEEPEST):
        texts = [
            one if isinstance(one, str) else os.fspath(one) for one in levels if isinstance(one, str | os.PathLike)
        ]
        words.update(text for text in texts if isinstance(text, str) and not _FLAG_ALONE.fullmatch(text))
        levels = [inner for one in levels for inner in _within(one)]
    return frozenset(words | {part for text in words if "/" in text for part in (text.strip("/"), *text.split("/"))})


def _within(value: object) -> Collection[object]:
    if isinstance(value, Mapping):
        return [*value.keys(), *value.values()]
    if isinstance(value, list | tuple | set | frozenset):
        return value
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return [getattr(value, field.name, None) for field in dataclasses.fields(value)]
    return ()


def _dress(error: MusterError, words: Collection[str]) -> None:
    """Change an error for a caller in Python: it names arguments, and its traceback has the user's frames alone.

    The words of the call are the caller's own.
    """
    error.args = (in_python(str(error), quoted=[*error.quoted, *words]), *error.args[1:])
    error.__traceback__ = None
    cause = error.__cause__
    if not _is_harmless(cause or error.__context__):
        error.__context__ = None
    error.__cause__ = _with_users_frames(cause)  # which also hides the context: the message tells of that
    if isinstance(error, UserCodeError) and error.details and error.__cause__ is None:
        note = _by_cells(error.details)
        if note not in getattr(error, "__notes__", ()):
            error.add_note(note)


def _is_harmless(cause: BaseException | None) -> bool:
    """Tell whether neither an exception nor the exceptions behind it show a secret of a URL."""
    while cause is not None:
        if harmless(str(cause)) != str(cause):
            return False
        cause = cause.__cause__ or cause.__context__
    return True


def _with_users_frames(cause: BaseException | None) -> BaseException | None:
    """Keep a cause that was raised in the user's code, with their frames alone; of others the message says enough."""
    if cause is None or not _is_harmless(cause):
        return None
    frames = _users_frames(cause.__traceback__)
    if frames is None:
        return None
    cause.__suppress_context__ = True
    return cause.with_traceback(frames)


def _users_frames(trace: types.TracebackType | None) -> types.TracebackType | None:
    """Keep the user's own frames of a traceback: not muster's, and not those of libraries."""
    own: list[types.TracebackType] = []
    while trace is not None:
        if is_users(trace.tb_frame.f_code.co_filename):
            own.append(trace)
        trace = trace.tb_next
    kept: types.TracebackType | None = None
    for frame in reversed(own):
        kept = types.TracebackType(kept, frame.tb_frame, frame.tb_lasti, frame.tb_lineno)
    return kept


def _by_cells(text: str) -> str:
    """Replace the made-up file names of notebook cells in a traceback by the names that IPython shows."""
    shell = sys.modules["IPython"].get_ipython() if "IPython" in sys.modules else None
    if shell is None:
        return text

    def named(match: "re.Match[str]") -> str:
        name = shell.compile.format_code_name(match[1])
        return f"{' '.join(name)}, line {match[2]}" if name else match[0]

    return _PLACE.sub(named, text)


def warn_of_rejects(result: Result) -> None:
    """Warn where rows are missing in a result."""
    if not result.bad_rows:
        return
    rows = plural(result.bad_rows, "row")
    rejects = result.rejects or ""
    remedy = None if result.epochs else result.remedy or Remedy()
    what = to_mend(remedy, result.bad_rows, output=result.output, of_python=True).removesuffix(".")
    warn(
        f"{rows} of {result.rows_in:,} could not be processed, and {'is' if result.bad_rows == 1 else 'are'} not in"
        f" {result.output!r} but in {result.rejects!r}{_first_reason(rejects)}. {what}. strict=True would stop"
        " instead.",
        RejectedRowsWarning,
    )


def of_python(result: Result) -> Result:
    """Have a result name arguments, where it names flags."""
    own = (result.output, result.rejects or "")
    return dataclasses.replace(result, warnings=tuple(in_python(text, quoted=own) for text in result.warnings))


def warn_of_mixing(text: str) -> None:
    """Warn of a function that seems to mix rows."""
    warn(in_python(text), NotRowWiseWarning)


def _first_reason(rejects: str) -> str:
    try:
        with Path(rejects).open(encoding="utf-8") as lines:
            return f". The first of them: {json.loads(lines.readline())['error']}"
    except (OSError, ValueError, KeyError):  # it may lie elsewhere
        return ""


def warn(text: str, category: type[Warning]) -> None:
    """Warn at the line that called muster."""
    frame, level = inspect.currentframe(), 1
    while frame is not None and frame.f_code.co_filename.startswith(_HERE):
        frame, level = frame.f_back, level + 1
    warnings.warn(text, category, stacklevel=level if frame is not None else 2)
