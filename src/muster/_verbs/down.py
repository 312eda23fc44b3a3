"""``muster down``: end a cluster."""

import argparse

from muster._words.near import with_guess
from muster.errors import MusterError, UsageError

from ._failures import raise_any
from ._parser import Parser


def add(verb: Parser) -> None:
    verb.set_defaults(call=call, what_now="Some machines may still live: type the same command again to end them.")
    verb.description = (
        "End a cluster's machines and all that runs on them. A run on it stops, and can be resumed. Nothing of muster's"
        " is left on hosts but the environments that it installed there, in ~/.muster/environments: the next cluster"
        " uses them again, and one that none has used for a month goes when another is made. --purge removes them now."
    )
    verb.examples = (
        ("muster down", "end the cluster called default"),
        ("muster down --all", "end all of yours"),
    )
    verb.add_argument("name", nargs="?", metavar="NAME", help="default: default")
    verb.add_argument("--all", action="store_true", help="end all clusters of this user")
    verb.add_argument(
        "--purge",
        action="store_true",
        help="also remove from its hosts the environments that muster installed there, but for those in use",
    )


def call(parsed: argparse.Namespace) -> int:
    """Return the exit code."""
    from muster._clouds.clusters import names

    failed: dict[str, MusterError] = {}
    is_none = parsed.name is None and not names()  # nothing is left then, whatever was meant
    for name in names() if parsed.all else [parsed.name or "default"]:
        try:
            _end(name, purge=parsed.purge, or_nothing=is_none)
        except MusterError as error:  # the others are ended all the same
            failed[name] = error
    raise_any(failed)
    return 0


def _end(name: str, *, purge: bool, or_nothing: bool) -> None:
    """End a cluster. Raises ``UsageError`` where there is none of that name, unless that is right, too."""
    from muster._clouds.clusters import Cluster, names

    seen = Cluster(name).down(purge=purge)
    if seen is not None:
        print("\n".join([f"{name}: gone", *(f"  {line}" for line in seen)]))
    elif or_nothing:
        print(f"{name}: there is no such cluster. There are: none.")
    else:
        there = names()
        what_now = f"Type muster down {there[0]}, or muster down --all." if there else "There is nothing to end."
        raise UsageError(
            f"There is no cluster {with_guess(name, there, shown=repr(name))}. There are: {', '.join(there) or 'none'}."
            f" {what_now}"
        )
