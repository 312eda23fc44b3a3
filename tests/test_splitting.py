"""A file cut anywhere, into blocks of any size, is split where reading it whole would split it."""

import tempfile
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

import muster
from muster._dialects import Dialect
from muster._formats import survey
from muster._formats._questions import Scan
from muster._formats.lines import flow_of, quoted_records, scan_quoted
from muster._formats.newlines import has_pair
from muster._formats.reader import RangeReader
from muster._formats.records import locate
from muster._formats.sources import find_sources
from muster._formats.stitch import NeedsScanError, RecordRange, ScannedBlock, stitch
from muster._model import Part

PLAIN = Dialect()
PIECES = ["a", '"', ",", "\n", "\r\n", "\r", " ", "\t", "\n ", " \n", "é"]
PIECES += ['""', '\n"', ',"', '",', '"\n', '5" pipe', "\n\n", '"x\ny"']

texts = st.lists(st.sampled_from(PIECES), max_size=50).map(lambda pieces: "".join(pieces).encode())
well_behaved = settings(max_examples=300, deadline=None, derandomize=True)


def read_whole(data: bytes, *, delimiter: str = ",", quote: str = '"') -> tuple[list[tuple[int, int]], int | None]:
    """One byte after the other: where each record that is not blank starts and ends, and where one never ends."""
    found, start, at, state = [], 0, 0, "field start"
    while at < len(data):
        byte, after = chr(data[at]), data[at + 1 : at + 2]
        at += 1
        if state == "quoted":
            if byte == quote and after == quote.encode():
                at += 1
            elif byte == quote:
                state = "text"
        elif byte in "\r\n":
            at += byte == "\r" and after == b"\n"
            found.append((start, at))
            start, state = at, "field start"
        elif state == "field start" and byte == quote:
            state = "quoted"
        else:
            state = "field start" if byte == delimiter else "text"
    if start < at and state != "quoted":
        found.append((start, at))
    blanks = b" \t\r\n".replace(delimiter.encode(), b"")
    records = [(start, end) for start, end in found if data[start:end].strip(blanks)]
    return records, start if state == "quoted" else None


pieces_without_quotes = ["a", "b,c", "\n", "\n", "d\n", "\r\n", "\r", " ", "\t", "\ufeff"]
without_quotes = st.lists(st.sampled_from(pieces_without_quotes), max_size=12)


@well_behaved
@given(pieces=without_quotes, start=st.sampled_from([0, 7]), atom=st.integers(1, 9))
@example(["\ufeff", "a", "\n", "b"], 0, 2)
@example(["a"] * 30, 7, 4)
def test_text_without_quotes_is_cut_and_counted_as_where_a_quote_follows(
    pieces: list[str], start: int, atom: int
) -> None:
    data = "".join([*pieces, "\n"]).encode()
    how: Any = {"start": start, "delimiter": ",", "quote": '"', "atom": atom, "assume_quoted": False}
    alone, followed = scan_quoted(data, **how).plain, scan_quoted(data + b'"q"\n', **how).plain
    assert alone is not None
    assert followed is not None
    assert alone.cuts == tuple(cut for cut in followed.cuts if cut < start + len(data))
    before, rows = alone.rows[:-1], sum(alone.rows)
    assert (before, rows + 1, None) == (followed.rows[: len(before)], sum(followed.rows), alone.open)
    assert [*quoted_records(data, delimiter=",", quote='"')] == read_with_unclosed(data)


lines_of_text = st.lists(st.text("ab ,;", min_size=1, max_size=6).filter(lambda line: line[0] != " "), max_size=40)


@well_behaved
@given(
    lines=lines_of_text, tail=st.sampled_from(["", "a", "b c"]), start=st.sampled_from([0, 7]), atom=st.integers(1, 20)
)
def test_plain_text_is_cut_where_arrays_of_all_its_line_ends_say(
    lines: list[str], tail: str, start: int, atom: int
) -> None:
    data = ("".join(line + "\n" for line in lines) + tail).encode()
    ends = np.flatnonzero(np.frombuffer(data, np.uint8) == ord("\n")) + 1
    are_rows = np.ones(len(ends), bool)
    plain = flow_of(ends, are_rows, length=len(data), start=start, atom=atom, quoted=False, ends_quoted=False)
    in_a_cell = flow_of(ends[:0], are_rows[:0], length=len(data), start=start, atom=atom, quoted=True, ends_quoted=True)
    if data:
        found = scan_quoted(data, start=start, delimiter=",", quote='"', atom=atom)
        assert (found.plain, found.quoted) == (plain, in_a_cell)


def test_a_blank_line_is_no_row_wherever_a_part_begins() -> None:
    data, how = b"a,b,cd\n" * 100_000, dict[str, Any](start=0, delimiter=",", quote='"', atom=16 << 10)
    plain = scan_quoted(data, **how).plain
    assert plain is not None
    for cut in plain.cuts:
        with_blank = scan_quoted(data[:cut] + b"\n" + data[cut:], **how).plain
        assert with_blank is not None
        assert sum(with_blank.rows) == sum(plain.rows) == 100_000


@pytest.mark.parametrize("at", [0, 1, 99_998, 262_143, 262_144, 300_000])
def test_a_pair_of_bytes_is_found_wherever_it_stands(at: int) -> None:
    data = bytearray(b"a\nb " * 80_000)
    assert not has_pair(bytes(data), b"\n\n")
    data[at : at + 2] = b"\n\n"
    assert has_pair(bytes(data), b"\n\n")
    assert has_pair(bytes(data[at : at + 2]), b"\n\n")


def read_with_unclosed(data: bytes) -> list[tuple[int, int]]:
    records, unclosed = read_whole(data)
    return records if unclosed is None else [*records, (unclosed, len(data))]


def write(folder: str, data: bytes) -> str:
    path = Path(folder, "rows.csv")
    path.write_bytes(data)
    return str(path)


def answer(requests: Sequence[Any]) -> list[Any]:
    return [request.answer() for request in requests]


def scans_of(path: str, size: int, block: int, atom: int, dialect: Dialect = PLAIN) -> list[Scan]:
    return [Scan(path, size, at, min(at + block, size), dialect, atom) for at in range(0, size, block)]


def split(path: str, size: int, *, block: int, atom: int) -> tuple[list[RecordRange], int | None, int]:
    """Scan every block by itself, then stitch; also how many had to be scanned once more."""
    scans = [(scan, found) for scan in scans_of(path, size, block, atom) if (found := scan.answer()) is not None]
    blocks: list[ScannedBlock] = [found for _, found in scans]
    again = 0
    while True:
        try:
            return *stitch(blocks), again
        except NeedsScanError as need:
            scan = scans[need.index][0]
            found = Scan(path, size, scan.start, scan.stop, PLAIN, atom, assume_quoted=need.quoted).answer()
            assert found is not None
            blocks[need.index] = found
            again += 1


def check_split(data: bytes, *, block: int, atom: int) -> int:
    """Check that what was split in blocks is what reading whole finds; tell how many blocks were scanned twice."""
    with tempfile.TemporaryDirectory() as folder:
        stretches, unclosed, again = split(write(folder, data), len(data), block=block, atom=atom)
    records, wanted_unclosed = read_whole(data)
    assert unclosed == wanted_unclosed
    edges = [0, *(stretch.stop for stretch in stretches)]
    assert [stretch.start for stretch in stretches] == edges[:-1]
    assert edges[-1] == (len(data) if unclosed is None else unclosed)
    counts = [sum(stretch.start <= start < stretch.stop for start, _ in records) for stretch in stretches]
    assert [stretch.rows for stretch in stretches] == counts
    for stretch in stretches:  # read alone, it holds the same records
        alone, open_at = read_whole(data[stretch.start : stretch.stop])
        inside = [(start, end) for start, end in records if stretch.start <= start < stretch.stop]
        assert [(start + stretch.start, end + stretch.start) for start, end in alone] == inside
        assert open_at is None
    return again


@well_behaved
@given(data=texts, block=st.integers(1, 40), atom=st.integers(1, 7))
@example(data=b'a,"b\nc"\n5" pipe,x\n"never\nclosed', block=1, atom=1)
@example(data=b'"a\n,""\n"\n', block=3, atom=1)
@example(data="é\n".encode() * 9, block=2, atom=1)
def test_blocks_of_any_size_stitched_together_are_the_file_read_whole(data: bytes, block: int, atom: int) -> None:
    check_split(data, block=block, atom=atom)


@pytest.mark.parametrize("size", range(1, 8))
def test_the_smallest_blocks_tile_a_file_that_has_everything(size: int) -> None:
    data = b'h,"a\r\nb"\r\n\r\n5" pipe,"say ""hi"""\r"x"y,"\n\n"\n,\n"a" "b\n" c,d"\n""\n\xc3\xa9,"\n"'
    for atom in range(1, 8):
        check_split(data, block=size, atom=atom)


@pytest.mark.parametrize(
    "data",
    [b"", b"\n", b"\r", b"\r\n", b"a", b'"', b"\n\n\n", b'"\n', b"a\n", b'"a"', b'\n"', b" ", b" \n", b"a\n\t"],
)
def test_the_shortest_files_are_split_exactly(data: bytes) -> None:
    for block in (1, 2, 3):
        check_split(data, block=block, atom=1)


def test_a_block_whose_true_state_looked_improbable_is_scanned_again() -> None:
    """The quote that closes the cell stands where one would open, and the stray quote where one would close it."""
    data = b'a,"begins\nand goes on\nto a comma,"\n5" pipe,1\n' * 5
    assert sum(check_split(data, block=block, atom=1) for block in range(5, 60)) > 0


def test_a_stray_quote_in_every_block_does_not_lead_the_split_astray() -> None:
    data = b'size,"what\nis it"\n' + b'5" pipe,"12"" pipe\n(long)"\n' * 50
    for block in (7, 28, 64, 300):
        check_split(data, block=block, atom=1)


def test_a_byte_order_mark_is_no_text_before_a_quote() -> None:
    data = b'\xef\xbb\xbf"a\nb",c\n1,2\n'
    found = scan_quoted(data, start=0, delimiter=",", quote='"', atom=1, assume_quoted=False)
    stretches, unclosed = stitch([found])
    assert sum(stretch.rows for stretch in stretches) == 2
    assert unclosed is None


@settings(max_examples=300, deadline=None, derandomize=True)
@given(data=texts, quote=st.sampled_from(['"', ""]), delimiter=st.sampled_from([",", "\t", " "]))
def test_records_and_their_places_are_those_of_reading_whole(data: bytes, quote: str, delimiter: str) -> None:
    records, unclosed = read_whole(data, quote=quote, delimiter=delimiter)
    if unclosed is not None:
        records.append((unclosed, len(data)))
    assert list(quoted_records(data, delimiter=delimiter, quote=quote)) == records
    for step in (1, 2, 5):
        wanted = range(0, len(records), step)
        dialect = Dialect(delimiter, quote)
        assert locate(data, wanted, dialect) == [records[row][0] for row in wanted]


@settings(max_examples=200, deadline=None, derandomize=True)
@given(data=texts, block=st.integers(1, 60))
def test_blocks_between_newlines_tile_the_file(data: bytes, block: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        reader = RangeReader(write(folder, data))
        size = len(data)
        read = [reader.between_newlines(at, min(at + block, size), size=size) for at in range(0, size, block)]
    found = [(start, piece) for start, piece in read if piece]
    assert b"".join(piece for _, piece in found) == data
    assert [start for start, _ in found] == [0, *(start + len(piece) for start, piece in found)][: len(found)]
    assert all(piece.endswith(b"\n") for _, piece in found[:-1])


def test_lines_longer_than_many_blocks_are_read_once(tmp_path: Path) -> None:
    data = b"a" * 300_000 + b"\n" + b"b" * 200_000 + b"\nc"
    path = tmp_path / "long.csv"
    path.write_bytes(data)
    read = [
        RangeReader(str(path)).between_newlines(at, min(at + 1000, len(data)), size=len(data))
        for at in range(0, len(data), 1000)
    ]
    assert [piece for _, piece in read if piece] == [b"a" * 300_000 + b"\n", b"b" * 200_000 + b"\n", b"c"]


# The whole survey: header, parts, rows, batches


def surveyed(
    data: bytes, *, header: bool, atom: int, batch_rows: int | None, block: int = survey.BLOCK_BYTES
) -> tuple[Part, ...]:
    dialect = Dialect(header=header)
    with tempfile.TemporaryDirectory() as folder:
        sources = find_sources([write(folder, data)])
        return survey.survey_lines(
            sources, answer, dialect=dialect, atom=atom, batch_rows=batch_rows, block=block
        ).parts


def rows_of(data: bytes, *, header: bool) -> Iterator[tuple[int, int]]:
    records, _ = read_whole(data)
    yield from records[int(header) :]


@settings(max_examples=100, deadline=None, derandomize=True)
@given(
    rows=st.lists(
        st.sampled_from([b"1,2\n", b'"a\nb",c\r\n', b"\n", b" \t\r\n", b'5",x\n', b'"""",\r', b'x,"\n\n"\n']),
        max_size=30,
    ),
    header=st.booleans(),
    atom=st.integers(1, 30),
    batch_rows=st.none() | st.integers(1, 7),
)
def test_parts_hold_every_row_once_and_begin_where_a_row_does(
    *, rows: list[bytes], header: bool, atom: int, batch_rows: int | None
) -> None:
    data = b"".join([b'"h\n1",h2\n' if header else b"", *rows])
    wanted = list(rows_of(data, header=header))
    parts = surveyed(data, header=header, atom=atom, batch_rows=batch_rows)
    row = 0
    for part in parts:
        assert (part.row, part.fault) == (row, "")
        inside, _ = read_whole(data[part.start : part.stop])
        row += part.rows
        assert [(a + part.start, b + part.start) for a, b in inside] == wanted[part.row : row]
        assert batch_rows is None or part.row % batch_rows == 0
    assert row == len(wanted)


@pytest.mark.parametrize("block", [16, 100, 1000])
def test_a_survey_in_small_blocks_finds_what_one_in_a_single_block_finds(block: int) -> None:
    data = b'id,"no\nte"\n' + b"".join(b'%d,"line\n%d, ""quoted""\n"\n5" pipe,\n' % (at, at) for at in range(200))
    whole = surveyed(data, header=True, atom=16, batch_rows=None)
    parts = surveyed(data, header=True, atom=16, batch_rows=None, block=block)
    assert sum(part.rows for part in parts) == sum(part.rows for part in whole) == 400
    assert all(earlier.stop <= later.start for earlier, later in pairwise(parts))
    starts = {start for start, _ in rows_of(data, header=True)}
    assert {part.start for part in parts} <= starts


def test_an_unclosed_quote_becomes_one_bad_row_whatever_the_blocks() -> None:
    data = b'a,b\n1,2\n3,"never\n' + b"4,5\n" * 200
    for block in (8, 50, 10_000):
        parts = surveyed(data, header=True, atom=4, batch_rows=None, block=block)
        assert [(part.row, part.rows) for part in parts] == [(0, 1), (1, 1)]
        assert "never closed" in parts[-1].fault
        assert parts[-1].start == data.index(b"3,")


def test_one_file_of_quoted_newlines_is_split_and_read_in_parallel(tmp_path: Path) -> None:
    """Three blocks of 4 MiB, most of whose newlines are text: a peer that splits at newlines makes rows up here."""
    path, rows = tmp_path / "rows.csv", 60_000
    filler = "\n".join(['5" pipe, ""bent""'] * 10).replace('"', '""')
    path.write_text("id,note\n" + "".join(f'{at},"note {at}\n{filler}\n"\n' for at in range(rows)))
    assert path.stat().st_size > 2 * survey.BLOCK_BYTES

    def measure(frame: pd.DataFrame) -> pd.DataFrame:
        return pd.DataFrame({"id": frame["id"], "lines": frame["note"].str.count("\n")})

    result = muster.run(measure, path, tmp_path / "out.csv", workers=2)
    assert (result.rows_in, result.rows_out, result.bad_rows) == (rows, rows, 0)
    assert result.parts > 100
    found = pd.read_csv(tmp_path / "out.csv")
    assert found["id"].tolist() == list(range(rows))
    assert (found["lines"] == 11).all()
