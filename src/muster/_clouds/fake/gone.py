"""The machines of a cluster whose fake cloud was another process's, which has left it: there is nothing behind them."""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from muster._clouds.base import Access, Census, Renewals, Seen, Wanted, nobody_works
from muster._clouds.plugged import PRETENDED_NOTE
from muster.errors import EngineError, UsageError


class GoneMachines:
    """A cloud that has no machines and makes none; its cluster can be looked at, and forgotten."""

    def __init__(self, on: str, folder: Path) -> None:
        """Know a cluster by its folder, and what its cloud was called."""
        self._folder = folder
        self._why = (
            f"they were pretended, by a test on its cloud {on!r}, which this process does not know: nothing real is"
            f" behind them. Forget them: muster down {folder.name}."
        )

    def last(self) -> Wanted | None:
        """Tell that nothing is wanted."""
        return None

    def check(self, wanted: Wanted) -> None:
        """Refuse whatever is wanted. Raises ``UsageError``."""
        del wanted
        raise UsageError(f"There are no machines of cluster {self._folder.name!r} to go on with: {self._why}")

    def scale(self, wanted: Wanted, *, alone: Callable[[], None] = nobody_works) -> Seen:
        """Refuse whatever is wanted. Raises ``UsageError``."""
        del alone
        self.check(wanted)
        return self.seen()

    def seen(self) -> Seen:
        """Say what has become of them."""
        return Seen(silent={"its machines": self._why})

    def renew(self) -> Renewals:
        """Renew none."""
        return Renewals((), 0.0)

    @contextlib.contextmanager
    def access(self) -> Iterator[Access]:
        """Refuse it. Raises ``EngineError``."""
        raise EngineError(f"Nobody can work on cluster {self._folder.name!r}: {self._why}")
        yield

    def destroy(self) -> Sequence[str]:
        """Forget them."""
        (self._folder / PRETENDED_NOTE).unlink(missing_ok=True)
        return ["its machines were pretended, and are forgotten"]

    def purging(self) -> Callable[[], Sequence[str]]:
        """Have nothing to remove."""
        return list

    def census(self) -> Census:
        """Find none."""
        return Census()
