"""How an input of text is written, and what its cells mean: the nouns behind the options of ``read_csv``."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Dialect:
    """How the text of an input is written: what separates its records and cells.

    Fields have the names of ``pandas.read_csv``'s options, but for ``delimiter`` and ``quote``. Marks are one byte, or
    empty where there is none.
    """

    delimiter: str = ","
    """What separates cells; empty where the files' names decide: a tab for ``.tsv``, else a comma."""
    quote: str = '"'
    header: bool | int | None = True
    """Which row holds the names, from 0; ``True`` is the first, ``False`` and ``None`` are none."""
    encoding: str = "utf-8"
    names: tuple[str, ...] = ()
    """Names that replace those of the header."""
    skiprows: int | tuple[int, ...] = 0
    """How many lines to pass over at the start, or which, from 0."""
    comment: str = ""
    escapechar: str = ""
    doublequote: bool = True
    skipinitialspace: bool = False
    encoding_errors: str = "strict"

    @property
    def header_row(self) -> int | None:
        """Tell which row holds the names; ``None`` when there is no such row."""
        if self.header is None or isinstance(self.header, bool):
            return 0 if self.header else None
        return self.header

    @property
    def is_numbered(self) -> bool:
        """Tell whether columns are named by their numbers, as there are no names."""
        return self.header_row is None and not self.names

    @property
    def is_common(self) -> bool:
        """Tell whether records can be found by delimiters, quotes and line ends alone."""
        return self.doublequote and not (self.escapechar or self.comment or self.skipinitialspace)

    @property
    def has_preamble(self) -> bool:
        """Tell whether lines or rows may stand before the header, or before the data."""
        return bool(self.skiprows or self.header_row)


@dataclass(frozen=True, slots=True)
class Reading:
    """What the cells of CSV mean, and which columns count, also of Parquet; named as in ``pandas.read_csv``."""

    usecols: tuple[str, ...] | tuple[int, ...] | None = None
    """The columns to read, by name or by position; ``None``: all."""
    na_values: tuple[str, ...] | tuple[tuple[str, tuple[str, ...]], ...] = ()
    """Cells that are missing, in all columns or as pairs of a column and those in it."""
    keep_default_na: bool = True
    na_filter: bool = True
    true_values: tuple[str, ...] = ()
    false_values: tuple[str, ...] = ()
    decimal: str = "."
    thousands: str = ""
    parse_dates: tuple[str | int, ...] = ()
    """The columns that hold dates or times, by name or by position among those that are used."""
    date_format: str | tuple[tuple[str, str], ...] = ""
    """How they are written: all alike, or pairs of a column and its format; else as the first cell of each is."""
    dayfirst: bool = False
