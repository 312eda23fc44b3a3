"""Pack what goes along to machines that do not see this computer's files: the user's code, and the files it reads.

Everything keeps the place that it has at home, below a folder of the machine's: relative names lead where they do here.
"""

import os
import sys
import tarfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from muster._engines.on_ray.freight import Cargo, Freight, digests
from muster._files.temporary import Temporary
from muster._model import DataFile, Module, Target
from muster._user_code.data_files import stamped, with_digest
from muster._user_code.origins import is_users
from muster._user_code.with_files import Named
from muster._words import plural
from muster.errors import UsageError

LARGEST_FILE: Final = 16 << 20
"""Bytes of a file beside the code that goes along unasked: a larger one is data that few functions read."""

LARGEST_BUNDLE: Final = 64 << 20
"""All files that go along unasked: a slow line takes half a minute for them."""

_SMALL: Final = 1 << 20
"""Files up to this size are sent together: each by itself would cost a message."""

_LEFT_OUT: Final = ("__pycache__", "node_modules")


@dataclass(frozen=True, slots=True)
class Luggage:
    """What is sent, and what was left at home."""

    freight: Freight
    folder: str
    """The working folder of home."""
    path: tuple[tuple[str, ...], tuple[str, ...]]
    whole: tuple[str, ...]
    """What was named: all of it is sent."""
    code: tuple[str, ...]
    """Folders and files of code: what is small and not hidden is sent."""
    stamps: Mapping[str, DataFile]
    """All files that are sent, by their absolute paths, as they were just before they were packed, without digests."""
    left_out: tuple[str, ...]
    """Files beside the code that are too large to travel as code."""
    _packed: Temporary
    _digested: dict[str, DataFile] = field(default_factory=dict)

    def stamp(self, path: str) -> DataFile:
        """Tell of a file that is sent, with a digest made only now: nobody reads most of the code that goes along.

        A file that was written since has none: nobody can tell any more what was sent.
        """
        if path not in self._digested:
            file = self.stamps[path]
            digested = with_digest(file)
            self._digested[path] = digested if stamped(path) == file else file
        return self._digested[path]

    @property
    def sent(self) -> tuple[str, ...]:
        """Name the places that machines have something of; the working folder always is one."""
        return (self.folder, *self.whole, *self.code)

    def remark(self) -> str:
        """Say what is left out."""
        if not self.left_out:
            return ""
        return f"too large to travel as code, so left out; they are sent with --with: {', '.join(self.left_out)}"

    def written(self, paths: Iterable[str]) -> str:
        """Name the first of these that would be among the user's files, were it written here."""
        path = next((one for one in paths if any(_is_in(one, place) for place in self.sent)), "")
        return repr(os.path.relpath(path, self.folder)) if path else ""

    def forget(self) -> None:
        """Remove what was packed."""
        self._packed.remove()


def pack(  # noqa: PLR0913 (all that goes along)
    steps: Iterable[Target],
    *,
    named: Sequence[Named] = (),
    modules: Iterable[Module] = (),
    script: str = "",
    besides: Iterable[str] = (),
    held: Iterable[str] = (),
) -> Luggage:
    """Pack the folders that steps live in, other modules and the script of the user's, and what was ``named``.

    A step's folder is that of its file; for one that is imported or sent by value the working folder, unless that is
    too much for code: then its modules alone go along. ``besides`` are paths that need not travel, such as the input;
    ``held`` are files of objects that steps hold, which leave with the run as code does.
    Raises ``UsageError`` when a file's folder is too much for code.
    """
    modules = tuple(modules)
    folder = os.getcwd()  # noqa: PTH109 (as text)
    temporary = Temporary()
    packed = temporary.path
    try:
        chosen = {path: one for one in named for path in one.files()}
        avoided = {os.path.realpath(path) for path in besides}
        steps = tuple(steps)
        folders = {str(Path(step.place).parent) for step in steps if step.kind == "file"}
        if len(steps) > sum(step.kind == "file" for step in steps) and _fits(folder, avoided=avoided, chosen=chosen):
            folders.add(folder)
        others = [module.place for module in modules if not any(_is_in(module.place, one) for one in folders)]
        if script and is_users(script) and Path(script).is_file():
            others.append(script)
        places = sorted({*folders, *others})
        roots = [module.root for module in modules if module.root not in folders]
        files, left_out = _code(places, avoided=avoided, chosen=chosen)
        stamps = {path: file for path in [*files, *chosen] if (file := stamped(path)) is not None}
        empty = [folder, *places, *(one.path for one in named if one.is_folder)]
        archives = [_archived(packed / "code", files, empty=empty, name="the code", is_kept=False)]
        small, large = _sizes(chosen)
        for at, some in enumerate(_heaps(small)):
            archives.append(_archived(packed / str(at), some, empty=(), name=_said(some, named), is_kept=True))
        cargos = [*archives, *_large(large, chosen), *map(_held, held)]
        freight = Freight(tuple(cargo for cargo, _ in cargos), tuple(source for _, source in cargos))
        whole = tuple(one.path for one in named)
        return Luggage(
            freight=freight,
            folder=folder,
            path=_search_path(roots),
            whole=whole,
            code=tuple(places),
            stamps=stamps,
            left_out=tuple(left_out),
            _packed=temporary,
        )
    except BaseException:
        temporary.remove()
        raise


def _fits(place: str, *, avoided: set[str], chosen: Mapping[str, Named]) -> bool:
    """Tell whether a folder is small enough to travel as code."""
    try:
        _code([place], avoided=avoided, chosen=chosen)
    except UsageError:
        return False
    return True


def _code(places: Iterable[str], *, avoided: set[str], chosen: Mapping[str, Named]) -> tuple[list[str], list[str]]:
    """List the files that travel as code, and those that are too large for that."""
    files, left_out, total = dict[str, None](), [], 0
    for place in places:
        for path in _files_of(Path(place)):
            name = str(path)
            if name in files or name in chosen or os.path.realpath(path) in avoided:
                continue
            size = path.stat().st_size
            if size > LARGEST_FILE:
                left_out.append(name)
                continue
            total += size
            if total > LARGEST_BUNDLE:
                raise UsageError(
                    f"The folder {place!r} holds more than {LARGEST_BUNDLE >> 20} MiB of small files, all of"
                    " which would travel to the machines as code. Give the function a folder of its own."
                )
            files[name] = None
    return list(files), left_out


def _files_of(place: Path) -> Iterator[Path]:
    """List the files below a folder that a function may need: no hidden ones, no caches, no muster's own."""
    if place.is_file():
        yield place
        return
    for where, folders, names in os.walk(place):
        folders[:] = sorted(
            name
            for name in folders
            if not name.startswith(".") and not name.endswith(".muster") and name not in _LEFT_OUT
        )
        for name in sorted(names):
            path = Path(where, name)
            if not name.startswith(".") and path.is_file():
                yield path


def _archived(
    packed: Path, files: Iterable[str], *, empty: Iterable[str], name: str, is_kept: bool
) -> tuple[Cargo, Path]:
    """Put files into one; ``empty`` are folders that are to be there, whatever is in them."""
    with tarfile.open(packed, "w", format=tarfile.PAX_FORMAT) as archive:
        for folder in empty:
            if os.path.isdir(folder):  # noqa: PTH112 (as text)
                entry = tarfile.TarInfo(folder.lstrip(os.sep) or ".")
                entry.type, entry.mode = tarfile.DIRTYPE, 0o700
                archive.addfile(entry)
        for path in files:
            with open(path, "rb") as file:  # noqa: PTH123 (as text)
                status = os.fstat(file.fileno())
                entry = tarfile.TarInfo(path.lstrip(os.sep))
                entry.size, entry.mtime, entry.mode = status.st_size, status.st_mtime_ns / 1e9, status.st_mode & 0o777
                archive.addfile(entry, file)
    size = packed.stat().st_size
    return Cargo(
        name=name,
        places=(),
        size=size,
        modified=0,
        mode=0o600,
        chunks=digests(packed),
        is_archive=True,
        is_kept=is_kept,
    ), packed


def _sizes(chosen: Iterable[str]) -> tuple[list[str], list[str]]:
    small: list[str] = []
    large: list[str] = []
    for path in chosen:
        (small if Path(path).stat().st_size <= _SMALL else large).append(path)
    return small, large


def _heaps(paths: Iterable[str]) -> Iterator[list[str]]:
    """Group small files so that each group is small enough, too, to be written to the disk once more."""
    heap: list[str] = []
    total = 0
    for path in paths:
        heap.append(path)
        total += Path(path).stat().st_size
        if total > LARGEST_BUNDLE:
            yield heap
            heap, total = [], 0
    if heap:
        yield heap


def _large(paths: Iterable[str], chosen: Mapping[str, Named]) -> Iterator[tuple[Cargo, Path]]:
    """Make a cargo of each content: files may be the same."""
    by_content: dict[tuple[bytes, ...], list[str]] = {}
    for path in paths:
        by_content.setdefault(digests(Path(path)), []).append(path)
    for chunks, places in by_content.items():
        source = Path(places[0])
        status = source.stat()
        name = os.path.relpath(source) if chosen[places[0]].is_folder else chosen[places[0]].given
        yield (
            Cargo(
                name=name,
                places=tuple(places),
                size=status.st_size,
                modified=status.st_mtime_ns,
                mode=status.st_mode & 0o777,
                chunks=chunks,
            ),
            source,
        )


def _held(path: str) -> tuple[Cargo, Path]:
    """Make a cargo of the objects that a step holds."""
    source = Path(path)
    status = source.stat()
    name = "what the function holds"
    return Cargo(
        name=name,
        places=(path,),
        size=status.st_size,
        modified=status.st_mtime_ns,
        mode=0o600,
        chunks=digests(source),
        is_kept=False,
    ), source


def _said(paths: Sequence[str], named: Iterable[Named]) -> str:
    given = [
        one.given for one in named if any(path == one.path or path.startswith(one.path + os.sep) for path in paths)
    ]
    return f"{', '.join(given)}: {plural(len(paths), 'small file')}"


def _search_path(roots: Iterable[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """List where this process looks for the user's modules, before the libraries and behind them.

    ``roots`` are where modules were found: some are not on the search path, as an editable install may have it.
    """
    folders = [os.path.abspath(place) for place in sys.path]  # noqa: PTH100 (a link stays what it is called)
    first = next((at for at, place in enumerate(folders) if not is_users(place)), len(folders))
    before = [place for place in folders[:first] if is_users(place)]
    behind = [place for place in folders[first:] if is_users(place)]
    behind += [root for root in dict.fromkeys(roots) if root not in folders]
    return tuple(before), tuple(behind)


def _is_in(path: str, folder: str) -> bool:
    return path == folder or path.startswith(folder.rstrip(os.sep) + os.sep)
