"""Serves a cluster's program to Pulumi's engine, which has it run once for each step, and leaves nothing open behind.

Pulumi's own server forgets an event loop wherever the engine ends before the program has, and then says nothing of why.
"""

import asyncio
import contextvars
import platform
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Any, Final

import grpc
from pulumi.runtime import reset_options, run_in_stack, set_all_config
from pulumi.runtime.proto import LanguageRuntimeServicer, language_pb2, language_pb2_grpc, plugin_pb2

from muster._words import named

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop

_THREADS: Final = 4
"""The engine runs the program once, and asks a few things besides; Pulumi has as many."""

_AT_A_TIME: Final = 4
"""Requests for each resource that is made at a time, as Pulumi has it: what a program asks the engine waits there."""


@contextmanager
def served(program: Callable[[], None]) -> Iterator[str]:
    """Have the program run for each engine that asks for it; tell at which address.

    Behind it, each run has ended: an engine must have ended by then, which is what a run may wait for.
    """
    with ThreadPoolExecutor(_THREADS) as threads:
        server = grpc.server(threads)
        language_pb2_grpc.add_LanguageRuntimeServicer_to_server(_ProgramHost(program), server)
        port = server.add_insecure_port("127.0.0.1:0")
        server.start()
        try:
            yield f"127.0.0.1:{port}"
        finally:
            server.stop(None).wait()


class _ProgramHost(LanguageRuntimeServicer):  # type: ignore[misc] # Pulumi's types are not read
    """Answers the engine. Methods are called as gRPC calls them."""

    def __init__(self, program: Callable[[], None]) -> None:
        self._program = program

    def About(self, _request: object, _context: object) -> object:  # noqa: N802 (gRPC's name)
        return language_pb2.AboutResponse(executable=sys.executable, version=platform.python_version())

    def GetPluginInfo(self, _request: object, _context: object) -> object:  # noqa: N802 (likewise)
        return plugin_pb2.PluginInfo()

    def GetRequiredPlugins(self, _request: object, _context: object) -> object:  # noqa: N802 (likewise)
        return language_pb2.GetRequiredPluginsResponse()

    def GetRequiredPackages(self, _request: object, _context: object) -> object:  # noqa: N802 (likewise)
        return language_pb2.GetRequiredPackagesResponse()

    def Run(self, request: Any, _context: object) -> object:  # noqa: ANN401, N802 (likewise; it has no types)
        """Run the program in a context of its own, in which Pulumi keeps what belongs to one step."""
        return language_pb2.RunResponse(error=contextvars.copy_context().run(self._run, request))

    def _run(self, request: Any) -> str:  # noqa: ANN401 (likewise)
        """Run it; tell why it failed, and nothing where it did not.

        A program that has failed must never be taken for one that has ended: it would be one that wants no machines.
        """
        try:
            reset_options(
                project=request.project,
                stack=request.stack,
                parallel=request.parallel,
                engine_address=request.args[0] if request.args else "",
                monitor_address=request.monitor_address,
                preview=request.dryRun,
                organization=request.organization or "organization",
            )
            set_all_config(request.config, request.configSecretKeys)
            with closing(_ProgramLoop(max(request.parallel, 1) * _AT_A_TIME)) as loop:
                loop.run(run_in_stack(self._program))
        except BaseException as error:  # noqa: BLE001 (whatever it is, the engine is told)
            return _why(error)
        return ""


class _ProgramLoop:
    """An event loop that is closed for certain, with all that still runs in it."""

    def __init__(self, requests: int) -> None:
        self._failure: BaseException | None = None
        self._loop = asyncio.new_event_loop()
        self._loop.set_default_executor(ThreadPoolExecutor(requests))
        self._loop.set_exception_handler(self._fail)

    def run(self, work: Any) -> None:  # noqa: ANN401 (a coroutine of Pulumi's)
        try:
            self._loop.run_until_complete(work)
        except RuntimeError as error:
            raise self._failure or error from None

    def _fail(self, loop: "AbstractEventLoop", context: dict[str, Any]) -> None:
        """Stop where a request to the engine has failed and nobody took notice: the rest would wait for its answer."""
        if isinstance(error := context.get("exception"), grpc.RpcError):
            self._failure = self._failure or error
            loop.stop()

    def close(self) -> None:
        loop = self._loop
        loop.set_exception_handler(lambda _loop, _context: None)  # what goes wrong from here on matters to nobody
        try:
            for task in (pending := asyncio.all_tasks(loop)):
                task.cancel()
            if pending:
                loop.run_until_complete(asyncio.wait(pending))
        finally:
            loop.close()


def _why(error: BaseException) -> str:
    """Write on one line, as the engine shows it, what went wrong."""
    of_request = error.details() if isinstance(error, grpc.RpcError) and hasattr(error, "details") else ""
    return " ".join((of_request or named(error)).split())
