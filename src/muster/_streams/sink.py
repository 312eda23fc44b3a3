"""Where the rows of a stream go: into a folder of parts, or over TCP."""

from collections.abc import Iterator
from typing import NamedTuple, Protocol

from muster._output.numbered import NumberedParts


class Unacknowledged(NamedTuple):
    """What was sent, or waits to be, and nobody has said that it is safe."""

    rows: int
    seconds: float
    """For how long the oldest have waited, as far as this process has seen."""
    why: str = ""
    """Why they cannot be sent just now; empty where that is not known to be so."""


class EpochSink(Protocol):
    """What becomes of epochs that are committed. One thread uses it."""

    @property
    def parts(self) -> NumberedParts:
        """Name where each epoch puts its part."""

    def open(self, stream: str, *, done: int) -> None:
        """Go on with a stream, of which so many rows are in epochs that are committed. Raises ``EngineError``."""

    def has_room(self) -> bool:
        """Tell whether another epoch may begin."""

    def look(self) -> None:
        """Raise what keeps rows from going on."""

    def unacknowledged(self) -> Unacknowledged | None:
        """Tell which rows are on their way; ``None`` where rows are at their place as soon as they are committed."""

    def remarks(self, *, at_the_end: bool = False) -> Iterator[str]:
        """Say, once, what whoever watches should know; ``at_the_end`` also how far it came."""

    def expect_end(self) -> None:
        """Know that somebody waits for the end from now on."""

    def end(self) -> None:
        """Know that no more epochs come."""

    def is_moving(self) -> bool:
        """Tell whether rows are on their way that somebody should wait for."""

    def close(self) -> None:
        """Give back what it holds."""


class FileSink:
    """Parts in a folder: each is where it goes once its epoch is committed."""

    def __init__(self, parts: NumberedParts) -> None:
        """Know where they go."""
        self.parts = parts

    def open(self, stream: str, *, done: int) -> None:
        """Do nothing: the folder is open."""

    def has_room(self) -> bool:
        """Tell that the disk alone says how much there is."""
        return True

    def look(self) -> None:
        """Do nothing: what fails does so at once."""

    def unacknowledged(self) -> None:
        """Tell that nothing is on its way."""

    def remarks(self, *, at_the_end: bool = False) -> Iterator[str]:
        """Say nothing."""
        del at_the_end
        return iter(())

    def expect_end(self) -> None:
        """Do nothing."""

    def end(self) -> None:
        """Do nothing."""

    def is_moving(self) -> bool:
        """Tell that nothing is on its way."""
        return False

    def close(self) -> None:
        """Do nothing."""
