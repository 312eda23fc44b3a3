"""Find files in stores, as files of this computer are found: what exists by a name is not taken for a pattern.

One listing tells all about the files of a folder. Only web servers are asked about each file.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import PurePosixPath
from typing import Any, Final

from muster._private.secrets import shown
from muster._urls.urls import asking, file_name, filesystem, is_web, protocol_of, stamp_of
from muster.errors import UsageError

from . import _web
from ._folders import below_pattern
from ._found import FoundFile, Look

_MAGIC: Final = "*?["
_AT_ONCE: Final = 16
"""How many URLs are asked about at a time."""


def find(urls: Sequence[str]) -> list[list[FoundFile]]:
    """Find what each URL names, which may be nothing. Raises ``MusterError`` where a store gives no answer."""
    if len(urls) < 2 or not all(_answers_many(url) for url in urls):  # noqa: PLR2004 (one needs no threads)
        return [_find(url) for url in urls]
    with ThreadPoolExecutor(_AT_ONCE) as threads:
        return list(threads.map(_find, urls))


def _answers_many(url: str) -> bool:
    """Tell whether fsspec may be asked from several threads at a time."""
    return bool(filesystem(url)[0].async_impl)


def _find(url: str) -> list[FoundFile]:
    with asking(url):
        return _find_pages(url) if is_web(url) else _find_objects(url)


def _find_objects(url: str) -> list[FoundFile]:
    files, root = filesystem(url)
    files.invalidate_cache()  # fsspec remembers listings for as long as the process lives
    info, address = _info(files, root), _addresses(url, root)
    if info is not None and info["type"] == "file" and not (url.endswith("/") and files.isdir(root)):
        return [FoundFile(url, file_name(url).rstrip("/").rpartition("/")[2], _look_of(info))]
    if info is not None:
        listed = files.find(root, detail=True)
        named = sorted((path, info) for path, info in listed.items() if _is_file(path, info))
        return [
            FoundFile(
                address(path),
                path.removeprefix(root).lstrip("/"),
                _look_of_listed(address(path), info),
                is_of_folder=True,
            )
            for path, info in named
        ]
    if not any(sign in root for sign in _MAGIC):
        return []
    matching = sorted((path, info) for path, info in files.glob(root, detail=True).items() if _is_file(path, info))
    return [
        FoundFile(address(path), inside, _look_of_listed(address(path), info))
        for path, info in matching
        if (inside := _visible(path, root))
    ]


def _info(files: Any, path: str) -> dict[str, Any] | None:  # noqa: ANN401 (a file system of a library without types)
    """Ask about this very name, pattern or not; ``None`` where nothing has it."""
    try:
        info: dict[str, Any] = files.info(path)
    except FileNotFoundError:
        return None
    except PermissionError:  # what some stores answer about a name that is not there, to those who may not list
        if any(sign in path for sign in _MAGIC):
            return None
        raise
    return info


def _is_file(path: str, info: Mapping[str, Any]) -> bool:
    """Tell a file from a folder, and from an object that stands for one."""
    return info["type"] == "file" and not path.endswith("/")


def _visible(path: str, pattern: str) -> str:
    """Name a file relative to its pattern; empty for a hidden file that a shell would not match either."""
    inside = below_pattern(path, pattern)
    wild = PurePosixPath(pattern).parts[len(PurePosixPath(path).parts) - len(PurePosixPath(inside).parts) :]
    if any(part.startswith(".") for part in PurePosixPath(inside).parts) and not any(
        part.startswith(".") for part in wild
    ):
        return ""
    return inside


def _look_of(info: Mapping[str, Any]) -> Callable[[], Look]:
    size, packed = info.get("size"), info.get("contentEncoding") or info.get("content_encoding")
    look = Look(int(size or 0), stamp_of(info), in_ranges=size is not None and packed != "gzip")
    return lambda: look


def _look_of_listed(url: str, info: Mapping[str, Any]) -> Callable[[], Look]:
    """Take what a listing says. For an object that has no URL of its own, looking raises ``UsageError``."""
    if protocol_of(url) not in {"s3", "s3a"} or "?versionId=" not in url:
        return _look_of(info)

    def refuse() -> Look:
        raise UsageError(
            f"{url!r} has ?versionId= in its own name, which the client of S3 takes for a version of another object."
            " Rename the object, or name the others by a pattern, such as *.csv."
        )

    return refuse


def _addresses(url: str, root: str) -> Callable[[str], str]:
    """Make URLs of the paths below a root: the paths lack the host or the account that the root's own URL has."""
    plain = url.rstrip("/")
    alike = next((at for at, (a, b) in enumerate(zip(reversed(plain), reversed(root), strict=False)) if a != b), None)
    same = min(len(plain), len(root)) if alike is None else alike
    base, above = plain[: len(plain) - same], root[: len(root) - same]
    return lambda path: shown(base + path.removeprefix(above))


# Web servers, which have neither folders nor listings, but may have a page that names files


def _find_pages(url: str) -> list[FoundFile]:
    files, address = filesystem(url)
    files.invalidate_cache()
    name = file_name(url).rpartition("/")[2]
    try:
        seen = _web.look(url)
    except FileNotFoundError:
        if not any(sign in file_name(address) for sign in "*["):
            return []
        return _linked((path, below_pattern(path, address)) for path in sorted(files.glob(address)))
    if seen.is_page and "." not in name:
        root = f"{file_name(address).rstrip('/')}/"
        paths = sorted(path for path in files.find(root) if not path.endswith("/"))
        return [one._replace(is_of_folder=True) for one in _linked((p, p.removeprefix(root)) for p in paths)]
    return [FoundFile(url, name, partial(_as_look, seen))]


def _linked(named: Iterable[tuple[str, str]]) -> list[FoundFile]:
    listed = [(shown(path), inside) for path, inside in named]
    seen = _web.look_at_all([path for path, _ in listed])
    return [FoundFile(path, inside, partial(_as_look, one)) for (path, inside), one in zip(listed, seen, strict=True)]


def _as_look(seen: _web.Headers) -> Look:
    return Look(seen.size or 0, seen.stamp, in_ranges=seen.in_ranges)
