"""Journals of made-up runs for tests of the page, told second by second; the page as a real process; its stream."""

import contextlib
import http.client
import json
import os
import random
import subprocess
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

from conftest import WARM
from muster._job import Result
from muster._journal import events
from muster._journal.file import Journal
from muster._journal.measures import Measures, StepSum, WorkerSum, bin_of
from muster._journal.runs import archive, note
from muster._model import Load, Reason, Seconds
from muster._planner import Plan, remaining
from muster._run.telling.pace import LastMinute
from muster._run.telling.under_way import StuckRows

GIGABYTE = 1_000_000_000
INJECTION = "<script>alert('pwned')</script>"


@dataclass
class Story:
    """A run as it is told; ``at`` is the time of its clock. Its journal lies in a folder beside ``output``."""

    folder: Path
    run: str = "20261124-101500-c0de"
    at: float = field(default_factory=lambda: time.time() - 62)
    steps: tuple[str, ...] = ("classify.py:classify",)
    machines: Mapping[str, int] = field(default_factory=lambda: {"atlas": 2})
    rows_total: int = 1_000_000
    rows_per_second: float = 750.0
    rows_done: int = 0
    rows_out: int = 0
    bad_rows: int = 0
    seed: int = 1

    def __post_init__(self) -> None:
        work = self.folder / f"{self.run}.csv.muster"
        work.mkdir(parents=True, exist_ok=True)
        self.path = work / "journal.jsonl"
        self.journal = Journal(self.path)
        self.lately, self.told = LastMinute(), self.at
        self.random = random.Random(self.seed)  # noqa: S311 (made-up figures are no secret)
        self.born = self.at
        note(self.run, self.path)

    def write(self, *told: events.Event) -> None:
        for event in told:
            self.journal.write(event, at=round(self.at, 3))

    @property
    def workers(self) -> dict[str, str]:
        if len(self.machines) == 1:
            [(machine, count)] = self.machines.items()
            return {str(number + 1): machine for number in range(count)}
        return {f"{name}-{at + 1}": name for name, count in self.machines.items() for at in range(count)}

    def begin(
        self,
        *,
        inputs: tuple[str, ...] = ("rows.csv",),
        output: str = "classified.csv",
        prices: dict[str, float] | None = None,
    ) -> "Story":
        job = {
            "inputs": [[name, 130 * self.rows_total, "stamp"] for name in inputs],
            "steps": [[name, "f1"] for name in self.steps],
            "output": output,
            "dtype": "str",
            "batch_rows": None,
        }
        self.write(events.Started(self.run, job))
        return self.attempt(prices=prices)

    def attempt(self, number: int = 1, *, pid: int | None = None, prices: dict[str, float] | None = None) -> "Story":
        far = len(self.machines) > 1
        engine, cluster = ("ray", "default") if far else ("cores", None)
        process = pid or os.getpid() + number
        self.write(
            events.TryStarted(number, process, len(self.workers), engine=engine, cluster=cluster, prices=prices or {})
        )
        self.write(events.Phase("looking at the input"))
        self.at += 0.8
        for worker, machine in self.workers.items():
            self.write(events.WorkerJoined(worker, machine))
            self.at += 0.01
        self.write(events.Phase("working"))
        self.told = self.at
        return self

    def plan(self, low: float, high: float, *, dollars: float = 0.0) -> "Story":
        left, workers = self.rows_total - self.rows_done, len(self.workers)
        pace = self.rows_per_second * workers
        self.write(Plan(left, workers, pace, (low, high), dollars))
        return self

    def work(self, seconds: float, *, span: float = 0.5, idle: tuple[str, ...] = (), waiting_for: str = "") -> "Story":
        """Let so many seconds of work pass, a measured event a span."""
        stop = self.at + seconds
        while self.at < stop and self.rows_done < self.rows_total:
            self.at += span
            measured = Measures()
            for worker, machine in self.workers.items():
                if worker not in idle:
                    measured.workers[worker] = self._worker(span)
                    measured.machines[machine] = self._load()
            self.measured(measured, span=span, waiting_for=waiting_for)
        return self

    def measured(
        self, measured: Measures, *, span: float = 0.5, waiting_for: str = "", held: StuckRows | None = None
    ) -> None:
        self.rows_done = min(self.rows_done + sum(one.rows_in for one in measured.workers.values()), self.rows_total)
        self.bad_rows += sum(one.bad_rows for one in measured.workers.values())
        self.rows_out = min(self.rows_out + sum(one.rows_out for one in measured.workers.values()), self.rows_done)
        for worker, one in measured.workers.items():
            self.lately.now.add(self.workers[worker], rows=one.rows_in, seconds=one.seconds.total)
        self.lately.end_span(self.at - self.told)
        self.told = self.at
        left = remaining(self.lately.ended_spans, self.rows_total - self.rows_done)
        self.write(
            events.Measured(
                span=span,
                **measured.as_fields(),
                rows_done=self.rows_done,
                rows_total=self.rows_total,
                rows_out=self.rows_out,
                bad_rows=self.bad_rows,
                rows_per_second=self.lately.rows_per_second(),
                seconds_left=left,
                held=held.as_field() if held else None,
                running=len(measured.workers),
                waiting_for=waiting_for,
            )
        )

    def reject(self, error: str, rows: int, *, example: str = "", step: str = "") -> "Story":
        """Reject rows for a reason."""
        measured = Measures({next(iter(self.workers)): WorkerSum(rows_in=rows, bad_rows=rows)})
        measured.add_reasons([Reason(step or self.steps[0], error, rows, example or error)])
        self.at += 0.5
        self.measured(measured)
        return self

    def renew(self, lease: float = 900) -> "Story":
        self.write(events.Renewed(list(self.machines), lease))
        return self

    def finish(self) -> "Story":
        took = self.at - self.born
        result = Result(
            rows_in=self.rows_done,
            rows_out=self.rows_out,
            bad_rows=self.bad_rows,
            parts=80,
            resumed_parts=0,
            workers=len(self.workers),
            machines=len(self.machines),
            seconds=round(took, 2),
            rows_per_second=round(self.rows_done / took, 1),
            output="classified.csv",
            rejects="classified.csv.rejects.jsonl" if self.bad_rows else None,
            cost=0.0,
        )
        self.write(events.Phase("writing the output"))
        self.write(events.Finished(asdict(result)))
        self.close()
        archive(self.path, self.run, has_rejects=False)
        return self

    def close(self) -> None:
        self.journal.close()

    def _worker(self, span: float) -> WorkerSum:
        vary = self.random.uniform(0.75, 1.15)
        rows = max(int(self.rows_per_second * span * vary), 1)
        read, write, waiting = span * 0.04, span * 0.03, span * max(0.02, (1.1 - vary) / 3)
        inside = max(span - read - write - waiting, 0.0)
        count = min(max(round(span * 8), 1), 40)
        steps = []
        for at in range(len(self.steps)):
            share = inside / len(self.steps) * (1.2 if at == 0 else 0.8)
            bins = Counter(bin_of(share / count * self.random.lognormvariate(0, 0.5)) for _ in range(count))
            steps.append(StepSum(rows, rows, count, share, bins))
        seconds = Seconds(read, inside, write, span - waiting, 0.01 * span if len(self.machines) > 1 else 0.0, waiting)
        return WorkerSum(1, rows, rows, rows * 130, rows * 150, 0, seconds, inside, 150_000_000 + rows * 1000, steps)

    def _load(self) -> Load:
        return Load(self.random.uniform(0.8, 1.0), 8, 5 * GIGABYTE, 16 * GIGABYTE, 80 * GIGABYTE)


def going(folder: Path, *, run: str = "20261124-101500-c0de") -> Story:
    """A run that goes on, with its process alive: ours."""
    story = Story(folder, run=run, rows_total=200_000).begin().plan(110, 150)
    return story.work(60)


def rejecting(folder: Path, *, run: str = "20261124-090000-bad1") -> Story:
    """A finished run of two steps with rejects, one of them hostile."""
    story = Story(folder, run=run, steps=("clean.py:clean", "score.py:Score"), rows_total=60_000)
    story.begin(inputs=("in/*.csv",)).plan(35, 50).work(10)
    story.reject(
        "ValueError: could not convert string to float: '…'", 212, example="ValueError: could not convert 'n/a'"
    )
    story.reject(f"KeyError: {INJECTION}", 3, example=f'Traceback: {INJECTION} & "quotes"', step="score.py:Score")
    return story.work(100).finish()


def large(folder: Path, *, run: str = "20261124-080000-2828", machines: int = 4, seconds: float = 240) -> Story:
    """A run of 7 workers on each of several machines, one of which leaves."""
    fleet = {f"m{at + 1}": 7 for at in range(machines)}
    story = Story(folder, run=run, machines=fleet, rows_total=30_000_000, at=time.time() - seconds - 2)
    story.begin(inputs=("s3://bucket/rows.parquet",), output="labelled/", prices=dict.fromkeys(fleet, 0.68))
    story.write(events.UserTold("m2 took 41 s to start"))
    story.renew().plan(1200, 1500, dollars=3.2)
    story.work(seconds / 2, span=1.0, idle=("m2-1", "m2-2"))
    for worker in ("m4-6", "m4-7"):
        story.write(events.WorkerLeft(worker, "its process was killed by signal 9"))
        story.write(events.Retried("its worker was lost"), events.WorkerJoined(worker, "m4"))
    return story.renew().work(seconds / 2, span=1.0, idle=("m2-1",))


def resumed(folder: Path, *, run: str = "20261124-070000-d1ed") -> Story:
    """A finished run that was killed after 40 s, and went on an hour later."""
    story = Story(folder, run=run, rows_total=100_000, at=time.time() - 5000).begin().plan(55, 70).work(40)
    story.at += 3600
    return story.attempt(2).work(100).finish()


def stopped(folder: Path, *, run: str = "20261124-060000-570b") -> Story:
    """A run that its data stopped."""
    story = Story(folder, run=run, rows_total=100_000).begin().work(12)
    story.reject("ValueError: bad", 1001, example="ValueError: bad")
    story.write(events.Stopped("TooManyBadRowsError", "1,001 rows were rejected; 1,000 are allowed.\nFix it."))
    story.close()
    return story


@contextlib.contextmanager
def serving(
    run: str | None = None, *, port: int = 0, home: Path | None = None, with_parent: bool = False, token: str = ""
) -> Iterator["Served"]:
    """Serve the page as a real process, until the end of the context."""
    call = f"serve({run!r}, {port}, with_parent={with_parent}, token={token!r})"
    script = f"from muster._watch.serving.server import serve; {call}"
    environment = {**os.environ, **({"MUSTER_HOME": str(home)} if home else {})}
    [warm] = WARM
    with warm.begin(
        ["-c", script],
        env=environment,
        stdin=subprocess.PIPE if with_parent else subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            assert process.stdout is not None
            said = process.stdout.readline()
            assert "http" in said, process.communicate()
            yield Served(process, said.strip(), said.split()[-1])
        finally:
            if process.poll() is None:
                process.terminate()


@dataclass(frozen=True)
class Served:
    """A page that is served: by which process, what that said, and where."""

    process: "subprocess.Popen[str]"
    said: str
    url: str

    @property
    def port(self) -> int:
        return int(self.url.split(":")[2].split("/")[0])

    def ask(self, path: str, *, method: str = "GET", **headers: str) -> tuple[int, str, Mapping[str, str]]:
        """Ask for a path, written as it is; ``Host`` and the like as they are told."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        with contextlib.closing(connection):
            connection.putrequest(method, path, skip_host="Host" in headers)
            for name, value in headers.items():
                connection.putheader(name.replace("_", "-"), value)
            connection.endheaders()
            answer = connection.getresponse()
            return answer.status, answer.read().decode(), {key.lower(): value for key, value in answer.getheaders()}


class Streamed:
    """Events as the server sends them."""

    def __init__(self, served: Served, path: str) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", served.port, timeout=20)
        self._connection.request("GET", path)
        self.answer = self._connection.getresponse()

    def next(self) -> dict[str, str]:
        """Wait for the next change."""
        while line := self.answer.readline().decode():
            if line.startswith("data: "):
                found: dict[str, str] = json.loads(line.removeprefix("data: "))
                return found
        raise EOFError

    def close(self) -> None:
        self._connection.close()


@contextlib.contextmanager
def streaming(served: Served, path: str) -> Iterator[Streamed]:
    stream = Streamed(served, path)
    try:
        yield stream
    finally:
        stream.close()
