"""The place of an output in a store: whose objects lie there, and how one output takes the place of another.

Beside the output, below ``OUTPUT.muster/``, lies what is needed until it is complete: the lock, and for each run a
folder of its own with a mark that says whose it is. In it lie rows that workers have written, and while the run
publishes, a note of what that may leave: whoever comes after a death can tell its objects from the user's own.
"""

import contextlib
import hashlib
import json
import os
import re
import zlib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

from muster._model import Piece
from muster._urls import objects
from muster._urls.identity import spelled
from muster._urls.urls import filesystem, has_buckets, is_web, protocols_of, upload
from muster.errors import EngineError, OutputBusyError, UsageError

from .manifest import MANIFEST, PART, check_is_ours, check_not_of_another, may_be_of_another, named_in
from .owners import Owner, read_mark
from .rejects import BEGINNING_BYTES, check_rejects
from .store_lock import BEGINNING, StoreLock

_MARK: Final = "mark.json"
_NOTE: Final = "publishing.json"
_PIECE: Final = re.compile(r"(\d+|before)-\d+\.rows")


class _Note(NamedTuple):
    """What a run that publishes may leave: objects, and uploads to ``keys`` beside those that were there before."""

    parts: tuple[str, ...] = ()
    keys: tuple[str, ...] = ()
    uploads: tuple[str, ...] = ()


class Shelf:
    """An output that is a file or a folder in a store, and what a run keeps beside it."""

    def __init__(self, output: str, *, rejects: str, home: Path) -> None:
        """Name the places; nothing is asked or written yet."""
        self._output = output
        self._plain = output.rstrip("/")
        self._is_folder = output.endswith("/")
        self._rejects = rejects
        self._folder = f"{self._plain}.muster"
        self._home = home
        self._run = ""
        self.lock = StoreLock(self._folder, output=output, home=home)
        self._spent: set[str] = set()
        """Names of parts that runs had which died while they published."""
        self._before: _Before | None = None
        self._staged: dict[str, objects.StoredObject] | None = None

    def take(self) -> None:
        """Take the lock, and remove what runs left that died. Raises ``UsageError`` where the place is not ours."""
        try:
            self._check_place()
            self.lock.take()
            self._tidy()
            if self._is_folder:
                self._check_folder()
        except BaseException as error:
            self.lock.release()
            if isinstance(error.__cause__, FileNotFoundError | PermissionError | NotImplementedError):
                raise UsageError(
                    f"Cannot write {self._output!r}: {error.__cause__}. Check the address and your credentials; a run"
                    " lists, reads, writes and deletes objects there."
                ) from error
            raise

    def _check_place(self) -> None:
        if is_web(self._plain):
            raise UsageError(
                f"{self._output!r} is on a web server, and nothing can be written there. Name a file of this computer,"
                " or a place in a store, such as s3://bucket/folder/."
            )
        files, path = filesystem(self._plain)
        if not path.strip("/") or (has_buckets(files) and "/" not in path.strip("/")):
            raise UsageError(
                f"{self._output!r} is a whole bucket, and a run keeps its work beside its output. Name a folder in it."
            )
        if "s3" in protocols_of(files) and "?versionId=" in path:
            raise UsageError(
                f"{self._output!r} names one version of an object, and a store gives each new object a version of its"
                f" own. Leave ?versionId= out: type {self._output.partition('?versionId=')[0]!r}."
            )
        if not {"", ".", ".."}.isdisjoint(path.strip("/").split("/")):
            raise UsageError(
                f"{self._output!r} has an empty name, '.' or '..' in it: to a store that is another place than to a"
                f" person. Type {spelled(self._output)!r} instead."
            )
        kind = objects.kind_at(self._plain)
        if self._is_folder and kind == "file":
            raise UsageError(f"{self._output!r} is to be a folder, but is a file. Leave out the / or remove the file.")
        if not self._is_folder and kind == "directory":
            raise UsageError(f"{self._output!r} is a folder. For numbered part files type {self._output}/ instead.")
        folder, _, name = self._plain.rpartition("/")
        if not self._is_folder and may_be_of_another(name):
            check_not_of_another(self._plain, manifest=objects.read(f"{folder}/{MANIFEST}"))
        check_rejects(self._rejects, objects.beginning(self._rejects, BEGINNING_BYTES))
        names = set(objects.find(self._folder))
        if names and not _are_of_runs(names):
            raise UsageError(
                f"{self._folder!r} holds files that muster did not write, and a run to {self._output!r} works in a"
                " folder of that name and removes it at its end. Choose another output, or rename the folder."
            )

    def _check_folder(self) -> None:
        there = objects.find(self._plain)
        manifest = objects.read(f"{self._plain}/{MANIFEST}") if MANIFEST in there else None
        check_is_ours(self._output, there, manifest=manifest)

    # What a run keeps while it works

    @property
    def staging(self) -> str:
        """The URL of this run's own folder, where workers put rows themselves."""
        return f"{self._folder}/{self._own}"

    @property
    def _own(self) -> str:
        home = hashlib.sha256(os.fsencode(self.lock.owner.home)).hexdigest()[:8]
        return f"{self._run}-{home}"

    def begin(self, run: str) -> None:
        """Know which run it is; its folder and the names of its parts have its id."""
        self._run = run

    def mark(self) -> None:
        """Say whose this run's folder is, before anything else lies in it."""
        objects.put(f"{self.staging}/{_MARK}", self.lock.owner.as_mark("run", run=self._run))

    def is_intact(self, piece: Piece) -> bool:
        """Compare the checksum that the store gives of a content; where it gives none, read the content."""
        if self._staged is None:
            self._staged = objects.find(self.staging)
        there = self._staged.get(piece.name)
        if there is None or there.size != piece.bytes:
            return False
        if piece.stamp and there.stamp:
            return piece.stamp == there.stamp
        return zlib.crc32(objects.read(f"{self.staging}/{piece.name}") or b"") == piece.crc

    def clear(self, *, everyones: bool = False) -> None:
        """Remove what runs of this home keep beside the output; at the end of a run, those of others, too.

        Nobody else works on this output: what others kept is of runs that died, and their output has been replaced.
        Only what muster writes there is deleted, and only from a folder with a mark.
        """
        there = objects.find(self._folder)
        for folder, owner in self._marked(there).items():
            if everyones or owner.home == self.lock.owner.home:
                inside = {name.removeprefix(f"{folder}/") for name in there if name.startswith(f"{folder}/")}
                ours = sorted(name for name in inside if _PIECE.fullmatch(name) or name == _NOTE)
                place = f"{self._folder}/{folder}"
                for key, upload_id in objects.uploads([f"{place}/"]):
                    objects.abort(place, key, upload_id)
                objects.delete(place, ours)
                objects.delete(place, [_MARK])
                objects.forget_folder(place)

    def _marked(self, there: Iterable[str]) -> dict[str, Owner]:
        """Tell the folders of runs that lie beside the output, with whose they are."""
        folders = [name.removesuffix(f"/{_MARK}") for name in there if name.endswith(f"/{_MARK}")]
        marks = {folder: read_mark(objects.read(f"{self._folder}/{folder}/{_MARK}"), "run") for folder in folders}
        return {folder: mark[0] for folder, mark in marks.items() if mark is not None}

    def _tidy(self) -> None:
        """Remove what a run that died while it published has left, of names that its note says and no manifest does."""
        there = objects.find(self._folder)
        for folder in self._marked(there):
            if f"{folder}/{_NOTE}" not in there:
                continue
            note = _as_note(objects.read(f"{self._folder}/{folder}/{_NOTE}"))
            self._spent.update(note.parts)
            self._remove_unnamed(note.parts)
            self._abort(note)
            objects.delete(f"{self._folder}/{folder}", [_NOTE])

    def _remove_unnamed(self, parts: Iterable[str]) -> None:
        if self._is_folder:
            kept = {MANIFEST, *named_in(objects.read(f"{self._plain}/{MANIFEST}"))}
            ours = {name for name in parts if PART.fullmatch(name)} - kept
            objects.delete(self._plain, sorted(ours & set(objects.find(self._plain))))

    def _abort(self, note: _Note) -> None:
        for key, upload_id in objects.uploads([self._plain]):
            if key in note.keys and upload_id not in note.uploads:
                objects.abort(self._plain, key, upload_id)

    # How it is published

    def announce(self, suffix: str = "", *, parts: int = 0) -> list[str]:
        """Note what is about to be written, before it is; name the parts of a folder.

        Parts that take the place of none have plain names. Others have the run's id in theirs, so that those that
        the manifest names stay as they are until it names these.
        """
        there = objects.find(self._plain) if self._is_folder else {}
        manifest = objects.read(f"{self._plain}/{MANIFEST}") if MANIFEST in there else None
        old = sorted({name for name in named_in(manifest) if PART.fullmatch(name)} & set(there))
        tag = self._tag({*there, *self._spent}, suffix)
        names = [f"part-{at:05d}{tag}{suffix}" for at in range(parts)]
        written = [f"{self._plain}/{name}" for name in (*names, MANIFEST)] if self._is_folder else [self._plain]
        keys = tuple(map(_key, [*written, self._rejects]))
        pending = tuple(upload_id for key, upload_id in objects.uploads([self._plain]) if key in keys)
        note = _Note((*names, *old), keys, pending)
        stands = there.get(MANIFEST) if self._is_folder else objects.look(self._plain)
        self._before = _Before(stands.stamp if stands else None, old, note)
        self.mark()
        objects.put(f"{self.staging}/{_NOTE}", json.dumps(note._asdict()).encode())
        return names

    def _tag(self, taken: Iterable[str], suffix: str) -> str:
        """Choose what the names of parts contain so that they are new; nothing where no part has this suffix yet."""
        taken = [name for name in taken if name.endswith(suffix) and PART.fullmatch(name)]
        at, tag = 1, f"-{self._run}"
        while any(f"{tag}." in name for name in taken):
            at += 1
            tag = f"-{self._run}-{at}"
        return tag if taken else ""

    def publish_rejects(self, path: Path | None) -> None:
        """Put bad rows beside the output; without any, remove those of an earlier run."""
        self.lock.check()
        found = objects.beginning(self._rejects, BEGINNING_BYTES)
        check_rejects(self._rejects, found)
        if path is not None:
            upload(path, self._rejects)
        elif found:
            folder, _, name = self._rejects.rpartition("/")
            objects.delete(folder, [name])

    def publish_file(self, path: Path) -> None:
        """Put the one file of the output in its place, where it appears whole."""
        self.lock.check()
        if not objects.upload_if(path, self._output, before=self._before.stamp if self._before else None):
            raise self._replaced()
        self._forget_note()

    def publish_folder(self, sealed: Path, files: Sequence[Mapping[str, Any]]) -> None:
        """Have the manifest name this run's parts in place of others, which go after that."""
        before = self._before
        if before is None:
            raise AssertionError("parts that nobody has announced")
        for file in files:
            if (path := sealed / file["name"]).exists():
                upload(path, f"{self._plain}/{file['name']}")
        self._check_parts_arrived(files)
        self.lock.check()
        manifest = (sealed / MANIFEST).read_bytes()
        place = f"{self._plain}/{MANIFEST}"
        is_ours = objects.put_if(place, manifest, before=before.stamp)
        if not is_ours and objects.read(place) != manifest:  # or else it arrived, and the answer to that was lost
            raise self._replaced()
        self._remove_unnamed(before.old)
        self._forget_note()

    def _replaced(self) -> OutputBusyError:
        return OutputBusyError(
            f"{self._output!r} was replaced by something else while this run worked on it. What is there now was left"
            " as it is. Type the same command again to replace it."
        )

    def _check_parts_arrived(self, files: Sequence[Mapping[str, Any]]) -> None:
        there = objects.find(self._plain)
        for file in files:
            size = there[file["name"]].size if file["name"] in there else None
            if size != file["bytes"]:
                raise EngineError(
                    f"{self._plain}/{file['name']} has {size} bytes, and {file['bytes']} were written to it: somebody"
                    " else writes there. Nothing was replaced. Type the same command again."
                )

    def _forget_note(self) -> None:
        if self._before is not None:
            self._abort(self._before.note)
            objects.delete(self.staging, [_NOTE])
            self._before = None

    def manifest(self) -> bytes | None:
        """Read the manifest of the folder that is there, if it has one."""
        return objects.read(f"{self._plain}/{MANIFEST}")

    def rejected(self) -> bytes:
        """Read the bad rows that lie beside the output."""
        return objects.read(self._rejects) or b""

    def holds_rows(self) -> bool:
        """Tell whether rows stand where the output goes, as far as a manifest or a size says."""
        if not self._is_folder:
            return bool(objects.beginning(self._output, 1))
        with contextlib.suppress(ValueError, KeyError, TypeError):
            manifest = objects.read(f"{self._plain}/{MANIFEST}") or b"{}"
            return any(part["rows"] for part in json.loads(manifest)["parts"])
        return False


def is_of_runs(folder: str) -> bool:
    """Tell whether a folder in a store is where runs work."""
    try:
        return _are_of_runs(objects.find(folder))
    except EngineError:
        return False


def _are_of_runs(names: Iterable[str]) -> bool:
    return any(name.startswith(BEGINNING) or name.endswith(f"/{_MARK}") for name in names)


class _Before(NamedTuple):
    """What was there when a run began to publish: a stamp (of manifest or file), the parts it named, the note on it."""

    stamp: str | None
    old: list[str]
    note: _Note


def _as_note(data: bytes | None) -> _Note:
    with contextlib.suppress(ValueError, KeyError, TypeError):
        said = json.loads(data or b"{}")
        return _Note(*(tuple(map(str, said[field])) for field in _Note._fields))
    return _Note()


def _key(url: str) -> str:
    """Name an object as its store does, without its bucket."""
    files, path = filesystem(url)
    return str(files.split_path(path)[1]) if hasattr(files, "call_s3") else str(path)
