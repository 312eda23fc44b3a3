"""Clouds that this process alone knows, such as a test's."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from .base import Cloud

MakeCloud = Callable[[Path], Cloud]
"""Makes the cloud of the cluster whose folder is given."""

PLUGGED: Final[dict[str, MakeCloud]] = {}
"""By the name that ``on`` calls them by."""


@contextmanager
def plugged_in(name: str, make: MakeCloud) -> Iterator[None]:
    """Have ``on=name`` mean this cloud, for as long as the context lasts."""
    PLUGGED[name] = make
    try:
        yield
    finally:
        del PLUGGED[name]
