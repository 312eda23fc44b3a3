"""Run what a function gives back to its end: a coroutine, a generator, an asynchronous generator."""

import inspect
import os
import threading
from collections.abc import AsyncIterator, Awaitable, Coroutine
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from asyncio import Runner


class Yielded(list[Any]):
    """All that a generator yielded for one batch."""


def drained(result: Any) -> Any:  # noqa: ANN401 (whatever a function may give back)
    """Wait for what is awaited, and collect what is yielded; give anything else back as it is."""
    if inspect.isawaitable(result):
        return drained(_loop.run(_of(result)))
    if inspect.isasyncgen(result):
        return _loop.run(_collected(result))
    return Yielded(result) if inspect.isgenerator(result) else result


async def _of(result: Awaitable[Any]) -> Any:  # noqa: ANN401 (likewise)
    return await result


async def _collected(result: AsyncIterator[Any]) -> Yielded:
    return Yielded([one async for one in result])


class _Loop:
    """The one loop of this process: what a function keeps in it, such as a session, is there at the next call."""

    def __init__(self) -> None:
        self._process = 0
        self._runner: Runner | None = None

    def run(self, work: "Coroutine[Any, Any, Any]") -> Any:  # noqa: ANN401 (likewise)
        """Run it to its end, in a thread of its own where the caller's thread runs a loop, as in a notebook."""
        import asyncio  # noqa: PLC0415 (few functions are asynchronous)

        if asyncio._get_running_loop() is None:  # noqa: SLF001 (to ask for it otherwise raises)
            return self._run(work)
        from concurrent.futures import ThreadPoolExecutor  # noqa: PLC0415 (only a notebook has a loop of its own)

        with ThreadPoolExecutor(1) as thread:
            return thread.submit(self._run, work).result()

    def _run(self, work: "Coroutine[Any, Any, Any]") -> Any:  # noqa: ANN401 (likewise)
        import asyncio  # noqa: PLC0415 (likewise)

        if self._runner is None or self._process != os.getpid():
            self._process, self._runner = os.getpid(), asyncio.Runner()
        loop = self._runner.get_loop()
        task = loop.create_task(work)
        try:
            return loop.run_until_complete(task)
        finally:
            if not task.done() or threading.current_thread() is not threading.main_thread():
                self.close()  # it was interrupted, as by a time limit; or the thread ends, and its loop with it

    def close(self) -> None:
        """End what is left in the loop, and the loop."""
        runner, self._runner = self._runner, None
        if runner is not None and self._process == os.getpid():
            runner.close()


_loop = _Loop()


def end_loop() -> None:
    """End the loop, if there is one: no call follows."""
    _loop.close()
