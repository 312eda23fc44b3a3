"""Groups on machines: the same bytes as on this computer, whatever becomes of the machines meanwhile."""

import contextlib
import hashlib
import json
import re
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import psutil
import pytest

import muster
from conftest import Muster
from machines import living
from muster._api.pipeline import start
from muster._clouds.base import Access
from muster._clouds.local import LocalCloud
from muster._engines.around import Around
from muster._engines.base import Message
from muster._job import Snapshot
from muster._journal.events import KeptLater
from muster._journal.file import replay
from muster._model import Slots
from muster._run.staffing.assembly import Means, engine_of_a_cluster
from test_key_types import TYPES, told
from test_stages_killed import by_pandas, written_in

pytestmark = pytest.mark.waits("long", "together")


TOGETHER_SECONDS = 600.0
"""For what muster does itself about a machine that does not get ready, and less than a test may take."""


class Together(Around[Any]):
    """An engine whose machines take requests from when two of them do; it says what it was told where they never do."""

    _are_there = False

    def __init__(self, engine: Any, first: Callable[[], None]) -> None:  # noqa: ANN401 (of a cluster)
        super().__init__(engine)
        self._first = first
        self._told: list[Message] = []
        self._began = time.monotonic()

    def slots(self) -> Mapping[str, Slots]:
        self._first()
        slots: Mapping[str, Slots] = self._engine.slots()
        self._are_there |= sum(bool(one.idle) for one in slots.values()) == 2
        waited = time.monotonic() - self._began
        assert self._are_there or waited < TOGETHER_SECONDS, f"not both are ready: {dict(slots)}; told: {self._told}"
        return slots if self._are_there else {}

    def messages(self) -> list[Message]:
        told = super().messages()
        if not self._are_there:
            self._told += told
        return told

    def __getattr__(self, name: str) -> object:
        return getattr(self._engine, name)


@dataclass(frozen=True)
class Cluster:
    """Two machines with a worker each, in a folder."""

    folder: Path
    cloud: LocalCloud
    access: Access

    @property
    def far(self) -> Access:
        """Reach it as machines that see no file of this computer."""
        return replace(self.access, shares_files=False)

    def together(self, *, is_far: bool, first: Callable[[], None] = lambda: None) -> Access:
        """Reach it by an engine that takes nothing before both machines do: a small job would be done by the first.

        ``first`` is called each time before a task is handed out.
        """
        access = self.far if is_far else self.access
        return replace(access, make_engine=lambda _: Together(engine_of_a_cluster(access), first))

    @property
    def scratch(self) -> Path:
        """Find where each machine has a folder for what is temporary."""
        return Path(json.loads((self.folder / "local.json").read_text())["scratch"])

    def blocks(self, machine: str, *, since: float) -> list[Path]:
        """List what a machine keeps; of a station that was killed before, something may lie there still."""
        found = self.scratch.glob(f"{machine}/muster-run-*/home-*-kept/*.block")
        return [path for path in found if path.stat().st_mtime >= since]

    def kill(self, machine: str) -> None:
        """Pull a machine's plug: its agent first, so that nobody tidies up. Of the head only its station ends."""
        agent = psutil.Process(int(json.loads((self.folder / machine / "agent").read_text())["pid"]))
        children = agent.children(recursive=True)
        stations = [process for process in children if "ray::Station" in " ".join(process.cmdline())]
        for process in stations if machine == "m1" else [agent, *children]:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    folder = tmp_path_factory.mktemp("cluster")
    with living(folder, machines=2, workers=1) as cloud, cloud.access() as found:
        yield Cluster(folder, cloud, found)


@pytest.fixture
def clicks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Write rows of 120 users in two files; a third of all are one user's."""
    rng = np.random.default_rng(5)
    rows = 1500
    user = np.where(rng.random(rows) < 1 / 3, 7, rng.integers(0, 120, rows))
    page = [f"/p/{at % 23}" if at % 11 else None for at in range(rows)]
    frame = pd.DataFrame({"user": user, "page": page, "seconds": rng.random(rows).round(3)})
    frame[:1000].to_csv(tmp_path / "1.csv", index=False)
    frame[1000:].to_csv(tmp_path / "2.csv", index=False)
    (tmp_path / "app.py").write_text(APP)
    monkeypatch.chdir(tmp_path)
    return tmp_path


APP = """
import os
import pandas as pd
import muster

def cleaned(df):
    return df[df["seconds"] > 0.01].assign(hour=df["seconds"] * 24 // 1)

def longest(df, key):
    if key == 13:
        raise ValueError("unlucky")
    return df.assign(n=len(df), total=df["seconds"].cumsum()).nlargest(2, "seconds")

def counted(df):
    return df.head(1).assign(of_all=len(df))

def running(df, states):
    totals = []
    for user, seconds in zip(df["user"], df["seconds"]):
        states[user] += seconds
        totals.append(states[user])
    return df.assign(total=totals)

def shifted(df):
    return df[df["total"] > 0.02].assign(half=df["total"] * 2 // 1)

def labelled(df):
    return df.assign(label="of " + df["of_all"].astype(str), row=df.index)

class Ending:
    def __call__(self, df, states):
        if (df["user"] == 9).any():
            os._exit(1)
        return running(df, states)

    def at_end(self, states):
        return pd.DataFrame({"user": states.keys(), "total": states.values(), "of": len(states)})

class Top:
    def initial(self):
        return []

    def update(self, partial, rows):
        return sorted([*partial, *zip(rows["seconds"], rows["user"])])[-2:]

    def combine(self, partial, later):
        return sorted([*partial, *later])[-2:]

    def output(self, partial):
        return str([int(user) for _, user in partial])

def pipeline(output, *, sort=False, more=False):
    read = muster.read_csv(["1.csv", "2.csv"])
    if output == "sums.csv":
        sums = read.group_by("page").agg(n="count", total=("seconds", "sum"), top=(["seconds", "user"], Top))
        return sums.write_csv(output)
    if output == "states.csv":
        return read.key_by("user").map_batches("app.py:running", state=float).write_csv(output)
    if output == "ends.csv":
        return read.key_by("user").map_batches("app.py:Ending", state=float).write_csv(output)
    if output.startswith("deep"):
        read = read.map_batches("app.py:cleaned").key_by("user").map_batches("app.py:running", state=float)
        read = read.map_batches("app.py:shifted").group_by("half")
        read = read.map_groups("app.py:counted", sort=True).map_batches("app.py:labelled")
        return read.write_parquet(output) if output.endswith(".parquet") else read.write_csv(output)
    read = read.map_batches("app.py:cleaned") if more else read
    grouped = read.group_by("user").map_groups("app.py:longest", sort=sort)
    grouped = grouped.group_by("n").map_groups("app.py:counted") if more else grouped
    return grouped.write_parquet(output) if output.endswith(".parquet") else grouped.write_csv(output)
"""

Watch = Callable[[Snapshot], None]


def unwatched(_: Snapshot) -> None:
    pass


def ran(
    output: str,
    *,
    access: Access | None,
    watch: Watch = unwatched,
    more: bool = False,
    **options: Any,  # noqa: ANN401 (those of a run)
) -> muster.Result:
    """Run the pipeline of the folder; ``more`` steps stand before and behind, and groups are sorted."""
    made: dict[str, Any] = {}
    exec(APP, made)  # noqa: S102 (of this file)
    means = Means(access=None if access is None else lambda: access)
    pipeline: muster.Pipeline = made["pipeline"](output, sort=more, more=more)
    given: Any = {"fresh": True, **options}
    return start(pipeline, given, watch=watch, remark=lambda _: None, means=means)


def digest(output: str) -> str:
    """Digest an output, and what is in its rejects but for tracebacks, which name the files of a machine."""
    rejected = Path(f"{output}.rejects.jsonl")
    rejects = [json.loads(line) for line in rejected.read_text().splitlines()] if rejected.exists() else []
    told = json.dumps(sorted([one["file"], one["row"], one["key"], one["raw"], one["error"]] for one in rejects))
    return hashlib.sha256(Path(output).read_bytes() + told.encode()).hexdigest()


@pytest.mark.parametrize(
    ("output", "is_far"),
    [
        ("out.csv", False),
        *((f"{name}.csv", True) for name in ("out", "sums", "states", "deep")),
        *((f"{name}.parquet", True) for name in ("out", "deep")),
    ],
)
def test_groups_on_machines_are_the_bytes_that_they_are_on_this_computer(
    clicks: Path,
    two: Cluster,
    output: str,
    is_far: bool,  # noqa: FBT001 (pytest gives it by name)
) -> None:
    more = output == "out.parquet"
    small: Any = {} if more else {"part_bytes": 3_000}  # so that the largest lane is cut
    ran(output, access=None, workers=0, more=more, **small)
    expected = digest(output)
    result = ran(output, access=two.together(is_far=is_far), more=more, **small)
    assert digest(output) == expected
    assert (result.rows_in, result.machines, result.workers) == (1500, 2, 2)
    assert not list(clicks.glob("*.muster"))


@pytest.mark.usefixtures("clicks")
def test_a_lane_whose_key_ends_workers_ends_on_machines_as_here(two: Cluster) -> None:
    digests = set[str]()
    for access, workers in ((None, 2), (two.far, None)):
        result = ran("ends.csv", access=access, workers=workers, part_bytes=3_000)
        frame = pd.concat([pd.read_csv("1.csv"), pd.read_csv("2.csv")])
        assert (result.rows_in, result.bad_rows) == (1500, (frame["user"] == 9).sum())
        frame = frame[frame["user"] != 9]
        read = pd.read_csv("ends.csv")
        pd.testing.assert_series_equal(
            read["total"][: len(frame)],
            frame.groupby("user")["seconds"].cumsum().reset_index(drop=True),
            check_names=False,
        )
        ends = read[len(frame) :]
        assert ends["user"].is_unique
        assert set(ends["user"]) == set(frame["user"])
        digests.add(digest("ends.csv"))
    assert len(digests) == 1


def test_keys_of_every_type_are_on_machines_the_groups_of_pandas(clicks: Path, two: Cluster) -> None:
    cells = [at * at % 7 or None for at in range(200)]
    columns = {
        kind.replace(" or nothing", ""): make(cells if kind.endswith("nothing") else [cell or 0 for cell in cells])
        for kind, make in TYPES.items()
    }
    frame = pd.DataFrame({**columns, "x": range(200)})
    frame.to_parquet("types.parquet", row_group_size=50)
    whole: Any = pd.read_parquet("types.parquet")
    for key in (["large", "Int64", "float32"], ["boolean", "category", "Berlin"], ["decimal", "span", "bytes"]):
        grouped = muster.read_parquet("types.parquet").group_by(key, dropna=False).map_groups(told, sort=True)
        means = Means(access=lambda: two.far)
        options: Any = {"fresh": True, "part_bytes": 1_000}
        start(grouped.write_csv("out.csv"), options, watch=unwatched, remark=lambda _: None, means=means)
        groups = whole.groupby(key, dropna=False, observed=True)
        expected = pd.concat([told(group, one) for one, group in groups])
        assert (clicks / "out.csv").read_text() == expected.to_csv(index=False), key


def numbered(df: pd.DataFrame, states: Any) -> pd.DataFrame:  # noqa: ANN401 (a mapping)
    numbers = []
    for user in df["user"]:
        states[user] += 1
        numbers.append(states[user])
    return df.assign(n=numbers)


def test_states_on_machines_between_steps_and_groups_give_what_pandas_gives(clicks: Path, two: Cluster) -> None:
    pipeline = muster.read_csv(["1.csv", "2.csv"]).map_batches(lambda df: df[df["user"] != 13])
    pipeline = pipeline.key_by("user").map_batches(numbered, state=int).map_batches(lambda df: df.assign(m=-df["n"]))
    pipeline = pipeline.group_by("n").map_groups(lambda df: df.head(1)).write_csv("out.csv")
    means = Means(access=lambda: two.access)
    start(pipeline, {"part_bytes": 3_000}, watch=unwatched, remark=lambda _: None, means=means)
    frame = pd.concat([pd.read_csv("1.csv"), pd.read_csv("2.csv")])
    frame = frame[frame["user"] != 13]
    numbers = frame.groupby("user").cumcount() + 1
    frame = frame.assign(n=numbers, m=-numbers)
    expected = pd.concat(group.head(1) for _, group in frame.groupby("n", sort=False))
    assert (clicks / "out.csv").read_text() == expected.to_csv(index=False)


class Once:
    """Does something once: when so many stages are done, and before a task of the next one is handed out."""

    def __init__(self, journal: Path, stages: int, do: Callable[[], None]) -> None:
        self._journal = journal
        self._stages = stages
        self._do: Callable[[], None] | None = do

    def __call__(self) -> None:
        if self._do is not None and self._is_due:
            do, self._do = self._do, None
            do()

    @property
    def _is_due(self) -> bool:
        return self._journal.exists() and self._journal.read_text().count('"exchanged"') >= self._stages


class Watching:
    """Keeps what is told."""

    def __init__(self, journal: Path) -> None:
        self._journal = journal
        self.notes: list[str] = []
        self.machines = set[str]()
        """Those that have done something of the last stage."""

    def __call__(self, snapshot: Snapshot) -> None:
        self.notes.append(snapshot.note)
        if snapshot.phase == "writing the output":
            kept = [one.event for one in replay(self._journal) if isinstance(one.event, KeptLater)]
            last = max(event.stage for event in kept)
            self.machines = {event.worker.partition("-")[0] for event in kept if event.stage == last}


KILLED = f"""
import os, signal, sys
from dataclasses import replace
from pathlib import Path
import app
from muster._api.pipeline import start
from muster._clouds.local import LocalCloud
from muster._run.staffing.assembly import Means

journal = Path("out.csv.muster/journal.jsonl")

def count():
    return journal.read_text().count('"kept later"') if journal.exists() else 0

before = count()

def watch(snapshot):
    if sys.argv[2] == "dies" and count() > before + 2:
        os.kill(os.getpid(), {int(signal.SIGKILL)})
    if snapshot.phase == "writing the output":
        Path("journal").write_text(journal.read_text())

with LocalCloud(Path(sys.argv[1])).access() as found:
    means = Means() if sys.argv[3] == "here" else Means(access=lambda: replace(found, shares_files=False))
    start(app.pipeline("out.csv"), {{"part_bytes": 3_000}}, watch=watch, remark=print, means=means)
"""


def test_a_muster_that_is_killed_does_no_group_again_that_is_done(clicks: Path, two: Cluster, python: Muster) -> None:
    ran("out.csv", access=None, workers=0, part_bytes=3_000)
    expected = digest("out.csv")
    Path("out.csv").unlink()
    for place in ("far", "here"):
        assert python("-c", KILLED, two.folder, "dies", place).code == -signal.SIGKILL
    end = python("-c", KILLED, two.folder, "lives", "far")
    assert end.code == 0, end.err
    assert digest("out.csv") == expected
    kept = [
        one.event for one in replay(clicks / "journal") if isinstance(one.event, KeptLater) and one.event.stage == 1
    ]
    assert len(kept) == len({(one.outcome.task.first, one.outcome.task.lo) for one in kept})


STORM = f"""
import json, os, signal, sys
from dataclasses import replace
from pathlib import Path
import psutil
import app
from muster._api.pipeline import start
from muster._clouds.local import LocalCloud
from muster._engines.around import Around
from muster._engines.base import Done
from muster._run.staffing.assembly import Means, engine_of_a_cluster

folder, dies = Path(sys.argv[1]), sys.argv[2] == "dies"

class Storm(Around):
    stages = hit = 0

    def brief(self, briefing):
        self.stages += 1
        super().brief(briefing)

    def messages(self):
        told = super().messages()
        workers = [one.worker for one in told if isinstance(one, Done)]
        if workers and self.hit < self.stages:
            self.hit = self.stages
            self.strike(workers[-1].partition("-")[0])
        return told

    def strike(self, machine):
        kills = open("kills", "a")
        if dies and self.stages == 4:
            print("muster", file=kills, flush=True)
            os.kill(os.getpid(), {int(signal.SIGKILL)})
        agent = psutil.Process(int(json.loads((folder / machine / "agent").read_text())["pid"]))
        for process in agent.children(recursive=True):
            if process.name().startswith("muster:"):
                print(machine, file=kills, flush=True)
                process.kill()

    def __getattr__(self, name):
        return getattr(self._engine, name)

with LocalCloud(folder).access() as found:
    far = replace(found, shares_files=False)
    access = replace(far, make_engine=lambda _: Storm(engine_of_a_cluster(far)))
    means = Means(access=lambda: access)
    start(app.pipeline(), {{"part_bytes": 4_000}}, watch=lambda _: None, remark=print, means=means)
"""


def test_workers_of_ray_and_muster_may_be_killed_in_each_stage(tmp_path: Path, two: Cluster, python: Muster) -> None:
    rows = written_in(tmp_path)[:200]
    rows.to_csv(tmp_path / "in.csv", index=False)
    (tmp_path / "pace").write_text("0")
    assert python("-c", STORM, two.folder, "dies").code == -signal.SIGKILL
    end = python("-c", STORM, two.folder, "lives")
    assert end.code == 0, end.err
    kills = Counter((tmp_path / "kills").read_text().split())
    assert kills.pop("muster") == 1
    assert kills.total() >= 5
    assert (tmp_path / "out.csv").read_text() == by_pandas(rows)
    assert not (tmp_path / "out.csv.rejects.jsonl").exists()


def stage_of(block: Path) -> int:
    return int(block.name.split("-")[1]) + 1


@pytest.mark.parametrize(  # none of the machines comes back
    ("what", "output", "stages"),
    [
        *(("a block", "out.csv", 1), ("a block", "states.csv", 1), ("a block", "deep.csv", 4)),
        ("a machine", "deep.csv", 3),
    ],
)
def test_what_is_lost_between_the_stages_is_made_again_and_only_that(
    clicks: Path, two: Cluster, what: str, output: str, stages: int
) -> None:
    lost = list[Path]()

    def lose() -> None:
        machine = "m2" if two.blocks("m2", since=began) else "m1"
        lost.extend(sorted(two.blocks(machine, since=began), key=stage_of))
        if what == "a block":  # which the next stage reads
            next(path for path in lost if stage_of(path) == stages).unlink()
        else:
            two.kill(machine)

    ran(output, access=None, workers=0, part_bytes=1_000)
    expected = digest(output)
    journal, began = clicks / f"{output}.muster" / "journal.jsonl", time.time()
    watch, losing = Watching(journal), Once(journal, stages, lose)
    result = ran(output, access=two.together(is_far=True, first=losing), part_bytes=1_000, watch=watch)
    assert digest(output) == expected
    assert (result.rows_in, result.resumed_parts) == (1500, 0)
    of_stage = Counter(map(stage_of, lost))
    told = re.findall(r"(\d+) tasks? of stage (\d+) of", " ".join(dict.fromkeys(watch.notes)))
    again = {int(stage): int(tasks) for tasks, stage in told if int(stage) <= stages}
    assert again == {stage: tasks for stage, tasks in of_stage.items() if stage <= stages}
    assert watch.machines <= ({"m1", "m2"} if output == "deep.csv" else {"home"})
