"""A stream over rows that come by TCP: what is acknowledged is done once, whoever sends it and whatever is killed."""

import json
import os
import random
import signal
import socket
import threading
from pathlib import Path

from conftest import Muster, begun
from ends import HOST, framed, seeds_sender
from streaming import Streaming, joined, rows_out, streaming
from waiting import until

CODE = """
import muster, os, time
def step(df):
    while os.path.exists("wait"):
        time.sleep(0.01)
    if (df["n"] == 13).any():
        raise ValueError("thirteen")
    return df.assign(double=df["n"] * 2)
pipeline = muster.listen_tcp({place!r}{more}).map_batches(step).write_csv("out/")
"""


SPOOL, ROW = 200_000, 100_000
IN_MEMORY = 36_000_000
"""Bytes that a receiver has in memory at most, and may write though there is no room for more."""
MORE = 10_000_000
AT_ONCE = 256 << 10
"""Bytes that it reads of a connection in one turn."""


def written(folder: Path, *, port: int = 0, every: float = 0.0, **more: object) -> None:
    said = "".join(f", {name}={value!r}" for name, value in {"every": every, **more}.items())
    (folder / "pipeline.py").write_text(CODE.format(place=f"{HOST}:{port}", more=said))


def free_port() -> int:
    with socket.create_server((HOST, 0)) as one:
        return int(one.getsockname()[1])


def test_rows_of_any_sender_are_done_once_and_a_bad_frame_ends_its_connection_alone(tmp_path: Path) -> None:
    written(tmp_path)
    hello = {"stream": "s", "header": "n,text"}
    with streaming(tmp_path, "--workers", "0") as stream:
        assert seeds_sender(stream.port, [b"n,text", b"1,x", b'2,"y\nz"'], at_once=1) == b""
        until(lambda: rows_out(tmp_path) == 2)
        known = stream.talk(hello)
        assert known.hear() == {"safe": 0}
        known.say(b"3,a", b"13,bad", b"4,b")
        assert known.hear_until(3) == {"safe": 3}
        for wrong in (b"\xff\xff\xff\xff", framed(b"n,other") + framed(b"9,z"), framed(b'n,te"') + framed(b'9,"z')):
            with socket.create_connection((HOST, stream.port), timeout=60) as bad:
                bad.sendall(wrong)
                assert b"error" in bad.recv(1000)
        with socket.create_connection((HOST, stream.port), timeout=60) as half:
            half.sendall(framed(b"n,text") + framed(b"9,z")[:5])
        again = stream.talk({**hello, "first": 1})
        assert again.hear() == {"safe": 3}
        again.say(b"3,a", b"13,bad", b"4,b", b"5,c", b"\x04")
        assert again.hear_until(4)["safe"] == 4
        until(lambda: rows_out(tmp_path) == 5)
        assert stream.process.poll() is None  # the end of one sender is not that of the stream
        assert stream.stop() == 4
    with streaming(tmp_path, "--workers", "0", "--json") as stream:  # the same command goes on
        talker = stream.talk(hello)
        assert talker.hear()["safe"] == 4
        talker.say(b"6,d")
        assert talker.hear_until(5)["safe"] == 5
        assert stream.stop() == 4
        told = json.loads(stream.process.stdout.read().splitlines()[-1])  # type: ignore[union-attr]
    assert (told["rows_in"], told["rows_before"], told["bad_rows"]) == (7, 6, 1)
    assert joined(tmp_path) == 'n,text,double\n1,x,2\n2,"y\nz",4\n3,a,6\n4,b,8\n5,c,10\n6,d,12\n'
    (reject,) = (tmp_path / "out.rejects.jsonl").read_text().splitlines()
    assert (json.loads(reject)["row"], json.loads(reject)["raw"]) == (3, "13,bad")
    assert [path.name for path in (tmp_path / "out.muster" / "inbox").glob("*.rows")] == ["000001.rows"]


def test_columns_may_be_named_and_rows_be_lines(tmp_path: Path, muster: Muster) -> None:
    written(tmp_path, columns=["n", "text, long"], framing="lines")
    with streaming(tmp_path, "--workers", "0") as stream:
        with socket.create_connection((HOST, stream.port), timeout=60) as plain:
            plain.sendall(b"1,x\r\n2,y\n")
        until(lambda: rows_out(tmp_path) == 2)
        assert stream.stop() == 0
    assert joined(tmp_path) == 'n,"text, long",double\n1,x,2\n2,y,4\n'
    inbox = tmp_path / "out.muster" / "inbox"
    (tmp_path / "out.muster" / "journal.jsonl").unlink()  # as if it had been killed before the first epoch
    (tmp_path / "out").rename(tmp_path / "before")
    written(tmp_path, columns=["n", "other"], framing="lines")
    ended = muster("run", "pipeline.py", "--workers", "0")
    assert (ended.code, "rows have come under 'n,\"text, long\"'" in ended.err) == (2, True), ended.err
    assert (inbox / "000001.rows").read_text() == 'n,"text, long"\n1,x\n2,y\n'
    (inbox / "000001.rows").rename(inbox / "000003.rows")
    written(tmp_path, columns=["n", "text, long"], framing="lines")
    ended = muster("run", "pipeline.py", "--workers", "0")
    assert (ended.code, "were acknowledged" in ended.err) == (3, True), ended.err


def test_what_cannot_be_listened_for_is_told_before_anything(tmp_path: Path, muster: Muster) -> None:
    with socket.create_server((HOST, 0)) as other:
        written(tmp_path, port=other.getsockname()[1])
        ended = muster("run", "pipeline.py")
        assert ended.code == 2
        assert f"Cannot listen on {HOST}:{other.getsockname()[1]}" in ended.err
        assert "give listen_tcp another port" in ended.err
    for more, why in (
        ({"framing": "words"}, "framing='words'"),
        ({"spool_bytes": 0}, "spool_bytes=0"),
        ({"connections": 2.5}, "connections=2.5: it must be a whole number"),
        ({"idle": True}, "idle=True"),
        ({"token": "none.txt"}, "token='none.txt': "),
        ({"tls_cert": "x"}, "tls_cert= and tls_key= go together"),
        ({"tls_cert": "x", "tls_key": "y"}, "tls_cert='x' and tls_key='y' cannot be used"),
    ):
        written(tmp_path, **more)
        ended = muster("run", "pipeline.py")
        assert (ended.code, why in ended.err) == (2, True), ended.err
        assert "--t" not in ended.err
    written(tmp_path)
    for flags, why in (
        (("in.csv",), "the rows of this pipeline come by listen_tcp("),
        (("--quotechar", "'"), "rows that come over TCP, or from a source of your own, are CSV"),
    ):
        ended = muster("run", "pipeline.py", *flags)
        assert (ended.code, why in ended.err) == (2, True), ended.err
    assert {path.name for path in tmp_path.iterdir()} - {"__pycache__"} == {"pipeline.py"}


def test_senders_wait_while_too_much_is_not_done(tmp_path: Path) -> None:
    written(tmp_path, spool_bytes=SPOOL)
    rows = [b"%d,%s" % (n, b"x" * ROW) for n in range(20, 20 + (SPOOL + IN_MEMORY + MORE) // ROW)]
    (tmp_path / "wait").touch()
    with streaming(tmp_path, "--workers", "1") as stream:
        thread = threading.Thread(target=seeds_sender, args=(stream.port, [b"n,text", *rows]))
        thread.start()
        inbox = tmp_path / "out.muster" / "inbox"
        until(lambda: size_of(inbox) >= SPOOL)
        for number in range((IN_MEMORY + MORE) // AT_ONCE):  # in so many turns, all could be read
            asks = stream.talk({"stream": f"asks {number}", "header": "n,text"})
            assert asks.hear() == {"safe": 0}
            asks.close()
        assert size_of(inbox) < SPOOL + IN_MEMORY, "the spool grows beyond its limit"
        (tmp_path / "wait").unlink()
        thread.join(60)
        assert not thread.is_alive()
        assert stream.stop() == 0
        assert size_of(inbox) < SPOOL + IN_MEMORY
    assert [int(line.split(",")[0]) for line in joined(tmp_path).splitlines()[1:]] == [*range(20, 20 + len(rows))]


def size_of(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.glob("*.rows"))


def test_whatever_is_killed_each_row_is_done_once_and_in_order(tmp_path: Path) -> None:
    seed = random.randrange(1 << 32)  # noqa: S311 (moments, no secrets)
    dice, count, port = random.Random(seed), 40_000, free_port()  # noqa: S311 (likewise)
    written(tmp_path, port=port)
    (tmp_path / "in.csv").write_text("n,text\n" + "".join(f'{n},"row\n{n}"\n' for n in range(20, count)))
    send = ("send", "in.csv", "--to", f"{HOST}:{port}", "--rate", "20000")
    for kill in range(4):
        with streaming(tmp_path, "--workers", "2") as stream, begun(tmp_path, *send) as sender:
            aim = rows_out(tmp_path) + dice.randrange(1, 8000)
            until(lambda aim=aim: rows_out(tmp_path) >= aim or sender.poll() is not None, 60)  # type: ignore[misc]
            if dice.random() < 0.5:
                kill_a_child(stream, dice)
            if kill == 3:
                out, err = sender.communicate(timeout=60)
                assert sender.returncode == 0, (err, seed)
                assert "39,980 acknowledged" in out, seed
                assert stream.stop() == 0, (stream.said, seed)
            else:
                (stream.process if dice.random() < 0.7 else sender).kill()
                stream.process.kill()
                sender.kill()
                sender.communicate()
    oracle = "n,text,double\n" + "".join(f'{n},"row\n{n}",{2 * n}\n' for n in range(20, count))
    assert joined(tmp_path) == oracle, f"seed {seed}"
    assert not (tmp_path / "out.rejects.jsonl").exists(), f"seed {seed}"


def kill_a_child(stream: Streaming, dice: random.Random) -> None:
    """Kill a process below muster's: a worker, mostly."""
    pid = stream.process.pid
    below = [int(one) for one in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    for parent in list(below):
        below += [int(one) for one in Path(f"/proc/{parent}/task/{parent}/children").read_text().split()]
    if below:
        os.kill(dice.choice(below), signal.SIGKILL)
