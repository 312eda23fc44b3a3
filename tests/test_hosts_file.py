"""The file of hosts: what may stand in it, and what is said of a typo."""

import subprocess
from pathlib import Path

import pytest

from muster import UsageError
from muster._clouds.hosts_file import read
from muster._clouds.over_ssh.inventory import Host
from muster._clouds.over_ssh.placing import placed
from muster._clouds.over_ssh.record import ClusterRecord, host_of
from muster._clouds.over_ssh.ssh import command
from muster._urls.addresses import joined, parted
from muster.errors import EngineError


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("hosts: [", "is not YAML"),
        ("- a", "must hold words and values"),
        ("hosts: []", "names no host"),
        ("", "names no host. Write hosts: and, below it, - address: 10.0.0.1 for each; or aws:"),
        ("AWS: {region: eu-west-1}", r"'AWS' \(did you mean aws\?\) means nothing there"),
        ("host: [{address: a}]", r"'host' \(did you mean hosts\?\) means nothing there. Known are: hosts"),
        ("hosts: [{adress: a}]", r"host 1: 'adress' \(did you mean address\?\) means nothing there"),
        ("hosts: [{name: a}]", "host 1: it has no address"),
        ("hosts: [{address: a, port: x}]", "port must be a whole number"),
        ("hosts: [{address: a, port: 0}]", "must be from 1"),
        ("hosts: [{address: a, workers: 0}]", "must be from 1"),
        ("hosts: [{address: a}, {address: a, name: b}]", "two hosts have the address 'a'"),
        ("hosts: [{address: a, key: nowhere}]", "there is no key"),
        ("known_hosts: nowhere\nhosts: [{address: a}]", "known_hosts names '.*nowhere', and there is no such file"),
        ("ssh_config: nowhere\nhosts: [{address: a}]", "ssh_config names '.*nowhere', and there is no such file"),
        ("hosts: [{address: [fd99::1]}]", "address must be text, and is .*Put it in quotes"),
        ("hosts: [{address: 'fd99::1:xyz'}]", "that is no IPv6 address"),
        ("hosts: [{address: '[fd99::1]:x'}]", "that cannot name a host|that is no IPv6 address"),
        ("hosts: [{address: 'fe80::1'}]", "host 1: address is 'fe80::1': that is a link-local address"),
        ("hosts: [{address: 'fe80::1%eth0'}]", "that is a link-local address"),
        ("hosts: [{address: a, inside: 'fe80::1'}]", "host 1: inside is 'fe80::1': that is a link-local address"),
        ("hosts: [{address: '::'}]", "that is no machine's address"),
        ("hosts: [{address: -oProxyCommand=x}]", "which ssh would take for an option"),
        ("hosts: [{address: anna@a}]", "that cannot name a host"),
        ("hosts: [{address: 'a:b'}]", "what follows its colon is no port"),
        ("hosts: [{address: '[fd99::1]:22', port: 23}]", "Write the port once"),
        ("hosts: [{address: 'a:99999'}]", "must be from 1"),
        ("hosts: [{address: 'fd99::1'}, {address: 'fd99:0::1', name: b}]", "two hosts have the address 'fd99::1'"),
    ],
)
def test_a_file_with_a_typo_is_refused_with_the_word_that_is_wrong(tmp_path: Path, text: str, told: str) -> None:
    path = tmp_path / "hosts.yml"
    path.write_text(text)
    with pytest.raises(UsageError, match="(?s).*" + told):
        read(path)


def test_what_is_said_for_all_hosts_counts_unless_a_host_says_otherwise(tmp_path: Path) -> None:
    path = tmp_path / "hosts.yml"
    path.write_text("user: anna\nworkers: 7\nhosts:\n- address: one\n- {address: two, user: bert, name: second}\n")
    one, two = read(path).hosts
    assert (one.name, one.user, one.workers, one.port) == ("one", "anna", 7, None)
    assert (two.name, two.user, two.workers) == ("second", "bert", 7)


@pytest.mark.parametrize(
    ("written", "address", "port"),
    [
        ("fd99:7::14", "fd99:7::14", None),
        ("fd99:0007:0::14", "fd99:0007:0::14", None),
        ("'[fd99:7::14]'", "fd99:7::14", None),
        ("'[fd99:7::14]:2222'", "fd99:7::14", 2222),
        ("10.0.0.1:2222", "10.0.0.1", 2222),
        ("gpu-1", "gpu-1", None),
    ],
)
def test_addresses_are_written_with_and_without_a_port_and_colons(
    tmp_path: Path, written: str, address: str, port: int | None
) -> None:
    path = tmp_path / "hosts.yml"
    path.write_text(f"hosts:\n- address: {written}\n")
    (host,) = read(path).hosts
    assert (host.name, host.outside, host.port) == (address, address, port)
    assert parted(joined(address, 6379)) == (address, 6379)


def test_what_a_file_does_not_say_is_left_to_the_settings_of_ssh(tmp_path: Path) -> None:
    path = tmp_path / "hosts.yml"
    path.write_text("hosts: [{address: gpu}]\n")
    (host,) = read(path).hosts
    words = " ".join(command(host, "true"))
    assert words.endswith("-- gpu true")
    for setting in ("User=", "Port=", "IdentityFile=", "IdentitiesOnly=", "KnownHostsFile=", "-F"):
        assert setting not in words
    assert "StrictHostKeyChecking=yes" in words


@pytest.mark.parametrize(
    "setting",
    [
        "RequestTTY force",
        "RemoteCommand sleep 100",
        "SessionType none",
        "StdinNull yes",
        "ForkAfterAuthentication yes",
        "PermitLocalCommand yes",
        "LocalForward 6379 localhost:6379",
        "ForwardAgent yes",
        "DynamicForward 6379",
        "RemoteForward 6379 localhost:6379",
        "ForwardX11 yes",
        "Tunnel yes",
        "BatchMode no",
        "ConnectTimeout 600",
        "ServerAliveInterval 0",
        "StrictHostKeyChecking no",
        "VerifyHostKeyDNS yes",
        "CheckHostIP yes",
        "UpdateHostKeys yes",
        "NoHostAuthenticationForLocalhost yes",
        "UserKnownHostsFile /dev/null",
        "GlobalKnownHostsFile /dev/null",
        "KnownHostsCommand /bin/true",
        "HostKeyAlias other",
        "ControlMaster auto",
        "ControlPath /tmp/one",
        "User other",
        "Port 23",
    ],
)
def test_what_the_file_says_and_the_line_needs_goes_before_the_settings_of_ssh(tmp_path: Path, setting: str) -> None:
    def understood(text: str) -> list[str]:
        (tmp_path / "config").write_text(text)
        (tmp_path / "known").touch()
        known, config = str(tmp_path / "known"), str(tmp_path / "config")
        host = Host(
            "one", "one", user="anna", port=22, host_key="ssh-ed25519 AAAA", known_hosts=known, ssh_config=config
        )
        program, *words = command(host, "true")
        done = subprocess.run([program, "-G", *words], capture_output=True, text=True, check=True)
        return done.stdout.splitlines()

    assert understood(setting + "\n") == understood("")


def inside(host: Host, folder: Path) -> str:
    (found,) = placed([host], ClusterRecord(), folder)
    return found.inside


def test_where_hosts_find_one_is_what_the_settings_of_ssh_say_unless_that_means_nothing_to_them(tmp_path: Path) -> None:
    config = tmp_path / "config"
    config.write_text("Host gpu\n  HostName fd99:0:0::7\nHost near\n  HostName fe80::7\nHost %\n  HostName a\n")
    assert inside(Host("one", "gpu", ssh_config=str(config)), tmp_path) == "fd99::7"
    assert inside(Host("one", "gpu", inside="10.0.0.7", ssh_config=str(config)), tmp_path) == "10.0.0.7"
    assert inside(Host("one", "else", ssh_config="none"), tmp_path) == "else"
    with pytest.raises(UsageError, match=r"one is at 'fe80::7', says .*that is a link-local address"):
        inside(Host("one", "near", ssh_config=str(config)), tmp_path)
    config.write_text("Host gpu\n  NoSuchWord yes\n")
    with pytest.raises(EngineError, match=r"one: ssh does not take its settings: .*nosuchword.* Mend them"):
        inside(Host("one", "gpu", ssh_config=str(config)), tmp_path)


def test_a_host_that_an_earlier_muster_started_is_still_known() -> None:
    known = {"name": "one", "address": "10.0.0.7", "user": "anna", "port": 22, "key": "", "workers": 1}
    host = host_of(known, "/home/anna/known_hosts")
    assert (host.inside, host.known_hosts, host.port) == ("10.0.0.7", "/home/anna/known_hosts", 22)


def test_a_percent_sign_in_the_name_of_a_file_means_nothing_to_ssh(tmp_path: Path) -> None:
    folder = tmp_path / "100%b of it"
    folder.mkdir()
    known, key = folder / "known", folder / "key"
    known.touch()
    key.touch(mode=0o600)
    host = Host("one", "127.0.0.1", port=1, known_hosts=str(known), key=str(key), ssh_config="none")
    done = subprocess.run(command(host, "true"), capture_output=True, text=True, check=False)
    assert "expand" not in done.stderr
    assert "refused" in done.stderr


@pytest.mark.parametrize(
    ("host", "why"),
    [
        ('{address: 10.0.0.1, user: \'{{ lookup("pipe", "touch /tmp/x") }}\'}', "user holds '{{'"),
        ("{address: '{{ 1 }}'}", "address holds '{{'"),
        ("{address: 10.0.0.1, python: '{% raw %}'}", "python holds '{%'"),
        ('{address: 10.0.0.1, key: "a\\nProxyCommand x"}', "key holds"),
        ("{address: 10.0.0.1, user: -oProxyCommand=x}", "which ssh would take for an option"),
        ("{address: -oProxyCommand=x}", "which ssh would take for an option"),
    ],
)
def test_what_would_mean_more_than_it_says_to_ansible_or_ssh_is_refused(tmp_path: Path, host: str, why: str) -> None:
    path = tmp_path / "hosts.yml"
    path.write_text(f"hosts:\n- {host}\n")
    with pytest.raises(UsageError) as caught:
        read(path)
    assert why in str(caught.value)


def test_packages_that_would_mean_more_than_they_say_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "hosts.yml"
    path.write_text("hosts:\n- address: 10.0.0.1\npackages: ['a{{ 1 }}']\n")
    with pytest.raises(UsageError, match="packages holds"):
        read(path)
