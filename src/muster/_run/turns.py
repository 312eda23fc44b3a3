"""Workers of this computer that several runs have in turn: they load pandas and the function once for all of them."""

import dataclasses
import selectors
from collections.abc import Callable

from muster._engines._bell import Bell
from muster._engines.around import Around
from muster._engines.base import Began, Done, Engine, Failed, Joined, Left, Lost, Message
from muster._model import DataFile, Outcome
from muster._user_code.questions import Describe


class Turns:
    """The engine that lasts, and what runs must know of those before them."""

    def __init__(self, make: Callable[[], Engine]) -> None:
        """``make`` makes the engine, again where a run has left its workers busy."""
        self._make = make
        self.engine: Engine | None = None
        self.joined: dict[str, Joined] = {}
        self.described: dict[Describe, object] = {}
        """What the functions were before they were first called: a call may change what they depend on."""
        self.read: dict[str, DataFile] = {}
        """Files that the user's code has read; a worker tells of each once, and every run depends on it."""

    def begin(self, _workers: int) -> Engine:
        """Give the workers to the next run, whose engine they are until it closes that."""
        if self.engine is None:
            self.joined.clear()
            self.engine = self._make()
        return _Turn(self, self.engine)

    def end(self) -> None:
        """End the workers."""
        if self.engine is not None:
            self.engine.close()
            self.engine = None


class _Turn(Around[Engine]):
    """The engine of one run. What it asks has numbers of its own, so that no answer reaches another run."""

    def __init__(self, turns: Turns, engine: Engine) -> None:
        super().__init__(engine)
        self._turns = turns
        self._last_ticket = 0
        self._open: dict[int, tuple[int, object]] = {}
        self._untold: list[Message] = list(turns.joined.values())
        self._has_told = False
        self._bell = Bell()
        self._bell.ring_for(self._untold)
        self._ears = selectors.DefaultSelector()
        for ear in (engine, self._bell):
            self._ears.register(ear, selectors.EVENT_READ)

    def submit(
        self, ticket: int, request: object, *, machine: str, lane: int | None = None, fresh: bool = False
    ) -> None:
        if isinstance(request, Describe) and request in self._turns.described:
            self._untold.append(Done(ticket, self._turns.described[request]))
            self._bell.ring()
            return
        self._last_ticket += 1
        self._open[self._last_ticket] = ticket, request
        self._engine.submit(self._last_ticket, request, machine=machine, lane=lane, fresh=fresh)

    def cancel(self, ticket: int) -> None:
        for number, (known, _) in self._open.items():
            if known == ticket:
                self._engine.cancel(number)

    def fileno(self) -> int:
        return self._ears.fileno()

    def messages(self) -> list[Message]:
        told, self._untold = self._untold, []
        self._bell.hush()
        return [*told, *map(self._heard, self._engine.messages())]

    def _heard(self, event: Message) -> Message:
        if isinstance(event, Joined):
            self._turns.joined[event.worker] = event
        elif isinstance(event, Left):
            self._turns.joined.pop(event.worker, None)
        elif isinstance(event, Began):
            return dataclasses.replace(event, ticket=self._open[event.ticket][0])
        elif isinstance(event, Done | Failed | Lost):
            ticket, request = self._open.pop(event.ticket)
            event = dataclasses.replace(event, ticket=ticket)
            if isinstance(event, Done):
                return self._answered(event, request)
        return event

    def _answered(self, event: Done, request: object) -> Done:
        if isinstance(request, Describe):
            self._turns.described[request] = event.answer
        return self._with_files(event, event.answer) if isinstance(event.answer, Outcome) else event

    def _with_files(self, event: Done, outcome: Outcome) -> Done:
        """Have the first outcome of a run tell of the files that were read before it, too."""
        before = () if self._has_told else tuple(self._turns.read.values())
        self._has_told = True
        self._turns.read.update((file.path, file) for file in outcome.read_files)
        for path in outcome.written_files:
            self._turns.read.pop(path, None)
        return dataclasses.replace(event, answer=outcome._replace(read_files=(*before, *outcome.read_files)))

    def close(self) -> None:
        """Leave the workers to the next run; end them if they are on something still, or cannot go on."""
        self._ears.close()
        self._bell.close()
        if self._open or not self._turns.joined:
            self._turns.end()
