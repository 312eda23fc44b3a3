"""Messages between processes of muster's: whole, however they come in pieces, and nobody waits for the rest of one."""

import math
import os
import struct
from itertools import pairwise
from multiprocessing import Pipe

import pytest
from hypothesis import given
from hypothesis import strategies as st

from muster._engines.frames import Frames, GarbledError, framed
from muster.testing import FakeClock

pieces = st.lists(st.tuples(st.binary(max_size=40), st.booleans()), max_size=8)
cuts = st.lists(st.integers(0, 400), max_size=12)


def written(message: bytes, *, is_long: bool) -> bytes:
    """Write a message, if it is to be with the length that only large ones have."""
    return struct.pack("!iQ", -1, len(message)) + message if is_long else framed(message)


@given(pieces, cuts, st.integers(0, 20))
def test_messages_are_read_whole_however_they_are_cut_and_the_last_one_is_not_where_its_end_is_missing(
    sent: list[tuple[bytes, bool]], at: list[int], missing: int
) -> None:
    data, whole = b"", list[bytes]()
    for message, is_long in sent:
        data += written(message, is_long=is_long)
        whole.append(data)
    data = data[: max(0, len(data) - missing)]
    reading, writing = os.pipe()
    frames, read = Frames(reading, stall_seconds=math.inf), list[bytes]()
    for begin, end in pairwise([0, *sorted(min(one, len(data)) for one in at), len(data)]):
        os.write(writing, data[begin:end])
        while (frame := frames.next()) is not None:
            read.append(bytes(frame))
    os.close(writing)
    with pytest.raises(EOFError):
        frames.next()
    os.close(reading)
    assert read == [message for (message, _), up_to in zip(sent, whole, strict=True) if len(up_to) <= len(data)]


def test_what_is_written_is_what_a_connection_reads() -> None:
    ours, theirs = Pipe(duplex=False)
    with ours, theirs:
        for message in (b"", b"a", bytes(20_000)):
            os.write(theirs.fileno(), framed(message))
            assert ours.recv_bytes() == message


@pytest.mark.parametrize("come", [1, 4, 6])
def test_the_rest_of_a_message_is_awaited_so_long_and_the_next_message_for_ever(come: int) -> None:
    clock = FakeClock()
    reading, writing = os.pipe()
    frames = Frames(reading, stall_seconds=30, clock=lambda: clock.seconds)
    os.write(writing, framed(b"whole"))
    assert bytes(frames.next() or b"") == b"whole"
    clock.reach(3_600)
    assert frames.next() is None
    os.write(writing, framed(b"late")[:come])
    assert frames.next() is None
    clock.reach(3_630)
    assert frames.next() is None
    clock.reach(3_631)
    with pytest.raises(GarbledError, match="and then nothing for 30 s"):
        frames.next()
    os.close(reading)
    os.close(writing)
