"""Methods of a pipeline that have its rows go to servers."""

from collections.abc import Mapping
from os import PathLike
from typing import Any, Literal, Self

from muster._api import sending
from muster._api.options import check_whole
from muster._api.sending import EncodeRow
from muster._job import WriteTo
from muster._model import KEY
from muster._show.callers import from_the_callers_line
from muster.errors import UsageError


class ToServers:
    """What a pipeline can do besides, behind :func:`follow_csv` and others."""

    __slots__ = ()

    @from_the_callers_line
    def send_redis(  # noqa: PLR0913 (each is given by its name)
        self,
        url: str,
        stream: str,
        *,
        maxlen: int | None = None,
        encode: EncodeRow | None = None,
        folder: str | PathLike[str] | None = None,
        spool_bytes: int = 256_000_000,
    ) -> Self:
        """Add rows to a stream of Redis, ``send_redis("redis://127.0.0.1:6379", "done")``.

        A row is an entry, and its cells are the fields, as text; a missing value is an empty field. Each row is added
        exactly once, whatever is killed: those of an epoch in one transaction, with how many there are by then. Needs
        the extra ``redis``.

        - ``encode``: ``f(row)`` makes bytes of a dict, and an entry has one field, ``payload``. None: as said above.
        - ``maxlen``: have Redis trim the oldest entries, so that about so many are left. None: it keeps all.
        - ``folder``: rows that wait are in ``FOLDER.muster``, bad ones in ``FOLDER.rejects.jsonl``. None: the place.
        - ``spool_bytes``: so much may wait on the disk; then nothing more is read.

        `muster help redis` has more.
        """
        from muster._streams.redis_sink import RedisSink

        if maxlen is not None:
            check_whole("maxlen", maxlen, least=1)
        sink = RedisSink(url, stream, maxlen=maxlen, has_payloads=encode is not None)
        asked = WriteTo(sink, sink.place.name, spool_bytes, by="send_redis")
        return sending.to_sink(self, asked, encode="json" if encode is None else encode, folder=folder)

    @from_the_callers_line
    def send_kafka(  # noqa: PLR0913 (each is given by its name)
        self,
        brokers: str,
        topic: str,
        *,
        encode: Literal["json", "csv"] | EncodeRow = "json",
        key: str | None = None,
        settings: Mapping[str, Any] | None = None,
        folder: str | PathLike[str] | None = None,
        spool_bytes: int = 256_000_000,
    ) -> Self:
        """Send rows to a topic of Kafka, ``send_kafka("127.0.0.1:9092", "done")``.

        A row is the value of a message. Each is there exactly once, whatever is killed, for readers that read what is
        committed: those of an epoch are one transaction, which also keeps how many there are by then. Needs the extra
        ``kafka``.

        - ``encode``: values are objects of ``"json"``, or rows of ``"csv"``, without a header; or ``f(row)``, which
          makes bytes of a dict.
        - ``key``: the column whose value is the key of a message: rows of one key stay in order. None: none has one.
        - ``settings``: those of librdkafka, such as ``{"security.protocol": "SASL_SSL", "sasl.username": ...}``.
        - ``folder``: rows that wait are in ``FOLDER.muster``, bad ones in ``FOLDER.rejects.jsonl``. None: the place.
        - ``spool_bytes``: so much may wait on the disk; then nothing more is read.

        `muster help kafka` has more.
        """
        from muster._streams.kafka_client import Topic
        from muster._streams.kafka_sink import KafkaSink

        if not callable(encode) and encode not in {"json", "csv"}:
            raise UsageError(f"encode={encode!r}: it is 'json', 'csv', or a function that makes bytes of a row.")
        named = Topic(brokers, topic, settings, call="send_kafka")
        if callable(encode):
            sink = KafkaSink(named, encode="payload", key=None if key is None else KEY)
        else:
            sink = KafkaSink(named, encode=encode, key=key)
        asked = WriteTo(sink, named.name, spool_bytes, by="send_kafka")
        return sending.to_sink(self, asked, encode=encode if callable(encode) else "json", folder=folder, key=key or "")
