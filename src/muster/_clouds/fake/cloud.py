"""A cloud without machines, so that clusters can be tested in milliseconds."""

import json
import shutil
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from muster._clouds.base import Census
from muster._clouds.plugged import RECORD, plugged_in
from muster.errors import UsageError

from .instance import Clock, Instance
from .machines import FakeMachines
from .region import Region

_PATIENCE_SECONDS: Final = 600.0
"""By the fake's own clock, which nobody waits for."""


@dataclass(slots=True)
class _StillClock:
    seconds: float = 0.0

    def reach(self, seconds: float) -> None:
        self.seconds = max(self.seconds, seconds)


def _at_once(_: int) -> float:
    return 0.0


class FakeCloud:
    """Makes pretended machines, which have a price: they boot, live by their leases, die and fall silent as is said.

    Enter it, and ``on=cloud.name`` names it wherever clusters are made in this process. Three machines that boot for 36
    seconds, at 50 cents an hour::

        from muster.testing import FakeCloud

        with FakeCloud(price=0.5, boots_in=lambda number: 36.0) as cloud:
            muster.run(function, "in.csv", "out.csv", machines=3, on=cloud.name)
        assert cloud.living() == []
        assert round(cloud.dollars(), 4) == 0.015

    Its clock stands still but where a machine boots; ``pass_by`` moves it. Machines are called ``machine 1`` and so on,
    as those of :class:`muster.testing.FakeEngine`; the first of a cluster is its head, with which the others end. The
    workers of a run are not on them: those go on where a machine ends or falls silent, which commands, renewals and the
    end of the run tell of. To have workers die, give ``make_engine`` a :class:`muster.testing.FakeEngine`. When the
    cloud is left, no record of its clusters stays in muster's folder.
    """

    def __init__(  # noqa: PLR0913 (each of which a test may leave out)
        self,
        *,
        name: str = "fake",
        clock: Clock | None = None,
        boots_in: Callable[[int], float | None] = _at_once,
        patience: float = _PATIENCE_SECONDS,
        at_most: int | None = None,
        price: float | None = 0.0,
        make_engine: Callable[[int], Any] | None = None,
    ) -> None:
        """Have no machine yet.

        - ``boots_in`` tells how many seconds a machine takes to boot, given 1 for the first that is ever made, and so
          on; ``None`` if it never does, which is noticed after ``patience`` seconds.
        - ``at_most`` machines live at a time: another one is refused.
        - ``price`` is in dollars an hour, from when a machine is made; ``None`` is one that nobody knows.
        - ``make_engine`` makes the engine of a run on so many workers; without it they are processes of this computer.

        Raises ``UsageError`` for an ``at_most``, a ``price`` or a ``patience`` below 0.
        """
        for given, number in (("at_most", at_most), ("price", price), ("patience", patience)):
            if number is not None and not number >= 0:
                raise UsageError(f"FakeCloud({given}={number!r}): it must be a number, 0 or more.")
        self.name = name
        self.clock = clock or _StillClock()
        self._region = Region(
            name=name,
            clock=self.clock,
            boots_in=boots_in,
            patience=patience,
            at_most=at_most,
            price=price,
            make_engine=make_engine,
        )
        self._plug = ExitStack()

    def __enter__(self) -> Self:
        """Be named by ``on`` from now on."""
        self._plug.enter_context(plugged_in(self.name, self.of))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Be named no more, and leave no record of a cluster. Machines that live go on, for ``living`` to name."""
        self._plug.close()
        for folder in {one.cluster for one in self._region.instances()}:
            if self._has(folder):
                shutil.rmtree(folder, ignore_errors=True)

    def _has(self, folder: Path) -> bool:
        """Tell whether a cluster is on this cloud still: one that was left for another cloud is not."""
        with suppress(OSError, ValueError, KeyError, TypeError):
            return bool(json.loads((folder / RECORD).read_text())["on"] == self.name)
        return False

    def of(self, folder: Path) -> FakeMachines:
        """Make the cloud of the cluster whose folder is given, as for one command."""
        return FakeMachines(self._region, folder)

    # What a test does to it

    def pass_by(self, seconds: float) -> None:
        """Let time pass: machines that nobody renews meanwhile end with their lease."""
        self.clock.reach(self.clock.seconds + seconds)

    def kill(self, name: str) -> None:
        """End a machine at once, as if its plug were pulled."""
        self._named(name).end(self.clock.seconds, "it was killed")

    def interrupt(self, name: str, *, notice: float = 120.0) -> None:
        """Take a machine away after so many seconds; who renews it is told."""
        self._named(name).taken = self.clock.seconds + notice

    def silence(self, name: str) -> None:
        """Have a machine answer nobody, and go on."""
        self._named(name).answers = False

    def mend(self, name: str) -> None:
        """Have it answer again."""
        self._named(name).answers = True

    # What there is

    def living(self) -> list[str]:
        """Name the machines that live, those that still boot and those that do not answer among them."""
        return [one.name for one in self._region.living()]

    def dollars(self) -> float:
        """Tell what all machines have cost by now."""
        return sum(one.dollars(self.clock.seconds) for one in self._region.instances())

    def census(self) -> Census:
        """Tell what the cloud knows of all machines that live."""
        return self._region.census()

    def _named(self, name: str) -> Instance:
        for one in reversed(self._region.living()):
            if one.name == name:
                return one
        raise KeyError(f"No machine of that name lives: {name}. There are: {self.living()}.")
