"""Rows that are entries of a stream of Redis: each field is a cell, or the value of one field is a row."""

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from muster._job import StreamRows
from muster.errors import DataError, UsageError

from .redis_client import Place, closed
from .rows_of_fields import KnownFields, RowsWanted
from .values import Reads, Values

if TYPE_CHECKING:
    from redis import Redis

_FIRST: Final = "0-0"
_MOST: Final = 10_000
"""Entries that are asked for at once: with more, the server would keep others waiting for longer than a few ms."""
_FIRST_COUNT: Final = 500
"""The same before it is known how long they are."""
_PAUSE_MS: Final = 100
"""Milliseconds: how soon a stream that is stopped ends, where nothing comes."""


class _At(NamedTuple):
    """Where a stream is."""

    id: str = _FIRST
    """That of the last entry that was read."""
    number: int = -1
    """How many entries had ever been added up to it; -1: nothing has been read yet."""
    known: KnownFields = KnownFields()
    skipped: int = 0
    """How many entries were gone before they were read, and were skipped."""

    @classmethod
    def of(cls, position: str) -> "_At":
        if not position:
            return cls()
        found = json.loads(position)
        return cls(found["id"], found["number"], KnownFields.of(found), found.get("skipped", 0))

    @property
    def text(self) -> str:
        told = {"id": self.id, "number": self.number, **self.known.told, "skipped": self.skipped}
        return json.dumps(told, separators=(",", ":"))


class _Found(NamedTuple):
    """What the server has at one moment."""

    added: int
    """How many entries were ever added."""
    there: int
    last: str
    oldest: str
    """The id of the oldest one that is there."""
    entries: Sequence[tuple[bytes, Mapping[bytes, bytes] | None]]
    """Those behind the position, as many as were asked for."""


class RedisSource:
    """The entries of one stream."""

    def __init__(
        self, url: str, stream: str, asked: RowsWanted, *, field: str = "", reads: Reads | None = None
    ) -> None:
        """Connect to nobody yet. ``reads`` says how rows are read from a ``field``; ``None``: all fields are cells.

        Raises ``UsageError``.
        """
        asked.check()
        self.place = Place(url, stream, call="follow_redis")
        self._asked = asked
        self._field = field.encode()
        self._values = None if reads is None else Values(asked, reads)
        self._client: Redis | None = None
        self._count = _FIRST_COUNT
        self._behind = self._skipped = 0

    def open(self) -> None:
        """Connect. Raises ``AwayError`` where nobody answers."""
        self._client = self.place.connect()

    def read(self, position: str, limit: int) -> StreamRows | None:
        """Read entries behind a position."""
        at = _At.of(position)
        self._skipped = at.skipped
        found = self._found(at)
        if found is None:
            return self._without_key(at)
        if at.number < 0:
            if self._asked.start == "newest":
                return StreamRows(b"", _At(found.last, found.added).text)
            at = at._replace(number=found.added - found.there)
        at = self._counted(at, found)
        self._skipped = at.skipped
        self._behind = found.added - at.number - len(found.entries)
        if not found.entries:
            self._wait(at)
            return StreamRows(b"", at.text)
        return self._rows(at, found, limit)

    def behind(self) -> int:
        """Count the entries that are there and were not read."""
        return self._behind

    def skipped(self) -> int:
        """Count the entries that were gone before they were read, since the stream began."""
        return self._skipped

    def _found(self, at: _At) -> _Found | None:
        """Ask what there is, in one step; ``None`` where there is no such key."""
        assert self._client is not None  # noqa: S101 (open comes first)
        from redis.exceptions import ResponseError

        with self.place.in_words(), self._client.pipeline(transaction=True) as asked:
            asked.xinfo_stream(self.place.key)
            asked.xrange(self.place.key, min=f"({at.id}", count=self._count)
            info, entries = asked.execute(raise_on_error=False)
            for answer in (info, entries):
                if isinstance(answer, ResponseError) and "no such key" in str(answer):
                    return None
                if isinstance(answer, Exception):
                    raise answer
        told: dict[str, Any] = {_text(name): value for name, value in info.items()}
        if "entries-added" not in told:
            raise UsageError(f"{self.place.name}: the server is older than Redis 7, which counts entries.")
        first = told["first-entry"]
        oldest = _text(first[0]) if first else ""
        return _Found(told["entries-added"], told["length"], _text(told["last-generated-id"]), oldest, entries)

    def _without_key(self, at: _At) -> StreamRows:
        if at.number > 0:
            if self._asked.lost == "stop":
                raise self._made_anew("has been deleted")
            return StreamRows(b"", at._replace(id=_FIRST, number=0).text)
        if at.number < 0 and self._asked.start == "newest":
            return StreamRows(b"", _At(number=0).text)  # all that comes from now on
        raise self.place.away("there is no such stream yet; it begins with the first XADD")

    def _counted(self, at: _At, found: _Found) -> _At:
        """Say up to where entries are known, those among them that are gone. Raises ``DataError`` where some are."""
        if _is_behind(at.id, found.last) or found.added < at.number:
            if self._asked.lost == "stop":
                raise self._made_anew("has been deleted and made anew, or its server has lost rows")
            number = found.added - found.there
            return at._replace(id=_FIRST, number=number, skipped=at.skipped + number)
        if len(found.entries) < self._count:  # all that are there
            gone = found.added - at.number - len(found.entries)
        elif _is_behind(found.oldest, at.id):  # all that are there come behind
            gone = found.added - at.number - found.there
        else:
            gone = 0
        if gone < 0:
            raise self._made_anew("has been deleted and made anew")
        if gone and self._asked.lost == "stop":
            raise self._asked.gone(gone, self.place.name)
        return at._replace(number=at.number + gone, skipped=at.skipped + gone)

    def _made_anew(self, what: str) -> DataError:
        return DataError(
            f"{self.place.name}: the stream {what}, so nobody knows which of its rows are new. What was read is done."
            " To read what is there from its start, type the same command again with --fresh."
        )

    def _rows(self, at: _At, found: _Found, limit: int) -> StreamRows:
        entries = [(f"entry {_text(name)}", fields or {}) for name, fields in found.entries]
        if self._values is not None:
            values = [(place, fields.get(self._field)) for place, fields in entries]
            text, known = self._values.text(values, at.known)
        else:
            rows = [(place, _texts(fields)) for place, fields in entries]
            text, known = self._asked.text(rows, at.known)
        self._count = max(1, min(_MOST, limit * len(entries) // max(len(text), 1)))
        last = _text(found.entries[-1][0])
        return StreamRows(text, at._replace(id=last, number=at.number + len(entries), known=known).text)

    def _wait(self, at: _At) -> None:
        """Wait for a moment, or until an entry comes."""
        assert self._client is not None  # noqa: S101 (open comes first)
        with self.place.in_words():
            self._client.xread({self.place.key: at.id}, count=1, block=_PAUSE_MS)

    def acknowledge(self, position: str) -> None:
        """Do nothing: Redis keeps entries until somebody trims or deletes them."""

    def close(self) -> None:
        """Close the connection."""
        client, self._client = self._client, None
        closed(client)


def _is_behind(one: str, other: str) -> bool:
    """Tell whether an id comes behind another one."""
    return _order(one) > _order(other)


def _order(text: str) -> tuple[int, ...]:
    return tuple(map(int, text.split("-")))


def _text(name: bytes | str) -> str:
    return name.decode("utf-8", "surrogateescape") if isinstance(name, bytes) else name


def _texts(fields: Mapping[bytes, bytes]) -> dict[str, str]:
    return {_text(name): _text(value) for name, value in fields.items()}
