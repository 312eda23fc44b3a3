"""A stream that listens: what the user asked for, made into a source."""

import csv
import functools
import io
from collections.abc import Callable, Sequence
from pathlib import Path

from muster._job import ListenTcp
from muster._words import bare
from muster.errors import UsageError

from .endpoints import SOURCE_PORT, Endpoint, read_token, receivers_tls
from .listening import Listening
from .spooled import Spooled
from .stretches import Text, names_in, why_no_header
from .tcp_source import TcpSource


def source_over_tcp(
    listen: ListenTcp, text: Text, *, fits: Callable[[Sequence[str]], None], spool: Path, output: str
) -> TcpSource:
    """Take the endpoint that is listened on; what comes is kept in the ``spool``.

    ``fits`` raises ``UsageError`` for columns that the job cannot take. Raises it likewise for those that the user
    names, and where another program has the endpoint.
    """
    if listen.columns:
        fits(listen.columns)
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
        is_header=functools.partial(_why_no_header, text=text, fits=fits),
    )
    return TcpSource(listening, text, functools.partial(_spooled, listen, text, spool, output))


def _why_no_header(header: bytes, *, text: Text, fits: Callable[[Sequence[str]], None]) -> str:
    """Say why a line cannot be the header of rows that the job takes; empty where it can."""
    if why := why_no_header(header, text):
        return why
    try:
        fits(names_in(header, text))
    except UsageError as error:
        return f"its header {header[:200]!r} does not fit this stream: {bare(error)}"
    return ""


def _spooled(listen: ListenTcp, text: Text, folder: Path, output: str, on_safe: Callable[[], None]) -> Spooled:
    spooled = Spooled(folder, most=listen.spool_bytes, output=output, on_safe=on_safe)
    if listen.columns:
        spooled.agree(_as_line(listen.columns, text.dialect.delimiter))
    return spooled


def _as_line(names: Sequence[str], delimiter: str) -> str:
    line = io.StringIO()
    csv.writer(line, delimiter=delimiter, lineterminator="").writerow(names)
    return line.getvalue()
