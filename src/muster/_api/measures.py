"""What ``agg`` is told, understood: a name of pandas', or columns and such a name or an aggregation of one's own."""

from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

from muster._api.aggregation import FUNCTIONS, lacks
from muster._model import Measure
from muster._user_code.signature import cannot_be_built
from muster._words.near import nearest
from muster.errors import UsageError

_NAMES: Final = (
    *("count", "size", "sum", "mean", "min", "max", "std", "var", "first", "last", "nunique", "any", "all"),
)
_OF_ROWS: Final = ("count", "size")
_ALL_ROWS: Final = {"median", "quantile", "mode", "nth", "prod", "sem", "skew", "kurt", "idxmin", "idxmax", "head"}
"""What pandas has besides, and muster has not: most of it cannot be put together from parts."""


class Aggregations(NamedTuple):
    """What is to be worked out, and the aggregations of the user's own, by the names of their outputs."""

    measures: tuple[Measure, ...]
    own: dict[str, Any]


def asked_of(outputs: Mapping[str, object], *, key: Sequence[str]) -> Aggregations:
    """Understand what is to be worked out. Raises ``UsageError``, where it cannot be."""
    if not outputs:
        raise UsageError("agg() was given nothing to work out. Name it: agg(n='count', total=('amount', 'sum')).")
    for output in outputs:
        if output in key:
            raise UsageError(
                f"agg({output}=...): {output!r} is a column of the key, which is in the output already. Give it another"
                " name."
            )
    pairs: Mapping[str, Any] = {output: _as_pair(output, asked) for output, asked in outputs.items()}
    measures = tuple(_measure(output, asked) for output, asked in pairs.items())
    return Aggregations(measures, {one.output: pairs[one.output][1] for one in measures if not one.how})


def check_named(unnamed: Sequence[object]) -> None:
    """Raise ``UsageError`` where outputs have no names, as pandas takes them, too."""
    if unnamed:
        raise UsageError(
            f"agg({unnamed[0]!r}): each output has a name. Where pandas takes agg({{'amount': 'sum'}}), write"
            " agg(amount=('amount', 'sum'))."
        )


def _as_pair(output: str, asked: Any) -> Any:  # noqa: ANN401 (whatever a caller gives)
    """Take a ``pd.NamedAgg``, which pandas 3.1 makes no tuple any more, as the pair that it stands for."""
    if type(asked).__name__ != "NamedAgg" or not hasattr(asked, "aggfunc"):
        return asked
    if getattr(asked, "args", ()) or getattr(asked, "kwargs", {}):
        raise UsageError(
            f"agg({output}={asked!r}): arguments of {asked.aggfunc!r} are not passed on. Write an aggregation of your"
            " own, a muster.Aggregation, or use map_groups(f)."
        )
    return asked.column, asked.aggfunc


def _measure(output: str, asked: object) -> Measure:
    if isinstance(asked, str):
        if asked not in _OF_ROWS:
            _check_name(output, asked)
            raise UsageError(f"agg({output}={asked!r}): of which column? Write {output}=('column', {asked!r}).")
        return Measure(output, "size")
    if isinstance(asked, tuple) and len(asked) == _PAIR:
        columns, how = asked
        if isinstance(columns, str) and columns and isinstance(how, str):
            _check_name(output, how)
            return Measure(output, how, (columns,))
        if _are_names(columns) and not isinstance(how, str):
            _check_aggregation(output, columns, how)
            is_frame = not isinstance(columns, str)
            return Measure(output, "", tuple(columns) if is_frame else (columns,), is_frame)
    raise UsageError(
        f"agg({output}={asked!r}): give 'count', or a column and what to work out of it, such as ('amount', 'sum'). A"
        " list of columns goes with an aggregation of your own, a muster.Aggregation."
    )


def _are_names(columns: Any) -> bool:  # noqa: ANN401 (whatever a caller gives)
    if isinstance(columns, str):
        return bool(columns)
    are_names = isinstance(columns, list | tuple) and bool(columns) and all(isinstance(one, str) for one in columns)
    return are_names and len(set(columns)) == len(columns)


def _check_aggregation(output: str, columns: object, how: Any) -> None:  # noqa: ANN401 (whatever a caller gives)
    """Raise ``UsageError`` for what does not have the four functions of an aggregation."""
    asked = f"agg({output}=({columns!r}, ...))"
    if not (missing := lacks(how)):
        if isinstance(how, type) and (lacking := cannot_be_built(how)):
            raise UsageError(
                f"{asked}: {how.__name__!r} cannot be built without arguments: {lacking}. Give an object:"
                f" {output}=({columns!r}, {how.__name__}(...))."
            )
        return
    if len(missing) < len(FUNCTIONS):
        name = getattr(how, "__name__", type(how).__name__)
        raise UsageError(
            f"{asked}: the aggregation {name!r} has no {' and no '.join(missing)}. It needs {', '.join(FUNCTIONS)}:"
            " help(muster.Aggregation) says what for."
        )
    if callable(how):
        raise UsageError(
            f"{asked}: a function of all values of a group is not for agg, as it would need"
            " them all at once. Use map_groups(f), a name, or a muster.Aggregation, which has functions for some of the"
            " values. The names are " + ", ".join(_NAMES) + "."
        )
    raise UsageError(
        f"{asked}: {how!r} is neither a name of an aggregation nor a muster.Aggregation. The names are"
        f" {', '.join(_NAMES)}."
    )


_PAIR: Final = 2
"""A column, and the measure that is made of it."""


def _check_name(output: str, how: str) -> None:
    if how in _NAMES:
        return
    if how in _ALL_ROWS:
        raise UsageError(
            f"agg({output}=...): there is no {how!r}, as it cannot be put together from parts of a group. Use"
            f" map_groups(f), which gets all rows of a key. There are {', '.join(_NAMES)}."
        )
    meant = f" Did you mean {near!r}?" if (near := nearest(how, _NAMES)) else ""
    raise UsageError(f"agg({output}=...): there is no {how!r}.{meant} There are {', '.join(_NAMES)}.")
