"""Machines of this computer that live for as long as tests use them."""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from muster._clouds.base import Wanted
from muster._clouds.local import LocalCloud
from muster._clouds.renewing import renewing

LEASE: Final = 600.0
"""How many seconds machines outlive tests that are killed."""


@contextlib.contextmanager
def living(folder: Path, *, machines: int = 1, workers: int) -> Iterator[LocalCloud]:
    """Keep machines of so many workers each, which may wait for long until the next test that uses them."""
    cloud = LocalCloud(folder)
    try:
        cloud.scale(Wanted(machines, workers, LEASE))
        with renewing(cloud, lease=lambda: LEASE):
            yield cloud
    finally:
        cloud.destroy()
