"""Aggregations of the user's own, and the stretches of rows that their functions are called with.

Floats make it matter how rows are cut: two sums that are added are not the sum of all to the last digit. So the calls
are the same in every run, wherever rows lie. Each stretch of 8,192 rows of a file is a cell. Where a key has many rows
in a cell, these are a call of their own, which a task of the first stage can make that has all of the cell. All other
rows travel, and those of a key that follow each other are one call.
"""

import copy
import pickle
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any, Final, NamedTuple, cast

import cloudpickle
import numpy as np
import pandas as pd

from muster._journal.measures import StepSum
from muster._model import Briefing, Measure
from muster._process.limit import TimeLimit
from muster._user_code import loading
from muster._words import bare
from muster._worker.calling import MemoryBlame, Stopwatch, rows_are_to_blame
from muster._worker.calling_one import OneStepCaller
from muster._worker.failures import said
from muster._worker.slices import Slices
from muster.errors import UserCodeError

CELL: Final = 8192
FEWEST: Final = 128
"""How many rows a key has in a cell, at least, that are a call of their own: of fewer, the rows travel as quickly."""


class OwnFailure(NamedTuple):
    """A function of an aggregation raised."""

    step: str
    """The aggregation and the function."""
    error: BaseException
    hint: str = ""

    @property
    def said(self) -> str:
        """Say what was raised, and what may be why."""
        return said(self.error) + self.hint


class OwnRows(NamedTuple):
    """Rows that are cut into stretches of one key each."""

    places: Sequence[int]
    """The number of the first row of each stretch in its file."""
    slices: Sequence[Slices]
    """As each aggregation gets them."""


class OwnCaller(OneStepCaller):
    """Calls the user's own aggregations, each of them on the same rows, and counts calls and seconds.

    What is called of one stretch of rows, of two partials or of an output is counted, and timed, as one call: a key of
    few rows takes no longer than that.
    """

    def __init__(self, briefing: Briefing, memory: MemoryBlame, measures: tuple[Measure, ...]) -> None:
        """Load the aggregations. Raises as ``load`` does."""
        super().__init__(briefing, memory)
        with TimeLimit(briefing.timeout):
            step: Any = loading.load(self._target)
        self._sow = loading.sower_of_groups(briefing.steps)
        self._each = [(one, step.own[one.output]) for one in measures]
        self._doing: tuple[Any, str] = (None, "")
        """The aggregation and the function that is called."""
        self._hint = ""

    @property
    def sums(self) -> StepSum:
        """Give what is counted."""
        return self._sum

    def rows_of(self, frame: pd.DataFrame, lo: np.ndarray, hi: np.ndarray) -> OwnRows:
        """Cut a frame into stretches, from each ``lo`` to its ``hi``, which aggregations may change."""
        if not len(frame):
            return OwnRows((), ())
        views: list[Any] = [frame[[*one.columns]] if one.is_frame else frame[one.columns[0]] for one, _ in self._each]
        places = frame.index.to_numpy()[np.minimum(lo, len(frame) - 1)].tolist()
        return OwnRows(places, [Slices(view.copy(deep=len(views) > 1), lo, hi) for view in views])

    def begin(self, rows: OwnRows, number: int) -> list[Any] | OwnFailure:
        """Make the partials of a stretch of rows."""
        self._sow(rows.places[number])
        return self._called(self._begun, [each[number] for each in rows.slices])

    def value(self, rows: OwnRows, number: int) -> list[Any] | OwnFailure:
        """Give the values of the output of a key whose rows are one stretch."""
        self._sow(rows.places[number])
        return self._called(self._values_of_rows, [each[number] for each in rows.slices])

    def _values_of_rows(self, stretches: list[Any]) -> list[Any]:
        return self._values(self._begun(stretches))

    def _begun(self, stretches: list[Any]) -> list[Any]:
        partials = []
        for (_, aggregation), rows in zip(self._each, stretches, strict=True):
            self._doing = aggregation, "initial"
            partial = _own_copy(aggregation, aggregation.initial())
            self._hint = _NOTHING_TO_BEGIN_WITH if partial is None else ""
            self._doing = aggregation, "update"
            partials.append(self._something(aggregation.update(partial, rows)))
        self._hint = ""
        return partials

    def together(self, partials: list[Any], later: list[Any]) -> list[Any] | OwnFailure:
        """Combine the partials of some rows with those of rows behind them."""
        return self._called(self._combined, partials, later)

    def _combined(self, partials: list[Any], later: list[Any]) -> list[Any]:
        combined = []
        for (_, aggregation), one, other in zip(self._each, partials, later, strict=True):
            self._doing = aggregation, "combine"
            combined.append(self._something(aggregation.combine(one, other)))
        return combined

    def _something(self, partial: Any) -> Any:  # noqa: ANN401 (whatever the user keeps)
        """Raise ``UserCodeError`` where a function gave no partial."""
        if partial is None:
            raise self._gave_nothing(*self._doing)
        return partial

    def outputs(self, partials: list[Any]) -> list[Any] | OwnFailure:
        """Give the values of the output."""
        return self._called(self._values, partials)

    def _values(self, partials: list[Any]) -> list[Any]:
        values = []
        for (measure, aggregation), partial in zip(self._each, partials, strict=True):
            self._doing = aggregation, "output"
            value = aggregation.output(partial)
            if isinstance(value, pd.DataFrame | pd.Series | pd.Index):
                kind = type(value).__name__
                raise UserCodeError(
                    f"{_name(aggregation)}.output gave a {kind}, and {measure.output!r} is one value of each key. Give"
                    " one value, such as a number or a list; or use map_groups(f), whose function gives rows."
                )
            values.append(value)
        return values

    def _called(self, calls: Callable[..., list[Any]], *given: Any) -> list[Any] | OwnFailure:  # noqa: ANN401 (likewise)
        """Make calls. Raises ``MemoryError`` where that may be the fault of calls before, not of these rows."""
        self._memory.calls += 1
        before = self.seconds
        try:
            with TimeLimit(self._briefing.timeout), Stopwatch(self._sum):
                made = calls(*given)
        except BaseException as error:
            aggregation, function = self._doing
            step = f"{_name(aggregation)}.{function}"
            if not rows_are_to_blame(error, step, self._memory):
                raise
            self.failed += self.seconds - before
            hint, self._hint = self._hint if "NoneType" in said(error) else "", ""
            return OwnFailure(step, error, hint)
        self._memory.has_called = True
        return made

    def _gave_nothing(self, aggregation: Any, name: str) -> UserCodeError:  # noqa: ANN401 (likewise)
        return UserCodeError(
            f"{_name(aggregation)}.{name} gave None. It has to return the partial, also where it has changed the one"
            f" that it got: end {name} with 'return partial'."
        )

    def pickled(self, partials: list[Any]) -> list[bytes]:
        """Write partials down. Raises ``UserCodeError`` where that cannot be."""
        return [_pickled(aggregation, one) for (_, aggregation), one in zip(self._each, partials, strict=True)]


def _name(aggregation: Any) -> str:  # noqa: ANN401 (likewise)
    return str(getattr(aggregation, "__name__", type(aggregation).__name__))


_NOTHING_TO_BEGIN_WITH: Final = " (initial gave None: if it should not, end it with a return)"


def _own_copy(aggregation: Any, partial: Any) -> Any:  # noqa: ANN401 (likewise)
    """Copy what ``initial`` gave: it may be one object for all keys, which ``update`` changes."""
    if type(partial) in _PLAIN or type(partial) is int:
        return partial
    try:
        return copy.deepcopy(partial)
    except Exception as error:
        raise UserCodeError(
            f"What {_name(aggregation)}.initial gave cannot be copied: {bare(error)}. Each key gets a copy of its own,"
            " and partials go from worker to worker: keep in it what pickle can copy, no lock, file or connection."
        ).quoting(bare(error)) from error


def _pickled(aggregation: Any, partial: Any) -> bytes:  # noqa: ANN401 (likewise)
    try:
        return bytes(cloudpickle.dumps(partial))
    except Exception as error:
        raise UserCodeError(
            f"A partial of {_name(aggregation)} cannot be sent from worker to worker: {bare(error)}. Keep in it what"
            " pickle can copy: no lock, file or connection."
        ).quoting(bare(error)) from error


def unpickled(partial: bytes) -> Any:  # noqa: ANN401 (likewise)
    """Read a partial that a worker of this run has written down."""
    return pickle.loads(partial)  # noqa: S301 (see above)


def alike(values: Sequence[Sequence[Any]]) -> list[np.ndarray]:
    """Put rows together whose values have the same types: then a column has the type that each of them has alone.

    So the types of the output do not depend on which keys are in one task. Without rows there is one frame of none.
    """
    numbers: dict[tuple[str, ...], int] = {}
    codes = np.array([numbers.setdefault(tuple(map(_type_of, own)), len(numbers)) for own in values], np.int64)
    return [np.flatnonzero(codes == code) for code in range(len(numbers))]


def column_of(values: list[Any]) -> "pd.Series[Any]":
    """Make a column of values, one a row, also where they are lists."""
    if not values or isinstance(values[0], np.ndarray | list | tuple | dict | set):
        cells = np.empty(len(values), object)
        for at, value in enumerate(values):  # as NumPy would make a table of lists that are of one length
            cells[at] = value
        return pd.Series(cells)
    return pd.Series(values)


_MOST: Final = 1 << 63
"""Whole numbers from here on leave 64 bits."""


def _type_of(value: Any) -> str:  # noqa: ANN401 (whatever the user gives)
    kind = type(value)
    if kind in _PLAIN:
        return _PLAIN[kind]
    if kind is int and -_MOST <= value < _MOST:
        return "int64"
    if issubclass(kind, np.bool_ | np.integer | np.floating):
        return _name_of(cast("Any", kind))
    return f"{kind.__name__} {column_of([value]).dtype}"


@lru_cache(maxsize=32)  # NumPy puts the name together each time
def _name_of(kind: type[np.generic]) -> str:
    return np.dtype(kind).name


_PLAIN: Final = {float: "float64", bool: "bool", str: "str", type(None): "none"}
