"""Rows that came over TCP to a stream, as it reads them from the disk: none is passed over in silence."""

import contextlib
import shutil
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from ends import HOST, framed
from muster._dialects import Dialect
from muster._journal.events import EpochBegan
from muster._model import Position
from muster._streams.arrivals import Behind
from muster._streams.endpoints import Endpoint
from muster._streams.epochs import Epoch
from muster._streams.frames import LARGEST
from muster._streams.listening import Listening
from muster._streams.spooled import Spooled
from muster._streams.spooled_source import SpooledSource
from muster._streams.stretches import Text
from muster._streams.tcp_inflow import TcpInflow
from muster.errors import EngineError
from waiting import until


def spooled(folder: Path, on_safe: Callable[[], None] = lambda: None) -> Spooled:
    return Spooled(folder / "inbox", most=1 << 30, output="out/", on_safe=on_safe)


def keep(folder: Path, *pieces: bytes) -> None:
    """Keep rows as a receiver does, each file's in one go."""
    inbox = spooled(folder)
    for text in pieces:
        if inbox.state.size:
            inbox.close_piece()
        inbox.commit(text, rows=text.count(b"\n"), marks={}, header="n,text")
    inbox.close()


@contextlib.contextmanager
def source(folder: Path, *done: Position, largest: int = LARGEST) -> Iterator[SpooledSource]:
    """Have a stream go on behind what is done."""
    own = SpooledSource(
        TcpInflow(Listening(Endpoint(HOST, 0), largest=largest)),
        Text("csv", Dialect()),
        lambda on_safe: spooled(folder, on_safe=on_safe),
    )
    with contextlib.closing(own):
        own.hold(done, ())
        own.open()
        own.go_on(done)
        yield own


def taken(own: SpooledSource) -> list[Epoch]:
    epochs = list[Epoch]()
    while (epoch := own.take(len(epochs) + 1)) is not None:
        own.forget(epoch)
        epochs.append(epoch)
    return epochs


def test_the_file_that_was_read_last_stays_until_a_later_one_is_in_an_epoch(tmp_path: Path) -> None:
    keep(tmp_path, b"1,x\n", b"2,y\n", b"\n\n", b"\n")
    with source(tmp_path) as own:
        epochs = taken(own)
        assert sum(epoch.rows for epoch in epochs) == 2
        assert own.behind()[0] == len(b"n,text\n\n")  # of the file that grows
    done = epochs[-1].stretches[-1].position
    assert sorted(int(path.stem) for path in (tmp_path / "inbox").glob("*.rows")) == [2, 3, 4]
    keep(tmp_path, b"3,z\n")
    with source(tmp_path, done) as own:
        assert [epoch.rows for epoch in taken(own)] == [1]


@pytest.mark.parametrize(("done", "gone"), [((1, 500), "all"), ((5, 10), "all"), ((1, 0), "1"), ((1, 11), "2")])
def test_rows_that_were_acknowledged_and_are_gone_stop_the_stream(
    tmp_path: Path, done: tuple[int, int], gone: str
) -> None:
    keep(tmp_path, b"1,x\n", b"2,y\n", b"3,z\n")
    if gone == "all":
        shutil.rmtree(tmp_path / "inbox")
        keep(tmp_path, b"1,a\n", b"2,b\n")
    else:
        (tmp_path / "inbox" / f"00000{gone}.rows").unlink()
    before = sorted((tmp_path / "inbox").iterdir())
    positions = [Position("", 0, done[0], bytes=done[1])] if done[1] else []
    with pytest.raises(EngineError, match="were acknowledged"), source(tmp_path, *positions):
        pass
    assert sorted((tmp_path / "inbox").iterdir()) == before


def test_rows_of_an_epoch_that_somebody_has_changed_stop_the_stream(tmp_path: Path) -> None:
    keep(tmp_path, b"1,x\n2,y\n")
    with source(tmp_path) as own:
        epoch = own.take(1)
    assert epoch is not None
    path = tmp_path / "inbox" / "000001.rows"
    path.write_bytes(path.read_bytes().replace(b"x", b"z"))
    with source(tmp_path) as own, pytest.raises(EngineError, match="other bytes than those that were read"):
        own.again(EpochBegan(1, epoch.stretches))


def test_the_longest_row_is_read_wherever_an_epoch_ends(tmp_path: Path) -> None:
    row = b"1," + b"x" * ((16 << 20) - 2) + b"\n"
    keep(tmp_path, row * 4 + b"2,y\n")
    with source(tmp_path) as own:
        assert sum(epoch.rows for epoch in taken(own)) == 5


def test_blank_lines_under_a_header_hide_no_row_however_many_they_are(tmp_path: Path) -> None:
    keep(tmp_path, b"\n" * 1000 + b"1,x\n", b"2,y\n")
    with source(tmp_path, largest=8) as own:
        first, second = own._next(1), own._next(1)  # noqa: SLF001 (an epoch has room for many more blank lines)
    assert first is not None
    assert second is not None
    assert (first[1].rows, second[1].rows) == (1, 1)


def test_what_is_no_row_at_the_end_of_a_full_file_stops_the_stream(tmp_path: Path) -> None:
    keep(tmp_path, b'1,x\n2,"y\n', b"3,z\n")
    with source(tmp_path) as own, pytest.raises(EngineError, match="a quote is opened there that is not closed"):
        taken(own)


class Slow(Spooled):
    """A disk that takes its time."""

    def __init__(self, folder: Path, on_safe: Callable[[], None]) -> None:
        super().__init__(folder / "inbox", most=1 << 30, output="out/", on_safe=on_safe)
        self.is_asked, self.may_write = threading.Event(), threading.Event()

    def commit(self, text: bytes, **more: Any) -> None:  # noqa: ANN401 (whatever is said of rows)
        self.is_asked.set()
        assert self.may_write.wait(60)
        super().commit(text, **more)


def test_a_stream_has_not_ended_while_rows_are_on_their_way_to_the_disk(tmp_path: Path) -> None:
    """They are acknowledged once they are there, so they are among those that are done before it ends."""
    disks = list[Slow]()

    def slow(on_safe: Callable[[], None]) -> Spooled:
        disks.append(Slow(tmp_path, on_safe))
        return disks[-1]

    own = SpooledSource(TcpInflow(Listening(Endpoint(HOST, 0))), Text("csv", Dialect()), slow)
    with contextlib.closing(own):
        own.hold((), ())
        port = int(own.open().rpartition(":")[2])
        own.go_on(())
        with socket.create_connection((HOST, port), timeout=60) as sender:
            sender.sendall(framed(b"n,text") + framed(b"1,x"))
            assert disks[0].is_asked.wait(60)
            own.end()
            assert not own.has_ended()
            assert own.take(1) is None
            disks[0].may_write.set()
            until(own.has_ended)
        epoch = own.take(1)
        assert epoch is not None
        assert own.behind()[:2] == (len(b"n,text\n1,x\n"), 1)
        assert [rows for rows, _ in own.forget(epoch)] == [1]
        assert own.behind() == Behind(0, 0, 0.0)
