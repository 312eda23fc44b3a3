"""What to do about a run that was slow, in words: pure, from its account. Where there is nothing to say, nothing.

Each sentence has a threshold, below which what it says could be chance, or would gain too little to be worth a change.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Final

from muster import _words as words
from muster._watch.sums.account import Account, WorkDone

SHORTEST_RUN: Final = 5.0
"""Seconds: what takes less is over before anybody has read about it; its figures are mostly of starting."""

_LEAST_COST: Final = 2.0
"""Seconds of the run that must be at stake."""

_LEAST_SHARE: Final = 0.1
"""Share of the run that must be at stake: other programs alone make a run differ by as much from day to day."""

_WAITING: Final = 0.5
"""Of a core: a function that computes all the time gets 0.9 and more where the computer is not crowded."""

_CROWDED: Final = 0.9
"""How busy a machine's processor may be: above that, workers may wait for each other, not for something else."""

_STARVED: Final = 0.05
"""Of a core: what a worker that computes gets even where twenty programs want that core."""

_MOST_A_CORE: Final = 4
"""How many workers a core at most are advised: each holds a copy of pandas, 100 MB and more."""

_MEMORY_TO_USE: Final = 0.8
"""Of what is free: other programs want some, and a function takes more on some batches."""

_FIRST_LONGER: Final = 1.0
"""Seconds by which first batches must take longer: importing a library takes half a second, and is no model."""

_TIMES_THE_PACE: Final = 3.0
"""As long as its rows take later: less may come of rows that differ."""

_MUCH: Final = 0.4
"""Share of the workers' time that reading or writing must have: for a cheap function a quarter is usual."""

_MACHINES_DIFFER: Final = 2.0
"""Times slower than the rest: less is usual among types of machines."""

_WORKERS_DIFFER: Final = 3.0
"""How many times slower one is than the rest: rows of a file differ by twice from place to place easily."""

_ENOUGH_TASKS: Final = 8
"""How many tasks each must have done to be compared."""

CLOSING: Final = 2
"""How many sentences end a run in the terminal, at most."""

_WORTH_CLOSING: Final = 10.0
"""Seconds that a run must have taken for advice in the terminal."""


@dataclass(frozen=True, slots=True)
class Advice:
    """A sentence, the chapter of the page "slow" that says more, and the seconds of the run that are at stake."""

    text: str
    chapter: str
    cost: float

    def __str__(self) -> str:
        """Add where to read on."""
        return f"{self.text} More: muster help slow {self.chapter}"


def advice(account: Account, *, shortest: float = SHORTEST_RUN) -> list[Advice]:
    """Say what to do about a run that took ``shortest`` seconds or more, what costs most first."""
    if account.took < shortest or not account.workers or not account.there:
        return []
    least = max(min(_LEAST_COST, shortest), _LEAST_SHARE * account.took)
    said = [one for sentence in _SENTENCES for one in sentence(account) if one.cost >= least]
    return sorted(said, key=lambda one: -one.cost)


def closing(account: Account) -> list[str]:
    """Say at the end of a run in the terminal what matters most, if anything does."""
    return [str(one) for one in advice(account)[:CLOSING]] if account.took >= _WORTH_CLOSING else []


def _bad_rows(account: Account) -> Iterator[Advice]:
    cost = account.of_the_run(account.seconds.sorting + account.seconds.failed)
    rows = words.plural(account.bad_rows, "bad row")
    yield Advice(
        f"{rows} cost {words.duration(cost)} of {words.duration(account.took)}: to find each, the rows around it are"
        " done again and again. Have the function return a row that it cannot do, with a missing value, instead of"
        " raising; or mend these rows first.",
        "bad-rows",
        cost if account.bad_rows else 0.0,
    )


def _waiting(account: Account) -> Iterator[Advice]:
    spent, load = account.seconds, account.load
    at_tasks = spent.total - spent.lost
    if load is None or at_tasks <= 0 or spent.function < at_tasks / 2:
        return
    share = sum(one.cpu for one in account.workers) / at_tasks
    if share > (_STARVED if load.cpu > _CROWDED else _WAITING):
        return
    workers = len(account.workers)
    more = min(_more_workers(account, share), workers * _MOST_A_CORE * 2)
    if more > workers:
        yield Advice(
            f"Your function waits, for network, disk or sleep: it keeps {words.share(share)} of a core busy while it is"
            f" called. More workers than cores would help: {_how_to_have(account, more)}.",
            "your-function-waits",
            account.of_the_run(spent.function * (1 - workers / more)),
        )


def _more_workers(account: Account, share: float) -> int:
    """Tell how many workers would keep the cores busy, as far as memory and good sense allow."""
    load = account.load
    if load is None:
        return 0
    each = max((one.memory for one in account.workers), default=0) or 1
    room = int((load.memory_total - load.memory) * _MEMORY_TO_USE / each)
    machines = len({one.machine for one in account.workers}) or 1
    here = -(-len(account.workers) // machines)
    wanted = min(int(load.cores / max(share, 1 / _MOST_A_CORE)), load.cores * _MOST_A_CORE)
    return min(wanted, here + max(room, 0)) * machines


def _how_to_have(account: Account, workers: int) -> str:
    if account.engine != "ray":
        return f"--workers {workers}"
    machines = len({one.machine for one in account.workers}) or 1
    return f"muster up --workers-per-machine {workers // machines}"


def _first_batches(account: Account) -> Iterator[Advice]:
    longer = [took for one in account.workers if (took := _by_how_much(one)) is not None]
    usual = median(longer or [0.0])
    yield Advice(
        f"The first batch of each worker took {words.duration(usual)} longer than those after it. If your function"
        " loads a model or a table when it starts, load it once: write a class, whose __init__ loads and whose __call__"
        " takes the batch. Fewer workers load it less often.",
        "first-batches",
        account.of_the_run(sum(longer)) if usual >= _FIRST_LONGER else 0.0,
    )


def _by_how_much(one: WorkDone) -> float | None:
    """Tell by how many seconds a worker's first batch took longer than its rows do later; None of who did no other."""
    rows, spent = one.rows - one.first_rows, one.seconds.function - one.first.function
    if rows <= 0 or one.tasks < 2:  # noqa: PLR2004 (one to compare with)
        return None
    usual = max(one.first_rows * spent / rows, spent / (one.tasks - 1))
    return max(one.first.function - usual, 0.0) if one.first.function >= _TIMES_THE_PACE * usual else 0.0


def _tail(account: Account) -> Iterator[Advice]:
    workers = [one for one in account.workers if one.is_of_last_attempt]  # others had ended with their attempt
    ends = sorted(one.until for one in workers)
    if not account.is_over or len(ends) < 2:  # noqa: PLR2004 (one that waits for the other)
        return
    alone = ends[-1] - ends[-2]
    last = max(workers, key=lambda one: one.until)
    smaller = "" if account.is_stream else ", or make batches smaller with --batch-rows"
    yield Advice(
        f"The last task held worker {last.name} for {words.duration(alone)}, {words.share(alone / account.took)} of the"
        " run, while all others had nothing to do: a few rows take much longer than the rest, or a file is one long"
        f" piece. Put such rows first{smaller}.",
        "the-last-task",
        alone * (1 - 1 / len(ends)),
    )


def _reading(account: Account) -> Iterator[Advice]:
    spent = account.seconds.read - account.first.read  # in which classes are built
    cure = "Name the columns that you need with --usecols. Larger row groups may help, too."
    if account.format != "parquet":
        faster = "" if account.is_stream else "; a Parquet input is read several times faster than text"
        cure = f"Name the columns that you need with --usecols, and types with --dtype{faster}."
    yield Advice(
        f"Reading took {words.share(spent / account.there)} of the workers' time. {cure}",
        "reading",
        account.of_the_run(spent) if spent >= _MUCH * account.there else 0.0,
    )


def _writing(account: Account) -> Iterator[Advice]:
    spent = account.seconds.write + account.seconds.transfer
    faster = "" if account.is_stream else "; Parquet is written faster than text, and is smaller"
    yield Advice(
        f"Writing and transfer took {words.share(spent / account.there)} of the workers' time. Have the function return"
        f" only the columns that you need{faster}.",
        "writing",
        account.of_the_run(spent) if spent >= _MUCH * account.there else 0.0,
    )


def _packed_input(account: Account) -> Iterator[Advice]:
    spent = account.seconds.waiting - account.first.waiting
    if account.is_packed and spent >= _MUCH * account.there:
        yield Advice(
            f"Workers waited {words.share(spent / account.there)} of their time for the compressed input, which one"
            " process unpacks. Parquet, or the file unpacked, is read by all workers at a time.",
            "compressed-input",
            account.of_the_run(spent),
        )


def _losses(account: Account) -> Iterator[Advice]:
    spent = account.seconds.lost
    yield Advice(
        f"Crashes and time limits cost {words.duration(account.of_the_run(spent))} of"
        f" {words.duration(account.took)}: rows that end their worker are tried again until they stand alone. The"
        " report says which under 'What happened'. Where memory runs out, use fewer --workers.",
        "crashes",
        account.of_the_run(spent),
    )


def _slow_one(account: Account) -> Iterator[Advice]:
    """Name a machine that is slower than the others, else a worker."""
    machines: dict[str, list[WorkDone]] = {}
    for one in account.workers:
        machines.setdefault(one.machine, []).append(one)
    if len(machines) > 1:
        paces = {name: _pace(workers) for name, workers in machines.items()}
        of = ("machine", _MACHINES_DIFFER, "Look what else runs there, or leave it out.")
    else:
        paces = {one.name: _pace([one]) for one in account.workers}
        of = ("worker", _WORKERS_DIFFER, "Rows of some places take longer, or another program has its core.")
    yield from _slowest(account, paces, *of)


def _slowest(account: Account, paces: dict[str, float], kind: str, times: float, cure: str) -> Iterator[Advice]:
    if len(paces) < 2 or min(paces.values()) <= 0:  # noqa: PLR2004 (one to compare with)
        return
    name = min(paces, key=lambda one: paces[one])
    rest = median(pace for other, pace in paces.items() if other != name)
    ratio = rest / paces[name]
    if ratio < times:
        return
    busy = sum(one.seconds.function for one in account.workers if name in {one.name, one.machine})
    yield Advice(
        f"{kind.capitalize()} {name} is {ratio:.0f} times slower than the rest: {words.pace(paces[name])} rows a second"
        f" of the function's time, the others {words.pace(rest)}. {cure}",
        "a-slow-machine",
        account.of_the_run(busy * (1 - 1 / ratio)),
    )


def _pace(workers: Sequence[WorkDone]) -> float:
    """Tell how many rows a second of the function's time some workers do, first batches aside; 0 if that is unsure."""
    seconds = sum(one.seconds.function - one.first.function for one in workers)
    if seconds <= 0 or sum(one.tasks for one in workers) < _ENOUGH_TASKS:
        return 0.0
    return sum(one.rows - one.first_rows for one in workers) / seconds


_SENTENCES: Final[Sequence[Callable[[Account], Iterator[Advice]]]] = (
    _bad_rows,
    _waiting,
    _first_batches,
    _tail,
    _reading,
    _writing,
    _packed_input,
    _losses,
    _slow_one,
)
