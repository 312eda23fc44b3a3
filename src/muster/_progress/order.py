"""What is kept of a run, in the order of the input: how much of it the output has by now, and what comes next. Pure."""

from collections.abc import Callable, Sequence

from muster._model import Outcome, Part

from .actions import Action, Append, Forget, Rewind
from .stretches import continues, stretch

_Key = tuple[int, int]
"""The first part of an outcome, and where in it its rows begin."""


class Order:
    """Outcomes that count, and how far they have been appended to the output without a gap."""

    def __init__(self, *, joins: bool) -> None:
        """Begin with none. Where it ``joins``, outcomes that are appended become one, so that memory stays flat."""
        self._joins = joins
        self._kept: dict[_Key, Outcome] = {}
        self._frontier: _Key = (0, 0)
        self._last_stretch: _Key | None = None
        self.bad_rows = 0
        self.rows_done = 0
        self.rows_out = 0

    @property
    def outcomes(self) -> list[Outcome]:
        """List what is kept, in the order of the input."""
        return [self._kept[key] for key in sorted(self._kept)]

    def put(self, outcome: Outcome) -> None:
        """Keep an outcome."""
        self._kept[key_of(outcome)] = outcome
        self.bad_rows += outcome.bad_rows
        self.rows_done += outcome.rows_in
        self.rows_out += outcome.rows_out

    def drop(self, is_stale: Callable[[Outcome], bool]) -> list[Outcome]:
        """Forget outcomes that do not count any more, and return them in order."""
        stale = [(key, kept) for key, kept in sorted(self._kept.items()) if is_stale(kept)]
        for key, outcome in stale:
            del self._kept[key]
            self.bad_rows -= outcome.bad_rows
            self.rows_done -= outcome.rows_in
            self.rows_out -= outcome.rows_out
        return [outcome for _, outcome in stale]

    def rewind(self, dropped: Sequence[Outcome], *, has_another_header: bool) -> list[Action]:
        """Begin the output anew where it holds what was dropped, or begins with a header that has changed since."""
        is_wrong = has_another_header or any(key_of(outcome) < self._frontier for outcome in dropped)
        if self._frontier == (0, 0) or not is_wrong:
            return []
        self._frontier, self._last_stretch = (0, 0), None
        return [Rewind()]

    def advance(self, parts: Sequence[Part]) -> list[Action]:
        """Append the outcomes that are next in the output."""
        actions: list[Action] = []
        while (outcome := self._kept.get(self._frontier)) is not None:
            actions += [Append(outcome), *self._lengthen(outcome)]
            task = outcome.task
            inside = task.last - 1
            self._frontier = (task.last, 0) if task.reaches_end else (inside, task.hi - parts[inside].row)
        return actions

    def _lengthen(self, outcome: Outcome) -> list[Action]:
        """Put an outcome that was appended and the stretch before it together."""
        key, before = key_of(outcome), self._kept.get(self._last_stretch) if self._last_stretch else None
        if not self._joins or before is None or not continues(before, outcome):
            self._last_stretch = key
            return []
        del self._kept[key]
        self._kept[key_of(before)] = stretch(before, outcome)
        return [Forget(outcome.output.name)] if before.output and outcome.output else []


def key_of(outcome: Outcome) -> _Key:
    """Tell where an outcome stands in the order of the input."""
    return outcome.task.first, outcome.task.lo - outcome.task.row
