"""Follow the journals of runs: one follower a run, however many look at it."""

import asyncio
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Final, TypeVar

from muster._journal.events import ONLY_TO_RESUME, UnreadableError
from muster._journal.file import Entry, follow
from muster._journal.runs import KnownRun, known
from muster._journal.status import RunState
from muster._watch.pages import Page
from muster._watch.sums import listing
from muster._watch.sums.listing import Listed
from muster._watch.sums.moment import Moment
from muster._watch.sums.run import RunView

_Told = TypeVar("_Told")
_KNOWN_FOR: Final = 1.0
"""Seconds for which the list of runs is not read again: to list a folder costs little, but pages ask often."""

_FOLLOWED: Final = 16
"""Runs whose sums stay in memory, some megabytes each: those that were asked for last."""

_ASKED_LATELY: Final = 300.0
"""Seconds: longer than Prometheus waits between two times that it asks."""
_PAGES: Final = 100
"""Pages of one run that are kept: of its steps, machines and workers that somebody looks at."""

_TICK: Final = 2.0
"""Seconds after which a run that goes on looks different, though nothing was journalled: leases and times run."""


class Follower:
    """Keep the view of one run up to what its journal says. Not for two threads at a time: hold ``lock``."""

    def __init__(self, run: KnownRun) -> None:
        """Begin with nothing read."""
        self.lock = asyncio.Lock()
        self.view = RunView(run.run)
        self.known = run
        self.changes = 0
        self.asked = time.monotonic()
        self._pages: dict[str, tuple[tuple[int, int], Page | None]] = {}
        self._read = 0

    def catch_up(self, run: KnownRun) -> None:
        """Read what was journalled since; one that was archived is read from its beginning, once it is known where."""
        size = _size(run)
        if size is None:
            return
        if run.journal != self.known.journal or size < self._read:
            self.view, self._read = RunView(run.run), 0
            self.changes += 1
        is_another_state = run.state != self.known.state
        self.known = run
        before = self._read
        self.view.take_all(self._news(run.journal))
        if is_another_state or self._read != before:
            self.changes += 1
            self.view.count(run)

    def _news(self, journal: Path) -> Iterator[Entry]:
        for entry, end in follow(journal, after=self._read, without=ONLY_TO_RESUME):
            self._read = end
            yield entry

    def page(self, name: str, make: Callable[[Moment], Page | None]) -> tuple[tuple[int, int], Page | None]:
        """Make a page of how it looks now, once for all who ask, and say which moment it shows."""
        tick = int(time.time() / _TICK) if self.known.state is RunState.RUNNING else 0
        moment = (self.changes, tick)
        if len(self._pages) > _PAGES:
            self._pages.clear()
        if name not in self._pages or self._pages[name][0] != moment:
            self._pages[name] = moment, make(Moment(self.view, self.known.state, time.time()))
        return self._pages[name]


def _size(run: KnownRun) -> int | None:
    try:
        return run.journal.stat().st_size
    except OSError:
        return None


class RunFeed:
    """Know the runs of this user, and follow those that somebody looks at."""

    def __init__(self) -> None:
        """Begin with knowing nothing."""
        self._followers: dict[str, Follower] = {}
        self._known: dict[str, KnownRun] = {}
        self._known_at = float("-inf")
        self._lines: dict[str, tuple[tuple[str, int | None], Listed | None]] = {}

    def runs(self) -> dict[str, KnownRun]:
        """List the runs, as they were a second ago at most."""
        if time.monotonic() - self._known_at > _KNOWN_FOR:
            self._known = {one.run: one for one in known()}
            self._known_at = time.monotonic()
        return self._known

    def forget_runs(self) -> None:
        """Look at once, when asked next, which runs there are."""
        self._known_at = float("-inf")

    async def follower(self, run: str) -> Follower | None:
        """Find the follower of a run, with its view up to now; ``None`` where there is none to be read."""
        found = (await asyncio.to_thread(self.runs)).get(run)
        if found is None:
            return None
        follower = self._followers.setdefault(run, Follower(found))
        follower.asked = time.monotonic()
        self._forget()
        async with follower.lock:
            try:
                await asyncio.to_thread(follower.catch_up, found)
            except UnreadableError:
                return None
        return follower

    async def page(self, run: str, name: str, make: Callable[[Moment], Page | None]) -> Page | None:
        """Make a page of a run; ``None`` where there is no such run or page."""
        follower = await self.follower(run)
        if follower is None:
            return None
        async with follower.lock:
            return (await asyncio.to_thread(follower.page, name, make))[1]

    async def lines(self) -> list[Listed]:
        """Make the list of runs. Only the journals of those that go on are followed."""
        lines = []
        for run, found in [*self.runs().items()]:
            if found.state is RunState.RUNNING:
                line = await self.look(run, listing.listed)
            else:
                line = await asyncio.to_thread(self._line, found)
            lines += [line] if line is not None else []
        return listing.in_order(lines)

    async def look(self, run: str, tell: Callable[[Moment], _Told]) -> _Told | None:
        """Look at a run, up to now, and tell something about it."""
        follower = await self.follower(run)
        if follower is None:
            return None
        async with follower.lock:
            return tell(Moment(follower.view, follower.known.state, time.time()))

    async def tell(self, runs: Iterable[str], tell: Callable[[list[Moment]], _Told]) -> _Told:
        """Look at some runs at once, up to now, and tell something about them all."""
        found = [await self.follower(run) for run in sorted(runs)]
        followers = [one for one in found if one is not None]
        async with AsyncExitStack() as held:
            for one in followers:
                await held.enter_async_context(one.lock)
            looks = [Moment(one.view, one.known.state, time.time()) for one in followers]
            return await asyncio.to_thread(tell, looks)

    def _line(self, run: KnownRun) -> Listed | None:
        stamp = str(run.state), _size(run)
        if run.run not in self._lines or self._lines[run.run][0] != stamp:
            try:
                line = listing.of_ended(run)
            except (KeyError, TypeError, ValueError, IndexError):  # a journal of another muster costs its own line
                line = None
            self._lines[run.run] = stamp, line
        return self._lines[run.run][1]

    def _forget(self) -> None:
        """Keep few followers, and all that are asked again and again: to read a journal anew takes long."""
        long_ago = time.monotonic() - _ASKED_LATELY
        for run in sorted(self._followers, key=lambda run: self._followers[run].asked)[:-_FOLLOWED]:
            if self._followers[run].asked < long_ago and not self._followers[run].lock.locked():
                del self._followers[run]
