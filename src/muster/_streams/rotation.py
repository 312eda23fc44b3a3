"""When the file that rows are received in is full, and how the files are named."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

from muster._formats.compression import WRITTEN
from muster._formats.sources import format_of
from muster.errors import UsageError

_BYTES: Final = {"kB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12}
_SECONDS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_LIMIT: Final = re.compile(r"([0-9]*\.?[0-9]+)([A-Za-z]+)")


@dataclass(frozen=True, slots=True)
class Rotation:
    """A file is full with so many bytes of rows, before they are compressed, or so many seconds after its first row."""

    size: float = float("inf")
    seconds: float = float("inf")

    @classmethod
    def of(cls, text: str) -> Self:
        """Read ``100MB``, ``1h``, or both with a comma. Raises ``ValueError``."""
        limits = {"size": float("inf"), "seconds": float("inf")}
        for word in text.split(","):
            match = _LIMIT.fullmatch(word.strip())
            kind, units = ("size", _BYTES) if match and match[2] in _BYTES else ("seconds", _SECONDS)
            if match is None or match[2] not in units or not float(match[1]):
                raise ValueError(
                    f"{word.strip()!r} is neither a size, in {' '.join(_BYTES)}, nor a time, in {' '.join(_SECONDS)};"
                    " type for example 100MB, 1h, or 100MB,1h"
                )
            limits[kind] = float(match[1]) * units[match[2]]
        return cls(**limits)


@dataclass(frozen=True, slots=True)
class Naming:
    """How the files are named: as the user says, or numbered."""

    folder: Path
    stem: str
    suffixes: str
    format: str
    codec: str

    @classmethod
    def of(cls, output: Path) -> Self:
        """Take a name apart. Raises ``UsageError`` for a format that rows of text cannot be received in."""
        kind, codec = format_of(str(output))
        if kind == "parquet" or (codec and codec not in WRITTEN):
            raise UsageError(
                f"{str(output)!r}: rows are received as they come, as CSV or JSON lines, in a plain file or one of gzip"
                " or Zstandard. Name a file that ends in .csv, .tsv or .jsonl, or in one of these and .gz or .zst."
            )
        count = 2 if codec else 1
        suffixes = "".join(output.suffixes[-count:])
        return cls(output.parent, output.name.removesuffix(suffixes), suffixes, kind, codec)

    @property
    def has_header(self) -> bool:
        """Tell whether a file of the format begins with the names of its columns."""
        return self.format == "csv"

    @property
    def delimiter(self) -> str:
        """Name what separates cells; empty for JSON."""
        return "" if self.format != "csv" else "\t" if ".tsv" in self.suffixes.lower() else ","

    def next(self, taken: set[str], *, number: int) -> str:
        """Give a file this ``number``, or the one behind all that are there."""
        ours = re.compile(rf"{re.escape(self.stem)}-(\d{{6,}}){re.escape(self.suffixes)}")
        names = taken | {path.name for path in self.folder.iterdir()}
        last = max((int(match[1]) for name in names if (match := ours.fullmatch(name))), default=0)
        return f"{self.stem}-{max(last + 1, number):06}{self.suffixes}"
