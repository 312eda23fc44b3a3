"""One writer to an output in a store: a run writes a lock file there, and then lists those of others.

Of two that do so at once each sees the other, as a listing holds whatever was written before it. So this needs no
conditional requests, which some stores lack, and others take for plain ones. The promise ends where a store lists late,
or where a run stands still for longer than a lock lasts between its last look and its commit; a commit that the store
can make conditional is safe there, too.
"""

import contextlib
import os
import random
import re
from pathlib import Path
from threading import Event, Thread
from time import monotonic, time
from typing import Final, NamedTuple

from muster._journal.runs import SECONDS_UNHEARD
from muster._urls import objects
from muster.errors import EngineError, OutputBusyError

from .owners import UNKNOWN, Owner, read_mark

BEGINNING: Final = "lock-"
_TRIES: Final = 6
"""Of two that announce themselves at once, the first tries again: after so many times they have parted."""

_SECONDS_TO_SETTLE: Final = 10.0
"""Who announced itself longer ago has looked, and holds the lock; who did lately may withdraw yet."""

_LONGEST_PAUSE: Final = 0.6
"""Seconds: the two look again at different times, some requests apart."""

_LONGEST_REQUEST: Final = 30.0
"""What a renewal that is on its way may take; then the run ends without it."""


_CLOCKS_APART: Final = 600.0
"""Seconds by which clocks of computers may differ, where a store has none."""

_NAME: Final = re.compile(re.escape(BEGINNING) + "[0-9a-f]{12}")
_SAYS_SO: Final = re.compile(rb'\s*\{\s*"muster"\s*:\s*"lock"')


class _Claim(NamedTuple):
    name: str
    owner: Owner
    unheard: float


class StoreLock:
    """The lock of one output; ``folder`` is where those announce themselves who want it."""

    def __init__(self, folder: str, *, output: str, home: Path) -> None:
        """Know where; nothing is written yet."""
        self._folder = folder
        self._output = output
        self._name = f"{BEGINNING}{os.urandom(6).hex()}"
        self.owner = Owner.me(home)
        self._ended = Event()
        self._renewing: Thread | None = None
        self._heard: dict[tuple[str, float | None], float] = {}
        """Since when each lock of others has stood there as it was written last."""

    def take(self) -> None:
        """Take the lock, and keep it until it is released. Raises ``OutputBusyError`` naming who has it."""
        try:
            self._announce()
            objects.delete(self._folder, [self._name])  # who may not delete learns it before the work, not at its end
            self._take()
        except BaseException:
            with contextlib.suppress(EngineError):
                objects.delete(self._folder, [self._name])
            raise
        self._ended.clear()
        self._renewing = Thread(target=self._renew, name="muster-lock", daemon=True)
        self._renewing.start()

    def _take(self) -> None:
        for last in (*[False] * (_TRIES - 1), True):
            self._announce()
            claims = self._claims()
            living = [claim for claim in claims if self.may_live(claim.owner, unheard=claim.unheard)]
            if not living:
                objects.delete(self._folder, [claim.name for claim in claims if claim.owner is not UNKNOWN])
                return
            objects.delete(self._folder, [self._name])
            holder = min(living, key=lambda claim: (claim.owner.since, claim.name))
            is_first = (self.owner.since, self._name) < (holder.owner.since, holder.name)  # of two, one tries again
            if last or holder.unheard > _SECONDS_TO_SETTLE or not is_first:
                raise self._busy(holder)
            Event().wait(random.uniform(0, _LONGEST_PAUSE))  # noqa: S311 (no secret: two that meet part again)

    def may_live(self, owner: Owner, *, unheard: float) -> bool:
        """Tell whether the owner of another lock file may live.

        One of this very process and home is left over: only one process at a time holds the lock in that home.
        """
        me = self.owner
        if (owner.computer, owner.pid, owner.born, owner.home) == (me.computer, me.pid, me.born, me.home):
            return False
        return owner.may_live(unheard=unheard)

    def check_free(self) -> None:
        """Raise ``OutputBusyError`` while somebody else surely has the lock: one listing, and nothing is written.

        For how long one on another computer has said nothing is told by the looks before.
        """
        now = monotonic()
        found = {name: one for name, one in objects.find(self._folder).items() if name.startswith(BEGINNING)}
        marks = {name: mark for name in found if (mark := self._mark_at(name)) is not None}
        said = {(name, found[name].written or at): owner for name, (owner, at) in marks.items()}
        self._heard = {one: self._heard.get(one, now) for one in said}
        for one, owner in said.items():
            unheard = now - self._heard[one] if one[1] else 0.0
            if self.may_live(owner, unheard=unheard):
                raise self._busy(_Claim(one[0], owner, unheard))

    def check(self) -> None:
        """Raise where this process has lost the lock: it stood still for so long that others took it for dead."""
        found = objects.find(self._folder)
        if self._name in found:
            return
        others = self._claims()
        if others:
            raise self._busy(others[0])
        raise EngineError(
            f"The lock of this run on {self._output!r} is gone: it was removed, or the run stood still for more than"
            f" {SECONDS_UNHEARD:.0f} seconds and another came. Nothing was replaced. Type the same command again."
        )

    def release(self) -> None:
        """Let others have the lock. A lock file that cannot be removed now counts until this process is dead."""
        self._ended.set()
        if self._renewing is not None:
            self._renewing.join(_LONGEST_REQUEST)
            self._renewing = None
            with contextlib.suppress(EngineError):
                objects.delete(self._folder, [self._name])
                objects.forget_folder(self._folder)

    def _announce(self) -> None:
        objects.put(f"{self._folder}/{self._name}", self.owner.as_mark("lock", at=round(time())))

    def _mark_at(self, name: str) -> tuple[Owner, float] | None:
        """Read who has written a lock, and when by that computer's clock, or 0; ``None`` for what is no lock, or gone.

        What cannot be read and is named as a lock, or says that it is one, is one: of another version of muster.
        """
        data = objects.read(f"{self._folder}/{name}")
        if data is None:
            return None
        if mark := read_mark(data, "lock"):
            at = mark[1].get("at")
            return mark[0], float(at) if isinstance(at, int | float) else 0.0
        is_lock = _NAME.fullmatch(name) or _SAYS_SO.match(data)
        return (UNKNOWN, 0.0) if is_lock else None

    def _claims(self) -> list[_Claim]:
        """List who else wants it or has it, each with for how long nothing was heard, by the clock of the store."""
        found = {name: one for name, one in objects.find(self._folder).items() if name.startswith(BEGINNING)}
        mine = found.pop(self._name, None)
        claims = []
        for name, one in found.items():
            mark = self._mark_at(name)
            if mark is not None:
                unheard = mine.written - one.written if mine and mine.written and one.written else _unheard(mark[1])
                claims.append(_Claim(name, mark[0], unheard))
        return claims

    def _renew(self) -> None:
        """Write the lock file again and again, so that others see this process live, until they have removed it."""
        while not self._ended.wait(SECONDS_UNHEARD / 6):
            with contextlib.suppress(Exception):  # it lasts for some tries; and what fails for good is said at the end
                if objects.read(f"{self._folder}/{self._name}") is None:
                    return
                self._announce()

    def _busy(self, claim: _Claim) -> OutputBusyError:
        return OutputBusyError.held(self._output, by=claim.owner, until=claim.owner.until(unheard=claim.unheard))


def _unheard(at: float) -> float:
    """Tell for how long nothing was heard of one that has written last at that time of its own computer."""
    return max(time() - at - _CLOCKS_APART, 0.0) if at else 0.0
