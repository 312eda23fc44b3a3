"""Reach what URLs name through fsspec, and turn the errors of every protocol into muster's."""

import contextlib
import os
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final, TypeVar

from muster._private import secrets
from muster.errors import MusterError, UnreachableError, UsageError

T = TypeVar("T")

_PACKAGES: Final = {
    **dict.fromkeys(("s3", "s3a", "http", "https"), "'muster-run[remote]'"),
    **dict.fromkeys(("gs", "gcs"), "gcsfs"),
    **dict.fromkeys(("az", "abfs", "abfss", "adl"), "adlfs"),
    **dict.fromkeys(("sftp", "ssh"), "paramiko"),
    **dict.fromkeys(("github", "gist", "dbfs", "webhdfs", "jupyter", "jlab"), "requests"),
    "hf": "huggingface_hub",
    "smb": "smbprotocol",
    "oci": "ocifs",
    "oss": "ossfs",
    "webdav": "webdav4",
    "box": "boxfs",
    "dropbox": "dropboxdrivefs",
    "gdrive": "gdrive_fsspec",
    "git": "pygit2",
    "lakefs": "lakefs-spec",
    "root": "fsspec-xrootd",
}
"""What to install for a protocol."""

_STAMPS: Final = (
    *("etag", "generation", "md5hash", "contentmd5", "md5", "md5checksum", "crc32c", "digest", "sha256", "sha1", "sha"),
    *("blobid", "oid", "hash", "checksum", "versionid", "version", "revision", "rev", "lastmodified", "mtime"),
    *(
        "modify",
        "modified",
        "modifiedtime",
        "updated",
        "modificationtime",
        "lastwritetime",
        "clientmodified",
        "created",
    ),
)
"""Fields in which fsspec's file systems tell versions (S3, Google, Azure, HTTP, FTP, SFTP, SMB, HDFS and others), in
lower case. First those that depend on the content, then times."""

_ALSO: Final = {"s3a": "s3", "gcs": "gs", "abfs": "az", "https": "http", "ssh": "sftp"}
"""Protocols that take the options of another one, too."""

_WITH_BUCKETS: Final = {"s3", "gs", "abfs"}

_CHAIN: Final = re.compile(r"[a-z][a-z0-9+_.-]*(://[^:]*)?::.*://", re.DOTALL)
_asked_with: Final[dict[str, int]] = {}
"""A hash of the credentials in the environment, by protocol, when it was used last."""


def is_remote(path: str) -> bool:
    """Tell a URL from a path of this computer."""
    return "://" in path


def protocol_of(url: str) -> str:
    """Name the protocol of a URL."""
    return url.partition("://")[0].lower()


def is_web(url: str) -> bool:
    """Tell whether a URL is one of HTTP."""
    return protocol_of(url) in {"http", "https"}


def file_name(path: str) -> str:
    """Remove from a URL what is not part of the file's name: the query, or the version of an object."""
    if is_web(path):
        return re.split(r"[?#]", path, maxsplit=1)[0]
    return re.sub(r"\?versionId=[^/]*$", "", path) if is_remote(path) else path


def filesystem(url: str) -> tuple[Any, str]:
    """Open the fsspec file system of a URL, whose secrets are put back in; also return the path within it.

    Raises ``UsageError`` for a protocol that nobody knows, or without the package that it needs.
    """
    if _CHAIN.match(url):
        raise UsageError(
            f"{url!r} chains file systems with ::, and muster reads and writes files as they lie in a store. Name the"
            " last URL alone: .gz, .zst, .bz2, .xz and .zip of one file are unpacked on the way."
        )
    protocol = protocol_of(url)
    try:
        import fsspec

        kind = fsspec.get_filesystem_class(protocol)
        _see_new_credentials(protocol, kind)
        address = protocol + secrets.whole(url)[len(protocol) :]  # fsspec knows protocols in lower case alone
        files = kind(**{**kind._get_kwargs_from_urls(address), **options_for(protocol)})  # noqa: SLF001 (as fsspec does)
        return files, kind._strip_protocol(address)  # noqa: SLF001 (likewise)
    except ImportError as error:
        package = _PACKAGES.get(protocol, "'muster-run[remote]'")
        raise UsageError(
            f"{url!r} needs a package that is not installed: {error}. Type: pip install {package}"
        ) from None
    except (TypeError, ValueError) as error:
        raise UsageError(f"Cannot open {url!r}: {secrets.harmless(str(error))}.") from None
    except Exception as error:  # some file systems log in when they are made
        raise unreachable(url, error) from error


def options_for(protocol: str) -> dict[str, Any]:
    """Return the user's storage options for a protocol: those for all stores, and those under its name."""
    from fsspec.registry import known_implementations

    chosen = secrets.options()
    own = {name for name, value in chosen.items() if isinstance(value, Mapping) and name in known_implementations}
    options = {name: value for name, value in chosen.items() if name not in own}
    for name in own & {protocol, _ALSO.get(protocol, "")}:
        options |= chosen[name]
    return options


def _see_new_credentials(protocol: str, kind: Any) -> None:  # noqa: ANN401 (a class of a library without types)
    """Drop fsspec's cached file systems of a protocol where credentials in the environment have changed."""
    now = hash(tuple((name, os.environ[name]) for name in sorted(os.environ) if name.startswith(secrets.CREDENTIALS)))
    if _asked_with.get(protocol) != now:
        secrets.hide_environment()
    if _asked_with.setdefault(protocol, now) != now:
        kind.clear_instance_cache()
        _asked_with[protocol] = now


@contextlib.contextmanager
def asking(url: str) -> Iterator[None]:
    """Turn errors of a store into muster's, for listing: what is not there, or not allowed, is a ``UsageError``."""
    with reaching(url):
        try:
            yield
        except (FileNotFoundError, PermissionError) as error:
            said = f"Cannot list {url!r}: {said_by(error)}. Check the address and your credentials."
            raise UsageError(said) from error


@contextlib.contextmanager
def reaching(url: str) -> Iterator[None]:
    """Turn errors of a store into muster's."""
    try:
        yield
    except (MusterError, MemoryError):
        raise
    except Exception as error:
        raise unreachable(url, error) from error


def unreachable(url: str, error: Exception) -> UnreachableError | UsageError:
    """Make the error for a URL that could not be read or written: fsspec's protocols have error types of their own."""
    # Some file systems look at their options only when they are first used.
    if isinstance(error, TypeError | AttributeError) and options_for(protocol_of(url)):
        return UsageError(
            f"{secrets.shown(url)!r} cannot be opened with the storage options that were given: {said_by(error)}."
            " Correct --storage-option, then type the command again."
        )
    return UnreachableError(
        f"Cannot reach {secrets.shown(url)!r}: {said_by(error)}. What was done is kept. Check the network and your"
        " credentials, then type the same command again. More: muster help stores"
    )


def said_by(error: Exception) -> str:
    """Write an error of a library for one of our messages, without secrets."""
    status = getattr(error, "status", None)
    if isinstance(status, int):  # of an HTTP client, whose text has the whole URL
        return f"HTTP {status} {secrets.harmless(getattr(error, 'message', ''))}".rstrip()
    return f"{type(error).__name__}: {secrets.harmless(str(error))}".rstrip(": ")


def download(url: str, path: Path) -> None:
    """Copy a file of a store to a path."""
    files, inside = filesystem(url)
    try:
        files.get_file(inside, str(path))
    except Exception as error:
        raise unreachable(url, error) from error


def upload(path: Path, url: str) -> None:
    """Copy a file to a store, where it appears whole."""
    files, inside = filesystem(url)
    try:
        in_a_folder(files, inside, lambda: files.put_file(str(path), inside))
    except Exception as error:
        raise unreachable(url, error) from error


def in_a_folder(files: Any, path: str, write: Callable[[], T]) -> T:  # noqa: ANN401 (a file system of fsspec)
    """Write to a path; if that fails in a store with folders, make the folder and try again."""
    try:
        return write()
    except Exception:
        if has_buckets(files):
            raise
        files.makedirs(files._parent(path), exist_ok=True)  # noqa: SLF001 (fsspec's own way)
        return write()


def protocols_of(files: Any) -> set[str]:  # noqa: ANN401 (likewise)
    """Name the protocols that a file system goes by."""
    return {files.protocol} if isinstance(files.protocol, str) else set(files.protocol)


def has_buckets(files: Any) -> bool:  # noqa: ANN401 (likewise)
    """Tell whether a store keeps objects in buckets, whose names hold slashes, and has no folders."""
    return not protocols_of(files).isdisjoint(_WITH_BUCKETS)


def get(url: str) -> bytes:
    """Read a file of a store."""
    files, inside = filesystem(url)
    try:
        return bytes(files.cat_file(inside))
    except Exception as error:
        raise unreachable(url, error) from error


def versions(url: str) -> list[tuple[str, int, str]]:
    """List a file, or the files of a folder, each with its size and stamp."""
    files, path = filesystem(url)
    files.invalidate_cache()
    try:
        infos = (files.ls(path, detail=True) if url.endswith("/") else [files.info(path)]) if files.exists(path) else []
    except Exception as error:
        raise unreachable(url, error) from error
    return sorted((info["name"], int(info["size"] or 0), stamp_of(info)) for info in infos)


def stamp_of(info: Mapping[str, Any]) -> str:
    """Return what changes when a file's content does; empty where its store tells nothing of the kind.

    One field is enough, a digest rather than a time: a store that has several gives some of them only in listings, or
    only for single files.
    """
    fields = {re.sub("[-_]", "", name.lower()): value for name, value in info.items()}
    return next((str(fields[name]) for name in _STAMPS if fields.get(name)), "")
