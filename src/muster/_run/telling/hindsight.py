"""What the results of a run tell of its function, once they are all there: pure, and without a call."""

from dataclasses import dataclass, field
from typing import Final

from muster._formats.labels import shown_name
from muster._model import Outcome, Schema
from muster._progress.schema import ABSENT
from muster._words import plural

_MOST_COLUMNS: Final = 5
"""More would hide what the warning says."""

_MOST_WARNINGS: Final = 5
"""Kinds of warnings of the function that are told: those that came most often."""

_FEWEST_BATCHES: Final = 4
"""Fewer show nothing of how rows that come back depend on a batch's size."""

_SIZES: Final = 4
"""How many times as large as the smallest batch the largest is, at least, to tell what depends on the size."""

_ALIKE: Final = 1.5
"""How many times as many rows came back from one batch as from another, at most: not one for each row."""

_FEW: Final = 0.25
"""Which share of a batch's rows comes back, at most."""

_MOSTLY: Final = 0.9
"""Of all rows: so many were in batches that gave few back. A few batches may have given others."""


@dataclass(slots=True)
class _Range:
    """The least and the most that there was."""

    least: int = 1 << 62
    most: int = 0

    def take(self, value: int) -> None:
        self.least, self.most = min(self.least, value), max(self.most, value)


@dataclass(slots=True)
class Hindsight:
    """How many rows came back of how many, over the batches of a run."""

    batch_rows: int | None = None
    """How long the user wants batches to be: then it is no surprise what is one of a batch."""
    _index: str = ""
    _rows_in: int = 0
    _shrunk: int = 0
    """How many of the rows were in batches that gave few back."""
    _batches: int = 0
    _sizes: _Range = field(default_factory=_Range)
    _given: _Range = field(default_factory=_Range)
    _raised: dict[str, int] = field(default_factory=dict)

    def take(self, *outcomes: Outcome) -> None:
        """Take in what came of tasks; each was one batch, unless a row was bad, or one of each of several files."""
        for outcome in outcomes:
            self._rows_in += outcome.rows_in
            self._index = self._index or outcome.index_names
            if outcome.bad_rows or not outcome.rows_in or outcome.rows_out > _FEW * outcome.rows_in:
                continue
            self._shrunk += outcome.rows_in
            calls = next((step.batches for step in outcome.steps if step.batches), 1)
            self._batches += calls
            self._sizes.take(outcome.rows_in // calls)
            self._given.take(outcome.rows_out // calls)

    def hear(self, outcome: Outcome) -> None:
        """Count the warnings that were raised, also where the rows do not count."""
        for one in outcome.warned:
            self._raised[one.text] = self._raised.get(one.text, 0) + one.count

    def raised(self) -> list[str]:
        """Say how often the function has raised each warning that it has raised several times."""
        often = sorted((-count, text) for text, count in self._raised.items() if count > 1)
        said = [f"raised {-count:,} times: {text}" for count, text in often[:_MOST_WARNINGS]]
        more = len(often) - len(said)
        return [*said, f"{plural(more, 'more warning')} {'was' if more == 1 else 'were'} raised"] if more else said

    def remarks(self, schema: Schema | None) -> list[str]:
        """Say what the user should know of the results, under the schema of all of them."""
        columns = () if schema is None else zip(schema.columns, schema.kinds, strict=True)
        names = [name for name, kinds in columns if ABSENT in kinds]
        return [text for text in (of_index(self._index), _of_columns(names), self._of_rows()) if text]

    def _of_rows(self) -> str:
        """Notice batches that give about as many rows whatever their size: a filter's rows grow with it."""
        given, sizes = self._given, self._sizes
        if (
            self.batch_rows is not None
            or self._batches < _FEWEST_BATCHES
            or self._shrunk < _MOSTLY * self._rows_in
            or sizes.most < _SIZES * sizes.least
            or not 0 < given.most <= _ALIKE * given.least
        ):
            return ""
        rows = plural(given.most, "row")
        if given.most > given.least:
            rows = f"{given.least:,} to {rows}"
        return (
            f"each of {self._batches:,} batches gave {rows} back, of {sizes.least:,} rows as of {sizes.most:,}. So"
            " the result is that of a batch, not of the whole file, and the output has it once for each batch. For all"
            " rows, work it out once more from the output, or with pandas alone. More: muster help row-wise"
        )


def of_index(names: str) -> str:
    """Say that an index of these names is lost; nothing where there is none."""
    return f"the index {names} of the results is not written; df.reset_index() makes it a column" if names else ""


def _of_columns(names: list[str]) -> str:
    """Name the columns that are missing in the rows of other batches."""
    if not names:
        return ""
    more = f" and {len(names) - _MOST_COLUMNS:,} more" if len(names) > _MOST_COLUMNS else ""
    those = f"{', '.join(shown_name(name) for name in names[:_MOST_COLUMNS])}{more}"
    return (
        f"only some batches had the column{'s' if len(names) > 1 else ''} {those}: in the rows of the others the value"
        " is missing. Have the function give the same columns whatever rows it gets: for get_dummies make the column a"
        " category with fixed values, pd.Categorical(df['a'], categories=[...]); else .reindex(columns=[...]). More:"
        " muster help row-wise"
    )
