"""Join scanned blocks into stretches that can be read alone. Plain Python, without NumPy."""

from collections.abc import Sequence
from typing import NamedTuple


class Flow(NamedTuple):
    """What a block holds under one assumption about its start. Offsets count from the start of the file.

    ``lead`` counts the records that end before the first cut; ``rows[i]`` those that end between cut ``i`` and the
    next one. Every cut is where a record starts. ``open`` is where a record starts that has no end in this block.
    """

    ends_quoted: bool
    lead: int
    cuts: tuple[int, ...]
    rows: tuple[int, ...]
    open: int | None
    is_open_a_row: bool = True
    """Whether that record is a row, and not a comment."""


class ScannedBlock(NamedTuple):
    """A scanned block; a flow is ``None`` where its assumption was improbable and has not been worked out."""

    start: int
    stop: int
    plain: Flow | None
    quoted: Flow | None


class RecordRange(NamedTuple):
    """Records that can be read alone: bytes ``start`` to ``stop``, ``rows`` of them not blank."""

    start: int
    stop: int
    rows: int


class NeedsScanError(Exception):
    """A block must be scanned once more, under the assumption that turned out to be true."""

    def __init__(self, index: int, *, quoted: bool) -> None:
        super().__init__(index)
        self.index = index
        self.quoted = quoted


def stitch(blocks: Sequence[ScannedBlock]) -> tuple[list[RecordRange], int | None]:
    """Join the blocks of one file, in order, into stretches that can be read alone.

    Also tells where a record starts whose quote is never closed; it is in no stretch. Raises ``NeedsScanError`` when
    a block's true flow has not been worked out.
    """
    stretches: list[RecordRange] = []
    quoted, start, rows, unfinished, flow = False, 0, 0, None, None
    for index, block in enumerate(blocks):
        flow = block.quoted if quoted else block.plain
        if flow is None:
            raise NeedsScanError(index, quoted=quoted)
        rows += flow.lead
        for cut, more in zip(flow.cuts, flow.rows, strict=True):
            if cut > start:
                stretches.append(RecordRange(start, cut, rows))
                start, rows = cut, 0
            rows += more
        quoted = flow.ends_quoted
        if flow.open is not None or flow.cuts or flow.lead:
            unfinished = flow.open
    stop = blocks[-1].stop if blocks else 0
    if quoted and unfinished is not None:
        stop = unfinished
    elif unfinished is not None and unfinished < stop:
        rows += flow is not None and flow.is_open_a_row
    if stop > start:
        stretches.append(RecordRange(start, stop, rows))
    return stretches, unfinished if quoted else None
