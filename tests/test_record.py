"""What is remembered of a cluster of hosts, whatever comes between, and how hosts are called; none is there."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from conftest import Muster
from muster import EngineError
from muster._clouds.base import Wanted
from muster._clouds.hosts import HostsCloud
from muster._clouds.over_ssh.ills import named
from muster._clouds.over_ssh.inventory import Host
from muster._clouds.over_ssh.played import Played
from muster._clouds.over_ssh.record import ClusterRecord, StartedHost, recalled, remember
from waiting import until

KEYS = ["ssh-ed25519 AAAAfirst", "ssh-ed25519 AAAAsecond"]
SSH = """#!/bin/sh
case " $* " in *" -G "*) exec {ssh} "$@";; esac
test $# -gt 3 || exit 0
echo $$ >> {folder}/called
echo "$@" >> {folder}/words
{then}
"""


@pytest.fixture
def cluster(tmp_path: Path) -> Path:
    """A cluster's folder, as muster up has left it that started two hosts."""
    folder = tmp_path / "cluster"
    folder.mkdir(mode=0o700)
    hosts = [
        Host(name, name, host_key=key, known_hosts=str(folder / "known_hosts"), inside="10.0.0.1")
        for name, key in zip("ab", KEYS, strict=True)
    ]
    remember(folder, ClusterRecord("1", "now", 60.0, 1, tuple(StartedHost(host, "/place", 1, {}) for host in hosts)))
    return folder


def put_ssh_first(folder: Path, then: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have an ssh be found that does something else where it is to connect."""
    (folder / "ssh").write_text(SSH.format(ssh=shutil.which("ssh"), folder=folder, then=then))
    (folder / "ssh").chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")


def test_a_host_that_is_taken_out_of_the_file_is_still_known_by_its_key_so_that_it_can_be_ended(
    cluster: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_ssh_first(tmp_path, "echo Connection refused >&2; exit 255", monkeypatch)
    file = tmp_path / "hosts.yml"
    file.write_text(f"ssh_config: none\nhosts: [{{address: a, inside: 10.0.0.1, host_key: {KEYS[0]}}}]\n")
    with pytest.raises(EngineError, match="it does not answer"):
        HostsCloud(cluster, file).scale(Wanted(1, 1, 60.0))
    assert set((cluster / "known_hosts").read_text().splitlines()) == {f"a {KEYS[0]}", f"b {KEYS[1]}"}


def test_variables_that_set_ansible_up_for_other_hosts_count_for_none_of_ours(
    cluster: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_ssh_first(tmp_path, "echo Connection refused >&2; exit 255", monkeypatch)
    monkeypatch.setenv("ANSIBLE_REMOTE_USER", "nobody")
    monkeypatch.setenv("ANSIBLE_SSH_COMMON_ARGS", "-o ProxyCommand=nobody")
    monkeypatch.setenv("ANSIBLE_VAULT_PASSWORD_FILE", str(tmp_path / "nobody"))
    monkeypatch.setenv("ANSIBLE_LOG_PATH", str(tmp_path / "log"))
    cloud = HostsCloud(cluster, Path())
    seen = cloud.seen()
    assert seen.machines == ()
    assert ["Connection refused" in said for said in seen.silent.values()] == [True, True]
    words = (tmp_path / "words").read_text()
    assert "StrictHostKeyChecking=yes" in words
    assert "nobody" not in words
    assert not (tmp_path / "log").exists()


def test_a_cluster_whose_end_is_interrupted_is_still_known(
    cluster: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_ssh_first(tmp_path, "exec sleep 600", monkeypatch)
    text = "import sys; from pathlib import Path; from muster._clouds.hosts import HostsCloud as C;"
    text += " C(Path(sys.argv[1]), Path()).destroy()"
    with subprocess.Popen([sys.executable, "-c", text, str(cluster)], stderr=subprocess.DEVNULL) as ending:
        until((tmp_path / "called").exists, 60)
        ending.send_signal(signal.SIGINT)
        assert ending.wait(60)
    record = recalled(cluster)
    assert record
    assert [one.host.name for one in record.started] == ["a", "b"]
    pids = [int(pid) for pid in (tmp_path / "called").read_text().split()]
    until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in pids), 30)


def test_machines_that_did_not_answer_when_they_were_to_end_are_known_until_they_do_or_their_lease_is_over(
    cluster: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_ssh_first(tmp_path, "echo Connection refused >&2; exit 255", monkeypatch)
    cloud = HostsCloud(cluster, Path())
    with pytest.raises(EngineError, match="To end it sooner, type the same command again once they answer"):
        cloud.destroy()
    record = recalled(cluster)
    assert record is not None
    assert [one.machine.host.name for one in record.leaving] == ["a", "b"]
    assert cloud.renew().machines == ()
    with pytest.raises(EngineError, match="has no head"), cloud.access():
        pass
    with pytest.raises(EngineError, match="it does not answer"):
        cloud.destroy()
    assert recalled(cluster) == record
    remember(cluster, over(record))
    told = cloud.destroy()
    assert ["its lease has ended, and with it what ran there. It was not seen to" in line for line in told] == [
        True
    ] * 2
    assert recalled(cluster) is None


def over(record: ClusterRecord) -> ClusterRecord:
    """Have the leases be over of all machines that were to end."""
    return replace(record, leaving=tuple(replace(one, since=time.time() - one.lease - 1) for one in record.leaving))


@pytest.mark.parametrize("name", ["cluster.json", "hosts.json", "local.json"])
@pytest.mark.parametrize("text", ["", "[]", '{"started": 3}'])
def test_a_note_on_a_cluster_that_cannot_be_read_is_told_by_every_verb_and_nothing_is_forgotten(
    muster: Muster, home: Path, name: str, text: str
) -> None:
    folder = home / "clusters" / "odd"
    folder.mkdir(parents=True, mode=0o700)
    on = "local" if name == "local.json" else "/nowhere/hosts.yml"
    (folder / "cluster.json").write_text(json.dumps({"on": on}))
    (folder / name).write_text(text)
    for words in (("status",), ("down", "--all")):
        end = muster(*words)
        assert (end.code, f"{name}' should say what is known of cluster 'odd'" in end.err) == (3, True), end.err
        assert "Traceback" not in end.err
        assert (folder / name).read_text() == text


@pytest.mark.parametrize("text", ["", "[1]", "null", "hello", '"{}"'])
def test_what_a_host_answers_that_no_program_of_ours_prints_is_a_failure_of_that_host(text: str) -> None:
    answers, played = Played({"a": '{"left": []}', "b": text}, {}).answers()
    assert answers == {"a": {"left": []}}
    assert repr(text) in played.failures["b"].said


def test_nothing_that_a_host_tells_steers_the_terminal_where_it_is_shown() -> None:
    steers = "\x1b]0;gotcha\x07\x9b2J\r"
    answers, _ = Played({"a": json.dumps({"taken": f"by {steers}", "files": [f"one\ntwo{steers}"]})}, {}).answers()
    assert answers == {"a": {"taken": "by ?]0;gotcha??2J?", "files": ["one\ntwo?]0;gotcha??2J?"]}}
    assert "[sh: ?]0;gotcha??2J not found]" in named(f"sh: {steers} not found")
