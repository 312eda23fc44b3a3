"""Frames: how a conversation over TCP is cut into messages.

There are two ways. ``length``, that of the seed system: four bytes that say how long the payload is, the highest first,
and the payload. ``lines``: the payload, and a newline. In both, the payload of one byte ``0x04`` ends a stream.
"""

import struct
from collections.abc import Sequence
from typing import Final, Literal, Protocol

from .hello import MARK

LARGEST: Final = 16 << 20
"""Bytes that a payload may have, unless somebody says otherwise."""

_HEADER: Final = 4
"""Bytes, as in the seed system: a big-endian length."""

_TLS: Final = b"\x16\x03"
"""How the handshake of TLS begins (RFC 8446, 5.1): its kind, and the version that all versions say."""

_LENGTH: Final = struct.Struct(">I")
_USUAL: Final = 4096
"""Lengths whose headers are made beforehand: rows of text are shorter, and it takes 4096 times 4 bytes."""

_USUAL_LENGTHS: Final = [_LENGTH.pack(length) for length in range(_USUAL)]
"""Headers of frames of usual length, each made once: sending takes two thirds of the time."""

Framing = Literal["length", "lines"]


class Decoder(Protocol):
    """Cuts what comes, in pieces of any size, into payloads.

    Once there is a ``fault``, nothing behind it is read, as nobody can tell where a frame begins.
    """

    fault: str
    """Why the bytes are no frames; empty while they are."""

    def feed(self, data: bytes) -> list[bytes]:
        """Take some bytes; return the payloads that are whole with them."""

    def rest(self) -> int:
        """Count the bytes of a frame that is not whole yet."""


class _Lengths:
    def __init__(self, largest: int) -> None:
        self.fault = ""
        self._largest = largest
        self._rest = bytearray()
        self._needs = _HEADER

    def rest(self) -> int:
        return len(self._rest)

    def feed(self, data: bytes) -> list[bytes]:
        if self.fault:
            return []
        if self._rest:
            self._rest += data
            if len(self._rest) < self._needs:  # nothing is copied again for each byte of a large frame
                return []
            data, self._rest = bytes(self._rest), bytearray()
        frames: list[bytes] = []
        add, number, largest = frames.append, _LENGTH.unpack_from, self._largest  # one turn a row: looked up once
        at, end, length = 0, len(data), 0
        while (body := at + _HEADER) <= end:
            (length,) = number(data, at)
            if length > largest:
                self.fault = _oversized(length, largest, data[at:body])
                return frames
            if (behind := body + length) > end:
                break
            add(data[body:behind])
            at = behind
        if at < end:
            self._rest = bytearray(data[at:])
            self._needs = _HEADER + length if body <= end else _HEADER
        return frames


class _LineFrames:
    def __init__(self, largest: int) -> None:
        self.fault = ""
        self._largest = largest
        self._rest = bytearray()

    def rest(self) -> int:
        return len(self._rest)

    def feed(self, data: bytes) -> list[bytes]:
        if self.fault:
            return []
        self._rest += data
        frames: list[bytes] = []
        if b"\n" in data:
            *frames, last = bytes(self._rest).split(b"\n")
            self._rest = bytearray(last)
        if max(map(len, frames), default=0) > self._largest:
            first = next(at for at, frame in enumerate(frames) if len(frame) > self._largest)
            self.fault = self._too_long()
            frames = frames[:first]
        elif len(self._rest) > self._largest:
            self.fault = self._too_long()
        return [frame.removesuffix(b"\r") for frame in frames]

    def _too_long(self) -> str:
        return f"a line has more than the {self._largest:,} bytes that a frame may have"


def decoder(framing: Framing, *, largest: int = LARGEST) -> Decoder:
    """Make what decodes one connection."""
    return _Lengths(largest) if framing == "length" else _LineFrames(largest)


def encoded(payloads: Sequence[bytes], framing: Framing) -> bytes:
    """Write frames. Raises ``ValueError`` for a payload that has a newline, where frames are lines."""
    if framing == "length":
        if max(map(len, payloads), default=0) < _USUAL:
            return b"".join([_USUAL_LENGTHS[len(payload)] + payload for payload in payloads])
        return b"".join([_LENGTH.pack(len(payload)) + payload for payload in payloads])
    text = b"".join([payload + b"\n" for payload in payloads])
    if text.count(b"\n") != len(payloads):
        raise ValueError(next(payload for payload in payloads if b"\n" in payload))
    return text


def half(decoder: Decoder) -> str:
    """Say that a connection ended within a frame; empty where it did not."""
    left = decoder.rest()
    return f"the connection ended in the middle of a frame, of which {left:,} bytes had come" if left else ""


def _oversized(length: int, largest: int, begins: bytes) -> str:
    said = f"a frame says that it has {length:,} bytes, and {largest:,} are the most that is taken"
    if MARK.startswith(begins):
        return f"{said}; it begins as a hello does: are the sender's frames lines? Both ends need the same framing"
    if begins.startswith(_TLS):
        return f"{said}; it begins as TLS does: does the sender speak TLS, and this end not?"
    if begins.isascii() and begins.decode().isprintable():
        return f"{said}; it begins as text does ({begins.decode()!r}): are its frames lines?"
    return said
