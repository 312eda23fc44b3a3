"""Every format in and out, with pandas as the oracle for the frames that a function sees."""

import codecs
import gzip
import hashlib
import io
import json
import math
import random
from collections.abc import Callable, Iterable
from decimal import Decimal
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import muster
from conftest import Muster

Function = Callable[[pd.DataFrame], pd.DataFrame]

ROWS: Final = 300
TEXTS: Final = ("plain", "ünï 水 🙂", 'a "quoted" word', "two\nlines", "comma, tab\there", " blanks ", "007x")
BLOCK: Final = 4 << 20
"""How much of a stream is decompressed at a time."""


def rows_frame() -> pd.DataFrame:
    """Rows that every format can hold."""
    return pd.DataFrame(
        {
            "number": range(-5, ROWS - 5),
            "ratio": [at / 7 for at in range(ROWS)],
            "text": [TEXTS[at % len(TEXTS)] for at in range(ROWS)],
            "truth": [at % 3 == 0 for at in range(ROWS)],
            "gaps": [None if at % 4 == 0 else at / 2 for at in range(ROWS)],
        }
    )


def zstd(data: bytes) -> bytes:
    return bytes(pa.Codec("zstd").compress(data, asbytes=True))


def pack(data: bytes, suffix: str) -> bytes:
    return {".gz": gzip.compress, ".zst": zstd}.get(suffix[suffix.rfind(".") :], bytes)(data)


def unpack(path: Path) -> bytes:
    if path.suffix == ".gz":
        return gzip.decompress(path.read_bytes())
    if path.suffix == ".zst":
        with pa.CompressedInputStream(pa.OSFile(str(path)), "zstd") as stream:
            return bytes(stream.read())
    return path.read_bytes()


def write(frame: pd.DataFrame, path: Path) -> Path:
    """Write a frame by other means than muster's."""
    if ".parquet" in path.name:
        frame.to_parquet(path, row_group_size=100)
    elif ".jsonl" in path.name:
        lines = [json.dumps({k: None if v != v else v for k, v in row.items()}) for row in frame.to_dict("records")]  # noqa: PLR0124 (NaN)
        path.write_bytes(pack("".join(line + "\n" for line in lines).encode(), path.suffix))
    else:
        text = frame.to_csv(index=False, sep="\t" if ".tsv" in path.name else ",")
        path.write_bytes(pack(text.encode(), path.suffix))
    return path


def read(path: Path) -> pd.DataFrame:
    """Read a frame by other means than muster's."""
    if ".parquet" in path.name:
        return pd.read_parquet(path)
    data = io.BytesIO(unpack(path))
    if ".jsonl" in path.name:
        return pd.DataFrame([json.loads(line) for line in data])
    return pd.read_csv(data, sep="\t" if ".tsv" in path.name else ",")


def same(frame: pd.DataFrame) -> pd.DataFrame:
    return frame


def extent(frame: pd.DataFrame) -> pd.DataFrame:
    """Tell where a batch begins and how many rows it has."""
    return pd.DataFrame({"first": [int(frame.index[0])], "rows": [len(frame)]})


def keeping(folder: Path) -> Function:
    """Make a function that leaves the frames it got in a folder, whichever process it runs in."""
    folder.mkdir()

    def keep(frame: pd.DataFrame) -> pd.DataFrame:
        first = frame.index[0] if len(frame) else 0
        frame.to_pickle(folder / f"{first:09d}.pickle")
        return pd.DataFrame({"row": frame.index})

    return keep


def seen(path: Path, tmp_path: Path, **options: Any) -> list[pd.DataFrame]:  # noqa: ANN401 (muster's own options)
    """Run over a file and gather the frames that the function got, in the order of the file."""
    folder = tmp_path / f"seen-{path.name}"
    muster.run(keeping(folder), path, tmp_path / f"seen-{path.name}.csv", **{"workers": 0, **options})
    return [pd.read_pickle(kept) for kept in sorted(folder.iterdir())]  # noqa: S301 (written by the function above)


def assert_frames_are(frames: Iterable[pd.DataFrame], whole: pd.DataFrame) -> None:
    """Every batch must be the slice of the whole that its index says, with the whole's types, and no row be lost."""
    at = 0
    for frame in frames:
        expected = whole.iloc[at : at + len(frame)]
        pd.testing.assert_frame_equal(frame, expected, check_index_type=False)
        at += len(frame)
    assert at == len(whole)


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def jsonl(path: Path, values: Iterable[object]) -> Path:
    path.write_text("".join(json.dumps(value, ensure_ascii=False) + "\n" for value in values), encoding="utf-8")
    return path


def rejects(output: Path) -> list[dict[str, Any]]:
    text = output.with_name(output.name + ".rejects.jsonl").read_text(encoding="utf-8")
    return [json.loads(line) for line in text.splitlines()]


# Every format to every other

IN: Final = [
    *(".csv", ".tsv", ".jsonl", ".parquet", ".csv.gz", ".csv.zst", ".tsv.gz", ".tsv.zst", ".jsonl.gz", ".jsonl.zst"),
]


@pytest.mark.parametrize("output", [".csv", ".tsv", ".jsonl", ".parquet", ".csv.zst", ".jsonl.gz"])
@pytest.mark.parametrize("suffix", IN)
def test_rows_come_out_of_any_format_as_they_went_into_any_other(tmp_path: Path, suffix: str, output: str) -> None:
    rows = rows_frame()
    write(rows, tmp_path / f"in{suffix}")
    result = muster.run(same, tmp_path / f"in{suffix}", tmp_path / f"out{output}", workers=0, part_bytes=2000)
    assert (result.rows_in, result.rows_out, result.bad_rows) == (ROWS, ROWS, 0)
    pd.testing.assert_frame_equal(read(tmp_path / f"out{output}"), rows)


@pytest.mark.parametrize("suffix", IN)
def test_a_function_sees_the_frames_that_pandas_would_have_read(tmp_path: Path, suffix: str) -> None:
    path = write(rows_frame(), tmp_path / f"in{suffix}")
    if ".parquet" in suffix:
        whole = pd.read_parquet(path)
    elif ".jsonl" in suffix:
        whole = pd.read_json(io.BytesIO(unpack(path)), lines=True, dtype=False, precise_float=True)
    else:
        separator = "\t" if ".tsv" in suffix else ","
        whole = pd.read_csv(io.BytesIO(unpack(path)), sep=separator)
    frames = seen(path, tmp_path, batch_rows=37)
    assert len(frames) == math.ceil(ROWS / 37)
    assert_frames_are(frames, whole)


@pytest.mark.parametrize("output", [".csv", ".jsonl", ".parquet", ".csv.gz", ".csv.zst", ".jsonl.gz"])
@pytest.mark.parametrize("suffix", [".csv", ".csv.gz", ".parquet"])
def test_the_output_is_the_same_to_the_byte_for_any_number_of_workers(tmp_path: Path, suffix: str, output: str) -> None:
    rows = pd.concat([rows_frame()] * 10, ignore_index=True)
    path = write(rows, tmp_path / f"in{suffix}")
    digests = set()
    for workers in (0, 1, 2, 4) if suffix == ".csv" and output in {".csv", ".parquet"} else (0, 2):
        out = tmp_path / f"out-{workers}{output}"
        muster.run(same, path, out, workers=workers, part_bytes=5000)
        digests.add(sha256(out))
    assert len(digests) == 1
    pd.testing.assert_frame_equal(read(out), rows)


def test_an_integer_column_that_is_decimal_in_one_batch_is_so_in_the_whole_parquet_file(tmp_path: Path) -> None:
    def halve_the_last(frame: pd.DataFrame) -> pd.DataFrame:
        return frame if frame.index[-1] < 299 else frame.assign(number=frame["number"] / 2)

    path = write(rows_frame(), tmp_path / "in.csv")
    digests = set()
    for workers in (0, 2):
        muster.run(halve_the_last, path, tmp_path / "out.parquet", workers=workers, batch_rows=100, part_bytes=500)
        digests.add(sha256(tmp_path / "out.parquet"))
    expected = [float(at) for at in range(-5, 195)] + [at / 2 for at in range(195, 295)]
    assert read(tmp_path / "out.parquet")["number"].tolist() == expected
    assert len(digests) == 1


# Exact batches


def sized(path: Path, rows: int) -> Path:
    """Write so many small rows; every fifth takes two lines where the format allows."""
    texts = ["two\nlines" if at % 5 == 0 else "one" for at in range(rows)]
    return write(pd.DataFrame({"number": range(rows), "text": texts}), path)


@pytest.mark.parametrize("suffix", [".csv", ".csv.gz", ".jsonl", ".jsonl.zst", ".parquet"])
@pytest.mark.parametrize("batch_rows", [1, 7, 64, 1000, 5000])
def test_batch_rows_are_exact_and_the_same_for_any_number_of_workers(
    tmp_path: Path, suffix: str, batch_rows: int
) -> None:
    rows = 200 if batch_rows == 1 else 1003
    path = sized(tmp_path / f"in{suffix}", rows)
    expected = [[at, min(batch_rows, rows - at)] for at in range(0, rows, batch_rows)]
    for workers in (0, 2) if batch_rows == 64 else (0,):
        muster.run(extent, path, tmp_path / "out.csv", workers=workers, batch_rows=batch_rows, part_bytes=300)
        assert read(tmp_path / "out.csv").to_numpy().tolist() == expected


def test_batch_rows_start_anew_in_each_file(tmp_path: Path) -> None:
    for name, rows in (("a", 10), ("b", 3), ("c", 8)):
        sized(tmp_path / f"{name}.csv", rows)
    muster.run(extent, tmp_path / "*.csv", tmp_path / "out.jsonl", workers=0, batch_rows=4)
    found = read(tmp_path / "out.jsonl").to_numpy().tolist()
    assert found == [[0, 4], [4, 4], [8, 2], [0, 3], [0, 4], [4, 4]]


# JSON lines


@pytest.mark.parametrize(
    "values",
    [
        pytest.param([{"a": 1, "b": "x"}, {"a": 2}, {"b": "y"}, {}], id="missing keys"),
        pytest.param([{"a": [1, {"b": None}]}, {"a": {"c": [True]}}, {"a": None}], id="nested"),
        pytest.param([{"a": 1}, {"a": "x"}, {"a": True}, {"a": 1.5}, {"a": None}], id="mixed"),
        pytest.param([{"a": 1}, {"a": 2.5}, {"a": -3}], id="integer and decimal"),
        pytest.param([{"a": True}, {"a": None}, {"a": False}], id="truth with gaps"),
        pytest.param([{"b": 1, "a": 2}, {"c": "x", "a": 3, "b": 4}], id="order of keys"),
        pytest.param([{"a": "ünï 水 🙂 \u2028 \x7f"}, {"a": ""}, {"a": "NA"}], id="unicode and empty text"),
        pytest.param([{"a": 0.1 + 0.2}, {"a": 1e-300}, {"a": 123456789.12345678}], id="all digits"),
    ],
)
def test_json_lines_become_the_frame_that_pandas_reads(tmp_path: Path, values: list[dict[str, Any]]) -> None:
    path = jsonl(tmp_path / "in.jsonl", values)
    whole = pd.read_json(path, lines=True, dtype=False, precise_float=True)
    assert_frames_are(seen(path, tmp_path, batch_rows=1), whole)


def test_json_strings_that_look_like_numbers_stay_strings(tmp_path: Path) -> None:
    path = jsonl(tmp_path / "in.jsonl", [{"code": "007"}, {"code": "12"}])
    muster.run(same, path, tmp_path / "out.jsonl", workers=0)
    assert (tmp_path / "out.jsonl").read_text() == '{"code":"007"}\n{"code":"12"}\n'


def test_json_values_come_out_as_they_went_in(tmp_path: Path) -> None:
    values = [
        {"a": 1, "big": 2**70, "nested": {"x": [1, 2.5, None, "é"], "y": {}}, "mixed": 1, "f": 0.1},
        {"a": 2, "big": -1, "nested": [], "mixed": "x", "f": 1 / 3},
        {"a": 3, "big": 5, "nested": "text", "mixed": True, "f": 1e22},
    ]
    muster.run(same, jsonl(tmp_path / "in.jsonl", values), tmp_path / "out.jsonl", workers=0)
    assert [json.loads(line) for line in (tmp_path / "out.jsonl").read_text(encoding="utf-8").splitlines()] == values


def test_big_integers_of_json_keep_every_digit(tmp_path: Path) -> None:
    values = [{"a": 2**63 - 1, "b": 2**63}, {"a": -(2**63), "b": 10**40}]
    frame = seen(jsonl(tmp_path / "in.jsonl", values), tmp_path)[0]
    assert frame["a"].tolist() == [2**63 - 1, -(2**63)]
    assert frame["b"].tolist() == [2**63, 10**40]


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize(
    ("odd", "expected"),
    [
        pytest.param({"a": 1, "new": "x"}, [None, "x"], id="a new key"),
        pytest.param({"a": "text"}, [1, "text"], id="text among integers"),
        pytest.param({"a": 1.5}, [1, 1.5], id="a decimal among integers"),
        pytest.param({"a": {"deep": 1}}, [1, {"deep": 1}], id="an object among integers"),
        pytest.param({"a": None}, [1, None], id="null among integers"),
    ],
)
def test_a_json_value_that_no_sample_showed_widens_the_column_everywhere(
    tmp_path: Path, odd: dict[str, Any], expected: list[Any], workers: int
) -> None:
    values: list[dict[str, Any]] = [{"a": 1} for _ in range(3000)]
    values[1511] = odd
    path = jsonl(tmp_path / "in.jsonl", values)
    result = muster.run(same, path, tmp_path / "out.jsonl", workers=workers, part_bytes=64)
    lines = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    name = list(odd)[-1]
    assert (result.rows_out, result.bad_rows) == (3000, 0)
    assert [lines[0][name], lines[1511][name]] == expected
    assert all(line[name] == expected[0] for at, line in enumerate(lines) if at != 1511)


def test_a_line_that_is_no_json_object_costs_that_row_alone(tmp_path: Path) -> None:
    bad = {
        2: '{"a": 1,',
        4: "[1, 2]",
        5: "null",
        7: '"text"',
        9: "nonsense",
        11: '{"a": "\\ud800"}',
        12: "[" * 100_000,
        14: '{"a": 1} {"a": 2}',
    }
    lines = [bad.get(at, json.dumps({"a": at})) for at in range(20)]
    (tmp_path / "in.jsonl").write_text("\n".join(lines) + "\n")
    result = muster.run(same, tmp_path / "in.jsonl", tmp_path / "out.csv", workers=0)
    assert (result.rows_in, result.rows_out, result.bad_rows) == (20, 20 - len(bad), len(bad))
    assert read(tmp_path / "out.csv")["a"].tolist() == [at for at in range(20) if at not in bad]
    found = rejects(tmp_path / "out.csv")
    assert {reject["row"]: reject["raw"] for reject in found} == bad
    assert [reject["byte_offset"] for reject in found] == [sum(len(x) + 1 for x in lines[:at]) for at in bad]
    assert {reject["step"] for reject in found} == {"read"}


def test_an_integer_beyond_53_bits_in_a_decimal_column_is_no_bad_row(tmp_path: Path) -> None:
    path = tmp_path / "in.jsonl"
    path.write_text('{"a": 9007199254740993}\n{"a": 0.5}\nnonsense\n')
    result = muster.run(same, path, tmp_path / "out.csv", workers=0)
    assert (result.rows_out, result.bad_rows) == (2, 1)
    assert read(tmp_path / "out.csv")["a"].tolist() == [float(9007199254740993), 0.5]


def test_a_json_value_that_does_not_fit_a_fixed_type_is_a_bad_row(tmp_path: Path) -> None:
    path = jsonl(tmp_path / "in.jsonl", [{"a": 1, "b": 1}, {"a": "x", "b": 2}, {"a": None, "b": 3}, {"a": 4, "b": "y"}])
    muster.run(same, path, tmp_path / "out.jsonl", workers=0, dtype={"a": "int64", "b": "str"})
    assert (tmp_path / "out.jsonl").read_text() == '{"a":1,"b":"1"}\n{"a":4,"b":"y"}\n'
    assert [reject["row"] for reject in rejects(tmp_path / "out.jsonl")] == [1, 2]


def test_blank_lines_and_a_missing_last_newline_are_no_rows_of_json(tmp_path: Path) -> None:
    (tmp_path / "in.jsonl").write_bytes(b'\xef\xbb\xbf{"a": 1}\r\n\r\n\n{"a": 2}\n{"a": 3}')
    result = muster.run(extent, tmp_path / "in.jsonl", tmp_path / "out.csv", workers=0)
    assert (result.rows_in, result.bad_rows) == (3, 0)
    assert read(tmp_path / "out.csv").to_numpy().tolist() == [[0, 3]]


def test_json_can_write_what_it_has_no_word_for(tmp_path: Path) -> None:
    def odd_values(_: pd.DataFrame) -> pd.DataFrame:
        return pd.DataFrame(
            {
                "infinite": [math.inf],
                "missing": [None],
                "day": [pd.Timestamp("2024-02-29 12:30")],
                "list": [[np.int64(1), np.float64(0.5), math.nan]],
                "array": [np.array([1, 2])],
                "number": pd.Series([np.int64(7)], dtype=object),
                "amount": [Decimal("1.10")],
            }
        )

    muster.run(odd_values, jsonl(tmp_path / "in.jsonl", [{"a": 1}]), tmp_path / "out.jsonl", workers=0)
    written = json.loads((tmp_path / "out.jsonl").read_text(), parse_constant=pytest.fail)
    assert written == {
        "infinite": None,
        "missing": None,
        "day": "2024-02-29 12:30:00",
        "list": [1, 0.5, None],
        "array": [1, 2],
        "number": 7,
        "amount": "1.10",
    }


@pytest.mark.parametrize("suffix", [".jsonl", ".jsonl.gz", ".csv", ".csv.gz", ".csv.zst"])
def test_a_file_without_a_byte_gives_an_output_without_rows(tmp_path: Path, suffix: str) -> None:
    (tmp_path / f"in{suffix}").write_bytes(pack(b"", suffix))
    result = muster.run(same, tmp_path / f"in{suffix}", tmp_path / "out.jsonl", workers=0)
    assert (result.rows_in, result.rows_out) == (0, 0)
    assert (tmp_path / "out.jsonl").read_bytes() == b""


# Parquet


def parquet(path: Path, table: pa.Table, *, row_group_size: int = 100, statistics: bool = True) -> Path:
    pq.write_table(table, path, row_group_size=row_group_size, write_statistics=statistics)
    return path


def rich_table(rows: int = 250) -> pa.Table:
    """Columns of many types; the gaps are in the last row group only."""
    numbers = list(range(rows))
    gaps = [None if at >= rows - 20 and at % 2 else at for at in numbers]
    return pa.table(
        {
            "int32": pa.array(numbers, pa.int32()),
            "int64 with gaps": pa.array(gaps, pa.int64()),
            "uint8 with gaps": pa.array([None if at is None else at % 256 for at in gaps], pa.uint8()),
            "bool": pa.array([at % 2 == 0 for at in numbers]),
            "bool with gaps": pa.array([None if at is None else at % 3 == 0 for at in gaps]),
            "float32": pa.array([at / 8 for at in numbers], pa.float32()),
            "moment": pa.array([at * 1_000_001 for at in numbers], pa.timestamp("us")),
            "moment in a zone": pa.array([at * 1_000_001 for at in numbers], pa.timestamp("ms", "Europe/Berlin")),
            "day": pa.array(numbers, pa.date32()),
            "span": pa.array(numbers, pa.duration("ms")),
            "amount": pa.array([Decimal(at) / 100 for at in numbers], pa.decimal128(12, 2)),
            "colour": pa.array([("red", "blue")[at % 2] for at in numbers]).dictionary_encode(),
            "bytes": pa.array([bytes([at % 256]) for at in numbers]),
            "list": pa.array([list(range(at % 3)) for at in numbers]),
            "struct": pa.array([{"x": at, "y": [str(at)]} for at in numbers]),
            "null": pa.nulls(rows),
        }
    )


@pytest.mark.parametrize("statistics", [True, False])
def test_parquet_batches_have_the_types_that_pandas_gives_the_whole_file(tmp_path: Path, *, statistics: bool) -> None:
    path = parquet(tmp_path / "in.parquet", rich_table(), statistics=statistics)
    frames = seen(path, tmp_path, batch_rows=60)
    assert [len(frame) for frame in frames] == [60, 60, 60, 60, 10]
    assert_frames_are(frames, pd.read_parquet(path))


def test_parquet_comes_out_with_the_types_it_went_in_with(tmp_path: Path) -> None:
    table = rich_table()
    muster.run(same, parquet(tmp_path / "in.parquet", table), tmp_path / "out.parquet", workers=0)
    back = pq.read_table(tmp_path / "out.parquet")
    assert back.column_names == table.column_names
    assert back.to_pylist() == table.to_pylist()
    for name in ("int32", "bool", "float32", "moment", "moment in a zone", "day", "span", "bytes", "list"):
        assert back.schema.field(name).type == table.schema.field(name).type


def test_nested_columns_of_parquet_become_json_values(tmp_path: Path) -> None:
    table = rich_table().select(["list", "struct"])
    muster.run(same, parquet(tmp_path / "in.parquet", table), tmp_path / "out.jsonl", workers=0)
    lines = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    assert lines == table.to_pylist()


def test_one_huge_row_group_is_shared_out_among_workers(tmp_path: Path) -> None:
    rows = 60_000
    path = parquet(tmp_path / "in.parquet", pa.table({"a": range(rows)}), row_group_size=rows)
    muster.run(extent, path, tmp_path / "out.csv", workers=2)
    found = read(tmp_path / "out.csv")
    assert len(found) > 4
    assert found["rows"].sum() == rows
    assert found["first"].tolist() == [0, *found["rows"].cumsum()[:-1]]


def test_batches_cross_row_groups_of_parquet(tmp_path: Path) -> None:
    path = parquet(tmp_path / "in.parquet", pa.table({"a": range(1000)}), row_group_size=77)
    frames = seen(path, tmp_path, batch_rows=150, workers=2)
    assert [len(frame) for frame in frames] == [150] * 6 + [100]
    assert_frames_are(frames, pd.read_parquet(path))


@pytest.mark.parametrize("output", [".csv", ".jsonl", ".parquet"])
def test_a_parquet_file_without_rows_keeps_its_columns(tmp_path: Path, output: str) -> None:
    path = parquet(tmp_path / "in.parquet", rich_table().slice(0, 0).select(["int32", "moment", "colour"]))
    result = muster.run(same, path, tmp_path / f"out{output}", workers=0)
    assert (result.rows_in, result.rows_out) == (0, 0)
    if output == ".parquet":
        assert pq.read_schema(tmp_path / "out.parquet").names == ["int32", "moment", "colour"]
    else:
        assert (tmp_path / f"out{output}").read_text() == ("int32,moment,colour\n" if output == ".csv" else "")


@pytest.mark.parametrize("name", ["Int64", "boolean", "string", "category"])
def test_parquet_written_by_pandas_keeps_pandas_own_types(tmp_path: Path, name: str) -> None:
    values = [True, False, None] if name == "boolean" else ["1", "2", None] if name == "string" else [1, 2, None]
    pd.DataFrame({"a": pd.Series(values * 5, dtype=name)}).to_parquet(tmp_path / "in.parquet", row_group_size=4)
    frames = seen(tmp_path / "in.parquet", tmp_path, batch_rows=2)
    assert_frames_are(frames, pd.read_parquet(tmp_path / "in.parquet"))


def test_an_index_that_pandas_wrote_to_parquet_is_not_lost(tmp_path: Path) -> None:
    frame = pd.DataFrame({"a": range(6)}, index=pd.Index(list("uvwxyz"), name="key"))
    frame.to_parquet(tmp_path / "in.parquet", row_group_size=2)
    muster.run(same, tmp_path / "in.parquet", tmp_path / "out.csv", workers=0, batch_rows=4)
    assert sorted(read(tmp_path / "out.csv").columns) == ["a", "key"]
    assert read(tmp_path / "out.csv")["key"].tolist() == list("uvwxyz")


def test_a_slice_that_pandas_wrote_to_parquet_is_numbered_by_its_rows(tmp_path: Path) -> None:
    pd.DataFrame({"a": range(10)}).iloc[4:].to_parquet(tmp_path / "in.parquet")
    frames = seen(tmp_path / "in.parquet", tmp_path, batch_rows=4)
    assert [(frame.index.tolist(), frame["a"].tolist()) for frame in frames] == [
        ([0, 1, 2, 3], [4, 5, 6, 7]),
        ([4, 5], [8, 9]),
    ]


def test_parquet_files_of_one_run_agree_on_what_may_be_missing(tmp_path: Path) -> None:
    parquet(tmp_path / "a.parquet", pa.table({"a": pa.array([1, 2], pa.int64())}))
    parquet(tmp_path / "b.parquet", pa.table({"a": pa.array([3, None], pa.int64())}))
    muster.run(same, tmp_path / "*.parquet", tmp_path / "out.csv", workers=0)
    assert (tmp_path / "out.csv").read_text() == 'a\n1.0\n2.0\n3.0\n""\n'


def test_what_is_no_parquet_or_damaged_is_said_so(tmp_path: Path) -> None:
    (tmp_path / "in.parquet").write_bytes(b"no parquet at all")
    with pytest.raises(muster.DataError, match="cannot be read as Parquet"):
        muster.run(same, tmp_path / "in.parquet", tmp_path / "out.csv", workers=0)
    data = bytearray(parquet(tmp_path / "in.parquet", pa.table({"a": [str(at) for at in range(9999)]})).read_bytes())
    data[100:5000] = bytes(4900)
    (tmp_path / "in.parquet").write_bytes(data)
    with pytest.raises(muster.DataError, match="damaged"):
        muster.run(same, tmp_path / "in.parquet", tmp_path / "out.csv", workers=0, fresh=True)


def test_a_row_that_the_function_cannot_take_costs_that_row_of_parquet(tmp_path: Path) -> None:
    def no_13(frame: pd.DataFrame) -> pd.DataFrame:
        if (frame["a"] == 13).any():
            raise ValueError("unlucky")
        return frame

    path = parquet(tmp_path / "in.parquet", pa.table({"a": range(250), "b": ["x"] * 250}))
    result = muster.run(no_13, path, tmp_path / "out.csv", workers=0)
    assert (result.rows_out, result.bad_rows) == (249, 1)
    assert [(reject["row"], reject["raw"]) for reject in rejects(tmp_path / "out.csv")] == [(13, "{'a': 13, 'b': 'x'}")]


def test_types_that_one_parquet_column_cannot_hold_are_said_so(tmp_path: Path) -> None:
    def torn(frame: pd.DataFrame) -> pd.DataFrame:
        return frame.assign(number="text") if frame.index[0] else frame

    path = write(rows_frame(), tmp_path / "in.csv")
    with pytest.raises(muster.DataError, match="one Parquet column cannot hold"):
        muster.run(torn, path, tmp_path / "out.parquet", workers=0, batch_rows=100)


# Compressed input

Pack = Callable[[bytes], bytes]


def several(pack_one: Pack) -> Pack:
    """Compress thirds of the data on their own, one behind the other."""

    def packed(data: bytes) -> bytes:
        third = len(data) // 3
        return b"".join(pack_one(data[a:b]) for a, b in pairwise([0, third, 2 * third, len(data)]))

    return packed


def big_csv() -> bytes:
    """More than two blocks of a stream, with quoted line ends and records of many lengths everywhere."""
    chance = random.Random(5)  # noqa: S311 (test data)
    words = ["x" * 40, "two\nlines", "a,b", 'say "hi"', "é" * 30, "", "y" * 5000]
    frame = pd.DataFrame(
        {"id": range(30_000), "text": [chance.choice(words) for _ in range(30_000)], "end": ["\n" * 3] * 30_000}
    )
    return frame.to_csv(index=False).encode()


@pytest.mark.parametrize(
    ("suffix", "packed"),
    [
        pytest.param(".gz", gzip.compress, id="gzip"),
        pytest.param(".gz", several(gzip.compress), id="gzip members"),
        pytest.param(".zst", zstd, id="zstd"),
        pytest.param(".zst", several(zstd), id="zstd frames"),
    ],
)
def test_records_straddle_the_blocks_of_a_compressed_stream(tmp_path: Path, suffix: str, packed: Pack) -> None:
    data = big_csv()
    assert len(data) > 2 * BLOCK
    (tmp_path / f"in.csv{suffix}").write_bytes(packed(data))
    result = muster.run(same, tmp_path / f"in.csv{suffix}", tmp_path / "out.csv", workers=0)
    assert (result.rows_in, result.bad_rows) == (30_000, 0)
    assert (tmp_path / "out.csv").read_bytes() == data


def test_batches_of_a_compressed_stream_are_exact_across_its_blocks(tmp_path: Path) -> None:
    (tmp_path / "in.csv.gz").write_bytes(gzip.compress(big_csv()))
    for batch_rows, workers in ((999, 0), (999, 2), (20_001, 0)):
        muster.run(extent, tmp_path / "in.csv.gz", tmp_path / "out.csv", workers=workers, batch_rows=batch_rows)
        expected = [[at, min(batch_rows, 30_000 - at)] for at in range(0, 30_000, batch_rows)]
        assert read(tmp_path / "out.csv").to_numpy().tolist() == expected


def test_one_record_may_be_larger_than_a_block_of_the_stream(tmp_path: Path) -> None:
    rows = pd.DataFrame({"a": [1, 2, 3], "text": ["small", "line\n" * BLOCK, "small"]})
    write(rows, tmp_path / "in.csv.zst")
    muster.run(same, tmp_path / "in.csv.zst", tmp_path / "out.parquet", workers=0)
    pd.testing.assert_frame_equal(read(tmp_path / "out.parquet"), rows)


def test_types_that_the_first_block_of_a_stream_did_not_show_start_the_run_over(tmp_path: Path) -> None:
    lines = [f"{at:07d},{'x' * 90}" for at in range(60_000)]
    lines[-1] = "K1A0B0,y"
    data = "code,text\n" + "\n".join(lines) + "\n"
    assert len(data) > BLOCK
    (tmp_path / "in.csv.gz").write_bytes(gzip.compress(data.encode(), compresslevel=1))
    result = muster.run(same, tmp_path / "in.csv.gz", tmp_path / "out.csv", workers=2)
    assert (result.rows_out, result.bad_rows) == (60_000, 0)
    assert (tmp_path / "out.csv").read_text() == data


def test_a_bad_row_of_a_compressed_file_is_named_by_its_place_in_the_text(tmp_path: Path) -> None:
    text = "a,b\n1,2\n3,4,5\n6,7\n8\n"
    (tmp_path / "in.csv.gz").write_bytes(gzip.compress(text.encode()))
    muster.run(same, tmp_path / "in.csv.gz", tmp_path / "out.csv", workers=0)
    found = [(reject["row"], reject["byte_offset"], reject["raw"]) for reject in rejects(tmp_path / "out.csv")]
    assert found == [(1, 8, "3,4,5"), (3, 18, "8")]


@pytest.mark.parametrize("workers", ["0", "2"])
@pytest.mark.parametrize("suffix", [".csv.gz", ".csv.zst", ".jsonl.gz"])
def test_a_truncated_stream_stops_the_run_with_a_clear_word(
    tmp_path: Path, suffix: str, workers: str, muster: Muster
) -> None:
    path = write(pd.concat([rows_frame()] * 50), tmp_path / f"in{suffix}")
    path.write_bytes(path.read_bytes()[:-2000])
    (tmp_path / "t.py").write_text("def same(df):\n    return df\n")
    ended = muster("run", "t.py:same", path, "-o", "out.csv", "--workers", workers)
    assert ended.code == 1, ended.err
    assert path.name in ended.err
    assert "damaged" in ended.err
    assert "Traceback" not in ended.err
    assert not (tmp_path / "out.csv").exists()


def test_what_is_not_compressed_at_all_is_said_so(tmp_path: Path) -> None:
    (tmp_path / "in.csv.gz").write_text("a,b\n1,2\n")
    with pytest.raises(muster.DataError, match="not gzip data"):
        muster.run(same, tmp_path / "in.csv.gz", tmp_path / "out.csv", workers=0)


# Encodings


@pytest.mark.parametrize("suffix", [".csv", ".csv.gz"])
@pytest.mark.parametrize(
    ("encoding", "word"),
    [
        ("utf-16", "ünï 水, 🙂"),
        ("utf-16-le", "ünï\r\n水"),
        ("utf-32", "ünï"),
        ("utf-8-sig", "ünï 水"),
        ("latin-1", "café, \xa0 £"),
        ("cp1252", "10 € „so“"),
        ("shift_jis", "表計算, ソフト"),
        ("gb18030", "汉字, 🙂"),
        ("iso2022_jp", "日本語"),
        ("euc_kr", "한국어"),
    ],
)
def test_any_encoding_is_read_as_pandas_reads_it(tmp_path: Path, encoding: str, word: str, suffix: str) -> None:
    words = [word, "b\\c", 'q "x"', ""] * 125
    text = pd.DataFrame({"n": range(500), word: words}).to_csv(index=False)
    (tmp_path / f"in{suffix}").write_bytes(pack(text.encode(encoding), suffix))
    frames = seen(tmp_path / f"in{suffix}", tmp_path, part_bytes=300, dialect=muster.Dialect(encoding=encoding))
    assert len(frames) > 1
    assert_frames_are(frames, pd.read_csv(io.StringIO(text)))


@pytest.mark.parametrize(
    "encoding",
    [
        "utf-16",
        "shift_jis",
        "latin-1",
    ],
)
def test_json_lines_may_be_in_any_encoding(tmp_path: Path, encoding: str) -> None:
    word = {"utf-16": "水 🙂", "latin-1": "café", "shift_jis": "ソフト"}[encoding]
    text = "".join(json.dumps({"a": at, "b": word}, ensure_ascii=False) + "\n" for at in range(100))
    (tmp_path / "in.jsonl").write_bytes(text.encode(encoding))
    dialect = muster.Dialect(encoding=encoding)
    muster.run(same, tmp_path / "in.jsonl", tmp_path / "out.jsonl", workers=0, dialect=dialect)
    assert (tmp_path / "out.jsonl").read_text(encoding="utf-8") == text.replace(": ", ":").replace(", ", ",")


@pytest.mark.parametrize("encoding", ["utf-16", "shift_jis", "cp1252", "utf-8"])
def test_bytes_that_are_not_of_the_encoding_are_never_replaced_in_silence(tmp_path: Path, encoding: str) -> None:
    bad = {"utf-16": codecs.BOM_UTF16_LE + "a,b\n1,".encode("utf-16-le") + b"\x00\xd8\n\x00"}
    (tmp_path / "in.csv").write_bytes(bad.get(encoding, b"a,b\n1,x\n2,\x81\xff\n3,y\n"))
    try:
        result = muster.run(
            same, tmp_path / "in.csv", tmp_path / "out.csv", workers=0, dialect=muster.Dialect(encoding=encoding)
        )
    except muster.DataError as error:
        assert encoding in str(error)  # noqa: PT017 (one of two right ends)
    else:
        assert result.bad_rows == 1
        assert [reject["row"] for reject in rejects(tmp_path / "out.csv")] == [1]


# Compressed output


@pytest.mark.parametrize("suffix", [".gz", ".zst"])
def test_compressed_output_is_made_of_stretches_that_any_tool_reads_as_one(tmp_path: Path, suffix: str) -> None:
    rows, wide = 40, "w" * 600_000
    (tmp_path / "in.csv").write_text("a,b\n" + "".join(f"{at},{wide}\n" for at in range(rows)))
    digests = set()
    for workers in (0, 2):
        muster.run(same, tmp_path / "in.csv", tmp_path / f"out.csv{suffix}", workers=workers)
        digests.add(sha256(tmp_path / f"out.csv{suffix}"))
    assert len(digests) == 1
    assert unpack(tmp_path / f"out.csv{suffix}") == (tmp_path / "in.csv").read_bytes()
    magic = {".gz": b"\x1f\x8b\x08", ".zst": b"\x28\xb5\x2f\xfd"}[suffix]
    assert (tmp_path / f"out.csv{suffix}").read_bytes().count(magic) > 1


def test_a_byte_order_mark_before_a_header_with_a_line_break_counts_as_no_row_of_a_stream(tmp_path: Path) -> None:
    text = b'\xef\xbb\xbf"a\nb","c"\n1,x\n2,y\n3,z\n4,w\n'
    (tmp_path / "in.csv.gz").write_bytes(gzip.compress(text))
    result = muster.run(lambda df: df, tmp_path / "in.csv.gz", tmp_path / "out.csv", batch_rows=3, workers=0)
    assert result.rows_out == 4
    assert (tmp_path / "out.csv").read_bytes() == text.removeprefix(b"\xef\xbb\xbf").replace(b'"c"', b"c")
