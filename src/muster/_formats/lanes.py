"""Questions about blocks: what the next stage is cut into. All are answered by workers, who read them."""

import hashlib
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Final, NamedTuple

from muster._model import LANES, Column, LaneShare, PlaceRange, Schema
from muster._progress.schema import united
from muster._words import as_name
from muster._words.near import nearest
from muster.errors import UsageError

from .settled import CommonSchema, Ranking

if TYPE_CHECKING:
    import numpy as np

    from .ranks import Ranks


_MOST_NAMES: Final = 20
"""More would hide what the error says."""


def check_key(key: Sequence[str], names: Sequence[str], *, step: str = "") -> None:
    """Raise ``UsageError`` where a key is no column, or the name of several. A ``step`` may have made them."""
    check_columns(key, names, what="to group by", step=step)


def check_columns(wanted: Sequence[str], names: Sequence[str], *, what: str, step: str = "") -> None:
    """Raise ``UsageError`` where there is no column of a name, or several; ``what`` says what it is wanted for."""
    of = f" in what {step!r} gives" if step else ""
    for name in wanted:
        if name not in names:
            meant = f" Did you mean {near!r}?" if (near := nearest(name, names)) else ""
            raise UsageError(
                f"There is no column {name!r} {what}{of}.{meant} The columns are:"
                f" {', '.join(map(as_name, names[:_MOST_NAMES]))}{' …' if len(names) > _MOST_NAMES else ''}."
            )
        if names.count(name) > 1:
            cure = "Have it give them names of their own." if step else "Give them names: read_csv has names=[...]."
            raise UsageError(
                f"{names.count(name)} columns{of} are called {name!r}, so it is not known which of them {what}. {cure}"
            )


def already_there(name: str) -> str:
    """Say that rows have a column already that ``window`` is to make."""
    return (
        f"There is a column {name!r} already, and window adds one of that name, which says in which window a row is."
        f" Have a step before give yours another name: df.rename(columns={{{name!r}: 'earlier_{name}'}})."
    )


class Settle(NamedTuple):
    """Ask what the results in blocks agree on; they come in the order of the blocks, or of their first places."""

    blocks: tuple[str, ...]
    before: bytes = b""
    """What was ``seen`` of earlier ones, which these are to agree with."""

    def answer(self) -> CommonSchema:
        """Find it. Raises ``DataError`` where a column holds what one column cannot."""
        from .between import common_schema

        return common_schema(self.blocks, self.before)


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

    share: LaneShare
    rows: int
    bytes: int


class CutLane(NamedTuple):
    """Ask for shares of a lane that has more rows than should be in memory at a time."""

    blocks: tuple[str, ...]
    lane: int
    key: tuple[str, ...]
    columns: tuple[Column, ...]
    agreed: bytes
    """Arrow's schema of the rows, where steps have made them."""
    bytes: int
    """How many it has."""
    most: int
    """How many bytes a share should have, unless it is of one key alone."""

    def answer(self) -> list[Weighed]:
        """Hash each key, and cut between hashes; only hashes are in memory, not the rows."""
        import numpy as np

        from .blocks import each_section
        from .keyed import hashes_of, read_numbered

        each, counts = np.empty(0, np.uint64), np.empty(0, np.int64)
        for _, section in each_section(self.blocks):
            table = read_numbered(section, self.lane, self.lane + 1, agreed=self.agreed, key=self.key).table
            hashed = np.concatenate([each, hashes_of(table, self.key, self.columns)])
            weights = np.concatenate([counts, np.ones(len(table), np.int64)])
            each, at = np.unique(hashed, return_inverse=True)
            counts = np.bincount(at, weights, minlength=len(each)).astype(np.int64)
        of_a_row = self.bytes / max(int(counts.sum()), 1)
        return list(self._shares(each.tolist(), counts.tolist(), of_a_row))

    def _shares(self, hashed: list[int], counts: list[int], of_a_row: float) -> Iterator[Weighed]:
        whole = LaneShare.of(self.lane)
        lo, rows = whole.lo, 0
        for at, (one, count) in enumerate(zip(hashed, counts, strict=True)):
            if rows and (rows + count) * of_a_row > self.most:
                yield Weighed(LaneShare(self.lane, lo, one - 1), rows, int(rows * of_a_row))
                lo, rows = one, 0
            rows += count
            if at == len(hashed) - 1:
                yield Weighed(LaneShare(self.lane, lo, whole.hi), rows, int(rows * of_a_row))


class Arrange(NamedTuple):
    """Ask for the schema of all results of groups, and for stretches of about so many bytes in the output's order.

    The borders depend on the groups and their results alone, not on how these lie in blocks. It takes 16 bytes of
    memory for each group; and all keys, where groups are sorted by them.
    """

    blocks: tuple[str, ...]
    bytes: int
    ranking: Ranking | None = None
    batch_rows: int | None = None
    """Stretches end where so many rows are full, or several times as many; else between groups."""
    width: int = 1
    """How many places each block counts together."""

    def answer(self) -> tuple[Schema | None, list[tuple[PlaceRange, int]], int]:
        """Give the schema; the stretches, each with its rows; and the bytes of a row.

        Where groups are sorted by their keys, the places are their ranks.
        """
        from .ranking import write_ranks
        from .ranks import ranks_at

        if self.ranking is not None:
            write_ranks(self.ranking, self.blocks)
        ranks = ranks_at(self.ranking.path if self.ranking else "")
        looks = firsts_of_looks(self.blocks, ranks)
        if not looks:
            return None, [], 1
        schema = united(sorted(looks, key=lambda one: looks[one]))
        of_a_row = bytes_of_a_row(schema)
        each, counts = rows_by_place(self.blocks, ranks)
        most = max(self.bytes // of_a_row, 1)
        if self.batch_rows:
            most = max(most // self.batch_rows, 1) * self.batch_rows
            return schema, list(_of_rows(each, counts, rows=most, width=self.width)), of_a_row
        return schema, list(_stretches(each, counts, most=most, width=self.width)), of_a_row


def bytes_of_a_row(schema: Schema) -> int:
    """Tell what a row of results counts as, wherever stretches and volumes of them are cut."""
    return _BYTES_A_CELL * max(len(schema.columns), 1)


class CountGroups(NamedTuple):
    """Ask for a digest of how many rows of results there are of each group, by its place."""

    blocks: tuple[str, ...]

    def answer(self) -> str:
        """Digest what the blocks say."""
        from .ranks import Ranks

        places, rows = rows_by_place(self.blocks, Ranks())
        return hashlib.sha256(places.tobytes() + rows.tobytes()).hexdigest()


def firsts_of_looks(blocks: tuple[str, ...], ranks: "Ranks") -> dict[Schema, int]:
    """Say for each look of results at which place, or rank, is the first of them."""
    import numpy as np

    from .blocks import INDEX, KEYS, each_section, schema_of

    looks: dict[Schema, int] = {}
    for _, section in each_section(blocks):
        if not {INDEX, KEYS} & section.said.keys():
            ends = section.said["places"]
            first = int(ranks.of(np.array(ends[0]))[0]) if ends else _LAST
            schema = schema_of(section)
            looks[schema] = min(looks.get(schema, _LAST), first)
    return looks


def rows_by_place(blocks: tuple[str, ...], ranks: "Ranks") -> tuple["np.ndarray", "np.ndarray"]:
    """List the places, or ranks, of groups in order, and how many rows of results there are of each."""
    import numpy as np

    from .blocks import INDEX, PLACE, each_section

    places, rows = [np.empty(0, np.int64)], [np.empty(0, np.int64)]
    for _, section in each_section(blocks):
        if INDEX in section.said:
            table = section.read(0, 1)
            places.append(ranks.of(table.column(PLACE).to_numpy()))
            rows.append(table.column("rows").to_numpy())
    each, at = np.unique(np.concatenate(places), return_inverse=True)
    return each, np.bincount(at, np.concatenate(rows), minlength=len(each)).astype(np.int64)


_LAST: Final = 1 << 62
"""Behind every place of an output."""

_BYTES_A_CELL: Final = 16
"""A number takes 8, a short text some more: sizes need not be exact here. Not measured."""


def _of_rows(places: "np.ndarray", counts: "np.ndarray", *, rows: int, width: int) -> Iterator[tuple[PlaceRange, int]]:
    """Cut groups, in order, into stretches of so many rows, the last one shorter: within groups, too."""
    import numpy as np

    ends = np.cumsum(counts)
    total = int(ends[-1]) if len(ends) else 0
    for row in range(0, total, rows):
        stop = min(row + rows, total)
        first, last = np.searchsorted(ends, [row, stop - 1], side="right").tolist()
        skip = row - int(ends[first] - counts[first])
        yield PlaceRange(skip, int(places[first]), int(places[last]) + width - 1), stop - row


def _stretches(
    places: "np.ndarray", counts: "np.ndarray", *, most: int, width: int
) -> Iterator[tuple[PlaceRange, int]]:
    """Cut groups, in order, into stretches that end with the group in which so many rows are full."""
    import numpy as np

    ends, at, done = np.cumsum(counts), 0, 0
    while at < len(places):
        last = min(int(np.searchsorted(ends, done + most)), len(places) - 1)
        yield PlaceRange(0, int(places[at]), int(places[last]) + width - 1), int(ends[last]) - done
        at, done = last + 1, int(ends[last])
