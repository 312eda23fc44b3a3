"""A stranger on the network of a cluster of hosts: reads nothing, is let in nowhere, with whatever was overheard."""

import contextlib
import json
import os
import socket
import stat
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import grpc
import psutil
import pytest
import yaml

from conftest import MUSTER, require_hosts, started
from hosts import HOME, Host, Hosts, make_hosts
from muster._clouds.certificates import LOOPBACK, Authority
from strangers import Port, answers_in_the_clear, lets_in, shown
from waiting import until

pytestmark = pytest.mark.waits("long", "together")
HURRY = "/tmp/hurry"  # noqa: S108 (that of a host)
COLUMN, ROW, CODE, RESULT = "telling_column", "telling-row", "telling_code", "telling-result"
FUNCTION = f"""
import time
from pathlib import Path

def {CODE}(df):
    while not Path("{HURRY}").exists():
        time.sleep(0.02)
    df["{COLUMN}_2"] = "{RESULT}"
    return df
"""
ALIVE = "/ray.rpc.NodeInfoGcsService/CheckAlive"
HEAD_PORT = 6379
LISTENS = "0A"
LOOPBACKS = ("0100007F", "00000000000000000000000001000000", "0000000000000000FFFF00000100007F")


@dataclass
class AtHome:
    """What was started at home for the cluster: which commands, and which of them would take a call."""

    home: Path
    commands: set[str] = field(default_factory=set)
    listening: list[str] = field(default_factory=list)

    def look(self) -> None:
        """Look at every process with that MUSTER_HOME."""
        sign = os.fsencode(f"MUSTER_HOME={self.home}")
        for process in Path("/proc").iterdir():
            with contextlib.suppress(OSError, psutil.NoSuchProcess):  # it is gone
                if process.name.isdigit() and sign in (process / "environ").read_bytes().split(b"\0"):
                    self._look_at(psutil.Process(int(process.name)))

    def _look_at(self, process: psutil.Process) -> None:
        words = process.cmdline()
        self.commands |= {Path(word).name for word in words[:4]}
        for one in process.net_connections("inet"):
            if one.status == psutil.CONN_LISTEN or (one.type == socket.SOCK_DGRAM and not one.raddr):
                self.listening.append(f"{words} at {one.laddr}")

    def until_the_end_of(self, command: "subprocess.Popen[bytes]") -> None:
        """Look again and again while a command works. Raises ``CalledProcessError``."""
        while command.poll() is None:
            self.look()
            with contextlib.suppress(subprocess.TimeoutExpired):  # to look takes time from what is looked at
                command.wait(0.1)
        if command.returncode:
            raise subprocess.CalledProcessError(command.returncode, command.args)


@dataclass(frozen=True)
class Seen:
    """What a stranger saw of a cluster at work: its ports, which of them let whom in, and every frame between hosts."""

    ports: tuple[Port, ...]
    let_in: Mapping[str, tuple[bool, ...]]
    answers: Mapping[str, object]
    keys: tuple[int, ...]
    """The modes of the machines' private keys."""
    frames: bytes
    token: bytes
    code: int
    left: tuple[str, ...]
    """What of keys and tokens is on the hosts after the end."""
    at_home: "AtHome"


def ports_of(hosts: Hosts, host: Host) -> Iterator[Port]:
    """List where a host listens, but for sshd and what only the host itself can reach."""
    pid = next(process.pid for process in hosts.processes(host) if process.inner == 1)
    for name in ("tcp", "tcp6"):
        for line in Path(f"/proc/{pid}/net/{name}").read_text().splitlines()[1:]:
            _, local, _, state, *_ = line.split()
            address, _, port = local.partition(":")
            if state == LISTENS and address not in LOOPBACKS and int(port, 16) != host.port:
                yield Port(host, int(port, 16))


def asks(host: Host, token: bytes, folder: Path | None) -> object:
    """Ask the head what any of its machines may; tell its answer: ``OK``, or how it was refused."""
    place = f"{host.address}:{HEAD_PORT}"
    if folder is None:
        channel = grpc.insecure_channel(place)
    else:
        own = (folder / "node.crt").exists()
        key, chain = [(folder / name).read_bytes() if own else None for name in ("node.key", "node.crt")]
        trusted = (folder / "ca.crt").read_bytes()
        channel = grpc.secure_channel(place, grpc.ssl_channel_credentials(trusted, key, chain))
    metadata = [("authorization", f"Bearer {token.decode()}")] if token else []
    with channel:
        try:
            channel.unary_unary(ALIVE)(b"", metadata=metadata, timeout=10)
        except grpc.RpcError as error:
            return error.code().name
    return "OK"


def secrets_on(hosts: Hosts, host: Host) -> list[Path]:
    return [path for name in ("node.key", "token") for path in hosts.inside(host, HOME / ".muster").rglob(name)]


@pytest.fixture(scope="module")
def seen(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Seen]:
    """Two hosts at work, and what a third one can find out, and what is left in the end."""
    require_hosts()
    folder = tmp_path_factory.mktemp("strangers")
    environment = {**os.environ, "MUSTER_HOME": str(folder / "home")}
    with pytest.MonkeyPatch.context() as patch, make_hosts(2) as hosts, hosts.overhear() as overheard:
        patch.setenv("MUSTER_HOME", environment["MUSTER_HOME"])
        (folder / "work.py").write_text(FUNCTION)
        (folder / "rows.csv").write_text(f"{COLUMN}\n" + "".join(f"{ROW}-{n}\n" for n in range(2_000)))
        common = {"python": MUSTER[0], "known_hosts": str(hosts.known_hosts), "key": str(hosts.key), "workers": 2}
        told = {**common, "user": "root", "hosts": [{"name": host.name, "address": host.address} for host in hosts]}
        (folder / "hosts.yml").write_text(yaml.safe_dump(told))
        up = [*MUSTER, "up", "--machines", "2", "--on", "hosts.yml", "--lease", "3m"]
        at_home = AtHome(folder / "home")
        try:
            at_home.until_the_end_of(subprocess.Popen(up, cwd=folder, env=environment, stdout=subprocess.DEVNULL))
            yield look(hosts, folder, overheard, at_home)
        finally:
            subprocess.run([*MUSTER, "down", "--all"], env=environment, check=False, capture_output=True)


def look(hosts: Hosts, folder: Path, overheard: Path, at_home: AtHome) -> Seen:
    token = (folder / "home" / "clusters" / "default" / "token").read_bytes()
    member, nobody, old = (folder / name for name in ("member", "nobody", "old"))
    for made in (member, nobody, old):
        made.mkdir()
    found = secrets_on(hosts, hosts[1])
    keys = tuple(stat.S_IMODE(path.stat().st_mode) for path in found)
    for path in next(path for path in found if path.name == "node.key").parent.glob("*.*"):
        (member / path.name).write_bytes(path.read_bytes())
    (nobody / "ca.crt").write_bytes((member / "ca.crt").read_bytes())
    before = Authority(old)
    before.begin(60)
    for name, text in before.issue(hosts[1].name, [hosts[1].address, *LOOPBACK]).items():
        (old / name).write_text(text)
    (old / "ca.crt").write_bytes((member / "ca.crt").read_bytes())  # which anybody may have, and whom it trusts
    command = ("run", f"work.py:{CODE}", "rows.csv", "-o", "out.csv", "--cluster", "default", "--json", "--quiet")
    with started(folder, *command) as running:
        until(lambda: is_busy(folder) or running.poll() is not None)
        assert running.poll() is None, running.communicate()
        at_home.look()
        ports = tuple(port for host in hosts for port in ports_of(hosts, host))
        let_in = {made.name: tuple(lets_in(port, shown(made)) for port in ports) for made in (member, nobody, old)}
        let_in["clear"] = tuple(map(answers_in_the_clear, ports))
        answers = {
            "member": asks(hosts[0], token, member),
            "member without the token": asks(hosts[0], b"", member),
            "stranger with the token": asks(hosts[0], token, nobody),
            "stranger with the token, in the clear": asks(hosts[0], token, None),
            "member of an old cluster with the token": asks(hosts[0], token, old),
        }
        for host in hosts:
            hosts.inside(host, HURRY).touch()
        _, err = running.communicate(timeout=120)
        assert running.returncode == 0, err
    subprocess.run([*MUSTER, "down", "--all"], cwd=folder, check=True, capture_output=True)
    left = tuple(str(path) for host in hosts for path in secrets_on(hosts, host))
    return Seen(ports, let_in, answers, keys, overheard.read_bytes(), token, running.returncode, left, at_home)


def is_busy(folder: Path) -> bool:
    done = subprocess.run([*MUSTER, "status", "--json"], cwd=folder, capture_output=True, text=True, check=True)
    (status,) = json.loads(done.stdout)
    return all(machine["busy"] for machine in status["machines"])


def test_nobody_between_hosts_reads_the_token_the_rows_their_columns_the_code_or_results(seen: Seen) -> None:
    assert len(seen.frames) > 1_000_000
    for secret in (seen.token, *(text.encode() for text in (COLUMN, ROW, CODE, RESULT)), b"authorization"):
        assert secret not in seen.frames


def test_nothing_at_home_waits_for_a_call_while_hosts_are_started_and_used(seen: Seen) -> None:
    assert {"ssh", "ansible_playbook.py", "muster", "run"} <= seen.at_home.commands
    assert seen.at_home.listening == []


def test_every_port_that_others_reach_speaks_to_members_of_the_cluster_alone(seen: Seen) -> None:
    assert {port.host for port in seen.ports if port.number == HEAD_PORT}
    assert len({port.number for port in seen.ports}) >= 8  # those of head, raylets, driver and workers
    assert seen.let_in == {
        "member": (True,) * len(seen.ports),
        "nobody": (False,) * len(seen.ports),
        "old": (False,) * len(seen.ports),
        "clear": (False,) * len(seen.ports),
    }


def test_a_token_that_was_overheard_opens_nothing_without_a_certificate_and_a_certificate_nothing_without_it(
    seen: Seen,
) -> None:
    assert seen.answers == {
        "member": "OK",
        "member without the token": "UNAUTHENTICATED",
        "stranger with the token": "UNAVAILABLE",
        "stranger with the token, in the clear": "UNAVAILABLE",
        "member of an old cluster with the token": "UNAVAILABLE",
    }


def test_keys_of_machines_are_for_their_owner_alone_and_go_with_the_machine(seen: Seen) -> None:
    assert set(seen.keys) == {0o600}
    assert not seen.left
