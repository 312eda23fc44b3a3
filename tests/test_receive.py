"""muster receive: rows over TCP, kept in files, from the seed's kind of sender and from those that say hello."""

import codecs
import gzip
import json
import resource
import select
import signal
import socket
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from conftest import Muster
from disks import small
from ends import END, HOST, framed, listening, rows_of, seeds_sender
from muster._formats.lines import quoted_records
from muster._streams.lines import TornRowError, as_lines, is_torn, split_header
from waiting import until

HEADER = b"id,name"


def rows(count: int, first: int = 0) -> list[bytes]:
    return [b"%d,row %d" % (number, number) for number in range(first, first + count)]


@pytest.mark.parametrize("at_once", [1, 1000])
def test_the_seeds_sender_is_received_however_small_the_pieces_are_that_it_comes_in(
    tmp_path: Path, at_once: int
) -> None:
    with listening(tmp_path, "-o", "out.csv", "--once") as receiver:
        heard = seeds_sender(receiver.port, [HEADER, *rows(300)], at_once=at_once)
        assert receiver.ended() == (0, "300 rows received; out.csv\n", "")
    assert b"safe" not in heard
    assert (tmp_path / "out.csv").read_bytes() == b"\n".join([HEADER, *rows(300), b""])
    assert list(tmp_path.iterdir()) == [tmp_path / "out.csv"]


def test_rows_of_many_senders_come_whole_and_each_senders_in_order(tmp_path: Path) -> None:
    with listening(tmp_path, "-o", "out.jsonl", "--framing", "lines") as receiver:
        senders = [socket.create_connection((HOST, receiver.port)) for _ in range(20)]
        for number in range(50):
            for name, sender in enumerate(senders):
                sender.sendall(b'{"from": %d, "number": %d}\n' % (name, number))
        for sender in senders:
            sender.sendall(END + b"\n")
        journal = tmp_path / "out.jsonl.muster" / "received.jsonl"
        until(lambda: '"rows": 1000' in journal.read_text())
        for sender in senders:
            sender.close()
        code, out, err = receiver.stop()
    assert (code, out, err) == (0, "1,000 rows received; out.jsonl\n", "")
    came = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    for name in range(20):
        assert [one["number"] for one in came if one["from"] == name] == list(range(50))


def test_what_is_acknowledged_is_on_disk_and_what_is_sent_again_is_taken_once(tmp_path: Path) -> None:
    with listening(tmp_path, "-o", "out.csv") as receiver:
        first = receiver.talk({"stream": "orders", "header": "id,name"})
        assert first.hear() == {"safe": 0}
        first.say(*rows(100))
        assert first.hear_until(100) == {"safe": 100}
        receiver.process.kill()
        receiver.ended()
    kept = tmp_path / "out.csv.muster" / "000001.rows"
    assert kept.read_bytes() == b"\n".join([HEADER, *rows(100), b""])
    with kept.open("ab") as file:  # what came behind, and was not noted when it was killed
        file.write(b"100,half a r")
    with listening(tmp_path, "-o", "out.csv", "--once") as receiver:
        for hello, after, known in (({"first": 51}, 50, 100), ({"first": 1}, 0, 160), ({}, 160, 160)):
            again = receiver.talk({"stream": "orders", "header": "id,name", **hello})
            assert again.hear()["safe"] == known
            again.say(*rows(160)[after:], b"", *([END] if not hello else []))
            assert again.hear_until(160)["safe"] == 160
            again.close()
        assert receiver.ended()[0] == 0
    assert rows_of(tmp_path / "out.csv") == rows(160)


def test_the_end_of_a_stream_is_acknowledged_also_to_who_has_closed_its_way_there(tmp_path: Path) -> None:
    with listening(tmp_path, "-o", "out.csv", "--rows", "4") as receiver:
        one = receiver.talk({"stream": "one", "header": "id,name"})
        one.say(*rows(3), END)
        one.connection.shutdown(socket.SHUT_WR)
        assert one.hear() == {"safe": 0}
        answer = one.hear_until(3)
        assert (answer if answer.get("ended") else one.hear()) == {"safe": 3, "ended": True}
        assert one.hear() == {}
        other = receiver.talk({"stream": "one", "header": "id,name"})
        assert other.hear() == {"safe": 3, "ended": True}
        other.say(*rows(1, 3))
        other.hear_until(4)
        assert receiver.ended()[:2] == (0, "4 rows received; out.csv\n")


BAD = {
    b"GET / HTTP/1.1\r\n\r\n": "1,195,725,856 bytes",
    framed(HEADER) + b"\x7f\xff\xff\xff": "2,147,483,647 bytes, and 16,777,216 are the most",
    framed(b"other,names") + framed(b"1,2"): "its header is 'other,names', and that of the rows so far is 'id,name'",
    framed(HEADER) + framed(b'1,"half a cell'): "a row of CSV ends within a quoted cell, at frame 1",
    framed(HEADER) + framed(END) + framed(b"1,2"): "there are frames behind the one that ends the stream",
    framed(b"\x01muster2 {}"): "the hello is of version b'2', and this receiver speaks version 1",
    framed(b"\x01muster1 {"): "the hello is no JSON",
    framed(b"\x01muster1 7"): "the hello is no object of JSON",
    framed(b'\x01muster1 {"stream": 7}'): '"stream" must be a printable text of 1 to 200 characters',
    framed(b'\x01muster1 {"stream": "x", "first": true}'): '"first" must be a whole number from 1',
    framed(b'\x01muster1 {"stream": "x", "header": "\\ud800,b"}'): "must be texts that UTF-8 can write",
    framed(b"\x01muster1 " + b"[" * 100_000): "the hello is no JSON",
    framed(b'\x01muster1 {"stream": "x", "header": "id,\\"na"}'): "its header ends within a quoted cell",
    framed(b'id,"na'): "its header ends within a quoted cell",
    framed(b'\x01muster1 {"stream": "x", "header": "id,name\\n1,a"}'): "its header has rows behind it",
    framed(HEADER) + framed(b'x"1,"y'): "a row of CSV ends within a quoted cell, at frame 1",
    framed(HEADER) + framed(b'x","y'): "a row of CSV ends within a quoted cell, at frame 1",
    framed(b'\x01muster1 {"stream": "x", "header": 1}'): '"header" and "token" must be texts',
    framed(b'\x01muster1 {"stream": "x", "first": 9}'): "row 9 is the first that is sent, and 0 of stream 'x'",
}


def test_a_connection_that_sends_what_it_should_not_is_closed_with_the_reason_and_no_other(tmp_path: Path) -> None:
    with listening(tmp_path, "-o", "out.csv") as receiver:
        good = receiver.talk({"stream": "good", "header": "id,name"})
        assert good.hear() == {"safe": 0}
        reasons = []
        for number, (sent, said) in enumerate(BAD.items(), 1):
            bad = receiver.talk()
            bad.connection.sendall(sent)
            answer = bad.hear()
            assert said in answer["error"]
            assert bad.hear() == {}
            bad.close()
            reasons.append(answer["error"])
            good.say(*rows(1, number - 1))
            good.hear_until(number)
        code, _, err = receiver.stop()
    assert (code, rows_of(tmp_path / "out.csv")) == (0, rows(len(BAD)))
    assert [reason for reason in reasons if f"closed, as {reason}" not in err] == []


def test_a_row_that_is_cut_off_is_not_taken_and_said(tmp_path: Path) -> None:
    with listening(tmp_path, "-o", "out.csv") as receiver:
        bad = receiver.talk()
        bad.connection.sendall(framed(HEADER) + framed(b"1,a") + framed(b"2,bcd")[:-1])
        bad.close()
        good = receiver.talk()
        good.say(HEADER, b"3,c")
        good.close()
        until(lambda: '"rows": 2' in (tmp_path / "out.csv.muster" / "received.jsonl").read_text())
        code, out, err = receiver.stop(signal.SIGTERM)
    assert (code, out) == (0, "2 rows received; out.csv\n")
    assert "the connection ended in the middle of a frame, of which 8 bytes had come" in err
    assert sorted(rows_of(tmp_path / "out.csv")) == [b"1,a", b"3,c"]


def test_rows_behind_the_header_in_its_frame_are_rows_and_repeated_in_no_file(tmp_path: Path) -> None:
    header = b'id,"na\nme"'
    with listening(tmp_path, "-o", "out.csv", "--rotate", "0.015kB") as receiver:
        for number in (1, 3):
            assert seeds_sender(receiver.port, [b"\n%s\n%d,a\n%d,b" % (header, number, number + 1)]) == b""
            until((tmp_path / f"out-{(number + 1) // 2:06}.csv").exists)
        assert receiver.stop()[:2] == (0, "2 rows received\n")
    texts = [(tmp_path / f"out-{number:06}.csv").read_bytes() for number in (1, 2)]
    assert texts == [header + b"\n1,a\n2,b\n", header + b"\n3,a\n4,b\n"]


def test_the_mark_that_files_of_utf_8_may_begin_with_is_no_part_of_a_header(tmp_path: Path) -> None:
    with listening(tmp_path, "-o", "out.csv", "--rows", "3") as receiver:
        for number, mark in enumerate([codecs.BOM_UTF8, b"", codecs.BOM_UTF8]):
            assert seeds_sender(receiver.port, [mark + HEADER, b"%d,a" % number]) == b""
        assert receiver.ended()[0] == 0
    assert (tmp_path / "out.csv").read_bytes().startswith(HEADER + b"\n")
    assert sorted(rows_of(tmp_path / "out.csv")) == [b"0,a", b"1,a", b"2,a"]


@given(st.lists(st.sampled_from(["a", '"', '""', '"a"', ",", "\n", "\r", ""]), max_size=8).map("".join))
def test_a_header_is_the_one_record_that_muster_reads_first(text: str) -> None:
    payload = text.encode()
    header, rows = split_header(payload, delimiter=",")
    records = list(quoted_records(payload + b"\n", delimiter=",", quote='"'))
    assert len(list(quoted_records(header + b"\n", delimiter=",", quote='"'))) == min(len(records), 1)
    assert payload.endswith(header + rows)


def test_rows_in_quotes_are_kept_as_they_came_line_ends_included(tmp_path: Path) -> None:
    payloads = [b'1,"a\n\nb"', b"2,c\n", b'3,"d ""e"""\r\n', b'4,5" pipe', b"5,f\n6,g"]
    with listening(tmp_path, "-o", "out.csv", "--once") as receiver:
        seeds_sender(receiver.port, [HEADER, *payloads])
        assert receiver.ended()[0] == 0
    expected = b'id,name\n1,"a\n\nb"\n2,c\n3,"d ""e"""\r\n4,5" pipe\n5,f\n6,g\n'
    assert (tmp_path / "out.csv").read_bytes() == expected


def test_a_new_connection_of_a_stream_takes_it_over_from_one_that_may_be_dead(tmp_path: Path) -> None:
    with listening(tmp_path, "-o", "out.csv", "--once") as receiver:
        first = receiver.talk({"stream": "s", "header": "id,name"})
        first.say(*rows(5))
        first.hear_until(5)
        second = receiver.talk({"stream": "s", "header": "id,name"})
        assert second.hear() == {"safe": 5}
        assert "another connection goes on with stream 's'" in first.hear()["error"]
        first.connection.setblocking(False)  # noqa: FBT003 (it takes no names)
        second.say(*rows(5, 5), END)
        assert receiver.ended()[0] == 0
    assert rows_of(tmp_path / "out.csv") == rows(10)


def test_a_connection_whose_stream_has_ended_is_over_once_the_sender_has_closed_it(tmp_path: Path) -> None:
    with listening(tmp_path, "-o", "out.csv") as receiver:
        for _ in range(2):  # the same stream, as where the same command is typed again
            sender = receiver.talk({"stream": "s", "header": "id,name"})
            sender.say(*rows(5), END)
            while not sender.hear().get("ended"):
                pass
            sender.connection.shutdown(socket.SHUT_WR)
            while sender.connection.recv(1000):  # another answer may be on its way; the receiver then closes, too
                pass
        assert "another connection" not in receiver.stop()[2]


def test_a_sender_that_never_reads_delays_nobody_and_its_rows_are_kept(tmp_path: Path) -> None:
    with listening(tmp_path, "-o", "out.csv", "--rows", "60010") as receiver:
        deaf = receiver.talk()
        deaf.connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        deaf.say(b'\x01muster1 {"stream": "deaf", "header": "id,name"}')
        for number in range(6000):
            deaf.say(*rows(10, number * 10))
        good = receiver.talk({"stream": "good", "header": "id,name"})
        good.say(*rows(10), END)
        assert good.hear_until(10)["safe"] == 10
        assert receiver.ended()[:2] == (0, "60,010 rows received; out.csv\n")
        deaf.close()


def test_two_thousand_connections_are_served_at_a_time(tmp_path: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < 4096:
        pytest.skip("this computer allows too few open files")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, 4096), hard))
    try:
        with listening(tmp_path, "-o", "out.csv", "--rows", "2000", "--connections", "2000") as receiver:
            talkers = [receiver.talk({"stream": f"s{n}", "header": "id,name"}) for n in range(2000)]
            assert {talker.hear()["safe"] for talker in talkers} == {0}
            one_too_many = receiver.talk()
            assert one_too_many.hear() == {
                "error": "there are 2000 connections, and no more are taken",
                "retry": True,
            }
            one_too_many.close()
            for number, talker in enumerate(talkers):
                talker.say(*rows(1, number))
            assert {talker.hear()["safe"] for talker in talkers} == {1}
            for talker in talkers:
                talker.close()
            assert receiver.ended()[0] == 0
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert sorted(rows_of(tmp_path / "out.csv")) == sorted(rows(2000))


def test_a_connection_from_which_nothing_comes_is_closed(tmp_path: Path) -> None:
    with listening(tmp_path, "-o", "out.csv", "--idle", "1s") as receiver:
        silent = receiver.talk()
        assert silent.hear() == {"error": "nothing came for 1.0 s", "retry": True}
        assert receiver.stop()[:2] == (0, "0 rows received\n")
    assert list(tmp_path.iterdir()) == []


def test_files_are_rotated_by_size_and_appear_whole_and_the_next_receiver_goes_on_with_the_next(tmp_path: Path) -> None:
    sent = 0
    for _ in range(2):
        with listening(tmp_path, "-o", "out.csv.gz", "--rotate", "0.8kB") as receiver:
            talker = receiver.talk({"stream": "s", "header": "id,name"})
            assert talker.hear() == {"safe": sent}
            for _ in range(4):
                talker.say(*rows(100, sent))
                sent += 100
                assert talker.hear_until(sent)["safe"] == sent
            assert receiver.stop()[0] == 0
    names = sorted(path.name for path in tmp_path.glob("out-*"))
    assert names == [f"out-{number:06}.csv.gz" for number in range(1, 9)]
    texts = [gzip.decompress((tmp_path / name).read_bytes()) for name in names]
    assert [text.splitlines()[0] for text in texts] == [HEADER] * 8
    assert [line for text in texts for line in text.splitlines()[1:]] == rows(800)
    assert sorted(path.name for path in tmp_path.iterdir() if path.name not in names) == ["out.csv.gz.muster"]


def test_a_number_of_a_file_is_given_once_though_the_file_was_moved_away(tmp_path: Path) -> None:
    (tmp_path / "done").mkdir()
    for number in (1, 2):
        with listening(tmp_path, "-o", "out.csv", "--rotate", "1MB") as receiver:
            talker = receiver.talk({"stream": "s", "header": "id,name"})
            talker.say(*rows(number)[number - 1 :])
            talker.hear_until(number)
            assert receiver.stop()[0] == 0
        (tmp_path / f"out-{number:06}.csv").rename(tmp_path / "done" / f"{number}")
    assert rows_of(tmp_path / "done" / "1", tmp_path / "done" / "2") == rows(2)


def test_a_stream_without_rows_makes_an_empty_file(tmp_path: Path, muster: Muster) -> None:
    (tmp_path / "empty.jsonl").write_bytes(b"")
    with listening(tmp_path, "-o", "out.jsonl", "--once") as receiver:
        assert muster("send", "empty.jsonl", "--to", f"{HOST}:{receiver.port}").out == "0 rows sent; 0 acknowledged\n"
        assert receiver.ended()[:2] == (0, "0 rows received; out.jsonl\n")
    assert (tmp_path / "out.jsonl").read_bytes() == b""
    assert not (tmp_path / "out.jsonl.muster").exists()


@given(st.lists(st.lists(st.sampled_from(["a", '"', '""', '"a"', ",", "\n", ""]), max_size=6).map("".join), max_size=4))
def test_rows_that_would_take_what_is_behind_them_for_their_own_are_found(texts: list[str]) -> None:
    payloads = [text.encode() for text in texts]
    at = next((at for at, payload in enumerate(payloads) if is_torn(payload, delimiter=",")), None)
    if at is None:
        as_lines(payloads, delimiter=",")
    else:
        with pytest.raises(TornRowError) as raised:
            as_lines(payloads, delimiter=",")
        assert raised.value.at == at


def test_a_file_is_rotated_by_time_though_nothing_more_comes(tmp_path: Path) -> None:
    with listening(tmp_path, "-o", "out.jsonl.zst", "--rotate", "10MB,0.5s") as receiver:
        talker = receiver.talk({"stream": "s"})
        talker.say(b"{}")
        until((tmp_path / "out-000001.jsonl.zst").exists)
        assert receiver.stop()[:2] == (0, "1 row received\n")


def test_a_full_disk_loses_nothing_that_was_acknowledged_and_the_same_command_goes_on(tmp_path: Path) -> None:
    with small(tmp_path / "disk") as disk:
        filler = disk / "filler"
        filler.write_bytes(b"x" * 1_000_000)
        with listening(disk, "-o", "out.csv") as receiver:
            talker = receiver.talk({"stream": "s", "header": "id,name"})
            safe = sent = talker.hear()["safe"]
            while "safe" in (answer := talker.hear() if sent else {"safe": 0}):
                safe = answer["safe"]
                if safe == sent:
                    talker.say(*[row + b"x" * 1000 for row in rows(50, sent)])
                    sent += 50
            code, _, err = receiver.ended()
        assert code == 3
        assert f"Cannot write rows for 'out.csv': No space left on device: '{disk}/out.csv.muster" in err
        assert f"What came before is safe: {safe:,} rows. Make room, and type the same command again" in err
        filler.unlink()
        with listening(disk, "-o", "out.csv", "--once") as receiver:
            talker = receiver.talk({"stream": "s", "header": "id,name"})
            assert talker.hear() == {"safe": safe}
            talker.say(*[row + b"x" * 1000 for row in rows(50, safe)], END)
            assert receiver.ended()[0] == 0
        assert rows_of(disk / "out.csv") == [row + b"x" * 1000 for row in rows(safe + 50)]


def test_two_receivers_share_no_output_and_none_adds_to_a_finished_file(tmp_path: Path, muster: Muster) -> None:
    with listening(tmp_path, "-o", "out.csv", "--once") as receiver:
        second = muster("receive", "-o", "out.csv", "--listen", "0")
        assert second.code == 2
        assert "Another muster process is writing 'out.csv'" in second.err
        taken = muster("receive", "-o", "other.csv", "--listen", str(receiver.port))
        assert taken.code == 2
        assert f"Cannot listen on 127.0.0.1:{receiver.port}" in taken.err
        assert not (tmp_path / "other.csv.muster").exists()
        seeds_sender(receiver.port, [HEADER, *rows(1)])
        receiver.ended()
    for flags, said in (
        (["-o", "out.csv"], "'out.csv' is there, and rows are not added to a file that is finished"),
        (["-o", "out.parquet"], "rows are received as they come, as CSV or JSON lines"),
        (
            ["-o", "new.csv", "--rotate", "100"],
            "neither a size, in kB MB GB TB, nor a time, in s m h d; type for example 100MB, 1h",
        ),
        (["-o", "new.csv", "--listen", "127.0.0.1:x"], "'x' is no port"),
        (["-o", "new.csv", "--tls-cert", "x"], "--tls-cert and --tls-key go together"),
    ):
        refused = muster("receive", *flags)
        assert (refused.code, refused.out) == (2, "")
        assert said in refused.err
    assert [path.name for path in tmp_path.iterdir()] == ["out.csv"]


def test_it_listens_on_loopback_unless_told_otherwise(tmp_path: Path) -> None:
    with listening(tmp_path, "-o", "out.csv") as receiver:
        addresses = Path("/proc/net/tcp").read_text()
        assert f"0100007F:{receiver.port:04X} 00000000:0000 0A" in addresses
        assert f"00000000:{receiver.port:04X} 00000000:0000 0A" not in addresses


def test_answers_are_not_needed_by_a_sender_that_sends_all_at_once(tmp_path: Path) -> None:
    with listening(tmp_path, "-o", "out.csv", "--once") as receiver:
        talker = receiver.talk()
        talker.say(b'\x01muster1 {"stream": "s", "header": "id,name", "first": 1}', *rows(50), END)
        assert receiver.ended()[0] == 0
        assert select.select([talker.connection], [], [], 10)[0]
    assert rows_of(tmp_path / "out.csv") == rows(50)
