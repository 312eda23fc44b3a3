"""What epochs are taken off: files that are followed, or rows that come otherwise, and are in a spool."""

from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Final, Protocol

from muster._journal.events import EpochBegan, FilesMoved
from muster._model import Position

from .arrivals import Behind
from .epochs import EPOCH_BYTES, Epoch

NO_ORIGINS: Final[Mapping[int, float]] = MappingProxyType({})
"""What a stream from one source says of several: nothing."""


class EpochSource(Protocol):
    """Rows that come, and are taken in epochs. One thread uses it."""

    seconds: float
    """How long the last look took."""
    turns: int
    """In how many epochs all that has come is taken, where each has rows of one of several sources; else in one."""

    def fileno(self) -> int:
        """Name a descriptor that can be read once there is something to look at; -1 where only a look tells."""

    def hold(self, done: Sequence[Position], columns: Sequence[str]) -> None:
        """Take over what an earlier process has left; nothing comes yet.

        ``columns`` are those of the stream, where any are known. Raises ``EngineError`` where rows behind those that
        are ``done`` are gone, and are nowhere else.
        """

    def open(self) -> str:
        """Let rows come, where somebody sends them; tell what whoever sends them has to know, or nothing."""

    def again(self, begun: EpochBegan) -> Epoch | None:
        """Make the epoch once more that an earlier process had begun; ``None`` where its rows come anew.

        Raises ``EngineError`` where they are nowhere else.
        """

    def go_on(self, positions: Sequence[Position]) -> None:
        """Begin behind what an earlier process had read."""

    def look(self) -> FilesMoved | None:
        """See what has come; tell what the next process must know to find it. Raises ``MusterError``."""

    def take(self, number: int, *, most: int = EPOCH_BYTES) -> Epoch | None:
        """Take what has come as an epoch of about so many bytes at the most; ``None`` where nothing has.

        Those before it may not be done yet. This, and ``forget``, may be called by another thread, while the first one
        calls nothing.
        """

    def forget(self, epoch: Epoch) -> list[tuple[int, float]]:
        """Know that an epoch is done for good, and remove what was kept so that it could be done again.

        Tell since when its rows were there, by the clock of this process: how many came together, and when.
        """

    def end(self) -> None:
        """Let nothing in that comes from now on: what is there once it ``has_ended`` is taken, and is the rest."""

    def has_ended(self) -> bool:
        """Tell whether nothing comes any more, be it that it was asked to end, or that there is nothing else."""

    def settle(self) -> None:
        """Know that the stream ends and all that is done is committed. Raises ``MusterError`` where that goes wrong."""

    def behind(self) -> Behind:
        """Tell what has come and is in no epoch that is done for good."""

    def silences(self) -> Mapping[int, float]:
        """Tell for how many seconds each of several sources has given nothing, though it was asked.

        One that has ended has been silent for ever. Epochs name their source by the same number, its ``origin``.
        """

    def remarks(self, *, at_the_end: bool = False) -> Iterator[str]:
        """Say, once, what whoever watches should know; ``at_the_end`` also what was left that is no whole row."""

    def close(self) -> None:
        """Give back what it holds."""
