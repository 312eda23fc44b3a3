"""Questions about blocks of results among which groups are missing, as the function failed on them."""

from typing import TYPE_CHECKING, NamedTuple

from muster._model import Schema

from .settled import Ranking

if TYPE_CHECKING:
    from .ranks import Ranks


class Looks(NamedTuple):
    """What results of one schema look like, and the place of the first of them among all results."""

    schema: Schema
    first: int


class LocateGroups(NamedTuple):
    """Ask before which row of the output each of some groups would stand that failed."""

    blocks: tuple[str, ...]
    ranks: str
    """The block that says the rank of each group, where groups are sorted."""
    places: tuple[int, ...]

    def answer(self) -> tuple[list[tuple[int, int]], list[Looks]]:
        """Give the groups, by their numbers here, in the order of the output, each with its row; and first rows."""
        import numpy as np

        from .lanes import rows_by_place
        from .ranks import ranks_at

        ranks = ranks_at(self.ranks)
        each, counts = rows_by_place(self.blocks, ranks)
        rows = np.concatenate([[0], np.cumsum(counts)])
        own = ranks.of(np.array(self.places, np.int64))
        order = np.argsort(own)
        listed = zip(order.tolist(), rows[np.searchsorted(each, own[order])].tolist(), strict=True)
        looks = [Looks(schema, int(rows[np.searchsorted(each, first)])) for schema, first in _looks(self.blocks, ranks)]
        return [*listed], looks


class GroupRows(NamedTuple):
    """One group, its place and its rank among all that are there, and how many rows there are of it."""

    place: int
    rank: int
    rows: int


class ListGroups(NamedTuple):
    """Ask which groups have results, in their order: few enough to be told one by one."""

    blocks: tuple[str, ...]
    ranking: Ranking | None = None

    def answer(self) -> tuple[list[GroupRows], list[Looks]]:
        """List them, and what they look like, with the place of the first group that does."""
        import numpy as np

        from .lanes import rows_by_place
        from .ranking import write_ranks
        from .ranks import Ranks, ranks_at

        if self.ranking is not None:
            write_ranks(self.ranking, self.blocks)
        ranks = ranks_at(self.ranking.path if self.ranking else "")
        places, counts = rows_by_place(self.blocks, Ranks())
        own = ranks.of(places)
        order = np.argsort(own)
        listed = zip(places[order].tolist(), own[order].tolist(), counts[order].tolist(), strict=True)
        at = dict(zip(own.tolist(), places.tolist(), strict=True))
        looks = [Looks(schema, at.get(first, first)) for schema, first in _looks(self.blocks, ranks)]
        return [GroupRows(*one) for one in listed], looks


def _looks(blocks: tuple[str, ...], ranks: "Ranks") -> list[Looks]:
    from .lanes import firsts_of_looks

    return [Looks(schema, first) for schema, first in firsts_of_looks(blocks, ranks).items()]
