"""The file that an output grows in, whatever order its tasks end in and whatever becomes of them."""

import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from muster._formats.inputs import Inputs
from muster._job import Options
from muster._model import Outcome, Piece, Place, Schema, Source, Task
from muster._output.build import Finish
from muster._output.folder import Work
from muster._output.growing import OFFSETS, Starts, write_in_turn

HEADER = b"a\n"


def unasked(_: Sequence[object]) -> list[object]:
    raise AssertionError


def task(first: int, *, parts: int = 1, rows: int = 1, lo: int = 0, hi: int | None = None) -> Task:
    return Task(first + 1, first, first + parts, 0, 0, 1, 0, rows, lo, rows if hi is None else hi)


@dataclass
class Growing:
    """What the runner and its workers do to an output that grows."""

    folder: Path
    number: int = 0
    frontier: int = 0
    kept: dict[int, Outcome] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.work = Work(str(self.folder / "out.csv"), home=self.folder)
        self.work.take()
        source = Source(str(self.folder / "in.csv"), 1, "", "csv")
        self.finish = Finish(self.work, Options(), Inputs((source,), Options(), self.folder))
        self.finish.begin()

    def work_on(self, wanted: Task, text: bytes, *, dies: bool = False) -> bool:
        """Do a task, or die in the middle of writing; tell whether its rows went straight to their place."""
        grown = Path(self.finish.grown)
        if dies:
            with Starts(grown) as starts:
                return starts.claim(wanted, len(text)) is not None
        place = write_in_turn(grown, wanted, [text[:1], text[1:]])
        self.number += 1
        name = f"{self.number}.rows"
        if place is None:
            (self.work.parts / name).write_bytes(text)
        self.take(
            Outcome(
                wanted, 1, 1, Piece(name, len(text), zlib.crc32(text), 1, place), schema=Schema(("a",), (("str",),))
            )
        )
        return place is not None

    def take(self, outcome: Outcome) -> None:
        """Do what the runner does with an outcome."""
        assert not self.finish.is_stale(outcome)
        self.finish.note(outcome)
        self.kept[outcome.task.first] = outcome
        while (following := self.kept.get(self.frontier)) is not None:
            self.finish.make_way(following)
            self.finish.append(following, ("a",))
            self.frontier = following.task.last

    def complete(self) -> bytes:
        """End the output and read it."""
        self.finish.pause()
        kept = [self.kept[first] for first in sorted(self.kept)]
        self.finish.end(kept, unasked, lambda _: 0, ready=lambda *_: None)
        self.work.release()
        return Path(self.work.output).read_bytes()


@pytest.fixture
def growing(tmp_path: Path) -> Growing:
    return Growing(tmp_path)


def test_the_first_rows_wait_for_the_header_and_those_behind_go_straight_to_their_place(growing: Growing) -> None:
    assert not growing.work_on(task(0), b"one\n")
    assert growing.work_on(task(1), b"two\n")
    assert growing.work_on(task(2), b"three\n")
    assert growing.complete() == HEADER + b"one\ntwo\nthree\n"


def test_rows_whose_predecessors_are_not_done_go_to_a_file_of_their_own(growing: Growing) -> None:
    growing.work_on(task(0), b"one\n")
    assert not growing.work_on(task(2), b"three\n")
    assert growing.work_on(task(1), b"two\n")
    assert growing.work_on(task(3), b"four\n")
    assert growing.complete() == HEADER + b"one\ntwo\nthree\nfour\n"


def test_a_task_that_died_on_its_place_and_gives_the_same_rows_again_takes_the_same_place(growing: Growing) -> None:
    growing.work_on(task(0), b"one\n")
    assert growing.work_on(task(1), b"two\n", dies=True)
    before = growing.finish.grown
    growing.work_on(task(2), b"three\n")
    assert growing.work_on(task(1), b"two\n")
    assert growing.finish.grown == before
    assert growing.complete() == HEADER + b"one\ntwo\nthree\n"


@pytest.mark.parametrize("again", [b"", b"2\n", b"two and more\n"])
def test_a_task_that_died_on_its_place_and_gives_other_rows_again_harms_none_behind_it(
    growing: Growing, again: bytes
) -> None:
    growing.work_on(task(0), b"one\n")
    growing.work_on(task(1), b"two\n", dies=True)
    assert growing.work_on(task(2), b"three\n")
    before = growing.finish.grown
    assert not growing.work_on(task(1), again)
    assert growing.finish.grown != before
    assert growing.work_on(task(3), b"four\n")
    assert growing.complete() == HEADER + b"one\n" + again + b"three\nfour\n"


def test_halves_of_a_task_that_died_on_its_place_harm_none_behind_it(growing: Growing) -> None:
    growing.work_on(task(0), b"one\n")
    growing.work_on(task(1, parts=2), b"two\nthree\n", dies=True)
    assert growing.work_on(task(3), b"four\n")
    assert not growing.work_on(task(1), b"two and more\n")
    growing.work_on(task(2), b"3\n")
    assert growing.complete() == HEADER + b"one\ntwo and more\n3\nfour\n"


def test_rows_written_to_a_file_that_the_output_left_are_known_to_be_stale(growing: Growing) -> None:
    growing.work_on(task(0), b"one\n")
    left = Path(growing.finish.grown).name
    growing.finish.begin()
    assert growing.finish.is_stale(Outcome(task(1), 1, 1, Piece("x", 4, 0, 1, Place(left, 6))))
    assert not growing.finish.is_stale(Outcome(task(1), 1, 1, Piece("x", 4, 0, 1)))


def test_what_no_row_needs_any_more_is_tidied_away(growing: Growing, tmp_path: Path) -> None:
    growing.work_on(task(0), b"one\n")
    left = Path(growing.finish.grown)
    growing.finish.moved.clear()
    growing.finish.begin()
    assert not left.exists()
    assert not Path(f"{left}{OFFSETS}").exists()
    assert tmp_path.exists()


def test_an_offset_that_is_torn_is_not_known(tmp_path: Path) -> None:
    with Starts(tmp_path / "grown") as starts:
        starts[3] = 1 << 40
        assert starts[3] == 1 << 40
        path = Path(f"{tmp_path / 'grown'}{OFFSETS}")
        data = bytearray(path.read_bytes())
        data[3 * 16] ^= 1
        path.write_bytes(data)
        assert starts[3] is None
        assert starts[2] is None
        assert starts[400] is None


TEXTS = st.sampled_from([b"", b"x\n", b"yy\n", b"zzzz\n"])


@st.composite
def histories(draw: st.DrawFn) -> list[tuple[int, list[bytes]]]:
    """Draw tasks in the order in which they end, each with what it gave when it died and what it gave at last."""
    count = draw(st.integers(1, 8))
    events = [(at, draw(st.lists(TEXTS, min_size=1, max_size=3))) for at in range(count)]
    window = draw(st.integers(1, 4))
    order: list[tuple[int, list[bytes]]] = []
    while events:
        order.append(events.pop(draw(st.integers(0, min(window, len(events)) - 1))))
    return order


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=150)
@given(history=histories(), deaths_first=st.booleans())
def test_the_output_is_all_rows_in_order_whatever_order_tasks_end_in_and_whoever_dies(
    tmp_path_factory: pytest.TempPathFactory, history: Sequence[tuple[int, list[bytes]]], *, deaths_first: bool
) -> None:
    growing = Growing(tmp_path_factory.mktemp("grown"))
    if deaths_first:  # all die before any comes to its end
        for at, texts in sorted(history):
            for text in texts[:-1]:
                growing.work_on(task(at), text, dies=True)
    for at, texts in history:
        for text in texts[:-1]:
            growing.work_on(task(at), text, dies=True)
        growing.work_on(task(at), texts[-1])
    assert growing.complete() == HEADER + b"".join(texts[-1] for _, texts in sorted(history))
