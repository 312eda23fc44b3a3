"""Find out how the inputs can be split: where records start, and how many there are."""

from collections.abc import Collection, Iterator, Sequence
from itertools import accumulate, chain
from typing import Any, Final, NamedTuple

from muster._dialects import Dialect
from muster._model import Column, LocalCopy, Part, Source
from muster._urls.urls import is_remote
from muster.errors import DataError

from ._questions import Agree, Ask, Beginning, Footer, Head, Locate, Scan
from .chosen import check_chosen
from .stitch import NeedsScanError, RecordRange, ScannedBlock, stitch

BLOCK_BYTES: Final = 4 << 20
"""How many bytes one question scans."""
ATOM_BYTES: Final = 16 << 10
"""How many bytes a part has, unless the input is so small that there would be few parts, or so large that there would
be too many: each part takes memory in muster's own process for as long as the run lasts."""
_ROWS_OF_A_PART: Final = 8192
"""In Parquet: few enough that several workers share a single row group, where the function is slow."""
_ROWS_OF_SMALL_GROUP: Final = 1 << 20
"""As many as pandas and Arrow write into a row group."""
_BYTES_OF_SMALL_GROUP: Final = 16 << 20
"""A worker may get all rows of such a group at once, as a frame; it has the group in memory anyway."""
LONGEST_TAIL: Final = 64 << 10
"""How many bytes a record may hold whose quote is never closed; a reject shows so many."""
_MOST_PARTS: Final = 8192
"""Each takes memory in muster's own process for as long as the run lasts."""

_FEWEST_PARTS: Final = 64
"""All cores of a large machine get work of a small file, as a few rows may be a lot of work."""

_SMALLEST_ATOM: Final = 256
"""Bytes: two rows or three. Smaller parts would hold none."""

_LARGEST_ATOM: Final = 1 << 20
"""A part is what one worker does at the least, so this wins over ``_MOST_PARTS``."""


Header = tuple[tuple[str, ...], int]
"""The names of a file's columns, and where its data starts."""


class Survey(NamedTuple):
    """How the inputs are split, and what they say about their columns."""

    parts: tuple[Part, ...]
    headers: tuple[Header | None, ...] = ()
    orders: tuple[tuple[str, ...], ...] = ()
    columns: tuple[Column, ...] = ()
    """Settled already where the format says so itself (Parquet)."""
    agreed: bytes = b""
    """What Parquet files together are read as, as ``_agreed`` writes it."""
    notes: tuple[str, ...] = ()
    row_groups: frozenset[tuple[int, int]] = frozenset()
    """The file and the first row of each row group of Parquet that a task can be; see ``_small_groups``."""


def scans_of(
    sources: Sequence[Source],
    *,
    dialect: Dialect,
    atom: int | None,
    origins: Sequence[int] = (),
    block: int = BLOCK_BYTES,
) -> list[list[Scan]]:
    """List, for each file, the questions that finding its parts begins with, one for each ``block`` of bytes.

    ``origins`` is where they start.
    """
    total = sum(source.size for source in sources)
    small = min(max(total // _FEWEST_PARTS, _SMALLEST_ATOM), ATOM_BYTES)  # a few rows may be a lot of work
    atom = atom or atom_of(total, least=small)
    block = max(block, atom)
    return [
        [
            Scan(
                path=source.path,
                size=source.size,
                start=start,
                stop=min(start + block, source.size),
                dialect=dialect,
                atom=atom,
                origin=origin,
            )
            for start in range(origin, source.size, block)
        ]
        for source, origin in zip(sources, origins or (0,) * len(sources), strict=True)
    ]


def atom_of(total: int, *, least: int = ATOM_BYTES) -> int:
    """Tell how many bytes a part should have of input that has so many: so that there are not too many parts."""
    return min(max(total // _MOST_PARTS, least), _LARGEST_ATOM)


class _Scanned(NamedTuple):
    """What workers say of the files: of each its header, and of each block what it holds."""

    headers: list[Header | None]
    data_starts: list[int]
    blocks: list[list[tuple[Scan, ScannedBlock]]]


def survey_lines(  # noqa: PLR0913 (what to read, how it is written, and how to cut it)
    sources: Sequence[Source],
    ask: Ask,
    *,
    dialect: Dialect,
    atom: int | None,
    batch_rows: int | None,
    usecols: tuple[object, ...] = (),
    block: int = BLOCK_BYTES,
) -> Survey:
    """Split CSV or JSON lines, a question to a worker for each ``block`` of bytes."""
    is_csv = bool(sources) and sources[0].format == "csv"
    heads = [Head(source.path, source.size, dialect, usecols, source.name) for source in sources] if is_csv else []
    if is_csv and dialect.has_preamble:
        scanned = _scanned_behind_preambles(sources, heads, ask, dialect=dialect, atom=atom, block=block)
    else:
        scans = scans_of(sources, dialect=dialect, atom=atom, block=block)
        scanned = _scanned_at_once(sources, heads, scans, ask)
    parts: list[Part] = []
    for file, (source, blocks) in enumerate(zip(sources, scanned.blocks, strict=True)):
        stretches, unclosed = _stitched(blocks, ask)
        refuse_long_tail(source, unclosed, source.size)
        has_header = is_csv and has_header_among_rows(dialect)
        own = numbered(file, stretches, scanned.data_starts[file], has_header=has_header, unclosed=unclosed)
        parts += _aligned(own, source.path, ask, dialect=dialect, batch_rows=batch_rows) if batch_rows else own
    return Survey(tuple(parts), headers=tuple(scanned.headers) or (None,) * len(sources))


def _scanned_behind_preambles(  # noqa: PLR0913 (likewise)
    sources: Sequence[Source], heads: Sequence[Head], ask: Ask, *, dialect: Dialect, atom: int | None, block: int
) -> _Scanned:
    """Ask where the data starts before anything is scanned: quotes mean nothing in what stands before it."""
    headers = ask(heads)
    data_starts = [header[1] if header else source.size for header, source in zip(headers, sources, strict=True)]
    scans = scans_of(sources, dialect=dialect, atom=atom, origins=data_starts, block=block)
    answers = iter(ask(list(chain.from_iterable(scans))))
    return _Scanned(headers, data_starts, [_with_blocks(own, [next(answers) for _ in own]) for own in scans])


def _scanned_at_once(
    sources: Sequence[Source], heads: Sequence[Head], scans: Sequence[list[Scan]], ask: Ask
) -> _Scanned:
    """Ask all about a file in one go, so that a worker that is asked about many files opens each once."""
    firsts: list[list[Any]] = [[head] for head in heads] or [beginning(source) for source in sources]
    answers = iter(ask([question for first, own in zip(firsts, scans, strict=True) for question in (*first, *own)]))
    headers, blocks = [], []
    for first, own in zip(firsts, scans, strict=True):
        head = [next(answers) for _ in first]
        headers += head if heads else []
        blocks.append(_with_blocks(own, [next(answers) for _ in own]))
    data_starts = [header[1] if header else 0 for header in headers] or [0] * len(sources)
    return _Scanned(headers, data_starts, blocks)


def _with_blocks(scans: Sequence[Scan], blocks: Sequence[ScannedBlock | None]) -> list[tuple[Scan, ScannedBlock]]:
    """Leave out the blocks in which no line starts."""
    return [(scan, block) for scan, block in zip(scans, blocks, strict=True) if block is not None]


def beginning(source: Source) -> list[Beginning]:
    """Ask first what a file is, unless that would cost a request."""
    return [] if is_remote(source.path) else [Beginning(source.path, source.size, source.name)]


def has_header_among_rows(dialect: Dialect) -> bool:
    """Tell whether the first row that a scan counts is the header; where there is a preamble, a scan starts later."""
    return dialect.header_row is not None and not dialect.has_preamble


def refuse_long_tail(source: Source, unclosed: int | None, size: int) -> None:
    """Raise ``DataError`` when a quote that is never closed swallows more than a reject can show."""
    if unclosed is not None and size - unclosed > LONGEST_TAIL:
        raise DataError(
            f"{source.name!r}: a quote is opened in the row at byte {unclosed} and never closed, so the"
            f" {size - unclosed:,} bytes from there on would be one row. Mend that quote; or, where"
            " quotes mean nothing, say --quote ''. More: muster help types"
        )


def _stitched(pairs: list[tuple[Scan, ScannedBlock]], ask: Ask) -> tuple[list[RecordRange], int | None]:
    blocks = [block for _, block in pairs]
    while True:
        try:
            return stitch(blocks)
        except NeedsScanError as need:
            scan = pairs[need.index][0]._replace(assume_quoted=need.quoted)
            blocks[need.index] = ask([scan])[0]


def numbered(  # noqa: PLR0913 (the stretches of a file, and where they stand in it)
    file: int,
    stretches: Sequence[RecordRange],
    data_start: int,
    *,
    has_header: bool,
    unclosed: int | None,
    row: int = 0,
    local_copy: LocalCopy | None = None,
) -> list[Part]:
    """Count the rows of stretches from ``row`` on; what lies before the data, as a header does, is cut off.

    A record at ``unclosed`` whose quote is never closed becomes a part of its own, with a fault.
    """
    parts: list[Part] = []
    headers = int(has_header)
    for stretch in stretches:
        rows = stretch.rows
        if headers and rows:
            rows, headers = rows - 1, 0
        if rows:
            parts.append(
                Part(
                    file=file,
                    start=max(stretch.start, data_start),
                    stop=stretch.stop,
                    row=row,
                    rows=rows,
                    local_copy=local_copy,
                )
            )
        row += rows
    if unclosed is not None:
        parts.append(
            Part(
                file=file,
                start=unclosed,
                stop=unclosed,
                row=row,
                rows=1,
                local_copy=local_copy,
                fault="a quote is opened here and never closed",
            )
        )
    return parts


def _aligned(parts: Sequence[Part], path: str, ask: Ask, *, dialect: Dialect, batch_rows: int) -> list[Part]:
    """Move the cuts to rows that are multiples of ``batch_rows``, so that every batch lies in one part."""
    faults = [part for part in parts if part.fault]
    parts = [part for part in parts if not part.fault]
    if not parts:
        return faults
    questions, rows = [], []
    for part in parts:
        first = -(-part.row // batch_rows) * batch_rows
        if first < part.row + part.rows:  # else no batch begins in it
            questions.append(Locate(path, part.start, part.stop, (first - part.row,), dialect))
            rows.append(first)
    starts = [offsets[0] for offsets in ask(questions)]
    last = parts[-1]
    stops, next_rows = [*starts[1:], last.stop], [*rows[1:], last.row + last.rows]
    cut = zip(starts, stops, rows, next_rows, strict=True)
    return [Part(last.file, start, stop, row, next_row - row) for start, stop, row, next_row in cut] + faults


def survey_parquet(
    sources: Sequence[Source],
    ask: Ask,
    *,
    batch_rows: int | None,
    columns: tuple[str, ...] | None = None,
    folders: Collection[str] = (),
) -> Survey:
    """Split Parquet into rows of row groups; of the columns, those of these names are read, in this order.

    Raises ``DataError`` where no type holds the values of all files, ``UsageError`` for a name that is of no column,
    nor of the ``folders``.
    """
    step = batch_rows or _ROWS_OF_A_PART
    layouts = ask([Footer(source.path, source.name, columns) for source in sources])
    if columns is not None:
        check_chosen(columns, dict.fromkeys(chain.from_iterable(one.names for one in layouts)), folders=folders)
    names = (source.name for source in sources)
    agreed = ask([Agree(tuple(zip(names, layouts, strict=True)), columns)])[0]
    parts = [
        Part(file, start, stop, start, stop - start)
        for file, layout in enumerate(layouts)
        for start, stop in _row_ranges(layout.groups, step, aligned=batch_rows is not None)
    ]
    return Survey(
        tuple(parts),
        columns=agreed.columns,
        agreed=agreed.template,
        notes=agreed.notes,
        row_groups=frozenset() if batch_rows else _small_groups(layouts),
    )


def _small_groups(layouts: Sequence[Any]) -> frozenset[tuple[int, int]]:
    """Name the row groups of files none of whose row groups is large, each by its file and its first row."""
    return frozenset(
        (file, first)
        for file, layout in enumerate(layouts)
        if max(layout.groups, default=0) <= _ROWS_OF_SMALL_GROUP
        and max(layout.bytes_of_groups, default=0) <= _BYTES_OF_SMALL_GROUP
        for first in accumulate(layout.groups, initial=0)
    )


def _row_ranges(groups: Sequence[int], step: int, *, aligned: bool) -> Iterator[tuple[int, int]]:
    first = 0
    for rows in [sum(groups)] if aligned else groups:
        for start in range(first, first + rows, step):
            yield start, min(start + step, first + rows)
        first += rows
