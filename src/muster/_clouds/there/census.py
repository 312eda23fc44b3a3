"""Which machines live on this host, of every cluster of this user: told as JSON. Hosts run it."""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from muster._files import notes

from . import places
from .inspection import ENDED, inspect


def machines() -> Iterator[dict[str, Any]]:
    """Tell of each machine whose agent lives here."""
    for place in sorted(places.all_of_this_host()):
        told = inspect(place)
        if told and ENDED not in told:
            yield {"cluster": place.parent.name.rpartition("@")[0], **_owner(place), **told}


def _owner(place: Path) -> dict[str, str]:
    owner = notes.read(place / "owner")
    return {"owner": owner["who"], "home": owner["home"], "since": owner["since"]} if owner else {}


def main() -> None:
    """Print them."""
    sys.stdout.write(json.dumps({"machines": list(machines())}) + "\n")
