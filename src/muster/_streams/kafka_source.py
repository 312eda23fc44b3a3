"""Rows that are the messages of a topic of Kafka: each value is one."""

import json
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Final, NamedTuple

from muster._job import StreamRows
from muster.errors import DataError

from .kafka_client import ANSWERS_WITHIN, READERS, Topic
from .rows_of_fields import KnownFields, RowsWanted
from .values import Reads, Values

if TYPE_CHECKING:
    from confluent_kafka import Consumer, KafkaError, Message
    from confluent_kafka.admin import AdminClient

_MOST: Final = 10_000
"""Messages that are taken at once."""
_PAUSE: Final = 0.1
_LOOKS_AGAIN: Final = 60.0
"""Seconds after which it is seen whether the topic has more partitions."""


class _Offsets(NamedTuple):
    """Where a stream is."""

    next: Mapping[int, int]
    """Of each partition, the offset of the next message."""
    known: KnownFields = KnownFields()
    topic: str = ""
    """The id of the topic, which another one of its name has not; empty where brokers give none."""
    skipped: int = 0
    """How many messages were gone before they were read, and were skipped."""

    @classmethod
    def of(cls, position: str) -> "_Offsets":
        if not position:
            return cls({})
        found = json.loads(position)
        offsets = {int(number): offset for number, offset in found["next"].items()}
        return cls(offsets, KnownFields.of(found), found.get("topic", ""), found.get("skipped", 0))

    @property
    def text(self) -> str:
        told = {"next": self.next, **self.known.told, "topic": self.topic, "skipped": self.skipped}
        return json.dumps(told, separators=(",", ":"))


class KafkaSource:
    """The messages of one topic, of all of its partitions."""

    def __init__(self, topic: Topic, asked: RowsWanted, *, reads: Reads) -> None:
        """Connect to nobody yet. Raises ``UsageError``."""
        asked.check()
        self.topic = topic
        self._asked = asked
        self._values = Values(asked, reads)
        self._consumer: Consumer | None = None
        self._ids: AdminClient | None = None
        """Tells the id of the topic, which a consumer does not."""
        self._skipped = 0
        self._assigned: Mapping[int, int] | None = None
        """Where the consumer is."""
        self._looked_at = 0.0

    def open(self) -> None:
        """Connect. Raises ``AwayError`` where no broker answers."""
        from confluent_kafka import Consumer

        settings = self.topic.settings(
            group_id=READERS,
            enable_auto_commit=False,
            isolation_level="read_committed",
            auto_offset_reset="error",
            allow_auto_create_topics=False,
        )
        with self.topic.in_words():
            self._consumer = Consumer(settings)
        self._assigned = None
        self._ids = self.topic.admin()
        self._look()

    def _look(self) -> Sequence[int]:
        assert self._consumer is not None  # noqa: S101 (open comes first)
        self._looked_at = time.monotonic()
        return [*self.topic.found(self._consumer).partitions]

    def read(self, position: str, limit: int) -> StreamRows | None:
        """Read messages behind a position."""
        at = _Offsets.of(position)
        self._skipped = at.skipped
        if self._assigned is None or time.monotonic() - self._looked_at > _LOOKS_AGAIN:
            at = self._with_all_partitions(self._of_same_topic(at), is_first=not position)
        if self._assigned != at.next:
            self._assign(at)
        messages, behind = self._messages(at, limit)
        if not messages:
            return StreamRows(b"", behind.text)
        self._of_same_topic(at)  # asked behind them: else they may be those of another one
        text, known = self._values.text(map(_placed, messages), at.known)
        return StreamRows(text, behind._replace(known=known).text)

    def _of_same_topic(self, at: _Offsets) -> _Offsets:
        """Note which topic it is. Raises ``DataError`` where it is another one than the one that was read before."""
        assert self._ids is not None  # noqa: S101 (open comes first)
        found = self.topic.id(self._ids)
        if at.topic and found and found != at.topic:
            raise DataError(
                f"{self.topic.name}: the topic has been deleted and made anew, so none of its messages is one that"
                " comes behind those that were read. What was read is done. To read what is there from its start, type"
                " the same command again with --fresh."
            )
        return at._replace(topic=at.topic or found)

    def skipped(self) -> int:
        """Count the messages that were gone before they were read, since the stream began."""
        return self._skipped

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

        if self.topic.is_denied(error):
            raise self.topic.in_words_of(error)
        if error.code() != KafkaError._AUTO_OFFSET_RESET:  # noqa: SLF001 (its name in the library)
            self._look()  # a client without a broker takes its topic for unknown
            raise self.topic.away(error.str())
        self._of_same_topic(at)
        number = _partition(message)
        low, high = self._edges(number)
        gone = low - at.next[number]
        if gone <= 0 and at.next[number] <= high:
            raise self.topic.away(error.str())  # it has come to be there
        if self._asked.lost == "skip" and gone > 0:
            self._skipped = at.skipped + gone
            return at._replace(next={**at.next, number: low}, skipped=self._skipped)
        if gone <= 0:
            raise DataError(
                f"{self.topic.name}: partition {number} ends at {high}, and was read up to {at.next[number]}: its"
                " brokers have lost rows. What was read is done. To read what is there from its start, type the same"
                " command again with --fresh."
            )
        raise self._asked.gone(gone, f"{self.topic.name}, partition {number}")

    def acknowledge(self, position: str) -> None:
        """Do nothing: Kafka keeps messages for as long as it is told to."""

    def close(self) -> None:
        """Leave the brokers."""
        consumer, self._consumer, self._ids = self._consumer, None, None
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


def _placed(message: "Message") -> tuple[str, bytes | None]:
    value = message.value()
    assert not isinstance(value, str)  # noqa: S101 (nobody has asked for text)
    return f"partition {_partition(message)} offset {_offset(message)}", value
