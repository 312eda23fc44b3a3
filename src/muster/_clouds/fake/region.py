"""What a fake cloud has: a clock, all machines that were ever made, and how those that come will be."""

from collections.abc import Callable
from dataclasses import dataclass, field
from math import inf
from pathlib import Path
from typing import Any

from muster._clouds.base import Census, Existing
from muster._words import plural
from muster.errors import EngineError

from .instance import Clock, Instance


@dataclass(slots=True)
class Region:
    """Where the machines of all clusters of one fake cloud are; its fields are the arguments of ``FakeCloud``."""

    name: str
    clock: Clock
    boots_in: Callable[[int], float | None]
    patience: float
    at_most: int | None
    price: float | None
    make_engine: Callable[[int], Any] | None
    _ever_made: list[Instance] = field(default_factory=list)

    def instances(self) -> list[Instance]:
        """List all machines that were ever made, as they are now, heads before those that have joined them."""
        for one in self._ever_made:
            one.see(self.clock.seconds)
        return self._ever_made

    def living(self) -> list[Instance]:
        """List those that live, also those that still boot or do not answer."""
        return [one for one in self.instances() if one.lives]

    def make(self, folder: Path, number: int, *, workers: int, lease: float, head: Instance | None) -> Instance:
        """Make a machine, which boots from now on, and joins a head where there is one.

        Raises ``EngineError`` where there are too many.
        """
        if self.at_most is not None and len(self.living()) >= self.at_most:
            raise EngineError(
                f"There is room for {plural(self.at_most, 'machine')} on {self.name}, and that many live. Ask for"
                " fewer."
            )
        boots_in, now = self.boots_in(len(self._ever_made) + 1), self.clock.seconds
        boots = inf if boots_in is None else now + boots_in
        made = Instance(
            name=f"machine {number}",
            cluster=folder,
            number=number,
            workers=workers,
            price=self.price,
            made=now,
            boots=boots,
            lease=lease,
            renewed=now,
            head=head,
        )
        self._ever_made.append(made)
        return made

    def census(self) -> Census:
        """Tell of all machines that live, of whichever cluster."""
        return Census(tuple(map(self._existing, self.living())))

    def _existing(self, one: Instance) -> Existing:
        cluster, home = one.cluster.name, str(one.cluster.parents[1])
        left = one.ends - self.clock.seconds
        return Existing(one.name, cluster, "", home, lease=one.lease, left=left, price=one.price)
