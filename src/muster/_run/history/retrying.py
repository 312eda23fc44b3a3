"""Whether ``muster retry`` can do the bad rows of a run by themselves, decided here alone, and what it is to be given.

A run that ends notes it in its result, of which terminal, status, report and page tell; a retry asks again.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from muster._job.bad_rows import is_unread
from muster._job.remedy import Remedy
from muster._output.folder import WorkFolder
from muster._private.secrets import HIDDEN
from muster.errors import MusterError

_STATES: Final = (
    "had states: that of a key went on without a row that was rejected, and the rows behind it were worked out of that"
)
_SEVERAL: Final = (
    "grouped rows more than once, as windows of sessions do, too: what groups give is part of other groups, which were"
    " done without it"
)
_BEHIND: Final = "had steps behind its groups, and which rows these would get with a group more is not kept"
_BEFORE: Final = (
    "rejected rows before they were in groups: once they are good, they belong to groups that were done without them"
)
_UNKNOWN: Final = "did not keep where its bad groups belong in the output"
_MOST_SAID: Final = 5
"""How much is said of groups that a function is called with; of aggregations there is more."""

PIPELINE: Final = "pipeline"
"""What a retry is to be given, where no function alone says how the rows were done."""


def count_unread(work: WorkFolder) -> int:
    """Count the rows beside an output that could not be read; none where they cannot be read themselves."""
    try:
        return sum(map(is_unread, work.rejected()))
    except (OSError, MusterError):
        return 0


def why_not(asked: Mapping[str, Any], *, bad_before: int, unread: int, has_gaps: bool) -> str:
    """Say why the bad rows of a run cannot be done by themselves; nothing where they can.

    ``asked`` is what the run was asked for. ``bad_before`` counts rows that were rejected before they were in groups;
    ``has_gaps`` says whether it is known where groups are missing in the output.
    """
    groups = asked.get("groups", ())
    return next(_hindrances(groups, asked, bad_before - unread, has_gaps=has_gaps), "") if groups else ""


def _hindrances(
    groups: Sequence[Sequence[Any]], asked: Mapping[str, Any], refused_before: int, *, has_gaps: bool
) -> Iterator[str]:
    if any(one[-1] == "state" for one in groups):
        yield _STATES
    if len(groups) > 1:
        yield _SEVERAL
    if groups[0][0] != len(asked["steps"]) - 1:
        yield _BEHIND
    if refused_before > 0:
        yield _BEFORE
    if not has_gaps:
        yield _UNKNOWN


def remedy_of(asked: Mapping[str, Any], *, bad_before: int, unread: int, has_gaps: bool) -> Remedy:
    """Decide what is to be done about the bad rows of a run."""
    why = why_not(asked, bad_before=bad_before, unread=unread, has_gaps=has_gaps)
    given = to_be_given(asked)
    flags = [f"--arg {name}=VALUE" for name in lacking(asked)] if given != PIPELINE else []
    flags += [f"--storage-option {name}=VALUE" for name in asked["storage"]]
    flags += ["--input URL"] if any(HIDDEN in name for name in asked["inputs"]) else []
    return Remedy(unread, why, given, tuple(flags))


def to_be_given(asked: Mapping[str, Any]) -> str:
    """Name what a retry is to be given as its steps; nothing where what the run was asked for names them."""
    steps = asked["steps"]
    if asked["typed"]:
        return ""
    handed_over = [step["name"] for step in steps if step["kind"] == "pickle"]
    if not are_groups_kept(asked, steps=len(steps)) or (handed_over and len(steps) > 1):
        return PIPELINE
    return next((name if name.isidentifier() else "function" for name in handed_over), "")


def are_groups_kept(asked: Mapping[str, Any], *, steps: int) -> bool:
    """Tell whether what was asked for says how rows come to groups, for so many steps."""
    groups = asked.get("groups", ())
    is_said = all(len(one) <= _MOST_SAID and not any(name.endswith("()") for name in one[1]) for one in groups)
    return not groups or (is_said and steps == len(asked["steps"]))


def lacking(asked: Mapping[str, Any]) -> list[str]:
    """Name the arguments of functions that were not kept: secrets, and values of a Python program."""
    return [] if asked["typed"] else [name for step in asked["steps"] for name in step["lacks"]]
