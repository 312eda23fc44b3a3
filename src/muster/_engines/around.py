"""An engine around another: what it does not do itself, the one within does."""

import selectors
from collections.abc import Mapping
from dataclasses import replace
from typing import Final, Generic, TypeVar

from muster._model import Slots

from .base import Began, Done, Engine, Failed, Joined, Left, Lost, Message
from .bell import Bell

_TICKETS: Final = -(1 << 40)
"""Requests of an engine's own have tickets below that, which nobody else comes to."""

Within = TypeVar("Within", bound=Engine)


class Around(Generic[Within]):
    """Pass all on to the engine within."""

    def __init__(self, engine: Within) -> None:
        """Wrap an engine."""
        self._engine = engine

    def slots(self) -> Mapping[str, Slots]:
        """Take what the engine within takes."""
        return self._engine.slots()

    def brief(self, briefing: bytes) -> None:
        """Brief its workers."""
        self._engine.brief(briefing)

    def submit(
        self, ticket: int, request: object, *, machine: str, lane: int | None = None, fresh: bool = False
    ) -> None:
        """Hand a request to one of its workers."""
        self._engine.submit(ticket, request, machine=machine, lane=lane, fresh=fresh)

    def cancel(self, ticket: int) -> None:
        """Cancel a request that it has."""
        self._engine.cancel(ticket)

    def drain(self, machine: str) -> None:
        """Drain one of its machines."""
        self._engine.drain(machine)

    def fileno(self) -> int:
        """Name its descriptor."""
        return self._engine.fileno()

    def messages(self) -> list[Message]:
        """Collect its messages. Raises as it does."""
        return self._engine.messages()

    def close(self) -> None:
        """Close it."""
        self._engine.close()


class Answering(Around[Within]):
    """An engine around another that answers some requests itself: it has messages besides those of the one within."""

    def __init__(self, engine: Within) -> None:
        """Wrap an engine."""
        super().__init__(engine)
        self._untold: list[Message] = []
        self._bell = Bell()
        self._ears = selectors.DefaultSelector()
        for ear in (engine, self._bell):
            self._ears.register(ear, selectors.EVENT_READ)

    def _tell(self, *untold: Message) -> None:
        """Have ``messages`` tell something."""
        self._untold += untold
        self._bell.ring_for(self._untold)

    def _take_untold(self) -> list[Message]:
        untold, self._untold = self._untold, []
        self._bell.hush()
        return untold

    def fileno(self) -> int:
        """Name the descriptor that can be read when either of them has something to say."""
        return self._ears.fileno()

    def _close_ears(self) -> None:
        self._ears.close()
        self._bell.close()

    def close(self) -> None:
        """Close the engine within."""
        try:
            super().close()
        finally:
            self._close_ears()


class LoadingAhead(Around[Within]):
    """An engine around another, whose workers are asked something as they join, before they have anything to do.

    What they answer nobody is told.
    """

    def __init__(self, engine: Within, request: object) -> None:
        """Wrap an engine; the ``request`` needs a briefing."""
        super().__init__(engine)
        self._request = request
        self._joined: dict[str, str] = {}
        """The machine of each worker that there ever was, also of those that have not been asked yet."""
        self._asked: set[str] = set()
        self._is_briefed = False

    @property
    def within(self) -> Within:
        """Give the engine within."""
        return self._engine

    def brief(self, briefing: bytes) -> None:
        """Brief its workers, and ask those that are there."""
        super().brief(briefing)
        self._is_briefed = True
        self._ask()

    def messages(self) -> list[Message]:
        """Collect its messages, and ask workers that have joined. Raises as it does."""
        heard = super().messages()
        self._joined |= {message.worker: message.machine for message in heard if isinstance(message, Joined)}
        if self._is_briefed:
            self._ask()
        return [message for message in heard if getattr(message, "ticket", 0) > _TICKETS]

    def _ask(self) -> None:
        """Ask once for each name: a worker that takes the place of another has that one's."""
        for worker in self._joined.keys() - self._asked:
            self._asked.add(worker)
            self.submit(_TICKETS - len(self._asked), self._request, machine=self._joined[worker], fresh=True)


class AtHome(Around[Engine]):
    """An engine of this computer beside a cluster's: its workers are none of the cluster's, and have names apart.

    Nobody is told that they come and go, as it is the cluster's workers that are counted.
    """

    def messages(self) -> list[Message]:
        """Collect what becomes of requests."""
        heard = [message for message in super().messages() if not isinstance(message, Joined | Left)]
        return list(map(_of_home, heard))


def _of_home(message: Message) -> Message:
    match message:
        case Began() | Done() | Failed() | Lost():
            return replace(message, worker=f"home-{message.worker}")
    return message
