"""Where a lane's states come from when its rows are read, and where they go behind them.

In a run over files they begin anew with each lane, and are forgotten with it. In a stream they are as the epoch before
has left them: this process still has them, or they are read from the log. What became of them goes to a record.
"""

import pickle
from collections import OrderedDict
from collections.abc import Callable
from typing import Any, Final, NamedTuple

import cloudpickle

from muster._formats.state_records import KeyCount, payloads, record
from muster._model import StoredStates
from muster._words import bare
from muster.errors import UserCodeError

from .states import States, TrackedStates

_MOST_BYTES: Final = 64 << 20
"""How many bytes of pickles the states may have that a worker keeps from epoch to epoch: in memory it is some times as
much. What is beyond is read anew in each epoch."""

_MOST_COPIES: Final = 3
"""How often a state is copied to find one that was only looked at: the copy of a set may have another order. Not
measured; nearly all states are alike at once."""


class _InMemory(NamedTuple):
    mark: str
    states: TrackedStates
    bytes: int


class StateCache:
    """The states of lanes that a process has at hand, each with the mark of the record that they led to.

    A record that was never committed has a mark that nobody asks for, so what became of it counts for nothing.
    """

    def __init__(self) -> None:
        """Begin with none."""
        self._lanes: OrderedDict[tuple[int, int], _InMemory] = OrderedDict()
        self._bytes = 0

    def take(self, lane: tuple[int, int], mark: str) -> TrackedStates | None:
        """Take states out, as they are about to be changed; ``None`` where those of this mark are not there."""
        found = self._lanes.pop(lane, None)
        if found is None:
            return None
        self._bytes -= found.bytes
        return found.states if found.mark == mark else None

    def put(self, lane: tuple[int, int], mark: str, states: TrackedStates, *, count: int) -> None:
        """Keep states of so many bytes, and forget those that were used longest ago where they become too many."""
        self._lanes[lane] = _InMemory(mark, states, count)
        self._bytes += count
        while self._bytes > _MOST_BYTES:
            self._bytes -= self._lanes.popitem(last=False)[1].bytes

    def clear(self) -> None:
        """Forget all."""
        self._lanes.clear()
        self._bytes = 0


class NewStates:
    """States that begin with each lane."""

    ends: bool = True
    """Whether the rows of a lane are all that there ever will be."""

    def __init__(self, make: Callable[[], Any]) -> None:
        """Know what makes the state of a key."""
        self._make = make
        self.records: list[bytes] = []

    def begin(self, lane: int) -> States:
        """Give the states of a lane before its rows."""
        return self.anew(lane)

    def anew(self, lane: int) -> States:
        """Give them once more, as they were before."""
        del lane
        return States(self._make)

    def end(self, lane: int, states: States) -> None:
        """Know what has become of them."""


class StoredLanes(NewStates):
    """States that are as the epoch before has left them."""

    def __init__(
        self, make: Callable[[], Any], stored: StoredStates, cache: StateCache, *, step: str, is_whole: bool
    ) -> None:
        """Know where they lie; a task that is not whole has rows of some keys alone, and others have the rest."""
        super().__init__(make)
        self.ends = stored.ends
        self._stored = stored
        self._cache = cache
        self._step = step
        self._is_whole = is_whole

    def begin(self, lane: int) -> States:
        """Give the states of a lane: those that are in memory, if they are of the epoch before."""
        if not self._is_whole:
            return self.anew(lane)  # as what is compared with these in the end
        before = self._stored.lanes.get(lane)
        states = self._cache.take((self._stored.stage, lane), before.mark if before else "")
        return self.anew(lane) if states is None else states

    def anew(self, lane: int) -> States:
        """Read the states of a lane. Raises ``UserCodeError`` where the user's classes cannot be made again."""
        states, before = TrackedStates(self._make), self._stored.lanes.get(lane)
        try:
            for payload in payloads(self._stored.path, before.spans if before else ()):
                changed, gone = pickle.loads(payload)  # noqa: S301 (a worker of this stream has written it)
                for key in gone:
                    dict.pop(states, key, None)
                dict.update(states, changed)
        except (AttributeError, ImportError, TypeError) as error:
            raise UserCodeError(
                f"The states of {self._step!r} cannot be read again: {bare(error)}. Put the class back that was"
                " moved or renamed, at the top of a module that can be imported, and type the same command again; or"
                " start over with --fresh, which forgets all states."
            ).quoting(bare(error)) from error
        return states

    def end(self, lane: int, states: States) -> None:
        """Write down what has become of them, unless nobody has asked for one. Raises ``UserCodeError``."""
        if not isinstance(states, TrackedStates):
            raise TypeError("states of a stream that are not tracked")
        place, before = (self._stored.stage, lane), self._stored.lanes.get(lane)
        mark, count = (before.mark, before.bytes) if before else ("", 0)
        if states.changes or before is None:
            is_whole = self._is_whole and (before is None or before.is_due(lane) or states.is_restored)
            payload, keys = self._payload(states, lane, is_whole=is_whole)
            mark, written = record(*place, payload, is_whole=is_whole, keys=keys)
            self.records.append(written)
            count = len(written) + (0 if is_whole else count)
            states.changes.clear()
            states.is_restored = False
        if self._is_whole:
            self._cache.put(place, mark, states, count=count)

    def _payload(self, states: TrackedStates, lane: int, *, is_whole: bool) -> tuple[bytes, KeyCount]:
        try:
            if is_whole:
                return bytes(cloudpickle.dumps((states.plain(), []))), KeyCount(len(states), is_of_all=True)
            changed, gone, keys = self._changed(states, lane)
            return bytes(cloudpickle.dumps((changed, gone))), keys
        except Exception as error:
            raise UserCodeError(
                f"The states of {self._step!r} cannot be written down, so that the stream can go on with them:"
                f" {bare(error)}. Keep in a state what pickle can copy: no lock, file or connection."
            ).quoting(bare(error)) from error

    def _changed(self, states: TrackedStates, lane: int) -> tuple[dict[Any, Any], list[Any], KeyCount]:
        """Tell what has changed, and how many keys there are.

        Where others have the rest of the lane, what was only looked at may be theirs.
        """
        changed, gone = states.changed()
        if self._is_whole:
            return changed, gone, KeyCount(len(states), is_of_all=True)
        before, new = self.anew(lane).plain(), states.changes.added
        own = {key: state for key, state in changed.items() if key in new or not _is_as(before.get(key), state)}
        return own, gone, KeyCount(len(states) - len(before), is_of_all=False)


def _is_as(before: object, state: object) -> bool:
    """Tell whether a state is one that was read, which may have been copied since: copies may differ in their bytes."""
    now, was = cloudpickle.dumps(state), cloudpickle.dumps(before)
    for _ in range(_MOST_COPIES):
        if now == was:
            return True
        was = cloudpickle.dumps(pickle.loads(was))  # noqa: S301 (it was written just now)
    return False
