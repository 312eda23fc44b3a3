"""The lazy pipeline's groups: what is done with the rows of each key, and what cannot be done with them."""

import dataclasses
import datetime as dt
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Generic, Literal, TypeVar

from muster._api.given import check_function
from muster._api.meant import Advising
from muster._api.measures import asked_of, check_named
from muster._api.windows import WindowAsked, windowed, with_sums
from muster._dialects.values import flag
from muster._model import Grouping, Keyed, Target
from muster._show.callers import from_the_callers_line
from muster._user_code import arguments, targets
from muster._user_code.rowwise import remarks_on
from muster._user_code.signature import takes_key
from muster.errors import UsageError

_AGG: Final = "muster._worker.aggregates.step:agg"
"""The step that sums and the like are worked out in."""

P = TypeVar("P")

Key = str | Callable[[Any], Any]
"""What rows are put together by: a column, or a function of the rows that gives a key for each."""


@dataclass(frozen=True, slots=True)
class Groups(Advising, Generic[P]):
    """Rows that are put together by their keys; nothing happens before the pipeline's ``run``."""

    pipeline: P
    grouping: Grouping

    @from_the_callers_line
    def window(  # noqa: PLR0913 (each is given by its name)
        self,
        size: str | dt.timedelta | None = None,
        *,
        every: str | dt.timedelta | None = None,
        rows: int | None = None,
        session: str | dt.timedelta | None = None,
        time: str | None = None,
        lateness: str | dt.timedelta | None = None,
        late: Literal["drop", "keep", "oldest"] | None = None,
        idle: str | dt.timedelta | None = None,
    ) -> "Groups[P]":
        """Cut the rows of each key into windows; :meth:`agg` and :meth:`map_groups` get those of a key and a window.

        - ``window("1h", time="at")``: windows of an hour, by the times in the column ``at``. They begin at multiples of
          an hour, counted from 1970-01-01 00:00, in UTC where times have a zone.
        - ``window("1h", every="10m", time="at")``: one begins every 10 minutes, and a row is in six of them.
        - ``window(session="30m", time="at")``: a session ends where nothing comes for 30 minutes.
        - ``window(rows=100)``: each 100 rows of a key, in the order of the input; the last window of a key has fewer.

        A length of time is a number and ``ms``, ``s``, ``m``, ``h`` or ``d``, or a ``timedelta``. The key has further
        columns: ``window_start`` and ``window_end``, which is not in the window any more; a session ends so long behind
        its last row. With ``rows`` it is ``window``, counted from 0 for each key. A row whose time is missing is a bad
        row.

        Of files, all rows are there, and none is late. Of a stream, a window is closed once a row has come whose time
        is ``lateness`` behind its end; without ``time``, the times are those at which rows come. A row that comes when
        its windows are closed is late: ``late="drop"``, which None means too, counts it, ``"keep"`` sets it apart with
        the rejects, and ``"oldest"`` adds it to the oldest window that is open. ``idle``: windows that are open close
        where no row has come for so long.
        """
        asked = WindowAsked(
            size=size,
            every=every,
            rows=rows,
            session=session,
            time=time,
            lateness=lateness,
            late=late,
            idle=idle,
        )
        return Groups(*windowed(self.pipeline, self.grouping, asked))

    @from_the_callers_line
    def map_groups(
        self, function: Callable[..., Any] | str, *, args: Mapping[str, Any] | None = None, sort: bool = False
    ) -> P:
        """Apply a function to each group: it gets all rows of one key as a DataFrame, and returns a DataFrame.

        A function that takes two gets the key, too: ``f(df, key)``. The key is a value where ``group_by`` was given one
        name, and a tuple where it was given a list. The output is that of ``pd.concat(f(g) for _, g in
        df.groupby(columns, sort=False))`` for the whole input: groups in the order in which their keys first appear;
        with ``sort=True`` in the order of the keys, as pandas sorts them. ``function`` and ``args`` are as for
        ``map_batches``; the frame's index is the rows' number in their file, or among all rows that the function before
        gives. A group has to fit into the memory of a worker, the whole input has not.
        """
        check_function(function)
        target = targets.parse_target(function) if isinstance(function, str) else targets.of_function(function)
        target = targets.with_arguments(target, arguments.given(args, step=target.name))
        return self._with(targets.of_groups(target), self.grouping._replace(sort=flag("sort", sort)))

    @from_the_callers_line
    def agg(self, *_unnamed: object, sort: bool = False, **outputs: Any) -> P:  # noqa: ANN401 (pandas' names, or pairs)
        """Work out sums and the like of each group: one row for each key, and a column for each name that is given.

        ``n="count"`` counts rows; ``total=("amount", "sum")`` names a column and what is worked out of it, as in
        pandas: ``count``, ``size``, ``sum``, ``mean``, ``min``, ``max``, ``std``, ``var``, ``first``, ``last``,
        ``nunique``, ``any``, ``all``. The output is that of ``df.groupby(columns, sort=False).agg(...).reset_index()``
        for the whole input: keys come as they first appear; with ``sort=True`` in their own order, as pandas sorts
        them. Neither a group nor the input has to fit into memory. ``mean=(["price", "weight"], WeightedMean)`` names
        an aggregation of your own: a :class:`muster.Aggregation`, or what has its four methods.
        """
        check_named(_unnamed)
        by, is_sorted = self.grouping, flag("sort", sort)
        measures, own = asked_of(outputs, key=by.named)
        if not own and (kept := with_sums(self.pipeline, by, measures)) is not None:
            if not is_sorted:
                return kept
            firsts = {one.output: (one.output, "first") for one in measures}  # of each, there is one
            return Groups(kept, Grouping(by.named, dropna=False)).agg(sort=True, **firsts)
        target = targets.parse_target(_AGG)
        given = {"key": by.columns, "measures": measures, **({"own": own} if own else {})}
        given |= {"named": by.named} if by.made else {}
        target = targets.with_arguments(target, arguments.given(given, step=target.name))
        return self._with(targets.of_groups(target), by._replace(sort=is_sorted, measures=measures))

    def _with(self, target: Target, grouping: Grouping) -> P:
        """Add a step that rows come to by their keys."""
        pipeline: Any = self.pipeline
        keyed = Keyed(len(pipeline.steps), grouping)
        changed: P = dataclasses.replace(
            pipeline, steps=(*pipeline.steps, target), exchanges=(*pipeline.exchanges, keyed)
        )
        return changed


@dataclass(frozen=True, slots=True)
class Keys(Advising, Generic[P]):
    """Rows that go to a step key by key, in the order of the input; nothing happens before the pipeline's ``run``."""

    pipeline: P
    grouping: Grouping

    @from_the_callers_line
    def map_batches(
        self, step: Callable[..., Any] | str, *, state: Callable[[], Any], args: Mapping[str, Any] | None = None
    ) -> P:
        """Apply a step that keeps a state for each key: ``step(df, states)`` gets rows in the order of the input.

        ``states`` maps a key to its state, which ``state`` makes when the key is asked for the first time: with
        ``state=int`` it begins as 0, with ``state=list`` as an empty list. The frame has rows of several keys, all rows
        of a key come to the same ``states``, and the index is the rows' number in the whole input, over all files. A
        row of the result stands in the output where its index says. If the step has a method ``at_end(states)``, what
        that returns comes behind all other rows. ``step`` and ``args`` are as for :meth:`Pipeline.map_batches`; a class
        is built once in each worker, and keeps what belongs to keys in ``states``, not in itself.
        """
        return with_state(self.pipeline, step, state=state, args=args, by=self.grouping)

    @from_the_callers_line
    def window(  # noqa: PLR0913 (each is given by its name)
        self,
        size: str | dt.timedelta | None = None,
        *,
        every: str | dt.timedelta | None = None,
        rows: int | None = None,
        session: str | dt.timedelta | None = None,
        time: str | None = None,
        lateness: str | dt.timedelta | None = None,
        late: Literal["drop", "keep", "oldest"] | None = None,
        idle: str | dt.timedelta | None = None,
    ) -> Groups[P]:
        """Cut the rows of each key into windows, as :meth:`Groups.window` does; with ``key_by(None)``, those of all."""
        asked = WindowAsked(
            size=size,
            every=every,
            rows=rows,
            session=session,
            time=time,
            lateness=lateness,
            late=late,
            idle=idle,
        )
        return Groups(*windowed(self.pipeline, self.grouping, asked))


def with_state(
    pipeline: P,
    step: Callable[..., Any] | str,
    *,
    state: Callable[[], Any],
    args: Mapping[str, Any] | None,
    by: Grouping,
) -> P:
    """Add a step that keeps states. Raises ``UsageError`` for what is no step, or makes no state."""
    check_function(step)
    if not callable(state):
        raise UsageError(
            f"state={state!r} cannot be called, and each key needs a state of its own. Give what makes one, such as"
            " state=int, state=list, a class, or lambda: {'seen': 0}."
        )
    target = targets.parse_target(step) if isinstance(step, str) else targets.of_function(step)
    if not isinstance(step, str | type) and not takes_key(step, args or ()):
        raise UsageError(
            f"{target.name!r} has to take two: the rows, and the states of their keys. Write def"
            f" {target.name}(df, states)."
        )
    arguments.given(args, step=target.name)  # which says what is wrong with them, if anything is
    target = targets.with_arguments(target, arguments.given({**(args or {}), arguments.STATE: state}, step=target.name))
    target = targets.with_state(target)
    one: Any = pipeline
    keyed = Keyed(len(one.steps), by, has_state=True)
    changed: P = dataclasses.replace(one, steps=(*one.steps, target), exchanges=(*one.exchanges, keyed))
    return changed


ALL_ROWS: Final = Grouping((), dropna=False)
"""No key at all: one state for all rows."""


def by_states(pipeline: P, columns: object) -> tuple[P, Grouping]:
    """Understand which columns are the key of a state, as ``by_key`` does. Raises ``UsageError`` likewise."""
    if columns is None:
        return pipeline, ALL_ROWS
    return by_key(pipeline, columns, dropna=False, called="key_by")


def by_key(pipeline: P, columns: object, *, dropna: bool, called: str = "group_by") -> tuple[P, Grouping]:
    """Understand by what rows are to be grouped; where that is functions, a step before makes columns of their keys.

    Raises ``UsageError`` for what names no columns.
    """
    listed = [*columns] if isinstance(columns, Sequence) and not isinstance(columns, str | bytes) else [columns]
    keys = tuple(map(_column_of, listed))
    functions = {name: one for name, one in zip(keys, listed, strict=True) if callable(one)}
    grouping = Grouping(keys, len(listed) == 1 and listed[0] is columns, flag("dropna", dropna), made=(*functions,))
    if not all(keys):
        raise UsageError(
            f"{called}({columns!r}): give the name of a column, a function that makes a key of each row, or a list of"
            f" these.{_ABOUT_NUMBERS if any(isinstance(one, int) for one in listed) else ''}"
        )
    if not keys or len({*grouping.named}) < len(keys):
        raise UsageError(
            f"{called}({columns!r}): give one or more names of columns, or functions, each once: the key of a"
            " function is called as the function is."
        )
    return (_with_keys(pipeline, functions) if functions else pipeline), grouping


_ABOUT_NUMBERS: Final = " Where an input has no header, the names of its columns are '0', '1' and so on."


def _column_of(key: object) -> str:
    """Name the column that a key is in; nothing for what is none. No input has a column of a function's name and ()."""
    if isinstance(key, str):
        return key
    if not callable(key) or isinstance(key, type):
        return ""
    name = targets.name_of(key)
    return f"{'key' if name == '<lambda>' else name}()"


def _with_keys(pipeline: P, functions: Mapping[str, Callable[..., Any]]) -> P:
    """Add a step that makes columns of what functions give."""
    from muster._worker.key_columns import KeyColumns

    one: Any = pipeline
    target = targets.of_function(KeyColumns(functions), holds=functions.values())
    remarks = [remark for function in functions.values() for remark in remarks_on(function, target)]
    changed: P = dataclasses.replace(one, steps=(*one.steps, target), remarks=(*one.remarks, *remarks))
    return changed


def before_keys(steps: tuple[Target, ...], exchanges: Sequence[Keyed], *, what: str) -> tuple[Target, ...]:
    """Give the steps that get batches as they lie in the input: those before the first exchange.

    Raises ``UsageError`` where there is none; ``what`` says why that is asked.
    """
    if not exchanges:
        return steps
    if not (first := steps[: exchanges[0].at]):
        raise UsageError(
            f"{what}, and no map_batches stands before the first group_by or key_by of this pipeline. What a function"
            " of groups or states gets is no batch of the input: it may use all rows of a key. Call it in plain Python,"
            " with the rows of a key."
        )
    return first
