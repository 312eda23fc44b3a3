"""What is kept of a run, in the order of the input: how much of it the output has by now, and what comes next. Pure."""

from collections.abc import Callable, Sequence

from muster._model import Outcome, Part

from .actions import Action, Append, Forget, Rewind
from .kept_outcomes import JoinedOutcome

_Key = tuple[int, int]
"""The first part of an outcome, and where in it its rows begin."""


class Order:
    """Outcomes that count, and how far they have been appended to the output without a gap."""

    def __init__(self, *, joins: bool) -> None:
        """Begin with none. Where it ``joins``, outcomes that are appended become one, so that memory stays flat."""
        self._joins = joins
        self._kept: dict[_Key, Outcome] = {}
        self._frontier: _Key = (0, 0)
        self._joined: JoinedOutcome | None = None
        """What was appended at last, if that goes on: of what was added to it, ``_kept`` learns when it is asked."""
        self.bad_rows = 0
        self.rows_done = 0
        self.rows_out = 0

    @property
    def outcomes(self) -> list[Outcome]:
        """List what is kept, in the order of the input."""
        self._note_joined()
        return [self._kept[key] for key in sorted(self._kept)]

    def put(self, outcome: Outcome) -> None:
        """Keep an outcome."""
        self._kept[key_of(outcome)] = outcome
        self.bad_rows += outcome.bad_rows
        self.rows_done += outcome.rows_in
        self.rows_out += outcome.rows_out

    def drop(self, is_stale: Callable[[Outcome], bool]) -> list[Outcome]:
        """Forget outcomes that do not count any more, and return them in order."""
        self._note_joined()
        stale = [(key, kept) for key, kept in sorted(self._kept.items()) if is_stale(kept)]
        for key, outcome in stale:
            del self._kept[key]
            self.bad_rows -= outcome.bad_rows
            self.rows_done -= outcome.rows_in
            self.rows_out -= outcome.rows_out
            if self._joined is not None and outcome is self._joined.outcome:
                self._joined = None
        return [outcome for _, outcome in stale]

    def rewind(self, dropped: Sequence[Outcome], *, has_another_header: bool) -> list[Action]:
        """Begin the output anew where it holds what was dropped, or begins with a header that has changed since."""
        is_wrong = has_another_header or any(key_of(outcome) < self._frontier for outcome in dropped)
        if self._frontier == (0, 0) or not is_wrong:
            return []
        self._note_joined()
        self._frontier, self._joined = (0, 0), None
        return [Rewind()]

    def advance(self, parts: Sequence[Part]) -> list[Action]:
        """Append the outcomes that are next in the output."""
        actions: list[Action] = []
        while (outcome := self._kept.get(self._frontier)) is not None:
            actions.append(Append(outcome))
            if name := self._lengthen(outcome):
                actions.append(Forget(name))
            task = outcome.task
            inside = task.last - 1
            self._frontier = (task.last, 0) if task.reaches_end else (inside, task.hi - parts[inside].row)
        return actions

    def _lengthen(self, outcome: Outcome) -> str:
        """Join an outcome that was appended to the one before it; name its piece, which is none of its own now."""
        if self._joined is not None and self._joined.continues(outcome):
            del self._kept[key_of(outcome)]
            return self._joined.add(outcome)
        self._note_joined()
        self._joined = JoinedOutcome(outcome) if self._joins else None
        return ""

    def _note_joined(self) -> None:
        if self._joined is not None:
            self._kept[key_of(self._joined.outcome)] = self._joined.outcome


def key_of(outcome: Outcome) -> _Key:
    """Tell where an outcome stands in the order of the input."""
    return outcome.task.first, outcome.task.lo - outcome.task.row
