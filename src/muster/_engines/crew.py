"""Several engines that serve one run, as if they were one: what fails of them is lost, and the others go on."""

import contextlib
import selectors
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

from muster._model import Slots
from muster.errors import EngineError

from .base import Began, Done, Engine, Failed, Joined, Left, Lost, Message, NobodyLeftError, Told
from .bell import Bell

_BETWEEN: Final = "-"
"""What stands between the name of an engine, in which it does not occur, and what that engine calls a machine."""

_ALL_ASIDE: Final = "its machines have been put aside"


@dataclass(slots=True)
class _Member:
    engine: Engine
    name: str
    tickets: dict[int, int | None] = field(default_factory=dict)
    """What it has yet to answer, each with its lane."""
    workers: set[str] = field(default_factory=set)
    lanes: dict[int, str] = field(default_factory=dict)
    """Who has begun with something of a lane."""

    def named(self, inner: str) -> str:
        """Name one of its machines or workers as no other engine does."""
        return f"{self.name}{_BETWEEN}{inner}"

    def lanes_of(self, worker: str) -> tuple[int, ...]:
        """Name the lanes that a worker has, by its name in the crew."""
        return tuple(sorted(lane for lane, name in self.lanes.items() if name == worker))


def _of_worker(said: Began | Done | Failed | Lost, worker: str) -> Message:
    """Say the same of a worker by another name; written out, as it is done twice for every task there is."""
    if worker == said.worker:
        return said
    match said:
        case Began():
            return Began(said.ticket, worker)
        case Done():
            return Done(said.ticket, said.answer, worker)
        case Failed():
            return Failed(said.ticket, said.error, worker)
    return Lost(said.ticket, said.reason, said.began, worker, said.lane)


class Crew:
    """An engine of engines. One of them may fail: then its requests are lost, and its workers have left."""

    def __init__(self, **engines: Engine) -> None:
        """Begin with some engines; the names of their machines and workers begin with their own."""
        self._members: list[_Member] = []
        self._untold: list[Message] = []
        self._briefing: bytes | None = None
        self._end: EngineError | None = None
        """Why nothing more will come, once the last engine has failed."""
        self._ears = selectors.DefaultSelector()
        self._bell = Bell()
        self._ears.register(self._bell, selectors.EVENT_READ)
        for name, engine in engines.items():
            self.add(engine, name=name)

    def add(self, engine: Engine, *, name: str) -> None:
        """Have an engine serve the run from now on; it is closed with the crew, or when it has failed.

        Its ``name`` is how its machines are found. Raises ``ValueError`` for one that another engine has, and for one
        with a hyphen in it, behind which what the engine calls a machine begins.
        """
        if not name or _BETWEEN in name or name in {member.name for member in self._members}:
            raise ValueError(f"an engine cannot be called {name!r} here: give a name of its own, without {_BETWEEN!r}")
        member = _Member(engine, name)
        self._members.append(member)
        self._end = None
        self._ears.register(engine.fileno(), selectors.EVENT_READ, member)
        if self._briefing is not None:
            with self._losing(member):
                engine.brief(self._briefing)

    @contextlib.contextmanager
    def _losing(self, member: _Member) -> Iterator[None]:
        """Go on without an engine that fails; without the last one, nothing goes on once all is told."""
        try:
            yield
        except EngineError as error:
            if self._members == [member]:
                self._end = error
                self._bell.ring()
                return
            self._members.remove(member)
            self._forget(member, _ALL_ASIDE if isinstance(error, NobodyLeftError) else str(error))

    def _forget(self, member: _Member, reason: str) -> None:
        self._ears.unregister(next(fd for fd, key in self._ears.get_map().items() if key.data is member))
        with contextlib.suppress(EngineError):
            member.engine.close()
        self._tell(
            *(Lost(ticket, reason, began=False, lane=lane) for ticket, lane in member.tickets.items()),
            *(Left(worker, reason, member.lanes_of(worker)) for worker in sorted(member.workers)),
            Told(f"the run goes on without {member.name}: {reason}"),
        )

    def _tell(self, *messages: Message) -> None:
        self._untold += messages
        self._bell.ring_for(self._untold)

    def fileno(self) -> int:
        """Name the descriptor that can be read when one of them has something to say."""
        return self._ears.fileno()

    def messages(self) -> list[Message]:
        """Collect what they say. Raises what the last one raises that fails, and any other error of one of them."""
        messages: list[Message] = []
        for member in list(self._members):
            with self._losing(member):
                messages += [told for said in member.engine.messages() if (told := self._heard(member, said))]
        messages += self._untold
        self._untold = []
        self._bell.ring_for(self._end)
        if self._end is not None and not messages:
            raise self._end
        return messages

    def _heard(self, member: _Member, said: Message) -> Message | None:
        """Name whoever it is about as the crew does; ``None`` for an answer that nobody waits for."""
        match said:
            case Joined(worker, machine):
                member.workers.add(member.named(worker))
                return Joined(member.named(worker), member.named(machine))
            case Left(worker):
                member.workers.discard(member.named(worker))
                for lane in said.lanes:
                    member.lanes.pop(lane, None)
                return Left(member.named(worker), said.reason, said.lanes)
            case Began(ticket, worker):
                if (begun := member.tickets.get(ticket)) is not None:
                    member.lanes[begun] = member.named(worker)
                return _of_worker(said, member.named(worker)) if ticket in member.tickets else None
            case Done(ticket) | Failed(ticket) | Lost(ticket):
                if ticket not in member.tickets:
                    return None
                del member.tickets[ticket]
                return _of_worker(said, member.named(said.worker)) if said.worker else said
        return said

    def slots(self) -> Mapping[str, Slots]:
        """Tell how many requests the machines of all take now."""
        slots: dict[str, Slots] = {}
        for member in list(self._members):
            with self._losing(member):
                slots.update((member.named(machine), free) for machine, free in member.engine.slots().items())
        return slots

    def _find(self, machine: str) -> tuple[_Member | None, str]:
        """Find the engine that a machine is of, also before that says so; and what it is called there."""
        name, _, inner = machine.partition(_BETWEEN)
        return next((member for member in self._members if member.name == name), None), inner

    def brief(self, briefing: bytes) -> None:
        """Brief the workers of all, also of those that are added later."""
        self._briefing = briefing
        for member in list(self._members):
            with self._losing(member):
                member.engine.brief(briefing)

    def submit(
        self, ticket: int, request: object, *, machine: str, lane: int | None = None, fresh: bool = False
    ) -> None:
        """Hand a request to the engine that has the machine."""
        member, inner = self._find(machine)
        if member is None:
            self._tell(Lost(ticket, "its machine is gone", began=False, lane=lane))
            return
        member.tickets[ticket] = lane
        with self._losing(member):
            member.engine.submit(ticket, request, machine=inner, lane=lane, fresh=fresh)

    def cancel(self, ticket: int) -> None:
        """Have the engine that has a request cancel it."""
        for member in [member for member in self._members if ticket in member.tickets]:
            with self._losing(member):
                member.engine.cancel(ticket)

    def drain(self, machine: str) -> None:
        """Drain a machine of one of them."""
        member, inner = self._find(machine)
        if member is not None:
            with self._losing(member):
                member.engine.drain(inner)

    def close(self) -> None:
        """Close them all."""
        with contextlib.ExitStack() as closing:
            for member in self._members:
                closing.callback(member.engine.close)
            self._members = []
        self._ears.close()
        self._bell.close()
