"""What a cloud is: who makes machines, tells of them, and ends them."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from queue import SimpleQueue
from typing import Final, Protocol

from muster._process.environment import KEEP_MEMORY, SINGLE_THREADED
from muster.errors import EngineError, UsageError

STARTED: Final = "Ray runtime started"
"""What ``ray start`` says when its node has joined."""

TOKEN_REFUSED: Final = "AuthenticationError"  # noqa: S105 (what is said of one, and none itself)
"""What Ray raises where the token does not fit, or is not there."""

ENDED: Final = "it has ended."
"""What is told of a machine that answers, and whose lease is not there any more."""

WORKERS_ENVIRONMENT: Final = {
    **KEEP_MEMORY,
    **SINGLE_THREADED,
    "RAY_enable_worker_prestart": "0",  # each worker is asked for by name
    "RAY_health_check_initial_delay_ms": "1000",
    "RAY_health_check_period_ms": "1000",
}


_LONGEST_LEASE: Final = 365 * 24 * 3600.0
"""Machines of which nobody thinks any more end by themselves; certificates have to outlive it four times."""


@dataclass(frozen=True, slots=True)
class Machine:
    """One computer of a cluster, as its cloud sees it; the first is the head, which the others joined.

    ``lease`` is how many seconds it may live without being renewed, ``left`` how many of them are left.
    """

    name: str
    address: str
    workers: int
    is_head: bool
    lease: float = 0.0
    left: float = 0.0
    busy: int = 0
    """How many of its workers are on a request just now."""
    memory: int = 0
    """Bytes that its processes hold."""
    disk: int = 0
    """Bytes that are free where it works."""
    versions: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a cluster shall be: how many machines, of how many workers, and how long they may live unrenewed."""

    machines: int
    workers: int
    lease: float


@dataclass(frozen=True, slots=True)
class Renewed:
    """Machines whose lease was renewed just now, and for how many seconds; the others, with what kept them from it."""

    machines: tuple[str, ...]
    lease: float
    failed: Mapping[str, str] = field(default_factory=dict)
    """What is the matter, by machine: a sentence or two; ``ENDED`` where it is no more."""
    remark: str = ""
    """What the user should hear of all of them, once."""
    news: tuple[str, ...] = ()
    """What of that the user should hear, because it was not so the last time."""


@dataclass(frozen=True, slots=True)
class Access:
    """How a driver reaches a cluster's Ray: an address, and what its environment must hold for that."""

    address: str
    environment: Mapping[str, str]
    workers: int
    """How many workers its machines have together, as far as is known beforehand."""
    python: str
    """The interpreter that runs the driver."""
    through: tuple[str, ...] = ()
    """If the driver must run on the head: a command such as ``ssh``, to whose last word the driver's is appended."""
    shares_files: bool = True
    """Whether its machines see the files of this computer under the same paths."""
    prices: Mapping[str, float] = field(default_factory=dict)
    """What a machine costs, in dollars an hour, by name; nothing where it is not named."""
    name: str = ""
    """The cluster's."""
    renewals: "SimpleQueue[Renewed]" = field(default_factory=SimpleQueue)
    """Leases that are renewed meanwhile."""


@contextmanager
def reading_note(path: Path) -> Iterator[None]:
    """Say in words that a note on a cluster is damaged, or of a later version. Raises ``EngineError``."""
    try:
        yield
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise EngineError(
            f"{str(path)!r} should say what is known of cluster {path.parent.name!r}, and cannot be read ({error}): it"
            " is damaged, or of a later version of muster. Nothing was changed. Use that version, or restore the file."
            f" Its machines end by themselves with their lease; then remove {str(path.parent)!r} to forget the cluster."
        ) from error


def check_lease(wanted: Wanted, *, least: float) -> None:
    """Raise ``UsageError`` for a lease that would end before anybody can renew it, or that nobody lives to see end."""
    if wanted.lease > _LONGEST_LEASE:
        raise UsageError(
            f"A lease of {wanted.lease / 3600:,.0f} hours ends nothing. Type --lease 8760h, which is a year, at the"
            " most; muster up --keep renews it for as long as that runs."
        )
    if wanted.lease < least:
        raise UsageError(
            f"A lease of {wanted.lease:g} s would end before a run, or --keep, can renew it for the first time. Type"
            f" --lease {least:g}s at the least; 15m is what it is when nothing is said."
        )


def nobody_works() -> None:
    """Let machines start anew: nobody works on them."""


class Cloud(Protocol):
    """Who makes machines. Every verb may be repeated, also after it was interrupted."""

    silent: Mapping[str, str]
    """Machines that could not be listed, as they did not answer, or have ended by themselves; and why."""

    def last(self) -> Wanted | None:
        """Tell what was wanted last; ``None`` when nothing was made yet."""

    def check(self, wanted: Wanted) -> None:
        """Look whether that can be wanted, before anything is written or made. Raises ``UsageError``."""

    def scale(self, wanted: Wanted, *, alone: Callable[[], None] = nobody_works) -> None:
        """Make or dismiss machines until there are as many as wanted, of as many workers.

        ``alone`` is called before machines that live are ended only to be started anew; it raises where a run works
        on them. Raises ``EngineError``, ``UsageError``.
        """

    def machines(self) -> list[Machine]:
        """List the machines that live, the head first."""

    def renew(self) -> Renewed:
        """Renew the lease of every machine that lives; tell of which."""

    def access(self) -> AbstractContextManager[Access]:
        """Open a way to the cluster for as long as the context lasts. Raises ``EngineError`` when there is none."""

    def destroy(self) -> Sequence[str]:
        """End all machines, and all that ran on them; write a line for each, of what was seen.

        Raises ``EngineError`` where something may go on.
        """

    def purging(self) -> Callable[[], Sequence[str]]:
        """Know how to remove, once all machines have ended, what was installed for them and no other cluster uses.

        That writes lines, too: of what went, and of what stays and why.
        """
