"""The output of a stream: numbered parts, each of which appears whole in a folder once its epoch is committed.

Others may get each part besides, or instead: who sends rows on.

What an epoch adds lies ready in the work folder before the journal says that it is committed, and is put in its place
after that. Who dies between these does it when the stream goes on: each step has been done, or is done once.
"""

import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple, Protocol

from muster._files.whole import naming, sync
from muster._journal.events import Committed
from muster._private.files import private
from muster.errors import EngineError, UsageError

from .folder import WorkFolder
from .manifest import PART
from .publication import names_in

MANIFEST_LINES: Final = "_manifest.jsonl"
_REJECTS: Final = "rejects"


class Sizes(NamedTuple):
    """How many bytes the files have that grow with each epoch."""

    rejects: int
    manifest: int


class PartTaker(Protocol):
    """Who gets each part besides the folder, under a name of its own: so it does not matter who else has theirs."""

    def share(self, sealed: Path) -> None:
        """Give a part a second name, before its epoch is committed; whoever names it makes that durable."""

    def publish(self, committed: Committed, *, is_new: bool) -> None:
        """Take the part of an epoch that is committed, unless that has been done."""


class NumberedParts:
    """The parts of a stream, its manifest, and its rejects."""

    def __init__(self, work: WorkFolder, *, has_folder: bool = True, takers: Sequence[PartTaker] = ()) -> None:
        """Know whether they go to the folder of the output, and who else gets them; nothing is made yet."""
        self._work = work
        self._has_folder = has_folder
        self._takers = takers
        self._folder = Path(work.address)
        self._manifest = self._folder / MANIFEST_LINES

    def check_free(self, *, but_for_own: bool = False) -> None:
        """Raise ``UsageError`` where a stream begins, and its folder has what could be taken for a part of it.

        What an earlier stream's manifest names may be there if that is about to be removed.
        """
        names = set(names_in(self._folder))
        if but_for_own:
            names -= {MANIFEST_LINES, *_named_in(self._manifest)}
        elif MANIFEST_LINES in names:
            raise UsageError(
                f"{self._work.output!r} holds parts of a stream whose work folder, {str(self._work.folder)!r}, is not"
                " there any more: it said which rows are done. Restore that; or choose another output; or type the"
                " command again with --fresh, which removes these parts and starts over."
            )
        if names:
            raise UsageError(
                f"{self._work.output!r} holds files that are not of this stream, such as {min(names)!r}. Choose"
                " another, or empty it."
            )

    def remove(self) -> None:
        """Remove the rejects of an earlier stream, and its parts, by its manifest.

        That goes last: while it is there, no stream begins beside what is left.
        """
        Path(self._work.rejects).unlink(missing_ok=True)
        for name in _named_in(self._manifest):
            (self._folder / name).unlink(missing_ok=True)
        if self._manifest.exists():
            sync(self._folder)
            self._manifest.unlink()

    def sizes(self) -> Sizes:
        """Tell how large the files are that the next epoch goes on with."""
        return Sizes(_size(Path(self._work.rejects)), _size(self._manifest))

    def sealed(self, name: str) -> Path:
        """Say where a part lies until its epoch is committed. Raises ``UsageError`` where the name is taken."""
        if (self._folder / name).exists():
            raise UsageError(
                f"{str(self._folder / name)!r} is there, and is not of this stream, which is about to write a part of"
                " that name. Move it away, and type the same command again."
            )
        return self._work.sealed / name

    def share(self, name: str) -> None:
        """Have all others who get parts know of one that is sealed."""
        for taker in self._takers:
            taker.share(self._work.sealed / name)

    def gather(self, number: int, pieces: Iterable[Path]) -> int:
        """Put the bad rows of an epoch together; return how many bytes they take."""
        path = self._rejected(number)
        with naming(path), open(path, "wb", opener=private) as gathered:
            gathered.writelines(piece.read_bytes() for piece in pieces)
        sync(path)
        sync(path.parent)
        return _size(path)

    def publish(self, committed: Committed, *, is_new: bool) -> None:
        """Put what an epoch adds in its places, unless that has been done.

        Raises ``EngineError`` where it is nowhere, and ``is_new``: nobody has heard of it yet who may take it away.
        """
        if self._has_folder:
            self._publish_part(committed, is_new=is_new)
        self._publish_rejects(committed)
        if self._has_folder:
            if committed.part:
                _append(self._manifest, _line(committed), at=committed.manifest_at)
            sync(self._folder)
        if committed.part:
            for taker in self._takers:
                taker.publish(committed, is_new=is_new)
            (self._work.sealed / committed.part).unlink(missing_ok=True)

    def _publish_part(self, committed: Committed, *, is_new: bool) -> None:
        self._folder.mkdir(exist_ok=True)
        if committed.part:
            sealed, path = self._work.sealed / committed.part, self._folder / committed.part
            if sealed.exists():
                sealed.replace(path)
            elif is_new and not path.exists() and _size(self._manifest) <= committed.manifest_at:
                raise lost(sealed)

    def _publish_rejects(self, committed: Committed) -> None:
        rejected = self._rejected(committed.number)
        if rejected.exists():
            _append(Path(self._work.rejects), rejected.read_bytes(), at=committed.rejects_at)
            rejected.unlink()

    def _rejected(self, number: int) -> Path:
        return self._work.sealed / f"{_REJECTS}-{number}"


def part_name(number: int, format_: str) -> str:
    """Name a part; names sort as the parts follow each other up to a hundred million of them."""
    return f"part-{number:08d}.{format_}"


def lost(sealed: Path) -> EngineError:
    """Say that a part is gone that was about to appear."""
    return EngineError(
        f"{str(sealed)!r} is not there any more: somebody has removed it, and its rows, which are done, are nowhere"
        " else. Restore it; or type the command again with --fresh, to start over."
    )


def _line(committed: Committed) -> bytes:
    """Write what the manifest says of a part: how far the files had been read whose rows are in it."""
    said: Mapping[str, Any] = {
        "name": committed.part,
        "epoch": committed.number,
        "rows": committed.rows_out,
        "bytes": committed.bytes,
        "sha256": committed.sha256,
        "sources": [{"path": one.path, "bytes": one.bytes, "rows": one.rows} for one in committed.positions],
    }
    return json.dumps(said, ensure_ascii=False).encode(errors="backslashreplace") + b"\n"


def _append(path: Path, data: bytes, *, at: int) -> None:
    """Append at an offset; what stands behind it is what a process has begun to append that died.

    Somebody may have taken the file away since, or a part of it: then the end of the file is where to go on.
    """
    descriptor = private(path, os.O_WRONLY | os.O_CREAT) if path.name != MANIFEST_LINES else _public(path)
    try:
        end = os.fstat(descriptor).st_size
        if at < end <= at + len(data):
            os.ftruncate(descriptor, at)
        os.lseek(descriptor, 0, os.SEEK_END)
        with os.fdopen(os.dup(descriptor), "wb") as file:
            file.write(data)
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _public(path: Path) -> int:
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o666)


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def _named_in(manifest: Path) -> Iterator[str]:
    if not manifest.exists():
        return
    with manifest.open("rb") as lines:
        for line in lines:
            try:
                name = json.loads(line)["name"]
            except (ValueError, KeyError, TypeError):
                continue
            if isinstance(name, str) and PART.fullmatch(name):
                yield name
