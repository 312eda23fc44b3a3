"""The command ``muster``, also as ``python -m muster``."""

import contextlib
import gc
import sys

from muster._engines._starter import is_sure_to_need_workers, started_ahead
from muster._standard import forgiving


def main() -> int:
    """Run the command line; return its exit code.

    The workers of a run begin to load what they need before muster is loaded itself: neither waits for the other.
    """
    is_sure = is_sure_to_need_workers(sys.argv[1:])
    with forgiving(), started_ahead("muster._task") if is_sure else contextlib.nullcontext():
        gc.disable()  # what is imported stays: looking through it for garbage costs as much as many modules
        from muster import cli  # noqa: PLC0415 (by now workers have begun to load)

        gc.freeze()
        gc.enable()
        return cli.main()


if __name__ == "__main__":
    sys.exit(main())
