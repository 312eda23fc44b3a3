"""Streams of Redis as sources and sinks, on a real server that is killed as the stream is."""

import contextlib
import json
import random
import re
import signal
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

import muster as muster_
from conftest import Muster, begun
from followed import following, joined, kill_a_child, rejects, rows_out, stopped
from muster._streams.redis_client import Place
from muster._streams.redis_sink import RedisSink
from muster._streams.redis_source import RedisSource
from muster._streams.rows_of_fields import RowsWanted
from redis_server import RedisServer, redis_server
from waiting import until

CODE = """
import muster
def step(df):
    return df.assign(double=df["n"] * 2)
pipeline = muster.{source}.map_batches(step).{sink}
"""


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    with redis_server(tmp_path_factory.mktemp("redis")) as server:
        yield server


@pytest.fixture
def server(served: RedisServer) -> RedisServer:
    served.client.flushall()
    return served


def written(folder: Path, source: str, sink: str = "write_csv('out/')") -> None:
    (folder / "pipeline.py").write_text(CODE.format(source=source, sink=sink))


def source(
    server: RedisServer, *, key: str = "in", columns: tuple[str, ...] = (), **asked: str
) -> "contextlib.closing[RedisSource]":
    made = RedisSource(server.url, key, RowsWanted(columns, **asked))  # type: ignore[arg-type] # words that there are
    made.open()
    return contextlib.closing(made)


def add(server: RedisServer, *rows: Mapping[str, object], key: str = "in") -> None:
    with server.client.pipeline(transaction=False) as several:
        for row in rows:
            several.xadd(key, row)  # type: ignore[arg-type] # numbers are written as text
        several.execute()


def test_each_entry_is_done_once_whatever_is_killed(server: RedisServer, tmp_path: Path) -> None:
    """The stream, its workers and the server, at moments that are drawn; each time it has another number of workers."""
    seed = random.randrange(1 << 32)  # noqa: S311 (moments, no secrets)
    dice, rows, kills = random.Random(seed), 4000, 6  # noqa: S311 (likewise)
    written(
        tmp_path, f"follow_redis({server.url!r}, 'in', every=0.0)", f"send_redis({server.url!r}, 'done', folder='out')"
    )
    sent = 0
    for at in range(kills + 1):
        with begun(tmp_path, "run", "pipeline.py", "--workers", dice.choice("0123")) as process:
            more = rows - sent if at == kills else dice.randrange(rows // kills)
            add(server, *({"n": n, "text": f"a,{n}\r"} for n in range(sent, sent + more)))
            sent += more
            aim = dice.randrange(sent + 1)
            until(lambda aim=aim: server.client.xlen("done") >= aim or process.poll() is not None)  # type: ignore[misc]
            if dice.random() < 0.4:
                kill_a_child(process.pid, dice)
            if at == kills or dice.random() < 0.5:
                server.kill()
                server.start()
            if at < kills:
                process.kill()
            else:
                until(lambda: server.client.xlen("done") >= rows or process.poll() is not None)
                (tmp_path / "out.muster" / "stop").touch()
            err = process.communicate(timeout=60)[1]
    assert server.entries("done") == [{"n": str(n), "text": f"a,{n}\r", "double": str(2 * n)} for n in range(rows)], (
        f"seed {seed}: {err}"
    )


def rows(given: object) -> bytes:
    assert given is not None
    text: bytes = given.text  # type: ignore[attr-defined]
    return text


def test_it_begins_with_new_entries_and_says_how_many_wait(server: RedisServer, tmp_path: Path, muster: Muster) -> None:
    add(server, {"n": 1})
    with source(server, start="newest") as newest:
        begun_at = newest.read("", 1000)
        assert begun_at is not None
        add(server, {"n": 2}, {"n": 3})
        assert rows(newest.read(begun_at.position, 1000)) == b"n\r\n2\r\n3\r\n"
    add(server, *({"n": n, "pad": "x" * 1000} for n in range(3000)), key="much")
    written(tmp_path, f"follow_redis({server.url!r}, 'much', spool_bytes=1000, every=3600.0)")
    with begun(tmp_path, "run", "pipeline.py", "--workers", "0") as process:
        until(lambda: re.search(r"behind +[23],\d\d\d rows", muster("status").out))
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=60)


def test_entries_that_are_gone_before_they_are_read_are_never_a_silent_gap(server: RedisServer) -> None:
    add(server, {"n": 1}, {"n": 2})
    with source(server) as reader, source(server, lost="skip") as skipping:
        first = reader.read("", 1000)
        assert first is not None
        add(server, *({"n": n} for n in range(3, 9)))
        server.client.xtrim("in", maxlen=2, approximate=False)
        with pytest.raises(muster_.DataError, match=r"in: 4 rows had been trimmed or deleted before .* lost='skip'"):
            reader.read(first.position, 1000)
        assert rows(skipping.read(first.position, 1000)) == b"7\r\n8\r\n"
        assert skipping.skipped() == 4
        last = skipping.read(first.position, 1000)
        assert last is not None
        add(server, {"n": 9}, {"n": 10})
        there: Any = server.client.xrange("in")
        server.client.xdel("in", *(name for name, fields in there if fields[b"n"] == b"9"))
        with pytest.raises(muster_.DataError, match="in: 1 row had been trimmed"):
            reader.read(last.position, 1000)
        server.client.delete("in")
        with pytest.raises(muster_.DataError, match=r"has been deleted.*--fresh"):
            reader.read(last.position, 1000)
        add(server, {"n": 1})
        with pytest.raises(muster_.DataError, match=r"made anew.*--fresh"):
            reader.read(last.position, 1000)


def test_how_many_entries_were_skipped_is_told_and_counted_on(
    server: RedisServer, tmp_path: Path, muster: Muster
) -> None:
    written(tmp_path, f"follow_redis({server.url!r}, 'in', lost='skip', every=0.0)")
    for numbers, skipped in ((range(2), 0), (range(2, 8), 4), (range(8, 13), 7)):
        add(server, *({"n": n} for n in numbers))
        server.client.xtrim("in", maxlen=2, approximate=False)
        before = rows_out(tmp_path)
        with following(tmp_path, "--workers", "0") as process:
            until(lambda before=before: rows_out(tmp_path) == before + 2 or process.poll() is not None)  # type: ignore[misc]
            code, _, err = stopped(tmp_path, process)
        assert code == 0, err
        told = f"in: {skipped} rows skipped: gone before they were read" in err
        at_the_end = f"{skipped} rows skipped since the stream began: gone before they were read" in err
        assert (told, at_the_end) == (bool(skipped), bool(skipped)), err
    assert joined(tmp_path).split() == ["n,double", "0,0", "1,2", "6,12", "7,14", "11,22", "12,24"]
    [run] = json.loads(muster("runs", "--json").out)
    status = muster("status", run["run"])
    assert re.search("skipped +7 rows, gone before they were read", status.out), status.out
    stream = json.loads(muster("status", run["run"], "--json").out)["stream"]
    assert stream["skipped_rows"] == 7
    assert muster("report", run["run"], "-o", "report.html").code == 0
    assert re.search("Rows skipped.*?7.*?gone before they were read", (tmp_path / "report.html").read_text(), re.DOTALL)


def test_fields_are_those_of_the_first_entry_or_those_that_are_named(server: RedisServer) -> None:
    add(server, {"n": 1, "text": 'a"b\nc'}, {"text": ""}, {"n": 3, "more": "x"})
    with source(server, columns=("more", "n")) as reader:
        assert rows(reader.read("", 1000)) == b",1\r\n,\r\nx,3\r\n"


def test_an_entry_that_is_no_row_is_a_bad_row_with_its_id_and_what_came(server: RedisServer, tmp_path: Path) -> None:
    add(server, {"n": 1}, {"n": 2, "more": "x"}, {"n": 3})
    add(server, {"data": '{"n": 1}'}, {"data": "{"}, {"other": "y"}, {"data": '{"n": 2}'}, key="values")
    in_fields, in_values = f"follow_redis({server.url!r}, 'in'", f"follow_redis({server.url!r}, 'values', field='data'"
    for at, (asked, count, whys) in enumerate(
        (
            (in_fields, 2, [("it has the field 'more', which the first row lacked", '""more"": ""x""')]),
            (
                f"{in_values}, decode='json'",
                2,
                [("it is not an object of JSON: Expecting property", ",{"), ("there is no value", "entry")],
            ),
            (
                f"{in_values}, decode=__import__('json').loads",
                2,
                [("JSONDecodeError: Expecting property", "ew==,entry"), ("ValueError: there is no value", "-,entry")],
            ),
        )
    ):
        folder = tmp_path / str(at)
        folder.mkdir()
        written(folder, f"{asked}, every=0.0)")
        with following(folder, "--workers", "0") as process:
            until(lambda folder=folder: rows_out(folder) == 2 or process.poll() is not None)  # type: ignore[misc]
            code, _, err = stopped(folder, process)
        assert (code, rows_out(folder)) == (4, count), err
        found = rejects(folder)
        entries: Any = server.client.xrange("values" if at else "in")
        names = [name.decode() for name, _ in entries[1:-1]]
        for one, name, (why, came) in zip(found, names, whys, strict=True):
            assert why in one["error"]
            assert f"entry {name}" in one["raw"]
            assert came in one["raw"]
        assert [int(n) for text in joined(folder).splitlines()[1:] for n in text.split(",")[:1]] == [1, 2 if at else 3]


def test_two_streams_add_to_one_and_a_late_transaction_of_a_dead_process_counts_once(
    server: RedisServer, tmp_path: Path
) -> None:
    (tmp_path / "rows").write_text('{"n":1,"t":null}\n{"n":2.5,"t":"x"}\n')
    one, other, again = (RedisSink(server.url, "done", maxlen=None) for _ in range(3))
    assert (one.open("one"), other.open("other"), again.open("one")) == (0, 0, 0)
    for sink in (one, other, again):
        sink.prepare(2, tmp_path / "rows")
    one.commit(2)
    other.commit(2)
    with pytest.raises(ConnectionError, match="arrived only now"):
        again.commit(2)
    assert again.open("one") == 2
    assert server.entries("done") == 2 * [{"n": "1", "t": ""}, {"n": "2.5", "t": "x"}]
    for sink in (one, other, again):
        sink.close()
    (tmp_path / "rows").write_text('{"payload":"AP8K"}\n')
    with contextlib.closing(RedisSink(server.url, "bytes", maxlen=None, has_payloads=True)) as sink:
        sink.open("one")
        sink.prepare(1, tmp_path / "rows")
        sink.commit(1)
    [(_, fields)] = server.client.xrange("bytes")  # type: ignore[misc]  # its types are those of both clients
    assert fields == {b"payload": b"\0\xff\n"}


def test_a_server_and_its_database_have_one_name_however_they_are_spelled() -> None:
    def names(*urls: str) -> set[str]:
        return {Place(url, "in", call="follow_redis").name for url in urls}

    assert names("redis://h", "redis://H:6379/", "redis://h/0", "redis://me:pw@h?db=0") == {"redis://h in"}
    assert names("redis://h:1/10", "redis://h:1/?db=10", "redis://h:1/3?db=10") == {"redis://h:1/10 in"}
    assert names("unix:///s", "unix://me@/s?db=0") == {"unix:///s in"}
    assert names("unix:///s?db=1") == {"unix:///s/1 in"}
    assert names("rediss://[::1]:6379/2") == {"rediss://[::1]/2 in"}


def test_what_cannot_be_is_said_in_words_without_a_password(
    server: RedisServer, tmp_path: Path, muster: Muster
) -> None:
    server.client.lpush("list", "x")
    server.client.acl_setuser("eve", enabled=True, passwords=["+swordfish"], keys=["*"], commands=["+ping"])
    with_login = server.url.replace("//", "//eve:{}@")
    for url, key, why in (
        (server.url, "list", "the key holds something else, not a stream"),
        (with_login.format("sw0rdfish"), "in", "the server refuses the login"),
        (with_login.format("swordfish"), "in", "this user may not do what the stream needs.*ACL SETUSER NAME ~in"),
        ("redis://eve:swordfish@no.such.host.invalid", "in", "there is no such host"),
        ("http://eve:swordfish@localhost", "in", "is no URL of a Redis server"),
    ):
        with pytest.raises(muster_.MusterError, match=why) as raised:  # noqa: PT012 (either may say so)
            made = RedisSource(url, key, RowsWanted())
            with contextlib.closing(made):
                made.open()
                made.read("", 1000)
        assert not re.search("sw[o0]rdfish", f"{raised.value}")
    written(tmp_path, f"follow_redis({with_login.format('swordfish')!r}, 'in')")
    ended = muster("run", "pipeline.py", "--workers", "0")
    assert (ended.code, "may not do what the stream needs" in ended.err) == (2, True), ended.err
    assert "swordfish" not in ended.err + "".join(
        path.read_text() for path in (tmp_path / "out.muster").glob("*.json*")
    )
    server.client.acl_deluser("eve")
    for given in ({"start": "new"}, {"lost": "warn"}, {"every": -1}, {"spool_bytes": 0}):
        with pytest.raises(muster_.UsageError, match=next(iter(given))):
            muster_.follow_redis("redis://localhost", "in", **given)


def test_a_server_that_is_away_is_told_of_once_and_waited_for(tmp_path: Path, server: RedisServer) -> None:
    server.kill()
    written(tmp_path, f"follow_redis({server.url!r}, 'in', every=0.0)")
    with begun(tmp_path, "run", "pipeline.py", "--workers", "0") as process:
        assert process.stderr is not None
        said = [process.stderr.readline()]
        server.start()  # there is no stream in it yet
        add(server, {"n": 1})
        until((tmp_path / "out" / "part-00000000.csv").exists)
        (tmp_path / "out.muster" / "stop").touch()
        said += process.communicate(timeout=60)[1].splitlines()
    assert "Connection refused. It is tried again until it is there" in said[0]
    assert sum("tried again" in line for line in said) == 1
    assert sum("it is there again" in line for line in said) == 1
    assert (tmp_path / "out" / "part-00000000.csv").read_text() == "n,double\n1,2\n"
