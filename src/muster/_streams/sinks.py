"""Where the rows of a stream go: into a folder of parts, to others, or both. Each gets all rows by itself."""

from collections.abc import Iterator, Sequence
from itertools import chain
from pathlib import Path

from muster._files.whole import sync
from muster._job import SinkLag
from muster._output.folder import WorkFolder
from muster._output.numbered import NumberedParts
from muster._private.files import remove_all, work_folder
from muster._words import plural
from muster.errors import UsageError

from .outbox import WAITING
from .outbox_sink import OutboxSink


class Sinks:
    """What becomes of epochs that are committed. One thread uses it."""

    def __init__(self, work: WorkFolder, sinks: Sequence[OutboxSink], *, has_folder: bool) -> None:
        """Know who gets the parts; nobody is connected to yet."""
        self.parts = NumberedParts(work, has_folder=has_folder, takers=[one.parts for one in sinks])
        self._work = work
        self._sinks = sinks

    # Before it begins

    def check_free(self, *, but_for_own: bool) -> None:
        """Raise ``UsageError`` where a stream begins, and what an earlier one has left could be taken for its own."""
        self.parts.check_free(but_for_own=but_for_own)
        if not but_for_own and any(self._work.outbox.glob(f"*/{WAITING}")):
            raise UsageError(
                f"{str(self._work.outbox)!r} holds rows that were not acknowledged, and the journal of their stream is"
                " not there any more. Restore that; or type the command again with --fresh, which removes these rows"
                " and starts over."
            )

    def remove(self) -> None:
        """Remove what an earlier stream has written, and the rows that it was to send."""
        self.parts.remove()
        remove_all(self._work.outbox)

    def settle(self, *, rows: int) -> None:
        """Have an outbox for each, where a stream of so many rows goes on.

        The outbox of one that has moved to another place goes with it. Raises ``UsageError`` where one has come to the
        stream behind its first rows, or one has left it whose rows wait.
        """
        outbox, wanted = self._work.outbox, [one.parts.called for one in self._sinks]
        there = sorted(path.name for path in outbox.glob("*/"))
        new = [name for name in wanted if name not in there] if rows else []
        left = [name for name in there if name not in wanted]
        if len(new) == len(left) == 1:
            for path in [*self._work.sealed.glob(f"{left[0]}.part-*")]:
                path.replace(path.with_name(new[0] + path.name.removeprefix(left[0])))
            (outbox / left[0]).replace(outbox / new[0])
            sync(outbox)
            return
        if new:
            raise _has_come_late(outbox, new[0], left, rows)
        for name in left:
            if any((outbox / name).glob(WAITING)) or any(self._work.sealed.glob(f"{name}.part-*")):
                raise _is_missed(outbox / name)
            remove_all(outbox / name)
        if wanted:
            work_folder(outbox)
            for name in wanted:
                work_folder(outbox / name)
            sync(outbox)

    # While it goes on

    def open(self, stream: str, *, done: int) -> None:
        """Go on with a stream, of which so many rows are in epochs that are committed. Raises ``EngineError``."""
        for one in self._sinks:
            one.open(stream, done=done)

    def full(self) -> Sequence[str]:
        """Name those who have so much to take that no epoch may begin."""
        return [one.name for one in self._sinks if not one.has_room()]

    def look(self) -> None:
        """Raise what keeps rows from going on."""
        for one in self._sinks:
            one.look()

    def lags(self) -> tuple[SinkLag, ...]:
        """Tell of each which rows are on their way."""
        return tuple(one.lag() for one in self._sinks)

    def remarks(self, *, at_the_end: bool = False) -> Iterator[str]:
        """Say, once, what whoever watches should know; ``at_the_end`` also how far they came."""
        return chain.from_iterable(one.remarks(at_the_end=at_the_end) for one in self._sinks)

    def expect_end(self) -> None:
        """Know that somebody waits for the end from now on."""
        for one in self._sinks:
            one.expect_end()

    def end(self) -> None:
        """Know that no more epochs come."""
        for one in self._sinks:
            one.end()

    def is_moving(self) -> bool:
        """Tell whether rows are on their way that somebody should wait for."""
        return any(one.is_moving() for one in self._sinks)

    def close(self) -> None:
        """Give back what they hold."""
        for one in self._sinks:
            one.close()


def _has_come_late(outbox: Path, name: str, left: Sequence[str], rows: int) -> UsageError:
    moved = (
        f" Or is it one that has moved? Then rename its folder in {str(outbox)!r}, one of {', '.join(left)}, to {name}."
        if left
        else ""
    )
    return UsageError(
        f"{name} is a new output of this stream, and {plural(rows, 'row')} went to the others before, which it would"
        " never get. Leave it out; or give it a stream of its own; or type the command again with --fresh, to start"
        f" over.{moved}"
    )


def _is_missed(outbox: Path) -> UsageError:
    return UsageError(
        f"{str(outbox)!r} holds rows for an output that has not acknowledged them, and that this stream does not have"
        " any more. Name it again, as before; or remove this folder, if nobody is to get these rows."
    )
