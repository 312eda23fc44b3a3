"""Fork workers from a process that has imported what they need and never starts a thread.

``main`` reads a setup from a socket, imports what it says, then obeys: a byte ``F`` with a socket, a pipe and the
worker's numbers forks a worker that serves the one and prints to the other; ``W`` and a process id ends that worker, if
it has not ended, and answers with its status; ``E`` waits for workers that know already that they shall end. The end of
the socket ends it and its workers at once, and the kernel ends them when it is killed.
"""

import contextlib
import ctypes
import functools
import gc
import importlib
import io
import mmap
import os
import pickle
import select
import signal
import socket
import struct
import sys
import time
import traceback
from collections.abc import Callable, Iterable
from multiprocessing.connection import Connection
from typing import Any, Final, NoReturn, TextIO

from muster._private.secrets import scrubbed
from muster._process.environment import numbered
from muster._process.limit import is_over, kill_when_over, new_page

from .leaving import leave
from .serving import serve
from .warned import Once

PID: Final = struct.Struct("!q")
NUMBERS: Final = struct.Struct("!qq")
"""A worker's number among those of all machines, and of its own."""

_SET_PARENT_DEATH_SIGNAL: Final = 1
_SET_CHILD_SUBREAPER: Final = 36
_TICK: Final = 0.001
"""Forks and ends are a matter of milliseconds; nobody notices one."""

_LEAVE_SECONDS: Final = 1.0
"""How long a worker that is replaced may take to end."""

_ORPHANS_SECONDS: Final = 0.5
"""What is killed is gone within milliseconds, unless it waits for a disk; then it is not waited for."""


def main(descriptor: str, ahead: str) -> None:
    """Set up, then fork a worker whenever asked, until the socket ends; load ``ahead`` before the setup is there."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    control = socket.socket(fileno=int(descriptor))
    _adopt_orphans()
    sys.stdout, sys.stderr = (_by_lines(stream) for stream in (sys.stdout, sys.stderr))
    gc.disable()  # what is imported stays: looking through it for garbage again and again takes longer than the rest
    with contextlib.suppress(Exception):  # whatever is wrong is said when the setup asks for it again
        importlib.import_module(ahead)
    preload, environment, world, make_body = pickle.loads(_frame(control))  # noqa: S301 (from the process that started this one)
    for name in preload:
        importlib.import_module(name)
    os.environ.update(environment)
    world.enter()
    gc.freeze()
    gc.enable()
    pages: dict[int, mmap.mmap] = {}
    once = Once()
    while True:
        command, descriptors, *_ = socket.recv_fds(control, 1, 2)
        if command == b"F":
            page = new_page()
            numbers = NUMBERS.unpack(control.recv(NUMBERS.size, socket.MSG_WAITALL))
            begin = functools.partial(_begun, once, numbers, make_body)
            pages[_fork(control, descriptors, begin, page)] = page
        elif command == b"W":
            (pid,) = PID.unpack(control.recv(PID.size, socket.MSG_WAITALL))
            control.sendall(PID.pack(_end(pid, pages.pop(pid))))
        elif command == b"E":
            _wait_for_all(control, list(pages))
        else:
            _end_all(pages)


def _by_lines(stream: TextIO) -> TextIO:
    """Write each line at once and whole, also with PYTHONUNBUFFERED: workers print side by side, and may die."""
    if not isinstance(stream, io.TextIOWrapper):  # it is closed
        return stream
    return open(stream.fileno(), "w", 1, stream.encoding, stream.errors, closefd=False)


def _frame(control: socket.socket) -> bytes:
    head = control.recv(PID.size, socket.MSG_WAITALL)
    if not head:
        _end_all(())
    (size,) = PID.unpack(head)
    return control.recv(size, socket.MSG_WAITALL)


def _end(worker: int, page: mmap.mmap) -> int:
    """Wait for the end of a worker whose pipe has ended; end what it started, and tell its status.

    SIGKILL does no harm to one that has ended, and is needed for one that only closed its pipe.
    """
    deadline = time.monotonic() + _LEAVE_SECONDS
    while (status := _status_of(worker)) is None:
        if time.monotonic() > deadline:
            os.killpg(worker, signal.SIGKILL)
        time.sleep(_TICK)
    return signal.SIGALRM if is_over(page) else status


def _status_of(worker: int) -> int | None:
    """Tell the status of a worker that has ended, and end what it started; ``None`` where it has not."""
    ended, status = os.waitpid(worker, os.WNOHANG)
    if not ended:
        return None
    with contextlib.suppress(ProcessLookupError):
        os.killpg(worker, signal.SIGKILL)
    return status


def _wait_for_all(control: socket.socket, workers: list[int]) -> NoReturn:
    """Wait for all workers to end, until the socket ends; then end what is left."""
    while workers and not select.select([control], [], [], _TICK)[0]:
        workers = [worker for worker in workers if _status_of(worker) is None]
    _end_all(workers)


def _end_all(workers: Iterable[int]) -> NoReturn:
    """End this process and its workers, with what they started."""
    for worker in workers:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(worker, signal.SIGKILL)
    deadline = time.monotonic() + _ORPHANS_SECONDS
    with contextlib.suppress(ChildProcessError):  # there are none any more
        while time.monotonic() < deadline:
            if not os.waitpid(-1, os.WNOHANG)[0]:
                time.sleep(_TICK)
    os._exit(0)


def _fork(control: socket.socket, descriptors: list[int], make_body: Any, page: mmap.mmap) -> int:  # noqa: ANN401 (a MakeBody, from a pickle)
    parent = os.getpid()
    if pid := os.fork():
        os.setpgid(pid, pid)  # here as well as there, or it could be ended before it has a group
        for descriptor in descriptors:
            os.close(descriptor)
        return pid
    status, end = 1, _nothing
    try:
        os.setpgid(0, 0)  # so that what the user's function starts ends with this worker
        control.close()
        served, printed = descriptors
        _print_to(printed)
        kill_when_over(page)
        _die_with(parent)
        signal.signal(signal.SIGINT, _interrupt)  # it interrupts a call when the run is stopped
        signal.pthread_sigmask(signal.SIG_SETMASK, ())  # Ray blocks SIGINT in all that it starts
        pipe = Connection(served)
        os.register_at_fork(after_in_child=pipe.close)  # a child that held it would hide a worker's death
        body = make_body()
        end = body.end
        status = serve(pipe, body)
    except Exception:  # noqa: BLE001 (whoever starts workers tells where to read this)
        print(scrubbed(traceback.format_exc()), end="", file=sys.stderr)  # noqa: T201 (likewise)
    finally:
        leave(status, end=end)


def _begun(once: Once, numbers: tuple[int, int], make_body: Callable[[], Any]) -> Any:  # noqa: ANN401 (a Body)
    """Make the body of a worker that knows its numbers: the user's code, which the body loads, may ask for them."""
    once.install()
    os.environ.update(numbered(*numbers))
    return make_body()


def _print_to(descriptor: int) -> None:
    """Have all that is printed in this process, and in those that it starts, go to a descriptor."""
    for standard in (1, 2):
        os.dup2(descriptor, standard)
    os.close(descriptor)


def _nothing() -> None:
    """Release nothing: the default."""


def _die_with(parent: int) -> None:
    """Ask the kernel to kill this process when its parent dies; elsewhere than on Linux the pipe's end has to do."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_SET_PARENT_DEATH_SIGNAL, signal.SIGKILL)
        if os.getppid() != parent:
            os._exit(1)


def _adopt_orphans() -> None:
    """Become the parent of what workers leave behind, on Linux: a process 1 that is no init would keep it for ever."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_SET_CHILD_SUBREAPER, 1)


class Interrupted(KeyboardInterrupt):
    """The run is stopped; what the user's function raises itself is a plain ``KeyboardInterrupt``."""


def _interrupt(_signal: int, _frame: object) -> NoReturn:
    raise Interrupted
