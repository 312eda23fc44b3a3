"""Questions about blocks: what the next stage is cut into. All are answered by workers, who read them."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Final, NamedTuple

from muster._model import LANES, Column, Grouping, Schema, Share
from muster._progress.schema import united

if TYPE_CHECKING:
    import numpy as np


class WeighLanes(NamedTuple):
    """Ask how many rows each lane has in blocks, and how many bytes of memory they take."""

    blocks: tuple[str, ...]

    def answer(self) -> tuple[list[int], list[int]]:
        """Add up what the blocks say."""
        from .blocks import each_section

        rows, sizes = [0] * LANES, [0.0] * LANES
        for _, section in each_section(self.blocks):
            counts = section.said["rows"]
            of_a_row = section.said["bytes"] / max(sum(counts), 1)
            for lane, count in enumerate(counts):
                rows[lane] += count
                sizes[lane] += count * of_a_row
        return rows, [*map(int, sizes)]


class Weighed(NamedTuple):
    """A share of the keys of a lane, with its rows, and the bytes of memory that they take."""

    share: Share
    rows: int
    bytes: int


class CutLane(NamedTuple):
    """Ask for shares of a lane that has more rows than should be in memory at a time."""

    blocks: tuple[str, ...]
    lane: int
    key: tuple[str, ...]
    columns: tuple[Column, ...]
    bytes: int
    """How many it has."""
    most: int
    """How many bytes a share should have, unless it is of one key alone."""

    def answer(self) -> list[Weighed]:
        """Hash each key, and cut between hashes; only hashes are in memory, not the rows."""
        import numpy as np

        from ._keyed import hashes_of
        from .blocks import each_section

        each, counts = np.empty(0, np.uint64), np.empty(0, np.int64)
        for _, section in each_section(self.blocks):
            table = section.read(self.lane, self.lane + 1)
            hashed = np.concatenate([each, hashes_of(table, self.key, self.columns)])
            weights = np.concatenate([counts, np.ones(len(table), np.int64)])
            each, at = np.unique(hashed, return_inverse=True)
            counts = np.bincount(at, weights, minlength=len(each)).astype(np.int64)
        of_a_row = self.bytes / max(int(counts.sum()), 1)
        return list(self._shares(each.tolist(), counts.tolist(), of_a_row))

    def _shares(self, hashed: list[int], counts: list[int], of_a_row: float) -> Iterator[Weighed]:
        whole = Share.of(self.lane)
        lo, rows = whole.lo, 0
        for at, (one, count) in enumerate(zip(hashed, counts, strict=True)):
            if rows and (rows + count) * of_a_row > self.most:
                yield Weighed(Share(self.lane, lo, one - 1), rows, int(rows * of_a_row))
                lo, rows = one, 0
            rows += count
            if at == len(hashed) - 1:
                yield Weighed(Share(self.lane, lo, whole.hi), rows, int(rows * of_a_row))


class Ranking(NamedTuple):
    """How groups are sorted by their keys, and where it is written down."""

    path: str
    grouping: Grouping
    key: tuple[Column, ...]
    """The columns of the key."""
    is_numbered: bool
    """The columns are called by their numbers."""

    def write(self, blocks: Sequence[str]) -> None:
        """Write down the rank of each group of some blocks."""
        from .ranks import write_ranks

        write_ranks(self, blocks)


class Arrange(NamedTuple):
    """Ask for the schema of all results of groups, and for stretches of about so many bytes in the output's order.

    The borders depend on the groups and their results alone, not on how these lie in blocks. It takes 16 bytes of
    memory for each group; and all keys, where groups are sorted by them.
    """

    blocks: tuple[str, ...]
    bytes: int
    ranking: "Ranking | None" = None

    def answer(self) -> tuple[Schema | None, list[tuple[int, int, int]], int]:
        """Give the schema; of each stretch the first place, the last one, and its rows; and the bytes of a row.

        Where groups are sorted by their keys, the places are their ranks.
        """
        import numpy as np

        from .blocks import INDEX, KEYS, PLACE, each_section, schema_of
        from .ranks import ranks_at

        if self.ranking is not None:
            self.ranking.write(self.blocks)
        ranks = ranks_at(self.ranking.path if self.ranking else "")
        looks: dict[Schema, int] = {}
        places, rows = [np.empty(0, np.int64)], [np.empty(0, np.int64)]
        for _, section in each_section(self.blocks):
            if INDEX in section.said:
                table = section.read(0, 1)
                places.append(ranks.of(table.column(PLACE).to_numpy()))
                rows.append(table.column("rows").to_numpy())
            elif KEYS not in section.said:
                ends = section.said["places"]
                first = int(ranks.of(np.array(ends[0]))[0]) if ends else _LAST
                schema = schema_of(section)
                looks[schema] = min(looks.get(schema, _LAST), first)
        if not looks:
            return None, [], 1
        schema = united(sorted(looks, key=lambda one: looks[one]))
        of_a_row = _BYTES_A_CELL * max(len(schema.columns), 1)
        order = np.argsort(all_places := np.concatenate(places), kind="stable")
        sorted_places, counts = all_places[order], np.concatenate(rows)[order]
        return schema, list(_stretches(sorted_places, counts, most=max(self.bytes // of_a_row, 1))), of_a_row


_LAST: Final = 1 << 62
_BYTES_A_CELL: Final = 16


def _stretches(places: "np.ndarray", counts: "np.ndarray", *, most: int) -> Iterator[tuple[int, int, int]]:
    """Cut groups, in order, into stretches that end with the group in which so many rows are full."""
    import numpy as np

    ends, at, done = np.cumsum(counts), 0, 0
    while at < len(places):
        last = min(int(np.searchsorted(ends, done + most)), len(places) - 1)
        yield int(places[at]), int(places[last]), int(ends[last]) - done
        at, done = last + 1, int(ends[last])
