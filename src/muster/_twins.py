"""Whether an object of a store is one that is known by another address: by what is told of both."""

import contextlib
from collections.abc import Sequence
from pathlib import Path

from muster import _objects
from muster._model import WRITTEN, Source
from muster._urls import filesystem, has_buckets, is_remote
from muster.errors import MusterError

_SECONDS_APART = 1.0
"""Stores tell times in whole seconds as a rule, and some round them."""


def twin_of(place: str, *, among: Sequence[Source]) -> Source | None:
    """Tell which of some files, whose names are the same, an object seems to be. Raises ``EngineError``."""
    found = _objects.look(place)
    if found is None:
        return None
    has_keys = has_buckets(filesystem(place)[0])  # what lies in a bucket is no file of this computer
    return next((one for one in among if (is_remote(one.path) or not has_keys) and _is_alike(one, found)), None)


def _is_alike(source: Source, found: _objects.Found) -> bool:
    if source.in_ranges and source.size != found.size:
        return False
    has_same_stamp = bool(found.stamp) and _plain(source.stamp) == _plain(found.stamp)
    written = _written(source)
    if written is None or found.written is None:
        return has_same_stamp
    return abs(written - found.written) <= _SECONDS_APART


def _written(source: Source) -> float | None:
    with contextlib.suppress(MusterError, OSError):
        if not is_remote(source.path):
            return Path(source.path).stat().st_mtime
        found = _objects.look(source.path)
        return found.written if found else None
    return None


def _plain(stamp: str) -> str:
    """Take off what some write around the same version."""
    return stamp.partition(WRITTEN)[0].removeprefix("W/").strip('"')
