"""Run one program as a whole process: its wall time, or the memory of its process tree.

Memory is sampled in runs of their own, so that sampling costs nobody time.
"""

import contextlib
import subprocess
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

LIMIT_SECONDS = 1200.0
SAMPLE_SECONDS = 0.02
KILOBYTE = 1024


@dataclass(frozen=True, slots=True)
class Memory:
    """Peaks in bytes: the resident set of the process itself and of its largest descendant, and of the whole tree.

    The first two are the kernel's own high-water marks; the tree is the largest sum of proportional set sizes that was
    sampled, so that pages which processes share are counted once.
    """

    own: int
    largest_child: int
    tree: int


@dataclass(frozen=True, slots=True)
class Run:
    seconds: float
    code: int
    output: str
    errors: str
    memory: Memory | None


class _Sampler(threading.Thread):
    def __init__(self, root: int) -> None:
        super().__init__(daemon=True)
        self._root = psutil.Process(root)
        self._peaks: dict[int, int] = {}
        self._tree = 0
        self._over = threading.Event()

    def run(self) -> None:
        while not self._over.wait(SAMPLE_SECONDS):
            with contextlib.suppress(psutil.NoSuchProcess):
                self._sample([self._root, *self._root.children(recursive=True)])

    def _sample(self, processes: Sequence[psutil.Process]) -> None:
        tree = 0
        for process in processes:
            with contextlib.suppress(FileNotFoundError, ProcessLookupError, KeyError):  # it ended just now
                self._peaks[process.pid] = _kilobytes(process.pid, "status", "VmHWM")
                tree += _kilobytes(process.pid, "smaps_rollup", "Pss")
        self._tree = max(self._tree, tree)

    def finish(self) -> Memory:
        self._over.set()
        self.join()
        own = self._peaks.pop(self._root.pid, 0)
        sizes = own, max(self._peaks.values(), default=0), self._tree
        return Memory(*(size * KILOBYTE for size in sizes))


def _kilobytes(pid: int, file: str, field: str) -> int:
    lines = Path(f"/proc/{pid}/{file}").read_text().splitlines()
    fields = dict(line.split(":", 1) for line in lines if line.startswith(field + ":"))
    return int(fields[field].split()[0])


def run(command: Sequence[str], *, environment: Mapping[str, str], samples_memory: bool = False) -> Run:
    with tempfile.TemporaryFile("w+") as output, tempfile.TemporaryFile("w+") as errors:
        began = time.monotonic()
        process = subprocess.Popen(
            command, env=environment, stdin=subprocess.DEVNULL, stdout=output, stderr=errors, start_new_session=True
        )
        sampler = _Sampler(process.pid) if samples_memory else None
        if sampler is not None:
            sampler.start()
        limit = threading.Timer(LIMIT_SECONDS, _end, [process.pid])
        limit.start()
        try:
            code = process.wait()  # with a timeout, Python would look only every 50 ms
        except BaseException:
            _end(process.pid)
            raise
        finally:
            seconds = time.monotonic() - began
            limit.cancel()
        memory = sampler.finish() if sampler is not None else None
        output.seek(0)
        errors.seek(0)
        return Run(seconds, code, output.read(), errors.read(), memory)


def _end(root: int) -> None:
    """Kill a process that we started, and its descendants."""
    with contextlib.suppress(psutil.NoSuchProcess):
        process = psutil.Process(root)
        for one in [*process.children(recursive=True), process]:
            with contextlib.suppress(psutil.NoSuchProcess):
                one.kill()
