"""A store whose every request waits until a test lets it through: runs take turns, and die, where the test wants."""

import os
import signal
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.connection import Connection, Pipe
from typing import ClassVar

import fsspec
from fsspec.implementations.local import LocalFileSystem


class Gated(LocalFileSystem):  # type: ignore[misc]  # fsspec has no types
    """Files of this computer as objects of a store; a process that has a gate asks there before each request."""

    protocol = "gated"
    gate: ClassVar[Connection | None] = None
    depth: ClassVar[int] = 0

    def __init__(self, **options: object) -> None:
        super().__init__(**{**options, "auto_mkdir": True})


def _waiting(name: str) -> Callable[..., object]:
    plain = getattr(LocalFileSystem, name)

    def wait(self: Gated, *arguments: object, **options: object) -> object:
        if Gated.gate is not None and not Gated.depth:
            Gated.gate.send_bytes(b"may I?")
            Gated.gate.recv_bytes()
        Gated.depth += 1
        try:
            return plain(self, *arguments, **options)
        finally:
            Gated.depth -= 1

    return wait


for _name in ("pipe_file", "cat_file", "rm_file", "put_file", "find", "info"):
    setattr(Gated, _name, _waiting(_name))
fsspec.register_implementation("gated", Gated, clobber=True)


@dataclass
class Run:
    """A process that works on the store; it stands still before each request."""

    pid: int
    gate: Connection
    ended: str | None = None

    @classmethod
    def of(cls, work: Callable[[], object]) -> "Run":
        ours, theirs = Pipe()
        pid = os.fork()
        if pid == 0:
            ours.close()
            Gated.gate, said = theirs, ""
            try:
                work()
            except BaseException as error:  # noqa: BLE001 (whatever it is, the test hears of it)
                said = type(error).__name__
            theirs.send_bytes(b"ended " + said.encode())
            os._exit(0)
        theirs.close()
        return cls(pid, ours).stood()

    def step(self) -> "Run":
        """Let it do one request."""
        self.gate.send_bytes(b"yes")
        return self.stood()

    def kill(self) -> None:
        os.kill(self.pid, signal.SIGKILL)
        self._end("killed")

    def finish(self) -> str:
        while self.ended is None:
            self.step()
        return self.ended

    def stood(self) -> "Run":
        """Wait until it stands before a request, or has ended."""
        said = self.gate.recv_bytes()
        if said.startswith(b"ended "):
            self._end(said.removeprefix(b"ended ").decode())
        return self

    def _end(self, how: str) -> None:
        os.waitpid(self.pid, 0)
        self.gate.close()
        self.ended = how
