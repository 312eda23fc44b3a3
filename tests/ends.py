"""Both ends of a stream: those of the seed system's kind, written from its description, and muster's own."""

import contextlib
import json
import re
import signal
import socket
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from conftest import begun

if TYPE_CHECKING:
    import subprocess

HOST = "127.0.0.1"
END = b"\x04"


def framed(payload: bytes) -> bytes:
    return len(payload).to_bytes(4, "big") + payload


def seeds_sender(port: int, rows: Sequence[bytes], *, at_once: int = 1 << 30) -> bytes:
    """Send frames as the seed's sender does, and close; return what was heard: a plain sender reads nothing."""
    with socket.create_connection((HOST, port), timeout=60) as connection:
        data = b"".join(map(framed, [*rows, END]))
        for at in range(0, len(data), at_once):
            connection.sendall(data[at : at + at_once])
        connection.shutdown(socket.SHUT_WR)
        return b"".join(iter(lambda: connection.recv(1000), b""))


def seeds_receiver(listener: socket.socket) -> tuple[list[bytes], bool]:
    """Take the frames of one connection, as the seed's receiver does; tell whether it ended as agreed."""
    connection, _ = listener.accept()
    with connection, connection.makefile("rb") as file:
        frames: list[bytes] = []
        while len(header := file.read(4)) == 4:
            payload = file.read(int.from_bytes(header, "big"))
            if payload == END:
                return frames, True
            frames.append(payload)
    return frames, False


class Talker:
    """A sender that says hello, and hears answers."""

    def __init__(self, port: int, hello: dict[str, Any] | None = None) -> None:
        self.connection = socket.create_connection((HOST, port), timeout=60)
        self._file = self.connection.makefile("rb")
        if hello is not None:
            self.say(b"\x01muster1 " + json.dumps(hello).encode())

    def say(self, *payloads: bytes) -> None:
        self.connection.sendall(b"".join(map(framed, payloads)))

    def hear(self) -> dict[str, Any]:
        """Hear the next answer; empty at the end."""
        header = self._file.read(4)
        answer: dict[str, Any] = json.loads(self._file.read(int.from_bytes(header, "big"))) if header else {}
        return answer

    def hear_until(self, safe: int) -> dict[str, Any]:
        """Hear answers until so many rows are safe."""
        while (answer := self.hear()).get("safe", safe) < safe:
            pass
        return answer

    def close(self) -> None:
        self._file.close()
        self.connection.close()


class Listening:
    """``muster receive`` at work."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self.process = process
        assert process.stdout is not None
        line = process.stdout.readline()
        match = re.search(r"on \S+:(\d+), for", line)
        assert match, (line, process.communicate())
        self.port = int(match[1])
        self.talkers: list[Talker] = []

    def talk(self, hello: dict[str, Any] | None = None) -> Talker:
        """Connect to it, for as long as it is listened to."""
        self.talkers.append(Talker(self.port, hello))
        return self.talkers[-1]

    def stop(self, number: int = signal.SIGINT) -> tuple[int, str, str]:
        """End it; return how it ended, and what it said."""
        self.process.send_signal(number)
        return self.ended()

    def ended(self) -> tuple[int, str, str]:
        """Wait for its end."""
        out, err = self.process.communicate(timeout=60)
        return self.process.returncode, out, err


@contextlib.contextmanager
def listening(folder: Path, *arguments: str | Path, port: int = 0) -> Iterator[Listening]:
    with begun(folder, "receive", "--listen", f"{HOST}:{port}", *arguments) as process:
        receiver = None
        try:
            receiver = Listening(process)
            yield receiver
        finally:
            if process.poll() is None:
                process.kill()
            for talker in receiver.talkers if receiver else ():
                talker.close()


def rows_of(*paths: Path) -> list[bytes]:
    """Read the lines of files, without their headers."""
    return [line for path in paths for line in path.read_bytes().splitlines()[1:]]
