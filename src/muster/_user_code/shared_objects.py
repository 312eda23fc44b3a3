"""Large captured objects, written to a file once: all workers of a machine map it, and share its memory."""

import contextlib
import mmap
import pickle
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from muster._files.temporary import temporary
from muster._model import Carried, Target
from muster._private.files import private

from .listening import unheard

LARGE: Final = 1 << 20
"""Bytes from which on a buffer or a pickle goes by a file instead of with every message."""

_ALIGNMENT: Final = 64
"""Bytes of a cache line: NumPy and Arrow are faster with buffers that are aligned to it."""


@contextlib.contextmanager
def with_files_of_large_objects(steps: Sequence[Target]) -> Iterator[tuple[Target, ...]]:
    """Write the large objects of steps to files, which last as long as the context. Raises ``OSError``."""
    if not any(_is_large(carried) for step in steps for carried in (step.carried, step.arguments.carried)):
        yield tuple(steps)
        return
    with temporary() as folder:
        yield tuple(
            replace(
                step,
                carried=_in_file(step.carried, folder / f"{at}-function"),
                arguments=replace(step.arguments, carried=_in_file(step.arguments.carried, folder / f"{at}-arguments")),
            )
            for at, step in enumerate(steps)
        )


def _is_large(carried: Carried) -> bool:
    return bool(carried.large) or len(carried.pickle) >= LARGE


def _in_file(carried: Carried, path: Path) -> Carried:
    if not _is_large(carried):
        return carried
    spans: list[tuple[int, int]] = []
    with open(path, "wb", opener=private) as file:
        for buffer in (carried.pickle, *carried.large):
            file.seek(-file.tell() % _ALIGNMENT, 1)
            begin = file.tell()
            file.write(buffer)
            spans.append((begin, file.tell()))
    return Carried(file=str(path), spans=tuple(spans))


def files_of(steps: Sequence[Target]) -> tuple[str, ...]:
    """Name the files that large objects of steps lie in."""
    paths = (carried.file for step in steps for carried in (step.carried, step.arguments.carried))
    return tuple(file for file in paths if file)


def restored(carried: Carried) -> Any:  # noqa: ANN401 (whatever was carried)
    """Unpickle it; its large buffers are shared with other workers until one writes to them (copy on write)."""
    if not carried.file:
        return pickle.loads(carried.pickle, buffers=carried.large)  # noqa: S301 (from the muster process that runs the job)
    with unheard(), open(carried.file, "rb") as file:  # noqa: PTH123 (light)
        whole = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY))
    first, *others = (whole[begin:end] for begin, end in carried.spans)
    return pickle.loads(first, buffers=others)  # noqa: S301 (likewise)
