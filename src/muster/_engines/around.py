"""An engine around another: what it does not do itself, the one within does."""

from collections.abc import Collection
from typing import Generic, TypeVar

from .base import Engine, Message, Slots

Within = TypeVar("Within", bound=Engine)


class Around(Generic[Within]):
    """Pass all on to the engine within."""

    def __init__(self, engine: Within) -> None:
        """Wrap an engine."""
        self._engine = engine

    @property
    def workers(self) -> int:
        """Count the workers of the engine within."""
        return self._engine.workers

    @property
    def machines(self) -> int:
        """Count the machines of the engine within."""
        return self._engine.machines

    def slots(self) -> Slots:
        """Take what the engine within takes."""
        return self._engine.slots()

    def brief(self, briefing: bytes) -> None:
        """Brief its workers."""
        self._engine.brief(briefing)

    def submit(self, ticket: int, request: object, *, avoid: Collection[str] = (), fresh: bool = False) -> None:
        """Hand a request to one of its workers."""
        self._engine.submit(ticket, request, avoid=avoid, fresh=fresh)

    def put_aside(self, machine: str) -> None:
        """Put one of its machines aside."""
        self._engine.put_aside(machine)

    def fileno(self) -> int:
        """Name its descriptor."""
        return self._engine.fileno()

    def messages(self) -> list[Message]:
        """Collect its messages. Raises as it does."""
        return self._engine.messages()

    def close(self) -> None:
        """Close it."""
        self._engine.close()
