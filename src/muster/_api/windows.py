"""Windows: what ``window`` is told, understood; and the steps that say of each row which windows it is in."""

import dataclasses
import datetime as dt
import re
from decimal import Decimal
from typing import Any, Final, NamedTuple, TypeVar, cast

from muster._model import WINDOW_START, Grouping, Keyed, Measure, Target, Window
from muster._user_code import arguments, targets
from muster._words.near import nearest
from muster.errors import UsageError

_STEPS: Final = "muster._worker.windows"
"""Where the steps are that ``window`` adds."""

_MICROSECONDS: Final = {
    "ms": 1_000,
    "s": 1_000_000,
    "min": 60_000_000,
    "m": 60_000_000,
    "h": 3_600_000_000,
    "d": 86_400_000_000,
}
_SPAN: Final = re.compile(r"(\d+(?:\.\d+)?) ?(ms|s|min|m|h|d)")

_MOST_COPIES: Final = 1000
"""In how many windows a row may be: it is copied for each, so a batch takes so many times the memory."""

_LATE: Final = ("drop", "keep", "oldest")
"""What may become of rows that come too late."""

P = TypeVar("P")


class WindowAsked(NamedTuple):
    """What ``window`` is told."""

    size: object = None
    every: object = None
    rows: object = None
    session: object = None
    time: object = None
    lateness: object = None
    late: object = None
    idle: object = None


def window_of(asked: WindowAsked, *, is_stream: bool) -> Window:
    """Understand what ``window`` is told. Raises ``UsageError`` where that is no window."""
    size, every, rows, session, *_ = asked
    kinds = {"size": size, "rows": rows, "session": session}
    named = [_as_given(name, value) for name, value in kinds.items() if value is not None]
    if len(named) != 1:
        said = f"{' and '.join(named)} are windows of several kinds" if named else "it was told no kind of windows"
        raise UsageError(
            f"window(): {said}, and rows are cut in one way. Give one of a length of time, as in window('1h',"
            " time='at'); rows=100; or session='30m'."
        )
    if every is not None and size is None:
        raise UsageError(
            f"window({named[0]}, every={every!r}): every= says how long after a window of time the next one"
            " begins. Leave it out; or give a length, as in window('1h', every='10m', time='at')."
        )
    if rows is not None:
        return _of_rows(rows, asked)
    window = Window(session=_positive("session", session)) if session is not None else _of_a_length(size, every)
    return _in_time(window, named[0], asked, is_stream=is_stream)


def _of_a_length(size: object, every: object) -> Window:
    length = _positive("size", size)
    begins = length if every is None else _positive("every", every)
    if begins > length or length % begins:
        why = "rows between two windows would be in none" if begins > length else "windows would not fit each other"
        raise UsageError(
            f"window({size!r}, every={every!r}): a window is not a multiple of every= long, so {why}. Give an every="
            " that divides it, as in window('1h', every='10m')."
        )
    if length // begins > _MOST_COPIES:
        raise UsageError(
            f"window({size!r}, every={every!r}): each row would be in {length // begins} windows, and is copied for"
            f" each; {_MOST_COPIES} are the most. Give a longer every=."
        )
    return Window(length, begins)


def _of_rows(rows: object, asked: WindowAsked) -> Window:
    if not isinstance(rows, int) or isinstance(rows, bool) or rows < 1:
        raise UsageError(f"window(rows={rows!r}): give how many rows of a key a window has, 1 or more: rows=100.")
    for name in ("time", "lateness", "late", "idle"):
        if (value := getattr(asked, name)) is not None:
            raise UsageError(
                f"window(rows={rows}, {name}={value!r}): windows of rows are counted in the order of the input, so"
                f" times mean nothing to them. Leave {name}= out."
            )
    return Window(rows=rows)


def _in_time(window: Window, kind: str, asked: WindowAsked, *, is_stream: bool) -> Window:
    """Say by which times rows are cut, and what becomes of those that come too late."""
    lateness = 0 if asked.lateness is None else _span("lateness", asked.lateness)
    idle = 0 if asked.idle is None else _positive("idle", asked.idle)
    late = "drop" if asked.late is None else asked.late
    if late not in _LATE:
        meant = f" Did you mean {near!r}?" if isinstance(late, str) and (near := nearest(late, _LATE)) else ""
        raise UsageError(
            f"window(late={late!r}): there is no such thing to do with rows that come too late.{meant} Give 'drop',"
            " which counts them; 'keep', which sets them apart; or 'oldest', which adds them to the oldest open window."
        )
    if window.session and late == "oldest":
        raise UsageError(
            "window(late='oldest'): sessions are made of the rows themselves, so a late row has no place in one that"
            " is open. Give 'drop' or 'keep'."
        )
    if asked.time is None and not is_stream:
        raise UsageError(
            f"window({kind}): which column has the times of rows? Those of a file have no time of arrival. Name it:"
            f" window({kind}, time='at')."
        )
    if asked.time is None:
        for name in ("lateness", "late", "idle"):
            if (value := getattr(asked, name)) is not None:
                raise UsageError(
                    f"window({kind}, {name}={value!r}): without time= the time of a row is when it has come, so none"
                    f" is late and windows close by the clock. Leave {name}= out; or name the column that has times."
                )
    elif not isinstance(asked.time, str) or not asked.time:
        raise UsageError(f"window(time={asked.time!r}): give the name of the column that has the times of rows.")
    return window._replace(time=asked.time or "", lateness=lateness, late=late, idle=idle)


def _positive(name: str, value: object) -> int:
    if (span := _span(name, value)) > 0:
        return span
    raise UsageError(f"window({_as_given(name, value)}): that is no length of time at all. {_example(name)}")


def _span(name: str, value: object) -> int:
    """Understand a length of time, in microseconds. Raises ``UsageError`` for what is none."""
    given = _as_given(name, value)
    is_negative = value.startswith("-") if isinstance(value, str) else False
    if is_negative or (isinstance(value, dt.timedelta) and value < dt.timedelta()):
        raise UsageError(f"window({given}): a length of time is not negative. {_example(name)}")
    if isinstance(value, dt.timedelta):
        return int(value // dt.timedelta(microseconds=1))
    found = _SPAN.fullmatch(value) if isinstance(value, str) else None
    span = Decimal(found[1]) * _MICROSECONDS[found[2]] if found else Decimal("0.5")
    if span % 1:
        raise UsageError(
            f"window({given}): that is no length of time: a number, and ms, s, m, h or d. {_example(name)}"
        )
    return int(span)


def _as_given(name: str, value: object) -> str:
    return repr(value) if name == "size" else f"{name}={value!r}"


def _example(name: str) -> str:
    return f"Type for example {_as_given(name, '1h' if name == 'size' else '10m')}."


def windowed(pipeline: P, by: Grouping, asked: WindowAsked) -> tuple[P, Grouping]:
    """Add the steps that say of each row which windows it is in, and tell by what rows are grouped behind them.

    Those of a stream give all rows of a window at once, when it is closed.
    """
    one = cast("Any", pipeline)
    window = window_of(asked, is_stream=one.follow is not None)
    if one.follow is not None and one.follow.is_merged and window.time and not (window.idle or _has_windows(one)):
        raise UsageError(
            "window(): behind merge, windows close once all sources have come so far, and one of them may fall silent."
            " Say after how long the others do not wait for it any more, such as idle='10m'; what it brings later may"
            " come too late."
        )
    grouping = by._replace(columns=(*by.columns, *window.columns), is_scalar=False)
    by = by._replace(made=())  # as what a function has made of the key is needed once more
    if one.follow is not None:
        return _keyed(one, _step_of_stream(by, window), by._replace(window=window), has_state=True), grouping
    if window.rows:
        step = _step("of_rows:window", key=[*by.columns], rows=window.rows, **{arguments.STATE: int})
        return _keyed(one, targets.with_state(step), by, has_state=True), grouping
    if window.session:
        one = _plain(one, _step("of_sessions:times", time=window.time, has_key=bool(by.columns)))
        key = by if by.columns else by._replace(columns=(WINDOW_START,))
        step = _step("of_sessions:window", time=window.time, gap=window.session)
        return _keyed(one, targets.of_groups(step), key._replace(window=window)), grouping
    one = _plain(one, _step("of_time:window", time=window.time, size=window.size, every=window.every))
    return one, grouping._replace(window=window)


def with_sums(pipeline: P, by: Grouping, measures: tuple[Measure, ...]) -> P | None:
    """Have the step that keeps windows of a stream keep sums, and not rows; ``None`` where no such step is the last."""
    one = cast("Any", pipeline)
    if not one.exchanges or not (last := one.exchanges[-1]).has_state or last.at != len(one.steps) - 1:
        return None
    window = last.by.window
    if window is None or not window.size or window.measures:
        return None
    given = {"key": [*last.by.columns], "made": [*by.made], "measures": measures, **_lengths(window)}
    step = targets.with_state(_step("sums_of_streams:window", **given, **{arguments.STATE: list}))
    keyed = last._replace(by=last.by._replace(window=window._replace(measures=measures)))
    changed: P = dataclasses.replace(one, steps=(*one.steps[:-1], step), exchanges=(*one.exchanges[:-1], keyed))
    return changed


def _lengths(window: Window) -> dict[str, Any]:
    """Say what steps are told of windows of a length in a stream."""
    return {"time": window.time, "late": window.late, "size": window.size, "every": window.every}


def _has_windows(pipeline: Any) -> bool:  # noqa: ANN401 (a pipeline)
    """Tell whether rows come from windows, which have waited for all sources."""
    return any(one.by.window is not None for one in pipeline.exchanges)


def _step_of_stream(by: Grouping, window: Window) -> Target:
    given: dict[str, Any] = {arguments.STATE: list}
    if window.rows:
        step = _step("of_rows_in_streams:window", key=[*by.columns], rows=window.rows, **given)
    elif window.session:
        given |= {"key": [*by.columns], "gap": window.session}
        step = _step("of_sessions_in_streams:window", time=window.time, late=window.late, **given)
    else:
        step = _step("of_streams:window", **given, **_lengths(window))
    return targets.with_state(step)


def _step(name: str, **given: Any) -> Target:  # noqa: ANN401 (what steps are built with)
    target = targets.parse_target(f"{_STEPS}.{name}")
    return targets.with_arguments(target, arguments.given(given, step=target.name))


def _plain(pipeline: Any, step: Target) -> Any:  # noqa: ANN401 (a pipeline)
    return dataclasses.replace(pipeline, steps=(*pipeline.steps, step))


def _keyed(pipeline: Any, step: Target, by: Grouping, *, has_state: bool = False) -> Any:  # noqa: ANN401 (likewise)
    keyed = Keyed(len(pipeline.steps), by, has_state=has_state)
    return dataclasses.replace(pipeline, steps=(*pipeline.steps, step), exchanges=(*pipeline.exchanges, keyed))
