"""Run a job on a cluster of this computer, and see from its journal how well its workers were used."""

import contextlib
import json
import os
import subprocess
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from operator import itemgetter
from pathlib import Path
from typing import Any

import psutil

from _data import DATA, MUSTER, rows
from sleeping import ROW_SECONDS

HERE = Path(__file__).parent
HOME = DATA / "scale-home"
CLUSTER = "scale"
SAMPLE_SECONDS = 0.2
DRIVER = "muster._engines.on_ray.driver"


@dataclass(frozen=True, slots=True)
class Use:
    """What a job made of its workers; seconds, and cores for what muster itself used of the processor.

    ``efficiency`` counts from each worker's first outcome on, when it has loaded all that it needs; ``with_loading``
    from when it joined.
    """

    rows: int
    workers: int
    first_ready: float
    all_ready: float
    seconds: float
    efficiency: float
    with_loading: float
    own_cores: float
    driver_cores: float


def environment() -> dict[str, str]:
    return {**os.environ, "MUSTER_HOME": str(HOME)}


def muster(*arguments: object) -> float:
    """Run a command of muster's to its end; tell how long it took."""
    began = time.monotonic()
    subprocess.run([MUSTER, *map(str, arguments)], env=environment(), check=True, capture_output=True)
    return time.monotonic() - began


@contextlib.contextmanager
def cluster(machines: int, workers: int) -> Iterator[float]:
    """Have a cluster for as long as this lasts; the value is how long it took to make."""
    try:
        yield muster("up", CLUSTER, "--machines", machines, "--workers-per-machine", workers, "--on", "local")
    finally:
        muster("down", CLUSTER)


class _Usage(threading.Thread):
    """Seconds of processor that muster and its driver have used by when."""

    def __init__(self, root: int) -> None:
        super().__init__(daemon=True)
        self._root = psutil.Process(root)
        self.samples: list[tuple[float, float, float]] = []
        self._driver: psutil.Process | None = None
        self._over = threading.Event()

    def run(self) -> None:
        while not self._over.wait(SAMPLE_SECONDS):
            with contextlib.suppress(psutil.NoSuchProcess, psutil.ZombieProcess, psutil.AccessDenied):
                self._driver = self._driver or self._find_driver()
                driver = sum(self._driver.cpu_times()[:2]) if self._driver else 0.0
                self.samples.append((time.time(), sum(self._root.cpu_times()[:2]), driver))

    def _find_driver(self) -> psutil.Process | None:
        for child in self._root.children():
            if any(DRIVER in word for word in child.cmdline()):
                return child
        return None

    def between(self, begun: float, ended: float) -> tuple[float, float]:
        """Tell how many cores each of the two used in that time."""
        self._over.set()
        self.join()
        inside = [sample for sample in self.samples if begun <= sample[0] <= ended]
        if len(inside) <= 1:
            return float("nan"), float("nan")
        (t0, own0, driver0), (t1, own1, driver1) = inside[0], inside[-1]
        return (own1 - own0) / (t1 - t0), (driver1 - driver0) / (t1 - t0)


def sleep_through(count: int) -> Use:
    """Run the sleeping classifier on the cluster that is there."""
    return _used(_run(count, "sleeping.py:classify", "--cluster", CLUSTER), count)


def busy(count: int, *where: object) -> float:
    """Run the seed's classifier, which costs processor time; tell how long that took once workers were ready."""
    events, _ = _run(count, "../examples/classify.py:classify", *where)
    ended = max(event["at"] for event in events if event["event"] == "kept")
    return float(ended - max(event["at"] for event in events if event["event"] == "joined"))


def _run(count: int, target: str, *where: object) -> tuple[list[dict[str, Any]], _Usage]:
    out = DATA / "scale-out.csv"
    command = [MUSTER, "run", HERE / target, rows(count), "-o", out, "--dtype", "str", "--fresh", "--quiet", *where]
    journal = out.with_name(f"{out.name}.muster") / "journal.jsonl"
    journal.unlink(missing_ok=True)  # of a benchmark that was stopped: it would be taken for that of this run
    process = subprocess.Popen([str(word) for word in command], env=environment())
    usage = _Usage(process.pid)
    usage.start()
    while not journal.exists() and process.poll() is None:
        threading.Event().wait(SAMPLE_SECONDS)
    with journal.open() as whole:  # what only a resumed run needs is gone when a run has finished, but not from here
        if process.wait():
            raise SystemExit(f"The run failed: {' '.join(map(str, command))}")
        events = [json.loads(line) for line in whole]
    lines = out.read_bytes().count(b"\n")
    if lines != count + 1:
        raise SystemExit(f"{lines - 1} rows came out of {count}")
    return events, usage


def _used(ran: tuple[list[dict[str, Any]], _Usage], count: int) -> Use:
    events, usage = ran
    started = next(event["at"] for event in events if event["event"] == "started")
    joined = [event["at"] for event in events if event["event"] == "joined"]
    kept = sorted((event for event in events if event["event"] == "kept"), key=itemgetter("at"))
    ended, ready, done = kept[-1]["at"], {}, 0
    for event in kept:
        if event["worker"] in ready:
            done += event["rows_in"]
        else:
            ready[event["worker"]] = event["at"]
    own, driver = usage.between(min(joined), ended)
    return Use(
        rows=count,
        workers=len(joined),
        first_ready=min(ready.values()) - started,
        all_ready=max(ready.values()) - started,
        seconds=ended - min(joined),
        efficiency=done * ROW_SECONDS / sum(ended - at for at in ready.values()),
        with_loading=count * ROW_SECONDS / sum(ended - at for at in joined),
        own_cores=own,
        driver_cores=driver,
    )
