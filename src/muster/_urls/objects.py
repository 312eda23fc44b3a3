"""Objects of a store: what lies there, and how it is written, replaced and deleted."""

import contextlib
import re
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import partial
from operator import methodcaller
from pathlib import Path
from typing import Any, Final, NamedTuple, TypeVar

from muster._words import plural

from .urls import filesystem, in_a_folder, protocols_of, stamp_of, unreachable, upload

_CLOCKS: Final = (
    *("lastmodified", "updated", "modified", "modifiedtime", "modify", "mtime", "modificationtime", "lastwritetime"),
    *("clientmodified", "timestamp", "created"),
)
"""Fields in which fsspec's file systems tell when an object was written: in lower case, without ``-`` and ``_``."""
_MILLISECONDS: Final = 1e11
"""A time above this is in milliseconds: in seconds since 1970 it would lie beyond the year 5000."""
_AT_ONCE: Final = 500
"""Objects that one request deletes; S3 allows 1,000."""
_KEEPS_WHAT_IS_IN_FOLDERS: Final = {"sftp", "ftp", "smb"}
_NOT_MET: Final = frozenset({409, 412})
_UNKNOWN: Final = frozenset({400, 501})
"""Statuses of servers that do not support conditions."""
_WRITES: Final = frozenset({"put_object", "complete_multipart_upload"})
_PIECE: Final = 8 << 20
"""Stores want at least 5 MiB in each part of an upload but the last."""


T = TypeVar("T")


class StoredObject(NamedTuple):
    """An object: its size in bytes, the stamp of its version, and when it was written.

    The time is in seconds by the clock of the store, which all its users share; ``None`` where the store does not tell.
    """

    size: int
    stamp: str
    written: float | None


def find(url: str) -> dict[str, StoredObject]:
    """List all objects below a folder, by their names from it."""
    files, path = filesystem(url)
    root = path.rstrip("/") + "/"

    def ask() -> dict[str, StoredObject]:
        files.invalidate_cache()
        listed: Mapping[str, Mapping[str, Any]] = files.find(root.rstrip("/"), detail=True)
        return {
            name.removeprefix(root): StoredObject(int(info["size"] or 0), stamp_of(info), _written(info))
            for name, info in listed.items()
            if name.startswith(root) and not name.endswith("/") and info["type"] == "file"
        }

    return _asked(url, ask, missing={})


def look(url: str) -> StoredObject | None:
    """Look at one object; ``None`` where there is none, or only a folder."""
    files, path = filesystem(url)

    def ask() -> StoredObject | None:
        files.invalidate_cache()
        info = files.info(path)
        return StoredObject(int(info["size"] or 0), stamp_of(info), _written(info)) if info["type"] == "file" else None

    return _asked(url, ask, missing=None)


def kind_at(url: str) -> str:
    """Return what lies at a place: ``file``, ``directory``, or empty text for nothing."""
    files, path = filesystem(url)

    def ask() -> str:
        files.invalidate_cache()
        return str(files.info(path.rstrip("/"))["type"])

    return _asked(url, ask, missing="")


def read(url: str) -> bytes | None:
    """Read an object; ``None`` where there is none."""
    files, path = filesystem(url)

    def ask() -> bytes | None:
        return bytes(files.cat_file(path))

    return _asked(url, ask, missing=None)


def beginning(url: str, size: int) -> bytes:
    """Read the first bytes of an object; none where there is no object."""
    files, path = filesystem(url)

    def ask() -> bytes:
        files.invalidate_cache()
        info = files.info(path)  # for an empty one, a server refuses a range of bytes
        return bytes(files.cat_file(path, start=0, end=size)) if info["type"] == "file" and info["size"] else b""

    return _asked(url, ask, missing=b"")


def put(url: str, data: bytes) -> str:
    """Write an object, which appears whole; return the stamp of what was written."""
    files, path = filesystem(url)

    def tell() -> str:
        answer = in_a_folder(files, path, lambda: files.pipe_file(path, data))
        return stamp_of(answer if isinstance(answer, Mapping) and answer.get("ETag") else files.info(path))

    return _told(url, tell)


def put_if(url: str, data: bytes, *, before: str | None) -> bool:
    """Write an object only if it still has the stamp ``before``, or for ``None`` only if there is none; return whether.

    A store that has no conditional writes gets it in any case.
    """
    if not _knows_conditions(url):
        put(url, data)
        return True
    return _if_met(url, before, methodcaller("_pipe_file", filesystem(url)[1], data), otherwise=lambda: put(url, data))


def upload_if(path: Path, url: str, *, before: str | None) -> bool:
    """``put_if`` for a file, also a large one in parts."""
    if not _knows_conditions(url):
        upload(path, url)
        return True
    write = methodcaller("_put_file", str(path), filesystem(url)[1])
    if _if_met(url, before, write, otherwise=lambda: upload(path, url)):
        return True
    return holds(url, path)  # a retry finds the object that the first try has written, when the answer to that was lost


def holds(url: str, path: Path) -> bool:
    """Tell whether an object has the bytes of a file."""
    there = look(url)
    if there is None or there.size != path.stat().st_size:
        return False
    files, inside = filesystem(url)
    with path.open("rb") as ours:
        at = 0
        while data := ours.read(_PIECE):
            start, at = at, at + len(data)
            if _told(url, partial(files.cat_file, inside, start=start, end=at)) != data:
                return False
    return True


def _knows_conditions(url: str) -> bool:
    return "s3" in protocols_of(filesystem(url)[0])


def _if_met(
    url: str, before: str | None, write: Callable[[Any], Coroutine[Any, Any, Any]], *, otherwise: Callable[[], Any]
) -> bool:
    """Write on a condition; ``otherwise`` writes without one, for a server or a client that has none.

    Any other failure raises: an object is not written without the condition just because the request failed.
    """
    from fsspec.asyn import sync

    files, _ = filesystem(url)
    condition = {"IfNoneMatch": "*"} if before is None else {"IfMatch": before}
    try:
        sync(files.loop, write, _on_condition(files, condition))
    except Exception as error:
        status, kind = _status_of(error)
        if status in _NOT_MET or isinstance(error, FileNotFoundError):
            return False
        if status not in _UNKNOWN and kind != "ParamValidationError":
            raise unreachable(url, error) from error
        otherwise()
    files.invalidate_cache()
    return True


def _on_condition(files: Any, condition: Mapping[str, str]) -> Any:  # noqa: ANN401 (fsspec has no types)
    """Copy a file system so that it adds a condition to its writes: fsspec itself has none for replacing an object."""
    twin = object.__new__(type(files))
    vars(twin).update(vars(files))

    async def call(method: str, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 (likewise)
        more = condition if method in _WRITES else {}
        return await files._call_s3(method, *args, **kwargs, **more)  # noqa: SLF001 (fsspec's own way)

    twin._call_s3 = call
    return twin


def _status_of(error: BaseException) -> tuple[int, str]:
    """Return the HTTP status of an error of S3, 0 if it has none, and the name of the error's type."""
    answered = next((cause for cause in (error, error.__cause__) if hasattr(cause, "response")), None)
    answer = getattr(answered, "response", {}).get("ResponseMetadata", {})
    return int(answer.get("HTTPStatusCode", 0)), type(error.__cause__ or error).__name__


def delete(url: str, names: Iterable[str]) -> None:
    """Delete objects of a folder, by their names from it; what is gone already is no error."""
    files, path = filesystem(url)
    paths = [f"{path.rstrip('/')}/{name}" for name in names]
    if len(paths) > 1 and hasattr(files, "call_s3"):
        for at in range(0, len(paths), _AT_ONCE):
            _delete_together(files, url, paths[at : at + _AT_ONCE])
        files.invalidate_cache()
        return
    for inside in paths:
        _asked(url, partial(files.rm_file, inside), missing=None)


def forget_folder(url: str) -> None:
    """Remove an empty folder, in stores that have folders and refuse to remove others."""
    files, path = filesystem(url)
    if not protocols_of(files).isdisjoint(_KEEPS_WHAT_IS_IN_FOLDERS):
        with contextlib.suppress(Exception):  # something lies there, or somebody else was quicker
            files.rmdir(path.rstrip("/"))


def _delete_together(files: Any, url: str, paths: Sequence[str]) -> None:  # noqa: ANN401 (fsspec has no types)
    bucket = files.split_path(paths[0])[0]
    asked = {"Objects": [{"Key": files.split_path(path)[1]} for path in paths], "Quiet": True}
    answer = _told(url, lambda: files.call_s3("delete_objects", Bucket=bucket, Delete=asked))
    if failed := answer.get("Errors"):
        raise unreachable(
            url, OSError(f"{plural(len(failed), 'object')} could not be deleted: {failed[0].get('Message')}")
        )


def uploads(urls: Sequence[str]) -> list[tuple[str, str]]:
    """List the multipart uploads below these places that were begun and not ended: the key and the id of each.

    Empty where the store has no such uploads, or does not allow listing them.
    """
    begun = []
    for url in urls:
        files, path = filesystem(url)
        if not hasattr(files, "call_s3"):
            continue
        bucket, key, _ = files.split_path(path)
        try:
            listed = files.call_s3("list_multipart_uploads", Bucket=bucket, Prefix=key)
        except Exception:  # noqa: BLE001, S112 (who may write may not always list these)
            continue
        begun += [(upload["Key"], upload["UploadId"]) for upload in listed.get("Uploads") or ()]
    return begun


def abort(url: str, key: str, upload: str) -> None:
    """Abort a multipart upload, so that nobody pays for its parts."""
    files, path = filesystem(url)
    bucket, *_ = files.split_path(path)
    _asked(url, lambda: files.call_s3("abort_multipart_upload", Bucket=bucket, Key=key, UploadId=upload), missing=None)


def _asked(url: str, ask: Callable[[], T], *, missing: T) -> T:
    """Ask a store; ``missing`` is the answer where there is no such object. Raises ``EngineError``."""
    try:
        return ask()
    except FileNotFoundError:
        return missing
    except Exception as error:
        raise unreachable(url, error) from error


def _told(url: str, tell: Callable[[], T]) -> T:
    """Have a store do something; its errors become muster's. Raises ``EngineError``."""
    try:
        return tell()
    except Exception as error:
        raise unreachable(url, error) from error


def _written(info: Mapping[str, Any]) -> float | None:
    fields = {re.sub("[-_]", "", name.lower()): value for name, value in info.items()}
    said = next((fields[clock] for clock in _CLOCKS if fields.get(clock)), None)
    said = _read_time(said) if isinstance(said, str) else said
    if isinstance(said, datetime):
        return (said if said.tzinfo else said.replace(tzinfo=UTC)).timestamp()
    if isinstance(said, int | float):
        return said / 1000 if said > _MILLISECONDS else float(said)
    return None


def _read_time(text: str) -> datetime | None:
    """Read a time as FTP, as JSON or as HTTP writes it."""
    with contextlib.suppress(ValueError):
        if re.fullmatch(r"\d{14}(\.\d+)?", text):
            return datetime.strptime(text[:14], "%Y%m%d%H%M%S").replace(tzinfo=UTC)
        return datetime.fromisoformat(text) if text[:1].isdigit() else parsedate_to_datetime(text)
    return None
