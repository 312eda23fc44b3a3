"""Ask web servers for files: by ranges where a server supports them, as one stream where it does not.

What a server says is checked: it may send the whole for a range, a wrong length, or a compressed body. Requests go
through fsspec's session, so that its settings count; one that fails is made again.
"""

import asyncio
import contextlib
import re
import zlib
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping
from time import monotonic
from typing import IO, Any, Final, NamedTuple, TypeVar

from muster._model import WRITTEN, Stored
from muster._private.secrets import hide_redirect, shown
from muster._urls.urls import filesystem
from muster._words import bare
from muster.errors import DataError, EngineError

from ._as_found import check_version, short, stamp_of_answer, whole_range

T = TypeVar("T")

_TRIES: Final = 4
"""With pauses that grow: a server that starts anew is there again within them."""

_FIRST_PAUSE: Final = 0.2
"""Seconds before the second try; each pause is twice as long as the one before."""
_BUSY: Final = frozenset({429, 500, 502, 503, 504})
_MISSING: Final = frozenset({404, 410})
_REFUSED: Final = frozenset({401, 403})
_CHUNK: Final = 1 << 20
"""Memory stays small, and a chunk is worth its calls."""


class Patience(NamedTuple):
    """How many seconds a server may send nothing. These are not measured: large sites answer within some."""

    whole: float = 60.0
    """Until a connection counts as broken, however long a file takes; and until it is given up, over all tries."""
    part: float = 30.0
    """Until it counts as broken for a range of a file: a server has nothing to generate before that."""


_USUAL: Final = Patience()

_FIRST_BYTE: Final = "bytes=0-0"
_AT_ONCE: Final = 16
"""Requests at a time: as many as a browser or two would make."""

_PART: Final = 206
_NO_SUCH_RANGE: Final = 416
_NONE: Final[Mapping[str, str]] = {}
_PACKED: Final = frozenset({"gzip", "x-gzip", "deflate"})
"""Encodings that are decompressed here: the client would take a body that was cut off for a whole one."""
_WINDOW_BITS: Final = 15
"""Of zlib's largest window, which every compressor may use."""

_WINDOW: Final = 32 + _WINDOW_BITS
"""Has ``zlib`` recognize gzip and deflate by the header, which some servers leave out of deflate."""


class Headers(NamedTuple):
    """What a server tells of a file before it is read."""

    size: int | None
    """``None`` where the server generates the file as it sends it, or compresses it for the transfer."""
    stamp: str
    in_ranges: bool
    is_page: bool
    """It is HTML, such as the index of a folder."""


class Got(NamedTuple):
    """A file that was read as a whole."""

    size: int
    stamp: str
    was_packed: bool
    """The server compressed it for the transfer, by what it said, so it was decompressed here."""


def look(url: str) -> Headers:
    """Ask about a file. Raises ``FileNotFoundError``, ``PermissionError``, or an error of the client."""
    return _run(url, _look)


def look_at_all(urls: list[str]) -> list[Headers]:
    """Ask about many files, some at a time."""

    async def look_at_each(files: Any, _: str) -> list[Headers]:  # noqa: ANN401 (a library without types)
        gate = asyncio.Semaphore(_AT_ONCE)

        async def one(url: str) -> Headers:
            async with gate:
                return await _again(url, lambda: _look(files, filesystem(url)[1]))

        return await asyncio.gather(*map(one, urls))

    return _run(urls[0], look_at_each) if urls else []


def read(url: str, start: int, stop: int, *, patience: Patience = _USUAL) -> bytes:
    """Read a range, fewer bytes at the end of the file. A server may send the whole file instead."""

    async def read_there(files: Any, address: str) -> bytes:  # noqa: ANN401 (a library without types)
        return await _read(files, address, start, stop, url=url, silence=patience.part)

    return _run(url, read_there, silence=patience.part, patience=patience)


async def content(url: str, size: int) -> bytes:
    """Read a whole file whose size is known; for those who ask for many at a time."""
    files, address = filesystem(url)
    silence = _USUAL.part
    return await _again(url, lambda: _read(files, address, 0, size, url=url, silence=silence), silence=silence)


def download(url: str, file: IO[bytes], *, patience: Patience = _USUAL) -> Got:
    """Read a file from start to end into another; memory does not grow with it."""

    async def download_there(files: Any, address: str) -> Got:  # noqa: ANN401 (likewise)
        return await _download(files, address, file, url=url, silence=patience.whole)

    return _run(url, download_there, silence=patience.whole, patience=patience)


def _run(
    url: str,
    ask: Callable[[Any, str], Coroutine[Any, Any, T]],
    *,
    silence: float = _USUAL.whole,
    patience: Patience = _USUAL,
) -> T:
    """Ask in fsspec's own thread, where its session lives; again where the fault is the server's or the network's."""
    from fsspec.asyn import sync

    files, address = filesystem(url)
    answer: T = sync(files.loop, lambda: _again(url, lambda: ask(files, address), silence=silence, patience=patience))
    return answer


async def _again(
    url: str, ask: Callable[[], Coroutine[Any, Any, T]], *, silence: float = _USUAL.whole, patience: Patience = _USUAL
) -> T:
    """Ask a few times. A request counts as lost after ``silence`` seconds without a byte."""
    import aiohttp

    pause, silent = _FIRST_PAUSE, 0.0
    for left in reversed(range(_TRIES)):
        began = monotonic()
        try:
            return await ask()
        except TimeoutError as error:
            silent += min(monotonic() - began, silence)  # before that, something may have come
            if not left or silent >= patience.whole:
                raise _given_up(url, silent) from error
        except aiohttp.ClientError as error:
            status = getattr(error, "status", None)
            if not left or (status is not None and status not in _BUSY):
                raise
        await asyncio.sleep(pause)
        pause *= 2
    raise AssertionError


def _given_up(url: str, silent: float) -> EngineError:
    return EngineError(
        f"Cannot reach {shown(url)!r}: for {silent:.0f} seconds the server has sent nothing. What was done is kept."
        " Look after the server, then type the same command again. More: muster help stores"
    )


@contextlib.asynccontextmanager
async def _asked(  # noqa: PLR0913 (each is given by its name)
    files: Any,  # noqa: ANN401 (as above)
    address: str,
    ranges: str = "",
    *,
    silence: float = _USUAL.whole,
    unpacks: bool = True,
    headers: Mapping[str, str] = _NONE,
) -> AsyncIterator[Any]:
    """Make a request. It asks for a body without compression, as ranges would count the compressed bytes."""
    import aiohttp
    import yarl

    chosen = {"timeout": aiohttp.ClientTimeout(total=None, sock_connect=30, sock_read=silence), **files.kwargs}
    asked = {**chosen.pop("headers", {}), "Accept-Encoding": "identity", **headers}
    asked |= {"Range": ranges} if ranges else {}
    # What is escaped already stays as it is: a signature is of every character.
    url = yarl.URL(address.partition("#")[0], encoded=re.fullmatch(r"[!-~]*", address) is not None)
    session = await files.set_session()
    async with session.get(url, headers=asked, auto_decompress=unpacks, **chosen) as answer:
        for step in answer.history:
            hide_redirect(step.headers.get("Location", ""))
        if answer.status in _MISSING:
            raise FileNotFoundError(f"HTTP {answer.status} {answer.reason}")
        if answer.status in _REFUSED:
            raise PermissionError(f"HTTP {answer.status} {answer.reason}")
        if answer.status != _NO_SUCH_RANGE or not ranges:
            answer.raise_for_status()
        yield answer


def _range_of(answer: Any) -> tuple[int | None, int | None]:  # noqa: ANN401 (likewise)
    """Read from an answer where its range starts, and how large the whole file is."""
    match = re.fullmatch(r"bytes (?:(\d+)-\d+|\*)/(\d+|\*)", answer.headers.get("Content-Range", "").strip())
    if match is None:
        return None, None
    return int(match[1]) if match[1] else None, None if match[2] == "*" else int(match[2])


def _is_packed(answer: Any) -> bool:  # noqa: ANN401 (likewise)
    return answer.headers.get("Content-Encoding", "").lower() not in {"", "identity"}


async def _look(files: Any, address: str) -> Headers:  # noqa: ANN401 (likewise)
    """Ask for the first byte: servers answer that more reliably, and say more, than for a HEAD request."""
    async with _asked(files, address, _FIRST_BYTE) as answer:
        start, whole = _range_of(answer)
        stamp = stamp_of_answer(answer.headers)
        is_page = answer.headers.get("Content-Type", "").startswith("text/html")
        if _is_packed(answer):
            return Headers(None, stamp, in_ranges=False, is_page=is_page)
        if answer.status == _PART and start == 0 and whole is not None:
            return Headers(whole, stamp, in_ranges=True, is_page=is_page)
        if answer.status == _NO_SUCH_RANGE:
            return Headers(whole, stamp, in_ranges=whole == 0, is_page=is_page)
        length = answer.headers.get("Content-Length", "") if answer.status != _PART else ""
        return Headers(int(length) if length.isdecimal() else None, stamp, in_ranges=False, is_page=is_page)


async def _read(  # noqa: PLR0913 (each is given by its name)
    files: Any,  # noqa: ANN401 (likewise)
    address: str,
    start: int,
    stop: int,
    *,
    url: str,
    silence: float,
) -> bytes:
    """Read a range. Raises ``DataError`` where an answer is of another version, or of fewer bytes than were found."""
    async with _asked(files, address, f"bytes={start}-{stop - 1}", silence=silence, headers=_only_if(url)) as answer:
        if answer.status == _NO_SUCH_RANGE:
            return whole_range(url, b"", start, stop)
        check_version(url, answer.headers)
        if answer.status == _PART:
            return await _part_of(answer, start, stop, url=url)
        pieces, at = [], 0  # the whole file: skip what comes before the range, and stop after it
        async for chunk in answer.content.iter_chunked(_CHUNK):
            pieces.append(chunk[max(start - at, 0) : max(stop - at, 0)])
            at += len(chunk)
            if at >= stop:
                break
        return whole_range(url, b"".join(pieces), start, stop)


async def _part_of(answer: Any, start: int, stop: int, *, url: str) -> bytes:  # noqa: ANN401 (likewise)
    begin, whole = _range_of(answer)
    if begin != start or _is_packed(answer):
        raise DataError(
            f"{shown(url)!r}: the server sends another range than it is asked for (bytes from {begin}, not from"
            f" {start}{', and packed' if _is_packed(answer) else ''}). Fetch the file yourself, and name that as input."
        )
    if whole is not None and isinstance(url, Stored) and url.size is not None and whole != url.size:
        raise short(url, whole, url.size)
    data = bytes(await answer.read())[: stop - start]
    if whole is not None and len(data) < min(stop, whole) - start:
        raise short(url, len(data), min(stop, whole) - start)
    return whole_range(url, data, start, stop)


def _only_if(url: str) -> Mapping[str, str]:
    """Ask for the range only if the file is still the version that was found; else servers send the whole file."""
    tag = url.stamp.partition(WRITTEN)[0] if isinstance(url, Stored) else ""
    return {"If-Range": tag} if tag.startswith('"') else _NONE


async def _download(
    files: Any,  # noqa: ANN401 (likewise)
    address: str,
    file: IO[bytes],
    *,
    url: str,
    silence: float,
) -> Got:
    async with _asked(files, address, silence=silence, unpacks=False) as answer:
        packed = answer.headers.get("Content-Encoding", "").strip().lower()
        if packed in {"", "identity", *_PACKED}:
            return await _stored(answer, file, url=url, unpack=_Unpacking(url) if packed in _PACKED else bytes)
    async with _asked(files, address, silence=silence) as answer:  # compressed in a way that only the client knows
        return await _stored(answer, file, url=url, unpack=bytes)


async def _stored(answer: Any, file: IO[bytes], *, url: str, unpack: Callable[[bytes], bytes]) -> Got:  # noqa: ANN401 (likewise)
    check_version(url, answer.headers)
    file.seek(0)
    file.truncate()
    async for chunk in answer.content.iter_chunked(_CHUNK):
        file.write(unpack(chunk))
    if isinstance(unpack, _Unpacking):
        unpack.end()
    return Got(file.tell(), stamp_of_answer(answer.headers), was_packed=_is_packed(answer))


class _Unpacking:
    """Decompress a body as it comes; it may be several compressed streams, one after another."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._unpacker: Any = None

    def __call__(self, data: bytes) -> bytes:
        """Decompress what has come. Raises ``DataError`` where it is not compressed as the server has said."""
        pieces = []
        while data and (data := data if self._is_within() else data.lstrip(b"\0")):  # zeros after a stream are padding
            if not self._is_within():
                self._unpacker = zlib.decompressobj(
                    _WINDOW if data[:1] == b"\x1f" or data[0] & 15 == zlib.DEFLATED else -_WINDOW_BITS
                )
            try:
                pieces.append(self._unpacker.decompress(data))
            except zlib.error as error:
                raise DataError(
                    f"{shown(self._url)!r}: what the server sends as packed cannot be unpacked: {bare(error)}."
                ) from error
            data = self._unpacker.unused_data
        return b"".join(pieces)

    def end(self) -> None:
        """Raise ``DataError`` where the body was cut off."""
        if self._is_within():
            raise DataError(
                f"{shown(self._url)!r}: the server packs the file for the way, and what it sends is cut off. Run again;"
                " if that happens once more, fetch the file yourself, and name that as input."
            )

    def _is_within(self) -> bool:
        return self._unpacker is not None and not self._unpacker.eof
