"""A stream over TCP at work, beside a test."""

import contextlib
import json
import re
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any

from conftest import begun
from ends import Talker
from followed import kill_a_child
from waiting import until

if TYPE_CHECKING:
    import subprocess


class Streaming:
    """``muster run`` of a pipeline that listens."""

    def __init__(self, folder: Path, process: "subprocess.Popen[str]") -> None:
        self.folder, self.process = folder, process
        self.said: list[str] = []
        """The lines that it has printed to standard error."""
        self._hearing = threading.Thread(target=self._hear)
        self._hearing.start()
        self.talkers: list[Talker] = []
        until(lambda: self._place() or process.poll() is not None, 60)
        match = self._place()
        assert match, self.said
        self.port = int(match[1])

    def _hear(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.said.append(line)

    def _place(self) -> "re.Match[str] | None":
        return re.search(r"listening on \S+:(\d+)", "".join(self.said))

    def talk(self, hello: dict[str, Any] | None = None) -> Talker:
        self.talkers.append(Talker(self.port, hello))
        return self.talkers[-1]

    def stop(self) -> int:
        """End it with all that has come; return its exit code."""
        journal = self.folder / "out.muster" / "journal.jsonl"
        until(lambda: journal.exists() and f'"pid":{self.process.pid},' in journal.read_text())
        (journal.parent / "stop").touch()
        code = self.process.wait(120)
        self._hearing.join(60)
        return code


@contextlib.contextmanager
def streaming(folder: Path, *flags: str) -> Iterator[Streaming]:
    with begun(folder, "run", "pipeline.py", *flags) as process:
        stream = None
        try:
            stream = Streaming(folder, process)
            yield stream
        finally:
            if process.poll() is None:
                process.kill()
            for talker in stream.talkers if stream else ():
                talker.close()


def killed_at_work(  # noqa: PLR0913 (each is given by its name)
    folder: Path, send: Sequence[str], dice: Random, *, times: int, done: Callable[[Path], int], most: range
) -> None:
    """Run a stream and its sender, kill both at random moments so many times, then let them end.

    A moment comes when as much more is ``done`` as one of ``most``, which is drawn. Now and then a worker dies, too.
    """
    for at in range(times + 1):
        with streaming(folder, "--workers", "2") as stream, begun(folder, *send) as sender:
            aim = done(folder) + dice.choice(most)
            until(lambda aim=aim: done(folder) >= aim or sender.poll() is not None)  # type: ignore[misc]
            if dice.random() < 0.5:
                kill_a_child(stream.process.pid, dice)
            if at == times:
                assert sender.wait(120) == 0
                assert stream.stop() == 0, stream.said
            else:
                stream.process.kill()
            sender.kill()
            sender.communicate()


def joined(folder: Path) -> str:
    """Put the parts together, with one header."""
    texts = [path.read_text() for path in sorted((folder / "out").glob("part-*"))]
    return "".join(text if not at else text.partition("\n")[2] for at, text in enumerate(texts))


def rows_out(folder: Path) -> int:
    path = folder / "out" / "_manifest.jsonl"
    return sum(json.loads(line)["rows"] for line in path.read_bytes().splitlines()) if path.exists() else 0
