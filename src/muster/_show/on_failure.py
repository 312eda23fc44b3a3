"""What ``--on-failure`` names: a command for the shell, once muster has ended otherwise than with exit code 0."""

import argparse
import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from typing import Final

from muster._private.secrets import scrubbed, shown
from muster._words import duration, text_of

FLAG: Final = "--on-failure"
_SECONDS: Final = 60.0
"""How long the command may take: it is to tell somebody, and cron's next run must not wait for it."""

_FOREVER: Final = 1e6
"""Seconds: who says more than eleven days means no limit, and timers of a system end somewhere."""

_LONGEST: Final = 32_000
"""Characters of a variable, of four bytes at the most."""

_LIMIT: Final = "MUSTER_ON_FAILURE_SECONDS"
"""The environment variable that says another limit."""


def named_in(words: Sequence[str]) -> str:
    """Find the command in a command line that has not been parsed yet, and may be wrong."""
    found = ""
    for at, word in enumerate(words):
        if word == "--":
            break
        if word == FLAG and at + 1 < len(words):
            found = words[at + 1]
        elif word.startswith(f"{FLAG}="):
            found = word.partition("=")[2]
    return found


def run(command: str, *, code: int, parsed: argparse.Namespace) -> None:
    """Have the shell run it, and say what goes wrong with it: the exit code stays what it is.

    What it prints goes to standard error, as standard output is for what was asked for.
    """
    if not command:
        return
    try:
        with subprocess.Popen(  # noqa: S602 (that is what the user asks for, in their own command)
            command,
            shell=True,
            env={**os.environ, **_facts(code, parsed)},
            stdin=subprocess.DEVNULL,
            stdout=2,
            start_new_session=True,
        ) as process:
            wrong = _waited(process)
    except OSError as error:
        wrong = f"could not be started: {text_of(error)}"
    if wrong:
        print(scrubbed(f"muster: the command of {FLAG} {wrong}."), file=sys.stderr)


def _facts(code: int, parsed: argparse.Namespace) -> dict[str, str]:
    """Say what happened, as environment variables; empty where there is nothing to say."""
    said = {
        "EXIT_CODE": code,
        "KIND": getattr(parsed, "kind", ""),
        "ERROR": getattr(parsed, "error", ""),
        "OUTPUT": shown(getattr(parsed, "output", "") or ""),
        "REJECTS": getattr(parsed, "rejects", "") or "",
        **{name: getattr(parsed, name.lower(), "") for name in ("ROWS_IN", "ROWS_OUT", "BAD_ROWS")},
        "RUN": getattr(parsed, "run_id", ""),
    }
    return {f"MUSTER_{name}": _short(str(value).replace("\0", "")) for name, value in said.items()}


def _short(text: str) -> str:
    """Cut a text: the kernel starts no program with a longer variable than 128 KiB."""
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"


def _waited(process: "subprocess.Popen[bytes]") -> str:
    """Wait for it; say what went wrong, if anything did."""
    limit = _limit()
    try:
        code = process.wait(limit)
    except subprocess.TimeoutExpired:
        _kill(process)
        return f"took longer than {duration(limit)}, and was ended"
    except KeyboardInterrupt:
        _kill(process)
        return "was ended by Ctrl-C"
    return f"failed itself, with exit code {code}" if code else ""


def _limit() -> float:
    with contextlib.suppress(ValueError):
        if 0 < (chosen := float(os.environ.get(_LIMIT, _SECONDS))) < _FOREVER:
            return chosen
    return _SECONDS


def _kill(process: "subprocess.Popen[bytes]") -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
