"""Find out how the inputs can be split and what their columns hold.

Whoever has workers passes ``ask``, which puts questions to them and gives the answers in order. The questions carry
everything that a worker needs; they are answered where the bytes are read.
"""

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain, groupby
from operator import itemgetter
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from muster._dialect import Dialect, Reading
from muster._model import Column, Part, Source, Spool
from muster._places.urls import is_remote
from muster.errors import DataError

from ._packed import BYTES, check_is_text
from ._reader import reader
from ._stitch import Block, NeedsScanError, Stretch, stitch

if TYPE_CHECKING:
    from ._agreed import Agreed, Layout

BLOCK_BYTES: Final = 4 << 20
ATOM_BYTES: Final = 16 << 10
LONGEST_TAIL: Final = 64 << 10
"""How many bytes a record may hold whose quote is never closed; a reject shows so many."""
_PARTS_WANTED: Final = 8192
_FEWEST_PARTS: Final = 64
_SMALLEST_ATOM: Final = 256
_LARGEST_ATOM: Final = 1 << 20
_SAMPLES: Final = 32
_SAMPLES_AT_ONCE: Final = 8
_SAMPLE_BYTES: Final = 64 << 10
_FOOTER_BYTES: Final = 64 << 10
"""About as long as it takes to understand one; Arrow reads so many where a file is no copy."""

Ask = Callable[[Sequence[Any]], list[Any]]


class Scan(NamedTuple):
    """Ask where the records of one block start and end."""

    path: str
    size: int
    start: int
    stop: int
    dialect: Dialect
    atom: int
    origin: int = 0
    """Where the first block starts: behind what is passed over at the start of the file."""
    assume_quoted: bool | None = None

    @property
    def weight(self) -> int:
        """Tell how many bytes are read."""
        return self.stop - self.start

    def answer(self) -> Block | None:
        """Scan the block; ``None`` when no line starts in it."""
        from ._records import scan

        start, data = reader(self.path).between_newlines(
            self.start, self.stop, size=self.size, origin=self.origin, escape=self.dialect.escapechar.encode()
        )
        if not data:
            return None
        return scan(data, self.dialect, start=start, atom=self.atom, assume_quoted=self.assume_quoted)


class Beginning(NamedTuple):
    """Ask whether a file that is named as text is text, of a format that has no head."""

    path: str
    size: int
    name: str

    @property
    def weight(self) -> int:
        """Tell how many bytes are read."""
        return BYTES

    def answer(self) -> bool:
        """Look at its first bytes. Raises ``UsageError`` where it is something else."""
        check_is_text(reader(self.path).read(0, BYTES), self.path, size=self.size, name=self.name)
        return True


class Head(NamedTuple):
    """Ask for the column names of a CSV file, and where its data starts."""

    path: str
    size: int
    dialect: Dialect
    usecols: tuple[object, ...] = ()
    name: str = ""
    """What the user calls the file, which may be read as a copy."""
    is_plain: bool = True
    """It is read as it was found, neither unpacked nor in another encoding."""

    @property
    def weight(self) -> int:
        """Tell how many bytes are read, at the least."""
        return min(self.size, _SAMPLE_BYTES)

    def answer(self) -> tuple[tuple[str, ...], int] | None:
        """Read as much of the file as its first record takes; ``None`` for a file without one.

        Raises ``DataError`` for one that cannot be read, ``UsageError`` for one that is no text.
        """
        from ._encodings import Spot, explained
        from ._top import top_of

        wanted = _SAMPLE_BYTES
        while True:
            data = reader(self.path).read(0, min(wanted, self.size))
            whole = len(data) >= self.size
            if self.is_plain:
                check_is_text(data, self.path, size=self.size, name=self.name)
            try:
                data = data if whole else data[: data.rfind(b"\n") + 1]
                found = top_of(data, self.dialect, whole=whole, usecols=self.usecols)
            except UnicodeDecodeError as error:
                at, encoding = data.find(error.object) + error.start, self.dialect.encoding
                why = explained(data, at, encoding=encoding, spot=Spot(at, data.count(b"\n", 0, at) + 1), begins=data)
                raise DataError(f"The first row of {(self.name or self.path)!r} cannot be read: {why}.") from error
            except ValueError as error:
                raise DataError(
                    f"The first row of {(self.name or self.path)!r} cannot be read: {error}. Mend it, or say how"
                    " the file is written with --delimiter, --quote or --encoding."
                ) from error
            if found is not None or whole:
                return found
            wanted *= 4


class Locate(NamedTuple):
    """Ask where some rows start, counted from the first of these bytes, which begin with a record."""

    path: str
    start: int
    stop: int
    rows: tuple[int, ...]
    dialect: Dialect

    def answer(self) -> list[int]:
        """Find them; offsets count from the start of the file."""
        from ._records import locate

        data = reader(self.path).read(self.start, self.stop)
        found = locate(data, self.rows, self.dialect)
        return [self.start + offset for offset in found]


class Footer(NamedTuple):
    """Ask what a Parquet file's footer says."""

    path: str
    name: str = ""
    """What the user calls it, likewise."""
    weight: int = _FOOTER_BYTES

    def answer(self) -> "Layout":
        """Read it."""
        from .parquet import layout

        return layout(self.path, name=self.name or self.path)


class Agree(NamedTuple):
    """Ask what all Parquet files together are read as, by the layout of each."""

    files: tuple[tuple[str, Any], ...]

    def answer(self) -> "Agreed":
        """Compare them. Raises ``DataError`` where no type holds the values of all."""
        from ._agreed import agree

        return agree(self.files)


@dataclass(frozen=True, slots=True)
class Observe:
    """Ask which kinds of value the columns of some stretches of a file hold."""

    format: str
    dialect: Dialect
    path: str = ""
    stretches: tuple[tuple[int, int], ...] = ()
    order: tuple[str, ...] = ()
    reading: Reading = field(default_factory=Reading)
    used: tuple[str, ...] | None = None
    """The columns to look at; all if ``None``."""
    dates: tuple[tuple[str, str], ...] = ()
    """The columns that hold dates, with their format where it is known."""

    def answer(self) -> dict[str, frozenset[str]]:
        """Look at every cell, of all stretches at once unless one of them cannot be read."""
        whole = reader(self.path)
        stretches = [_ended(whole.read(start, stop)) for start, stop in self.stretches]
        return self._seen(b"".join(stretches)) or add_up([self._seen(data) for data in stretches])

    def _seen(self, data: bytes) -> dict[str, frozenset[str]]:
        from . import csv, jsonl

        if self.format == "jsonl":
            return jsonl.observe(data, encoding=self.dialect.encoding)
        return csv.observe(
            data, order=self.order, dialect=self.dialect, reading=self.reading, used=self.used, dates=dict(self.dates)
        )


@dataclass(frozen=True, slots=True)
class DateFormats(Observe):
    """Ask in which format the first cell of each column of dates is written."""

    def answer(self) -> dict[str, Any]:
        """Look at the stretches; columns with nothing present in them are left out."""
        from . import csv

        whole, names = reader(self.path), [name for name, _ in self.dates if name in self.order]
        data = b"".join(_ended(whole.read(start, stop)) for start, stop in self.stretches)
        return csv.date_formats(data, names, order=self.order, dialect=self.dialect, reading=self.reading)


def _ended(data: bytes) -> bytes:
    return data if data.endswith(b"\n") else data + b"\n"


class Survey(NamedTuple):
    """How the inputs are split, and what they say about their columns."""

    parts: tuple[Part, ...]
    headers: tuple[tuple[tuple[str, ...], int] | None, ...] = ()
    orders: tuple[tuple[str, ...], ...] = ()
    columns: tuple[Column, ...] = ()
    """Settled already where the format says so itself (Parquet)."""
    agreed: bytes = b""
    """What Parquet files together are read as; see ``_agreed``."""
    notes: tuple[str, ...] = ()


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
            Scan(source.path, source.size, start, min(start + block, source.size), dialect, atom, origin)
            for start in range(origin, source.size, block)
        ]
        for source, origin in zip(sources, origins or (0,) * len(sources), strict=True)
    ]


def atom_of(total: int, *, least: int = ATOM_BYTES) -> int:
    """Tell how many bytes a part should have of input that has so many: so that there are not too many parts."""
    return min(max(total // _PARTS_WANTED, least), _LARGEST_ATOM)


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
    if is_csv and dialect.has_preamble:  # whose quotes mean nothing, so that scans start behind it
        headers = ask(heads)
        data_starts = [found[1] if found else source.size for found, source in zip(headers, sources, strict=True)]
        scans = scans_of(sources, dialect=dialect, atom=atom, origins=data_starts, block=block)
        blocks = iter(ask(list(chain.from_iterable(scans))))
    else:
        scans = scans_of(sources, dialect=dialect, atom=atom, block=block)
        # All of a file is asked in one go, so that a worker that is asked about many opens each once.
        firsts: list[list[Any]] = [[head] for head in heads] or [beginning(source) for source in sources]
        asked = [[*first, *own] for first, own in zip(firsts, scans, strict=True)]
        answers = iter(ask(list(chain.from_iterable(asked))))
        told = [[next(answers) for _ in own] for own in asked]
        headers = [own[0] for own in told] if is_csv else []
        blocks = iter([block for own, first in zip(told, firsts, strict=True) for block in own[len(first) :]])
        data_starts = [found[1] if found else 0 for found in headers] or [0] * len(sources)
    parts: list[Part] = []
    for file, source in enumerate(sources):
        own = [(scan, next(blocks)) for scan in scans[file]]
        stretches, unclosed = _stitched([pair for pair in own if pair[1] is not None], ask)
        refuse_long_tail(source, unclosed, source.size)
        has_header = is_csv and has_header_among_rows(dialect)
        found = numbered(file, stretches, data_starts[file], has_header=has_header, unclosed=unclosed)
        parts += _aligned(found, source.path, ask, dialect=dialect, batch_rows=batch_rows) if batch_rows else found
    return Survey(tuple(parts), headers=tuple(headers) or (None,) * len(sources))


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


def _stitched(pairs: list[tuple[Scan, Block]], ask: Ask) -> tuple[list[Stretch], int | None]:
    blocks = [block for _, block in pairs]
    while True:
        try:
            return stitch(blocks)
        except NeedsScanError as need:
            scan = pairs[need.index][0]._replace(assume_quoted=need.quoted)
            blocks[need.index] = ask([scan])[0]


def numbered(  # noqa: PLR0913 (the stretches of a file, and where they stand in it)
    file: int,
    stretches: Sequence[Stretch],
    data_start: int,
    *,
    has_header: bool,
    unclosed: int | None,
    row: int = 0,
    spool: Spool | None = None,
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
            parts.append(Part(file, max(stretch.start, data_start), stretch.stop, row, rows, spool))
        row += rows
    if unclosed is not None:
        parts.append(Part(file, unclosed, unclosed, row, 1, spool, fault="a quote is opened here and never closed"))
    return parts


def _aligned(parts: Sequence[Part], path: str, ask: Ask, *, dialect: Dialect, batch_rows: int) -> list[Part]:
    """Move the cuts to rows that are multiples of ``batch_rows``, so that every batch lies in one part."""
    faults = [part for part in parts if part.fault]
    parts = [part for part in parts if not part.fault]
    questions, wanted, last = [], [], -1
    for part in parts:
        first = -(-part.row // batch_rows) * batch_rows
        if first < part.row + part.rows and first > last:
            questions.append(Locate(path, part.start, part.stop, (first - part.row,), dialect))
            wanted.append((first, part.file))
            last = first
    starts = [found[0] for found in ask(questions)]
    if not parts:
        return faults
    end_row = parts[-1].row + parts[-1].rows
    ends = [(start, row) for start, (row, _) in zip(starts[1:], wanted[1:], strict=True)]
    ends.append((parts[-1].stop, end_row))
    cut = zip(starts, wanted, ends, strict=True)
    return [Part(file, start, stop, row, stop_row - row) for start, (row, file), (stop, stop_row) in cut] + faults


def orders_of(
    sources: Sequence[Source], headers: Sequence[tuple[tuple[str, ...], int] | None]
) -> tuple[tuple[str, ...], ...]:
    """List every file's own columns; a file without rows takes the first's.

    Files may lack columns of others. Raises ``DataError`` where one has none in common with the first: then it is
    another table, or a file without its header.
    """
    named = [(source.name, header[0]) for source, header in zip(sources, headers, strict=True) if header]
    first = named[0] if named else ("", ())
    for path, names in named:
        if not set(names) & set(first[1]):
            raise DataError(
                f"{path!r} has no column in common with {first[0]!r}: it has {list(names)} instead of {list(first[1])}."
                " Is its header missing? All inputs of a run are one table. Run them apart, or mend the header."
            )
    return tuple(header[0] if header else first[1] for header in headers)


def lacking(sources: Sequence[Source], orders: Sequence[tuple[str, ...]]) -> dict[str, list[str]]:
    """Name, for each column that not every file has, the files that lack it."""
    found: dict[str, list[str]] = {name: [] for order in orders for name in order}
    for source, order in zip(sources, orders, strict=True):
        for name in found.keys() - set(order):
            found[name].append(source.name)
    return {name: files for name, files in found.items() if files}


def absence(column: str, files: Sequence[str]) -> str:
    """Say which files lack a column."""
    others = {1: " lacks", 2: " and another file lack"}.get(len(files), f" and {len(files) - 1:,} other files lack")
    return f"{files[0]!r}{others} column {column!r}: it is missing there"


def survey_parquet(sources: Sequence[Source], ask: Ask, *, batch_rows: int | None) -> Survey:
    """Split Parquet into rows of row groups. Raises ``DataError`` where no type holds the values of all files."""
    from .parquet import PART_ROWS

    step = batch_rows or PART_ROWS
    layouts = ask([Footer(source.path, source.name) for source in sources])
    agreed = ask([Agree(tuple((source.name, found) for source, found in zip(sources, layouts, strict=True)))])[0]
    parts = [
        Part(file, start, stop, start, stop - start)
        for file, found in enumerate(layouts)
        for start, stop in _row_ranges(found.groups, step, aligned=batch_rows is not None)
    ]
    return Survey(tuple(parts), columns=agreed.columns, agreed=agreed.template, notes=agreed.notes)


def _row_ranges(groups: Sequence[int], step: int, *, aligned: bool) -> Iterator[tuple[int, int]]:
    first = 0
    for rows in [sum(groups)] if aligned else groups:
        for start in range(first, first + rows, step):
            yield start, min(start + step, first + rows)
        first += rows


def samples(
    parts: Sequence[Part], sources: Sequence[Source], orders: Sequence[tuple[str, ...]], how: Observe
) -> list[Observe]:
    """Choose stretches that span the input, its first and last part among them; ``how`` to look at them."""
    parts = [part for part in parts if not part.fault]
    step = max(1, -(-len(parts) // _SAMPLES))
    chosen = {*range(0, len(parts), step), len(parts) - 1} if parts else set()
    places = (_place_of(parts[at], sources) for at in sorted(chosen))
    return [
        dataclasses.replace(how, path=path, stretches=tuple(stretches), order=orders[file])
        for (file, path), found in groupby(places, key=itemgetter(0))
        for stretches in _batched([stretch for _, stretch in found], _SAMPLES_AT_ONCE)
    ]


def _batched(stretches: Sequence[tuple[int, int]], size: int) -> Iterator[Sequence[tuple[int, int]]]:
    return (stretches[at : at + size] for at in range(0, len(stretches), size))


def observation(part: Part, sources: Sequence[Source], orders: Sequence[tuple[str, ...]], how: Observe) -> Observe:
    """Ask about every cell of one part; ``how`` to look at them."""
    (file, path), stretch = _place_of(part, sources)
    return dataclasses.replace(how, path=path, stretches=(stretch,), order=orders[file])


def _place_of(part: Part, sources: Sequence[Source]) -> tuple[tuple[int, str], tuple[int, int]]:
    path, origin = (part.spool.path, part.spool.origin) if part.spool else (sources[part.file].path, 0)
    return (part.file, path), (part.start - origin, part.stop - origin)


def add_up(observed: Sequence[dict[str, frozenset[str]]]) -> dict[str, frozenset[str]]:
    """Add up what several stretches were seen to hold; a key that a stretch of JSON lacks is missing there."""
    names = dict.fromkeys(name for seen in observed for name in seen)
    return {
        name: frozenset[str]().union(*(seen.get(name, frozenset({"missing"})) for seen in observed if seen))
        for name in names
    }
