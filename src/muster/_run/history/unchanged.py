"""Whether a run that finished would give the same again: then there is nothing to do.

A note on each output lies in ``MUSTER_HOME/done``: what its rows depend on, and what stood there when it was published.
It outlives the journals, of which the last hundred are kept: ``--each`` may have thousands of outputs.
"""

import contextlib
import dataclasses
import hashlib
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

from muster._files import notes
from muster._files.home import home, make
from muster._files.witness import FileState, Witness, is_still, may_differ, settled, witness
from muster._formats.sources import looked_at_again
from muster._job import Job, Result
from muster._journal.events import Fields
from muster._model import DataFile, Source
from muster._progress.allowance import Allowance
from muster._urls.identity import local, written
from muster._urls.urls import is_remote
from muster._user_code.data_files import changed_files
from muster._version import __version__

from . import resume

_FOLDER: Final = "done"
_MOST: Final = 20_000
"""How many notes are kept, of some kilobytes each; listing them takes some hundredths of a second."""

_PATIENCE: Final = 0.02
"""Seconds that a run waits at the most for the clock to move on from when its input was written."""


class InputStates(NamedTuple):
    """The inputs as they were before they were read, and whether any later change of them shows."""

    witnesses: tuple[Witness | None, ...]
    """``None`` for those in stores."""
    is_settled: bool


class Recipe(NamedTuple):
    """What an output is made of: the job, what its rows depend on, and the inputs as they were seen before."""

    job: Job
    depends: Fields
    seen: InputStates
    sources: tuple[Source, ...]


class End(NamedTuple):
    """How a run ended: its id, the files that the user's code read, its result, and a fingerprint of the output."""

    run: str
    files: Mapping[str, DataFile]
    result: Result
    published: str


ACCEPTED: Final = (
    "the output may hold rows of two versions: changes were accepted, or a file that the function reads changed"
    " meanwhile"
)


_UNTOLD: Final = "nothing tells whether an input has changed"


class Verdict(NamedTuple):
    """What the note on an output says: the run that finished, with its result; or else, in words, what that means."""

    run: str = ""
    result: Result | None = None
    note: str = ""


def seen(sources: Sequence[Source]) -> InputStates:
    """Look at the inputs, before they are read; nothing is known of those in stores but their stamps."""
    looks = [None if is_remote(source.path) else settled(source.path, patience=_PATIENCE) for source in sources]
    return InputStates(tuple(look and look[0] for look in looks), all(look[1] for look in looks if look))


def changed_since(seen: InputStates, sources: Sequence[Source], *, only: Mapping[str, FileState] | None) -> str:
    """Name the first input that is not what it was before it was read, or may not be; empty where all are.

    Of ``only`` these files the content is known, and decides where a file of the same size and time may be another.
    """
    for source, before, look in zip(sources, seen.witnesses, looked_at_again(sources), strict=True):
        if look != (source.size, source.stamp):
            return source.name
        if before is not None and may_differ(before, witness(source.path)):
            known = (only or {}).get(source.path)
            if known is None or not is_still(source.path, known):
                return source.name
    return ""


def note(made: Recipe, end: End) -> None:
    """Note what an output was made of, once it is published, if a note can be written.

    Where a later change might not show in the stamps, there is none. Without one the next run does all again.
    """
    path = _place(made.job.output)
    if not (end.published and _are_telling(made)):
        note_mixture(made, end, why=_UNTOLD)
        return
    said = {
        "version": __version__,
        "run": end.run,
        "at": round(time.time(), 3),
        "folder": os.getcwd(),  # noqa: PTH109 (as text)
        "depends": made.depends,
        "seen": made.seen.witnesses,
        "folders": _folders(made),
        "files": {name: file[1:] for name, file in end.files.items()},
        "allowed": _allowed(made.job),
        "published": end.published,
        "result": end.result.as_fields(),
    }
    _write(path, said)


def note_mixture(made: Recipe, end: End, *, why: str) -> None:
    """Note that rows of an output are of two versions, and why: the next run does all again, and says so."""
    _write(_place(made.job.output), {"version": __version__, "run": end.run, "mixed": why})


def note_retry(made: Recipe, end: End, *, of: str) -> None:
    """Note what an output is made of once a retry has mended the run ``of``: what that noted, if it is all the same."""
    made = made._replace(depends={name: value for name, value in made.depends.items() if name != "retry"})
    said = _read(_place(made.job.output))
    try:
        if said is None or said["run"] != of:
            _forget(made.job.output)
        elif "mixed" in said:
            note_mixture(made, end, why=said["mixed"])
        elif changes := [
            *resume.differences(said["depends"], made.depends),
            *_rewritten(said, made),
            *dict(changed_files(_files(said))).values(),
        ]:
            note_mixture(made, end, why=f"{_RETRIED}: {'; '.join(changes)}")
        else:
            note(made, end._replace(files={**_files(said), **end.files}))
    except (KeyError, TypeError, ValueError, AttributeError):  # of another version, or damaged
        _forget(made.job.output)


_RETRIED: Final = "a retry did its bad rows after a change, and the other rows are of the version before"


def _files(said: Fields) -> dict[str, DataFile]:
    return {name: DataFile(name, *rest) for name, rest in said["files"].items()}


def _write(path: Path, said: Fields) -> None:
    with contextlib.suppress(OSError):
        make(home(), _FOLDER)
        notes.write(path, said)
        _forget_the_oldest(path.parent)


def _forget(output: str) -> None:
    """Forget what an output was made of: the next run does all again."""
    with contextlib.suppress(OSError):
        _place(output).unlink(missing_ok=True)


def answer(made: Recipe, *, visible: str) -> Verdict:
    """Tell whether what a run would make stands there already; ``visible`` is what does stand there."""
    output = made.job.output
    said = _read(_place(output))
    if said is None:
        return Verdict(note=_of_another(output) if visible and not _place(output).exists() else "")
    try:
        why = said.get("mixed") or next(_differences(said, made, visible=visible), "")
        if why:
            return Verdict(note=f"runs anew, as {why}")
        result = dataclasses.replace(Result.of_fields(said["result"]), unchanged=True)
    except (KeyError, TypeError, ValueError, AttributeError):  # of another version, or damaged
        return Verdict()
    return Verdict(said["run"], result)


def _of_another(output: str) -> str:
    """Say of a file that no run is known to have made that it is replaced; nothing of an empty one, or of a folder."""
    if output.endswith("/") or (not is_remote(output) and not os.path.getsize(local(output))):  # noqa: PTH202 (as text)
        return ""
    return f"{output!r} is there, and no note here says what made it: it is replaced at the end"


def _rewritten(said: Fields, made: Recipe) -> Iterator[str]:
    """Name inputs that are other files than those that were read, though path, size and time are the same."""
    for (path, *_), before, now in zip(made.depends["inputs"], said["seen"], made.seen.witnesses, strict=True):
        if now is not None and list(now) != before:
            yield f"the input {path!r} was written again, or put in the place of what was read"


def _differences(said: Fields, made: Recipe, *, visible: str) -> Iterator[str]:
    """Say in words what is not as it was."""
    if said["folder"] != os.getcwd():  # noqa: PTH109 (as text)
        yield f"the folder that paths begin in was {said['folder']!r}"
    yield from resume.differences(said["depends"], made.depends)
    if said["folders"] != _folders(made):
        yield "the columns that the names of folders give are others: the inputs are named in another way"
    if not _are_telling(made):
        yield _UNTOLD
    yield from _rewritten(said, made)
    yield from (text for _, text in changed_files(_files(said)))
    if said["result"]["bad_rows"] and said["allowed"] != _allowed(made.job):
        yield "some rows were bad, and what is said of such rows (max_bad_rows, strict, timeout) is something else now"
    if not visible or said["published"] != visible:
        yield f"{made.job.output!r} is not as that run left it"


def _folders(made: Recipe) -> list[list[list[str | None]]]:
    """List the columns that folders give the rows of each file: they follow from how the input names it."""
    return [[[name, value] for name, value in source.keys] for source in made.sources]


def _allowed(job: Job) -> list[Any]:
    """Say what decides on bad rows; it decides nothing where there were none."""
    options = job.options
    return [options.strict, str(Allowance.of(options.max_bad_rows)), options.timeout]


def _are_telling(made: Recipe) -> bool:
    """Tell whether every change of the inputs shows: not where a store tells no version, or a clock hardly moves."""
    seen = zip(made.sources, made.seen.witnesses, strict=True)
    return made.seen.is_settled and all(source.tells_version or now is not None for source, now in seen)


def _place(output: str) -> Path:
    named = local(output)
    name = written(named) if is_remote(named) else os.path.realpath(named) + ("/" if named.endswith("/") else "")
    digest = hashlib.sha256(os.fsencode(name)).hexdigest()[:32]
    return home() / _FOLDER / f"{digest}.json"


def _read(path: Path) -> Fields | None:
    said = notes.read(path)
    return said if said is not None and said.get("version") == __version__ else None


def _forget_the_oldest(folder: Path) -> None:
    """Forget a tenth of the notes, the oldest, once there are too many."""
    names = os.listdir(folder)  # noqa: PTH208 (light)
    if len(names) <= _MOST:
        return
    dated = []
    for name in names:
        with contextlib.suppress(OSError):
            dated.append(((folder / name).stat().st_mtime_ns, name))
    for _, name in sorted(dated)[: len(names) - _MOST + _MOST // 10]:
        (folder / name).unlink(missing_ok=True)
