"""What a run reads: its files, how they are split, and the types of their columns."""

import dataclasses
import functools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from operator import attrgetter
from pathlib import Path
from typing import Any

from muster._dialects import Dialect, Reading
from muster._dialects.options import checked_dialect
from muster._job import Options
from muster._model import Column, LocalCopy, Part, Source
from muster.errors import UsageError

from . import _orders, survey
from ._questions import Ask, Head
from ._settle import TextColumns
from .chosen import names_alone
from .sources import needs_copy


@functools.lru_cache(maxsize=1)  # it is asked of each file, several times
def _is_splittable(encoding: str) -> bool:
    if encoding.lower().replace("-", "") in {"utf8", "ascii"}:
        return True
    from .streams import is_splittable

    return is_splittable(encoding)


def as_named(options: Options, sources: Sequence[Source]) -> Options:
    """Say what separates cells, where the user has not: a tab in files named ``.tsv``, else a comma.

    Raises ``UsageError`` where some are named so and others not.
    """
    if options.dialect.delimiter or not sources:
        return options
    with_tabs = [".tsv" in source.name.lower().rpartition("/")[2] for source in sources]
    if any(with_tabs) and not all(with_tabs):
        raise UsageError(
            f"{sources[with_tabs.index(True)].name!r} has tabs between its cells, by its name, and"
            f" {sources[with_tabs.index(False)].name!r} has commas; a run reads all files in one way. Run them apart,"
            " such as with --each; or say what all of them have: --sep ','."
        )
    dialect = checked_dialect(dataclasses.replace(options.dialect, delimiter="\t" if any(with_tabs) else ","))
    return dataclasses.replace(options, dialect=dialect)


@dataclass(slots=True)
class Inputs:
    """The input of a run. ``parts`` grows while streams are read; ``columns`` may widen."""

    sources: tuple[Source, ...]
    options: Options
    spool: Path
    orders: tuple[tuple[str, ...], ...] = ()
    columns: tuple[Column, ...] = ()
    surveyed: tuple[Part, ...] = ()
    agreed: bytes = b""
    """What Parquet files together are read as; see ``_formats/_agreed``."""
    notes: list[str] = field(default_factory=list)
    """Notes on the files that the user has not been shown yet."""
    stream_starts: dict[int, int] = field(default_factory=dict)
    """Where the data of each compressed CSV file starts, after its header."""
    copies: dict[int, Source] = field(default_factory=dict)
    """As what files of stores are read that were copied here, by their number."""
    row_groups: frozenset[tuple[int, int]] = frozenset()
    """Where the row groups of Parquet begin, if the input was surveyed just now; as ``Survey`` has them."""

    def __post_init__(self) -> None:
        """Raise ``UsageError`` for options of CSV where the input is another format."""
        chosen_by = {"usecols"} if self.format == "parquet" else set[str]()
        if self.format != "csv" and (said := [name for name in _said_of_csv(self.options) if name not in chosen_by]):
            raise UsageError(
                f"{', '.join(said)}: that is for CSV, and {self.sources[0].name!r} is {self.format}. Leave it out, or"
                " say --format csv if it is CSV."
            )

    @property
    def format(self) -> str:
        """Name the format, the same for all files; where none is there yet, the one that was chosen."""
        return self.sources[0].format if self.sources else self.options.input_format or ""

    @property
    def dialect(self) -> Dialect:
        """Tell how the text is written; JSON lines have neither quotes nor header."""
        chosen = self.options.dialect
        if self.format == "csv":
            return chosen
        return Dialect("", "", encoding=chosen.encoding)

    @property
    def worker_dialect(self) -> Dialect:
        """Tell how workers find the text: a stream in an encoding of its own has become UTF-8."""
        if _is_splittable(self.dialect.encoding):
            return self.dialect
        return dataclasses.replace(self.dialect, encoding="utf-8")

    def is_stream(self, source: Source) -> bool:
        """Tell whether a file must be read from its start."""
        return self.format != "parquet" and (bool(source.codec) or not _is_splittable(self.dialect.encoding))

    def first_questions(self) -> list[Any]:
        """List what a survey asks first and needs little for: where records start and end.

        None of a small input: a worker looks at it in less time than it takes to load NumPy for that here.
        """
        if self.format == "parquet" or self.dialect.has_preamble:
            return []
        plain = [source for source in self.sources if not (self.is_stream(source) or needs_copy(source))]
        if sum(source.size for source in plain) <= survey.BLOCK_BYTES:
            return []
        scans = survey.scans_of(plain, dialect=self.dialect, atom=self.options.part_bytes)
        return [scan for own in scans for scan in own]

    def copy(self, ask: Ask, tick: Callable[[], None]) -> None:
        """Copy files of stores here that are read so; before anything else is read, in every attempt."""
        if any(needs_copy(source) for source in self.sources):
            from ._copies import copied

            self.copies = copied(self.sources, self.spool, ask=ask, tick=tick)

    def digests(self) -> dict[int, int]:
        """Sum up the copies of files that no stamp tells from what they will be when the run is resumed."""
        unmarked = [at for at in self.copies if not self.sources[at].tells_version]
        if not unmarked:
            return {}
        from ._copies import digest_of

        return {at: digest_of(self.copies[at].path) for at in unmarked}

    def readable(self) -> list[Source]:
        """List the files as they are read."""
        return [self.copies.get(at, source) for at, source in enumerate(self.sources)]

    def resume(self, parts: Sequence[Part]) -> None:
        """Take over the parts that an earlier attempt has found."""
        self.surveyed = tuple(
            part._replace(local_copy=LocalCopy(self.copies[part.file].path, 0)) if part.file in self.copies else part
            for part in parts
        )

    def survey(self, ask: Ask) -> None:
        """Find parts and columns. Raises ``DataError`` when files do not go together, ``UsageError`` for no text."""
        sources = self.readable()
        if self.format == "parquet":
            surveyed = survey.survey_parquet(
                sources,
                ask,
                batch_rows=self.options.batch_rows,
                columns=names_alone(self.options.reading.usecols),
                folders=self._text.folders,
            )
            self.columns, self.agreed = self._with_folders(surveyed.columns), surveyed.agreed
            self.row_groups = surveyed.row_groups
            self.resume(surveyed.parts)
            self.notes += surveyed.notes
            return
        plain = [at for at, source in enumerate(sources) if not self.is_stream(source)]
        surveyed = survey.survey_lines(
            [sources[at] for at in plain],
            ask,
            dialect=self.dialect,
            atom=self.options.part_bytes,
            batch_rows=self.options.batch_rows,
            usecols=self.options.reading.usecols or (),
        )
        parts = surveyed.parts
        if len(plain) < len(self.sources):
            parts = tuple(part._replace(file=plain[part.file]) for part in parts)
        self.resume(parts)
        headers = dict(zip(plain, surveyed.headers, strict=True))
        headers |= self._stream_headers(ask)
        self.orders = _orders.orders_of(self.sources, [headers[at] for at in range(len(self.sources))])
        self.notes += (_orders.absence(name, files) for name, files in self._text.lacking.items())
        self.notes += self._doubted_separator()

    def _doubted_separator(self) -> Iterator[str]:
        """Ask about a mark that stands in the only name there is: most likely, it separates cells."""
        names = self.orders[0] if self.orders else ()
        if self.format != "csv" or len(names) != 1 or self.dialect.names:
            return
        for mark, how in ((";", "';'"), ("\t", "$'\\t'"), ("|", "'|'"), (",", "','")):
            if mark in names[0]:
                yield (
                    f"{self.sources[0].name!r} has one column, {names[0]!r}. If its cells are separated by {mark!r},"
                    f" say so: --sep {how}."
                )
                return

    def _stream_headers(self, ask: Ask) -> dict[int, Any]:
        sources = self.readable()
        streams = [at for at, source in enumerate(sources) if self.is_stream(source)]
        ask([question for at in streams if not sources[at].codec for question in survey.beginning(sources[at])])
        if self.format != "csv":
            return dict.fromkeys(streams)
        spooled = [self._stream(at).head() for at in streams]
        usecols = self.options.reading.usecols or ()
        named = [(self.sources[at].name, *head) for at, head in zip(streams, spooled, strict=True)]
        heads = [Head(path, size, self.worker_dialect, usecols, name, is_plain=False) for name, path, size in named]
        headers = dict(zip(streams, ask(heads), strict=True))
        self.stream_starts = {at: header[1] for at, header in headers.items() if header}
        return headers

    def _stream(self, at: int, *, before: int = 0) -> Any:  # noqa: ANN401 (a Stream, whose module imports NumPy)
        from .streams import Stream

        return Stream(
            self.copies.get(at, self.sources[at]),
            at,
            dialect=self.dialect,
            folder=self.spool,
            atom=self.options.part_bytes,
            batch_rows=self.options.batch_rows,
            data_start=self.stream_starts.get(at, 0),
            before=before,
        )

    def feed(self) -> Iterator[Sequence[Part]]:
        """Yield the parts of all files in order; those of a stream as it is read."""
        surveyed = {at: list(parts) for at, parts in groupby(self.surveyed, key=attrgetter("file"))}
        before = 0
        for at, source in enumerate(self.readable()):
            if self.is_stream(source):
                stream = self._stream(at, before=before)
                yield from stream
                before += stream.size
            else:
                yield surveyed.get(at, [])

    def count_rows(self) -> int | None:
        """Count the rows of the input; ``None`` where streams hide some."""
        if any(self.is_stream(source) for source in self.readable()):
            return None
        return sum(part.rows for part in self.surveyed)

    def excerpt(self, ask: Ask, parts: Sequence[Part]) -> list[Part]:
        """Cut all parts down to the rows that the options choose."""
        from .excerpt import excerpt, first_rows, spread_rows

        total, limit = sum(part.rows for part in parts), self.options.limit
        chosen = first_rows(total, limit) if limit else spread_rows(total, self.options.sample or 0)
        return excerpt(parts, chosen, ask, sources=self.readable(), dialect=self.worker_dialect)

    def widen(self, ask: Ask, parts: Sequence[Part], misfits: Mapping[str, frozenset[str]]) -> None:
        """Settle the types by every cell, and by what a task met that a look at cells alone may not show."""
        before = {column.name: column.kinds for column in self.columns}
        self.observe(ask, parts, everything=True)
        self.columns = tuple(
            column._replace(
                kinds=column.kinds
                | misfits.get(column.name, frozenset())
                | before.get(column.name, frozenset({"missing"})),
            )
            for column in self.columns
        )

    def observe(self, ask: Ask, parts: Sequence[Part], *, everything: bool) -> None:
        """Settle the types: from a sample that spans these parts, or from every cell of them."""
        if self.format != "parquet":
            self.columns = self._with_folders(self._text.settle(ask, parts, everything=everything))
        elif self.options.dtype:
            raise UsageError("--dtype is for text; a Parquet file says itself what its columns hold. Leave it out.")

    @property
    def _text(self) -> TextColumns:
        return TextColumns(self.format, self.sources, self.orders, self.worker_dialect, self.options)

    def _with_folders(self, columns: Iterable[Column]) -> tuple[Column, ...]:
        """Add the columns that folders name, unless the files themselves have them."""
        columns = tuple(columns)
        names = {column.name for column in columns}
        return (*columns, *(Column(name, fixed="folder") for name in self._text.folders if name not in names))


def _said_of_csv(options: Options) -> Iterator[str]:
    """Name the options that are set and mean something for CSV alone."""
    dialect = options.dialect
    plain = Dialect(encoding=dialect.encoding)
    for chosen, neutral in ((dialect, plain), (options.reading, Reading())):
        for name in (one.name for one in dataclasses.fields(chosen)):
            if getattr(chosen, name) != getattr(neutral, name) and (name, getattr(chosen, name)) != ("delimiter", "\t"):
                yield name
