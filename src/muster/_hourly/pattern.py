"""What outputs of ``--since-last`` are called: a pattern, in which the time is filled in."""

import re
import time
from typing import Final

from muster._urls.identity import local

PLACES: Final = {"{date}": ("%Y-%m-%d", "[0-9]" * 4 + "-[0-9][0-9]" * 2), "{time}": ("%Y-%m-%dT%H-%M-%SZ", "[0-9]*Z")}
"""What is put for each, in UTC: no clock that is changed in spring or autumn gives a name twice; and how it looks."""

_DATE: Final = "[0-9]{4}(-[0-9]{2}){2}"
_EXACTLY: Final = {"{date}": _DATE, "{time}": _DATE + "T[0-9]{2}(-[0-9]{2}){2}Z"}
_ENDING: Final = re.compile(r"(/|(\.\w+){0,2})$")


def folder_of(pattern: str) -> str:
    """Tell the folder where all outputs lie, with its slash; empty for the one that the command is typed in."""
    fixed, _, _ = pattern.partition("{")
    return fixed[: fixed.rfind("/") + 1]


def named(pattern: str, *, number: int) -> str:
    """Name an output of now: all but the first have a number."""
    now = time.gmtime()
    for place, (form, _) in PLACES.items():
        pattern = pattern.replace(place, time.strftime(form, now))
    suffix = _ending_of(pattern)
    return pattern if number == 1 else f"{pattern.removesuffix(suffix)}-{number}{suffix}"


def found_again(output: str, *, pattern: str) -> tuple[str, str] | None:
    """Name an output that was named before, maybe from elsewhere, and the folder that it was named in.

    It lies in the pattern's own folder, whatever folder was named. ``None`` for what the pattern does not give.
    """
    for spelled in dict.fromkeys([pattern, local(pattern)]):
        own = folder_of(spelled)
        if known := re.fullmatch(f"((?s:.*/)?)({_looks(spelled.removeprefix(own))})", output):
            return f"{own}{known[2]}", known[1]
    return None


def _looks(name: str) -> str:
    suffix = _ending_of(name)
    parts = re.split("({date}|{time})", name.removesuffix(suffix))
    return "".join(_EXACTLY.get(part) or re.escape(part) for part in parts) + "(-[0-9]+)?" + re.escape(suffix)


def _ending_of(name: str) -> str:
    ending = _ENDING.search(name)
    return ending[0] if ending else ""
