"""The command ``muster``, also as ``python -m muster``."""

import contextlib
import gc
import sys
from typing import NoReturn

from muster._engines.cores.starter import is_sure_to_need_workers, started_ahead
from muster._process.stdio import forgiving


def main() -> int:
    """Run the command line; return its exit code.

    The workers of a run begin to load what they need before muster is loaded itself: neither waits for the other.
    """
    is_sure = is_sure_to_need_workers(sys.argv[1:])
    with forgiving(), started_ahead("muster._worker.task") if is_sure else contextlib.nullcontext():
        gc.disable()  # what is imported stays: looking through it for garbage costs as much as many modules
        from muster import cli

        if is_sure:
            from muster._verbs import run  # noqa: F401 (cli would import it later, and what it imports)

        gc.freeze()
        gc.enable()
        return cli.main()


def program() -> NoReturn:
    """Run the command line as a program, which ends with it.

    Where workers did the work, this process ends as they do: to take down its modules one by one takes longer than the
    rows of a small file.
    """
    is_of_workers = is_sure_to_need_workers(sys.argv[1:])  # before the user's file gets arguments of its own
    code = main()
    if is_of_workers:
        from muster._engines.cores.leaving import leave

        leave(code, end=lambda: None)
    sys.exit(code)


if __name__ == "__main__":
    program()
