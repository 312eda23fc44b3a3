"""Machines that are there already: hosts that SSH reaches, driven by Ansible."""

import contextlib
import importlib.metadata
import json
import re
import secrets
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from threading import Event
from typing import Any, Final

from muster.errors import EngineError, UsageError

from . import lease
from ._ansible import Played, play, ssh_options
from ._hosts_file import Host, HostsFile, read
from .base import STARTED, WORKERS_ENVIRONMENT, Access, Machine, Wanted

_HEAD_PORT: Final = 6379
_CLIENT_PORT: Final = 10001
_OBJECT_STORE_BYTES: Final = 256 << 20
_START_SECONDS: Final = 120
_TUNNEL_SECONDS: Final = 30.0
_RENEW_SECONDS: Final = 20.0
_LEAST_DISK: Final = 256 << 20
_TICK: Final = 0.02
_MUST_AGREE: Final = ("muster", "ray", "pandas", "numpy", "pyarrow", "cloudpickle")
_LOOK: Final = """
import importlib.metadata as metadata, json, os, platform, shutil
home = os.path.expanduser("~")
print(json.dumps({
    "home": home,
    "free": min(shutil.disk_usage(home).free, shutil.disk_usage("/tmp").free),
    "python": platform.python_version(),
    "packages": {one.metadata["Name"].lower(): one.version for one in metadata.distributions()},
}))
"""


@dataclass(frozen=True, slots=True)
class _Record:
    """What must be remembered of a cluster between two commands; hosts by name, the head first."""

    file: str
    scratch: str
    lease: float = 0.0
    started: Mapping[str, Mapping[str, Any]] | None = None
    """Of each host that was started: its folder, how many workers, and its versions."""

    def folder_of(self, host: Host) -> str:
        """Name the folder of a host's agent, on that host."""
        return str((self.started or {})[host.name]["folder"])


class HostsCloud:
    """The hosts of one cluster, of which the first that are wanted are started."""

    def __init__(self, folder: Path, file: Path) -> None:
        """Know a cluster by its folder; nothing happens yet."""
        self._folder = folder
        self._file = file
        self._token = folder / "token"

    def _record(self) -> _Record | None:
        with contextlib.suppress(FileNotFoundError):
            return _Record(**json.loads((self._folder / "hosts.json").read_text()))
        return None

    def _remember(self, record: _Record) -> None:
        (self._folder / "hosts.json").write_text(json.dumps(asdict(record)))

    def _known(self) -> HostsFile:
        """Read the file of hosts; keys that stand in it are those that SSH then goes by."""
        found = read(self._file)
        if not any(host.host_key for host in found.hosts):
            return found
        known = self._folder / "known_hosts"
        known.write_text("".join(f"{_as_known(host)} {host.host_key}\n" for host in found.hosts if host.host_key))
        return HostsFile(found.hosts, known)

    def _started(self) -> tuple[list[Host], HostsFile, _Record]:
        """List the hosts that were started, as the file describes them."""
        record = self._record() or _Record("", "")
        file = self._known()
        return [host for host in file.hosts if host.name in (record.started or {})], file, record

    def _play(
        self, playbook: str, hosts: Sequence[Host], *, each: Mapping[str, Mapping[str, Any]], **told: object
    ) -> Played:
        return play(playbook, hosts, known_hosts=self._known().known_hosts, told=told, each=each)

    # What is there

    def machines(self) -> list[Machine]:
        """List the machines that live, the head first."""
        hosts, _, record = self._started()
        if not hosts or record.started is None:
            return []
        each = {host.name: {**record.started[host.name], "python": host.python} for host in hosts}
        played = self._play("inspect", hosts, each=each)
        found = []
        for at, host in enumerate(hosts):
            told, known = json.loads(played.output.get(host.name) or "{}"), record.started[host.name]
            if told:
                found.append(
                    Machine(
                        host.name, host.address, known["workers"], is_head=at == 0, versions=known["versions"], **told
                    )
                )
        return found

    @contextlib.contextmanager
    def access(self) -> Iterator[Access]:
        """Dig a tunnel to the head's Ray for as long as this lasts. Raises ``EngineError`` when it does not answer."""
        hosts, file, record = self._started()
        if not hosts or record.started is None:
            raise EngineError("The cluster has no head. Make the cluster again with muster up.")
        head, port = hosts[0], _free_port()
        way = f"127.0.0.1:{port}:{head.address}:{_CLIENT_PORT}"
        with subprocess.Popen(  # noqa: S603 (ssh, with arguments of our own)
            [*_ssh(head, file.known_hosts), "-o", "ExitOnForwardFailure=yes", "-L", way, _place(head), "cat"],
            stdin=subprocess.PIPE,  # its end, also by our death, ends cat, and that the tunnel
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        ) as tunnel:
            try:
                _await_tunnel(tunnel, port, head)
                workers = sum(int(known["workers"]) for known in record.started.values())
                yield Access(
                    f"ray://127.0.0.1:{port}", self._secrets(str(self._token.absolute())), workers, shares_files=False
                )
            finally:
                tunnel.terminate()

    def _secrets(self, token: str) -> dict[str, str]:
        return {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN_PATH": token, "RAY_USAGE_STATS_ENABLED": "0"}

    # What changes it

    def scale(self, wanted: Wanted) -> None:
        """Start or stop hosts until the first that are wanted work. Raises ``UsageError``, ``EngineError``."""
        file = self._known()
        if wanted.machines > len(file.hosts):
            raise UsageError(
                f"{wanted.machines} machines are wanted, and {str(self._file)!r} names {len(file.hosts)} hosts. Add"
                " hosts to the file, or ask for fewer."
            )
        chosen = file.hosts[: wanted.machines]
        looked = self._look(chosen)
        record = self._record() or self._begin()
        started = dict(record.started or {})
        self._stop([host for host in file.hosts if host.name in started and host not in chosen], record)
        for host in chosen:
            started[host.name] = {
                "folder": f"{looked[host.name]['home']}/.muster/machines/{self._folder.name}",
                "workers": host.workers or wanted.workers,
                "versions": {"python": looked[host.name]["python"], "ray": looked[host.name]["packages"]["ray"]},
            }
        started = {host.name: started[host.name] for host in chosen}
        record = replace(record, lease=wanted.lease, started=started)
        self._remember(record)
        self._start(chosen, record)

    def _begin(self) -> _Record:
        self._token.touch(mode=0o600)
        self._token.write_text(secrets.token_hex(32))
        return _Record(str(self._file), f"/tmp/muster-{secrets.token_hex(4)}")  # noqa: S108 (a name of chance, on hosts)

    def _look(self, hosts: Sequence[Host]) -> dict[str, dict[str, Any]]:
        """See what hosts have. Raises ``UsageError`` where that is not what is here, ``EngineError`` for no answer."""
        for host in hosts:
            if not host.python:
                raise UsageError(
                    f"{str(self._file)!r} does not say which Python to use on {host.name}. Write python: and the path"
                    " of the interpreter that has muster and the function's packages there."
                )
        played = self._play("check", hosts, each={host.name: {"python": host.python} for host in hosts}, look=_LOOK)
        played.check("Looking at the hosts")
        looked = {name: json.loads(text) for name, text in played.output.items()}
        if wrong := [f"  {name}: {what}" for name in looked for what in _differences(looked[name])]:
            raise UsageError("Hosts differ from this computer:\n" + "\n".join(wrong) + "\nMend that, then try again.")
        return looked

    def _start(self, hosts: Sequence[Host], record: _Record) -> None:
        head = hosts[0]
        each = {}
        for host in hosts:
            known = (record.started or {})[host.name]
            token = f"{known['folder']}/token"
            each[host.name] = {
                **known,
                "is_head": host is head,
                "python": host.python,
                "command": self._command(host, head, workers=known["workers"], scratch=record.scratch),
                "notes": {"lease": f"{record.lease:g}", "scratch": record.scratch, "token": self._token.read_text()},
                "agent_environment": {**WORKERS_ENVIRONMENT, **self._secrets(token)},
            }
        played = self._play("start", hosts, each=each, agent=lease.__file__, sign=STARTED, seconds=_START_SECONDS)
        if played.failures:
            self._stop([host for host in hosts if host.name in played.failures], record)
        played.check("Starting the hosts")

    def _command(self, host: Host, head: Host, *, workers: int, scratch: str) -> list[str]:
        place = (
            [
                *("--head", f"--port={_HEAD_PORT}", f"--ray-client-server-port={_CLIENT_PORT}"),
                *("--include-dashboard=false", "--no-monitor"),
            ]
            if host is head
            else [f"--address={head.address}:{_HEAD_PORT}"]
        )
        return [
            *(str(Path(host.python).parent / "ray"), "start", "--block", "--disable-usage-stats", *place),
            *(f"--node-name={host.name}", f"--node-ip-address={host.address}", f"--num-cpus={workers}"),
            *(f"--object-store-memory={_OBJECT_STORE_BYTES}", f"--temp-dir={scratch}"),
        ]

    def renew(self) -> None:
        """Renew the lease of every machine, side by side; one that does not answer is left to its lease."""
        hosts, file, record = self._started()
        touching = [
            subprocess.Popen(  # noqa: S603 (ssh, with arguments of our own)
                [
                    *_ssh(host, file.known_hosts),
                    _place(host),
                    f"touch -c {record.folder_of(host)}/lease",
                ],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
            )
            for host in hosts
        ]
        deadline = time.monotonic() + _RENEW_SECONDS
        for one in touching:
            try:
                one.wait(max(0.0, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                one.kill()
                one.wait()

    def destroy(self) -> None:
        """End all machines. Raises ``EngineError`` when one cannot be reached; its lease then ends it."""
        hosts, _, record = self._started()
        try:
            self._stop(hosts, record)
        finally:
            (self._folder / "hosts.json").unlink(missing_ok=True)
            self._token.unlink(missing_ok=True)

    def _stop(self, hosts: Sequence[Host], record: _Record) -> None:
        if not hosts or record.started is None:
            return
        each = {host.name: {**record.started[host.name], "python": host.python} for host in hosts}
        played = self._play("stop", hosts, each=each)
        lost = [name for name, failure in played.failures.items() if failure.task]
        if lost:
            raise EngineError(
                f"{', '.join(lost)} did not answer, so what runs there could not be ended. It ends by itself when its"
                f" lease of {record.lease:g} s does."
            )


def _differences(found: Mapping[str, Any]) -> Iterator[str]:
    here = f"{sys.version_info.major}.{sys.version_info.minor}"
    if ".".join(found["python"].split(".")[:2]) != here:
        yield f"Python is {found['python']} there, and {here} here"
    for name in _MUST_AGREE:
        there = found["packages"].get(name)
        if there != importlib.metadata.version(name):
            yield f"{name} is {there or 'not installed'} there, and {importlib.metadata.version(name)} here"
    if found["free"] < _LEAST_DISK:
        yield f"there are {found['free'] >> 20} MiB of disk left there, and {_LEAST_DISK >> 20} are needed"


def _as_known(host: Host) -> str:
    return host.address if host.port == 22 else f"[{host.address}]:{host.port}"  # noqa: PLR2004 (the port SSH leaves unsaid)


def _ssh(host: Host, known_hosts: Path) -> list[str]:
    return [
        "ssh",
        "-F",
        "none",
        *ssh_options(known_hosts),
        "-p",
        str(host.port),
        *(["-i", host.key] if host.key else []),
    ]


def _place(host: Host) -> str:
    return f"{host.user}@{host.address}"


def _await_tunnel(tunnel: "subprocess.Popen[str]", port: int, head: Host) -> None:
    deadline = time.monotonic() + _TUNNEL_SECONDS
    while True:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        if tunnel.poll() is not None or time.monotonic() > deadline:
            said = re.sub(r"\s+", " ", tunnel.stderr.read() if tunnel.poll() is not None and tunnel.stderr else "")
            raise EngineError(f"No way through SSH to the head {head.name}: {said or 'it does not answer'}. Is it up?")
        Event().wait(_TICK)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
