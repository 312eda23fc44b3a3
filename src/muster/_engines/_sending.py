"""Send what goes along to every machine: each chunk once over the line, to all machines that lack it."""

from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from typing import Final

from muster._freight import CHUNK, Freight
from muster._words import plural

_WINDOW: Final = 8
"""How many chunks may be under way: enough for a fast line that is long, and little memory on all ends."""

_WORTH_TELLING: Final = 16 << 20


@dataclass(slots=True)
class _Receiver:
    """A machine that is sent things: what comes next, and how many chunks of each it has said that it has."""

    machine: str
    cargo: int = 0
    chunk: int = 0
    begins: tuple[int, ...] = ()
    under_way: int = 0
    is_asked: bool = False


@dataclass(slots=True)
class Sending:
    """Who lacks what. ``send`` is given messages for the driver, ``tell`` what whoever watches should know."""

    freight: Freight
    send: Callable[[tuple[object, ...]], None]
    tell: Callable[[str], None]
    _receivers: dict[int, _Receiver] = field(default_factory=dict)
    _under_way: dict[tuple[int, int], set[int]] = field(default_factory=dict)
    _told: set[int] = field(default_factory=set)

    def begin(self, number: int, machine: str) -> None:
        """Ask a machine what it has."""
        self._receivers[number] = _Receiver(machine)
        self.send(("expect", number, self.freight.cargos))

    def on_lacks(self, number: int, have: tuple[int, ...]) -> None:
        """Hear how many chunks of each a machine has."""
        receiver = self._receivers[number]
        receiver.begins = have
        receiver.chunk = have[0] if have else 0
        self._skip(receiver)
        self._pump()

    def on_took(self, number: int, cargo: int, chunk: int) -> None:
        """Hear that a chunk has arrived."""
        self._receivers[number].under_way -= 1
        self._arrived(number, (cargo, chunk))
        self._pump()

    def forget(self, number: int) -> None:
        """Send a machine nothing more: it is gone."""
        self._receivers.pop(number, None)
        for place in [place for place, numbers in self._under_way.items() if number in numbers]:
            self._arrived(number, place)
        self._pump()

    def _arrived(self, number: int, place: tuple[int, int]) -> None:
        numbers = self._under_way.get(place, set())
        numbers.discard(number)
        if not numbers:
            self._under_way.pop(place, None)

    def _pump(self) -> None:
        """Send chunks while not too many are under way; those machines first that have most, so that they can begin."""
        while len(self._under_way) < _WINDOW:
            waiting = {
                number: (receiver.cargo, receiver.chunk)
                for number, receiver in self._receivers.items()
                if receiver.begins and receiver.cargo < len(self.freight.cargos)
            }
            if not waiting:
                break
            place = max(waiting.values())
            numbers = [number for number, wanted in waiting.items() if wanted == place]
            if place in self._under_way:  # others have it under way; it comes again for these
                self._under_way[place].update(numbers)
            else:
                self._under_way[place] = set(numbers)
            self._carry(place, numbers)
        for number, receiver in self._receivers.items():
            is_through = receiver.begins and receiver.cargo == len(self.freight.cargos)
            if is_through and not receiver.under_way and not receiver.is_asked:
                receiver.is_asked = True
                self.send(("lay_out", number))

    def _carry(self, place: tuple[int, int], numbers: Collection[int]) -> None:
        cargo, chunk = place
        self._tell_of(cargo, len(numbers))
        self.send(("carry", tuple(numbers), cargo, chunk, self.freight.read(cargo, chunk)))
        for number in numbers:
            receiver = self._receivers[number]
            receiver.under_way += 1
            receiver.chunk += 1
            self._skip(receiver)

    def _skip(self, receiver: _Receiver) -> None:
        """Go on to the next file that a machine lacks something of."""
        cargos = self.freight.cargos
        while receiver.cargo < len(cargos) and receiver.chunk >= len(cargos[receiver.cargo].chunks):
            receiver.cargo += 1
            if receiver.cargo < len(cargos):
                receiver.chunk = receiver.begins[receiver.cargo]

    def _tell_of(self, cargo: int, machines: int) -> None:
        one = self.freight.cargos[cargo]
        if cargo not in self._told and one.size >= _WORTH_TELLING:
            self._told.add(cargo)
            first = min(receiver.begins[cargo] for receiver in self._receivers.values() if receiver.begins)
            left = one.size - first * CHUNK
            self.tell(f"sending {one.name} ({left / 1e6:,.0f} MB) to {plural(machines, 'machine')}")
