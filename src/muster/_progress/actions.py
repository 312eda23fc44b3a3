"""What the state of a run asks the runner to do."""

from dataclasses import dataclass
from typing import NamedTuple

from muster._model import Fault, Outcome, Task


class Assignment(NamedTuple):
    """A task on a machine, since when; once it is cancelled, its end says nothing of the task."""

    task: Task
    machine: str
    since: float
    is_cancelled: bool = False


@dataclass(slots=True)  # not frozen, which costs as much again where there is one for each task
class Submit:
    """Hand this task to a machine, after a death to a fresh worker there.

    An old worker may die, or run out of memory, because of what earlier tasks left behind; a fresh one cannot.
    """

    task: Task
    machine: str = ""
    fresh: bool = False


@dataclass(frozen=True, slots=True)
class Recall:
    """Have nobody work on the task of this number any more: another machine has done its rows."""

    number: int


@dataclass(slots=True)  # not frozen, which costs as much again where there is one for each task
class Keep:
    """Record that this task is done."""

    outcome: Outcome


@dataclass(frozen=True, slots=True)
class Drop:
    """Record that an outcome which was kept no longer counts: its rows will be done again."""

    outcome: Outcome


@dataclass(slots=True)  # not frozen, which costs as much again where there is one for each task
class Append:
    """All rows before this outcome's are settled: it is next in the output."""

    outcome: Outcome


@dataclass(frozen=True, slots=True)
class Forget:
    """Drop the entry of this piece, which is part of the piece before it from now on."""

    name: str


@dataclass(frozen=True, slots=True)
class Rewind:
    """An outcome that was appended has been dropped: begin the output anew."""


@dataclass(frozen=True, slots=True)
class Widen:
    """An inferred type was too narrow: settle the types anew, and start over."""

    outcome: Outcome


@dataclass(frozen=True, slots=True)
class GiveUp:
    """More rows were bad than the user allows."""

    bad_rows: int
    first_error: str
    outcome: Outcome | None = None
    """The one that was too much, unless it was what is known of the input by now."""


@dataclass(frozen=True, slots=True)
class NeverSettles:
    """The function gives other columns each time that it is called, so no schema holds all results."""

    columns: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Blame:
    """The function fails on every row, in the same way: it is the function's fault, not that of the rows."""

    fault: Fault


@dataclass(frozen=True, slots=True)
class DiesOfNothing:
    """Workers keep dying of a task that neither reads nor calls anything: no row can be to blame, so try no more."""

    reason: str
    deaths: int


@dataclass(frozen=True, slots=True)
class PutAside:
    """A machine fails tasks that succeed on others: give it no more of them."""

    machine: str


Action = (
    Submit
    | Recall
    | Keep
    | Drop
    | Append
    | Forget
    | Rewind
    | Widen
    | GiveUp
    | NeverSettles
    | Blame
    | DiesOfNothing
    | PutAside
)
