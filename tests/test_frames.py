"""Frames of a stream: any cut of the same bytes gives the same frames, and what is no frame is said."""

import time
from itertools import pairwise

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from muster._streams.frames import Framing, decoder, encoded, half

FRAMINGS: tuple[Framing, ...] = ("length", "lines")
LARGEST = 40
payloads = st.lists(st.binary(max_size=LARGEST), max_size=20)
cuts = st.lists(st.integers(0, 400), max_size=12)


def read(data: bytes, framing: Framing, at: list[int]) -> tuple[list[bytes], str, str]:
    """Decode bytes that come in pieces; give the frames, the fault, and what is said of the end."""
    one = decoder(framing, largest=LARGEST)
    frames: list[bytes] = []
    for begin, end in pairwise([0, *sorted(min(cut, len(data)) for cut in at), len(data)]):
        frames += one.feed(data[begin:end])
    return frames, one.fault, "" if one.fault else half(one)


def one_by_one(data: bytes) -> tuple[list[bytes], bool, int]:
    """Walk over frames of length and payload in the plainest way; tell whether one is too large, and what is left."""
    frames: list[bytes] = []
    while len(data) >= 4:
        length = int.from_bytes(data[:4], "big")
        if length > LARGEST:
            return frames, True, 0
        if len(data) < 4 + length:
            break
        frames.append(data[4 : 4 + length])
        data = data[4 + length :]
    return frames, False, len(data)


@given(payloads, cuts)
def test_what_was_written_is_read_however_it_is_cut(written: list[bytes], at: list[int]) -> None:
    assert read(encoded(written, "length"), "length", at) == (written, "", "")
    lines = [payload.replace(b"\n", b"").removesuffix(b"\r") for payload in written]
    assert read(encoded(lines, "lines"), "lines", at) == (lines, "", "")


@given(st.lists(st.sampled_from([b"\0", b"\x03", b"\0\0\0", b"\0\0\0\x02", b"a", b"\r", b"\n", b"\x04"])), cuts)
@example([b"\0\0\0", b"a", b"\xff" * 97], [])
@example([b"a" * 41, b"\n"], [3])
@example([b"a" * 40, b"\r\n"], [40, 41])
def test_any_bytes_give_the_same_frames_and_the_same_fault_however_they_are_cut(
    some: list[bytes], at: list[int]
) -> None:
    data = b"".join(some)
    for framing in FRAMINGS:
        assert read(data, framing, at) == read(data, framing, []) == read(data, framing, list(range(len(data))))
    frames, fault, said = read(data, "length", at)
    walked, is_too_large, left = one_by_one(data)
    assert (frames, bool(fault), bool(said)) == (walked, is_too_large, left > 0)


def test_a_frame_that_is_too_large_is_refused_at_once_with_both_sizes_and_what_it_looks_like() -> None:
    for framing, data, said in (
        ("length", b"GET / HTTP/1.1\r\n", "1,195,725,856 bytes, and 40 are the most that is taken; it begins as text"),
        ("length", b'\x01muster1 {"stream": "s"}\n', "it begins as a hello does: are the sender's frames lines?"),
        ("length", b"\x16\x03\x01\x02\0\x01", "it begins as TLS does"),
        ("length", b"\0\0\0\x29", "41 bytes, and 40 are the most"),
        ("lines", b"a" * 41, "a line has more than the 40 bytes"),
    ):
        one = decoder(framing, largest=LARGEST)  # type: ignore[arg-type]  # of a loop
        assert one.feed(data) == []
        assert said in one.fault
        assert one.feed(b"\0\0\0\x01a\n") == []


def test_a_frame_that_is_cut_off_is_told_from_none() -> None:
    for framing, data in (("length", b"\0\0"), ("length", b"\0\0\0\x02a"), ("lines", b"a")):
        one = decoder(framing)  # type: ignore[arg-type]  # likewise
        assert one.feed(data) == []
        assert half(one) == f"the connection ended in the middle of a frame, of which {len(data)} bytes had come"


def test_a_payload_with_a_newline_is_no_line() -> None:
    with pytest.raises(ValueError, match="a\\\\nb"):
        encoded([b"x", b"a\nb"], "lines")


def test_a_large_frame_that_comes_in_small_pieces_is_not_copied_for_each_of_them() -> None:
    data = encoded([b"x" * (8 << 20)], "length")
    began = time.process_time()
    one = decoder("length")
    frames = [frame for at in range(0, len(data), 1024) for frame in one.feed(data[at : at + 1024])]
    assert [len(frame) for frame in frames] == [8 << 20]
    assert time.process_time() - began < 2  # copied for each piece it is 32 GB
