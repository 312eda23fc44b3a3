"""Who holds what a function returned: the output, the next function, or a stage behind it. Errors speak of each.

Between two stages, results are held as in Parquet, whatever the output is.
"""

from typing import Final, NamedTuple

BETWEEN: Final = "between"
"""The use of results that a later stage reads."""

AS_PARQUET: Final = frozenset({"parquet", BETWEEN})
"""Uses for which columns have the types of Parquet."""


class Holder(NamedTuple):
    """How an error speaks of who holds results."""

    name: str
    holds: str = "holds"
    instead: str = ""
    """What to do where two columns have one name, and neither is renamed."""


HOLDERS: Final = {
    "jsonl": Holder("a JSON object", instead=", or write CSV"),
    "parquet": Holder("Parquet", instead=", or write CSV"),
    BETWEEN: Holder("rows between two stages", "hold"),
    "pyarrow": Holder("an Arrow step"),
    "polars": Holder("Polars"),
}
