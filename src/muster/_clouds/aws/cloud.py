"""Machines of AWS, which live for as long as one cluster does: Pulumi makes them, SSH drives them.

What is made bears tags that find it without any record. A machine that nobody renews powers itself off, and AWS takes
it back then.
"""

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from time import monotonic
from typing import Final

from muster._clouds.asked import RentalFlags
from muster._clouds.base import (
    Access,
    Census,
    Existing,
    Renewals,
    Seen,
    Wanted,
    check_lease,
    nobody_works,
    seconds_to_renew,
)
from muster._clouds.over_ssh import requirements
from muster._clouds.over_ssh.inventory import Host, Inventory
from muster._clouds.over_ssh.machines import SshMachines
from muster._words import text_of
from muster.errors import EngineError, MusterError, UsageError

from . import booting, remains, removal, tools
from .asking import client, region_of
from .blueprint import Made
from .choosing import places, ssh_from
from .leases import tell_renewed
from .making import UP_SECONDS, Making
from .note import Note, begun, forget, owner, recalled, remember
from .placement import Placement
from .preview import preview
from .reached import addresses_of, hosts_of, named, write_host_keys
from .renewals import note_renewed
from .settings import Settings, settings_in
from .states import check_state
from .unanswered import with_who_is_let_in
from .unfinished import unfinished

_LEAST_LEASE: Final = 30.0
"""A machine of AWS is reached some seconds after it has begun to count."""


class AwsCloud:
    """The machines of one cluster in one region."""

    def __init__(self, folder: Path, file: Path | None, *, asked: RentalFlags) -> None:
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
        if note and note.is_for_image:
            raise UsageError(
                f"Cluster {self._folder.name!r} is a machine that muster image build has made, and not for runs. Type"
                f" another name; muster down {self._folder.name} ends that machine."
            )
        settings = self._settings(note)
        tools.found_command()
        region = region_of(settings.region or (note.region if note else ""))
        if note and region != note.region:
            raise UsageError(
                f"Cluster {self._folder.name!r} is in {note.region}, not in {region}. First type muster down"
                f" {self._folder.name}."
            )
        if note and settings.state != note.settings.state:
            kept = note.settings.state or "its folder"
            raise UsageError(
                f"Pulumi's state of cluster {self._folder.name!r} lies in {kept}, not in"
                f" {settings.state or 'its folder'}. Write state: as it was, or first type muster down"
                f" {self._folder.name}."
            )
        if self._asked.ready_within is not None and self._asked.ready_within <= 0:
            raise UsageError("--ready-within 0s: no machine is ready at once. Type for example --ready-within 10m.")
        requirements.packages(settings.packages)  # before machines are made that could not have them
        check_state(settings.state, region)
        if self._asked.at_least is not None and not 1 <= self._asked.at_least <= wanted.machines:
            raise UsageError(
                f"--at-least {self._asked.at_least}: it must be from 1 to {wanted.machines}, which --machines says."
            )

    def scale(self, wanted: Wanted, *, alone: Callable[[], None] = nobody_works) -> Seen:
        """Make or end machines until as many as are wanted work; tell what was seen.

        Raises ``EngineError``, ``UsageError``.
        """
        before = recalled(self._folder)
        making = Making(self._folder, self._begun(before, wanted))
        found = self._places(making.note)
        # Whoever travels calls from another address than before.
        making.note = replace(making.note, ssh_from=ssh_from(found[0], making.note.region, making.note.settings))
        living = making.living() if before else {}
        self._living = addresses_of(living)
        heads = [host.name for host in self._machines.hosts()[:1] if host.name in living]
        names = named(living, wanted.machines, heads=heads)
        if changes := making.preview(names, found[0]):
            self._asked.agree(preview(making.note, found, names, changes, living=living))
        # The time counts from here: whoever was asked may have thought it over.
        within = self._asked.ready_within
        deadline = monotonic() + (UP_SECONDS if within is None else within)
        making = Making(self._folder, remember(self._folder, making.note), self._asked.at_least, deadline)
        try:
            if is_fewer := set(names) < set(living):  # what is dismissed leaves Ray before it ends
                seen = self._start(making.note, {name: living[name] for name in names}, wanted, alone, until=deadline)
            if changes or making.note.is_unsure or set(making.note.made) != set(names):
                making.make(names, found)
            if not is_fewer:
                lost = self._booted(making, living)
                ready = {name: one for name, one in making.note.made.items() if name not in lost}
                self._living = addresses_of(ready)
                seen = self._start(making.note, ready, wanted, alone, until=deadline)
                making, seen = self._without(lost, making, seen)
        except Exception as error:
            if monotonic() > deadline:
                error.add_note("More time to become ready is given with --ready-within, such as 20m.")
            self._undo(making, error)
            raise
        self._note_number(making)
        return self._with_unfinished(seen)

    def _start(
        self, note: Note, made: Mapping[str, Made], wanted: Wanted, alone: Callable[[], None], *, until: float
    ) -> Seen:
        """Have Ray on these machines, and no others."""
        inventory = Inventory(tuple(hosts_of(self._folder, note, made)), note.settings.packages)
        return self._machines.scale(replace(wanted, machines=len(made)), inventory, alone=alone, until=until)

    def _booted(self, making: Making, living: Mapping[str, Made]) -> Mapping[str, str]:
        """Wait for the machines that are new; where fewer will do, tell which have failed, and why."""
        made, at_least = making.note.made, self._asked.at_least
        write_host_keys(self._folder, [*self._machines.hosts(), *hosts_of(self._folder, making.note, made)])
        return booting.await_ready(
            making,
            hosts_of(self._folder, making.note, {name: one for name, one in made.items() if living.get(name) != one}),
            spare=0 if at_least is None else len(made) - at_least,
        )

    def _without(self, lost: Mapping[str, str], making: Making, seen: Seen) -> tuple[Making, Seen]:
        """End those that have failed, once the others work: those must not wait for that."""
        if not lost or (place := making.note.place) is None:
            return making, seen
        making = Making(self._folder, making.note)  # which has time to end them
        making.make([name for name in making.note.made if name not in lost], [place])
        allowed = f"It is ended, as --at-least {self._asked.at_least} allows."
        return making, replace(seen, silent={**seen.silent, **{name: f"{why} {allowed}" for name, why in lost.items()}})

    def _note_number(self, making: Making) -> None:
        """Remember how many there are, which may be fewer than were wanted."""
        making.note = remember(
            self._folder, replace(making.note, wanted=replace(making.note.wanted, machines=len(making.note.made)))
        )

    def seen(self) -> Seen:
        """List the machines that live, the head first."""
        return self._with_unfinished(self._machines.seen())

    def _with_unfinished(self, seen: Seen) -> Seen:
        if (note := recalled(self._folder)) is None:
            return seen
        started = {host.inside for host in self._machines.hosts()}
        silent = with_who_is_let_in(seen.silent, note, cluster=self._folder.name)
        return replace(seen, silent={**silent, **unfinished(note, started, cluster=self._folder.name)})

    def renew(self) -> Renewals:
        """Renew the lease of every machine, also of those that are not equipped yet."""
        note = recalled(self._folder)
        if note is None:
            return self._machines.renew()
        booting_now = self._renew_booting(note)
        renewed = self._machines.renew()
        alive, lease = {*booting_now, *renewed.machines}, renewed.lease or note.wanted.lease
        note_renewed(self._folder, [one.instance for name, one in note.made.items() if name in alive], lease=lease)
        remark = self._say_so(note, alive, lease=lease)
        return replace(renewed, remark=remark or renewed.remark)

    def _renew_booting(self, note: Note) -> list[str]:
        """Renew the lease of machines that are not started yet; name those where that was possible."""
        started = {host.outside for host in self._machines.hosts()}
        hosts = [host for host in hosts_of(self._folder, note, note.made) if host.outside not in started]
        failed = booting.renewed(hosts, seconds=seconds_to_renew(note.wanted.lease)) if hosts else {}
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
        self._living = addresses_of({name: one for name, one in note.made.items() if one.instance in there})
        lines, now = self._stopped(), time.time()
        ended = removal.removed(making)
        told = removal.told(making, ended, now=now)
        self._living = frozenset()
        self._machines.destroy()
        remark = making.forget_state()
        forget(self._folder)
        closing = [told, *filter(None, [remark])]
        for text in closing:
            self._asked.tell(text)
        return [*lines, *closing]

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
        """Make out how machines shall be: as flags say, then as the file says anew; all else as it was."""
        in_file = self._in_file(note)
        return (note.settings.changed(note.in_file, in_file) if note else in_file).but(self._asked)

    def _in_file(self, note: Note | None) -> Settings:
        """Read the file; one that is gone by now says what it said last."""
        if self._file is not None and (self._file.is_file() or note is None):
            return settings_in(self._file)
        return note.in_file if note else Settings()

    def _begun(self, before: Note | None, wanted: Wanted) -> Note:
        settings, in_file = self._settings(before), self._in_file(before)
        if before is None:
            return begun(settings, region_of(settings.region), wanted, in_file=in_file)
        return replace(before, settings=settings, in_file=in_file, wanted=wanted)

    def _places(self, note: Note) -> list[Placement]:
        """List where machines can be made: all of a cluster in one zone, the one that they are in."""
        found = places(note.region, note.settings)
        if note.place is None or not note.made:
            return found
        # What AWS has refused of spot machines once would be refused again, and change their template each time.
        is_heard = note.place.says_terminate or not note.place.is_spot
        inside = [one for one in found if one.subnet == note.place.subnet]
        here = [replace(one, says_terminate=is_heard or not one.is_spot) for one in inside]
        if not here:
            raise UsageError(
                f"The machines of cluster {self._folder.name!r} are in {note.place.zone}, and cannot be had there as"
                f" that is asked for. Leave zone:, vpc: and subnet: as they were, or first type muster down"
                f" {self._folder.name}."
            )
        return here

    def _is_gone(self, host: Host) -> bool:
        return self._living is not None and host.inside not in self._living

    def _undo(self, making: Making, error: Exception) -> None:
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
            removal.removed(making)
            self._living = frozenset()
            self._machines.destroy()
            if remark := making.forget_state():
                error.add_note(remark)
            forget(self._folder)
        except (MusterError, OSError) as failure:
            error.add_note(f"Nor could all that was made be removed: {text_of(failure)}")


def _existing(one: remains.Remain) -> Existing:
    tags = one.tags
    return Existing(
        name=one.id,
        cluster=one.cluster,
        owner=tags.get(remains.OWNER, ""),
        home=tags.get(remains.HOME, ""),
        since=one.since,
        lease=_lease_of(one),
    )


def _lease_of(one: remains.Remain) -> float:
    try:
        return float(one.tags.get(remains.LEASE, ""))
    except ValueError:
        return 0.0
