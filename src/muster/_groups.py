"""The lazy pipeline's groups: what is done with the rows of each key, and what cannot be done with them."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Generic, TypeVar

from muster._callers import from_the_callers_line
from muster._given import check_function
from muster._job import Options
from muster._model import Grouping
from muster._user_code import arguments, targets
from muster.errors import UsageError

_FAR: Final = "groups are made on this computer alone, and rows do not go from machine to machine"

P = TypeVar("P")


@dataclass(frozen=True, slots=True)
class Groups(Generic[P]):
    """Rows that are put together by their keys; nothing happens before the pipeline's ``run``."""

    pipeline: P
    grouping: Grouping

    @from_the_callers_line
    def map_groups(
        self, function: Callable[..., Any] | str, *, args: Mapping[str, Any] | None = None, sort: bool = False
    ) -> P:
        """Apply a function to each group: it gets all rows of one key as a DataFrame, and returns a DataFrame.

        A function that takes two gets the key, too: ``f(df, key)``. The key is a value where ``group_by`` was given one
        name, and a tuple where it was given a list. The output is that of ``pd.concat(f(g) for _, g in
        df.groupby(columns, sort=False))`` for the whole input: groups in the order in which their keys first appear;
        with ``sort=True`` in the order of the keys, as pandas sorts them. ``function`` and ``args`` are as for
        ``map_batches``; the frame's index is the rows' number in their file. A group has to fit into the memory of a
        worker, the whole input has not.
        """
        check_function(function)
        target = targets.parse_target(function) if isinstance(function, str) else targets.of_function(function)
        target = targets.with_arguments(target, arguments.given(args, step=target.name))
        target = targets.of_groups(target)
        pipeline: Any = self.pipeline
        grouping = self.grouping._replace(sort=bool(sort))
        changed: P = dataclasses.replace(pipeline, steps=(*pipeline.steps, target), grouping=grouping)
        return changed

    def agg(self, *_: object, **__: object) -> P:
        """Refuse, for now, to work out sums and the like without a function of your own. Raises ``UsageError``."""
        raise UsageError(
            "group_by(...).agg(...) is not there yet. Do it in a function of your own, which gets all rows of a key:"
            " map_groups(lambda df: pd.DataFrame({'n': [len(df)]}))."
        )


def grouping_of(columns: object, *, dropna: bool) -> Grouping:
    """Understand by what rows are to be grouped. Raises ``UsageError`` for what names no columns."""
    if isinstance(columns, str):
        names: tuple[object, ...] = (columns,)
    elif isinstance(columns, Sequence) and not isinstance(columns, bytes):
        names = tuple(columns)
    else:
        raise UsageError(
            f"group_by({columns!r}): give the name of a column, or a list of names. A function of the rows cannot be a"
            " key yet: write the key into a column of the input first."
        )
    if not names or not all(isinstance(name, str) and name for name in names) or len({*names}) < len(names):
        raise UsageError(f"group_by({columns!r}): give one or more names of columns, each once.")
    return Grouping(tuple(map(str, names)), isinstance(columns, str), bool(dropna))


def check_can_be_grouped(grouping: Grouping | None, *, steps: int) -> None:
    """Raise ``UsageError`` where a pipeline has steps already that group_by cannot stand behind yet."""
    if grouping is not None:
        raise UsageError(
            "A pipeline can be grouped once yet. Write the groups to a file, and begin another pipeline that reads it."
        )
    if steps:
        raise UsageError(
            "group_by cannot stand behind map_batches yet. Write what map_batches gives to a file, such as"
            " 'step.parquet', and begin another pipeline that reads it: read_parquet('step.parquet').group_by(...)."
        )


def no_step_behind() -> UsageError:
    """Say that nothing can stand behind map_groups yet."""
    return UsageError(
        "map_batches cannot stand behind map_groups yet. Do it in the function of map_groups; or write the groups to a"
        " file, and begin another pipeline that reads it."
    )


_REFUSED: Final = {
    "limit": "only some rows would be in the groups",
    "sample": "only some rows would be in the groups",
    "calls_per_worker": "there is a call for each group, and nobody knows yet how many of them a task has",
    "cluster": _FAR,
    "machines": _FAR,
    "on": _FAR,
}
"""Options that a pipeline with groups cannot have yet, and why."""


def check_options(grouping: Grouping | None, options: Options) -> None:
    """Raise ``UsageError`` for an option that a pipeline with groups cannot have yet."""
    for name, why in _REFUSED.items():
        if grouping is not None and getattr(options, name) is not None:
            raise UsageError(
                f"A pipeline with group_by cannot have --{name.replace('_', '-')} yet: {why}. Leave it out."
            )


def check_has_none(grouping: Grouping | None, *, what: str) -> None:
    """Raise ``UsageError`` where a pipeline has groups; ``what`` says why that is asked."""
    if grouping is not None:
        raise UsageError(f"{what}, and this pipeline has groups. Call the function with one group in plain Python.")
