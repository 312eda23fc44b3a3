"""Pipelines that go on over what servers keep: the streams of Redis."""

from collections.abc import Sequence
from typing import Literal, Unpack

from muster._api.options import DTypes, check_whole, spelled_out
from muster._api.pipeline import Pipeline
from muster._api.streams import checked_every, named_columns, options_of
from muster._dialects.options import ValueOptions
from muster._job import Follow, ReadFrom
from muster._show.callers import from_the_callers_line
from muster._streams.rows_of_fields import RowsWanted


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
