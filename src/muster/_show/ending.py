"""How a command ends: what it says, as text and as JSON, and with which exit code."""

import argparse
import contextlib
import json
import sys
import traceback
from collections.abc import Callable
from typing import Final

from muster._files.too_long import refusing_too_long
from muster._private.secrets import scrubbed
from muster._process import stdio
from muster._process.signals import Terminated, settle
from muster._words import bare, named
from muster.errors import EngineError, MusterError, UserCodeError

SOME_REJECTED: Final = 4
"""Finished, but some rows are in the rejects."""

INTERRUPTED: Final = 130
"""128 and the number of SIGINT, as shells say it."""

_BY_SIGNAL: Final = 128
"""What shells add to a signal's number."""

_MUSTERS_OWN: Final = 3
"""The exit code of what is neither the user's fault nor the data's."""


def ended(call: Callable[[], int], *, parsed: argparse.Namespace) -> int:
    """Make the call; say why where it fails, and return the exit code.

    Of ``parsed``, which the call may fill, ``json`` asks for an object, ``run_id`` names the run that there was, and
    ``what_now`` says what to do after an interruption.
    """
    try:
        with refusing_too_long():
            return _noting(call)
    except MusterError as error:
        return _complain(error, parsed)
    except OSError as error:
        return _complain(
            EngineError(
                f"Cannot read or write: {bare(error)}. Make room or mend the access, then type the same command again."
            ),
            parsed,
        )
    except Terminated as asked:
        return _stop(f"Stopped by a signal ({asked})", "terminated", _BY_SIGNAL + asked.number, parsed)
    except KeyboardInterrupt:
        return _stop("Stopped by you (Ctrl-C)", "interrupted", INTERRUPTED, parsed)
    except Exception as error:  # noqa: BLE001 (a fault of muster's own, which keeps its traceback)
        print(scrubbed(traceback.format_exc()), end="", file=sys.stderr)
        text = scrubbed(
            f"{named(error).rstrip('. ')}. This is a fault of muster; please report it, with the traceback above."
        )
        print(f"muster: {text}", file=sys.stderr)
        return _tell(text, "muster", _MUSTERS_OWN, parsed)
    finally:
        settle()


def _noting(call: Callable[[], int]) -> int:
    """Make the call, and say what else went wrong where it fails."""
    try:
        return call()
    except BaseException as error:
        for note in getattr(error, "__notes__", ()):
            print(scrubbed(f"muster: {note}"), file=sys.stderr)
        raise


def _complain(error: MusterError, parsed: argparse.Namespace) -> int:
    if isinstance(error, UserCodeError) and error.details:
        print(error.details, file=sys.stderr)
    print(f"muster: {error}", file=sys.stderr)
    return _tell(str(error), error.kind, error.exit_code, parsed)


def _stop(why: str, kind: str, code: int, parsed: argparse.Namespace) -> int:
    """Say what an interrupted verb has left behind, and what to type next; empty if there is nothing to lose."""
    text = f"{why}. {str(getattr(parsed, 'what_now', '')).format_map(vars(parsed))}".rstrip()
    print(f"\n{text}", file=sys.stderr)
    return _tell(text, kind, code, parsed)


def _tell(text: str, kind: str, code: int, parsed: argparse.Namespace) -> int:
    """Print the one object that was asked for, if one can; keep what happened for ``--on-failure``."""
    parsed.error, parsed.kind = text, kind
    if getattr(parsed, "json", False):
        told = {"error": text, "kind": kind, "exit_code": code, "run": getattr(parsed, "run_id", "") or None}
        after_a_line = getattr(parsed, "workers", None) != 0  # the function may have left one unfinished
        with contextlib.suppress(OSError):
            stdio.say(("" if after_a_line else "\n") + json.dumps(told))
    return code
