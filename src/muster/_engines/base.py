"""What the runner asks of an engine, and what an engine tells the runner."""

import contextlib
import math
import pickle
import select
import traceback
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from typing import Any, Protocol

from muster.errors import FaultError, MusterError


class Body(Protocol):
    """The worker body that an engine carries; it runs in the worker."""

    def brief(self, briefing: bytes) -> None:
        """Take what the requests that follow need to know."""

    def __call__(self, request: Any) -> object:  # noqa: ANN401 (an engine does not know what it carries)
        """Answer a request."""

    def end(self) -> None:
        """Release the user's functions and what they hold: no request follows."""


class Spendable(Protocol):
    """What a body may have besides: it can be spent, and then a process asks for a fresh one in its place."""

    def is_spent(self, request: Any) -> bool:  # noqa: ANN401 (likewise)
        """Tell whether it is, before a request; or before any other where there is none, ``None``."""


MakeBody = Callable[[], Body]


@dataclass(frozen=True, slots=True)
class Began:
    """A worker is on a request from now on: it comes before what becomes of the request."""

    ticket: int
    worker: str


@dataclass(frozen=True, slots=True)
class Done:
    """A request was answered."""

    ticket: int
    answer: Any
    worker: str = field(default="", compare=False)


@dataclass(frozen=True, slots=True)
class Failed:
    """A request raised; the worker lives."""

    ticket: int
    error: Exception
    worker: str = field(default="", compare=False)


@dataclass(frozen=True, slots=True)
class Lost:
    """The worker that held a request is gone; only a request that had begun can be to blame."""

    ticket: int
    reason: str
    began: bool
    worker: str = field(default="", compare=False)


@dataclass(frozen=True, slots=True)
class Joined:
    """A worker is ready; one that replaces another on its machine takes over its name."""

    worker: str
    machine: str


@dataclass(frozen=True, slots=True)
class Left:
    """A worker is gone."""

    worker: str
    reason: str


@dataclass(frozen=True, slots=True)
class Told:
    """Something happened that whoever watches the run should know."""

    text: str


Message = Began | Done | Failed | Lost | Joined | Left | Told


@dataclass(frozen=True, slots=True)
class Slots:
    """How many requests an engine takes now: by idle workers, and ahead of time by busy ones."""

    idle: int
    ahead: int


class Engine(Protocol):
    """Where requests are answered. One thread uses it."""

    @property
    def workers(self) -> int:
        """Count the workers, starting ones included."""

    @property
    def machines(self) -> int:
        """Count the machines that workers are, or were, on."""

    def slots(self) -> Slots:
        """Tell how many requests would be taken now."""

    def brief(self, briefing: bytes) -> None:
        """Brief all workers, also those yet to come; requests submitted before keep the old briefing."""

    def submit(self, ticket: int, request: object, *, avoid: Collection[str] = (), fresh: bool = False) -> None:
        """Hand a request to a worker, an idle one first, and to one of the machines to avoid only where all are.

        ``fresh``: to a worker that has answered nothing yet; an idle one makes way for it where there is none.
        """

    def put_aside(self, machine: str) -> None:
        """Have the workers of a machine do nothing more; they leave, and what they were on is lost."""

    def fileno(self) -> int:
        """Name a descriptor that can be read when ``messages`` has something.

        What only time brings, a machine that says nothing for long, is told by the messages that are asked for then:
        ask each second or so in any case.
        """

    def messages(self) -> list[Message]:
        """Collect what happened, without waiting for it. Raises ``EngineError`` when nothing can happen any more."""

    def close(self) -> None:
        """End all workers, busy ones interrupted; after a few seconds they are killed."""


def wait(engine: Engine, seconds: float | None = None) -> list[Message]:
    """Wait for what an engine has to say, so long at most. Raises as ``messages`` does."""
    waiting = select.poll()
    waiting.register(engine.fileno(), select.POLLIN)
    waiting.poll(None if seconds is None else math.ceil(1_000 * seconds))
    return engine.messages()


def portable(error: Exception) -> Exception:
    """Make sure that an error can be read at the other end, where the user's modules are not loaded.

    A traceback does not travel; that of a fault of muster's own goes along as a note, for whoever is to mend it.
    """
    if not isinstance(error, MusterError | OSError | MemoryError):
        error.add_note("".join(traceback.format_exception(error)))
    if type(error).__module__.partition(".")[0] in {"builtins", "muster"}:
        with contextlib.suppress(Exception):
            pickle.loads(pickle.dumps(error))  # noqa: S301 (this process's own error)
            return error
    return OSError(*map(str, error.args)) if isinstance(error, OSError) else FaultError.of(error)
