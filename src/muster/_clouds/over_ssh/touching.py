"""Run a short command on many hosts side by side, and say what kept those from it that it did not succeed on."""

import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from muster._clouds.base import ENDED

from . import ills

GONE: Final = 47
"""What a command ends with where what it looks for is not there."""
_LEAST_SECONDS: Final = 0.2
"""For what has ended long since, though another has used up the time."""


@dataclass(frozen=True, slots=True)
class HostAnswer:
    """What a host's command printed; and what went wrong, empty where nothing did."""

    said: str
    ill: str


def run_on_each(commands: Mapping[str, Sequence[str]], *, seconds: float) -> dict[str, str]:
    """Run a command for each host, all within ``seconds``; tell what went wrong, empty where nothing did."""
    return {name: answer.ill for name, answer in answers_of_each(commands, seconds=seconds).items()}


def answers_of_each(commands: Mapping[str, Sequence[str]], *, seconds: float) -> dict[str, HostAnswer]:
    """Run a command for each host, all within ``seconds``; take what each prints."""
    running = {
        name: subprocess.Popen(  # noqa: S603 (ssh, with arguments of our own)
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
            start_new_session=True,
        )
        for name, command in commands.items()
    }
    deadline = time.monotonic() + seconds
    return {name: _ended(process, deadline, seconds) for name, process in running.items()}


def _ended(process: "subprocess.Popen[str]", deadline: float, seconds: float) -> HostAnswer:
    try:
        said, ill = process.communicate(timeout=max(_LEAST_SECONDS, deadline - time.monotonic()))
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        return HostAnswer("", ills.named(f"timed out: nothing came within {seconds:g} s"))
    if process.returncode in {0, GONE}:
        return HostAnswer(said, ENDED if process.returncode else "")
    return HostAnswer(said, ills.named(ill) or f"its shell ended with status {process.returncode}.")
