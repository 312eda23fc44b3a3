"""The machines of one cluster on hosts that SSH reaches: started, listed, renewed and ended, whoever names the hosts.

A cloud names them, in an ``Inventory``: each time that it wants another number of machines. What was started is
remembered with all that is needed to reach it, so everything else here asks for no inventory.
"""

import contextlib
import secrets
import shlex
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from math import inf
from pathlib import Path
from typing import Final

from muster._clouds import certificates
from muster._clouds.base import Access, Renewals, Seen, Wanted, nobody_works, seconds_to_renew
from muster._clouds.endings import Endings
from muster._clouds.program import program
from muster._files.whole import write
from muster._urls.addresses import joined
from muster.errors import EngineError

from . import listing, purging, requirements, ssh, starting
from .equipping import Equipping
from .inventory import Host, Inventory
from .placing import chosen, placed
from .playbook import play
from .played import Played
from .playing import tidy
from .record import ClusterRecord, StartedHost, apart, ending, forget, recalled, remember
from .stray import marked
from .touching import GONE, answers_of_each

_NOTICE_SECONDS: Final = 15.0
"""How often machines that may be taken away are asked: of two minutes' notice most is left then."""

_MARK: Final = "muster: it is taken away in seconds:"


def _never(_: Host) -> bool:
    return False


class SshMachines:
    """The machines of the cluster whose folder this is; the head is the first."""

    def __init__(self, folder: Path, *, is_gone: Callable[[Host], bool] = _never) -> None:
        """Know a cluster by its folder; nothing happens yet. ``is_gone`` tells of hosts that their maker has ended."""
        self._folder, self._is_gone = folder, is_gone
        self._token = folder / "token"
        self._authority = certificates.Authority(folder)

    def last(self) -> Wanted | None:
        """Tell what was wanted last; ``None`` when nothing was started yet."""
        record = recalled(self._folder)
        return None if record is None else Wanted(len(record.started), record.workers, record.lease)

    # What is there

    def hosts(self) -> Sequence[Host]:
        """List the hosts that were started, the head first."""
        record = recalled(self._folder) or ClusterRecord()
        return [one.host for one in record.started]

    def seen(self) -> Seen:
        """List the machines that live, the head first."""
        tidy(self._folder)
        record = recalled(self._folder) or ClusterRecord()
        leaving = [one.machine for one in record.leaving if not one.is_over]
        named = apart([*record.started, *leaving])
        if not named:
            return Seen()
        answers, played = self._play("inspect", named).answers()
        return listing.seen(named, answers, played.failures, started=list(named)[: len(record.started)])

    @contextlib.contextmanager
    def access(self) -> Iterator[Access]:
        """Tell how to run a driver on the head, through SSH. Raises ``EngineError`` when there is none."""
        record = recalled(self._folder)
        if record is None or not record.started:
            raise EngineError("The cluster has no head. Make the cluster again with muster up.")
        self._authority.check()
        head = record.started[0]
        attended = shlex.join([head.host.python, "-P", "-S", f"{head.folder}/lease.py", "attend", head.folder])
        yield Access(
            joined(head.host.inside, starting.HEAD_PORT),
            starting.let_in(head.folder),
            workers=sum(one.workers for one in record.started),
            python=head.host.python,
            through=(*marked(self._folder), *ssh.command(head.host, attended)),
            shares_files=False,
            prices=_prices(record),
        )

    # What changes it

    def scale(
        self,
        wanted: Wanted,
        inventory: Inventory,
        *,
        alone: Callable[[], None] = nobody_works,
        until: float = inf,
    ) -> Seen:
        """Start or stop machines until as many as are wanted work: the head, and the inventory's first besides.

        It tells what those told of themselves as soon as they worked. Raises ``UsageError``; raises ``EngineError``
        where a host does not start ``until`` then, on the monotonic clock, or one that is not wanted any more does not
        answer.
        """
        record = recalled(self._folder) or ClusterRecord()
        hosts = placed(inventory.hosts, record, self._folder)
        living = {machine.name for machine in self.seen().machines}
        head = record.started[0].host if record.started and record.started[0].host.name in living else None
        renews = head is not None and self._authority.must_begin_anew(alone)
        is_same = bool(head and record.id and not renews)
        cluster = record if is_same else record.begun()
        started = Equipping(self._folder, requirements.packages(inventory.packages), until).equipped(
            chosen(hosts, wanted.machines, head),
            cluster,
            workers=wanted.workers,
            ours=sorted({record.id, cluster.id, *(one.machine.cluster for one in record.leaving)}),
        )
        to_end, is_anew = ending(record.started, started, living)
        if is_anew and not renews:
            alone()
        endings, cluster = self._end(cluster, to_end)
        staying = {one.identity for one in cluster.started if one.host.name in living}
        if not is_same:
            write(self._token, secrets.token_hex(32), durable=True)
            self._authority.begin(wanted.lease)
        cluster = cluster.working(started, lease=wanted.lease, workers=wanted.workers)
        self._keep(cluster)
        new = [one for one in started if one.identity not in staying]
        seen = self._start(cluster, new=new, until=until)
        endings.check(cluster.longest_lease)
        return seen

    def renew(self) -> Renewals:
        """Renew the lease of every machine, side by side; one that does not answer is left to its lease."""
        record = recalled(self._folder)
        if record is None or not record.started:
            return Renewals((), 0.0)
        seconds = seconds_to_renew(record.lease)  # the others wait for the next
        lines = {
            one.host.name: [*marked(self._folder), *ssh.command(one.host, renewal(one.folder, one.host.notice))]
            for one in record.started
        }
        answers = answers_of_each(lines, seconds=seconds)
        failed = {name: answer.ill for name, answer in answers.items() if answer.ill}
        return Renewals(
            tuple(name for name in lines if name not in failed),
            record.lease,
            failed,
            self._authority.remark(),
            prices=_prices(record),
            notices={name: left for name, answer in answers.items() if (left := noticed(answer.said)) is not None},
            again=_NOTICE_SECONDS if any(one.host.notice for one in record.started) else inf,
        )

    def destroy(self) -> Sequence[str]:
        """End all machines. Raises ``EngineError`` when one cannot be reached; its lease then ends it.

        Until that, or an answer, it is remembered, so that the same command can end it.
        """
        tidy(self._folder)
        record = recalled(self._folder)
        if record is None:
            return []
        endings, record = self._end(record, record.started)
        self._keep(record)
        endings.check(record.longest_lease)
        return endings.lines()

    def purging(self) -> Callable[[], Sequence[str]]:
        """Know how to remove, once the machines have ended, what was installed for them and no other cluster uses."""
        record = recalled(self._folder) or ClusterRecord()
        started = [*record.started, *(one.machine for one in record.leaving)]
        each = {one.place[:-1]: one for one in started}  # once on each host
        return lambda: self._purged(apart(list(each.values()))) if each else []

    def _purged(self, named: Mapping[str, StartedHost]) -> Sequence[str]:
        answers, played = self._play("purge", named, told={"program": program("environments")}).answers()
        return list(purging.told(answers, played))

    def _start(self, record: ClusterRecord, *, new: Sequence[StartedHost], until: float) -> Seen:
        """Start the machines that are ``new``, and renew the others; take what they tell then.

        Raises ``EngineError`` where one fails. Of the new ones, those that failed are ended then.
        """
        each = starting.told_to_each(
            record, folder=self._folder, token=self._token.read_text(), authority=self._authority
        )
        named = apart(record.started)
        told = starting.told_to_all()
        answers, played = self._play("start", named, told=told, each=each, until=until).answers()
        if played.failures:  # without a head the others are of no use; those that worked before may go on
            head = record.started[0].host.name
            failed = [one for one in new if {one.host.name, head} & set(played.failures)]
            self._keep(self._end(record, failed)[1])
        played.check("Starting the hosts")
        return listing.seen(named, answers, played.failures, started=list(named))

    def _end(self, record: ClusterRecord, machines: Sequence[StartedHost]) -> tuple[Endings, ClusterRecord]:
        """End machines, and again those that are leaving; whatever is not seen to end is leaving from now on.

        It stays so until it answers, or its lease is over. Where this is interrupted, all can still be ended later.
        """
        named = apart([*machines, *(one.machine for one in record.leaving)])
        endings = Endings()
        gone = {name for name, one in named.items() if self._is_gone(one.host)}
        endings.seen |= dict.fromkeys(sorted(gone), "whoever made it has ended it")
        asked = {name: one for name, one in named.items() if name not in gone}
        answers, played = self._play("stop", asked).answers() if asked else ({}, Played({}, {}))
        for name in asked:  # and not in the order in which they answered
            if name in answers:
                endings.take(name, answers[name])
        endings.silent |= {name: failure.said for name, failure in played.failures.items()}
        over = {one.machine.place for one in record.leaving if one.is_over}
        endings.believe_the_lease([name for name, one in named.items() if one.place in over])
        unseen = [one for name, one in named.items() if name not in endings.seen]
        return endings, record.left_by(machines, unseen=unseen)

    def _keep(self, record: ClusterRecord) -> None:
        """Remember a cluster for as long as there may be anything of it; its secrets, for as long as it has a head."""
        if not record.started:
            self._token.unlink(missing_ok=True)
            self._authority.forget()
        if record.started or record.leaving:
            remember(self._folder, record)
        else:
            forget(self._folder)

    def _play(
        self,
        playbook: str,
        named: Mapping[str, StartedHost],
        *,
        told: Mapping[str, object] | None = None,
        each: Mapping[str, Mapping[str, object]] | None = None,
        until: float = inf,
    ) -> Played:
        """Run a playbook on hosts that were started, or are about to be; it calls them by these names."""
        known = {
            name: {"folder": one.folder, "python": one.host.python, **(each or {}).get(name, {})}
            for name, one in named.items()
        }
        hosts = [replace(one.host, name=name) for name, one in named.items()]
        return play(playbook, hosts, told=told or {}, each=known, below=self._folder, until=until)


def _prices(record: ClusterRecord) -> dict[str, float | None]:
    return {one.host.name: one.host.price for one in record.started if one.host.price != 0}


def renewal(folder: str, notice: str = "") -> str:
    """Write the words of shell, of whichever shell it is, that renew a lease unless it is gone.

    They print the file ``notice``, where it is there.
    """
    lease = shlex.quote(f"{folder}/lease")
    words = f"test -e {lease} || exit {GONE}; touch -c {lease}"
    if not notice:
        return words
    path = shlex.quote(notice)
    return f"{words} || exit 1; test -e {path} || exit 0; echo {_MARK}; cat {path}"


def noticed(said: str) -> float | None:
    """Read in how many seconds a machine is taken away; before the mark stands what its shell prints to anybody."""
    _, mark, told = said.rpartition(f"{_MARK}\n")
    try:
        return max(0.0, float(told)) if mark else None
    except ValueError:
        return None
