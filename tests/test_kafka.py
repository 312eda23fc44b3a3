"""Topics of Kafka as sources and sinks, on a real broker that is killed as the stream is."""

import contextlib
import csv
import io
import json
import random
import re
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient

import muster as muster_
from conftest import Muster, begun
from followed import following, joined, kill_a_child, rejects, rows_out, stopped
from kafka_broker import LOGIN, KafkaBroker, kafka_broker
from muster._job import StreamRows
from muster._model import KEY
from muster._streams.kafka_client import Topic
from muster._streams.kafka_sink import KafkaSink
from muster._streams.kafka_source import KafkaSource
from muster._streams.rows_of_fields import RowsWanted
from muster._streams.values import Reads
from waiting import until

CODE = """
import muster
def step(df):
    return df.assign(double=df["n"] * 2)
source = muster.follow_kafka({place!r}, {topic!r}, every=0.0)
pipeline = source.map_batches(step).send_kafka({place!r}, {to!r}, folder="out")
"""

pytestmark = pytest.mark.waits("together")  # in one process, which starts one broker


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[KafkaBroker]:
    with kafka_broker(tmp_path_factory.mktemp("kafka")) as made:
        yield made


def send(broker: KafkaBroker, topic: str, *values: bytes | None) -> None:
    producer = Producer({"bootstrap.servers": broker.place, "acks": "all", "log_level": 0})
    for value in values:
        producer.produce(topic, value)
    assert producer.flush(60) == 0


@contextlib.contextmanager
def source(
    broker: KafkaBroker, topic: str, *, reads: Reads = "json", columns: tuple[str, ...] = (), **wanted: str
) -> Iterator[KafkaSource]:
    asked = RowsWanted(columns, **wanted)  # type: ignore[arg-type] # words that there are
    with source_of(Topic(broker.place, topic, None, call="follow_kafka"), asked, reads) as made:
        yield made


@contextlib.contextmanager
def source_of(topic: Topic, asked: RowsWanted = RowsWanted(), reads: Reads = "json") -> Iterator[KafkaSource]:  # noqa: B008 (it does not change)
    with contextlib.closing(KafkaSource(topic, asked, reads=reads)) as made:
        made.open()
        yield made


def read(made: KafkaSource, position: str = "", *, after: int = 100) -> StreamRows:
    """Read until rows come, as a stream does."""
    for _ in range(after):
        found = made.read(position, 1 << 20)
        assert found is not None
        if found.text:
            return found
        position = found.position
    raise AssertionError("no rows have come")


def wait_for_rows(made: KafkaSource, position: str) -> None:
    """Read until rows come, however often the brokers are away meanwhile, as a stream does."""

    def have_come() -> bool:
        try:
            found = made.read(position, 1 << 20)
        except ConnectionError:
            made.close()
            made.open()
            return False
        return found is not None and bool(found.text)

    until(have_come)


def test_each_message_is_done_once_whatever_is_killed(broker: KafkaBroker, tmp_path: Path) -> None:
    """The stream, its workers and the broker, at moments that are drawn; each time it has another number of workers."""
    seed = random.randrange(1 << 32)  # noqa: S311 (moments, no secrets)
    dice, rows, kills = random.Random(seed), 3000, 3  # noqa: S311 (likewise)
    topic, to = broker.topic(), broker.topic()
    (tmp_path / "pipeline.py").write_text(CODE.format(place=broker.place, topic=topic, to=to))
    sent = 0
    for at in range(kills + 1):
        with begun(tmp_path, "run", "pipeline.py", "--workers", dice.choice("0123")) as process:
            more = rows - sent if at == kills else dice.randrange(rows // kills)
            send(broker, topic, *(b'{"n":%d}' % n for n in range(sent, sent + more)))
            sent += more
            aim = dice.randrange(sent + 1)
            until(lambda aim=aim: len(broker.values(to)) >= aim or process.poll() is not None)  # type: ignore[misc]
            if dice.random() < 0.6:
                kill_a_child(process.pid, dice)
            if at == kills - 1:
                broker.kill()
                broker.start()
            if at < kills:
                process.kill()
            else:
                until(lambda: len(broker.values(to)) >= rows or process.poll() is not None)
                (tmp_path / "out.muster" / "stop").touch()
            err = process.communicate(timeout=60)[1]
    found = [json.loads(value) for value in broker.values(to)]
    assert found == [{"n": n, "double": 2 * n} for n in range(rows)], f"seed {seed}: {err}"


def test_topics_merged_with_a_file_give_each_message_once_in_the_order_of_its_topic(
    broker: KafkaBroker, tmp_path: Path
) -> None:
    topics, rows = [broker.topic(), broker.topic()], 300
    sources = [f"muster.follow_kafka({broker.place!r}, {topic!r}, every=0.0)" for topic in topics]
    (tmp_path / "pipeline.py").write_text(
        f"import muster\ndef same(df):\n    return df\nfile = muster.follow_csv('in.csv', every=0.0)\n"
        f"pipeline = {sources[0]}.merge({sources[1]}, file).map_batches(same).write_csv('out/')\n"
    )
    (tmp_path / "in.csv").write_text("n,source\n")
    for sent in range(0, rows, 100):
        with begun(tmp_path, "run", "pipeline.py", "--workers", "0") as process:
            for source, topic in enumerate(topics):
                send(broker, topic, *(b'{"source":"t%d","n":%d}' % (source, n) for n in range(sent, sent + 100)))
            with (tmp_path / "in.csv").open("a") as file:
                file.writelines(f"{n},file\n" for n in range(sent, sent + 100))
            if sent == 0:
                until(lambda: rows_out(tmp_path) > 0 or process.poll() is not None)
                assert process.poll() is None, process.communicate()
                broker.kill()
                broker.start()
            if sent < rows - 100:
                process.kill()
            else:
                until(lambda: rows_out(tmp_path) >= 3 * rows or process.poll() is not None)
                (tmp_path / "out.muster" / "stop").touch()
            err = process.communicate(timeout=60)[1]
    found: dict[str, list[int]] = {"t0": [], "t1": [], "file": []}
    for line in csv.DictReader(io.StringIO(joined(tmp_path))):
        found[line["source"]].append(int(line["n"]))
    assert found == {name: [*range(rows)] for name in found}, err


def test_messages_that_are_gone_before_they_are_read_are_never_a_silent_gap(broker: KafkaBroker) -> None:
    topic = broker.topic()
    send(broker, topic, *(b'{"n":%d}' % n for n in range(3)))
    with source(broker, topic, start="newest") as newest:
        begun_at = newest.read("", 1 << 20)
        assert begun_at is not None
        with source(broker, topic) as oldest:
            first = read(oldest)
        assert first.text == b"n\r\n0\r\n1\r\n2\r\n"
        send(broker, topic, *(b'{"n":%d}' % n for n in range(3, 9)))
        assert read(newest, begun_at.position).text == b"n\r\n3\r\n4\r\n5\r\n6\r\n7\r\n8\r\n"
    admin = AdminClient({"bootstrap.servers": broker.place})
    for done in admin.delete_records([TopicPartition(topic, 0, 7)]).values():
        done.result(30)
    with (
        source(broker, topic) as reader,
        pytest.raises(muster_.DataError, match=r"partition 0: 4 rows had.*lost='skip'"),
    ):
        read(reader, first.position)
    with source(broker, topic, lost="skip") as skipping:
        assert read(skipping, first.position).text == b"7\r\n8\r\n"


def test_a_topic_that_is_made_anew_is_not_taken_for_the_old_one(broker: KafkaBroker) -> None:
    """Not even where it has as many messages as were read, and more, while the stream is at it."""
    topic = broker.topic()
    send(broker, topic, b'{"n":1}', b'{"n":2}')
    with source(broker, topic, lost="skip") as reader:
        first = read(reader)
        broker.make_anew(topic)
        send(broker, topic, b'{"n":3}', b'{"n":4}', b'{"n":5}')
        with pytest.raises(muster_.DataError, match=r"has been deleted and made anew.*--fresh"):
            wait_for_rows(reader, first.position)
    with source(broker, topic) as again:
        with pytest.raises(muster_.DataError, match=r"has been deleted and made anew.*--fresh"):
            again.read(first.position, 1 << 20)
        assert read(again).text == b"n\r\n3\r\n4\r\n5\r\n"


BAD = """
import muster
def read(value):
    return {{"n": int(value)}}
pipeline = muster.follow_kafka({place!r}, {topic!r}, every=0.0, {more}).map_batches(lambda df: df).write_csv("out/")
"""


class Sent(NamedTuple):
    """Values of messages, and what becomes of them."""

    asked: str
    values: list[bytes | None]
    parts: str
    rejects: list[tuple[str, int, str]]
    """Of each the reason, the offset, and what stands in the row."""


@pytest.mark.parametrize(
    "sent",
    [
        Sent(
            "",
            [b"no json", b'{"n":1}', None, b'{"n":2,"more":"x"}', b"[1]", b'{"n":3}'],
            "n\n1\n3\n",
            [
                ("it is not an object of JSON: Expecting value: line 1 column 1 (char 0)", 0, "no json"),
                ("it is not an object of JSON: there is no value", 2, ""),
                ("it has the field 'more', which the first row lacked; columns= says which are wanted", 3, "more"),
                ("it is not an object of JSON: it is no object with fields", 4, "[1]"),
            ],
        ),
        Sent(
            "decode='csv', columns=['n', 't']",
            [b"1,2,3", b'4,"a', b"5,b"],
            "n,t\n5,b\n",
            [
                ("it is not a row of CSV: it has 3 cells, and columns= names 2", 0, "1,2,3"),
                ("it is not a row of CSV: unexpected end of data", 1, '4,""a'),
            ],
        ),
        Sent(
            "decode=read",
            [b"1", b"x", None, b"2"],
            "n\n1\n2\n",
            [
                ("ValueError: invalid literal for int() with base 10: b'x'", 1, "eA=="),
                ("ValueError: there is no value", 2, "-"),
            ],
        ),
    ],
)
def test_a_message_that_is_no_row_is_a_bad_row_with_its_place_and_what_came(
    broker: KafkaBroker, tmp_path: Path, sent: Sent
) -> None:
    topic = broker.topic()
    send(broker, topic, *sent.values)
    (tmp_path / "pipeline.py").write_text(BAD.format(place=broker.place, topic=topic, more=sent.asked))
    with following(tmp_path, "--workers", "0") as process:
        until(lambda: is_done(tmp_path, sent) or process.poll() is not None)
        code, _, err = stopped(tmp_path, process)
    assert (code, joined(tmp_path)) == (4, sent.parts), err
    found = rejects(tmp_path)
    assert [one["error"] for one in found] == [why for why, *_ in sent.rejects]
    for one, (_, offset, came) in zip(found, sent.rejects, strict=True):
        assert one["file"] == f"{broker.place} {topic}"
        assert f"partition 0 offset {offset}" in one["raw"]
        assert came in one["raw"]


def is_done(folder: Path, sent: Sent) -> bool:
    is_rejected = (folder / "out.rejects.jsonl").exists() and len(rejects(folder)) == len(sent.rejects)
    return is_rejected and joined(folder) == sent.parts


def test_rows_of_csv_and_of_several_partitions_go_by_their_key(broker: KafkaBroker, tmp_path: Path) -> None:
    (tmp_path / "rows").write_text("".join(json.dumps({"n": n, "who": f"u,{n % 5}"}) + "\n" for n in range(50)))
    topic = broker.topic(partitions=3)
    for stream in ("one", "other"):
        sink = KafkaSink(Topic(broker.place, topic, None, call="send_kafka"), encode="csv", key="who")
        with contextlib.closing(sink):
            assert sink.open(stream) == 0
            sink.prepare(50, tmp_path / "rows")
        with contextlib.closing(sink):
            assert sink.open(stream) == 0  # what was not committed has gone
            sink.prepare(50, tmp_path / "rows")
            sink.commit(50)
        with contextlib.closing(sink):
            assert sink.open(stream) == 50
    found: list[str] = []
    with source(broker, topic, reads="csv", columns=("n", "who")) as reader:
        position = ""
        while len(found) < 100:
            some = read(reader, position)
            found, position = [*found, *some.text.decode().splitlines()], some.position
    for who in range(5):
        of_one = [row for row in found if row.endswith(f'"u,{who}"')]
        once = [f'{n},"u,{who}"' for n in range(who, 50, 5)]
        assert of_one == 2 * once


def test_a_login_and_permissions_that_the_words_of_a_refusal_name_are_enough(
    broker: KafkaBroker, tmp_path: Path, muster: Muster
) -> None:
    """Both ends; and the stream says how many messages wait: one read gives a third of them at the most."""
    topic = broker.topic()
    send(broker, topic, *(b'{"n":%d,"pad":"%s"}' % (n, b"x" * 4000) for n in range(6000)))
    (tmp_path / "rows").write_text('{"n":1}\n')
    reads = Topic(broker.place_with_login, topic, LOGIN, call="follow_kafka")
    writes = Topic(broker.place_with_login, topic, LOGIN, call="send_kafka")
    sink = KafkaSink(writes, encode="json", key=None)
    wrong = Topic(broker.place_with_login, topic, {**LOGIN, "sasl.password": "sw0rdfish"}, call="follow_kafka")
    for named, why in ((wrong, r"refuses the login.*Mend settings="), (reads, r"this user may not do what.*Have an")):
        with pytest.raises(muster_.UsageError, match=why) as raised, source_of(named):
            pass
        assert "sw0rdfish" not in str(raised.value)
    for_topic, for_group = str(raised.value).replace("--group muster ", ""), str(raised.value)
    broker.allow(for_topic)
    with source_of(reads) as made, pytest.raises(muster_.UsageError, match=r"Group authorization.*--group muster"):
        until(lambda: made.read("", 1 << 20) is None)
    broker.allow(for_group)
    code = LOGGED_IN.format(place=broker.place_with_login, topic=topic, login=LOGIN)
    (tmp_path / "pipeline.py").write_text(code)
    with begun(tmp_path, "run", "pipeline.py", "--workers", "0") as process:
        until(lambda: re.search(r"behind +[345],\d\d\d rows", muster("status").out) or process.poll() is not None)
        assert process.poll() is None, process.communicate()[1]
        process.send_signal(signal.SIGINT)
        said = "".join(process.communicate(timeout=60))
    texts = [path.read_text() for path in (tmp_path / "out.muster").glob("*.json*")]
    assert not any("swordfish" in text for text in (said, *texts))
    with contextlib.closing(sink):
        with pytest.raises(muster_.UsageError, match="this user may not do what the stream needs") as raised:
            sink.open("one")
        broker.allow(str(raised.value))
        assert sink.open("one") == 0
        sink.prepare(1, tmp_path / "rows")
        sink.commit(1)
        assert sink.open("one") == 1
    assert broker.values(topic)[6000:] == [b'{"n":1}']


LOGGED_IN = """
import muster
source = muster.follow_kafka({place!r}, {topic!r}, settings={login!r}, spool_bytes=1000, every=3600.0)
pipeline = source.map_batches(lambda df: df).write_csv("out/")
"""


def test_what_a_function_has_made_of_rows_is_sent_as_it_is_with_the_key_of_its_row(
    broker: KafkaBroker, tmp_path: Path
) -> None:
    rows = [("/wA=", "a"), ("/wE=", None), ("/wo=", "c")]
    (tmp_path / "rows").write_text("".join(json.dumps({"payload": text, KEY: who}) + "\n" for text, who in rows))
    topic = broker.topic()
    with contextlib.closing(
        KafkaSink(Topic(broker.place, topic, None, call="send_kafka"), encode="payload", key=KEY)
    ) as sink:
        sink.open("s")
        sink.prepare(3, tmp_path / "rows")
        sink.commit(3)
    reader = Consumer({"bootstrap.servers": broker.place, "group.id": "g", "auto.offset.reset": "earliest"})
    with contextlib.closing(reader):
        reader.assign([TopicPartition(topic, 0, 0)])
        found = reader.consume(3, timeout=60)
    assert [(one.key(), one.value()) for one in found] == [(b"a", b"\xff\0"), (b"", b"\xff\1"), (b"c", b"\xff\n")]


def test_what_cannot_be_is_said_in_words_without_a_password(broker: KafkaBroker) -> None:
    topic = broker.topic()
    send(broker, topic, *(101 * [b"no json"]))
    with (
        source(broker, topic) as reader,
        pytest.raises(muster_.DataError, match=r"partition 0 offset 0: it is not an object of JSON.*none of the 100"),
    ):
        read(reader)
    secret = {"sasl.password": "swordfish", "no.such.setting": 1}
    for place, name, settings, why in (
        (broker.place, "nope", None, "there is no such topic.*kafka-topics.sh"),
        ("no.such.host.invalid:9092", "x", None, "there is no such host"),
        (f"eve:swordfish@{broker.place}", "x", None, "a login belongs into settings="),
        (broker.place, topic, secret, "no.such.setting"),
        (broker.place, topic, {"group.id": "x"}, "settings= may not have 'group.id'"),
    ):
        with pytest.raises(muster_.MusterError, match=why) as raised:  # noqa: PT012 (either may say so)
            made = KafkaSource(Topic(place, name, settings, call="follow_kafka"), RowsWanted(), reads="json")
            with contextlib.closing(made):
                made.open()
        assert not re.search("swordfish", f"{raised.value}")
    wrong: list[dict[str, Any]] = [{"decode": "avro"}, {"decode": "csv"}, {"start": "new"}]
    for given in wrong:
        with pytest.raises(muster_.UsageError, match=next(iter(given))):
            muster_.follow_kafka("localhost:9092", "in", **given)
