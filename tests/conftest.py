"""What all tests share: a MUSTER_HOME of their own, seed rows, and the command line as a real process."""

import contextlib
import gc
import json
import os
import signal
import subprocess
import sys
from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain, groupby
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

from aws import allowed
from aws.region import Region, pretended_region
from hosts import lacking
from machines import living
from muster._api.generate import generate
from muster._clouds.base import Access
from muster._engines.cores.starter import start_by
from muster._user_code import loaded
from warm import Forked, Warm, read_at_start, starting

MUSTER = [sys.executable, "-m", "muster"]
WARM: list[Warm] = []
"""What waits for commands, once there are tests."""
settings.register_profile("muster", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("muster")  # other work on the machine slows an example down, which is no fault of what is tested


@dataclass(frozen=True)
class Ended:
    """How a command line ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.out.splitlines()[-1])
        return found


Muster = Callable[..., Ended]


def require_hosts() -> None:
    """Skip a test where there can be no hosts; but CI has to have them."""
    if reason := lacking():
        (pytest.fail if os.environ.get("CI") == "true" else pytest.skip)(reason)


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Iterator[None]:
    """Look for garbage neither while tests are collected, which takes a sixth of the time, nor later among them."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Deal what waits for machines out among the rest, so that no test process gets all of it, the longest first.

    xdist gives each process a stretch of the list; they do not all begin with machines, nor does one end with them.
    Tests that share machines stay together: each process that has one of them would start machines of its own.
    """
    stretches = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    together: dict[object, list[pytest.Item]] = {}
    for item in items:
        together.setdefault(shared_machines(item), []).append(item)
    rest = together.pop(None, [])
    waiting = sorted(together.values(), key=lambda block: "long" not in waits_of(block[0]))
    items.clear()
    for at in range(stretches):
        share = rest[len(rest) * at // stretches : len(rest) * (at + 1) // stretches]
        items += dealt(share, waiting[at::stretches], late=at / stretches)


def waits_of(item: pytest.Item) -> tuple[str, ...]:
    mark = item.get_closest_marker("waits")
    return mark.args if mark else ()


def shared_machines(item: pytest.Item) -> object:
    """Name what a test that waits has in common with others: a cluster, what its module starts, or nothing."""
    if "far" in getattr(item, "fixturenames", ()):
        return "far"
    if "together" in waits_of(item):
        return item.path
    return item if item.get_closest_marker("waits") else None


def dealt(rest: list[pytest.Item], waiting: list[list[pytest.Item]], *, late: float) -> list[pytest.Item]:
    """Put what waits before modules, which stay whole for what their tests share, in the first two thirds."""
    found: list[pytest.Item] = []
    due = [(number + late) / len(waiting) * len(rest) * 2 / 3 for number in range(len(waiting))]
    for _, module in groupby(rest, key=lambda item: item.path):
        before = bisect_right(due, len(found))
        found += chain.from_iterable(waiting[:before])
        del waiting[:before], due[:before]
        found += module
    return [*chain.from_iterable(waiting), *found]


@pytest.fixture(scope="session", autouse=True)
def interruptible() -> None:
    """Let what tests start be interrupted: a process inherits what is ignored, as in the background and under nohup."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for number in (signal.SIGHUP, signal.SIGQUIT):
        signal.signal(number, signal.SIG_DFL)


@pytest.fixture(scope="session", autouse=True)
def elsewhere(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keep all that tests start away from the user's home, also what fixtures start before a test has a home."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HOME", str(tmp_path_factory.mktemp("user")))
        patch.setenv("MUSTER_HOME", str(tmp_path_factory.mktemp("home")))
        yield


@pytest.fixture(scope="session", autouse=True)
def settled() -> None:
    """Know what the tests have loaded, as a process does that forks workers: each run here would look at all of it."""
    loaded.settle()


@pytest.fixture
def no_variable_stays() -> Iterator[None]:
    """See that a test leaves no variable behind that a process reads as it starts: none would be forked after that."""
    before = read_at_start(os.environ)
    yield
    left = read_at_start(os.environ).items() ^ before.items()
    assert not left, f"variables were set, changed or taken away: {sorted(left)}"


@pytest.fixture(autouse=True)
def home(no_variable_stays: None, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    del no_variable_stays  # what the test itself has set is taken back by then
    folder = tmp_path_factory.mktemp("home")
    monkeypatch.setenv("MUSTER_HOME", str(folder))
    return folder


@pytest.fixture(autouse=True)
def nothing_stays_loaded() -> Iterator[None]:
    """See that a test ends each worker that it makes in its own process: else its code is there for the next tests."""
    before = loaded_code()
    yield
    left = loaded_code() - before
    assert left <= 0, f"{left} of muster._user_code.loading.Loaded were not ended"


def loaded_code() -> int:
    loading = sys.modules.get("muster._user_code.loading")
    return len(loading._at_work) if loading else 0  # noqa: SLF001 (nobody else needs to know)


@pytest.fixture(scope="session", autouse=True)
def warm(elsewhere: None) -> Iterator[Warm]:
    """Have processes wait; also what is to fork workers for runs in the test's own process is a fork of theirs."""
    del elsewhere
    made = Warm()
    before = start_by(starting(made))
    WARM.append(made)
    yield made
    WARM.remove(made)
    start_by(before)
    made.close()


@pytest.fixture
def muster(tmp_path: Path, warm: Warm) -> Muster:
    """Run ``muster ...`` to its end, in the test's folder."""

    def call(*arguments: str | Path, timeout: float = 300) -> Ended:
        words = ["-m", "muster", *map(str, arguments)]
        return Ended(*(warm.run if warm.fits(words) else cold)(words, tmp_path, timeout))

    return call


@pytest.fixture
def python(tmp_path: Path, warm: Warm) -> Muster:
    """Run a script, or ``-c`` and a text, to its end, in the test's folder."""

    def call(*arguments: str | Path, timeout: float = 300) -> Ended:
        words = list(map(str, arguments))
        return Ended(*(warm.run if warm.fits(words) else cold)(words, tmp_path, timeout))

    return call


def cold(words: Sequence[str], folder: Path, timeout: float) -> tuple[int, str, str]:
    """Run Python to its end, as a process that was just started."""
    done = subprocess.run(
        [sys.executable, *words],
        cwd=folder,
        env=dict(os.environ),
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )
    return done.returncode, done.stdout, done.stderr


@pytest.fixture(scope="session")
def aws_served() -> Iterator[Region]:
    """A pretended region of AWS, in which tests may have left something."""
    require_hosts()
    with pretended_region() as made:
        yield made


@pytest.fixture
def region(aws_served: Region, monkeypatch: pytest.MonkeyPatch) -> Iterator[Region]:
    """A region of AWS in which nothing was made, and which AWS' own tools find.

    Whatever muster asked of it must stand in its policy.
    """
    for name, value in aws_served.environment().items():
        monkeypatch.setenv(name, value)
    yield aws_served
    asked = aws_served.asked()
    aws_served.begin_anew()
    allowed.check(asked)


def begun(folder: Path, *arguments: str | Path) -> "subprocess.Popen[str]":
    """Run ``muster ...`` beside the test; who calls this sees to its end."""
    words = ["-m", "muster", *map(str, arguments)]
    [warm] = WARM
    if not warm.fits(words):
        return cold_begun(folder, *arguments)
    return Forked(warm, words, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def cold_begun(folder: Path, *arguments: str | Path) -> "subprocess.Popen[str]":
    """Run it as a user does: in a process that has loaded nothing."""
    command = [*MUSTER, *map(str, arguments)]
    return subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@contextlib.contextmanager
def started(
    folder: Path, *arguments: str | Path, start: "Callable[..., subprocess.Popen[str]]" = cold_begun
) -> "Iterator[subprocess.Popen[str]]":
    """Run ``muster ...`` beside the test, for as long as it likes; but a test that fails does not wait for it."""
    with start(folder, *arguments) as process:
        try:
            yield process
        except BaseException:
            process.kill()
            raise


@pytest.fixture(scope="session")
def seed_rows(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """20,000 rows of the seed system."""
    path = tmp_path_factory.mktemp("seed") / "rows.csv"
    generate(20_000, path)
    return path


@pytest.fixture(scope="session")
def far(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Access]:
    """A machine with two workers that are told nothing of this computer's files; what they opened ends with the run."""
    folder = tmp_path_factory.mktemp("cluster")
    with living(folder, workers=2) as cloud, cloud.access() as found:
        scratch = Path(json.loads((folder / "local.json").read_text())["scratch"])
        before = {path.name for path in (scratch / "m1").iterdir()}
        yield replace(found, shares_files=False)
        why = folder / "m1" / "end"
        assert not why.exists(), f"the machine has ended by itself: {why.read_text()}"
        assert {path.name for path in (scratch / "m1").iterdir()} - before <= {"muster-sent"}
    assert not scratch.exists()
