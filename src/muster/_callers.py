"""What callers of ``muster.run`` get: errors that name arguments instead of flags, and warnings at their own line."""

import dataclasses
import functools
import inspect
import json
import re
import shlex
import sys
import types
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final, ParamSpec, TypeVar

from muster._bad_rows import to_mend
from muster._job import Result
from muster._private.secrets import harmless
from muster._user_code.origins import is_users
from muster._words import plural
from muster.errors import MusterError, NotRowWiseWarning, RejectedRowsWarning, UserCodeError

P = ParamSpec("P")
T = TypeVar("T")

_HERE: Final = str(Path(__file__).resolve().parent)
_SWITCHES: Final = frozenset({"fresh", "strict", "accept-changes"})
_NAMES: Final = {
    "delimiter": "sep",
    "quote": "quotechar",
    "storage-option": "storage_options",
    "each": "muster.run_each",
    "since-last": "muster.run_since_last",
}
"""Arguments that are not called as their flags are."""

_AGAIN: Final = (
    ("ype the command again with --fresh", "all again with fresh=True", "tT", "cC"),
    ("ype the same command again", "ake the same call again", "tT", "mM"),
    ("ype the command again", "ake the call again", "tT", "mM"),
)
_SECONDS: Final = {"ms": 0.001, "s": 1, "m": 60, "h": 3600}
_FLAG: Final = re.compile(
    r"(?P<command>\bmuster (?:up|down|runs?|status|watch|report|sweep|check|retry|help)\b[^.;:]*)"
    r"|(?<![\w-])--(?P<name>[a-z][a-z-]*[a-z])"
    r"(?: (?P<value>'[^']*=[^']*'|\$?'[^']*'|[^\s,;:=.]+=[^\s;:]*[^\s;:,.]|\d[\d.]*(?:%|(?:ms|s|m|h)?\b)|N\b|csv\b))?"
)
_FIRST: Final = re.compile(r"^--(?P<name>[a-z][a-z-]*[a-z]) (?P<value>[^\s:=]+)(?=:)")
_PLACE: Final = re.compile(r'File "([^"]+)", line (\d+)')
_ARG: Final = re.compile(r"(?<![\w-])--arg (?P<name>\w+)=(?P<value>'[^']*'|\.\.\.|[^\s,;:?]*[^\s,;:?.])?")
_ARGS: Final = re.compile(r"args=\{([^{}]*)\}(?: |, )args=\{")
_LISTED: Final = re.compile(
    r"(?<![\w-])--(?P<name>with|env|parse-dates|na-values)"
    r"(?: (?!was )(?P<value>'[^']*'|[^\s:;,']*[^\s:;,.']))?(?![\w-])"
)


def in_python(text: str, *, quoted: Sequence[str] = ()) -> str:
    """Replace flags by arguments of ``muster.run``: ``--fresh`` becomes ``fresh=True``.

    What is ``quoted`` in the text stays as it is: those are the user's words.
    """
    kept = [words for words in quoted if _in_python(words) != words]
    for at, words in enumerate(kept):
        text = text.replace(words, f"\0{at}\0")
    text = _in_python(text)
    for at, words in enumerate(kept):
        text = text.replace(f"\0{at}\0", words)
    return text


def _in_python(text: str) -> str:
    for typed, called, *cases in _AGAIN:
        for before, after in zip(*cases, strict=True):
            text = text.replace(before + typed, after + called)
    text = _LISTED.sub(_as_list, text)
    text = _FIRST.sub(lambda match: f"{_named(match['name'])}={match['value']!r}", text)
    text = _ARG.sub(lambda match: f"args={{{match['name']!r}: {match['value'] or '...'}}}", text)
    while (joined := _ARGS.sub(r"args={\1, ", text)) != text:  # several are one mapping
        text = joined
    return _FLAG.sub(_spelled, text)


def _named(flag: str) -> str:
    return _NAMES.get(flag, flag.replace("-", "_"))


def _as_list(match: "re.Match[str]") -> str:
    name = {"with": "with_files"}.get(match["name"], match["name"].replace("-", "_"))
    value = match["value"]
    if not value:
        return name
    listed = value[1:-1].split(",") if value.startswith("'") else [value]
    return f"{name}={listed}"


def _spelled(match: "re.Match[str]") -> str:
    if match["command"]:
        return match["command"]
    name, value = _named(match["name"]), match["value"]
    if match["name"] in _SWITCHES:
        return f"{name}=True"
    return name if value is None else f"{name}={_as_value(value)}"


def _as_value(typed: str) -> str:
    """Write a value that would be typed in a shell as Python does."""
    if re.fullmatch(r"\$?'[^'=]*'", typed):
        return typed.removeprefix("$")
    if period := re.fullmatch(r"([0-9.]+)(ms|s|m|h)", typed):
        return f"{float(period[1]) * _SECONDS[period[2]]:g}"
    if "=" in typed:
        pairs = [pair.rpartition("=") for pair in _unquoted(typed).split(",")]
        return str({column: kind for column, _, kind in pairs})
    return typed if typed == "N" or re.fullmatch(r"[0-9.]+", typed) else repr(typed)


def _unquoted(typed: str) -> str:
    try:
        return "".join(shlex.split(typed))
    except ValueError:  # a quote that is a letter of its own
        return typed


def from_the_callers_line(function: Callable[P, T]) -> Callable[P, T]:
    """Have errors of a public function begin at the line that calls it, and speak of arguments.

    Of an interruption, too, the traceback shows the user's own frames alone. A fault of muster keeps all of its frames.
    """

    @functools.wraps(function)
    def called(*args: P.args, **named: P.kwargs) -> T:
        try:
            return function(*args, **named)
        except MusterError as error:
            _dress(error)
            raise  # again: where an error is raised, or passes, Python adds a frame to its traceback, but not here
        except KeyboardInterrupt as stop:
            stop.__traceback__ = _users_frames(stop.__traceback__)
            raise

    return called


def _dress(error: MusterError) -> None:
    """Change an error for a caller in Python: it names arguments, and its traceback has the user's frames alone."""
    error.args = (in_python(str(error), quoted=error.quoted), *error.args[1:])
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
    what = to_mend(rejects, result.bad_rows, again=f"muster.retry({result.output!r}) does these alone")
    warn(
        f"{rows} of {result.rows_in:,} could not be processed, and {'is' if result.bad_rows == 1 else 'are'} not in"
        f" {result.output!r} but in {result.rejects!r}{_first_reason(rejects)}. {what}. strict=True would stop"
        " instead.",
        RejectedRowsWarning,
    )


def of_python(result: Result) -> Result:
    """Have a result name arguments, where it names flags."""
    return dataclasses.replace(result, warnings=tuple(map(in_python, result.warnings)))


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
