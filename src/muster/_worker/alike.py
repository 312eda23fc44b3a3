"""Whether all calls of a step that were tried fail alike: then the step is to blame, and no row."""

from collections.abc import Callable, Iterable

from muster._model import Fault

from .calling import Failure
from .failures import said, sort_of, traced
from .steps import FEWEST_TO_BLAME


def fault_in_common(results: Iterable[object], *, rows: int, cure: Callable[[Failure], str]) -> Fault | None:
    """Make the fault that all calls have in common, of ``rows`` tries; ``None`` where one succeeds or fails otherwise.

    No call is made behind the first that decides it, if ``results`` makes them one by one. ``cure`` says what would
    mend a failure.
    """
    first: Failure | None = None
    for result in results:
        if not isinstance(result, Failure):
            return None
        first = first or result
        if sort_of(result.step, result.error) != sort_of(first.step, first.error):
            return None
    if first is None:
        return None
    sort = sort_of(first.step, first.error)
    return Fault(
        step=first.step,
        sort=sort,
        error=said(first.error),
        traceback=traced(first.error),
        cure=cure(first),
        rows=rows,
        fewest=FEWEST_TO_BLAME,
    )
