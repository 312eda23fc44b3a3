"""The user's code, packed on one computer and unpacked on another."""

import io
import os
import zipfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from muster._model import Target
from muster.errors import UsageError

LARGEST_FILE: Final = 16 << 20
LARGEST_BUNDLE: Final = 64 << 20
_LEFT_OUT: Final = ("__pycache__", "node_modules")


@dataclass(frozen=True, slots=True)
class Bundle:
    """The folders of a job's targets in one archive, and those targets as they are found in it.

    ``left_out`` names the files that are too large to travel as code.
    """

    steps: tuple[Target, ...]
    archive: bytes
    left_out: tuple[str, ...] = ()

    def unpack(self, folder: Path) -> tuple[Target, ...]:
        """Unpack the archive; tell the targets as they are found there."""
        with zipfile.ZipFile(io.BytesIO(self.archive)) as archive:
            archive.extractall(folder)
        return tuple(
            replace(step, place=str(folder / step.place)) if step.kind == "file" else step for step in self.steps
        )


def pack(steps: Iterable[Target], *, besides: Iterable[str] = ()) -> Bundle:
    """Pack the folders that steps live in: a file's own; the working folder for what is imported or sent by value.

    ``besides`` are paths that need not travel, such as the input. Raises ``UsageError`` when it is too much for code.
    """
    steps = tuple(steps)
    folders = sorted({_folder_of(step) for step in steps})
    numbers = {folder: str(at) for at, folder in enumerate(folders)}
    avoided = {os.path.realpath(path) for path in besides}
    sink, left_out, total = io.BytesIO(), [], 0
    with zipfile.ZipFile(sink, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for folder in folders:
            archive.mkdir(numbers[folder])
            for path in _files_of(folder, avoided):
                size = path.stat().st_size
                if size > LARGEST_FILE:
                    left_out.append(str(path))
                    continue
                total += size
                if total > LARGEST_BUNDLE:
                    raise UsageError(
                        f"The folder {str(folder)!r} holds more than {LARGEST_BUNDLE >> 20} MiB of small files, all of"
                        " which would travel to the machines as code. Give the function a folder of its own."
                    )
                archive.write(path, f"{numbers[folder]}/{path.relative_to(folder)}")
    moved = tuple(
        replace(step, place=f"{numbers[_folder_of(step)]}/{Path(step.place).name}") if step.kind == "file" else step
        for step in steps
    )
    return Bundle(moved, sink.getvalue(), tuple(left_out))


def _folder_of(step: Target) -> Path:
    return Path(step.place).parent if step.kind == "file" else Path.cwd()


def _files_of(folder: Path, avoided: set[str]) -> Iterator[Path]:
    """List the files below a folder that a function may need: no hidden ones, no caches, no muster's own."""
    for where, folders, names in os.walk(folder):
        folders[:] = sorted(
            name
            for name in folders
            if not name.startswith(".") and not name.endswith(".muster") and name not in _LEFT_OUT
        )
        for name in sorted(names):
            path = Path(where, name)
            if not name.startswith(".") and path.is_file() and os.path.realpath(path) not in avoided:
                yield path
