"""Clusters of this computer, with real Ray nodes; what needs none of them is in ``test_clusters``, on a fake cloud."""

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from time import monotonic
from typing import Any, Final

import psutil
import pytest

from conftest import MUSTER, Ended, Muster, begun
from hosts import Host
from journals import kept
from muster._clouds.certificates import Authority
from muster._clouds.local import LocalCloud
from muster._process.cores import count_cores
from strangers import Port, answers_in_the_clear, lets_in, shown
from waiting import until

pytestmark = pytest.mark.waits
ROWS = 3000
SECONDS = 120.0
LEASE = 4.0
FUNCTION = """
import time
from pathlib import Path

HURRY = Path(__file__).with_name("hurry")

def slow(df):
    for _ in df.index:
        if not HURRY.exists():
            time.sleep(0.02)
    df["b"] = df["a"] * 2
    return df
"""
COMMAND = ("run", "slow.py:slow", "rows.csv", "-o", "out.csv", "--json", "--quiet")
EXPECTED = "a,b\n" + "".join(f"{n},{n * 2}\n" for n in range(ROWS))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "slow.py").write_text(FUNCTION)
    (tmp_path / "hurry").touch()
    (tmp_path / "rows.csv").write_text("a\n" + "".join(f"{n}\n" for n in range(ROWS)))
    return tmp_path


@pytest.fixture(autouse=True)
def nothing_is_left(home: Path) -> Iterator[None]:
    """End what a test has made; no process may be left then."""
    yield
    while RUNNING:
        RUNNING.pop().kill()
    clusters = [path.parent for path in (home / "clusters").glob("*/local.json")]
    for path in clusters:
        LocalCloud(path).destroy()
    until(lambda: not processes_of(home))


def processes_of(home: Path) -> list[psutil.Process]:
    """Find the processes of this test's clusters: their token lies in its MUSTER_HOME."""
    found = []
    for process in psutil.process_iter(["environ", "status"]):
        environment = process.info["environ"] or {}
        is_ours = environment.get("RAY_AUTH_TOKEN_PATH", "").startswith(str(home))
        if is_ours and process.info["status"] != psutil.STATUS_ZOMBIE:
            found.append(process)
    return found


def up(muster: Muster, machines: int, *more: str, name: str = "default") -> Ended:
    end = muster("up", name, "--machines", str(machines), "--workers-per-machine", "1", *more)
    assert end.code == 0, end.err
    return end


def agent_of(home: Path, machine: str) -> int:
    return int(json.loads((home / "clusters" / "default" / machine / "agent").read_text())["pid"])


def kill_machine(home: Path, machine: str) -> None:
    """Pull a machine's plug: its agent first, so that nobody tidies up."""
    agent = psutil.Process(agent_of(home, machine))
    for process in [agent, *agent.children(recursive=True)]:
        with contextlib.suppress(psutil.NoSuchProcess):  # Ray's processes end on their own when one of them is gone
            process.kill()


def is_busy(muster: Muster, machine: str) -> bool:
    (status,) = json.loads(muster("status", "--json").out)
    return any(found["busy"] for found in status["machines"] if found["name"] == machine)


class Running:
    """A run on the cluster that goes on meanwhile, until its test ends."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        RUNNING.append(self)
        (folder / "hurry").unlink()
        self._process = begun(folder, *COMMAND, "--cluster", "default")

    def has_kept(self, parts: int) -> bool:
        assert self._process.poll() is None, self._process.communicate()
        return kept(self.folder / "out.csv.muster" / "journal.jsonl") >= parts

    def kill(self) -> None:
        self._process.kill()
        self._process.communicate()

    def ended(self) -> Ended:
        """Let the function hurry from now on, and wait for the end."""
        (self.folder / "hurry").touch()
        out, err = self._process.communicate(timeout=SECONDS)
        return Ended(self._process.returncode, out, err)


RUNNING: Final[list[Running]] = []
"""Those of this test: one that it leaves alive, because it fails, would disturb the tests that follow."""


def start(folder: Path, *, kept: int = 2) -> Running:
    """Start a run, and wait until some of it is done."""
    running = Running(folder)
    until(lambda: running.has_kept(kept))
    return running


def assert_right(folder: Path, end: Ended) -> dict[str, Any]:
    assert end.code == 0, end.err
    assert (folder / "out.csv").read_text() == EXPECTED
    assert end.json["rows_in"] == end.json["rows_out"] == ROWS
    return end.json


ABOUT: Final = """
import atexit, os, sys, tempfile, warnings
from pathlib import Path
log = open(f"log-{os.getpid()}", "w")
atexit.register(Path(f"atexit-{os.getpid()}").touch)
def about(df):
    print("these are", len(df), "rows")
    log.write("x" * len(df))
    tempfile.mkdtemp()
    for _ in df.index:
        warnings.warn("slow path")
    return df.assign(key=os.environ["SET_AFTER_UP"], argv=sys.argv[0].rpartition("/")[2])
"""


def assert_the_callers_world_is_there(muster: Muster, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "about.py").write_text(ABOUT)
    monkeypatch.setenv("SET_AFTER_UP", "yes")
    end = muster("run", "about.py:about", "rows.csv", "-o", "about.csv", "--cluster", "default")
    assert end.code == 0, end.err
    assert set((folder / "about.csv").read_text().splitlines()[1:]) == {f"{n},yes,about.py" for n in range(ROWS)}
    printed = [line.partition("these are")[2].split() for line in end.err.splitlines() if "these are" in line]
    assert sum(int(words[0]) for words in printed) == ROWS
    assert sum(path.stat().st_size for path in folder.glob("log-*")) == ROWS
    assert any(folder.glob("atexit-*"))
    raised = [line for line in end.err.splitlines() if "raised" in line]  # by the workers of all machines
    assert raised == [f"muster: raised {ROWS:,} times: UserWarning at about.py:11: slow path"]


def assert_all_listen_on_loopback_alone_and_ray_hears_nobody_without_a_certificate(home: Path, nobody: Path) -> None:
    """Knock at all that two machines listen at, first with nothing to show."""
    agents = [psutil.Process(agent_of(home, machine)) for machine in ("m1", "m2")]
    found = [process for agent in agents for process in agent.children(recursive=True)]
    links = [link for process in found for link in process.net_connections() if link.status == psutil.CONN_LISTEN]
    assert {link.laddr.ip.removeprefix("::ffff:") for link in links} == {"127.0.0.1"}
    this = Host(0, "here", "127.0.0.1", 0, "", nobody, nobody)
    heard = {link.laddr.port for link in links if lets_in(Port(this, link.laddr.port), shown(nobody))}
    assert not heard
    # The agent of each machine for runtime environments, which loads once it is asked, and asks for the token.
    until(lambda: len([link for link in links if answers_in_the_clear(Port(this, link.laddr.port))]) >= 2)
    assert len([link for link in links if answers_in_the_clear(Port(this, link.laddr.port))]) == 2
    member = shown(home / "clusters" / "default" / "m2")
    heard = {link.laddr.port for link in links if lets_in(Port(this, link.laddr.port), member)}
    assert len(heard) == len(links) - 2


def temporary_folders(home: Path) -> list[Path]:
    """List what runs have on the machines for as long as they last."""
    scratch = Path(json.loads((home / "clusters" / "default" / "local.json").read_text())["scratch"])
    return list(scratch.glob("m*/muster-run-*"))


def test_a_cluster_is_made_shown_used_and_ended_for_its_user_alone_and_each_verb_may_be_repeated(
    muster: Muster, folder: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(2):
        assert "2 machines, 2 workers, on local" in up(muster, 2).out
    assert_all_listen_on_loopback_alone_and_ray_hears_nobody_without_a_certificate(home, folder)
    end = muster(*COMMAND, "--cluster", "default")
    assert_right(folder, end)
    assert "Traceback" not in end.err
    assert_the_callers_world_is_there(muster, folder, monkeypatch)
    (status,) = json.loads(muster("status", "default", "--json").out)
    assert [machine["name"] for machine in status["machines"]] == ["m1", "m2"]
    assert all(machine["versions"]["ray"] and machine["memory"] > 0 for machine in status["machines"])
    assert all(0 < machine["left"] <= machine["lease"] == 900 for machine in status["machines"])
    assert not temporary_folders(home)
    (folder / "out.csv").unlink()  # else nothing is to be done
    running = start(folder)
    assert temporary_folders(home)
    running.kill()
    until(lambda: not temporary_folders(home), 30)
    assert "gone" in muster("down").out
    again = muster("down")
    assert (again.code, "no such cluster" in again.out) == (0, True)
    assert muster("status").out.startswith("There is no cluster")


def test_machines_that_come_are_killed_and_go_in_the_middle_of_a_run_change_nothing_in_its_output(
    muster: Muster, folder: Path, home: Path
) -> None:
    up(muster, 1)
    running = start(folder)
    end = muster("up", "--machines", "3")  # what is not said stays as it is: 1 worker on each
    assert (end.code, "3 machines, 3 workers" in end.out) == (0, True), end.err
    until(lambda: is_busy(muster, "m2"))
    kill_machine(home, "m2")
    up(muster, 1)
    assert assert_right(folder, running.ended())["machines"] > 1
    os.kill(agent_of(home, "m1"), signal.SIGKILL)  # which takes its machine with it
    until(lambda: not processes_of(home), 30)


def assert_a_token_that_does_not_fit_is_refused_clearly(muster: Muster, folder: Path, token: Path) -> None:
    fitting = token.read_text()
    commands: dict[str, tuple[str, ...]] = {
        "0" * 64: (*COMMAND, "--cluster", "default"),
        "": (*COMMAND, "--cluster", "default"),
        "\n": ("up", "--machines", "2"),
    }
    for text, command in commands.items():
        token.write_text(text)
        end = muster(*command)
        assert end.code == 3
        assert "token does not fit" in end.err
        assert "muster down" in end.err
        assert not any(noise in end.err for noise in ("Traceback", "gcs_client", "InvalidAuthToken")), end.err
    assert not (folder / "out.csv").exists()
    token.write_text(fitting)
    assert len(json.loads(muster("status", "--json").out)[0]["machines"]) == 1


def test_a_token_that_does_not_fit_is_refused_and_a_head_that_is_killed_stops_the_run_which_goes_on_elsewhere(
    muster: Muster, folder: Path, home: Path
) -> None:
    up(muster, 1)
    assert_a_token_that_does_not_fit_is_refused_clearly(muster, folder, home / "clusters/default/token")
    running = start(folder, kept=3)
    kill_machine(home, "m1")
    end = running.ended()
    assert end.code == 3
    assert "head is gone" in end.err
    assert "Traceback" not in end.err
    assert not (folder / "out.csv").exists()
    up(muster, 1, name="other")
    assert assert_right(folder, muster(*COMMAND, "--cluster", "other"))["resumed_parts"] > 0


def test_machines_that_are_called_up_for_a_run_end_with_it_also_where_temporary_files_have_long_paths(
    muster: Muster, folder: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    temporary = folder / ("long" * 25)
    temporary.mkdir()
    monkeypatch.setenv("TMPDIR", str(temporary))
    (folder / "slow.py").write_text(FUNCTION.replace("0.02", "0.004"))
    (folder / "hurry").unlink()
    end = muster(*COMMAND, "--machines", "2")
    result = assert_right(folder, end)
    assert (result["workers"], result["machines"]) == (2 * count_cores(), 2)
    assert not processes_of(home)
    assert muster("status").out.startswith("There is no cluster")


def test_a_run_renews_the_lease_and_nothing_outlives_it_when_nobody_does(
    muster: Muster, folder: Path, home: Path
) -> None:
    up(muster, 2, "--lease", f"{LEASE:g}s")
    scratch = Path(json.loads((home / "clusters" / "default" / "local.json").read_text())["scratch"])
    running = Running(folder)

    def has_begun() -> bool:
        LocalCloud(home / "clusters" / "default").renew()  # however long a command takes to start
        return running.has_kept(1)

    until(has_begun)
    began = monotonic()
    until(lambda: running.has_kept(1) and monotonic() - began > LEASE + 1)
    assert len(processes_of(home)) > 2
    running.kill()
    until(lambda: not processes_of(home), 30)
    until(lambda: not scratch.exists())
    end = muster(*COMMAND, "--cluster", "default")
    assert end.code in {2, 3}
    assert "0 machines" in muster("status").out
    assert "none of its machines lives" in muster("status").out


def test_a_cluster_whose_certificates_are_to_end_gets_new_ones_and_works_with_them(
    muster: Muster, folder: Path, home: Path
) -> None:
    up(muster, 1)
    certificate, agent = home / "clusters" / "default" / "m1" / "node.crt", agent_of(home, "m1")
    before = certificate.read_text()
    running = start(folder)
    Authority(home / "clusters" / "default").begin(-29.5 * 24 * 3600 / 4)  # they have half a day left
    up(muster, 1)
    assert (agent_of(home, "m1"), certificate.read_text()) == (agent, before)  # a run works with them
    assert_right(folder, running.ended())
    up(muster, 1)
    assert (agent_of(home, "m1") != agent, certificate.read_text() != before) == (True, True)
    (folder / "out.csv").unlink()
    assert_right(folder, muster(*COMMAND, "--cluster", "default"))


def test_an_up_that_was_killed_or_interrupted_half_way_is_mended_by_the_next_and_down_in_a_run_stops_it_resumable(
    muster: Muster, folder: Path, home: Path
) -> None:
    command = [*MUSTER, "up", "--machines", "2", "--workers-per-machine", "1"]
    for blow, machine in ((signal.SIGKILL, "m1"), (signal.SIGHUP, "m2")):
        with subprocess.Popen(
            command, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
        ) as half:
            until((home / "clusters" / "default" / machine / "agent").exists)
            half.send_signal(blow)
            _, err = half.communicate(timeout=SECONDS)
    assert half.returncode == 128 + signal.SIGHUP
    assert "muster down default to end it" in err
    assert "2 machines" in up(muster, 2).out
    assert_right(folder, muster(*COMMAND, "--cluster", "default"))
    (folder / "out.csv").unlink()
    running = start(folder)
    assert "gone" in muster("down").out
    end = running.ended()
    assert (end.code, "is gone" in end.err) == (3, True), end.err
    assert_right(folder, muster(*COMMAND, "--workers", "0"))


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize(
    ("command", "told"),
    [
        (("up", "--machines", "0"), "at least 1 machine"),
        (("up", "--machines", "1", "--on", "mars"), "there is no such cloud"),
        (("status", "nowhere"), "There is no cluster 'nowhere'"),
        (("down", "nowhere"), "There is no cluster 'nowhere'. There are: none. There is nothing to end."),
        (
            ("up", "--machines", "1", "--on", "awss"),
            "--on awss (did you mean aws?): there is no such cloud. There are: local",
        ),
        ((*COMMAND, "--cluster", "nowhere"), "There is no cluster 'nowhere'"),
        ((*COMMAND, "--cluster", "default", "--workers", "2"), "leave out --workers, or the cluster"),
        ((*COMMAND, "--cluster", "default", "--machines", "2"), "not both"),
        ((*COMMAND, "--on", "local"), "how many machines"),
        ((*COMMAND, "--machines", "0"), "1 or more"),
        ((*COMMAND, "--machines", "1", "--on", "mars"), "there is no such cloud"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_is_started(
    muster: Muster, home: Path, command: tuple[str, ...], told: str
) -> None:
    end = muster(*command)
    assert end.code == 2
    assert told in end.err
    assert "Traceback" not in end.err
    assert not processes_of(home)


def test_a_file_of_hosts_with_a_typo_leaves_no_cluster_behind(muster: Muster, tmp_path: Path, home: Path) -> None:
    (tmp_path / "typo.yml").write_text("hosts: [{adress: 10.0.0.1}]")
    (tmp_path / "few.yml").write_text("hosts: [{address: 10.0.0.1}]")
    typo = "'adress' (did you mean address?) means nothing"
    for name, told in (("typo.yml", typo), ("no.yml", "Cannot read"), ("few.yml", "names 1 hosts")):
        end = muster("up", "--machines", "2", "--on", name)
        assert end.code == 2
        assert told in end.err
    assert muster("status").out.startswith("There is no cluster")
    assert not (home / "clusters").exists()


def test_where_nothing_can_be_written_the_folder_is_named_and_what_to_do(
    muster: Muster, folder: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (home / "clusters" / "default").mkdir(parents=True)
    (home / "clusters" / "default" / "m1").write_text("a file, where a machine's folder must be")
    (home / "file").touch()
    cases: dict[Path, list[tuple[str, ...]]] = {
        home: [("up", "--machines", "1")],
        home / "file": [("up", "--machines", "1"), (*COMMAND, "--machines", "1"), ("status", "default")],
    }
    for place, commands in cases.items():
        monkeypatch.setenv("MUSTER_HOME", str(place))
        for command in commands:
            end = muster(*command)
            assert end.code == 3, end.err
            assert "MUSTER_HOME" in end.err
            assert "Mend that" in end.err
            assert "Traceback" not in end.err
    assert not processes_of(home)
    assert not (folder / "out.csv").exists()


def test_importing_muster_and_running_at_home_load_no_ray() -> None:
    heavy = "{'ray', 'ansible_runner', 'yaml', 'muster._clouds.clusters', 'muster._clouds', 'muster._travel.parcels'}"
    code = f"import sys, muster, muster.cli, muster._run.runner; sys.exit(bool({heavy} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
