"""Pipelines that go on over what servers keep: streams of Redis, topics of Kafka."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal, Unpack

from muster._api.options import DTypes, check_whole, spelled_out
from muster._api.pipeline import Pipeline
from muster._api.streams import checked_every, named_columns, options_of
from muster._dialects.options import ValueOptions
from muster._job import Follow, ReadFrom
from muster._show.callers import from_the_callers_line
from muster._streams.rows_of_fields import RowsWanted
from muster.errors import UsageError


@spelled_out(ValueOptions)
@from_the_callers_line
def follow_redis(  # noqa: PLR0913 (each is given by its name)
    url: str,
    stream: str,
    *,
    columns: Sequence[str] | None = None,
    start: Literal["oldest", "newest"] = "oldest",
    lost: Literal["stop", "skip"] = "stop",
    every: float = 0.05,
    dtype: DTypes | None = None,
    spool_bytes: int = 256_000_000,
    **options: Unpack[ValueOptions],
) -> Pipeline:
    """Begin a pipeline over the entries of a stream of Redis, ``follow_redis("redis://127.0.0.1:6379", "orders")``.

    An entry is a row, and its fields are the cells. It goes on until somebody stops it: ``muster stop RUN``, or Ctrl-C.
    An epoch is what has come since the one before, ``every`` so many seconds at the most. Each entry is done exactly
    once, whatever is killed; run again, it goes on behind the last one. Entries stay in Redis. Needs Redis 7, and the
    extra ``redis``.

    - ``columns``: the fields that are wanted. None: those of the first entry; another field in a later one stops it.
    - ``start``: the first time begin with the ``"oldest"`` entry that is there, or, ``"newest"``, with the next one.
    - ``lost``: where entries were trimmed or deleted before they were read, ``"stop"`` with an error, or ``"skip"``.
    - ``spool_bytes``: so much may wait on the disk to be done; then nothing more is read.

    ``dtype`` and the other options are those of :func:`muster.read_csv`; without ``dtype``, types are those of the
    first epoch. `muster help redis` has more.
    """
    from muster._streams.redis_source import RedisSource

    check_whole("spool_bytes", spool_bytes, least=1)
    names = named_columns(columns)
    source = RedisSource(url, stream, RowsWanted(names, start, lost))
    asked = ReadFrom(source, source.place.name, names, spool_bytes, by="follow_redis")
    return Pipeline((asked.name,), options=options_of(options, dtype), follow=Follow(checked_every(every), asked))


@spelled_out(ValueOptions)
@from_the_callers_line
def follow_kafka(  # noqa: PLR0913 (each is given by its name)
    brokers: str,
    topic: str,
    *,
    decode: Literal["json", "csv"] = "json",
    columns: Sequence[str] | None = None,
    start: Literal["oldest", "newest"] = "oldest",
    lost: Literal["stop", "skip"] = "stop",
    settings: Mapping[str, Any] | None = None,
    every: float = 0.05,
    dtype: DTypes | None = None,
    spool_bytes: int = 256_000_000,
    **options: Unpack[ValueOptions],
) -> Pipeline:
    """Begin a pipeline over the messages of a topic of Kafka, ``follow_kafka("127.0.0.1:9092", "orders")``.

    The value of a message is a row. It goes on until somebody stops it: ``muster stop RUN``, or Ctrl-C. An epoch is
    what has come since the one before, ``every`` so many seconds at the most. Each message that is committed is done
    exactly once, whatever is killed; run again, it goes on behind the last one. Those of one partition stay in order.
    Needs the extra ``kafka``.

    - ``decode``: values are objects of ``"json"``, or rows of ``"csv"``, for which ``columns`` names the columns.
    - ``columns``: the fields that are wanted. None: those of the first message; another field in a later one stops it.
    - ``start``: the first time begin with the ``"oldest"`` message that is there, or, ``"newest"``, with the next one.
    - ``lost``: where messages were deleted before they were read, ``"stop"`` with an error, or ``"skip"``.
    - ``settings``: those of librdkafka, such as ``{"security.protocol": "SASL_SSL", "sasl.username": ...}``.
    - ``spool_bytes``: so much may wait on the disk to be done; then nothing more is read.

    ``dtype`` and the other options are those of :func:`muster.read_csv`; without ``dtype``, types are those of the
    first epoch. `muster help kafka` has more.
    """
    from muster._streams.kafka_client import Topic
    from muster._streams.kafka_source import KafkaSource

    check_whole("spool_bytes", spool_bytes, least=1)
    if decode not in {"json", "csv"}:
        raise UsageError(f"decode={decode!r}: it is 'json' or 'csv'.")
    names = named_columns(columns)
    if decode == "csv" and not names:
        raise UsageError("decode='csv': say what the columns are, such as columns=['order', 'amount'].")
    named = Topic(brokers, topic, settings, call="follow_kafka")
    source = KafkaSource(named, RowsWanted(names, start, lost), decode=decode)
    asked = ReadFrom(source, named.name, names, spool_bytes, by="follow_kafka")
    return Pipeline((asked.name,), options=options_of(options, dtype), follow=Follow(checked_every(every), asked))
