"""``muster status``: the clusters and their machines."""

import argparse
import dataclasses
import json

from muster._show import tables
from muster.errors import MusterError

from ._answer import tell
from ._failures import raise_any
from ._parser import Parser


def add(verb: Parser) -> None:
    verb.set_defaults(call=call)
    verb.description = "Show machines, workers, memory, disk, what is left of the lease, and versions."
    verb.examples = (("muster status", "show all clusters"), ("muster status big --json", "show one, as JSON"))
    verb.add_argument("name", nargs="?", metavar="NAME", help="default: all clusters")
    verb.add_argument(
        "--json", action="store_true", help="print one JSON array; behind it the error, where a cluster cannot be read"
    )


def call(parsed: argparse.Namespace) -> int:
    """Return the exit code."""
    from muster._clouds.clusters import Cluster, Status, names

    clusters: list[Status] = []
    failed: dict[str, MusterError] = {}
    for name in [parsed.name] if parsed.name else names():
        try:
            clusters.append(Cluster(name).status())
        except MusterError as error:  # the others are shown all the same
            failed[name] = error
    if parsed.json:
        tell(json.dumps([dataclasses.asdict(status) for status in clusters]))
    elif clusters or not failed:
        tell(
            "\n".join(map(tables.machines_in_columns, clusters))
            or "There is no cluster. Make one with muster up --machines N."
        )
    raise_any(failed)
    return 0
