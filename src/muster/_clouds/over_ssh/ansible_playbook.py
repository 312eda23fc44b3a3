"""What ``ansible-playbook`` does, by a process that takes two thirds of the time of a processor.

Run as a program, by the interpreter that has Ansible. Ansible loads all its plugins of some kinds, with their
documentation, before it forks a process for each host: here, only those that muster's playbooks use. And Python looks
for garbage while it loads a thousand modules, and then among them in each process that was forked.
"""

import gc
import sys
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any, Final

_USED: Final = {"become_loader": (), "callback_loader": (), "connection_loader": ("ssh",), "shell_loader": ("sh",)}
"""By the loader of a kind of plugins, those to load before it forks; any others load in the process that uses one."""


def main() -> None:
    """Do what the command does with these arguments, and end as it does."""
    gc.disable()
    sys.modules["argcomplete"] = None  # type: ignore[assignment]  # so that its import fails at once: no shell asks
    from ansible.cli import playbook  # noqa: PLC0415 (after that)
    from ansible.plugins import loader  # noqa: PLC0415 (likewise)

    for name, used in _USED.items():
        kind = getattr(loader, name)
        kind.all = partial(_those, kind, kind.all, used)
    gc.freeze()
    gc.enable()
    sys.argv[0] = "ansible-playbook"
    sys.exit(playbook.main())


def _those(kind: Any, every: Callable[..., Iterable[object]], used: tuple[str, ...], **given: bool) -> Iterable[object]:  # noqa: ANN401 (Ansible has no types)
    """Stand in for the method with which all are loaded: it is asked for their classes then, and otherwise for more."""
    return (kind.get(name, **given) for name in used) if given == {"class_only": True} else every(**given)


if __name__ == "__main__":
    main()
