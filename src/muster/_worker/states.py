"""The states of the keys of a lane, which a step changes as it goes through the rows."""

import pickle
from collections.abc import Callable, Iterator
from typing import Any, Self

import cloudpickle

from muster._words import bare
from muster.errors import UserCodeError


class States(dict[Any, Any]):
    """Maps a key to its state, which is made when the key is asked for the first time."""

    __slots__ = ("_make",)

    def __init__(self, make: Callable[[], Any]) -> None:
        """Begin without a key."""
        super().__init__()
        self._make = make

    def __missing__(self, key: object) -> Any:  # noqa: ANN401 (whatever the user keeps)
        """Make the state of a key."""
        state = self[key] = self._make()
        return state

    def plain(self) -> dict[Any, Any]:
        """Give keys and states as a dictionary of Python's own."""
        return dict(self)

    def snapshot(self) -> tuple[dict[Any, Any], "KeyChanges | None"]:
        """Give what it takes to go back to what they are now."""
        return self.plain(), None

    def as_at(self, states: dict[Any, Any], changes: "KeyChanges | None") -> Self:
        """Make states of the same lane that are as they were at a snapshot."""
        del changes
        again = type(self)(self._make)
        dict.update(again, states)
        return again


class KeyChanges:
    """What has become of the keys of a lane since its last record."""

    __slots__ = ("added", "removed", "touched")

    def __init__(self) -> None:
        """Begin with none."""
        self.touched: dict[Any, Any] = {}
        """Keys that were asked for and are there, with their states: new ones in the order in which they came."""
        self.added: set[Any] = set()
        """Keys that were not there."""
        self.removed: set[Any] = set()
        """Keys that were there; some may have come again, behind all others."""

    def __bool__(self) -> bool:
        """Tell whether there is anything to be written down."""
        return bool(self.touched or self.removed)

    def clear(self) -> None:
        """Begin anew."""
        self.touched.clear()
        self.added.clear()
        self.removed.clear()


class TrackedStates(States):
    """States that know which keys a step has asked for, as it may have changed what it got.

    Who goes through all states has asked for all. Whoever keeps a state elsewhere and changes it there is not seen.
    ``dict`` is called by its name where steps come for each key: ``super()`` takes as long as all the rest.
    """

    __slots__ = ("changes", "is_restored")

    def __init__(self, make: Callable[[], Any]) -> None:
        """Begin without a key."""
        super().__init__(make)
        self.changes = KeyChanges()
        self.is_restored = False
        """They are copies, among which a key that is not equal to itself, such as NaN, is not found by the changes."""

    def plain(self) -> dict[Any, Any]:
        """Give keys and states as a dictionary of Python's own; nobody has asked for them by that."""
        return dict(dict.items(self))

    def snapshot(self) -> tuple[dict[Any, Any], KeyChanges | None]:
        """Give what it takes to go back to what they are now."""
        return self.plain(), self.changes

    def as_at(self, states: dict[Any, Any], changes: KeyChanges | None) -> Self:
        """Make states as they were at a snapshot; what was asked for since then counts for nothing."""
        again = super().as_at(states, changes)
        again.changes, again.is_restored = changes or KeyChanges(), True
        return again

    def changed(self) -> tuple[dict[Any, Any], list[Any]]:
        """Give the keys that may have changed, new ones in their order; and those that are removed before."""
        return self.changes.touched, [*self.changes.removed]

    def _touch_all(self) -> Self:
        self.changes.touched.update(dict.items(self))
        return self

    def _remove(self, key: object) -> None:
        self.changes.touched.pop(key, None)
        self.changes.removed.add(key)
        self.changes.added.discard(key)

    def __getitem__(self, key: object) -> Any:  # noqa: ANN401 (whatever the user keeps)
        """Ask for a state."""
        state = self.changes.touched[key] = dict.__getitem__(self, key)
        return state

    def __setitem__(self, key: object, state: object) -> None:
        """Set a state."""
        changes = self.changes
        if key not in changes.touched and key not in self:
            changes.added.add(key)
        changes.touched[key] = state
        dict.__setitem__(self, key, state)

    def __delitem__(self, key: object) -> None:
        """Remove a key."""
        super().__delitem__(key)
        self._remove(key)

    def get(self, key: object, default: Any = None) -> Any:  # noqa: ANN401 (as dict has it)
        """Ask for a state."""
        if key not in self:
            return default
        return self[key]

    def pop(self, key: object, *default: Any) -> Any:  # noqa: ANN401 (likewise)
        """Remove a key."""
        is_there = key in self
        state = super().pop(key, *default)
        if is_there:
            self._remove(key)
        return state

    def setdefault(self, key: object, default: Any = None) -> Any:  # noqa: ANN401 (likewise)
        """Ask for a state, or set it."""
        if key not in self:
            self[key] = default
        return self[key]

    def popitem(self) -> tuple[Any, Any]:
        """Remove the last key."""
        key, state = super().popitem()
        self._remove(key)
        return key, state

    def clear(self) -> None:
        """Remove all keys."""
        for key in [*self]:
            self._remove(key)
        super().clear()

    def update(self, *others: Any, **more: Any) -> None:  # noqa: ANN401 (likewise)
        """Set states."""
        for key, state in dict(*others, **more).items():
            self[key] = state

    def __ior__(self, other: Any) -> Self:  # noqa: ANN401 (likewise)
        """Set states."""
        self.update(other)
        return self

    def __or__(self, other: Any) -> dict[Any, Any]:  # noqa: ANN401 (likewise)
        """Give these and others together."""
        return self.copy() | dict(other)

    def __ror__(self, other: Any) -> dict[Any, Any]:  # noqa: ANN401 (likewise)
        """Give others and these together."""
        return dict(other) | self.copy()

    def items(self) -> Any:  # noqa: ANN401 (likewise)
        """Ask for all."""
        return dict.items(self._touch_all())

    def values(self) -> Any:  # noqa: ANN401 (likewise)
        """Ask for all."""
        return dict.values(self._touch_all())

    def copy(self) -> dict[Any, Any]:
        """Ask for all."""
        return self._touch_all().plain()

    def __iter__(self) -> Iterator[Any]:
        """Go through the keys. As it stands here, Python asks for each state where it makes a dictionary of these."""
        return super().__iter__()


def kept(states: States, *, step: str) -> bytes:
    """Write down states as they are. Raises ``UserCodeError`` where that cannot be."""
    try:
        return bytes(cloudpickle.dumps(states.snapshot()))
    except Exception as error:
        raise UserCodeError(
            f"{step!r} failed on a row, and its states cannot be copied to go back to what they were before:"
            f" {bare(error)}. Keep in a state what pickle can copy: no lock, file or connection."
        ).quoting(bare(error)) from error


def restored(copy: bytes, like: States) -> States:
    """Make states anew that were written down, of the same lane as others."""
    return like.as_at(*pickle.loads(copy))  # noqa: S301 (this process has written it)
