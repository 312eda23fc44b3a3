"""The file that an output grows in, whatever order its tasks end in, and whatever becomes of the run."""

import json
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from conftest import Muster
from muster._formats.inputs import Inputs
from muster._job import Options
from muster._journal.events import Kept, Moved
from muster._model import Outcome, Piece, PieceLocation, Schema, Source, Task
from muster._output.build import OutputBuilder
from muster._output.folder import WorkFolder
from muster._run.history.past import Past

HEADER = b"a\n"


def unasked(_: Sequence[object]) -> list[object]:
    raise AssertionError


def task(first: int) -> Task:
    return Task(first + 1, first, first + 1, 0, 0, 1, 0, 1, 0, 1)


@dataclass
class Growing:
    """What the runner does to an output that grows."""

    folder: Path
    frontier: int = 0
    kept: dict[int, Outcome] = field(default_factory=dict)
    past: Past = field(default_factory=Past)

    def __post_init__(self) -> None:
        self.work = WorkFolder(str(self.folder / "out.csv"), home=self.folder)
        self.begin()

    def begin(self) -> None:
        """Begin an attempt, with what the journal says of those before it."""
        self.work.take()
        source = Source(str(self.folder / "in.csv"), 1, "", "csv")
        self.builder = OutputBuilder(self.work, Options(), Inputs((source,), Options(), self.folder))
        self.builder.locations = self.past.locations
        self.rewind()

    def rewind(self) -> None:
        """Begin the output anew, as its header has changed; all rows of it are appended again."""
        self.builder.begin()
        self.frontier = 0
        self.advance()

    def die(self) -> None:
        """Die, with all that only this process knew."""
        self.builder.pause()
        self.work.release()
        self.begin()

    def work_on(self, wanted: Task, text: bytes) -> None:
        """Do a task."""
        name = f"{len(self.kept)}.rows"
        (self.work.parts / name).write_bytes(text)
        piece = Piece(name, len(text), zlib.crc32(text), 1)
        outcome = Outcome(wanted, 1, 1, piece, schema=Schema(("a",), (("str",),)))
        self.past.add(Kept(outcome))
        self.kept[wanted.first] = outcome
        self.advance()

    def advance(self) -> None:
        while (following := self.kept.get(self.frontier)) is not None:
            moved = self.builder.append(following, ("a",))
            assert moved is not None
            (self.work.parts / moved.name).unlink(missing_ok=True)
            assert self.work.is_intact(following, self.builder.locations)
            self.frontier = following.task.last

    def complete(self) -> bytes:
        """End the output and read it."""
        self.builder.pause()
        kept = [self.kept[first] for first in sorted(self.kept)]
        self.builder.end(kept, unasked, lambda _: 0, ready=lambda *_: None)
        self.work.release()
        return Path(self.work.output).read_bytes()


@pytest.fixture
def growing(tmp_path: Path) -> Growing:
    return Growing(tmp_path)


def test_rows_whose_predecessors_are_not_done_wait_in_a_file_of_their_own(growing: Growing) -> None:
    growing.work_on(task(1), b"two\n")
    assert [path.name for path in growing.work.parts.iterdir()] == ["0.rows"]
    growing.work_on(task(0), b"one\n")
    assert not list(growing.work.parts.iterdir())
    assert growing.complete() == HEADER + b"one\ntwo\n"


def test_what_no_row_needs_any_more_is_removed(growing: Growing) -> None:
    growing.work_on(task(0), b"one\n")
    first = growing.work.folder / growing.builder.locations[growing.kept[0].output or Piece("", 0, 0, 0)].file
    left = [first, first.with_suffix(".starts")]  # version 0.1 kept such a file beside it
    left[1].write_bytes(b"")
    growing.die()
    assert not left[1].exists()
    assert first.exists()
    growing.builder.tidy()  # by now its rows are in the next one
    assert not first.exists()
    assert growing.complete() == HEADER + b"one\n"


def test_a_piece_that_is_shorter_than_it_was_ends_the_run_rather_than_shift_rows(growing: Growing) -> None:
    growing.work_on(task(1), b"two\n")
    (growing.work.parts / "0.rows").write_bytes(b"two")
    with pytest.raises(OSError, match=r"0\.rows is shorter than the 4 bytes"):
        growing.work_on(task(0), b"one\n")
    growing.builder.pause()
    growing.work.release()


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=100)
@given(order=st.permutations(range(6)), upsets=st.lists(st.sampled_from(["", "rewind", "die"]), min_size=6, max_size=6))
def test_the_output_is_all_rows_in_order_whatever_order_tasks_end_in_and_whatever_happens_between(
    tmp_path_factory: pytest.TempPathFactory, order: Sequence[int], upsets: Sequence[str]
) -> None:
    growing = Growing(tmp_path_factory.mktemp("grown"))
    texts = [b"x\n" * at for at in range(6)]
    happens: dict[str, Callable[[], None]] = {"": lambda: None, "rewind": growing.rewind, "die": growing.die}
    for at, upset in zip(order, upsets, strict=True):
        growing.work_on(task(at), texts[at])
        happens[upset]()
    assert growing.complete() == HEADER + b"".join(texts)


def test_where_pieces_lie_is_forgotten_with_them() -> None:
    past = Past()
    piece = Piece("1.rows", 3, 0, 1, PieceLocation("before", 7))
    past.add(Kept(Outcome(task(0), 1, 1, piece)))
    assert past.locations[piece] == PieceLocation("before", 7)
    past.add(Moved("1.rows", "grown-1", 2))
    assert past.locations[piece] == PieceLocation("grown-1", 2)
    past.locations.clear()
    assert past.locations[piece] == PieceLocation("parts/1.rows", 0)


def test_a_run_that_an_earlier_version_began_is_gone_on_with_wherever_its_rows_lie(
    muster: Muster, tmp_path: Path
) -> None:
    (tmp_path / "f.py").write_text("def f(df):\n    assert (df.n < 2990).all()\n    return df\n")
    (tmp_path / "in.csv").write_text("n\n" + "".join(f"{n}\n" for n in range(3000)))
    command = ("run", "f.py:f", "in.csv", "-o", "out.csv", "--workers", "0", "--batch-rows", "100", "--json")
    assert muster(*command, "--strict").code == 1
    as_an_earlier_version_did(tmp_path / "out.csv.muster")
    ended = muster(*command)
    assert ended.code == 4
    assert json.loads(ended.out)["resumed_parts"] > 4
    assert (tmp_path / "out.csv").read_text() == "n\n" + "".join(f"{n}\n" for n in range(2990))


def as_an_earlier_version_did(work: Path) -> None:
    """Have every second task write to its place itself, and all that lie in another file since."""
    events = [json.loads(line) for line in (work / "journal.jsonl").read_text().splitlines()]
    moves = {event["name"]: event for event in events if event["event"] == "moved"}
    in_place = {*list(moves)[::2]}
    (grown,) = {event["file"] for event in moves.values()}
    size = max(event["offset"] for event in moves.values()) + 1
    for event in events:
        if event["event"] == "kept" and (name := event["output"]["name"]) in in_place:
            event["output"]["place"] = {"file": "grown-0", "offset": moves[name]["offset"]}
    for event in moves.values():
        event["file"] = "grown-0"
    events = [event for event in events if event.get("name") not in in_place]
    events.append({"event": "regrown", "at": events[-1]["at"], "before": "grown-0", "file": "grown-1", "size": size})
    (work / "journal.jsonl").write_text("".join(json.dumps(event) + "\n" for event in events))
    (work / grown).rename(work / "grown-1")
