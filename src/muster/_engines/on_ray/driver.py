"""The process that a Ray engine talks to Ray with: it puts a station on each machine, and relays to and from them."""

import contextlib
import errno
import gc
import os
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any, Final

from muster._urls.addresses import parted
from muster._words import text_of

from . import hello
from .couplings import NOT_LET_IN, address_of_this_node, cause_of, send_only_plain_objects
from .freight import Cargo
from .numbers import Numbers
from .peers import READERS, READING
from .plain import encode
from .station import Order, Station

_NODES_EVERY: Final = 1.0
"""Seconds: a node takes several to join, and a question to Ray some milliseconds."""

_WORD_EVERY: Final = 30.0
"""Seconds: often enough that home hears several in the time for which it waits for one."""

_FAILURES_IN_A_ROW: Final = 5
"""So often a station is opened anew on a machine: its memory or its disk may be full for a while."""

_LEAVE_SECONDS: Final = 10.0
"""How long it may take to leave the cluster in order: where the head is gone, Ray may wait for it for ever."""


@dataclass(slots=True)
class _StationActor:
    """A station as its driver sees it."""

    node: str
    machine: str
    actor: Any
    unsent: list[Order] = field(default_factory=list)
    is_telling: bool = False
    met: set[int] = field(default_factory=set)
    """The stations that it knows, by their numbers."""


class Driver:
    """Keep one station on every node; one thread does, others only fill its inbox."""

    def __init__(self, reading: "Connection[Any, Any]", writing: "Connection[Any, Any]") -> None:
        """Connect to the cluster that the first message names. Raises what Ray raises."""
        gc.disable()  # what is imported stays: to look through it for garbage meanwhile takes a tenth of the time
        import ray

        send_only_plain_objects()
        self._ray: Any = ray
        self._reading, self._writing = reading, writing
        address, self._make_engine, self._world = reading.recv()
        host, _ = parted(address)
        ray.init(
            address=address,
            log_to_driver=False,
            configure_logging=False,
            namespace="muster",
            **address_of_this_node(host),
        )
        gc.freeze()
        gc.enable()
        self._station: Any = self._ray.remote(concurrency_groups={READING: READERS})(Station)
        self._inbox: SimpleQueue[tuple[Callable[..., None], tuple[Any, ...]]] = SimpleQueue()
        self._stations: dict[int, _StationActor] = {}
        self._nodes: dict[str, dict[str, Any]] = {}
        self._failures: dict[str, int] = {}
        self._aside: set[str] = set()
        self._numbers = Numbers()
        self._next_number = 0
        self._need_each_other = False

    def run(self) -> None:
        """Relay until the engine ends what it writes to."""
        threading.Thread(target=self._listen, daemon=True).start()
        next_word = 0.0
        while True:
            self._look_at_nodes()
            next_look = time.monotonic() + _NODES_EVERY
            if next_look > next_word:
                self._tell("lives")  # and Ray answers: where it does not, home would wait for ever
                next_word = next_look + _WORD_EVERY
            while (left := next_look - time.monotonic()) > 0:
                with contextlib.suppress(Empty):
                    call, arguments = self._inbox.get(timeout=left)
                    call(*arguments)

    def _listen(self) -> None:
        """Take what the engine says, until it hangs up or nothing it says can be read; then end this process.

        A muster that is killed in the middle of a message leaves one that breaks off, which is an ``OSError``. Whatever
        it is, a driver that nobody can talk to must not live on: its stations would keep all processors of the cluster.
        """
        try:
            while True:
                verb, *told = self._reading.recv()
                self._inbox.put((getattr(self, f"_{verb}"), tuple(told)))
        except EOFError:
            pass  # as at the end of every run: a traceback would reach the terminal
        except OSError as error:
            if error.errno is not None:  # with a number it is the system's: no message that breaks off
                raise
        finally:
            end = threading.Timer(_LEAVE_SECONDS, os._exit, (1,))
            end.daemon = True
            end.start()
            self._inbox.put((self._leave, ()))

    def _leave(self) -> None:
        """Leave the cluster, in the thread that talks to it: Ray may hang where another one leaves meanwhile."""
        with contextlib.suppress(Exception):
            self._ray.shutdown()
        os._exit(0)

    def _tell(self, *message: object) -> None:
        with contextlib.suppress(ConnectionError):
            self._writing.send_bytes(encode(message))

    # Machines

    def _look_at_nodes(self) -> None:
        """Put stations on nodes that have joined, and forget those that have left."""
        before = self._nodes
        now = self._nodes = {node["NodeID"]: node for node in self._ray.nodes() if node["Alive"]}
        for gone in before.keys() - now.keys():
            self._tell("told", f"machine {before[gone]['NodeName']} is gone")
            self._numbers.give_back(before[gone]["NodeName"])
            for number in [number for number, station in self._stations.items() if station.node == gone]:
                self._close(number, "its machine is gone")
        for new in sorted(now.keys() - before.keys(), key=lambda node: str(now[node]["NodeName"])):
            self._failures[new] = 0
            self._open(new)
        if before.keys() - now.keys():
            self._check_that_some_are_left("those that did not are gone")

    def _open(self, node: str) -> None:
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        workers = int(self._nodes[node]["Resources"].get("CPU", 0))
        if not workers or self._nodes[node]["NodeName"] in self._aside:
            return
        machine = self._nodes[node]["NodeName"]
        world = self._world._replace(first_worker=self._numbers.first_of(machine, workers))
        self._next_number += 1
        actor = self._station.options(
            num_cpus=workers,
            max_restarts=0,
            max_concurrency=4,  # one call that tells, one that hears, one that ends, one that takes what goes along
            scheduling_strategy=NodeAffinitySchedulingStrategy(node, soft=False),
        ).remote(self._make_engine, number=self._next_number, workers=workers, world=world)
        self._stations[self._next_number] = _StationActor(node, machine, actor)
        self._tell("opened", self._next_number, machine)
        self._hear(self._next_number)

    def _close(self, number: int, reason: str) -> None:
        station = self._stations.pop(number)
        with contextlib.suppress(Exception):  # it may be dead, and its machine too
            self._ray.kill(station.actor)
        self._tell("closed", number, reason)

    # Stations

    def _follow(self, reference: Any, call: Callable[..., None], number: int) -> None:  # noqa: ANN401 (Ray has no types)
        """Have the inbox get what becomes of a call to a station."""
        reference.future().add_done_callback(lambda future: self._inbox.put((call, (number, future))))

    def _hear(self, number: int) -> None:
        self._follow(self._stations[number].actor.hear.remote(), self._heard, number)

    def _heard(self, number: int, future: Any) -> None:  # noqa: ANN401 (a Future of Ray's)
        if number not in self._stations:
            return
        if error := future.exception():
            self._give_up(number, cause_of(error))
            return
        self._failures[self._stations[number].node] = 0
        self._tell("heard", number, future.result())
        self._hear(number)

    def _put_aside(self, machine: str) -> None:
        """Close a machine's stations, and open none there again, under whatever id its node comes back."""
        self._aside.add(machine)
        for number in [number for number, station in self._stations.items() if station.machine == machine]:
            self._close(number, "its machine is put aside")
        self._check_that_some_are_left()

    def _drain(self, machine: str) -> None:
        """Open no station on a machine again; the one that is there ends by itself."""
        self._aside.add(machine)
        self._check_that_some_are_left()

    def _end(self) -> None:
        """Have all stations end in order."""
        for station in self._stations.values():
            station.actor.end.remote()

    # What goes along

    def _expect(self, number: int, cargos: Sequence[Cargo]) -> None:
        if number in self._stations:
            self._follow(self._stations[number].actor.expect.remote(cargos), self._answered("lacks"), number)

    def _carry(self, numbers: Sequence[int], cargo: int, chunk: int, data: bytes) -> None:
        """Give a chunk to several stations; between machines Ray carries it."""
        reference = self._ray.put(data)
        for number in numbers:
            if number in self._stations:
                taking = self._stations[number].actor.take.remote(cargo, chunk, reference)
                self._follow(taking, self._answered("took", cargo, chunk), number)

    def _lay_out(self, number: int) -> None:
        if number in self._stations:
            self._follow(self._stations[number].actor.lay_out.remote(), self._answered("laid_out"), number)

    def _answered(self, verb: str, *about: int) -> Callable[[int, Any], None]:
        """Make what tells how a station answered a call about what goes along."""

        def tell(number: int, future: Any) -> None:  # noqa: ANN401 (a Future of Ray's)
            if number not in self._stations:
                return
            if (error := future.exception()) is None:
                answer = future.result()
                self._tell(verb, number, *about, *(() if answer is None else (answer,)))
                return
            cause = getattr(error, "cause", None) or error
            if isinstance(cause, OSError | ValueError):  # else it died, and the call that hears fails too
                is_its_own = isinstance(cause, OSError)
                is_full = isinstance(cause, OSError) and cause.errno in {errno.ENOSPC, errno.EDQUOT}
                self._tell("cannot_take", number, str(cause), is_full, is_its_own)

        return tell

    def _leave_message(self, number: int, ticket: int | None, data: bytes | None) -> None:
        if number in self._stations:
            self._stations[number].unsent.append((ticket, data))
            self._send(number)

    def _send(self, number: int) -> None:
        """Tell a station what waits for it; what comes up meanwhile goes with the next call, so that order is kept."""
        station = self._stations[number]
        if station.unsent and not station.is_telling:
            station.is_telling = True
            telling = station.actor.tell.remote(
                station.unsent, self._newcomers(number) if self._need_each_other else {}
            )
            self._follow(telling, self._was_told, number)
            station.unsent = []

    def _newcomers(self, number: int) -> dict[int, Any]:
        """Choose the stations that one does not know yet."""
        station = self._stations[number]
        new = {
            other: one.actor for other, one in self._stations.items() if other != number and other not in station.met
        }
        station.met |= new.keys()
        return new

    def _introduce(self) -> None:
        """Have stations know each other from now on: requests need what is kept on several machines."""
        self._need_each_other = True

    def _forget(self, number: int, names: Sequence[str]) -> None:
        """Have a station remove files that it keeps."""
        if number in self._stations:
            self._stations[number].actor.forget.remote(names)

    def _was_told(self, number: int, _: object) -> None:
        if number in self._stations:  # if it failed, the call that hears fails too
            self._stations[number].is_telling = False
            self._send(number)

    def _replace(self, number: int, reason: str) -> None:
        """Open another station in the place of one that others cannot read from."""
        if number in self._stations:
            self._give_up(number, reason)

    def _give_up(self, number: int, reason: str) -> None:
        """Close a station that died, and open another in its place unless too many have died there in a row."""
        node = self._stations[number].node
        self._look_at_nodes()
        if number not in self._stations:
            return
        self._close(number, reason)
        self._failures[node] += 1
        if self._failures[node] < _FAILURES_IN_A_ROW:
            self._open(node)  # which does nothing where the machine was put aside meanwhile
        else:
            name = self._nodes[node]["NodeName"]
            self._tell("told", f"machine {name} is put aside: it failed {_FAILURES_IN_A_ROW} times in a row ({reason})")
        self._check_that_some_are_left(reason)

    def _check_that_some_are_left(self, reason: str = "") -> None:
        """Give up where every machine that is there has been put aside: none would ever come back."""
        failed = {node for node in self._nodes if self._failures[node] >= _FAILURES_IN_A_ROW}
        drained = {node for node in self._nodes if self._nodes[node]["NodeName"] in self._aside}
        if self._stations or not failed | drained:
            return
        if failed:
            which = "Every machine fails, or was put aside" if drained - failed else "Every machine fails"
            self._tell("gave_up", which + (f" ({reason})" if reason else "") + ". What was done is kept.")
        else:
            self._tell("nobody_left")


def main() -> None:
    """Serve the engine at the other end of standard input and output; what anybody prints goes to standard error."""
    reading, writing = Connection(os.dup(0), writable=False), Connection(os.dup(1), readable=False)
    with Path(os.devnull).open() as nothing:
        os.dup2(nothing.fileno(), 0)
    os.dup2(2, 1)
    try:
        hello.say(writing.fileno())
        hello.answer(reading.fileno())
        Driver(reading, writing).run()
    except (EOFError, BrokenPipeError):  # whoever called has hung up
        return
    except hello.StrangerError as error:
        sys.exit(f"muster on this machine was called by {error}")
    except Exception as error:  # noqa: BLE001 (whatever Ray raises is for the engine to tell)
        with contextlib.suppress(ConnectionError):
            if type(error).__name__ == NOT_LET_IN:
                writing.send_bytes(encode(("refused",)))
                return
            writing.send_bytes(encode(("gave_up", f"Ray cannot be reached: {' '.join(text_of(error).split())[:500]}")))


if __name__ == "__main__":
    main()
