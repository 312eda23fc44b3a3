"""The environment of every worker, wherever it is: the one place that says which variables that has, and why."""

import contextlib
import os
import subprocess
from collections.abc import Iterator, Mapping
from typing import Final

SINGLE_THREADED: Final = {
    **dict.fromkeys(
        ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS", "POLARS_MAX_THREADS"), "1"
    ),
    "JE_ARROW_MALLOC_CONF": "background_thread:false",
}
"""A worker has one core, so its libraries need one thread. The zygote must start no threads at all, or forking it would
not be safe: so these values are forced while it imports. The user's own values are restored in each worker."""

_SPINNING: Final = "OPENBLAS_THREAD_TIMEOUT"

WORKER: Final = "MUSTER_WORKER"
"""The variable that numbers a worker among those of all machines, from 0."""

LOCAL_WORKER: Final = "MUSTER_LOCAL_WORKER"
"""The variable that numbers it among those of its machine."""

KEEP_MEMORY: Final = {
    "MALLOC_TRIM_THRESHOLD_": str(128 << 20),
    "MALLOC_MMAP_THRESHOLD_": str(64 << 20),
    "ARROW_DEFAULT_MEMORY_POOL": "system",
}
"""Have ``malloc`` keep freed memory, and Arrow take its own from there: a worker needs it again for the next task, and
returning it to the system each time cost a fifth of a cheap job. What Arrow would choose, ``mimalloc``, returns it."""

OF_A_MACHINE: Final = {**KEEP_MEMORY, **SINGLE_THREADED}
"""What the processes of a machine get, from which its workers are started, whatever that computer has set."""


def of_zygote(user: Mapping[str, str]) -> dict[str, str]:
    """Put together what the zygote gets. The user may choose how memory is kept; no library may start threads in it."""
    return {**KEEP_MEMORY, **user, **SINGLE_THREADED}


def given_back(user: Mapping[str, str]) -> dict[str, str]:
    """List what the user has set of that which was forced on the zygote: workers get it once they are forked."""
    return {name: user[name] for name in SINGLE_THREADED if name in user}


@contextlib.contextmanager
def threads_that_sleep() -> Iterator[None]:
    """Have the threads that NumPy starts where it is loaded meanwhile, one a core, sleep while there is nothing to do.

    Else they spin for a tenth of a second, on the cores on which workers load.
    """
    if _SPINNING in os.environ:
        yield
        return
    os.environ[_SPINNING] = "4"  # the least: 2 to the power of 4 cycles
    try:
        yield
    finally:
        del os.environ[_SPINNING]


def elsewhere(machine: Mapping[str, str], user: Mapping[str, str]) -> dict[str, str]:
    """Put together what workers on another computer get: what the user has set decides, then what that computer has."""
    return {**SINGLE_THREADED, **machine, **user}


def numbered(worker: int, local: int) -> dict[str, str]:
    """Write the numbers of a worker, among all and on its machine; functions may ask for them."""
    return {WORKER: str(worker), LOCAL_WORKER: str(local)}


def interpreter_flags() -> tuple[str, ...]:
    """List what this interpreter was started with: ``-O``, ``-W error``, ``-X utf8`` and the like."""
    return tuple(subprocess._args_from_interpreter_flags())  # type: ignore[attr-defined]  # noqa: SLF001 (as multiprocessing does)
