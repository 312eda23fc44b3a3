"""``muster status``: the clusters and their machines, or how a run stands."""

import argparse
import contextlib
import dataclasses
import json
from collections.abc import Iterator
from typing import Any, Final

from muster._journal.events import UnreadableError
from muster._journal.runs import KnownRun, find, known
from muster._journal.status import RunState
from muster._journal.summaries import summary
from muster._show import tables
from muster.errors import MusterError, UsageError

from ._answer import tell
from ._failures import raise_any
from ._parser import Parser

_DAY: Final = len("20261127")
"""What the id of a run begins with: so a name that does is meant for one."""


def add(verb: Parser) -> None:
    verb.set_defaults(call=call)
    verb.description = (
        "Show machines, workers, memory, disk, what is left of the lease, and versions; or, of a run, how far it is: of"
        " a stream its epochs, what waits and for how long, keys and their states, and rows that no receiver has"
        " acknowledged."
    )
    verb.examples = (
        ("muster status", "show all clusters, and streams that go on"),
        ("muster status big --json", "show one, as JSON"),
        ("muster status 20261127-141516-a1b2c3d4", "show how a stream stands; muster runs lists them"),
    )
    verb.add_argument(
        "name",
        nargs="?",
        metavar="WHICH",
        help="a cluster, or a run (default: all clusters, and streams that go on)",
    )
    verb.add_argument(
        "--json",
        action="store_true",
        help="print JSON: an array of clusters, and behind it the error where one cannot be read; of a run an object",
    )


def call(parsed: argparse.Namespace) -> int:
    """Return the exit code."""
    from muster._clouds.clusters import Cluster, Status, names

    if parsed.name and parsed.name not in names() and (run := _run(parsed.name)) is not None:
        return _of_run(run, as_json=parsed.json)
    clusters: list[Status] = []
    failed: dict[str, MusterError] = {}
    for name in [parsed.name] if parsed.name else names():
        try:
            clusters.append(Cluster(name).status())
        except MusterError as error:  # the others are shown all the same
            failed[name] = error
    if parsed.json:
        tell(json.dumps([dataclasses.asdict(status) for status in clusters]))
    else:
        streams = [] if parsed.name else [tables.run_in_lines(told) for told in _streams()]
        said = [*map(tables.machines_in_columns, clusters), *streams]
        if said or not failed:
            tell("\n".join(said) or "There is no cluster. Make one with muster up --machines N.")
    raise_any(failed)
    return 0


def _run(name: str) -> KnownRun | None:
    """Find the run whose id this is, or begins so. Raises ``UsageError`` where there are several, or none of a day."""
    is_id = name[:_DAY].isdigit() and len(name) >= _DAY
    return find(name) if is_id or any(one.run.startswith(name) for one in known()) else None


def _streams() -> Iterator[dict[str, Any]]:
    """Sum up the streams that go on."""
    for run in known():
        with contextlib.suppress(OSError, UnreadableError):  # one that nobody can read hides no other
            if run.state is RunState.RUNNING and run.follows() and (told := summary(run)) is not None:
                yield told


def _of_run(run: KnownRun, *, as_json: bool) -> int:
    told = summary(run)
    if told is None:
        raise UsageError(f"{run.journal} tells nothing of a run: it is damaged. See all others with muster runs.")
    tell(json.dumps(told) if as_json else tables.run_in_lines(told))
    return 0
