"""Datetimes and time spans as text: as fine as pandas shows the whole column, in every batch."""

import datetime as dt
import zoneinfo
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from muster._formats import _moments, csv_text
from muster._formats.tables import from_result

PER_SECOND = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}
NAT = np.iinfo(np.int64).min
KNOWS_OLD_ZONES = isinstance(pd.Timestamp(0, tz="Europe/Berlin").tz, zoneinfo.ZoneInfo)
"""With zones of pytz, as version 2.2 has them, pandas crashes at moments before 1678."""


@st.composite
def columns(draw: st.DrawFn) -> "pd.Series[Any]":
    """Draw a column of which all values are multiples of a day, a minute, or a part of a second."""
    kind, (unit, per_second) = draw(st.sampled_from("Mm")), draw(st.sampled_from(list(PER_SECOND.items())))
    step = draw(st.sampled_from([1, 10**3, 10**6, 60 * per_second, 86_400 * per_second]))
    most = min(60_000_000_000 * per_second, 9 * 10**18) // step  # years from 69 to 3871, or nearly as far as it counts
    zone = draw(st.sampled_from([None, "UTC", "Europe/Berlin", dt.timezone(dt.timedelta(hours=-3, minutes=-30))]))
    least = -most if zone != "Europe/Berlin" or KNOWS_OLD_ZONES else max(-most, -9_000_000_000 * per_second // step)
    values = draw(st.lists(st.none() | st.integers(least, most), min_size=1, max_size=8))
    ticks = np.array([NAT if value is None else value * step for value in values], np.int64)
    series = pd.Series(ticks.view(f"{kind}8[{unit}]"))
    return series if kind == "m" or zone is None else series.dt.tz_localize("UTC").dt.tz_convert(zone)


def written(frame: pd.DataFrame, forms: Mapping[str, str] = MappingProxyType({})) -> str:
    return bytes(csv_text.render(from_result(frame, use="csv"), delimiter=",", forms=forms)).decode()


@settings(max_examples=200, deadline=None, derandomize=True)
@given(series=columns())
def test_a_column_of_moments_is_as_fine_as_pandas_shows_it(series: "pd.Series[Any]") -> None:
    frame = pd.DataFrame({"x": series, "y": 1})
    assert written(frame) == frame.to_csv(index=False, header=False)


@settings(max_examples=200, deadline=None, derandomize=True)
@given(series=columns(), cut=st.integers(0, 8))
def test_batches_that_share_a_form_are_written_as_pandas_writes_the_whole(series: "pd.Series[Any]", cut: int) -> None:
    frame = pd.DataFrame({"x": series, "y": 1})
    batches = [frame.iloc[:cut], frame.iloc[cut:]]
    forms = [_moments.form_of(from_result(batch, use="csv").column("x")) for batch in batches]
    told = [form for form in forms if form]  # none of moments in a zone of pytz that are all missing
    shared = {"x": max(told, key=["D", "s", "ms", "us", "ns", "alone"].index)} if told else {}
    assert "".join(written(batch, forms=shared) for batch in batches) == frame.to_csv(index=False, header=False)


@pytest.mark.parametrize("unit", ["s", "ms"])
def test_years_that_do_not_have_four_digits_are_written_as_pandas_writes_them(unit: str) -> None:
    days = np.array(["0005-01-01", "-0044-03-15", "-1044-03-15", "12020-01-01", "NaT"], f"M8[{unit}]")
    for series in (pd.Series(days), pd.Series(days + np.timedelta64(5, "h"))):
        frame = pd.DataFrame({"x": series, "y": 1})
        assert written(frame) == frame.to_csv(index=False, header=False)


@pytest.mark.parametrize("kind", ["M8[us]", "m8[us]"])
def test_a_column_of_which_other_batches_are_no_moments_is_written_value_by_value(kind: str) -> None:
    frame = pd.DataFrame({"x": np.array([0, 86_400_000_000, 500_000]).view(kind), "y": 1})
    expected = frame.astype(object).to_csv(index=False, header=False)
    assert written(frame, forms={"x": "alone"}) == expected
