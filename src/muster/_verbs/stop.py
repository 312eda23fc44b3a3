"""``muster stop``: end a run that goes on, such as a stream."""

import argparse
import os
import signal
import time
from typing import Final

from muster._journal.runs import find, known, process_of
from muster._journal.status import RunState
from muster._process.signals import ignores
from muster._run.beginning.stop_request import StopRequest
from muster.errors import EngineError, UsageError

from ._parser import Parser

_POLL: Final = 0.1
"""Seconds between two looks whether the run has ended: nobody sees that it took so much longer."""

_MOST_NAMED: Final = 5
"""More would hide what is to be typed."""


def add(verb: Parser) -> None:
    verb.set_defaults(call=call)
    verb.description = (
        "End a run that goes on: a stream does first what has come until now. Returns when it has ended. Its command,"
        " typed again, goes on where it was."
    )
    verb.examples = (
        ("muster stop 20261127-141516-a1b2c3d4", "end a stream, by its run; muster runs lists them"),
        ("muster stop --now", "interrupt the newest run, as Ctrl-C in its terminal would"),
    )
    verb.add_argument("run", nargs="?", metavar="RUN", help="default: the newest")
    verb.add_argument("--now", action="store_true", help="interrupt it: what it is about just now is done again later")


def call(parsed: argparse.Namespace) -> int:
    """Return the exit code."""
    run = find(parsed.run)
    if run.state is not RunState.RUNNING:
        going = [one.run for one in known() if one.state is RunState.RUNNING][:_MOST_NAMED]
        cure = f"These go on: {', '.join(going)}. Type for example: muster stop {going[0]}" if going else ""
        raise UsageError(f"{run.run} is not running. {cure or 'muster runs lists the runs, and how each ended.'}")
    pid = process_of(run)
    if pid is None:
        raise EngineError(f"The run {run.run} works on another computer. Type the command there.")
    if parsed.now:
        # A shell that runs a script has what it starts with & ignore SIGINT.
        os.kill(pid, signal.SIGTERM if ignores(pid, signal.SIGINT) else signal.SIGINT)
    elif run.follows():
        StopRequest(run.journal.parent).make()
    else:
        raise UsageError(
            f"{run.run} is no stream: it ends by itself. To interrupt it, add --now; its command, typed again, goes on"
            " where it was."
        )
    while find(run.run).state is RunState.RUNNING:
        time.sleep(_POLL)
    print(f"{run.run}: stopped")
    return 0
