"""Run a playbook on hosts, all side by side, and gather what its tasks found or what went wrong."""

import hashlib
import json
import os
import shlex
import shutil
import socket
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from muster._clouds.hosts_file import Host
from muster._clouds.there.processes import birth_of
from muster._private.files import LONGEST_SOCKET, new_folder
from muster._words import printable
from muster.errors import EngineError

from . import ills, ssh
from .stray import end_orphans, end_playing

_PLAYBOOKS: Final = Path(__file__).with_name("playbooks")
_SHARED: Final = ("-o", "ControlMaster=auto", "-o", "ControlPersist=5s")
"""One connection for all tasks of a playbook, at a socket that Ansible names whatever the user's settings say."""
_TASK_SECONDS: Final = {"check": 90, "install": 2000, "start": 240, "stop": 90, "inspect": 60, "purge": 90}
"""How long one task of a playbook may take: what never ends on a host, such as its login shell, ends nobody's wait."""
_SOCKETS: Final = "sockets"
_SOCKET: Final = f"/{_SOCKETS}/0123456789.0123456789abcdef"
"""The longest path of a socket that ssh makes below a playbook's folder."""
_PLAYING: Final = "playing-"
_UNREACHED: Final = "Failed to connect to the host via ssh:"


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a host failed: the task, empty where none was reached, and what is the matter."""

    task: str
    said: str


@dataclass(frozen=True, slots=True)
class Played:
    """What came of a playbook: by host, the last line that the command of its last task printed; and who failed."""

    output: Mapping[str, str]
    failures: Mapping[str, Failure]

    def answers(self) -> "tuple[dict[str, dict[str, Any]], Played]":
        """Read what the programs of muster's own printed, in JSON; a host that says something else has failed."""
        read, failures = {}, dict(self.failures)
        for name, text in self.output.items():
            try:
                told = _shown(json.loads(text))
            except ValueError:
                told = None
            if isinstance(told, dict):
                read[name] = told
            else:
                failures[name] = Failure(
                    "look", f"muster's program was asked there, and this was answered: {text.strip()!r}"
                )
        return read, replace(self, failures=failures)

    def check(self, doing: str) -> None:
        """Raise ``EngineError`` when a host failed."""
        if self.failures:
            causes = {name: failure for name, failure in self.failures.items() if failure.task} or self.failures
            lines = "\n".join(f"  {name}: {failure.said}" for name, failure in sorted(causes.items()))
            raise EngineError(
                f"{doing} failed:\n{lines}\nMend that, or take the host out of the file; then type it again."
            )


def play(
    playbook: str,
    hosts: Sequence[Host],
    *,
    told: Mapping[str, Any],
    each: Mapping[str, Mapping[str, Any]],
    below: Path,
) -> Played:
    """Run a playbook of this folder; ``told`` holds its variables, ``each`` those of every host.

    What it writes, secrets among it, lies in a folder ``below`` the one given, and goes with it.
    """
    from ansible_runner.interface import init_runner  # type: ignore[import-untyped]

    with _folder(below) as folder, _sockets(folder) as sockets:
        ours = _environment(folder, sockets, forks=len(hosts), seconds=_TASK_SECONDS[playbook])
        runner = init_runner(
            private_data_dir=str(folder),
            playbook=str(_PLAYBOOKS / f"{playbook}.yml"),
            inventory=_inventory(hosts, each),
            extravars=dict(told),
            envvars=ours,
            quiet=True,
            cancel_callback=_never,  # or it takes Ctrl-C and SIGTERM away from this process, for good
        )
        for name in _for_other_hosts(runner.config.env, ours):
            del runner.config.env[name]
        runner.run()
        return _gathered(runner.events, {_key(at): host.name for at, host in enumerate(hosts)})


def _never() -> bool:
    return False


@contextmanager
def _folder(below: Path) -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix=f"{_PLAYING}{os.getpid()}-{_this_computer()}-", dir=below))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _sockets(folder: Path) -> Iterator[Path]:
    """Find a place for sockets: below the folder, or elsewhere where paths there are too long for them."""
    if len(os.fsencode(folder)) + len(_SOCKET) > LONGEST_SOCKET:
        (folder / _SOCKETS).symlink_to(new_folder(len(_SOCKET)))  # so that it is found when this is killed
    try:
        yield _sockets_of(folder)
    finally:
        _end(folder)


def _sockets_of(folder: Path) -> Path:
    named = folder / _SOCKETS
    return named.readlink() / _SOCKETS if named.is_symlink() else named


def _end(folder: Path) -> None:
    """End what a playbook has started, and remove its sockets.

    Or it would go on beside what comes next, such as to end what it starts: where it is interrupted, or a task took too
    long. Connections that wait for another task go, too.
    """
    sockets = _sockets_of(folder)
    end_playing(folder, sockets)
    if sockets.parent != folder:
        shutil.rmtree(sockets.parent, ignore_errors=True)


def _this_computer() -> str:
    """Name this computer among those that may have the folder in common, in few letters."""
    return hashlib.sha256(socket.gethostname().encode()).hexdigest()[:4]


def tidy(below: Path) -> None:
    """End and remove what those have left who asked for hosts and were killed."""
    end_orphans(below)
    for folder in below.glob(f"{_PLAYING}*"):
        pid, _, rest = folder.name.removeprefix(_PLAYING).partition("-")
        is_here = rest.startswith(f"{_this_computer()}-")  # or its process would be looked for in vain
        if is_here and pid.isdigit() and birth_of(int(pid)) is None:
            _end(folder)
            shutil.rmtree(folder, ignore_errors=True)


def _key(at: int) -> str:
    """Name a host for Ansible, which takes a colon in a name, or brackets, for more than that."""
    return f"host{at}"


def _inventory(hosts: Sequence[Host], each: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    described = {
        _key(at): {
            "ansible_host": host.address,
            "ansible_ssh_args": shlex.join([*ssh.options(host), *_SHARED]),
            **each.get(host.name, {}),
        }
        for at, host in enumerate(hosts)
    }
    heads = [key for key, known in described.items() if known.get("is_head")]
    groups: dict[str, Any] = {
        "head": {"hosts": {key: {} for key in heads}},
        "others": {"hosts": {key: {} for key in described if key not in heads}},
    }
    return {"all": {"hosts": described, "children": groups}}


def _environment(folder: Path, sockets: Path, *, forks: int, seconds: int) -> dict[str, str]:
    config = folder / "ansible.cfg"  # an empty one: those of the user, and of the working folder, are for other hosts
    config.touch()
    return {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', os.defpath)}",
        "ANSIBLE_CONFIG": str(config),
        "ANSIBLE_HOME": str(folder),
        "ANSIBLE_LOCAL_TEMP": str(folder / "tmp"),
        "ANSIBLE_SSH_CONTROL_PATH_DIR": str(sockets),
        "ANSIBLE_TASK_TIMEOUT": str(seconds),
        "ANSIBLE_TIMEOUT": str(ssh.CONNECT_SECONDS),
        "SSH_ASKPASS_REQUIRE": "never",
        "ANSIBLE_HOST_KEY_CHECKING": "True",
        "ANSIBLE_PIPELINING": "True",
        "ANSIBLE_FORKS": str(forks),
        "ANSIBLE_GATHERING": "explicit",
        "ANSIBLE_DEPRECATION_WARNINGS": "False",
        "ANSIBLE_RETRY_FILES_ENABLED": "False",
    }


def _shown(told: Any) -> Any:  # noqa: ANN401 (what JSON is)
    """Leave nothing in what a host tells that would steer the terminal where it is shown."""
    if isinstance(told, dict):
        return {name: _shown(value) for name, value in told.items()}
    if isinstance(told, list):
        return list(map(_shown, told))
    return printable(told) if isinstance(told, str) else told


def _for_other_hosts(environment: Mapping[str, str], ours: Mapping[str, str]) -> list[str]:
    """List the variables with which the user sets Ansible up, for what else it is used for."""
    return [
        name
        for name, value in environment.items()
        if name.startswith("ANSIBLE_") and name not in ours and os.environ.get(name) == value
    ]


def _gathered(events: Iterable[Mapping[str, Any]], names: Mapping[str, str]) -> Played:
    output: dict[str, str] = {}
    failures: dict[str, Failure] = {}
    last = "the playbook did not run"
    for event in events:
        data = event.get("event_data", {})
        name, result, task = names.get(data.get("host"), ""), data.get("res", {}), data.get("task", "")
        if event["event"] == "runner_on_ok" and "stdout" in result:
            output[name] = _last_line(result["stdout"])
        elif event["event"] in {"runner_on_failed", "runner_on_unreachable"} and not data.get("ignore_errors"):
            failures[name] = Failure(task, _said(result))
        elif event["event"] == "error":
            last = event.get("stdout", last)
    for name in names.values():
        if name not in output and name not in failures:
            failures[name] = Failure("", last)
    return Played(output, failures)


def _last_line(printed: str) -> str:
    """Take what a program says; what it runs may have said something before it."""
    return (printed.strip().splitlines() or [""])[-1]


def _said(result: Mapping[str, Any]) -> str:
    """Gather all that was said of a failure, whoever said it, and what it means."""
    said = [text for name in ("stderr", "msg", "stdout") if (text := str(result.get(name) or "").strip())]
    return ills.named("\n".join(said).replace(_UNREACHED, "") or _ended(result))


def _ended(result: Mapping[str, Any]) -> str:
    return f"its program ended with status {result['rc']}, and said nothing" if "rc" in result else str(result)
