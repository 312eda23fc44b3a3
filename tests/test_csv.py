"""CSV and TSV as pandas reads and writes them, however a file is cut and whoever works on it."""

import csv
import datetime as dt
import decimal
import hashlib
import io
import json
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from columns import EXACTLY
from conftest import Muster
from muster import DataError, Dialect, Result, run
from muster._formats import csv as formats_csv
from muster._formats import csv_text
from muster._formats.results import reply_of
from muster._formats.rows import to_pandas
from muster._formats.tables import from_result
from muster._model import Column

PLAIN = Dialect()
Options = dict[str, Any]


def same(df: pd.DataFrame) -> pd.DataFrame:
    return df


def read_by_pandas(path: Path, **options: Any) -> pd.DataFrame:  # noqa: ANN401 (pandas' own options)
    frame: pd.DataFrame = pd.read_csv(path, low_memory=False, **EXACTLY, **options)
    return frame


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def frames_of(path: Path, **options: Any) -> tuple[pd.DataFrame, Result]:  # noqa: ANN401 (those of muster.run)
    """Put together again what the function was given, batch by batch."""
    with tempfile.TemporaryDirectory() as folder:

        def keep(df: pd.DataFrame) -> pd.DataFrame:
            df.to_pickle(f"{folder}/{df.index[0] if len(df) else 0:09d}.pickle")
            return df

        result = run(keep, path, f"{folder}/out.csv", workers=0, **options)
        batches = [pd.read_pickle(batch) for batch in sorted(Path(folder).glob("*.pickle"))]  # noqa: S301 (our own)
    return pd.concat(batches), result


@dataclass(frozen=True)
class Case:
    """Some bytes, how they are written, and how pandas is told so."""

    data: bytes
    dialect: Dialect = PLAIN
    pandas: Options = field(default_factory=dict)

    def oracle(self, path: Path) -> pd.DataFrame:
        return read_by_pandas(path, **self.pandas)


def separated(delimiter: str) -> Case:
    rows = [["a", "b"], ["1", "x y"], ["2", f"with{delimiter}it"], ["3", 'and "quotes"']]
    text = io.StringIO()
    csv.writer(text, delimiter=delimiter, lineterminator="\n").writerows(rows)
    return Case(text.getvalue().encode(), Dialect(delimiter), {"sep": delimiter})


def encoded(text: str, encoding: str) -> Case:
    return Case(text.encode(encoding), Dialect(encoding=encoding), {"encoding": encoding})


NO_HEADER = {"header": None}
MEGABYTES = "long " * 600_000
CASES = {
    "quoted newlines": Case(b'a,b\n1,"x\ny"\n2,"\r\n\n"\n"3","\n"\n'),
    "doubled quotes": Case(b'a,b\n"say ""hi""",""""\n"""","a""b"\n'),
    "CRLF": Case(b"a,b\r\n1,x\r\n2,y\r\n"),
    "carriage returns alone": Case(b"a,b\r1,x\r2,y\r"),
    "line ends of every kind": Case(b"a,b\n1,x\r2,y\r\n3,z\n"),
    "no final newline": Case(b"a,b\n1,x\n2,y"),
    "no final newline after a quote": Case(b'a,b\n1,x\n2,"y"'),
    "empty lines at the end": Case(b"a,b\n1,x\n\n\n"),
    "blank lines everywhere": Case(b"\n\r\na,b\n\n1,x\r\n\r\n\n2,y\n\n"),
    "a byte order mark": Case(b"\xef\xbb\xbfa,b\n1,x\n"),
    "a byte order mark before a quoted header": Case(b'\xef\xbb\xbf"a\nb","c"\n1,x\n2,y\n'),
    "a byte order mark before an empty line": Case(b"\xef\xbb\xbf\na,b\n1,x\n"),
    "a byte order mark without a header": Case(b"\xef\xbb\xbf1,x\n2,y\n", Dialect(header=False), NO_HEADER),
    "a byte order mark within": Case("a,b\nx,1\n\ufeffy,2\n\ufeffz,3\n".encode()),
    "header only": Case(b"a,b\n"),
    "header only, without a newline": Case(b"a,b"),
    "one row without a newline": Case(b"a\n1"),
    "no header": Case(b"1,x\n2,y\n", Dialect(header=False), NO_HEADER),
    "no header, blank lines first": Case(b"\n\n1,x\n2,y\n", Dialect(header=False), NO_HEADER),
    "another quote": Case(b"a,b\n'x,y','it''s'\n\"z\",1\n", Dialect(quote="'"), {"quotechar": "'"}),
    "no quote": Case(b'a,b\n"x,5"\n""",y\n', Dialect(quote=""), {"quoting": csv.QUOTE_NONE}),
    "duplicate names": Case(b"a,a,b,a,a.1\n1,2,3,4,5\n"),
    "empty names": Case(b'a,,"",b\n1,2,3,4\n'),
    "quoted names": Case(b'"a,1","b ""2""","c\nd"\n1,2,3\n'),
    "names with blanks": Case(" a , é ,NA\n1,2,3\n".encode()),
    "numbers as names": Case(b"1,2.0,-3\n4,5,6\n"),
    "lines of blanks": Case(b" \n\t\na,b\n1,x\n \n\t \t\r\n2,y\r\n  \r\n\n 3,z \n   "),
    "lines of blanks in one column": Case(b"a\n1\n \n2\n\t\n 3\n\t "),
    "lines of blanks among texts": Case(b'a\nx y\n \n" "\n"\n \n\t"\n\n y \n\t\n'),
    "lines of blanks in quotes": Case(b'a,b\n"x\n \n","\n\t"\n \n"\n","\n \n"\n'),
    "lines of blanks behind carriage returns": Case(b"a,b\r\t\r1,x\r \r\n2,y\r"),
    "lines of blanks behind a mark": Case(b"\xef\xbb\xbf \na\n1\n \n2\n"),
    "lines of blanks without a header": Case(b" \n\t\n1,x\n \n2,y\n\t", Dialect(header=False), NO_HEADER),
    "lines of blanks and of tabs": Case(b"a\tb\n \n\t\n  \t \n1\t2\n   \n", Dialect("\t"), {"sep": "\t"}),
    "lines of tabs between blanks": Case(b"a b\n \n\t\n1 2\n\t\t\n", Dialect(" "), {"sep": " "}),
    "lines of blanks in UTF-16": encoded("a,b\n \n1,x\n\t\n2,y\n ", "utf-16"),
    "one column with blank lines": Case(b'a\nx\n\n""\ny\n\n'),
    "a quote within a cell": Case(b'a,b\n5" pipe,6" pipe\nx"y"z,"\n"\n1 "2,3\n'),
    "text behind a closing quote": Case(b'a,b\n"x"y,"p" "q"\n"x\ny"z,"""a"b\n'),
    "quoted numbers": Case(b'a,b\n"1","2.5"\n"3",""\n'),
    "empty rows of two columns": Case(b"a,b\n,\n,\n"),
    "unicode": Case("näme,名\nüñî,😀\n".encode()),
    "other white space": Case("a,b\n\u00a01,\u2028x\u0085y\x0bz\x0c\n".encode()),
    "cells of megabytes": Case(f'a,b\n1,{MEGABYTES}\n2,"{MEGABYTES}\n"\n'.encode()),
    "latin-1": encoded("é,b\n1,ÿü\n2,¤\n", "latin-1"),
    "cp1252": encoded("é,b\n1,€“quoted”\n2,ž\n", "cp1252"),
    "utf-16": encoded('é,b\n1,"x\n€"\n2,😀\n', "utf-16"),
    "utf-16-le": encoded("é,b\r\n1,x€\r\n2,😀\r\n", "utf-16-le"),
    "utf-8-sig": encoded("é,b\n1,x\n", "utf-8-sig"),
    "shift_jis": encoded("名,b\n1,ソ\n2,表\n", "shift_jis"),
    **{f"delimiter {one!r}": separated(one) for one in ";|\t :~^.\\'#*x\x01"},
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
@pytest.mark.parametrize("part_bytes", [1, None])
def test_the_function_gets_what_pandas_would_have_read(tmp_path: Path, case: Case, part_bytes: int | None) -> None:
    path = tmp_path / "rows.csv"
    path.write_bytes(case.data)
    frame, result = frames_of(path, dialect=case.dialect, part_bytes=part_bytes)
    expected = case.oracle(path)
    pd.testing.assert_frame_equal(frame, expected, check_exact=True, check_index_type=len(expected) > 0)
    assert (result.rows_in, result.rows_out, result.bad_rows) == (len(expected), len(expected), 0)


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_the_output_is_what_pandas_would_have_written(tmp_path: Path, case: Case) -> None:
    path, output = tmp_path / "rows.csv", tmp_path / "out.csv"
    path.write_bytes(case.data)
    run(same, path, output, workers=0, dialect=case.dialect, part_bytes=5)
    expected = case.oracle(path).to_csv(index=False, header=bool(case.dialect.header))
    assert output.read_bytes() == expected.encode()


def test_thousands_of_columns_are_read_and_written(tmp_path: Path) -> None:
    path, output = tmp_path / "rows.csv", tmp_path / "out.csv"
    lines = [",".join(f"{word}{at}" for at in range(3_000)) for word in ("column", "", '"1\n"')]
    path.write_text("\n".join(lines))
    run(same, path, output, workers=0)
    assert output.read_text() == read_by_pandas(path).to_csv(index=False)


def test_ten_thousand_columns_come_out_as_they_went_in() -> None:
    names = [f"column{at}" for at in range(10_000)]
    text = "".join(",".join(f"{word}{at}" for at in range(10_000)) + "\n" for word in ("", "x"))
    columns = tuple(Column(name, frozenset({"string"})) for name in names)
    rows = formats_csv.read(text.encode(), row=0, order=names, columns=columns, dialect=PLAIN)
    frame = to_pandas(rows.table, rows.numbers, columns, header=True)
    written = reply_of(frame, use="csv")
    assert written.table.column_names == names
    assert bytes(csv_text.render(written.table, delimiter=",")).decode() == text


# Any well-formed file

words = st.text(st.sampled_from("ab1 ,;\t\"'\n\ré\u00a0x|\u2028"), max_size=6)
numbers = st.integers(-(2**63), 2**63 - 1).map(str) | st.floats(allow_nan=False).map(repr)
cells = st.sampled_from(["", "NA", "nan", "True", "False", "0", "1", "-7", "007", "2.5", "1e-7", "text"]) | words
columns = st.lists(cells, min_size=1, max_size=8) | st.lists(numbers, min_size=1, max_size=8)


@st.composite
def well_formed(draw: st.DrawFn) -> Case:
    """Draw columns of one kind of cell or many, and any way of writing them down that RFC 4180 and pandas allow."""
    delimiter, quote = draw(st.sampled_from(",;\t |x")), draw(st.sampled_from("\"'"))
    table = draw(st.lists(columns, min_size=2, max_size=4))
    header = draw(st.booleans())
    line_end = draw(st.sampled_from(["\n", "\r\n"]))
    text = io.StringIO()
    writer = csv.writer(text, delimiter=delimiter, quotechar=quote, lineterminator=line_end, quoting=csv.QUOTE_ALL)
    if header:
        writer.writerow([f"c{at}" for at in range(len(table))])
    writer.writerows(zip(*table, strict=False))
    data = (text.getvalue() + draw(st.sampled_from(["", line_end]))).encode()
    if draw(st.booleans()):
        data = data.removesuffix(line_end.encode())
    if draw(st.booleans()):
        data = b"\xef\xbb\xbf" + data
    pandas = {"sep": delimiter, "quotechar": quote, "header": 0 if header else None}
    return Case(data, Dialect(delimiter, quote, header=header), pandas)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(case=well_formed(), part_bytes=st.sampled_from([1, 30, None]))
def test_any_well_formed_file_is_read_and_written_as_by_pandas(case: Case, part_bytes: int | None) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path, output = Path(folder, "rows.csv"), Path(folder, "out.csv")
        path.write_bytes(case.data)
        expected = case.oracle(path)
        frame, result = frames_of(path, dialect=case.dialect, part_bytes=part_bytes)
        pd.testing.assert_frame_equal(frame, expected, check_exact=True, check_index_type=False)
        run(same, path, output, workers=0, dialect=case.dialect, part_bytes=part_bytes)
        text = expected.to_csv(index=False, header=bool(case.dialect.header))
        assert output.read_bytes() == as_rfc_4180(text, expected, header=bool(case.dialect.header))
    assert result.bad_rows == 0


def as_rfc_4180(text: str, frame: pd.DataFrame, *, header: bool) -> bytes:
    """Quote what pandas leaves bare on some versions of Python: a carriage return, which would end a row."""
    if "\r" not in text:
        return text.encode()
    cells = frame.astype(object).where(frame.notna(), "").astype(str)
    buffer = io.StringIO()
    rows = [list(frame.columns)] * header + cells.to_numpy().tolist()
    for row in rows:
        quoted = ['"' + cell.replace('"', '""') + '"' if set(cell) & set(',"\r\n') else cell for cell in map(str, row)]
        buffer.write(",".join(quoted) + "\n")
    return buffer.getvalue().encode()


# One output, whoever works on it


@pytest.fixture(scope="module")
def everything(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file large enough for four workers, with what a reader can stumble over."""
    path = tmp_path_factory.mktemp("csv") / "everything.csv"
    note = 'line\n""quoted"", and\r\n5"" more\n'
    lines = [f'{at},"{note * (at % 5)}",{at / 7 if at % 3 else ""},5" pipe,{at % 2 == 0}\n' for at in range(1500)]
    path.write_text("\ufeffid,note,ratio,size,even\n" + "\n".join(lines), newline="")
    return path


@pytest.mark.parametrize(
    ("workers", "part_bytes"),
    [(0, 1), (0, 700), (0, None), (1, 5000), (2, 700), (2, None), (4, 700), (4, 5000), (4, 20_000)],
)
def test_the_output_is_the_same_for_any_workers_and_parts(
    tmp_path: Path, everything: Path, workers: int, part_bytes: int | None
) -> None:
    output = tmp_path / "out.csv"
    result = run(same, everything, output, workers=workers, part_bytes=part_bytes)
    assert result.workers == workers
    read_by_pandas(everything).to_csv(tmp_path / "pandas.csv", index=False)
    assert sha256(output) == sha256(tmp_path / "pandas.csv")


def test_parts_have_the_size_that_was_asked_for(tmp_path: Path, everything: Path) -> None:
    sizes = [1, 700, 20_000]
    counts = [run(same, everything, tmp_path / "out.csv", workers=0, part_bytes=size).parts for size in sizes]
    assert counts[0] == 1500 > counts[1] > counts[2] > 1


def test_batches_of_exactly_so_many_rows_are_the_same_in_every_run(tmp_path: Path, everything: Path) -> None:
    def sizes(df: pd.DataFrame) -> pd.DataFrame:
        return pd.DataFrame({"first": [df["id"].iloc[0]], "rows": [len(df)]})

    expected = "first,rows\n" + "".join(f"{at},{min(70, 1500 - at)}\n" for at in range(0, 1500, 70))
    for workers, part_bytes in [(0, 1), (0, None), (2, 700), (2, 20_000)]:
        run(sizes, everything, tmp_path / "out.csv", workers=workers, part_bytes=part_bytes, batch_rows=70)
        assert (tmp_path / "out.csv").read_text() == expected


# The command line


def test_the_command_line_knows_delimiter_quote_header_and_encoding(muster: Muster, tmp_path: Path) -> None:
    (tmp_path / "same.py").write_text("def same(df):\n    assert list(df.columns) == [0, 1, 2]\n    return df\n")
    (tmp_path / "rows.txt").write_bytes("1;'x;\n€';007\n2;'it''s';-\n".encode("cp1252"))
    told = ["--delimiter", ";", "--quote", "'", "--no-header", "--encoding", "cp1252", "--format", "csv"]
    ended = muster("run", "same.py:same", "rows.txt", "-o", "out.csv", "--json", *told)
    assert ended.code == 0, ended.err
    assert (tmp_path / "out.csv").read_text() == '1,"x;\n€",007\n2,it\'s,-\n'
    assert ended.json["rows_in"] == ended.json["rows_out"] == 2


def test_utf_16_is_decoded_on_the_way(muster: Muster, tmp_path: Path) -> None:
    (tmp_path / "same.py").write_text("def same(df):\n    return df\n")
    frame = pd.DataFrame({"näme": [f"é\n{at}" for at in range(3000)], "n": range(3000)})
    frame.to_csv(tmp_path / "rows.csv", index=False, encoding="utf-16")
    ended = muster("run", "same.py:same", "rows.csv", "-o", "out.csv", "--encoding", "utf-16", "--workers", "2")
    assert ended.code == 0, ended.err
    assert (tmp_path / "out.csv").read_bytes() == frame.to_csv(index=False).encode()


def test_tabs_in_and_out_follow_the_suffix(tmp_path: Path) -> None:
    (tmp_path / "in.tsv").write_text('a\tb\n1\t"x\ty"\n2\tp,q\n')
    run(same, tmp_path / "in.tsv", tmp_path / "out.tsv", workers=0)
    assert (tmp_path / "out.tsv").read_text() == 'a\tb\n1\t"x\ty"\n2\tp,q\n'


# What is no row, or no file


@pytest.mark.parametrize("data", [b"", b"\n", b"\r\n\n", b"\xef\xbb\xbf", b"\xef\xbb\xbf\n"])
@pytest.mark.parametrize("header", [True, False])
def test_a_file_without_a_row_gives_an_empty_output(tmp_path: Path, data: bytes, *, header: bool) -> None:
    path, output = tmp_path / "rows.csv", tmp_path / "out.csv"
    path.write_bytes(data)
    result = run(same, path, output, workers=0, dialect=Dialect(header=header))
    assert (result.rows_in, result.rows_out, result.bad_rows) == (0, 0, 0)
    assert output.read_bytes() == b""


def rejects_of(output: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in Path(f"{output}.rejects.jsonl").read_text().splitlines()]


def test_rows_with_too_few_or_too_many_fields_are_rejected_alone(tmp_path: Path) -> None:
    path, output = tmp_path / "rows.csv", tmp_path / "out.csv"
    data = b'a,b\n1,x\n\n2\n3,"y\ny"\n4,z,"\n"\n   \n5\n6,w\n'
    path.write_bytes(data)
    for part_bytes in (1, 8, None):
        result = run(same, path, output, workers=0, part_bytes=part_bytes)
        assert output.read_text() == 'a,b\n1,x\n3,"y\ny"\n6,w\n'
        assert (result.rows_in, result.rows_out, result.bad_rows) == (6, 3, 3)
        found = [(bad["row"], bad["byte_offset"], bad["raw"]) for bad in rejects_of(output)]
        assert found == [(1, 9, "2"), (3, data.index(b"4,z"), '4,z,"\n"'), (4, data.index(b"5"), "5")]


def test_a_quote_that_is_never_closed_costs_the_row_that_it_opens(tmp_path: Path) -> None:
    path, output = tmp_path / "rows.csv", tmp_path / "out.csv"
    path.write_bytes(b'a,b\n1,x\n2,"y\n3,z\n')
    for part_bytes in (1, None):
        result = run(same, path, output, workers=0, part_bytes=part_bytes)
        assert output.read_text() == "a,b\n1,x\n"
        assert (result.rows_in, result.bad_rows) == (2, 1)
        [bad] = rejects_of(output)
        assert (bad["row"], bad["byte_offset"]) == (1, 8)
        assert "never closed" in bad["error"]


@pytest.mark.parametrize(("encoding", "wrong"), [("utf-8", b"\xff"), ("cp1252", b"\x81"), ("ascii", b"\xc3\xa9")])
def test_a_cell_that_is_not_in_the_encoding_costs_its_row_and_no_type(
    tmp_path: Path, encoding: str, wrong: bytes
) -> None:
    path, output = tmp_path / "rows.csv", tmp_path / "out.csv"
    path.write_bytes(b"a,b,c\n1,x,True\n2," + wrong + b",\n" + wrong + b",y,\n3,z,False\n")
    for part_bytes in (1, None):
        result = run(same, path, output, workers=0, part_bytes=part_bytes, dialect=Dialect(encoding=encoding))
        assert output.read_text() == "a,b,c\n1,x,True\n3,z,False\n"
        assert result.bad_rows == 2
        assert [bad["row"] for bad in rejects_of(output)] == [1, 2]
        assert all("encoding" in bad["error"] for bad in rejects_of(output))


@pytest.mark.parametrize("data", [b'a,"b\n1,2\n', b"a,\xff\n1,2\n"])
def test_a_header_that_cannot_be_read_is_said_clearly(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "rows.csv"
    path.write_bytes(data)
    with pytest.raises(DataError, match=r"rows\.csv.* cannot be read"):
        run(same, path, tmp_path / "out.csv", workers=0)


def test_files_with_the_same_columns_in_another_order_are_one_input(tmp_path: Path) -> None:
    (tmp_path / "1.csv").write_text("a,b\n1,x\n")
    (tmp_path / "2.csv").write_text("b,a\ny,2.5\n")
    (tmp_path / "3.csv").write_text("")
    run(same, [tmp_path / f"{at}.csv" for at in (1, 2, 3)], tmp_path / "out.csv", workers=0)
    assert (tmp_path / "out.csv").read_text() == "a,b\n1.0,x\n2.5,y\n"


# Writing


def rendered(frame: pd.DataFrame) -> str:
    return bytes(csv_text.render(from_result(frame, use="csv"), delimiter=",")).decode()


def check_written(values: object) -> None:
    """Write a column alone, where an empty line would be no row, and beside another."""
    alone = pd.DataFrame({"x": values})
    for frame in (alone, alone.assign(y=1)):
        assert rendered(frame) == frame.to_csv(index=False, header=False)


@pytest.mark.parametrize("rows", [1, 3, 700, 9000])
def test_columns_of_numbers_are_written_alike_however_many_and_however_long_they_are(rows: int) -> None:
    dice = np.random.default_rng(rows)
    floats, integers = dice.normal(0, 1e3, (30, rows)), dice.integers(-(2**63), 2**63 - 1, (30, rows))
    floats[dice.random(floats.shape) < 0.1] = np.nan
    columns = dict[str, Any]()
    for at, (some, whole) in enumerate(zip(floats, integers, strict=True)):
        kinds = {"f8": some, "f4": some.astype("f4"), "i8": whole, "u1": whole.astype("u1"), "t": ["a,b"] * rows}
        columns |= {f"{kind}{at}": column for kind, column in kinds.items()}
    for frame in (pd.DataFrame(columns), pd.DataFrame(columns).filter(regex="^[fiu]")):
        assert rendered(frame) == frame.to_csv(index=False, header=False)


COLUMNS: dict[str, Any] = {
    "floats": [1.0, 1e-05, 1e16, None, np.inf, -np.inf, 0.1, 1e15, 1e-4, 9.999e-5, -0.0, 0.0, 1e22, 5e-324, 2.0**53],
    "floats beyond ten thousand million": [12749458841.404064, -7009781986434.183, 123456789012345.6, 1e10 + 0.5],
    "float32": pd.Series(
        [0.1, 1e-4, 1.0001e-4, 1e-5, 1e16, 2**24, None, np.inf, 3.4e38, 1e-40, 1e6, 999999.9], dtype="float32"
    ),
    "float16": pd.Series([0.1, 1.0, None, 65504, 1000, 999], dtype="float16"),
    "booleans": [True, False],
    "booleans and missing": pd.Series([True, None, np.nan, False], dtype=object),
    "text": ["a", None, "", "a,b", 'q"q', "x\ny", "x\r\ny", "NA", " a ", "\t", "é"],
    "integers": [1, -5, 2**63 - 1, -(2**63)],
    "unsigned integers": pd.Series([2**64 - 1, 0], dtype="uint64"),
    "big integers": pd.Series([1, 2**70, None], dtype=object),
    "nullable integers": pd.Series([1, None], dtype="Int64"),
    "nullable floats": pd.Series([1.0, None, 1e-7], dtype="Float64"),
    "nullable booleans": pd.Series([True, None], dtype="boolean"),
    "objects of many kinds": pd.Series([1, "a", None, 2.5, True, 1.0, pd.NA, pd.NaT], dtype=object),
    "integers and decimals as objects": pd.Series([1, 2.5, None, 1e16], dtype=object),
    "decimals as objects": pd.Series([1.0, None, 1e-7], dtype=object),
    "NumPy's scalars": pd.Series([np.float32(0.1), np.int8(3), np.bool_(True)], dtype=object),  # noqa: FBT003 (a value)
    "text in categories": pd.Series(["a", "b,c", None, "a"], dtype="category"),
    "integers in categories": pd.Series([1, 2, None], dtype="category"),
    "floats in categories": pd.Series([1.0, 2.5], dtype="category"),
    "times": pd.to_datetime(pd.Series(["2020-01-01 05:06:07", None, "1969-12-31 23:59:59"])),
    "times to the microsecond": pd.to_datetime(["2020-01-01 05:06:07.000001", "2020-01-01 05:06:07.123456"]),
    "times in a zone": pd.to_datetime(pd.Series(["2020-01-01 05:06:07", None]), utc=True),
    "time spans": pd.to_timedelta(["1 days 02:00:00", None, "-1 days 00:00:01"]),
    "periods": pd.Series(pd.period_range("2020-01", periods=2, freq="M")),
    "intervals": pd.Series(pd.interval_range(0, 2)),
    "dates": pd.Series([dt.date(2020, 1, 1), None], dtype=object),
    "times of day": pd.Series([dt.time(1, 2), None], dtype=object),
    "Python's decimals": pd.Series([decimal.Decimal("1.10"), decimal.Decimal("2.5"), decimal.Decimal("1E+5")]),
    "complex numbers": [1 + 2j, 3j],
    "bytes": pd.Series([b"a", None], dtype=object),
    "lists and dicts": pd.Series([[1, 2], {"a": 1}, (1, "x"), None], dtype=object),
    "nothing but None": pd.Series([None, None], dtype=object),
    "nothing but NaN": [np.nan, np.nan],
    "no row": pd.Series([], dtype=object),
}


@pytest.mark.parametrize("values", COLUMNS.values(), ids=COLUMNS.keys())
def test_a_column_is_written_as_pandas_writes_it(values: object) -> None:
    check_written(values)


@settings(max_examples=200, deadline=None, derandomize=True)
@given(values=st.lists(st.floats(), min_size=1, max_size=20), single=st.booleans())
def test_any_float_is_written_as_pandas_writes_it(values: list[float], *, single: bool) -> None:
    with np.errstate(over="ignore"):
        check_written(np.array(values).astype("float32" if single else "float64"))


@settings(max_examples=200, deadline=None, derandomize=True)
@given(exponent=st.integers(0, 16), digits=st.integers(0, 17), value=st.floats(-10, 10))
def test_any_size_of_decimal_is_written_as_pandas_writes_it(exponent: int, digits: int, value: float) -> None:
    number = round(value * 10**exponent, digits)
    check_written([number])
    check_written(np.array([number], "float32"))


@settings(max_examples=100, deadline=None, derandomize=True)
@given(values=st.lists(st.none() | st.text(st.sampled_from('a",;\n é\t')), min_size=1, max_size=9))
def test_any_text_is_quoted_where_pandas_quotes_it(values: list[str | None]) -> None:
    check_written(pd.Series(values, dtype=object))


@settings(max_examples=200, deadline=None, derandomize=True)
@given(
    rows=st.lists(st.tuples(*[st.none() | st.text('a",;\n é\t\x00', max_size=5)] * 3), max_size=9),
    first=st.integers(0, 3),
    delimiter=st.sampled_from(",\t"),
    plain_rows=st.sampled_from([0, 70]),
    kind=st.sampled_from([np.dtype(f"{sign}{size}") for sign in "iu" for size in (1, 2, 4, 8)]),
)
def test_rows_of_texts_are_quoted_where_pandas_quotes_them(
    rows: list[tuple[str | None, ...]], first: int, delimiter: str, plain_rows: int, kind: "np.dtype[Any]"
) -> None:
    """Also where only late rows need quotes, and beside the smallest and the largest integers of each type."""
    rows = [("plain",) * 3] * plain_rows + rows
    texts = [pa.array([row[at] for row in rows], pa.string()) for at in range(3)]
    numbers = np.resize(np.array([0, np.iinfo(kind).min, np.iinfo(kind).max, 7], kind), len(rows))
    table = pa.table([*texts, pa.array(numbers)], names=list("abcd")).slice(first)
    written = bytes(csv_text.render(table, delimiter=delimiter)).decode()
    assert written == table.to_pandas().to_csv(index=False, header=False, sep=delimiter)


def test_what_lies_unseen_in_a_missing_cell_is_neither_written_nor_quoted() -> None:
    hidden = pa.array([b'"a,b"', b"c", b"d,e"]).buffers()
    texts = pa.StringArray.from_buffers(3, hidden[1], hidden[2], pa.py_buffer(bytes([0b110])), 1)
    assert bytes(csv_text.render(pa.table({"x": texts, "y": [1, 2, 3]}), delimiter=",")) == b',1\nc,2\n"d,e",3\n'


def test_a_carriage_return_is_quoted_so_that_it_ends_no_row() -> None:
    assert rendered(pd.DataFrame({"x": ["a\rb", "c"], "y": 1})) == '"a\rb",1\nc,1\n'
    assert rendered(pd.DataFrame({"x": ["\r"]})) == '"\r"\n'


def test_what_is_written_reads_back_as_it_was(tmp_path: Path) -> None:
    frame = pd.DataFrame({"x": ["a\rb", "c\r\nd", '"', ",", '5" e'], "y": [0.1, 1e-7, 1e22, -0.0, 123456789012.25]})
    (tmp_path / "1.csv").write_bytes(b"x,y\n" + rendered(frame).encode())
    for at in (1, 2):
        run(same, tmp_path / f"{at}.csv", tmp_path / f"{at + 1}.csv", workers=0, part_bytes=1)
    assert sha256(tmp_path / "1.csv") == sha256(tmp_path / "3.csv")
    pd.testing.assert_frame_equal(read_by_pandas(tmp_path / "3.csv"), frame)
