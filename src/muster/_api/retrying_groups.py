"""Which bad groups can be retried, and what is said where they cannot."""

from collections.abc import Iterator, Sequence
from typing import Any, Final

from muster._job.bad_rows import is_unread
from muster._model import Keyed, Target, keyed_as_said
from muster._output.folder import WorkFolder
from muster._run.history.past import Past
from muster._user_code import targets
from muster.errors import UsageError

_STATES: Final = (
    "had states: that of a key went on without a row that was rejected, and the rows behind it were worked out of that"
)
_SEVERAL: Final = "grouped rows more than once: what groups give is part of other groups, which were done without it"
_BEHIND: Final = "had steps behind its groups, and which rows these would get with a group more is not kept"
_BEFORE: Final = (
    "rejected rows before they were in groups: once they are good, they belong to groups that were done without them"
)
_UNKNOWN: Final = "did not keep where its bad groups belong in the output"
_MOST_SAID: Final = 5
"""How much is said of groups that a function is called with; of aggregations there is more."""


def check_can_be_retried(past: Past, work: WorkFolder) -> None:
    """Raise ``UsageError`` where a run had groups or states whose bad rows cannot be done by themselves."""
    why = next(_hindrances(past.asked.get("groups", ()), past, work), None)
    if why is not None:
        raise UsageError(
            f"Run {past.run} {why}, so its bad rows cannot be retried by themselves. Mend the function or the input,"
            " then run the whole again: the same muster run, with --fresh."
        )


def _hindrances(groups: Sequence[Sequence[Any]], past: Past, work: WorkFolder) -> Iterator[str]:
    if any(one[-1] == "state" for one in groups):
        yield _STATES
    if len(groups) > 1:
        yield _SEVERAL
    if not groups or past.finished is None:  # a retry that was checked when it began
        return
    if groups[0][0] != len(past.asked["steps"]) - 1:
        yield _BEHIND
    if _has_rejected_before(past, work):
        yield _BEFORE
    exchanged = past.later.exchanged.get(2)
    if exchanged is None or not exchanged.gaps:
        yield _UNKNOWN


def _has_rejected_before(past: Past, work: WorkFolder) -> bool:
    """Tell whether a step before the groups refused a row; those that could not be read stay as they are."""
    bad_rows = sum(one.bad_rows for one in past.kept.values())
    try:
        return bad_rows > 0 and bad_rows != sum(map(is_unread, work.rejected()))
    except OSError:  # that the rejects are not what they were is said later
        return False


def exchanges_of(past: Past, steps: Sequence[Target]) -> tuple[Keyed, ...]:
    """Say how rows come to the groups of an earlier run. Raises ``UsageError`` where only its pipeline can tell."""
    groups = past.asked.get("groups", ())
    if not groups:
        return ()
    is_simple = not any(name.endswith("()") for one in groups for name in one[1]) and len(groups[0]) <= _MOST_SAID
    if not is_simple or len(steps) != len(past.asked["steps"]):
        raise UsageError(
            f"Run {past.run} was that of a pipeline, which is not kept. Define it in a file, and name that: muster"
            " retry OUTPUT file.py:pipeline. In Python, give it: muster.retry(output, pipeline)."
        )
    return tuple(map(keyed_as_said, groups))


def with_groups(steps: tuple[Target, ...], exchanges: Sequence[Keyed]) -> tuple[Target, ...]:
    """Have the steps called with groups that rows come to by their keys."""
    of_groups = {one.at for one in exchanges}
    return tuple(targets.of_groups(step) if at in of_groups else step for at, step in enumerate(steps))
