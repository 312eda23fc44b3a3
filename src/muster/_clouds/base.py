"""What a cloud is: who makes machines, tells of them, and ends them."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from math import inf
from pathlib import Path
from queue import SimpleQueue
from typing import Any, Final, Protocol

from muster._process.environment import OF_A_MACHINE
from muster._words import text_of
from muster.errors import EngineError, UsageError

STARTED: Final = "Ray runtime started"
"""What ``ray start`` says when its node has joined."""

NO_LOG_MONITOR: Final = "--include-log-monitor=false"
"""Leaves out Ray's process that sends home what others print: what workers print comes home through muster's pipes."""

TOKEN_REFUSED: Final = "AuthenticationError"  # noqa: S105 (what is said of one, and none itself)
"""What Ray raises where the token does not fit, or is not there."""

ENDED: Final = "it has ended."
"""What is told of a machine that answers, and whose lease is not there any more."""

WORKERS_ENVIRONMENT: Final = {
    **OF_A_MACHINE,
    "RAY_enable_worker_prestart": "0",  # each worker is asked for by name
    "RAY_agent_register_timeout_ms": "120000",  # a node ends where its agent starts slowly, as on a busy computer
    "RAY_health_check_initial_delay_ms": "1000",
    "RAY_health_check_period_ms": "1000",
}


RENEWALS_A_LEASE: Final = 4
"""Three may fail before a machine ends."""

_RENEW_SECONDS: Final = 20.0
"""Longer than any machine that is well takes; others get theirs the next time."""

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
    price: float | None = 0.0
    """What it costs, in dollars an hour, from its start to its end; 0 where nobody has said that it costs something,
    ``None`` where it does and nobody knows how much."""


@dataclass(frozen=True, slots=True)
class Seen:
    """What was seen of a cluster: the machines that live, the head first; and why others cannot be listed."""

    machines: tuple[Machine, ...] = ()
    silent: Mapping[str, str] = field(default_factory=dict)
    """By name: those that did not answer, have ended by themselves, or were to end and live; and what is the matter."""


@dataclass(frozen=True, slots=True)
class Existing:
    """A machine that was found where it is, and not in any record of ours."""

    name: str
    """What its maker calls it: the name of a host, the id of an instance."""
    cluster: str
    owner: str
    """Who made it: USER@COMPUTER; empty where that is not told."""
    home: str = ""
    """The MUSTER_HOME that knows it."""
    since: str = ""
    """When it was made, in words."""
    lease: float = 0.0
    """In seconds."""
    left: float = 0.0
    """How many of them are left; 0 where only remains were found: what works on where an agent was killed."""
    price: float | None = 0.0
    """In dollars an hour; ``None`` where nobody knows."""


@dataclass(frozen=True, slots=True)
class Census:
    """All machines of muster's that exist, of whichever cluster; nothing can be said of what is ``unseen``."""

    existing: tuple[Existing, ...] = ()
    unseen: Mapping[str, str] = field(default_factory=dict)
    """Where nobody could look, such as a host or a region; and why."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a cluster shall be: how many machines, of how many workers, and how long they may live unrenewed."""

    machines: int
    workers: int
    lease: float


def seconds_to_renew(lease: float) -> float:
    """Tell how long a renewal may take, so that the next of the same lease is not late."""
    return min(_RENEW_SECONDS, lease / RENEWALS_A_LEASE)


@dataclass(frozen=True, slots=True)
class Renewals:
    """Machines whose lease was renewed just now, and for how many seconds; the others, with what kept them from it."""

    machines: tuple[str, ...]
    lease: float
    failed: Mapping[str, str] = field(default_factory=dict)
    """What is the matter, by machine: a sentence or two; ``ENDED`` where it is no more."""
    remark: str = ""
    """What the user should hear of all of them, once."""
    news: tuple[str, ...] = ()
    """What of that the user should hear, because it was not so the last time."""
    prices: Mapping[str, float | None] = field(default_factory=dict)
    """What the machines cost, in dollars an hour; nothing where it is not named, something unknown with ``None``."""
    notices: Mapping[str, float] = field(default_factory=dict)
    """Machines that their maker takes away soon, such as spot instances; and in how many seconds."""
    again: float = inf
    """In how many seconds to come again at the latest, though no lease needs it: a notice may come up meanwhile."""


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
    prices: Mapping[str, float | None] = field(default_factory=dict)
    """What a machine costs, in dollars an hour, by name; nothing where it is not named, something unknown with
    ``None``."""
    name: str = ""
    """The cluster's."""
    renewals: "SimpleQueue[Renewals]" = field(default_factory=SimpleQueue)
    """Leases that are renewed meanwhile."""
    make_engine: Callable[[int], Any] | None = None
    """Makes the engine of so many workers where there is no Ray, and no ``address``."""
    is_pretended: bool = False
    """Whether its machines are none, of a test: without ``make_engine`` its workers are processes of this computer."""


@contextmanager
def reading_note(path: Path) -> Iterator[None]:
    """Say in words that a note on a cluster is damaged, or of a later version. Raises ``EngineError``."""
    try:
        yield
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise EngineError(
            f"{str(path)!r} should say what is known of cluster {path.parent.name!r}, and cannot be read"
            f" ({text_of(error)}): it is damaged, or of a later version of muster. Nothing was changed. Use that"
            " version, or restore the file. Its machines end by themselves with their lease; then remove"
            f" {str(path.parent)!r} to forget the cluster."
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
    """Who makes the machines of one cluster, tells of them, and ends them. This is what a new cloud has to keep.

    A cloud is made anew for each command, with the cluster's folder (``MUSTER_HOME/clusters/NAME``), for this user
    alone: what it has to remember lies there, and nowhere else. ``by_name`` knows it by its name.
    ``tests/test_clouds.py`` runs the same tests on every cloud; add yours there.

    - **Machines.** Each has an agent (``there/``) that starts its Ray node and ends the machine when nobody has renewed
      its lease. The first one is the head, which the others join; where it ends, all end. A cloud whose machines SSH
      reaches only names them, in an ``over_ssh`` inventory: ``over_ssh.machines`` does all else.
    - **Any moment may be the last.** muster can be killed between any two lines. Note what you are about to make before
      you make it, and have every verb find and use, or end, what an interrupted one has left: a verb that is repeated
      does what is missing, and nothing else.
    - **Nothing is forgotten that may live.** A machine is taken out of the record when it was seen to end, or when its
      lease is over. What does not answer is told, and tried again by the next ``scale`` or ``destroy``.
    - **Who calls.** One command at a time calls ``scale``, ``destroy`` or ``purging``: the cluster is locked meanwhile.
      ``seen``, ``renew``, ``last`` and ``census`` come from other processes and threads too, also while it is locked.
    - **Errors.** ``UsageError`` for what the user has to write differently, ``EngineError`` for machines and networks.
      An ``OSError`` is taken for the disk of the cluster's folder. Each says what to type next.
    """

    def last(self) -> Wanted | None:
        """Tell what was wanted last; ``None`` when nothing was made yet, or all of it has ended.

        Asks nobody: it is called several times a second.
        """

    def check(self, wanted: Wanted) -> None:
        """Look whether that can be wanted, before anything is written or made. Raises ``UsageError``."""

    def scale(self, wanted: Wanted, *, alone: Callable[[], None] = nobody_works) -> Seen:
        """Make or dismiss machines until there are as many as wanted, of as many workers, with that lease.

        Those that are as they should be go on undisturbed, also while a run works on them; what is dismissed first has
        its Ray node leave the cluster. ``alone`` is called before machines that live are ended only to be started anew
        (another number of workers, another head, new certificates); it raises ``UsageError`` where a run works on them,
        and then nothing has changed.

        It returns when all have joined, and tells what it saw of them then: nobody looks again to know whether they
        live. Where one does not start, those that were just made and are of no use are ended
        before it raises ``EngineError``; those that work stay.
        """

    def seen(self) -> Seen:
        """Look which machines live, the head first. It raises for no machine: what cannot be seen is ``silent``."""

    def renew(self) -> Renewals:
        """Renew the lease of every machine that lives, side by side; tell of which, and why not of the others.

        It takes at most a quarter of the lease, however many do not answer.
        """

    def access(self) -> AbstractContextManager[Access]:
        """Open a way to the cluster for as long as the context lasts. Raises ``EngineError`` when there is none."""

    def destroy(self) -> Sequence[str]:
        """End all machines, and all that ran on them; write a line for each, of what was seen.

        Raises ``EngineError`` where something may go on; that is then still known. Ends nothing where nothing is.
        """

    def purging(self) -> Callable[[], Sequence[str]]:
        """Know how to remove, once all machines have ended, what was installed for them and no other cluster uses.

        It is called before ``destroy``, and what it returns afterwards. That writes lines, too: of what went, and of
        what stays and why.
        """

    def census(self) -> Census:
        """Find all machines of muster's that this user has with this maker, of every cluster and every MUSTER_HOME.

        It reads no record: it asks whoever runs the machines, so that what a lost record, another computer or a killed
        muster has left is found too.
        """
