"""The ledger of one command while it has it: nobody else may write it, and it must be that of this command."""

import contextlib
import dataclasses
import glob
import re
from collections.abc import Iterator

from muster._api.pipeline import Pipeline
from muster._files.home import home
from muster._job import Options
from muster._output.folder import WorkFolder
from muster._urls.identity import local
from muster._urls.urls import filesystem, is_remote
from muster.errors import UsageError

from .ledger import Ledger, place_of
from .pattern import PLACES


class Book:
    """The ledger of a pipeline whose output is a pattern, and the lock on it.

    ``work`` is to be taken before it is ``opened``.
    """

    def __init__(self, pipeline: Pipeline, *, options: Options) -> None:
        self._pipeline = pipeline
        self._options = options
        self.place = place_of(pipeline.output)
        self.work = WorkFolder(self.place, home=home())
        self.ledger = Ledger()

    @contextlib.contextmanager
    def opened(self) -> Iterator[None]:
        """Read the ledger; let others have it at the end. Raises ``UsageError`` for that of another command."""
        try:
            self.ledger = self._read()
            yield
        finally:
            self.work.remove()
            self.work.release()

    def write(self, ledger: Ledger) -> None:
        """Have this be the ledger from now on; it is on the disk when this returns."""
        if self.work.shelf is not None:
            self.work.shelf.lock.check()  # in a store, where another may have taken the lock of one that was silent
        self.ledger = ledger
        ledger.write(self.place, by_way_of=self.work.unused("complete"))

    def _read(self) -> Ledger:
        ledger = Ledger.read(self.place)
        if ledger is None and not self._options.fresh and (there := self._outputs()):
            raise UsageError(
                f"{there[0]!r} is there, but not {self.place!r}, which would say which files are in it. Restore that;"
                " or choose another folder for the outputs; or type the command again with --fresh, and every file"
                " counts as new."
            )
        own = self._own()
        if ledger is None:
            return Ledger(of=own)
        if ledger.of not in {own, ()} and not self._options.accept_changes:
            raise self._of_another(ledger.of, own)
        here = ledger.within(self._pipeline.output, place=self.place)
        if ledger.of != own:
            here = dataclasses.replace(here, of=own)
            self.write(here)
        return here

    def _of_another(self, other: tuple[str, ...], own: tuple[str, ...]) -> UsageError:
        if other[0] != own[0]:
            return UsageError(
                f"{self.place!r} says what went into outputs named {other[0]!r}, and yours are named {own[0]!r}."
                " Choose another name or folder for them."
            )
        return UsageError(
            f"{self.place!r} says which files {' | '.join(other[1:])} has done, and this command is of"
            f" {' | '.join(own[1:])}. Choose another name or folder for the outputs; or, if it is the same function"
            " under another name, type the command once with --accept-changes."
        )

    def _own(self) -> tuple[str, ...]:
        """Tell one command from another: by how outputs are called, and by the names of functions."""
        pattern = local(self._pipeline.output)
        folder = self.place.rpartition("/")[0]
        return (pattern.removeprefix(folder).lstrip("/"), *(step.name for step in self._pipeline.steps))

    def _outputs(self) -> list[str]:
        """List outputs of this pattern."""
        pattern = local(self._pipeline.output).rstrip("/")
        parts = re.split("({date}|{time})", pattern)
        looks = "".join(PLACES[part][1] if part in PLACES else glob.escape(part) for part in parts)
        if not is_remote(pattern):
            return sorted(glob.glob(looks))  # noqa: PTH207 (an absolute pattern, too)
        files, path = filesystem(looks)
        return sorted(map(str, files.glob(path)))
