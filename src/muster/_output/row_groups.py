"""One Parquet file, of column chunks that many workers have encoded: nothing is decoded or encoded a second time."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any, Final

from muster._formats.parquet_footer import MAGIC, ColumnChunks, end_of
from muster._formats.volumes import BlankFooter, SealChunks

from .growing import Grown

_SHARE_BYTES: Final = 16 << 20
"""How much memory the columns take that make a share of a row group: so little that all workers have one.

A column that takes more is a share by itself.
"""


@dataclass(frozen=True, slots=True)
class RowGroups:
    """The pieces of each row group, and how many bytes of memory each column takes; the schema, as Arrow writes it."""

    pieces: Sequence[tuple[str, ...]]
    sizes: Sequence[Sequence[int]]
    schema: bytes
    folder: Path
    """Where workers write chunks."""

    def seal(self, output: Path, ask: Callable[[Sequence[Any]], list[Any]]) -> None:
        """Have workers encode shares of the columns, and put these together. ``ask`` raises what they raise."""
        groups = list(self._questions())
        blank, *answers = ask([BlankFooter(self.schema), *chain.from_iterable(groups)])
        answered = iter(answers)
        chunks: list[list[ColumnChunks]] = [[next(answered) for _ in group] for group in groups]
        file = Grown(output)
        file.write(MAGIC)
        for question, share in zip(chain.from_iterable(groups), chain.from_iterable(chunks), strict=True):
            path = Path(question.output)
            file.append(path, share.size, offset=len(MAGIC))
            path.unlink()  # there is never much more on the disk than the rows twice
        file.write(end_of(blank, chunks))
        file.close()

    def _questions(self) -> Iterator[list[SealChunks]]:
        for at, (pieces, sizes) in enumerate(zip(self.pieces, self.sizes, strict=True)):
            place = f"{self.folder}/{at:05d}"
            yield [
                SealChunks(pieces, f"{place}-{one:03d}", self.schema, first, last)
                for one, (first, last) in enumerate(_shares(sizes))
            ]


def _shares(sizes: Sequence[int]) -> Iterator[tuple[int, int]]:
    """Cut columns of these sizes into shares; there is one even where there is no column."""
    first = held = 0
    for at, size in enumerate(sizes):
        if at > first and held + size > _SHARE_BYTES:
            yield first, at
            first, held = at, 0
        held += size
    yield first, len(sizes)
