"""Lines that cannot be read cost a row each, whatever is wrong with them, and whichever parser looks first."""

import csv as python_csv
import io
import json
import pickle
from pathlib import Path
from typing import Any, Final

import pandas as pd
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

import muster
from muster._dialects import Dialect
from muster._formats import csv, jsonl, survey
from muster._formats._questions import Head, Observe, Scan
from muster._formats.newlines import each_line
from muster._formats.no_rows import NoRow, why_of
from muster._formats.rows import to_pandas
from muster._formats.sources import find_sources
from muster._job import Job, Options
from muster._model import Briefing, Column, Outcome, Target, Task
from muster._run.runner import run
from muster._run.staffing.bodies import make_body
from muster._user_code.targets import of_function
from muster._worker.task import TaskBody
from muster.errors import DataError
from muster.testing import FakeEngine

WHOLE: Final = frozenset({"integer"})
JSON: Final = Dialect(delimiter="", quote="")

NO_OBJECTS: Final = (
    *(b"null", b"[1]", b"1", b'"x"', b"true", b"NaN", b"{", b"}", b"{}{}", b'{"a":1}{"a":2}', b'{"a":1} null'),
    *(b'null {"a":1}', b'{"a":1,}', b"{'a':1}", b'{"a":01}', b'{"a":+1}', b'{"a":.5}', b'{"a":1.}', b'{"a":Inf}'),
    *(
        b'{"a":1} // so',
        b'{"a":1 /* so */}',
        b'{"a":1}\0}',
        b'\0{"a":1}',
        b'{"b":"\0"}',
        b'{"b":"\t"}',
        b'{"b":"\xff"}',
    ),
    *(b'{"b":"\\ud800"}', b'{"b":"\\udc00x"}', b'{"b":"\\x41"}', b'{"\xff":1}', b'{"a":' + b"1" * 4301 + b"}"),
    *(b'{"c":' + b"[" * 600 + b"]" * 600 + b"}", b'{"a":1', b'"b":2}', b"\x0b", b'{"a":1}\x0c', b"{a:1}", b'{"a" 1}'),
)
OBJECTS: Final = (
    *(b"{}", b'{"a":1}', b' {"a":2}\t', b'{"a":3}\r', b'{"a":1,\r"b":"x"}', b'{"a":4,"b":"y"}', b'{"a":1,"a":5}'),
    *(b'{"\\u0061":6}', b'{"b":"\\u0000"}', b'{"b":"\\ud83d\\ude00"}', b'{"a":-0}', b'{"a":null}', b'{"a":NaN}'),
    *(b'\xef\xbb\xbf{"a":8}', b'{"b":"a\\/b\\\\ {} [ ]"}', b'{"b":"\xc3\xa9"}', b'{"b":""}', b'{"":1}'),
    *(b'{"a":' + str(2**63).encode() + b"}", b'{"a":1e3}', b'{"a":Infinity}', b'{"c":' + b"[" * 90 + b"]" * 90 + b"}"),
    b'{"a":"{\\"a\\":1}"}',
)
BLANKS: Final = (b"", b" ", b"\t\r", b"\r", b"\xef\xbb\xbf")


def as_python_reads(line: bytes) -> dict[str, Any] | None:
    """Read a line as an object of JSON; ``None`` for anything else."""
    try:
        value = json.loads(line.decode().removeprefix("\ufeff"))
        json.dumps(value, ensure_ascii=False).encode()
    except ValueError:
        return None
    return value if isinstance(value, dict) and line.count(b"[") <= 500 else None


def assert_read_as_python_does(data: bytes) -> None:
    """Hold what is read of ``data`` against each of its lines alone."""
    expected = [
        as_python_reads(line) for line in data.split(b"\n") if line.removeprefix(b"\xef\xbb\xbf").strip(b" \t\r")
    ]
    columns = tuple(Column(name, kinds) for name, kinds in jsonl.observe(data).items())
    rows = jsonl.read(data, row=0, count=len(expected), columns=columns)
    assert not rows.misfits
    assert sorted(rows.bad) == [at for at, row in enumerate(expected) if row is None]
    assert rows.numbers.tolist() == [at for at, row in enumerate(expected) if row is not None]
    frame = to_pandas(rows.table, rows.numbers, columns, header=True)
    for column in columns:
        for at, value in zip(rows.numbers.tolist(), frame[column.name], strict=True):
            row = expected[at]
            assert row is not None
            wanted = row.get(column.name)
            if wanted is None or wanted != wanted:  # noqa: PLR0124 (NaN)
                assert pd.isna(value)
            else:
                assert value == (float(wanted) if frame[column.name].dtype == float else wanted), column


@pytest.mark.parametrize("line", NO_OBJECTS)
@pytest.mark.parametrize("others", [b'{"a":7,"b":"z"}', b'{"a":7.5}', b'{"a":7,"b":"z","c":[1]}'])
def test_a_line_that_is_no_object_is_a_bad_row_first_and_last_and_between(line: bytes, others: bytes) -> None:
    """Also where all others are what Arrow reads at once, and where they are not."""
    for order in ([line, others, others], [others, line, others], [others, others, line], [line], [line, line]):
        assert_read_as_python_does(b"\n".join(order))
        assert_read_as_python_does(b"\n".join(order) + b"\n")
    assert as_python_reads(line) is None


@given(st.lists(st.sampled_from([*OBJECTS, *BLANKS]) | st.sampled_from([*OBJECTS, *NO_OBJECTS, *BLANKS]), max_size=8))
@settings(max_examples=600, deadline=None)
def test_lines_are_read_as_python_reads_each_of_them(texts: list[bytes]) -> None:
    assert_read_as_python_does(b"\n".join(texts))


@given(why=st.text(min_size=1), place=st.text(), came=st.text(), columns=st.integers(1, 6))
@settings(max_examples=200, deadline=None)
def test_what_is_no_row_says_why_as_a_record_with_too_many_cells(why: str, place: str, came: str, columns: int) -> None:
    written = io.StringIO()
    cells = NoRow(why, place, came).cells(columns)
    python_csv.writer(written, lineterminator="\r\n").writerow(cells)
    assert (why_of(written.getvalue()), len(cells) > columns) == (why, True)


@given(
    st.lists(st.sampled_from([b"1.5", b"2", b"-0", b"-0.0", b"1e5", b"1E-5", b"1e400", b"NaN", b"-Infinity", b"null"])),
    st.sampled_from(
        [b"0.5", b"9007199254740993", b"9223372036854775807", b"9223372036854775808", b"1e19", b"Infinity"]
    ),
)
@settings(max_examples=200, deadline=None)
def test_a_number_is_read_alike_whether_a_sample_showed_it_or_not(seen: list[bytes], late: bytes) -> None:
    """What widens a type when it comes late is a misfit; everything else has the value that Python gives it."""
    before = b"".join(b'{"a":%b}\n' % number for number in [b"1.5", *seen])
    columns = tuple(Column(name, kinds) for name, kinds in jsonl.observe(before).items())
    data = before + b'{"a":%b}\n' % late
    together = jsonl.observe(data)
    rows = jsonl.read(data, row=0, count=len(seen) + 2, columns=columns)
    if not rows.misfits:
        widened = (Column("a", together["a"]),)
        again = jsonl.read(data, row=0, count=len(seen) + 2, columns=widened)
        assert rows.table.equals(again.table)
        assert_read_as_python_does(data)


@given(
    st.lists(
        st.sampled_from([b'{"a":1}', b"{", b" ", b"\r", b"\n", b"\n\n", b"\r\n", b"\xef\xbb\xbf", b"x"]), max_size=30
    ),
    st.integers(1, 20),
    st.sampled_from([None, 1, 3]),
)
@example([b"\xef\xbb\xbf", b"\n", b'{"a":1}'], 4, 1)
@settings(max_examples=150, deadline=None)
def test_lines_are_counted_alike_by_whoever_splits_them(
    tmp_path_factory: pytest.TempPathFactory, pieces: list[bytes], atom: int, batch_rows: int | None
) -> None:
    path = tmp_path_factory.getbasetemp() / "counted.jsonl"
    path.write_bytes(b"".join(pieces))
    found = survey.survey_lines(
        find_sources([str(path)]),
        lambda questions: [question.answer() for question in questions],
        dialect=JSON,
        atom=atom,
        batch_rows=batch_rows,
    )
    data = path.read_bytes()
    expected = [line for line in data.split(b"\n") if line.removeprefix(b"\xef\xbb\xbf").strip(b" \t\r")]
    assert sum(part.rows for part in found.parts) == len(expected)
    for part in found.parts:
        own = data[part.start : part.stop]
        assert [own[start:end].strip() for start, end in each_line(own)] == [
            line.strip() for line in expected[part.row : part.row + part.rows]
        ]


@pytest.mark.parametrize("workers", [0, 2])
def test_a_run_over_faulty_lines_ends_and_has_each_of_them_in_the_rejects(tmp_path: Path, workers: int) -> None:
    texts = [*NO_OBJECTS, *OBJECTS, *NO_OBJECTS, *(b'{"a":%d}' % at for at in range(2000)), b"null"]
    (tmp_path / "in.jsonl").write_bytes(b"\n".join(texts) + b"\n")
    result = muster.run(lambda df: df[["a"]], tmp_path / "in.jsonl", tmp_path / "out.jsonl", workers=workers)
    rejects = [json.loads(text) for text in (tmp_path / "out.jsonl.rejects.jsonl").read_text().splitlines()]
    expected = [at for at, line in enumerate(texts) if as_python_reads(line) is None]
    assert [reject["row"] for reject in rejects] == expected
    assert all(reject["raw"].encode() == texts[reject["row"]] for reject in rejects if texts[reject["row"]].isascii())
    assert (result.rows_in, result.rows_out) == (len(texts), len(texts) - len(expected))


# CSV


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"3,caf\xe9,4", "expected 2 fields, found 3"),
        (b"\xa0", "expected 2 fields, found 1"),
        (b'"\xff\n",1,2', "expected 2 fields, found 3"),
        (b"3,caf\xe9", "column 'b': not valid in the input's encoding"),
    ],
)
def test_two_faults_in_one_row_are_one_bad_row(capfd: pytest.CaptureFixture[str], line: bytes, reason: str) -> None:
    data = b"1,x\n" + line + b"\n5,\xc3\xa9\n"
    columns = (Column("a", WHOLE), Column("b", frozenset({"text"})))
    rows = csv.read(data, row=10, order=("a", "b"), columns=columns, dialect=Dialect())
    assert rows.bad == {11: reason}
    assert rows.table.to_pydict() == {"a": [1, 5], "b": ["x", "é"]}
    assert rows.numbers.tolist() == [10, 12]
    assert csv.observe(data, order=("a", "b"), dialect=Dialect()) == {"a": WHOLE, "b": frozenset({"text"})}
    assert capfd.readouterr().err == ""


# Rows that no worker survives


TEXTS: Final = {
    ".csv": b"a,b\n0,x\n1,x\nsurprise,x\n3,x\n",
    ".jsonl": b'{"a":0,"b":"x"}\n{"a":1,"b":"x"}\n{"a":"surprise","b":"x"}\n{"a":3,"b":"x"}\n',
}


def outcome_of(folder: Path, suffix: str, *, lo: int, hi: int, condemned: str = "") -> Outcome:
    """Do rows ``lo`` to ``hi`` of four, of which the third would widen the type of its column."""
    path = folder / f"in{suffix}"
    path.write_bytes(TEXTS[suffix])
    (folder / "f.py").write_text("def same(df):\n    return df\n")
    columns = (Column("a", WHOLE), Column("b", frozenset({"text" if suffix == ".csv" else "string"})))
    briefing = Briefing(
        find_sources([str(path)]),
        Dialect() if suffix == ".csv" else JSON,
        (Target("file", str(folder / "f.py"), "same"),),
        format="csv",
        folder=str(folder / "work"),
        columns=columns,
        orders=(("a", "b"),),
    )
    start = TEXTS[suffix].index(b"0") - TEXTS[suffix].startswith(b"{") * 5
    task = Task(1, 0, 1, 0, start, len(TEXTS[suffix]), 0, 4, lo, hi, bad_rows_left=9, condemned=condemned)
    worker = TaskBody()
    try:
        worker.brief(pickle.dumps(briefing))
        outcome = worker(task)
    finally:
        worker.end()
    assert isinstance(outcome, Outcome)
    return outcome


@pytest.mark.parametrize("suffix", TEXTS)
@pytest.mark.parametrize(("lo", "hi"), [(0, 2), (1, 2), (3, 4)])
def test_who_sorts_out_rows_that_kill_reads_those_of_its_half_alone(
    tmp_path: Path, suffix: str, lo: int, hi: int
) -> None:
    outcome = outcome_of(tmp_path, suffix, lo=lo, hi=hi)
    assert (outcome.misfits, outcome.rows_in, outcome.rows_out) == ({}, hi - lo, hi - lo)
    assert outcome_of(tmp_path, suffix, lo=0, hi=4).misfits


@pytest.mark.parametrize("suffix", TEXTS)
def test_a_row_that_no_worker_survived_is_rejected_and_not_read_again(tmp_path: Path, suffix: str) -> None:
    outcome = outcome_of(tmp_path, suffix, lo=2, hi=3, condemned="the worker died")
    assert (outcome.misfits, outcome.rows_in, outcome.bad_rows) == ({}, 1, 1)
    reject = json.loads((tmp_path / "work-1.rejects").read_text())
    assert (reject["row"], reject["step"], reject["error"]) == (2, "same", "the worker died")
    assert "surprise" in reject["raw"]


@pytest.mark.parametrize("question", [Scan, Observe, Head])
def test_a_file_that_no_worker_survives_looking_at_is_named(tmp_path: Path, question: type) -> None:
    (tmp_path / "in.csv").write_text("a,b\n1,2\n")
    job = Job((of_function(lambda df: df),), (str(tmp_path / "in.csv"),), str(tmp_path / "out.csv"), Options())

    def engine(_: int) -> FakeEngine:
        return FakeEngine(make_body, kills=lambda request: isinstance(request, question))

    with pytest.raises(DataError, match=r"died 3 times: .*in\.csv"):
        run(job, watch=lambda _: None, make_engine=engine)
    assert not (tmp_path / "out.csv").exists()
