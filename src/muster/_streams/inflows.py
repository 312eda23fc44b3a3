"""A stream that reads no files: what the user asked for, made into a source."""

import csv
import functools
import io
from collections.abc import Callable, Sequence
from pathlib import Path

from muster._job import ListenTcp, ReadFrom
from muster._words import bare
from muster.errors import UsageError

from .spooled import Spooled
from .spooled_source import Inflow, SpooledSource
from .stretches import Text, names_in, why_no_header


def source_of_rows(
    asked: ListenTcp | ReadFrom, text: Text, *, fits: Callable[[Sequence[str]], None], spool: Path, output: str
) -> SpooledSource:
    """Make the source that was asked for, which keeps what comes in the ``spool``; an endpoint is taken.

    ``fits`` raises ``UsageError`` for columns that the job cannot take. Raises it likewise for those that the user
    names, and where another program has the endpoint.
    """
    if asked.columns:
        fits(asked.columns)
    is_no_header = functools.partial(_why_no_header, text=text, fits=fits)
    return SpooledSource(
        _inflow(asked, text, is_no_header), text, functools.partial(_spooled, asked, text, spool, output)
    )


def _inflow(asked: ListenTcp | ReadFrom, text: Text, why_no_header: Callable[[bytes], str]) -> Inflow:
    delimiter = text.dialect.delimiter if text.dialect.quote else ""
    if isinstance(asked, ReadFrom):
        from .own_inflow import OwnInflow

        return OwnInflow(asked, delimiter=delimiter, why_no_header=why_no_header)
    from .tcp_inflow import TcpInflow, listening

    return TcpInflow(listening(asked, delimiter=delimiter, why_no_header=why_no_header))


def _why_no_header(header: bytes, *, text: Text, fits: Callable[[Sequence[str]], None]) -> str:
    """Say why a line cannot be the header of rows that the job takes; empty where it can."""
    if why := why_no_header(header, text):
        return why
    try:
        fits(names_in(header, text))
    except UsageError as error:
        return f"its header {header[:200]!r} does not fit this stream: {bare(error)}"
    return ""


def _spooled(
    asked: ListenTcp | ReadFrom, text: Text, folder: Path, output: str, on_safe: Callable[[], None]
) -> Spooled:
    spooled = Spooled(folder, most=asked.spool_bytes, output=output, on_safe=on_safe)
    if asked.columns:
        spooled.agree(_as_line(asked.columns, text.dialect.delimiter))
    return spooled


def _as_line(names: Sequence[str], delimiter: str) -> str:
    line = io.StringIO()
    csv.writer(line, delimiter=delimiter, lineterminator="").writerow(names)
    return line.getvalue()
