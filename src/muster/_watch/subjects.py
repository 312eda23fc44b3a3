"""What has a page of its own inside a run: a step, a machine or a worker, with the facts that the page tells first."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import quote

from muster import _words as words
from muster._watch.sums.moment import Moment
from muster._watch.sums.worker import WorkerSums

from .sums import figures

Link = Callable[[str, object], str]
"""Makes the address of a page inside a run, of a kind of subject and a name."""


@dataclass(frozen=True, slots=True)
class Subject:
    """A step, a machine or a worker, which has a page of its own."""

    kind: str
    name: str
    figures: figures.Figures
    facts: Sequence[tuple[str, str]] = ()
    workers: Sequence[str] = ()
    ties: Sequence[tuple[str, str, str]] = field(default=())
    """What else leads on from here: what it is, its name, its address."""


def subject(moment: Moment, kind: str, name: str) -> Subject | None:
    """Find a step, a machine or a worker of a run; ``None`` where there is no such."""
    return _OF_KIND[kind](moment, name) if kind in _OF_KIND else None


def links(run: str) -> Link:
    """Make addresses inside a run."""
    return lambda kind, name: f"/runs/{quote(run)}/{kind}/{quote(str(name), safe='')}"


def _step(moment: Moment, name: str) -> Subject | None:
    # Steps are numbered from 1.
    if not name.isdecimal() or not 1 <= int(name) <= len(moment.names):
        return None
    row = moment.steps[int(name) - 1]
    facts = [
        ("Rows in", words.count(row.figures.rows_in)),
        ("Rows out", words.count(row.figures.rows_out)),
        ("Calls", words.count(row.figures.calls)),
        ("In the function", words.duration(row.seconds)),
        ("A row takes", words.latency(row.seconds / row.figures.rows_in) if row.figures.rows_in else words.NOTHING),
    ]
    return Subject("step", f"{name}, {row.name}", row.figures, facts)


def _machine(moment: Moment, name: str) -> Subject | None:
    row = next((row for row in moment.machines if row.machine.name == name), None)
    if row is None:
        return None
    load, workers = row.machine.load, moment.ordered(name)
    facts = [
        ("Workers", f"{row.there} of {row.workers}" if moment.is_going else words.count(row.workers)),
        ("Rows", words.count(row.rows_in)),
        ("Busy", words.share(row.spent.busy_share)),
        ("Processor", f"{words.share(load.cpu)} of {load.cores} cores" if load else words.NOTHING),
        ("Memory", f"{words.size(load.memory)} of {words.size(load.memory_total)}" if load else words.NOTHING),
        ("Disk free", words.size(load.disk_free) if load else words.NOTHING),
        ("Lease left", words.duration(row.lease_left)),
    ]
    names = [worker.name for worker in workers]
    return Subject("machine", name, figures.of_workers(moment.view, workers, moment.known), facts, names)


def _worker(moment: Moment, name: str) -> Subject | None:
    row = next((row for row in moment.workers if row.worker.name == name), None)
    if row is None:
        return None
    worker = row.worker
    facts = [
        ("State", _state(moment, worker)),
        ("Tasks", words.count(worker.tasks)),
        ("Rows", words.count(worker.rows_in)),
        ("Bad rows", words.count(worker.bad_rows)),
        ("Busy", words.share(row.spent.busy_share)),
        ("Processor time", words.duration(worker.cpu)),
        ("Memory", words.size(worker.memory)),
        ("Read", words.size(worker.bytes_in)),
        ("Written", words.size(worker.bytes_out)),
    ]
    link = links(moment.view.run)
    ties = [("machine", worker.machine, link("machines", worker.machine))] if worker.machine else []
    return Subject(
        kind="worker",
        name=name,
        figures=figures.of_workers(moment.view, [worker], moment.known),
        facts=facts,
        workers=[name],
        ties=ties,
    )


def _state(moment: Moment, worker: WorkerSums) -> str:
    if worker.is_there and moment.is_going:
        return "at work"
    return f"gone: {worker.gone}" if worker.gone else "done" if not moment.is_going else "gone"


_OF_KIND: Final = {"steps": _step, "machines": _machine, "workers": _worker}
