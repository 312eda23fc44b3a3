"""Several sources of one stream: rows of each are done once, in its own order, whoever is away or killed."""

import datetime as dt
import random
import shutil
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pytest

import muster as the_module
import own_ends
from conftest import Muster
from ends import HOST
from followed import append, following, joined, kill_a_child, rejects, rows_out, stopped, text_of
from muster._job import Job
from muster._journal.events import Committed, EpochBegan
from muster._journal.file import replay
from muster._model import NEVER, Grouping, Keyed, Outcome, Position, Task, Window, WindowsSeen
from muster._run.streams.windows import WindowClocks
from muster._words.quoted import in_files
from redis_server import redis_server
from streaming import streaming
from test_streamed import samples_of, shown, until_told
from test_windows_of_streams import committed
from waiting import until

OWN = "muster.read_from(own_ends.LinesOfFile('{0}.csv'), name='{0}', every=0.0{1})"
COUNTED = """
import muster, own_ends
def step(df, states):
    seen = []
    for source in df["source"]:
        states[source] += 1
        seen.append(states[source])
    return df[["source", "n"]].assign(seen=seen)
def same(df):
    return df
pipeline = {source}{rest}
"""


def written(folder: Path, *sources: str, rest: str = ".map_batches(same).write_csv('out/')") -> None:
    shutil.copy(own_ends.__file__, folder)
    first, *others = sources
    (folder / "pipeline.py").write_text(COUNTED.format(source=f"{first}.merge({', '.join(others)})", rest=rest))


def own(name: str, more: str = "") -> str:
    return OWN.format(name, more)


def test_rows_of_each_source_are_done_once_and_in_its_order_whatever_is_killed(tmp_path: Path) -> None:
    seed = random.randrange(1 << 32)  # noqa: S311 (moments, no secrets)
    dice, sent = random.Random(seed), Counter[str]()  # noqa: S311 (likewise)
    (tmp_path / "in").mkdir()
    (tmp_path / "a.csv").write_text("source,n\n")
    (tmp_path / "b.csv").touch()
    (tmp_path / "in" / "f.csv").write_text("n,source\n")
    written(
        tmp_path,
        own("a"),
        own("b", ", columns=['n', 'source']"),
        f"muster.listen_tcp('{HOST}:0', every=0.0)",
        "muster.follow_csv('in/*.csv', every=0.0)",
        rest=".key_by('source').map_batches(step, state=int).write_csv('out/')",
    )

    def more(source: str) -> list[int]:
        sent[source] += (count := dice.choice([0, 1, 30, 2000]))
        return [*range(sent[source] - count, sent[source])]

    for turn in range(4):
        with streaming(tmp_path, "--workers", dice.choice("012")) as stream:
            talker = stream.talk({"stream": "t", "header": "n,source"})
            assert talker.hear()["safe"] == sent["t"]
            append(tmp_path / "a.csv", "".join(f"a,{n}\n" for n in more("a")))
            append(tmp_path / "b.csv", "".join(f"{n},b\n" for n in more("b")))
            append(tmp_path / "in" / "f.csv", "".join(f"{n},f\n" for n in more("f")))
            if frames := [b"%d,t" % n for n in more("t")]:
                talker.say(*frames)
                assert talker.hear_until(sent["t"]) == {"safe": sent["t"]}, (seed, stream.said)
            rows = sent.total()
            aim = rows if turn == 3 else dice.randrange(rows + 1)
            until(lambda aim=aim: rows_out(tmp_path) >= aim or stream.process.poll() is not None)  # type: ignore[misc]
            if dice.random() < 0.5:
                kill_a_child(stream.process.pid, dice)
            if turn < 3:
                stream.process.kill()
            else:
                assert stream.stop() == 0, (seed, stream.said)
    done: dict[str, list[tuple[int, int]]] = {source: [] for source in "abtf"}
    for line in joined(tmp_path).splitlines()[1:]:
        source, n, seen = line.split(",")
        done[source].append((int(n), int(seen)))
    assert done == {source: [(n, n + 1) for n in range(sent[source])] for source in "abtf"}, seed
    assert (tmp_path / "a.csv.done").read_text() == str((tmp_path / "a.csv").stat().st_size), seed
    assert_each_epoch_has_the_rows_with_which_it_was_begun(tmp_path)


def assert_each_epoch_has_the_rows_with_which_it_was_begun(folder: Path) -> None:
    begun = dict[int, Sequence[Position]]()
    for entry in replay(folder / "out.muster" / "journal.jsonl"):
        if isinstance(entry.event, EpochBegan):
            assert entry.event.number not in begun, "it was begun with other rows"
            begun[entry.event.number] = [stretch.position for stretch in entry.event.stretches]
        elif isinstance(entry.event, Committed) and entry.event.positions:
            assert begun[entry.event.number] == entry.event.positions
    assert begun


def test_a_source_that_is_away_or_has_ended_stops_no_other(tmp_path: Path, muster: Muster) -> None:
    with redis_server(tmp_path / "redis") as server:
        server.client.xadd("in", {"n": "7", "source": "redis"})
        server.kill()
        written(
            tmp_path,
            f"muster.follow_redis({server.url!r}, 'in', columns=['source', 'n'], every=0.0)",
            f"muster.listen_tcp('{HOST}:0', columns=['n', 'source'], every=0.0)",
            own("a"),
        )
        (tmp_path / "a.csv").write_text("n,source\n1,a\n")
        (tmp_path / "a.csv.end").touch()
        with streaming(tmp_path, "--workers", "0") as stream:
            until(lambda: rows_out(tmp_path) == 1)
            talker = stream.talk({"stream": "t"})
            talker.say(b"2,t", b"3,t")
            until(lambda: rows_out(tmp_path) == 3)
            redis = next(name for name in map(str.strip, names(muster)) if name.startswith("redis://"))
            told = until_told(
                muster,
                lambda told: (
                    told["sources"]["a"]["has_ended"] and told["sources"][redis]["away"] and not told["bytes_behind"]
                ),
            )
            assert told["sources"][f"{HOST}:0"] == {
                "rows_behind": 0,
                "bytes_behind": 0,
                "seconds_behind": 0.0,
                "away": "",
                "has_ended": False,
            }
            assert samples_of("source") == {redis: 0, f"{HOST}:0": 0, "a": 0}
            assert "Rows of a behind 0 it has ended" in shown("stream")
            assert f"{redis}: nothing; {told['sources'][redis]['away']}" in muster("status").out
            server.start()
            until(lambda: rows_out(tmp_path) == 4)
            assert stream.stop() == 0, stream.said
    said = "".join(stream.said)
    assert "a: nothing comes from it any more; the others go on" in said
    assert f"{told['sources'][redis]['away']}. It is tried again until it is there\n" in said
    assert said.count("It is tried again") == 1
    assert "it is there again" in said
    assert sorted(joined(tmp_path).splitlines()[1:]) in (
        ["1,a", "2,t", "3,t", "7,redis"],
        ["a,1", "redis,7", "t,2", "t,3"],
    )


def names(muster: Muster) -> list[str]:
    return [*until_told(muster, lambda told: told["sources"])["sources"]]


def test_one_function_decodes_what_comes_from_all_sources(tmp_path: Path) -> None:
    with redis_server(tmp_path / "redis") as server:
        (tmp_path / "function.py").write_text(
            "def decode(payload):\n    return {'n': int(payload), 'kind': 'decoded'}\n"
        )
        written(
            tmp_path,
            f"muster.listen_tcp('{HOST}:0', decode=decode, every=0.0)",
            f"muster.follow_redis({server.url!r}, 'in', field='n', decode=decode, every=0.0)",
        )
        pipeline = tmp_path / "pipeline.py"
        pipeline.write_text(f"from function import decode\n{pipeline.read_text()}")
        for fields in ({"n": "1"}, {"n": "none"}, {"other": "2"}, {"n": "3"}):
            server.client.xadd("in", fields)  # type: ignore[arg-type] # text is what they hold
        with streaming(tmp_path, "--workers", "1") as stream:
            stream.talk().say(b"4", b"\xff", b"5")
            until(lambda: rows_out(tmp_path) == 4 and text_of(tmp_path / "out.rejects.jsonl").count("\n") == 3)
            assert stream.stop() == 4, stream.said
    assert sorted(joined(tmp_path).splitlines()) == [*(f"{n},decoded" for n in (1, 3, 4, 5)), "n,kind"]
    whys = " ".join(map(str, rejects(tmp_path)))
    assert "entry" in whys
    assert "invalid literal for int() with base 10: b'none'" in whys
    assert "there is no value" in whys


def test_windows_wait_for_the_source_that_has_come_least_far_until_it_has_ended(tmp_path: Path, muster: Muster) -> None:
    more = ", columns=['k', 'at'], parse_dates=['at']"
    window = ".group_by('k').window('1h', time='at', idle='1d')"
    written(tmp_path, own("a", more), own("b", more), rest=f"{window}.agg(n='count').write_csv('out/')")
    (tmp_path / "a.csv").write_text("x,2026-01-01 10:20\nx,2026-01-01 11:20\nx,2026-01-01 15:10\n")
    (tmp_path / "b.csv").touch()
    with following(tmp_path, "--workers", "0") as process:
        until(lambda: committed(tmp_path) == 1)
        append(tmp_path / "b.csv", "x,2026-01-01 10:40\n")
        until(lambda: committed(tmp_path) == 2)
        process.kill()
    with following(tmp_path, "--workers", "0") as process:
        append(tmp_path / "b.csv", "x,2026-01-01 12:00\n")
        until(lambda: rows_out(tmp_path) == 2)
        reached = dt.datetime(2026, 1, 1, 12, tzinfo=dt.UTC).timestamp()
        until_told(muster, lambda told: told["watermark"] == reached)
        (tmp_path / "b.csv.end").touch()
        until(lambda: rows_out(tmp_path) == 3)
        append(tmp_path / "a.csv", "x,2026-01-01 16:00\n")
        until(lambda: rows_out(tmp_path) == 4)
        assert stopped(tmp_path, process)[0] == 0
    assert joined(tmp_path).splitlines()[1:] == [
        f"x,2026-01-01 {hour}:00:00,2026-01-01 {hour + 1}:00:00,{n}" for hour, n in ((10, 2), (11, 1), (12, 1), (15, 1))
    ]


HOUR = 3_600_000_000


class Clocks:
    """The clocks of windows of an hour over two sources."""

    def __init__(self, idle: int) -> None:
        self.silences = {-1: 0.0, -2: 0.0}
        window = Window(HOUR, HOUR, time="at", idle=idle)
        self.job = Job((), (), "", exchanges=(Keyed(0, Grouping(("k",), window=window), has_state=True),))
        self.clocks = WindowClocks(self.job, {}, lambda: self.silences)

    def come(self, origin: int, latest: int) -> int | None:
        """Let an epoch with rows of a source be done; tell up to when windows are closed."""
        seen = Outcome(Task(0, 0, 0, 0, 0, 0, 0, 0, 0, 0), 0, 0, windows=WindowsSeen(1, latest=latest))
        self.clocks.take([seen], has_rows=True, origin=origin)
        return self.clocks.watermark


def test_a_source_that_is_silent_for_too_long_or_has_ended_holds_no_windows() -> None:
    own = Clocks(idle=HOUR)
    assert own.come(-1, 9 * HOUR) is None
    assert own.come(-2, 5 * HOUR) == own.come(-1, 10 * HOUR) == 5 * HOUR
    own.silences[-2] = 3599.0
    assert own.clocks.watermark == 5 * HOUR
    own.silences[-2] = 3600.0
    assert own.clocks.watermark == 10 * HOUR
    own.clocks.begin(closes=True)
    own.silences[-2] = 0.0
    assert WindowClocks(own.job, own.clocks.done, lambda: own.silences).watermark == 10 * HOUR  # it never goes back
    assert own.come(-2, 7 * HOUR) == 10 * HOUR
    own.silences[-1] = float("inf")
    assert own.come(-2, 12 * HOUR) == 12 * HOUR


def test_a_source_of_whose_rows_a_function_lets_none_pass_holds_no_windows() -> None:
    own = Clocks(idle=50_000)
    own.come(-1, 9 * HOUR)
    own.come(-2, 5 * HOUR)
    until(lambda: own.come(-2, NEVER) == 9 * HOUR)


def test_a_sender_or_a_file_with_other_columns_is_told_those_of_both(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    written(tmp_path, f"muster.listen_tcp('{HOST}:0', every=0.0)", own("a"), "muster.follow_csv('in/', every=0.0)")
    (tmp_path / "a.csv").write_text("n,text\n1,x\n")
    with streaming(tmp_path, "--workers", "0") as stream:
        until(lambda: rows_out(tmp_path) == 1)
        wrong = stream.talk({"stream": "t", "header": "n,other"})
        assert (
            f"the rows of {HOST}:0 have the columns 'n', 'other', and those of a have 'n', 'text'"
            in (wrong.hear()["error"])
        )
        right = stream.talk({"stream": "t", "header": "text,n"})
        right.say(b"y,2")
        until(lambda: rows_out(tmp_path) == 2)
        (tmp_path / "in" / "f.csv").write_text("n\n3\n")
        assert stream.process.wait(60) == 1
        until(lambda: "No row of it is done" in "".join(stream.said))
    assert "f.csv have the columns 'n', and those of a have 'n', 'text'" in "".join(stream.said)


@pytest.mark.parametrize(
    ("one", "two", "why"),
    [
        ("listen_tcp('8888')", "listen_tcp('127.0.0.1:8888')", "are among those of listen_tcp('8888') already"),
        ("listen_tcp('0')", "listen_tcp('localhost:0')", "and listen_tcp('localhost:0') would change places whenever"),
        ("follow_redis('redis://h', 'a')", "follow_redis('redis://h', 'a')", "are among those of follow_redis("),
        ("follow_redis('redis://h', 'a')", "follow_redis('redis://me@H:6379/0', 'a')", "are among those of follow_"),
        ("follow_kafka('h:1', 'a')", "follow_kafka('h:1', 'a')", "are among those of follow_kafka("),
        (
            "read_from(lines)",
            "read_from(lines)",
            "Tell two sources of one class apart by name=",
        ),
        (
            "read_from(lines, name='a')",
            "read_from(lines, name='b')",
            "are among those of read_from(a) already. Leave one out.",
        ),
        ("read_from(lines, name='a b')", "read_from(others, name='a-b')", "would wait in one folder"),
        (
            "listen_tcp('1', columns=['a', 'b'])",
            "follow_redis('redis://h', 'a', columns=['b', 'c'])",
            "have the columns 'b', 'c', and those of listen_tcp('1') have 'a', 'b'",
        ),
        ("listen_tcp('1', decode='json')", "follow_csv('in/')", "Give all of them the same decode="),
        ("listen_tcp('1', decode=str)", "listen_tcp('2', decode=int)", "Give all of them the same decode="),
        ("listen_tcp('1', sep=';')", "follow_csv('in/')", "the pipelines differ in sep, and"),
        ("listen_tcp('1')", "read_csv('in/')", "the one has an end"),
        ("listen_tcp('1')", "follow_csv('in/').map_batches(len)", "before any function"),
    ],
)
def test_sources_that_do_not_go_together_are_refused(one: str, two: str, why: str) -> None:
    known = {"muster": the_module, "lines": own_ends.LinesOfFile("x"), "others": own_ends.LinesOfFile("y")}
    with pytest.raises(the_module.UsageError) as refused:
        eval(f"muster.{one}.merge(muster.{two})", known)  # noqa: S307 (of this test)
    assert why in str(refused.value)


def test_names_that_are_long_are_those_of_two_sources(tmp_path: Path) -> None:
    brokers = ",".join(f"ä{n}.example.com:9092" for n in range(20))
    one, two = (in_files(f"{brokers} {topic}") for topic in "ab")
    assert one != two
    (tmp_path / f"rows-of-{one}.part-00000000.csv").touch()
    the_module.follow_kafka(brokers, "a").merge(the_module.follow_kafka(brokers, "b"))


def test_what_is_merged_is_refused_where_it_cannot_be_so(tmp_path: Path, muster: Muster) -> None:
    listens = the_module.listen_tcp("8888").merge(the_module.follow_csv("in/"))
    with pytest.raises(the_module.UsageError, match="each row would come in again"):
        listens.send_tcp("127.0.0.1:8888")
    with pytest.raises(the_module.UsageError, match="such as idle='10m'"):
        listens.group_by("k").window("1h", time="at")
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.tsv").touch()
    written(tmp_path, "muster.listen_tcp(':0')", "muster.follow_csv('in/')")
    run = muster("run", "pipeline.py")
    assert (run.code, "has tabs between its cells, by its name" in run.err) == (2, True), run.err
    (tmp_path / "in" / "a.tsv").unlink()
    run = muster("run", "pipeline.py", "in/")
    assert (run.code, "come by listen_tcp(':0'). Leave the inputs out" in run.err) == (2, True), run.err
    left = tmp_path / "out.muster" / "inbox" / "rows-of-x"
    left.mkdir(parents=True)
    (left / "000001.rows").write_text("n\n1\n")
    (tmp_path / "out.muster" / "lock").touch()
    run = muster("run", "pipeline.py")
    assert (run.code, "came from a source which this stream does not have any more" in run.err) == (3, True), run.err
