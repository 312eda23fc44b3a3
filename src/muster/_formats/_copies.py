"""Copy inputs of stores here before they are read: those that come as one stream, and those that are small.

A small file costs one request as a copy; read where it lies it costs several, of every worker that looks at it. Small
objects are copied by workers, many at a time in each, as a client takes more time for a request than many a store; the
others by muster's own process. Copies lie in the folder for spooled input until the run has ended.
"""

import asyncio
import dataclasses
import io
import shutil
import zlib
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from concurrent.futures import Future
from concurrent.futures import TimeoutError as NotYetError
from pathlib import Path
from threading import Event, Thread
from typing import TYPE_CHECKING, Final, NamedTuple

from muster._model import Source
from muster._private.files import keep, private
from muster._urls.urls import filesystem, is_web, protocol_of, reaching
from muster.errors import DataError

from . import _of_s3, _web
from ._questions import Ask
from .sources import needs_copy

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

_AT_ONCE: Final = 24
"""How many small files a process has in memory at a time."""
_ASKED_TOGETHER: Final = 64
"""How many files one question copies at most: more of them would leave workers idle at the end."""
_QUESTIONS: Final = 32
"""How many questions there are at the least, where there are files enough for every worker to be busy until the end."""
_CHUNK: Final = 1 << 20
"""Memory stays small, and a chunk is worth its calls."""

_GZIP: Final = b"\x1f\x8b"
_TICK: Final = 0.2
"""Seconds between two calls of ``tick``, which shows that the run is alive."""


class Copies(NamedTuple):
    """Ask for copies of small objects, each in the file that is named with it."""

    wanted: tuple[tuple[Source, str], ...]

    def answer(self) -> None:
        """Make them. Raises as ``copied``."""
        from muster._user_code.listening import unheard

        with unheard():  # the store's client opens files of its own
            _copy_together([(source, Path(path)) for source, path in self.wanted], Event())


def copied(sources: Sequence[Source], folder: Path, *, ask: Ask, tick: Callable[[], None]) -> dict[int, Source]:
    """Copy the files that need it; return as what each is read then, by its number. ``tick`` is called now and then.

    Raises ``DataError`` for one that has changed since it was listed, ``EngineError`` for one that cannot be reached.
    """
    chosen = {at: folder / f"{at}-copy" for at, source in enumerate(sources) if needs_copy(source)}
    shared = {at: path for at, path in chosen.items() if _suits_workers(sources[at])}
    ask(list(_questions([(sources[at], str(path)) for at, path in shared.items()])))
    copies = {at: _as_copied(sources[at], path) for at, path in shared.items()}
    groups: dict[str, list[int]] = {}
    for at in chosen.keys() - shared.keys():
        groups.setdefault(protocol_of(sources[at].path), []).append(at)
    for group in groups.values():
        copies |= _beside({at: (sources[at], chosen[at]) for at in sorted(group)}, tick)
    return copies


def _suits_workers(source: Source) -> bool:
    """Tell whether workers copy it: a web server is not to be asked by many of them at a time."""
    return source.in_ranges and not is_web(source.path) and bool(filesystem(source.path)[0].async_impl)


def _questions(files: Sequence[tuple[Source, str]]) -> Iterator[Copies]:
    """Put the files of each kind of store into questions of some files each."""
    groups: dict[str, list[tuple[Source, str]]] = {}
    for file in files:
        groups.setdefault(protocol_of(file[0].path), []).append(file)
    for group in groups.values():
        size = min(max(len(group) // _QUESTIONS, 1), _ASKED_TOGETHER)
        yield from (Copies(tuple(group[at : at + size])) for at in range(0, len(group), size))


def digest_of(path: str) -> int:
    """Sum up a copy: a resumed run compares it with the next copy, where the store names no versions."""
    crc = 0
    with Path(path).open("rb") as file:
        while chunk := file.read(_CHUNK):
            crc = zlib.crc32(chunk, crc)
    return crc


class _Stoppable(io.BufferedWriter):
    """A file that raises ``InterruptedError`` for whoever writes to it once the run is over."""

    def __init__(self, path: Path, is_over: Event) -> None:
        super().__init__(io.FileIO(path, "w", opener=private))
        self._is_over = is_over

    def write(self, data: "ReadableBuffer", /) -> int:
        if self._is_over.is_set():
            raise InterruptedError
        return super().write(data)


def _beside(files: Mapping[int, tuple[Source, Path]], tick: Callable[[], None]) -> dict[int, Source]:
    """Copy in another thread, so that Ctrl-C need not wait for the end of a download."""
    work: Future[dict[int, Source]] = Future()
    is_over = Event()

    def copy() -> None:
        try:
            work.set_result(_copy_all(files, is_over))
        except BaseException as error:  # noqa: BLE001 (it is raised where the copies are awaited)
            work.set_exception(error)

    Thread(target=copy, name="muster-copies", daemon=True).start()
    try:
        return _awaited(work, tick)
    finally:
        is_over.set()


def _awaited(work: "Future[dict[int, Source]]", tick: Callable[[], None]) -> dict[int, Source]:
    while True:
        try:
            return work.result(_TICK)
        except NotYetError:
            if work.done():
                raise
            tick()


def _copy_all(files: Mapping[int, tuple[Source, Path]], is_over: Event) -> dict[int, Source]:
    """Copy files of one kind of store: many at a time, where fsspec's file system of it is asynchronous."""
    small = {at: file for at, file in files.items() if file[0].in_ranges}
    first = next(iter(files.values()))[0]
    if filesystem(first.path)[0].async_impl:
        _copy_together(list(small.values()), is_over)
    else:
        for source, path in small.values():
            if is_over.is_set():
                break
            with reaching(source.path):
                store, inside = filesystem(source.path)
                keep(path, store.cat_file(inside) if source.size else b"")
    return {at: _as_copied(*file) if at in small else _streamed(*file, is_over) for at, file in files.items()}


def _copy_together(files: Sequence[tuple[Source, Path]], is_over: Event) -> None:
    from fsspec.asyn import sync

    async def copy_each() -> None:
        gate, content = asyncio.Semaphore(_AT_ONCE), _content_of(files[0][0])

        async def copy(source: Source, path: Path) -> None:
            async with gate:
                if is_over.is_set():
                    return
                with reaching(source.path):
                    data = await content(source) if source.size else b""
                keep(path, data)

        await asyncio.gather(*(copy(source, path) for source, path in files))

    if files:
        sync(filesystem(files[0][0].path)[0].loop, copy_each)


def _content_of(first: Source) -> Callable[[Source], Coroutine[None, None, bytes]]:
    """Choose how a file of this kind of store is read in one request: its size is known, and need not be asked for."""
    if is_web(first.path):
        return lambda source: _web.content(source.path, source.size)
    if hasattr(filesystem(first.path)[0], "_call_s3"):
        return lambda source: _of_s3.content(source.path, 0, source.size)

    async def content(source: Source) -> bytes:
        files, inside = filesystem(source.path)
        return bytes(await files._cat_file(inside, start=0, end=source.size))  # noqa: SLF001 (how to ask for many at a time)

    return content


def _as_copied(source: Source, path: Path) -> Source:
    if path.stat().st_size != source.size:
        raise DataError(
            f"{source.name!r} has changed while muster read it: of {source.size:,} bytes {path.stat().st_size:,} came."
            " There is no output. Type the command again, with --fresh, when nobody writes to it."
        )
    return dataclasses.replace(source, path=str(path))


def _streamed(source: Source, path: Path, is_over: Event) -> Source:
    """Copy a file from start to end, in bounded memory."""
    was_packed = False
    with _Stoppable(path, is_over) as file, reaching(source.path):
        if is_web(source.path):
            was_packed = _web.download(source.path, file).was_packed
        else:
            files, inside = filesystem(source.path)
            with files.open(inside, "rb") as stream:
                shutil.copyfileobj(stream, file, _CHUNK)
    if source.size and not was_packed:
        _as_copied(source, path)
    codec = "" if was_packed and source.codec == "gzip" and not _begins_with(path, _GZIP) else source.codec
    return dataclasses.replace(source, path=str(path), size=path.stat().st_size, codec=codec)


def _begins_with(path: Path, mark: bytes) -> bool:
    """Tell whether a file is still packed: a server may have said so of the file itself, and the client unpacked it."""
    with path.open("rb") as file:
        return file.read(len(mark)) == mark
