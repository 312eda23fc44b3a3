"""The output of a run: the work folder beside it, and the rename that makes it visible."""

import contextlib
import fcntl
import hashlib
import json
import os
import shutil
import zlib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from muster._model import Outcome, Piece, Place
from muster._urls import check_writable, delete, is_remote, list_folder, sizes, upload, versions
from muster.errors import EngineError, OutputBusyError, UsageError

MANIFEST: Final = "_manifest.json"
_SPOOL: Final = "spool"
_BEGINNING_BYTES: Final = 1 << 20


class Work:
    """The folder ``OUTPUT.muster`` and who may work in it.

    It lies beside the output, on the same file system, so that a rename is all that is left at the end; for a remote
    output it lies in ``MUSTER_HOME``.
    """

    def __init__(self, output: str, *, home: Path) -> None:
        """Name the places; nothing is made yet."""
        self.output = output
        self.is_remote = is_remote(output)
        self.is_folder = output.endswith("/")
        plain = output.rstrip("/")
        digest = hashlib.sha256(os.fsencode(output)).hexdigest()[:16]
        # Through a symbolic link to the file that it names, as every other program would write.
        self._path = Path(os.path.realpath(plain))
        self.folder = home / "work" / digest if self.is_remote else Path(f"{self._path}.muster")
        self.rejects = plain + ".rejects.jsonl"
        self.journal = self.folder / "journal.jsonl"
        self.parts = self.folder / "parts"
        self.spool = self.folder / _SPOOL
        self.sealed = self.folder / "sealed"
        self._shelf = f"{plain}.muster" if self.is_remote and self.is_folder else ""
        self.staging = ""
        """The URL of a folder where workers put rows themselves; empty where rows come to ``parts``."""
        self._lock_path = self.folder / "lock"
        self._lock: int | None = None
        self._staged: dict[str, int] | None = None

    def take(self) -> None:
        """Make and lock the folder. Raises ``UsageError`` where it cannot, ``OutputBusyError`` where it is held."""
        self._check()
        while self._lock is None:
            self._lock = self._try_to_lock()
        for folder in (self.parts, self.spool, self.sealed):
            folder.mkdir(exist_ok=True)

    def _try_to_lock(self) -> int | None:
        """Lock the folder; ``None`` when another muster has removed it, at its own end, while this one opened it."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            if isinstance(error, FileExistsError) and not (self.folder.is_file() or self.folder.is_symlink()):
                return None
            raise UsageError(
                f"Cannot work in {str(self.folder)!r}: {error.strerror}. Choose an output where you may write."
            ) from error
        self._check_folder_is_ours()
        try:
            lock = os.open(self._lock_path, os.O_RDWR | os.O_CREAT, 0o644)
        except FileNotFoundError:
            return None
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(lock)
            raise OutputBusyError(
                f"Another muster process is writing {self.output!r}. Two runs cannot share an output."
                " Wait for it, stop it, or choose another output."
            ) from error
        with contextlib.suppress(FileNotFoundError):
            if os.path.samestat(self._lock_path.stat(), os.fstat(lock)):
                return lock
        os.close(lock)
        return None

    def _check_folder_is_ours(self) -> None:
        """Raise ``UsageError`` for a folder of the user's own that happens to have the name of the run's."""
        names: set[str] = set()
        with contextlib.suppress(FileNotFoundError):  # another muster has removed it just now, at its own end
            names = {path.name for path in self.folder.iterdir()}
        if names and not names & {self._lock_path.name, self.journal.name}:
            raise UsageError(
                f"{str(self.folder)!r} holds files that muster did not write, and a run to {self.output!r} works in a"
                " folder of that name and removes it at its end. Choose another output, or rename the folder."
            )

    def _check(self) -> None:
        if self.is_remote:
            if self.is_folder:
                self._check_is_ours(list_folder(self.output))
            check_writable(self.output)
            return
        output = self._path
        if not output.absolute().parent.is_dir():
            raise UsageError(f"No folder {str(output.absolute().parent)!r} to write {self.output!r} in. Make it first.")
        if output.exists() and not (output.is_file() or output.is_dir()):
            raise UsageError(f"{self.output!r} is neither a file nor a folder, and a run replaces it. Choose another.")
        if self.is_folder and output.is_file():
            raise UsageError(f"{self.output!r} is to be a folder, but is a file. Leave out the / or remove the file.")
        if not self.is_folder and output.is_dir():
            raise UsageError(f"{self.output!r} is a folder. For numbered part files type {self.output}/ instead.")
        if Path(self.rejects).exists() and not Path(self.rejects).is_file():
            raise UsageError(
                f"{self.rejects!r} is no file, and bad rows go to a file of that name. Choose another output, or"
                " rename what is there."
            )
        if self.is_folder and output.exists():
            self._check_is_ours([path.name for path in output.iterdir()])

    def _check_is_ours(self, names: Sequence[str]) -> None:
        if names and MANIFEST not in names:
            raise UsageError(
                f"{self.output!r} holds files that muster did not write (there is no {MANIFEST}), and a run replaces"
                " the folder as a whole. Choose another, or empty it."
            )

    def stage(self) -> None:
        """Have workers write for themselves: their rows need not come here to be put into a remote folder."""
        self.staging = self._shelf

    def release(self) -> None:
        """Let others work on the output."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def clear(self) -> None:
        """Forget an unfinished run, but hold the lock."""
        self.journal.unlink(missing_ok=True)
        self.clear_parts()
        for folder in (self.folder / _SPOOL, self.sealed):
            shutil.rmtree(folder)
            folder.mkdir()

    def spool_apart(self) -> Path:
        """Spool to another folder from now on, so that what an unfinished run has spooled is kept."""
        self.spool = self.folder / f"{_SPOOL}-{os.urandom(4).hex()}"
        self.spool.mkdir()
        return self.spool

    def forget_spool_apart(self) -> None:
        """Remove what was spooled, as the run is not going to begin."""
        shutil.rmtree(self.spool)

    def clear_parts(self) -> None:
        """Forget what tasks have written."""
        for grown in self.folder.glob("grown-*"):
            grown.unlink()
        shutil.rmtree(self.parts)
        self.parts.mkdir()
        self._clear_staging()

    def _clear_staging(self) -> None:
        if self._shelf:
            delete(self._shelf, sorted(sizes(self._shelf)))

    def remove(self) -> None:
        """Remove the folder of a finished run, its lock last: then nobody has taken it in the meantime."""
        with contextlib.suppress(OSError, EngineError):
            self._clear_staging()
            for path in [path for path in self.folder.iterdir() if path != self._lock_path]:
                _remove(path)
            self._lock_path.unlink()
            self.folder.rmdir()

    def place_of(self, piece: Piece, moved: Mapping[str, Place]) -> Place:
        """Tell where a piece lies: in a file of its own, or where it was moved to in a file that grew of many."""
        return moved.get(piece.name) or Place(f"{self.parts.name}/{piece.name}", 0)

    def is_intact(self, outcome: Outcome, moved: Mapping[str, Place]) -> bool:
        """Tell whether the pieces of an outcome are still what was written: a power cut may have lost them."""
        pieces = [piece for piece in (outcome.output, outcome.rejects) if piece is not None]
        if self.staging and outcome.output is not None:
            if self._staged is None:
                self._staged = sizes(self.staging)
            if self._staged.get(outcome.output.name) != outcome.output.bytes:
                return False
            pieces.remove(outcome.output)
        return all(self._is_intact(piece, self.place_of(piece, moved)) for piece in pieces)

    def _is_intact(self, piece: Piece, place: Place) -> bool:
        try:
            with (self.folder / place.file).open("rb") as file:
                file.seek(place.offset)
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

    def holds_rows(self) -> bool:
        """Tell whether rows stand where the output goes; of what is not text, whether anything does."""
        try:
            if self.is_remote:
                return any(size for _, size, _ in versions(self.output))
            if self._path.is_dir():
                parts = json.loads((self._path / MANIFEST).read_bytes())["parts"]
                return any(part["rows"] for part in parts)
            with self._path.open("rb") as file:
                beginning = file.read(_BEGINNING_BYTES)
        except (OSError, ValueError, KeyError):
            return False
        has_header = not {".csv", ".tsv"}.isdisjoint(self._path.suffixes[-1:])
        return beginning.count(b"\n") > 1 if has_header else bool(beginning)

    def publish(
        self, rejects: Iterable[Piece], *, complete: str = "complete", files: Sequence[Mapping[str, Any]] = ()
    ) -> None:
        """Make rejects and output visible, the output last; each is complete on the disk before its name is."""
        self._publish_rejects([self.parts / piece.name for piece in rejects])
        if self.is_folder:
            (self.sealed / MANIFEST).write_text(json.dumps({"parts": list(files)}, indent=2) + "\n")
            for path in self.sealed.iterdir():
                _sync(path)
            _sync(self.sealed)
            self._publish_folder(files)
        else:
            _sync(self.folder / complete)
            self._publish_file(self.folder / complete, self.output if self.is_remote else str(self._path))

    def _publish_rejects(self, pieces: list[Path]) -> None:
        if not pieces:
            if not self.is_remote:
                Path(self.rejects).unlink(missing_ok=True)
            return
        gathered = self.unused("rejects.jsonl")
        with gathered.open("wb") as output:
            for piece in pieces:
                with piece.open("rb") as rows:
                    shutil.copyfileobj(rows, output)
        _sync(gathered)
        self._publish_file(gathered, self.rejects)

    def _publish_file(self, path: Path, name: str) -> None:
        if self.is_remote:
            upload(path, name)
            return
        # By a second name: all is still in the work folder should muster die before it has said that it is done.
        second = path.with_name(path.name + ".published")
        second.unlink(missing_ok=True)
        try:
            second.hardlink_to(path)
        except OSError:  # a file system without hard links
            second = path
        second.replace(name)
        _sync(Path(name).absolute().parent)

    def _publish_folder(self, files: Sequence[Mapping[str, Any]]) -> None:
        if self.is_remote:
            found = sorted(self.sealed.iterdir(), key=lambda path: path.name == MANIFEST)
            for path in found:
                upload(path, self.output + path.name)
            written = {path.name for path in found} | {file["name"] for file in files}
            delete(self.output, sorted(set(list_folder(self.output)) - written))
            return
        output = self._path
        if output.exists():
            replaced = self.folder / "replaced"
            _remove(replaced)
            output.replace(replaced)
        self.sealed.replace(output)
        _sync(output.absolute().parent)


def _remove(path: Path) -> None:
    """Remove a file, or a folder and all in it, if it is there."""
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
