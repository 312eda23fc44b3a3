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
from test_follow_states import PIPELINES, oracle, rejected, written

KILLS = 5
"""Of workers and machines, in each process that has machines."""

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

class Storm(FarMachines):
    kills, done, next_at = 0, 0, 0

    def messages(self):
        told = super().messages()
        self.done += sum(isinstance(one, Done) for one in told)
        if self.kills < most and self.done > self.next_at and self.begun:
            self.kills, self.next_at = self.kills + 1, self.done + chance.randint(1, 5)
            self.strike(self.kills % 2)
        return told

    def strike(self, is_machine):
        with open("kills", "a") as file:
            file.write(f"{'machine' if is_machine else 'worker'} {self.stage}\\n")
        if is_machine:
            self.lose(chance.choice(list(self.machines)))
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
    start(pipeline, {} if engine else {"workers": 0}, watch=lambda _: None, remark=print, means=means)
    left = [path for one in engine.machines.values() for path in one.files]
    assert not left, left
"""


def test_states_are_exact_through_kills_of_workers_machines_and_muster(tmp_path: Path, muster: Muster) -> None:
    """A stream that began on machines goes on here, and then on machines again."""
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
    assert kills == {"machine": 6, "worker": 4}
    assert joined(tmp_path) == oracle(tmp_path, muster, pipeline), f"seed {seed}"
    assert rejected(tmp_path / "out.rejects.jsonl") == rejected(tmp_path / "once.csv.rejects.jsonl"), f"seed {seed}"
