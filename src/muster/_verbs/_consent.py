"""What a command asks before it does what cannot be taken back."""

import sys

from muster.errors import UsageError

_YES = {"y", "yes"}


def is_asked() -> bool:
    """Tell whether there is somebody at a terminal."""
    return sys.stdin is not None and sys.stdin.isatty() and sys.stderr.isatty()


def consents(question: str, *, yes: bool, else_type: str = "") -> bool:
    """Ask on a terminal, unless ``yes`` was typed. Elsewhere nobody can be asked, and it is done.

    Where ``else_type`` names a flag, it is not done there without it: raises ``UsageError``.
    """
    if yes:
        return True
    if not is_asked():
        if else_type:
            raise UsageError(
                f"{question} There is no terminal to ask on. Type {else_type} to do it without a question."
            )
        return True
    print(f"{question} [y/N] ", end="", file=sys.stderr, flush=True)
    return sys.stdin.readline().strip().lower() in _YES
