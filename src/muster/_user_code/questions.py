"""What workers are asked about the user's functions, before the first task."""

import contextlib
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from muster._model import DataFile, Global, Target
from muster._process.limit import TimeLimit
from muster.errors import UserCodeError

from . import edits
from .described import Described, described
from .loading import find, load, used


class Describe(NamedTuple):
    """Ask a worker what the steps are called, and what their rows depend on."""

    steps: tuple[Target, ...]
    timeout: float | None = None
    """Seconds that loading them may take."""
    state: tuple[Global, ...] = ()
    builds: bool = True
    """Whether classes are built, too."""

    def answer(self) -> list[Described]:
        """Load them. Raises as ``load`` does."""
        if (here := used()) is not None:
            here.have(self.state)
        with _loading(self.steps, self.timeout):
            return describe(self.steps, builds=self.builds)


class Build(NamedTuple):
    """Ask a worker to build the steps, so that their first calls find them built."""

    steps: tuple[Target, ...]
    timeout: float | None = None
    state: tuple[Global, ...] = ()

    def answer(self) -> tuple[DataFile, ...]:
        """Build them; list the files of the user's code that are loaded now. Raises as ``load`` does."""
        if (here := used()) is not None:
            here.have(self.state)
        with _loading(self.steps, self.timeout):
            for step in self.steps:
                load(step)
        return edits.code_files()


class BuildBriefed(NamedTuple):
    """Ask a worker to build the steps of its briefing, so that its first rows need not wait for that."""

    def answer(self) -> tuple[DataFile, ...]:
        """Build none: who has no briefing does not know them."""
        return ()


@contextlib.contextmanager
def _loading(steps: Sequence[Target], seconds: float | None) -> Iterator[None]:
    """Load steps for so many seconds at most. Raises ``UserCodeError`` when that is over."""
    try:
        with TimeLimit(seconds):
            yield
    except TimeoutError as error:
        names = ", ".join(repr(step.name) for step in steps)
        raise UserCodeError(
            f"Loading {names} was stopped: {error}, which is for that, too. Allow more with --timeout, or do less when"
            " the file is imported and the class is built, then type the same command again."
        ) from error


def describe(targets: Iterable[Target], *, builds: bool = True) -> list[Described]:
    """Import every step and say what its rows depend on. Raises as ``load`` does.

    Classes are built only where globals are here as the caller has set them: else the run sets them first.
    """
    steps = [described(target, find(target)) for target in targets]
    if builds and not any(step.set_there for step in steps):
        for target in targets:
            load(target)
    files = edits.code_files()
    return [step._replace(files=files) for step in steps]
