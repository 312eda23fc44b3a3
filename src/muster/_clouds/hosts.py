"""Machines that are there already: hosts that SSH reaches, driven by Ansible."""

import contextlib
import importlib.metadata
import json
import re
import secrets
import shlex
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
class _Started:
    """A host that was started: how to reach it, whatever the file says by now, and what was found there."""

    host: Host
    folder: str
    workers: int
    versions: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class _Record:
    """What must be remembered of a cluster between two commands; the hosts that were started, the head first."""

    scratch: str
    known_hosts: str = ""
    lease: float = 0.0
    started: tuple[_Started, ...] = ()


class HostsCloud:
    """The hosts of one cluster, of which the first that are wanted are started."""

    def __init__(self, folder: Path, file: Path) -> None:
        """Know a cluster by its folder; nothing happens yet."""
        self._folder = folder
        self._file = file
        self._token = folder / "token"

    def _record(self) -> _Record | None:
        with contextlib.suppress(FileNotFoundError):
            known = json.loads((self._folder / "hosts.json").read_text())
            started = tuple(_Started(**{**one, "host": Host(**one["host"])}) for one in known["started"])
            return _Record(**{**known, "started": started})
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

    # What is there

    def machines(self) -> list[Machine]:
        """List the machines that live, the head first."""
        record = self._record()
        if record is None or not record.started:
            return []
        output = _play("inspect", record.started, record).output
        found = []
        for at, one in enumerate(record.started):
            told = json.loads(output.get(one.host.name) or "{}")
            if told:
                name, address = one.host.name, one.host.address
                found.append(Machine(name, address, one.workers, is_head=at == 0, versions=one.versions, **told))
        return found

    @contextlib.contextmanager
    def access(self) -> Iterator[Access]:
        """Dig a tunnel to the head's Ray for as long as this lasts. Raises ``EngineError`` when it does not answer."""
        record = self._record()
        if record is None or not record.started:
            raise EngineError("The cluster has no head. Make the cluster again with muster up.")
        head, port = record.started[0].host, _free_port()
        way = f"127.0.0.1:{port}:{head.address}:{_CLIENT_PORT}"
        with subprocess.Popen(  # noqa: S603 (ssh, with arguments of our own)
            [*_ssh(head, Path(record.known_hosts)), "-o", "ExitOnForwardFailure=yes", "-L", way, _place(head), "cat"],
            stdin=subprocess.PIPE,  # its end, also by our death, ends cat, and that the tunnel
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        ) as tunnel:
            try:
                _await_tunnel(tunnel, port, head)
                workers = sum(one.workers for one in record.started)
                yield Access(
                    f"ray://127.0.0.1:{port}", _secrets(str(self._token.absolute())), workers, shares_files=False
                )
            finally:
                tunnel.terminate()

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
        looked = self._look(chosen, file.known_hosts)
        record = self._record() or self._begin()
        names = {host.name for host in chosen}
        _stop([one for one in record.started if one.host.name not in names], record)
        started = tuple(
            _Started(
                host,
                f"{looked[host.name]['home']}/.muster/machines/{self._folder.name}",
                host.workers or wanted.workers,
                {"python": looked[host.name]["python"], "ray": looked[host.name]["packages"]["ray"]},
            )
            for host in chosen
        )
        record = replace(record, known_hosts=str(file.known_hosts), lease=wanted.lease, started=started)
        self._remember(record)
        self._start(record)

    def _begin(self) -> _Record:
        self._token.touch(mode=0o600)
        self._token.write_text(secrets.token_hex(32))
        return _Record(f"/tmp/muster-{secrets.token_hex(4)}")  # noqa: S108 (a name of chance, on hosts)

    def _look(self, hosts: Sequence[Host], known_hosts: Path) -> dict[str, dict[str, Any]]:
        """See what hosts have. Raises ``UsageError`` where that is not what is here, ``EngineError`` for no answer."""
        for host in hosts:
            if not host.python:
                raise UsageError(
                    f"{str(self._file)!r} does not say which Python to use on {host.name}. Write python: and the path"
                    " of the interpreter that has muster and the function's packages there."
                )
        each = {host.name: {"python": host.python} for host in hosts}
        played = play("check", hosts, known_hosts=known_hosts, told={"look": _LOOK}, each=each)
        played.check("Looking at the hosts")
        looked = {name: json.loads(text) for name, text in played.output.items()}
        if wrong := [f"  {name}: {what}" for name in looked for what in _differences(looked[name])]:
            raise UsageError("Hosts differ from this computer:\n" + "\n".join(wrong) + "\nMend that, then try again.")
        return looked

    def _start(self, record: _Record) -> None:
        head = record.started[0]
        notes = {"lease": f"{record.lease:g}", "scratch": record.scratch, "token": self._token.read_text()}
        each = {
            one.host.name: {
                "is_head": one is head,
                "command": _command(one, head.host, scratch=record.scratch),
                "notes": notes,
                "agent_environment": {**WORKERS_ENVIRONMENT, **_secrets(f"{one.folder}/token")},
            }
            for one in record.started
        }
        told = {"agent": lease.__file__, "sign": STARTED, "seconds": _START_SECONDS}
        played = _play("start", record.started, record, told=told, each=each)
        if played.failures:
            _stop([one for one in record.started if one.host.name in played.failures], record)
        played.check("Starting the hosts")

    def renew(self) -> None:
        """Renew the lease of every machine, side by side; one that does not answer is left to its lease."""
        record = self._record()
        if record is None:
            return
        known_hosts = Path(record.known_hosts)
        touching = [
            subprocess.Popen(  # noqa: S603 (ssh, with arguments of our own)
                [*_ssh(one.host, known_hosts), _place(one.host), f"touch -c {shlex.quote(one.folder)}/lease"],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,
            )
            for one in record.started
        ]
        deadline = time.monotonic() + _RENEW_SECONDS
        for process in touching:
            try:
                process.wait(max(0.0, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def destroy(self) -> None:
        """End all machines. Raises ``EngineError`` when one cannot be reached; its lease then ends it."""
        record = self._record()
        try:
            if record is not None:
                _stop(record.started, record)
        finally:
            (self._folder / "hosts.json").unlink(missing_ok=True)
            self._token.unlink(missing_ok=True)


def _play(
    playbook: str,
    started: Sequence[_Started],
    record: _Record,
    *,
    told: Mapping[str, object] | None = None,
    each: Mapping[str, Mapping[str, object]] | None = None,
) -> Played:
    """Run a playbook on hosts that were started, or are about to be."""
    known = {
        one.host.name: {"folder": one.folder, "python": one.host.python, **(each or {}).get(one.host.name, {})}
        for one in started
    }
    hosts = [one.host for one in started]
    return play(playbook, hosts, known_hosts=Path(record.known_hosts), told=told or {}, each=known)


def _stop(started: Sequence[_Started], record: _Record) -> None:
    if not started:
        return
    lost = [name for name, failure in _play("stop", started, record).failures.items() if failure.task]
    if lost:
        raise EngineError(
            f"{', '.join(lost)} did not answer, so what runs there could not be ended. It ends by itself when its"
            f" lease of {record.lease:g} s does."
        )


def _command(one: _Started, head: Host, *, scratch: str) -> list[str]:
    place = (
        [
            *("--head", f"--port={_HEAD_PORT}", f"--ray-client-server-port={_CLIENT_PORT}"),
            *("--include-dashboard=false", "--no-monitor"),
        ]
        if one.host is head
        else [f"--address={head.address}:{_HEAD_PORT}"]
    )
    return [
        *(str(Path(one.host.python).parent / "ray"), "start", "--block", "--disable-usage-stats", *place),
        *(f"--node-name={one.host.name}", f"--node-ip-address={one.host.address}", f"--num-cpus={one.workers}"),
        *(f"--object-store-memory={_OBJECT_STORE_BYTES}", f"--temp-dir={scratch}"),
    ]


def _secrets(token: str) -> dict[str, str]:
    return {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN_PATH": token, "RAY_USAGE_STATS_ENABLED": "0"}


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
