"""The input of a run: where its rows are and what its columns hold, found out once; then its parts, one by one."""

import time
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

from muster._journal.events import Event, Settled, Surveyed
from muster._model import Outcome, Part
from muster._run.asking.questions import Asker
from muster._run.history import resume
from muster._run.history.past import Past

from .run import Run

if TYPE_CHECKING:
    from muster._run.telling.estimate import Trial

Write = Callable[[Event], None]
"""Journals an event."""


class InputReader:
    """Reads the input, unless an earlier attempt has left what is to be known of it."""

    def __init__(self, run: Run, *, asker: Asker, write: Write) -> None:
        """Know whom to ask, and where to write what was found."""
        self._earlier = run.earlier
        self._options = run.job.options
        self._inputs = run.inputs
        self._asker = asker
        self._write = write
        self._feed: Iterator[Sequence[Part]] = iter(())
        self._rows_in_all: int | None = None
        """How many rows the whole input has, where only some are done."""
        self._seconds_for_types = 0.0
        self.fed: list[Part] = []
        """The parts that were read so far: all, unless the input is a stream."""

    def look(self, past: Past) -> None:
        """Find out where the input's rows are and what its columns hold."""
        if self._earlier is not None and past.surveyed is None:
            self._begin_as(self._earlier, past)
        self._survey(past)
        self._settle(past)

    def _begin_as(self, earlier: Past, past: Past) -> None:
        """Take over what an earlier run has found out about the input, which is the same."""
        if earlier.surveyed is not None:
            self._write(earlier.surveyed)
        past.surveyed, past.columns = earlier.surveyed, earlier.columns
        self._inputs.columns = earlier.columns or ()
        self._write_settled(f"run {earlier.run}")

    def _survey(self, past: Past) -> None:
        """Find the parts and the columns of the input."""
        inputs = self._inputs
        inputs.copy(self._asker.ask, self._asker.tick)
        digests = inputs.digests()
        if past.surveyed is not None:
            self._take_over(past, past.surveyed, digests)
            return
        inputs.survey(self._asker.ask)
        self._write(
            Surveyed(
                parts=inputs.surveyed,
                orders=inputs.orders,
                columns=inputs.columns,
                agreed=inputs.agreed,
                starts=inputs.stream_starts,
                digests=digests,
            )
        )

    def _take_over(self, past: Past, before: Surveyed, digests: dict[int, int]) -> None:
        """Know what an earlier attempt has found out. Raises ``ResumeError`` where that is not so any more."""
        inputs = self._inputs
        counts = past if self._earlier is None else self._earlier
        has_streams = any(map(inputs.is_stream, inputs.readable()))
        resume.check_cuts(counts, has_streams=has_streams, is_retry=self._earlier is not None)
        resume.check_same_files(inputs.sources, before.digests, digests)
        inputs.resume(tuple(before.parts))
        inputs.orders = tuple(map(tuple, before.orders))
        inputs.columns = tuple(before.columns)
        inputs.agreed = before.agreed
        inputs.stream_starts = dict(before.starts)

    def _settle(self, past: Past) -> None:
        """Settle the types of the columns by a sample, and begin to read the parts."""
        self._feed = self._inputs.feed()
        if self._options.limit or self._options.sample:
            self._settle_by_all(past)
            return
        if past.columns is not None:
            self._inputs.columns = past.columns
            return
        while not self._inputs.surveyed and not self.fed and self.take_parts():
            pass
        self._inputs.observe(self._asker.ask, self._inputs.surveyed or self.fed, everything=False)
        self._write_settled("a sample that spans the input")

    def _settle_by_all(self, past: Past) -> None:
        """Settle the types of some rows by every value of the whole input: so the rows are as in a full run."""
        inputs = self._inputs
        parts = [part for more in self._feed for part in more]
        self._rows_in_all = sum(part.rows for part in parts)
        began = time.monotonic()
        if past.columns is not None:
            inputs.columns = past.columns
        else:
            inputs.observe(self._asker.ask, parts, everything=True)
            self._write_settled("every value, as only some rows are done")
        self._seconds_for_types = time.monotonic() - began
        self._feed = iter([inputs.excerpt(self._asker.ask, parts)])

    def take_parts(self) -> bool:
        """Read on in the input; tell whether there was more."""
        parts = next(self._feed, None)
        self.fed += parts or ()
        return parts is not None

    def take_all_parts(self) -> None:
        """Read the input to its end: a stream, too."""
        while self.take_parts():
            pass

    def count_rows(self) -> int | None:
        """Count the rows that are to be done; ``None`` where streams hide some."""
        if self._rows_in_all is None:
            return self._inputs.count_rows()
        self.take_all_parts()
        return sum(part.rows for part in self.fed)

    def trial(self, *, since: float) -> "Trial | None":
        """Begin to measure what a run of all rows takes, where only some are done; muster began at ``since``."""
        if self._rows_in_all is None or self._earlier is not None:
            return None
        from muster._run.telling.estimate import Trial

        return Trial(
            self._rows_in_all,
            is_spread=self._options.limit is None,
            before=time.monotonic() - since,
            for_types=self._seconds_for_types,
        )

    def widen(self, misfit: Outcome, *, names: str) -> None:
        """Settle the types by every value, as those of some columns turned out too narrow."""
        self.take_all_parts()
        self._inputs.widen(self._asker.ask, self.fed, misfit.misfits)
        self._write_settled(f"every value, for the sake of {names}")

    def _write_settled(self, by: str) -> None:
        self._write(Settled(self._inputs.columns, by))
