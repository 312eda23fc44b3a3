"""Types are settled before the first batch, are the same in every batch, and never lose a value in silence."""

import io
import json
from collections.abc import Sequence
from itertools import combinations, pairwise, product
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from columns import EXACTLY, LONG_DECIMAL, READS_EXACTLY
from conftest import Muster
from muster import Dialect, UsageError, run
from muster._formats import csv as muster_csv
from muster._formats.kinds import observed_kinds, settled_type
from muster._formats.rows import to_pandas
from muster._formats.rules import MISSING, TRUE, Rules
from muster._formats.survey import ATOM_BYTES
from muster._model import Column

PLAIN = Dialect()
BEYOND_INT64 = str(2**63)
LARGEST_UINT64 = str(2**64 - 1)
BEYOND_UINT64 = str(2**64)


def written(cells: Sequence[str]) -> bytes:
    """Write a column, every cell in quotes so that an empty one is a row."""
    return "".join('"' + cell.replace('"', '""') + '"\n' for cell in cells).encode()


def pandas_reads(cells: Sequence[str]) -> pd.DataFrame:
    text = b"a\n" + written(cells)
    read: pd.DataFrame = pd.read_csv(io.BytesIO(text), low_memory=False)
    if (read["a"].dtype == "float64" or LONG_DECIMAL in cells) and not READS_EXACTLY:
        read = pd.read_csv(io.BytesIO(text), dtype="float64", **EXACTLY)
    return read


def kinds_of(cells: Sequence[str]) -> frozenset[str]:
    return muster_csv.observe(written(cells), order=["a"], dialect=PLAIN)["a"]


def muster_reads(cells: Sequence[str], kinds: frozenset[str]) -> pd.DataFrame:
    columns = (Column("a", kinds),)
    rows = muster_csv.read(written(cells), row=0, order=["a"], columns=columns, dialect=PLAIN)
    assert (rows.bad, rows.misfits) == ({}, {})
    return to_pandas(rows.table, rows.numbers, columns, header=True)


def check_as_pandas(cells: Sequence[str]) -> None:
    pd.testing.assert_frame_equal(muster_reads(cells, kinds_of(cells)), pandas_reads(cells), check_exact=True)


# One column, read at once

COLUMNS = {
    "integers": ["0", "-5", "12"],
    "integers with signs and blanks": ["+5", " 7", "8 ", "\t9", "\n10", "-0"],
    "leading zeros": ["007", "-00012", "00"],
    "integers and missing": ["1", ""],
    "decimals": ["1.0", "1.", ".5", "-.5", "+.5", "1e5", "1E-5", "00.50", " 1.5 "],
    "integers and decimals": ["1", "2.5"],
    "not quite numbers": ["1_000", "1,5", "--5", "+-5", "5-", "1d5", "1e", ".", "+", "e5", "5%"],
    "infinities": ["inf", "-inf", "+inf", "Infinity", "-INFINITY", "iNf", "1e400", "-1e400"],
    "an infinity with a blank": ["inf "],
    "too small a number": ["1e-400", "-1e-400"],
    "missing by any name": list(MISSING),
    "missing and text": ["x", *MISSING],
    "missing in another case": ["NAN", "1.5"],
    "missing with a blank": ["NA ", "1"],
    "hexadecimal": ["0x10", "0X1f"],
    "hexadecimal beside integers": ["1", "0x10"],
    "hexadecimal beside decimals": ["1.5", "-0x10"],
    "binary": ["0b1"],
    "the largest integers": [str(2**63 - 1), str(-(2**63))],
    "unsigned integers": [BEYOND_INT64, LARGEST_UINT64, "1"],
    "unsigned and negative": [BEYOND_INT64, "-1"],
    "unsigned and missing": [BEYOND_INT64, "", "NA", "2"],
    "unsigned, negative and missing": ["-1", "", BEYOND_INT64],
    "unsigned and decimal": [BEYOND_INT64, "1.5"],
    "unsigned, decimal and missing": [BEYOND_INT64, "", "1.5"],
    "unsigned and text": [BEYOND_INT64, "", "x"],
    "big integers": [BEYOND_UINT64, "-1", "7", "+8", " 9"],
    "big negative integers": [str(-(2**63) - 1), "7"],
    "big integers and missing": [BEYOND_UINT64, "", "NA"],
    "big integers, then a decimal": [BEYOND_UINT64, "1.5"],
    "big integers, then a decimal and missing": [BEYOND_UINT64, "1.5", "", "NA"],
    "big integers and text": [BEYOND_UINT64, "x"],
    "more digits than Python reads": ["1" * 5000],
    "big decimals": ["1e22", LONG_DECIMAL],
    "booleans": ["True", "False"],
    "booleans in any case": ["TRUE", "false", "tRUE", "FaLsE"],
    "booleans and missing": ["True", "", "FALSE", "NA"],
    "booleans with blanks": ["True", " False"],
    "booleans and integers": ["True", "1"],
    "booleans, decimals and missing": ["True", "1.5", ""],
    "booleans and text": ["True", "yes", ""],
    "dates": ["2020-01-01", "2020-01-02T03:04:05", ""],
    "digits of other scripts": ["\uff11", "1\u00a0"],
    "postcodes": ["05000", "K1A0B0"],
    "every digit": ["0.1", "123456789012345678.9", "0.3066101993807095471566981559501369297504425048828125"],
    "not a number, with an argument": ["nan(1)", "1.5"],
}


@pytest.mark.parametrize("cells", COLUMNS.values(), ids=COLUMNS.keys())
def test_a_column_gets_the_type_and_values_that_pandas_gives_it(cells: list[str]) -> None:
    check_as_pandas(cells)


@pytest.mark.parametrize("cells", COLUMNS.values(), ids=COLUMNS.keys())
def test_every_cell_alone_gets_the_type_and_value_that_pandas_gives_it(cells: list[str]) -> None:
    for cell in cells:
        check_as_pandas([cell])


def test_big_integers_beside_decimals_stay_text_in_any_order() -> None:
    """Where pandas goes by which of them comes first, and loses digits of the integers if it is a decimal."""
    for cells in ([BEYOND_UINT64, "1.5"], ["1.5", BEYOND_UINT64]):
        assert muster_reads(cells, kinds_of(cells))["a"].tolist() == cells
    assert pandas_reads(["1.5", BEYOND_UINT64])["a"].dtype == "float64"


def test_a_gap_beside_big_integers_and_text_is_missing_in_any_order() -> None:
    """Where pandas takes it for an empty text if a big integer comes before the first text."""
    for cells in ([BEYOND_UINT64, "x", ""], ["x", "", BEYOND_UINT64]):
        assert muster_reads(cells, kinds_of(cells))["a"].isna().tolist() == [cell == "" for cell in cells]


# Any column, looked at in chunks

SMALL = [
    "",
    "NA",
    "nan",
    "NAN",
    "0",
    "1",
    "-1",
    "+5",
    "007",
    "1.0",
    ".5",
    "-2.5",
    "1e5",
    "1e400",
    "inf",
    "-inf",
    " 5",
    "0x10",
]
WORDS = ["True", "FALSE", "tRUE", " True", "x", "2020-01-01", "é", "1_0"]
BIG = [BEYOND_INT64, LARGEST_UINT64, BEYOND_UINT64, str(-(2**63))]

columns = st.lists(st.sampled_from(SMALL + WORDS), min_size=1, max_size=8) | st.lists(
    st.sampled_from(["", "NA", "0", "1", "-1", "+5", " 5", *BIG, "x", "True"]), min_size=1, max_size=8
)


@settings(max_examples=400, deadline=None, derandomize=True)
@given(cells=columns, cuts=st.lists(st.integers(0, 8), max_size=3))
def test_chunks_looked_at_apart_settle_the_type_of_the_whole_column(cells: list[str], cuts: list[int]) -> None:
    edges = [0, *sorted(cuts), len(cells)]
    chunks = [cells[start:stop] for start, stop in pairwise(edges)]
    kinds = frozenset[str]().union(*(kinds_of(chunk) for chunk in chunks if chunk))
    assume(not ({"big", "missing"} <= kinds and kinds & {"text", "boolean"}))  # there pandas goes by the order
    expected = pandas_reads(cells)
    read = [muster_reads(chunk, kinds) for chunk in chunks if chunk]
    assert {frame["a"].dtype for frame in read} == {expected["a"].dtype}
    whole = pd.concat(read, ignore_index=True)
    pd.testing.assert_frame_equal(whole, expected, check_exact=True, check_index_type=False)


@settings(max_examples=400, deadline=None, derandomize=True)
@given(seen=st.lists(st.sampled_from(SMALL + WORDS + BIG), min_size=1, max_size=4), late=columns)
def test_a_late_value_is_either_a_misfit_or_read_as_if_it_had_been_seen(seen: list[str], late: list[str]) -> None:
    before, after = kinds_of(seen), kinds_of(seen) | kinds_of(late)
    columns = (Column("a", before),)
    rows = muster_csv.read(written(late), row=0, order=["a"], columns=columns, dialect=PLAIN)
    assert bool(rows.misfits) == (settled_type(before) != settled_type(after))
    if not rows.misfits:
        assert not rows.bad
        found = to_pandas(rows.table, rows.numbers, columns, header=True)
        pd.testing.assert_frame_equal(found, muster_reads(late, after), check_exact=True)


LONG_NUMBERS = [sign + digits for sign in ("", "-") for digits in ("9" * 300, "9" * 301, "9" * 400 + ".5", "0" * 400)]


@settings(max_examples=1000, deadline=None)
@given(
    cells=st.lists(
        st.none() | st.text("017-.", max_size=4) | st.sampled_from([*BIG, *SMALL, *LONG_NUMBERS]), max_size=5
    ),
    first=st.integers(0, 2),
)
def test_plain_numbers_are_of_the_kinds_that_regular_expressions_find(cells: list[str | None], first: int) -> None:
    column = pa.array(cells, pa.string()).slice(first)
    own_booleans = Rules(true=(*TRUE, "a word of the user's"))  # with which no column is looked at at once
    assert observed_kinds(column) == observed_kinds(column, own_booleans)


def test_what_changes_no_type_alone_changes_none_together() -> None:
    """Parts are read apart, and each tells only of its own misfits, so no two of them may add up to one."""
    plain = ["missing", "integer", "decimal", "boolean", "text"]
    integers = [
        frozenset({"integer", *more}) for n in range(4) for more in combinations(["negative", "unsigned", "big"], n)
    ]
    chosen = [frozenset(some) for n in range(1, 6) for some in combinations(plain, n)]
    sets = {one | (more if "integer" in one else frozenset()) for one, more in product(chosen, integers)}
    for seen in sets:
        settled = settled_type(seen)
        harmless = [more for more in sets if settled_type(seen | more) == settled]
        assert all(settled_type(seen | one | other) == settled for one, other in combinations(harmless, 2))


# A run


def late(path: Path, early: str, surprise: str, *, rows: int = 4000, after: int = 20_000) -> Path:
    """Write a file whose column ``a`` holds a surprise in one row, the first ``after`` so many bytes."""
    with path.open("w") as file:
        file.write("n,a\n")
        for at in range(rows):
            is_now = file.tell() >= after
            file.write(f"{at},{surprise if is_now else early}\n")
            after = 1 << 30 if is_now else after
    return path


def with_types(df: pd.DataFrame) -> pd.DataFrame:
    return df.assign(types=" ".join(map(str, df.dtypes)), twice=df["a"] + df["a"])


def expected_of(path: Path) -> str:
    return with_types(pd.read_csv(path, low_memory=False, **EXACTLY)).to_csv(index=False)


SURPRISES = {
    "a decimal among integers": ("7", "2.5"),
    "a gap among integers": ("7", ""),
    "NA among integers": ("7", "NA"),
    "text among integers": ("05000", "K1A0B0"),
    "hexadecimal among integers": ("7", "0x10"),
    "a word among decimals": ("2.5", "n/k"),
    "NAN among decimals": ("2.5", "NAN"),
    "an unsigned integer among integers": ("7", BEYOND_INT64),
    "a negative among unsigned integers": (BEYOND_INT64, "-1"),
    "a decimal among unsigned and missing": (f"{BEYOND_INT64}\n0,", "2.5"),
    "a big integer among integers": ("7", BEYOND_UINT64),
    "a value in an empty column": ("", "x"),
    "a boolean in an empty column": ("", "True"),
}
HARMLESS = {
    "an integer in an empty column": ("", "7"),
    "text among booleans and integers": ("True\n0,1", "x"),
    "an integer among decimals": ("2.5", "7"),
    "a number in other signs among integers": ("7", "+0012"),
    "a number among words": ("x", "7"),
    "a gap among decimals": ("2.5", "n/a"),
}


@pytest.mark.parametrize(("early", "surprise"), SURPRISES.values(), ids=SURPRISES.keys())
def test_a_late_surprise_gives_what_reading_the_whole_file_would(tmp_path: Path, early: str, surprise: str) -> None:
    path, output = late(tmp_path / "rows.csv", early, surprise), tmp_path / "out.csv"
    notes: list[str] = []
    run(with_types, path, output, workers=0, part_bytes=60, watch=lambda snapshot: notes.append(snapshot.note))
    assert output.read_text() == expected_of(path)
    assert not Path(f"{output}.rejects.jsonl").exists()
    assert any("'a'" in note for note in notes)


@pytest.mark.parametrize(("early", "surprise"), HARMLESS.values(), ids=HARMLESS.keys())
def test_a_late_value_that_changes_no_type_starts_nothing_over(tmp_path: Path, early: str, surprise: str) -> None:
    path, output = late(tmp_path / "rows.csv", early, surprise), tmp_path / "out.csv"
    notes: list[str] = []
    run(with_types, path, output, workers=0, part_bytes=60, watch=lambda snapshot: notes.append(snapshot.note))
    assert output.read_text() == expected_of(path)
    assert not any(notes)


@pytest.mark.parametrize("workers", [1, 4])
def test_a_late_surprise_is_announced_and_every_worker_starts_over(
    muster: Muster, tmp_path: Path, workers: int
) -> None:
    """The file has 44 parts, of which the sample holds every second."""
    path = late(tmp_path / "rows.csv", "05000", "K1A0B0", rows=60_000, after=21 * ATOM_BYTES + ATOM_BYTES // 2)
    (tmp_path / "looks.py").write_text(
        "def with_types(df):\n    return df.assign(types=' '.join(map(str, df.dtypes)), twice=df['a'] + df['a'])\n"
    )
    ended = muster("run", "looks.py:with_types", path, "-o", "out.csv", "--workers", workers, "--json")
    assert ended.code == 0, ended.err
    assert "'a' holds values that the sample did not" in ended.err
    assert (tmp_path / "out.csv").read_text() == expected_of(path)
    assert ended.json["rows_in"] == ended.json["rows_out"] == 60_000


def test_two_columns_with_surprises_in_different_parts_end_as_the_whole_file_would(tmp_path: Path) -> None:
    path, output = tmp_path / "rows.csv", tmp_path / "out.csv"
    rows = [f"{at},{'x' if at == 3001 else 7},{2.5 if at == 1003 else 7}" for at in range(5000)]
    path.write_text("n,a,b\n" + "\n".join(rows))
    run(with_types, path, output, workers=0, part_bytes=60)
    assert output.read_text() == expected_of(path)


@pytest.mark.parametrize(("workers", "part_bytes"), [(0, 600), (2, 600), (4, 5000)])
def test_the_function_sees_the_same_types_in_every_batch(tmp_path: Path, workers: int, part_bytes: int) -> None:
    path, output = tmp_path / "rows.csv", tmp_path / "out.csv"
    text = {"i": "{0}", "f": "{0}.5", "gap": "{1}", "b": "{2}", "s": "s{0}", "none": "", "u": BEYOND_INT64, "y": "{3}"}
    row = ",".join(text.values())
    lines = [row.format(at, at if at > 3000 else "", at % 2 == 0, ["True", ""][at > 3000]) for at in range(6000)]
    path.write_text(",".join(text) + "\n" + "\n".join(lines))

    def types(df: pd.DataFrame) -> pd.DataFrame:
        return pd.DataFrame({"n": df["i"], "types": " ".join(map(str, df.dtypes))})

    run(types, path, output, workers=workers, part_bytes=part_bytes)
    expected = " ".join(map(str, pd.read_csv(path, low_memory=False).dtypes))
    found = pd.read_csv(output)
    assert found["types"].unique().tolist() == [expected]
    assert found["n"].tolist() == list(range(6000))


# Types that the user fixed


def same(df: pd.DataFrame) -> pd.DataFrame:
    return df


def rejects_of(output: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in Path(f"{output}.rejects.jsonl").read_text().splitlines()]


MISFITS = {
    "int64": ["1", "-7", "007", "+5", " 5"], "uint8": ["0", "255"], "int8": ["-128", "127"],
    "uint64": [LARGEST_UINT64], "float64": ["1", "2.5", "", "NA", "inf", "1e400"], "float32": ["0.5", ""],
    "bool": ["True", "FALSE", "true"], "datetime": ["2020-01-01", "2020-01-02 03:04:05", ""],
    "date": ["1999-12-31", ""],
}  # fmt: skip
BAD = {
    "int64": ["2.5", "x", "", "NA", BEYOND_INT64, "0x10"], "uint8": ["256", "-1", ""], "int8": ["128", "-129"],
    "uint64": ["-1", BEYOND_UINT64], "float64": ["x", "NAN", "0x10", "1,5"], "float32": ["x"],
    "bool": ["yes", "1", "", "NA"], "datetime": ["tomorrow", "2020-13-01"], "date": ["x", "2020-02-30"],
}  # fmt: skip


@pytest.mark.parametrize("fixed", MISFITS)
@pytest.mark.parametrize("part_bytes", [1, None])
def test_what_does_not_fit_a_fixed_type_is_a_bad_row_and_never_missing(
    tmp_path: Path, fixed: str, part_bytes: int | None
) -> None:
    path, output = tmp_path / "rows.csv", tmp_path / "out.csv"
    good, bad = MISFITS[fixed], BAD[fixed]
    cells = [cell for pair in zip(good * 3, bad, strict=False) for cell in pair] + good
    path.write_text("n,a\n" + "".join(f'{at},"{cell}"\n' for at, cell in enumerate(cells)))
    wrong = [at for at, cell in enumerate(cells) if cell in bad]
    result = run(same, path, output, workers=0, part_bytes=part_bytes, dtype={"a": fixed})
    assert (result.rows_in, result.rows_out, result.bad_rows) == (len(cells), len(cells) - len(wrong), len(wrong))
    found = rejects_of(output)
    assert [one["row"] for one in found] == wrong
    assert [one["raw"] for one in found] == [f'{at},"{cells[at]}"' for at in wrong]
    assert all(one["step"] == "read" and fixed in one["error"] and "'a'" in one["error"] for one in found)
    kept = pd.read_csv(output, keep_default_na=False, dtype=str)
    assert kept["n"].tolist() == [str(at) for at in range(len(cells)) if at not in wrong]
    assert (kept["a"] == "").tolist() == [cells[int(at)] in {"", "NA"} for at in kept["n"]]


def test_a_fixed_type_is_the_type_that_the_function_sees(tmp_path: Path) -> None:
    path, output = tmp_path / "rows.csv", tmp_path / "out.csv"
    names = ["int8", "uint16", "float32", "float64", "str", "bool", "datetime", "int", "float"]
    path.write_text(",".join(names) + "\n1,2,3,4,5,true,2020-01-01 10:00:00,8,9\n")
    run(with_types_only, path, output, workers=0, dtype={name: name for name in names})
    dtypes = {name: name for name in names if name != "datetime"}
    expected = with_types_only(pd.read_csv(path, dtype=dtypes, parse_dates=["datetime"]))
    assert output.read_text() == expected.to_csv(index=False)


def with_types_only(df: pd.DataFrame) -> pd.DataFrame:
    return pd.DataFrame({"types": " ".join(map(str, df.dtypes))}, index=df.index)


def test_a_fixed_type_stays_while_another_column_widens(tmp_path: Path) -> None:
    path, output = late(tmp_path / "rows.csv", "7", "x"), tmp_path / "out.csv"
    run(with_types, path, output, workers=0, part_bytes=60, dtype={"n": "float64"})
    expected = with_types(pd.read_csv(path, dtype={"n": "float64"}, low_memory=False))
    assert output.read_text() == expected.to_csv(index=False)


def test_every_cell_is_text_with_dtype_str(muster: Muster, tmp_path: Path) -> None:
    (tmp_path / "looks.py").write_text("def types(df):\n    return df.assign(types=' '.join(map(str, df.dtypes)))\n")
    (tmp_path / "rows.csv").write_text("id,zip,flag\n007,05000,True\n1e5, 5 ,0x10\n,NA,x\n")
    ended = muster("run", "looks.py:types", "rows.csv", "-o", "out.csv", "--dtype", "str")
    assert ended.code == 0, ended.err
    rows = pd.read_csv(tmp_path / "rows.csv", dtype=str)
    expected = rows.assign(types=" ".join(map(str, rows.dtypes)))
    assert (tmp_path / "out.csv").read_text() == expected.to_csv(index=False)


def test_a_misfit_of_a_fixed_type_ends_with_exit_code_4(muster: Muster, tmp_path: Path) -> None:
    (tmp_path / "same.py").write_text("def same(df):\n    return df\n")
    (tmp_path / "rows.csv").write_text("A,B\n1,x\n2.5,y\n3,\n")
    ended = muster("run", "same.py:same", "rows.csv", "-o", "out.csv", "--dtype", "A=int64,B=str", "--json")
    assert ended.code == 4
    assert ended.json["bad_rows"] == 1
    [bad] = rejects_of(tmp_path / "out.csv")
    assert (bad["row"], bad["byte_offset"], bad["raw"]) == (1, 8, "2.5,y")
    assert (tmp_path / "out.csv").read_text() == "A,B\n1,x\n3,\n"


@pytest.mark.parametrize(
    ("dtype", "said"),
    [
        ("C=int64", "columns that the input has not: C. It has: A, B"),
        ("A=int63", "'A': 'int63'.*: no such type. Known are: str, .*datetime.*int64"),
        ("text", "text.*: no such type"),
        ("A=", "dtype={'A': ''}: no such type"),
        ("A:str", "'A:str' is no type; .* joined by =. Pass dtype={'A': 'str'}"),
        ("Int64", "dtype='Int64': that type of pandas is made in the function alone"),
        ("A=Int64", r"Read it as float64, .* convert it there: df\['A'\] = df\['A'\].astype\('Int64'\)"),
        ("A=boolean", "Leave it out of dtype, and convert it there"),
        ("A=string", "Read it as str, which has NaN"),
        ("A=string[pyarrow]", "Read it as str, which has NaN"),
        ("A=double[pyarrow]", "Read it as float64, which has NaN"),
        ("A=category", "Leave it out of dtype, and convert it there"),
        ("A=int64,B", "'B' is no COLUMN=TYPE"),
        (",A=int64", "'' is no COLUMN=TYPE"),
        ({"A": "int64", "Z": "str"}, "has not: Z"),
    ],
)
def test_a_type_or_column_that_is_not_there_is_said_before_the_start(
    tmp_path: Path, dtype: str | dict[str, str], said: str
) -> None:
    path, output = tmp_path / "rows.csv", tmp_path / "out.csv"
    path.write_text("A,B\n1,x\n")
    with pytest.raises(UsageError, match=said):
        run(same, path, output, workers=0, dtype=dtype)
    assert not output.exists()


def test_an_unknown_type_ends_with_exit_code_2(muster: Muster, tmp_path: Path) -> None:
    (tmp_path / "same.py").write_text("def same(df):\n    return df\n")
    (tmp_path / "rows.csv").write_text("A,B\n1,x\n")
    ended = muster("run", "same.py:same", "rows.csv", "-o", "out.csv", "--dtype", "A=number")
    assert ended.code == 2
    assert "--dtype A=number: no such type" in ended.err
    assert "Traceback" not in ended.err
    assert not (tmp_path / "out.csv").exists()


def test_columns_without_a_header_are_fixed_by_number(tmp_path: Path) -> None:
    path, output = tmp_path / "rows.csv", tmp_path / "out.csv"
    path.write_text("007,1\n008,2\n")
    run(same, path, output, workers=0, dialect=Dialect(header=False), dtype="0=str")
    assert output.read_text() == "007,1\n008,2\n"
    with pytest.raises(UsageError, match="It has: 0, 1"):
        run(same, path, output, workers=0, dialect=Dialect(header=False), dtype="a=str", fresh=True)
