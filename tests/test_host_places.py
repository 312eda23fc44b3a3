"""What hosts keep, by the programs that run there alone: a place for each cluster, and scratch that is made anew."""

import json
import os
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from muster._clouds.program import program
from muster._clouds.there import host_folders
from muster._clouds.there.processes import birth_of, is_alive, working_in
from waiting import until

SOMEBODY = 54_321
OWNER = {"name": "default", "who": "ann@laptop", "home": "/home/ann/.muster", "since": "2026-11-25 23:12 UTC"}
WAITS = ("sh", "-c", "echo {scratch}; exec sleep 1000")
LISTENS = """
import os, socket, sys
listening = socket.create_server(("", 0))
print(listening.getsockname()[1], flush=True)
os.environ["RAY_TLS_CA_CERT"] = sys.argv[1]  # as Ray's processes have it
os.set_inheritable(listening.fileno(), True)
os.execvp("sleep", ["sleep", "1000"])
"""
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can make what belongs to somebody else")


class Computer:
    """A host's home and temporary folder; its programs run as they do there, by a Python without muster."""

    def __init__(self, folder: Path) -> None:
        self.home = folder / "home"
        self.temporary = folder / "t"  # short: a socket must have room below
        self.home.mkdir(mode=0o755)
        self.temporary.mkdir()
        self.temporary.chmod(0o1777)
        self._name = "first"
        self._held: list[str] = []

    def kill_own_alone(self) -> "Computer":
        """Let programs from now on end their own user's processes alone, as anybody's may who is not root."""
        self._held = ["setpriv", "--bounding-set=-kill", "--inh-caps=-kill"]
        return self

    def called(self, name: str) -> "Computer":
        self._name = name
        return self

    def run(self, text: str, *arguments: str, given: object) -> "subprocess.CompletedProcess[str]":
        named = ["unshare", "--uts", "sh", "-c", 'hostname "$0" && exec "$@"', self._name] if os.geteuid() == 0 else []
        return subprocess.run(
            [*named, *self._held, sys.executable, "-P", "-S", "-c", text, *arguments],
            input=json.dumps(given),
            env={"PATH": os.environ["PATH"], "HOME": str(self.home), "TMPDIR": str(self.temporary)},
            umask=0,
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )

    def look(self, *, cluster: str = "default", ours: str = "") -> dict[str, Any]:
        done = self.run(program("environment"), "look", given={"packages": [], "cluster": cluster, "ours": [ours]})
        found: dict[str, Any] = json.loads(done.stdout or "{}") or pytest.fail(done.stderr)
        return found

    def place(self, cluster: str) -> Path:
        return Path(self.look()["place"]) / host_folders.leaf(cluster, "10.0.0.1:22")

    def make(self, place: Path) -> str:
        files = {"lease.py": program("lease")}
        return self.run(program("host_folders"), given={"folder": str(place), "files": files}).stderr

    def start(self, place: Path, *, lease: str = "60", command: tuple[str, ...] = WAITS, port: int = 0) -> str:
        assert not self.make(place)
        notes = {"lease": lease, "owner": json.dumps(OWNER), **({"port": str(port)} if port else {})}
        return self.run(program("lease"), "start", str(place), *command, given=notes).stderr

    def scratch(self, place: Path) -> Path:
        until(lambda: (place / "log").exists() and (place / "log").read_text())
        return Path((place / "log").read_text().strip())

    def census(self) -> list[dict[str, Any]]:
        done = self.run(program("census"), given=None)
        found: list[dict[str, Any]] = json.loads(done.stdout or pytest.fail(done.stderr))["machines"]
        return found

    def end(self, place: Path) -> None:
        self.run(program("lease"), "end", str(place), given=None)

    def ended(self, place: Path) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.run(program("lease"), "end", str(place), given=None).stdout)
        return found


@pytest.fixture
def computer() -> Iterator[Computer]:
    folder = Path(tempfile.mkdtemp(prefix="c-"))
    folder.chmod(0o755)
    made = Computer(folder)
    yield made
    for place in made.home.glob(".muster/machines/*/*"):
        made.end(place)
    shutil.rmtree(folder)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.lstat().st_mode)


def test_all_that_a_host_keeps_is_for_this_user_alone_whatever_the_umask(computer: Computer) -> None:
    place = computer.place("a1")
    assert not computer.start(place)
    scratch = computer.scratch(place)
    assert (scratch.parent, mode(scratch)) == (computer.temporary, 0o700)
    kept = [computer.home / ".muster", *(computer.home / ".muster").rglob("*")]
    assert {path.name: oct(mode(path)) for path in kept if mode(path) & 0o077} == {}
    computer.end(place)
    assert not scratch.exists()
    assert not list(computer.home.glob(".muster/machines/*"))


def test_a_cluster_of_the_same_name_of_another_home_is_refused_with_who_and_since_when(computer: Computer) -> None:
    first, second = computer.place("a1"), computer.place("b2")
    assert not computer.start(first)
    agent = host_folders.agent_of(first)
    for said in (computer.look(ours="b2")["taken"], computer.start(second)):
        assert "'default' of ann@laptop (MUSTER_HOME /home/ann/.muster) works there since 2026-11-25 23:12 UTC" in said
        assert "MUSTER_HOME=/home/ann/.muster muster down default" in said
    assert not computer.look(ours="a1")["taken"]
    assert not computer.look(cluster="other", ours="b2")["taken"]
    assert host_folders.agent_of(first) == agent
    assert host_folders.agent_of(second) is None
    assert (first / "lease").read_text() == "60"


def test_what_a_cluster_left_whose_agent_was_killed_goes_when_the_next_starts(computer: Computer) -> None:
    first, second = computer.place("a1"), computer.place("b2")
    assert not computer.start(first)
    scratch = computer.scratch(first)
    os.kill(host_folders.agent_of(first) or 0, signal.SIGKILL)
    until(lambda: host_folders.agent_of(first) is None)
    assert not computer.start(second)
    assert not first.exists()
    assert not scratch.exists()
    assert computer.scratch(second) != scratch


def why_not(place: Path) -> str:
    until((place / "end").exists)
    return (place / "end").read_text()


def test_a_head_of_anothers_cluster_that_listens_on_the_port_is_named_with_what_to_type(computer: Computer) -> None:
    first = computer.place("a1")
    second = first.parents[1] / first.parent.name.replace("default@", "other@") / "b2-1"
    assert not computer.start(first, command=(sys.executable, "-c", LISTENS, f"{first}/ca.crt"))
    until(lambda: working_in(first))  # it has said its port by then, and only now has the name of its place
    port = int((first / "log").read_text())
    assert not computer.start(second, port=port)
    told = why_not(second)
    assert "the cluster 'default' of ann@laptop (MUSTER_HOME /home/ann/.muster) has its head there" in told
    assert f"listens on port {port}" in told
    assert (
        "Put another host first in the file, or end that cluster: MUSTER_HOME=/home/ann/.muster muster down default"
        in told
    )


def test_a_program_that_is_none_of_musters_and_listens_on_the_port_is_named_by_its_process(computer: Computer) -> None:
    place = computer.place("a1")
    for address in ("", "::"):
        with socket.create_server((address, 0), family=socket.AF_INET6 if address else socket.AF_INET) as listening:
            port = listening.getsockname()[1]
            assert not computer.start(place, port=port)
            assert f"another program, process {os.getpid()} (" in why_not(place)
            assert f"listens on port {port} there; end it, or put another host first" in why_not(place)


@pytest.mark.parametrize("verb", [Computer.end, Computer.start])
def test_what_works_on_though_agent_and_watchdog_were_killed_at_once_goes_with_the_next_verb(
    computer: Computer, verb: Callable[[Computer, Path], object]
) -> None:
    place = computer.place("a1")
    orphan = begin(computer, place)
    kill_who_watches(place)
    assert birth_of(orphan)
    verb(computer, place)
    assert birth_of(orphan) is None


def begin(computer: Computer, place: Path) -> int:
    """Start a machine whose process listens, and ends for nobody who asks; name that."""
    ignores = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN)"  # what the kernel sends it
    assert not computer.start(place, command=(sys.executable, "-c", ignores + LISTENS, f"{place}/ca.crt"))
    until(lambda: working_in(place))  # it has said its port by then, and only now has the name of its place
    (pid,) = working_in(place)
    return pid


def kill_who_watches(place: Path) -> None:
    known = json.loads((place / "agent").read_text())
    os.kill(known["pid"], signal.SIGSTOP)  # or it might end the other before it is killed itself
    for pid in (known["watchdog"], known["pid"]):
        os.kill(pid, signal.SIGKILL)
    until(lambda: not is_alive(known["pid"], known["born"]))


def test_a_census_tells_of_machines_and_of_what_works_on_where_one_was_with_no_lease_left(computer: Computer) -> None:
    place = computer.place("a1")
    whose = {"cluster": "default", "owner": OWNER["who"], "home": OWNER["home"], "since": OWNER["since"]}
    begin(computer, place)
    (living,) = computer.census()
    assert (living.items() >= whose.items(), 0 < living["left"] <= living["lease"]) == (True, True)
    kill_who_watches(place)
    assert computer.census() == [{**whose, "left": 0.0}]
    computer.end(place)
    assert computer.census() == []


@pytest.mark.parametrize("note", ["{}", '{"name": "default", "who": "ann@laptop"}', "[1]", '{"name"'])
def test_a_note_of_whose_a_place_is_that_lacks_something_is_as_none(computer: Computer, note: str) -> None:
    first, second = computer.place("a1"), computer.place("b2")
    other = first.parents[1] / first.parent.name.replace("default@", "other@") / "b2-1"
    begin(computer, first)
    port = int((first / "log").read_text())
    for name, text in (("owner", note), ("environment", str(computer.home / ".muster" / "environments" / "e"))):
        (first / name).write_text(text)
    for said in (computer.look(ours="b2")["taken"], computer.start(second)):
        assert f"another cluster of that name works there, in {str(first)!r}" in said
    assert not computer.start(other, port=port)
    assert f"a head of muster's that nobody ends, process {working_in(first)[0]}, listens on port" in why_not(other)
    kept = json.loads(computer.run(program("environments"), given=None).stdout)["kept"]
    assert kept == {"e": f"the cluster in {str(first)!r}"}
    assert [sorted({"owner", "home", "since"} & one.keys()) for one in computer.census()] == [[]]


@needs_root
def test_a_process_that_cannot_be_ended_is_told_each_time_until_it_has_ended(computer: Computer) -> None:
    place = computer.kill_own_alone().place("a1")
    assert not computer.make(place)
    of_place = {"RAY_TLS_CA_CERT": f"{place}/ca.crt"}
    with subprocess.Popen(["/bin/sleep", "1000"], env=of_place, user=SOMEBODY) as sleeping:  # as what sudo starts
        pid = sleeping.pid
        try:
            for _ in range(2):
                assert computer.ended(place)["left"] == [pid]
                assert sorted(path.name for path in place.iterdir()) == ["lease.py", "left"]
        finally:
            sleeping.kill()
    assert computer.ended(place) == {"ended": 0, "left": [], "files": []}
    assert not place.exists()


@needs_root
@pytest.mark.parametrize("kind", ["folder", "link"])
def test_a_name_that_was_a_scratch_once_is_not_used_again_and_what_lies_there_is_left_alone(
    computer: Computer, kind: str
) -> None:
    place, secrets = computer.place("a1"), computer.home / "secrets"
    secrets.mkdir(mode=0o700)
    (secrets / "letter").touch()
    assert not computer.start(place)
    scratch = computer.scratch(place)
    (place / "shorter").write_text("0.2")
    (place / "shorter").rename(place / "lease")
    until(lambda: host_folders.agent_of(place) is None and not scratch.exists())
    if kind == "folder":
        scratch.mkdir()
        (scratch / "bait").touch()
    else:
        scratch.symlink_to(secrets)
    os.chown(scratch, SOMEBODY, SOMEBODY, follow_symlinks=False)
    assert not computer.start(place)
    assert computer.scratch(place) != scratch
    computer.end(place)
    assert scratch.lstat().st_uid == SOMEBODY
    assert [path.name for path in scratch.iterdir()] == ["bait" if kind == "folder" else "letter"]
    assert mode(secrets) == 0o700


@needs_root
@pytest.mark.parametrize("below", ["", "machines"])
@pytest.mark.parametrize("kind", ["folder", "link", "file"])
def test_what_lies_where_muster_keeps_things_and_is_not_its_own_is_refused(
    computer: Computer, below: str, kind: str
) -> None:
    place, elsewhere = computer.place("a1"), computer.home / "elsewhere"
    elsewhere.mkdir()
    squatted = computer.home / ".muster" / below
    squatted.parent.mkdir(mode=0o700, exist_ok=True)
    match kind:
        case "folder":
            squatted.mkdir(mode=0o777)
            os.chown(squatted, SOMEBODY, SOMEBODY)
        case "link":
            squatted.symlink_to(elsewhere)
        case _:
            squatted.touch()
    what = {"folder": f"belongs to user {SOMEBODY}", "link": "is a link", "file": "is no folder"}[kind]
    for said in (computer.look()["obstacle"], computer.make(place)):
        assert f"{str(squatted)!r} {what}" in said
    assert list(elsewhere.iterdir()) == []
    assert kind != "folder" or list(squatted.iterdir()) == []


def test_a_home_or_a_temporary_folder_where_others_may_rename_what_is_ours_is_refused(computer: Computer) -> None:
    place = computer.place("a1")
    computer.temporary.chmod(0o777)
    assert f"chmod go-w {computer.temporary}" in computer.start(place)
    computer.home.chmod(0o777)
    for said in (computer.look()["obstacle"], computer.make(computer.place("b2"))):
        assert f"others may write {str(computer.home)!r}" in said


@needs_root
@pytest.mark.parametrize("kind", ["folder", "link"])
def test_a_machine_at_home_goes_on_in_no_scratch_that_somebody_else_has_put_there(
    computer: Computer, tmp_path: Path, kind: str
) -> None:
    place, scratch = tmp_path / "m1", computer.temporary / "muster-known"
    if kind == "folder":
        scratch.mkdir(mode=0o777)
    else:
        scratch.symlink_to(tmp_path)
    os.chown(scratch, SOMEBODY, SOMEBODY, follow_symlinks=False)
    notes = {"lease": "60", "scratch": str(scratch / "m1")}
    said = computer.run(program("lease"), "start", str(place), "sleep", "1000", given=notes).stderr
    assert f"{str(scratch)!r} {'is a link' if kind == 'link' else f'belongs to user {SOMEBODY}'}" in said
    assert host_folders.agent_of(place) is None
    assert not (scratch / "m1").exists() or kind == "link"


@needs_root
def test_what_a_host_left_that_never_came_back_goes_when_another_with_that_home_starts(computer: Computer) -> None:
    gone, fresh = computer.place("a1"), computer.called("third").place("c3")
    for place, age in ((gone, 2 * 24 * 3600), (fresh, 60)):
        assert not computer.make(place)
        (place / "lease").write_text("60")
        os.utime(place / "lease", (time.time() - age, time.time() - age))
    assert not computer.start(computer.called("second").place("b2"))
    assert (gone.exists(), gone.parent.exists(), fresh.exists()) == (False, False, True)


@needs_root
def test_a_temporary_folder_that_somebody_else_could_take_away_is_refused(computer: Computer) -> None:
    os.chown(computer.temporary, SOMEBODY, SOMEBODY)
    assert f"{str(computer.temporary)!r} belongs to user {SOMEBODY}" in computer.start(computer.place("a1"))


def test_a_place_of_an_earlier_version_is_closed(computer: Computer) -> None:
    (computer.home / ".muster" / "machines").mkdir(parents=True, mode=0o755)
    assert not computer.make(computer.place("a1"))
    assert mode(computer.home / ".muster") == mode(computer.home / ".muster" / "machines") == 0o700


@needs_root
def test_hosts_that_share_a_home_have_places_of_their_own_there(computer: Computer) -> None:
    first = computer.place("a1")
    second = computer.called("second").place("a1")
    assert first != second
    assert not computer.start(second)
    assert not computer.called("first").start(first)
    assert host_folders.agent_of(first) != host_folders.agent_of(second)
    computer.end(first)
    assert host_folders.agent_of(second)
