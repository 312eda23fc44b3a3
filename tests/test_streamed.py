"""A stream that goes on is seen: what waits, what it keeps and what is on its way, as its files say it."""

import json
import re
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from conftest import Muster, begun
from ends import END, HOST
from followed import following, stopped
from muster._job import SinkLag, StreamLag
from muster._journal import events
from muster._journal.file import Entry
from muster._journal.measures import bin_of
from muster._journal.runs import find
from muster._journal.streaming import StreamSums
from muster._run.telling.observer import Observer
from muster._streams.arrivals import Arrivals, Came, shared
from muster._watch import pages
from muster._watch.metrics import text
from muster._watch.sums.moment import look_at
from streaming import streaming
from test_send_tcp import Receiver
from waiting import until

STATEFUL = """
import muster, os, time
def step(df, states):
    while os.path.exists("wait"):
        time.sleep(0.01)
    for key, n in zip(df["k"], df["n"]):
        states[key] += n
    return df
pipeline = muster.listen_tcp("{host}:0", every=0.0).key_by("k").map_batches(step, state=int).send_tcp(
    "{host}:{port}", folder="out"
)
"""
FOLLOWS = """
import muster, os, time
def step(df):
    while os.path.exists("wait"):
        time.sleep(0.01)
    return df
pipeline = muster.follow_csv("in/*.csv", every=0.0).map_batches(step).write_csv("out/")
"""
KEYS = 7


def standing(muster: Muster) -> dict[str, Any]:
    """Ask how the newest run stands, where it is a stream that has told that."""
    run = find(None)
    told: dict[str, Any] = json.loads(muster("status", run.run, "--json").out)
    assert told["run"] == run.run
    return told.get("stream") or {}


def until_told(muster: Muster, is_so: Callable[[dict[str, Any]], object]) -> dict[str, Any]:
    """Wait until it stands so: what is told is a second old at most."""
    told = dict[str, Any]()

    def is_told() -> object:
        told.clear()
        told.update(standing(muster))
        return told and is_so(told)

    until(is_told)
    return told


def samples() -> dict[str, float]:
    """Read the metrics of the newest run that have its name alone."""
    told = text([look_at(find(None))])
    families = text_string_to_metric_families(told)
    return {one.name: one.value for family in families for one in family.samples if [*one.labels] == ["run"]}


def samples_of(label: str) -> dict[str, float]:
    """Read the first metric of the newest run that has a label besides, by what it is."""
    families = text_string_to_metric_families(text([look_at(find(None))]))
    first = next(family for family in families if any(label in one.labels for one in family.samples))
    return {one.labels[label]: one.value for one in first.samples}


def shown(name: str) -> str:
    """Read a part of the page of the newest run, without its markup."""
    return " ".join(re.sub(r"<[^>]+>", " ", pages.overview(look_at(find(None))).fragments[name]).split())


def in_the_outbox(folder: Path) -> int:
    """Count the rows of parts that wait, as their names say."""
    return sum(int(path.stem.partition("-")[2]) for path in (folder / "out.muster" / "outbox").glob("*/[0-9]*-*"))


def sizes(folder: Path, pattern: str) -> int:
    return sum(path.stat().st_size for path in (folder / "out.muster").glob(pattern))


def seen_alike(muster: Muster, told: dict[str, Any]) -> None:
    """Compare what JSON tells of a stream with metrics, page and text."""
    metrics = samples()
    assert metrics["muster_stream_unacknowledged_rows"] == 40
    assert metrics["muster_stream_lag_rows"] == metrics["muster_stream_lag_seconds"] == 0
    assert metrics["muster_stream_keys"] == KEYS
    assert metrics["muster_stream_state_bytes"] == told["state_bytes"]
    assert metrics["muster_stream_epochs_total"] == told["epochs"]
    assert metrics["muster_stream_row_latency_seconds_count"] == 100
    assert metrics["muster_stream_checkpoint_age_seconds"] > 0
    page = shown("stream")
    assert f"Keys {KEYS}" in page
    assert "Rows unacknowledged 40 for" in page
    assert "of 100 rows of this attempt" in page
    lines = muster("status", find(None).run).out
    assert re.search(rf"^{find(None).run}: running, 100 rows so far", lines)
    assert re.search(r"^  unacknowledged +40 rows, for ", lines, re.MULTILINE)
    assert re.search(rf"^  keys +{KEYS}, whose states take ", lines, re.MULTILINE)
    assert re.search(r"^  behind +nothing$", lines, re.MULTILINE)


def test_rows_that_wait_keys_and_what_no_receiver_acknowledged_are_told_as_the_files_say(
    tmp_path: Path, muster: Muster
) -> None:
    with socket.create_server((HOST, 0)) as listener:
        (tmp_path / "pipeline.py").write_text(STATEFUL.format(host=HOST, port=listener.getsockname()[1]))
        (tmp_path / "wait").touch()
        with streaming(tmp_path, "--workers", "1") as stream:
            talker = stream.talk({"stream": "s", "header": "k,n"})
            talker.hear()
            talker.say(*(f'{n % KEYS},"{n}"'.encode() for n in range(100)))
            talker.hear_until(100)
            told = until_told(muster, lambda told: told.get("rows_behind") == 100 and told["seconds_behind"] > 0)
            assert told["bytes_behind"] == sizes(tmp_path, "inbox/*.rows")
            assert (told["epochs"], told["keys"], told["state_bytes"]) == (0, 0, 0)
            assert told["latency"] == {"rows": 0, "p50": None, "p95": None, "p99": None, "p999": None}
            until_told(muster, lambda later: later["seconds_behind"] > told["seconds_behind"])
            assert "Rows behind 100" in shown("stream")
            (tmp_path / "wait").unlink()
            receiver = Receiver(listener)
            receiver.say(safe=0)
            told = until_told(muster, lambda told: told["rows_unacknowledged"] == 100 and not told["rows_behind"])
            assert in_the_outbox(tmp_path) == 100
            assert told["keys"] == KEYS
            assert told["state_bytes"] == sizes(tmp_path, "states-*")
            assert told["latency"]["rows"] == 100
            assert told["bytes_behind"] == told["seconds_behind"] == 0
            journal = (tmp_path / "out.muster" / "journal.jsonl").read_text()
            assert told["epochs"] == journal.count('"event":"committed"')
            receiver.say(safe=60)
            told = until_told(muster, lambda told: told["rows_unacknowledged"] != 100)
            assert told["rows_unacknowledged"] == 40, "whatever parts lie there"
            assert told["seconds_unacknowledged"] > 0
            seen_alike(muster, told)
            receiver.say(safe=100)
            assert until_told(muster, lambda told: not told["rows_unacknowledged"])["seconds_unacknowledged"] == 0
            (tmp_path / "out.muster" / "stop").touch()
            until(lambda: receiver.next() == END)
            receiver.say(safe=100, ended=True)
            receiver.close()
            assert stream.stop() == 0
    assert json.loads(muster("status", find(None).run, "--json").out)["status"] == "stopped"
    assert "by you (muster stop)" in shown("progress")


def test_rows_of_files_that_wait_are_reckoned_and_those_of_the_epoch_that_goes_on_are_among_them(
    tmp_path: Path, muster: Muster
) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "pipeline.py").write_text(FOLLOWS)
    path = tmp_path / "in" / "a.csv"
    path.write_text("n,text\n" + "".join(f"{n},abcdef\n" for n in range(1000, 1500)))
    with following(tmp_path, "--workers", "1", "--quiet") as process:
        until((tmp_path / "out" / "part-00000000.csv").exists)
        (tmp_path / "wait").touch()
        with path.open("a") as file:
            file.write("".join(f"{n},abcdef\n" for n in range(1500, 1600)))
        told = until_told(muster, lambda told: told.get("bytes_behind") == 1200)
        assert told["rows_behind"] == 100
        assert told["epochs"] == 1
        assert told["keys"] is told["state_bytes"] is told["rows_unacknowledged"] is None
        assert told["latency"]["rows"] == 500
        (tmp_path / "wait").unlink()
        told = until_told(muster, lambda told: told["epochs"] == 2 and told["latency"]["rows"] == 600)
        assert told["rows_behind"] == told["bytes_behind"] == told["seconds_behind"] == 0
        assert told["checkpoint_age"] >= 0
        assert stopped(tmp_path, process)[0] == 0


def test_a_run_that_is_no_stream_and_one_that_is_not_there_are_told_likewise(tmp_path: Path, muster: Muster) -> None:
    (tmp_path / "f.py").write_text("def process(df):\n    return df\n")
    (tmp_path / "a.csv").write_text("x\n1\n2\n")
    assert muster("run", "f.py:process", "a.csv", "-o", "out.csv", "--workers", "0").code == 0
    run = find(None).run
    assert muster("status", run[:8]).out.startswith(f"{run}: finished, 2 rows\nprocess: ")
    assert "stream" not in json.loads(muster("status", run, "--json").out)
    assert "stream" not in pages.overview(look_at(find(None))).fragments["stream"]
    assert "There is no run '20010101-000000-0000'. The newest are: " in muster("status", "20010101-000000-0000").err
    ended = muster("status", "elsewhere")
    assert (ended.code, "There is no cluster 'elsewhere'" in ended.err) == (2, True)


def test_a_receiver_that_is_away_is_told_of_before_there_is_a_row_and_gets_the_first_one_over_its_connection(
    tmp_path: Path, muster: Muster
) -> None:
    with socket.create_server((HOST, 0)) as listener:
        port = listener.getsockname()[1]
    (tmp_path / "pipeline.py").write_text(STATEFUL.format(host=HOST, port=port))
    with streaming(tmp_path, "--workers", "0") as stream:
        until(lambda: "cannot be reached" in "".join(stream.said))
        told = until_told(muster, lambda told: told["away"])
        assert f"{HOST}:{port}: cannot be reached" in told["away"]
        assert "Rows cannot be sent on" in shown("progress")
        with socket.create_server((HOST, port)) as listener:
            connection, _ = listener.accept()
            with connection, connection.makefile("rb") as file:
                talker = stream.talk({"stream": "s", "header": "k,n"})
                talker.hear()
                talker.say(b"1,2")
                while not (hello := file.read(int.from_bytes(file.read(4), "big"))):
                    pass  # a sign of life
                assert json.loads(hello.removeprefix(b"\x01muster1 "))["header"] == "k,n"
        assert until_told(muster, lambda told: told["rows_unacknowledged"])["rows_unacknowledged"] == 1
        stream.process.kill()


def test_a_plain_receiver_that_takes_one_connection_gets_all_over_the_one_that_is_there_from_the_start(
    tmp_path: Path,
) -> None:
    with socket.create_server((HOST, 0)) as listener:
        code = STATEFUL.format(host=HOST, port=listener.getsockname()[1])
        (tmp_path / "pipeline.py").write_text(code.replace('folder="out"', 'folder="out", plain=True'))
        with streaming(tmp_path, "--workers", "0") as stream:
            connection, _ = listener.accept()
            listener.close()
            with connection, connection.makefile("rb") as file:
                talker = stream.talk({"stream": "s", "header": "k,n"})
                talker.hear()
                talker.say(b"1,2")
                assert [file.read(int.from_bytes(file.read(4), "big")) for _ in range(2)] == [b"k,n", b"1,2"]
                (tmp_path / "out.muster" / "stop").touch()
                assert file.read(int.from_bytes(file.read(4), "big")) == b"\x04"
            assert stream.process.wait(60) == 0


def test_a_stream_without_a_row_ends_at_once_though_its_receiver_is_away(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    code = FOLLOWS.replace('write_csv("out/")', f'send_tcp("{HOST}:1", folder="out")')
    (tmp_path / "pipeline.py").write_text(code)
    with begun(tmp_path, "run", "pipeline.py", "--workers", "0") as process:
        code_, _, err = stopped(tmp_path, process)
    assert code_ == 0
    assert f"{HOST}:1 has all 0 rows of the stream" in err


def test_a_header_that_the_job_cannot_use_is_refused_and_decides_nothing(tmp_path: Path) -> None:
    with socket.create_server((HOST, 0)) as listener:
        (tmp_path / "pipeline.py").write_text(STATEFUL.format(host=HOST, port=listener.getsockname()[1]))
        with streaming(tmp_path, "--workers", "0") as stream:
            for wrong in ({"stream": "a", "header": "x,n"}, {"stream": "b", "header": "GET / HTTP/1.1"}):
                answer = stream.talk(wrong).hear()
                assert "does not fit this stream: There is no column 'k' to group by" in answer["error"]
                assert answer["retry"] is False
            good = stream.talk({"stream": "s", "header": "k,n"})
            assert good.hear() == {"safe": 0}
            good.say(b"1,2")
            assert good.hear_until(1) == {"safe": 1}
            receiver = Receiver(listener)
            assert receiver.hello["header"] == "k,n"
            receiver.close()
            stream.process.kill()


@pytest.mark.parametrize("is_far", [False, True])
def test_how_a_stream_stands_ages_with_the_clock_and_begins_anew_with_a_process(*, is_far: bool) -> None:
    sums = StreamSums()
    waited = [[bin_of(0.01), 3]]
    committed = events.Committed(4, [], events.Totals(4, 4, 9, 9, 0), "part")
    sums.take(Entry(committed, 100.0))
    sums.take(
        Entry(events.Streamed(4, 10, 2, 1.5, 100.0, sinks=[["a", 3, 1.0, ""]], watermark=10**6, waited=waited), 101.0)
    )
    now = 500.0 if is_far else 101.0
    told = sums.as_fields(now)
    assert (told["epochs"], told["rows_behind"], told["rows_unacknowledged"]) == (4, 2, 3)
    assert told["seconds_behind"] == 1.5 + now - 101
    assert told["checkpoint_age"] == now - 100
    assert told["latency"]["rows"] == 3
    assert told["watermark"] == 1.0
    assert 0.01 < told["latency"]["p50"] < 0.012
    sums.take(Entry(events.TryStarted(2, 1, 1), 102.0))
    told = sums.as_fields(now + 1)
    assert (told["epochs"], told["rows_behind"], told["latency"]["rows"]) == (4, None, 0)
    assert told["checkpoint_age"] == now + 1 - 100


@given(st.data())
def test_rows_that_came_are_given_back_once_each_with_when_they_came(data: st.DataObject) -> None:
    """Whatever came in one go, and wherever epochs end: rows that are taken and rows that wait are all that came."""
    arrivals, came = Arrivals(), list[Came]()
    piece, end = 1, 0
    for at in range(data.draw(st.integers(0, 8))):
        if data.draw(st.booleans()):
            piece, end = piece + 1, 0
        count, rows = data.draw(st.integers(1, 50)), data.draw(st.integers(0, 20))
        end += count
        came.append(Came(piece, end, count, rows, float(at)))
        arrivals.add(came[-1])
    taken = list[Came]()
    for place in sorted(data.draw(st.lists(st.tuples(st.integers(1, piece), st.integers(0, 400)), max_size=5))):
        taken += arrivals.take(*place)
        assert arrivals.rows == sum(one.rows for one in came) - sum(one.rows for one in taken)
        behind = [one for one in came if (one.piece, one.end) > place]
        assert arrivals.since == (behind[0].since if behind else None)
    taken += arrivals.take(piece + 1, 0)
    assert (arrivals.rows, arrivals.since) == (0, None)
    for of in ("bytes", "rows"):
        assert sum(getattr(one, of) for one in taken) == sum(getattr(one, of) for one in came)
    assert [one.since for one in taken] == sorted(one.since for one in taken)
    rows = data.draw(st.integers(0, 1000))
    given_back = [*shared(rows, taken)]
    assert sum(count for count, _ in given_back) == (rows if taken else 0)
    assert [since for _, since in given_back] == sorted(since for _, since in given_back)


def test_a_journal_that_is_written_anew_is_told_how_the_stream_stands_though_nothing_has_changed() -> None:
    told, sink = list[events.Event](), SinkLag("a", 3, 1.0)
    observer = Observer(told.append, prices={})
    observer.begin_journal_anew()
    assert told == [], "it is no stream"
    observer.stream.lag = lambda: StreamLag(4, bytes=10, rows=2, sinks=(sink,))
    observer.stream.waits.add(0.01, 5)
    for _ in range(2):
        observer.begin_journal_anew()
    assert told == 2 * [events.Streamed(4, 10, 2, sinks=(sink,), waited=[[bin_of(0.01), 5]], waited_seconds=0.05)]
