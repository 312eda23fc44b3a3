"""Streams of tests: a pipeline of the test's folder that follows ``in/`` and writes ``out/``."""

import json
import os
import random
import signal
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from conftest import begun
from waiting import until

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Iterator


def manifest(folder: Path) -> list[dict[str, Any]]:
    path = folder / "out" / "_manifest.jsonl"
    return [json.loads(line) for line in path.read_bytes().splitlines()] if path.exists() else []


def rejects(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "out.rejects.jsonl").read_bytes().splitlines()]


def rows_out(folder: Path) -> int:
    return sum(part["rows"] for part in manifest(folder))


def joined(folder: Path) -> str:
    """Put the parts together, with one header."""
    texts = [path.read_text() for path in sorted((folder / "out").glob("part-*"))]
    return "".join(text if not at else text.partition("\n")[2] for at, text in enumerate(texts))


def append(path: Path, text: str) -> None:
    with path.open("a") as file:
        file.write(text)


def text_of(path: Path) -> str:
    try:
        return path.read_text()
    except FileNotFoundError:
        return ""


@contextmanager
def following(folder: Path, *flags: str) -> "Iterator[subprocess.Popen[str]]":
    """Run the pipeline beside the test."""
    with begun(folder, "run", "pipeline.py", *flags) as process:
        try:
            yield process
        except BaseException:
            process.kill()
            raise


def stopped(folder: Path, process: "subprocess.Popen[str]") -> tuple[int, str, str]:
    """Have a stream end once it has done all; tell its exit code, and what it printed."""
    journal = folder / "out.muster" / "journal.jsonl"
    until(lambda: f'"pid":{process.pid},' in text_of(journal))
    (folder / "out.muster" / "stop").touch()
    out, err = process.communicate(timeout=120)
    return process.returncode, out, err


def kill_a_child(pid: int, dice: random.Random) -> None:
    """Kill a process below muster's: a worker, mostly."""
    below = _children(pid)
    for parent in list(below):
        below += _children(parent)
    if below:
        with suppress(ProcessLookupError):  # it has ended by itself
            os.kill(dice.choice(below), signal.SIGKILL)


def _children(pid: int) -> list[int]:
    with suppress(FileNotFoundError, ProcessLookupError):  # likewise
        return [int(one) for one in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    return []


def follow_in_turn(folder: Path, *texts: str, flags: tuple[str, ...] = ("--workers", "0")) -> tuple[int, str]:
    """Append texts to a file, each once the one before is done; tell how the stream ended."""
    path, before = folder / "in" / "a.csv", rows_out(folder)
    with following(folder, *flags, "--quiet") as process:
        for text in texts:
            append(path, text)
            until(lambda before=before: rows_out(folder) > before or process.poll() is not None)  # type: ignore[misc]
            before = rows_out(folder)
        if process.poll() is None:
            code, _, err = stopped(folder, process)
            return code, err
        return process.returncode, process.communicate()[1]
