"""A sweep: all that one user has made with muster on AWS, in every region, found by tags alone; and its removal."""

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from threading import Event
from typing import Final

from muster.errors import EngineError, MusterError

from . import prices
from .asking import Client, asking, check_region, client, region_of
from .leases import Held, held
from .remains import INSTANCE, LATE_SECONDS, look, remove

_AT_A_TIME: Final = 16
"""Regions that are asked side by side: each answers in a second or two."""

_MOST_ROUNDS: Final = 5
"""How often it is looked again after something was removed: AWS lists late, and others may make more meanwhile."""


@dataclass(frozen=True, slots=True)
class HeldByRegion:
    """What there is, by region; and where nobody could look, with why."""

    things: Mapping[str, Sequence[Held]]
    unseen: Mapping[str, str]

    def doomed(self, *, wants_all: bool) -> dict[str, list[Held]]:
        """Choose what is to be removed: what nobody holds a lease on, or all."""
        chosen = {
            region: [one for one in there if wants_all or not one.is_leased] for region, there in self.things.items()
        }
        return {region: there for region, there in chosen.items() if there}

    def __len__(self) -> int:
        """Count all things."""
        return sum(map(len, self.things.values()))


@dataclass(slots=True)
class Sweep:
    """Looks and removes in some regions, as one user."""

    owner: str
    regions: Sequence[str]
    wants_all: bool = False
    """Also what has a living lease."""
    with_images: bool = False
    pause: float = LATE_SECONDS
    """Seconds between two looks, in which AWS lists what it had not listed yet."""
    clock: Callable[[], float] = time.time
    removed: set[str] = field(default_factory=set)
    """Ids of all that was removed so far."""
    failed: dict[str, str] = field(default_factory=dict)
    """Why something could not be removed, by its id."""
    _clients: dict[str, Client] = field(default_factory=dict)
    """By region: making one takes longer than asking it."""

    def look(self) -> HeldByRegion:
        """Look at all regions, side by side."""
        things: dict[str, Sequence[Held]] = {}
        unseen: dict[str, str] = {}
        with ThreadPoolExecutor(_AT_A_TIME) as at_once:
            for region, told in zip(self.regions, at_once.map(self._look_at, self.regions), strict=True):
                if isinstance(told, MusterError):
                    unseen[region] = str(told)
                elif told:
                    things[region] = told
        return HeldByRegion(things, unseen)

    def look_again(self) -> HeldByRegion:
        """Look once more, so long after the last time that AWS lists all that there was then."""
        Event().wait(self.pause)
        return self.look()

    def remove(self, seen: HeldByRegion) -> HeldByRegion:
        """Remove what is doomed until two looks in a row find nothing of it; tell what there is then.

        What could not be removed is in ``failed``; it is tried in each round, as what it was in use by may have gone.
        """
        for _ in range(_MOST_ROUNDS):
            doomed = seen.doomed(wants_all=self.wants_all)
            if doomed:
                self._remove(doomed)
                seen = self.look()
            if not seen.doomed(wants_all=self.wants_all):
                seen = self.look_again()
                if not seen.doomed(wants_all=self.wants_all):
                    break
        return seen

    def _look_at(self, region: str) -> list[Held] | MusterError:
        try:
            found = look(self._client(region), self.owner, with_images=self.with_images)
        except MusterError as error:
            return error
        return held(found, now=self.clock())

    def _client(self, region: str) -> Client:
        if region not in self._clients:
            self._clients[region] = client("ec2", region)
        return self._clients[region]

    def _remove(self, doomed: Mapping[str, Iterable[Held]]) -> None:
        def of_region(region: str) -> tuple[set[str], Mapping[str, str]]:
            remains = [one.remain for one in doomed[region]]
            failed = remove(self._client(region), remains)
            return {one.id for one in remains} - failed.keys(), failed

        self.failed.clear()
        with ThreadPoolExecutor(_AT_A_TIME) as at_once:
            for gone, failed in at_once.map(of_region, doomed):
                self.removed |= gone
                self.failed |= failed


def regions_of(named: Sequence[str]) -> list[str]:
    """List the regions that are named, or all that the account may use. Raises ``MusterError``."""
    if named:
        for one in named:
            check_region(one)
        return list(dict.fromkeys(named))
    with asking():
        told = client("ec2", region_of()).describe_regions()["Regions"]
    regions = sorted(str(one["RegionName"]) for one in told)
    if not regions:
        raise EngineError("AWS names no region that this account may use. Type --region eu-central-1, or another one.")
    return regions


def price_of(region: str, one: Held) -> prices.Price | None:
    """Tell what a machine costs; ``None`` of what is none."""
    if one.remain.kind != INSTANCE:
        return None
    if one.remain.is_spot:
        return prices.spot(region, one.remain.type, one.remain.zone)
    return prices.on_demand(region, one.remain.type)
