"""Has Pulumi make the machines of one cluster: at one place after the other, until AWS has room."""

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from threading import Event
from time import monotonic
from typing import TYPE_CHECKING, Final

from muster.errors import EngineError, MusterError

from . import consoles, prices, remains, tools
from .asking import client
from .blueprint import Blueprint, Made, ResourceChanges
from .keys import key_of
from .note import Note, remember
from .placement import Placement
from .refusals import RefusedError, Way
from .renewals import latest_ends, note_renewed
from .rentals import Rental, Rentals
from .states import State, state_in
from .user_data import user_data

if TYPE_CHECKING:
    from .stack import Stack

UP_SECONDS: Final = 600.0
"""How long machines may take to be made, to boot and to be started, all attempts together, unless that is said."""

_END_SECONDS: Final = 600.0
"""How long it may take to end what was made, whenever that is begun."""

_PAUSE_SECONDS: Final = 5.0
"""What is refused for now, as room in a zone, comes back within seconds or not for long."""

_IN_STATE: Final = {"instance", "launch template", "security group", "key pair"}


@dataclass(slots=True)
class Making:
    """The machines of the cluster whose folder this is. ``note`` is on the disk whenever something may be made."""

    folder: Path
    note: Note
    at_least: int | None = None
    deadline: float = field(default_factory=lambda: monotonic() + _END_SECONDS)
    """When Pulumi is asked to end what it is at, on the monotonic clock."""

    @property
    def name(self) -> str:
        """Tell what its resources are called."""
        return f"muster-{self.folder.name}-{self.note.id}"

    def there(self) -> tuple[remains.Remain, ...]:
        """List all that bears the cluster's tag, whoever knows of it."""
        return remains.look(client("ec2", self.note.region), self.note.owner, besides=self.note.mark)

    def living(self) -> Mapping[str, Made]:
        """Look which of those that were made live; where the last step was interrupted, remove what it lost."""
        there = self.there()
        if self.note.is_unsure and there:
            known = self._stack().known()
            lost = [one for one in there if one.kind in _IN_STATE and one.id not in known.ids]
            if failed := remains.remove(client("ec2", self.note.region), lost):
                raise EngineError(_not_removed(failed))
            there = tuple(one for one in there if one not in lost)
        ids = {one.id for one in there}
        return {name: made for name, made in self.note.made.items() if made.instance in ids}

    def booted(self, names: Iterable[str]) -> set[str]:
        """Tell which of these machines say on their console that they are up; none where that may not be read."""
        return consoles.booted(self.note.region, {name: self.note.made[name].instance for name in names})

    def preview(self, names: Sequence[str], place: Placement) -> ResourceChanges:
        """Tell what making these would change."""
        return self._stack().preview(self._blueprint(names, place))

    def make(self, names: Sequence[str], places: Sequence[Placement]) -> None:
        """Have these machines and no others, at the first place that has room for all of them.

        Where none has, and ``at_least`` as many could be had at one, those are kept. Raises ``EngineError``.
        """
        refused = _Refused(self.at_least)
        for place in places:
            while not refused.skips(place):
                try:
                    self._up(names, place)
                except RefusedError as error:
                    if place.says_terminate and place.is_spot and error.is_of_a_combination:
                        place = replace(place, says_terminate=False)  # noqa: PLW2901 (the same one, asked for otherwise)
                        continue
                    refused.take(error, place, self._made_of(names))
                    if refused.is_for_now and monotonic() + _PAUSE_SECONDS < self.deadline:
                        Event().wait(_PAUSE_SECONDS)
                        continue
                    break
                return
        self._make_do(refused)

    def _make_do(self, refused: "_Refused") -> None:
        """Keep the most that could be had, where that will do. Raises ``EngineError``."""
        if refused.most is None:
            raise refused.error()
        names, place = refused.most
        self._up(names, place)

    def _up(self, names: Sequence[str], place: Placement) -> None:
        price = price_at(self.note.region, place).dollars  # asked before: what is made must be noted at once
        self.note = remember(self.folder, self.note.about_to_make(place))
        try:
            made = self._stack().up(self._blueprint(names, place))
        except RefusedError:
            self._note_found()
            raise
        # A machine's first lease begins once it has booted.
        boot = max(UP_SECONDS, self.deadline - monotonic())
        note_renewed(self.folder, [one.instance for one in made.values()], lease=self.note.wanted.lease + boot)
        prices = {
            one.instance: price if (one.type, one.is_spot) == (place.type, place.is_spot) else self._price(one, place)
            for one in made.values()
            if one.instance not in self.note.rentals
        }
        self.note = remember(self.folder, self.note.has_made(made, prices=prices, latest=latest_ends(self.folder)))

    def _price(self, made: Made, place: Placement) -> float | None:
        """Tell the price of one that an earlier attempt has made, of another type or paid otherwise."""
        return price_at(self.note.region, replace(place, type=made.type, is_spot=made.is_spot)).dollars

    def _note_found(self) -> None:
        """Note what costs though the step has failed: the next may replace it."""
        with suppress(MusterError):
            found = [one for one in self.there() if one.is_machine]
            self.note = remember(self.folder, replace(self.note, rentals=with_found(self.note, found)))

    def _made_of(self, names: Iterable[str]) -> list[str]:
        """Tell which of these are there though the last step failed; only asked where that matters."""
        if self.at_least is None:
            return []
        known = self._stack().known().machines
        return [name for name in names if name in known]

    def destroy(self) -> None:
        """Remove all that Pulumi knows of. Raises ``EngineError``."""
        self._stack().destroy()

    def _stack(self) -> "Stack":
        from .command import PulumiCommand  # to load all of Pulumi takes a second, and most commands need none of it
        from .stack import Stack

        left = max(1.0, self.deadline - monotonic())
        command = PulumiCommand(tools.found_command(), seconds=left)
        return Stack(self.folder, self.folder.name, command=command, state=self._state())

    def _state(self) -> State | None:
        return state_in(self.note.settings.state, self.name, self.note.region)

    def forget_state(self) -> str:
        """Remove what Pulumi has known, also outside the cluster's folder; say where that cannot be."""
        try:
            if state := self._state():
                state.remove()
        except EngineError as error:
            return f"Pulumi's state of the cluster, of which nothing else is left, could not be removed: {error}"
        return ""

    def _blueprint(self, names: Sequence[str], place: Placement) -> Blueprint:
        settings, note = self.note.settings, self.note
        return Blueprint(
            name=self.name,
            tags=note.tags(self.folder),
            region=note.region,
            place=place,
            disk=max(settings.disk, place.disk),
            ssh_from=note.ssh_from,
            public_key=key_of(self.folder / "key").public,
            user_data=user_data(
                key_of(self.folder / "host_key").private,
                lease=note.wanted.lease,
                python=settings.python,
                is_spot=place.is_spot,
            ),
            profile=settings.profile,
            machines=tuple(names),
        )


class _Refused:
    """What AWS has refused so far, and what is left to try."""

    def __init__(self, at_least: int | None) -> None:
        self._at_least = at_least
        self._last: RefusedError | None = None
        self._is_over = False
        self._no_spot = False
        self.is_for_now = False
        self.most: tuple[list[str], Placement] | None = None

    def skips(self, place: Placement) -> bool:
        return self._is_over or (self._no_spot and place.is_spot)

    def take(self, error: RefusedError, place: Placement, made: list[str]) -> None:
        self._last = error
        ways = {one.way for one in error.refusals} or {Way.NOTHING}
        self.is_for_now = ways == {Way.LATER}
        self._no_spot = self._no_spot or Way.ON_DEMAND in ways
        self._is_over = bool(ways & {Way.NOTHING, Way.FEWER})
        enough = self._at_least is not None and len(made) >= self._at_least
        if enough and Way.NOTHING not in ways and (self.most is None or len(made) > len(self.most[0])):
            self.most = made, place

    def error(self) -> EngineError:
        return self._last or EngineError("AWS was not asked for machines: there is no place to make them at.")


def price_at(region: str, place: Placement | remains.Remain) -> prices.Price:
    """Tell what a machine costs there, or costs that is there."""
    if place.is_spot:
        return prices.spot(region, place.type, place.zone)
    return prices.on_demand(region, place.type)


def with_found(note: Note, machines: Iterable[remains.Remain]) -> Rentals:
    """Add, to what each machine costs, those that an interrupted command has made: they cost from their launch."""
    lost = [one for one in machines if one.id not in note.rentals]
    asked = {(one.type, one.zone, one.is_spot): one for one in lost}
    priced = {kind: price_at(note.region, one).dollars for kind, one in asked.items()}
    return {
        **note.rentals,
        **{
            one.id: Rental(priced[one.type, one.zone, one.is_spot], datetime.fromisoformat(one.since).timestamp())
            for one in lost
        },
    }


def _not_removed(failed: Mapping[str, str]) -> str:
    told = "\n".join(f"  {name}: {why}" for name, why in failed.items())
    return f"What an interrupted command has made in AWS could not be removed:\n{told}\nMend that, and type it again."
