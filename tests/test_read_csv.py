"""Every option of ``read_csv`` that muster has means what it means to pandas, however a file is cut."""

import datetime as dt
import io
import tempfile
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from conftest import Muster
from muster import MusterError, UsageError, read_csv, run
from muster._dialects import Dialect, Reading
from muster._dialects.options import understood
from muster._formats import csv
from muster._formats.inputs import Inputs
from muster._formats.kinds import ARROW_TYPES
from muster._formats.rows import Rows, to_pandas, type_of
from muster._formats.sources import find_sources
from muster._job import Options as RunOptions
from muster._model import Part

Options = dict[str, Any]


def by_pandas(path: Path, options: Options) -> pd.DataFrame:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        frame = cast("pd.DataFrame", pd.read_csv(path, low_memory=False, index_col=False, **options))
        objects = frame.select_dtypes(object)
        in_zones = [name for name, cells in objects.items() if any(isinstance(cell, dt.datetime) for cell in cells)]
        if in_zones:  # before version 3, pandas makes objects of moments in several zones
            plain = {name: value for name, value in options.items() if name != "parse_dates"}
            texts = pd.read_csv(path, low_memory=False, index_col=False, **plain)
            frame = frame.assign(**{str(name): texts[name] for name in in_zones})
        return frame


def answer(questions: Sequence[Any]) -> list[Any]:
    return [question.answer() for question in questions]


def by_muster(path: Path, options: Options, **cut: int | None) -> tuple[pd.DataFrame, dict[int, str]]:
    """Put together again what a function would be given, part by part; also tell which rows would be rejected."""
    dialect, reading = understood(options, Dialect(), Reading())
    with tempfile.TemporaryDirectory() as spool:
        sources = find_sources([str(path)])
        inputs = Inputs(sources, RunOptions(dialect=dialect, reading=reading, **cut), Path(spool))  # type: ignore[arg-type]
        inputs.survey(answer)
        parts = [part for more in inputs.feed() for part in more]
        inputs.observe(answer, parts[:2], everything=False)  # so that much is a late surprise
        while True:
            read = [read_part(inputs, part) for part in parts if not part.fault]
            misfits = next((rows.misfits for rows in read if rows.misfits), None)
            if misfits is None:
                break
            inputs.widen(answer, parts, misfits)
    bad = {row: error for rows in read for row, error in rows.bad.items()}
    bad |= {part.row: part.fault for part in parts if part.fault}
    assert [len(rows.numbers) + len(rows.bad) for rows in read] == [part.rows for part in parts if not part.fault]
    if not read:
        read = [
            Rows(pa.schema([(c.name, ARROW_TYPES[type_of(c)]) for c in inputs.columns]).empty_table(), np.array([]))
        ]
    header = not dialect.is_numbered
    frames = [to_pandas(rows.table, rows.numbers, inputs.columns, header=header) for rows in read]
    return pd.concat(frames), bad


def read_part(inputs: Inputs, part: Part) -> Rows:
    path, origin = (part.local_copy.path, part.local_copy.origin) if part.local_copy else (inputs.sources[0].path, 0)
    return csv.read(
        Path(path).read_bytes()[part.start - origin : part.stop - origin],
        row=part.row,
        order=inputs.orders[0],
        columns=inputs.columns,
        dialect=inputs.worker_dialect,
        reading=inputs.options.reading,
    )


def check(data: bytes, options: Options, **cut: int | None) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "rows.csv")
        path.write_bytes(data)
        expected = by_pandas(path, options)
        frame, bad = by_muster(path, options, **cut)
    pd.testing.assert_frame_equal(frame, expected, check_exact=True, check_index_type=len(expected) > 0)
    assert bad == {}


@dataclass(frozen=True)
class Case:
    """Some text, and how it is to be read."""

    text: str
    options: Options = field(default_factory=dict)
    encoding: str = "utf-8"


SLASH = "\\"
CASES = {
    "a separator": Case("a;b\n1;2,5\n", {"sep": ";"}),
    "a delimiter": Case("a|b\n1|2,5\n", {"delimiter": "|"}),
    "a quote": Case("a,b\n'x, ''y',2\n\"z,3\n", {"quotechar": "'"}),
    "no quoting": Case('a,b\n"x,2\n', {"quoting": 3}),
    "a header as number": Case("a,b\n1,2\n", {"header": 0}),
    "no header": Case("a,b\n1,2\n", {"header": None}),
    "names instead of a header": Case("1,x\n2,y\n", {"names": ["n", "t"]}),
    "names in place of a header": Case("a,b\n1,x\n2,y\n", {"names": ["n", "t"], "header": 0}),
    "names for positions": Case("a,b,c\n1,x,2\n", {"names": ["n", "t"], "header": 0, "usecols": [2, 0]}),
    "a header further down": Case('report\n\n"of, many\nlines",x\na,b\n1,2\n', {"header": 2}),
    "lines passed over": Case('5" pipe\n\n"two\nlines",\na,b\n1,2\n', {"skiprows": 3}),
    "lines passed over, and rows": Case("x\n\ny\na,b\n1,2\n", {"skiprows": 1, "header": 1}),
    "lines passed over without a header": Case("x\n1,2\n3,4\n", {"skiprows": 1, "header": None}),
    "units under the header": Case("a,b\nkg,m\n1,2\n", {"skiprows": [1]}),
    "some lines of the top": Case("x\na,b\n\nkg,m\n1,2\n", {"skiprows": [0, 3]}),
    "a mark before what is passed over": Case("\ufeffx\na,b\n1,2\n", {"skiprows": 1}),
    "lines that end in returns": Case("x\r\ra,b\r1,2\r", {"skiprows": 1}),
    "columns by name": Case("a,b,c\n1,x,2\n", {"usecols": ["c", "a"]}),
    "columns by position": Case("a,b,c\n1,x,2\n", {"usecols": [2, 1]}),
    "numbered columns by position": Case("1,x,2\n", {"usecols": [2, 1], "header": None}),
    "Namibia": Case('a,b\nNA,1\n"",2\nnan,3\n', {"keep_default_na": False}),
    "missing by other names": Case("a,b\n-,1\n3,?\n,5\n", {"na_values": ["-", "?"]}),
    "missing by one other name": Case("a,b\n-,1\n3,-5\n", {"na_values": "-"}),
    "missing by other names alone": Case("a,b\n-,1\nNA,2\n", {"na_values": ["-"], "keep_default_na": False}),
    "missing in one column": Case("a,b\n-,1\n3,-\n,5\n", {"na_values": {"a": ["-"]}}),
    "missing in one column alone": Case("a,b\n-,1\n3,-\n,5\n", {"na_values": {"a": "-"}, "keep_default_na": False}),
    "a number that is missing": Case("a,b,c\n-999,-999,x\n1,2.5,-999\n3,-999.00,y\n", {"na_values": [-999]}),
    "a number that is missing among integers": Case("a\n0\n0.0\n00\n1e0\n", {"na_values": [0]}),
    "nothing missing": Case("a,b\n,1\nNA,2\n", {"na_filter": False, "na_values": ["1"]}),
    "true and false": Case("a,b\nyes,true\nno,False\nTrue,\n", {"true_values": ["yes"], "false_values": ["no"]}),
    "true and false numbers": Case(
        "a,b,c,d\n1,1,1,1\n0,no,0,x\n1,yes,2,no\n", {"true_values": ["yes", "1"], "false_values": ["no", "0"]}
    ),
    "a comma for a point": Case("a;b\n1,5;x\n2;1.5\n", {"sep": ";", "decimal": ","}),
    "thousands": Case('a,b,c\n"1,234",x,"1,2,"\n"1,234,567.5","1,0","3"\n', {"thousands": ","}),
    "thousands with points": Case("a;b\n1.234,5;1.234\n2;1\n", {"sep": ";", "decimal": ",", "thousands": "."}),
    "points that are thousands": Case("a,b\n1.5,1.5\n2,1e5\n", {"thousands": "."}),
    "thousands of large numbers": Case(
        'a,b\n"18,446,744,073,709,551,615","18,446,744,073,709,551,616"\n1,1\n', {"thousands": ","}
    ),
    "comments": Case('#x\na,b#y\n#"z\n1,2#"\n"3#",4\n3,5 # 6\n\n', {"comment": "#"}),
    "a comment behind a quote": Case('a,b\n"x"#c,1\n', {"comment": "#"}),
    "escapes": Case(f'a,b\nx{SLASH},y,1\n"{SLASH}"",2\nz{SLASH}\nz,3\n{SLASH}"q,4\n', {"escapechar": SLASH}),
    "escapes behind a quote": Case(f'a,b\n"x"{SLASH},2\n', {"escapechar": SLASH}),
    "quotes that are not doubled": Case('a,b\n"x""y",1\n"z",2\n', {"doublequote": False}),
    "quotes that are escaped": Case(
        f'a,b\n"x{SLASH}"y{SLASH}{SLASH}",1\n', {"doublequote": False, "escapechar": SLASH}
    ),
    "blank lines and lines to skip": Case(" \nx\n\t\na,b\n \n1,2\n", {"skiprows": 2}),
    "a list of lines to skip among blank ones": Case(" \nx\n\t\na,b\n \n1,2\n", {"skiprows": [1]}),
    "blank lines before a header further down": Case(" \nx,y\n\t\na,b\n \n1,2\n", {"header": 1}),
    "blank lines and comments": Case(" \na\n  #x\n#y\n\t\n1\n \t", {"comment": "#"}),
    "blank lines and escapes": Case(f"a,b\n \n1,2{SLASH}\n \n\t\n3,4\n", {"escapechar": SLASH}),
    "blank lines and blanks before cells": Case("a,b\n  \n 1, 2\n\t\n", {"skipinitialspace": True}),
    "blanks before cells": Case('a, b\n 1, "x, y"\n  NA,  z\n', {"skipinitialspace": True}),
    "bytes that are replaced": Case("a,b\ncaf\udce9,1\n", {"encoding_errors": "replace"}),
    "bytes that are ignored": Case("a,b\ncaf\udce9,1\n", {"encoding_errors": "ignore"}),
    "another encoding": Case("a,b\ncafé,1\n", {"encoding": "latin-1"}, "latin-1"),
    "two bytes a character": Case(
        "x\na,b\ncafé,1\n#\n", {"encoding": "utf-16", "skiprows": 1, "comment": "#"}, "utf-16"
    ),
    "dates": Case("a,b\n2024-01-02,2024-01-02\nNA,x\n2024-03-04,\n", {"parse_dates": ["a"]}),
    "dates by position": Case("a,b,c\n1,2024-01-02,3\n", {"parse_dates": [0], "usecols": [1, 2]}),
    "dates of which one is none": Case("a\n2024-01-02\n2024-01-03\n2024-01-04\n-\n", {"parse_dates": ["a"]}),
    "days and months by the first": Case(
        "a,b\n01/02/2024,13/02/2024\n13/02/2024,01/02/2024\n", {"parse_dates": ["a", "b"]}
    ),
    "days first": Case("a\n01/02/2024\n13/02/2024\n", {"parse_dates": ["a"], "dayfirst": True}),
    "a format": Case("a,b\n02.01.24,1\n03.01.24,2\n", {"parse_dates": ["a"], "date_format": "%d.%m.%y"}),
    "a format for one": Case(
        "a,b\n02.01.24,2024-01-02\n03.01.24,2024-01-03\n", {"parse_dates": ["a", "b"], "date_format": {"a": "%d.%m.%y"}}
    ),
    "a format that is mixed": Case("a\n2024-01-02\n2024-01-03 10:00\n", {"parse_dates": ["a"], "date_format": "mixed"}),
    "times among dates": Case("a\n2024-01-02\n2024-01-03 10:00\n", {"parse_dates": ["a"]}),
    "times in a zone": Case("a\n2024-01-02T00:00:00+01:00\nNA\n2024-01-02T05:00:00+01:00\n", {"parse_dates": ["a"]}),
    "times in UTC": Case("a\n2024-01-02T00:00:00Z\n2024-01-02T05:00:00Z\n", {"parse_dates": ["a"]}),
    "times in two zones": Case("a\n2024-01-02T00:00:00+01:00\n2024-01-02T05:00:00+02:00\n", {"parse_dates": ["a"]}),
    "nanoseconds": Case(
        "a\n2024-01-02T00:00:00.5\n2024-01-02T00:00:00.123\n2024-01-02T00:00:00.123456789\n", {"parse_dates": ["a"]}
    ),
    "nanoseconds and the Middle Ages": Case(
        "a\n1024-01-02T00:00:00.5\n2024-01-02T00:00:00.123456789\n", {"parse_dates": ["a"]}
    ),
    "dates after nothing": Case("a,b\n,1\n,2\n,3\n2024-01-02,4\n", {"parse_dates": ["a"]}),
    "no dates at all": Case("a,b\n,1\nNA,2\n", {"parse_dates": ["a"]}),
    "dates that are not missing": Case("a,b\nNaT,1\n05/06/2024,2\n", {"parse_dates": ["a"], "keep_default_na": False}),
    "numbers that are no dates": Case("a,b\n1,1\n2,2\n", {"parse_dates": ["a"]}),
    "numbers that are dates": Case("a,b\n20240102,1\n20240103,2\n", {"parse_dates": ["a"]}),
    "what does not matter": Case("a,b\n1,2\n", {"low_memory": True, "engine": "c", "nrows": None}),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_an_option_means_what_it_means_to_pandas(case: Case) -> None:
    options = {name: value for name, value in case.options.items() if name != "low_memory"}
    for part_bytes in (1, 7, None):
        check(case.text.encode(case.encoding, "surrogateescape"), options, part_bytes=part_bytes)
    check(case.text.encode(case.encoding, "surrogateescape"), options, part_bytes=3, batch_rows=2)


# Any dialect, any file


@st.composite
def dialects(draw: st.DrawFn) -> Options:
    """Draw how a file is written and read: marks that differ, and options that need not be said."""
    options: Options = {"sep": draw(st.sampled_from([",", ";", "\t", "|"]))}
    optional: dict[str, st.SearchStrategy[Any]] = {
        "quotechar": st.just("'"),
        "escapechar": st.sampled_from([SLASH, "^"]),
        "comment": st.sampled_from(["#", "%"]),
        "doublequote": st.booleans(),
        "skipinitialspace": st.booleans(),
        "thousands": st.sampled_from([",", ".", "_"]),
        "decimal": st.sampled_from([",", "."]),
        "na_values": st.sampled_from([["-"], ["x", "1"], [0, "y"], {"a": ["x", "2"]}, "z"]),
        "keep_default_na": st.booleans(),
        "na_filter": st.booleans(),
        "true_values": st.sampled_from([["yes"], ["1", "y"]]),
        "false_values": st.sampled_from([["no"], ["0", "n"]]),
        "parse_dates": st.sampled_from([["a"], [0]]),
        "dayfirst": st.booleans(),
        "usecols": st.sampled_from([["a"], ["b", "a"], [1], [0, 2]]),
    }
    for name in draw(st.sets(st.sampled_from(sorted(optional)), max_size=5)):
        options[name] = draw(optional[name])
    return options


CELLS = (
    *("", "NA", "nan", "-", "x", "y", "yes", "no", "True", "false", "é", "a b", " 7", "0x10", "inf"),
    *("0", "1", "2", "-5", "007", "1,234", "1.234", "1_0", "1,5", "2.5", "1.000,5", "1,000.5", "0.0", "1e3", "1e1,0"),
    *("2024-01-02", "2024-13-01", "01/02/2024", "13/02/2024", "2024-01-02 10:00", "2024-01-02 10:00:00.123456789"),
    *(
        "2024-01-02T10:00:00Z",
        "2024-01-02T10:00:00+01:00",
        "10 Jan 2024",
        "NaT",
        "18446744073709551616",
        "18446744073709551615",
    ),
    *(
        "with\nline",
        "with\r\nline",
        "it's",
        'a "quote"',
        "#no",
        "50%",
        "back\\slash",
        "^",
        "a,b",
        "a;b",
        "a|b",
        "\ttab",
    ),
)
ORDINARY = ("1", "2", "2.5", "x", "", "yes", "1,234", "True", "2024-01-02", "2024-11-12")


def goes_by_the_order(cells: set[str]) -> bool:
    """Tell whether pandas may go by the order of cells: see docs/types.md on whole numbers beyond 64 bits."""
    is_beyond_signed = len(cells) > 2 and "18446744073709551615" in cells
    is_missing_beside = bool(cells & {"", "NA", "nan"})
    return ("18446744073709551616" in cells and len(cells) > 1) or (is_beyond_signed and is_missing_beside)


def mark(options: Options, name: str, default: str = "") -> str:
    return str(options.get(name) or default)


def written(cell: str, options: Options, *, quoted: bool) -> str:
    """Write a cell so that it is read as itself, where the dialect can say it at all; else something like it."""
    quote, escape = mark(options, "quotechar", '"'), mark(options, "escapechar")
    doubled = options.get("doublequote", True)
    special = f"\r\n{options['sep']}{quote}{escape}{mark(options, 'comment')}"
    if escape:
        cell = cell.replace(escape, escape * 2)
    if quoted or any(byte in cell for byte in special):
        inner = cell.replace(quote, quote * 2 if doubled else f"{escape}{quote}" if escape else "")
        return f"{quote}{inner}{quote}"
    return cell


@st.composite
def files(draw: st.DrawFn) -> tuple[Options, str]:
    """Draw a file of three columns in a drawn dialect."""
    options = draw(dialects())
    width = 3
    cells = st.sampled_from(CELLS) | st.sampled_from(ORDINARY)
    columns = draw(st.lists(st.lists(cells, min_size=1, max_size=3), min_size=width, max_size=width))
    assume(not any(goes_by_the_order({*column}) for column in columns))
    rows = draw(st.lists(st.tuples(*(st.sampled_from(column) for column in columns)), max_size=9))
    comment = mark(options, "comment")
    line_ends = draw(st.sampled_from([["\n"], ["\r\n"], ["\r"], ["\n", "\r\n", "\r"]]))
    top = draw(st.lists(st.sampled_from(["report", "", 'of "this', '5" pipe', "'", "x,y", "#", "\\"]), max_size=2))
    lines = [*top, options["sep"].join("abc")]
    for row in rows:
        quoted = draw(st.booleans())
        lines.append(options["sep"].join(written(cell, options, quoted=quoted or not cell) for cell in row))
        if comment and draw(st.booleans()):
            lines[-1] += f"{comment} note {mark(options, 'quotechar', chr(34))}"
        if draw(st.integers(0, 5)) == 0:
            lines.append(
                draw(
                    st.sampled_from(
                        ["", " ", "  " if options["sep"] == "\t" else " \t", f"{comment}x" if comment else ""]
                    )
                )
            )
    if top:
        options["skiprows"] = len(top)
    ends = draw(st.lists(st.sampled_from(line_ends), min_size=len(lines), max_size=len(lines)))
    for at, line in enumerate(top):
        ends[at] = ends[at] if line else "\n"  # of a blank line that ends in "\r" pandas skips the next one, too
    text = "".join(line + end for line, end in zip(lines, ends, strict=True))
    if draw(st.booleans()):
        text = text.rstrip("\r\n")
    return options, draw(st.sampled_from(["", "\ufeff"])) + text


@settings(max_examples=150, deadline=None, derandomize=True)
@given(
    file=files(),
    part_bytes=st.sampled_from([1, 2, 5, 20, 100, None]),
    batch_rows=st.sampled_from([None, None, 1, 2, 5]),
)
def test_any_dialect_is_read_as_pandas_reads_the_whole_file(
    file: tuple[Options, str], part_bytes: int | None, batch_rows: int | None
) -> None:
    options, text = file
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "rows.csv")
        path.write_bytes(text.encode())
        try:
            expected = by_pandas(path, options)
        except (ValueError, pd.errors.ParserError):  # a quote of the top that is never closed
            return
        frame, bad = by_muster(path, options, part_bytes=part_bytes, batch_rows=batch_rows)
    assert len(frame) + len(bad) == len(expected)
    good = expected.loc[frame.index] if bad else expected
    pd.testing.assert_frame_equal(frame, good, check_exact=True, check_index_type=False)


@st.composite
def files_with_blank_lines(draw: st.DrawFn) -> tuple[str, str]:
    """Draw a delimiter, and a file of one column or two among whose lines are some of blanks alone."""
    delimiter, width = draw(st.sampled_from([",", "\t", " "])), draw(st.sampled_from([1, 2]))
    rows = ["1", '" \n\t"', '"x\n \n"']
    if delimiter != " ":
        rows += [" 2", "x y "]
    if width == 2:
        rows = [delimiter, *(f"{row}{delimiter}{cell}" for row in rows for cell in ("", "7", '"\n "'))]
    blank = [line for line in ("", " ", "   ", "\t", "\t\t", " \t ") if delimiter not in line]
    lines = draw(st.lists(st.sampled_from(blank) | st.sampled_from(rows), max_size=9))
    lines = [*draw(st.lists(st.sampled_from(blank), max_size=2)), delimiter.join("ab"[:width]), *lines]
    ends = draw(st.lists(st.sampled_from(["\n", "\r\n"]), min_size=len(lines), max_size=len(lines)))
    text = "".join(line + end for line, end in zip(lines, ends, strict=True))
    return delimiter, text.removesuffix("\n") if draw(st.booleans()) else text


@settings(max_examples=150, deadline=None, derandomize=True)
@given(
    file=files_with_blank_lines(),
    part_bytes=st.sampled_from([1, 9, None]),
    batch_rows=st.sampled_from([None, 2]),
    more=st.sampled_from([{}, {"comment": "#"}, {"keep_default_na": False}]),
)
def test_lines_of_blanks_alone_are_rows_where_they_are_for_pandas(
    file: tuple[str, str], part_bytes: int | None, batch_rows: int | None, more: Options
) -> None:
    delimiter, text = file
    check(text.encode(), {"sep": delimiter, **more}, part_bytes=part_bytes, batch_rows=batch_rows)


# What is said when an option cannot be taken

REFUSED = {
    "nrows": (5, "nrows is not offered: a run is about every row."),
    "index_col": (0, "index_col is not offered"),
    "float_format": (
        "%.2f",
        "float_format is not offered: numbers are written as to_csv writes them. Do it in the function",
    ),
    "na_rep": ("NA", "na_rep is not offered"),
    "chunksize": (10, "batch_rows=N gives them a size"),
    "converters": ({"a": str}, "the function may do it"),
    "on_bad_lines": ("skip", "rejects"),
    "skip_blank_lines": (False, "too few cells"),
    "usecols": (lambda name: name == "a", "is a function here"),
    "skiprows": (lambda line: line == 1, "is a function here"),
    "sep": (r"\s+", "one byte"),
    "header": ([0, 1], "one name each"),
    "names": (["a", "a"], "in it twice"),
    "thousands": ("1", "no letter, digit"),
    "comment": (",", "must differ"),
    "encoding_errors": ("surrogateescape", "one of strict"),
    "quoting": (2, "Say 0"),
    "delimiters": (";", "There is no option delimiters"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_an_option_that_cannot_be_taken_is_refused_in_words(name: str) -> None:
    value, words = REFUSED[name]
    with pytest.raises(UsageError) as raised:
        read_csv("rows.csv", **{name: value})  # type: ignore[arg-type]
    assert words in str(raised.value)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"usecols": ["a", "z"]}, "usecols names columns that the input has not: 'z'"),
        ({"usecols": [7]}, "usecols names columns that the input has not: 7"),
        ({"names": ["x"], "header": 0}, "names: there is 1 name, and the first row has 2 cells"),
        ({"skiprows": 9}, "skiprows=9: there is no header or row behind that"),
        ({"skiprows": [3]}, "line 3 stands behind the first row"),
    ],
)
def test_an_option_that_does_not_fit_the_file_is_refused_in_words(tmp_path: Path, options: Options, words: str) -> None:
    (tmp_path / "rows.csv").write_text("a,b\n1,2\n3,4\n5,6\n")
    with pytest.raises(MusterError) as raised:
        by_muster(tmp_path / "rows.csv", options)
    assert words in str(raised.value)


@pytest.mark.parametrize("name", ["rows.jsonl", "rows.parquet"])
def test_options_of_csv_are_refused_for_other_formats(tmp_path: Path, name: str) -> None:
    pd.DataFrame({"a": [1]}).to_parquet(tmp_path / "rows.parquet")
    (tmp_path / "rows.jsonl").write_text('{"a": 1}\n')
    with pytest.raises(UsageError, match="na_values: that is for CSV"):
        run(same, tmp_path / name, tmp_path / "out.csv", workers=0, na_values=["-"])


def same(df: pd.DataFrame) -> pd.DataFrame:
    return df


def test_the_command_line_takes_the_options_by_pandas_names(tmp_path: Path, muster: Muster) -> None:
    (tmp_path / "f.py").write_text("def f(df):\n    return df.assign(kinds=' '.join(map(str, df.dtypes)))\n")
    (tmp_path / "rows.csv").write_text(
        "report\nday;land;sum;paid;note\n1;NA;1.234,5;yes;x\n-;SE;2;no;y;\n-;SE;2;no;'y;z'\n#end\n"
    )
    flags = "--sep ; --quotechar ' --skiprows 1 --comment # --decimal , --thousands . --na-values - --usecols 0,1,2,3"
    flags += " --no-keep-default-na --true-values yes --false-values no"
    ended = muster("run", "f.py:f", "rows.csv", "-o", "out.csv", *flags.split(), "--workers", "1", "--json")
    assert ended.code == 4, ended.err
    assert (ended.json["rows_out"], ended.json["bad_rows"]) == (2, 1)
    text = pd.read_csv(io.StringIO("a\nx\n"))["a"].dtype
    kinds = f"float64 {text} float64 bool"
    assert (
        tmp_path / "out.csv"
    ).read_text() == f"day,land,sum,paid,kinds\n1.0,NA,1234.5,True,{kinds}\n,SE,2.0,False,{kinds}\n"
    again = muster("run", "f.py:f", "rows.csv", "-o", "new.csv", "--header", "none", "--names", "a,b")
    assert again.code == 1
    assert "names: there are 2 names, and the first row has 1 cell." in again.err
    left_out = muster("run", "f.py:f", "rows.csv", "-o", "new.csv", "--nrows", "5")
    assert (left_out.code, "--nrows is not offered: a run is about every row." in left_out.err) == (2, True)
    odd = muster("run", "f.py:f", "rows.csv", "-o", "new.csv", "--skiprows", "x")
    assert (odd.code, "--skiprows x: it must be" in odd.err) == (2, True)


def test_a_run_is_not_resumed_under_other_rules_for_its_cells(tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text("a\n" + "1\n" * 50 + "-\n")
    options: dict[str, Any] = {"workers": 0, "strict": True, "part_bytes": 1, "dtype": {"a": "int"}}
    with pytest.raises(MusterError):
        run(same, tmp_path / "rows.csv", tmp_path / "out.csv", **options)
    with pytest.raises(MusterError, match="na_values was none, and is '-' now"):
        run(same, tmp_path / "rows.csv", tmp_path / "out.csv", na_values="-", **options)


@pytest.mark.parametrize("option", ["usecols", "parse_dates"])
def test_positions_are_refused_where_files_have_different_columns_there(tmp_path: Path, option: str) -> None:
    files = [tmp_path / "one.csv", tmp_path / "two.csv"]
    files[0].write_text("a,b,c\n1,2,3\n")
    files[1].write_text("a,c\n4,5\n")
    said: Options = {option: [1], "workers": 0}
    expected = rf"{option} names columns by position, .*one\.csv' has a, b, c where .*two\.csv' has a, c\. Say their"
    with pytest.raises(UsageError, match=expected):
        run(lambda df: df, files, tmp_path / "out.csv", **said)
    (tmp_path / "empty.csv").write_text("")
    run(lambda df: df, [files[0], tmp_path / "empty.csv"], tmp_path / "out.csv", **said)


@pytest.mark.parametrize("text", ["", "\n", "title\n"])
def test_names_of_a_file_without_rows_are_the_columns_of_the_output(tmp_path: Path, text: str) -> None:
    (tmp_path / "in.csv").write_text(text)
    said: Options = {"names": ["a", "b"], "header": None, "skiprows": 1 if text.strip() else 0}
    run(lambda df: df, tmp_path / "in.csv", tmp_path / "out.csv", workers=0, dtype={"a": "str"}, **said)
    assert (tmp_path / "out.csv").read_text() == by_pandas(tmp_path / "in.csv", said).to_csv(index=False) == "a,b\n"


@pytest.mark.parametrize(
    ("text", "options", "asked"),
    [
        ("a;b\n1,5;2\n", {}, "separated by ';', say so: --sep ';'"),
        ("a\tb\n1\t2\n", {}, r"separated by '\t', say so: --sep $'\t'"),
        ("a,b\n1,2\n", {"sep": ";"}, "separated by ',', say so: --sep ','"),
        ("a\n1\n", {}, ""),
        ("a;b,c\n1,2\n", {}, ""),
        ("a;b\n1;2\n", {"sep": ";"}, ""),
    ],
)
def test_a_file_of_one_column_with_a_mark_in_its_name_is_asked_about(
    tmp_path: Path, text: str, options: Options, asked: str
) -> None:
    (tmp_path / "in.csv").write_text(text)
    dialect, reading = understood(options, Dialect(), Reading())
    sources = find_sources([str(tmp_path / "in.csv")])
    inputs = Inputs(sources, RunOptions(dialect=dialect, reading=reading), tmp_path)
    inputs.survey(answer)
    assert len(inputs.notes) == bool(asked)
    assert asked in "".join(inputs.notes)
