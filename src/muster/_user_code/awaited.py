"""Run what a function gives back to its end: a coroutine, a generator, an asynchronous generator."""

import contextlib
import inspect
import os
import threading
from collections.abc import AsyncIterator, Awaitable, Collection, Coroutine
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop, Task

_SECONDS_TO_END: Final = 5.0
"""How long tasks may take to end that are cancelled: as long as a worker may when a run stops."""


class Yielded(list[Any]):
    """All that a generator yielded for one batch."""


def drained(result: Any) -> Any:  # noqa: ANN401 (whatever a function may give back)
    """Wait for what is awaited, and collect what is yielded; give anything else back as it is."""
    if inspect.isawaitable(result):
        return drained(_run(_of(result)))
    if inspect.isasyncgen(result):
        return _run(_collected(result))
    return Yielded(result) if inspect.isgenerator(result) else result


async def _of(result: Awaitable[Any]) -> Any:  # noqa: ANN401 (likewise)
    return await result


async def _collected(result: AsyncIterator[Any]) -> Yielded:
    return Yielded([one async for one in result])


def _run(work: "Coroutine[Any, Any, Any]") -> Any:  # noqa: ANN401 (likewise)
    """Run it to its end in the loop that belongs to this thread."""
    if _own.loop is None or not _own.loop.is_of_use:
        _own.loop = _Loop()
    return _own.loop.run(work)


class _Loop:
    """The loop of one thread: what a function keeps in it, such as a session, is there at the next call.

    Where the thread runs a loop already, as a notebook does, this one runs in a thread beside it.
    """

    def __init__(self) -> None:
        import asyncio  # noqa: PLC0415 (few functions are asynchronous)
        from concurrent.futures import ThreadPoolExecutor  # noqa: PLC0415 (likewise)

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
        """Tell whether it is this process's, and no task keeps it from others."""
        return self._process == os.getpid() and not self._is_lost

    def run(self, work: "Coroutine[Any, Any, Any]") -> Any:  # noqa: ANN401 (likewise)
        """Run it to its end. What began with it ends with it where it is interrupted, as by a time limit or Ctrl-C."""
        import asyncio  # noqa: PLC0415 (likewise)

        before = asyncio.all_tasks(self._loop)
        try:
            return self._do(work)
        except (KeyboardInterrupt, SystemExit):
            self._end_tasks(besides=before)
            raise

    def _do(self, work: "Coroutine[Any, Any, Any]", *, timeout: float | None = None) -> Any:  # noqa: ANN401 (likewise)
        if self._beside is None:
            return self._loop.run_until_complete(work)
        import asyncio  # noqa: PLC0415 (likewise)

        return asyncio.run_coroutine_threadsafe(work, self._loop).result(timeout)

    def _serve(self) -> None:
        is_over = False
        while not (is_over or self._is_lost):
            with contextlib.suppress(KeyboardInterrupt, SystemExit):  # of a task: who awaits it gets that, too
                self._loop.run_forever()
                is_over = True

    def _end_tasks(self, *, besides: "Collection[Task[Any]]" = ()) -> None:
        """Cancel tasks, and wait for them; where one does not end, this loop is of no use any more."""
        have_ended = False
        try:
            have_ended = self._do(_cancelled(self._loop, besides), timeout=_SECONDS_TO_END + 1)
        except TimeoutError:  # the thread beside is kept busy
            pass
        finally:
            if not have_ended:
                self._lose()

    def _lose(self) -> None:
        """Leave the loop as it is: to take it apart could hang in what swallows every exception."""
        import asyncio  # noqa: PLC0415 (likewise)

        self._is_lost = True
        _lost.append((self, asyncio.all_tasks(self._loop)))
        if self._beside is not None:
            import ctypes  # noqa: PLC0415 (likewise)

            thread, error = ctypes.c_ulong(self._beside.ident or 0), ctypes.py_object(SystemExit)
            ctypes.pythonapi.PyThreadState_SetAsyncExc(thread, error)

    def close(self) -> None:
        """End what is left in the loop, and the loop."""
        if not self.is_of_use:
            return
        self._end_tasks()
        if self._is_lost:
            return
        import asyncio  # noqa: PLC0415 (likewise)

        with contextlib.suppress(TimeoutError):
            self._do(asyncio.wait_for(self._loop.shutdown_asyncgens(), _SECONDS_TO_END))
        self._threads.shutdown(wait=False, cancel_futures=True)  # a call in one cannot be ended, and may take an hour
        if self._beside is None:
            asyncio.set_event_loop(None)
        else:
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._beside.join()
        self._loop.close()


def _complain(loop: "AbstractEventLoop", context: dict[str, Any]) -> None:
    """Say what nobody has taken notice of, as a loop does; but who interrupts a call knows of that."""
    if not isinstance(context.get("exception"), KeyboardInterrupt):
        loop.default_exception_handler(context)


async def _cancelled(loop: "AbstractEventLoop", besides: "Collection[Task[Any]]") -> bool:
    """Cancel all tasks but some; tell whether they have ended."""
    import asyncio  # noqa: PLC0415 (likewise)

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
"""Loops with tasks that did not end: they are kept, as Python runs a coroutine once more that it forgets."""


def end_loop() -> None:
    """End this thread's loop, if there is one: no call follows."""
    loop, _own.loop = _own.loop, None
    if loop is not None:
        loop.close()
