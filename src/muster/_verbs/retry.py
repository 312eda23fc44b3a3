"""``muster retry``: the bad rows of an output, through the function as it is now."""

import argparse
from typing import Any

from muster import _retry, _show
from muster._job import Snapshot
from muster._user_code import arguments
from muster._verbs import _flags
from muster._verbs._parser import Parser
from muster._verbs._target import be_as_if_run
from muster._verbs.run import SOME_REJECTED, page, print_result

_SAID = ("workers", "max_bad_rows", "timeout", "calls_per_worker", "cluster", "machines", "on")


def add(verb: Parser) -> None:
    """Say what can be typed."""
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
    add(
        "--workers",
        type=int,
        metavar="N",
        help="processes; 0 runs in this one, for a debugger (default: that of the run)",
    )
    add(
        "--max-bad-rows",
        metavar="N|N%",
        help="stop when more rows are bad, of all rows of the output (default: that of the run)",
    )
    add("--strict", action="store_true", help="stop at the first bad row")
    add("--fresh", action="store_true", help="forget an unfinished retry of this output, and start over")
    add("--accept-changes", action="store_true", help="go on with an unfinished retry although code has changed")
    add(
        "--timeout",
        type=_flags.seconds,
        metavar="60s",
        help="how long one call of the function may take (default: that of the run)",
    )
    add(
        "--calls-per-worker",
        type=int,
        metavar="N",
        help="replace a worker by a fresh one after N calls (default: that of the run)",
    )
    add("--cluster", metavar="NAME", help="run on the machines that muster up made (default: that of the run)")
    add(
        "--machines",
        type=int,
        metavar="N",
        help="make a cluster of N machines for this, and end it afterwards (default: that of the run)",
    )
    add("--on", metavar="CLOUD", help="local: this computer; or a YAML file of hosts (default: that of the run)")
    _flags.add_storage(verb)
    add(
        "--env",
        metavar="NAME,...",
        help="environment variables that go to hosts; this computer's machines have all (default: that of the run)",
    )
    add(
        "--with",
        dest="with_files",
        action="append",
        default=[],
        metavar="PATH",
        help="a file that the function reads (default: that of the run)",
    )
    _flags.add_watch(verb)
    _flags.add_json(verb)
    add("--quiet", action="store_true", help="say nothing but errors, and that rows were rejected")


def call(parsed: argparse.Namespace) -> int:
    """Do it; return the exit code."""
    options: Any = {name: value for name in _SAID if (value := getattr(parsed, name)) is not None}
    options |= {name: True for name in ("strict", "fresh", "accept_changes") if getattr(parsed, name)}
    if parsed.env:
        options["env"] = tuple(parsed.env.split(","))
    if parsed.with_files:
        options["with_files"] = tuple(parsed.with_files)
    if parsed.storage_option:
        options["storage_options"] = _flags.storage_options(parsed.storage_option)
    with _show.show(quiet=parsed.quiet, is_live=parsed.workers != 0) as shown, page(parsed) as with_page:

        def watch(snapshot: Snapshot) -> None:
            parsed.run_id = snapshot.run
            shown.watch(with_page(snapshot))

        done = _retry.start(
            parsed.output,
            parsed.target,
            options,
            given=arguments.typed(parsed.arguments) if parsed.arguments else None,
            inputs=parsed.input,
            watch=watch,
            remark=shown.remark,
            printed=shown.printed,
            as_script=be_as_if_run,
        )
        shown.remark(done.summary)
        shown.finish(done.result)
    if parsed.json:
        fields = {**done.result.as_fields(), "retried": done.bad_before, "mended": done.mended}
        print_result(fields, output=done.result.output, after_a_line=parsed.workers != 0)
    return SOME_REJECTED if done.result.bad_rows else 0
