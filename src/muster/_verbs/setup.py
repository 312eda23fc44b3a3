"""``muster setup``: what a cloud needs before it can make machines."""

import argparse
import dataclasses
import json
import sys
from typing import TYPE_CHECKING, Final

from muster._words import plural, size
from muster.errors import EngineError, UsageError

from ._answer import tell
from ._consent import consents
from ._parser import Parser

if TYPE_CHECKING:
    from collections.abc import Sequence

    from muster._clouds.aws.readiness import Finding

_MARKS: Final = {"ready": "ok", "missing": "MISSING", "unknown": "?"}


def add(verb: Parser) -> None:
    verb.set_defaults(call=call, what_now="Nothing was made on AWS: type the same command again.")
    verb.description = (
        "Look whether machines can be made on AWS from here: Pulumi's command and its plugin for AWS, region,"
        " credentials, quotas and permissions. Nothing is made and nothing costs anything: AWS is asked whether it"
        " would do what muster needs. --fetch also fetches Pulumi's command and plugin, where they are missing."
    )
    verb.epilog = "exit codes: 0 all is ready; 2 the command was wrong; 3 something is missing"
    verb.examples = (
        ("muster setup aws", "tell what is missing, and what to type"),
        ("muster setup aws --fetch", "fetch Pulumi's command and plugin, after telling their size"),
        ("muster setup aws --policy", "print the permissions that muster needs, as a policy of IAM"),
    )
    add = verb.add_argument
    add("cloud", choices=["aws"], metavar="CLOUD", help="aws")
    add("--region", default="", metavar="REGION", help="such as eu-central-1 (default: that of AWS' own tools)")
    add("--fetch", action="store_true", help="fetch Pulumi's command and its plugin for AWS, which are large")
    add("--yes", action="store_true", help="fetch without a question")
    add("--policy", action="store_true", help="print the smallest policy that muster works with, as JSON")
    add(
        "--pass-role",
        default="",
        metavar="ARN",
        help="with --policy: also let muster give machines this role, by an instance profile (default: none)",
    )
    add(
        "--state",
        type=_place,
        metavar="s3://BUCKET",
        help="look also whether Pulumi's state can lie there, as state: in a file says; with --policy: allow it"
        " (default: it lies in a folder of this computer)",
    )
    add("--json", action="store_true", help="print what was found as one JSON array")


def call(parsed: argparse.Namespace) -> int:
    """Return the exit code."""
    from muster._clouds.aws import tools

    if parsed.pass_role and not parsed.policy:
        raise UsageError("--pass-role is about --policy. Type both, or leave it out.")
    tools.check_installed()
    if parsed.policy:
        return _print_policy(parsed)
    if parsed.fetch:
        _fetch(yes=parsed.yes)
    return _report(parsed)


def _place(text: str) -> str:
    from muster._clouds.aws.buckets import bucket_in

    try:
        bucket_in(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error
    return text


def _print_policy(parsed: argparse.Namespace) -> int:
    from muster._clouds.aws.buckets import bucket_in
    from muster._clouds.aws.permissions import partition_of, policy

    state = bucket_in(parsed.state) if parsed.state else None
    told = policy(partition=partition_of(parsed.region), role=parsed.pass_role, state=state)
    tell(json.dumps(told, indent=2))
    return 0


def _fetch(*, yes: bool) -> None:
    """Fetch what is missing, once its size and place are told."""
    from muster._clouds.aws import tools

    missing = [tool for tool in (tools.command(), tools.plugin()) if tool.path is None]
    for tool in missing:
        print(
            f"{tool.name} {tool.version}: up to {size(tool.size)}, into {str(tool.place)!r}",
            file=sys.stderr,
            flush=True,
        )
    if missing and consents("Fetch it?", yes=yes):
        tools.fetch()


def _report(parsed: argparse.Namespace) -> int:
    """Tell of each thing as soon as it was looked at. Raises ``EngineError`` where something is missing."""
    from muster._clouds.aws.readiness import findings

    found: list[Finding] = []
    for one in findings(parsed.region, parsed.state or ""):
        found.append(one)
        if not parsed.json:
            tell(_line(one))
    missing = [one for one in found if one.state == "missing"]
    if parsed.json:
        tell(json.dumps([dataclasses.asdict(one) for one in found]))
        return EngineError.exit_code if missing else 0
    if missing:
        raise _incomplete(missing)
    return 0


def _incomplete(missing: "Sequence[Finding]") -> EngineError:
    what = plural(len(missing), "thing is", "things are")
    names = ", ".join(one.what for one in missing)
    cures = dict.fromkeys(one.cure for one in missing if one.cure)
    said = " ".join([f"Machines on AWS cannot be made yet: {what} missing ({names}), as told above.", *cures])
    return EngineError(said)


def _line(one: "Finding") -> str:
    return f"{_MARKS[one.state]:8} {one.what:40} {one.said}"
