"""Streams that keep states, on machines that see no file of this computer, whichever of them are lost, and when."""

import os
import random
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path

from conftest import Muster
from followed import joined
from muster._formats.state_records import KeyCount, payloads, record
from muster._model import NO_FILE, Exchange, Grouping, LaneShare, Task
from muster._streams.state_log import StateLog
from muster._travel.carried_states import StatesThere
from test_follow_states import PIPELINES, oracle, rejected, written

KILLS = 5
"""What becomes of workers and machines, in each process that has machines."""

FAR = """
import os, signal, sys, threading
from pathlib import Path
from random import Random
from far_machines import FarMachines, access_to, temporary_files_in
from followed import append, manifest
from muster._api.pipeline import start
from muster._engines.base import Done
from muster._run.staffing.assembly import Means
from test_follow_states import rows
from waiting import until
from pipeline import pipeline

place, most, seed, is_last = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4] == "last"
chance, here, path = Random(seed), Path.cwd(), Path("in/a.csv")

KINDS = ["machine", "worker", "join", "leave", "worker"]

class Storm(FarMachines):
    kills, done, next_at = 0, 0, 0

    def messages(self):
        told = super().messages()
        self.done += sum(isinstance(one, Done) for one in told)
        if self.kills < most and self.done > self.next_at and self.begun:
            self.strike(KINDS[self.kills % len(KINDS)])
            self.kills, self.next_at = self.kills + 1, self.done + chance.randint(1, 5)
        return told

    def strike(self, kind):
        with open("kills", "a") as file:
            file.write(f"{kind} {self.stage}\\n")
        if kind == "machine":
            self.lose(chance.choice(list(self.machines)))
        elif kind == "join":
            self.join("late")
        elif kind == "leave":
            self.leave(chance.choice(list(self.machines)))
        else:
            self.kill(chance.choice(self.begun))

def bring(is_over):
    parts = 0
    while not (is_over() and parts >= 2):
        before, at = len(manifest(here)), path.read_text().count("\\n")
        append(path, rows(chance, at, 40))
        until(lambda: len(manifest(here)) > before)
        parts += 1
    if is_last:
        Path("out.muster/stop").touch()
    else:
        os.kill(os.getpid(), signal.SIGKILL)

with temporary_files_in(here):
    engine = Storm(machines=2, workers=1) if place == "far" else None
    means = Means(access=lambda: access_to(engine, workers=2)) if engine else Means()
    is_over = lambda: engine is None or engine.kills == most
    threading.Thread(target=bring, args=(is_over,), daemon=True).start()
    options = {} if engine else {"workers": 1}  # in this process, what bring reads would be taken for the steps' files
    start(pipeline, options, watch=lambda _: None, remark=print, means=means)
    left = [path for one in engine.machines.values() for path in one.files if path.suffix == ".block"]
    assert len(left) <= most, left  # a worker that is killed may just have left one that nobody has heard of
"""


def test_states_are_exact_through_kills_of_workers_machines_and_muster(tmp_path: Path, muster: Muster) -> None:
    """A stream that began on machines goes on here, and then on machines again. One joins late, and one leaves."""
    pipeline = PIPELINES["keys between steps"]
    seed = random.randrange(1 << 32)  # noqa: S311 (moments, no secrets)
    written(tmp_path, pipeline)
    (tmp_path / "in" / "a.csv").write_text("k,n,text\n")
    (tmp_path / "far.py").write_text(FAR)
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parent)}
    for at, (place, end) in enumerate([("far", "killed"), ("here", "killed"), ("far", "last")]):
        command = [sys.executable, "far.py", place, str(KILLS), str(seed + at), end]
        ended = subprocess.run(command, cwd=tmp_path, env=environment, check=False, capture_output=True, text=True)
        assert ended.returncode == (0 if end == "last" else -signal.SIGKILL), (ended.stderr, seed)
    kills = Counter(line.split()[0] for line in (tmp_path / "kills").read_text().splitlines())
    assert kills == {"machine": 2, "worker": 4, "join": 2, "leave": 2}
    assert joined(tmp_path) == oracle(tmp_path, muster, pipeline), f"seed {seed}"
    assert rejected(tmp_path / "out.rejects.jsonl") == rejected(tmp_path / "once.csv.rejects.jsonl"), f"seed {seed}"


def test_a_record_goes_to_a_machine_once_and_stands_there_where_it_does_in_the_log(tmp_path: Path) -> None:
    """As long as the log is the same file, and its task was done there."""
    log, there, copy = StateLog(tmp_path, fewest_bytes=0), StatesThere(), tmp_path / "copy"
    task, shares = Task(1, 0, 2, NO_FILE, 0, 2, 0, 2, 0, 2), tuple(map(LaneShare.of, (3, 5, 7)))
    brought = list[int]()
    for epoch in range(1, 12):
        append(log, tmp_path / "piece", epoch)
        exchange = Exchange(Grouping(("k",)), stored=log.stored(1, ends=False), shares=shares)
        carried = there.lacking(task, exchange, 1)
        assert carried is not None
        assert there.lacking(task, exchange, 1) == carried, "nobody has said that it has come"
        if len(carried.spans) > 2:  # all that there is, as the log is another file
            copy.unlink(missing_ok=True)
        carried.lay_out(copy)
        there.have_come(carried, 1)
        assert there.lacking(task, exchange, 1) is None
        assert there.lacking(task, exchange, 2) is not None, "another machine has nothing"
        brought.append(len(carried.spans))
        for lane in (3, 5):
            path, spans = tmp_path / log.place[0], log.stored(1, ends=False).lanes[lane].spans
            assert [*payloads(str(copy), spans)] == [*payloads(str(path), spans)]
    log.close()
    assert brought.count(2) > len(brought) // 2, brought


def append(log: StateLog, piece: Path, epoch: int) -> None:
    """Add a record of each of three lanes; now and then one that says all."""
    records = [
        record(1, lane, f"{lane} {epoch}".encode(), is_whole=epoch % 5 == 1, keys=KeyCount(1, is_of_all=True))[1]
        for lane in (3, 5, 7)
    ]
    piece.write_bytes(b"".join(records))
    log.append([piece], epoch=epoch)
