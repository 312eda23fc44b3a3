"""The ``pulumi`` command, as Pulumi's Automation API has it run."""

import contextlib
import functools
import os
import signal
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path
from threading import Thread
from time import monotonic
from typing import IO, Final

from pulumi.automation import CommandResult
from pulumi.automation.errors import create_command_error
from semver import VersionInfo

from muster.errors import EngineError

_ALONE: Final = {
    "PULUMI_AUTOMATION_API": "true",
    "PULUMI_SKIP_UPDATE_CHECK": "true",
    "PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION": "true",  # hundreds of megabytes, while machines are waited for
}
_ORDERLY_SECONDS: Final = 60.0
"""How long the engine gets to end what it has begun once it was asked to."""

_LAST_WORDS_SECONDS: Final = 5.0
"""Its output is a few lines that wait in a pipe."""

_ASK_SECONDS: Final = 60.0
"""``pulumi version`` takes a second; a disk that has to wake takes some."""

_WAIT_SECONDS: Final = 0.1
"""Nobody notices a tenth of a second behind a step that takes minutes."""

Heard = Callable[[str], object]


class PulumiCommand:
    """Runs the command, each time in a session of its own, until a deadline.

    The engine takes one SIGINT as: finish what has begun, and note it; a second one, as from a terminal that sends it
    to all, as: drop everything. So it gets exactly one of ours, on Ctrl-C and at the deadline.
    """

    def __init__(self, path: Path, *, seconds: float) -> None:
        """Know the command by its file. Raises ``EngineError`` where that does not run."""
        self._path = path
        self._deadline = monotonic() + seconds
        self.version = _version_of(path)

    @property
    def is_late(self) -> bool:
        """Tell whether the deadline has passed."""
        return monotonic() > self._deadline

    def run(
        self,
        args: list[str],
        cwd: str,
        additional_env: Mapping[str, str],
        on_output: Heard | None = None,
        on_error: Heard | None = None,
    ) -> CommandResult:
        """Run it to its end. Raises Pulumi's ``CommandError``. Named as Pulumi calls it."""
        with subprocess.Popen(  # noqa: S603 (Pulumi's arguments)
            [str(self._path), "--non-interactive", *args],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=cwd,
            env={**os.environ, **additional_env, **_ALONE},
            encoding="utf-8",
            errors="replace",
            start_new_session=True,
        ) as process:
            said: tuple[list[str], list[str]] = [], []
            streams = zip((process.stdout, process.stderr), said, (on_output, on_error), strict=True)
            listening = [Thread(target=_listen, args=stream, daemon=True) for stream in streams]
            for thread in listening:
                thread.start()
            self._wait(process)
            for thread in listening:
                thread.join(_LAST_WORDS_SECONDS)  # a plugin that hangs may hold the pipe when its engine is gone
            stdout, stderr = ("\n".join(list(lines)) for lines in said)
        result = CommandResult(stdout=stdout, stderr=stderr, code=process.returncode)
        if result.code:
            raise create_command_error(result)
        return result

    def _wait(self, process: "subprocess.Popen[str]") -> None:
        """Wait for its end; at the deadline, or when we are to end ourselves, ask it to."""
        try:
            while process.poll() is None and not self.is_late:
                _pause(process, _WAIT_SECONDS)
        finally:
            if process.poll() is None:
                process.send_signal(signal.SIGINT)
                _pause(process, _ORDERLY_SECONDS)
                process.kill()  # nothing, where it has ended


@functools.cache
def _version_of(path: Path) -> VersionInfo:
    """Ask a command which it is; once, as each start of it takes a while. Raises ``EngineError``."""
    return VersionInfo.parse(_asked(path, "version").removeprefix("v"))


def _asked(path: Path, *words: str) -> str:
    try:
        done = subprocess.run(  # noqa: S603 (what was found as the command)
            [str(path), *words],
            env={**os.environ, **_ALONE},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=_ASK_SECONDS,
        )
    except subprocess.TimeoutExpired as error:
        raise EngineError(
            f"{str(path)!r} does not run: it said nothing within {_ASK_SECONDS:g} s. Try it: pulumi version"
        ) from error
    except OSError as error:
        raise EngineError(f"{str(path)!r} does not run: {error.strerror}.") from error
    if done.returncode:
        raise EngineError(f"{str(path)!r} does not run: {done.stderr.strip()}")
    return done.stdout.strip()


def _listen(stream: IO[str], said: list[str], heard: Heard | None) -> None:
    for line in stream:
        said.append(line.rstrip())
        if heard is not None:
            heard(said[-1])


def _pause(process: "subprocess.Popen[str]", seconds: float) -> None:
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(seconds)
