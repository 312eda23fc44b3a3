"""Files that go along to machines which do not see this computer's: known by their content, cut into chunks.

A file is named by the digests of its chunks, so that a machine that has it already, or has a part of it from a line
that broke, is sent only what it lacks.
"""

import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final, NamedTuple

CHUNK: Final = 4 << 20
"""Bytes of a chunk: large enough that answers cost nothing, small enough that some may be in memory at a time."""


class Cargo(NamedTuple):
    """One file that goes along, and where it lies at home, which is where it is found below a machine's mirror."""

    name: str
    """What its user calls it."""
    places: tuple[str, ...]
    """Several where files have the same content."""
    size: int
    modified: int
    mode: int
    chunks: tuple[bytes, ...]
    """The SHA-256 of each chunk."""
    is_archive: bool = False
    """It holds many small files, which are unpacked, each at its place."""
    is_kept: bool = True
    """The machine keeps it for later runs; code leaves with its run."""

    @property
    def digest(self) -> str:
        """Name the content."""
        return hashlib.sha256(b"".join(self.chunks)).hexdigest()


class Freight(NamedTuple):
    """What goes along, and the file of this computer that each is read from."""

    cargos: tuple[Cargo, ...] = ()
    sources: tuple[Path, ...] = ()

    def read(self, cargo: int, chunk: int) -> bytes:
        """Read a chunk; no more than that is in memory."""
        with self.sources[cargo].open("rb") as file:
            file.seek(chunk * CHUNK)
            return file.read(CHUNK)


def digests(path: Path) -> tuple[bytes, ...]:
    """Digest a file chunk by chunk."""
    return tuple(hashlib.sha256(chunk).digest() for chunk in _chunks(path))


def missing(path: Path, chunks: Sequence[bytes]) -> list[int]:
    """List the chunks of a file that are not what they should be, or not there."""
    found = _chunks(path) if path.exists() else iter(())
    there = {at for at, chunk in enumerate(found) if at < len(chunks) and hashlib.sha256(chunk).digest() == chunks[at]}
    return [at for at in range(len(chunks)) if at not in there]


def _chunks(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while chunk := file.read(CHUNK):
            yield chunk
