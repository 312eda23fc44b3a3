"""Run a playbook on hosts, all side by side, and gather what its tasks found or what went wrong."""

import contextlib
import os
import sys
from collections.abc import Mapping, Sequence
from math import inf
from pathlib import Path
from time import monotonic
from typing import Any, Final

from muster._files.whole import write

from . import ssh
from .inventory import Host
from .played import Played, gathered
from .playing import folder_of_a_playbook, sockets_of_a_playbook
from .variables import inventory, key

_LAST_LETTERS: Final = 500
"""Ansible says what is wrong at the end."""

_COMMAND: Final = Path(__file__).with_name("ansible_playbook.py")
_PLAYBOOKS: Final = Path(__file__).with_name("playbooks")
_TASK_SECONDS: Final = {
    "check": 90,
    "install": 2000,
    "start": 240,
    "stop": 90,
    "inspect": 60,
    "purge": 90,
    "census": 60,
}
"""How long one task of a playbook may take: what never ends on a host, such as its login shell, ends nobody's wait."""

_TOO_LATE: Final = "it was not done with it when the time was over"

_SETTINGS: Final = "[defaults]\ninternal_poll_interval = 0.02\n"
"""What has no variable: how often Ansible looks whether hosts have answered, else 1,000 times a second."""


def play(  # noqa: PLR0913 (each is given by its name)
    playbook: str,
    hosts: Sequence[Host],
    *,
    told: Mapping[str, Any],
    each: Mapping[str, Mapping[str, Any]],
    below: Path,
    until: float = inf,
) -> Played:
    """Run a playbook of this folder; ``told`` holds its variables, ``each`` those of every host.

    What it writes, secrets among it, lies in a folder ``below`` the one given, and goes with it. At ``until``, on the
    monotonic clock, it is ended: hosts that are not done have failed then.
    """
    from ansible_runner.interface import init_runner  # type: ignore[import-untyped]

    with folder_of_a_playbook(below) as folder, sockets_of_a_playbook(folder) as sockets:
        (folder / "inventory").mkdir()  # where Ansible looks by itself
        write(folder / "inventory" / "hosts.json", inventory(hosts, told, each))
        ours = _environment(folder, sockets, forks=len(hosts), seconds=_TASK_SECONDS[playbook])
        runner = init_runner(
            private_data_dir=str(folder),
            playbook=str(_PLAYBOOKS / f"{playbook}.yml"),
            envvars=ours,
            quiet=True,
            # One must be given, or it takes Ctrl-C and SIGTERM away from this process, for good.
            cancel_callback=lambda: monotonic() > until,
        )
        runner.config.command[:1] = [sys.executable, "-P", str(_COMMAND)]  # else ansible-playbook, which loads more
        for name in _for_other_hosts(runner.config.env, ours):
            del runner.config.env[name]
        runner.run()
        names = {key(at): host.name for at, host in enumerate(hosts)}
        otherwise = _TOO_LATE if monotonic() > until else _last_words(runner)
        return gathered(runner.events, names, otherwise=otherwise)


def _last_words(runner: Any) -> str:  # noqa: ANN401 (of a package without types)
    """Say why a playbook may have reached no host at all: what Ansible printed last."""
    with contextlib.suppress(Exception):  # whatever became of its file
        with runner.stdout as file:
            printed = file.read().strip()[-_LAST_LETTERS:]
        if printed:
            return f"the playbook did not run: {printed}"
    return f"the playbook did not run: Ansible ended with {runner.rc}, and said nothing"


def _environment(folder: Path, sockets: Path, *, forks: int, seconds: int) -> dict[str, str]:
    config = folder / "ansible.cfg"  # our own: those of the user, and of the working folder, are for other hosts
    config.write_text(_SETTINGS)
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


def _for_other_hosts(environment: Mapping[str, str], ours: Mapping[str, str]) -> list[str]:
    """List the variables with which the user sets Ansible up, for what else it is used for."""
    return [
        name
        for name, value in environment.items()
        if name.startswith("ANSIBLE_") and name not in ours and os.environ.get(name) == value
    ]
