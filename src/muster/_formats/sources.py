"""Find the input files, on this computer or wherever fsspec can reach."""

import glob
import os
import re
import stat
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Final

from muster._files.witness import FileState, is_still
from muster._model import Source, Stored
from muster._urls.identity import local
from muster._urls.urls import file_name, is_remote
from muster._words import as_name
from muster._words.near import nearest
from muster.errors import DataError, UsageError

from ._folders import below_pattern, is_input, keys_of, left_out, walk
from ._found import FoundFile, Look
from .compression import CODECS

_SMALL: Final = 256 << 10
"""Bytes of a small file: fetching all of it takes no longer than one more request."""

FORMATS: Final = {".csv": "csv", ".tsv": "csv", ".jsonl": "jsonl", ".ndjson": "jsonl", ".parquet": "parquet"}


def format_of(path: str, *, forced: str | None = None, default: str | None = None) -> tuple[str, str]:
    """Tell format and codec from a path's suffix: ``rows.csv.gz`` is ``("csv", "gzip")``.

    ``forced`` counts in place of the suffix, ``default`` where there is none that muster knows. Raises ``UsageError``
    when nothing tells the format.
    """
    suffix, codec = _suffix_of(path)
    kind = forced or FORMATS.get(suffix) or default
    if kind is None and Path(path).is_dir():
        raise UsageError(f"{path!r} is a folder. Say {path + '/'!r} for numbered parts in it, or name a file.")
    if kind is None:
        endings = " ".join(FORMATS)
        raise UsageError(
            f"{path!r} has no suffix that says its format. muster knows {endings}, each but Parquet also with"
            f" {' '.join(CODECS)}. Rename it, or say --format csv, jsonl or parquet."
        )
    if codec and kind == "parquet":
        raise UsageError(f"{path!r}: a Parquet file is compressed inside. Use plain .parquet.")
    return kind, codec


def _suffix_of(path: str) -> tuple[str, str]:
    """Tell the suffix of a path's name, in small letters, without that of a codec; and the codec."""
    *_, before, suffix = ["", "", *file_name(path).rstrip("/").rpartition("/")[2].lstrip(".").lower().split(".")[1:]]
    codec = CODECS.get(f".{suffix}", "")
    return f".{before if codec else suffix}", codec


def find_sources(  # noqa: PLR0913 (each is given by its name)
    inputs: Sequence[str],
    *,
    forced: str | None = None,
    default: str | None = None,
    tell: Callable[[str], None] | None = None,
    only: Mapping[str, FileState] | None = None,
    may_be_empty: bool = False,
    may_be_missing: bool = False,
) -> tuple[Source, ...]:
    """Turn paths, globs, folders and URLs into input files: in the order given, each glob or folder in name order.

    A folder is read with all below it. ``forced`` and ``default`` are those of ``format_of``; ``tell`` hears of the
    files of a folder that are left out, and of those whose changes cannot be noticed. Raises ``UsageError`` when an
    input names nothing, or a file of unknown format; where that ``may_be_empty``, not for a folder or a pattern that
    something may come to, and where it ``may_be_missing``, for no name. What is gone
    again when it is looked at counts as not there.

    Of all these, ``only`` those are taken, where they are said. Raises ``DataError`` where one is not as it is said.
    """
    sources = find_each(
        inputs, forced=forced, default=default, tell=tell, may_be_empty=may_be_empty, may_be_missing=may_be_missing
    )
    if only is not None:
        sources = _those(only, sources)
    kinds = {source.format for source in sources}
    if len(kinds) > 1:
        raise UsageError(f"The inputs are of several formats ({', '.join(sorted(kinds))}). Give one at a time.")
    if tell and (unmarked := [source for source in sources if not source.tells_version]):
        tell(_unmarked(unmarked))
    return tuple(sources)


def find_each(  # noqa: PLR0913 (likewise)
    inputs: Sequence[str],
    *,
    forced: str | None = None,
    default: str | None = None,
    tell: Callable[[str], None] | None = None,
    may_be_empty: bool = False,
    may_be_missing: bool = False,
) -> list[Source]:
    """Find input files as ``find_sources`` does, for runs of their own: they may be of several formats."""
    sources: list[Source] = []
    for text, files in _found_by(inputs):
        read, rest = _sifted(files, forced)
        looks = [(file, look) for file in read if (look := _looked(file)) is not None]
        if not (looks or may_be_missing or (may_be_empty and _may_hold(text))):
            raise UsageError(
                f"No input at {text!r}: no such file, or a pattern or folder with nothing in it.{_meant(text)}"
            )
        if rest and tell:
            tell(left_out(text, rest))
        for file, (size, stamp, in_ranges) in looks:
            kind, codec = format_of(file.path, forced=forced, default=default)
            if is_remote(file.path):
                place: str = Stored(file.path, size=size if in_ranges else None, stamp=stamp)
            else:
                place = os.path.abspath(file.path)  # noqa: PTH100 (Path.absolute keeps dots)
            sources.append(
                Source(
                    path=place,
                    size=size,
                    stamp=stamp,
                    format=kind,
                    codec=codec,
                    given=file.path,
                    keys=keys_of(file.inside),
                    input=text,
                    in_ranges=in_ranges,
                    below=file.inside,
                )
            )
    return sources


def _meant(text: str) -> str:
    """Guess which file was meant by a path where none is."""
    path = Path(text)
    if is_remote(text) or any(sign in text for sign in "*?["):
        return ""
    try:
        like = nearest(path.name, [beside.name for beside in path.parent.iterdir() if _has_format(beside.name, None)])
    except OSError:
        return ""
    return f" Did you mean {as_name(path.with_name(like))}?" if like else ""


def _looked(file: FoundFile) -> Look | None:
    try:
        return file.look()
    except (FileNotFoundError, NotADirectoryError):
        return None


def _may_hold(text: str) -> bool:
    """Tell whether files may still come to be there: in a folder, or by a pattern below one."""
    is_pattern = any(sign in text for sign in "*?[")
    if is_remote(text):
        return is_pattern or text.endswith("/")
    fixed = re.split(r"[*?\[]", text, maxsplit=1)[0].rpartition("/")[0] if is_pattern else text
    return Path(fixed or ("/" if text.startswith("/") else ".")).is_dir()


def _those(only: Mapping[str, FileState], sources: Sequence[Source]) -> list[Source]:
    there = {source.path: source for source in sources if source.path in only}
    for path, then in only.items():
        source = there.get(path)
        if source is None or (source.size, source.stamp) != then[:2] or not (is_remote(path) or is_still(path, then)):
            raise DataError(
                f"{path!r} has changed since muster found it, or is gone, so there is no output. Type the same command"
                " again when nobody writes to it."
            )
    return list(there.values())


def _found_by(inputs: Sequence[str]) -> list[tuple[str, list[FoundFile]]]:
    """Find what each input names; all URLs are asked about at the same time."""
    inputs = [local(text) for text in inputs]
    stored = iter(_stored([text for text in inputs if is_remote(text)]))
    return [(text, next(stored) if is_remote(text) else _here(text)) for text in inputs]


def _stored(urls: Sequence[str]) -> list[list[FoundFile]]:
    if not urls:
        return []
    from . import _stores

    return _stores.find(urls)


def _unmarked(sources: Sequence[Source]) -> str:
    others = f" and {len(sources) - 1:,} more" if len(sources) > 1 else ""
    return (
        f"nothing tells when {sources[0].name!r}{others} was written: that it changes while muster reads it shows only"
        " where its size does"
    )


def looked_at_again(sources: Sequence[Source]) -> list[tuple[int, str] | None]:
    """Return the size and stamp that each has now; ``None`` where it is gone. Stores list the same inputs again."""
    remote = list(dict.fromkeys(source.input for source in sources if is_remote(source.path)))
    there = {file.path: file for files in _stored(remote) for file in files}
    return [_look_again(source, there) for source in sources]


def _look_again(source: Source, there: Mapping[str, FoundFile]) -> tuple[int, str] | None:
    if is_remote(source.path):
        return there[source.path].look()[:2] if source.path in there else None
    try:
        return _look(source.path)[:2]
    except (OSError, UsageError):
        return None


def needs_copy(source: Source) -> bool:
    """Tell whether a file of a store is copied here before it is read: ``_copies`` says why."""
    return is_remote(source.path) and (not source.in_ranges or source.size <= _SMALL)


def _sifted(files: Sequence[FoundFile], forced: str | None) -> tuple[list[FoundFile], list[str]]:
    """Choose the files to read; also name those that are left out, which happens in folders alone.

    Of a folder those are read whose suffix names a format; where none has one, all.
    """
    shown = [file for file in files if not file.is_of_folder or is_input(file.inside)]
    read = [file for file in shown if not file.is_of_folder or _has_format(file.path, forced)] or shown
    kept = {file.path for file in read}
    return read, [file.inside for file in files if file.path not in kept]


def _has_format(path: str, forced: str | None) -> bool:
    kind = FORMATS.get(_suffix_of(path)[0])
    return kind is not None and forced in {None, kind}


def _here(text: str) -> list[FoundFile]:
    path = Path(text)
    if path.is_dir():
        begin = str(path / "_")[:-1]  # nothing where the folder is the current one
        names = ((begin + name, name) for name in sorted(walk(path)))
        return [FoundFile(place, name, partial(_look, place), is_of_folder=True) for place, name in names]
    if path.exists():
        return [FoundFile(text, path.name, partial(_look, text))]
    paths = sorted(p for p in glob.glob(text, recursive=True) if Path(p).is_file())  # noqa: PTH207 (an absolute pattern, too)
    return [FoundFile(p, below_pattern(p, text), partial(_look, p)) for p in paths]


def _look(name: str) -> Look:
    try:
        status = os.stat(name)  # noqa: PTH116 (asked twice for each small file there is)
    except PermissionError as error:
        raise UsageError(f"Cannot read {name!r}: no permission. Change the mode of its folder.") from error
    if not stat.S_ISREG(status.st_mode):
        raise UsageError(f"{name!r} is not a regular file, and muster reads its input more than once.")
    if not os.access(name, os.R_OK):
        _open_once(name)
    return Look(status.st_size, str(status.st_mtime_ns))


def _open_once(name: str) -> None:
    """Find out why a file cannot be read: it may be gone by now, and even there again."""
    try:
        os.close(os.open(name, os.O_RDONLY))
    except PermissionError as error:
        raise UsageError(f"Cannot read {name!r}: no permission. Change its mode or its owner.") from error
