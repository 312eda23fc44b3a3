"""A machine of this computer: its agent, its lease, its log."""

import getpass
import importlib.metadata
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from muster._clouds.there.host_folders import agent_of
from muster._files.whole import write
from muster._private.files import own_folder
from muster.errors import EngineError, UsageError

from .base import STARTED, TOKEN_REFUSED, Existing, Machine
from .program import program
from .there import ending, inspection, lease

_LEAST_ROOM: Final = 16 << 20
"""Sockets, logs and a lease need a few megabytes."""

_NAME: Final = re.compile(r"m[0-9]+")


class MachineFolder:
    """What is known of one machine: by its agent's notes, which outlive every other process."""

    def __init__(self, path: Path) -> None:
        """Know a machine by its folder, ``m1`` being the head's."""
        self.path = path
        self.name = path.name
        self.number = int(path.name[1:])

    def start(self, command: Sequence[str], environment: Mapping[str, str], notes: Mapping[str, str]) -> None:
        """Start the machine's agent, with the notes that it goes by; this does not wait for its command."""
        ending.end(self.path)
        agent = own_folder(self.path) / "lease.py"
        write(agent, program("lease"))
        started = subprocess.run(  # noqa: S603 (the agent, with a command of our own)
            [sys.executable, "-P", "-S", str(agent), "start", str(self.path), *command],
            input=json.dumps(dict(notes)),
            text=True,
            stderr=subprocess.PIPE,
            env=environment,
            check=False,
        )
        if started.returncode:
            raise EngineError(
                f"Machine {self.name} of this computer: {started.stderr.strip()}. Is there room where MUSTER_HOME is,"
                " and may you write there? Mend that, then type the command again."
            )

    @property
    def is_alive(self) -> bool:
        """Tell whether the agent lives."""
        return agent_of(self.path) is not None

    def wait(self, seconds: float) -> None:
        """Wait until the node has joined. Raises ``EngineError`` when it does not."""
        try:
            lease.wait(self.path, STARTED, seconds)
        except lease.NotStartedError as error:
            if TOKEN_REFUSED in str(error):
                raise EngineError(
                    f"Machine {self.name} could not join: its token does not fit, so {str(self.path.parent)!r} is not"
                    " as it was when the head started. End the cluster with muster down, then make it again."
                ) from error
            full = _full_disks(self.path, Path(tempfile.gettempdir()), Path("/dev/shm"))  # noqa: S108 (where Ray works)
            advice = (
                f"There is no room left in {full}. Make some, then type muster up again."
                if full
                else "Is this computer busy? Type muster up again."
            )
            raise EngineError(f"Machine {self.name} did not start: {error}\n{advice}") from error

    def renew(self, seconds: float | None = None) -> None:
        """Renew the lease, for ``seconds`` from now on where they are given."""
        path = self.path / "lease"
        if seconds is not None:
            write(path, f"{seconds:g}")
        elif path.exists():
            path.touch()

    def describe(self, workers: int) -> Machine:
        """Tell how the machine is."""
        versions = {"python": sys.version.split()[0], "ray": importlib.metadata.version("ray")}
        told = inspection.inspect(self.path)
        told.pop(inspection.ENDED, None)  # just now
        return Machine(self.name, "127.0.0.1", workers, is_head=self.number == 1, versions=versions, **told)

    def found(self) -> Existing:
        """Tell what a census says of it."""
        told = inspection.inspect(self.path)
        who = f"{getpass.getuser()}@{socket.gethostname()}"
        home, lease_, left = self.path.parents[2], told.get("lease", 0.0), told.get("left", 0.0)
        return Existing(self.name, self.path.parent.name, who, str(home), lease=lease_, left=left)


def living_here() -> list[MachineFolder]:
    """Find machines of this computer by the agents among this user's processes, in the order of their folders."""
    import psutil

    folders = set()
    for process in psutil.process_iter(["cmdline", "uids"]):
        words, uids = process.info["cmdline"] or [], process.info["uids"]
        if uids and uids.real == os.getuid():
            for program_, verb, folder in zip(words, words[1:], words[2:], strict=False):
                if verb == "start" and program_ == f"{folder}/lease.py" and _NAME.fullmatch(Path(folder).name):
                    folders.add(folder)
    found = [MachineFolder(Path(folder)) for folder in sorted(folders)]
    return sorted((one for one in found if one.is_alive), key=lambda one: (str(one.path.parent), one.number))


def check_system(platform: str) -> None:
    """Raise ``UsageError`` where no agent could keep a machine: only Linux hands it the orphans of what it starts."""
    if platform != "linux":
        raise UsageError(
            f"This computer runs {platform}, and machines can be made of it on Linux alone. Leave --machines out to use"
            " its cores, or name Linux hosts: --on HOSTS.yml."
        )


def _full_disks(*folders: Path) -> str:
    """Name the folders in which there is no room to speak of."""
    return ", ".join(str(one) for one in folders if one.is_dir() and shutil.disk_usage(one).free < _LEAST_ROOM)
