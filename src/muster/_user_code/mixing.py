"""What mixes rows, by name and by form: methods and functions that take all values of a column, places in a batch."""

import ast
import re
from typing import Final

METHODS: Final = re.compile(
    "mean|std|var|sem|median|mode|sum|prod|product|min|max|quantile|skew|kurt|describe|corr|cov|rank|groupby|"
    "shift|diff|pct_change|cumsum|cumprod|cummax|cummin|rolling|expanding|ewm|resample|sort_values|nlargest|"
    "nsmallest|drop_duplicates|duplicated|value_counts|nunique|unique|factorize|interpolate|ffill|bfill|pad|"
    "backfill|sample|head|tail|pivot|pivot_table|melt|unstack|agg|aggregate|idxmin|idxmax|argmin|argmax|argsort|"
    "sort|get_dummies|ptp|cut|any|all|count|item"
)
CALLS: Final = re.compile(
    "get_dummies|qcut|factorize|pivot_table|crosstab|melt|mean|average|std|var|median|nanmean|nanstd|nanmedian|"
    "percentile|nanpercentile|quantile|cumsum|cumprod|diff|sort|argsort|unique|amax|amin|zscore|rankdata|max|min|sum|"
    "prod|nanmax|nanmin|nansum|ptp|argmax|argmin|any|all|count_nonzero|fmean|fsum|stdev|pstdev|mode|Counter"
)
BUILT_IN: Final = frozenset({"max", "min", "sum", "sorted", "any", "all", "Counter"})
"""Functions that take all values of a column; of two columns or more, ``max`` and ``min`` fail."""

TRUTHS: Final = frozenset({"any", "all"})
"""What is mostly asked before something is done to the rows that it is true of."""

STILL_ROWS: Final = re.compile("sort_values|drop_duplicates|ffill|bfill|shift|diff")
LIBRARIES: Final = frozenset({"pd", "pandas", "np", "numpy", "stats", "scipy", "statistics", "math", "collections"})
FITTING: Final = frozenset({"fit", "fit_transform", "fit_predict"})
ACCESSORS: Final = frozenset({"str", "dt", "cat"})
FACTS: Final = frozenset({"hasnans", "is_unique", "is_monotonic_increasing", "is_monotonic_decreasing"})
"""Attributes of a column that are of all its values."""

NO_COLUMNS: Final = re.compile("loc|iloc|at|iat|T|shape|columns|dtypes|index|attrs|empty|size|ndim|iterrows")


def is_number(node: ast.expr) -> bool:
    """Tell whether an expression is a whole number that is written there, such as ``0`` or ``-1``."""
    number = node.operand if isinstance(node, ast.UnaryOp) else node
    return isinstance(number, ast.Constant) and type(number.value) is int


def is_of_some_places(place: ast.expr) -> bool:
    """Tell whether ``iloc`` of a place, written there, takes some rows of a batch: one, or some from an end."""
    first = place.elts[0] if isinstance(place, ast.Tuple) and place.elts else place
    return isinstance(first, ast.Constant | ast.UnaryOp) or (
        isinstance(first, ast.Slice)
        and bool(first.lower or first.upper or first.step)
        and not (_is_empty(first) or _is_one_of_many(first))
    )


def is_along_the_row(node: ast.Call, *, is_frame: bool) -> bool:
    """Tell whether a call is told to go along each row: ``axis=1``."""
    axes = [keyword.value for keyword in node.keywords if keyword.arg == "axis"]
    if (
        not axes
        and is_frame
        and isinstance(node.func, ast.Attribute)
        and node.func.attr not in {"head", "tail", "shift", "diff", "sample"}
    ):
        axes = node.args[:1]
    return any(isinstance(axis, ast.Constant) and axis.value in {1, "columns"} for axis in axes)


def _is_empty(part: ast.Slice) -> bool:
    """Tell whether a slice is ``[:0]``, which no row is in."""
    return isinstance(part.upper, ast.Constant) and part.upper.value == 0


def _is_one_of_many(part: ast.Slice) -> bool:
    """Tell whether a slice is of a loop over all rows, such as ``[at : at + 100]``."""
    return part.lower is not None and part.upper is not None and not isinstance(part.lower, ast.Constant)


def has_counted_bins(node: ast.Call) -> bool:
    """Tell whether ``pd.cut`` is given how many bins to make, not their borders."""
    bins = [*node.args[1:2], *(keyword.value for keyword in node.keywords if keyword.arg == "bins")]
    return any(isinstance(value, ast.Constant) and isinstance(value.value, int) for value in bins)
