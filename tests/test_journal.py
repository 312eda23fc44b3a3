"""The durable record: what was written is read again, whatever a crash did to its end."""

import contextlib
import dataclasses
import gzip
import json
import re
import resource
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import journals
from conftest import Muster
from muster._journal import events
from muster._journal.coding import as_fields, of_fields
from muster._journal.events import (
    FORMAT,
    KIND_OF,
    DamagedError,
    Event,
    Kept,
    Other,
    Shaped,
    Started,
    UnreadableError,
    UserTold,
    WorkerLeft,
)
from muster._journal.file import Journal, follow, replay
from muster._model import (
    Column,
    DataFile,
    FailedGroup,
    Gap,
    LaneShare,
    LocalCopy,
    Outcome,
    Part,
    Piece,
    PieceLocation,
    Position,
    Schema,
    Seconds,
    Span,
    StageDone,
    Stretch,
    Task,
    WindowsDone,
)
from muster._planner import Plan
from muster._run.history.past import Past
from muster._watch.sums.run import RunView
from muster.errors import ResumeError


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "journal.jsonl"


def written(path: Path, *texts: str) -> Path:
    with Journal(path) as journal:
        for text in texts:
            journal.write(UserTold(text))
    return path


def told(path: Path) -> list[str]:
    return [entry.event.text for entry in replay(path) if isinstance(entry.event, UserTold)]


def test_a_journal_that_was_never_begun_has_no_events(path: Path) -> None:
    assert list(replay(path)) == []


def test_events_come_back_in_order_each_with_its_time(path: Path) -> None:
    with Journal(path) as journal:
        journal.write(WorkerLeft("m1-1", "Zürich\n"), at=12.5)
    written(path, "two")
    one, two = replay(path)
    assert one == (WorkerLeft("m1-1", "Zürich\n"), 12.5)
    assert two.event == UserTold("two")
    assert two.at is not None
    assert two.at > 1.7e9


def test_what_was_written_can_be_read_while_the_journal_is_still_open(path: Path) -> None:
    with Journal(path) as journal:
        journal.write(UserTold("one"))
        assert told(path) == ["one"]


@pytest.mark.parametrize(
    "torn",
    [b'{"event":"to', b'{"event":"told","text":"3"}', bytes(4096), b'{"event":"to\x00\x00"}\n', bytes(64) + b"\n"],
    ids=["half a line", "no newline", "zeros", "zeros within a line", "a line of zeros"],
)
def test_a_torn_end_is_no_event_and_is_written_over(path: Path, torn: bytes) -> None:
    written(path, "one", "two")
    with path.open("ab") as file:
        file.write(torn)
    assert told(path) == ["one", "two"]
    written(path, "four")
    assert told(path) == ["one", "two", "four"]


def test_what_stands_behind_a_torn_line_does_not_count(path: Path) -> None:
    written(path, "one")
    with path.open("ab") as file:
        file.write(bytes(10) + b'\n{"event":"told","text":"from before the power cut"}\n')
    assert told(path) == ["one"]


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(length=st.integers(0, 300))
def test_any_prefix_of_a_journal_is_a_journal(path: Path, length: int) -> None:
    path.unlink(missing_ok=True)
    texts = [f"event number {number}" for number in range(5)]
    data = written(path, *texts).read_bytes()
    path.write_bytes(data[:length])
    whole = data[:length].count(b"\n")
    assert told(path) == texts[:whole]
    written(path, "next")
    assert told(path) == [*texts[:whole], "next"]


def test_who_follows_hears_of_each_event_once_and_how_far_what_was_left_out_goes(path: Path) -> None:
    written(path, "one")
    with Journal(path) as journal:
        journal.write(Kept(Outcome(Task(0, 0, 1, 0, 0, 8, 0, 1, 0, 1), 1, 1)))
    heard = list(follow(path, without={Kept}))
    assert [entry.event for entry, _ in heard] == [UserTold("one"), Other()]
    assert heard[-1][1] == path.stat().st_size
    written(path, "two")
    assert [entry.event for entry, _ in follow(path, after=heard[-1][1], without={Kept})] == [UserTold("two")]


def test_an_event_that_must_outlive_a_power_cut_is_on_the_disk_before_the_next_step(path: Path) -> None:
    calls: list[str] = []

    def note(_frame: object, event: str, called: object) -> None:
        if event == "c_call":
            calls.append(getattr(called, "__name__", ""))

    with Journal(path) as journal:
        sys.setprofile(note)
        try:
            journal.write(UserTold("one"))
            journal.write(events.OutputLayout(()), durable=True)
        finally:
            sys.setprofile(None)
    assert [call for call in calls if call in {"write", "fdatasync"}] == ["write", "write", "fdatasync"]


EMPTY = b'{"event":"told","at":1.0,"text":"","check":"01234567"}\n'


@pytest.fixture
def files_of_100_bytes() -> Iterator[None]:
    """Let the kernel refuse to make files larger, as a full disk would."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    action = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, limits[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    signal.signal(signal.SIGXFSZ, action)


@pytest.mark.usefixtures("files_of_100_bytes")
@pytest.mark.parametrize("already", [0, 90, 100])
def test_an_event_for_which_there_is_no_room_leaves_no_trace(path: Path, already: int) -> None:
    room = len(EMPTY)
    with Journal(path) as journal:
        if already:
            journal.write(UserTold("x" * (already - room)), at=1.0)
        with pytest.raises(OSError, match=r"No space|too large"):
            journal.write(UserTold("x" * 200))
        assert path.stat().st_size == already
        assert len(told(path)) == bool(already)


@pytest.mark.parametrize("ends", [Journal.flush, Journal.close, lambda journal: journal.write(UserTold("three"))])
def test_what_is_held_is_written_in_order_with_what_comes_next(path: Path, ends: Callable[[Journal], None]) -> None:
    with contextlib.suppress(OSError), Journal(path) as journal:  # one that is closed cannot be closed again
        journal.hold(UserTold("one"), at=1.0)
        journal.hold(UserTold("two"), at=2.0)
        assert told(path) == [], "nothing is said before"
        ends(journal)
        assert [text for text in told(path) if text != "three"] == ["one", "two"]


def test_no_more_is_held_than_a_call_of_the_kernel_is_worth(path: Path) -> None:
    with Journal(path) as journal:
        for count in range(2_000):
            journal.hold(UserTold("x" * 100))
            assert path.stat().st_size > 100 * count - (128 << 10)


@pytest.mark.usefixtures("files_of_100_bytes")
def test_what_is_held_while_there_is_no_room_is_forgotten_so_that_less_has_room(path: Path) -> None:
    with Journal(path) as journal:
        journal.hold(UserTold("x" * 200))
        with pytest.raises(OSError, match=r"No space|too large"):
            journal.write(UserTold("why the run stops"))
        assert path.stat().st_size == 0
        journal.write(UserTold("why the run stops"))
    assert told(path) == ["why the run stops"]


UNUSUAL = Schema(("a", "", "ü,\n"), (("int64",), ("missing object", "str"), ("empty bool",)))
TASK = Task(0, 3, 5, 1, 100, 200, 40, 20, 45, 50, LocalCopy("spool/1-0", 4096))


@pytest.mark.parametrize(
    "outcome",
    [
        Outcome(TASK, 5, 0, bad_rows=5, rejects=Piece("r", 12, 0xFFFFFFFF, 5)),
        Outcome(TASK, 5, 0, bad_rows=5, failed=(FailedGroup(7, 2**64 - 1), FailedGroup(9, 0))),
        Outcome(Task(0, 0, 1, 0, 0, 8, 0, 1, 0, 1), 1, 1, output=Piece("o", 0, 0, 1), schema=UNUSUAL),
        Outcome(Task(0, 0, 1, 0, 0, 8, 0, 1, 0, 1), 1, 1, schema=Schema()),
        Outcome(
            TASK,
            5,
            9,
            output=Piece("o", 9, 7, 9),
            schema=Schema(("a",), (("int64",),)),
            written=Schema(("a", "b"), (("float64", "int64"), ("datetime us", "missing column"))),
            seconds=Seconds(0.5, 1.5, 0.25, 2.5),
        ),
    ],
)
def test_an_outcome_survives_the_journal(path: Path, outcome: Outcome) -> None:
    with Journal(path) as journal:
        journal.write(Kept(outcome, "m1-1"))
    *_, entry = replay(path)
    assert entry.event == Kept(outcome, "m1-1")


def with_schema(first: int, schema: Schema, **fields: Any) -> Outcome:  # noqa: ANN401 (of an outcome)
    task = Task(0, first, first + 1, 0, 0, 8, 0, 1, 0, 1)
    return Outcome(task, 1, 1, output=Piece("o", 1, 0, 1), schema=schema, **fields)


NARROW, WIDE = Schema(("a",), (("int64",),)), Schema(("a", "b"), (("float64", "int64"), ("str",)))
SEVERAL = [
    with_schema(0, UNUSUAL),
    with_schema(1, NARROW, written=WIDE),
    with_schema(2, UNUSUAL),
    with_schema(
        3, NARROW, spans=(Span(0, 1, 0, 1, 1, 0, NARROW), Span(1, 2, 0, 1, 1, 0, WIDE), Span(2, 3, 1, 0, 0, 0, None))
    ),
]  # fmt: skip


def test_a_schema_is_told_once_by_each_that_writes_and_read_wherever_it_is_named(path: Path) -> None:
    for _ in range(2):
        with Journal(path) as journal:
            for outcome in SEVERAL:
                journal.hold(Kept(outcome))
    entries = [entry.event for entry in replay(path)]
    assert [event.outcome for event in entries if isinstance(event, Kept)] == SEVERAL * 2
    assert [event.schema for event in entries if isinstance(event, Shaped)] == [UNUSUAL, NARROW, WIDE] * 2
    assert len({id(event.outcome.schema) for event in entries if isinstance(event, Kept)}) == 2, "in memory, too"


@pytest.mark.usefixtures("files_of_100_bytes")
@pytest.mark.parametrize("already", [0, 100])
def test_a_schema_that_there_was_no_room_to_tell_is_told_again(path: Path, already: int) -> None:
    """With no byte of room, the kernel refuses the write; with some, it writes less."""
    with Journal(path) as journal:
        if already:
            journal.write(UserTold("x" * (already - len(EMPTY))), at=1.0)
        assert path.stat().st_size == already
        journal.hold(Kept(SEVERAL[0]))
        with pytest.raises(OSError, match=r"No space|too large"):
            journal.flush()
        resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))
        for outcome in SEVERAL[1:]:
            journal.hold(Kept(outcome))
    assert [entry.event.outcome for entry in replay(path) if isinstance(entry.event, Kept)] == SEVERAL[1:]


def test_a_task_that_names_a_schema_which_nobody_told_is_refused(path: Path) -> None:
    with Journal(path) as journal:
        journal.write(Kept(SEVERAL[0]))
    path.write_text(path.read_text().split("\n", 1)[1])
    with pytest.raises(UnreadableError, match="is damaged: a task that is done names schema 0") as refused:
        list(replay(path))
    assert "another version" not in str(refused.value)
    with pytest.raises(ResumeError, match=r"is damaged: .* --fresh to start over"):
        Past.read(path)
    assert Past.read(path, fresh=True).is_unreadable


def test_tasks_of_format_2_which_say_their_schemas_in_full_are_read(path: Path) -> None:
    path.write_text(
        '{"event":"kept","at":1.0,"task":[3,4,0,0,8,0,1,0,1],"rows_in":1,"rows_out":1,"output":{"name":"o","bytes":1,'
        '"crc":0,"rows":1},"schema":[["a"],[["int64"]]],"spans":[[0,1,0,1,1,0,"same"],[1,2,0,1,1,0,[["a","b"],'
        '[["float64","int64"],["str"]]]],[2,3,1,0,0,0,null]],"seconds":{"function":0.5},"worker":"1"}\n'
    )
    (entry,) = replay(path)
    assert entry.event == Kept(SEVERAL[3]._replace(seconds=Seconds(function=0.5)), "1")


PIECE = Piece("p", 10, 1, 2, PieceLocation("grown", 20))
POSITION = Position("/in/a.csv", 1, 2**63, 90, 9, 77, 78, ("a", "\n"))
ONE_OF_EACH: list[Event] = [
    Started("r", {"inputs": []}, {"typed": "muster run"}, FORMAT),
    events.TryStarted(2, 17, 4, "123.4", "ray", "c", {"m1": 0.5}, one_computer=True),
    events.Phase("working"),
    events.Accepted(["f has changed"], ["f.py"], {"inputs": []}),
    events.Stopped("DataError", "no", 3, [["f", "no", 3, "x"]]),
    events.Finished({"rows_in": 3}, "a", "b", "c"),
    events.Surveyed(
        (Part(0, 1, 9, 0, 4, fault="torn"),), (("a",),), (Column("a", frozenset({"int"}), "str", "%d"),),
        b"\0\xff", {0: [1, 2]}, {0: 7},
    ),
    events.Settled((Column("a"),), "a sample"),
    events.Read(DataFile("m.bin", 7, 8, "ab")),
    events.Wrote("log"),
    Shaped(3, UNUSUAL),
    Kept(Outcome(Task(0, 0, 1, 0, 0, 8, 0, 2, 0, 2), 2, 2, output=PIECE), "1"),
    events.Dropped(1, 2, 3),
    events.Exchanged(
        1, (Part(0, 1, 9, 0, 4),), [LaneShare(7, 8, 2**64 - 1)], UNUSUAL, (Column("a", fixed="as is"),), b"\xff",
        [Gap(5, 2**64 - 1, 7)], [(UNUSUAL, 3)],
    ),
    events.KeptLater(2, Outcome(Task(0, 0, 1, 0, 0, 8, 0, 2, 0, 2), 2, 2, output=PIECE), "1"),
    events.DroppedLater(2, 1, 2, 3),
    StageDone(2, 3, "f by k", 9, 4, 100, 5, 4, 1),
    events.Moved("p", "grown", 20),
    events.Regrown("a", "b", 9),
    events.OutputLayout([(2, 9)], [b"\0"], [0], 9),
    events.EpochBegan(2, [Stretch(5, 1, 77, "epoch-2-0", "in/a.csv", (("day", None),), POSITION)]),
    events.Committed(
        2, [POSITION], events.Totals(2, 1, 9, 8, 1), "part-00000000.csv", 8, b"\xff", 90, "ab", 4, 5, UNUSUAL,
        events.StatesDone(
            "states-0", 90, [4, 5], is_end=True, seen={2: b"\xff"},
            windows={1: WindowsDone(5, 7, 9, 1, ((-1, 7), (0, 8)))},
        ),
    ),
    events.FilesMoved([POSITION], [(3, 4)]),
    events.Streamed(
        3, 10, None, 1.5, 2.0, 4, 5, [[-3, 7]], 0.5, 7, 8, 9, [["a", 6, 2.5, "away"]],
        [["b", 6, 90, 2.5, "away", True]],
    ),
    events.EarlierRowsTaken(),
    events.Standing("abc"),
    events.WorkerJoined("m1-1", "m1"),
    WorkerLeft("m1-1", "killed"),
    UserTold("hear"),
    events.Retried("killed", "m1-1", 2.5, "in.csv", 7, 9),
    events.Renewed(["m1"], 900.0, {"m1": 0.5}),
    events.Measured(
        0.5, 1, None, 2, 3, "", {"1": []}, {"m": []}, [], 4, 2.0, [1.0, 2.0], ["1", "f", 1, 2, 3, 4, 5, None], {"1": 9}
    ),
    Plan(1, 2, 3.0, (4.0, 5.0), 6.0),
]  # fmt: skip


def test_there_is_an_example_of_each_kind_here() -> None:
    assert [type(event) for event in ONE_OF_EACH] == list(KIND_OF)


@pytest.mark.parametrize("event", ONE_OF_EACH, ids=lambda event: type(event).__name__)
def test_every_kind_survives_the_journal_whole_and_with_fields_that_are_not_known(path: Path, event: Event) -> None:
    with Journal(path) as journal:
        journal.write(event, at=1.0)
    ((read, at),) = replay(path)
    assert (type(read), read, at) == (type(event), event, 1.0)  # two kinds with equal fields compare equal
    said = json.loads(path.read_text())
    assert of_fields(said["event"], said | {"from a later version": 1}, {}) == event


def test_the_examples_have_no_field_that_is_left_out() -> None:
    for event in ONE_OF_EACH:
        defaults = {name: value for name, value in event._field_defaults.items() if name != "format"}
        assert not [name for name, value in defaults.items() if getattr(event, name) == value], event


def test_a_kind_that_is_not_known_changes_nothing(path: Path) -> None:
    path.write_text('{"event":"from a later version","at":1.0}\n')
    assert list(replay(path)) == [(Other(), 1.0)]


@pytest.mark.parametrize(
    "line",
    ['{"event":"started"}', '{"event":"kept","task":[]}', '{"event":"settled","columns":[[]]}', '{"event":"left"}'],
)
def test_an_event_that_lacks_what_it_must_have_is_refused(path: Path, line: str) -> None:
    path.write_text(line + "\n")
    with pytest.raises(UnreadableError, match="is not as this version writes it"):
        list(replay(path))


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"format": "3"}, "format is '3'"),
        ({"job": [1]}, "job is "),
        ({"run": None}, "run is None"),
        ({"event": [1]}, "a line of kind"),
        ({"event": None}, "a line of kind"),
        ({"at": "x"}, "written at 'x'"),
    ],
)
def test_a_value_of_the_wrong_kind_is_refused_in_words_and_fresh_cures_it(
    path: Path, change: dict[str, Any], why: str
) -> None:
    line = {"event": "started", "at": 1.0, "run": "r", "job": {"inputs": []}, "format": FORMAT}
    path.write_text(json.dumps(line | change) + "\n")
    with pytest.raises(ResumeError, match=re.escape(why)) as refused:
        Past.read(path)
    assert "--fresh to start over" in str(refused.value)
    assert Past.read(path, fresh=True).is_unreadable


def test_no_byte_of_a_line_can_be_changed_so_that_it_tells_something_else(path: Path) -> None:
    """It is refused, or counts as torn; only where the check is named, it is no check any more, and nothing is lost."""
    with Journal(path) as journal:
        journal.write(UserTold("before"), at=1.0)
        start = path.stat().st_size
        journal.write(Kept(SEVERAL[1]), at=2.0)
    data, before = path.read_bytes(), list(replay(path))
    refused = 0
    for at in range(start, len(data)):
        for byte in {data[at] ^ 1, data[at] ^ 4, ord("7")} - {data[at]}:
            path.write_bytes(data[:at] + bytes([byte]) + data[at + 1 :])
            try:
                assert list(replay(path)) == before[: len(list(replay(path)))]
            except DamagedError:
                refused += 1
    assert refused > len(data) - start


def test_a_line_that_is_damaged_is_not_said_to_be_of_another_version(path: Path) -> None:
    with Journal(path) as journal:
        journal.write(Started("r", {"inputs": []}, {}, FORMAT))
    path.write_bytes(path.read_bytes().replace(b'"job"', b'"jab"'))
    with pytest.raises(ResumeError, match="is damaged: what stands in its line from byte 0 on") as refused:
        Past.read(path)
    assert "another version" not in str(refused.value)


def test_rows_that_an_earlier_version_kept_are_done_again() -> None:
    said = json.loads(json.dumps(as_fields(Kept(Outcome(TASK, 5, 9, output=Piece("o", 9, 7, 9))))))
    past = Past()
    past.add(of_fields("kept", said, {}))
    assert past.kept != {}
    past = Past()
    past.add(of_fields("kept", said | {"columns": ["a", "b"], "floats": ["a"], "integers": []}, {}))
    assert past.kept == {}


def test_a_journal_of_a_later_format_is_refused_in_words(path: Path) -> None:
    with Journal(path) as journal:
        journal.write(Started("r", {}, {}, FORMAT + 1))
    with pytest.raises(ResumeError, match=f"its format is {FORMAT + 1}, and this version of muster reads"):
        Past.read(path)
    assert Past.read(path, fresh=True).is_unreadable


GOLDEN = Path(__file__).with_name("golden")
"""Journals that muster 0.1 wrote before its events had classes: of a run that stopped, and of one that finished."""


def test_an_unfinished_run_of_0_1_can_be_gone_on_with() -> None:
    past = Past.read(GOLDEN / "unfinished.jsonl")
    assert (past.run, past.tried.tries, past.asked["folder"]) == ("20261126-063246-1f87", 1, "/home/ada")
    assert past.surveyed is not None
    assert sum(part.rows for part in past.surveyed.parts) == 3000
    assert past.columns == (Column("n", frozenset({"integer"})), Column("t", frozenset({"text"})))
    assert sum(outcome.rows_in for outcome in past.kept.values()) == 2700
    assert sum(outcome.bad_rows for outcome in past.kept.values()) == 202
    assert past.locations[Piece("0-8.rows", 1800, 0, 100)] == PieceLocation("grown-dd2907c2", 38724)
    assert past.locations[Piece("0-9.rows", 18, 0, 1)] == PieceLocation(
        "grown-dd2907c2", 40524
    )  # a task wrote it there itself
    assert set(past.files) == {"rates.json"}


def test_a_finished_run_of_0_1_can_be_retried_and_looked_at() -> None:
    past = Past.read(GOLDEN / "finished.jsonl")
    assert past.finished is not None
    assert (past.finished.result["rows_out"], past.finished.result["bad_rows"]) == (2997, 3)
    assert (past.mending.layout.bytes, list(past.mending.layout.volumes)) == (49524, [])
    assert len(past.finished.published) == len(past.finished.standing or "") == 64
    view = RunView()
    view.take_all(replay(GOLDEN / "finished.jsonl"))
    assert (view.standing.rows_done, view.standing.bad_rows, len(view.roster.workers), len(view.attempts)) == (
        3000,
        3,
        2,
        1,
    )
    assert [note.kind for note in view.log.notes] == ["joined", "finished"]


def test_a_run_of_0_1_over_a_stream_is_not_gone_on_with_as_its_parts_were_cut_otherwise(
    muster: Muster, tmp_path: Path
) -> None:
    (tmp_path / "f.py").write_text("def f(df):\n    assert (df.n < 9990).all()\n    return df\n")
    (tmp_path / "in.csv.gz").write_bytes(gzip.compress(b"n\n" + b"".join(b"%d\n" % n for n in range(10_000))))
    command = ("run", "f.py:f", "in.csv.gz", "-o", "out.csv", "--workers", "0", "--batch-rows", "100", "--strict")
    assert muster(*command).code == 1
    journal = tmp_path / "out.csv.muster" / "journal.jsonl"
    begun, *rest = journals.without_checks(journal.read_text()).splitlines(keepends=True)
    assert f'"format":{FORMAT}' in begun
    journal.write_text(begun.replace(f'"format":{FORMAT}', '"format":1') + "".join(rest))
    for _ in range(2):  # the first says the format of now, which changes nothing of how its parts were cut
        refused = muster(*command)
        assert refused.code == 2, refused.err
        assert "into other parts" in refused.err
    (tmp_path / "f.py").write_text("def f(df):\n    return df\n")
    assert muster(*command, "--fresh").code == 0


def of_format(path: Path) -> int:
    return Past.read(path).started.format


def test_a_run_of_an_earlier_format_that_is_gone_on_with_says_the_format_of_now_and_stays_one_run(
    muster: Muster, tmp_path: Path
) -> None:
    (tmp_path / "f.py").write_text("def f(df):\n    assert (df.n < 900).all()\n    return df\n")
    (tmp_path / "in.csv").write_text("n\n" + "".join(f"{n}\n" for n in range(1000)))
    command = ("run", "f.py:f", "in.csv", "-o", "out.csv", "--workers", "0", "--batch-rows", "100", "--strict")
    assert muster(*command).code == 1
    journal = tmp_path / "out.csv.muster" / "journal.jsonl"
    begun, *rest = journals.without_checks(journal.read_text()).splitlines(keepends=True)
    journal.write_text(begun.replace(f',"format":{FORMAT}', "") + "".join(rest))
    (said,) = json.loads(muster("runs", "--json").out)
    assert of_format(journal) == 1
    for _ in range(2):  # it says so once
        assert muster(*command).code == 1
        again = [line for line in journal.read_text().splitlines() if line.startswith('{"event":"started"')]
        assert [json.loads(line).get("format", 1) for line in again] == [1, FORMAT]
        assert {json.loads(line)["run"] for line in again} == {said["run"]}
    assert of_format(journal) == FORMAT
    (now,) = json.loads(muster("runs", "--json").out)
    same = ("run", "at", "inputs", "output", "rows_done", "status")
    assert {name: now[name] for name in same} == {name: said[name] for name in same}
    (tmp_path / "f.py").write_text("def f(df):\n    return df\n")
    ended = muster(*command, "--json", "--accept-changes")
    assert ended.code == 0, ended.err
    assert ended.json["resumed_parts"] > 0
    assert (tmp_path / "out.csv").read_bytes() == (tmp_path / "in.csv").read_bytes()
    (finished,) = json.loads(muster("runs", "--json").out)
    assert (finished["run"], finished["at"]) == (said["run"], said["at"])


@pytest.mark.parametrize("name", ["unfinished", "finished"])
def test_a_golden_journal_to_which_the_format_of_now_was_added_reads_as_before(tmp_path: Path, name: str) -> None:
    golden = GOLDEN / f"{name}.jsonl"
    journal = tmp_path / "journal.jsonl"
    journal.write_bytes(golden.read_bytes())
    before = Past.read(golden)
    with Journal(journal) as opened:
        opened.write(Started(before.run, before.job, before.asked, FORMAT), at=2e9)
    after = Past.read(journal)
    assert (before.started.format, after.started) == (1, before.started._replace(format=FORMAT))
    for field in dataclasses.fields(Past):
        if field.name not in {"started", "locations"}:
            assert getattr(after, field.name) == getattr(before, field.name)


def test_an_event_of_the_format_of_now_is_refused_by_who_reads_up_to_an_earlier_one(path: Path) -> None:
    """The line that says a later format refuses the journal, also where it is not the first."""
    with Journal(path) as journal:
        journal.write(Started("r", {}, {}, 1))
        journal.write(Kept(Outcome(TASK, 5, 0, bad_rows=5)))
        journal.write(Started("r", {}, {}, FORMAT + 1))
    with pytest.raises(UnreadableError, match=f"its format is {FORMAT + 1}"):
        list(replay(path))


def test_a_journal_is_long_again_once_it_has_twice_what_it_must_say(path: Path) -> None:
    with Journal(path) as journal:
        journal.write(UserTold("x" * 100))
        assert journal.is_long(least=50)
        journal.begin_anew([UserTold("x" * 100)], at=0.0)
        size = path.stat().st_size
        assert not journal.is_long(least=50)
        while path.stat().st_size <= 2 * size:
            assert not journal.is_long(least=50)
            journal.write(UserTold("more"))
        assert journal.is_long(least=50)
        assert not journal.is_long(least=1 << 20)
