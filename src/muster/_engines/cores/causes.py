"""Say of what a worker died, by the status that it left."""

import os
import signal

from .serving import MEMORY_RAN_OUT, PIPE_WAS_CLOSED


def cause_of(status: int) -> str:
    """Say it in words, as it is told to the user."""
    if not os.WIFSIGNALED(status):
        if os.waitstatus_to_exitcode(status) == MEMORY_RAN_OUT:
            return "memory ran out"
        if os.waitstatus_to_exitcode(status) == PIPE_WAS_CLOSED:
            return "the function closed files that it had not opened (os.close), among them what a worker answers by"
        return f"the worker exited by itself with status {os.waitstatus_to_exitcode(status)}"
    number = os.WTERMSIG(status)
    if number == signal.SIGALRM:
        return "the function ran longer than the time limit"
    hint = {signal.SIGKILL: ", as the kernel does when memory runs out", signal.SIGSEGV: ", a crash in compiled code"}
    return f"the worker was killed by {signal.Signals(number).name}{hint.get(signal.Signals(number), '')}"
