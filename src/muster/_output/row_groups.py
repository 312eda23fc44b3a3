"""One Parquet file, of column chunks that many workers have encoded: nothing is decoded or encoded a second time."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any, Final

from muster._formats.parquet_footer import MAGIC, Chunks, end_of
from muster._formats.volumes import BlankFooter, SealChunks

from .growing import Grown

_SHARE_BYTES: Final = 16 << 20
"""How much of pieces makes a share of a row group's columns: so little that all workers have one, and memory for it."""


@dataclass(frozen=True, slots=True)
class RowGroups:
    """The pieces of each row group, and their sizes in bytes; the schema of all, as Arrow writes it."""

    pieces: Sequence[tuple[str, ...]]
    sizes: Sequence[int]
    schema: bytes
    columns: int
    folder: Path
    """Where workers write chunks."""

    def seal(self, output: Path, ask: Callable[[Sequence[Any]], list[Any]]) -> None:
        """Have workers encode shares of the columns, and put these together. ``ask`` raises what they raise."""
        groups = list(self._questions())
        blank, *answers = ask([BlankFooter(self.schema), *chain.from_iterable(groups)])
        answered = iter(answers)
        chunks: list[list[Chunks]] = [[next(answered) for _ in group] for group in groups]
        file = Grown(output)
        file.write(MAGIC)
        for question, share in zip(chain.from_iterable(groups), chain.from_iterable(chunks), strict=True):
            path = Path(question.output)
            file.append(path, share.size, offset=len(MAGIC))
            path.unlink()  # there is never much more on the disk than the rows twice
        file.write(end_of(blank, chunks))
        file.close()

    def _questions(self) -> Iterator[list[SealChunks]]:
        for at, (pieces, size) in enumerate(zip(self.pieces, self.sizes, strict=True)):
            shares = min(max(round(size / _SHARE_BYTES), 1), max(self.columns, 1))
            place = f"{self.folder}/{at:05d}"
            yield [SealChunks(pieces, f"{place}-{one:03d}", self.schema, one, shares) for one in range(shares)]
