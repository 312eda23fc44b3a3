"""What whoever watches a run is told: its phases, notes, and how far it is."""

import dataclasses
from collections.abc import Callable, Iterable
from typing import Final

from muster._engines.base import Message, Told
from muster._job import Snapshot
from muster._journal import events

from .observer import NONE_DONE, Observer, RowsDone
from .record import Recorder

_STEPS_SEEN: Final = 1_000
"""A bar is no finer than this on any screen."""

_SEEN_EVERY: Final = 0.05
"""Seconds after which the time that passed can be seen."""

Watch = Callable[[Snapshot], None]
Say = Callable[[str], None]


class Teller:
    """Tells watchers what is going on, and journals what it tells."""

    def __init__(self, watch: Watch, remark: Say, *, record: Recorder, observer: Observer, workers: int) -> None:
        """Tell ``watch`` how far the run is, and ``remark`` why its results may be wrong."""
        self._watch = watch
        self._remark = remark
        self.record = record
        self.observer = observer
        self.run_id = ""
        self.workers = workers
        """How many there are, as far as that is known."""
        self.rows: RowsDone = NONE_DONE
        self.rows_total: int | None = None
        self.stage = ""
        """Which one the rows are of, where there are several."""
        self._last = Snapshot("starting")
        self._said_at = 0.0

    def say(self, phase: str = "", *, note: str = "") -> None:
        """Tell how far the run is, in a phase, or in the one that it is in."""
        phase = phase or self._last.phase
        if phase != self._last.phase:
            self.record.write(events.Phase(phase))
        seen = self.observer.snapshot(
            phase, self.rows, run=self.run_id, rows_total=self.rows_total, workers=self.workers
        )
        self._last = dataclasses.replace(seen, stage=self.stage) if self.stage else seen
        self._watch(dataclasses.replace(self._last, note=note) if note else self._last)

    def follow(self, phase: str, *, note: str, now: float) -> None:
        """Tell how far the run is, unless nobody could see that it is farther: a thousandth of all, or some time."""
        rows = self.rows.rows_done - self._last.rows_done
        if (
            note
            or phase != self._last.phase
            or rows > (self.rows_total or self.rows.rows_done) / _STEPS_SEEN
            or now - self._said_at >= _SEEN_EVERY
        ):
            self._said_at = now
            self.say(phase, note=note)

    def tick(self) -> None:
        """Tell once more what was told last, while something is awaited."""
        self._watch(self._last)

    def hear(self, message: Message) -> None:
        """Take note of what an engine tells of its workers, or of anything else."""
        self.observer.hear(message)
        if isinstance(message, Told):
            self.say(note=message.text)

    def note(self, text: str) -> None:
        """Tell and journal what whoever watches should know."""
        self.hear(Told(text))

    def warn(self, texts: Iterable[str]) -> None:
        """Say why the results may be wrong."""
        for text in texts:
            self.record.write(events.UserTold(text))
            self._remark(text)
