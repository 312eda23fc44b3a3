"""What a machine has of the files that go along: received in chunks, kept by content, laid out in a mirror of home.

The store lies in the machine's own folder for temporary files, and ends with it. What a broken line has left of a file
is gone on with.
"""

import errno
import hashlib
import os
import shutil
import tarfile
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from muster._private.files import own_folder

from .freight import CHUNK, Cargo, missing

_NAME: Final = "muster-sent"
_SPARE: Final = 16 << 20
"""Bytes of the disk that are left for what workers write."""


class Store:
    """The files of one run on this machine. Calls may come side by side, but not two about the same chunk."""

    def __init__(self, mirror: str, *, below: Path) -> None:
        """Lay files out below ``mirror``, which ends with the run; keep them ``below`` a folder of the machine's."""
        self._mirror = mirror
        self._folder = below / _NAME
        self._cargos: tuple[Cargo, ...] = ()

    def expect(self, cargos: Sequence[Cargo]) -> tuple[tuple[int, ...], ...]:
        """Tell which chunks of each are not here yet. Raises ``OSError`` where there is no room for the rest."""
        if any(cargo.is_kept for cargo in cargos):
            own_folder(self._folder)
        self._cargos = tuple(cargos)
        absent = tuple(tuple(self._missing(cargo)) for cargo in self._cargos)
        lacking = sum(map(len, absent)) * CHUNK
        if lacking + _SPARE > shutil.disk_usage(self._mirror).free:
            self._forget_others()
            free = shutil.disk_usage(self._mirror).free
            if lacking + _SPARE > free:
                raise OSError(errno.ENOSPC, f"{lacking / 1e6:,.0f} MB are to come, and {free / 1e6:,.0f} MB are free")
        return absent

    def take(self, cargo: int, chunk: int, data: bytes) -> None:
        """Write a chunk. Raises ``ValueError`` where it is not what was announced, ``OSError`` for a full disk."""
        one = self._cargos[cargo]
        if hashlib.sha256(data).digest() != one.chunks[chunk]:
            raise ValueError(f"{one.name} was changed while it was sent")
        descriptor = os.open(self._unfinished(one), os.O_WRONLY | os.O_CREAT, 0o600)
        try:
            at = chunk * CHUNK
            while data:
                written = os.pwrite(descriptor, data, at)
                data, at = data[written:], at + written
        finally:
            os.close(descriptor)

    def lay_out(self) -> None:
        """Put everything at its place in the mirror."""
        for cargo in self._cargos:
            kept = self._complete(cargo)
            if cargo.is_archive:
                with tarfile.open(kept, "r:") as archive:
                    archive.extraction_filter = _as_it_is  # not every 3.11 takes one as an argument
                    archive.extractall(self._mirror)  # noqa: S202 (made by the muster that runs the job)
            else:
                self._link(kept, cargo)
            if not cargo.is_kept:
                kept.unlink()
                self._stamp(cargo).unlink()

    def _link(self, kept: Path, cargo: Cargo) -> None:
        for place in (Path(self._mirror + place) for place in cargo.places):
            place.parent.mkdir(parents=True, exist_ok=True)
            place.unlink(missing_ok=True)
            try:
                place.hardlink_to(kept)
            except OSError:  # not every file system has links
                shutil.copy2(kept, place)

    def _complete(self, cargo: Cargo) -> Path:
        kept = self._kept(cargo)
        if not kept.exists():
            unfinished = self._unfinished(cargo)
            unfinished.touch(mode=0o600)  # an empty file has no chunks
            unfinished.replace(kept)
        kept.chmod(cargo.mode)
        os.utime(kept, ns=(cargo.modified, cargo.modified))
        self._stamp(cargo).write_text(str(kept.stat().st_mtime_ns))
        return kept

    def _missing(self, cargo: Cargo) -> Sequence[int]:
        """List the chunks that are not here; a file that somebody has written to since is not what it was."""
        kept = self._kept(cargo)
        if kept.exists():
            stamp, status = self._stamp(cargo), kept.stat()
            written = stamp.read_text() if stamp.exists() else ""
            if (status.st_size, str(status.st_mtime_ns)) == (cargo.size, written):
                return ()
            kept.unlink()
        return missing(self._unfinished(cargo), cargo.chunks)

    def _forget_others(self) -> None:
        """Remove what earlier runs had sent."""
        names = (self._kept, self._stamp, self._unfinished)
        ours = {name(cargo) for cargo in self._cargos for name in names}
        for path in self._folder.glob("*"):
            if path not in ours:
                path.unlink(missing_ok=True)

    def _kept(self, cargo: Cargo) -> Path:
        return self._place(cargo) / cargo.digest

    def _stamp(self, cargo: Cargo) -> Path:
        """Name the file that says when a kept one was written last, as far as muster knows."""
        return self._place(cargo) / f"{cargo.digest}.written"

    def _unfinished(self, cargo: Cargo) -> Path:
        return self._place(cargo) / f"{cargo.digest}.part"

    def _place(self, cargo: Cargo) -> Path:
        """Put code where it goes with its run, whatever ends that."""
        return self._folder if cargo.is_kept else Path(self._mirror)


def _as_it_is(member: tarfile.TarInfo, _: str, /) -> tarfile.TarInfo:
    return member
