"""``muster up``: make a cluster, or another size of it."""

import argparse
import sys

from muster._show import tables

from . import _flags, _rented
from ._parser import Parser


def add(verb: Parser) -> None:
    verb.set_defaults(
        call=call,
        what_now="What was started so far stays until its lease ends: type the same command again to go on, or muster"
        " down {name} to end it.",
    )
    verb.description = (
        "Make a cluster of machines, each a Ray node of its own. Typed again with another number it makes the cluster"
        " larger or smaller, also while a run works on it; what is not said stays as it is. Machines that nobody renews"
        " end by themselves: a run on the cluster renews their lease, and so does --keep."
    )
    verb.examples = (
        ("muster up --machines 2", "make the cluster called default, of two machines on this computer"),
        (
            "muster up big --machines 8 --on hosts.yml --lease 1h",
            "of hosts; it ends after an hour without a run",
        ),
        ("muster up big --machines 3 --on aws --spot", "of spot machines of AWS, which are made for it"),
    )
    verb.add_argument("name", nargs="?", default="default", metavar="NAME", help="default: %(default)s")
    verb.add_argument("--machines", type=int, required=True, metavar="N", help="how many")
    verb.add_argument(
        "--on",
        metavar="CLOUD",
        help="local, which is this computer; aws; or a YAML file of hosts or of what machines of AWS shall be"
        " (default: as it is, or local)",
    )
    verb.add_argument(
        "--workers-per-machine",
        type=int,
        metavar="W",
        help="default: as it is, or the cores of this computer, or of AWS' machine",
    )
    verb.add_argument(
        "--lease",
        type=_flags.seconds,
        metavar="15m",
        help="how long they may live unrenewed (default: as it is, or 15m)",
    )
    _rented.add(verb)
    verb.add_argument("--keep", action="store_true", help="stay, and renew their lease until Ctrl-C")


def call(parsed: argparse.Namespace) -> int:
    """Return the exit code."""
    from muster._clouds.clusters import Cluster

    cluster = Cluster(parsed.name)
    with _rented.asking(parsed, say=_rented.tell, workers=parsed.workers_per_machine):
        status = cluster.up(parsed.machines, workers=parsed.workers_per_machine, lease=parsed.lease, on=parsed.on)
    print(tables.machines_in_columns(status))
    if parsed.keep:
        parsed.what_now = "The machines end with their lease, unless a run renews it: muster down {name} ends them now."
        print("Renewing the lease until Ctrl-C.", flush=True)
        cluster.keep(lambda text: print(f"muster: {text}", file=sys.stderr, flush=True))
    return 0
