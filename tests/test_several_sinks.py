"""A stream with several outputs: each gets all rows once, by itself, whoever is away and whatever is killed."""

import functools
import itertools
import random
import shutil
from pathlib import Path

import pytest

import dying
import muster
import own_ends
from conftest import Muster
from ends import HOST, listening
from followed import following
from muster._journal.events import Committed, Totals
from muster._output.folder import WorkFolder
from muster._output.numbered import NumberedParts, part_name
from muster._streams.outbox import Outbox
from muster._streams.own_sink import HandedOutbox
from test_own_ends import doubled, got, lines
from test_streamed import samples_of, shown, until_told
from waiting import until

CODE = """
import muster, own_ends
from pathlib import Path
class Sink(own_ends.Folder):
    def commit(self, number):
        if Path(f"{{self.path}}-is-away").exists():
            raise ConnectionError("nobody there")
        super().commit(number)
def double(df):
    return df.assign(double=df["n"] * 2)
source = muster.read_from(own_ends.LinesOfFile("in.csv"), every=0.0)
pipeline = source.map_batches(double){sinks}
"""
OWN = ".write_to(Sink({0!r}), name={0!r}{1})"


def written(folder: Path, *sinks: str) -> None:
    shutil.copy(own_ends.__file__, folder)
    (folder / "pipeline.py").write_text(CODE.format(sinks="".join(sinks)))


def own(*names: str, more: str = "") -> list[str]:
    return [OWN.format(name, more) for name in names]


def parts_of(folder: Path) -> str:
    return "".join(path.read_text().removeprefix("n,text,double\n") for path in sorted(folder.glob("out/part-*")))


def test_each_output_gets_each_row_once_whatever_is_killed_and_whoever_is_away(tmp_path: Path) -> None:
    seed = random.randrange(1 << 32)  # noqa: S311 (moments, no secrets)
    dice, rows = random.Random(seed), 0  # noqa: S311 (likewise)
    (tmp_path / "in.csv").write_text("n,text\n")
    away = tmp_path / "got-is-away"
    with listening(tmp_path, "-o", "sent.csv") as receiver:
        port = receiver.port
        written(tmp_path, ".write_csv('out/')", *own("got"), f".send_tcp('{HOST}:{port}')")
        for turn in range(6):
            if turn == 2:
                receiver.process.kill()
                receiver.ended()
            away.unlink(missing_ok=True)
            if dice.random() < 0.5:
                away.touch()
            with (
                following(tmp_path, "--workers", "1") as process,
                (tmp_path / "in.csv").open("a") as file,
            ):
                for _ in range(dice.randrange(1, 6)):
                    more = dice.choice([1, 40, 3000])
                    file.write(lines(more, rows))
                    file.flush()
                    rows += more
                aim, sees = dice.randrange(rows + 1), parts_of if away.exists() else dice.choice([parts_of, got])
                until(lambda aim=aim, sees=sees: sees(tmp_path).count("row") >= aim or process.poll() is not None)  # type: ignore[misc]
                process.kill()
    away.unlink(missing_ok=True)
    (tmp_path / "in.csv.end").touch()
    with (
        listening(tmp_path, "-o", "sent.csv", "--once", port=port) as receiver,
        following(tmp_path, "--workers", "1") as process,
    ):
        err = process.communicate(timeout=120)[1]
        assert process.returncode == 0, (seed, err)
        assert receiver.ended()[0] == 0
    assert f"{HOST}:{port} has all {rows:,} rows of the stream" in err
    assert f"got has all {rows:,} rows of the stream" in err
    for text in (parts_of(tmp_path), got(tmp_path), (tmp_path / "sent.csv").read_text().partition("\n")[2]):
        assert text == doubled(rows), seed


COMMITTED = Committed(1, [], Totals(1, 1, 2, 2, 0), part_name(0, "csv"), 2)


def shared_and_committed(parts: NumberedParts, journal: Path) -> int:
    """Do what becomes of a part that is sealed: others know of it, the journal says so, and it gets its places."""
    parts.share(COMMITTED.part)
    journal.touch()
    parts.publish(COMMITTED, is_new=True)
    return 0


def test_a_part_comes_to_each_output_once_wherever_its_stream_is_killed(tmp_path: Path) -> None:
    for point in itertools.count(1):
        here = tmp_path / str(point)
        here.mkdir()
        work = WorkFolder(f"{here}/out/", home=tmp_path / "home", is_of_stream=True)
        work.take()
        outboxes = [HandedOutbox(work, name, format_="csv") for name in ("a", "b")]
        for name in ("a", "b"):
            (work.outbox / name).mkdir(parents=True)
        parts = NumberedParts(work, takers=outboxes)
        parts.sealed(COMMITTED.part).write_text("n\n1\n2\n")
        journal = here / "journal"
        code, _ = dying.forked(functools.partial(shared_and_committed, parts, journal), dies_before=point)
        if journal.exists():
            parts.publish(COMMITTED, is_new=True)
            assert [path.read_text() for path in here.glob("out/part-*")] == ["n\n1\n2\n"], point
        else:
            assert not any(here.glob("out/*")), point
        done = 2 if journal.exists() else 0
        assert [waiting(outbox, done) for outbox in outboxes] == 2 * [["n\n1\n2\n"] * (done // 2)], point
        work.release()
        if not code:  # it has had fewer operations
            break
    assert point > 5


def waiting(outbox: Outbox, done: int) -> list[str]:
    outbox.open("stream", done=done)
    assert outbox.done == done
    part = outbox.next(0)
    return [part.path.read_text()] if part is not None else []


def test_the_slowest_output_holds_all_and_is_named(tmp_path: Path, muster: Muster) -> None:
    written(tmp_path, *own("fast", "slow", more=", spool_bytes=10"))
    (tmp_path / "in.csv").write_text("n,text\n" + lines(3))
    (tmp_path / "slow-is-away").touch()
    with following(tmp_path, "--workers", "0") as process:
        assert process.stderr is not None
        assert "slow: commit raised ConnectionError: nobody there" in process.stderr.readline()
        with (tmp_path / "in.csv").open("a") as file:
            file.write(lines(4, 3))
        told = until_told(
            muster, lambda told: told["rows_behind"] == 4 and not told["sinks"]["fast"]["rows_unacknowledged"]
        )
        assert (told["epochs"], told["rows_unacknowledged"]) == (1, 3)
        assert [*told["sinks"]] == ["slow", "fast"]
        assert "slow: commit raised ConnectionError: nobody there" in told["away"] == told["sinks"]["slow"]["away"]
        assert told["sinks"]["fast"] == {"rows_unacknowledged": 0, "seconds_unacknowledged": 0.0, "away": ""}
        assert samples_of("sink") == {"slow": 3, "fast": 0}
        assert "Unacknowledged by slow 3 for" in shown("stream")
        assert "Rows cannot be sent on: slow: " in shown("progress")
        status = muster("status").out
        assert "3 rows by slow, for " in status
        assert "0 rows by fast" in status
        (tmp_path / "slow-is-away").unlink()
        (tmp_path / "in.csv.end").touch()
        process.communicate(timeout=120)
        assert process.returncode == 0
    for name in ("fast", "slow"):
        texts = [path.read_text().removeprefix("n,text,double\n") for path in sorted(tmp_path.glob(f"{name}/*/*.csv"))]
        assert "".join(texts) == doubled(7)


def test_an_output_that_comes_late_or_leaves_is_refused_unless_it_has_moved(tmp_path: Path, muster: Muster) -> None:
    first = own("a", more=", folder='out'")
    written(tmp_path, *first, *own("b"))
    (tmp_path / "in.csv").write_text("n,text\n" + lines(3))
    (tmp_path / "in.csv.end").touch()
    (tmp_path / "b-is-away").touch()
    outbox = tmp_path / "out.muster" / "outbox"
    with following(tmp_path, "--workers", "0") as process:
        until(lambda: [*tmp_path.glob("a/*/*.csv")] and [path.parent.name for path in outbox.glob("*/*-*")] == ["b"])
        process.kill()
    for names, why in (
        ("bac", "c is a new output of this stream, and 3 rows went to the others before"),
        ("a", "/outbox/b' holds rows for an output that has not acknowledged them"),
        ("acd", "is it one that has moved? Then rename its folder"),
    ):
        written(tmp_path, *own(names[0], more=", folder='out'"), *own(*names[1:]))
        run = muster("run", "pipeline.py", "--workers", "0")
        assert (run.code, why in run.err) == (2, True), run.err
    written(tmp_path, *first, *own("moved"))
    assert muster("run", "pipeline.py", "--workers", "0").code == 0
    assert [path.read_text() for path in tmp_path.glob("moved/*/*.csv")] == ["n,text,double\n" + doubled(3)]
    written(tmp_path, *first)
    assert muster("run", "pipeline.py", "--workers", "0").code == 0
    assert [path.name for path in outbox.iterdir()] == ["a"]


@pytest.mark.parametrize(
    ("source", "send"),
    [
        ("listen_tcp('9000')", "send_tcp('127.0.0.1:9000')"),
        ("follow_redis('redis://127.0.0.1:1', 'a')", "send_redis('redis://127.0.0.1:1', 'a')"),
        ("follow_kafka('127.0.0.1:1', 'a')", "send_kafka('127.0.0.1:1', 'a')"),
    ],
)
def test_rows_are_not_sent_to_where_they_come_from(source: str, send: str) -> None:
    with pytest.raises(muster.UsageError, match=r"these rows come from .*, so each row would come in again"):
        eval(f"muster.{source}.{send}", {"muster": muster})  # noqa: S307 (of this test)
    other = send.replace("a'", "b'").replace("9000", "9001")
    eval(f"muster.{source}.{other}", {"muster": muster})  # noqa: S307 (likewise)
