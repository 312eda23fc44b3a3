"""What a worker does from its first moment to its last: it answers requests from a pipe, in order."""

import contextlib
import ctypes
import errno
import os
import pickle
import sys
import warnings
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, Final, NoReturn

from muster._engines.base import portable

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

BUSY: Final = "muster:busy"
"""The name under which the kernel lists a worker that is on a request."""

MEMORY_RAN_OUT: Final = 112
"""The exit status of a worker that was ended for that reason; unlikely for any other program."""

PIPE_WAS_CLOSED: Final = 113
"""That of one whose function has closed the pipe by which it answers; likewise."""

SPENT: Final = "spent"
"""What a worker says, in place of an answer, that leaves its place to a fresh one."""

_IDLE: Final = "muster:idle"
_SET_NAME: Final = 15


def _namer() -> Callable[[str], object]:
    """Make what tells the kernel the name of this process; elsewhere than on Linux nobody is told."""
    if sys.platform != "linux":
        return lambda _: None
    tell = ctypes.CDLL(None).prctl
    return lambda name: tell(_SET_NAME, name.encode(), 0, 0, 0)


def _never(_: object) -> bool:
    return False


def serve(pipe: "Connection[Any, Any]", body: Any) -> int:  # noqa: ANN401 (a Body)
    """Answer requests from a pipe, in order, until it ends, SIGINT comes or memory runs out; return the exit status.

    A body that is spent says so, and what it was sent since goes to the worker that takes its place.
    The pipe is closed then: what is left to be done in this process, such as to wait for its threads, may never end.
    """
    with _closed_in_the_end(pipe), contextlib.suppress(EOFError, ConnectionError, KeyboardInterrupt):
        try:
            return _serve(pipe, body)
        except OSError as error:
            if error.errno != errno.EBADF:
                raise
            return PIPE_WAS_CLOSED
    return 0


@contextlib.contextmanager
def _closed_in_the_end(pipe: "Connection[Any, Any]") -> Iterator[None]:
    """Close a pipe in the end; somebody else may have done so."""
    try:
        yield
    finally:
        with contextlib.suppress(OSError):
            pipe.close()


def _serve(pipe: "Connection[Any, Any]", body: Any) -> int:  # noqa: ANN401 (a Body)
    call_it = _namer()
    is_spent = getattr(body, "is_spent", _never)
    answers, own = _Answers(body), os.getpid()
    pipe.send(own)
    while True:
        call_it(_IDLE)
        ticket, request = _received(pipe)
        if ticket is None:
            try:
                answers.brief(request)
            except MemoryError:
                return MEMORY_RAN_OUT
            continue
        if is_spent(request):
            pipe.send((None, True, SPENT))
            return 0
        call_it(BUSY)
        try:
            answer = answers.to(ticket, request)
        except MemoryError:
            return MEMORY_RAN_OUT  # what has piled up in this process goes with it
        if os.getpid() != own:
            _end_child()
        pipe.send_bytes(answer)
        if is_spent(None):
            pipe.send((None, True, SPENT))
            return 0


def _end_child() -> NoReturn:
    """End a process that the user's function has forked, and that came back from there: the worker itself answers."""
    said = "A child that the function has forked came back from it, and was ended. End it there, with os._exit(0)."
    with contextlib.suppress(Exception):  # a filter of the user's makes it an error
        warnings.warn_explicit(said, RuntimeWarning, "<the function>", 0)  # shown once, however many there are
    os._exit(0)


class _Answers:
    """What a body answers, ready to be sent: all that it raises belongs to the runner, and is no end of the pipe."""

    def __init__(self, body: Any) -> None:  # noqa: ANN401 (a Body)
        self._body = body
        self._failure: Exception | None = None

    def brief(self, briefing: bytes) -> None:
        """Brief the body; where that fails, the requests that follow do so for the same reason.

        Raises ``MemoryError``: a fresh worker may have more room.
        """
        self._failure = None
        try:
            self._body.brief(briefing)
        except MemoryError:
            raise
        except Exception as error:  # noqa: BLE001 (a worker that died of it would be replaced by one that does so, too)
            self._failure = portable(error)

    def to(self, ticket: int, request: object) -> bytes:
        """Answer a request. Raises ``MemoryError``."""
        try:
            if self._failure is not None:
                return pickle.dumps((ticket, False, self._failure))
            return pickle.dumps((ticket, True, self._body(request)))
        except MemoryError:
            raise
        except Exception as error:  # noqa: BLE001 (a connection of the body's own may break, too)
            return pickle.dumps((ticket, False, portable(error)))


def _received(pipe: "Connection[Any, Any]") -> Any:  # noqa: ANN401 (a message)
    """Take a message. Raises ``EOFError`` where there is none any more, also where the sender died in the middle."""
    try:
        return pipe.recv()
    except OSError as error:
        if error.errno is None:  # "got end of file during message"
            raise EOFError from error
        raise
