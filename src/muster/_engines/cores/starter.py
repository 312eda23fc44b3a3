"""Start the zygote and end it; ahead of the engine, where a command line is sure to need one.

The zygote loads pandas and Arrow, which takes longer than anything else at the start of a run, so it pays to have it
begin while muster still loads itself. Nothing is imported here that a bare interpreter does not load in a moment.
"""

import contextlib
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any, Final

from muster._process.environment import interpreter_flags, of_zygote

_MAIN: Final = (
    "import sys; sys.path[:] = sys.argv[3:]; from muster._engines.cores.zygote import main; main(*sys.argv[1:3])"
)

_SECONDS_IN_ORDER: Final = 5.0
"""How long workers may take to run what is registered for their end, and to write what is left to be written."""

_SECONDS_TO_END: Final = 2.0
"""It ends at once, unless it is still loading what it was told to: then it has no workers yet, and is killed."""


_popen: list[Callable[..., "subprocess.Popen[Any]"]] = [subprocess.Popen]


def start_by(popen: Callable[..., "subprocess.Popen[Any]"]) -> Callable[..., "subprocess.Popen[Any]"]:
    """Have zygotes started by this from now on, for whoever has one that waits; return what started them before."""
    before, _popen[:] = _popen[0], [popen]
    return before


class Zygote:
    """The process that forks workers, and the socket on which it obeys."""

    def __init__(
        self,
        *,
        ahead: str = "muster",
        environment: Mapping[str, str] = os.environ,
        flags: Sequence[str] | None = None,
    ) -> None:
        """Start it; it loads the module ``ahead`` before it is told what to load.

        Its interpreter has the ``flags`` of this one, or others. What is printed there can be read from ``printed``,
        which whoever takes the zygote closes.
        """
        self._surroundings = _surroundings()
        given = interpreter_flags() if flags is None else flags
        self.control, theirs = socket.socketpair()
        self.printed, output = os.pipe()
        with theirs, open(output, "wb"):  # noqa: PTH123 (a descriptor, which is closed here)
            self._process = _popen[0](
                [sys.executable, *given, "-P", "-c", _MAIN, str(theirs.fileno()), ahead, *sys.path],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,  # Ctrl-C is for muster, which then ends its workers
                env=of_zygote(environment),
            )

    def is_as_if_new(self, *, folder: str = "") -> bool:
        """Tell whether it lives, and one that is started now would find the same surroundings.

        The ``folder`` of the user's program, or the one that this process is in, may stand first on the search path by
        now, as a file there defines the pipeline: workers look there, too, once they have loaded their own.
        """
        place, path, variables = _surroundings()
        before = self._surroundings[1]
        is_longer = path[1:] == before and path[:1] in ([folder], [place])
        is_same = self._surroundings == (place, before if is_longer else path, variables)
        return self._process.poll() is None and is_same

    def dismiss(self) -> None:
        """Have its workers, whose pipes have ended, end in order; end what is left of them after a while."""
        try:
            with contextlib.suppress(OSError):
                self.control.settimeout(_SECONDS_IN_ORDER)
                self.control.sendall(b"E")
                self.control.recv(1)
        finally:
            self.end()

    def end(self) -> None:
        """End it, its workers, and whatever the user's function started in their process groups."""
        self.control.close()  # it then ends all that it knows of, and itself
        if self._process.returncode is None:  # once it is buried, its id may be another's
            try:
                self._process.wait(_SECONDS_TO_END)
            except subprocess.TimeoutExpired:
                self.kill()

    def kill(self) -> None:
        """End it at once: it has no workers, and may still be loading, which takes longer than anybody should wait."""
        if self._process.returncode is None:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
        self.control.close()


def _surroundings() -> tuple[str, list[str], dict[str, str]]:
    return os.getcwd(), list(sys.path), dict(os.environ)  # noqa: PTH109 (pathlib takes its time to load)


_ELSEWHERE: Final = frozenset({"--cluster", "--machines", "--help", "-h"})
"""Options with which no process of this computer works."""


def is_sure_to_need_workers(words: list[str]) -> bool:
    """Tell whether a command line, not parsed yet, will have processes of this computer work."""
    inline = ("--workers", "0") in pairwise(words) or "--workers=0" in words
    return words[:1] == ["run"] and not inline and not any(word.partition("=")[0] in _ELSEWHERE for word in words)


_ahead: list[Zygote] = []


@contextlib.contextmanager
def started_ahead(module: str) -> Iterator[None]:
    """Have a zygote load a module from now on, and end it with the context if no engine has taken it."""
    with contextlib.suppress(OSError):  # the engine will try again, and say what is wrong
        _ahead.append(Zygote(ahead=module))
    try:
        yield
    finally:
        end_ahead()


def take(
    *,
    environment: Mapping[str, str] = os.environ,
    flags: Sequence[str] | None = None,
    folder: str = "",
) -> Zygote:
    """Take the zygote that was started ahead, or start one; ``folder`` is that of the user's program."""
    if _ahead and _ahead[-1].is_as_if_new(folder=folder):
        return _ahead.pop()
    end_ahead()
    return Zygote(environment=environment, flags=flags)


def end_ahead() -> None:
    """End what was started ahead, as nobody needs it."""
    while _ahead:
        unused = _ahead.pop()
        unused.kill()
        os.close(unused.printed)
