"""What a run reads: its files, how they are split, and the types of their columns."""

import dataclasses
import re
import shlex
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain, groupby
from operator import attrgetter
from pathlib import Path
from typing import Any, Final

from muster._csv_options import checked_dialect
from muster._dialect import Dialect, Reading
from muster._job import Options
from muster._model import Column, Part, Source, Spool
from muster._near import nearest, with_guess
from muster.errors import DataError, UsageError

from . import survey
from ._left_out import instead_of
from ._sources import needs_copy
from .survey import Ask, DateFormats, Head, Observe

_ALIASES: Final = {"int": "int64", "float": "float64", "object": "str", "datetime64": "datetime"}
_PAIRS: Final = re.compile(r"[^:,=]+:[^:,=]+(,[^:,=]+:[^:,=]+)*")
"""Columns and types as some write them."""

TYPES: Final = (
    *("str", "bool", "datetime", "date", "float32", "float64"),
    *(f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)),
)


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

    def __post_init__(self) -> None:
        """Raise ``UsageError`` for options of CSV where the input is another format."""
        if self.format != "csv" and (said := list(_said_of_csv(self.options))):
            raise UsageError(
                f"{', '.join(said)}: that is for CSV, and {self.sources[0].name!r} is {self.format}. Leave it out, or"
                " say --format csv if it is CSV."
            )

    @property
    def format(self) -> str:
        """Name the format, the same for all files."""
        return self.sources[0].format

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
        if self._is_splittable():
            return self.dialect
        return dataclasses.replace(self.dialect, encoding="utf-8")

    def _is_splittable(self) -> bool:
        if self.dialect.encoding.lower().replace("-", "") in {"utf8", "ascii"}:
            return True
        from .streams import is_splittable

        return is_splittable(self.dialect.encoding)

    def is_stream(self, source: Source) -> bool:
        """Tell whether a file must be read from its start."""
        return self.format != "parquet" and (bool(source.codec) or not self._is_splittable())

    def first_questions(self) -> list[Any]:
        """List what a survey asks first and needs little for: where records start and end."""
        if self.format == "parquet" or self.dialect.has_preamble:
            return []
        plain = [source for source in self.sources if not (self.is_stream(source) or needs_copy(source))]
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
            part._replace(spool=Spool(self.copies[part.file].path, 0)) if part.file in self.copies else part
            for part in parts
        )

    def survey(self, ask: Ask) -> None:
        """Find parts and columns. Raises ``DataError`` when files do not go together, ``UsageError`` for no text."""
        sources = self.readable()
        if self.format == "parquet":
            found = survey.survey_parquet(sources, ask, batch_rows=self.options.batch_rows)
            self.columns, self.agreed = self._with_folders(found.columns), found.agreed
            self.resume(found.parts)
            self.notes += found.notes
            return
        plain = [at for at, source in enumerate(sources) if not self.is_stream(source)]
        found = survey.survey_lines(
            [sources[at] for at in plain],
            ask,
            dialect=self.dialect,
            atom=self.options.part_bytes,
            batch_rows=self.options.batch_rows,
            usecols=self.options.reading.usecols or (),
        )
        parts = found.parts
        if len(plain) < len(self.sources):
            parts = tuple(part._replace(file=plain[part.file]) for part in parts)
        self.resume(parts)
        headers = dict(zip(plain, found.headers, strict=True))
        headers |= self._stream_headers(ask)
        self.orders = survey.orders_of(self.sources, [headers[at] for at in range(len(self.sources))])
        self.notes += (survey.absence(name, files) for name, files in self._lacking.items())
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
        found = dict(zip(streams, ask(heads), strict=True))
        self.stream_starts = {at: header[1] for at, header in found.items() if header}
        return found

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
        if self.format == "parquet":
            if self.options.dtype:
                raise UsageError("--dtype is for text; a Parquet file says itself what its columns hold. Leave it out.")
            return
        looked_at = joined(parts) if everything else list(parts)
        named = tuple(dict.fromkeys(chain.from_iterable(self.orders)))
        reading = self.options.reading
        self._check_places()
        used = used_columns(reading.usecols, named, folders=self._folders)
        dates = self._date_formats(ask, looked_at, named if used is None else used)
        whole = (
            self.sources,
            self.orders,
            Observe(self.format, self.worker_dialect, reading=reading, used=used, dates=tuple(dates.items())),
        )
        asked = [survey.observation(p, *whole) for p in looked_at] if everything else survey.samples(looked_at, *whole)
        seen = survey.add_up(ask(asked))
        every = tuple(dict.fromkeys(seen)) if self.format == "jsonl" else named
        fixed = fixed_types(self.options.dtype, every, folders=self._folders)
        self._check_absent(fixed)
        for name in self._lacking.keys() & seen.keys():
            seen[name] |= {"missing"}
        no_rows = frozenset({"nested"})  # pandas gives a column without rows the type object
        self.columns = self._with_folders(
            Column(
                name,
                seen.get(name, frozenset({"missing", *(["dates"] * (name in dates))}) if parts else no_rows),
                "" if name in dates else fixed.get(name, ""),
                dates.get(name, ""),
            )
            for name in (every if used is None else used)
        )

    def _date_formats(self, ask: Ask, parts: Sequence[Part], names: Sequence[str]) -> dict[str, str]:
        """Find how each column of dates is written: as the user says, or as its first cell in the input is.

        No format where all these parts have nothing in that column. Raises ``UsageError`` for a column that is not
        there.
        """
        reading = self.options.reading
        chosen = used_columns(reading.parse_dates, names, option="parse_dates") or ()
        said = reading.date_format
        formats = {name: said if isinstance(said, str) else dict(said).get(name, "") for name in chosen}
        if all(formats.values()):  # as where there are no dates: then the parts need not be put together
            return formats
        for part in joined(parts):
            unknown = tuple((name, "") for name, written in formats.items() if not written)
            if not unknown:
                break
            how = DateFormats(self.format, self.worker_dialect, reading=reading, dates=unknown)
            formats |= ask([survey.observation(part, self.sources, self.orders, how)])[0]
        return formats

    def _check_places(self) -> None:
        """Raise ``UsageError`` where columns are named by position, and files have different ones there."""
        reading = self.options.reading
        said = {"usecols": reading.usecols or (), "parse_dates": reading.parse_dates}
        orders = {order: source.name for source, order in zip(self.sources, self.orders, strict=False) if order}
        for option, chosen in said.items():
            places = [at for at in chosen if isinstance(at, int)]
            if places and len(orders) > 1:
                (one, file), (other, another), *_ = orders.items()
                raise UsageError(
                    f"{option} names columns by position, and {file!r} has {', '.join(one)} where {another!r} has"
                    f" {', '.join(other)}. Say their names."
                )

    @property
    def _lacking(self) -> dict[str, list[str]]:
        return survey.lacking(self.sources, self.orders) if self.format == "csv" else {}

    def _check_absent(self, fixed: Mapping[str, str]) -> None:
        """Raise ``DataError`` where a file lacks a column whose type has no missing value."""
        for name, files in self._lacking.items():
            kind = fixed.get(name, "")
            if kind == "bool" or kind.startswith(("int", "uint")):
                raise DataError(
                    f"{survey.absence(name, files)}, and {kind} has no missing value. Say --dtype {name}=float64, or"
                    " run these files apart."
                )

    @property
    def _folders(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(name for source in self.sources for name, _ in source.keys))

    def _with_folders(self, columns: Iterable[Column]) -> tuple[Column, ...]:
        """Add the columns that folders name, unless the files themselves have them."""
        columns = tuple(columns)
        names = {column.name for column in columns}
        return (*columns, *(Column(name, fixed="folder") for name in self._folders if name not in names))


def _said_of_csv(options: Options) -> Iterator[str]:
    """Name the options that are set and mean something for CSV alone."""
    dialect = options.dialect
    plain = Dialect(encoding=dialect.encoding)
    for chosen, neutral in ((dialect, plain), (options.reading, Reading())):
        for name in (one.name for one in dataclasses.fields(chosen)):
            if getattr(chosen, name) != getattr(neutral, name) and (name, getattr(chosen, name)) != ("delimiter", "\t"):
                yield name


def joined(parts: Iterable[Part]) -> list[Part]:
    """Put neighbouring parts together, up to a block each, to look at many rows at once."""
    stretches: list[Part] = []
    for part in (part for part in parts if not part.fault):
        last = stretches[-1] if stretches else None
        if (
            last is not None
            and (last.file, last.spool, last.stop) == (part.file, part.spool, part.start)
            and part.stop - last.start <= survey.BLOCK_BYTES
        ):
            stretches[-1] = last._replace(stop=part.stop, rows=last.rows + part.rows)
        else:
            stretches.append(part)
    return stretches


def used_columns(
    usecols: Sequence[str | int] | None,
    names: Sequence[str],
    *,
    folders: Collection[str] = (),
    option: str = "usecols",
) -> tuple[str, ...] | None:
    """Name the columns that ``usecols`` chooses, in the order of the file; those of ``folders`` are there anyway.

    Raises ``UsageError`` for one that the input has not.
    """
    if usecols is None or not names:
        return None
    known = {*names, *folders, *range(len(names))}
    if unknown := [with_guess(one, names, shown=repr(one)) for one in usecols if one not in known]:
        raise UsageError(
            f"{option} names columns that the input has not: {', '.join(unknown)}. It has: {', '.join(names)}."
        )
    return tuple(name for at, name in enumerate(names) if name in usecols or at in usecols)


def fixed_types(
    dtype: str | Mapping[str, str] | None, names: Sequence[str], *, folders: Collection[str] = ()
) -> dict[str, str]:
    """Understand ``--dtype``: one type for all columns, or ``COL=TYPE,…``. Raises ``UsageError``."""
    if not dtype:
        return {}
    if isinstance(dtype, str) and "=" in dtype:
        pairs = [pair.rpartition("=") for pair in dtype.split(",")]
        if odd := [text for name, _, text in pairs if not name]:
            raise UsageError(f"--dtype {dtype}: {odd[0]!r} is no COLUMN=TYPE. Type for example --dtype A=int64,B=str.")
        names_in_it = [name for name, _, _ in pairs]
        if twice := [name for at, name in enumerate(names_in_it) if name in names_in_it[:at]]:
            raise UsageError(f"--dtype {dtype}: it names {twice[0]!r} twice, and a column has one type. Leave one out.")
        dtype = {name: text for name, _, text in pairs}
    chosen = {name: str(dtype) for name in names} if isinstance(dtype, str) else {k: str(v) for k, v in dtype.items()}
    unknown = [name for name in chosen if name not in names]
    if named := [name for name in unknown if name in folders]:
        raise UsageError(
            f"--dtype {named[0]}={chosen[named[0]]}: that column is named by folders, and what they say is text. Leave"
            " it out of --dtype, and convert the column in your function."
        )
    if unknown:
        said = ", ".join(with_guess(one, names) for one in unknown)
        raise UsageError(f"--dtype names columns that the input has not: {said}. It has: {', '.join(names)}.")
    chosen = {name: _ALIASES.get(text, text) for name, text in chosen.items()}
    for name, text in chosen.items():
        _check_type(text, named=text if isinstance(dtype, str) else f"{name}={text}", column=name)
    return chosen


def _check_type(text: str, *, named: str, column: str) -> None:
    """Raise ``UsageError`` for what is no type that a column may have, with what to do instead."""
    if text in TYPES:
        return
    if named == text and _PAIRS.fullmatch(text):
        typed = shlex.quote(text.replace(":", "="))
        raise UsageError(f"{text!r} is no type; a column and its type are joined by =. Type --dtype {typed}")
    if instead := instead_of(column, text):
        raise UsageError(f"--dtype {named}: {instead}")
    like = nearest(text, [*TYPES, "int", "float"])
    meant = f" Did you mean {like}?" if like else ""
    raise UsageError(f"--dtype {named}: no such type. Known are: {', '.join(TYPES)}, int and float.{meant}")
