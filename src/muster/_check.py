"""Check whether a function treats each row by itself: on some rows, read as a run would read them, in a worker."""

from collections.abc import Sequence
from dataclasses import dataclass

from muster._aside import asked
from muster._compare import Compare, Compared
from muster._hindsight import of_index
from muster._job import Options
from muster._model import Target
from muster._words import count, plural
from muster.errors import UsageError


@dataclass(frozen=True, slots=True)
class Check:
    """Whether a function treats each row by itself, as far as some rows show."""

    row_wise: bool
    rows: int
    """How many rows it was called with, whole and in halves."""
    differ: tuple[str, ...]
    """Columns that differ when these rows come in two batches."""
    random: tuple[str, ...]
    """Columns that differ between two calls on the same rows, as random ones do: no verdict on these."""
    rows_whole: int
    """How many rows came back from the whole, and from both halves together."""
    rows_halves: int
    bad_rows: int = 0
    """How many rows of the sample were left out, as they cannot be read."""

    index: str = ""
    """The names of an index of the result, which is not written; usually there is none."""

    def __str__(self) -> str:
        """Put the verdict into words."""
        tried = f"called with {self.rows:,} rows, and with both halves of them"
        said = [f"Row-wise: it gives the same, {tried}." if self.row_wise else f"Not row-wise, {tried}:"]
        if self.rows_whole != self.rows_halves:
            said.append(f"it gives {self.rows_whole:,} rows, and {self.rows_halves:,} of the halves.")
        if self.differ:
            said.append(f"other values in {', '.join(self.differ)}.")
        if self.random:
            said.append(f"Random, so nobody can tell: {', '.join(self.random)}.")
        if self.bad_rows:
            said.append(f"{plural(self.bad_rows, 'row')} that cannot be read {self._were} left out.")
        if self.index:
            said.append(f"{of_index(self.index).replace('the', 'The', 1)}.")
        if not self.row_wise:
            said.append(
                "So what a run gives depends on where batches end. Have each row depend on itself alone:"
                " muster help row-wise shows how, for six common cases."
            )
        return " ".join(said)

    def _repr_html_(self) -> str:
        """Lay out the verdict, for a notebook."""
        from muster import _html  # noqa: PLC0415 (only a notebook shows it)

        figures = {
            "called with": plural(self.rows, "row"),
            "rows of the whole": count(self.rows_whole),
            "rows of both halves": count(self.rows_halves),
            "columns that differ": ", ".join(self.differ),
            "random columns": ", ".join(self.random),
            "rows left out, as they cannot be read": count(self.bad_rows) if self.bad_rows else "",
        }
        return _html.block("Row-wise" if self.row_wise else "Not row-wise", _html.facts(figures))

    @property
    def _were(self) -> str:
        return "was" if self.bad_rows == 1 else "were"


def check(steps: tuple[Target, ...], inputs: Sequence[str], options: Options, *, sample: int) -> Check:
    """Call a function on the first rows, whole and in halves. Raises ``MusterError``."""
    if sample < 2:  # noqa: PLR2004 (two halves)
        raise UsageError(f"sample={sample}: it must be 2 rows or more, for two batches.")
    compared: Compared = asked(steps, inputs, options, rows=sample, middle=False, question=Compare)[2]
    return Check(
        compared.is_row_wise,
        compared.rows,
        compared.differ,
        compared.random,
        compared.rows_whole,
        compared.rows_halves,
        compared.bad_rows,
        compared.index,
    )
