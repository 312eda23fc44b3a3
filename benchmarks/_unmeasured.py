"""The worker body that measures nothing, for comparison; workers import it from here."""

import contextlib
from typing import Any


def make_body_without() -> Any:  # noqa: ANN401 (a worker body)
    """Make the worker body that looks neither at itself nor at its machine."""
    from muster._worker import steps, task  # noqa: PLC0415 (only in the worker)

    class Nothing:
        def measured(self, work: Any, **_: object) -> object:  # noqa: ANN401 (a task's work)
            return work()

    vars(steps)["_Stopwatch"] = lambda _: contextlib.nullcontext()
    vars(task)["reasons"] = lambda _: ()
    task.use_one_core()
    worker: Any = task.TaskBody()
    worker._vitals = Nothing()  # noqa: SLF001 (what the benchmark takes away)
    return worker
