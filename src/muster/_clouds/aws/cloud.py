"""Machines of AWS, which live for as long as one cluster does: Pulumi makes them, SSH drives them.

What is made bears tags that find it without any record. A machine that nobody renews powers itself off, and AWS takes
it back then.
"""

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import AbstractContextManager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Final

from muster._clouds.asked import Asked
from muster._clouds.base import Access, Census, Existing, Renewed, Seen, Wanted, check_lease, nobody_works
from muster._clouds.over_ssh.inventory import Host, Inventory
from muster._clouds.over_ssh.machines import SshMachines
from muster._files.whole import write
from muster._words import plural
from muster.errors import EngineError, MusterError, UsageError

from . import booting, remains, tools
from .asking import client, region_of
from .blueprint import Changes, Made
from .choosing import places, ssh_from
from .keys import key_of
from .leases import tell_renewed
from .making import Making, price_at, with_found
from .note import Note, Place, begun, forget, owner, recalled, remember
from .renewals import latest_ends, note_renewed
from .rentals import bill, ended_by_now
from .settings import Settings, settings_in
from .user_data import NOTICE

_LEAST_LEASE: Final = 30.0
"""A machine of AWS is reached some seconds after it has begun to count."""

_RENEW_SECONDS: Final = 20.0
_RENEW_SHARE: Final = 0.25


class AwsCloud:
    """The machines of one cluster in one region."""

    def __init__(self, folder: Path, file: Path | None, *, asked: Asked) -> None:
        """Know a cluster by its folder; ``file`` and ``asked`` say how its machines shall be. Nothing happens yet."""
        self._folder, self._file, self._asked = folder, file, asked
        self._living: frozenset[str] | None = None
        """Addresses of the machines that live, once AWS was asked."""
        self._machines = SshMachines(folder, is_gone=self._is_gone)

    def last(self) -> Wanted | None:
        """Tell what was wanted last."""
        note = recalled(self._folder)
        return note.wanted if note else None

    def check(self, wanted: Wanted) -> None:
        """Look whether the command and the file are right. Raises ``UsageError``; ``EngineError`` without Pulumi."""
        check_lease(wanted, least=_LEAST_LEASE)
        note = recalled(self._folder)
        settings = self._settings(note)
        tools.found_command()
        region = region_of(settings.region or (note.region if note else ""))
        if note and region != note.region:
            raise UsageError(
                f"Cluster {self._folder.name!r} is in {note.region}, not in {region}. First type muster down"
                f" {self._folder.name}."
            )
        if self._asked.at_least is not None and not 1 <= self._asked.at_least <= wanted.machines:
            raise UsageError(
                f"--at-least {self._asked.at_least}: it must be from 1 to {wanted.machines}, which --machines says."
            )

    def scale(self, wanted: Wanted, *, alone: Callable[[], None] = nobody_works) -> Seen:
        """Make or end machines until as many as are wanted work; tell what was seen.

        Raises ``EngineError``, ``UsageError``.
        """
        before = recalled(self._folder)
        making = Making(self._folder, self._begun(before, wanted), self._asked.at_least)
        found = self._places(making.note)
        # Whoever travels calls from another address than before.
        making.note = replace(making.note, ssh_from=ssh_from(found[0], making.note.region, making.note.settings))
        living = making.living() if before else {}
        self._living = _addresses(living)
        names = self._names(living, wanted.machines)
        if changes := making.preview(names, found[0]):
            self._asked.agree(_preview(making.note, found[0], names, changes))
        making = Making(self._folder, remember(self._folder, making.note), self._asked.at_least)
        try:
            if is_fewer := set(names) < set(living):  # what is dismissed leaves Ray before it ends
                seen = self._start(making.note, {name: living[name] for name in names}, wanted, alone)
            if changes or making.note.is_unsure or set(making.note.made) != set(names):
                making.make(names, found)
            if not is_fewer:
                self._living = _addresses(making.note.made)
                self._boot(making, living)
                seen = self._start(making.note, making.note.made, wanted, alone)
        except MusterError as error:
            self._undo(making, error)
            raise
        self._note_number(making)
        return self._with_unfinished(seen)

    def _start(self, note: Note, made: Mapping[str, Made], wanted: Wanted, alone: Callable[[], None]) -> Seen:
        """Have Ray on these machines, and no others."""
        inventory = Inventory(tuple(self._hosts(note, made)), note.settings.packages)
        return self._machines.scale(replace(wanted, machines=len(made)), inventory, alone=alone)

    def _boot(self, making: Making, living: Mapping[str, Made]) -> None:
        """Wait for the machines that are new."""
        new = {name: made for name, made in making.note.made.items() if living.get(name) != made}
        self._write_host_keys(self._hosts(making.note, making.note.made))
        hosts = self._hosts(making.note, new)
        booting.await_ready(hosts, lease=making.note.lease, deadline=making.deadline, living=making.living)

    def _write_host_keys(self, hosts: Sequence[Host]) -> None:
        known = {host.outside: host.host_key for host in (*self._machines.hosts(), *hosts)}
        lines = [f"{address} {key}\n" for address, key in known.items()]
        write(self._folder / "known_hosts", "".join(lines), durable=True)

    def _note_number(self, making: Making) -> None:
        """Remember how many there are, which may be fewer than were wanted."""
        making.note = remember(self._folder, replace(making.note, machines=len(making.note.made)))

    def seen(self) -> Seen:
        """List the machines that live, the head first."""
        return self._with_unfinished(self._machines.seen())

    def _with_unfinished(self, seen: Seen) -> Seen:
        note = recalled(self._folder)
        return replace(seen, silent={**seen.silent, **self._unfinished(note)}) if note else seen

    def _unfinished(self, note: Note) -> Mapping[str, str]:
        """Say what was asked for and does not work, though it may cost."""
        name, started = self._folder.name, {host.inside for host in self._machines.hosts()}
        what_now = f"muster up {name} --machines N finishes that, muster down {name} ends it"
        told = {
            one: f"it was made, and does not work yet: it boots, or muster up was interrupted, and it ends with its"
            f" lease; {what_now}"
            for one, made in note.made.items()
            if made.inside not in started
        }
        if note.is_unsure:
            told["AWS"] = (
                "machines were asked for, and what came of that is not known yet: a command is at it, or was"
                f" interrupted; {what_now}"
            )
        return told

    def renew(self) -> Renewed:
        """Renew the lease of every machine, also of those that are not equipped yet."""
        note = recalled(self._folder)
        if note is None:
            return self._machines.renew()
        booting_now = self._renew_booting(note)
        renewed = self._machines.renew()
        alive, lease = {*booting_now, *renewed.machines}, renewed.lease or note.lease
        note_renewed(self._folder, [one.instance for name, one in note.made.items() if name in alive], lease=lease)
        remark = self._say_so(note, alive, lease=lease)
        return replace(renewed, remark=remark or renewed.remark)

    def _renew_booting(self, note: Note) -> list[str]:
        """Renew the lease of machines that are not started yet; name those where that was possible."""
        started = {host.outside for host in self._machines.hosts()}
        hosts = [host for host in self._hosts(note, note.made) if host.outside not in started]
        failed = booting.renewed(hosts, seconds=min(_RENEW_SECONDS, note.lease * _RENEW_SHARE)) if hosts else {}
        return [name for name, why in failed.items() if not why]

    def _say_so(self, note: Note, renewed: Collection[str], *, lease: float) -> str:
        """Have AWS know which leases were renewed, for a sweep that has nothing else to go by; say why not."""
        instances = [one.instance for name, one in note.made.items() if name in renewed]
        return tell_renewed(note.region, instances, lease=lease) if instances else ""

    def access(self) -> AbstractContextManager[Access]:
        """Tell how to run a driver on the head, through SSH. Raises ``EngineError`` when there is none."""
        return self._machines.access()

    def destroy(self) -> Sequence[str]:
        """End all machines, remove all that was made, and look whether anything is left. Raises ``EngineError``."""
        note = recalled(self._folder)
        if note is None:
            return self._machines.destroy()
        making = Making(self._folder, note)
        try:
            there = {one.id for one in making.there()}
        except EngineError as error:
            self._stopped()
            error.add_note(
                "Its machines were asked over SSH to stop. They end with their lease, or when you type this again."
            )
            raise
        self._living = _addresses({name: one for name, one in note.made.items() if one.instance in there})
        lines, now = self._stopped(), time.time()
        ended = self._removed(making)
        rentals = ended_by_now(
            with_found(note, ended), [one.id for one in ended], now=now, latest=latest_ends(self._folder)
        )
        self._living = frozenset()
        self._machines.destroy()
        forget(self._folder)
        told = f"AWS, {note.region}: {plural(len(ended), 'machine')} ended, 0 left, and nothing else of the cluster"
        return [*lines, f"{told}; {bill(rentals, now)} for {plural(len(rentals), 'machine')} since they were asked for"]

    def _stopped(self) -> Sequence[str]:
        """Have what answers stop; AWS ends the rest."""
        try:
            return self._machines.destroy()
        except EngineError:
            return []

    def purging(self) -> Callable[[], Sequence[str]]:
        """Know that nothing need be removed: what was installed on machines has ended with them."""
        return list

    def census(self) -> Census:
        """Ask AWS which machines of this user's there are, of whichever cluster. Raises ``UsageError``."""
        note = recalled(self._folder)
        region = region_of(self._settings(note).region or (note.region if note else ""))
        try:
            found = remains.look(client("ec2", region), owner())
        except EngineError as error:
            return Census(unseen={region: str(error)})
        return Census(tuple(_existing(one) for one in found if one.is_machine))

    # Parts

    def _settings(self, note: Note | None) -> Settings:
        if self._file is not None and (self._file.is_file() or note is None):
            said = settings_in(self._file).but(self._asked)
            return replace(said, workers=said.workers or (note.settings.workers if note else None))
        return (note.settings if note else Settings()).but(self._asked)

    def _begun(self, before: Note | None, wanted: Wanted) -> Note:
        settings = self._settings(before)
        if before is None:
            return begun(settings, region_of(settings.region), wanted)
        return replace(before, settings=settings, machines=wanted.machines, workers=wanted.workers, lease=wanted.lease)

    def _places(self, note: Note) -> list[Place]:
        """List where machines can be made: all of a cluster in one zone, the one that they are in."""
        found = places(note.region, note.settings)
        if note.place is None or not note.made:
            return found
        here = [one for one in found if one.subnet == note.place.subnet]
        if not here:
            raise UsageError(
                f"The machines of cluster {self._folder.name!r} are in {note.place.zone}, and cannot be had there as"
                f" that is asked for. Leave zone:, vpc: and subnet: as they were, or first type muster down"
                f" {self._folder.name}."
            )
        return here

    def _names(self, living: Mapping[str, Made], number: int) -> list[str]:
        """Name the machines that shall be: those that live, the head first, then new ones."""
        heads = [host.name for host in self._machines.hosts()[:1] if host.name in living]
        kept = [*heads, *(name for name in sorted(living, key=_number) if name not in heads)][:number]
        at = 1
        while len(kept) < number:
            if (name := f"m{at}") not in living:
                kept.append(name)
            at += 1
        return sorted(kept, key=_number)

    def _hosts(self, note: Note, made: Mapping[str, Made]) -> list[Host]:
        key = key_of(self._folder / "key")
        near = bool(note.place and note.place.is_near)
        return [
            Host(
                name,
                outside=one.inside if near else one.outside or one.inside,
                inside=one.inside,
                user="root",
                key=str(key.path),
                host_key=key_of(self._folder / "host_key").public,
                known_hosts=str(self._folder / "known_hosts"),
                ssh_config="none",
                proxy_command=note.settings.ssh_proxy_command,
                python=note.settings.python,
                workers=note.settings.workers or note.cores.get(one.type),
                notice=NOTICE if note.settings.is_spot else "",
                price=(rental.price if (rental := note.rentals.get(one.instance)) else None) or 0.0,
            )
            for name, one in sorted(made.items(), key=lambda item: _number(item[0]))
        ]

    def _is_gone(self, host: Host) -> bool:
        return self._living is not None and host.inside not in self._living

    def _undo(self, making: Making, error: MusterError) -> None:
        """End those that were just made and are of no use; those that work stay."""
        making = Making(self._folder, making.note)
        started = {host.inside for host in self._machines.hosts()}
        try:
            living = making.living() if started else {}
            kept = [name for name, one in living.items() if one.inside in started]
            if kept and making.note.place:
                making.make(kept, [making.note.place])
                self._note_number(making)
                return
            self._removed(making)
            self._living = frozenset()
            self._machines.destroy()
            forget(self._folder)
        except MusterError as failure:
            error.add_note(f"Nor could all that was made be removed: {failure}")

    def _removed(self, making: Making) -> Sequence[remains.Remain]:
        """Remove all of the cluster, and look whether it is gone; tell which machines that were.

        Raises ``EngineError``. What Pulumi does not know of, or cannot remove, is found by its tag.
        """
        ec2, note = client("ec2", making.note.region), making.note
        seen = list(making.there())
        with suppress(EngineError):  # as the look says better what is left
            making.destroy()
        seen += (there := making.there())
        failed = remains.remove(ec2, there)
        pause = max(0.0, note.begun + remains.LATE_SECONDS - time.time())
        left = remains.left(ec2, note.owner, besides=note.mark, pause=pause)
        if left:
            seen += left
            remains.remove(ec2, left)
            left = making.there()
        if left:
            told = "\n".join(f"  {one.kind} {one.id}: {failed.get(one.id, 'it is there still.')}" for one in left)
            raise EngineError(
                f"Not all of cluster {self._folder.name!r} is gone from {note.region}:\n{told}\nIts machines end by"
                f" themselves within {note.lease:g} s. Type the command again."
            )
        return list({one.id: one for one in seen if one.is_machine}.values())


def _number(name: str) -> int:
    return int(name.removeprefix("m"))


def _addresses(made: Mapping[str, Made]) -> frozenset[str]:
    return frozenset(one.inside for one in made.values())


def _preview(note: Note, place: Place, names: Sequence[str], changes: Changes) -> str:
    told = {"made": changes.made, "changed": changes.changed, "replaced": changes.replaced, "removed": changes.removed}
    what = ", ".join(f"{number} {word}" for word, number in told.items() if number)
    return (
        f"AWS, {note.region}: {plural(len(names), 'machine')} ({place}), {_together(note, place, len(names))}, SSH from"
        f" {', '.join(note.ssh_from)}; of Pulumi's resources, {what}."
    )


def _together(note: Note, place: Place, number: int) -> str:
    """Write what so many machines cost there."""
    price = price_at(note.region, place)
    if price.dollars is None:
        return str(price)
    return f"${number * price.dollars:,.4g} an hour ({price.source})"


def _existing(one: remains.Remain) -> Existing:
    tags = one.tags
    return Existing(
        one.id, one.cluster, tags.get(remains.OWNER, ""), tags.get(remains.HOME, ""), one.since, _lease_of(one)
    )


def _lease_of(one: remains.Remain) -> float:
    try:
        return float(one.tags.get(remains.LEASE, ""))
    except ValueError:
        return 0.0
