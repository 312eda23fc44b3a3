"""What to do about the bad rows of an output, in words: at the end of a run, in its status, report and page."""

import shlex
from collections.abc import Mapping
from typing import Any, Final

from muster._job.remedy import Remedy

from .arguments import in_python

OF_STREAM: Final = "A stream does not do them again: mended, and sent or written to it anew, they are new rows."
"""What becomes of the bad rows of a stream."""


def to_mend(remedy: Remedy | None, bad_rows: int, *, output: str, of_python: bool = False) -> str:
    """Say what to do about bad rows. Without a remedy they are those of a stream."""
    if remedy is None:
        return OF_STREAM
    again = _again(remedy, output, of_python=of_python)
    unread = min(remedy.unread, bad_rows)
    if not unread:
        return f"Mend the function, then {again}"
    those = ("They", "them") if bad_rows > 1 else ("It", "it")
    if unread == bad_rows:
        return (
            f"{those[0]} could not be read, which no retry changes: mend {those[1]} in the input, or say how to read"
            f" {those[1]}, and run the whole again. More: muster help bad-rows"
        )
    return (
        f"{unread:,} of them could not be read: mend {'these' if unread > 1 else 'this one'} in the input"
        f" (muster help bad-rows). For the other {bad_rows - unread:,} mend the function, then {again}"
    )


def to_mend_of(told: Mapping[str, Any]) -> str:
    """Say what to do about the bad rows of a run, by the fields of its result; nothing where none was decided on."""
    remedy = Remedy.of_fields(told.get("remedy"))
    return "" if remedy is None else to_mend(remedy, told["bad_rows"], output=told["output"])


def _again(remedy: Remedy, output: str, *, of_python: bool) -> str:
    if remedy.why_not:
        text = (
            f"type the same command again, with --fresh: muster retry cannot do them alone, as the run {remedy.why_not}"
        )
        return in_python(text) if of_python else text
    if of_python:
        given = [repr(output), remedy.given, in_python(", ".join(remedy.flags))]
        return f"muster.retry({', '.join(filter(None, given))}) does these alone"
    given = [f"FILE.py:{remedy.given}"] if remedy.given else []
    return f"type: {' '.join(['muster retry', shlex.quote(output), *given, *remedy.flags])}"
