"""Rows that become messages of a topic of Kafka, in transactions whose offsets say how many there are."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

from muster.errors import UsageError

from .kafka_client import ANSWERS_WITHIN, Topic
from .rows_of_fields import as_csv, cell
from .values import payload_of

if TYPE_CHECKING:
    from confluent_kafka import Consumer, Producer, TopicPartition

_COMMITS_WITHIN: Final = 60.0
"""Seconds: brokers give up a transaction that takes longer."""


class KafkaSink:
    """One topic. A group of its own, of the stream's name, keeps the number as its offset."""

    def __init__(self, topic: Topic, *, encode: Literal["json", "csv", "payload"], key: str | None) -> None:
        """Connect to nobody yet. Without a ``key``, the column whose value is the message's, messages have none.

        Values are made of rows here, or are the ``payload`` that these have.
        """
        self.topic = topic
        self._encode = encode
        self._key = key
        self._producer: Producer | None = None
        self._consumer: Consumer | None = None

    def open(self, stream: str) -> int:
        """Connect, and ask how many rows are there. A transaction that a killed process has left is given up."""
        from confluent_kafka import Consumer, Producer

        name = f"{self.topic.own_names}{stream}"
        reads = self.topic.settings(group_id=name, enable_auto_commit=False, isolation_level="read_committed")
        writes = self.topic.settings(transactional_id=name, acks="all", linger_ms=5)
        with self.topic.in_words():
            self._consumer, self._producer = Consumer(reads), Producer(writes)
        self.topic.found(self._consumer)
        with self.topic.in_words():
            self._producer.init_transactions(ANSWERS_WITHIN)
            [kept] = self._consumer.committed([self._place()], timeout=ANSWERS_WITHIN)
        return max(0, kept.offset)

    def _place(self, number: int = 0) -> "TopicPartition":
        from confluent_kafka import TopicPartition

        return TopicPartition(self.topic.topic, 0, number)

    def prepare(self, number: int, rows: Path) -> None:
        """Send rows, in a transaction that nobody sees yet."""
        del number
        assert self._producer is not None  # noqa: S101 (open comes first)
        with self.topic.in_words():
            self._producer.begin_transaction()
            with rows.open("rb") as lines:
                for line in lines:
                    self._send(line.rstrip(b"\n"))

    def _send(self, line: bytes) -> None:
        assert self._producer is not None  # noqa: S101 (open comes first)
        key, value = None, line
        if self._key is not None or self._encode == "csv":
            row = json.loads(line)
            if self._key is not None and self._key not in row:
                raise UsageError(
                    f"{self.topic.name}: key={self._key!r} is no column of the rows, which have {', '.join(row)}. Name"
                    " one of them, and type the same command again with --accept-changes."
                )
            key = cell(row[self._key]).encode() if self._key is not None else None
            if self._encode == "csv":
                value = as_csv([row], [*row], has_header=False).removesuffix(b"\r\n")
        if self._encode == "payload":
            value = payload_of(line)
        while True:
            try:
                self._producer.produce(self.topic.topic, value, key)
            except BufferError:
                self._producer.poll(0.1)  # it is sending
            else:
                return

    def commit(self, number: int) -> None:
        """Show them, and keep the number, in one transaction."""
        assert self._producer is not None  # noqa: S101 (open comes first)
        assert self._consumer is not None  # noqa: S101 (likewise)
        with self.topic.in_words():
            group = self._consumer.consumer_group_metadata()
            self._producer.send_offsets_to_transaction([self._place(number)], group, ANSWERS_WITHIN)
            self._producer.commit_transaction(_COMMITS_WITHIN)

    def close(self) -> None:
        """Leave the brokers; what was not committed is given up when the sink is opened again."""
        consumer, self._consumer, self._producer = self._consumer, None, None
        if consumer is not None:
            consumer.close()
