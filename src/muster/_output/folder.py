"""The output of a run: the work folder beside it, and the rename that makes it visible."""

import contextlib
import hashlib
import json
import os
import re
import shutil
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from muster._files.home import make
from muster._files.whole import naming, sync
from muster._model import Outcome, Piece, PieceLocation
from muster._private.files import private, work_folder
from muster._urls.identity import local, written
from muster._urls.urls import is_remote, versions
from muster.errors import EngineError, UsageError

from .growing import PARTS, PieceLocations
from .lock import WorkLock
from .manifest import MANIFEST, check_is_ours, check_not_of_another, named_in
from .modes import hand_over
from .named_file import check_no_planted_link
from .publication import manifest_of, names_in, publish_file, publish_folder, remove, settle
from .rejects import BEGINNING_BYTES, check_rejects

if TYPE_CHECKING:
    from .shelf import Shelf

_SPOOL: Final = "spool"
_BEGINNING_BYTES: Final = 1 << 20
"""A header and a row are within them, but where a row has a megabyte."""

_OURS: Final = re.compile(
    r"(journal\.jsonl|fault\.txt|complete|stop|rejects\.jsonl|before|grown-[0-9a-f]+)(\.\w+)?"
    r"|parts|sealed|replaced|inbox|outbox|(spool|usual)(-[0-9a-f]+)?|states-\d+"
)
"""Names of what a run has in its folder, beside the lock; all else is the user's own."""


class WorkFolder:
    """The folder ``OUTPUT.muster`` and who may work in it.

    It lies beside the output, on the same file system, so that a rename is all that is left at the end; for a remote
    output it lies in ``MUSTER_HOME``.
    """

    def __init__(self, output: str, *, home: Path, is_of_stream: bool = False) -> None:
        """Name the places; nothing is made yet. What is in the folder of a stream, the stream itself knows."""
        self._is_of_stream = is_of_stream
        self.output = output = local(output)
        self.is_remote = is_remote(output)
        self.is_folder = output.endswith("/")
        plain = output.rstrip("/")
        # Through a symbolic link to the file that it names, as every other program would write.
        self._path = Path(os.path.realpath(plain))
        self.home = home
        digest = hashlib.sha256(os.fsencode(written(output))).hexdigest()[:16] if self.is_remote else ""
        self.folder = home / "work" / digest if digest else Path(f"{self._path}.muster")
        self.rejects = plain + ".rejects.jsonl"
        self.spool = self.folder / _SPOOL
        self.shelf = _shelf_of(output, rejects=self.rejects, home=home) if self.is_remote else None
        self.staging = ""
        """The URL of a folder where workers put rows themselves; empty where rows come to ``parts``."""
        self._has_published = False
        self._lock = WorkLock(self.folder, output=output, home=home, make=self._make)

    @property
    def journal(self) -> Path:
        """The journal of the run. While it is there, the run is unfinished."""
        return self.folder / "journal.jsonl"

    @property
    def fault(self) -> Path:
        """Where a fault of muster's own keeps its traceback."""
        return self.folder / "fault.txt"

    @property
    def parts(self) -> Path:
        """The folder of the pieces that tasks have written."""
        return self.folder / PARTS

    @property
    def sealed(self) -> Path:
        """The output of a run to a folder, until it gets its name."""
        return self.folder / "sealed"

    @property
    def inbox(self) -> Path:
        """Where a stream keeps what came over TCP, and was acknowledged, until it is done."""
        return self.folder / "inbox"

    @property
    def outbox(self) -> Path:
        """Where a stream keeps what it sends on until that is acknowledged: a folder for each other end."""
        return self.folder / "outbox"

    @property
    def _replaced(self) -> Path:
        """The output that a folder has replaced, until it is removed."""
        return self.folder / "replaced"

    def take(self, *, again: bool = False) -> None:
        """Make and lock the folder. Raises ``UsageError`` where it cannot, ``OutputBusyError`` where it is held.

        Whoever waits tries ``again``: a store is then only asked whether its lock is free.
        """
        self._check()
        self._lock.take()
        try:
            if self.shelf is not None:
                if again:
                    self.shelf.lock.check_free()
                self.shelf.take()
            elif self.is_folder:
                settle(self._replaced, self._path)
        except BaseException:
            self._lock.forget_folder()
            self._lock.release()
            raise
        for folder in (self.parts, self.spool, self.sealed):
            work_folder(folder)

    @property
    def kept_places(self) -> tuple[str, ...]:
        """Name where the run keeps bad rows and its work."""
        plain = self.output.rstrip("/")
        return (self.rejects, str(self.folder), *((f"{plain}.muster",) if self.shelf is not None else ()))

    def begin(self, run: str) -> None:
        """Know which run it is that works here."""
        if self.shelf is not None:
            self.shelf.begin(run)

    def _make(self) -> None:
        if self.is_remote:
            make(self.home, "work", self.folder.name)
        else:
            work_folder(self.folder)

    def _check(self) -> None:
        if self.is_remote:
            return
        check_no_planted_link(self.output)
        output = self._path
        if not output.absolute().parent.is_dir():
            raise UsageError(f"No folder {str(output.absolute().parent)!r} to write {self.output!r} in. Make it first.")
        if output.exists() and not (output.is_file() or output.is_dir()):
            raise UsageError(f"{self.output!r} is neither a file nor a folder, and a run replaces it. Choose another.")
        if not self.is_folder:
            check_not_of_another(str(output), manifest=manifest_of(output.parent))
        if self.is_folder and output.is_file():
            raise UsageError(f"{self.output!r} is to be a folder, but is a file. Leave out the / or remove the file.")
        if not self.is_folder and output.is_dir():
            raise UsageError(f"{self.output!r} is a folder. For numbered part files type {self.output}/ instead.")
        if Path(self.rejects).exists() and not Path(self.rejects).is_file():
            raise UsageError(
                f"{self.rejects!r} is no file, and bad rows go to a file of that name. Choose another output, or"
                " rename what is there."
            )
        self._check_rejects()
        if self.is_folder and output.exists() and not self._is_of_stream:
            check_is_ours(self.output, names_in(output), manifest=manifest_of(output))

    def use_staging(self) -> None:
        """Have workers write their rows to the store themselves, where the output is a folder there."""
        if self.shelf is not None and self.is_folder:
            self.shelf.mark()
            self.staging = self.shelf.staging

    def release(self) -> None:
        """Let others work on the output."""
        if self.shelf is not None:
            self.shelf.lock.release()
        self._lock.release()

    def leave(self) -> None:
        """Let others work on the output, and leave no folder behind but that of an unfinished run."""
        if not self.journal.exists():
            self.remove()
        self.release()

    def clear(self) -> None:
        """Forget an unfinished run, but hold the lock. The journal goes first, as it says that the rest is there."""
        if self.journal.exists():
            self.journal.unlink()
            sync(self.folder)
        self.clear_parts()
        for states in self.folder.glob("states-*"):
            states.unlink()
        for folder in (self.folder / _SPOOL, self.sealed):
            shutil.rmtree(folder)
            work_folder(folder)

    def spool_apart(self) -> Path:
        """Spool to another folder from now on, so that what an unfinished run has spooled is kept."""
        self.spool = self.folder / f"{_SPOOL}-{os.urandom(4).hex()}"
        work_folder(self.spool)
        return self.spool

    def forget_spool_apart(self) -> None:
        """Remove what was spooled, as the run is not going to begin."""
        shutil.rmtree(self.spool)

    def clear_parts(self) -> None:
        """Forget what tasks have written."""
        for grown in self.folder.glob("grown-*"):
            grown.unlink()
        for piece in self.parts.iterdir():  # the folder stays: a worker that nobody waits for may be writing there
            piece.unlink(missing_ok=True)
        if self.shelf is not None:
            self.shelf.clear()
            if self.staging:
                self.shelf.mark()

    def remove(self) -> None:
        """Remove the folder of a finished run, its lock last: then nobody has taken it in the meantime."""
        with contextlib.suppress(OSError, EngineError):
            if self.shelf is not None:
                self.shelf.clear(everyones=self._has_published)
            for path in [path for path in self.folder.iterdir() if _OURS.fullmatch(path.name)]:
                remove(path)
            self._lock.remove()

    def is_intact(self, outcome: Outcome, locations: PieceLocations) -> bool:
        """Tell whether the pieces of an outcome are still what was written: a power cut may have lost them."""
        pieces = [piece for piece in (outcome.output, outcome.rejects) if piece is not None]
        if self.staging and outcome.output is not None:
            if self.shelf is None or not self.shelf.is_intact(outcome.output):
                return False
            pieces.remove(outcome.output)
        return all(self._is_intact(piece, locations[piece]) for piece in pieces)

    def _is_intact(self, piece: Piece, location: PieceLocation) -> bool:
        try:
            with (self.folder / location.file).open("rb") as file:
                file.seek(location.offset)
                data = file.read(piece.bytes)
        except OSError:
            return False
        return len(data) == piece.bytes and zlib.crc32(data) == piece.crc

    def unused(self, name: str) -> Path:
        """Give a name in the folder to write to.

        What had it may be visible by now, under a second name, if an earlier attempt died after that: it is never
        written into.
        """
        path = self.folder / name
        path.unlink(missing_ok=True)
        return path

    def visible(self) -> str:
        """Fingerprint what stands where output and rejects go, by names, sizes and times; empty where it cannot be."""
        try:
            found = versions(self.output) + versions(self.rejects) if self.is_remote else self._visible_here()
        except (OSError, EngineError):
            return ""
        return hashlib.sha256(repr(found).encode()).hexdigest() if all(stamp for *_, stamp in found) else ""

    def _visible_here(self) -> list[tuple[str, int, str]]:
        paths = [*sorted(self._path.iterdir())] if self._path.is_dir() else [self._path]
        paths += [Path(self.rejects)] if Path(self.rejects).exists() else []
        return [(path.name, path.stat().st_size, str(path.stat().st_mtime_ns)) for path in paths]

    @property
    def address(self) -> str:
        """Name where the output lies, spelled in one way."""
        return written(self.output) if self.is_remote else str(self._path.absolute())

    def manifest(self) -> bytes | None:
        """Read the manifest of the folder that is there, if it has one."""
        return self.shelf.manifest() if self.shelf is not None else manifest_of(self._path)

    def rejected(self) -> Iterator[bytes]:
        """Read the bad rows that lie beside the output, a line each."""
        if self.shelf is not None:
            yield from self.shelf.rejected().splitlines(keepends=True)
            return
        with Path(self.rejects).open("rb") as lines:
            yield from lines

    def standing_rejects(self) -> str:
        """Fingerprint the bad rows that lie beside the output."""
        if self.is_remote:
            return _digest(versions(self.rejects))
        rejects = Path(self.rejects)
        return _stamps_in(rejects.parent, {rejects.name})

    def standing(self) -> str:
        """Fingerprint the output that stands there, without its rejects and without the user's own files beside it."""
        if self.is_remote:
            found = versions(self.output)
            names = _of_output(self.manifest()) if self.is_folder else set()
            named = [one for one in found if not self.is_folder or one[0].rpartition("/")[2] in names]
            return _digest(named)
        if self._path.is_dir():
            return _stamps_in(self._path, _of_output(manifest_of(self._path)))
        return _stamps_in(self._path.parent, {self._path.name})

    def holds_rows(self) -> bool:
        """Tell whether rows stand where the output goes; of what is not text, whether anything does."""
        try:
            if self.shelf is not None:
                return self.shelf.holds_rows()
            if self._path.is_dir():
                parts = json.loads((self._path / MANIFEST).read_bytes())["parts"]
                return any(part["rows"] for part in parts)
            with self._path.open("rb") as file:
                beginning = file.read(_BEGINNING_BYTES)
        except (OSError, ValueError, KeyError, EngineError):
            return False
        has_header = not {".csv", ".tsv"}.isdisjoint(self._path.suffixes[-1:])
        return beginning.count(b"\n") > 1 if has_header else bool(beginning)

    def names(self, suffix: str, *, parts: int) -> list[str]:
        """Name the parts of the output, before any is written."""
        if self.shelf is not None and self.is_folder:
            return self.shelf.announce(suffix, parts=parts)
        return [f"part-{at:05d}{suffix}" for at in range(parts)]

    def publish(
        self,
        rejects: Iterable[Piece],
        *,
        ready: Callable[[str], None],
        complete: str = "complete",
        files: Sequence[Mapping[str, Any]] = (),
    ) -> None:
        """Make rejects and output visible, the output last; each is complete on the disk before its name is.

        Just before, ``ready`` is told the fingerprint that the output is going to have, where that is known by now.
        """
        if self.shelf is not None and not self.is_folder:
            self.shelf.announce()
        if self.is_folder:
            (self.sealed / MANIFEST).write_text(json.dumps({"parts": list(files)}, indent=2) + "\n")
            for path in self.sealed.iterdir():
                sync(path)
            sync(self.sealed)
        else:
            sync(self.folder / complete)
        ready(self._fingerprint_of(complete, files))
        self._publish_rejects([self.parts / piece.name for piece in rejects])
        if self.is_folder:
            self._publish_folder(files)
        elif self.shelf is not None:
            self.shelf.publish_file(self.folder / complete)
        else:
            hand_over(self.folder / complete, instead_of=self._path)
            publish_file(self.folder / complete, str(self._path))
        self._has_published = True

    def _fingerprint_of(self, complete: str, files: Sequence[Mapping[str, Any]]) -> str:
        """Tell what ``standing`` will say; a store tells its own stamps only afterwards."""
        if self.is_remote:
            return ""
        if self.is_folder:
            return _stamps_in(self.sealed, {MANIFEST, *(str(file["name"]) for file in files)})
        return _stamps_in(self.folder, {complete}, called=self._path.name)

    def _publish_rejects(self, pieces: list[Path]) -> None:
        gathered = self.unused("rejects.jsonl")
        if pieces:
            with naming(gathered), open(gathered, "wb", opener=private) as output:
                for piece in pieces:
                    with piece.open("rb") as rows:
                        shutil.copyfileobj(rows, output)
            sync(gathered)
        if self.shelf is not None:
            self.shelf.publish_rejects(gathered if pieces else None)
            return
        self._check_rejects()
        if pieces:
            publish_file(gathered, self.rejects)
        else:
            Path(self.rejects).unlink(missing_ok=True)

    def _check_rejects(self) -> None:
        if Path(self.rejects).exists():
            with Path(self.rejects).open("rb") as file:
                check_rejects(self.rejects, file.read(BEGINNING_BYTES))

    def _publish_folder(self, files: Sequence[Mapping[str, Any]]) -> None:
        if self.shelf is not None:
            self.shelf.publish_folder(self.sealed, files)
            return
        publish_folder(self.sealed, self._path, replaced=self._replaced)


def _of_output(manifest: bytes | None) -> set[str]:
    return {MANIFEST, *named_in(manifest)}


def _stamps_in(folder: Path, names: Iterable[str], *, called: str = "") -> str:
    """Fingerprint files by name, size and the time when they were written; one may be known by another name."""
    found = []
    for name in sorted(names):
        with contextlib.suppress(OSError):
            status = (folder / name).stat()
            found.append((called or name, status.st_size, str(status.st_mtime_ns)))
    return _digest(found)


def _digest(found: Sequence[tuple[str, int, str]]) -> str:
    """Sum up names and stamps; an absent file has a fingerprint, too."""
    return hashlib.sha256(repr(found).encode()).hexdigest()


def _shelf_of(output: str, *, rejects: str, home: Path) -> "Shelf":
    from .shelf import Shelf

    return Shelf(output, rejects=rejects, home=home)
