"""Sums of the windows of a stream: what waits until one closes is bounded by its keys, and gives what pandas does."""

import random
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from muster._model import Column, Measure, WindowClock
from muster._worker.states import TrackedStates
from muster._worker.windows.gates import GateRows, RowTypes
from muster._worker.windows.sums_of_streams import SummedWindows
from muster.errors import DataError

HOUR = 3_600_000_000
MEASURES = (
    Measure("n", "size"),
    *(Measure(how, how, ("v",)) for how in ("sum", "mean", "min", "max", "std", "count", "nunique", "first", "last")),
    Measure("longest", "max", ("text",)),
)


def gate(*, every: int = HOUR) -> SummedWindows:
    return SummedWindows(key=("k",), made=(), measures=MEASURES, time="at", size=HOUR, every=every, late="drop")


def rows_of(frame: pd.DataFrame) -> GateRows:
    table = pa.Table.from_pandas(frame, preserve_index=False)
    columns = tuple(Column(str(name), fixed="as is") for name in frame.columns)
    return GateRows(table, columns, table.schema.serialize().to_pybytes(), frame.index.to_numpy())


def closed(own: SummedWindows, states: Any) -> pd.DataFrame:  # noqa: ANN401 (states by key)
    own.begin(WindowClock(watermark=1 << 60, closes=True), has_all_keys=True)
    made = own.closed(states, RowTypes((), b""))
    assert made is not None
    assert not states
    return made.sort_index(kind="stable")


def made(dice: random.Random, begin: int, count: int, *, keys: int, has_gaps: bool = False) -> pd.DataFrame:
    numbers = [dice.choice([None, dice.random()]) if has_gaps else dice.randrange(100) for _ in range(count)]
    return pd.DataFrame(
        {
            "k": [f"k{dice.randrange(keys)}" for _ in range(count)],
            "at": pd.to_datetime([dice.randrange(3 * HOUR // 1000) for _ in range(count)], unit="ms"),
            "v": pd.Series(numbers, dtype=float if has_gaps else int),
            "text": [dice.choice(["a", "bb", None]) for _ in range(count)],
        }
    ).set_index(np.arange(begin, begin + count))


@pytest.mark.parametrize("every", [HOUR, HOUR // 2])
def test_stretches_of_rows_add_up_to_what_pandas_makes_of_all_rows(every: int) -> None:
    seed = random.randrange(1 << 32)  # noqa: S311 (rows, no secrets)
    dice, own, states, frames = random.Random(seed), gate(every=every), TrackedStates(list), list[pd.DataFrame]()  # noqa: S311
    begin = 0
    for number in range(12):
        frame = made(dice, begin, dice.randrange(1, 60), keys=9, has_gaps=number > 7)  # integers become floats
        begin += len(frame)
        own.begin(WindowClock(), has_all_keys=True)
        if dice.random() < 0.3:  # as where a key has cost a worker, and others do the rest of its lane
            own.begin(WindowClock(), has_all_keys=False)
            is_of_some = frame["k"] < "k5"
            parts = [part for part in (frame[is_of_some], frame[~is_of_some]) if len(part)]
        else:
            parts = [frame]
        for part in parts:
            assert own.keep(rows_of(part), states)
        frames.append(frame)
    whole = pd.concat(frames)
    copies = HOUR // every
    starts = [whole["at"].dt.floor(f"{every // 1000}ms") - pd.Timedelta(every * at, "us") for at in range(copies)]
    copied = pd.concat([whole.assign(window_start=start) for start in reversed(starts)]).sort_index(kind="stable")
    copied["window_end"] = copied["window_start"] + pd.Timedelta(HOUR, "us")
    asked: Any = {one.output: (one.columns[0] if one.columns else "v", one.how) for one in MEASURES}
    expected = copied.groupby(["k", "window_start", "window_end"], sort=False).agg(**asked).reset_index()
    result = closed(own, states).reset_index(drop=True)
    pd.testing.assert_frame_equal(result, expected, check_dtype=False, rtol=1e-9, obj=f"seed {seed}")


def test_what_waits_is_bounded_by_the_keys_of_open_windows_and_not_by_rows() -> None:
    dice, own, states = random.Random(7), gate(), TrackedStates(list)  # noqa: S311 (rows, no secrets)
    for number in range(60):
        frame = made(dice, 100 * number, 100, keys=20).assign(at=pd.Timestamp("2026-01-01 10:30"))
        assert own.keep(rows_of(frame), states)
        tables = [one.table for one in dict.values(states)]
        assert sum(map(len, tables)) <= 2 * 20
        assert len(tables) <= 6
    assert closed(own, states)["n"].sum() == 6000


def kept(*frames: pd.DataFrame) -> tuple[SummedWindows, TrackedStates]:
    own, states = gate(), TrackedStates(list)
    for frame in frames:
        assert own.keep(rows_of(frame), states)
    return own, states


def frame_of(at: str, *, v: object, k: object = "a", begin: int) -> pd.DataFrame:
    return pd.DataFrame({"k": [k], "at": pd.to_datetime([at]), "v": [v], "text": ["x"]}, index=[begin])


@pytest.mark.parametrize("at", ["2026-01-01 10:30", "2026-01-01 11:30"])
def test_integers_that_no_float_holds_become_floats_as_in_pandas(at: str) -> None:
    first, then = frame_of("2026-01-01 10:10", v=2**53 + 1, begin=0), frame_of(at, v=0.5, begin=1)
    result = closed(*kept(first, then))
    whole = pd.concat([first, then])
    by = whole.groupby(whole["at"].dt.floor("h"))["v"]
    for how in ("min", "max", "first", "last", "nunique"):
        assert result[how].tolist() == by.agg(how).tolist(), how


@pytest.mark.parametrize("at", ["2026-01-01 10:30", "2026-01-01 11:30"])
def test_a_column_without_a_value_in_the_newest_rows_has_the_type_of_those_before(at: str) -> None:
    first, then = frame_of("2026-01-01 10:10", v=1, begin=0), frame_of(at, v=2, begin=1).assign(text=None)
    assert closed(*kept(first, then))["longest"].dropna().tolist() == ["x"]
    assert closed(*kept(then, first))["longest"].dropna().tolist() == ["x"]


def test_keys_that_a_float_does_not_tell_apart_stop_the_stream_in_words() -> None:
    at = "2026-01-01 10:10"
    with pytest.raises(DataError, match=r"The key 'k' is int64 .* up to 9007199254740993, and double in others"):
        kept(frame_of(at, v=1, k=2**53 + 1, begin=0), frame_of(at, v=1, k=0.5, begin=1))
