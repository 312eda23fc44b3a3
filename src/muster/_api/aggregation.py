"""What an aggregation of one's own is made of: four functions, which ``agg`` calls."""

from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    import pandas as pd


class Aggregation:
    """An aggregation of your own, for ``agg``.

    It says what is kept of some rows of a key, how two of these are put together, and what comes of that.

    ``agg(mean=(["price", "weight"], WeightedMean))`` takes a class, which is built once in each worker, or an object.
    It need not be derived from this one; it has these four methods::

        class WeightedMean(muster.Aggregation):
            def initial(self):
                return 0.0, 0.0

            def update(self, partial, rows):
                total, weight = partial
                return total + (rows["price"] * rows["weight"]).sum(), weight + rows["weight"].sum()

            def combine(self, partial, later):
                return partial[0] + later[0], partial[1] + later[1]

            def output(self, partial):
                return partial[0] / partial[1]

    A partial is any value that pickle can copy. Two things must hold. What the functions return depends on what they
    are given alone. And to combine the partials of some rows and of those behind them says the same as one partial of
    all of them. Then the output is that of one call with all rows of the key.
    """

    def initial(self) -> Any:  # noqa: ANN401 (whatever the user keeps)
        """Return the partial of no rows."""
        raise NotImplementedError

    def update(self, partial: Any, rows: "pd.DataFrame | pd.Series[Any]") -> Any:  # noqa: ANN401 (likewise)
        """Return the partial with some rows of the key added, which it may change.

        ``rows`` is a Series where ``agg`` was given one name, and a DataFrame where it was given a list of names. The
        index is the number of each row in its file. Rows come in the order of the input; a value may be missing.
        """
        raise NotImplementedError

    def combine(self, partial: Any, later: Any) -> Any:  # noqa: ANN401 (likewise)
        """Return the partial of the rows of both; those of ``later`` stand behind the others in the input."""
        raise NotImplementedError

    def output(self, partial: Any) -> Any:  # noqa: ANN401 (likewise)
        """Return the value in the output: one value, such as a number, a text or a list."""
        raise NotImplementedError


FUNCTIONS: Final = ("initial", "update", "combine", "output")


def lacks(aggregation: Any) -> list[str]:  # noqa: ANN401 (whatever a caller gives)
    """Name the functions that an aggregation does not have; it inherits none that would only raise."""
    return [
        name
        for name in FUNCTIONS
        if not callable(getattr(aggregation, name, None)) or _function(aggregation, name) is getattr(Aggregation, name)
    ]


def _function(aggregation: Any, name: str) -> object:  # noqa: ANN401 (likewise)
    method = getattr(aggregation, name)
    return getattr(method, "__func__", method)
