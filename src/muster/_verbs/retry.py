"""``muster retry``: the bad rows of an output, through the function as it is now."""

import argparse
from typing import Any

from muster._api import retry as retries
from muster._job import Snapshot
from muster._show import terminal
from muster._show.ending import SOME_REJECTED
from muster._user_code import arguments

from . import _flags, _run_flags
from ._parser import Parser
from ._results import print_result
from ._target import be_as_if_run
from .run import page

_SAID = ("workers", "max_bad_rows", "timeout", "calls_per_worker", "cluster", "machines", "on")


def add(verb: Parser) -> None:
    verb.set_defaults(call=call, what_now="What was done is kept: type the same command again to go on.")
    verb.description = (
        "Run the bad rows of an output, which are in OUTPUT.rejects.jsonl, through the function as it is now. What"
        " succeeds takes its place in the output; what fails stays in the rejects, with its new reason. The function"
        " and all options are those of the run that made the output, unless they are given. The input must be the"
        " same."
    )
    verb.epilog = (
        "exit codes: 0 no bad row is left; 1 the data or the function stopped it; 2 the command was wrong, nothing is"
        " to be retried, or what it needs has changed; 3 workers, disk or network failed; 4 some rows are still in the"
        " rejects"
    )
    verb.examples = (
        ("muster retry out.csv", "run the bad rows of out.csv through the function, once you have mended it"),
        ("muster retry out.csv score.py:other --workers 2", "through another function"),
    )
    add = verb.add_argument
    add("output", metavar="OUTPUT", help="the output of an earlier run")
    add("target", metavar="TARGET", nargs="?", help="the function (default: that of the run)")
    _flags.add_arguments(verb)
    add(
        "--input",
        action="append",
        default=[],
        metavar="URL",
        help="an input whose URL has a secret; may be repeated (default: none)",
    )
    _run_flags.add_retried(verb, _run_flags.ROWS)
    _run_flags.add_retried(verb, _run_flags.CLUSTER)
    _flags.add_storage(verb)
    _run_flags.add_retried(verb, _run_flags.SENT)
    _flags.add_watch(verb)
    _flags.add_json(verb)
    _run_flags.add(verb, _run_flags.LAST, names=["--quiet"])


def call(parsed: argparse.Namespace) -> int:
    """Return the exit code."""
    options: Any = {name: value for name in _SAID if (value := getattr(parsed, name)) is not None}
    options |= {name: True for name in ("strict", "fresh", "accept_changes") if getattr(parsed, name)}
    if parsed.env:
        options["env"] = tuple(parsed.env.split(","))
    if parsed.with_files:
        options["with_files"] = tuple(parsed.with_files)
    if parsed.storage_option:
        options["storage_options"] = _flags.storage_options(parsed.storage_option)
    with terminal.show(quiet=parsed.quiet, is_live=parsed.workers != 0) as shown, page(parsed) as with_page:

        def watch(snapshot: Snapshot) -> None:
            parsed.run_id = snapshot.run
            shown.watch(with_page(snapshot))

        done = retries.start(
            parsed.output,
            parsed.target,
            options,
            given=arguments.typed(parsed.arguments) if parsed.arguments else None,
            inputs=parsed.input,
            watch=watch,
            remark=shown.warn,
            printed=shown.printed,
            as_script=be_as_if_run,
        )
        shown.remark(done.summary)
        shown.finish(done.result)
    if parsed.json:
        fields = {**done.result.as_fields(), "retried": done.bad_before, "mended": done.mended}
        print_result(fields, output=done.result.output, after_a_line=parsed.workers != 0)
    return SOME_REJECTED if done.result.bad_rows else 0
