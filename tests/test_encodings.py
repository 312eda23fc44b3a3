"""Bytes that are not in the encoding: which, where, and what to type, which then reads the file."""

import gzip
import json
import re
from pathlib import Path

import pytest

from conftest import Muster
from muster import run
from muster._formats.encodings import COUNTED
from muster.errors import RejectedRowsWarning

RUN = ("run", "f.py:f", "-o", "out.csv", "--workers", "0", "--json")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "f.py").write_text("def f(df):\n    return df\n")
    return tmp_path


def rejected(folder: Path) -> list[str]:
    return [json.loads(line)["error"] for line in (folder / "out.csv.rejects.jsonl").read_text().splitlines()]


def typed_next(error: str) -> list[str]:
    """Take from an error the flag that it says to type."""
    found = re.search(r"type (--encoding \S+?)\.?(\s|$)", error)
    assert found, error
    return found[1].split()


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        ("town,n\nBerlin,1\nMünchen,2\nKöln,3\n", "cp1252"),
        ("town,n\nBerlin,1\n€ 5,2\n", "cp1252"),
        ("town,n\nBerlin,1\n東京都,2\n大阪府,3\n", "shift_jis"),
        ("town,n\nBerlin,1\n北京市,2\n上海市,3\n", "gbk"),
    ],
)
def test_a_row_says_the_byte_and_its_place_and_an_encoding_that_reads_it(
    folder: Path, muster: Muster, text: str, encoding: str
) -> None:
    data = text.encode(encoding)
    (folder / "in.csv").write_bytes(data)
    assert muster(*RUN, "in.csv").code == 4
    errors = rejected(folder)
    wrong = next(at for at, byte in enumerate(data) if byte >= 128)
    assert f"'in.csv', byte {wrong}, line 3: 0x{data[wrong]:02x} is not utf-8 there. As {encoding} it" in errors[0]
    assert "column 'town': not valid in the input's encoding: " in errors[0]
    again = muster(*RUN, "in.csv", *typed_next(errors[0]))
    assert again.code == 0, again
    assert (folder / "out.csv").read_text() == text


@pytest.mark.parametrize("encoding", ["utf-16", "utf-32", "cp1252"])
@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_a_file_whose_first_row_is_in_another_encoding_says_which_to_type(
    folder: Path, muster: Muster, encoding: str, pack: type[bytes]
) -> None:
    name = "in.csv" if pack is bytes else "in.csv.gz"
    (folder / name).write_bytes(pack("größe,n\n1,2\n".encode(encoding)))
    refused = muster(*RUN, name)
    assert refused.code == 1, refused
    error = refused.json["error"]
    assert f"'{name}'" in error
    assert re.search(r"byte \d, line 1: 0x[0-9a-f]{2} is not utf-8 there", error), error
    assert muster(*RUN, name, *typed_next(error)).code == 0
    assert (folder / "out.csv").read_text() == "größe,n\n1,2\n"


def test_what_is_utf_8_after_all_is_said_where_another_encoding_was_typed(folder: Path, muster: Muster) -> None:
    (folder / "in.csv").write_text("town,n\nBerlin,1\n東京,2\n")
    assert muster(*RUN, "in.csv", "--encoding", "ascii").code == 4
    (error,) = rejected(folder)
    assert "As utf-8 it reads '東京,2'" in error
    assert muster(*RUN, "in.csv", *typed_next(error)).code == 0


def test_a_stream_says_where_it_is_not_in_its_encoding(folder: Path, muster: Muster) -> None:
    (folder / "in.csv").write_bytes("a,b\n1,2\n".encode("utf-16-le") * 300 + b"\x00\xd8x\x00")
    refused = muster(*RUN, "in.csv", "--encoding", "utf-16-le")
    assert refused.code == 1
    assert "'in.csv', byte 4,800: 0x00 is not utf-16-le there" in refused.json["error"]


@pytest.mark.parametrize("name", ["in.jsonl", "in.jsonl.gz"])
def test_json_lines_say_so_too(folder: Path, muster: Muster, name: str) -> None:
    data = b'{"a": "x"}\n{"a": "M\xfcnchen"}\n'
    (folder / name).write_bytes(gzip.compress(data) if name.endswith("gz") else data)
    assert muster(*RUN, name).code == 4
    (error,) = rejected(folder)
    assert "byte 19" in error
    assert ("line 2" in error) == (name == "in.jsonl")
    assert "0xfc is not utf-8 there. As cp1252 it reads" in error
    assert muster(*RUN, name, *typed_next(error)).code == 0
    assert (folder / "out.csv").read_text() == "a\nx\nMünchen\n"


def test_where_most_rows_are_the_run_stops_and_says_the_first_in_many_parts_too(folder: Path, muster: Muster) -> None:
    (folder / "in.csv").write_bytes(b"town,n\n" + b"Berlin,1\n" * 20_000 + "Köln,2\n".encode("cp1252") * 2_000)
    stopped = muster("run", "f.py:f", "in.csv", "-o", "out.csv", "--workers", "2", "--json")
    assert stopped.code == 1
    assert re.search(r"'in.csv', byte [\d,]+, line [\d,]+: 0xf6 is not utf-8 there", stopped.json["error"])
    assert typed_next(stopped.json["error"]) == ["--encoding", "cp1252"]


def test_a_line_is_named_by_where_its_byte_is_however_the_rows_are_cut(folder: Path) -> None:
    row = b"Berlin,%s\n" % (b"x" * (COUNTED // 500))
    rows = [row] * 600  # more bytes than lines are counted in
    rows[100] = rows[580] = b"K\xf6ln,22\n"
    (folder / "in.csv").write_bytes(b"town,n\n" + b"".join(rows))
    told = []
    for part_bytes in (2 * COUNTED, 80 * len(row), 15 * len(row)):
        with pytest.warns(RejectedRowsWarning):
            run(lambda df: df, folder / "in.csv", folder / "out.csv", workers=0, part_bytes=part_bytes, fresh=True)
        told.append(rejected(folder))
        assert [", line " in error for error in told[-1]] == [True, False], told
    assert told[0] == told[1] == told[2]
    assert ", line 102:" in told[0][0]


def test_bytes_that_fit_nothing_are_said_to_fit_nothing(folder: Path, muster: Muster) -> None:
    (folder / "in.csv").write_bytes(b"town,n\nBerlin,1\n\x81\x00\xff,2\n")
    muster(*RUN, "in.csv")
    (error,) = rejected(folder)
    assert "0x81 is not utf-8 there. Say which it is with --encoding; or put" in error
