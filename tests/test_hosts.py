"""The hosts that other tests use: that each is a machine of its own, fails as told, and leaves nothing behind."""

import os
import re
import shlex
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from time import monotonic

import psutil
import pytest

from conftest import require_hosts
from hosts import Host, Hosts, HostsError, make_hosts, until

GREETING = b"SSH-2.0"
FOLDERS = Path("/var/tmp")  # noqa: S108 (where hosts keep their files)
MAKER = """\
import signal
from threading import Event
from hosts import make_hosts
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell that starts us aside has us ignore it
hosts = make_hosts(2)
hosts.slow(hosts[0], 5)
print(hosts.token, flush=True)
Event().wait()
"""


@pytest.fixture(scope="module")
def hosts() -> Iterator[Hosts]:
    """Four hosts that no test of the module loses."""
    require_hosts()
    with make_hosts(4) as made:
        yield made


@pytest.fixture
def pair() -> Iterator[Hosts]:
    """Two hosts to do anything to."""
    require_hosts()
    with make_hosts(2) as made:
        yield made


def said(hosts: Hosts, host: Host, command: str) -> str:
    """Run a command that succeeds."""
    done = hosts.run(host, command)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def commands(hosts: Hosts, host: Host) -> list[str]:
    return [process.command for process in hosts.processes(host)]


def call(host: Host) -> socket.socket:
    """Connect to a host's sshd, and hear its greeting."""
    caller = socket.create_connection((host.address, host.port), timeout=5)
    assert caller.recv(100).startswith(GREETING)
    return caller


def seconds_to_connect(host: Host) -> float:
    began = monotonic()
    call(host).close()
    return monotonic() - began


def traces(token: str) -> list[str]:
    """List what there is of some hosts on this machine: links, folders, processes, mounts."""
    found = [name for _, name in socket.if_nameindex() if token in name]
    found += [path.name for path in FOLDERS.glob(f"*{token}*")]
    for process in Path("/proc").glob("[0-9]*"):
        for name in ("cmdline", "mountinfo"):
            with suppress(OSError):  # it has ended
                if token.encode() in (process / name).read_bytes():
                    found.append(f"{process.name} {name}")
    return found


@contextmanager
def a_maker() -> Iterator[subprocess.Popen[str]]:
    """Start a process that makes hosts, says their token and stays."""
    command, folder = [sys.executable, "-c", MAKER], Path(__file__).parent
    with subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as maker:
        try:
            yield maker
        finally:
            maker.kill()


def tokens_below(pid: int) -> set[str]:
    """List the tokens of the hosts that a process is making, or has made."""
    found = set()
    for child in psutil.Process(pid).children(recursive=True):
        with suppress(psutil.NoSuchProcess):
            found.update(re.findall("hosts-([0-9a-f]{8})", " ".join(child.cmdline())))
    return found


# What a host is


def test_each_host_has_a_name_an_address_and_a_home_of_its_own(hosts: Hosts) -> None:
    asked = "hostname; getent hosts $(hostname) | cut -d ' ' -f 1; ip -4 -o address show eth0; echo ~; ls ~/.muster"
    for host in hosts:
        said(hosts, host, "mkdir -p ~/.muster && hostname > ~/.muster/here")
    for host in hosts:
        name, resolved, address, home, listed = said(hosts, host, asked).splitlines()
        assert name == host.name
        assert resolved == host.address
        assert f" {host.address}/24 " in address
        assert home == "/root"
        assert listed == "here"
        assert said(hosts, host, "cat ~/.muster/here") == host.name
    assert len({host.address for host in hosts}) == len({host.name for host in hosts}) == len(hosts) == 4


def test_a_host_lets_nobody_in_without_the_key(hosts: Hosts, tmp_path: Path) -> None:
    host = hosts[0]
    assert hosts.run(host, "true").returncode == 0
    subprocess.run(["/usr/bin/ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", tmp_path / "other"], check=True)
    for arguments in (["-o", "PubkeyAuthentication=no"], ["-i", tmp_path / "other"]):
        ssh = [part for part in hosts.ssh(host) if part not in {"-i", str(host.key)}]
        done = subprocess.run([*ssh[:-1], *arguments, ssh[-1], "true"], capture_output=True, text=True, check=False)
        assert done.returncode == 255
        assert "Permission denied (publickey)." in done.stderr


@pytest.mark.parametrize("folder", ["/tmp", "/dev/shm", "/root", "/run"])  # noqa: S108 (those that are no host's alone)
def test_a_file_of_one_host_is_in_no_other_and_not_on_this_machine(hosts: Hosts, folder: str) -> None:
    path = f"{folder}/mine-{hosts.token}"
    said(hosts, hosts[0], f"echo it > {path}")
    assert hosts.inside(hosts[0], path).read_text() == "it\n"
    assert said(hosts, hosts[0], f"cat {path}") == "it"
    assert hosts.run(hosts[1], f"cat {path}").returncode == 1
    assert not Path(path).exists()


def test_a_host_sees_this_python_and_this_muster(hosts: Hosts) -> None:
    asked = "import muster, sys; print(sys.version, muster.__file__)"
    here = subprocess.run([sys.executable, "-c", asked], capture_output=True, text=True, check=True).stdout.strip()
    assert said(hosts, hosts[0], shlex.join([sys.executable, "-c", asked])) == here


def test_a_host_sees_only_its_own_processes_and_we_see_whose_they_are(hosts: Hosts) -> None:
    said(hosts, hosts[0], "setsid sleep 4321 < /dev/null > /dev/null 2>&1 & echo started")
    until(lambda: "sleep 4321" in commands(hosts, hosts[0]), "nothing sleeps")
    (mine,) = [process for process in hosts.processes(hosts[0]) if process.command == "sleep 4321"]
    assert said(hosts, hosts[0], f"tr '\\0' ' ' < /proc/{mine.inner}/cmdline") == "sleep 4321"
    assert "sleep 4321" not in commands(hosts, hosts[1])
    assert "sleep" not in hosts.run(hosts[1], "cat /proc/[0-9]*/comm").stdout
    os.kill(mine.pid, signal.SIGKILL)
    until(lambda: not psutil.pid_exists(mine.pid), "nobody buries what has lost its parent")


def test_hosts_reach_each_other_and_this_machine_by_address_and_by_name(hosts: Hosts) -> None:
    one, other = hosts[0], hosts[3]
    assert said(hosts, one, shlex.join([*hosts.ssh(other), "hostname"])) == other.name
    by_name = [part.replace(other.address, other.name) for part in hosts.ssh(other)]
    assert said(hosts, one, shlex.join([*by_name, "hostname"])) == other.name
    with closing(socket.create_server((hosts.address, 0))) as server:
        server.settimeout(10)
        said(hosts, one, f"echo hello > /dev/tcp/{hosts.address}/{server.getsockname()[1]}")
        caller, (address, _) = server.accept()
        with caller:
            assert caller.recv(10) == b"hello\n"
        assert address == one.address


def test_a_host_knows_no_way_out_but_which_address_it_would_have_there(hosts: Hosts) -> None:
    way = said(hosts, hosts[0], "ip route get 198.51.100.1")
    assert f"dev eth0 src {hosts[0].address} " in way
    assert " via " not in way
    assert hosts.run(hosts[0], "getent hosts example.com").returncode == 2


def test_a_host_whose_key_differs_is_refused(hosts: Hosts, tmp_path: Path) -> None:
    keys = dict(line.split(" ", 1) for line in hosts.known_hosts.read_text().splitlines())
    assert [name.split(",")[0] for name in keys] == [host.address for host in hosts]
    assert len(set(keys.values())) == len(hosts)
    (tmp_path / "known_hosts").write_text("".join(f"{name} {next(iter(keys.values()))}\n" for name in keys))
    (tmp_path / "empty").touch()
    for host, known, refused in [
        (hosts[0], "known_hosts", False),
        (hosts[1], "known_hosts", True),
        (hosts[1], "empty", True),
    ]:
        ssh = hosts.ssh(host, known_hosts=tmp_path / known)
        done = subprocess.run([*ssh, "true"], capture_output=True, text=True, check=False)
        assert (done.returncode == 255) == refused
        assert ("Host key verification failed." in done.stderr) == refused


def test_the_facts_are_all_that_a_client_needs(hosts: Hosts) -> None:
    for facts, host in zip(hosts.facts(), hosts, strict=True):
        options = [f"-oUserKnownHostsFile={facts['known_hosts']}", "-oStrictHostKeyChecking=yes", "-oBatchMode=yes"]
        place = f"ssh://{facts['user']}@{facts['address']}:{facts['port']}"
        ssh = ["/usr/bin/ssh", "-F", "none", "-i", str(facts["key"]), *options, place, "hostname"]
        assert subprocess.run(ssh, capture_output=True, text=True, check=True).stdout.strip() == host.name
        assert facts["name"] == host.name


# What may go wrong with it


def test_a_lost_host_leaves_no_process_and_the_others_live(pair: Hosts) -> None:
    lost, other = pair
    said(pair, lost, "setsid sleep 4322 < /dev/null > /dev/null 2>&1 & echo started")
    processes = [psutil.Process(process.pid) for process in pair.processes(lost)]
    assert len(processes) >= 3
    with closing(call(lost)) as caller:
        pair.lose(lost)
        with suppress(ConnectionResetError):
            assert caller.recv(100) == b""
    assert not any(process.is_running() for process in processes)
    assert pair.processes(lost) == []
    with pytest.raises(HostsError, match="is lost"):
        pair.inside(lost, "/tmp")  # noqa: S108 (the host's own)
    assert pair.run(lost, "true", wait=1).returncode == 255
    assert said(pair, other, "hostname") == other.name
    pair.lose(lost)


def test_of_a_host_that_is_lost_silently_its_peers_hear_nothing(pair: Hosts) -> None:
    with closing(call(pair[0])) as caller:
        caller.settimeout(0.5)
        pair.lose(pair[0], silently=True)
        with pytest.raises(TimeoutError):
            caller.recv(100)
    assert pair.processes(pair[0]) == []


def test_a_cut_host_does_not_answer_and_a_mended_one_does(hosts: Hosts) -> None:
    host, other = hosts[1], hosts[2]
    with closing(call(host)) as caller:
        hosts.cut(host)
        assert hosts.run(host, "true", wait=1).returncode == 255
        assert hosts.run(other, shlex.join([*hosts.ssh(host, wait=1), "true"])).returncode == 255
        assert said(hosts, other, "hostname") == other.name
        assert hosts.processes(host)
        hosts.mend(host)
        caller.sendall(GREETING + b"-test\r\n")
        assert caller.recv(100)
    assert said(hosts, host, "hostname") == host.name


def test_a_slow_host_is_slow_each_way_until_it_is_mended(hosts: Hosts) -> None:
    host, other = hosts[1], hosts[2]
    hosts.slow(host, 250)
    assert seconds_to_connect(host) >= 1.0
    until(lambda: seconds_to_connect(other) < 0.5, "another host is slow too")
    hosts.slow(host, 0)
    until(lambda: seconds_to_connect(host) < 0.5, "it stays slow, though it was told another delay")
    hosts.slow(host, 250)
    hosts.mend(host)
    until(lambda: seconds_to_connect(host) < 0.5, "it stays slow, though it was mended")


def test_what_goes_over_a_slow_link_that_loses_frames_arrives_whole(hosts: Hosts) -> None:
    host, text = hosts[1], "muster\n" * 300_000
    hosts.slow(host, 2, loss=0.02)
    done = hosts.run(host, "cat", text=text)
    assert (done.returncode, done.stdout == text) == (0, True), done.stderr
    hosts.cut(host)
    assert hosts.run(host, "true", wait=1).returncode == 255
    hosts.mend(host)
    assert said(hosts, host, "hostname") == host.name


def test_a_slow_host_can_be_lost(pair: Hosts) -> None:
    pair.slow(pair[0], 5)
    pair.lose(pair[0])
    assert said(pair, pair[1], "hostname") == pair[1].name


def test_a_full_disk_is_full_there_and_nowhere_else(hosts: Hosts) -> None:
    full, other = hosts[2], hosts[3]
    hosts.fill_disk(full)
    for folder in ("/root", "/tmp"):  # noqa: S108 (the host's own)
        done = hosts.run(full, f"echo something > {folder}/new")
        assert done.returncode == 1
        assert "No space left on device" in done.stderr
    said(hosts, full, "echo something > /dev/shm/new")
    said(hosts, other, "echo something > /tmp/new")
    hosts.empty_disk(full)
    said(hosts, full, "echo something > /tmp/new")


def test_a_disk_has_the_size_that_was_asked_for() -> None:
    require_hosts()
    with make_hosts(1, disk=8 << 20, shm=4 << 20, port=2222) as made:
        sizes = said(made, made[0], "df --output=size -B1 ~ /tmp /dev/shm").split()[1:]
        assert list(map(int, sizes)) == [8 << 20, 8 << 20, 4 << 20]
        assert made[0].port == 2222


# How it ends


def test_closing_leaves_no_namespace_no_link_no_mount_no_process() -> None:
    require_hosts()
    files, children = psutil.Process().num_fds(), psutil.Process().children()
    with make_hosts(3) as made:
        made.cut(made[0])
        made.slow(made[1], 5)
        made.fill_disk(made[2])
        said(made, made[2], "setsid sleep 4323 < /dev/null > /dev/null 2>&1 & echo started")
        processes = [psutil.Process(process.pid) for host in made for process in made.processes(host)]
        assert {word.split()[-1] for word in traces(made.token)} > {made.link, "cmdline", "mountinfo"}
    # The link goes only with the namespace at its other end, and that only with the last process in it.
    assert traces(made.token) == []
    assert not any(process.is_running() for process in processes)
    assert psutil.Process().num_fds() == files
    assert psutil.Process().children() == children
    made.close()


def test_a_set_up_that_fails_half_way_leaves_nothing() -> None:
    require_hosts()
    files = psutil.Process().num_fds()
    with pytest.raises(HostsError, match="Badly formatted port number") as caught:
        make_hosts(3, port=99999)
    token = re.findall("hosts-([0-9a-f]{8})", str(caught.value))[0]
    assert traces(token) == []
    assert psutil.Process().num_fds() == files


@pytest.mark.parametrize("blow", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_hosts_end_with_the_process_that_made_them(blow: signal.Signals) -> None:
    require_hosts()
    with a_maker() as maker:
        assert maker.stdout
        token = maker.stdout.readline().strip()
        assert len(traces(token)) > 10
        maker.send_signal(blow)
        maker.wait(30)
    until(lambda: not traces(token), "the hosts outlive their maker")


@pytest.mark.parametrize("stage", ["switch.sh", "client.pub", "host2*.sh", "host1*.pub", "known_hosts"])
def test_a_maker_that_is_killed_while_it_makes_leaves_nothing_either(stage: str) -> None:
    require_hosts()
    with a_maker() as maker:
        until(lambda: tokens_below(maker.pid), "the maker makes no hosts")
        token = tokens_below(maker.pid).pop()
        until(lambda: list(FOLDERS.glob(f"hosts-{token}-*/{stage}")), "the maker does not come so far")
    until(lambda: not traces(token), "what was made outlives its maker")


def test_two_sets_of_hosts_at_one_time_do_not_meet(hosts: Hosts) -> None:
    with make_hosts(2) as others:
        assert not hosts.network.overlaps(others.network)
        assert not {host.name for host in hosts} & {host.name for host in others}
        assert said(others, others[0], "hostname") == others[0].name
        asked = shlex.join([*hosts.ssh(hosts[0], wait=1), "true"])
        assert others.run(others[0], asked).returncode == 255
    assert said(hosts, hosts[0], "hostname") == hosts[0].name
