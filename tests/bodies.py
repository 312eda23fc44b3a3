"""What workers do in the contract suite of engines. Workers import this, so it imports next to nothing."""

import gc
import os
import signal
import struct
from multiprocessing.connection import Connection
from pathlib import Path
from threading import Event, Thread
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
        for pipe in [one for one in gc.get_objects() if isinstance(one, Connection)]:
            os.write(pipe.fileno(), struct.pack("!i", size))
            for _ in range(size // 2 >> 12):
                os.write(pipe.fileno(), bytes(1 << 12))
        os.kill(os.getpid(), signal.SIGKILL)

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
        """Tell who hangs, by a file, and hang."""
        Path(mark).with_suffix(".new").write_text(str(os.getpid()))
        Path(mark).with_suffix(".new").rename(mark)
        Event().wait()

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


def obedient_engine(workers: int, printed: Print = to_standard_error) -> CoresEngine:
    """Make the engine of a machine whose workers do what a request says."""
    return CoresEngine(Obedient, workers=workers, printed=printed)
