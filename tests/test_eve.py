"""Another user of a host, or of this computer: she reads no row and no secret, changes no byte, and runs no line."""

import json
import shlex
import subprocess
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from conftest import MUSTER, require_hosts
from hosts import HOME, Host, Hosts, make_hosts
from muster._clouds.program import program
from waiting import until

pytestmark = pytest.mark.waits("long", "together")
PLACES = ("/tmp", "/dev/shm", "/run", str(HOME))  # noqa: S108 (those of a host)
COLUMN, ROW, CODE, RESULT = "telling_column", "telling-row", "telling_code", "telling-result"
BESIDE = f"def label(text):\n    return '{RESULT}' + text[-1]\n"
FUNCTION = f"""
import time
from beside import label

def {CODE}(df):
    time.sleep(0.2)
    if df["{COLUMN}"].eq("{ROW}-1234").any():
        raise ValueError("it is bad")
    df["{COLUMN}_2"] = df["{COLUMN}"].map(label)
    return df
"""
COMMAND = ("run", f"work.py:{CODE}", "rows.csv", "--batch-rows", "100", "--json", "--quiet")
ROWS = 4000
KEYS = ("token", "ca.key")
VALUE = "telling-value"
REFUSALS = ("\x15\x03", *(f"HTTP/1.1 {code}" for code in (400, 401, 403, 405)), "HTTP/1.0 400")
"""What tells her only that she lacks something: an alert of TLS, and answers of HTTP, also to what is none."""


@dataclass(frozen=True)
class Tried:
    """What Eve tells in the end."""

    loot: dict[str, str]
    deeds: list[str]
    answers: dict[str, str]
    refused: int
    rounds: int


class Evil:
    """Eve at work on a host, until she is asked what she got."""

    def __init__(self, hosts: Hosts, host: Host, places: Sequence[str]) -> None:
        command = shlex.join([sys.executable, "-I", str(Path(__file__).with_name("eve.py")), *places])
        self._process = subprocess.Popen(
            [*hosts.ssh(host), command], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert self._process.stdout
        assert self._process.stdout.readline() == "ready\n"

    def asked(self) -> Tried:
        out, _ = self._process.communicate(timeout=60)
        return Tried(**json.loads(out))

    def close(self) -> None:
        self._process.kill()
        self._process.communicate()


@contextmanager
def eve_on(hosts: Hosts, these: Sequence[Host], places: Sequence[str]) -> Iterator[list[Evil]]:
    with ExitStack() as stack:
        found = []
        for host in these:
            found.append(Evil(hosts, host, places))
            stack.callback(found[-1].close)
        yield found


def lay_out(folder: Path) -> None:
    (folder / "work.py").write_text(FUNCTION)
    (folder / "beside.py").write_text(BESIDE)
    (folder / "rows.csv").write_text(f"{COLUMN}\n" + "".join(f"{ROW}-{n}\n" for n in range(ROWS)))


def call(folder: Path, *words: str, code: int = 0) -> None:
    done = subprocess.run([*MUSTER, *words], cwd=folder, capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == code, done.stderr


@dataclass(frozen=True)
class Seen:
    """What became of a run while Eve was at work, and what she tells."""

    output: str
    secrets: dict[str, str]
    tried: list[Tried]
    journal: str


@pytest.fixture(scope="module")
def hosts() -> Iterator[Hosts]:
    """Two hosts; their users' homes are open to be looked into, as on many."""
    require_hosts()
    with make_hosts(2) as made:
        for host in made:
            made.inside(host, HOME).chmod(0o755)
        yield made


@pytest.fixture(scope="module")
def right(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The output of two workers, where nobody else is."""
    folder = tmp_path_factory.mktemp("right")
    lay_out(folder)
    call(folder, *COMMAND, "-o", "out.csv", "--workers", "2", code=4)
    return (folder / "out.csv").read_text()


@pytest.fixture(scope="module")
def on_hosts(tmp_path_factory: pytest.TempPathFactory, hosts: Hosts) -> Seen:
    """Hosts are started, used and ended while she is at work on both."""
    folder = tmp_path_factory.mktemp("eve")
    lay_out(folder)
    told: dict[str, Any] = {"python": MUSTER[0], "known_hosts": str(hosts.known_hosts), "key": str(hosts.key)}
    told |= {"user": "root", "workers": 1, "ssh_config": "none"}
    told["hosts"] = [{"name": host.name, "address": host.address} for host in hosts]
    (folder / "hosts.yml").write_text(yaml.safe_dump(told))
    with pytest.MonkeyPatch.context() as patch, eve_on(hosts, list(hosts), PLACES) as evil:
        patch.setenv("MUSTER_HOME", str(folder / "home"))
        patch.setenv("TELLING_KEY", VALUE)
        try:
            call(folder, "up", "--machines", "2", "--on", "hosts.yml")
            secrets = secrets_of((folder / "home" / "clusters" / "default" / name).read_text() for name in KEYS)
            call(folder, *COMMAND, "-o", "out.csv", "--cluster", "default", "--env", "TELLING_KEY", code=4)
        finally:
            call(folder, "down", "--all")
        tried = [one.asked() for one in evil]
    return Seen((folder / "out.csv").read_text(), secrets, tried, journal_in(folder / "home"))


@pytest.fixture(scope="module")
def at_home(hosts: Hosts) -> Seen:
    """All is on one computer, where she has an account too: a cluster, a run with its page, and what both leave."""
    place, host = Path("/run/work"), hosts[0]
    folder = hosts.inside(host, place)
    folder.mkdir()
    lay_out(folder)
    for path in folder.iterdir():
        path.chmod(0o600)
    muster = f"cd {place}; export MUSTER_HOME={place}/home; exec {shlex.join(MUSTER)}"
    command = (*COMMAND, "-o", "out.csv", "--cluster", "default", "--watch")
    with eve_on(hosts, [host], (*PLACES, str(place))) as evil:
        for words, code in ((("up", "--machines", "1"), 0), (command, 4)):
            done = hosts.run(host, f"{muster} {shlex.join(words)}", timeout=240)
            assert done.returncode == code, done.stderr
            secrets = secrets_of((folder / "home" / "clusters" / "default" / name).read_text() for name in KEYS)
        assert (folder / "out.csv.rejects.jsonl").exists()
        assert hosts.run(host, f"{muster} down", timeout=60).returncode == 0
        tried = [one.asked() for one in evil]
    for one in tried:
        for name in ("out.csv", "__pycache__"):  # whose modes are as this user's files have them
            one.loot.pop(f"{place}/{name}", None)
    return Seen((folder / "out.csv").read_text(), secrets, tried, journal_in(folder / "home"))


def journal_in(home: Path) -> str:
    (path,) = (home / "runs").glob("*.jsonl")
    return path.read_text()


def secrets_of(kept: Iterable[str]) -> dict[str, str]:
    texts = {"column": COLUMN, "row": ROW, "result": RESULT, "source": FUNCTION, "variable": VALUE}
    texts["any key"] = "PRIVATE KEY"
    return {**texts, **dict(zip(KEYS, kept, strict=True))}


@pytest.fixture(params=["on_hosts", "at_home"])
def seen(request: pytest.FixtureRequest) -> Seen:
    found: Seen = request.getfixturevalue(request.param)
    assert found.tried
    return found


def test_a_run_beside_her_gives_the_bytes_of_two_workers(seen: Seen, right: str) -> None:
    assert seen.output == right


def test_she_reads_no_file_lists_no_folder_and_finds_no_secret_in_what_is_told_of_processes(seen: Seen) -> None:
    for tried in seen.tried:
        assert_nothing_was_read(tried, seen.secrets)


def test_she_changes_nothing_that_is_not_hers_and_looks_into_no_process(seen: Seen) -> None:
    for tried in seen.tried:
        assert tried.deeds == []
        assert tried.refused > 100
        assert tried.rounds > 3


def test_nothing_that_listens_tells_her_anything(seen: Seen) -> None:
    for tried in seen.tried:
        assert {asked: said for asked, said in tried.answers.items() if not said.startswith(REFUSALS)} == {}


def test_a_journal_that_is_kept_names_columns_and_tells_but_for_errors_no_row_no_code_and_no_secret(seen: Seen) -> None:
    assert COLUMN in seen.journal
    assert "it is bad" in seen.journal
    for name, secret in seen.secrets.items():
        assert secret not in seen.journal or name == "column", name


def test_after_a_lease_has_ended_she_gets_nothing_by_taking_the_names_that_were_there(hosts: Hosts) -> None:
    """What hosts run alone, without Ray: the agent is started, ends with its lease, and is started again."""
    host = hosts[1]
    place = "/root/.muster/machines/mine@here/0123-456789"
    notes = json.dumps({"lease": "4", "token": "a token that is hers to find"})
    make = json.dumps({"folder": place, "files": {"lease.py": program("lease")}})
    start = [MUSTER[0], "-P", "-S", f"{place}/lease.py", "start", place, "sh", "-c", "echo {scratch}; sleep 60"]
    scratches = []
    with eve_on(hosts, [host], PLACES) as evil:
        for _ in range(3):
            done = hosts.run(host, shlex.join([MUSTER[0], "-P", "-S", "-c", program("host_folders")]), text=make)
            assert done.returncode == 0, done.stderr
            done = hosts.run(host, shlex.join(start), text=notes)
            assert done.returncode == 0, done.stderr
            scratches.append(hosts.inside(host, f"{place}/scratch").read_text())
            until(lambda: not hosts.inside(host, place).exists())
        (tried,) = (one.asked() for one in evil)
    assert len(set(scratches)) == 3
    assert tried.deeds == []
    assert_nothing_was_read(tried, {"token": "a token that is hers to find"})


def assert_nothing_was_read(tried: Tried, secrets: dict[str, str]) -> None:
    for name, secret in secrets.items():
        assert not [path for path, text in tried.loot.items() if secret in text], name
    assert [path for path in tried.loot if not path.startswith("command ")] == []
