"""The durable record: what was written is read again, whatever a crash did to its end."""

import json
import resource
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from muster._journal import Journal, as_fields, as_outcome, replay
from muster._model import Outcome, Piece, Schema, Seconds, Spool, Task
from muster._past import Past


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "journal.jsonl"


def written(path: Path, *events: str) -> Path:
    with Journal(path) as journal:
        for event in events:
            journal.write(event)
    return path


def names(path: Path) -> list[str]:
    return [event["event"] for event in replay(path)]


def test_a_journal_that_was_never_begun_has_no_events(path: Path) -> None:
    assert names(path) == []


def test_events_come_back_in_order_with_their_fields(path: Path) -> None:
    with Journal(path) as journal:
        journal.write("one", number=1, text="Zürich\n", nested=[[1, None]])
    written(path, "two")
    assert list(replay(path)) == [
        {"event": "one", "number": 1, "text": "Zürich\n", "nested": [[1, None]]},
        {"event": "two"},
    ]


def test_what_was_written_can_be_read_while_the_journal_is_still_open(path: Path) -> None:
    with Journal(path) as journal:
        journal.write("one")
        assert names(path) == ["one"]


@pytest.mark.parametrize(
    "torn",
    [b'{"event":"th', b'{"event":"three"}', bytes(4096), b'{"event":"thr\x00\x00"}\n', bytes(64) + b"\n"],
    ids=["half a line", "no newline", "zeros", "zeros within a line", "a line of zeros"],
)
def test_a_torn_end_is_no_event_and_is_written_over(path: Path, torn: bytes) -> None:
    written(path, "one", "two")
    with path.open("ab") as file:
        file.write(torn)
    assert names(path) == ["one", "two"]
    written(path, "four")
    assert names(path) == ["one", "two", "four"]


def test_what_stands_behind_a_torn_line_does_not_count(path: Path) -> None:
    written(path, "one")
    with path.open("ab") as file:
        file.write(bytes(10) + b'\n{"event":"from before the power cut"}\n')
    assert names(path) == ["one"]


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(length=st.integers(0, 200))
def test_any_prefix_of_a_journal_is_a_journal(path: Path, length: int) -> None:
    path.unlink(missing_ok=True)
    events = [f"event number {number}" for number in range(5)]
    data = written(path, *events).read_bytes()
    path.write_bytes(data[:length])
    whole = data[:length].count(b"\n")
    assert names(path) == events[:whole]
    written(path, "next")
    assert names(path) == [*events[:whole], "next"]


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
    with Journal(path) as journal:
        if already:
            journal.write("one", text="x" * (already - len('{"event":"one","text":""}\n')))
        with pytest.raises(OSError, match=r"No space|too large"):
            journal.write("two", text="x" * 200)
        assert path.stat().st_size == already
        assert names(path) == ["one"] * bool(already)


UNUSUAL = Schema(("a", "", "ü,\n"), (("int64",), ("missing object", "str"), ("empty bool",)))
TASK = Task(0, 3, 5, 1, 100, 200, 40, 20, 45, 50, Spool("spool/1-0", 4096))


@pytest.mark.parametrize(
    "outcome",
    [
        Outcome(TASK, 5, 0, bad_rows=5, rejects=Piece("r", 12, 0xFFFFFFFF, 5)),
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
        journal.write("kept", **as_fields(outcome))
    (event,) = replay(path)
    assert as_outcome(event) == outcome
    assert json.loads(path.read_text())["event"] == "kept"


def test_rows_that_an_earlier_version_kept_are_done_again() -> None:
    kept = {"event": "kept", **json.loads(json.dumps(as_fields(Outcome(TASK, 5, 9, output=Piece("o", 9, 7, 9)))))}
    past = Past()
    past.add(kept | {"columns": ["a", "b"], "floats": ["a"], "integers": []})
    assert past.kept == {}
