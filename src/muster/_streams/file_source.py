"""Files that are followed, as a source of a stream."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

from muster._journal.events import EpochBegan, FilesMoved
from muster._model import Position, Source, Stretch
from muster._words import plural
from muster.errors import EngineError

from .arrivals import Behind
from .epochs import EPOCH_BYTES, Epoch, Intake
from .followed import Followed
from .source import NO_ORIGINS
from .stretches import Text

_STUCK: Final = 60.0
"""Seconds until it is told that something waits which is no whole row: writers that buffer leave half a row often."""


class FileSource:
    """The files that a run follows."""

    turns = 1

    def __init__(self, find: Callable[[], Sequence[Source]], text: Text, spool: Path) -> None:
        """``find`` lists the files that are there; copies of what epochs are made of go to ``spool``."""
        self._find = find
        self._followed = Followed()
        self._intake = Intake(self._followed, text, spool)
        self._spool = spool
        self._uncopied: Sequence[Stretch] = ()
        """What was begun and must be read anew, as its copies are gone."""
        self._limits: dict[tuple[int, int], int] | None = None
        self.seconds = 0.0

    def fileno(self) -> int:
        return -1

    def hold(self, done: Sequence[Position], columns: Sequence[str]) -> None:
        pass  # files are where they are

    def open(self) -> str:
        return ""

    def again(self, begun: EpochBegan) -> Epoch | None:
        epoch = self._intake.again(begun.number, begun.stretches)
        self._uncopied = begun.stretches if epoch is None else ()
        return epoch

    def go_on(self, positions: Sequence[Position]) -> None:
        self._followed.known = [*positions]

    def look(self) -> FilesMoved | None:
        began = time.monotonic()
        self._followed.look(self._find(), now=began)
        self._check_finds_uncopied()
        self.seconds = time.monotonic() - began
        return self._followed.moves()

    def _check_finds_uncopied(self) -> None:
        """Raise ``EngineError`` where rows that were begun are gone, with their copy and with their file."""
        uncopied, self._uncopied = self._uncopied, ()
        there = {place for tail in self._followed.each() for place in (tail.position.file_id, tail.position.path)}
        for stretch in uncopied:
            if stretch.position.file_id not in there and stretch.position.path not in there:
                raise EngineError(
                    f"{stretch.name!r} is not there any more, and of {plural(stretch.rows, 'row')} of it that were"
                    f" about to be done the copy is gone, too: {str(self._spool / stretch.spool)!r}. Restore one;"
                    " or type the command again with --fresh, to start over."
                )

    def take(self, number: int, *, most: int = EPOCH_BYTES) -> Epoch | None:
        return self._intake.take(number, limits=self._limits, most=most)

    def forget(self, epoch: Epoch) -> list[tuple[int, float]]:
        return self._intake.forget(epoch)

    def end(self) -> None:
        """Take no more than the files have now, by device and inode: a name may be of an old one and of a new one."""
        self._limits = {tail.position.file_id: tail.size for tail in self._followed.each()}

    def has_ended(self) -> bool:
        return self._limits is not None

    def settle(self) -> None:
        pass  # files need not be told

    def behind(self) -> Behind:
        return self._intake.behind(time.monotonic())

    def silences(self) -> Mapping[int, float]:
        return NO_ORIGINS

    def remarks(self, *, at_the_end: bool = False) -> Iterator[str]:
        dropped, self._followed.dropped = self._followed.dropped, []
        yield from dropped
        yield from self._intake.left(since=None if at_the_end else time.monotonic() - _STUCK)

    def close(self) -> None:
        self._followed.files.close()
