"""A stream whose rows are sent on: what a receiver gets that acknowledges, one that does not, and one that is away."""

import contextlib
import json
import random
import re
import signal
import socket
import threading
from pathlib import Path
from typing import Any

import pytest

from conftest import Muster, begun
from ends import END, HOST, framed, listening, seeds_receiver
from followed import kill_a_child, stopped
from streaming import streaming
from test_listen import free_port
from waiting import until

CODE = """
import muster, os, time
def step(df):
    while os.path.exists("wait"):
        time.sleep(0.01)
    return df.assign(double=df["n"] * 2)
pipeline = muster.{source}.map_batches(step).send_tcp({place!r}, folder="out"{more})
"""
LISTENS = f"listen_tcp('{HOST}:{{port}}', every=0.0)"
FOLLOWS = "follow_csv('in/*.csv', every=0.0)"


def written(folder: Path, to: int, source: str = LISTENS, *, port: int = 0, **more: object) -> None:
    said = "".join(f", {name}={value!r}" for name, value in more.items())
    text = CODE.format(source=source.format(port=port), place=f"{HOST}:{to}", more=said)
    (folder / "pipeline.py").write_text(text)


def rows_of(count: int, start: int = 0) -> str:
    return "".join(f'{n},"row\n{n}"\n' for n in range(start, start + count))


def done(count: int, start: int = 0) -> str:
    return "".join(f'{n},"row\n{n}",{2 * n}\n' for n in range(start, start + count))


def waiting(folder: Path) -> int:
    """Count the bytes that the stream keeps for its receiver."""
    sizes = []
    for path in (folder / "out.muster" / "outbox").glob("*/[0-9]*-*"):
        with contextlib.suppress(FileNotFoundError):  # its rows have arrived meanwhile
            sizes.append(path.stat().st_size)
    return sum(sizes)


def epochs(folder: Path) -> int:
    journal = folder / "out.muster" / "journal.jsonl"
    return journal.read_text().count('"committed"') if journal.exists() else 0


class Receiver:
    """A receiver that says what a test has it say: one connection, in the frames of the seed system."""

    def __init__(self, listener: socket.socket) -> None:
        self.connection, _ = listener.accept()
        self.connection.settimeout(60)
        self._file = self.connection.makefile("rb")
        self.hello: dict[str, Any] = json.loads(self.next().removeprefix(b"\x01muster1 "))

    def next(self) -> bytes:
        """Read a frame, but for signs of life; empty at the end."""
        while header := self._file.read(4):
            if payload := self._file.read(int.from_bytes(header, "big")):
                return payload
        return b""

    def say(self, **answer: object) -> None:
        self.connection.sendall(framed(json.dumps(answer).encode()))

    def close(self) -> None:
        self._file.close()
        self.connection.close()


def end_is_safe(receiver: Receiver) -> None:
    """Wait for the end, and acknowledge it."""
    until(lambda: receiver.next() == END)
    receiver.say(safe=4, ended=True)


def test_rows_arrive_once_and_the_command_typed_again_sends_what_is_new(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.csv").write_text("n,text\n" + rows_of(500))
    with listening(tmp_path, "-o", "got.csv") as receiver:
        written(tmp_path, receiver.port, FOLLOWS)
        for more in ("", rows_of(300, 500), ""):
            with (tmp_path / "in" / "a.csv").open("a") as file:
                file.write(more)
            with begun(tmp_path, "run", "pipeline.py", "--workers", "0") as process:
                code, _, err = stopped(tmp_path, process)
            assert code == 0, err
        assert f"{HOST}:{receiver.port} has all 800 rows of the stream" in err
        assert [path.name for path in (tmp_path / "out.muster" / "outbox").glob("*/*")] == ["header"]
        assert receiver.stop()[0] == 0
    assert (tmp_path / "got.csv").read_text() == "n,text,double\n" + done(800)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("framing", ["length", "lines"])
def test_rows_are_sent_as_json_too(tmp_path: Path, framing: str) -> None:
    with listening(tmp_path, "-o", "got.jsonl", "--once", "--framing", framing) as receiver:
        written(tmp_path, receiver.port, encode="json", framing=framing)
        with streaming(tmp_path, "--workers", "0") as stream:
            talker = stream.talk({"stream": "s", "header": "n,text"})
            talker.hear()
            talker.say(b"1,x", b'2,"y\nz"', END)
            assert talker.hear_until(2)["safe"] == 2
            assert stream.stop() == 0
        assert receiver.ended()[0] == 0
    got = [json.loads(line) for line in (tmp_path / "got.jsonl").read_text().splitlines()]
    assert got == [{"n": 1, "text": "x", "double": 2}, {"n": 2, "text": "y\nz", "double": 4}]


def test_a_receiver_hears_the_rows_behind_what_it_says_is_safe_and_parts_go_as_it_says_so(tmp_path: Path) -> None:
    with socket.create_server((HOST, 0)) as listener:
        written(tmp_path, listener.getsockname()[1])
        with streaming(tmp_path, "--workers", "0") as stream:
            talker = stream.talk({"stream": "s", "header": "n,text"})
            talker.hear()
            talker.say(b"1,x", b"2,y", b"3,")
            first = Receiver(listener)
            assert first.hello["header"] == "n,text,double"
            first.say(safe=0)
            assert [first.next(), first.next(), first.next()] == [b"1,x,2", b"2,y,4", b"3,,6"]
            first.say(safe=1)
            first.close()  # two rows are sent again, to whoever is there then
            again = Receiver(listener)
            assert again.hello == first.hello
            again.say(safe=1)
            assert [again.next(), again.next()] == [b"2,y,4", b"3,,6"]
            again.say(safe=3)
            until(lambda: waiting(tmp_path) == 0)
            stream.process.kill()  # and what is safe is not
        with streaming(tmp_path, "--workers", "0") as stream:
            last = Receiver(listener)
            assert last.hello == first.hello
            last.say(safe=3)
            talker = stream.talk({"stream": "s", "header": "n,text"})
            talker.hear()
            talker.say(b"4,z")
            assert last.next() == b"4,z,8"
            last.say(safe=4)
            ended = threading.Thread(target=end_is_safe, args=[last])
            ended.start()
            assert stream.stop() == 0
            ended.join()
            last.close()
            again.close()


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        ({"safe": 0}, "acknowledged 2 rows before, and knows of 0 now"),
        ({"safe": 9}, "has 9 rows of stream"),
        ({"error": "the token is wrong"}, "refuses what is sent: the token is wrong"),
        ({"safe": "all"}, "answers what is no answer"),
    ],
)
def test_a_receiver_that_lost_rows_or_refuses_them_stops_the_stream_with_its_reason(
    tmp_path: Path, answer: dict[str, object], why: str
) -> None:
    with socket.create_server((HOST, 0)) as listener:
        written(tmp_path, listener.getsockname()[1])
        with streaming(tmp_path, "--workers", "0") as stream:
            talker = stream.talk({"stream": "s", "header": "n,text"})
            talker.hear()
            talker.say(b"1,x", b"2,y")
            first = Receiver(listener)
            first.say(safe=0)
            assert [first.next(), first.next()] == [b"1,x,2", b"2,y,4"]
            first.say(safe=2)
            until(lambda: waiting(tmp_path) == 0)
            first.close()
            again = Receiver(listener)
            again.say(**answer)
            assert stream.process.wait(60) == 3
            stream._hearing.join(60)  # noqa: SLF001 (all that it has said)
            again.close()
    said = "".join(stream.said)
    assert why in said
    assert "--plain" not in said


def test_a_plain_receiver_gets_all_rows_again_that_it_may_not_have_read(tmp_path: Path) -> None:
    with socket.create_server((HOST, 0)) as listener:
        written(tmp_path, listener.getsockname()[1], plain=True)
        with streaming(tmp_path, "--workers", "0") as stream:
            talker = stream.talk({"stream": "s", "header": "n,text"})
            talker.hear()
            talker.say(b"1,x", b"2,y")
            connection, _ = listener.accept()
            with connection, connection.makefile("rb") as file:
                whole = b"".join(map(framed, [b"n,text,double", b"1,x,2", b"2,y,4"]))
                assert file.read(len(whole)) == whole
            taken: list[tuple[list[bytes], bool]] = []
            receiving = threading.Thread(target=lambda: taken.append(seeds_receiver(listener)))
            receiving.start()
            talker.say(b"3,z")
            talker.hear_until(3)
            assert stream.stop() == 0
            receiving.join(60)
    assert taken == [([b"n,text,double", b"1,x,2", b"2,y,4", b"3,z,6"], True)]
    assert waiting(tmp_path) == 0  # it has closed its side behind the end


def test_a_receiver_that_is_away_is_told_of_once_and_its_rows_wait(tmp_path: Path) -> None:
    port = free_port()
    written(tmp_path, port)
    with streaming(tmp_path, "--workers", "0") as stream:
        talker = stream.talk({"stream": "s", "header": "n,text"})
        talker.hear()
        for n in range(3):
            talker.say(b"%d,x" % n)
            talker.hear_until(n + 1)
            until(lambda n=n: epochs(tmp_path) > n)  # type: ignore[misc]
        until(lambda: "cannot be reached" in "".join(stream.said))
        with listening(tmp_path, "-o", "got.csv", port=port) as receiver:
            until(lambda: waiting(tmp_path) == 0)
            until(lambda: "takes rows again" in "".join(stream.said))
            assert receiver.stop()[0] == 0
        assert stream.stop() == 0
    said = "".join(stream.said)
    assert said.count("cannot be reached") == 1
    assert said.count(f"{HOST}:{port} has all 3 rows of the stream") == 1
    assert (tmp_path / "got.csv").read_text() == "n,text,double\n0,x,0\n1,x,2\n2,x,4\n"


def test_nobody_waits_at_once_for_a_receiver_that_never_reads(tmp_path: Path) -> None:
    with socket.create_server((HOST, 0)) as listener:
        written(tmp_path, listener.getsockname()[1])
        with streaming(tmp_path, "--workers", "0") as stream:
            talker = stream.talk({"stream": "s", "header": "n,text"})
            talker.hear()
            talker.say(b"1,x", b"2,y")
            connection, _ = listener.accept()
            until(lambda: waiting(tmp_path) > 0)
            stream.process.send_signal(signal.SIGINT)  # as muster stop --now does
            assert stream.process.wait(20) == 130
            connection.close()


@pytest.mark.waits
def test_a_receiver_that_never_reads_holds_its_stream_alone_and_the_disk_is_bounded(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    most, files = 2_000_000, 12
    wide = "x" * 50_000
    port = free_port()
    with socket.create_server((HOST, port)) as listener:
        written(tmp_path, port, FOLLOWS, spool_bytes=most)
        with begun(tmp_path, "run", "pipeline.py", "--workers", "0") as process:
            for at in range(files):  # each an epoch: one is there only once the one before is done
                part = tmp_path / "in" / f"{at:02}.part"
                part.write_text("n,text\n" + f"{at},{wide}\n" * 20)
                part.rename(part.with_suffix(".csv"))
                until(lambda at=at: epochs(tmp_path) > at or waiting(tmp_path) >= most)  # type: ignore[misc]
            connection, _ = listener.accept()
            code, _, err = stopped(tmp_path, process)  # which would do them all if there were room
            connection.close()
        assert code == 0, err
        told = re.search(rf"{HOST}:{port} has not taken (\d+) rows", err)
        assert told, err
        assert 0 < int(told[1]) <= 3 * 20  # which have 3 MB: an epoch begins while less waits than may
    with listening(tmp_path, "-o", "got.csv", "--once", port=port) as receiver:
        with begun(tmp_path, "run", "pipeline.py", "--workers", "0") as process:
            code, _, err = stopped(tmp_path, process)
        assert code == 0, err
        assert receiver.ended()[0] == 0
    got = (tmp_path / "got.csv").read_text().splitlines()[1:]
    assert got == [f"{at},{wide},{2 * at}" for at in range(files) for _ in range(20)]


def test_what_cannot_be_sent_is_refused_in_words(tmp_path: Path, muster: Muster) -> None:
    for place, more, why in (
        ("", "", "send_tcp '' names no host and port"),
        ("a/b", "", "names no host and port"),
        ("host:70000", "", "is no port"),
        ("host:0", "", "nobody listens on port 0"),
        ("host:1", ", framing='words'", "framing='words'"),
        ("host:1", ", encode='xml'", "encode='xml'"),
        ("host:1", ", spool_bytes=0", "spool_bytes=0"),
        ("host:1", ", plain=True, token='t'", "token= and plain=True"),
        ("host:1", ", token='none.txt', tls=True", "token='none.txt': "),
        ("host:1", ", tls_ca='none.pem'", "tls_ca='none.pem' cannot be used"),
        ("host:1", ", folder='x').write_csv('also/'", "'also/': a stream has one work folder"),
        (
            "host:1",
            ", encode='json').write_csv('also/'",
            "'also/': it takes rows as CSV, and an output",
        ),
        ("host:1", ").send_tcp('host:1'", "send_tcp('host:1'): the rows of this pipeline go there already"),
        (
            "host:1",
            ").map_batches('os:fspath').send_tcp('host:2'",
            "all outputs of a pipeline get the rows that its last",
        ),
        ("host:1", ").send_tcp('host:2', folder='x'", "calls it 'tcp-host-1.muster'"),
        (
            "host:1",
            ").write_csv('a/').write_csv('b/'",
            "'b/': a stream writes one folder of parts",
        ),
    ):
        (tmp_path / "pipeline.py").write_text(
            "import muster\npipeline = muster.listen_tcp('127.0.0.1:0').map_batches('os:fspath')"
            f".send_tcp({place!r}{more})\n"
        )
        ended = muster("run", "pipeline.py")
        assert (ended.code, why in ended.err) == (2, True), (place, more, ended.err)
    for text, flags, why in (
        ("read_csv('a.csv')", (), "rows go on behind follow_csv, listen_tcp and read_from"),
        (
            "listen_tcp('127.0.0.1:0').map_batches('os:fspath')",
            ("-o", "also/"),
            "'-o also/': the rows of this pipeline go to send_tcp('host:1')",
        ),
    ):
        (tmp_path / "pipeline.py").write_text(f"import muster\npipeline = muster.{text}.send_tcp('host:1')\n")
        ended = muster("run", "pipeline.py", *flags)
        assert (ended.code, why in ended.err) == (2, True), ended.err
    assert {path.name for path in tmp_path.iterdir()} - {"__pycache__"} == {"pipeline.py"}


def test_rows_that_wait_are_not_forgotten_but_by_fresh(tmp_path: Path, muster: Muster) -> None:
    written(tmp_path, free_port())
    with streaming(tmp_path, "--workers", "0") as stream:
        talker = stream.talk({"stream": "s", "header": "n,text"})
        talker.hear()
        talker.say(b"1,x", b"2,y")
        until(lambda: waiting(tmp_path) > 0)
        stream.process.kill()
    [outbox] = (tmp_path / "out.muster" / "outbox").iterdir()
    [part] = outbox.glob("*-*")
    part.rename(tmp_path / "away")
    (outbox / "000000000000000-1.csv").write_text("n,text,double\n1,x,2\n")
    ended = muster("run", "pipeline.py", "--workers", "0")
    assert (ended.code, "lacks rows that were not acknowledged" in ended.err) == (3, True), ended.err
    (tmp_path / "out.muster" / "journal.jsonl").unlink()
    ended = muster("run", "pipeline.py", "--workers", "0")
    assert (ended.code, "holds rows that were not acknowledged" in ended.err) == (2, True), ended.err
    assert list(outbox.glob("*-*"))
    with streaming(tmp_path, "--workers", "0", "--fresh") as stream:
        assert stream.stop() == 0
    assert outbox.is_dir()
    assert not list(outbox.iterdir())


KILLS = 10


def kept(folder: Path) -> int:
    """Tell how many rows the receiver has noted."""
    journal = folder / "got.csv.muster" / "received.jsonl"
    lines = journal.read_bytes().split(b"\n")[:-1] if journal.exists() else []
    return max((json.loads(line).get("rows", 0) for line in lines), default=0)


@pytest.mark.waits
def test_whatever_is_killed_from_sender_to_receiver_each_row_arrives_once_and_in_order(tmp_path: Path) -> None:
    seed = random.randrange(1 << 32)  # noqa: S311 (moments, no secrets)
    dice, count = random.Random(seed), 40_000  # noqa: S311 (likewise)
    print(f"seed {seed}")  # noqa: T201 (for whoever looks into a failure)
    (tmp_path / "in.csv").write_text("n,text\n" + rows_of(count))
    port, to = free_port(), free_port()
    written(tmp_path, to, port=port)
    aims = sorted(dice.randrange(1, count * 9 // 10) for _ in range(KILLS))
    alive = Alive(tmp_path, port, to)
    try:
        for aim in aims:
            alive.all_begun()
            until(lambda aim=aim: kept(tmp_path) >= aim)  # type: ignore[misc]
            victims = dice.sample(["stream", "receiver", "sender", "worker"], dice.choice([1, 1, 2, 3]))
            for victim in sorted(victims, reverse=True):  # a worker before its stream
                alive.kill(victim, dice)
        alive.kill("receiver", dice)
        alive.all_begun(is_last=True)
        assert alive.processes["sender"].communicate(timeout=120)[0] == "40,000 rows sent; 40,000 acknowledged\n"
        code, _, err = stopped(tmp_path, alive.processes["stream"])
        assert code == 0, (err, seed)
        assert alive.processes["receiver"].wait(60) == 0, seed
    finally:
        alive.close()
    assert (tmp_path / "got.csv").read_text() == "n,text,double\n" + done(count), f"seed {seed}"
    assert not (tmp_path / "out.rejects.jsonl").exists(), f"seed {seed}"


class Alive:
    """Sender, stream and receiver, each begun again once it has died."""

    def __init__(self, folder: Path, port: int, to: int) -> None:
        self._folder = folder
        self._commands = {
            "receiver": ("receive", "-o", "got.csv", "--listen", f"{HOST}:{to}"),
            "stream": ("run", "pipeline.py", "--workers", "2", "--quiet"),
            "sender": ("send", "in.csv", "--to", f"{HOST}:{port}", "--rate", "8000"),
        }
        self.processes: dict[str, Any] = {}

    def all_begun(self, *, is_last: bool = False) -> None:
        for name, command in self._commands.items():
            process = self.processes.get(name)
            if process is not None and process.poll() is None:
                continue
            if process is not None:
                assert name != "stream" or process.returncode == -9, process.communicate()
                process.communicate()
            once = ("--once",) if is_last and name == "receiver" else ()
            self.processes[name] = begun(self._folder, *command, *once)

    def kill(self, name: str, dice: random.Random) -> None:
        if name == "worker":
            kill_a_child(self.processes["stream"].pid, dice)
        else:
            self.processes[name].kill()
            self.processes[name].wait(60)

    def close(self) -> None:
        for process in self.processes.values():
            if process.poll() is None:
                process.kill()
            process.communicate()
