"""All results share one schema, that of pandas.concat: whatever the batches are, and whoever comes first."""

import io
from collections.abc import Sequence
from datetime import date
from decimal import Decimal
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from muster import DataError
from muster._formats import csv_text, parquet_pieces, parquet_schema
from muster._formats.results import Reply, reply_of, shaped
from muster._progress.schema import form, united

# Batches of any kinds, written apart and by pandas as a whole

COLUMNS: "dict[str, pd.Series[Any]]" = {
    "bool": pd.Series([True, False]),
    "int8": pd.Series([1, 2], dtype="int8"),
    "int64": pd.Series([1, 2**50]),
    "uint16": pd.Series([1, 2], dtype="uint16"),
    "float32": pd.Series([0.1, 2], dtype="float32"),
    "float64": pd.Series([0.1, 2e20]),
    "a gap": pd.Series([0.5, None]),
    "str": pd.Series(["x", "1"]),
    "str with a gap": pd.Series(["x", None]),
    "objects": pd.Series([Decimal("0.10"), 7], dtype=object),
    "bools with a gap": pd.Series([True, None], dtype=object),
    "days": pd.Series(pd.to_datetime(["2020-01-01", "2021-12-31"])),
    "seconds": pd.Series(pd.to_datetime(["2020-01-01 10:00:00", "2021-12-31 00:00:01"])),
    "micros": pd.Series(pd.to_datetime(["2020-01-01 10:00:00.000250", "2021-12-31 00:00:01"], format="ISO8601")),
    "nanos": pd.Series(pd.to_datetime([1, 2], unit="ns")),
    "zoned": pd.Series(pd.to_datetime(["2020-01-01", "2021-12-31"])).dt.tz_localize("Europe/Zurich"),
    "no time": pd.Series([pd.NaT, pd.NaT], dtype="datetime64[us]"),
    "spans of days": pd.Series(pd.to_timedelta(["1 days", "2 days"])),
    "spans": pd.Series(pd.to_timedelta(["1 days 00:00:01", "2 days"])),
    "Int64": pd.Series([1, None], dtype="Int64"),
    "Float64": pd.Series([1, None], dtype="Float64"),
    "boolean": pd.Series([True, None], dtype="boolean"),
    "nothing": pd.Series([None, None], dtype=object),
    "not a number": pd.Series([np.nan, np.nan]),
}
"""A column with each kind of value that a batch may hold."""

NESTED: "dict[str, pd.Series[Any]]" = {
    "decimals": pd.Series([Decimal("0.10"), None]),
    "longer decimals": pd.Series([Decimal("1000.1"), Decimal(7)]),
    "dates": pd.Series([date(2020, 1, 1), None]),
    "bytes": pd.Series([b"x", b"\xff"]),
    "lists": pd.Series([[1, 2], []]),
    "lists of decimals": pd.Series([[0.5], [None]]),
    "lists of nothing": pd.Series([[], [None]]),
    "structs": pd.Series([{"x": 1}, None]),
    "other structs": pd.Series([{"y": "z"}, {"x": 2}]),
}


def batches(columns: "dict[str, pd.Series[Any]]") -> st.SearchStrategy[list[pd.DataFrame]]:
    kinds = st.dictionaries(st.sampled_from("abc"), st.sampled_from(sorted(columns)), min_size=1)
    frames = kinds.map(lambda own: pd.DataFrame({name: columns[kind] for name, kind in own.items()}))
    return st.lists(frames | frames.map(lambda frame: frame.head(0)), min_size=1, max_size=5)


BENDS_TRUTHS = pd.concat([pd.Series([1]), pd.Series([True])]).tolist()[1] is not True
"""Version 2.2 makes numbers of truth values beside numbers."""


def together(frames: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """Let pandas put batches together; a column without a value in a batch says as much as one that it lacks.

    Column by column, as ``pandas.concat`` of whole frames makes ``1`` of ``True`` where another batch has integers.
    """
    ends = np.cumsum([len(frame) for frame in frames])
    labelled = [frame.set_axis(range(end - len(frame), end)) for frame, end in zip(frames, ends, strict=True)]
    whole = {}
    for name in dict.fromkeys(name for frame in frames for name in frame):
        own = [frame[name] for frame in labelled if name in frame]
        telling = [column for column in own if not is_silent(column)]
        if BENDS_TRUTHS and {column.dtype.kind for column in telling} & set("iuf"):
            telling = [column.astype(object) if column.dtype == bool else column for column in telling]
        whole[name] = pd.concat(telling or [column for column in own if len(column)] or own).reindex(range(ends[-1]))
    return pd.DataFrame(whole)


def is_silent(column: "pd.Series[Any]") -> bool:
    if column.empty:
        return True
    return column.dtype in (np.dtype(object), np.dtype("float64")) and bool(column.isna().all())


def as_muster_writes(frames: Sequence[pd.DataFrame]) -> str:
    replies = [reply_of(frame, use="csv") for frame in frames]
    schema = united(reply.schema for reply in replies if reply.schema)
    text = io.StringIO()
    text.write(pd.DataFrame(columns=list(schema.columns)).to_csv(index=False))
    for reply in replies:
        table, forms = shaped(reply, schema)
        fine = {name: form for name, form in zip(table.column_names, forms, strict=True) if form}
        text.write(bytes(csv_text.render(table, delimiter=",", forms=fine)).decode())
    return text.getvalue()


@settings(max_examples=300, deadline=None)
@given(frames=batches(COLUMNS))
def test_batches_are_written_as_pandas_writes_them_together(frames: list[pd.DataFrame]) -> None:
    assert as_muster_writes(frames) == together(frames).to_csv(index=False)


def as_parquet_of_pieces(frames: Sequence[pd.DataFrame], cuts: Sequence[bool]) -> pa.Table:
    """Write batches into pieces, a new one at each cut, and put these together."""
    tasks: list[list[Reply]] = []
    for at, frame in enumerate(frames):
        if not tasks or cuts[at % len(cuts)]:
            tasks.append([])
        tasks[-1].append(reply_of(frame, use="parquet"))
    with TemporaryDirectory() as folder:
        pieces = [f"{folder}/{at}.rows" for at, _ in enumerate(tasks)]
        for path, task in zip(pieces, tasks, strict=True):
            Path(path).write_bytes(parquet_pieces.piece_of(parquet_schema.piece(task)))
        schema, _ = parquet_pieces.schema_and_bytes([pieces])
        on_its_way = parquet_pieces.read_schema(schema.serialize().to_pybytes())
        parquet_pieces.write(pieces, on_its_way, f"{folder}/whole")
        return pq.read_table(f"{folder}/whole")


@settings(max_examples=120, deadline=None)
@example(frames=[pd.DataFrame({"a": COLUMNS["int64"]}), pd.DataFrame({"a": NESTED["decimals"]})], cuts=[True])
@example(frames=[pd.DataFrame({"a": NESTED["decimals"]}), pd.DataFrame({"a": COLUMNS["Int64"]})], cuts=[True])
@example(frames=[pd.DataFrame({"a": NESTED["decimals"]}), pd.DataFrame({"a": COLUMNS["float64"]})], cuts=[True])
@given(
    frames=batches({name: COLUMNS[name] for name in COLUMNS if name not in {"objects", "no time"}} | NESTED),
    cuts=st.lists(st.booleans(), min_size=1, max_size=4),
)
def test_pieces_of_parquet_become_what_pandas_writes_of_the_whole(frames: list[pd.DataFrame], cuts: list[bool]) -> None:
    whole, expected = together(frames), io.BytesIO()
    if any(len(sorts_of(whole[name])) > 1 for name in whole):
        with pytest.raises(DataError, match=r"^Column '[abc]' of the results is .* in some batches and .* in others"):
            as_parquet_of_pieces(frames, cuts)
        return
    written = as_parquet_of_pieces(frames, cuts)
    whole.apply(integers_as_decimals).to_parquet(expected, index=False)
    read = pq.read_table(expected)
    assert written.column_names == read.column_names
    for name in read.column_names:  # where there is no value at all, any type is right
        same = written[name].equals(read[name]) or whole[name].isna().all()
        assert same or (has_integers(whole[name]) and held_as_wider_decimals(written[name], read[name])), name


def integers_as_decimals(column: "pd.Series[Any]") -> "pd.Series[Any]":
    """Make decimals of the integers beside decimals: Arrow takes both together in some orders only."""
    if Decimal not in set(map(type, column)):
        return column
    return column.map(lambda value: Decimal(value) if isinstance(value, int) else value)


def has_integers(column: "pd.Series[Any]") -> bool:
    return any(isinstance(value, int) and not isinstance(value, bool) for value in column)


def held_as_wider_decimals(written: pa.ChunkedArray, read: pa.ChunkedArray) -> bool:
    """Tell whether decimals are the same: muster leaves room for any integer beside them, Arrow for those there are."""
    both = pa.types.is_decimal(written.type) and pa.types.is_decimal(read.type)
    return both and written.type.scale == read.type.scale and bool(written.to_pylist() == read.to_pylist())


def sorts_of(column: "pd.Series[Any]") -> set[str]:
    """Tell which sorts of value a column holds, of which a Parquet column holds one; integers fit among decimals."""
    sorts = {type(value).__name__ for value in column.dropna()}
    integers = "number" if "float" in sorts or "Decimal" not in sorts else "Decimal"
    numbers = {"int": integers, "float": "number"}
    zones = {str(value.tzinfo) for value in column.dropna() if isinstance(value, pd.Timestamp)}
    return {numbers.get(sort, sort) for sort in sorts - {"Timestamp"}} | zones


@pytest.mark.parametrize("use", ["csv", "jsonl"])
def test_categories_of_numbers_are_united_as_numbers(use: str) -> None:
    frames = [pd.DataFrame({"a": pd.Categorical(values)}) for values in ([4.5, None], [6, 7])]
    replies = [reply_of(frame, use=use) for frame in frames]
    schema = united(reply.schema for reply in replies if reply.schema)
    assert shaped(replies[1], schema)[0]["a"].to_pylist() == [6.0, 7.0]


def test_moments_in_other_zones_are_in_the_zone_of_the_first_in_parquet() -> None:
    moments = [pd.Timestamp("2020-01-01 10:00", tz=zone) for zone in ("UTC", "Europe/Berlin")]
    written = as_parquet_of_pieces([pd.DataFrame({"a": [moment]}) for moment in moments], [True])["a"]
    assert written.type == pa.timestamp(pd.DataFrame({"a": moments[:1]})["a"].dt.unit, "UTC")
    assert written.to_pylist() == moments


def test_moments_of_json_lines_have_no_form() -> None:
    kinds = [
        reply_of(pd.DataFrame({"a": [pd.Timestamp("2020-01-01", tz=zone)]}), use="jsonl").schema
        for zone in ("UTC", None)
    ]
    schema = united(kind for kind in kinds if kind)
    assert [form(kind, schema.kinds[0]) for kind in schema.kinds[0]] == ["", ""]
