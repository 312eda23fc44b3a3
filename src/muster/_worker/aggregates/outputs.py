"""The columns of the output, from what was kept of each group."""

from collections.abc import Callable, Mapping
from typing import Any, Final

import numpy as np
import pyarrow as pa

from .exact import Exact
from .partials import Columns, exact_of

Kept = Mapping[str, Columns]
"""What was kept of one column of the input, by sorts."""


class Overflow(Exception):  # noqa: N818 (it is caught by who knows the names)
    """A sum of whole numbers does not fit into 64 bits, in the group of this number."""

    def __init__(self, group: int) -> None:
        super().__init__(group)
        self.group = group


def _counts(kept: Kept, name: str = "count") -> np.ndarray:
    return np.asarray(kept[name]["n"])


def _exact(kept: Kept, name: str = "sum") -> Exact:
    """Read the sums; where nothing was added anywhere, of as many groups as were counted."""
    return exact_of(kept[name]) if kept[name] else Exact(len(_counts(kept)))


def _sum(kept: Kept, kind: pa.DataType) -> Any:  # noqa: ANN401 (an array of some kind)
    if pa.types.is_decimal(kind):
        sums = kept["decimals"]["v"]
        return sums.fill_null(pa.scalar(0).cast(sums.type))
    exact = _exact(kept)
    if pa.types.is_floating(kind):
        return exact.rounded()
    totals, lost = exact.whole(unsigned=pa.types.is_unsigned_integer(kind))
    if lost.any():
        raise Overflow(int(np.flatnonzero(lost)[0]))
    return pa.array(totals).cast(kind) if pa.types.is_duration(kind) else totals


def _mean(kept: Kept, kind: pa.DataType) -> Any:  # noqa: ANN401 (likewise)
    counts, exact = _counts(kept), _exact(kept)
    if not pa.types.is_temporal(kind):
        with np.errstate(invalid="ignore"):
            return np.where(counts > 0, exact.rounded() / np.maximum(counts, 1), np.nan)
    totals, exponent = exact.integers()
    whole = totals * (1 << max(exponent, 0))
    means = [
        None if not count else abs(total) // count * (1 if total > 0 else -1)
        for total, count in zip(whole.tolist(), counts.tolist(), strict=True)
    ]
    return pa.array(means, pa.int64()).cast(kind)


def _variance(kept: Kept, kind: pa.DataType) -> Any:  # noqa: ANN401 (likewise)
    del kind
    return _exact(kept).squared_deviations(_exact(kept, "squares"), _counts(kept))


def _deviation(kept: Kept, kind: pa.DataType) -> Any:  # noqa: ANN401 (likewise)
    return np.sqrt(_variance(kept, kind))


def _distinct(kept: Kept, kind: pa.DataType) -> Any:  # noqa: ANN401 (likewise)
    del kind
    return np.diff(np.asarray(kept["distinct"]["v"].offsets)).astype(np.int64)


def _value(name: str) -> Callable[[Kept, pa.DataType], Any]:
    return lambda kept, _: kept[name]["v"]


def needs(how: str, kind: pa.DataType) -> tuple[str, ...]:
    """Name the sorts of what is kept of a column that an aggregation is worked out of."""
    if how == "sum" and pa.types.is_decimal(kind):
        return ("decimals",)
    return _NEEDS.get(how, (how,))


_NEEDS: Final[Mapping[str, tuple[str, ...]]] = {
    "sum": ("count", "sum"),
    "mean": ("count", "sum"),
    "var": ("count", "squares", "sum"),
    "std": ("count", "squares", "sum"),
    "nunique": ("distinct",),
    "any": ("truths",),
    "all": ("count", "truths"),
}

OUTPUTS: Final[Mapping[str, Callable[[Kept, pa.DataType], Any]]] = {
    "size": lambda kept, _: _counts(kept, "size"),
    "count": lambda kept, _: _counts(kept),
    "sum": _sum,
    "mean": _mean,
    "var": _variance,
    "std": _deviation,
    "nunique": _distinct,
    "any": lambda kept, _: _counts(kept, "truths") > 0,
    "all": lambda kept, _: _counts(kept, "truths") == _counts(kept),
    **{how: _value(how) for how in ("min", "max", "first", "last")},
}
"""How each aggregation is worked out; a table of Arrow where the values are those of the column."""
