"""How many requests a machine takes."""

from typing import NamedTuple


class Slots(NamedTuple):
    """How many requests a machine takes now: by idle workers, and ahead of time by busy ones."""

    idle: int
    ahead: int
