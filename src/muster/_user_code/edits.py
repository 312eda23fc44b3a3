"""Notice code that was written again while a run goes on: a worker that begins late would load the new version."""

import os
from collections.abc import Iterable

from muster._model import Code, DataFile, Fact
from muster.errors import UserCodeError

from .data_files import stamped
from .loaded import loaded
from .origins import is_users


def code_files() -> tuple[DataFile, ...]:
    """List the files of the user's modules that this process has loaded, as they are just now."""
    files = (stamped(path) for path in sorted({*loaded().values()}) if path.endswith(".py") and is_users(path))
    return tuple(file for file in files if file is not None and file.size >= 0)


def were_edited(code: Code) -> bool:
    """Tell whether one of the files was written again; what it does may still be the same."""
    return any(os.path.isfile(file.path) and stamped(file.path) != file for file in code.files)  # noqa: PTH113 (as text)


def check_same(code: Code, step: str, facts: Iterable[Fact]) -> None:
    """Raise ``UserCodeError`` where a step does something else here than where the run began."""
    changed = sorted({fact.what for fact in facts if (fact.what, fact.value) not in code.facts})
    if changed:
        raise UserCodeError(
            f"The code of {step!r} was written again while muster ran, and a worker that began since has loaded it:"
            f" {', '.join(changed)}. Its rows would stand beside those of the version before. What was done is kept."
            " To go on with that, restore the code and type the same command again; to start over, type the command"
            " again with --fresh; to have rows of both in one output, with --accept-changes."
        )
