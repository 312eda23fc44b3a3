"""Clouds that this process alone knows, such as a test's."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from muster.errors import UsageError

from .base import Cloud

LOCAL: Final = "local"
AWS: Final = "aws"
FILES: Final = (".yml", ".yaml")
"""What ``on`` calls the others by, which no other cloud may be called; a file names hosts, or machines of AWS."""

MakeCloud = Callable[[Path], Cloud]
"""Makes the cloud of the cluster whose folder is given."""

PLUGGED: Final[dict[str, MakeCloud]] = {}
"""By the name that ``on`` calls them by."""

PRETENDED_NOTE: Final = "fake.json"
"""What the folder of a cluster of pretended machines holds, and no other: nothing real is behind it."""
RECORD: Final = "cluster.json"
"""What the folder of every cluster holds: which cloud it is on."""
CLAIMED: Final = ("changing", "held")
"""What is locked there. Where there is nothing but these and the record, nothing was made yet."""


@contextmanager
def plugged_in(name: str, make: MakeCloud) -> Iterator[None]:
    """Have ``on=name`` mean this cloud, for as long as the context lasts. Raises ``UsageError`` for a taken name."""
    if name in {LOCAL, AWS} or name in PLUGGED or name.endswith(FILES):
        raise UsageError(f"A cloud of this process cannot be called {name!r}: that names another one. Choose another.")
    PLUGGED[name] = make
    try:
        yield
    finally:
        del PLUGGED[name]
