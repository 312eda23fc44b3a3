"""Make a run's output out of its outcomes, and make it visible."""

from collections.abc import Callable, Iterable, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

from muster._formats.volumes import Seal, SealParquet, header
from muster._model import Outcome
from muster._output import Assembler, Work

Ask = Callable[[Sequence[Any]], list[Any]]


class Growing:
    """A plain text output that grows in input order while the run goes on."""

    def __init__(self, work: Work, *, delimiter: str | None) -> None:
        """Begin with nothing; ``delimiter`` is that of a header row, ``None`` where the format has none."""
        self._work = work
        self._delimiter = delimiter
        self._assembler = Assembler(work.assembled)
        self._has_header = False

    def append(self, outcome: Outcome) -> None:
        """Append an outcome's rows, the header before the first."""
        self.begin(outcome.columns)
        if outcome.output is not None:
            self._assembler.append(self._work.parts / outcome.output.name, outcome.output.bytes)

    def begin(self, columns: tuple[str, ...] | None) -> None:
        """Write the header, once the columns are known."""
        if columns is not None and not self._has_header and self._delimiter is not None:
            self._assembler.write(header(columns, delimiter=self._delimiter))
            self._has_header = True

    def rewind(self) -> None:
        """Begin anew."""
        self._assembler.rewind()
        self._has_header = False

    def close(self) -> None:
        """Close the file."""
        self._assembler.close()


def seal(  # noqa: PLR0913 (the work folder, what lies in it, and how the output is written)
    work: Work,
    outcomes: Iterable[Outcome],
    ask: Ask,
    *,
    volume_of: Callable[[Outcome], int],
    format_: str,
    codec: str,
    columns: tuple[str, ...] | None,
    delimiter: str | None,
) -> list[dict[str, Any]]:
    """Make the files of a folder, of a compressed or of a Parquet output; tell what a manifest says of each file."""
    written = [outcome for outcome in outcomes if outcome.output is not None]
    volumes = [list(group) for _, group in groupby(written, key=volume_of)] or [[]]
    pieces = [tuple(str(work.parts / o.output.name) for o in group if o.output) for group in volumes]
    if format_ == "parquet" and not work.is_folder:
        ask([SealParquet(tuple(pieces), str(work.assembled))])
        return []
    head = header(columns, delimiter=delimiter) if columns is not None and delimiter is not None else b""
    suffix = "." + format_ + {"gzip": ".gz", "zstd": ".zst"}.get(codec, "")
    if delimiter == "\t":
        suffix = suffix.replace("csv", "tsv")
    seals = [
        Seal(
            piece,
            str(work.sealed / f"part-{at:05d}{suffix}"),
            format_,
            codec,
            head if work.is_folder or not at else b"",
        )
        for at, piece in enumerate(pieces)
    ]
    sizes = ask(seals)
    if not work.is_folder:
        assembler = Assembler(work.assembled)
        for sealed, (size, _) in zip(seals, sizes, strict=True):
            assembler.append(Path(sealed.output), size)
        assembler.close()
    return [
        {
            "name": Path(sealed.output).name,
            "rows": sum(outcome.rows_out for outcome in group),
            "bytes": size,
            "sha256": digest,
        }
        for sealed, (size, digest), group in zip(seals, sizes, volumes, strict=True)
    ]
