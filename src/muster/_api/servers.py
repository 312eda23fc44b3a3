"""Pipelines that go on over what servers keep: streams of Redis, topics of Kafka."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, Unpack

from muster._api.decoding import decoded
from muster._api.options import DTypes, check_names, check_whole, names_of, spelled_out
from muster._api.pipeline import Pipeline
from muster._api.streams import checked_every, named_columns, options_of
from muster._dialects.options import ValueOptions
from muster._job import Follow, ReadFrom
from muster._model import PAYLOAD, PLACE
from muster._show.callers import from_the_callers_line
from muster._streams.rows_of_fields import RowsWanted
from muster._streams.values import Reads
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
    decode: Literal["fields", "json", "bytes"] | Callable[[bytes], Mapping[str, Any]] = "fields",
    field: str | None = None,
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

    - ``columns``: the fields that are wanted. None: those of the first entry; one with another field is a bad row.
    - ``start``: the first time begin with the ``"oldest"`` entry that is there, or, ``"newest"``, with the next one.
    - ``lost``: where entries were trimmed or deleted before they were read, ``"stop"`` with an error, or ``"skip"``.
    - ``decode``: what an entry holds. ``"fields"``: cells. Else the value of one ``field`` is the row: an object of
      ``"json"``; or what a function of yours makes of its ``bytes``, a dict. ``"bytes"``: one column, ``payload``.
    - ``spool_bytes``: so much may wait on the disk to be done; then nothing more is read.

    ``dtype`` and the other options are those of :func:`muster.read_csv`; without ``dtype``, types are those of the
    first epoch. `muster help redis` has more.
    """
    check_names(options, follow_redis)
    from muster._streams.redis_source import RedisSource

    check_whole("spool_bytes", spool_bytes, least=1)
    names = named_columns(columns)
    _check_decode(decode, "fields", "json")
    if (decode == "fields") != (field is None) or field == "":
        raise UsageError(f"field={field!r}: with decode='json' and the like it names the field that holds the row.")
    reads = None if decode == "fields" else _reads(decode)
    source = RedisSource(url, stream, RowsWanted(names, start, lost), field=field or "", reads=reads)
    asked = ReadFrom(source, source.place.name, _kept(names, reads), spool_bytes, by="follow_redis")
    return _begun(asked, decode, every=every, columns=names, dtype=dtype, options=options)


@spelled_out(ValueOptions)
@from_the_callers_line
def follow_kafka(  # noqa: PLR0913 (each is given by its name)
    brokers: str,
    topic: str,
    *,
    decode: Literal["json", "csv", "bytes"] | Callable[[bytes], Mapping[str, Any]] = "json",
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

    - ``decode``: values are objects of ``"json"``; rows of ``"csv"``, for which ``columns`` names the columns; or what
      a function of yours makes of the ``bytes``, a dict. ``"bytes"``: rows have one column, ``payload``.
    - ``columns``: the fields that are wanted. None: those of the first message; one with another field is a bad row.
    - ``start``: the first time begin with the ``"oldest"`` message that is there, or, ``"newest"``, with the next one.
    - ``lost``: where messages were deleted before they were read, ``"stop"`` with an error, or ``"skip"``.
    - ``settings``: those of librdkafka, such as ``{"security.protocol": "SASL_SSL", "sasl.username": ...}``.
    - ``spool_bytes``: so much may wait on the disk to be done; then nothing more is read.

    ``dtype`` and the other options are those of :func:`muster.read_csv`; without ``dtype``, types are those of the
    first epoch. `muster help kafka` has more.
    """
    check_names(options, follow_kafka)
    from muster._streams.kafka_client import Topic
    from muster._streams.kafka_source import KafkaSource

    check_whole("spool_bytes", spool_bytes, least=1)
    _check_decode(decode, "json", "csv")
    names = named_columns(columns)
    if decode == "csv" and not names:
        raise UsageError("decode='csv': say what the columns are, such as columns=['order', 'amount'].")
    named = Topic(brokers, topic, settings, call="follow_kafka")
    reads = _reads(decode)
    source = KafkaSource(named, RowsWanted(names, start, lost), reads=reads)
    asked = ReadFrom(source, named.name, _kept(names, reads), spool_bytes, by="follow_kafka")
    return _begun(asked, decode, every=every, columns=names, dtype=dtype, options=options)


def _check_decode(decode: object, *words: str) -> None:
    if decode not in {*words, "bytes"} and not callable(decode):
        known = ", ".join(map(repr, words))
        raise UsageError(
            f"decode={decode!r}: it is {known}, 'bytes', or a function that gets the bytes that came and returns a"
            " dict, a row."
        )


def _reads(decode: object) -> Reads:
    """Say how the source reads what came: what is bytes for a function stays as it is."""
    return "json" if decode == "json" else "csv" if decode == "csv" else "payload"


def _kept(names: tuple[str, ...], reads: Reads | None) -> tuple[str, ...]:
    """Name the columns that the source gives, where they are known."""
    return (PAYLOAD, PLACE) if reads == "payload" else names


def _begun(  # noqa: PLR0913 (each is given by its name)
    asked: ReadFrom,
    decode: Any,  # noqa: ANN401 (a word or a function)
    *,
    every: float,
    columns: tuple[str, ...],
    dtype: DTypes | None,
    options: Mapping[str, Any],
) -> Pipeline:
    follow = Follow(checked_every(every), (asked,), has_files=False)
    if asked.columns == (PAYLOAD, PLACE):
        begun = Pipeline((asked.name,), follow=follow)
        return decoded(begun, decode, columns=columns, dtype=names_of(dtype), options=options)
    return Pipeline((asked.name,), options=options_of(options, dtype), follow=follow)
