"""The files that rows are received in: one grows out of sight, and each appears whole once it is full.

Whatever a crash leaves is mended by the next that opens it, as of all ``pieces``; and a full file that has no name yet
gets it.
"""

import contextlib
import os
import time
from collections.abc import Mapping
from pathlib import Path

from muster._files.home import home
from muster._files.whole import put, sync
from muster._output.lock import WorkLock
from muster._output.modes import hand_over
from muster._output.named_file import check_no_planted_link
from muster._private.files import work_folder
from muster.errors import UsageError

from .packing import pack
from .pieces import JOURNAL, ROWS, Pieces, first_line
from .positions import Mark, StreamState
from .rotation import Naming, Rotation


class Received:
    """Rows received for one output. Its methods may be called by one thread at a time, but for ``publish``."""

    def __init__(self, output: str, rotation: Rotation | None = None) -> None:
        """Name the places. Raises ``UsageError`` for an output that rows cannot be received in."""
        self.output = output
        self._path = Path(os.path.realpath(output))
        self.naming = Naming.of(self._path)
        self._rotation = rotation
        self.folder = Path(f"{self._path}.muster")
        self._lock = WorkLock(self.folder, output=output, home=home(), make=lambda: work_folder(self.folder))
        self._pieces: Pieces | None = None

    @property
    def _own(self) -> Pieces:
        assert self._pieces is not None  # noqa: S101 (taken)
        return self._pieces

    @property
    def state(self) -> StreamState:
        """Tell what is safe."""
        return self._own.state

    def take(self) -> None:
        """Lock the output, and mend what an earlier receiver has left.

        Raises ``UsageError`` where it cannot be written or is finished, ``EngineError`` where safe rows are missing.
        """
        self._check()
        self._lock.take()
        try:
            self._check_is_not_of_a_run()
            self._pieces = Pieces(self.folder)
            for piece in list(self.state.closed):
                self.publish(piece)
                self.note_visible(piece)
            self._check_is_not_finished()
            self._pieces.grow()
        except BaseException:
            self.release()
            raise

    def _check(self) -> None:
        check_no_planted_link(self.output)
        if not self._path.parent.is_dir():
            raise UsageError(f"No folder {str(self._path.parent)!r} to write {self.output!r} in. Make it first.")
        if self._path.is_dir():
            raise UsageError(f"{self.output!r} is a folder. Name a file; --rotate makes numbered ones of it.")

    def _check_is_not_of_a_run(self) -> None:
        if (self.folder / "journal.jsonl").exists():
            raise UsageError(
                f"{str(self.folder)!r} holds an unfinished run to {self.output!r}. Finish that with its own command, or"
                " choose another output."
            )

    def _check_is_not_finished(self) -> None:
        """Raise ``UsageError`` where there is an output that rows would replace."""
        if self._rotation is None and self._path.exists():
            if not self.state.size:
                self._remove()
            raise UsageError(
                f"{self.output!r} is there, and rows are not added to a file that is finished. Name another output, or"
                " remove it; with --rotate there are numbered files, and each start goes on with the next."
            )

    def commit(
        self, text: bytes, *, rows: int, marks: Mapping[str, Mark], header: str | None = None, since: float = 0.0
    ) -> None:
        """Keep rows, and how far streams are with them; once this returns, they are safe. Raises ``OSError``."""
        del since  # nobody asks for how long a row waited for the disk
        self._own.commit(text, rows=rows, marks=marks, header=header)

    def has_room(self) -> bool:
        """Tell that the disk alone says how much is taken."""
        return True

    def full_in(self) -> float:
        """Count the seconds after which the file that grows is full; 0 or less if it is."""
        state = self.state
        if self._rotation is None or not state.size:
            return float("inf")
        if state.size >= self._rotation.size:
            return 0.0
        return self._rotation.seconds - abs(time.time() - state.began)

    def close_piece(self, *, may_be_empty: bool = False) -> int | None:
        """Have rows go to the next file from now on; return the number of the full one, which is to be published."""
        piece, state = self.state.piece, self.state
        if not (state.size or may_be_empty):
            return None
        if self._rotation is not None:
            name = self.naming.next(set(state.closed.values()), number=piece)  # also where earlier ones were moved away
        elif self._path.exists():
            raise UsageError(
                f"{self.output!r} is there now, and was not when this began: it is not replaced. Move it away, and type"
                " the same command again: the rows are safe."
            )
        else:
            name = self._path.name
        self._own.begin_next(closed={piece: name})
        return piece

    def publish(self, piece: int) -> str:
        """Make a full file visible, packed where its name says so; return its path. It may be done again."""
        rows, path = self._own.path(piece), self._path.with_name(self.state.closed[piece])
        complete = self.folder / f"{piece:06}.complete" if self.naming.codec else rows
        if rows.exists() and self.naming.codec:
            pack(rows, complete, self.naming.codec)
            sync(complete)
            sync(self.folder)
            rows.unlink()  # before the name is given: somebody may take the file away at once, and it is made once
            sync(self.folder)
        if complete.exists():
            hand_over(complete, instead_of=path)
            put(complete, path)
        return str(Path(self.output).with_name(path.name))

    def note_visible(self, piece: int) -> None:
        """Note that a full file has its name."""
        self._own.note(visible=[piece])

    def finish(self) -> list[str]:
        """Make all rows visible; return the paths of files that became so. Without rotation nothing else is left.

        A stream without rows makes a file, of its header if it has one, only where there is no rotation.
        """
        if self._rotation is None and not self.state.size and self.state.header is not None:
            self.commit(first_line(self.state.header), rows=0, marks={})
        self.close_piece(may_be_empty=self._rotation is None and bool(self.state.streams))
        paths = []
        for piece in list(self.state.closed):
            paths.append(self.publish(piece))
            self.note_visible(piece)
        if self._rotation is None and paths:
            self._remove()
        return paths

    def _remove(self) -> None:
        """Remove the work folder, whose rows are visible. The lock is held until the end."""
        self._close()
        with contextlib.suppress(OSError):
            for path in self.folder.iterdir():
                if path.suffix in {ROWS, ".complete"} or path.name == JOURNAL:
                    path.unlink()
            self._lock.remove()

    def release(self) -> None:
        """Let others receive rows for the output; where nothing came, nothing is left."""
        if self._pieces is not None and self.state == StreamState():
            self._remove()
        self._close()
        self._lock.forget_folder()
        self._lock.release()

    def _close(self) -> None:
        if self._pieces is not None:
            self._pieces.close()
