"""An engine around another: what it does not do itself, the one within does."""

from collections.abc import Mapping
from typing import Generic, TypeVar

from muster._progress.openings import Slots

from .base import Engine, Message

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
