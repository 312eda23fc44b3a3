"""Renew a cloud's leases beside whatever else this process does, and say which could not be, and which can be again."""

import contextlib
import re
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from math import inf
from threading import Event, Thread
from typing import Final

from muster._words import text_of

from .base import ENDED, RENEWALS_A_LEASE, Cloud, Renewals

_LONGEST_TICK: Final = 1.0
"""So often it looks whether a renewal is due: a computer that slept is late by no more."""

_ALL: Final = ""
"""Stands for every machine, where nobody came so far as to ask one."""


def _to_nobody(_: Renewals) -> None:
    pass


class News:
    """What is worth telling of renewals: the first that fails of a machine, or fails in another way, and its end."""

    def __init__(self) -> None:
        """Know of no failure."""
        self._failing: dict[str, str] = {}
        self._remark = ""
        self._noticed: set[str] = set()

    def of(self, renewed: Renewals) -> tuple[str, ...]:
        """Say what has changed since the last renewal."""
        before, self._failing = self._failing, dict(renewed.failed)
        mended = [_again(name) for name in before if _is_mended(name, renewed)]
        failing = [
            _cannot(name, why, renewed.lease)
            for name, why in renewed.failed.items()
            if name not in before or _kind(before[name]) != _kind(why)
        ]
        noticed, self._noticed = self._noticed, set(renewed.notices)
        taken = [_taken(name, renewed.notices[name]) for name in sorted(self._noticed - noticed)]
        before_that, self._remark = self._remark, renewed.remark
        return (*mended, *failing, *taken, *([renewed.remark] if renewed.remark not in {"", before_that} else []))


def _is_mended(name: str, renewed: Renewals) -> bool:
    return name in renewed.machines or (name == _ALL and _ALL not in renewed.failed)


def _kind(why: str) -> str:
    """Take its first words: what is said besides may differ each time."""
    return re.split(r"[.:\[]", why, maxsplit=1)[0]


def _again(name: str) -> str:
    return f"the lease of machine {name} is renewed again" if name else "leases are renewed again"


def _taken(name: str, seconds: float) -> str:
    return f"machine {name} will be taken away in {seconds:.0f} s by whoever made it; its tasks are then done elsewhere"


def _cannot(name: str, why: str, lease: float) -> str:
    if why == ENDED:
        return f"machine {name} has ended: its lease is no longer there"
    which, they = (f"the lease of machine {name}", "The machine ends") if name else ("leases", "Machines end")
    return (
        f"{which} could not be renewed: {why} {they} {lease:g} s after the last renewal; this is tried again till then"
    )


@contextlib.contextmanager
def renewing(
    cloud: Cloud, *, lease: Callable[[], float], told: Callable[[Renewals], None] = _to_nobody
) -> Iterator[None]:
    """Renew a cloud's leases four times in each, whatever else this process does, and though a lease may change.

    Where machines may be taken away at short notice, they are asked as often as their cloud says.
    """
    ended, news = Event(), News()

    def renew() -> float:
        try:
            renewed = cloud.renew()
        except Exception as error:  # noqa: BLE001 (whatever it is, the next time may succeed, and this must go on)
            renewed = Renewals((), lease(), {_ALL: f"{' '.join(text_of(error).split())}."})
        told(replace(renewed, news=news.of(renewed)))
        return renewed.again

    def keep_renewing(again: float) -> None:
        renewed, every = time.monotonic(), _LONGEST_TICK
        while not ended.wait(min(_LONGEST_TICK, every)):
            with contextlib.suppress(Exception):  # the record may just be written, or the disk be gone for a moment
                every = min(lease() / RENEWALS_A_LEASE, again)
            if time.monotonic() - renewed >= every:
                with contextlib.suppress(Exception):
                    again = renew()
                renewed = time.monotonic()

    again = inf
    with contextlib.suppress(Exception):
        again = renew()
    thread = Thread(target=keep_renewing, args=(again,), daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
