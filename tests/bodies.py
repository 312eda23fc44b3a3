"""What workers do in the contract suite of engines. Workers import this, so it imports next to nothing."""

import gc
import os
import signal
import struct
from multiprocessing.connection import Connection
from pathlib import Path
from threading import Event, Thread
from time import monotonic
from typing import Any

from muster._engines.cores.engine import CoresEngine
from muster._engines.prints import Print, to_standard_error


class Obedient:
    """Do what a request says; remember the briefing."""

    def __init__(self) -> None:
        self.briefing = b""
        self.answered = 0

    def brief(self, briefing: bytes) -> None:
        self.briefing = briefing

    def end(self) -> None:
        pass

    def __call__(self, request: Any) -> object:  # noqa: ANN401 (a verb and its argument)
        self.answered += 1
        verb, *rest = request
        return getattr(self, verb)(*rest)

    def echo(self, value: object) -> object:
        return value

    def grow(self, _: bytes, size: int) -> bytes:
        return bytes(size)

    def briefed(self) -> bytes:
        return self.briefing

    def count(self) -> int:
        return self.answered

    def who(self) -> int:
        return os.getpid()

    def threads_of_parent(self) -> int:
        return len(list(Path(f"/proc/{os.getppid()}/task").iterdir()))

    def environment(self, name: str) -> str | None:
        return os.environ.get(name)

    def fail(self, message: str) -> None:
        raise ValueError(message)

    def fail_strangely(self, message: str) -> None:
        class StrangeError(Exception):
            pass

        raise StrangeError(message)

    def answer_strangely(self) -> object:
        return lambda: None

    def leave(self, status: int) -> None:
        raise SystemExit(status)

    def die_in_the_middle_of_an_answer(self, size: int) -> None:
        """Say how long the answer is, send half of it, and be killed."""
        self._send_half_of_an_answer(size)
        os.kill(os.getpid(), signal.SIGKILL)

    def stop_in_the_middle_of_an_answer(self, size: int, mark: str) -> None:
        """Send half of an answer, tell who does by a file, and be stopped."""
        self._send_half_of_an_answer(size)
        Path(mark).with_suffix(".new").write_text(str(os.getpid()))
        Path(mark).with_suffix(".new").rename(mark)
        os.kill(os.getpid(), signal.SIGSTOP)
        Event().wait()

    def _send_half_of_an_answer(self, size: int) -> None:
        for pipe in [one for one in gc.get_objects() if isinstance(one, Connection)]:
            os.write(pipe.fileno(), struct.pack("!i", size))
            for _ in range(size // 2 >> 12):
                os.write(pipe.fileno(), bytes(1 << 12))

    def break_off(self) -> None:
        raise ConnectionResetError("the other end hung up")

    def end_early(self) -> None:
        raise EOFError("half of a file")

    def run_out_of_memory_beside_a_thread_that_never_ends(self) -> None:
        Thread(target=Event().wait).start()
        raise MemoryError

    def die(self, number: int) -> None:
        os.kill(os.getpid(), number)
        Event().wait()

    def alarm(self) -> None:
        signal.setitimer(signal.ITIMER_REAL, 0.01)
        Event().wait()

    def hang(self, mark: str) -> None:
        """Tell who hangs, by a file, and hang; one that is interrupted says so beside it."""
        Path(mark).with_suffix(".new").write_text(str(os.getpid()))
        Path(mark).with_suffix(".new").rename(mark)
        try:
            Event().wait()
        except KeyboardInterrupt:
            Path(mark).with_suffix(".interrupted").touch()
            raise

    def wait_for(self, gate: str, seconds: float) -> bool:
        """Wait until there is a file, so long at most; tell whether it came."""
        deadline = monotonic() + seconds
        while not Path(gate).exists() and monotonic() < deadline:
            Event().wait(0.01)
        return Path(gate).exists()

    def die_with_a_child_left(self, mark: str) -> None:
        """Start a process as ``multiprocessing`` does, leave its id in a file, and die."""
        child = os.fork()
        if child:
            Path(mark).write_text(str(child))
            os.kill(os.getpid(), signal.SIGKILL)
        Event().wait()

    def close_everything(self) -> None:
        os.closerange(3, 256)
        Event().wait()


class Fussy(Obedient):
    """Take no briefing that is bad."""

    def brief(self, briefing: bytes) -> None:
        if briefing == b"bad":
            raise OSError(28, "no room")


class StillBorn(Obedient):
    def __init__(self) -> None:
        os._exit(7)


class OnlyTheFirstStarts(Obedient):
    """The others of a machine leave their ids in the folder that ``GATE`` names, wait for a file in it, and end."""

    def __init__(self) -> None:
        super().__init__()
        if os.environ["MUSTER_LOCAL_WORKER"] != "0":
            folder = Path(os.environ["GATE"])
            (folder / f"{os.getpid()}.waits").touch()
            self.wait_for(str(folder / "open"), 30)
            os._exit(7)


def obedient_engine(workers: int, printed: Print = to_standard_error) -> CoresEngine:
    """Make the engine of a machine whose workers do what a request says."""
    return CoresEngine(Obedient, workers=workers, printed=printed)


def engine_after_one_that_hangs(workers: int, printed: Print = to_standard_error) -> CoresEngine:
    """Make such an engine; whoever is the first in this folder never gets one."""
    mark = Path("hangs")
    if not mark.exists():
        mark.touch()
        Event().wait()
    return obedient_engine(workers, printed)
