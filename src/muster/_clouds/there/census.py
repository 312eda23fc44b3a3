"""Which machines live on this host, of every cluster of this user: told as JSON. Hosts run it."""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from . import host_folders
from .ending import remains
from .inspection import ENDED, inspect


def machines() -> Iterator[dict[str, Any]]:
    """Tell of each machine whose agent lives here, and of what works on where one was: no lease is left of that."""
    for place in sorted(host_folders.all_of_this_host()):
        told = inspect(place)
        if not told or ENDED in told:
            told = {"left": 0.0} if remains(place) else {}
        if told:
            yield {"cluster": place.parent.name.rpartition("@")[0], **_owner(place), **told}


def _owner(place: Path) -> dict[str, str]:
    owner = host_folders.owner_of(place)
    return {} if owner is None else {"owner": owner.who, "home": owner.home, "since": owner.since}


def main() -> None:
    """Print them."""
    sys.stdout.write(json.dumps({"machines": list(machines())}) + "\n")
