"""Frames that are no rows of CSV: what a stream makes of them, and of those that it cannot make a row of."""

import json
import random
from pathlib import Path

import pandas as pd
import pytest

import muster
from ends import HOST
from followed import rejects
from muster.errors import UsageError
from streaming import joined, killed_at_work, rows_out, streaming
from test_listen import free_port
from waiting import until

CODE = """
import muster
def read(payload):
    number, _, name = payload.partition(b"|")
    return {{"n": int(number), "name": name.decode()}}
def double(df):
    return df.assign(double=df["n"] * 2)
pipeline = muster.listen_tcp("{host}:{port}", every=0.0, {more}).map_batches(double).write_csv("out/")
"""


def written(folder: Path, more: str, *, port: int = 0) -> None:
    (folder / "pipeline.py").write_text(CODE.format(host=HOST, port=port, more=more))


def test_a_function_makes_rows_of_frames_and_those_it_refuses_are_bad_rows(tmp_path: Path) -> None:
    written(tmp_path, "decode=read")
    with streaming(tmp_path, "--workers", "0") as stream:
        talker = stream.talk()
        talker.say(b"1|one", b"\xff\x00\n", b'2|two\nlines, and "quotes"', b"3|null")
        until(lambda: rows_out(tmp_path) == 3)
        assert stream.stop() == 4, stream.said
    made = pd.read_csv(tmp_path / "out" / "part-00000000.csv", keep_default_na=False)
    assert made.to_dict("list") == {
        "n": [1, 2, 3],
        "name": ["one", 'two\nlines, and "quotes"', "null"],
        "double": [2, 4, 6],
    }
    assert "invalid literal" in str(rejects(tmp_path)[0])


def test_objects_of_json_are_rows_and_other_frames_are_bad_ones(tmp_path: Path) -> None:
    written(tmp_path, "decode='json', columns=['n', 'zip'], dtype={'zip': str}")
    with streaming(tmp_path, "--workers", "0") as stream:
        talker = stream.talk()
        talker.say(b'{"zip": "01", "n": 1}', b"{", b'{"n": 2,\n "more": 3}', b"[1]", b'{"n": 3, "zip": 4}')
        until(lambda: rows_out(tmp_path) == 3)
        assert stream.stop() == 4, stream.said
    assert joined(tmp_path) == "n,zip,double\n1,01,2\n2,,4\n3,4,6\n"
    whys = [str(one) for one in rejects(tmp_path)]
    assert "the payload is no JSON" in whys[0]
    assert "decode gave list and no dict" in whys[1]


def test_decoded_rows_come_exactly_once_whatever_is_killed(tmp_path: Path) -> None:
    seed = random.randrange(1 << 32)  # noqa: S311 (moments, no secrets)
    dice, port = random.Random(seed), free_port()  # noqa: S311 (likewise)
    print(f"seed {seed}")  # noqa: T201 (shown where it fails)
    written(tmp_path, "decode='json'", port=port)
    rows = [{"n": n, "name": f"row\n{n}"} for n in range(20_000)]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    send = ("send", "rows.jsonl", "--to", f"{HOST}:{port}", "--rate", "10000")
    killed_at_work(tmp_path, send, dice, times=3, done=rows_out, most=range(1, 6000))
    parts = [pd.read_csv(path) for path in sorted((tmp_path / "out").glob("part-*"))]
    expected = pd.DataFrame(rows).assign(double=lambda df: df["n"] * 2)
    pd.testing.assert_frame_equal(pd.concat(parts, ignore_index=True), expected)


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"decode": "xml"}, "it is 'csv', 'json'"),
        ({"decode": "json", "dtype": "str"}, "name columns"),
        ({"decode": "json", "decimal": ","}, "decimal= is for rows of CSV"),
        ({"decode": "bytes", "columns": ["a"]}, "one column, 'payload'"),
    ],
)
def test_what_cannot_be_decoded_is_said_in_words(options: dict[str, object], why: str) -> None:
    with pytest.raises(UsageError, match=why):
        muster.listen_tcp(f"{HOST}:0", **options)  # type: ignore[arg-type]
