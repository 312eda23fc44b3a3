"""``muster sweep``: what muster has left with a maker of machines, found and removed."""

import argparse
import json
import sys
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final

from muster._clouds.owner import me
from muster._tables import in_columns
from muster._words import duration, plural
from muster.errors import EngineError

from ._answer import tell
from ._consent import consents
from ._parser import Parser

if TYPE_CHECKING:
    from muster._clouds.aws.prices import Price
    from muster._clouds.aws.sweeping import Seen, Sweep

_HEADS: Final = ("REGION", "KIND", "ID", "CLUSTER", "AGE", "LEASE LEFT", "PRICE")


def add(verb: Parser) -> None:
    verb.set_defaults(call=call, what_now="Something may be left: type the same command again.")
    verb.description = (
        "Find all that you have ever made on AWS with muster, by its tags alone, in all regions: machines, their disks,"
        " spot requests, launch templates, security groups and keys. Remove what has no living lease. No file of"
        " muster's is needed for that. It looks twice, 30 s apart, before it says that nothing is left, as AWS lists"
        " some things late."
    )
    verb.epilog = (
        "exit codes: 0 nothing is left but what has a living lease, or what you were asked about and kept; 2 the"
        " command was wrong; 3 something could not be looked at or removed"
    )
    verb.examples = (
        ("muster sweep --on aws", "remove what nobody holds a lease on"),
        ("muster sweep --on aws --all --yes", "remove all, also what a run works on, without a question"),
    )
    add = verb.add_argument
    add("--on", required=True, choices=["aws"], metavar="CLOUD", help="aws")
    add("--all", action="store_true", help="also what has a living lease, such as machines that a run works on")
    add("--images", action="store_true", help="also machine images of muster's, and their snapshots")
    add("--region", action="append", default=[], metavar="REGION", help="only this one; may be repeated (default: all)")
    add("--yes", action="store_true", help="remove without a question")
    add("--json", action="store_true", help="print what was found and removed as one JSON object")
    add("--pause", type=float, help=argparse.SUPPRESS)  # between two looks, for tests


def call(parsed: argparse.Namespace) -> int:
    """Return the exit code."""
    from muster._clouds.aws.remains import LATE_SECONDS
    from muster._clouds.aws.sweeping import Sweep, regions_of
    from muster._clouds.aws.tools import check_installed

    check_installed()
    sweep = Sweep(
        me(),
        regions_of(parsed.region),
        wants_all=parsed.all,
        with_images=parsed.images,
        pause=LATE_SECONDS if parsed.pause is None else parsed.pause,
    )
    first = sweep.look()
    rows = list(_rows(first))
    if rows and not parsed.json:
        tell(in_columns(_HEADS, *(row.values() for row in rows)))
    left = _removed(sweep, first, yes=parsed.yes)
    if left is None:
        tell("Nothing was removed.")
        return 0
    _report(sweep, left, rows, parsed)
    return 0


def _removed(sweep: "Sweep", first: "Seen", *, yes: bool) -> "Seen | None":
    """Remove what is to be removed, once that is agreed to; tell what is left, or ``None`` where it was not."""
    number = sum(map(len, first.doomed(wants_all=sweep.wants_all).values()))
    which = "all of it, also what has a living lease" if sweep.wants_all else "what has no living lease"
    if number and not consents(
        f"Remove {number} of {len(first)}: {which}?", yes=yes, else_type="--yes" if sweep.wants_all else ""
    ):
        return None
    print(f"muster: looking twice, {sweep.pause:g} s apart", file=sys.stderr, flush=True)
    return sweep.remove(first)


def _rows(seen: "Seen") -> Iterator[Mapping[str, str]]:
    """Write a row for each thing, in the columns of the heads."""
    from muster._clouds.aws.sweeping import price_of

    told: dict[tuple[str, str, bool], Price | None] = {}
    for region, there in seen.things.items():
        for one in there:
            kind = region, one.remain.type, one.remain.is_spot
            if kind not in told:
                told[kind] = price_of(region, one)
            price = told[kind]
            cells = (
                region,
                one.remain.kind,
                one.remain.id,
                one.remain.cluster,
                "?" if one.age is None else duration(one.age),
                duration(one.left) if one.is_leased else "none",
                "" if price is None else str(price),
            )
            yield dict(zip(_HEADS, cells, strict=True))


def _report(sweep: "Sweep", left: "Seen", rows: list[Mapping[str, str]], parsed: argparse.Namespace) -> None:
    """Say what was removed and what is left. Raises ``EngineError`` where that is not as it should be."""
    remaining = sum(map(len, left.doomed(wants_all=sweep.wants_all).values()))
    kept = len(left) - remaining
    if parsed.json:
        told: dict[str, Any] = {
            "found": [{name.lower().replace(" ", "_"): cell for name, cell in row.items()} for row in rows],
            "removed": sorted(sweep.removed),
            "left": remaining,
            "leased": kept,
            "failed": sweep.failed,
            "unseen": left.unseen,
        }
        tell(json.dumps(told))
    else:
        regions = plural(len(sweep.regions) - len(left.unseen), "region")
        text = f"{regions}: found {len(rows)}, removed {len(sweep.removed)}, left {remaining}"
        tell(text + (f"; {kept} with a living lease, which --all removes too" if kept else ""))
    if remaining or left.unseen:
        raise _unfinished(sweep, left, remaining)


def _unfinished(sweep: "Sweep", left: "Seen", remaining: int) -> EngineError:
    why = [f"{name}: {text}" for name, text in {**sweep.failed, **left.unseen}.items()]
    what = [
        f"{plural(remaining, 'thing')} could not be removed" if remaining else "",
        f"{plural(len(left.unseen), 'region')} could not be looked at" if left.unseen else "",
    ]
    said = " and ".join(filter(None, what))
    return EngineError("\n".join([f"{said}. Mend what is said below, then type the same command again.", *why]))
