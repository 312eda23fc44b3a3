"""Where the pandas that is installed decides: version 2.2 reads some cells otherwise than version 3.

Nothing here compares version numbers. pandas is asked what it does, once in a process, and only where an input has
such a column.
"""

import datetime as dt
import functools
import io
from typing import TYPE_CHECKING, Any, Final, cast

import numpy as np
import pyarrow as pa

if TYPE_CHECKING:
    import pandas as pd

_BEYOND_64_BITS: Final = 2**64
_BEYOND_FLOATS: Final = "1e400"


def _read(cell: str) -> Any:  # noqa: ANN401 (a value of any type)
    """Ask pandas what it makes of a cell that stands alone in its column."""
    import pandas as pd

    return pd.read_csv(io.StringIO(f"a\n{cell}\n"))["a"].iloc[0]


@functools.cache
def reads_big_integers() -> bool:
    """Tell whether whole numbers beyond 64 bits become Python's; else they stay text."""
    return bool(_read(str(_BEYOND_64_BITS)) == _BEYOND_64_BITS)


@functools.cache
def reads_infinity_of_digits() -> bool:
    """Tell whether a number that no float can hold is infinite; else it stays text."""
    return bool(_read(_BEYOND_FLOATS) == np.inf)


@functools.cache
def unit_of_dates() -> str:
    """Tell the unit of the datetimes that text is read as: ``ns`` before pandas 3, ``us`` since."""
    import pandas as pd

    return str(pd.to_datetime(["2000-01-01"]).unit)


@functools.cache
def shows_alike() -> bool:
    """Tell whether moments in a zone and time spans are shown as fine as their column needs; else each by itself."""
    import pandas as pd

    zoned = pd.Series(
        pd.to_datetime(["2000-01-01 00:00:00", "2000-01-01 00:00:00.5"], format="ISO8601").tz_localize("UTC")
    )
    first, second = zoned.to_csv(index=False, header=False).split()[1::2]
    return len(first) == len(second)


@functools.cache
def pads_years() -> bool:
    """Tell whether years before 1000 are written with four digits."""
    import pandas as pd

    return pd.Series(np.array(["0005-01-01"], "M8[s]")).to_csv(index=False, header=False) == "0005-01-01\n"


def arrays_of(frame: "pd.DataFrame") -> list[Any]:
    """List the columns of a frame as arrays, which are the frame's own.

    pandas tells no other way to have them without a ``Series`` of each, which takes longer than a few rows.
    """
    arrays = getattr(frame, "_iter_column_arrays", None)
    if arrays is not None:
        return list(arrays())
    return [column.array if column.dtype.kind in "mM" else column.values for _, column in frame.items()]  # noqa: PD011


def frame_of(table: pa.Table) -> "pd.DataFrame":
    """Make a frame of a table as ``pandas.read_parquet`` does: with text as this pandas, and the user, want it."""
    import pandas as pd

    frame: Any
    try:
        frame = table.to_pandas(use_threads=False, date_as_object=True)
    except TypeError:
        if not pd.get_option("future.infer_string"):
            raise
    else:
        return cast("pd.DataFrame", frame)
    # pandas 2.2 has only a forerunner of the text that Arrow would make here.
    with pd.option_context("future.infer_string", False):  # noqa: FBT003 (how pandas takes options)
        frame = table.to_pandas(use_threads=False, date_as_object=True)
    text = pd.Series(["text"]).dtype
    for at, kind in enumerate(table.schema.types):
        if pa.types.is_string(kind) or pa.types.is_large_string(kind):
            frame.isetitem(at, frame.iloc[:, at].astype(text))
    return cast("pd.DataFrame", frame)


def with_nan(texts: "pd.Series[Any]") -> "pd.Series[Any]":
    """Give a column of text the missing value that ``pandas.read_csv`` has: in one of objects, Arrow puts ``None``."""
    return texts.where(texts.notna(), np.nan) if texts.dtype == object else texts


def with_offset(moments: "pd.Series[Any]") -> "pd.Series[Any]":
    """Give moments at a fixed offset the zone that ``pandas.read_csv`` has: Arrow makes one of pytz for pandas 2.2."""
    zone = moments.dt.tz
    offset = None if isinstance(zone, dt.timezone) else zone.utcoffset(None)
    return moments if offset is None else moments.dt.tz_convert(dt.timezone(offset))
