"""The output's folder while a run has it: what it leaves there, and whether anybody can go on with that."""

import contextlib
from collections.abc import Iterator
from typing import Self

from muster._output.folder import WorkFolder
from muster.errors import DataError

from .run import Run


class Holding:
    """A context in which a run has the folder of its output; what is of no use to the next attempt goes with it."""

    def __init__(self, work: WorkFolder) -> None:
        """Hold a folder that was taken; as long as nobody has read what lies there, it stays."""
        self._work = work
        self.is_of_use = True
        """Whether another attempt could go on with what lies there."""

    def check_inputs(self, run: Run, cause: DataError | None = None) -> None:
        """Raise ``DataError`` when an input was written while it was read; the next command then starts over."""
        if name := run.changed_input():
            self.is_of_use = False  # rows of two versions
            raise DataError(
                f"{name!r} has changed while muster read it, so its rows may be of two versions. There is no output."
                " Type the command again when nobody writes to it."
            ) from cause

    @contextlib.contextmanager
    def blaming_changes(self, run: Run) -> Iterator[None]:
        """Say of data that cannot be read, where somebody is writing it just then, that this is why."""
        try:
            yield
        except DataError as error:
            self.check_inputs(run, error)
            raise

    def __enter__(self) -> Self:
        """Use as a context."""
        return self

    def __exit__(self, *_: object) -> None:
        """Leave nothing behind that nobody needs, and let others work on the output."""
        try:
            if not (self.is_of_use or self._work.fault.exists()):
                self._work.remove()
        finally:
            self._work.release()
