"""Reach what URLs name, through fsspec: every protocol's errors become muster's own."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from muster.errors import EngineError, UsageError


def is_remote(path: str) -> bool:
    """Tell a URL from a path of this computer."""
    return "://" in path


def filesystem(url: str) -> tuple[Any, str]:
    """Open the fsspec file system of a URL; also the path within it. Raises ``UsageError`` without the extra."""
    try:
        import fsspec  # noqa: PLC0415 (local files need neither it nor its start-up time)

        files, path = fsspec.core.url_to_fs(url)
    except ImportError as error:
        raise UsageError(f"{url!r} needs the remote extra: {error}. Type: pip install 'muster[remote]'") from error
    except ValueError as error:
        raise UsageError(f"Cannot open {url!r}: {error}.") from error
    return files, path


def unreachable(url: str, error: Exception) -> EngineError:
    """Say that a URL could not be read or written; every protocol of fsspec has error types of its own."""
    return EngineError(
        f"Cannot reach {url!r}: {type(error).__name__}: {error}. What was done is kept. Check the network and your"
        " credentials, then type the same command again."
    )


def check_writable(url: str) -> None:
    """Write and remove a tiny file there. Raises ``UsageError`` where that cannot be, before any work is done."""
    files, path = filesystem(url.rstrip("/") + ".muster-probe")
    try:
        files.pipe_file(path, b"muster")
        files.rm_file(path)
    except (FileNotFoundError, PermissionError) as error:
        raise UsageError(f"Cannot write {url!r}: {error}. Check the address and your credentials.") from error
    except Exception as error:
        raise unreachable(url, error) from error


def upload(path: Path, url: str) -> None:
    """Put a file there; it appears whole."""
    files, inside = filesystem(url)
    try:
        files.put_file(str(path), inside)
    except Exception as error:
        raise unreachable(url, error) from error


def put(url: str, data: bytes) -> None:
    """Write a file there; it appears whole."""
    files, inside = filesystem(url)
    try:
        files.pipe_file(inside, data)
    except Exception as error:
        raise unreachable(url, error) from error


def get(url: str) -> bytes:
    """Read a file from there."""
    files, inside = filesystem(url)
    try:
        return bytes(files.cat_file(inside))
    except Exception as error:
        raise unreachable(url, error) from error


def sizes(url: str) -> dict[str, int]:
    """Tell the sizes in bytes of a folder's files, by name; none where there is no such folder."""
    files, path = filesystem(url)
    files.invalidate_cache()
    try:
        found = files.ls(path, detail=True) if files.isdir(path) else []
    except Exception as error:
        raise unreachable(url, error) from error
    files_in_it = (info for info in found if info["type"] == "file")
    return {info["name"].rstrip("/").rpartition("/")[2]: int(info["size"] or 0) for info in files_in_it}


def versions(url: str) -> list[tuple[str, int, str]]:
    """List a file, or the files of a folder, each with its size and what tells one version of it from the next."""
    files, path = filesystem(url)
    files.invalidate_cache()
    try:
        found = (files.ls(path, detail=True) if url.endswith("/") else [files.info(path)]) if files.exists(path) else []
    except Exception as error:
        raise unreachable(url, error) from error
    return sorted((one["name"], int(one["size"] or 0), stamp_of(one)) for one in found)


def stamp_of(info: Mapping[str, Any]) -> str:
    """Take what changes when a file's content does; empty where its file system tells nothing of the kind."""
    return str(info.get("ETag") or info.get("mtime") or "")


def list_folder(url: str) -> list[str]:
    """Name the files of a folder; none where there is no such folder."""
    _, path = filesystem(url)
    return [name for name in sizes(url) if name and name != path.rstrip("/").rpartition("/")[2]]


def delete(url: str, names: Sequence[str]) -> None:
    """Delete files of a folder."""
    files, path = filesystem(url)
    try:
        for name in names:
            files.rm_file(f"{path.rstrip('/')}/{name}")
    except Exception as error:
        raise unreachable(url, error) from error
