"""Whether the output would replace an input that has another address: by the sizes, times and versions of both."""

import contextlib
import os
from collections.abc import Iterator, Sequence
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Final
from urllib.parse import unquote

from muster._formats.reader import RangeReader
from muster._model import WRITTEN, Source
from muster._urls import objects
from muster._urls.identity import local
from muster._urls.urls import file_name, filesystem, has_buckets, is_remote, is_web
from muster.errors import MusterError

from .manifest import PART

_SECONDS_APART: Final = 1.0
"""Stores tell times in whole seconds as a rule, and some round them."""
_ENDS: Final = 1 << 16
"""So many bytes at either end are compared, where all that is told of two files is the same."""


def twin_in(output: str, *, among: Sequence[Source]) -> tuple[str, Source] | None:
    """Find the file that seems to be the output which stands there, or a part of it. Raises ``EngineError``."""
    if is_remote(output) and has_buckets(filesystem(output)[0]):  # what lies in a bucket is no file of this computer
        among = [one for one in among if is_remote(one.path)]
    for place, found in _standing(output) if among else ():
        for source in among:
            if _may_be(source, place) and _is_alike(source, found) and _has_same_ends(source, place, size=found.size):
                return place, source
    return None


def _standing(output: str) -> Iterator[tuple[str, objects.StoredObject]]:
    """List what a run would replace."""
    if is_remote(output):
        is_folder = output.endswith("/")
        listed = objects.find(output) if is_folder else {"": objects.look(output)}
        yield from ((output + name, one) for name, one in listed.items() if one and (not name or PART.fullmatch(name)))
        return
    path = Path(local(output))
    with contextlib.suppress(OSError):
        for one in sorted(path.iterdir()) if path.is_dir() else [path]:
            if one == path or PART.fullmatch(one.name):
                status = one.stat()
                yield str(one), objects.StoredObject(status.st_size, "", status.st_mtime)


def _may_be(source: Source, place: str) -> bool:
    """Tell whether names allow it: those of the web may lead anywhere, and others end as the file itself does."""
    return is_web(source.path) or _name(source.path) == _name(place)


def _name(path: str) -> str:
    return unquote(file_name(path)).rpartition("/")[2]


def _is_alike(source: Source, found: objects.StoredObject) -> bool:
    if source.in_ranges and source.size != found.size:
        return False
    has_same_stamp = bool(found.stamp) and _plain(source.stamp) == _plain(found.stamp)
    written = _written(source)
    if written is None or found.written is None:
        return has_same_stamp
    return abs(written - found.written) <= _SECONDS_APART


def _written(source: Source) -> float | None:
    """Tell when a file was written, in seconds since 1970; of the web as the last of all redirects tells it."""
    with contextlib.suppress(ValueError):
        return parsedate_to_datetime(source.stamp.rpartition(WRITTEN)[2]).timestamp()
    with contextlib.suppress(MusterError, OSError):
        if not is_remote(source.path):
            return os.stat(source.path).st_mtime  # noqa: PTH116 (a name as it is)
        if is_web(source.path):  # it has told what it tells
            return None
        found = objects.look(source.path)
        return found.written if found else None
    return None


def _has_same_ends(source: Source, place: str, *, size: int) -> bool:
    """Compare bytes; where they cannot be read, what is told decides."""
    if not source.in_ranges:
        return True
    with contextlib.suppress(MusterError, OSError):
        theirs, ours = RangeReader(source.path), RangeReader(place)
        ends = {(0, min(size, _ENDS)), (max(size - _ENDS, 0), size)}
        return all(theirs.read(*end) == ours.read(*end) for end in ends)
    return True


def _plain(stamp: str) -> str:
    """Take off what some write around the same version."""
    return stamp.partition(WRITTEN)[0].removeprefix("W/").strip('"')
