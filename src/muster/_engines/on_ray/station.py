"""What Ray runs on each machine: an actor that carries an engine of that machine's processes, and relays.

One actor a machine, and not one a worker: its processes are forked from one that has imported what they need, so that
many are ready as soon as one is; they share its memory; and the cause of a death is known where it happens.
"""

import contextlib
import os
import pickle
import select
import socket
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from queue import Empty, SimpleQueue
from typing import Any, Final, NamedTuple

from muster._engines.base import CANCELLED, Done, Engine, Failed, Left, Lost, Message, NobodyLeftError, portable
from muster._engines.prints import Print
from muster._files.temporary import Temporary
from muster._user_code.world import World

from .freight import Cargo
from .keeping import KeptFiles, Needing, NotReadThereError, Slice, Supplied, Unsupplied
from .peers import peer_of
from .plain import encode
from .store import Store
from .supplying import Ready, Supplying

Order = tuple[int | None, bytes | None]
"""A ticket with an ``Asked``, or with ``None`` to cancel it; ``None`` with a briefing, or with ``None`` to drain."""


class Asked(NamedTuple):
    """A request, and who shall answer it."""

    request: object
    fresh: bool
    lane: int | None
    generation: int
    """How often that lane had lost its worker when home asked: what comes late must not overtake what was lost."""


_WAKE: Final = b"!"
_MOST_UNHEARD: Final = 100
"""How many messages may wait where workers print: what is printed at a time may be long."""

_TICK: Final = 0.01
"""What others have said waits for so long at the most: little beside a hop through Ray, which takes 4 ms."""


MakeStation = Callable[[int, Print], Engine]
"""Makes the engine of a machine: of so many workers, whose prints are told."""


class Printed(NamedTuple):
    """A worker has printed whole lines; without a name, it was none of them."""

    worker: str
    text: bytes


class Ended(NamedTuple):
    """The workers of a station have ended, and nothing more is said."""


class Station:
    """The actor: one thread works with the engine, calls from outside leave orders and take messages."""

    def __init__(self, make_engine: bytes, *, number: int, workers: int, world: World) -> None:
        """Make the engine of this machine, whose workers are in the world of the process that asks.

        What they put into the temporary folder, the code that they unpack among it, goes with this station. Where that
        is killed, the machine's agent removes it, or the next station does.
        """
        self._temporary = Temporary()
        os.environ["TMPDIR"] = tempfile.tempdir = str(self._temporary.path)
        world.settle()
        self._store = Store(World.here().mirror, below=self._temporary.path.parent)
        self._kept = KeptFiles(number, beside=World.here().mirror or str(self._temporary.path / "shared"))
        self._supplying = Supplying(self._kept, self._leave)
        self._inbox: SimpleQueue[Order | Ready | None] = SimpleQueue()
        self._outbox: SimpleQueue[bytes] = SimpleQueue()
        self._generations: Counter[int] = Counter()
        self._bell, self._ring = socket.socketpair()
        self._bell.settimeout(0)
        self._engine: Engine = pickle.loads(make_engine)(workers, self._pass_prints_on)  # noqa: S301 (from the muster process that runs the job)
        threading.Thread(target=self._work, daemon=True).start()

    def tell(self, orders: Sequence[Order], newcomers: Mapping[int, Any]) -> None:
        """Leave briefings and requests for the engine; first get to know stations whose files these may need."""
        self._kept.peers.update({number: peer_of(number, actor) for number, actor in newcomers.items()})
        self._leave(*orders)

    def end(self) -> None:
        """Have the workers end in order; all that they print is heard before it is said that they have."""
        self._leave(None)

    def _leave(self, *told: Order | Ready | None) -> None:
        for one in told:
            self._inbox.put(one)
        self._ring.send(_WAKE)

    def read(self, slices: Sequence[Slice]) -> bytes:
        """Read of files that are kept here, for another station. Raises ``OSError``."""
        return self._kept.read(slices)

    def forget(self, names: Sequence[str]) -> None:
        """Remove files that are kept here, as nobody needs them any more."""
        self._kept.forget(names)

    def expect(self, cargos: Sequence[Cargo]) -> tuple[tuple[int, ...], ...]:
        """Tell which chunks of each file are not on this machine yet. Raises ``OSError`` where there is no room."""
        return self._store.expect(cargos)

    def take(self, cargo: int, chunk: int, data: bytes) -> None:
        """Take a chunk of a file. Raises ``ValueError``, ``OSError``."""
        self._store.take(cargo, chunk, data)

    def lay_out(self) -> None:
        """Put all files at their places. Raises ``OSError``."""
        self._store.lay_out()

    def hear(self) -> list[bytes]:
        """Wait for messages; each is written as plain data, as is the error that the engine ends with."""
        heard = [self._outbox.get()]
        with contextlib.suppress(Empty):
            while True:
                heard.append(self._outbox.get_nowait())
        return heard

    def _work(self) -> None:
        said: Ended | Exception = Ended()
        try:
            self._serve()
        except Exception as error:  # noqa: BLE001 (whatever ends the engine is for the runner to know)
            said = portable(error)
        self._temporary.remove()
        self._say(said)

    def _serve(self) -> None:
        waiting = select.poll()
        for descriptor in (self._engine.fileno(), self._bell.fileno()):
            waiting.register(descriptor, select.POLLIN)
        while True:
            waiting.poll()
            with contextlib.suppress(BlockingIOError):
                self._bell.recv(1 << 10)
            if not self._pass_on():
                break
            try:
                messages = self._engine.messages()
            except NobodyLeftError:  # requests that wait for what they need are still to be told of
                waiting.modify(self._engine.fileno(), 0)
                continue
            for message in messages:
                if isinstance(message, Left):
                    self._generations.update(message.lanes)
                elif isinstance(message, Done | Failed | Lost):
                    self._supplying.end(message.ticket)
                self._say(message)
        self._engine.close()

    def _pass_on(self) -> bool:
        """Pass queued requests to the engine; ``False`` when the station shall end."""
        with contextlib.suppress(Empty):
            while (message := self._inbox.get_nowait()) is not None:
                if isinstance(message, Ready):
                    self._take_ready(message)
                else:
                    self._take(*message)
            return False
        return True

    def _take(self, ticket: int | None, data: bytes | None) -> None:
        if ticket is None:
            if data is None:
                self._engine.drain("")
            else:
                self._engine.brief(data)
        elif data is None:
            if self._supplying.withdraw(ticket):
                self._say(Lost(ticket, CANCELLED, began=False))
            else:
                self._engine.cancel(ticket)
        else:
            asked: Asked = pickle.loads(data)  # noqa: S301 (from the muster process that runs the job)
            if asked.lane is not None and asked.generation < self._generations[asked.lane]:
                self._say(Lost(ticket, "its lane has lost its worker", began=False, lane=asked.lane))
                return
            if isinstance(asked.request, Needing):
                self._supplying.begin(ticket, asked.request, asked)
            else:
                self._engine.submit(ticket, asked.request, machine="", lane=asked.lane, fresh=asked.fresh)

    def _take_ready(self, ready: Ready) -> None:
        """Hand a request to the engine with what it needs, or say why that cannot be."""
        asked: Asked | None = self._supplying.take(ready)
        if asked is None:
            return
        match ready.supply:
            case NotReadThereError(station=station, why=why):
                self._say(Unsupplied(ready.ticket, station, why))
            case Exception() as error:
                self._say(Failed(ready.ticket, portable(error)))
            case path:
                request = Supplied(asked.request.request, str(path))  # type: ignore[attr-defined]  # a Needing
                self._engine.submit(ready.ticket, request, machine="", lane=asked.lane, fresh=asked.fresh)

    def _pass_prints_on(self, worker: str, lines: bytes) -> None:
        """Say what workers print; whoever prints more than is heard waits."""
        while self._outbox.qsize() > _MOST_UNHEARD:
            time.sleep(_TICK)
        self._say(Printed(worker, lines))

    def _say(self, said: Message | Printed | Ended | Unsupplied | Exception) -> None:
        self._outbox.put(written(said))


def written(said: "Message | Printed | Ended | Unsupplied | Exception") -> bytes:
    """Write what is said as plain data; an answer that is none is a failure of its request."""
    try:
        return encode(said)
    except TypeError as error:
        if not isinstance(said, Done):
            raise
        return encode(Failed(said.ticket, portable(error), said.worker))
