"""Hosts that are folders of this computer: an ``ssh`` that comes first in PATH runs there what it is asked to run.

There is no sshd and no Ray: ``ray start`` says on such a host that it has started, and waits. All else is muster's
own: Ansible, programs there, places, agents, leases. So a test may have many hosts at little cost.
"""

import os
import shutil
import signal
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import pytest
import yaml

SSH = """#!/bin/sh
case " $* " in *" -G "*) exec {ssh} "$@";; esac
test $# -gt 3 || exit 0
address= said=
for word; do address=$said said=$word; done
HOME=$(readlink -f {folder}/$address)
test -d "$HOME" && test ! -e "$HOME/silent" || {{ echo Connection refused >&2; exit 255; }}
cd "$HOME"
test ! -e .profile || . ./.profile
exec env -i HOME="$HOME" TMPDIR="$HOME/tmp" PATH="$PATH" sh -c "$said"
"""
PYTHON = """#!/bin/sh
case "$2" in */node.py) echo "Ray runtime started."; exec sleep 1200;; esac
exec {python} "$@"
"""


@dataclass
class Pretended:
    """Hosts of a test; each is called by the name of its folder."""

    folder: Path
    file: Path = field(init=False)

    def __post_init__(self) -> None:
        self.file = self.folder / "hosts.yml"

    def name(self, names: Iterable[str], **instead: object) -> Path:
        """Write a file of hosts that names these, made where they are not there yet."""
        for name in names:
            (self.folder / name / "tmp").mkdir(parents=True, exist_ok=True, mode=0o700)
        hosts = [{"address": name, "inside": "10.0.0.1"} for name in names]
        told = {"python": str(self.folder / "bin" / "python"), "ssh_config": "none", "workers": 1, "hosts": hosts}
        self.file.write_text(yaml.safe_dump({**told, **instead}))
        return self.file

    def silence(self, name: str) -> None:
        """Have a host answer nobody."""
        (self.folder / name / "silent").touch()

    def mend(self, name: str) -> None:
        """Have it answer again."""
        (self.folder / name / "silent").unlink()

    def running(self, *names: str) -> list[str]:
        """Name the hosts, of these or of all, on which something runs."""
        homes = {str(path): path.name for path in self.folder.iterdir() if not names or path.name in names}
        found = {homes.get(environment.get("HOME", ""), "") for environment in map(_environment, psutil.pids())}
        return sorted(found - {""})

    def left(self, name: str) -> list[str]:
        """List what lies on a host."""
        own = {"silent", "tmp", ".profile"}
        found = [path.relative_to(self.folder / name) for path in (self.folder / name).rglob("*")]
        return sorted(str(path) for path in found if str(path) not in own)

    def end(self) -> None:
        """Kill all that runs on them."""
        for pid in psutil.pids():
            if _environment(pid).get("HOME", "").startswith(f"{self.folder}/"):
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)


def _environment(pid: int) -> dict[str, str]:
    with suppress(psutil.Error, OSError):
        return dict(psutil.Process(pid).environ())
    return {}


@contextmanager
def pretended(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Pretended]:
    """Have such hosts below a folder."""
    (folder / "bin").mkdir(parents=True)
    for name, text in {"ssh": SSH, "python": PYTHON}.items():
        program = folder / "bin" / name
        program.write_text(text.format(ssh=shutil.which("ssh"), python=sys.executable, folder=folder))
        program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder / 'bin'}{os.pathsep}{os.environ['PATH']}")
    made = Pretended(folder)
    try:
        yield made
    finally:
        made.end()
