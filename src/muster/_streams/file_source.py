"""Files that are followed, as a source of a stream."""

import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Final

from muster._journal.events import EpochBegan, FilesMoved
from muster._model import Position, Source

from .epochs import Epoch, Intake
from .followed import Followed
from .stretches import Text

_STUCK: Final = 60.0
"""Seconds until it is told that something waits which is no whole row: writers that buffer leave half a row often."""


class FileSource:
    """The files that a run follows."""

    def __init__(self, find: Callable[[], Sequence[Source]], text: Text, spool: Path) -> None:
        """``find`` lists the files that are there; copies of what epochs are made of go to ``spool``."""
        self._find = find
        self._followed = Followed()
        self._intake = Intake(self._followed, text, spool)
        self._limits: dict[tuple[int, int], int] | None = None
        self.seconds = 0.0

    def fileno(self) -> int:
        return -1

    def open(self, done: Sequence[Position]) -> str:
        del done
        return ""

    def again(self, begun: EpochBegan) -> Epoch | None:
        return self._intake.again(begun.number, begun.stretches)

    def go_on(self, positions: Sequence[Position]) -> None:
        self._followed.known = [*positions]

    def look(self) -> FilesMoved | None:
        began = time.monotonic()
        self._followed.look(self._find(), now=began)
        self.seconds = time.monotonic() - began
        return self._followed.moves()

    def take(self, number: int) -> Epoch | None:
        return self._intake.take(number, limits=self._limits)

    def forget(self, epoch: Epoch) -> None:
        self._intake.forget(epoch)

    def end(self) -> None:
        """Take no more than the files have now, by device and inode: a name may be of an old one and of a new one."""
        self._limits = {tail.position.file_id: tail.size for tail in self._followed.each()}

    def behind(self) -> tuple[int, float]:
        return self._followed.behind(time.monotonic())

    def remarks(self, *, at_the_end: bool = False) -> Iterator[str]:
        dropped, self._followed.dropped = self._followed.dropped, []
        yield from dropped
        yield from self._intake.left(since=None if at_the_end else time.monotonic() - _STUCK)

    def close(self) -> None:
        self._followed.files.close()
