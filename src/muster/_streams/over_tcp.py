"""A stream that listens: what the user asked for, made into a source."""

import csv
import functools
import io
from collections.abc import Callable, Sequence
from pathlib import Path

from muster._job import ListenTcp

from .endpoints import SOURCE_PORT, Endpoint, read_token, receivers_tls
from .listening import Listening
from .spooled import Spooled
from .stretches import Text, why_no_header
from .tcp_source import TcpSource


def source_over_tcp(listen: ListenTcp, text: Text, *, spool: Path, output: str) -> TcpSource:
    """Take the endpoint that is listened on; what comes is kept in the ``spool``.

    Raises ``UsageError`` where another program has the endpoint.
    """
    endpoint = Endpoint.of(listen.place, port=SOURCE_PORT, flag="listen_tcp")
    tls = receivers_tls(listen.tls_cert, listen.tls_key, in_python=True)
    listening = Listening(
        endpoint,
        listen.framing,
        delimiter=text.dialect.delimiter if text.dialect.quote else "",
        has_header=not listen.columns,
        connections=listen.connections,
        idle=listen.idle,
        tls=tls,
        token=read_token(listen.token, endpoint=endpoint, is_sealed=tls is not None, in_python=True)
        if listen.token
        else "",
        is_header=functools.partial(why_no_header, text=text),
    )
    return TcpSource(listening, text, functools.partial(_spooled, listen, text, spool, output))


def _spooled(listen: ListenTcp, text: Text, folder: Path, output: str, on_safe: Callable[[], None]) -> Spooled:
    spooled = Spooled(folder, most=listen.spool_bytes, output=output, on_safe=on_safe)
    if listen.columns:
        spooled.agree(_as_line(listen.columns, text.dialect.delimiter))
    return spooled


def _as_line(names: Sequence[str], delimiter: str) -> str:
    line = io.StringIO()
    csv.writer(line, delimiter=delimiter, lineterminator="").writerow(names)
    return line.getvalue()
