"""The step that ``agg`` adds to a pipeline. It is called with no rows alone: others are put together part by part."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from muster._model import Measure
from muster._worker.failures import said, traced
from muster.errors import UserCodeError


class agg:  # noqa: N801 (it is what users call the step)
    """Holds the user's own aggregations; a class among them is built when this is, once in each worker."""

    def __init__(
        self,
        *,
        key: Sequence[str],
        measures: Sequence[Measure],
        own: Mapping[str, Any] | None = None,
        named: Sequence[str] = (),
    ) -> None:
        """Know what is worked out, and how the columns of the key are ``named`` in the output, if otherwise."""
        self._key = [*key]
        self._named = [*(named or key)]
        self._measures = measures
        self.own = {name: _built(one) if isinstance(one, type) else one for name, one in (own or {}).items()}

    def __call__(self, df: pd.DataFrame) -> pd.DataFrame:
        """Give the columns of the output, as pandas does; those of the user's own may have any type."""
        ready = [one for one in self._measures if one.how]
        named = {one.output: (one.columns[0] if one.columns else self._key[0], one.how) for one in ready}
        grouped: Any = df.groupby(self._key, sort=False, observed=True)
        keys = grouped.size().reset_index()[self._key]
        made = grouped.agg(**named).reset_index() if named else keys
        made = made.astype({one.output: np.int64 for one in ready if not one.columns})
        made = made.assign(**{name: pd.Series(dtype=object) for name in self.own})
        outputs = [one.output for one in self._measures]
        columns: pd.DataFrame = made[[*self._key, *outputs]].set_axis([*self._named, *outputs], axis=1)
        return columns


def _built(aggregation: type) -> Any:  # noqa: ANN401 (an object of the user's)
    """Build a class of the user's. Raises ``UserCodeError`` where that fails."""
    try:
        return aggregation()
    except Exception as error:
        raise UserCodeError(
            f"Building the aggregation {aggregation.__name__!r} raised {said(error)}. agg builds a class without"
            f" arguments. Mend it, or give an object instead: {aggregation.__name__}(...).",
            traced(error),
        ) from error
