"""What the runner asks of an engine, and what an engine tells the runner."""

import contextlib
import math
import pickle
import platform
import select
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

from muster._model import Slots
from muster.errors import EngineError, FaultError, MusterError, UsageError


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


def is_this_computer(machine: str) -> bool:
    """Tell whether an engine of this computer, which has no other machine, is meant; its name may be left empty."""
    return machine in {"", platform.node()}


@dataclass(slots=True)  # not frozen, which costs as much again where there is one for each task
class Began:
    """A worker is on a request from now on: it comes before what becomes of the request."""

    ticket: int
    worker: str


@dataclass(slots=True)  # not frozen, which costs as much again where there is one for each task
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
    """The worker that held a request is gone, or surely off it; only a request that had begun can be to blame."""

    ticket: int
    reason: str
    began: bool
    worker: str = field(default="", compare=False)
    lane: int | None = field(default=None, compare=False)
    """The lane that the request was in."""


@dataclass(frozen=True, slots=True)
class Joined:
    """A worker is ready; one that replaces another on its machine takes over its name."""

    worker: str
    machine: str


@dataclass(frozen=True, slots=True)
class Left:
    """A worker is gone, and what it held of its lanes, which other workers will have from their next requests on."""

    worker: str
    reason: str
    lanes: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Told:
    """Something happened that whoever watches the run should know."""

    text: str


class UnreadError(Exception):
    """A request failed as rows that it reads are gone with who made them. Made again, they can be read."""


class NobodyLeftError(EngineError):
    """Every machine of an engine was drained, and has done what it held: nobody is there to answer anything."""

    def __init__(
        self,
        message: str = "Every machine of the run has been put aside, so nobody is left to go on. What was done is kept:"
        " mend what is wrong with them, then type the same command again.",
    ) -> None:
        """Say it as to the user of a run."""
        super().__init__(message)


Message = Began | Done | Failed | Lost | Joined | Left | Told


CANCELLED: Final = "it was cancelled"
"""The reason for which a request is lost that was cancelled."""


class Engine(Protocol):
    """Where requests are answered. One thread uses it.

    Nothing waits but ``close``, and ``messages`` of an engine that answers in this very process. Where a worker of this
    computer has hung up and has not ended, its engine waits a second for that, and kills it.

    Each ticket is answered once: by ``Done``, ``Failed`` or ``Lost``.
    """

    def fileno(self) -> int:
        """Name a descriptor that can be read when ``messages`` has something.

        What only time brings, a machine that says nothing for long, is told by the messages that are asked for then:
        ask each second or so in any case.
        """

    def messages(self) -> list[Message]:
        """Collect what happened. Raises ``EngineError`` when nothing can happen any more, once all is told.

        So it is where every machine was drained and its workers are gone, or were not ready yet: then that is a
        ``NobodyLeftError``. An engine that has ended raises again whenever it is asked, and its descriptor can be read;
        a request that it is handed still is lost, which is told before.

        Another error ends the run, also where other engines serve it, too: what comes cannot be kept on this computer,
        or the function cannot do its work on such machines.
        """

    def slots(self) -> Mapping[str, Slots]:
        """Tell how many requests each machine would take now; one that takes none may be missing."""

    def brief(self, briefing: bytes) -> None:
        """Brief all workers, also those yet to come; requests submitted before keep the old briefing."""

    def submit(
        self, ticket: int, request: object, *, machine: str, lane: int | None = None, fresh: bool = False
    ) -> None:
        """Hand a request to a worker of a machine, an idle one first; where none is left there it is lost.

        So it is for a machine that the engine does not know.

        Requests of one ``lane`` go to one worker, in order, whatever the slots are. Once that one is gone, none goes to
        another that was submitted before ``Left`` said so: such a request is lost. ``fresh``: to a worker that has
        answered nothing yet; an idle one makes way for it where there is none. A wish: a request of a lane goes to the
        worker that has the lane, one for which no worker is idle to a busy one, and without processes there is but one.

        No run asks for a lane yet: tasks with states name the lanes whose rows they do, and read them as blocks.
        """

    def cancel(self, ticket: int) -> None:
        """Have nobody work on a request: it is lost once that is sure, unless it was answered just before.

        A worker that is on it is ended, and replaced.
        """

    def drain(self, machine: str) -> None:
        """Give a machine nothing new; its workers do what they hold, and leave. One that is not known is no error.

        With the last one that an engine has, it ends.
        """

    def close(self) -> None:
        """End all workers, busy ones interrupted; after a few seconds they are killed. May be repeated."""


def wait(engine: Engine, seconds: float | None = None, *, also: int = -1) -> list[Message]:
    """Wait for what an engine has to say, so long at most, or until a descriptor can be read that is waited for, too.

    Raises as ``messages`` does.
    """
    if messages := engine.messages():
        return messages
    waiting = select.poll()
    waiting.register(engine.fileno(), select.POLLIN)
    if also >= 0:
        waiting.register(also, select.POLLIN)
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


def has_own_disks(engine: Engine) -> bool:
    """Tell whether each of its machines writes to a disk of its own; that of an engine which does not say is one."""
    return bool(getattr(engine, "has_own_disks", False))


def check_is_engine(value: object) -> None:
    """Raise ``UsageError`` for what lacks a method of an engine; a class is none, though its objects are."""
    lacked = [name for name in vars(Engine) if not name.startswith("_") and not callable(getattr(value, name, None))]
    if isinstance(value, type):
        raise UsageError(f"engine={value.__name__}: that is a class. Give an engine: {value.__name__}().")
    if lacked:
        raise UsageError(
            f"engine={value!r}: that is no engine: it has no {lacked[0]}(). Give one such as"
            " muster.testing.FakeEngine(), or leave engine= out: then processes of this computer do the tasks."
        )
