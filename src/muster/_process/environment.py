"""Environment variables of every worker, on this computer and on machines."""

import subprocess
from typing import Final

SINGLE_THREADED: Final = {
    **dict.fromkeys(
        ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS", "POLARS_MAX_THREADS"), "1"
    ),
    "JE_ARROW_MALLOC_CONF": "background_thread:false",
}
"""A worker has one core, so its libraries need one thread. The zygote must start no threads at all, or forking it would
not be safe: so these values are forced while it imports. The user's own values are restored in each worker."""

WORKER: Final = "MUSTER_WORKER"
"""The variable that numbers a worker among those of all machines, from 0."""

LOCAL_WORKER: Final = "MUSTER_LOCAL_WORKER"
"""The variable that numbers it among those of its machine."""

KEEP_MEMORY: Final = {"MALLOC_TRIM_THRESHOLD_": str(128 << 20), "MALLOC_MMAP_THRESHOLD_": str(64 << 20)}
"""Have ``malloc`` keep freed memory: a worker needs it again for the next task, and returning it to the system each
time cost a fifth of a cheap job."""


def interpreter_flags() -> tuple[str, ...]:
    """List what this interpreter was started with: ``-O``, ``-W error``, ``-X utf8`` and the like."""
    return tuple(subprocess._args_from_interpreter_flags())  # type: ignore[attr-defined]  # noqa: SLF001 (as multiprocessing does)
