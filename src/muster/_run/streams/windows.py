"""How far a stream has come, for its windows: which are closed, and when the next ones are to be.

Rows of an epoch are judged by what was known before it, so none makes another of its epoch late. Windows are closed in
epochs without rows of the input. What decides is in the journal, so a stream that was killed closes the same windows.
"""

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final

from muster._job import Job
from muster._model import NEVER, Outcome, Window, WindowClock, WindowsDone

_MICROSECONDS: Final = 10**6
"""In a second."""


class WindowClocks:
    """The clock of each stage that keeps windows, by its number."""

    def __init__(self, job: Job, done: Mapping[int, WindowsDone], silences: Callable[[], Mapping[int, float]]) -> None:
        """Go on from what earlier epochs have come to.

        ``silences`` tells for how many seconds each source has given nothing, where there are several.
        """
        self._silences = silences
        self._mute: dict[int, tuple[float, float]] = {}
        """Since when a source has given rows without any time, and until when."""
        self._windows: dict[int, Window] = {
            2 * at + 1: one.by.window
            for at, one in enumerate(job.exchanges)
            if one.has_state and one.by.window is not None and not one.by.window.rows
        }
        self.done = {number: done.get(number, WindowsDone()) for number in self._windows}
        self._due: dict[int, dict[int, int]] = {number: {} for number in self._windows}
        """When the first open window of a lane ends; a lane that is not there has not been looked at."""
        self._clocks: dict[int, WindowClock] = {}
        self._began = _now()
        self.closes = False
        """Whether windows that are due are closed in this epoch, which has no rows of the input."""

    def begin(self, *, closes: bool) -> None:
        """Set the clocks for an epoch."""
        self.closes = closes
        now = _now()
        ahead = max(0, time.localtime().tm_gmtoff) * _MICROSECONDS
        self._clocks = {
            number: WindowClock(self._watermark(number, now), now, ahead, closes) for number in self._windows
        }
        for number, clock in self._clocks.items():
            self.done[number] = self.done[number]._replace(watermark=clock.watermark)

    def clock(self, number: int) -> WindowClock:
        """Give the clock of a stage."""
        return self._clocks.get(number, WindowClock())

    @property
    def watermark(self) -> int | None:
        """Tell up to when all stages close windows by what has come; ``None`` where nothing says so."""
        now = _now()
        least = min((self._watermark(number, now) for number in self._windows), default=NEVER)
        return None if least == NEVER else least

    def due(self, number: int, lanes: Iterable[int]) -> list[int]:
        """Choose those lanes that may have a window that is to be closed."""
        if number not in self._windows:
            return []
        watermark, ends = self._watermark(number, _now()), self._due[number]
        return [lane for lane in lanes if ends.get(lane, NEVER) <= watermark]

    def take(self, outcomes: Sequence[Outcome], *, has_rows: bool, origin: int | None) -> None:
        """Take note of what the tasks of an epoch have seen; all its rows are of one source, if there are several."""
        for one in outcomes:
            if one.windows is None or one.windows.stage not in self._windows:
                continue
            number, seen = one.windows.stage, one.windows
            before = self.done[number]
            by_source = dict(before.by_source)
            if origin is not None:
                by_source[origin] = max(by_source.get(origin, NEVER), seen.latest)
            self.done[number] = before._replace(
                latest=max(before.latest, seen.latest),
                late_rows=before.late_rows + seen.late_rows,
                by_source=tuple(by_source.items()),
            )
            self._due[number] |= seen.due
        if origin is not None:
            has_times = any(one.windows is not None and one.windows.latest != NEVER for one in outcomes)
            moment = time.monotonic()
            self._mute[origin] = moment if has_times else self._mute.get(origin, (moment,))[0], moment
        if has_rows:
            now = _now()
            self.done = {number: one._replace(came_at=now) for number, one in self.done.items()}

    def _watermark(self, number: int, now: int) -> int:
        """Tell up to when windows are closed."""
        window, done = self._windows[number], self.done[number]
        if not window.time:
            return max(done.watermark, now)
        if done.latest == NEVER:
            return done.watermark
        reached = self._latest(window, done) - window.lateness
        if window.idle and now - max(done.came_at, self._began) >= window.idle:  # while it is away, nobody is silent
            reached = max(reached, done.latest + (window.size or window.session))
        return max(done.watermark, reached)

    def _latest(self, window: Window, done: WindowsDone) -> int:
        """Tell the latest time that all sources have reached; who has been silent for too long holds nothing up."""
        latest = dict(done.by_source)
        if not latest:  # there is one source; or rows come from windows before, which have waited for all of them
            return done.latest
        idle = window.idle / _MICROSECONDS or float("inf")
        heard = [origin for origin, silent in self._silences().items() if max(silent, self._mute_for(origin)) < idle]
        return min((latest.get(origin, NEVER) for origin in heard), default=done.latest)

    def _mute_for(self, origin: int) -> float:
        """Count the seconds for which a source has given rows, and a function before the windows has let none pass."""
        since, until = self._mute.get(origin, (0.0, 0.0))
        return until - since


def _now() -> int:
    return time.time_ns() // 1000
