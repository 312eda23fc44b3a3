"""Answer requests on the machines of a Ray cluster, by the workers of a station on each, one request ahead.

Ray lives in a process of its own, the driver: it takes a second to load, holds the memory of a small job, and ends the
process that it lives in when the cluster's head dies. So muster's own process stays small and outlives all that.
"""

import contextlib
import functools
import os
import pickle
import selectors
import shlex
import sys
import time
import typing
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any, Final

from muster._engines.base import Failed, Lost, Message, NobodyLeftError, Told, UnreadError, wait
from muster._engines.bell import Bell
from muster._engines.frames import GarbledError
from muster._engines.prints import Print, to_standard_error
from muster._model import Slots
from muster._user_code.world import World
from muster._words import named
from muster.errors import EngineError

from .couplings import REFUSED
from .driver_pipe import DriverPipe
from .freight import Freight
from .hello import SilenceError, StrangerError
from .keeping import Needing, Unsupplied
from .nouns import fits
from .plain import decode
from .sending import Sending
from .station import Ended, MakeStation, Printed
from .station_proxy import StationProxy
from .vigil import Vigil

_END_SECONDS: Final = 8.0
"""How long machines may take to end their workers: longer than each gives them, for the way there and back."""

_MOST_SECONDS: Final = 0.2
"""How long messages are taken in one go: while files are sent there is always another."""

_VERBS: Final = (
    *("refused", "opened", "lacks", "took", "laid_out", "cannot_take", "heard", "closed", "told"),
    *("gave_up", "nobody_left", "lives"),
)
"""What the driver may tell, each with a method of the engine that hears it."""

_MOST_UNREAD: Final = 3
"""How often others may find that they cannot read from a machine, before that is put aside."""

_NONE: Final = Slots(0, 0)
_DRIVER: Final = "muster._engines.on_ray.driver"
_HERE: Final = f"import sys; sys.path[:] = sys.argv[1:]; from {_DRIVER} import main; main()"


class RayEngine:
    """An engine of Ray nodes. Machines may join and leave while it works; a worker that dies is replaced."""

    def __init__(  # noqa: PLR0913 (what it takes to reach a cluster)
        self,
        make_engine: MakeStation,
        *,
        address: str,
        environment: Mapping[str, str],
        python: str = sys.executable,
        through: Sequence[str] = (),
        world: World,
        name: str = "",
        printed: Print = to_standard_error,
        vigil: Vigil | None = None,
    ) -> None:
        """Connect; this returns before any worker is ready.

        ``make_engine``, carried by name, makes the engine of one machine, given its number of workers. ``environment``
        is what Ray needs to connect, its token among it. ``through`` is a command whose last word, a line of shell,
        runs what is written behind it on a host from which Ray can be reached; ``python`` is the interpreter there.
        Workers are in the ``world``, and where that has a folder they share this computer's files. ``name`` is the
        cluster's. The ``vigil`` counts for how long machines are silent that are not ready.
        """
        self._briefing: bytes | None = None
        self._stations: dict[int, StationProxy] = {}
        self._sending: Sending | None = None
        self._drained: set[str] = set()
        self._unread: dict[int, str] = {}
        """Stations that keep files which another could not read there, and their machines."""
        self._have_met = False
        self._remarks: list[Message] = []
        self._has_heard = False
        self._end: EngineError | None = None
        """Why nothing more will come, once that is so."""
        self._name = name
        self._print = printed
        self._vigil = vigil or Vigil()
        command = [python, "-P", "-m", _DRIVER]
        if through:
            settings = [f"{name}={value}" for name, value in environment.items()]
            command = [*through[:-1], f"{through[-1]} {shlex.join(['env', *settings, *command])}"]
        elif world.folder:
            command = [python, "-P", "-c", _HERE, *sys.path]
        self._line = DriverPipe(command, {**os.environ, **({} if through else environment)}, fatal=REFUSED)
        self._bell = Bell()
        self._ears = selectors.DefaultSelector()
        for ear in (self._line, self._bell):
            self._ears.register(ear, selectors.EVENT_READ)
        self._line.send((address, pickle.dumps(make_engine), world))

    def slots(self) -> Mapping[str, Slots]:
        """Count the workers that are ready and idle, and those that can take a request ahead; none after the end."""
        slots: dict[str, Slots] = {}
        if self._end is not None:
            return slots
        for station in self._stations.values():
            if not station.is_draining:
                idle, ahead = slots.get(station.machine, _NONE)
                slots[station.machine] = Slots(idle + station.idle, ahead + station.ahead)
        return slots

    def brief(self, briefing: bytes) -> None:
        """Brief every worker, and each new one before its first request."""
        self._briefing = briefing
        for number, station in self._stations.items():
            if station.has_all:
                self._send(("leave_message", number, None, briefing))

    def stock(self, freight: Freight) -> None:
        """Send files to every machine, also those yet to come; none is briefed before it has them."""
        self._sending = Sending(freight, self._send, self._remark)
        for number, station in self._stations.items():
            self._begin_sending(number, station)

    def _begin_sending(self, number: int, station: StationProxy) -> None:
        self._vigil.hear(number)
        if self._sending is not None:
            station.has_all = False
            self._sending.begin(number)

    def submit(
        self, ticket: int, request: object, *, machine: str, lane: int | None = None, fresh: bool = False
    ) -> None:
        """Hand a request to the station of a machine.

        Once the end is known nobody is sent anything: the driver may be gone, or be a stranger.
        """
        if self._end is not None:
            self._say(Lost(ticket, "its cluster is gone", began=False, lane=lane))
            return
        if (number := self.station_on(machine, lane)) is None:
            self._say(Lost(ticket, "its machine is gone", began=False, lane=lane))
            return
        if isinstance(request, Needing) and not self._have_met:
            self._have_met = True
            self._send(("introduce",))
        data = self._stations[number].take(ticket, request, lane=lane, fresh=fresh)
        self._send(("leave_message", number, ticket, data))

    def station_on(self, machine: str, lane: int | None = None) -> int | None:
        """Tell which station of a machine gets the next request: where there are two, the one with the most room."""
        there = {at: one for at, one in self._stations.items() if one.machine == machine and not one.is_draining}
        rooms = {at: (lane in one.lanes, one.has_all, one.idle, one.ahead) for at, one in there.items()}
        return max(rooms, key=rooms.__getitem__, default=None)

    # What stays on machines

    def station_of(self, ticket: int) -> int | None:
        """Tell the number of the station that has a request; ``None`` where nobody has it."""
        return next((number for number, one in self._stations.items() if ticket in one.tickets), None)

    @property
    def keepers(self) -> Collection[int]:
        """Give the numbers of the stations whose files can be read, as far as is known."""
        return self._stations.keys() - self._unread.keys()

    def forget(self, station: int, names: Sequence[str]) -> None:
        """Have a station remove files that it keeps."""
        self._send(("forget", station, tuple(names)))

    def cancel(self, ticket: int) -> None:
        """Have the station cancel a request that has it."""
        for number, station in self._stations.items():
            if ticket in station.tickets:
                self._send(("leave_message", number, ticket, None))

    def drain(self, machine: str) -> None:
        """Have a machine's workers leave when they have done what they hold; no station is opened there again."""
        self._drained.add(machine)
        self._send(("drain", machine))
        for number, station in self._stations.items():
            if station.machine == machine and not station.is_draining:
                station.is_draining = True
                self._send(("leave_message", number, None, None))
                self._close_if_over(station)

    def _close_if_over(self, station: StationProxy) -> None:
        if station.is_over:
            self._send(("put_aside", station.machine))

    def fileno(self) -> int:
        """Name the descriptor that can be read when ``messages`` has something."""
        return self._ears.fileno()

    def messages(self) -> list[Message]:
        """Collect what the driver tells. Raises ``EngineError`` when the cluster is gone, or never was there.

        What was told before it ended comes first: an answer that is thrown away would be worked out once more.
        """
        if self._end is not None:
            if remarks := self._taken_remarks():
                return remarks
            raise self._end
        messages: list[Message] = []
        enough = time.monotonic() + _MOST_SECONDS
        self._vigil.listen()
        try:
            while (said := self._received()) is not None:
                self._vigil.hear_driver()
                messages.extend(self._understood(said))  # which keeps what came before an error
                self._has_heard = True
                if time.monotonic() > enough:
                    break
            else:  # only then is it known that nobody has said more
                messages.extend(self._roused())
        except EngineError as error:
            self._end = error
            self._bell.ring()
        messages = [*self._noise(), *messages, *self._taken_remarks()]
        if self._end is not None and not messages:
            raise self._end
        return messages

    def _send(self, message: tuple[object, ...]) -> None:
        """Tell the driver, unless it is gone or a stranger: then it is not to see a row, or a line of code."""
        if self._end is None:
            self._line.send(message)

    def _received(self) -> Any:  # noqa: ANN401 (plain data)
        """Take one message; ``None`` where there is none. Raises ``EngineError`` where none of ours will come."""
        try:
            return self._line.receive()
        except EOFError as error:
            raise self._gone() from error
        except GarbledError as error:
            raise _not_ours("The cluster's head", error) from error
        except SilenceError as error:
            raise EngineError(
                f"The cluster's head was called, and muster does not answer there: {error}. Its login shell may wait"
                " for something, or go elsewhere: does a plain command end at once there (ssh HOST true)? Mend what the"
                " shell reads when it starts, then type the same command again."
            ) from error
        except StrangerError as error:
            raise EngineError(
                f"The cluster's head has {error}. Type muster up again with as many machines, which brings them what is"
                " here, then the same command."
            ) from error

    def _taken_remarks(self) -> list[Message]:
        remarks, self._remarks = self._remarks, []
        self._bell.ring_for(self._end)
        return remarks

    def _remark(self, text: str) -> None:
        self._say(Told(text))

    def _say(self, message: Message) -> None:
        self._remarks.append(message)
        self._bell.ring()

    def _understood(self, message: Any) -> Iterator[Message]:  # noqa: ANN401 (plain data)
        """Do what the driver tells. Raises ``EngineError`` where it tells what none of ours does."""
        verb, told = (message[0], message[1:]) if isinstance(message, tuple) and message else (None, ())
        if verb not in _VERBS or not fits(told, _arguments(verb)):
            raise _not_ours("The cluster's head", f"it tells {str(message)[:100]}")
        try:
            yield from getattr(self, f"_on_{verb}")(*told)
        except GarbledError as error:
            raise _not_ours("The cluster's head", error) from error

    def _noise(self) -> list[Message]:
        noise = self._line.take_noise()
        return (
            [Told(f"the login shell of the cluster's head prints, which nobody asked it to: {noise}")] if noise else []
        )

    def _gone(self) -> EngineError:
        said = self._line.last_words() or "its driver ended"
        if self._line.is_fatal and not self._has_heard:
            return self._refused()
        if not self._has_heard:
            return EngineError(
                f"No way to the cluster's head: {said}. Is it up, and can it be reached? Look with muster status, then"
                " type the same command again."
            )
        return EngineError(
            "The cluster's head is gone, or the way to it, and with it the way to all workers. What was done is kept:"
            " type the same command again to go on, on another cluster or without --cluster."
        )

    def _refused(self) -> EngineError:
        named = f" {self._name}" if self._name else ""
        return EngineError(
            "The cluster's head lets nobody in with the token that is kept for it: the token does not fit, because its"
            " file was changed or is gone, or another cluster has taken the place of that one. Make the cluster again,"
            f" with a new token: muster down{named}, then muster up{named} --machines N."
        )

    def _on_refused(self) -> list[Message]:
        raise self._refused()

    def _on_opened(self, number: int, machine: str) -> list[Message]:
        station = self._stations[number] = StationProxy(machine, is_draining=machine in self._drained)
        self._close_if_over(station)
        self._begin_sending(number, station)
        if self._briefing is not None and station.has_all:
            self._send(("leave_message", number, None, self._briefing))
        return []

    def _on_lives(self) -> list[Message]:
        return []  # that it was said is all that it says

    def _roused(self) -> Iterator[Message]:
        """Begin anew with machines that are not ready and say nothing. Raises where the driver is silent itself."""
        if not self._vigil.is_due():
            return
        self._vigil.check_driver()
        for number, station in [*self._stations.items()]:
            if station.is_awaited and self._vigil.is_over(number):
                self._vigil.hear(number)
                why, error = self._vigil.judge(station.machine)
                if error is not None:
                    yield from self._without(station.machine, why, error)
                else:
                    yield Told(f"machine {station.machine} is begun with anew: {why}")
                    self._send(("replace", number, why))

    # What goes along

    def _on_lacks(self, number: int, lacking: Sequence[Sequence[int]]) -> list[Message]:
        self._vigil.hear(number)
        if self._sending is not None:
            self._sending.on_lacks(number, lacking)
        return []

    def _on_took(self, number: int, cargo: int, chunk: int) -> list[Message]:
        self._vigil.hear(*self._stations)  # chunks are sent in turn, so the others may wait for theirs
        if self._sending is not None:
            self._sending.on_took(number, cargo, chunk)
        return []

    def _on_laid_out(self, number: int) -> list[Message]:
        self._vigil.hear(number)
        self._station(number).has_all = True
        if self._briefing is not None:
            self._send(("leave_message", number, None, self._briefing))
        return []

    def _on_cannot_take(self, number: int, why: str, is_full: bool, is_its_own: bool) -> list[Message]:  # noqa: FBT001 (a message of the driver's)
        """Go on without a machine whose disk takes nothing. Raises where no other is left, or files were changed."""
        machine = self._station(number).machine
        cannot = f"The disk of machine {machine} is full, so it cannot" if is_full else f"Machine {machine} cannot"
        error = EngineError(
            f"{cannot} take what the function reads: {why}. What was done is kept."
            f" {'Make room there' if is_full else 'Mend that'}, then type the same command again: what has arrived is"
            " not sent twice."
        )
        if not is_its_own:
            raise error
        return self._without(
            machine, f"its disk is full ({why})" if is_full else f"it cannot take files ({why})", error
        )

    def _without(self, machine: str, why: str, error: EngineError) -> list[Message]:
        """Go on without a machine. Raises the ``error`` where no other is left."""
        self._drained.add(machine)
        if not {station.machine for station in self._stations.values()} - self._drained:
            raise error
        self._send(("put_aside", machine))
        return [Told(f"machine {machine} is put aside: {why}")]

    def _on_heard(self, number: int, told: Sequence[bytes]) -> Iterator[Message]:
        station = self._station(number)
        self._vigil.hear(number)
        for data in told:
            try:
                said = station.checked(decode(data))
            except GarbledError as error:
                raise _not_ours(f"Machine {station.machine!r}", error) from error
            match said:
                case Printed(worker, text):
                    self._print(f"{station.machine}-{worker}" if worker else "", text)
                case Ended():
                    station.has_ended = True
                case Unsupplied(ticket, other, why):
                    yield station.heard(Failed(ticket, UnreadError(self._unreadable(other, why))))
                    yield from self._replace(other, why)
                case Exception():
                    yield from self._without(station.machine, f"its workers have ended ({said})", _ended(station, said))
                case _:
                    yield station.heard(said)
        self._close_if_over(station)

    def _unreadable(self, number: int, why: str) -> str:
        machine = self._stations[number].machine if number in self._stations else self._unread.get(number, "")
        return f"machine {machine} does not give what it keeps ({why})" if machine else "a machine is gone"

    def _replace(self, number: int, why: str) -> Iterator[Message]:
        """Have another station opened in the place of one that others cannot read from; not again and again."""
        if number not in self._stations or number in self._unread:
            return
        machine = self._stations[number].machine
        self._unread[number] = machine
        reason = f"other machines cannot read what it keeps ({why})"
        if [*self._unread.values()].count(machine) >= _MOST_UNREAD:
            yield from self._without(machine, reason, _unreachable(machine, why))
        self._send(("replace", number, reason))

    def _station(self, number: int) -> StationProxy:
        if number not in self._stations:
            raise GarbledError(f"it tells of station {number}, which it has not opened")
        return self._stations[number]

    def _on_closed(self, number: int, reason: str) -> list[Message]:
        station = self._station(number)
        del self._stations[number]
        self._vigil.forget(number)
        if self._sending is not None:
            self._sending.forget(number)
        return station.lose_all(reason)

    def _on_told(self, text: str) -> list[Message]:
        return [Told(text)]

    def _on_gave_up(self, text: str) -> list[Message]:
        raise EngineError(text)

    def _on_nobody_left(self) -> list[Message]:
        raise NobodyLeftError

    def close(self) -> None:
        """Have the workers end in order, and leave the cluster, which ends those that are left."""
        try:
            self._line.send(("end",))
            deadline = time.monotonic() + _END_SECONDS
            with contextlib.suppress(EngineError):  # there is nobody left to wait for
                while not all(station.has_ended for station in self._stations.values()):
                    if (left := deadline - time.monotonic()) <= 0:
                        break
                    wait(self, left)
        finally:
            self._stations.clear()
            self._ears.close()
            self._bell.close()
            self._line.close()


@functools.cache
def _arguments(verb: str) -> Any:  # noqa: ANN401 (a hint)
    """Tell what the driver tells with a verb, as the hint of a tuple."""
    hints = typing.get_type_hints(getattr(RayEngine, f"_on_{verb}"))
    return tuple[tuple(hint for name, hint in hints.items() if name != "return")]  # type: ignore[misc]  # hints that were made


def _ended(station: StationProxy, error: Exception) -> EngineError:
    """Say that the workers of a machine have ended, whatever their engine there has raised."""
    if isinstance(error, EngineError):
        return error
    ended = EngineError(
        f"The workers of machine {station.machine} have ended: {named(error)}. What was done is kept:"
        " type the same command again to go on."
    )
    for note in getattr(error, "__notes__", ()):  # the traceback of a fault, which happened there
        ended.add_note(note)
    return ended


def _unreachable(machine: str, why: str) -> EngineError:
    return EngineError(
        f"Machines cannot read from each other: what {machine} keeps does not reach the others ({why}). The rows of a"
        " group come from all machines. Look at the network between them, and whether their disks are full, then type"
        " the same command again. What was done is kept."
    )


def _not_ours(who: str, error: object) -> EngineError:
    """Say that somebody is not who muster started there."""
    return EngineError(
        f"{who} says what muster never says there: {error}. Nothing of it was used. Another program, or somebody else,"
        " has taken the place of what muster started. Look who may log in on that machine, then make the cluster again:"
        " muster down, then muster up. What was done is kept."
    )
