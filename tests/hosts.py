"""Hosts with SSH on this one machine: each with its own network, processes, name, home, /tmp, /dev/shm and sshd.

A host is a process 1 in namespaces of its own, on a bridge that lies in a namespace of its own too. Nothing of it has a
name outside but one link. Each process 1 reads from a pipe of ours: whatever becomes of us, the pipe ends, process 1
with it, and with that all the host's processes, mounts and links: the kernel sees to it.

`/` is the machine's own but for what `DISK`, `/dev/shm` and `/run` cover, so hosts see the same Python and the same
muster. There is no way from a host to anywhere but the other hosts and this machine.
"""

import errno
import os
import select
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import sysconfig
import tempfile
import venv
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from ipaddress import IPv4Network, IPv6Address
from itertools import count as counted
from pathlib import Path
from pwd import getpwuid
from random import Random
from secrets import choice, randbelow, token_hex
from threading import Event as Flag
from time import monotonic
from types import TracebackType
from typing import Self

SECONDS = 30.0
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
PROGRAMS = ("bash", "hostname", "ip", "mount", "nsenter", "ssh", "ssh-keygen", "sshd", "unshare")
PACKAGES = "openssh-server openssh-client iproute2 util-linux mount hostname"
NAMESPACES = ("--mount", "--uts", "--ipc", "--net", "--pid", "--fork", "--kill-child", "--mount-proc")
HOME = Path(getpwuid(0).pw_dir)
DISK = (HOME, Path("/tmp"))  # noqa: S108 (it is what each host gets one of its own of)
BALLAST = HOME / ".ballast"
MEGABYTE = 1 << 20
PORT = 22
SSHD = """\
AddressFamily any
Port {port}
PidFile /run/sshd.pid
HostKey {key}
AuthorizedKeysFile {client}
AuthenticationMethods publickey
PasswordAuthentication no
KbdInteractiveAuthentication no
PermitRootLogin prohibit-password
StrictModes no
UsePAM no
UseDNS no
KexAlgorithms curve25519-sha256
PrintMotd no
MaxStartups 100
MaxSessions 100
Subsystem sftp internal-sftp
"""
SOL_PACKET, PACKET_VNET_HDR = 263, 15  # <linux/if_packet.h>; Python's socket does not have them
ALL_PROTOCOLS = 3


class HostsError(Exception):
    """A host could not be made, or did not do what it was told."""


@dataclass(frozen=True)
class Host:
    """What a client needs to know of a host; `number` counts from one."""

    number: int
    name: str
    address: str
    port: int
    user: str
    key: Path
    known_hosts: Path
    ipv6: str = ""
    """Its other address; empty where the kernel has no IPv6."""

    def facts(self) -> dict[str, str | int]:
        """Say it in what YAML has."""
        return {
            "name": self.name,
            "address": self.address,
            "port": self.port,
            "user": self.user,
            "key": str(self.key),
            "known_hosts": str(self.known_hosts),
        }


@dataclass(frozen=True)
class Process:
    """A process of a host: its id on this machine, its id inside the host, its command line."""

    pid: int
    inner: int
    command: str


@dataclass
class _Machine:
    """What runs a host: `unshare`, whose child is process 1, and its network namespace, held open."""

    unshare: subprocess.Popen[str]
    network: int = -1


class Hosts:
    """Hosts on one network, which this machine is on too, and what may go wrong with them."""

    def __init__(self, count: int, *, port: int, disk: int, shm: int) -> None:
        self.token = token_hex(4)
        self.network = _free_network()
        self.prefix = f"fd99:{self.token[:4]}:{self.token[4:]}::" if _has_ipv6() else ""
        # No host covers this folder, so each sees all of it: with the client's key, one reaches another.
        self.folder = Path(tempfile.mkdtemp(prefix=f"hosts-{self.token}-", dir="/var/tmp"))
        self.hosts = [self._host(number, port) for number in range(1, count + 1)]
        self._disk, self._shm = disk, shm
        self._machines: dict[str, _Machine] = {}
        self._wires: dict[str, subprocess.Popen[str]] = {}
        self._numbers = counted(count + 1)
        self._stack = ExitStack()
        try:
            self._set_up()
        except BaseException:
            self.close()
            raise

    def __iter__(self) -> Iterator[Host]:
        return iter(self.hosts)

    def __len__(self) -> int:
        return len(self.hosts)

    def __getitem__(self, number: int) -> Host:
        return self.hosts[number]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    @property
    def address(self) -> str:
        """Name the address at which hosts reach this machine."""
        return str(self.network[1])

    @property
    def link(self) -> str:
        """Name this machine's link to the hosts."""
        return f"m{self.token}"

    @property
    def key(self) -> Path:
        """Name the file of the client's private key."""
        return self.folder / "client"

    @property
    def known_hosts(self) -> Path:
        """Name the file that holds these hosts' keys and no others."""
        return self.folder / "known_hosts"

    def facts(self) -> list[dict[str, str | int]]:
        """Say all hosts' facts in what YAML has."""
        return [host.facts() for host in self.hosts]

    def add(self, name: str, address: str, *, also: Sequence[str] = (), then: Sequence[str] = ()) -> Host:
        """Make one more host, which has other addresses too, and no sshd: it does ``then``, in words of shell.

        Its files are its own: it cannot write to any of this machine.
        """
        host = Host(next(self._numbers), name, address, PORT, "root", self.key, self.known_hosts)
        more = [shlex.join(["ip", "address", "add", f"{one}/32", "dev", "eth0"]) for one in also]
        kept = [shlex.join(["mount", "--bind", str(self.folder), str(self.folder)]), "mount -o remount,bind,ro /"]
        self._write_name(host)
        self._begin(host, [*self._boot(host), *more, *kept, *then])
        self.hosts.append(host)
        self._bring_up([host])
        return host

    def is_up(self, host: Host) -> bool:
        """Tell whether a host's process 1 lives: it ends where a host powers itself off."""
        machine = self._machines.get(host.name)
        return machine is not None and machine.unshare.poll() is None

    # Reaching them

    def ssh(self, host: Host, *, known_hosts: Path | None = None, wait: int = 5) -> list[str]:
        """List the arguments with which ssh reaches a host from here, or from another host."""
        options = {
            "BatchMode": "yes",
            "ConnectTimeout": wait,
            "GlobalKnownHostsFile": "none",
            "IdentitiesOnly": "yes",
            "IdentityAgent": "none",
            "LogLevel": "ERROR",
            "ServerAliveInterval": wait,
            "StrictHostKeyChecking": "yes",
            "UserKnownHostsFile": known_hosts or host.known_hosts,
        }
        told = [part for name, value in options.items() for part in ("-o", f"{name}={value}")]
        place = f"{host.user}@{host.address}"
        return [program("ssh"), "-F", "none", "-i", str(host.key), "-p", str(host.port), *told, place]

    def run(
        self, host: Host, command: str, *, text: str = "", timeout: float = SECONDS, wait: int = 5
    ) -> subprocess.CompletedProcess[str]:
        """Run a shell command on a host by way of ssh, to its end; `wait` is for a connection."""
        return subprocess.run(
            [*self.ssh(host, wait=wait), command],
            input=text,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )

    def inside(self, host: Host, path: str | Path) -> Path:
        """Name a host's file as this machine finds it, without ssh."""
        first = next((process for process in self.processes(host) if process.inner == 1), None)
        if first is None:
            raise HostsError(f"{host.name} is lost, and its files with it")
        return Path(f"/proc/{first.pid}/root") / str(path).lstrip("/")

    def processes(self, host: Host) -> list[Process]:
        """List a host's processes, its process 1 and sshd among them; none if it is lost."""
        machine = self._machines.get(host.name)
        if machine is None:
            return []
        found = (_look_at(pid) for pid in _pids_in(machine.network) if pid != machine.unshare.pid)
        return [process for process in found if process]

    # Faults

    def lose(self, host: Host, *, silently: bool = False) -> None:
        """Kill all that runs on a host, for good; silently: pull its link first, so that no peer hears of the end."""
        if (machine := self._machines.get(host.name)) is None:
            return
        if silently:
            self._unplug(host)
        until(lambda: not self._kill_all_on(machine), f"{host.name} has processes that do not end")
        del self._machines[host.name]
        _end(machine.unshare)
        os.close(machine.network)
        # Its last words may still be on their way. If they find no way, the kernel would try for minutes.
        with suppress(HostsError):
            until(lambda: _port(host) not in self._ports(), "it has something to say", seconds=1)
        self._unslow(host)
        self._unplug(host)

    def cut(self, host: Host) -> None:
        """Take a host's link down."""
        self._wire([f"link set {_port(host)} down"])

    def mend(self, host: Host) -> None:
        """Bring a host's link up, and make it fast if it was slow."""
        self._unslow(host)
        self._wire([f"link set {_port(host)} up"])

    def slow(self, host: Host, delay_ms: float, loss: float = 0.0) -> None:
        """Have each frame to and from a host come late, and the given part of them not at all."""
        # `tc netem` would do, but not every kernel has it. A process that carries the frames does on all.
        self._unslow(host)
        near, far = f"w{host.number}", f"b{host.number}"
        self._wire(
            [
                f"link add {near} type veth peer name {far}",
                f"link set {far} master lan up",
                f"link set {near} up",
                f"link set {_port(host)} nomaster",
            ]
        )
        carry = [sys.executable, "-I", __file__, _port(host), near, str(delay_ms / 1000), str(loss)]
        wire = self._spawn(f"wire-{host.number}", [*_into(self._switch.pid), *carry])
        self._wires[host.name] = wire
        self._hear(wire, "carrying")

    def fill_disk(self, host: Host) -> None:
        """Write a host's home and /tmp, which are one disk, full to the last byte."""
        with self.inside(host, BALLAST).open("ab", buffering=0) as file:
            size = MEGABYTE
            while size:
                try:
                    file.write(bytes(size))
                except OSError as error:
                    if error.errno != errno.ENOSPC:
                        raise
                    size //= 2

    def empty_disk(self, host: Host) -> None:
        """Take away what filled a host's disk."""
        self.inside(host, BALLAST).unlink(missing_ok=True)

    @contextmanager
    def overhear(self) -> Iterator[Path]:
        """Write all that goes between hosts into a file meanwhile, as anybody on their network may."""
        path = self.folder / f"overheard-{token_hex(4)}"
        listen = [sys.executable, "-I", __file__, "overhear", str(path), *map(_port, self.hosts)]
        listener = self._spawn("overhear", [*_into(self._switch.pid), *listen])
        try:
            self._hear(listener, "overhearing")
            yield path
        finally:
            _end(listener)

    # The end

    def close(self) -> None:
        """End all that was started, and wait until nothing of it is left; may be repeated."""
        self._stack.close()

    def _unslow(self, host: Host) -> None:
        if (wire := self._wires.pop(host.name, None)) is None:
            return
        _end(wire)
        lines = [f"link del w{host.number}"]
        if _port(host) in self._ports():
            lines.append(f"link set {_port(host)} master lan")
        self._wire(lines)

    # The beginning

    def _host(self, number: int, port: int) -> Host:
        name, address = f"host{number}-{self.token}", str(self.network[10 + number])
        ipv6 = str(IPv6Address(f"{self.prefix}{10 + number:x}")) if self.prefix else ""  # as ssh looks it up
        return Host(number, name, address, port, "root", self.key, self.known_hosts, ipv6)

    def _set_up(self) -> None:
        self._stack.callback(shutil.rmtree, self.folder, ignore_errors=True)
        # The switch is the last to end, and takes the folder with it even when nobody is left to do so.
        removal = shlex.join(["rm", "-rf", str(self.folder)])
        told = [
            "trap '' PIPE",
            "echo born || true",
            "read -r || true",
            f"for _ in {{1..50}}; do ! {removal} || break; sleep 0.1; done",
        ]
        self._switch = self._start("switch", ["--net"], told)
        self._stack.callback(self._end_switch)
        _call([program("ssh-keygen"), "-q", "-t", "ed25519", "-N", "", "-C", "client", "-f", str(self.key)])
        self._write_files()
        for host in self.hosts:
            self._begin(host, [*self._boot(host), *self._listen(host)])
        self._hear(self._switch, "born")
        self._lay_own_link()
        self._bring_up(self.hosts)
        self.known_hosts.write_text("".join(map(self._known, self.hosts)))
        for host in self.hosts:
            until(partial(_greets, host), f"sshd does not answer on {host.name}")

    def _begin(self, host: Host, boot: Iterable[str]) -> None:
        """Start a process 1, which waits until it has a link, and then boots."""
        unshare = self._start(host.name, NAMESPACES, ["echo born", "read -r", *boot, "echo up", "read -r"])
        self._machines[host.name] = _Machine(unshare)
        self._stack.callback(self._end_host, host)

    def _bring_up(self, hosts: Sequence[Host]) -> None:
        """Give hosts that wait for it their links, and wait until they have booted."""
        machines = [self._machines[host.name] for host in hosts]
        for machine in machines:
            self._hear(machine.unshare, "born")
            machine.network = os.open(f"/proc/{machine.unshare.pid}/ns/net", os.O_RDONLY)
        self._lay_links(hosts)
        for machine in machines:
            _tell(machine.unshare)
        for machine in machines:
            self._hear(machine.unshare, "up")

    def _known(self, host: Host) -> str:
        """Write a host's line of the file of known hosts."""
        names = [
            name if host.port == PORT else f"[{name}]:{host.port}"
            for name in (host.address, host.name, host.ipv6)
            if name
        ]
        kind, key, _ = (self.folder / f"{host.name}.pub").read_text().split()
        return f"{','.join(names)} {kind} {key}\n"

    def _write_files(self) -> None:
        """Write what hosts have in common, and each one's own."""
        names = [f"{host.address} {host.name}\n" for host in self.hosts]
        (self.folder / "hosts").write_text("".join(["127.0.0.1 localhost\n", *names]))
        (self.folder / "resolv.conf").write_text("# There are no names but those in /etc/hosts.\n")
        # Without PAM, sshd lets nobody in whose password is locked, as root's is on some systems.
        (self.folder / "shadow").write_text("root:*:19000:0:99999:7:::\n")
        (self.folder / "disk").mkdir()
        for host in self.hosts:
            key = self.folder / host.name
            self._write_name(host)
            key.with_suffix(".sshd").write_text(SSHD.format(port=host.port, key=key, client=f"{self.key}.pub"))

    def _write_name(self, host: Host) -> None:
        (self.folder / host.name).with_suffix(".hostname").write_text(f"{host.name}\n")

    def _unplug(self, host: Host) -> None:
        """Take both ends of a host's link away, unless they are gone."""
        try:
            self._wire([f"link del {_port(host)}"])
        except HostsError:
            if _port(host) in self._ports():
                raise

    def _kill_all_on(self, machine: _Machine) -> list[int]:
        """Kill all processes of a host but `unshare`, which has to bury process 1; list them."""
        found = [pid for pid in _pids_in(machine.network) if pid != machine.unshare.pid]
        for pid in found:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        return found

    def _start(self, name: str, namespaces: Iterable[str], told: Iterable[str]) -> subprocess.Popen[str]:
        """Start a shell in namespaces of its own."""
        script = self.folder / f"{name}.sh"
        script.write_text("\n".join(["set -euo pipefail", *told, ""]))
        return self._spawn(name, [program("unshare"), *namespaces, program("bash"), str(script)])

    def _spawn(self, name: str, arguments: list[str]) -> subprocess.Popen[str]:
        """Start a process that ends with us, that no Ctrl-C reaches, and whose errors go to a file."""
        with (self.folder / f"{name}.log").open("a") as log:
            return subprocess.Popen(
                arguments,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                cwd="/",
                env={"PATH": PATH},
                start_new_session=True,
            )

    def _boot(self, host: Host) -> Iterable[str]:
        """List the shell commands that make a process 1 a host."""
        disk = self.folder / "disk"
        kept = _kept(self.folder)
        steps = [
            ["hostname", host.name],
            ["ip", "link", "set", "lo", "up"],
            ["ip", "address", "add", f"{host.address}/{self.network.prefixlen}", "dev", "eth0"],
            *([["ip", "address", "add", f"{host.ipv6}/64", "dev", "eth0", "nodad"]] if host.ipv6 else []),
            ["ip", "link", "set", "eth0", "up"],
            # It leads nowhere; but who asks which address the world sees, as Ray does, is told the host's own.
            ["ip", "route", "add", "default", "dev", "eth0"],
            # All of the disk is made where it covers nothing, so that what must be seen can be put there first.
            ["mount", "-t", "tmpfs", "-o", f"size={self._disk},mode=755", f"disk-{self.token}", str(disk)],
            *(["mkdir", "-p", f"{disk}{folder}"] for folder in DISK),
            ["chmod", "700", f"{disk}{DISK[0]}"],
            ["chmod", "1777", f"{disk}{DISK[1]}"],
            *(["mkdir", "-p", f"{disk}{folder}"] for folder in kept),
            *(["mount", "--bind", str(folder), f"{disk}{folder}"] for folder in kept),
            *(["mount", "--rbind", f"{disk}{folder}", str(folder)] for folder in DISK),
            ["mount", "-t", "tmpfs", "-o", f"size={self._shm},mode=1777", f"shm-{self.token}", "/dev/shm"],  # noqa: S108 (the host's own)
            ["mount", "-t", "tmpfs", "-o", "size=16m,mode=755", f"run-{self.token}", "/run"],
            ["mkdir", "/run/sshd"],
        ]
        own = {
            "hosts": "/etc/hosts",
            "resolv.conf": "/etc/resolv.conf",
            "shadow": "/etc/shadow",
            f"{host.name}.hostname": "/etc/hostname",
        }
        yield from map(shlex.join, steps)
        for name, path in own.items():
            yield f"[ ! -e {path} ] || {shlex.join(['mount', '--bind', str(self.folder / name), path])}"

    def _listen(self, host: Host) -> Iterable[str]:
        """List the shell commands that start a host's sshd."""
        key, log = self.folder / host.name, self.folder / f"{host.name}.log"
        yield shlex.join(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", host.name, "-f", str(key)])
        yield shlex.join([program("sshd"), "-f", f"{key}.sshd", "-E", str(log)])

    def _lay_own_link(self) -> None:
        """Lay a link from this machine to the switch."""
        switch = self._switch.pid
        lines = [
            f"link add {self.link} type veth peer name here netns {switch}",
            f"address add {self.address}/{self.network.prefixlen} dev {self.link}",
            *([f"address add {self.prefix}1/64 dev {self.link} nodad"] if self.prefix else []),
            f"link set {self.link} up",
        ]
        _call([program("ip"), "-batch", "-"], text="\n".join(lines))
        self._wire(["link add lan type bridge", "link set lan up", "link set here master lan up"])

    def _lay_links(self, hosts: Sequence[Host]) -> None:
        """Lay a link from each of these hosts to the switch."""
        switch = self._switch.pid
        ports = [(_port(host), self._machines[host.name].unshare.pid) for host in hosts]
        lines = [f"link add eth0 netns {pid} type veth peer name {port} netns {switch}" for port, pid in ports]
        _call([program("ip"), "-batch", "-"], text="\n".join(lines))
        self._wire([f"link set {port} master lan up" for port, _ in ports])

    # Parts

    def _wire(self, lines: list[str]) -> None:
        """Have the switch change its links."""
        _call([*_into(self._switch.pid), program("ip"), "-batch", "-"], text="\n".join(lines))

    def _ports(self) -> set[str]:
        """List the switch's links."""
        return _links(self._switch.pid)

    def _hear(self, process: subprocess.Popen[str], word: str) -> None:
        """Wait until a process says a word, which is all that it says until we answer."""
        assert process.stdout, "it was started with a pipe"
        ready, _, _ = select.select([process.stdout], [], [], SECONDS)
        if ready and process.stdout.readline().strip() == word:
            return
        logs = "\n".join(f"{path.name}: {path.read_text().strip()}" for path in sorted(self.folder.glob("*.log")))
        raise HostsError(f"a host, or the switch between them, did not come to say {word!r}; their logs:\n{logs}")

    def _end_host(self, host: Host) -> None:
        machine = self._machines.get(host.name)
        if machine and machine.network < 0:  # it never came so far
            _end(machine.unshare)
        else:
            self.lose(host)

    def _end_switch(self) -> None:
        _end(self._switch)
        until(lambda: self.link not in _links(), f"the link {self.link} stays, though all at its other end are dead")


def make_hosts(count: int = 4, *, port: int = PORT, disk: int = 512 * MEGABYTE, shm: int = 1024 * MEGABYTE) -> Hosts:
    """Make hosts that answer SSH at addresses of their own; close them in the end."""
    if reason := lacking():
        raise HostsError(reason)
    return Hosts(count, port=port, disk=disk, shm=shm)


def lacking() -> str | None:
    """Say why this machine cannot have hosts, if so."""
    if sys.platform != "linux":
        return "hosts are made of Linux namespaces"
    if os.geteuid() != 0:
        return "hosts are made of namespaces, which only root may make"
    if missing := [name for name in PROGRAMS if not _find(name)]:
        return f"no {', '.join(missing)}; type: apt-get install {PACKAGES}"
    done = subprocess.run(
        [program("unshare"), *NAMESPACES, program("ip"), "link", "add", "type", "veth"],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        return f"this machine does not let root make namespaces and links: {done.stderr.strip()}"
    return None


def program(name: str) -> str:
    """Name a program by its path."""
    if path := _find(name):
        return path
    raise HostsError(f"no {name}; type: apt-get install {PACKAGES}")


def until(condition: Callable[[], object], complaint: str, seconds: float = SECONDS) -> None:
    """Wait until something is so."""
    deadline = monotonic() + seconds
    while not condition():
        if monotonic() > deadline:
            raise HostsError(complaint)
        Flag().wait(0.005)


def _find(name: str) -> str | None:
    return shutil.which(name, path=PATH)


def _free_network() -> IPv4Network:
    """Choose a private network by chance, but none that this machine already has a part of."""
    while True:
        start = choice((f"10.{randbelow(254) + 1}", f"172.{randbelow(16) + 16}"))
        chosen = IPv4Network((f"{start}.{randbelow(256)}.0", 24))
        shown = _call([program("ip"), "-4", "-brief", "address"]).split()
        taken = [IPv4Network(word, strict=False) for word in shown if "/" in word and word[0].isdigit()]
        if not any(chosen.overlaps(other) for other in taken):
            return chosen


def _has_ipv6() -> bool:
    with suppress(OSError):
        return Path("/proc/sys/net/ipv6/conf/all/disable_ipv6").read_text().strip() == "0"
    return False


def _kept(folder: Path) -> list[Path]:
    """List what hosts must see though it lies in folders that they have of their own: Python, muster, our files."""
    wanted = [Path(sys.base_prefix), Path(sys.prefix), Path(__file__).parents[1], folder]
    paths = sorted({path for one in wanted for path in (one, one.resolve())})
    covered = [path for path in paths if any(path.is_relative_to(disk) for disk in DISK)]
    return [path for path in covered if not any(path.is_relative_to(other) for other in covered if other != path)]


def _port(host: Host) -> str:
    """Name the switch's end of a host's link."""
    return f"h{host.number}"


def _greets(host: Host) -> bool:
    with suppress(OSError), socket.create_connection((host.address, host.port), timeout=1) as caller:
        return caller.recv(4) == b"SSH-"
    return False


def _call(arguments: list[str], *, text: str = "") -> str:
    done = subprocess.run(arguments, input=text, capture_output=True, text=True, check=False)
    if done.returncode:
        raise HostsError(f"{shlex.join(arguments)} failed: {done.stderr.strip()}\n{text}".strip())
    return done.stdout


def _into(pid: int) -> list[str]:
    """List the arguments that run a command in a process's network."""
    return [program("nsenter"), f"--net=/proc/{pid}/ns/net", "--"]


def _tell(process: subprocess.Popen[str]) -> None:
    assert process.stdin, "it was started with a pipe"
    with suppress(BrokenPipeError):  # it has ended, as we shall not hear from it
        process.stdin.write("go\n")
        process.stdin.flush()


def _end(process: subprocess.Popen[str]) -> None:
    """End a process, and what is below it, by the end of its stdin; by force if it does not see that."""
    assert process.stdin, "it was started with a pipe"
    assert process.stdout, "it was started with a pipe"
    with suppress(BrokenPipeError):  # it ended before it was told all
        process.stdin.close()
    process.stdout.close()
    try:
        process.wait(5)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _links(pid: int | None = None) -> set[str]:
    """List the links of a process's network, or of this machine's."""
    lines = Path(f"/proc/{pid or 'self'}/net/dev").read_text().splitlines()[2:]
    return {line.split(":")[0].strip() for line in lines}


def _pids_in(network: int) -> list[int]:
    """List the processes in a network namespace that is held open."""
    wanted = os.fstat(network)
    found = []
    for path in Path("/proc").iterdir():
        if path.name.isdigit():
            with suppress(OSError):  # it has ended
                if os.path.samestat((path / "ns" / "net").stat(), wanted):
                    found.append(int(path.name))
    return sorted(found)


def _look_at(pid: int) -> Process | None:
    with suppress(OSError):  # it has ended
        folder = Path(f"/proc/{pid}")
        command = (folder / "cmdline").read_bytes().decode(errors="replace").replace("\0", " ").strip()
        (inner,) = (line for line in (folder / "status").read_text().splitlines() if line.startswith("NSpid:"))
        return Process(pid, int(inner.split()[-1]), command)
    return None


def _carry(ports: list[str], delay: float, loss: float) -> None:
    """Carry frames between two ports, late, and not all of them, until nobody holds the other end of our stdin."""
    chance = Random(7)  # noqa: S311 (which frames are lost is no secret)
    ends = [_open_port(port) for port in ports]
    other = dict(zip(ends, reversed(ends), strict=True))
    late: deque[tuple[float, socket.socket, bytes]] = deque()
    sys.stdout.write("carrying\n")
    sys.stdout.flush()
    while True:
        ready, _, _ = select.select([sys.stdin, *ends], [], [], max(0, late[0][0] - monotonic()) if late else None)
        if sys.stdin in ready:
            return
        for end in (end for end in ends if end in ready):
            with suppress(OSError):  # the link is cut
                frame, sender = end.recvfrom(1 << 17)
                if sender[2] != socket.PACKET_OUTGOING and chance.random() >= loss:
                    late.append((monotonic() + delay, other[end], frame))
        while late and late[0][0] <= monotonic():
            _, end, frame = late.popleft()
            with suppress(OSError):
                end.send(frame)


def _overhear(path: str, ports: list[str]) -> None:
    """Write each frame at ports to a file, until nobody holds the other end of our stdin."""
    ends = [_open_port(port) for port in ports]
    sys.stdout.write("overhearing\n")
    sys.stdout.flush()
    with Path(path).open("wb") as file:
        while sys.stdin not in (ready := select.select([sys.stdin, *ends], [], [])[0]):
            for end in (end for end in ends if end in ready):
                with suppress(OSError):  # the link is cut
                    file.write(end.recv(1 << 17))


def _open_port(port: str) -> socket.socket:
    """Open a port so that frames keep what the kernel still has to do for them: to split and to sum them."""
    opened = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
    opened.setsockopt(SOL_PACKET, PACKET_VNET_HDR, 1)
    opened.setsockopt(socket.SOL_SOCKET, 33, 32 * MEGABYTE)  # SO_RCVBUFFORCE: no limit to it for root
    opened.bind((port, ALL_PROTOCOLS))
    return opened


if __name__ == "__main__":
    if sys.argv[1] == "overhear":
        _overhear(sys.argv[2], sys.argv[3:])
        sys.exit()
    _carry(sys.argv[1:3], float(sys.argv[3]), float(sys.argv[4]))


def interpreter_in(folder: Path) -> Path:
    """Make ``folder/python``, which hosts see, with all packages of this one; return where others may be put."""
    folder.chmod(0o755)
    venv.create(folder / "python", symlinks=True)
    site = next((folder / "python").glob("lib/python*/site-packages"))
    (site / "all.pth").write_text(f"import site; site.addsitedir({sysconfig.get_path('purelib')!r})\n")
    return site
