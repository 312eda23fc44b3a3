"""``muster sweep``: what muster has left with a maker of machines, found and removed."""

import argparse
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from muster._show.tables import in_columns
from muster._words import duration, plural
from muster.errors import EngineError

from ._answer import tell
from ._consent import consents
from ._parser import Parser

if TYPE_CHECKING:
    from muster._clouds.aws.leases import Held
    from muster._clouds.aws.prices import Price
    from muster._clouds.aws.sweeping import HeldByRegion, Sweep

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
    add(
        "--owner",
        type=_owner,
        metavar="USER@COMPUTER",
        help="what that one has made, such as you on a computer that had another name (default: you, here)",
    )
    add("--region", action="append", default=[], metavar="REGION", help="only this one; may be repeated (default: all)")
    add("--yes", action="store_true", help="remove without a question")
    add("--json", action="store_true", help="print what was found and removed as one JSON object")
    add("--pause", type=float, help=argparse.SUPPRESS)  # between two looks, for tests


def _owner(text: str) -> str:
    user, _, computer = text.partition("@")
    if not (user.strip() and computer.strip()):
        raise argparse.ArgumentTypeError(f"{text!r} is not USER@COMPUTER; type for example --owner you@laptop")
    return text


def call(parsed: argparse.Namespace) -> int:
    """Return the exit code."""
    from muster._clouds.aws.note import as_tag, owner
    from muster._clouds.aws.remains import LATE_SECONDS
    from muster._clouds.aws.sweeping import Sweep, regions_of
    from muster._clouds.aws.tools import check_installed

    check_installed()
    sweep = Sweep(
        owner() if parsed.owner is None else as_tag(parsed.owner),
        regions_of(parsed.region),
        wants_all=parsed.all,
        with_images=parsed.images,
        pause=LATE_SECONDS if parsed.pause is None else parsed.pause,
    )
    first = sweep.look()
    listed = list(_listed(first))
    if listed and not parsed.json:
        tell(in_columns(_HEADS, *map(_cells, listed)))
    if len(first.unseen) == len(sweep.regions) and not parsed.json:
        raise EngineError(_wrong(sweep, first))
    left, wrong = _removed(sweep, first, yes=parsed.yes), ""
    if left is None:
        left = first
        print("Nothing was removed.", file=sys.stderr)
    else:
        wrong = _wrong(sweep, left)
    if parsed.json:
        tell(json.dumps({"found": listed, **_summary(sweep, left), "error": wrong}))
        return EngineError.exit_code if wrong else 0
    tell(_in_words(sweep, left, found=len(first)))
    if wrong:
        raise EngineError(wrong)
    return 0


def _removed(sweep: "Sweep", first: "HeldByRegion", *, yes: bool) -> "HeldByRegion | None":
    """Remove what is to be removed, once that is agreed to; tell what is left, or ``None`` where it was not."""
    number = _count(first.doomed(wants_all=sweep.wants_all))
    which = "all of it, also what has a living lease" if sweep.wants_all else "what has no living lease"
    if number and not consents(
        f"Remove {number} of {len(first)}: {which}?", yes=yes, else_type="--yes" if sweep.wants_all else ""
    ):
        return None
    print(f"muster: looking twice, {sweep.pause:g} s apart", file=sys.stderr, flush=True)
    return sweep.remove(first)


def _listed(seen: "HeldByRegion") -> Iterator[Mapping[str, Any]]:
    """Tell of each thing; seconds and dollars an hour, and nothing where nobody knows."""
    from muster._clouds.aws.sweeping import price_of

    told: dict[tuple[str, ...], Price | None] = {}
    for region, there in seen.things.items():
        for one in there:
            remain = one.remain
            kind = region, remain.type, remain.zone if remain.is_spot else ""
            if kind not in told:
                told[kind] = price_of(region, one)
            price = told[kind]
            yield {
                "region": region,
                "kind": remain.kind,
                "id": remain.id,
                "cluster": remain.cluster,
                "age": one.age,
                "lease_left": one.left,
                "price": price and price.dollars,
                "price_source": price and price.source,
            }


def _cells(one: Mapping[str, Any]) -> tuple[str, ...]:
    price = "" if one["price_source"] is None else "unknown"
    return (
        *(str(one[name]) for name in ("region", "kind", "id", "cluster")),
        "?" if one["age"] is None else duration(one["age"]),
        duration(one["lease_left"]) if one["lease_left"] else "none",
        price if one["price"] is None else f"${one['price']:,.4g} an hour ({one['price_source']})",
    )


def _summary(sweep: "Sweep", left: "HeldByRegion") -> dict[str, Any]:
    remaining = _count(left.doomed(wants_all=sweep.wants_all))
    return {
        "removed": sorted(sweep.removed),
        "left": remaining,
        "leased": len(left) - remaining,
        "failed": sweep.failed,
        "unseen": left.unseen,
    }


def _in_words(sweep: "Sweep", left: "HeldByRegion", *, found: int) -> str:
    told = _summary(sweep, left)
    regions = plural(len(sweep.regions) - len(left.unseen), "region")
    kept = f"; {told['leased']} with a living lease, which --all removes too" if told["leased"] else ""
    return f"{regions}, of {sweep.owner}: found {found}, removed {len(sweep.removed)}, left {told['left']}{kept}"


def _wrong(sweep: "Sweep", left: "HeldByRegion") -> str:
    """Say what could not be done, and why; empty where all was."""
    remaining = _count(left.doomed(wants_all=sweep.wants_all))
    what = [
        f"{plural(remaining, 'thing')} could not be removed" if remaining else "",
        f"{plural(len(left.unseen), 'region')} could not be looked at" if left.unseen else "",
    ]
    if not any(what):
        return ""
    why = [f"{name}: {text}" for name, text in {**sweep.failed, **left.unseen}.items()]
    said = " and ".join(filter(None, what))
    return "\n".join([f"{said}. Mend what is said below, then type the same command again.", *why])


def _count(things: "Mapping[str, Sequence[Held]]") -> int:
    return sum(map(len, things.values()))
