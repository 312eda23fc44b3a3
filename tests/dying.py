"""Processes that are killed before an operation on a file, whichever it is."""

import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path

CHANGES = {"os.rename", "os.remove", "os.rmdir", "os.mkdir", "os.link", "os.truncate"}
WRITES = os.O_WRONLY | os.O_RDWR


def forked(call: Callable[[], int], *, dies_before: int = 0, dies_removing: str = "") -> tuple[int, int]:
    """Make a call in a process that is killed before its operation of that number; tell its code and their count.

    Or it is killed before it removes a file of that name.
    """
    told, tell = os.pipe()
    if not (pid := os.fork()):
        done = 0

        def count(event: str, arguments: tuple[object, ...]) -> None:
            nonlocal done
            if event in CHANGES or (event == "open" and isinstance(arguments[2], int) and arguments[2] & WRITES):
                done += 1
                is_removed = event == "os.remove" and Path(str(arguments[0])).name == dies_removing
                if done == dies_before or is_removed:
                    os.kill(os.getpid(), signal.SIGKILL)

        sys.addaudithook(count)
        code = 99
        try:
            code = call()
        finally:
            os.write(tell, str(done).encode())
            os._exit(code)
    os.close(tell)
    with open(told, "rb") as said:  # noqa: PTH123 (a descriptor)
        count_of = int(said.read() or b"0")
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), count_of
