"""Run what a function returns to its end: a coroutine, a generator, an asynchronous generator."""

import contextlib
import inspect
import os
import threading
from collections.abc import AsyncIterator, Awaitable, Collection, Coroutine
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop, Task

_SECONDS_TO_END: Final = 5.0
"""How long cancelled tasks may take to end: as long as a worker has when a run stops."""


class Yielded(list[Any]):
    """All that a generator yielded for one batch."""


def drained(result: Any) -> Any:  # noqa: ANN401 (whatever a function may give back)
    """Await an awaitable, collect what a generator yields, and return anything else as it is."""
    if inspect.isawaitable(result):
        return drained(_run(_of(result)))
    if inspect.isasyncgen(result):
        return _run(_collected(result))
    return Yielded(result) if inspect.isgenerator(result) else result


async def _of(result: Awaitable[Any]) -> Any:  # noqa: ANN401 (likewise)
    return await result


async def _collected(result: AsyncIterator[Any]) -> Yielded:
    return Yielded([item async for item in result])


def _run(work: "Coroutine[Any, Any, Any]") -> Any:  # noqa: ANN401 (likewise)
    """Run a coroutine to its end in this thread's event loop."""
    if _own.loop is None or not _own.loop.is_of_use:
        _own.loop = _Loop()
    return _own.loop.run(work)


class _Loop:
    """The event loop of one thread, which lasts from call to call: a function may keep a session in it.

    Where the thread itself is inside a running loop, as in a notebook, this one runs in another thread.
    """

    def __init__(self) -> None:
        import asyncio
        from concurrent.futures import ThreadPoolExecutor

        self._process = os.getpid()
        self._is_lost = False
        self._threads = ThreadPoolExecutor(thread_name_prefix="asyncio")
        self._loop = asyncio.new_event_loop()
        self._loop.set_default_executor(self._threads)
        self._loop.set_exception_handler(_complain)
        self._beside: threading.Thread | None = None
        if asyncio._get_running_loop() is None:  # noqa: SLF001 (to ask for it otherwise raises)
            asyncio.set_event_loop(self._loop)
        else:
            self._beside = threading.Thread(target=self._serve, name="muster-loop", daemon=True)
            self._beside.start()

    @property
    def is_of_use(self) -> bool:
        """Tell whether it is of this process, not of the one that was forked, and no task blocks it."""
        return self._process == os.getpid() and not self._is_lost

    def run(self, work: "Coroutine[Any, Any, Any]") -> Any:  # noqa: ANN401 (likewise)
        """Run a coroutine to its end. Where a time limit or Ctrl-C interrupts it, the tasks that it began end, too."""
        import asyncio

        before = asyncio.all_tasks(self._loop)
        try:
            return self._do(work)
        except (KeyboardInterrupt, SystemExit):
            self._end_tasks(besides=before)
            raise

    def _do(self, work: "Coroutine[Any, Any, Any]", *, timeout: float | None = None) -> Any:  # noqa: ANN401 (likewise)
        if self._beside is None:
            return self._loop.run_until_complete(work)
        import asyncio

        return asyncio.run_coroutine_threadsafe(work, self._loop).result(timeout)

    def _serve(self) -> None:
        is_over = False
        while not (is_over or self._is_lost):
            with contextlib.suppress(KeyboardInterrupt, SystemExit):  # of a task: whoever awaits it gets that, too
                self._loop.run_forever()
                is_over = True

    def _end_tasks(self, *, besides: "Collection[Task[Any]]" = ()) -> None:
        """Cancel tasks, and wait for them. Where one does not end, this loop is given up."""
        have_ended = False
        try:
            have_ended = self._do(_cancelled(self._loop, besides), timeout=_SECONDS_TO_END + 1)
        except TimeoutError:  # the thread beside is kept busy
            pass
        finally:
            if not have_ended:
                self._lose()

    def _lose(self) -> None:
        """Give the loop up without closing it: closing could hang in a task that swallows every exception."""
        import asyncio

        self._is_lost = True
        _lost.append((self, asyncio.all_tasks(self._loop)))
        if self._beside is not None:
            import ctypes

            thread, error = ctypes.c_ulong(self._beside.ident or 0), ctypes.py_object(SystemExit)
            ctypes.pythonapi.PyThreadState_SetAsyncExc(thread, error)

    def close(self) -> None:
        """End the tasks that are left, and close the loop."""
        if not self.is_of_use:
            return
        self._end_tasks()
        if self._is_lost:
            return
        import asyncio

        with contextlib.suppress(TimeoutError):
            self._do(asyncio.wait_for(self._loop.shutdown_asyncgens(), _SECONDS_TO_END))
        # Do not wait for it: a call in a thread cannot be stopped, and may take an hour.
        self._threads.shutdown(wait=False, cancel_futures=True)
        if self._beside is None:
            asyncio.set_event_loop(None)
        else:
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._beside.join()
        self._loop.close()


def _complain(loop: "AbstractEventLoop", context: dict[str, Any]) -> None:
    """Report an exception that nobody has awaited, as loops do; but no Ctrl-C, which the user knows of."""
    if not isinstance(context.get("exception"), KeyboardInterrupt):
        loop.default_exception_handler(context)


async def _cancelled(loop: "AbstractEventLoop", besides: "Collection[Task[Any]]") -> bool:
    """Cancel all tasks ``besides`` these; return whether they have ended."""
    import asyncio

    tasks = asyncio.all_tasks(loop) - {*besides, asyncio.current_task()}
    for task in tasks:
        task.cancel()
    if not tasks:
        return True
    _, left = await asyncio.wait(tasks, timeout=_SECONDS_TO_END)
    return not left


class _Own(threading.local):
    loop: _Loop | None = None


_own: Final = _Own()
_lost: Final[list[tuple[_Loop, "Collection[Task[Any]]"]]] = []
"""Loops with tasks that did not end. They are kept: when Python frees a coroutine it runs it once more."""


def end_loop() -> None:
    """End this thread's loop, if there is one: no call follows."""
    loop, _own.loop = _own.loop, None
    if loop is not None:
        loop.close()
