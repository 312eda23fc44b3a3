"""Methods of a pipeline that have its rows go to servers."""

from os import PathLike
from typing import Self

from muster._api import sending
from muster._api.options import check_whole
from muster._job import WriteTo
from muster._show.callers import from_the_callers_line


class ToServers:
    """What a pipeline can do besides, behind :func:`follow_csv` and others."""

    __slots__ = ()

    @from_the_callers_line
    def send_redis(
        self,
        url: str,
        stream: str,
        *,
        maxlen: int | None = None,
        folder: str | PathLike[str] | None = None,
        spool_bytes: int = 256_000_000,
    ) -> Self:
        """Add rows to a stream of Redis, ``send_redis("redis://127.0.0.1:6379", "done")``,.

        A row is an entry, and its cells are the fields, as text; a missing value is an empty field. Each row is added
        exactly once, whatever is killed: those of an epoch in one transaction, with how many there are by then. Needs
        the extra ``redis``.

        - ``maxlen``: have Redis trim the oldest entries, so that about so many are left. None: it keeps all.
        - ``folder``: rows that wait are in ``FOLDER.muster``, bad ones in ``FOLDER.rejects.jsonl``. None: the place.
        - ``spool_bytes``: so much may wait on the disk; then nothing more is read.

        `muster help redis` has more.
        """
        from muster._streams.redis_sink import RedisSink

        if maxlen is not None:
            check_whole("maxlen", maxlen, least=1)
        sink = RedisSink(url, stream, maxlen=maxlen)
        asked = WriteTo(sink, sink.place.name, spool_bytes, by="send_redis")
        return sending.to_sink(self, asked, encode="json", folder=folder)
