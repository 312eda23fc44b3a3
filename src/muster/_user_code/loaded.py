"""Which modules of the user's this process has loaded.

Of hundreds of modules hardly any is the user's. A worker, which is forked from a process that has loaded libraries,
looks only at those that came later: to look at a module at all has the kernel copy the memory that holds it.
"""

import sys
from collections.abc import Iterator
from typing import Final

from .origins import is_users

_users_own: Final[set[str]] = set()
"""Those that were loaded before ``settle`` and are the user's, as one is that has the name of a library's."""
_is_settled = False


def settle() -> None:
    """Look once at what is loaded now, for this process and those that it forks."""
    global _is_settled  # noqa: PLW0603 (of the process)
    _users_own.update(name for name, path in loaded().items() if is_users(path))
    _is_settled = True
    sys.modules[__name__] = sys.modules.pop(__name__)  # the last of them: modules are listed in the order of loading


def recent() -> list[str]:
    """Name the modules that were loaded since, or all, the last first."""
    while True:
        try:
            return list(_since())
        except RuntimeError:  # another thread has loaded one meanwhile
            continue


def _since() -> Iterator[str]:
    for name in reversed(sys.modules):
        if _is_settled and name == __name__:
            return
        yield name


def loaded() -> dict[str, str]:
    """Name the file of each module that has one and may be the user's, by the module's name."""
    names = (*sorted(_users_own), "__main__", *reversed(recent()))
    files = {name: getattr(sys.modules.get(name), "__file__", None) for name in names}
    return {name: str(file) for name, file in files.items() if file}
