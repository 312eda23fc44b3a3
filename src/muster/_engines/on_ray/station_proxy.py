"""A station as home knows it: who is ready there, which requests are with it, and what it may say of them."""

import pickle
from collections import Counter
from dataclasses import dataclass, field, replace
from typing import Any

from muster._engines.base import Began, Done, Failed, Joined, Left, Lost, Message, Told
from muster._engines.frames import GarbledError
from muster._model import Slots

from .keeping import Needing, Unsupplied
from .nouns import answer_of, fits
from .station import Asked, Ended, Printed


@dataclass(slots=True)
class StationProxy:
    """What is known of a station: who is ready there, and which requests are with it."""

    machine: str
    workers: set[str] = field(default_factory=set)
    tickets: dict[int, Any] = field(default_factory=dict)
    """Each with what its answer must be, as a hint says it."""
    has_ended: bool = False
    has_all: bool = True
    """Whether it has what goes along, and its briefing: nothing is asked of it before."""

    is_draining: bool = False
    """Whether nothing new is asked of it."""
    lanes: dict[int, str] = field(default_factory=dict)
    """Who has the lanes of which something was asked there; without a name, nobody has begun with one yet."""
    lane_of: dict[int, int] = field(default_factory=dict)
    generations: Counter[int] = field(default_factory=Counter)
    """How often each lane has lost its worker here."""

    @property
    def idle(self) -> int:
        return max(0, len(self.workers) - len(self.tickets)) if self.has_all else 0

    @property
    def slots(self) -> Slots:
        return Slots(self.idle, self.ahead)

    @property
    def is_over(self) -> bool:
        """Whether it has done all that it shall do."""
        return self.is_draining and not (self.workers or self.tickets)

    @property
    def is_awaited(self) -> bool:
        """Whether it is not ready yet, and somebody waits for that."""
        return not (self.is_draining or self.has_ended or (self.has_all and self.workers))

    def take(self, ticket: int, request: object, *, lane: int | None, fresh: bool) -> bytes:
        """Note a request that is sent to it, and write it."""
        question = request.request if isinstance(request, Needing) else request
        self.tickets[ticket] = answer_of(type(question))  # type: ignore[arg-type]  # any type can be hashed
        if lane is None:
            return pickle.dumps(Asked(request, fresh, None, 0))
        self.lane_of[ticket] = lane
        self.lanes.setdefault(lane, "")
        return pickle.dumps(Asked(request, fresh, lane, self.generations[lane]))

    def lose_all(self, reason: str) -> list[Message]:
        """Tell what goes with it."""
        lost: list[Message] = [
            Lost(ticket, reason, began=False, lane=self.lane_of.get(ticket)) for ticket in self.tickets
        ]
        left = sorted(self.workers)
        lanes = {worker: tuple(sorted(lane for lane, name in self.lanes.items() if name == worker)) for worker in left}
        return [*lost, *(Left(f"{self.machine}-{worker}", reason, lanes[worker]) for worker in left)]

    @property
    def ahead(self) -> int:
        """How many more it takes, besides those for idle workers: each worker holds one and one ahead."""
        return max(0, 2 * len(self.workers) - len(self.tickets) - self.idle) if self.tickets else 0

    def checked(self, said: Any) -> Any:  # noqa: ANN401 (plain data)
        """Look whether a machine may say that. Raises ``GarbledError`` where it may not."""
        match said:
            case Began(ticket) | Done(ticket) | Failed(ticket) | Lost(ticket):
                if ticket not in self.tickets:
                    raise GarbledError(f"it speaks of request {ticket}, which it was not given")
                if isinstance(said, Done) and not fits(said.answer, self.tickets[ticket]):
                    raise GarbledError(f"it answers a request with {str(said.answer)[:100]}")
            case Unsupplied(ticket):
                if ticket not in self.tickets:
                    raise GarbledError(f"it speaks of request {ticket}, which it was not given")
            case Printed() | Ended() | Joined() | Left() | Told() | Exception():
                pass
            case _:
                raise GarbledError(f"it says {str(said)[:100]}")
        return said

    def heard(self, said: Message) -> Message:
        """Note what is said, and name the worker as no other machine's is."""
        match said:
            case Began(ticket):
                if (lane := self.lane_of.get(ticket)) is not None:
                    self.lanes[lane] = said.worker
                return replace(said, worker=f"{self.machine}-{said.worker}")
            case Done(ticket) | Failed(ticket) | Lost(ticket):
                del self.tickets[ticket]
                self.lane_of.pop(ticket, None)
                return replace(said, worker=f"{self.machine}-{said.worker}")
            case Joined(worker):
                self.workers.add(worker)
                return Joined(f"{self.machine}-{worker}", self.machine)
            case Left(worker, reason, lanes):
                self.workers.discard(worker)
                self.generations.update(lanes)
                for lane in lanes:
                    self.lanes.pop(lane, None)
                return Left(f"{self.machine}-{worker}", reason, lanes)
        return said
