"""Messages to a process of muster's and back, over its standard input and output; each end begins with a hello."""

import contextlib
import os
import re
import select
import signal
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Mapping, Sequence
from multiprocessing.connection import Connection
from typing import IO, Any, Final

from muster._engines.frames import Frames

from . import hello
from .plain import decode

_LEAVE_SECONDS: Final = 10.0
"""To leave a cluster in order takes two or three; then the process is killed."""

_LAST_LINES: Final = 5
"""What went wrong stands at the end of what was printed."""

_NOISE_READS: Final = 256
"""So often at a time, about a megabyte: a login shell that prints without end does not hold up the rest."""
_STALL_SECONDS: Final = 300.0
"""How long the middle of a message may be awaited: longer than it takes to notice that a link is cut."""

_LONGEST_LINE: Final = 1 << 16
"""Bytes that are awaited before they are passed on; who prints no end of a line fills nobody's memory."""


class DriverPipe:
    """Messages to and from a process of ours; what it prints beside them goes to this one's standard error."""

    def __init__(
        self,
        command: Sequence[str],
        environment: Mapping[str, str],
        *,
        fatal: str = "(?!)",
        seconds: float = hello.SECONDS,
    ) -> None:
        """Start the process. It has a session of its own: Ctrl-C is for muster, which then ends it.

        A line that begins as the pattern ``fatal`` says is not passed on, and ends the process at once. ``seconds`` is
        how long it may take until it says hello.
        """
        self._process = subprocess.Popen(  # noqa: S603 (what the engine asks for)
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
            env=environment,
        )
        self._writing = _connected(self._process.stdin, is_ours_to_read=False)
        self._reading = _connected(self._process.stdout, is_ours_to_read=True)
        self._waiting = select.poll()
        self._waiting.register(self._reading.fileno(), select.POLLIN)
        self._frames = Frames(self._reading.fileno(), stall_seconds=_STALL_SECONDS)
        self._fatal = re.compile(fatal)
        self.is_fatal = False
        """Whether there was such a line."""
        self._last: deque[str] = deque(maxlen=_LAST_LINES)
        self._listener = threading.Thread(target=self._relay, daemon=True)
        self._listener.start()
        self.is_open = True
        self._greeting = hello.Greeting(seconds=seconds)
        self.has_greeted = False
        """Whether the other end has said hello."""
        self._unsent: list[object] = []
        self._noise = ""

    def _relay(self) -> None:
        printed = self._process.stderr
        while printed is not None and (line := printed.readline(_LONGEST_LINE)):
            text = line.decode(errors="replace")
            if self._fatal.match(text):
                self.is_fatal = True
                self._kill()
                continue
            self._last.append(text.strip())
            with contextlib.suppress(ValueError, OSError):
                sys.stderr.write(text)

    def send(self, message: object) -> None:
        """Send a message, once the other end has said hello; where it is gone, the end of what it says will tell."""
        if not self.has_greeted:
            self._unsent.append(message)
        elif self.is_open:
            with contextlib.suppress(ConnectionError):
                self._writing.send(message)

    def fileno(self) -> int:
        """Name the descriptor that can be read when ``receive`` has something."""
        return self._reading.fileno()

    def receive(self) -> Any:  # noqa: ANN401 (whatever was sent)
        """Take the next message, which is plain data; ``None`` where there is none yet, as nothing is waited for.

        Raises ``EOFError`` when none will come, ``GarbledError`` for what is no message, ``SilenceError`` where no
        hello came in time, ``StrangerError`` where another muster says it.
        """
        if not self.is_open:
            return None
        try:
            if not self._has_been_greeted():
                return None
        except (hello.SilenceError, hello.StrangerError):
            self._kill()
            raise
        frame = self._frames.next()
        return None if frame is None else decode(frame)

    def _has_been_greeted(self) -> bool:
        """Read what comes up to the hello, as far as it is there; only then can the time for it be over."""
        for _ in range(_NOISE_READS):
            if self.has_greeted or not self._waiting.poll(0):
                break
            self._greet()
        if not self.has_greeted:
            self._greeting.check_time()
        return self.has_greeted

    def _greet(self) -> None:
        if not self._greeting.take(self._reading.fileno()):
            return
        with contextlib.suppress(ConnectionError):
            hello.say(self._writing.fileno())
        self.has_greeted, self._noise = True, self._greeting.noise
        for message in self._unsent:
            self.send(message)
        self._unsent.clear()

    def take_noise(self) -> str:
        """Tell once what was said before the hello: by a login shell, not by the process."""
        noise, self._noise = self._noise, ""
        return noise

    def last_words(self) -> str:
        """Say what the process printed at last."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(_LEAVE_SECONDS)
            self._listener.join(_LEAVE_SECONDS)
        return " ".join([*self._last, *([] if self.has_greeted else [self._greeting.noise])]).strip()

    def close(self) -> None:
        """Hang up, which ends the process; kill it if it does not end."""
        if not self.is_open:
            return
        self.is_open = False
        self._writing.close()
        try:
            self._process.wait(_LEAVE_SECONDS)
        except subprocess.TimeoutExpired:
            self._kill()
            self._process.wait()
        self._reading.close()
        self._listener.join(_LEAVE_SECONDS)
        if self._process.stderr is not None:
            self._process.stderr.close()

    def _kill(self) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)


def _connected(pipe: IO[bytes] | None, *, is_ours_to_read: bool) -> "Connection[Any, Any]":
    """Make a connection of a pipe, which from then on holds it alone."""
    if pipe is None:
        raise RuntimeError("a process that was started with pipes has none")
    with pipe:
        return Connection(os.dup(pipe.fileno()), readable=is_ours_to_read, writable=not is_ours_to_read)
