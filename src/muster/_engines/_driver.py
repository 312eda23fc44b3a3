"""The process that a Ray engine talks to Ray with: it makes the actors, and relays what they are asked and answer."""

import contextlib
import os
import pickle
import sys
import threading
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from queue import Empty, SimpleQueue
from typing import Any, Final

from .base import portable

_NODES_EVERY: Final = 1.0
_DEATHS_IN_A_ROW: Final = 5

Place = tuple[tuple[str, ...], str]


class Seat:
    """A worker, as an actor: it holds the worker body, and takes requests one at a time."""

    def __init__(self, make_body: bytes, place: Place | None) -> None:
        """Make the body, where the files are shared as in the process that asks."""
        if place is not None:
            path, folder = place
            sys.path[:] = path
            with contextlib.suppress(OSError):
                os.chdir(folder)
        self._body = pickle.loads(make_body)()  # noqa: S301 (from the muster process that runs the job)

    def begin(self) -> None:
        """Tell that the body is made."""

    def brief(self, briefing: bytes) -> None:
        """Take a briefing."""
        self._body.brief(briefing)

    def answer(self, request: bytes) -> bytes:
        """Answer a request: whether it succeeded, and the answer or the error, pickled."""
        try:
            return pickle.dumps((True, self._body(pickle.loads(request))))  # noqa: S301 (likewise)
        except Exception as error:  # noqa: BLE001 (whatever the body raises belongs to the runner)
            return pickle.dumps((False, portable(error)))


class Driver:
    """Keep one actor a processor on every node; one thread does, others only fill its inbox."""

    def __init__(self, pipe: "Connection[Any, Any]") -> None:
        """Connect to the cluster that the first message names. Raises what Ray raises."""
        import ray  # noqa: PLC0415 (only in this process)

        self._ray: Any = ray
        self._pipe = pipe
        address, self._make_body, self._place = pipe.recv()
        ray.init(address=address, log_to_driver=True, configure_logging=False, namespace="muster")
        self._actor_class: Any = self._ray.remote(Seat)
        self._inbox: SimpleQueue[tuple[Callable[..., None], tuple[Any, ...]]] = SimpleQueue()
        self._actors: dict[int, Any] = {}
        self._node_of: dict[int, str] = {}
        self._nodes: dict[str, dict[str, Any]] = {}
        self._failures: dict[str, int] = {}
        self._joined: set[int] = set()
        self._next_number = 0

    def run(self) -> None:
        """Relay until the engine's end of the pipe is closed."""
        threading.Thread(target=self._listen, daemon=True).start()
        while True:
            self._look_at_nodes()
            next_look = time.monotonic() + _NODES_EVERY
            while (left := next_look - time.monotonic()) > 0:
                with contextlib.suppress(Empty):
                    call, arguments = self._inbox.get(timeout=left)
                    call(*arguments)

    def _listen(self) -> None:
        try:
            while True:
                verb, *arguments = self._pipe.recv()
                self._inbox.put((getattr(self, f"_{verb}"), tuple(arguments)))
        except (EOFError, ConnectionError):
            self._ray.shutdown()
            os._exit(0)

    def _tell(self, *message: object) -> None:
        with contextlib.suppress(ConnectionError):
            self._pipe.send(message)

    # Machines

    def _look_at_nodes(self) -> None:
        """Seat workers on nodes that have joined, and forget those that have left."""
        before = self._nodes
        now = self._nodes = {node["NodeID"]: node for node in self._ray.nodes() if node["Alive"]}
        for gone in before.keys() - now.keys():
            self._tell("told", f"machine {before[gone]['NodeName']} is gone")
            for number in [number for number, node in self._node_of.items() if node == gone]:
                self._leave(number, "its machine is gone", is_to_blame=False)
        for new in now.keys() - before.keys():
            self._failures[new] = 0
            for _ in range(int(now[new]["Resources"].get("CPU", 0))):
                self._seat(new)

    def _seat(self, node: str) -> None:
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy  # noqa: PLC0415 (only in this process)

        self._next_number += 1
        number = self._next_number
        strategy = NodeAffinitySchedulingStrategy(node, soft=False)
        actor = self._actor_class.options(num_cpus=1, max_restarts=0, scheduling_strategy=strategy).remote(
            self._make_body, self._place
        )
        self._actors[number], self._node_of[number] = actor, node
        self._follow(actor.begin.remote(), self._began, number)

    def _follow(self, reference: Any, call: Callable[..., None], *arguments: object) -> None:  # noqa: ANN401 (Ray has no types)
        """Have the inbox get what becomes of a reference."""
        reference.future().add_done_callback(lambda future: self._inbox.put((call, (*arguments, future))))

    # Workers

    def _began(self, number: int, future: Any) -> None:  # noqa: ANN401 (a Future of Ray's)
        if number not in self._actors:
            return
        if error := future.exception():
            self._failures[self._node_of[number]] += 1
            self._leave(number, _said(error), is_to_blame=False)
            return
        self._joined.add(number)
        self._tell("joined", number, self._nodes[self._node_of[number]]["NodeName"])

    def _brief(self, number: int, briefing: bytes) -> None:
        if number in self._actors:
            self._actors[number].brief.remote(briefing)

    def _ask(self, number: int, ticket: int, request: bytes) -> None:
        if number in self._actors:
            self._follow(self._actors[number].answer.remote(request), self._answered, number, ticket)

    def _answered(self, number: int, ticket: int, future: Any) -> None:  # noqa: ANN401 (likewise)
        if number not in self._actors:
            return
        if error := future.exception():
            node = self._node_of[number]
            self._look_at_nodes()
            if number in self._actors:
                self._failures[node] += 1
                self._leave(number, _said(error), is_to_blame=True)
            return
        self._failures[self._node_of[number]] = 0
        self._tell("answered", number, ticket, future.result())

    def _leave(self, number: int, reason: str, *, is_to_blame: bool) -> None:
        """Give a worker up, and seat another in its place unless too many have died there in a row."""
        actor, node = self._actors.pop(number), self._node_of.pop(number)
        with contextlib.suppress(Exception):  # it may be dead, and its machine too
            self._ray.kill(actor)
        if number in self._joined:
            self._joined.remove(number)
            self._tell("left", number, reason, is_to_blame)
        if node not in self._nodes:
            return
        if self._failures[node] < _DEATHS_IN_A_ROW:
            self._seat(node)
            return
        name = self._nodes[node]["NodeName"]
        self._tell("told", f"machine {name} is put aside: {_DEATHS_IN_A_ROW} workers died there in a row ({reason})")
        if not self._actors:
            self._tell("gave_up", f"Workers die on every machine ({reason}). What was done is kept.")


def _said(error: BaseException) -> str:
    """Take what Ray says of a death, without the page of advice around it."""
    text = " ".join(str(error).split())
    _, found, cause = text.partition("Worker exit detail:")
    if found:
        return f"the worker died: {cause.strip()}"
    return f"the worker died: {text[:300]}"


def main(descriptor: str) -> None:
    """Serve the engine at the other end of a pipe."""
    pipe: Connection[Any, Any] = Connection(int(descriptor))
    try:
        Driver(pipe).run()
    except Exception as error:  # noqa: BLE001 (whatever Ray raises is for the engine to tell)
        with contextlib.suppress(ConnectionError):
            pipe.send(("gave_up", f"Ray cannot be reached: {' '.join(str(error).split())[:500]}"))
