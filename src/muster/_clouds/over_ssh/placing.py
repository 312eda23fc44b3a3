"""Which hosts of an inventory are used, and where the cluster finds each and knows it by."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from muster._files.whole import write
from muster._urls.addresses import refusal, shortest
from muster.errors import UsageError

from . import requirements, ssh
from .inventory import Host
from .record import ClusterRecord


def chosen(hosts: Sequence[Host], number: int, head: Host | None) -> Sequence[Host]:
    """Choose hosts: the head that lives, whatever its place in the inventory, then the first of the others."""

    def is_head(host: Host) -> bool:
        return head is not None and (host.name, host.outside) == (head.name, head.outside)

    return sorted(hosts, key=lambda host: not is_head(host))[:number]


def placed(hosts: Sequence[Host], record: ClusterRecord, folder: Path) -> Sequence[Host]:
    """Find out where hosts find each other, and write their keys into the folder. Raises ``UsageError``.

    Keys of hosts that were started and are not named any more are written too, or nobody could end those.
    """
    started = [*record.started, *(one.machine for one in record.leaving)]
    known_hosts = folder / "known_hosts"
    keys = {host.outside: host.host_key for host in (*(one.host for one in started), *hosts) if host.host_key}
    write(known_hosts, "".join(f"{address} {key}\n" for address, key in keys.items()), durable=True)
    return [_placed(replace(host, known_hosts=str(known_hosts)) if host.host_key else host) for host in hosts]


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
