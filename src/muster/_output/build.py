"""Make a run's output out of its outcomes, and make it visible."""

import os
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import Any, Final

from muster._formats.compression import WRITTEN
from muster._formats.inputs import Inputs
from muster._formats.sources import format_of
from muster._formats.unseal import PieceSchemas
from muster._formats.volumes import Seal, ShareSchema, header
from muster._job import Options
from muster._journal.events import Moved, OutputLayout
from muster._model import Outcome, Part, Task
from muster._progress.schema import united
from muster._words import plural
from muster.errors import DataError, EngineError, UsageError

from .folder import WorkFolder
from .growing import Grown, PieceLocations
from .row_groups import RowGroups

_VOLUME_BYTES: Final = 64 << 20
"""Of input, for each file of a folder or row group. Readers of Parquet like 16 to 128 MB of output; not measured."""

_VOLUME_BYTES_COMPRESSED: Final = 8 << 20
"""A volume is compressed by one worker, at the end: small ones keep all of them busy. A gzip member costs 20 bytes."""

_MOST_PLAIN: Final = 512 << 20
"""Bytes of blocks, or of pieces of Parquet, that are not packed: memory takes them before a disk has to."""
_SUFFIX: Final = {"gzip": ".gz", "zstd": ".zst"}
_COMPLETE: Final = "complete"

Ask = Callable[[Sequence[Any]], list[Any]]
Ready = Callable[[OutputLayout, str], None]
"""Is told how the output was laid, and its fingerprint, just before it becomes visible."""


class OutputBuilder:
    """The output's format, and how it comes about.

    A plain text file grows in input order while the run goes on. A folder, a compressed or a Parquet file is made at
    the end, by the workers, of volumes: stretches whose borders depend on the input alone, so that its bytes do too.
    """

    def __init__(self, work: WorkFolder, options: Options, inputs: Inputs) -> None:
        """Find out the format. Raises ``UsageError`` when nothing tells it."""
        self._work = work
        self._inputs = inputs
        if work.is_folder:
            self.format, self.codec = options.output_format or options.format or inputs.format, ""
        else:
            self.format, self.codec = format_of(work.output, forced=options.output_format, default=options.format)
        if self.codec and self.codec not in WRITTEN:
            raise UsageError(
                f"{work.output!r}: muster reads {self.codec}, but of compressed outputs it writes .gz and .zst alone,"
                " which any number of workers can make together. Choose one of these."
            )
        self.delimiter = "\t" if ".tsv" in Path(work.output).suffixes else ","
        self._grows = self.format != "parquet" and not self.codec and not work.is_folder
        self._grown: Grown | None = None
        self._closed: Grown | None = None
        self._has_header = False
        self.locations = PieceLocations()

    @property
    def volume_bytes(self) -> int | None:
        """Say how much input makes a volume, in bytes; ``None`` where there are none."""
        if self._grows:
            return None
        return _VOLUME_BYTES_COMPRESSED if self.codec else _VOLUME_BYTES

    def plain_bytes(self, *, workers: int, is_far: bool) -> int:
        """Say how many bytes of blocks or pieces of Parquet each worker writes before it packs them; none that travel.

        What is written counts, not the input: that may be compressed itself, or a stream of unknown size.
        """
        return 0 if is_far or self._work.staging else _MOST_PLAIN // max(workers, 1)

    def begin(self) -> None:
        """Start a new, empty growing file; pieces that lie in earlier ones stay there, and are copied from them."""
        self.pause()
        self._has_header = False
        if self._grows:
            self._grown = Grown(self._work.folder / f"grown-{os.urandom(4).hex()}")
            self.tidy()

    def tidy(self) -> None:
        """Remove what earlier beginnings grew and nothing needs any more."""
        needed = self.locations.files | ({self._grown.path.name} if self._grown else set())
        for path in self._work.folder.glob("grown-*"):
            if path.name not in needed:
                path.unlink()

    def append(self, outcome: Outcome, columns: tuple[str, ...] | None) -> Moved | None:
        """Take the rows that come next in the output; tell where they lie from now on, unless there are none."""
        if self._grown is None:
            return None
        if columns is not None and not self._has_header:
            self._grown.write(self._header(columns))
            self._has_header = True
        if outcome.output is None:
            return None
        piece, before = outcome.output, self.locations[outcome.output]
        offset = self._grown.append(self._work.folder / before.file, piece.bytes, offset=before.offset)
        moved = Moved(piece.name, self._grown.path.name, offset)
        self.locations.move(moved)
        return moved

    def pause(self) -> None:
        """Close the growing file, so that it can be published, or another one begun."""
        if self._grown is not None:
            self._grown.close()
            self._closed, self._grown = self._grown, None

    def end(
        self, outcomes: list[Outcome], ask: Ask, volume_of: Callable[[Outcome], int], *, ready: Ready
    ) -> list[Outcome]:
        """Complete the output and publish it, with the rejects; return the outcomes that it is made of.

        An output without rows still has columns: those that the function gives a frame without rows.
        """
        columns = _columns_of(outcomes)
        if columns is None and self._inputs.columns:
            blank = self._ask_for_columns(ask, first=max((outcome.task.last for outcome in outcomes), default=0))
            outcomes = [*outcomes, blank]
            columns = _columns_of(outcomes)
            if self._grows:
                self.begin()
                self.append(blank, columns)
                self.pause()
        if self.format == "parquet" and columns == ():  # where a row without columns is no row
            outcomes = [outcome._replace(rows_out=0) for outcome in outcomes]
        rejects = [outcome.rejects for outcome in outcomes if outcome.rejects is not None]
        if self._closed:
            ready_now = partial(ready, OutputLayout((), bytes=self._closed.size))
            self._work.publish(rejects, ready=ready_now, complete=self._closed.path.name)
            return outcomes
        volumes = _volumes(outcomes, volume_of)
        sealed = self._seal(volumes, ask, columns)
        layout = OutputLayout([(len(volume), file["bytes"]) for volume, file in zip(volumes, sealed, strict=True)])
        if rejects and self.format == "parquet":
            layout = self._with_schemas(layout, volumes, ask)
        files = sealed if self._work.is_folder else []
        self._work.publish(rejects, ready=partial(ready, layout), files=files)
        return outcomes

    def _pieces(self, volumes: Sequence[Sequence[Outcome]]) -> list[tuple[str, ...]]:
        place = self._work.staging or str(self._work.parts)
        return [tuple(f"{place}/{o.output.name}" for o in group if o.output) for group in volumes]

    def _with_schemas(self, layout: OutputLayout, volumes: Sequence[Sequence[Outcome]], ask: Ask) -> OutputLayout:
        """Note the schemas of Parquet pieces, which the output does not show."""
        question = PieceSchemas(tuple(piece for pieces in self._pieces(volumes) for piece in pieces))
        schemas, of_pieces = ask([question])[0]
        return layout._replace(schemas=schemas, of_pieces=of_pieces)

    def _ask_for_columns(self, ask: Ask, *, first: int) -> Outcome:
        task = Task(number=0, first=first, last=first, file=0, start=0, stop=0, row=0, rows=0, lo=0, hi=0)
        try:
            blank: Outcome = ask([task])[0]
        except EngineError:  # the function cannot take a frame without rows: then the output has no columns
            return Outcome(task, 0, 0)
        return blank._replace(bad_rows=0)

    def _header(self, columns: tuple[str, ...] | None) -> bytes:
        if columns is None or self.format != "csv" or self._inputs.dialect.is_numbered:
            return b""
        return header(columns, delimiter=self.delimiter)

    def _seal(
        self, volumes: Sequence[Sequence[Outcome]], ask: Ask, columns: tuple[str, ...] | None
    ) -> list[dict[str, Any]]:
        """Have workers make the output's files; tell what a manifest says of each."""
        work, pieces = self._work, self._pieces(volumes)
        is_parquet = self.format == "parquet"
        schema, sizes = ask([ShareSchema(tuple(pieces))])[0] if is_parquet else (b"", [])
        if is_parquet and not work.is_folder:
            RowGroups(pieces, sizes, schema, work.sealed).seal(work.unused(_COMPLETE), ask)
            return [{"bytes": 0} for _ in volumes]
        first, head = self._header(columns), self._header(columns) if work.is_folder else b""
        suffix = f".{self.format}{_SUFFIX.get(self.codec, '')}"
        target = work.output.rstrip("/") if work.staging else str(work.sealed)
        names = [f"{target}/{name}" for name in work.names(suffix, parts=len(pieces))]
        sums = [tuple((o.output.bytes, o.output.crc) for o in group if o.output) for group in volumes]
        seals = [
            Seal(
                pieces=piece,
                output=name,
                format=self.format,
                codec=self.codec,
                header=head if at else first,
                schema=schema,
                sums=own_sums,
            )
            for at, (piece, name, own_sums) in enumerate(zip(pieces, names, sums, strict=True))
        ]
        sealed = ask(seals)
        if not work.is_folder:
            self._join(names, [size for size, _ in sealed])
        return [
            {"name": Path(name).name, "rows": sum(o.rows_out for o in group), "bytes": size, "sha256": digest}
            for name, group, (size, digest) in zip(names, volumes, sealed, strict=True)
        ]

    def _join(self, names: Sequence[str], sizes: Sequence[int]) -> None:
        grown = Grown(self._work.unused(_COMPLETE))
        for name, size in zip(names, sizes, strict=True):
            grown.append(Path(name), size)
        grown.close()


def _volumes(outcomes: Iterable[Outcome], volume_of: Callable[[Outcome], int]) -> list[list[Outcome]]:
    """Put outcomes together whose rows go to one file, or to one stretch or row group of it."""
    written = [outcome for outcome in outcomes if outcome.output is not None]
    return [list(group) for _, group in groupby(written, key=volume_of)] or [[]]


def _columns_of(outcomes: Iterable[Outcome]) -> tuple[str, ...] | None:
    """Name the columns of the output; ``None`` if no result had any."""
    schemas = [outcome.schema for outcome in outcomes if outcome.schema is not None]
    return united(schemas).columns if schemas else None


def check_every_row_is_settled(parts: Iterable[Part], *, done: int) -> None:
    """Raise ``EngineError`` rather than publish an output that is short of a row, whatever may have gone wrong."""
    expected = sum(part.rows for part in parts)
    if done != expected:
        raise EngineError(
            f"{done} of {expected} rows are settled, so there is no output. This is muster's fault; please report it,"
            " with the folder of the run. To start over, type the command again with --fresh."
        )


def check_worth_publishing(outcomes: Iterable[Outcome], work: WorkFolder) -> None:
    """Raise ``DataError`` if all rows were rejected and an earlier output has rows: it is not replaced by nothing.

    Behind a step that gives more rows than it gets, more may be rejected than there are in the input.
    """
    listed = list(outcomes)
    rows = totals(listed)
    bad_rows = rows["bad_rows"]
    if not bad_rows or bad_rows < rows["rows_in"] or rows["rows_out"] or not work.holds_rows():
        return
    first_error = next((outcome.first_error for outcome in listed if outcome.first_error), "")
    raise DataError(
        f"Not one of {plural(bad_rows, 'row')} could be processed, and {work.output!r} holds those of an earlier run:"
        f" it stays as it is. The first of this run:\n{first_error}\n"
        "Mend the function or the data, and type the command again with --fresh; or choose another output."
    )


def totals(outcomes: Iterable[Outcome]) -> dict[str, Any]:
    """Count the rows of outcomes, by the names that these have in a result."""
    listed = list(outcomes)
    return {name: sum(getattr(one, name) for one in listed) for name in ("rows_in", "rows_out", "bad_rows")}
