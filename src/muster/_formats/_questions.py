"""The questions that workers are asked about files, before the first task.

A question carries everything that answering it needs, and is answered where the bytes are read. Whoever has workers
passes ``Ask``, which puts questions to them and gives the answers in the order of the questions.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from muster._dialects import Dialect, Reading
from muster._words import bare
from muster.errors import DataError

from .layouts import Agreed, FileLayout
from .packed import BYTES, check_is_text
from .reader import reader
from .stitch import ScannedBlock

SAMPLE_BYTES: Final = 64 << 10
"""Hundreds of rows: enough to tell a column's type, and read in a moment."""

_FOOTER_BYTES: Final = 64 << 10
"""Understanding a footer takes about as long as reading so many bytes."""

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

    def answer(self) -> ScannedBlock | None:
        """Scan the block; ``None`` when no line starts in it."""
        from .records import scan

        start, data = reader(self.path).between_newlines(
            self.start, self.stop, size=self.size, origin=self.origin, escape=self.dialect.escapechar.encode()
        )
        if not data:
            return None
        is_first = self.start == self.origin and self.assume_quoted is None
        assumed = False if is_first else self.assume_quoted  # no file begins inside a cell
        return scan(data, self.dialect, start=start, atom=self.atom, assume_quoted=assumed)


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
        return min(self.size, SAMPLE_BYTES)

    def answer(self) -> tuple[tuple[str, ...], int] | None:
        """Read as much of the file as its first record takes; ``None`` for a file without one.

        Raises ``DataError`` for one that cannot be read, ``UsageError`` for one that is no text.
        """
        from .encodings import Spot, explained
        from .top import top_of

        count = SAMPLE_BYTES
        while True:
            data = reader(self.path).read(0, min(count, self.size))
            whole = len(data) >= self.size
            if self.is_plain:
                check_is_text(data, self.path, size=self.size, name=self.name)
            try:
                data = data if whole else data[: data.rfind(b"\n") + 1]
                top = top_of(data, self.dialect, whole=whole, usecols=self.usecols)
            except UnicodeDecodeError as error:
                at, encoding = data.find(error.object) + error.start, self.dialect.encoding
                why = explained(data, at, encoding=encoding, spot=Spot(at, data.count(b"\n", 0, at) + 1), begins=data)
                raise DataError(f"The first row of {(self.name or self.path)!r} cannot be read: {why}.") from error
            except ValueError as error:
                raise DataError(
                    f"The first row of {(self.name or self.path)!r} cannot be read: {bare(error)}. Mend it, or say how"
                    " the file is written with --delimiter, --quote or --encoding."
                ) from error
            if top is not None or whole:
                return top
            count *= 4


class Locate(NamedTuple):
    """Ask where some rows start, counted from the first of these bytes, which begin with a record."""

    path: str
    start: int
    stop: int
    rows: tuple[int, ...]
    dialect: Dialect

    def answer(self) -> list[int]:
        """Find them; offsets count from the start of the file."""
        from .records import locate

        data = reader(self.path).read(self.start, self.stop)
        offsets = locate(data, self.rows, self.dialect)
        return [self.start + offset for offset in offsets]


class Footer(NamedTuple):
    """Ask what a Parquet file's footer says."""

    path: str
    name: str = ""
    """What the user calls it, likewise."""
    columns: tuple[str, ...] | None = None
    """The columns that are used; ``None`` stands for all."""
    weight: int = _FOOTER_BYTES

    def answer(self) -> FileLayout:
        """Read it."""
        from .parquet import layout

        return layout(self.path, name=self.name or self.path, columns=self.columns)


class Agree(NamedTuple):
    """Ask what all Parquet files together are read as, by the layout of each."""

    files: tuple[tuple[str, Any], ...]
    columns: tuple[str, ...] | None = None
    """The columns that are used, in the order in which they are to stand."""

    def answer(self) -> Agreed:
        """Compare them. Raises ``DataError`` where no type holds the values of all."""
        from .agreed import agree

        return agree(self.files, self.columns)


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
        if self.format == "jsonl":
            from . import jsonl

            return jsonl.observe(data, encoding=self.dialect.encoding)
        from . import csv

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


def add_up(observed: Sequence[dict[str, frozenset[str]]]) -> dict[str, frozenset[str]]:
    """Add up what several stretches were seen to hold; a key that a stretch of JSON lacks is missing there."""
    names = dict.fromkeys(name for seen in observed for name in seen)
    return {
        name: frozenset[str]().union(*(seen.get(name, frozenset({"missing"})) for seen in observed if seen))
        for name in names
    }
