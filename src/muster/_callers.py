"""What the caller of ``muster.run`` is told: errors in the words of Python, and warnings at the caller's own line."""

import inspect
import json
import re
import shlex
import warnings
from pathlib import Path
from typing import Final

from muster._job import Result
from muster._unseen import harmless
from muster._words import plural
from muster.errors import MusterError, NotRowWiseWarning, RejectedRowsWarning, UserCodeError

_HERE: Final = str(Path(__file__).resolve().parent)
_SWITCHES: Final = frozenset({"fresh", "strict", "accept-changes"})
_AGAIN: Final = (
    ("type the command again with --fresh", "call again with fresh=True"),
    ("type the same command again", "make the same call again"),
    ("type the command again", "make the call again"),
)
_FLAG: Final = re.compile(
    r"(?P<command>\bmuster (?:up|down|runs|status|watch|report|sweep|check)\b[^.;:]*)"
    r"|(?<![\w-])--(?P<name>[a-z][a-z-]*[a-z])"
    r"(?: (?P<value>'[^']*=[^']*'|[^\s,;:=.]+=[^\s;:]+|\d[\d.]*(?:%|(?:ms|s|m|h)?\b)|N\b))?"
)
_WITH: Final = re.compile(r"(?<![\w-])--with(?: (?P<path>[^\s:;,]*[^\s:;,.]))?(?![\w-])")


def in_python(text: str) -> str:
    """Replace flags by arguments of ``muster.run``: ``--fresh`` becomes ``fresh=True``."""
    for typed, called in _AGAIN:
        text = text.replace(typed, called)
    text = _WITH.sub(lambda match: f"with_files=[{match['path']!r}]" if match["path"] else "with_files", text)
    return _FLAG.sub(_spelled, text)


def _spelled(match: "re.Match[str]") -> str:
    if match["command"]:
        return match["command"]
    name, value = match["name"].replace("-", "_"), match["value"]
    if match["name"] in _SWITCHES:
        return f"{name}=True"
    if value is None:
        return name
    if "=" in value:
        pairs = [pair.rpartition("=") for pair in "".join(shlex.split(value)).split(",")]
        return f"{name}={ {column: kind for column, _, kind in pairs} }"
    return f"{name}={value if value.isalpha() or re.fullmatch(r'[0-9.]+', value) else repr(value)}"


def for_caller(error: MusterError) -> MusterError:
    """Make an error fit for the caller: it names arguments, and its traceback has the user's frames alone."""
    error.args = (in_python(str(error)), *error.args[1:])
    if isinstance(error, UserCodeError) and error.details:
        error.add_note(error.details)
    return error.with_traceback(None)


def cause_of(error: MusterError) -> BaseException | None:
    """Tell what an error came of; nothing where that, or what it came of itself, shows the secrets of a URL."""
    cause = error.__cause__
    while cause is not None:
        if harmless(str(cause)) != str(cause):
            return None
        cause = cause.__cause__ or cause.__context__
    return error.__cause__


def warn_of_rejects(result: Result) -> None:
    """Warn where rows are missing in a result."""
    if not result.bad_rows:
        return
    rows = plural(result.bad_rows, "row")
    warn(
        f"{rows} of {result.rows_in:,} could not be processed, and {'is' if result.bad_rows == 1 else 'are'} not in"
        f" {result.output!r} but in {result.rejects!r}{_first_reason(result.rejects or '')}. strict=True would stop"
        " instead.",
        RejectedRowsWarning,
    )


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
