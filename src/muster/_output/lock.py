"""One run at a time in a work folder on this computer: who has its lock has it until the run or the process ends."""

import contextlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Final

from muster._files import locks
from muster._files.home import HomeError
from muster._private.files import NotPrivateError, private
from muster.errors import OutputBusyError, UsageError

from .owners import Owner, read_mark

_LONGEST_MARK: Final = 1 << 16
"""A mark is a line of JSON with a host, a process and a command."""

_TRIES: Final = 1000
"""So often may other runs remove the work folder, at their own end, while this one opens it."""


class WorkLock:
    """The lock of the folder where a run to an output works."""

    def __init__(self, folder: Path, *, output: str, home: Path, make: Callable[[], object]) -> None:
        """``make`` makes the folder, or raises ``OSError``."""
        self._folder = folder
        self._output = output
        self._home = home
        self._make = make
        self._path = folder / "lock"
        self._held: int | None = None

    def take(self) -> None:
        """Make and lock the folder. Raises ``UsageError`` where it cannot, ``OutputBusyError`` where it is held."""
        for _ in range(_TRIES):
            self._held = self._try()
            if self._held is not None:
                return
        # As in /proc, where nothing can be made, and nothing says why.
        raise UsageError(
            f"Cannot work in {str(self._folder)!r}: it is not there when it has been made. Choose an output where"
            " you may write."
        )

    def _try(self) -> int | None:
        """Lock the folder; ``None`` when another muster has removed it, at its own end, while this one opened it."""
        self._check_is_of_runs()
        try:
            self._make()
        except HomeError:
            raise
        except NotPrivateError as error:
            raise UsageError(f"Cannot work for {self._output!r}: {error}, or choose another output.") from error
        except OSError as error:
            if isinstance(error, FileNotFoundError) and self._folder.parent.is_dir():
                return None
            raise UsageError(
                f"Cannot work in {str(self._folder)!r}: {error.strerror}. Choose an output where you may write."
            ) from error
        try:
            lock = private(self._path, os.O_RDWR | os.O_CREAT)
        except FileNotFoundError:
            return None
        try:
            self._lock(lock)
            if locks.is_still(self._path, lock):
                os.ftruncate(lock, 0)
                os.pwrite(lock, Owner.me(self._home).as_mark("lock"), 0)
                return lock
        except BaseException:
            os.close(lock)
            raise
        os.close(lock)
        return None

    def _check_is_of_runs(self) -> None:
        """Raise ``UsageError`` for a folder of the user's own that happens to have the name of the run's."""
        names: set[str] = set()
        with contextlib.suppress(OSError):  # it is not there yet, or cannot be ours
            names = {path.name for path in self._folder.iterdir()}
        if names and not names & {self._path.name, "journal.jsonl"}:
            raise UsageError(
                f"{str(self._folder)!r} holds files that muster did not write, and a run to {self._output!r} works in a"
                " folder of that name and removes it at its end. Choose another output, or rename the folder."
            )

    def _lock(self, lock: int) -> None:
        try:
            is_ours = locks.lock(lock)
        except OSError as error:
            if not os.fstat(lock).st_size:  # nobody who had it wrote there
                self.forget_folder()
            raise UsageError(
                f"Cannot lock {str(self._path)!r}: {error.strerror}. Without a lock two runs could write one output,"
                " and this file system gives none. Choose an output on another disk."
            ) from error
        if not is_ours:
            holder = read_mark(os.pread(lock, _LONGEST_MARK, 0), "lock")
            raise OutputBusyError.held(self._output, by=holder[0] if holder else "")

    def release(self) -> None:
        """Let others have it."""
        if self._held is not None:
            os.close(self._held)
            self._held = None

    def forget_folder(self) -> None:
        """Remove a folder that was made for a run that is refused; what an unfinished run left is kept."""
        with contextlib.suppress(OSError):
            if {path.name for path in self._folder.iterdir()} == {self._path.name}:
                self.remove()

    def remove(self) -> None:
        """Remove it, and the folder if nothing else is in it. Raises ``OSError``."""
        self._path.unlink()
        self._folder.rmdir()
