"""Check whether a function treats each row by itself: on some rows, read as a run would read them, in a worker."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from muster._job import Options
from muster._model import Target
from muster._run.staffing.about_rows import ask_about_rows
from muster._run.telling.hindsight import of_index
from muster._words import count, html, plural
from muster._worker.compare import Compare, Compared
from muster.errors import UsageError


@dataclass(frozen=True, slots=True)
class Check:
    """Whether a function treats each row by itself, as far as some rows show."""

    row_wise: bool
    rows: int
    """How many rows it was called with: whole, in halves, and in small batches."""
    differ: tuple[str, ...]
    """Columns that differ when these rows come in other batches."""
    random: tuple[str, ...]
    """Columns that differ between two calls on the same rows, as random ones do: no verdict on these."""
    rows_whole: int
    """How many rows came back from the whole, and from both halves together."""
    rows_halves: int
    bad_rows: int = 0
    """How many rows of the sample were left out, as they cannot be read."""

    index: str = ""
    """The names of an index of the result, which is not written; usually there is none."""
    batches: int = 0
    """How many small batches these rows were in, with the rows between them in batches of their own."""
    largest_batch: int = 0
    """How many rows the largest of the small batches had; the smallest had one."""
    rows_batches: int = 0
    """How many rows came back from all of those batches together."""
    nearly: tuple[str, ...] = ()
    """Columns of which the last digits alone differ, as sums of floats do: such a column is taken as the same."""
    fails: str = ""
    """How it fails with fewer of the rows, although it takes them all at once."""
    unchecked: tuple[str, ...] = ()
    """Steps behind the first ``group_by`` or ``key_by``: which rows these get together is not by chance."""

    def __str__(self) -> str:
        """Put the verdict into words."""
        said = [f"Row-wise: it gives the same, {self._tried}." if self.row_wise else f"Not row-wise, {self._tried}:"]
        if self.fails:
            said.append(f"{self.fails}.")
        if self.rows_whole != self.rows_halves:
            said.append(f"it gives {plural(self.rows_whole, 'row')}, and {self.rows_halves:,} of the halves.")
        if self.rows_whole != self.rows_batches:
            said.append(
                f"it gives {plural(self.rows_whole, 'row')}, and {self.rows_batches:,} of small batches and the rows"
                " between them."
            )
        if self.differ:
            said.append(f"other values in {', '.join(self.differ)}.")
        if self.nearly:
            names = ", ".join(self.nearly)
            said.append(f"Only the last digits differ in {names}, as those of floats do: they count as the same.")
        if self.random:
            said.append(f"Random, so nobody can tell: {', '.join(self.random)}.")
        if self.bad_rows:
            said.append(f"{plural(self.bad_rows, 'row')} that cannot be read {self._were} left out.")
        if self.index:
            said.append(f"{of_index(self.index).replace('the', 'The', 1)}.")
        return " ".join([*said, *self._what_follows()])

    def _what_follows(self) -> Iterator[str]:
        if self.unchecked:
            yield f"This is of the steps before group_by or key_by, not of {', '.join(self.unchecked)}."
        if not self.row_wise:
            yield (
                "So what a run gives depends on where batches end. Have each row depend on itself alone:"
                " muster help row-wise shows how, for six common cases."
            )

    @property
    def _tried(self) -> str:
        whole = f"called with {plural(self.rows, 'row')}"
        if self.fails:
            return f"{whole}, and with fewer of them"
        return f"{whole}, with both halves of them, and with {self._small}"

    @property
    def _small(self) -> str:
        if self.largest_batch <= 1:
            return f"{plural(self.batches, 'batch', 'batches')} of 1 row"
        return f"{plural(self.batches, 'batch', 'batches')} of 1 to {self.largest_batch} rows"

    def _repr_html_(self) -> str:
        """Lay out the verdict, for a notebook."""
        figures = {
            "called with": plural(self.rows, "row"),
            "rows of the whole": count(self.rows_whole),
            "rows of both halves": count(self.rows_halves),
            "small batches": "" if self.fails else self._small,
            "rows of small batches and between them": "" if self.fails else count(self.rows_batches),
            "fails": self.fails,
            "columns that differ": ", ".join(self.differ),
            "columns whose last digits differ": ", ".join(self.nearly),
            "steps behind group_by or key_by, not checked": ", ".join(self.unchecked),
            "random columns": ", ".join(self.random),
            "rows left out, as they cannot be read": count(self.bad_rows) if self.bad_rows else "",
        }
        return html.block("Row-wise" if self.row_wise else "Not row-wise", html.facts(figures))

    @property
    def _were(self) -> str:
        return "was" if self.bad_rows == 1 else "were"


def check(steps: tuple[Target, ...], inputs: Sequence[str], options: Options, *, sample: int) -> Check:
    """Call a function on the first rows: whole, in halves, and in small batches. Raises ``MusterError``."""
    if sample < 2:  # noqa: PLR2004 (two halves)
        raise UsageError(f"sample={sample}: it must be 2 rows or more, for two batches.")
    compared: Compared = ask_about_rows(steps, inputs, options, rows=sample, middle=False, question=Compare)[2]
    return Check(
        row_wise=not (compared.fails or compared.differ)
        and compared.rows_whole == compared.rows_halves == compared.rows_small,
        rows=compared.rows,
        differ=compared.differ,
        random=compared.random,
        rows_whole=compared.rows_whole,
        rows_halves=compared.rows_halves,
        bad_rows=compared.bad_rows,
        index=compared.index,
        batches=compared.batches,
        largest_batch=compared.largest,
        rows_batches=compared.rows_small,
        nearly=compared.nearly,
        fails=compared.fails,
    )
