"""``muster runs``: the runs of this user."""

import argparse
import json

from muster._journal.summaries import summaries
from muster._show import tables

from ._answer import tell
from ._parser import Parser


def add(verb: Parser) -> None:
    verb.set_defaults(call=call)
    verb.description = (
        "List the runs of this user, newest first: those that go on, those that the same command would resume, and the"
        " last hundred that finished."
    )
    verb.examples = (
        ("muster runs", "list them as a table"),
        ("muster runs --json", "list them as JSON, with their inputs and figures"),
    )
    verb.add_argument("--json", action="store_true", help="print one JSON array")


def call(parsed: argparse.Namespace) -> int:
    """Return the exit code."""
    listed = list(summaries())
    if parsed.json:
        tell(json.dumps(listed))
    else:
        tell(tables.runs_in_columns(listed))
    return 0
