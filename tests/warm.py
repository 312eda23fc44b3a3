"""Processes of muster that need not load pandas anew: each is a fork of one that has, and waits.

Loading pandas and Arrow takes three quarters of the processor's time of a command with ``--workers 0`` on few rows.
muster itself is loaded anew by each fork, which has a process id, environment, folder and streams of its own, and ends
as any process does. Two wait and take turns, so that a set of texts has another order in each command than in that
before it, as in processes that were started one by one. What Python or a library reads when it starts has to be the
same: who changes anything of that has to start a process.
"""

import contextlib
import gc
import importlib
import json
import os
import runpy
import selectors
import signal
import socket
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from time import monotonic

MODULES = ("pandas", "orjson", "pyarrow.csv", "pyarrow.json")
"""What a run of a text file loads in its own process where nobody else works for it."""

READ_LATE = ("MUSTER_", "AWS_", "PYTEST_")
"""How the names of variables begin that nobody reads while these modules are loaded."""

START = "import sys; sys.path.insert(1, sys.argv.pop()); import warm; del sys.path[1]; warm.serve(int(sys.argv.pop()))"
LARGEST = 1 << 20
AT_ONCE = 2


@dataclass(frozen=True)
class Waiting:
    """A process that waits for commands, and the socket on which it gets them."""

    process: "subprocess.Popen[bytes]"
    control: socket.socket

    @classmethod
    def started(cls) -> "Waiting":
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            command = [sys.executable, "-c", START, str(theirs.fileno()), str(Path(__file__).parent)]
            environment = {**read_at_start(os.environ), "OPENBLAS_NUM_THREADS": "1"}  # a fork has but one thread
            return cls(subprocess.Popen(command, pass_fds=[theirs.fileno()], env=environment), ours)

    def end(self) -> None:
        self.control.close()
        self.process.wait()


class Warm:
    """Run commands of muster in forks of processes that wait."""

    def __init__(self) -> None:
        self._environment = read_at_start(os.environ)
        self._waiting: list[Waiting] = []

    def fits(self, words: Sequence[str]) -> bool:
        """Tell whether a command would load what waits is loaded with, and nothing that it reads then has changed."""
        inline = words[:1] == ["run"] and ("--workers", "0") in pairwise(words)
        return inline and read_at_start(os.environ) == self._environment

    def run(self, words: Sequence[str], folder: Path, timeout: float) -> tuple[int, str, str]:
        """Run a command to its end; return its exit code as ``subprocess`` does, and what it wrote."""
        with contextlib.ExitStack() as stack:
            (out, to_out), (err, to_err), (told, to_told) = pipes = [os.pipe() for _ in range(3)]
            for end, _ in pipes:
                stack.callback(os.close, end)
            order = json.dumps([list(words), str(folder), dict(os.environ)]).encode()
            socket.send_fds(self._next().control, [order], [to_out, to_err, to_told])
            for _, end in pipes:
                os.close(end)
            texts = read_all([out, err, told], monotonic() + timeout, command=words)
        return int(texts[told].split()[-1]), texts[out].decode(), texts[err].decode()

    def _next(self) -> Waiting:
        """Choose the one that has waited longer."""
        self._waiting.append(Waiting.started() if len(self._waiting) < AT_ONCE else self._waiting.pop(0))
        return self._waiting[-1]

    def close(self) -> None:
        for waiting in self._waiting:
            waiting.end()


def read_at_start(environment: "os._Environ[str]") -> dict[str, str]:
    """Choose what matters when a process starts."""
    return {name: value for name, value in environment.items() if not name.startswith(READ_LATE)}


def read_all(ends: list[int], deadline: float, *, command: Sequence[str]) -> dict[int, bytes]:
    """Read pipes to their ends, the last of which tells a process's id first; kill that when it takes too long."""
    found = dict.fromkeys(ends, b"")
    with selectors.DefaultSelector() as selector:
        for end in ends:
            selector.register(end, selectors.EVENT_READ)
        while selector.get_map():
            if not (ready := selector.select(deadline - monotonic())) and monotonic() > deadline:
                os.kill(int(found[ends[-1]].split()[0]), signal.SIGKILL)
                raise subprocess.TimeoutExpired(list(command), 0, found[ends[0]], found[ends[1]])
            for key, _ in ready:
                if data := os.read(key.fd, 1 << 16):
                    found[key.fd] += data
                else:
                    selector.unregister(key.fd)
    return found


# What waits


def serve(descriptor: int) -> None:
    """Load, then have a fork run each command that comes, until nobody can send one; a fork returns from here."""
    for name in MODULES:
        importlib.import_module(name)
    gc.freeze()
    control = socket.socket(fileno=descriptor)
    while order := (received := socket.recv_fds(control, LARGEST, 3))[0]:
        if not os.fork():
            control.close()
            return become(*json.loads(order), ends=received[1])
        for end in received[1]:
            os.close(end)
        with contextlib.suppress(ChildProcessError):  # none is left
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
    return None


def become(words: list[str], folder: str, environment: dict[str, str], *, ends: list[int]) -> None:
    """Be the parent of a process that is as ``python -m muster`` makes it, and tell of it; or be that process."""
    out, err, told = ends
    if pid := os.fork():
        os.close(out)
        os.close(err)
        os.write(told, f"{pid} ".encode())
        os.write(told, str(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])).encode())
        os._exit(0)
    os.close(told)
    for end, number in ((out, 1), (err, 2)):
        os.dup2(end, number)
        os.close(end)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    importlib.import_module(
        "numpy.random"
    ).seed()  # as nobody else has drawn the numbers that a process of its own would draw
    sys.path[0] = folder
    sys.argv[:] = ["-m", *words]
    main = sys.modules["__main__"]
    for name in [name for name in vars(main) if not name.startswith("__")]:
        delattr(main, name)
    del sys.modules[__name__]
    runpy._run_module_as_main("muster")  # type: ignore[attr-defined]  # noqa: SLF001 (what -m does)
