"""What stays on machines, and what a task gets of it, without machines: the rows are those of the blocks."""

import itertools
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from random import Random

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from muster._engines.on_ray.keeping import KeptFiles, Needing, NotReadThereError, Peer, Slice
from muster._formats.blocks import INDEX, PLACE, Section, as_block, each_section, sections_of
from muster._formats.excerpts import SectionEnd, check, end_of, ends_of, of_lanes, of_places
from muster._formats.ranks import Ranks
from muster._model import NO_FILE, Block, Exchange, Grouping, PlaceRange, StageKind, Task
from muster._worker.ordering import results_of

LANES = 6


@st.composite
def blocks(draw: st.DrawFn) -> list[bytes]:
    made = []
    for block in range(draw(st.integers(1, 4))):
        borders = [0, *itertools.accumulate(draw(st.lists(st.integers(0, 4), min_size=LANES, max_size=LANES)))]
        width = draw(st.sampled_from([1, 30_000]))  # of few rows each, batches are of one stretch
        texts = [f"{block}:{row}".ljust(width) for row in range(borders[-1])]
        column = pa.array(texts, pa.string())
        table = pa.table({"t": column.dictionary_encode() if draw(st.booleans()) else column})
        made.append(b"".join(as_block([Section(table, borders, {"bytes": table.nbytes, "of": block})])))
    return made


def rows(paths: Sequence[str], first: int, last: int) -> list[tuple[int, object]]:
    return [
        (at, row)
        for at, section in each_section(paths)
        if any(section.said["rows"]) and section.said["of"] == at
        for row in section.read(first, last).column("t").to_pylist()
    ]


@pytest.fixture(scope="module")
def place() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder)


def kept_in(folder: Path, station: int, *, chunk: int = 1 << 20) -> KeptFiles:
    """Make what a station of this number keeps, in a folder of its own."""
    folder.mkdir(exist_ok=True)
    return KeptFiles(station, beside=str(folder / "home"), chunk=chunk)


def read_whole(one: KeptFiles) -> Peer:
    return Peer(one.read, bytes)


@given(
    made=blocks(), first=st.integers(0, LANES - 1), count=st.integers(1, LANES), chunk=st.sampled_from([300, 100_000])
)
def test_what_is_put_together_of_other_machines_has_the_rows_of_the_blocks(
    made: list[bytes], first: int, count: int, chunk: int, place: Path
) -> None:
    last = min(first + count, LANES)
    stations = [kept_in(place / str(number), number, chunk=chunk) for number in range(3)]
    names, ends = [f"{at}.block" for at in range(len(made))], []
    for at, data in enumerate(made):
        (place / str(at % 3) / "home-kept" / names[at]).write_bytes(data)
        path = place / names[at]
        path.write_bytes(data)
        own = ends_of(str(path))
        check(own, lanes=LANES, size=len(data))
        ends.append(place / f"{at}.end")
        ends[-1].write_bytes(end_of(own))
    needed = of_lanes([str(path) for path in ends], first, last)
    slices = tuple(Slice(block % 3, names[block], start, stop) for block, start, stop in needed.copied)
    stations[0].peers = {number: read_whole(stations[number]) for number in (1, 2)}
    supply = stations[0].supply(Needing(None, slices, needed.end))
    assert rows([str(supply)], first, last) == rows([str(place / name) for name in names], first, last)
    assert supply.stat().st_mode & 0o077 == 0


def results(chance: Random, places: list[int], ranks: Ranks) -> list[bytes]:
    """Make blocks of what a function gave for the groups of these places; each is in one section of one block."""
    made = []
    while places:
        sections = list[Section]()
        for _ in range(chance.randint(1, 3)):
            count = chance.randint(0, len(places))
            own, places = sorted(places[:count], key=lambda one: int(ranks.of(np.array(one)))), places[count:]
            own = [one for one in own for _ in range(chance.randint(1, 3))]
            width = chance.choice([1, 30_000])  # of few rows each, batches are of one stretch
            column = pa.array([str(one).ljust(width) for one in own], pa.string())
            column = column.dictionary_encode() if chance.random() < 1 / 3 else column
            borders = sorted({0, *(chance.randint(0, len(own)) for _ in range(3)), len(own)})
            ends = [[own[lo], own[hi - 1]] for lo, hi in itertools.pairwise(borders)]
            said = {"schema": [["t"], [["text"]]], "places": ends}
            sections.append(Section(pa.table({"0": column, PLACE: pa.array(own, pa.int64())}), borders, said))
        sections.append(Section(pa.table({PLACE: [7], "rows": [1]}), [0, 1], {INDEX: True}))
        made.append(b"".join(as_block(sections)))
    return made


def read_between(task: Task, exchange: Exchange) -> list[tuple[int, str]]:
    tables = [table for _, table in results_of(task, exchange)]
    return sorted((row[PLACE], str(row["0"])) for table in tables for row in table.to_pylist())


@given(seed=st.integers(0, 1 << 32))
def test_results_that_are_put_together_of_other_machines_are_those_of_the_blocks(seed: int, place: Path) -> None:
    chance, ranks = Random(seed), Ranks()  # noqa: S311 (no secret)
    places = chance.sample(range(100), chance.randint(1, 8))
    if is_sorted := chance.random() < 1 / 2:
        ranks = Ranks(np.array(sorted(places)), np.array(chance.sample(range(len(places)), len(places))))
        (place / "ranks").write_bytes(b"".join(as_block([ranks.section()])))
    lo, hi = sorted(ranks.of(np.array(chance.choices(places, k=2))).tolist())
    kept, ends = kept_in(place / "0", 0), list[str]()
    for at, block in enumerate(results(chance, places, ranks)):
        (place / "0" / "home-kept" / f"{at}.block").write_bytes(block)
        own = ends_of(str(place / "0" / "home-kept" / f"{at}.block"))
        check(own, lanes=None, size=len(block))
        with pytest.raises(ValueError, match="a block"):
            check(own, lanes=LANES, size=len(block))
        (place / f"{at}.end").write_bytes(end_of(own))
        ends.append(str(place / f"{at}.end"))
        index = [section for section in sections_of(ends[-1]) if INDEX in section.said]
        assert [section.read(0, 1).to_pydict() for section in index] == [{PLACE: [7], "rows": [1]}]
    needed = of_places(ends, lo, hi, ranks)
    slices = tuple(Slice(0, f"{block}.block", start, stop) for block, start, stop in needed.copied)
    excerpt = str(kept.supply(Needing(None, slices, needed.end)))
    task = Task(number=1, first=0, last=1, file=NO_FILE, start=0, stop=1, row=0, rows=1, lo=0, hi=1)
    blocks = tuple(Block(str(place / "0" / "home-kept" / f"{at}.block")) for at in range(len(ends)))
    whole = Exchange(Grouping(("t",)), StageKind.ORDERING, blocks=blocks, places=(PlaceRange(0, lo, hi),))
    whole = whole._replace(ranks=str(place / "ranks") if is_sorted else "")
    found = read_between(task, whole._replace(excerpt=excerpt, ranks="no such file"))
    assert found == read_between(task, whole)
    assert {int(text) for _, text in found} == {one for one in places if lo <= ranks.of(np.array(one)) <= hi}


def test_what_another_machine_does_not_keep_is_unreadable_there_and_no_other_file_is_read(tmp_path: Path) -> None:
    here, there = kept_in(tmp_path / "1", 1), kept_in(tmp_path / "2", 2)
    (tmp_path / "secret").write_text("of nobody else")
    here.peers = {2: read_whole(there)}
    with pytest.raises(FileNotFoundError):
        there.read([Slice(2, "../../secret", 0, 4)])
    for station in (1, 3):
        with pytest.raises(NotReadThereError) as raised:
            here.supply(Needing(None, (Slice(station, "gone.block", 0, 4),), b""))
        assert raised.value.station == station
    (tmp_path / "2" / "home-kept" / "short.block").write_bytes(b"abc")
    with pytest.raises(NotReadThereError, match="3 bytes are there, of 4"):
        here.supply(Needing(None, (Slice(2, "short.block", 0, 4),), b""))
    assert not [*(tmp_path / "1" / "home-supplies").iterdir()]


@pytest.mark.parametrize(
    "changed",
    [
        *({"at": -1}, {"at": 95}, {"rows": (1,) * 5}, {"offsets": (2, 9, 8)}, {"batches": (0, 3, 7)}),
        *({"memory": -1}, {"head": b"a"}, {"more": "[]"}),
    ],
)
def test_an_end_that_no_block_has_is_refused(changed: dict[str, object]) -> None:
    right = SectionEnd(0, (2, 5, 8), (0, 3, 6), (1,) * LANES, 10, needs_all=False, head=b"ab", body=b"", more="{}")
    check([right], lanes=LANES, size=100)
    with pytest.raises(ValueError, match="a block"):
        check([right._replace(**changed)], lanes=LANES, size=100)  # type: ignore[arg-type]  # as a machine may send
