"""A station as home knows it: who is ready there, which requests are with it, and what it may say of them."""

from dataclasses import dataclass, field, replace
from typing import Any

from ._nouns import GarbledError, fits
from ._station import Ended, Printed
from .base import Began, Done, Failed, Joined, Left, Lost, Message, Told


@dataclass(slots=True)
class Post:
    """What is known of a station: who is ready there, and which requests are with it."""

    machine: str
    workers: set[str] = field(default_factory=set)
    tickets: dict[int, Any] = field(default_factory=dict)
    """Each with what its answer must be, as a hint says it."""
    has_ended: bool = False
    has_all: bool = True
    """Whether it has what goes along, and its briefing: nothing is asked of it before."""

    @property
    def idle(self) -> int:
        return max(0, len(self.workers) - len(self.tickets)) if self.has_all else 0

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
            case Printed() | Ended() | Joined() | Left() | Told() | Exception():
                pass
            case _:
                raise GarbledError(f"it says {str(said)[:100]}")
        return said

    def heard(self, said: Message) -> Message:
        """Note what is said, and name the worker as no other machine's is."""
        match said:
            case Began():
                return replace(said, worker=f"{self.machine}-{said.worker}")
            case Done(ticket) | Failed(ticket) | Lost(ticket):
                del self.tickets[ticket]
                return replace(said, worker=f"{self.machine}-{said.worker}")
            case Joined(worker):
                self.workers.add(worker)
                return Joined(f"{self.machine}-{worker}", self.machine)
            case Left(worker, reason):
                self.workers.discard(worker)
                return Left(f"{self.machine}-{worker}", reason)
        return said
