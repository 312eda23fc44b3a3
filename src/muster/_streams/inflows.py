"""What the user asked for that is no file, made into a source of a stream, or into several."""

import csv
import functools
import io
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from muster._job import ListenTcp, ReadFrom
from muster._private.files import work_folder
from muster._words import bare
from muster._words.quoted import in_files
from muster.errors import EngineError, UsageError

from .pieces import ROWS
from .spooled import Spooled
from .spooled_source import Inflow, SpooledSource
from .stretches import Text, names_in, why_no_header

Fits = Callable[[Sequence[str]], None]
"""Raises ``UsageError`` for columns that the job cannot take."""


def source_of_rows(asked: ListenTcp | ReadFrom, text: Text, *, fits: Fits, inbox: Path, output: str) -> SpooledSource:
    """Make the source that was asked for, which keeps what comes in the ``inbox``; an endpoint is taken.

    Raises ``UsageError`` for columns that the user names and the job cannot take, and where another program has the
    endpoint.
    """
    return _Making(text, inbox, output, (inbox,)).source(asked, inbox, fits)


def sources_of_rows(
    asked: Mapping[str, ListenTcp | ReadFrom],
    text: Text,
    *,
    fits: Callable[[str, Sequence[str]], None],
    inbox: Path,
    output: str,
) -> Iterator[tuple[int, str, SpooledSource]]:
    """Make several sources, likewise; each, by what tells it from the others, has an inbox of its own.

    With each comes the device of its positions, and its name, which ``fits`` is told, too.
    """
    folders = [inbox / in_files(identity) for identity in asked]
    making = _Making(text, inbox, output, folders)
    for at, (one, folder) in enumerate(zip(asked.values(), folders, strict=True), 1):
        yield -at, one.name, making.source(one, folder, functools.partial(fits, one.name), device=-at)


class _Making:
    """Makes the sources of a stream."""

    def __init__(self, text: Text, inbox: Path, output: str, folders: Sequence[Path]) -> None:
        """Know the folders of all of them, which are the inbox or in it."""
        self._text = text
        self._inbox = inbox
        self._output = output
        self._folders = folders
        self._are_several = inbox not in folders

    def source(self, asked: ListenTcp | ReadFrom, folder: Path, fits: Fits, *, device: int = 0) -> SpooledSource:
        if asked.columns:
            fits(asked.columns)
        inflow = _inflow(asked, self._text, functools.partial(_why_no_header, text=self._text, fits=fits))
        return SpooledSource(inflow, self._text, functools.partial(self._spooled, asked, folder, fits), device=device)

    def _spooled(self, asked: ListenTcp | ReadFrom, folder: Path, fits: Fits, on_safe: Callable[[], None]) -> Spooled:
        self._check_has_no_other_rows()
        work_folder(self._inbox)
        spooled = Spooled(folder, most=asked.spool_bytes, output=self._output, on_safe=on_safe)
        try:
            if asked.columns:
                spooled.agree(_as_line(asked.columns, self._text.dialect.delimiter))
            elif self._are_several and (header := spooled.state.header) is not None:  # others compare theirs with it
                fits(names_in(header.encode("utf-8", "surrogateescape"), self._text))
        except BaseException:
            spooled.close()
            raise
        return spooled

    def _check_has_no_other_rows(self) -> None:
        """Raise ``EngineError`` where rows were acknowledged to a source that the stream does not have any more."""
        for path in self._inbox.rglob(f"*{ROWS}"):
            if path.parent not in self._folders and path.stat().st_size:
                raise EngineError(
                    f"{str(path)!r} has rows that came from a source which this stream does not have any more, and they"
                    " were acknowledged. Name that source again, as before; or type the command again with --fresh, to"
                    " start over without them."
                )


def _inflow(asked: ListenTcp | ReadFrom, text: Text, why_no_header: Callable[[bytes], str]) -> Inflow:
    delimiter = text.dialect.delimiter if text.dialect.quote else ""
    if isinstance(asked, ReadFrom):
        from .own_inflow import OwnInflow

        return OwnInflow(asked, delimiter=delimiter, why_no_header=why_no_header)
    from .tcp_inflow import TcpInflow, listening

    return TcpInflow(listening(asked, delimiter=delimiter, why_no_header=why_no_header))


def _why_no_header(header: bytes, *, text: Text, fits: Fits) -> str:
    """Say why a line cannot be the header of rows that the job takes; empty where it can."""
    if why := why_no_header(header, text):
        return why
    try:
        fits(names_in(header, text))
    except UsageError as error:
        return f"its header {header[:200]!r} does not fit this stream: {bare(error)}"
    return ""


def _as_line(names: Sequence[str], delimiter: str) -> str:
    line = io.StringIO()
    csv.writer(line, delimiter=delimiter, lineterminator="").writerow(names)
    return line.getvalue()
