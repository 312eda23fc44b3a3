"""Rows that become entries of a stream of Redis: each cell is a field."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from muster._model import PAYLOAD

from .redis_client import Place, closed, numbers_key
from .rows_of_fields import cell
from .values import payload_of

if TYPE_CHECKING:
    from redis import Redis
    from redis.client import Pipeline


class RedisSink:
    """One stream, and beside it the hash that says how many rows of each stream of muster are in it."""

    def __init__(self, url: str, stream: str, *, maxlen: int | None, has_payloads: bool = False) -> None:
        """Connect to nobody yet; rows may be payloads. Raises ``UsageError``."""
        self.place = Place(url, stream, call="send_redis")
        self._maxlen = maxlen
        self._has_payloads = has_payloads
        self._numbers = numbers_key(stream)
        self._client: Redis | None = None
        self._run = ""
        self._committed = 0
        self._prepared: Path | None = None

    def open(self, stream: str) -> int:
        """Connect, and ask how many rows are there."""
        self._client, self._run = self.place.connect(), stream
        with self.place.in_words(), self._client.pipeline() as asked:
            self._committed = self._told(asked)
        return self._committed

    def prepare(self, number: int, rows: Path) -> None:
        """Know where the rows are: Redis shows whatever it has, so they go there with ``commit``."""
        del number
        self._prepared = rows

    def commit(self, number: int) -> None:
        """Add the entries, and keep the number, in one transaction.

        It is refused where the number has changed since it was asked for: a transaction of a process that was killed
        may arrive late.
        """
        assert self._client is not None  # noqa: S101 (open comes first)
        assert self._prepared is not None  # noqa: S101 (as does prepare)
        with self.place.in_words(), self._client.pipeline(transaction=True) as step:
            if self._told(step) != self._committed:
                raise self.place.away("rows that were sent before a crash have arrived only now")
            step.multi()
            for line in self._prepared.read_bytes().splitlines():
                fields: dict[Any, Any] = {PAYLOAD: payload_of(line)} if self._has_payloads else _fields(line)
                step.xadd(self.place.key, fields, maxlen=self._maxlen)
            step.hset(self._numbers, self._run, str(number))
            step.execute()
        self._committed = number

    def _told(self, asked: "Pipeline") -> int:
        """Read the number. Raises ``DataError`` where the key is no stream, which a transaction would find too late."""
        ask: Any = asked
        ask.watch(self.place.key, self._numbers)  # from here on each is answered at once
        kind = ask.type(self.place.key).decode()
        if kind not in {"stream", "none"}:
            raise self.place.wrong_type(f"a {kind}")
        return int(ask.hget(self._numbers, self._run) or 0)

    def close(self) -> None:
        """Close the connection."""
        client, self._client = self._client, None
        closed(client)


def _fields(line: bytes) -> dict[Any, Any]:
    """Make the fields of an entry of a row of JSON; a missing cell is empty, so that all have the same fields."""
    return {name: cell(value) for name, value in json.loads(line).items()}
