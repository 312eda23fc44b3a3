"""The machines of one cluster on a fake cloud: they keep the contract of ``base.Cloud``."""

import contextlib
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from math import inf
from pathlib import Path
from typing import Final

from muster._clouds.base import (
    ENDED,
    RENEWALS_A_LEASE,
    Access,
    Census,
    Machine,
    Renewals,
    Seen,
    Wanted,
    check_lease,
    nobody_works,
    reading_note,
)
from muster._clouds.endings import Endings
from muster._clouds.plugged import PRETENDED_NOTE
from muster._files import notes
from muster._private.files import own_folder
from muster.errors import EngineError

from .instance import LEASE_OVER, Instance
from .region import Region

_LEAST_LEASE: Final = 1.0
"""By the fake's own clock, which nobody waits for."""

_SILENT: Final = "it does not answer."


@dataclass(frozen=True, slots=True)
class _FakeRecord:
    """What is remembered of a cluster: its machines by number, the head first, and those that were to end."""

    workers: int
    lease: float
    machines: Sequence[int] = ()
    leaving: Sequence[int] = ()


class FakeMachines:
    """The cloud of one cluster, made anew for each command: what it knows lies in the cluster's folder."""

    def __init__(self, region: Region, folder: Path) -> None:
        """Know a cluster by its folder."""
        self._region = region
        self._folder = folder
        self._path = folder / PRETENDED_NOTE

    # What is there

    def last(self) -> Wanted | None:
        """Tell what was wanted last."""
        record = self._record()
        return None if record is None else Wanted(len(record.machines), record.workers, record.lease)

    def check(self, wanted: Wanted) -> None:
        """Find a lease too short or too long. Raises ``UsageError``."""
        check_lease(wanted, least=_LEAST_LEASE)

    def seen(self) -> Seen:
        """List the machines that live and answer, the head first."""
        record = self._record() or _FakeRecord(0, 0.0)
        machines, silent = [], {}
        for number in record.machines:
            one = self._instance(number)
            if one is None or (not one.lives and one.why == LEASE_OVER):
                continue
            if not one.lives:
                silent[one.name] = f"it has ended: {one.why}"
            elif not one.answers:
                silent[one.name] = f"it did not answer: {_SILENT}"
            else:
                machines.append(self._machine(one))
        for one in self._living(record.leaving):
            silent[one.name] = f"it was to end, and {'lives' if one.answers else f'did not answer: {_SILENT}'}"
        return Seen(tuple(machines), silent)

    def _machine(self, one: Instance) -> Machine:
        left = one.ends - self._region.clock.seconds
        return Machine(one.name, "", one.workers, one.head is None, lease=one.lease, left=left, price=one.price)

    @contextlib.contextmanager
    def access(self) -> Iterator[Access]:
        """Tell what a run needs to know. Raises ``EngineError`` when the head does not live."""
        machines = self.seen().machines
        if not any(machine.is_head for machine in machines):
            raise EngineError("The cluster's head does not live any more. Make the cluster again with muster up.")
        yield Access(
            "",
            {},
            workers=sum(machine.workers for machine in machines),
            python="",
            prices={machine.name: machine.price for machine in machines if machine.price != 0},
            make_engine=self._region.make_engine,
            is_pretended=True,
        )

    def census(self) -> Census:
        """Ask the cloud for all machines, of whichever cluster."""
        return self._region.census()

    # What changes it

    def scale(self, wanted: Wanted, *, alone: Callable[[], None] = nobody_works) -> Seen:
        """Make or end machines until as many as are wanted live; tell what was seen.

        Raises ``EngineError``, ``UsageError``.
        """
        self.check(wanted)
        record = self._record() or _FakeRecord(wanted.workers, wanted.lease)
        staying = self._staying(record, wanted, alone)[: wanted.machines]
        record, endings = self._end(record, [number for number in record.machines if number not in staying])
        record = replace(record, workers=wanted.workers, lease=wanted.lease)
        for one in self._living(staying):
            one.lease, one.renewed = wanted.lease, self._region.clock.seconds
        self._make(record, wanted.machines - len(staying))
        endings.check(wanted.lease)
        return self.seen()

    def _staying(self, record: _FakeRecord, wanted: Wanted, alone: Callable[[], None]) -> list[int]:
        """Name the machines that may go on, the head first: none where that is gone, or all must start anew."""
        living = self._living(record.machines)
        if not living or living[0].number != record.machines[0] or not living[0].answers:
            return []
        if record.workers != wanted.workers:
            alone()
            return []
        return [one.number for one in living]

    def _make(self, record: _FakeRecord, number: int) -> None:
        """Make so many machines, noted before they are, and wait for them; end those that do not boot."""
        used = {*record.machines, *record.leaving}
        free = [one for one in range(1, 1 + number + len(used)) if one not in used][:number]
        record = replace(record, machines=(*record.machines, *free))
        self._note(record)
        refused = {one: why for one in free if (why := self._refused(record, one))}
        silent = {one.number: _SILENT for one in self._living(record.machines) if not one.answers}
        failed = {**silent, **refused, **self._boot([one for one in free if one not in refused])}
        if failed:
            head = record.machines[0]
            self._note(self._end(record, free if head in failed else [one for one in free if one in failed])[0])
            lines = "".join(f"\n  machine {one}: {why}" for one, why in failed.items())
            raise EngineError(f"Machines did not start:{lines}\nMend that, or ask for fewer; then type it again.")

    def _refused(self, record: _FakeRecord, number: int) -> str:
        """Make a machine; say why not, where it is refused."""
        head = self._instance(record.machines[0]) if number != record.machines[0] else None
        try:
            self._region.make(self._folder, number, workers=record.workers, lease=record.lease, head=head)
        except EngineError as error:
            return str(error)
        return ""

    def _boot(self, numbers: Sequence[int]) -> dict[int, str]:
        """Wait for machines, and renew all meanwhile, as others do beside an ``up``; tell which did not boot."""
        clock, patience = self._region.clock, self._region.patience
        booting = [one for one in map(self._instance, numbers) if one is not None]
        until = max((min(one.boots, one.made + patience) for one in booting), default=clock.seconds)
        while clock.seconds < until:
            clock.reach(min(until, clock.seconds + min(one.lease for one in booting) / RENEWALS_A_LEASE))
            self.renew()
        return {
            one.number: one.why or f"it did not boot within {patience:g} s."
            for one in booting
            if one.boots > clock.seconds or not one.lives
        }

    def renew(self) -> Renewals:
        """Renew every machine that lives and answers."""
        record, now = self._record(), self._region.clock.seconds
        if record is None or not record.machines:
            return Renewals((), 0.0)
        machines = {f"machine {number}": self._instance(number) for number in record.machines}
        failed = {
            name: ENDED if one is None or not one.lives else _SILENT
            for name, one in machines.items()
            if one is None or not one.lives or not one.answers
        }
        notices = {}
        for name, one in machines.items():
            if one is not None and name not in failed:
                one.renewed = now
                if one.taken < inf:
                    notices[name] = one.taken - now
        prices = {name: one.price for name, one in machines.items() if one is not None and one.price != 0}
        renewed = tuple(name for name in machines if name not in failed)
        return Renewals(renewed, record.lease, failed, prices=prices, notices=notices)

    def destroy(self) -> Sequence[str]:
        """End all machines. Raises ``EngineError`` where one does not answer; it is still known then."""
        record = self._record()
        if record is None:
            return []
        record, endings = self._end(record, record.machines)
        self._note(record)
        endings.check(record.lease)
        return endings.lines()

    def purging(self) -> Callable[[], Sequence[str]]:
        """Have nothing to remove."""
        return list

    def _end(self, record: _FakeRecord, numbers: Sequence[int]) -> tuple[_FakeRecord, Endings]:
        """End machines, and again those that are leaving; remember those that were not seen to end."""
        endings, leaving = Endings(), []
        living = {one.number: one for one in self._living(dict.fromkeys([*numbers, *record.leaving]))}
        for number in dict.fromkeys([*numbers, *record.leaving]):
            one = living.get(number)
            if one is not None and not one.answers:
                endings.silent[one.name] = _SILENT
                leaving.append(number)
            else:
                endings.take(f"machine {number}", {"ended": int(one is not None)})
                if one is not None:
                    one.end(self._region.clock.seconds, "it was dismissed")
        machines = tuple(number for number in record.machines if number not in numbers)
        return replace(record, machines=machines, leaving=tuple(leaving)), endings

    def _instance(self, number: int) -> Instance | None:
        """Find the newest machine of this cluster with that number."""
        mine = [one for one in self._region.instances() if one.cluster == self._folder and one.number == number]
        return mine[-1] if mine else None

    def _living(self, numbers: Iterable[int]) -> list[Instance]:
        return [one for one in map(self._instance, numbers) if one is not None and one.lives]

    def _record(self) -> _FakeRecord | None:
        with contextlib.suppress(FileNotFoundError), reading_note(self._path):
            return _FakeRecord(**json.loads(self._path.read_text()))
        return None

    def _note(self, record: _FakeRecord) -> None:
        if record.machines or record.leaving:
            own_folder(self._folder)
            notes.write(self._path, asdict(record))
        else:
            self._path.unlink(missing_ok=True)
