"""Files that grow, are renamed, replaced and removed while they are followed: each whole row is taken once."""

import os
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from muster._dialects.dialect import Dialect
from muster._formats.sources import find_sources
from muster._journal.events import Committed, EpochBegan, Totals
from muster._journal.file import Journal, replay
from muster._run.history.stream_past import StreamPast
from muster._streams.epochs import Epoch, Intake
from muster._streams.followed import Followed
from muster._streams.stretches import Text
from muster.errors import DataError

TEXT = Text("csv", Dialect())

steps = st.lists(
    st.one_of(
        st.tuples(st.just("write"), st.integers(0, 2), st.integers(1, 40)),
        st.tuples(st.just("rotate"), st.integers(0, 2), st.just(0)),
        st.tuples(st.just("away"), st.integers(0, 2), st.integers(1, 40)),
        st.tuples(st.just("copy"), st.integers(0, 2), st.just(0)),
        st.tuples(st.just("take"), st.integers(1, 60), st.just(0)),
        st.tuples(st.just("begin"), st.booleans(), st.just(0)),
    ),
    max_size=40,
)


class Stream:
    """Takes epochs, and dies now and then: with an epoch that was begun, or without."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.past, self.rows = folder, StreamPast(), list[bytes]()
        self.spool = folder / "spool"
        self.spool.mkdir()
        self.restart()

    def restart(self) -> None:
        self.followed = Followed()
        self.intake = Intake(self.followed, TEXT, self.spool, most=60)
        begun = self.past.begun
        again = self.intake.again(begun.number, begun.stretches) if begun else None
        self.followed.known = self.past.read_up_to(with_begun=again is not None)
        if again is not None:
            self.commit(again)

    def do_all(self) -> None:
        while (epoch := self.take()) is not None:
            self.commit(epoch)

    def die(self, *, with_epoch: bool) -> None:
        if with_epoch:
            self.take()
        self.followed.files.close()
        self.restart()

    def look(self, *, now: float = 0.0) -> None:
        self.followed.look(find_sources([f"{self.folder}/in/*.csv"], may_be_empty=True), now=now)
        if (moves := self.followed.moves()) is not None:
            self.past.add(moves)

    def take(self) -> Epoch | None:
        self.look()
        epoch = self.intake.take(self.past.totals.epochs + 1)
        if epoch is not None:
            self.past.add(EpochBegan(epoch.number, epoch.stretches))
        return epoch

    def commit(self, epoch: Epoch) -> None:
        for part in epoch.parts:
            assert part.local_copy is not None
            data = Path(part.local_copy.path).read_bytes()
            lines = data[part.start - part.local_copy.origin : part.stop - part.local_copy.origin].splitlines()
            assert len(lines) == part.rows
            self.rows += lines
        totals = Totals(epoch.number, 0, self.past.totals.rows_in + epoch.rows)
        self.past.add(Committed(epoch.number, [one.position for one in epoch.stretches], totals))
        self.intake.forget(epoch)


def write(path: Path, row: bytes, half: int, stream: Stream) -> None:
    """Write a row, of which the stream sees a half first."""
    with path.open("ab") as file:
        file.write((b"" if file.tell() else b"f,n,text\n") + row[:half])
    stream.look()
    with path.open("ab") as file:
        file.write(row[half:] + b"\n")


@given(steps)
@settings(max_examples=150, deadline=None)
def test_each_whole_row_is_taken_once_and_in_order(steps: list[tuple[str, int, int]]) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "in").mkdir()
        stream, said, number, turned = Stream(folder), {at: list[bytes]() for at in range(3)}, 0, 0
        for kind, how, size in steps:
            path = folder / "in" / f"{how}.csv"
            for _ in range({"write": 1, "away": 2}.get(kind, 0)):
                if kind == "away":
                    stream.do_all()  # so that a row of it is done, and it is found again wherever it is
                said[how].append(b"%d,%d," % (how, number) + b"x" * size)
                number += 1
                write(path, said[how][-1], size // 2, stream)
            if kind in {"rotate", "away"} and path.exists():
                turned += 1
                path.rename(folder / "in" / (f"{how}-{turned:03}.csv" if kind == "rotate" else f"{how}.{turned}.old"))
            elif kind == "copy" and path.exists():  # as rsync does
                (folder / "copy").write_bytes(path.read_bytes())
                (folder / "copy").rename(path)
                stream.look()  # a copy that is renamed before anybody looks is a new file
            elif kind == "begin":
                stream.die(with_epoch=bool(how))
            elif kind == "take" and (epoch := stream.take()) is not None:
                stream.commit(epoch)
        stream.do_all()
        stream.followed.files.close()
        for at, rows in said.items():
            assert [row for row in stream.rows if row.startswith(b"%d," % at)] == rows


def test_a_file_that_is_removed_or_renamed_elsewhere_is_read_to_its_end(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    stream = Stream(tmp_path)
    for name in ("gone.csv", "moved.csv"):
        path = tmp_path / "in" / name
        path.write_bytes(b"n\n1\n")
        epoch = stream.take()
        assert epoch is not None
        stream.commit(epoch)
        with path.open("ab") as file:
            file.write(b"2\n3")
        if name == "gone.csv":
            path.unlink()
        else:
            path.rename(tmp_path / name)
        epoch = stream.take()
        assert epoch is not None
        stream.commit(epoch)
    assert stream.rows == [b"1", b"2"] * 2
    assert stream.take() is None
    stream.look(now=100.0)
    assert stream.past.positions == {}
    assert [one.partition("/in/")[2] for one in stream.followed.dropped] == [
        f"{name} was renamed or removed, and is forgotten: 1 byte behind row 2 made no whole row"
        for name in ("gone.csv", "moved.csv")
    ]
    stream.followed.files.close()


def test_a_file_that_is_renamed_while_files_are_listed_goes_on_under_its_new_name(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    stream, path = Stream(tmp_path), tmp_path / "in" / "a.csv"
    path.write_bytes(b"n\n1\n")
    stream.do_all()
    listed = find_sources([str(path)])
    path.rename(tmp_path / "in" / "b.csv")
    stream.followed.look(listed, now=1.0)
    with (tmp_path / "in" / "b.csv").open("ab") as file:
        file.write(b"2\n")
    stream.do_all()
    stream.look(now=100.0)
    stream.do_all()
    stream.followed.files.close()
    assert stream.rows == [b"1", b"2"]
    assert [position.path for position in stream.past.positions.values()] == [str(tmp_path / "in" / "b.csv")]


def test_a_new_file_with_the_inode_of_a_removed_one_is_read_from_its_start(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    stream, path, new = Stream(tmp_path), tmp_path / "in" / "a.csv", tmp_path / "in" / "b.csv"
    path.write_bytes(b"n\n1\n")
    stream.do_all()
    stream.followed.files.close()  # as with one of more files than are held open
    path.rename(new)
    new.write_bytes(b"n\n7\n8\n9\n")  # which has the same inode for sure
    stream.followed.look([], now=1.0)
    stream.do_all()
    stream.followed.files.close()
    assert stream.rows == [b"1", b"7", b"8", b"9"]
    stream.restart()
    stream.do_all()
    stream.followed.files.close()
    assert stream.rows == [b"1", b"7", b"8", b"9"]


@pytest.mark.parametrize("most", [1, 3, 100])
@pytest.mark.parametrize("to", ["beside", "away", "removed"])
def test_files_are_read_to_their_end_that_are_rotated_where_there_are_more_than_are_held_open(
    tmp_path: Path, most: int, to: str
) -> None:
    (tmp_path / "in").mkdir()
    stream, paths = Stream(tmp_path), [tmp_path / "in" / f"{at}.csv" for at in range(6)]
    stream.followed.files.most = most
    for at, path in enumerate(paths):
        path.write_bytes(b"n\n%d\n" % at)
    stream.do_all()
    open_ = {place[1] for place in stream.followed.files.descriptors}
    assert len(open_) == min(most, 6)
    for at, path in enumerate(paths):
        with path.open("ab") as file:
            file.write(b"%d\n" % (at + 10))
        is_open = path.stat().st_ino in open_
        if to == "beside" or not is_open:
            path.rename(path.with_name(f"{at}.csv.1"))
        elif to == "away":
            path.rename(tmp_path / path.name)
        else:
            path.unlink()
    for path in paths:
        path.write_bytes(b"n\n%d\n" % (int(path.stem) + 20))
    stream.look()
    for path in paths:  # once more, while none of those before is read to its end
        if (path.with_name(f"{path.name}.1")).exists():
            path.with_name(f"{path.name}.1").rename(path.with_name(f"{path.name}.2"))
    stream.do_all()
    assert sorted(map(int, stream.rows)) == [*range(6), *range(10, 16), *range(20, 26)]
    stream.look(now=100.0)
    stream.look(now=200.0)
    assert not stream.followed.leaving
    assert not stream.followed.files.kept
    assert len(stream.followed.files.descriptors) <= most
    stream.followed.files.close()


def test_what_was_renamed_in_its_folder_while_nobody_followed_is_read_to_its_end(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    stream, path = Stream(tmp_path), tmp_path / "in" / "log.csv"
    path.write_bytes(b"n\n1\n")
    epoch = stream.take()
    assert epoch is not None
    stream.commit(epoch)
    stream.followed.files.close()
    with path.open("ab") as file:
        file.write(b"2\n")
    path.rename(tmp_path / "in" / "log.csv.1")
    path.write_bytes(b"n\n3\n")
    stream.restart()
    while (epoch := stream.take()) is not None:
        stream.commit(epoch)
    stream.followed.files.close()
    assert stream.rows == [b"1", b"2", b"3"]


@pytest.mark.parametrize("stops", [False, True])
@pytest.mark.parametrize(
    ("text", "why"),
    [
        (b"n\n1\n", "was cut short"),
        (b"n\n1\n7\n3\n4\n", "was written anew"),
        (b"n\n7\n8\n9\n", "was written anew"),
    ],
)
def test_a_file_that_lost_what_was_read_of_it_stops_the_stream(
    tmp_path: Path, text: bytes, why: str, *, stops: bool
) -> None:
    (tmp_path / "in").mkdir()
    stream, path = Stream(tmp_path), tmp_path / "in" / "a.csv"
    path.write_bytes(b"n\n1\n2\n3\n")
    epoch = stream.take()
    assert epoch is not None
    stream.commit(epoch)
    path.write_bytes(text)
    if stops:
        stream.followed.files.close()
        stream.restart()
    with pytest.raises(DataError, match=why):
        stream.take()
    stream.followed.files.close()


def test_a_file_that_is_written_anew_after_the_last_look_stops_the_stream(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    stream, path = Stream(tmp_path), tmp_path / "in" / "a.csv"
    path.write_bytes(b"n\n1\n")
    stream.do_all()
    path.write_bytes(b"n\n1\n2\n")
    stream.look()
    path.write_bytes(b"n\n7\n8\n9\n")
    with pytest.raises(DataError, match="was written anew"):
        stream.intake.take(2)
    stream.followed.files.close()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (b"n,t\n1,x\n2,half", "6 bytes behind row 1 are left: its last line has no end"),
        (b'n,t\n1,x\n2,"open\n3,y\n', "12 bytes behind row 1 are left: a quote is opened there that is not closed"),
        (b'n,"t\n1,x\n', "9 bytes behind row 0 are left: a quote is opened there that is not closed"),
        (b"n,t\r1,x\r", "8 bytes behind row 0 are left: its lines end with \\r alone"),
        (b"n", "1 byte behind row 0 is left: its last line has no end"),
        (b"n,t\n", ""),
        (b"n,t\n1,x\n", ""),
        (b"n,t\n\n", ""),
    ],
)
def test_what_is_no_whole_row_is_told_with_the_reason_once_it_has_waited_long(
    tmp_path: Path, text: bytes, said: str
) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.csv").write_bytes(text)
    stream = Stream(tmp_path)
    stream.do_all()
    stream.look(now=100.0)
    assert list(stream.intake.left(since=99.0)) == []
    for told in (list(stream.intake.left(since=100.0)), list(stream.intake.left())):
        assert len(told) == bool(said), told
        assert all(one.startswith(f"{tmp_path / 'in' / 'a.csv'}: {said}") for one in told), told
    assert list(stream.intake.left(since=100.0)) == []
    stream.followed.files.close()


def test_a_journal_that_is_written_anew_says_the_same(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    stream = Stream(tmp_path)
    (tmp_path / "in" / "a.csv").write_bytes(b"n\n1\n")
    os.link(tmp_path / "in" / "a.csv", tmp_path / "in" / "same.csv")  # which is no other file
    epoch = stream.take()
    assert epoch is not None
    stream.commit(epoch)
    with Journal(tmp_path / "journal.jsonl") as journal:
        for _ in range(2):
            said = Committed(9, list(stream.past.positions.values()), stream.past.totals, "part-00000000.csv")
            journal.begin_anew([EpochBegan(9, epoch.stretches), said], at=1.0)
        journal.write(EpochBegan(10, epoch.stretches))
    past = StreamPast()
    for entry in replay(tmp_path / "journal.jsonl"):
        past.add(entry.event)
    assert past.positions == stream.past.positions
    assert past.begun == EpochBegan(10, list(epoch.stretches))
    assert past.committed is not None
    assert past.committed.part == "part-00000000.csv"
    stream.followed.files.close()
