"""Rows that a step behind an exchange could not do."""

import json
from collections.abc import Iterable
from functools import cached_property
from operator import itemgetter

from muster._model import Exchange, Outcome

from .reader import Raw
from .steps import BadRow, reasons


class Rejected:
    """The rows of one task that go to the rejects."""

    def __init__(self, exchange: Exchange) -> None:
        """Begin with none."""
        self._exchange = exchange
        self.rows: list[tuple[str, int, Raw, BadRow]] = []
        """Of each the name of its file, its number there, its values, and why."""
        self.late: list[tuple[str, int, Raw, BadRow]] = []
        """Rows that came too late for their window, which are no bad ones."""
        self._groups: list[list[tuple[str, int, Raw, BadRow]]] = []

    def __len__(self) -> int:
        """Count them."""
        return len(self.rows)

    def add_group(self, rows: Iterable[tuple[int, int, str]], why: BadRow) -> None:
        """Take the rows of a group; of each the place where its file begins, its number there, and its values."""
        group = [(self._file_names[base], number, Raw(None, text), why) for base, number, text in rows]
        self._groups.append(group)
        self.rows += group

    def by_hash(self, hashes: Iterable[int]) -> list[tuple[str, int, Raw, BadRow]]:
        """List the rows of all groups, by the hashes of their keys: so they stand as in every run.

        That is the order of lanes, too, and of shares of lanes, of which one task may have some or many.
        """
        each = sorted(zip(hashes, self._groups, strict=True), key=itemgetter(0))
        return [row for _, group in each for row in group]

    def add_of(self, file: str, number: int, text: str, why: BadRow) -> None:
        """Take a row of a file by its name."""
        self.rows.append((file, number, Raw(None, text), why))

    def add_late(self, file: str, number: int, text: str, why: BadRow) -> None:
        """Take a row that came too late."""
        self.late.append((file, number, Raw(None, text), why))

    @property
    def written(self) -> list[tuple[str, int, Raw, BadRow]]:
        """List all rows that stand in the file of rejects."""
        return [*self.rows, *self.late]

    @cached_property
    def _file_names(self) -> dict[int, str]:
        """Name files by the place where each begins: made once, as blocks may be many."""
        return {block.base: block.name for block in self._exchange.blocks}

    def counted_in(self, outcome: Outcome) -> Outcome:
        """Say in an outcome how many there are, and why."""
        bad = [why for *_, why in self.rows]
        first_error = f"{bad[0].error}\n{bad[0].traceback}".strip() if bad else ""
        return outcome._replace(bad_rows=len(bad), reasons=reasons(bad), first_error=first_error)


def shown(key: object) -> str:
    """Write a key for the rejects: as JSON where that can be."""
    try:
        return json.dumps(key, ensure_ascii=False)
    except (TypeError, ValueError):
        return str(key)
