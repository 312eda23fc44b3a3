"""Rows of a stream that go on as bytes that a function of the user's own makes of them."""

import json
import shutil
import socket
from itertools import islice
from pathlib import Path

import pytest

import own_ends
from conftest import Muster, begun
from ends import END, HOST
from followed import following
from test_send_tcp import Receiver

CODE = """
import json, muster, own_ends
from pathlib import Path
class Sink(own_ends.Folder):
    def commit(self, number):
        if Path("dies").exists():
            Path("dies").unlink()
            raise KeyError("before it shows the rows")
        super().commit(number)
def double(df):
    return df.assign(double=df["n"] * 2)
def packed(row):
    return {packed}
source = muster.read_from(own_ends.LinesOfFile("in.csv"), columns=["n", "text"])
pipeline = source.map_batches(double){sinks}
"""


def written(folder: Path, *sinks: str, packed: str) -> None:
    shutil.copy(own_ends.__file__, folder)
    (folder / "pipeline.py").write_text(CODE.format(sinks="".join(sinks), packed=packed))
    (folder / "in.csv.end").touch()


def rejected(folder: Path) -> list[tuple[str, str]]:
    """Tell which rows are bad ones, and why."""
    rows = map(json.loads, (folder / "out.rejects.jsonl").read_text().splitlines())
    return [(row["raw"][0], row["error"]) for row in rows if row["step"] == "encode"]


@pytest.mark.parametrize("framing", ["length", "lines"])
def test_a_function_makes_the_frames_and_rows_that_it_refuses_are_bad_ones(tmp_path: Path, framing: str) -> None:
    (tmp_path / "in.csv").write_text("0,x\n1,\n2,y\n3,z\n4,END\n5,none\n6,text\n")
    packed = """{
        3: lambda: 1 / 0, 4: lambda: b"\\x04", 5: lambda: b"", 6: lambda: "text", 2: lambda: b"\\xff\\ntwo"
    }.get(row["n"], lambda: json.dumps(row).encode())()"""
    with socket.create_server((HOST, 0)) as listener:
        place = f"{HOST}:{listener.getsockname()[1]}"
        written(tmp_path, f".send_tcp({place!r}, encode=packed, framing={framing!r}, folder='out')", packed=packed)
        with begun(tmp_path, "run", "pipeline.py", "--workers", "0") as process:
            try:
                if framing == "length":
                    receiver = Receiver(listener)
                    assert "header" not in receiver.hello
                    receiver.say(safe=0)
                    frames = [receiver.next() for _ in range(4)]
                    receiver.say(safe=3, ended=True)
                    receiver.close()
                else:
                    connection, _ = listener.accept()
                    with connection, connection.makefile("rb") as file:
                        connection.sendall(b'{"safe": 0}\n')
                        file.readline()
                        lines = (line.rstrip(b"\n") for line in file)
                        frames = [*islice((line for line in lines if line), 3)]
                        connection.sendall(b'{"safe": 2, "ended": true}\n')
                assert process.wait(60) == 4, "there are bad rows"
            finally:
                process.kill()
    two = [b"\xff\ntwo"] if framing == "length" else []
    assert frames == [b'{"n": 0, "text": "x", "double": 0}', b'{"n": 1, "text": null, "double": 2}', *two, END]
    bad = dict(rejected(tmp_path))
    assert [*bad] == [*([] if two else ["2"]), "3", "4", "5", "6"]
    for row, why in (("3", "division by zero"), ("4", "as a frame is no row"), ("5", "as a frame"), ("6", "no bytes")):
        assert why in bad[row]


def test_a_sink_of_ones_own_gets_the_same_bytes_again_after_an_error(tmp_path: Path, muster: Muster) -> None:
    (tmp_path / "in.csv").write_text("".join(f"{n},x\n" for n in range(300)))
    sinks = [f".write_to(Sink({name!r}), name={name!r}, encode=packed)" for name in ("a", "b")]
    written(tmp_path, *sinks, packed='bytes([row["n"] % 256, 10])')
    (tmp_path / "dies").touch()
    run = muster("run", "pipeline.py", "--workers", "0")
    assert (run.code, "before it shows the rows" in run.err) == (1, True), run.err
    with following(tmp_path, "--workers", "1") as process:
        assert process.wait(60) == 0
    for name in ("a", "b"):
        texts = [path.read_bytes() for path in sorted(tmp_path.glob(f"{name}/*/*.csv"))]
        assert b"".join(texts) == b"".join(bytes([n % 256, 10]) for n in range(300))


def test_what_encodes_nothing_or_goes_with_nothing_is_refused_in_words(tmp_path: Path, muster: Muster) -> None:
    for sinks, why in (
        (".write_to(Sink('a'), encode=3)", "encode=3: it is 'csv', 'json', 'parquet', or a function"),
        (".write_to(Sink('a'), encode=packed).write_json('b/')", "'b/': it takes rows as JSON, and an output before"),
        (".write_to(Sink('a'), encode=packed).send_tcp('h:1', encode=repr)", "it takes rows as bytes, and an output"),
    ):
        written(tmp_path, sinks, packed="b''")
        run = muster("run", "pipeline.py", "--workers", "0")
        assert (run.code, why in run.err) == (2, True), run.err
