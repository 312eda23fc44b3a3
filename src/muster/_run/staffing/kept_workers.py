"""Workers of this computer that several runs have in turn: they load pandas and the function once for all of them."""

import dataclasses
from collections.abc import Callable

from muster._engines.around import Answering
from muster._engines.base import Began, Done, Engine, Failed, Joined, Left, Lost, Message
from muster._model import DataFile, Outcome
from muster._user_code.questions import Describe


class KeptWorkers:
    """The engine whose workers several runs have, one after the other, and what a run must know of earlier ones."""

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
        return _EngineOfOneRun(self, self.engine)

    def end(self) -> None:
        """End the workers."""
        if self.engine is not None:
            self.engine.close()
            self.engine = None


class _EngineOfOneRun(Answering[Engine]):
    """The engine of one run. What it asks has numbers of its own, so that no answer reaches another run."""

    def __init__(self, kept_workers: KeptWorkers, engine: Engine) -> None:
        super().__init__(engine)
        self._kept = kept_workers
        self._last_ticket = 0
        self._open: dict[int, tuple[int, object]] = {}
        self._has_told = False
        self._tell(*kept_workers.joined.values())

    def submit(
        self, ticket: int, request: object, *, machine: str, lane: int | None = None, fresh: bool = False
    ) -> None:
        if isinstance(request, Describe) and request in self._kept.described:
            self._tell(Done(ticket, self._kept.described[request]))
            return
        self._last_ticket += 1
        self._open[self._last_ticket] = ticket, request
        self._engine.submit(self._last_ticket, request, machine=machine, lane=lane, fresh=fresh)

    def cancel(self, ticket: int) -> None:
        for number, (known, _) in self._open.items():
            if known == ticket:
                self._engine.cancel(number)

    def messages(self) -> list[Message]:
        return self._take_untold() or [*map(self._heard, self._engine.messages())]

    def _heard(self, message: Message) -> Message:
        if isinstance(message, Joined):
            self._kept.joined[message.worker] = message
        elif isinstance(message, Left):
            self._kept.joined.pop(message.worker, None)
        elif isinstance(message, Began):
            return dataclasses.replace(message, ticket=self._open[message.ticket][0])
        elif isinstance(message, Done | Failed | Lost):
            ticket, request = self._open.pop(message.ticket)
            message = dataclasses.replace(message, ticket=ticket)
            if isinstance(message, Done):
                return self._answered(message, request)
        return message

    def _answered(self, message: Done, request: object) -> Done:
        if isinstance(request, Describe):
            self._kept.described[request] = message.answer
        return self._with_files(message, message.answer) if isinstance(message.answer, Outcome) else message

    def _with_files(self, message: Done, outcome: Outcome) -> Done:
        """Have the first outcome of a run tell of the files that were read before it, too."""
        before = () if self._has_told else tuple(self._kept.read.values())
        self._has_told = True
        self._kept.read.update((file.path, file) for file in outcome.read_files)
        for path in outcome.written_files:
            self._kept.read.pop(path, None)
        return dataclasses.replace(message, answer=outcome._replace(read_files=(*before, *outcome.read_files)))

    def close(self) -> None:
        """Leave the workers to the next run; end them if they are on something still, or cannot go on."""
        self._close_ears()
        if self._open or not self._kept.joined:
            self._kept.end()
