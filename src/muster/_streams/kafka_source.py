"""Rows that are the messages of a topic of Kafka: each value is a row of CSV or of JSON."""

import csv
import json
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple

from muster._job import StreamRows
from muster._words.numbers import plural
from muster.errors import DataError

from .kafka_client import ANSWERS_WITHIN, Topic
from .rows_of_fields import Columns, RowsWanted, as_csv

if TYPE_CHECKING:
    from confluent_kafka import Consumer, KafkaError, Message

_MOST: Final = 10_000
"""Messages that are taken at once."""
_PAUSE: Final = 0.1
_LOOKS_AGAIN: Final = 60.0
"""Seconds after which it is seen whether the topic has more partitions."""


class _Offsets(NamedTuple):
    """Where a stream is."""

    next: Mapping[int, int]
    """Of each partition, the offset of the next message."""
    columns: tuple[str, ...] = ()
    """Of the rows before it, where nobody has named them."""

    @classmethod
    def of(cls, position: str) -> "_Offsets":
        if not position:
            return cls({})
        found = json.loads(position)
        return cls({int(number): offset for number, offset in found["next"].items()}, tuple(found["columns"]))

    @property
    def text(self) -> str:
        return json.dumps({"next": self.next, "columns": self.columns}, separators=(",", ":"))


class KafkaSource:
    """The messages of one topic, of all of its partitions."""

    def __init__(self, topic: Topic, asked: RowsWanted, *, decode: Literal["json", "csv"]) -> None:
        """Connect to nobody yet. Raises ``UsageError``."""
        asked.check()
        self.topic = topic
        self._asked = asked
        self._decode = decode
        self._consumer: Consumer | None = None
        self._assigned: Mapping[int, int] | None = None
        """Where the consumer is."""
        self._looked_at = 0.0

    def open(self) -> None:
        """Connect. Raises ``AwayError`` where no broker answers."""
        from confluent_kafka import Consumer

        settings = self.topic.settings(
            group_id="muster",  # nothing is committed: the stream keeps its position itself
            enable_auto_commit=False,
            isolation_level="read_committed",
            auto_offset_reset="error",
            allow_auto_create_topics=False,
        )
        with self.topic.in_words():
            self._consumer = Consumer(settings)
        self._assigned = None
        self._look()

    def _look(self) -> Sequence[int]:
        assert self._consumer is not None  # noqa: S101 (open comes first)
        self._looked_at = time.monotonic()
        return [*self.topic.found(self._consumer).partitions]

    def read(self, position: str, limit: int) -> StreamRows | None:
        """Read messages behind a position."""
        at = _Offsets.of(position)
        if self._assigned is None or time.monotonic() - self._looked_at > _LOOKS_AGAIN:
            at = self._with_all_partitions(at, is_first=not position)
        if self._assigned != at.next:
            self._assign(at)
        messages, behind = self._messages(at, limit)
        if not messages:
            return StreamRows(b"", behind.text)
        named = self._asked.columns
        rows = list(map(self._row, messages))
        columns = Columns(named or at.columns, may_have_others=bool(named)).found(rows[0])
        for message, row in zip(messages, rows, strict=True):
            columns.check(row, of=self._what(message))
        text = as_csv(rows, columns.names, has_header=not (named or at.columns))
        return StreamRows(text, behind._replace(columns=() if named else columns.names).text)

    def behind(self) -> int:
        """Count the messages that are there and were not read, as far as brokers have told."""
        from confluent_kafka import TopicPartition

        consumer, places = self._consumer, self._assigned
        if consumer is None or places is None:
            return 0
        many = 0
        for number, offset in places.items():
            _, high = consumer.get_watermark_offsets(TopicPartition(self.topic.topic, number), cached=True)
            many += max(0, high - offset)
        return many

    def _with_all_partitions(self, at: _Offsets, *, is_first: bool) -> _Offsets:
        """Begin with partitions that are new: at their start, or at their end where only new messages count."""
        found = dict(at.next)
        for number in self._look():
            if number not in found:
                low, high = self._edges(number)
                found[number] = high if is_first and self._asked.start == "newest" else low
        return at._replace(next=found)

    def _edges(self, partition: int) -> tuple[int, int]:
        from confluent_kafka import TopicPartition

        assert self._consumer is not None  # noqa: S101 (open comes first)
        with self.topic.in_words():
            low, high = self._consumer.get_watermark_offsets(
                TopicPartition(self.topic.topic, partition), timeout=ANSWERS_WITHIN
            )
        return low, high

    def _assign(self, at: _Offsets) -> None:
        from confluent_kafka import TopicPartition

        assert self._consumer is not None  # noqa: S101 (open comes first)
        with self.topic.in_words():
            self._consumer.assign(
                [TopicPartition(self.topic.topic, number, offset) for number, offset in at.next.items()]
            )
        self._assigned = at.next

    def _messages(self, at: _Offsets, limit: int) -> "tuple[list[Message], _Offsets]":
        """Take what is there, and say what is behind it. Raises ``DataError`` where messages are gone."""
        assert self._consumer is not None  # noqa: S101 (open comes first)
        found: list[Message] = []
        size, behind = 0, dict(at.next)
        while size < limit and len(found) < _MOST:
            some = self._consumer.consume(1000, timeout=0 if found else _PAUSE)
            for message in some:
                if (error := message.error()) is not None:
                    if found:
                        self._assigned = None  # so that the error comes again, once what came before it is kept
                        return found, at._replace(next=behind)
                    return [], self._after(error, message, at)
                found.append(message)
                size += len(message)
                behind[_partition(message)] = _offset(message) + 1
            if not some:
                break
        self._assigned = behind
        return found, at._replace(next=behind)

    def _after(self, error: "KafkaError", message: "Message", at: _Offsets) -> _Offsets:
        """Say where it goes on behind messages that are gone. Raises what else the error means."""
        from confluent_kafka import KafkaError

        if error.code() != KafkaError._AUTO_OFFSET_RESET:  # noqa: SLF001 (its name in the library)
            self._look()  # a client without a broker takes its topic for unknown
            raise self.topic.away(error.str())
        number = _partition(message)
        low, high = self._edges(number)
        gone = low - at.next[number]
        if gone <= 0 and at.next[number] <= high:
            raise self.topic.away(error.str())  # it has come to be there
        if self._asked.lost == "skip":
            return at._replace(next={**at.next, number: low})
        if gone <= 0:
            raise DataError(
                f"{self.topic.name}: partition {number} ends at {high}, and was read up to {at.next[number]}: the topic"
                " has been deleted and made anew, or its brokers have lost rows. What was read is done. To read what is"
                " there from its start, type the same command again with --fresh."
            )
        raise self._asked.gone(gone, f"{self.topic.name}, partition {number}")

    def _row(self, message: "Message") -> Mapping[str, Any]:
        """Read the value of a message. Raises ``DataError`` where it is no row."""
        value = message.value()
        try:
            return _read(value, self._decode, self._asked.columns)
        except (TypeError, ValueError, csv.Error) as error:
            raise DataError(
                f"{self._what(message)} is no row of {self._decode}: {error}. It is {value!r:.200}. What came before is"
                " done. Read the topic with the decode= that its rows have."
            ) from error

    def _what(self, message: "Message") -> str:
        return f"{self.topic.name}: the message {_offset(message)} of partition {_partition(message)}"

    def acknowledge(self, position: str) -> None:
        """Do nothing: Kafka keeps messages for as long as it is told to."""

    def close(self) -> None:
        """Leave the brokers."""
        consumer, self._consumer = self._consumer, None
        if consumer is not None:
            consumer.close()


def _partition(message: "Message") -> int:
    number = message.partition()
    assert number is not None  # noqa: S101 (it has come from one)
    return number


def _offset(message: "Message") -> int:
    offset = message.offset()
    assert offset is not None  # noqa: S101 (likewise)
    return offset


def _read(value: bytes | str | None, decode: str, names: Sequence[str]) -> Mapping[str, Any]:
    """Read a row. Raises ``ValueError`` or ``csv.Error`` where it is none."""
    if not isinstance(value, bytes):
        raise TypeError("it has no value")
    if decode == "json":
        row = json.loads(value)
        if not isinstance(row, dict) or not row:
            raise ValueError("it is no object with fields")
        return row
    [cells] = csv.reader([value.decode("utf-8", "surrogateescape")], strict=True)
    if len(cells) != len(names):
        raise ValueError(f"it has {plural(len(cells), 'cell')}, and columns= names {len(names)}")
    return dict(zip(names, cells, strict=True))
