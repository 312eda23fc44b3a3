"""Listen for rows, keep them, and say what is safe, until somebody ends it or enough has come.

One thread talks to all senders (asyncio), another one writes. While that writes, rows gather, which it takes together
the next time: so few rows are safe at once, and many cost few writes.
"""

import asyncio
import contextlib
import errno
import resource
import signal
import socket
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Final, Protocol

from muster._files.whole import reason
from muster._words.numbers import duration, plural
from muster.errors import EngineError, UsageError

from .conversation import Conversation
from .endpoints import Endpoint
from .hello import Answer
from .inbox import Batch, Inbox
from .listening import Listening
from .positions import Mark, StreamState

_BACKLOG: Final = 4096
"""Connections that nobody has accepted yet: thousands of senders may start together."""

_BESIDES: Final = 50
"""Files that the process has open besides connections."""
_HANDSHAKE_SECONDS: Final = 20.0
"""Two ways to the other end and back, on a slow line."""

_LOOK_EVERY: Final = 1.0
"""Seconds between two looks at connections that say nothing, and at files that are full by time."""
_ONE_SIGNAL: Final = 1.0
"""Seconds in which signals count as one: that of a terminal comes to a group, and from ``timeout`` again."""
_PARTING: Final = 0.25
"""Seconds that senders have, at the end, to close connections themselves."""

Say = Callable[[str], None]


class RowKeeper(Protocol):
    """Where rows are kept. One thread at a time calls it, but for ``publish`` and ``has_room``."""

    output: str
    """What the rows are for, in messages."""

    @property
    def state(self) -> StreamState:
        """Tell what is safe."""

    def commit(
        self, text: bytes, *, rows: int, marks: Mapping[str, Mark], header: str | None = None, since: float = 0.0
    ) -> None:
        """Keep rows, and how far streams are with them; once this returns, they are safe. Raises ``OSError``.

        The first of these rows were there ``since`` a moment, by the clock of this process.
        """

    def has_room(self) -> bool:
        """Tell whether more may come; senders wait while it may not."""

    def full_in(self) -> float:
        """Count the seconds after which the file that grows is full; 0 or less if it is."""

    def close_piece(self) -> int | None:
        """Have rows go to the next file from now on; return the number of the full one if it is to be published."""

    def publish(self, piece: int) -> str:
        """Make a full file visible; return its path."""

    def note_visible(self, piece: int) -> None:
        """Note that it is."""


class Receiver:
    """Rows from many senders to one output."""

    def __init__(self, received: RowKeeper, listening: Listening, *, say: Say) -> None:
        """``say`` gets a line for each connection that was refused, and for each file that is visible."""
        self._received = received
        self._listening = listening
        self._say = say
        self._inbox = Inbox(received.state, listening, has_room=received.has_room)
        self._conversations: set[Conversation] = set()
        self._is_alone = asyncio.Event()
        self._is_alone.set()
        self._disk = ThreadPoolExecutor(1, "muster-disk")
        self._publishing: set[asyncio.Task[None]] = set()
        self._is_over = False
        self._loop: asyncio.AbstractEventLoop | None = None

    def run(self, on_listening: Say) -> None:
        """Work until Ctrl-C or enough has come, and say where it listens.

        Raises ``UsageError`` for an endpoint that cannot be had.
        """
        sockets = bound(self._listening.endpoint)
        on_listening(str(self._listening.endpoint._replace(port=sockets[0].getsockname()[1])))
        with self._disk:
            asyncio.run(self._run(sockets, obeys_signals=True))

    def run_beside(self, sockets: Sequence[socket.socket]) -> None:
        """Work in a thread beside others until ``end``; the sockets are ``bound``."""
        with self._disk:
            asyncio.run(self._run(sockets, obeys_signals=False))

    def look_again(self) -> None:
        """Have it see that there is room, or that its end is asked for; any thread may call this."""
        if (loop := self._loop) is not None:
            with contextlib.suppress(RuntimeError):  # it has ended
                loop.call_soon_threadsafe(self._inbox.has_come.set)

    def end(self) -> None:
        """Ask for the end, with all that has come so far; any thread may call this."""
        self._is_over = True
        self.look_again()

    async def _run(self, sockets: Sequence[socket.socket], *, obeys_signals: bool) -> None:
        self._loop = asyncio.get_running_loop()
        servers = await self._listen(sockets)
        if obeys_signals:
            self._end_quietly()
        watching = asyncio.create_task(self._watch())
        try:
            while not self._is_over:
                await self._inbox.has_come.wait()
                await self._keep(self._inbox.take_all())
            for conversation in self._conversations:
                conversation.pause()
            await self._keep(self._inbox.take_all())  # what had come by now
            if self._publishing:
                await asyncio.gather(*self._publishing)
        except OSError as error:
            safe = plural(self._received.state.rows, "row")
            raise EngineError(
                f"Cannot write rows for {self._received.output!r}: {reason(error)}. What came before is safe: {safe}."
                " Make room, and type the same command again; senders that say hello then go on."
            ) from error
        finally:
            watching.cancel()
            for server in servers:
                server.close()
            await self._part()

    async def _listen(self, sockets: Sequence[socket.socket]) -> list[asyncio.Server]:
        _allow_files(self._listening.connections + _BESIDES)
        return [
            await asyncio.get_running_loop().create_server(
                lambda: Conversation(self._inbox, self._listening, on_begin=self._begun, on_end=self._ended),
                sock=one,
                ssl=self._listening.tls,
                ssl_handshake_timeout=_HANDSHAKE_SECONDS if self._listening.tls else None,
                backlog=_BACKLOG,
            )
            for one in sockets
        ]

    def _end_quietly(self) -> None:
        """End when asked, with all that has come so far; asked again, at once, with what is safe by then."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self._end)

    def _end(self) -> None:
        self.end()
        asyncio.get_running_loop().call_later(_ONE_SIGNAL, self._end_at_once_when_asked)

    def _end_at_once_when_asked(self) -> None:
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().remove_signal_handler(number)

    def _begun(self, conversation: Conversation) -> bool:
        """Know a new connection; tell whether there is room for it."""
        if len(self._conversations) >= self._listening.connections:
            return False
        self._conversations.add(conversation)
        self._is_alone.clear()
        return True

    def _ended(self, conversation: Conversation, why: str) -> None:
        self._conversations.discard(conversation)
        if not self._conversations:
            self._is_alone.set()
        if why and not self._is_over:
            self._say(f"{conversation.who}: closed, as {why}")

    async def _keep(self, batch: Batch) -> None:
        if batch:
            text, rows = b"".join(batch.texts), batch.rows
            await self._on_disk(
                lambda: self._received.commit(
                    text, rows=rows, marks=batch.marks, header=batch.header, since=batch.since
                )
            )
            for stream, mark in batch.marks.items():
                self._acknowledge(stream, mark)
        if self._received.full_in() <= 0:
            await self._rotate()
        for conversation in self._conversations if not (self._is_over or self._inbox.is_full) else ():
            conversation.read_on()
        enough = self._listening.rows
        if (batch.ends and self._listening.once) or (enough is not None and self._received.state.rows >= enough):
            self._is_over = True

    def _acknowledge(self, stream: str, mark: Mark) -> None:
        conversation = self._inbox.talking(stream)
        if isinstance(conversation, Conversation):
            conversation.tell(Answer(mark.safe, mark.is_ended))

    async def _on_disk(self, write: Callable[[], object]) -> object:
        """Have something written; meanwhile rows come in, until there are too many."""
        return await asyncio.get_running_loop().run_in_executor(self._disk, write)

    async def _rotate(self) -> None:
        piece = await self._on_disk(self._received.close_piece)
        if isinstance(piece, int):
            task = asyncio.create_task(self._publish(piece))
            self._publishing.add(task)
            task.add_done_callback(self._published)

    async def _publish(self, piece: int) -> None:
        """Pack a file beside all else; note it where all is noted."""
        path = await asyncio.to_thread(self._received.publish, piece)
        await self._on_disk(lambda: self._received.note_visible(piece))
        self._say(path)

    def _published(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and task.exception() is None:
            self._publishing.discard(task)
        else:  # who waits for it at the end raises what it raised
            self.end()

    async def _watch(self) -> None:
        """Look now and then at what no row brings about."""
        while True:
            await asyncio.sleep(_LOOK_EVERY)
            now = asyncio.get_running_loop().time()
            for conversation in list(self._conversations):
                if conversation.is_reading and now - conversation.heard_at > self._listening.idle:
                    conversation.refuse(f"nothing came for {duration(self._listening.idle)}", retry=True)
            if self._received.full_in() <= 0:
                self._inbox.has_come.set()

    async def _part(self) -> None:
        """Close all connections, so that their senders go elsewhere or try again."""
        for conversation in list(self._conversations):
            conversation.refuse("the receiver has ended", retry=True)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_PARTING):
                await self._is_alone.wait()
        for conversation in list(self._conversations):  # of senders that neither read nor go
            conversation.cut()
        await self._is_alone.wait()


def bound(endpoint: Endpoint, *, by: str = "--listen") -> list[socket.socket]:
    """Take an endpoint, where connections wait from now on until somebody accepts them.

    A name may have several addresses, each with a socket of its own. Raises ``UsageError`` where it cannot be had,
    which says ``by`` what it was named.
    """
    sockets = list[socket.socket]()
    try:
        found = socket.getaddrinfo(endpoint.host, endpoint.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        for family, kind, protocol, _, address in dict.fromkeys(found):
            sockets.append(socket.socket(family, kind, protocol))
            sockets[-1].setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                sockets[-1].setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            sockets[-1].bind(address)
            sockets[-1].listen(_BACKLOG)
            sockets[-1].settimeout(0)
    except OSError as error:
        for one in sockets:
            one.close()
        cure = (
            f"It is no address of this computer: give {by} one that is."
            if error.errno == errno.EADDRNOTAVAIL or isinstance(error, socket.gaierror)
            else f"Another program may have it: give {by} another port, or 0 for any free one."
        )
        raise UsageError(f"Cannot listen on {endpoint}: {error.strerror}. {cure}") from error
    return sockets


def _allow_files(wanted: int) -> None:
    """Let the process have so many files open, or as many as it may."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        most = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(most, soft), hard))
