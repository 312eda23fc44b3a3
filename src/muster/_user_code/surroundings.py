"""What decides how Python behaves, besides code and files, and how to have the same on another computer.

The environment of a machine that does not share files is its own. What decides how text is read, sorted and shown, what
time it is, and how sets are ordered comes from the computer that began the run; so does what the user's code asks for.
"""

import os
import shlex
import sys
from pathlib import Path
from typing import Any, Final, NamedTuple

from muster._process.environment import KEEP_MEMORY, SINGLE_THREADED
from muster.errors import UserCodeError

from .origins import is_users

_DECIDES: Final = frozenset(
    {"LANG", "LANGUAGE", "TZ", "PYTHONHASHSEED", "PYTHONUTF8", "PYTHONIOENCODING", *SINGLE_THREADED}
)
_DECIDES_BY_PREFIX: Final = ("LC_",)

_OF_EACH_MACHINE: Final = frozenset(
    {
        *(
            "HOME",
            "USER",
            "LOGNAME",
            "SHELL",
            "PATH",
            "PWD",
            "OLDPWD",
            "TMPDIR",
            "HOSTNAME",
            "TERM",
            "MAIL",
            "SHLVL",
            "_",
        ),
        *("LD_LIBRARY_PATH", "LD_PRELOAD", "VIRTUAL_ENV", *SINGLE_THREADED, *KEEP_MEMORY),
    }
)
_OF_EACH_MACHINE_BY_PREFIX: Final = ("PYTHON", "RAY_", "SSH_", "XDG_", "CUDA_", "NVIDIA_", "LC_")

_ZONES: Final = "/usr/share/zoneinfo/"
_LOCAL_TIME: Final = "/etc/localtime"


class Zone(NamedTuple):
    """A time zone: its name, and the rule that holds now, for a machine that does not know the name."""

    name: str = ""
    rule: str = ""

    @classmethod
    def here(cls) -> "Zone":
        """Tell the zone of this process."""
        if (chosen := os.environ.get("TZ")) is not None:
            return cls(chosen, chosen)
        file = os.path.realpath(_LOCAL_TIME)
        try:
            rule = Path(file).read_bytes().rstrip(b"\n").rpartition(b"\n")[2].decode("ascii")
        except (OSError, UnicodeDecodeError):
            return cls("UTC0", "UTC0")
        name = file.partition("zoneinfo/")[2]
        return cls(name or rule, rule)

    def there(self) -> str:
        """Choose what this machine understands."""
        return self.name if os.path.exists(_ZONES + self.name) else self.rule  # noqa: PTH110 (light)


def decides(name: str) -> bool:
    """Tell whether a variable decides how Python behaves."""
    return name in _DECIDES or name.startswith(_DECIDES_BY_PREFIX)


def mask() -> int:
    """Tell the mask of this process's new files, if the kernel does: asking it by setting it would hurt threads."""
    try:
        with open("/proc/self/status", "rb") as status:  # noqa: PTH123 (light)
            return next((int(line[6:], 8) for line in status if line.startswith(b"Umask:")), -1)
    except OSError:
        return -1


class Environment(os._Environ[str]):  # noqa: SLF001 (the class of os.environ, which is turned into one of these)
    """An environment that gives the user's code what the computer has that began the run, or says what to type."""

    def __getitem__(self, name: str) -> str:
        """Look a variable up. Raises ``KeyError``; ``UserCodeError`` for one that is set there alone."""
        if _asked_by_the_user(sys._getframe(1)):  # noqa: SLF001 (there is no other way to ask who calls)
            _check(name)
        return super().__getitem__(name)

    def __setitem__(self, name: str, value: str) -> None:
        """Set a variable, which is then what it is set to."""
        _seen_otherwise.pop(name, None)
        super().__setitem__(name, value)


_seen_otherwise: Final[dict[str, bool]] = {}
"""Variables that are not here what they are on the computer that began the run; and whether they are set there."""


class Variables(NamedTuple):
    """The environment variables of the computer that began the run, by name."""

    sent: frozenset[str] = frozenset()
    kept: frozenset[str] = frozenset()
    """Those that were not sent here."""


def enter(variables: Variables) -> None:
    """Have ``os.environ`` know which variables of the computer that began the run were sent, and which not."""
    for name in {*variables.kept, *os.environ}:
        is_own = name in _OF_EACH_MACHINE or name.startswith(_OF_EACH_MACHINE_BY_PREFIX)
        if name not in variables.sent and not (is_own and name in os.environ):
            _seen_otherwise[name] = name in variables.kept
    os.environ.__class__ = Environment


def _check(name: str) -> None:
    is_set_there = _seen_otherwise.get(name)
    if is_set_there:
        raise UserCodeError(
            f"{name!r} is set on the computer that began the run, and not here; with --env {shlex.quote(name)} it is"
            " sent. The function asks for it, and would find another value. Type the same command again with that, or"
            " unset the variable."
        )
    if is_set_there is not None:
        raise KeyError(name)


def _asked_by_the_user(frame: Any) -> bool:  # noqa: ANN401 (a frame, or none)
    while frame is not None and frame.f_code.co_filename.startswith("<frozen"):
        frame = frame.f_back
    return frame is not None and is_users(frame.f_code.co_filename)
