"""Put questions to an engine and get the answers in order: for what must be known before the first task."""

import contextlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from collections.abc import Set as AbstractSet
from typing import Any, Final, NamedTuple

from muster._engines.base import Done, Engine, Failed, Lost, Message, UnreadError, wait
from muster._model import Slots
from muster._process.environment import threads_that_sleep
from muster._progress.openings import Openings
from muster._progress.suspects import Setback
from muster._user_code.questions import Build, Describe
from muster._words import text_of
from muster.errors import DataError, EngineError, FaultError, MusterError, UserCodeError

from .bundles import WaitingQuestions
from .transient import Deferred, may_pass, pause_after

_TRIES: Final = 3
"""A worker may die twice of what others took of its memory."""

_TICK: Final = 0.2
"""So soon a Ctrl-C, a lease or a bar is looked after while no answer comes."""


class _Asked(NamedTuple):
    """The numbers of questions that were put together, and to which machine."""

    numbers: list[int]
    machine: str


class Asker:
    """Numbers requests, keeps every slot busy, and asks again where a worker died."""

    def __init__(
        self,
        engine: Callable[[], Engine],
        *,
        workers: int = 1,
        tick: Callable[[], None],
        hear: Callable[[Message], None],
    ) -> None:
        """``tick`` is called now and then while answers are awaited, ``hear`` with all other messages.

        ``engine`` gives who is asked, each time; ``workers`` is how many there are, or will be.
        """
        self._engine_now = engine
        self._workers = workers
        self.tick = tick
        self._hear = hear
        self._last_ticket = 0
        self._known: dict[Any, Any] = {}

    @property
    def _engine(self) -> Engine:
        return self._engine_now()

    def next_ticket(self) -> int:
        """Count down from -1, so that no ticket is ever taken for a task's number."""
        self._last_ticket -= 1
        return self._last_ticket

    def begin(self, requests: Iterable[Any]) -> None:
        """Answer requests in this process, for as long as no worker is ready; ``ask`` then has their answers."""
        for request in requests:
            for message in self._engine.messages():
                self._hear(message)
            if any(slots.idle for slots in self._engine.slots().values()):
                return
            try:
                with threads_that_sleep():
                    self._known[request] = request.answer()
            except Exception as error:
                if not may_pass(error):
                    raise
                return  # a worker is asked once more, and says it if that is in vain

    def mention(self, request: object, *, times: int) -> None:
        """Have so many workers that have done nothing yet answer a request, each once; nobody waits for that."""
        for machine in [*self._engine.slots()][:1]:
            for _ in range(times):
                self._engine.submit(self.next_ticket(), request, machine=machine, fresh=True)

    def ask(self, requests: Sequence[Any]) -> list[Any]:
        """Answer all requests, in order.

        Raises what a request raises, ``UnreadError`` among it. Where workers keep dying of one, that is a
        ``UserCodeError`` if it was to load the function, a ``DataError`` if it was to read a file, and otherwise an
        ``EngineError``.
        """
        answers: list[Any] = [self._known.pop(request, None) if self._known else None for request in requests]
        waiting = WaitingQuestions(requests, (number for number, answer in enumerate(answers) if answer is None))
        asked: dict[int, _Asked] = {}
        have_answered: set[str] = set()
        deadly: set[str] = set()
        tries = [0] * len(requests)
        later = Deferred[int]()
        while waiting or asked or later:
            waiting.again(later.take())
            self._put(waiting, asked, have_answered, deadly)
            for message in wait(self._engine, _TICK):
                if not isinstance(message, Done | Failed | Lost):
                    self._hear(message)
                    continue
                numbers, machine = asked.pop(message.ticket, _Asked([], ""))
                if isinstance(message, Done):
                    have_answered.add(machine)
                    told = message.answer if len(numbers) > 1 else [message.answer] * len(numbers)
                    for number, answer in zip(numbers, told, strict=True):
                        answers[number] = answer
                    continue
                if isinstance(message, Lost) and numbers:
                    deadly.add(machine)
                if len(numbers) > 1:
                    waiting.again(numbers)
                elif numbers:
                    tries[numbers[0]] += 1
                    pause = self._judge(message, requests[numbers[0]], tries=tries[numbers[0]])
                    later.add(numbers[0], seconds=pause)
            self.tick()
        return answers

    def _put(
        self,
        waiting: WaitingQuestions,
        asked: dict[int, _Asked],
        have_answered: AbstractSet[str],
        deadly: AbstractSet[str],
    ) -> None:
        """Put questions to all workers that take one; none ahead of time where workers may still load.

        Machines where workers have died of one are asked again where there are no others.
        """
        there = self._engine.slots()
        if deadly and {*there, *(one.machine for one in asked.values())} - deadly:
            there = {machine: slots for machine, slots in there.items() if machine not in deadly}
        openings = Openings(
            {machine: slots if machine in have_answered else Slots(slots.idle, 0) for machine, slots in there.items()}
        )
        while waiting:
            machine = openings.idle()
            if machine is None:  # not ``or``: the name of a machine may be empty
                machine = openings.ahead()
            if machine is None:
                return
            ticket = self.next_ticket()
            numbers, question = waiting.take(workers=self._workers)
            asked[ticket] = _Asked(numbers, machine)
            self._engine.submit(ticket, question, machine=machine)

    def _judge(self, message: Failed | Lost, request: object, *, tries: int) -> float:
        """Tell in how many seconds to ask again. Raises what ``ask`` does where that is in vain."""
        if isinstance(message, Failed):
            if isinstance(message.error, UnreadError):
                raise message.error
            pause = (
                pause_after(message.error, Setback(tries, is_elsewhere_untried=False))
                if may_pass(message.error)
                else None
            )
            if pause is None:
                raise as_muster_error(message.error)
            return pause
        if tries < _TRIES:
            return 0.0
        if isinstance(request, Build | Describe):
            names = ", ".join(repr(step.name) for step in request.steps)
            raise UserCodeError(
                f"Loading {names} ended its worker {tries} times: {message.reason}. Mend what is done when the file is"
                " imported or the class is built; --workers 0 loads it in muster's own process, for a debugger."
            )
        died = f"A worker that looked at the input died {tries} times: {message.reason}"
        if path := getattr(request, "name", "") or getattr(request, "path", ""):
            raise DataError(
                f"{died}. It read {path!r}, which may be damaged, or too large for the memory that is left."
                " Check that file, or try fewer --workers."
            )
        raise EngineError(f"{died}. Is there memory left? Try fewer --workers.")


@contextlib.contextmanager
def in_our_words() -> Iterator[None]:
    """Say in muster's words what this process could not read or write."""
    try:
        yield
    except (MusterError, BrokenPipeError):  # which is said already; or whoever read what is said has gone
        raise
    except OSError as error:
        raise EngineError(
            f"Cannot read or write: {text_of(error)}. What was done is kept beside the output. Make room or mend the"
            " access, then type the same command again."
        ) from error


def as_muster_error(error: Exception, machine: str = "") -> MusterError:
    """Say in muster's words what a worker ran into, on the machine of that name."""
    if isinstance(error, MusterError):
        return error
    if isinstance(error, OSError):
        where = f" on {machine}" if machine else ""
        return EngineError(
            f"A worker{where} could not read or write: {text_of(error)}. What was done is kept. Make room or mend the"
            " access, then type the same command again."
        )
    if isinstance(error, MemoryError):
        return EngineError("Memory ran out while a worker looked at the input. Free some, or try fewer --workers.")
    return FaultError.of(error)
