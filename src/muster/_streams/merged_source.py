"""Several sources of one stream. Each keeps its own position and what has come of it; none waits for another.

What an epoch has of each is journaled before it is done, as with one source: so it is the same after any crash.
"""

import contextlib
import selectors
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from muster._job import SourceLag
from muster._journal.events import EpochBegan, FilesMoved
from muster._model import Position, Stretch
from muster.errors import DataError, UsageError

from .arrivals import Behind
from .epochs import EPOCH_BYTES, Epoch
from .shared_columns import SharedColumns
from .source import EpochSource

FILES: Final = 0
"""The origin of rows of files. That of others is less: the device of their positions."""

_FOR_EVER: Final = float("inf")


class Member(NamedTuple):
    """One of several sources, and how messages call it."""

    name: str
    source: EpochSource


@dataclass(slots=True)
class _Silence:
    """Since when a source gives nothing, and until when it was asked: what waits while nobody asks is no silence."""

    since: float
    until: float
    has_ended: bool = False

    @property
    def seconds(self) -> float:
        return _FOR_EVER if self.has_ended else self.until - self.since


class MergedSource:
    """The rows of several sources, those of each in their order."""

    def __init__(self, members: Mapping[int, Member], columns: SharedColumns, *, takes_turns: bool) -> None:
        """Know them by their origins. Where they take turns, an epoch has rows of one of them."""
        self.seconds = 0.0
        self._members = members
        self._columns = columns
        self._takes_turns = takes_turns
        self.turns = len(members) if takes_turns else 1
        self._next = 0
        """Whose turn it is to fill an epoch first."""
        now = time.monotonic()
        self._silences = {origin: _Silence(now, now) for origin in members}
        self._is_ending = False
        self._have_ended = set[int]()
        """Those from which nothing comes any more, though nobody has asked for the end."""
        self._told = set[int]()
        """Those of them of which that was told."""
        self._bell = selectors.DefaultSelector()
        for _, source in members.values():
            if source.fileno() >= 0:
                self._bell.register(source.fileno(), selectors.EVENT_READ)

    def fileno(self) -> int:
        return self._bell.fileno()

    def _of(self, positions: Sequence[Position]) -> dict[int, list[Position]]:
        """Tell apart whose positions they are."""
        own: dict[int, list[Position]] = {origin: [] for origin in self._members}
        for position in positions:
            own[self._origin(position)].append(position)
        return own

    def _origin(self, position: Position) -> int:
        return position.device if position.device in self._members else FILES

    def hold(self, done: Sequence[Position], columns: Sequence[str]) -> None:
        self._columns.know("the stream so far", columns)
        for origin, own in self._of(done).items():
            self._members[origin].source.hold(own, columns)

    def open(self) -> str:
        return "; ".join(filter(None, (source.open() for _, source in self._members.values())))

    def again(self, begun: EpochBegan) -> Epoch | None:
        own = self._stretches(begun.stretches)
        made = dict[int, Epoch]()
        for origin in sorted(own, reverse=True):  # files first: others know what they read again as begun
            epoch = self._members[origin].source.again(begun._replace(stretches=own[origin]))
            if epoch is None:
                return None
            made[origin] = epoch
        return self._joined(begun.number, {origin: made[origin] for origin in own})

    def _stretches(self, stretches: Sequence[Stretch]) -> dict[int, tuple[Stretch, ...]]:
        """Tell apart whose they are; the sources stand in the order in which the epoch has them."""
        own = dict[int, tuple[Stretch, ...]]()
        for stretch in stretches:
            origin = self._origin(stretch.position)
            own[origin] = (*own.get(origin, ()), stretch)
        return own

    def go_on(self, positions: Sequence[Position]) -> None:
        for origin, own in self._of(positions).items():
            self._members[origin].source.go_on(own)

    def look(self) -> FilesMoved | None:
        moved = [event for _, source in self._members.values() if (event := source.look()) is not None]
        self.seconds = sum(source.seconds for _, source in self._members.values())
        if not moved:
            return None
        return FilesMoved(
            [position for one in moved for position in one.positions], [file for one in moved for file in one.gone]
        )

    def take(self, number: int, *, most: int = EPOCH_BYTES) -> Epoch | None:
        origins, first = [*self._members], self._next
        taken = dict[int, Epoch]()
        for at in [*range(first, len(origins)), *range(first)]:
            if (epoch := self._asked(origins[at], number, most=most)) is None:
                continue
            taken[origins[at]] = epoch
            self._next = (at + 1) % len(origins)
            most -= sum(stretch.bytes for stretch in epoch.stretches)
            if self._takes_turns or most <= 0:
                break
        return self._joined(number, taken) if taken else None

    def _asked(self, origin: int, number: int, *, most: int) -> Epoch | None:
        """Ask one of them for what has come."""
        name, source = self._members[origin]
        has_ended = origin in self._have_ended  # before a look at what is there, which may come until then
        epoch, now = source.take(number, most=most), time.monotonic()
        if epoch is None:
            self._silences[origin].until = now
            self._silences[origin].has_ended = has_ended
        else:
            self._silences[origin] = _Silence(now, now)
            self._check_columns(name, epoch)
        return epoch

    def _check_columns(self, name: str, epoch: Epoch) -> None:
        """Raise ``DataError`` where a file has other columns than the other sources; those of others were checked."""
        for stretch in epoch.stretches:
            if self._origin(stretch.position) == FILES:
                try:
                    self._columns.check(stretch.name, [*stretch.position.order, *(key for key, _ in stretch.keys)])
                except UsageError as error:
                    raise DataError(f"{name}: {error} No row of it is done.") from error

    def _joined(self, number: int, epochs: Mapping[int, Epoch]) -> Epoch:
        """Make one epoch of those of several, in this order."""
        parts, before = [], 0
        for epoch in epochs.values():
            parts += [part._replace(file=part.file + before) for part in epoch.parts]
            before += len(epoch.sources)
        return Epoch(
            number,
            tuple(stretch for epoch in epochs.values() for stretch in epoch.stretches),
            tuple(parts),
            tuple(source for epoch in epochs.values() for source in epoch.sources),
            next(iter(epochs)) if self._takes_turns else None,
        )

    def forget(self, epoch: Epoch) -> list[tuple[int, float]]:
        came = list[tuple[int, float]]()
        for origin, stretches in self._stretches(epoch.stretches).items():
            came += self._members[origin].source.forget(epoch._replace(stretches=stretches))
        return came

    def end(self) -> None:
        self._is_ending = True
        for _, source in self._members.values():
            source.end()

    def has_ended(self) -> bool:
        """Tell whether nothing comes any more from any of them."""
        if not self._is_ending:
            self._have_ended |= {origin for origin, (_, source) in self._members.items() if source.has_ended()}
        return all(source.has_ended() for _, source in self._members.values())

    def settle(self) -> None:
        with contextlib.ExitStack() as each:  # whoever raises keeps no other from it
            for _, source in self._members.values():
                each.callback(source.settle)

    def behind(self) -> Behind:
        told = {origin: source.behind() for origin, (_, source) in self._members.items()}
        rows = [one.rows for one in told.values() if one.rows is not None]
        lags = [
            SourceLag(
                name,
                rows=one.rows,
                bytes=one.bytes,
                seconds=round(one.seconds, 3),
                away=one.away,
                has_ended=origin in self._have_ended,
            )
            for (origin, one), (name, _) in zip(told.items(), self._members.values(), strict=True)
        ]
        return Behind(
            sum(one.bytes for one in told.values()),
            sum(rows) if rows else None,
            max(one.seconds for one in told.values()),
            sum(one.skipped for one in told.values()),
            sources=tuple(sorted(lags, key=lambda one: one.bytes, reverse=True)),
        )

    def silences(self) -> Mapping[int, float]:
        return {origin: one.seconds for origin, one in self._silences.items()} if self._takes_turns else {}

    def remarks(self, *, at_the_end: bool = False) -> Iterator[str]:
        for origin, (name, source) in self._members.items():
            yield from source.remarks(at_the_end=at_the_end)
            if origin in self._have_ended - self._told and len(self._have_ended) < len(self._members):
                self._told.add(origin)
                yield f"{name}: nothing comes from it any more; the others go on"

    def close(self) -> None:
        self._bell.close()
        with contextlib.ExitStack() as each:
            for _, source in self._members.values():
                each.callback(source.close)
