"""How the machines of a cluster are reached: each as a host that SSH knows by the cluster's own key."""

from collections.abc import Collection, Iterable, Mapping
from pathlib import Path

from muster._clouds.over_ssh.inventory import Host
from muster._files.whole import write

from .blueprint import Made
from .keys import key_of
from .note import Note
from .user_data import NOTICE


def hosts_of(folder: Path, note: Note, made: Mapping[str, Made]) -> list[Host]:
    """Tell how to reach machines, in the order of their numbers."""
    key = key_of(folder / "key")
    near = bool(note.place and note.place.is_near)
    return [
        Host(
            name,
            outside=made[name].inside if near else made[name].outside or made[name].inside,
            inside=made[name].inside,
            user="root",
            key=str(key.path),
            host_key=key_of(folder / "host_key").public,
            known_hosts=str(folder / "known_hosts"),
            ssh_config="none",
            proxy_command=note.settings.ssh_proxy_command,
            python=note.settings.python,
            workers=note.settings.workers or note.cores.get(made[name].type),
            notice=NOTICE if note.settings.is_spot else "",
            price=rental.price if (rental := note.rentals.get(made[name].instance)) else None,
        )
        for name in in_order(made)
    ]


def write_host_keys(folder: Path, hosts: Iterable[Host]) -> None:
    """Have ssh know these hosts, and no others."""
    keys = {host.outside: host.host_key for host in hosts}
    write(folder / "known_hosts", "".join(f"{address} {key}\n" for address, key in keys.items()), durable=True)


def addresses_of(made: Mapping[str, Made]) -> frozenset[str]:
    """List where the cluster's machines find each other."""
    return frozenset(one.inside for one in made.values())


def named(living: Collection[str], number: int, *, heads: Collection[str]) -> list[str]:
    """Name so many machines: those that live, the head first, then new ones."""
    kept = [*heads, *(name for name in in_order(living) if name not in heads)][:number]
    at = 1
    while len(kept) < number:
        if (name := f"m{at}") not in living:
            kept.append(name)
        at += 1
    return in_order(kept)


def in_order(names: Iterable[str]) -> list[str]:
    """Sort names of machines by their numbers: ``m2`` before ``m10``."""
    return sorted(names, key=lambda name: int(name.removeprefix("m")))
