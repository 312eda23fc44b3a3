"""muster send: rows of files over TCP, to muster receive and to the seed's kind of receiver."""

import gzip
import select
import shutil
import socket
import tempfile
import threading
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from conftest import Muster, begun
from ends import END, HOST, framed, listening, rows_of, seeds_receiver
from muster._clouds.certificates import Authority
from muster._dialects.dialect import Dialect
from muster._formats.records import records
from muster._formats.sources import find_sources
from muster._streams.outgoing import FileRows
from waiting import until


@pytest.fixture
def orders(tmp_path: Path) -> Path:
    path = tmp_path / "orders.csv"
    path.write_bytes(b"id,name\n" + b"".join(b"%d,row %d\n" % (n, n) for n in range(5000)))
    return path


def test_a_file_arrives_whole_and_is_acknowledged(tmp_path: Path, orders: Path, muster: Muster) -> None:
    with listening(tmp_path, "-o", "out.csv.gz", "--once") as receiver:
        sent = muster("send", orders, "--to", f"{HOST}:{receiver.port}")
        assert (sent.code, sent.out, sent.err) == (0, "5,000 rows sent; 5,000 acknowledged\n", "")
        assert receiver.ended()[0] == 0
    assert gzip.decompress((tmp_path / "out.csv.gz").read_bytes()) == orders.read_bytes()


def test_the_same_command_sends_nothing_again_and_a_file_that_has_grown_by_its_new_rows(
    tmp_path: Path, orders: Path, muster: Muster
) -> None:
    with listening(tmp_path, "-o", "out.csv", "--rows", "5003") as receiver:
        to = ("--to", f"{HOST}:{receiver.port}", "--stream", "orders")
        for _ in range(2):
            told = muster("send", orders, *to, "--json").json
            assert told == {"rows": 5000, "acknowledged": 5000, "stream": "orders"}
        short = tmp_path / "short.csv"
        short.write_bytes(b"id,name\n1,x\n")
        refused = muster("send", short, *to)
        assert refused.code == 3
        assert "has 5,000 rows of stream 'orders', and there are only 1. If these are other rows" in refused.err
        with orders.open("ab") as file:
            file.write(b"5000,x\n5001,y\n5002,z")
        grown = muster("send", orders, *to)
        assert grown.out == "5,002 rows sent; 5,002 acknowledged\n"
        assert "has no line end yet: it is left for the next time" in grown.err
        with orders.open("ab") as file:
            file.write(b"z\n")
        assert muster("send", orders, *to).out == "5,003 rows sent; 5,003 acknowledged\n"
        assert receiver.ended()[1] == "5,003 rows received; out.csv\n"
    assert (tmp_path / "out.csv").read_bytes() == orders.read_bytes()


def test_the_seeds_receiver_gets_header_rows_and_the_end(tmp_path: Path, orders: Path, muster: Muster) -> None:
    del tmp_path
    taken: list[tuple[list[bytes], bool]] = []
    with socket.create_server((HOST, 0)) as listener:
        receiver = threading.Thread(target=lambda: taken.append(seeds_receiver(listener)))
        receiver.start()
        sent = muster("send", orders, "--plain", "--to", f"{HOST}:{listener.getsockname()[1]}")
        receiver.join()
        assert select.select([listener], [], [], 0)[0] == []  # nothing was sent twice
    assert (sent.code, sent.out) == (0, "5,000 rows sent; this receiver acknowledges none\n")
    assert taken == [(orders.read_bytes().splitlines(), True)]


def test_made_rows_are_those_of_generate_at_the_rate_that_was_asked_for(tmp_path: Path, muster: Muster) -> None:
    muster("generate", "--rows", "300", "-o", "made.csv")
    with listening(tmp_path, "-o", "out.csv", "--once", "--framing", "lines") as receiver:
        to = ("--to", f"{HOST}:{receiver.port}", "--framing", "lines", "--rows", "300", "--rate", "600", "--json")
        assert muster("send", *to).json["acknowledged"] == 300
        receiver.ended()
    assert (tmp_path / "out.csv").read_bytes() == (tmp_path / "made.csv").read_bytes()


def test_what_cannot_be_sent_is_refused_in_words(tmp_path: Path, orders: Path, muster: Muster) -> None:
    (tmp_path / "quoted.csv").write_bytes(b'id,name\n1,"a\nb"\n')
    (tmp_path / "other.csv").write_bytes(b"id,other\n1,a\n")
    (tmp_path / "long.csv").write_bytes(b"id,name\n1," + b"x" * 300)
    (tmp_path / "empty.csv").write_bytes(b"")
    (tmp_path / "token").write_text("short")
    shutil.copy(orders, tmp_path / "again.csv")
    with listening(tmp_path, "-o", "out.csv", "--framing", "lines") as receiver:
        to = ("--to", f"{HOST}:{receiver.port}", "--framing", "lines")
        for code, said, words in (
            (1, "A row holds a line end, within quotes: b'1,\"a\\nb\"'", ("quoted.csv", *to)),
            (
                1,
                "The header of 'other.csv' is 'id,other', and that of 'again.csv' is 'id,name'",
                ("again.csv", "other.csv", *to),
            ),
            (1, "A frame would have 302 bytes, and may have 200", ("long.csv", *to, "--frame-bytes", "200")),
            (1, "'empty.csv' is empty, and has no header", ("empty.csv", *to)),
            (3, "refuses what is sent: its header is 'id,other'", ("other.csv", *to)),
            (2, "Name files to send, or a number of made rows with --rows, and not both", to),
            (2, "--rate 0: it is more than 0", ("again.csv", *to, "--rate", "0")),
            (2, "it must hold one word of at least 16 characters", ("again.csv", *to, "--token", "token")),
            (
                2,
                "without TLS whoever is on the way to 192.0.2.1:8888 reads it",
                ("again.csv", "--to", "192.0.2.1", "--token", "token"),
            ),
            (2, "an address of IPv6 stands in brackets: --to [::1]:8888", ("again.csv", "--to", "::1")),
            (2, "an address of IPv6 stands in brackets: --to [::1]:8888", ("again.csv", "--to", "[::1")),
            (2, "names no host and port", ("again.csv", "--to", "http://127.0.0.1:9999")),
            (2, "names no host and port", ("again.csv", "--to", " ")),
            (2, "nobody listens on port 0", ("again.csv", "--to", "127.0.0.1:0")),
        ):
            refused = muster("send", *words)
            assert (refused.code, refused.out) == (code, ""), refused
            assert said in refused.err


def test_who_is_not_there_is_tried_again_and_given_up_in_words(tmp_path: Path, orders: Path, muster: Muster) -> None:
    with socket.create_server((HOST, 0)) as taken:
        port = taken.getsockname()[1]
    given_up = muster("send", orders, "--to", f"{HOST}:{port}", "--give-up-after", "0.2s")
    assert (given_up.code, given_up.out) == (3, "")
    assert "cannot be reached: Connect call failed" in given_up.err
    assert "Trying again in" in given_up.err
    assert "It was tried for 0.2 s. 0 rows are safe there. Type the same command again" in given_up.err
    with begun(tmp_path, "send", orders, "--to", f"{HOST}:{port}") as sender:
        assert sender.stderr is not None
        assert "Trying again" in sender.stderr.readline()
        with listening(tmp_path, "-o", "out.csv", "--once", port=port) as receiver:
            assert receiver.ended()[0] == 0
        assert sender.communicate()[0] == "5,000 rows sent; 5,000 acknowledged\n"


def test_a_receiver_that_knows_no_hello_is_told_from_one_that_does(
    tmp_path: Path, orders: Path, muster: Muster
) -> None:
    del tmp_path
    for answer, said in (
        (framed(b"hello"), "answers what is no answer: b'hello'"),
        (b"HTTP/1.1 400 Bad Request\r\n", "answers what is no frame: a frame says that it has 1,213,486,160 bytes"),
        (framed(b'{"safe": "all"}'), "answers what is no answer"),
    ):
        with socket.create_server((HOST, 0)) as listener:

            def answering(listener: socket.socket = listener, answer: bytes = answer) -> None:
                connection, _ = listener.accept()
                with connection:
                    connection.sendall(answer)
                    while connection.recv(1000):
                        pass

            other = threading.Thread(target=answering)
            other.start()
            refused = muster("send", orders, "--to", f"{HOST}:{listener.getsockname()[1]}")
            other.join()
        assert refused.code == 3
        assert said in refused.err


def test_a_file_that_changes_while_it_is_sent_is_not_sent_in_two_versions(tmp_path: Path, orders: Path) -> None:
    with listening(tmp_path, "-o", "out.csv", "--rotate", "1GB") as receiver:
        to = ("--to", f"{HOST}:{receiver.port}", "--rate", "2000")
        with begun(tmp_path, "send", orders, *to) as sender:
            kept = tmp_path / "out.csv.muster" / "000001.rows"
            until(lambda: kept.exists() and kept.stat().st_size > 0)
            orders.write_bytes(orders.read_bytes().replace(b"row", b"new"))
            err = sender.communicate()[1]
    assert sender.returncode == 1
    assert "has changed since this command began, so rows of two versions" in err


@pytest.mark.parametrize("is_sealed", [False, True])
def test_what_is_refused_in_the_middle_is_told_with_much_behind_it(
    tmp_path: Path, muster: Muster, certificate: dict[str, Path], *, is_sealed: bool
) -> None:
    lines = [b"%d" % number for number in range(100)] + [b'"%s"' % (b"x" * 200_000)] + [b"1"] * 300_000
    (tmp_path / "large.jsonl").write_bytes(b"\n".join(lines) + b"\n")
    tls = ("--tls-cert", certificate["node.crt"], "--tls-key", certificate["node.key"]) if is_sealed else ()
    with listening(tmp_path, "-o", "out.jsonl", "--frame-bytes", "100000", *tls) as receiver:
        trusting = ("--tls-ca", certificate["ca.crt"]) if is_sealed else ()
        refused = muster("send", "large.jsonl", "--to", f"{HOST}:{receiver.port}", *trusting)
        _, _, err = receiver.stop()
    assert refused.code == 3
    assert "refuses what is sent: a frame says that it has 200,002 bytes, and 100,000 are the most" in refused.err
    assert "socket.send() raised" not in refused.err
    assert f"{HOST}:" in err


def test_a_plain_receiver_that_goes_away_after_a_while_is_tried_again(tmp_path: Path, orders: Path) -> None:
    with socket.create_server((HOST, 0)) as listener:
        to = f"{HOST}:{listener.getsockname()[1]}"
        listener.settimeout(30)
        how = ("--plain", "--rate", "1000", "--give-up-after", "1s")
        with begun(tmp_path, "send", orders, "--to", to, *how) as sender:
            connection, _ = listener.accept()
            began = time.monotonic()
            until(lambda: time.monotonic() - began > 1.5)
            connection.close()
            connection, _ = listener.accept()
            connection.close()
            sender.kill()


def test_a_receiver_that_dies_between_the_last_row_and_the_end_is_told_the_end_when_it_is_back(
    tmp_path: Path, muster: Muster
) -> None:
    (tmp_path / "few.jsonl").write_bytes(b"1\n2\n3\n")
    ends: list[bytes] = []

    def answering(listener: socket.socket) -> None:
        for answers in ([b'{"safe": 0}', b'{"safe": 3}'], [b'{"safe": 3}', b'{"safe": 3, "ended": true}']):
            connection, _ = listener.accept()
            with connection, connection.makefile("rb") as file:
                file.read(int.from_bytes(file.read(4), "big"))
                connection.sendall(framed(answers[0]))
                while (payload := file.read(int.from_bytes(file.read(4), "big"))) != END:
                    assert payload
                ends.append(payload)
                connection.sendall(framed(answers[1]))

    with socket.create_server((HOST, 0)) as listener:
        receiver = threading.Thread(target=answering, args=(listener,))
        receiver.start()
        sent = muster("send", "few.jsonl", "--to", f"{HOST}:{listener.getsockname()[1]}")
        receiver.join()
    assert (sent.code, sent.out) == (0, "3 rows sent; 3 acknowledged\n")
    assert ends == [END, END]


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A certificate of this computer, its key, and who has signed it."""
    folder = tmp_path_factory.mktemp("certificate")
    authority = Authority(folder)
    authority.begin(lease=900.0)
    for name, text in authority.issue("receiver", [HOST]).items():
        (folder / name).write_text(text)
    return {name: folder / name for name in ("node.crt", "node.key", "ca.crt")}


def test_tls_and_a_token_let_those_in_who_have_both(
    tmp_path: Path, orders: Path, muster: Muster, certificate: dict[str, Path]
) -> None:
    authority = certificate["ca.crt"]
    token, other = tmp_path / "token", tmp_path / "other"
    token.write_text("QuiteALongTokenThatNobodyKnows\n")
    other.write_text("AnotherTokenThatSomebodyMadeUp\n")
    sealed = ("--tls-cert", certificate["node.crt"], "--tls-key", certificate["node.key"], "--token", token)
    with listening(tmp_path, "-o", "out.csv", "--once", *sealed) as receiver:
        to = ("--to", f"{HOST}:{receiver.port}", "--give-up-after", "0s")
        for said, flags in (
            ("shows a certificate that is not trusted: ", ("--tls",)),
            ("refuses what is sent: the token is wrong", ("--tls-ca", authority, "--token", other)),
            ("refuses what is sent: a hello with the token is expected", ("--tls-ca", authority)),
            ("refuses what is sent: a hello with the token is expected", ("--tls-ca", authority, "--plain")),
            ("the connection broke", ("--token", token)),
        ):
            refused = muster("send", orders, *to, *flags)
            assert refused.code == 3
            assert said in refused.err or (said == "the connection broke" and "it closed the connection" in refused.err)
            assert "TokenThat" not in refused.err
        assert muster("send", orders, *to, "--tls-ca", authority, "--token", token).out.endswith("5,000 acknowledged\n")
        code, out, err = receiver.ended()
    assert (code, out) == (0, "5,000 rows received; out.csv\n")
    assert "TokenThat" not in out + err
    assert (tmp_path / "out.csv").read_bytes() == orders.read_bytes()


def test_a_receiver_with_another_output_is_not_taken_for_the_one_that_has_the_rows(
    tmp_path: Path, orders: Path
) -> None:
    with (
        listening(tmp_path, "-o", "one.csv") as receiver,
        begun(tmp_path, "send", orders, "--rate", "1000", "--to", f"{HOST}:{receiver.port}") as sender,
    ):
        journal = tmp_path / "one.csv.muster" / "received.jsonl"
        until(lambda: journal.exists() and '"rows": 100' in journal.read_text())
        receiver.stop()
        with listening(tmp_path, "-o", "two.csv", port=receiver.port):
            _, err = sender.communicate(timeout=60)
    assert sender.returncode == 3
    assert "rows before, and knows of 0 now: most likely it was started with another output" in err
    assert rows_of(tmp_path / "one.csv") == rows_of(orders)[: len(rows_of(tmp_path / "one.csv"))]


texts = st.lists(
    st.sampled_from([b"a", b",", b'"', b"\n", b"\r", b"\r\n", b" ", b"1,2\n", b'"x\ny"', b"\xef\xbb\xbf"]), max_size=25
)


@given(texts, st.integers(1, 9), st.sampled_from([",", ""]))
def test_rows_are_those_that_muster_reads_wherever_blocks_end(
    pieces: list[bytes], at_once: int, delimiter: str
) -> None:
    text = b"id,name\n" + b"".join(pieces)
    dialect = Dialect(delimiter, '"' if delimiter else "")
    found = [text[start:end].removesuffix(b"\n").removesuffix(b"\r") for start, end in records(text, dialect)]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "rows.csv" if delimiter else "rows.jsonl")
        path.write_bytes(text)
        rows = FileRows(find_sources([str(path)]), delimiter=delimiter, at_once=at_once)
        sent = [row for batch in rows.rows() for row in batch]
    assert ([rows.header, *sent] if delimiter else sent) == found
