"""Machines that are there already: hosts that SSH reaches, driven by Ansible."""

import contextlib
import getpass
import json
import secrets
import shlex
import socket
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from muster._clouds.over_ssh.playbook import Failure, Played, play, tidy
from muster._clouds.over_ssh.stray import marked
from muster._clouds.over_ssh.touching import GONE, run_on_each
from muster._clouds.there.lease import ENDED, SCRATCH
from muster._files.whole import write
from muster._places.addresses import joined, refusal, shortest
from muster.errors import EngineError, UsageError

from . import certificates
from .base import STARTED, WORKERS_ENVIRONMENT, Access, Machine, Renewed, Wanted, check_lease, nobody_works
from .endings import Endings
from .hosts_file import Host, HostsFile, read
from .over_ssh import purging, requirements, ssh
from .program import program
from .record import Record, Started, apart, ending, forget, recalled, remember
from .there import node, places

_HEAD_PORT: Final = 6379
_OBJECT_STORE_BYTES: Final = 256 << 20
_START_SECONDS: Final = 120
_LEAST_LEASE: Final = 5.0
"""Renewing takes ssh a second and more; there are four chances in each lease."""
_RENEW_SECONDS: Final = 20.0
_RENEW_SHARE: Final = 0.25


class HostsCloud:
    """The hosts of one cluster, of which the first that are wanted are started."""

    def __init__(self, folder: Path, file: Path) -> None:
        """Know a cluster by its folder; nothing happens yet."""
        self._folder = folder
        self._file = file
        self._token = folder / "token"
        self.silent: Mapping[str, str] = {}
        self._authority = certificates.Authority(folder)

    def last(self) -> Wanted | None:
        """Tell what was wanted last."""
        record = recalled(self._folder)
        return None if record is None else Wanted(len(record.started), record.workers, record.lease)

    def check(self, wanted: Wanted) -> None:
        """Read the file of hosts, and see whether it names as many as are wanted. Raises ``UsageError``."""
        check_lease(wanted, least=_LEAST_LEASE)
        named = len(read(self._file).hosts)
        if wanted.machines > named:
            raise UsageError(
                f"{wanted.machines} machines are wanted, and {str(self._file)!r} names {named} hosts. Add hosts to the"
                " file, or ask for fewer."
            )

    def _known(self, record: Record) -> HostsFile:
        """Read the file of hosts, with what ssh's settings say of them; keys that stand in it are what SSH goes by.

        Hosts that were started and are not in it any more keep theirs, or nobody could end them.
        """
        found = read(self._file)
        started = [*record.started, *(one.machine for one in record.leaving)]
        named = [*(one.host for one in started), *found.hosts]
        keys = self._folder / "known_hosts"
        known = {host.address: host.host_key for host in named if host.host_key}
        write(keys, "".join(f"{address} {key}\n" for address, key in known.items()))
        hosts = [replace(host, known_hosts=str(keys)) if host.host_key else host for host in found.hosts]
        return replace(found, hosts=tuple(map(_placed, hosts)))

    # What is there

    def machines(self) -> list[Machine]:
        """List the machines that live, the head first."""
        tidy(self._folder)
        record = recalled(self._folder) or Record()
        leaving = [one.machine for one in record.leaving if not one.is_over]
        named = apart([*record.started, *leaving])
        if not named:
            return []
        answers, played = self._play("inspect", named).answers()
        started = list(named)[: len(record.started)]
        self.silent = dict(_silent(named, answers, played.failures, started=started))
        found = []
        for at, (name, one) in enumerate(zip(started, record.started, strict=True)):
            if (told := answers.get(name)) and ENDED not in told:
                facts = _facts(told)
                found.append(
                    Machine(name, one.host.address, one.workers, is_head=at == 0, versions=one.versions, **facts)
                )
        return found

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
            joined(head.host.inside, _HEAD_PORT),
            _let_in(head.folder),
            workers=sum(one.workers for one in record.started),
            python=head.host.python,
            through=(*marked(self._folder), *ssh.command(head.host, attended)),
            shares_files=False,
            prices={one.host.name: one.host.price for one in record.started if one.host.price},
        )

    # What changes it

    def scale(self, wanted: Wanted, *, alone: Callable[[], None] = nobody_works) -> None:
        """Start or stop hosts until as many as are wanted work: the head, and the first of the file besides.

        Raises ``UsageError``; raises ``EngineError`` where a host does not start, or one that is not wanted any more
        does not answer.
        """
        self.check(wanted)
        record = recalled(self._folder) or Record()
        file = self._known(record)
        living = {machine.name for machine in self.machines()}
        head = record.started[0].host if record.started and record.started[0].host.name in living else None
        renews = head is not None and self._authority.must_begin_anew(alone)
        before, record = record, record if head and record.id and not renews else record.begun()
        chosen = _chosen(file.hosts, wanted.machines, head)
        needed = requirements.packages(file.packages)
        ours = {before.id, record.id, *(one.machine.cluster for one in record.leaving)}
        looked = self._look(chosen, needed, ours=sorted(ours))
        started = tuple(
            Started(
                host,
                f"{looked[host.name]['place']}/{places.leaf(record.id, f'{host.address}:{host.port}')}",
                host.workers or wanted.workers,
                {"python": looked[host.name]["python"], "ray": needed["ray"]},
                _own(host, looked[host.name]),
            )
            for host in self._equip(chosen, needed, looked)
        )
        leaving, is_anew = ending(record.started, started, living)
        if is_anew and not renews:
            alone()
        endings, record = self._end(record, leaving)
        staying = {one.identity for one in record.started if one.host.name in living}
        if record.id != before.id:
            write(self._token, secrets.token_hex(32))
            self._authority.begin(wanted.lease)
        record = record.working(started, lease=wanted.lease, workers=wanted.workers)
        self._keep(record)
        self._start(record, new=[one for one in started if one.identity not in staying])
        endings.check(record.longest_lease)

    def _look(
        self, hosts: Sequence[Host], wanted: Mapping[str, str], *, ours: Sequence[str]
    ) -> dict[str, dict[str, Any]]:
        """See what hosts have. Raises ``UsageError`` where they cannot be used, ``EngineError`` for no answer."""
        asked = {"packages": list(wanted), "cluster": self._folder.name, "ours": ours}
        told = {"program": program("environment"), "asked": asked}
        each = {host.name: {"python": host.python} for host in hosts}
        played = play("check", hosts, told=told, each=each, below=self._folder)
        looked, played = played.answers()
        played.check("Looking at the hosts")
        obstacles = [f"{name}: {what}" for name in looked for what in requirements.obstacles(looked[name])]
        if wrong := [f"  {what}" for what in (*obstacles, *requirements.named_twice(looked))]:
            raise UsageError("Hosts cannot be used as they are:\n" + "\n".join(wrong) + "\nMend that, then try again.")
        return looked

    def _equip(
        self, hosts: Sequence[Host], wanted: Mapping[str, str], looked: Mapping[str, Mapping[str, Any]]
    ) -> list[Host]:
        """Install on hosts what differs from here; tell which interpreter to use. Raises ``EngineError``."""
        orders = {host.name: requirements.order(looked[host.name], wanted, python=host.python) for host in hosts}
        differing = [host for host in hosts if orders[host.name]]
        if not differing:
            return list(hosts)
        each = {host.name: {"python": host.python, "order": orders[host.name]} for host in differing}
        told = {"program": program("environment")}
        played = play("install", differing, told=told, each=each, below=self._folder)
        played.check("Installing on the hosts what is here")
        return [replace(host, python=played.output.get(host.name, host.python).strip()) for host in hosts]

    def _start(self, record: Record, *, new: Sequence[Started]) -> None:
        """Start the machines that are ``new``, and renew the others. Raises ``EngineError`` where one fails.

        Of the new ones, those that failed are ended then.
        """
        head = record.started[0]
        owner = {
            "name": self._folder.name,
            "who": _me(),
            "home": str(self._folder.absolute().parents[1]),
            "since": record.since,
        }
        notes = {"lease": f"{record.lease:g}", "owner": json.dumps(owner), "token": self._token.read_text()}
        each = {
            one.host.name: {
                "is_head": one is head,
                "command": _command(one, head.host),
                "notes": {
                    **notes,
                    "environment": purging.environment_of(one.host.python),
                    **self._issue(one),
                    **({"port": str(_HEAD_PORT)} if one is head else {}),
                },
                "agent_environment": {**WORKERS_ENVIRONMENT, **_let_in(one.folder)},
            }
            for one in record.started
        }
        files = {"lease.py": program("lease"), "node.py": Path(node.__file__).read_text()}
        told = {"program": program("places"), "files": files, "sign": STARTED, "seconds": _START_SECONDS}
        played = self._play("start", apart(record.started), told=told, each=each)
        if played.failures:  # without a head the others are of no use; those that worked before may go on
            failed = [one for one in new if {one.host.name, head.host.name} & set(played.failures)]
            self._keep(self._end(record, failed)[1])
        played.check("Starting the hosts")

    def _issue(self, one: Started) -> dict[str, str]:
        return self._authority.issue(one.host.name, [one.host.inside, *one.own, *certificates.LOOPBACK])

    def _end(self, record: Record, machines: Sequence[Started]) -> tuple[Endings, Record]:
        """End machines, and again those that are leaving; whatever is not seen to end is leaving from now on.

        It stays so until it answers, or its lease is over. Where this is interrupted, all can still be ended later.
        """
        named = apart([*machines, *(one.machine for one in record.leaving)])
        endings = Endings()
        answers, played = self._play("stop", named).answers() if named else ({}, Played({}, {}))
        for name, told in answers.items():
            endings.take(name, told)
        endings.silent |= {name: failure.said for name, failure in played.failures.items()}
        over = {one.machine.place for one in record.leaving if one.is_over}
        endings.believe_the_lease([name for name, one in named.items() if one.place in over])
        unseen = [one for name, one in named.items() if name not in endings.seen]
        return endings, record.left_by(machines, unseen=unseen)

    def _keep(self, record: Record) -> None:
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
        named: Mapping[str, Started],
        *,
        told: Mapping[str, object] | None = None,
        each: Mapping[str, Mapping[str, object]] | None = None,
    ) -> Played:
        """Run a playbook on hosts that were started, or are about to be; it calls them by these names."""
        known = {
            name: {"folder": one.folder, "python": one.host.python, **(each or {}).get(name, {})}
            for name, one in named.items()
        }
        hosts = [replace(one.host, name=name) for name, one in named.items()]
        return play(playbook, hosts, told=told or {}, each=known, below=self._folder)

    def renew(self) -> Renewed:
        """Renew the lease of every machine, side by side; one that does not answer is left to its lease."""
        record = recalled(self._folder)
        if record is None or not record.started:
            return Renewed((), 0.0)
        seconds = min(_RENEW_SECONDS, record.lease * _RENEW_SHARE)  # the others wait for the next
        lines = {
            one.host.name: [*marked(self._folder), *ssh.command(one.host, _renewal(one.folder))]
            for one in record.started
        }
        failed = {name: why for name, why in run_on_each(lines, seconds=seconds).items() if why}
        renewed = tuple(name for name in lines if name not in failed)
        return Renewed(renewed, record.lease, failed, self._authority.remark())

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
        record = recalled(self._folder) or Record()
        started = [*record.started, *(one.machine for one in record.leaving)]
        each = {one.place[:-1]: one for one in started}  # once on each host
        return lambda: self._purged(apart(list(each.values()))) if each else []

    def _purged(self, named: Mapping[str, Started]) -> Sequence[str]:
        answers, played = self._play("purge", named, told={"program": program("environments")}).answers()
        return list(purging.told(answers, played))


def _chosen(hosts: Sequence[Host], number: int, head: Host | None) -> Sequence[Host]:
    """Choose hosts: the head that lives, whatever its place in the file, then the first of the others."""
    is_head = {host.name: head is not None and (host.name, host.address) == (head.name, head.address) for host in hosts}
    return sorted(hosts, key=lambda host: not is_head[host.name])[:number]


def _silent(
    named: Mapping[str, Started],
    answers: Mapping[str, Mapping[str, Any]],
    failures: Mapping[str, Failure],
    *,
    started: Sequence[str],
) -> Iterator[tuple[str, str]]:
    """Say of each machine that cannot be listed what is the matter; those that were not ``started`` now are leaving."""
    for name in named:
        told = answers.get(name, {})
        before = "" if name in started else "it was to end, and "
        if name in failures:
            yield name, f"{before or 'it '}did not answer: {failures[name].said}"
        elif ENDED in told and not before:
            yield name, f"it has ended: {told[ENDED]}"
        elif told and ENDED not in told and before:
            yield name, f"{before}lives: the next muster up or muster down ends it, or its lease does"


def _facts(told: Mapping[str, Any]) -> dict[str, Any]:
    """Take the numbers that a host tells of its machine, whatever else it says."""
    names = ("lease", "left", "busy", "memory", "disk")
    return {name: told[name] for name in names if isinstance(told.get(name), int | float)}


def _renewal(folder: str) -> str:
    """Write the words of shell, of whichever shell it is, that renew a lease unless it is gone."""
    lease = shlex.quote(f"{folder}/lease")
    return f"test -e {lease} || exit {GONE}; touch -c {lease}"


def _me() -> str:
    return f"{getpass.getuser()}@{socket.gethostname()}"


def _command(one: Started, head: Host) -> list[str]:
    place = (
        ["--head", f"--port={_HEAD_PORT}", "--include-dashboard=false", "--no-monitor"]
        if one.host.name == head.name
        else [f"--address={joined(head.inside, _HEAD_PORT)}"]
    )
    return [
        *(one.host.python, "-P", f"{one.folder}/node.py", "start", "--block", "--disable-usage-stats", *place),
        *(f"--node-name={one.host.name}", f"--node-ip-address={one.host.inside}", f"--num-cpus={one.workers}"),
        *(f"--object-store-memory={_OBJECT_STORE_BYTES}", f"--temp-dir={SCRATCH}/ray"),
    ]


def _let_in(folder: str) -> dict[str, str]:
    return certificates.environment(folder, token=f"{folder}/token")


def _own(host: Host, looked: Mapping[str, Any]) -> Sequence[str]:
    """Believe a host where it says that it is only if nobody else can say: it might name another's address."""
    return tuple(looked["addresses"]) if host.inside in certificates.LOOPBACK else ()


def _placed(host: Host) -> Host:
    """Find out where other hosts find one: where ssh's settings say that it is. Raises ``UsageError``."""
    inside = host.inside or ssh.network_name(host)
    if reason := refusal(inside):
        raise UsageError(f"{host.name} is at {inside!r}, says {ssh.typed(host)!r}: {reason}, as inside: in the file.")
    if ":" in inside and not requirements.ray_knows_ipv6():
        raise UsageError(
            f"{host.name} is at {inside!r}, an IPv6 address, and the Ray of this computer is too old for those. Install"
            f" ray>={requirements.RAY_WITH_IPV6} here, or give an IPv4 address, as inside: where SSH uses another."
        )
    return replace(host, inside=shortest(inside))
