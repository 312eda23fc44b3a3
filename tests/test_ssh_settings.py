"""Hosts at IPv6 addresses to which only settings of ssh lead, with talking login shells: all verbs reach them."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from conftest import MUSTER, Muster, require_hosts
from hosts import Hosts, make_hosts

pytestmark = pytest.mark.waits("long")

SETTINGS = """
Host front
    HostName {front_at}
Host back
    HostName {back.name}
    ProxyJump front
Host front back
    Port {front.port}
    User root
    IdentityFile {front.key}
    UserKnownHostsFile {front.known_hosts}
    ControlMaster auto
    ControlPath {folder}/%C
    ControlPersist 5
    RequestTTY force
    LocalForward 127.0.0.1:1 127.0.0.1:1
    ExitOnForwardFailure yes
    RSAAuthentication yes
    SendEnv LANG
    ForwardAgent yes
"""
NOISE = "echo '{\"a\": 1'\necho of the house >&2\nprintf 'hi {'\n"


@pytest.fixture(scope="module")
def hosts() -> Iterator[Hosts]:
    require_hosts()
    with make_hosts(2, port=2222) as made:
        yield made


@pytest.fixture
def file(hosts: Hosts, tmp_path: Path) -> Path:
    front, back = hosts
    (tmp_path / "config").write_text(
        SETTINGS.format(front=front, front_at=front.ipv6 or front.address, back=back, folder=hosts.folder)
    )
    known: dict[str, object] = {"python": MUSTER[0], "ssh_config": "config", "workers": 1}
    known["hosts"] = [{"address": "front"}, {"address": "back", "inside": back.ipv6 or back.address}]
    (tmp_path / "hosts.yml").write_text(yaml.safe_dump(known))
    (tmp_path / "ansible.cfg").write_text("[defaults]\nremote_user = nobody\nbecome = true\n")  # that of another work
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "twice.py").write_text("def twice(df):\n    return df.assign(b=df['a'] * 2)\n")
    (tmp_path / "rows.csv").write_text("a\n" + "".join(f"{n}\n" for n in range(1000)))
    return tmp_path / "hosts.yml"


def test_a_key_an_alias_and_a_jump_host_of_the_settings_lead_every_verb_past_what_login_shells_print(
    muster: Muster, file: Path, hosts: Hosts
) -> None:
    for host in hosts:
        hosts.inside(host, "/root/.bashrc").write_text(NOISE)
    try:
        end = muster("up", "--machines", "2", "--on", file)
        assert (end.code, "2 machines, 2 workers" in end.out) == (0, True), end.err
        end = muster("run", "code/twice.py:twice", "rows.csv", "-o", "out.csv", "--cluster", "default")
        assert end.code == 0, end.err
        assert "muster: the login shell of the cluster's head prints" in end.err
        assert (file.parent / "out.csv").read_text() == "a,b\n" + "".join(f"{n},{n * 2}\n" for n in range(1000))
        hosts.fill_disk(hosts[1])
        (status,) = json.loads(muster("status", "--json").out)
        assert status["silent"] == {}
        assert [machine["name"] for machine in status["machines"]] == ["front", "back"]
        end = muster("run", "code/twice.py:twice", "rows.csv", "-o", "again.csv", "--cluster", "default")
        assert end.code == 0, end.err  # one machine's full disk stops no run
        assert (file.parent / "again.csv").read_bytes() == (file.parent / "out.csv").read_bytes()
    finally:
        end = muster("down", "--all")
        hosts.empty_disk(hosts[1])
    assert (end.code, end.err) == (0, "")
    assert end.out.count("processes ended, and its files are removed") == 2
    for host in hosts:
        assert not [one.command for one in hosts.processes(host) if "ray" in one.command or "lease" in one.command]
        assert not list(hosts.inside(host, "/root/.muster/machines").glob("*"))
