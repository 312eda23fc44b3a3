"""A job of several stages on machines that see no file of this computer, whichever of them are lost, and when."""

import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import pytest

import muster
from far_machines import FarMachines, access_to, temporary_files_in
from muster._api.pipeline import start
from muster._engines.base import Done, Message
from muster._run.staffing.assembly import Means
from muster._travel.parcels import Returned
from muster.errors import UserCodeError
from test_stages_killed import APP, KILLS, by_pandas, written_in

MUSTERS = 3
"""So many of the kills are muster's own; of the others each third one is a machine's."""

FAR = """
import os, signal, sys
from pathlib import Path
from random import Random
from muster._api.pipeline import start
from muster._engines.base import Done
from muster._run.staffing.assembly import Means
from far_machines import FarMachines, access_to, temporary_files_in
import app

attempt, most = int(sys.argv[1]), int(sys.argv[2])
chance, last = Random(attempt), attempt == int(sys.argv[3])

class Storm(FarMachines):
    kills, done, next_at, hit = 0, 0, 0, frozenset()
    rows_of = {}

    def submit(self, ticket, request, **where):
        asked = getattr(request, "request", request)
        task = getattr(asked, "task", None)
        self.rows_of[ticket] = (self.stage, *((task.first, task.lo, task.hi) if task else (asked.lane,)))
        super().submit(ticket, request, **where)

    def messages(self):
        told = super().messages()
        self.done += sum(isinstance(one, Done) for one in told)
        if self.stage >= str(attempt) and self.done > self.next_at:
            self.strike()
        return told

    def strike(self):
        if self.kills == most:
            if not last:
                self.tell("muster")
                os.kill(os.getpid(), signal.SIGKILL)
            return
        if self.kills % 3 == 0:
            self.tell("machine")
            self.lose(chance.choice(list(self.machines)))
        elif new := [one for one in self.begun if self.rows_of[one] not in self.hit]:
            ticket = chance.choice(new)
            self.hit |= {self.rows_of[ticket]}
            self.tell("worker")
            self.kill(ticket)
        else:
            return
        self.kills += 1
        self.next_at = self.done + chance.randint(1, 3)

    def tell(self, what):
        with open("kills", "a") as file:
            file.write(f"{what} {self.stage}\\n")

with temporary_files_in(Path.cwd()):
    engine = Storm(machines=2, workers=1)
    means = Means(access=lambda: access_to(engine, workers=2))
    start(app.pipeline(), {"part_bytes": 1_500}, watch=lambda _: None, remark=print, means=means)
"""


def test_the_output_is_exact_after_30_kills_of_workers_machines_and_muster_in_a_job_of_several_stages(
    tmp_path: Path,
) -> None:
    frame = written_in(tmp_path)
    (tmp_path / "pace").write_text("0")
    (tmp_path / "far.py").write_text(FAR)
    each, left = divmod(KILLS - MUSTERS, MUSTERS + 1)
    for attempt in range(MUSTERS + 1):
        most = each + (left if attempt == MUSTERS else 0)
        command = [sys.executable, "far.py", *map(str, (attempt, most, MUSTERS))]
        environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parent)}
        ended = subprocess.run(command, cwd=tmp_path, env=environment, check=False, capture_output=True, text=True)
        assert ended.returncode == (0 if attempt == MUSTERS else -signal.SIGKILL), ended.stderr
    kills = [line.split() for line in (tmp_path / "kills").read_text().splitlines()]
    of = Counter(what for what, _ in kills)
    assert (len(kills), of["muster"]) == (KILLS, MUSTERS)
    assert of["machine"] > KILLS // 4
    assert {stage for _, stage in kills} >= set("0123"), "some stages were left alone"
    assert (tmp_path / "out.csv").read_text() == by_pandas(frame)
    assert not (tmp_path / "out.csv.rejects.jsonl").exists()


class Forgetful(FarMachines):
    """Loses all that machines keep when the last stage begins."""

    def brief(self, briefing: bytes) -> None:
        is_next = self.stage == "1"
        super().brief(briefing)
        if is_next and self.stage == "2":
            for name in self.machines:
                self.lose(name)


def test_groups_that_have_other_rows_when_they_are_made_again_stop_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    written_in(tmp_path)
    groups = muster.read_csv("in.csv").group_by("user").map_groups(lambda df: df.head(1 + os.urandom(1)[0] % 3))
    pipeline = groups.map_batches(lambda df: df.assign(n=1)).write_csv("out.csv")
    with temporary_files_in(tmp_path):
        means = Means(access=lambda: access_to(Forgetful(machines=1, workers=2), workers=2))
        with pytest.raises(UserCodeError, match="gave other rows when it was called again"):
            start(pipeline, {"part_bytes": 1_500}, watch=lambda _: None, remark=lambda _: None, means=means)
    assert not (tmp_path / "out.csv").exists()


class Tidy(FarMachines):
    """Looks at the end what machines keep still, and which files of theirs functions are said to have read."""

    left: Sequence[Path] = ()
    stages = frozenset[str]()
    foreign = frozenset[str]()

    def messages(self) -> list[Message]:
        told = super().messages()
        for one in told:
            if isinstance(one, Done) and isinstance(one.answer, Returned):
                self.foreign |= {file.path for file in one.answer.foreign}
        return told

    def brief(self, briefing: bytes) -> None:
        super().brief(briefing)
        self.stages |= {self.stage}

    def close(self) -> None:
        self.left = [path for machine in self.machines.values() for path in machine.files]
        super().close()


Machines = TypeVar("Machines", bound=FarMachines)


def done_by(make: Callable[[], Machines]) -> Machines:
    """Do the job in the working folder on some machines; check what comes of it."""
    folder, made = Path.cwd(), dict[str, Any]()
    frame = written_in(folder)
    (folder / "pace").write_text("0")
    exec(APP, made)  # noqa: S102 (of a test)
    with temporary_files_in(folder):
        engine = make()
        means = Means(access=lambda: access_to(engine, workers=2))
        start(made["pipeline"](), {"part_bytes": 1_500}, watch=lambda _: None, remark=lambda _: None, means=means)
    assert (folder / "out.csv").read_text() == by_pandas(frame)
    return engine


@pytest.mark.parametrize(("machines", "workers"), [(1, 1), (2, 2)])
def test_any_number_of_machines_gives_the_same_bytes_and_none_keeps_rows_that_nobody_reads_any_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, machines: int, workers: int
) -> None:
    monkeypatch.chdir(tmp_path)
    engine = done_by(lambda: Tidy(machines=machines, workers=workers))
    assert engine.stages == {"0", "1", "2", "3", "4", "5"}
    assert not engine.left
    assert not engine.foreign, "what muster reads itself is taken for what the functions read"


class Drained(FarMachines):
    """Drains a machine when the third stage begins, which reads what that machine keeps."""

    def brief(self, briefing: bytes) -> None:
        super().brief(briefing)
        if self.stage == "2":
            self.drain("m1")


def test_what_a_machine_keeps_is_read_still_when_it_takes_nothing_any_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    done_by(lambda: Drained(machines=2, workers=1))
