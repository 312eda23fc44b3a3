"""What is known of a machine of this computer: the notes of its agent, which outlive every other process."""

import contextlib
import importlib.metadata
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from threading import Event
from typing import Final

from muster.errors import EngineError

from . import lease
from .base import Machine

_END_SECONDS: Final = 20.0
_TICK: Final = 0.02
_STARTED: Final = b"Ray runtime started"


class MachineFolder:
    """What is known of one machine: its agent, its lease, its log."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.name = path.name
        self.number = int(path.name[1:])

    def make(self, seconds: float, *, scratch: str) -> None:
        shutil.rmtree(self._path, ignore_errors=True)
        self._path.mkdir(parents=True)
        (self._path / "lease").write_text(f"{seconds:g}")
        (self._path / "scratch").write_text(scratch)

    def start(self, command: Sequence[str], environment: Mapping[str, str]) -> None:
        subprocess.run(  # noqa: S603 (the agent, with a command of our own)
            [sys.executable, "-P", "-S", lease.__file__, str(self._path), *command],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env=environment,
            start_new_session=True,  # it outlives this command, its terminal, and Ctrl-C
            check=True,
        )

    def agent(self) -> int | None:
        """Name the agent's process, if it lives."""
        with contextlib.suppress(OSError, ValueError):
            known = json.loads((self._path / "agent").read_text())
            if lease.birth_of(known["pid"]) == known["born"]:
                return int(known["pid"])
        return None

    def has_started(self) -> bool:
        """Tell whether the node has joined. Raises ``EngineError`` when its agent has ended instead."""
        log = self._path / "log"
        text = log.read_bytes() if log.exists() else b""
        if _STARTED in text:
            return True
        end = self._path / "end"
        if end.exists():
            last = "\n".join(text.decode(errors="replace").splitlines()[-5:])
            raise EngineError(
                f"Machine {self.name} did not start: {end.read_text()}. The end of its log {str(log)!r}:\n{last}"
            )
        return False

    def renew(self, seconds: float | None = None) -> None:
        path = self._path / "lease"
        if seconds is not None:
            write(path, f"{seconds:g}")
        elif path.exists():
            path.touch()

    def ask_to_end(self) -> None:
        pid = self.agent()
        if pid is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM)

    def end(self) -> None:
        """Wait for the agent to have ended all, kill what it leaves, and forget the machine."""
        with contextlib.suppress(TimeoutError):
            until(lambda: self.agent() is None, _END_SECONDS)
        pid = self.agent()
        if pid is not None:
            for descendant in [*lease.descendants(pid), pid]:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(descendant, signal.SIGKILL)
        shutil.rmtree(self._path, ignore_errors=True)

    def describe(self, workers: int) -> Machine:
        stamp = self._path / "lease"
        seconds = float(stamp.read_text())
        pids = lease.descendants(self.agent() or 0)
        return Machine(
            name=self.name,
            address="127.0.0.1",
            workers=workers,
            is_head=self.number == 1,
            lease=seconds,
            left=max(0.0, seconds - (time.time() - stamp.stat().st_mtime)),
            busy=sum(map(lease.is_busy, pids)),
            memory=sum(map(lease.resident, pids)),
            disk=shutil.disk_usage(self._path).free,
            versions={"python": sys.version.split()[0], "ray": importlib.metadata.version("ray")},
        )


def write(path: Path, text: str) -> None:
    unfinished = path.with_name(path.name + ".unfinished")
    unfinished.write_text(text)
    unfinished.replace(path)


def until(condition: Callable[[], bool], seconds: float) -> None:
    """Wait for a condition. Raises ``TimeoutError``."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError
        Event().wait(_TICK)
