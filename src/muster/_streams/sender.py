"""Send rows, and go on behind the last safe one wherever a connection breaks."""

import asyncio
import contextlib
import logging
import random
import socket
import ssl
import time
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final

from muster._model import END
from muster._words import text_of
from muster._words.numbers import count, duration
from muster.errors import DataError, EngineError

from .endpoints import SINK_PORT, SOURCE_PORT, Endpoint
from .frames import LARGEST, Framing, decoder, encoded
from .hello import Answer, Hello
from .outgoing import Outgoing

_ANSWER_SECONDS: Final = 15.0
"""How long a connection and the answer to a hello may take."""
_UNHEARD_MS: Final = 60_000
"""How long the other computer may not say that it got what was sent, before the connection counts as cut."""
_FIRST_PAUSE: Final = 0.1
"""Seconds: a receiver that starts anew is there soon."""

_LONGEST_PAUSE: Final = 10.0
"""Seconds: so late rows go on when a receiver is there again after hours."""

_LAST_WORDS: Final = 1.0
"""Seconds in which a plain receiver may say that it refuses what it got."""
_SIGN_EVERY: Final = 15.0
"""Seconds after which the receiver hears that the sender is there, where no row is: receivers wait for minutes."""
_READ: Final = 1 << 16
"""Bytes of acknowledgements, which are some dozen each."""

_BUFFER: Final = 1 << 20
"""Bytes that wait for the line: some thousand rows, and lost with a connection at the most."""

_TURNS: Final = 20
"""So often a second are rows sent that go at a rate."""
_CATCHES_UP: Final = 1.0
"""Seconds of rows that may go faster than the rate, after a time in which they could not go."""
_LARGEST_TURN: Final = 4000
"""Rows that are put into frames together."""


@dataclass(frozen=True, slots=True)
class Destination:
    """Where rows go, and how."""

    endpoint: Endpoint
    framing: Framing = "length"
    largest: int = LARGEST
    """Bytes that a frame may have."""
    is_plain: bool = False
    """Whether the receiver knows no hello, such as that of the seed system."""
    rate: float = float("inf")
    """Rows a second."""
    tls: ssl.SSLContext | None = None
    token: str = ""
    patience: float = 300.0
    """Seconds without any progress after which it is given up; without an end, whatever may pass is waited for."""
    last_words: float = _LAST_WORDS
    """Seconds that a plain receiver has, once it has all, to say that it does not want it, or to close."""
    in_python: bool = False
    """Whether options were given as arguments, and not as flags."""

    def option(self, flag: str, value: str = "") -> str:
        """Name an option as it is given."""
        if self.in_python:
            return f"{flag.replace('-', '_')}={value!r}" if value else f"{flag}=True"
        return f"--{flag} {value}".rstrip()

    @property
    def to_send_all(self) -> str:
        """Say what is added to the command, so that rows are sent again that another receiver has."""
        return " with --fresh, to start over" if self.in_python else ", to send all that it does not know"


class _BrokenError(Exception):
    """The connection is of no use any more, and another one may be; the message says why."""


class _ClosedError(_BrokenError):
    """The receiver has closed the connection, and said why."""


class Sender:
    """Rows on their way to one receiver."""

    def __init__(
        self,
        rows: Outgoing,
        destination: Destination,
        *,
        say: Callable[[str], None],
        tell: Callable[[int, int], None],
        safe: int = 0,
    ) -> None:
        """``say`` gets a line where a connection breaks; ``tell`` hears how many rows are sent, how many safe.

        So many are ``safe`` from the start.
        """
        self._rows = rows
        self._to = destination
        self._say = say
        self._tell = tell
        self.sent = 0
        """The number of the last row that was sent."""
        self.safe = safe
        """The number of the last row that was acknowledged."""
        self.was_closed = False
        """Whether a plain receiver closed the connection once it had all."""
        self._has_sent_all = False
        self._working: tuple[asyncio.AbstractEventLoop, asyncio.Task[None]] | None = None
        self._unreached = 0.0
        """Seconds that the last try took to find out that nobody is there."""

    def run(self) -> None:
        """Send all rows. Raises ``EngineError`` where that cannot be done."""
        logging.getLogger("asyncio").setLevel(logging.ERROR)  # it warns of writes to a connection that has broken
        asyncio.run(self._run())

    def cancel(self) -> None:
        """End at once; any thread may call this, once or more."""
        if self._working is not None:
            loop, task = self._working
            with contextlib.suppress(RuntimeError):  # it has ended
                loop.call_soon_threadsafe(task.cancel)

    async def _run(self) -> None:
        if (task := asyncio.current_task()) is not None:
            self._working = asyncio.get_running_loop(), task
        pause, tried, safe = _FIRST_PAUSE, 0.0, self.safe
        while why := await self._broken():
            if self.safe > safe:
                pause, tried, safe = _FIRST_PAUSE, 0.0, self.safe
            tried += self._unreached
            if tried > self._to.patience:
                if self._is_all_safe:
                    self._say(
                        f"{self._to.endpoint}: {why}. All rows are safe there, but it may not know that these are all."
                    )
                    return
                raise EngineError(
                    f"{self._to.endpoint}: {why}. It was tried for {duration(self._to.patience)}.{self._so_far()}"
                    f"{self._hint()} Type the same command again to go on."
                )
            again = f"again in {duration(pause)}" if self._to.patience < float("inf") else "again until it takes rows"
            self._say(f"{self._to.endpoint}: {why}. Trying {again}.")
            await asyncio.sleep(pause * random.uniform(0.8, 1.2))  # noqa: S311 (so that many do not try at once)
            tried += pause
            pause = min(2 * pause, _LONGEST_PAUSE)

    async def _broken(self) -> str:
        """Send what is not safe yet over one connection; say why it broke, or nothing once all is there."""
        try:
            await self._try()
        except _ClosedError as error:
            return "" if self._is_all_safe else str(error)  # it may have had enough before the end came
        except _BrokenError as error:
            return str(error)
        return ""

    @property
    def _is_all_safe(self) -> bool:
        """Tell whether nothing is missing there, unless it is that this is all."""
        return self._has_sent_all and self.safe >= self.sent and not self._to.is_plain

    def _so_far(self) -> str:
        return "" if self._to.is_plain else f" {count(self.safe)} rows are safe there."

    def _hint(self) -> str:
        """Say which port is meant, most likely."""
        if self._to.endpoint.port == SOURCE_PORT and not self.safe:
            return f" muster receive listens on port {SINK_PORT}, unless told otherwise."
        return ""

    async def _try(self) -> None:
        """Connect, and converse. Raises ``_BrokenError``."""
        began = time.monotonic()
        try:
            async with asyncio.timeout(_ANSWER_SECONDS):
                reader, writer = await self._connect()
        except TimeoutError as error:
            self._unreached = time.monotonic() - began
            raise _BrokenError(f"it does not answer within {duration(_ANSWER_SECONDS)}") from error
        except ssl.SSLCertVerificationError as error:
            raise EngineError(
                f"{self._to.endpoint} shows a certificate that is not trusted: {error.verify_message}. Name who signs"
                f" for it: {self._to.option('tls-ca', 'FILE')}."
            ) from error
        except OSError as error:
            self._unreached = time.monotonic() - began
            raise _BrokenError(f"cannot be reached: {error.strerror or text_of(error)}") from error
        self._unreached = 0.0
        try:
            await self._converse(writer, self._answers(reader))
        except OSError as error:
            raise _BrokenError(f"the connection broke: {error.strerror or text_of(error)}") from error
        finally:
            writer.close()
            with contextlib.suppress(OSError, TimeoutError):
                async with asyncio.timeout(_LAST_WORDS):
                    await writer.wait_closed()

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        endpoint = self._to.endpoint
        reader, writer = await asyncio.open_connection(endpoint.host, endpoint.port, ssl=self._to.tls)
        writer.transport.set_write_buffer_limits(_BUFFER)
        if (connected := writer.get_extra_info("socket")) is not None:
            connected.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            if hasattr(socket, "TCP_USER_TIMEOUT"):
                connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, _UNHEARD_MS)
        return reader, writer

    async def _converse(self, writer: asyncio.StreamWriter, answers: AsyncIterator[Answer]) -> None:
        self._has_sent_all = False
        first = asyncio.ensure_future(anext(answers))
        try:
            if await self._has_rows(writer, first):
                await self._go_through(writer, first, answers)
        finally:
            first.cancel()
            await asyncio.gather(first, return_exceptions=True)

    async def _has_rows(self, writer: asyncio.StreamWriter, first: "asyncio.Future[Answer]") -> bool:
        """Wait until it is known how rows begin, or that there are none; a receiver that goes meanwhile is noticed."""
        begun = asyncio.ensure_future(self._rows.begun())
        try:
            while not begun.done():
                either: list[asyncio.Future[Any]] = [begun, first]
                await asyncio.wait(either, timeout=_SIGN_EVERY, return_when=asyncio.FIRST_COMPLETED)
                if first.done():
                    first.result()
                    break  # it speaks first, whatever it says
                if not (begun.done() or self._to.is_plain):
                    writer.write(self._frames([b""]))
            return await begun
        finally:
            begun.cancel()

    async def _go_through(
        self, writer: asyncio.StreamWriter, first: "asyncio.Future[Answer]", answers: AsyncIterator[Answer]
    ) -> None:
        after = 0
        if not self._to.is_plain:
            after = await self._greet(writer, first)
        elif self._rows.header is not None:
            writer.write(self._frames([self._rows.header]))
        listening = asyncio.ensure_future(self._listen(first, answers))
        sending = asyncio.ensure_future(self._send(writer, after))
        try:
            await asyncio.wait([listening, sending], return_when=asyncio.FIRST_COMPLETED)
            if not listening.done():
                await sending
            if not self._to.is_plain:
                await listening
            elif sending.done():
                await asyncio.wait([listening], timeout=self._to.last_words)
            if listening.done():
                await listening
                self.was_closed = self._has_sent_all
        finally:
            for task in (listening, sending):
                task.cancel()
            await asyncio.gather(listening, sending, return_exceptions=True)

    async def _greet(self, writer: asyncio.StreamWriter, first: "asyncio.Future[Answer]") -> int:
        """Say hello; return how many rows are safe."""
        header = self._rows.header
        text = None if header is None else header.decode("utf-8", "surrogateescape")
        writer.write(self._frames([Hello(self._rows.stream, text, token=self._to.token).payload()]))
        try:
            async with asyncio.timeout(_ANSWER_SECONDS):
                answer = await first
        except _ClosedError:
            raise
        except (_BrokenError, OSError) as error:
            other = "lines" if self._to.framing == "length" else "length"
            hint = f"; if its frames are of another kind, say {self._to.option('framing', other)}"
            hint += "" if self._to.tls else f"; if it speaks TLS, say {self._to.option('tls')}"
            raise _BrokenError(f"it closed the connection without an answer to the hello{hint}") from error
        except TimeoutError as error:
            why = f"does not answer the hello within {duration(_ANSWER_SECONDS)}"
            hint = f"If the receiver there is not muster's, say {self._to.option('plain')}"
            if self._to.patience == float("inf"):  # it may be too busy just now
                raise _BrokenError(f"it {why}. {hint}") from error
            raise EngineError(
                f"{self._to.endpoint} {why}. {hint}: then no row is acknowledged, and where the connection breaks, all"
                " are sent again."
            ) from error
        if answer.safe < self.safe:
            raise EngineError(
                f"{self._to.endpoint} acknowledged {count(self.safe)} rows before, and knows of {count(answer.safe)}"
                " now: most likely it was started with another output. Start it with the output that it had; or type"
                f" the command again{self._to.to_send_all}."
            )
        self._note(answer)
        return answer.safe

    async def _listen(self, first: "asyncio.Future[Answer]", answers: AsyncIterator[Answer]) -> None:
        """Hear what is safe until all is."""
        async for answer in _from_the_first(first, answers):
            self._note(answer)
            if answer.is_ended and self._has_sent_all and answer.safe >= self.sent and not self._to.is_plain:
                return

    def _note(self, answer: Answer) -> None:
        self.safe = max(self.safe, answer.safe)
        self._tell(max(self.sent, self.safe), self.safe)

    async def _answers(self, reader: asyncio.StreamReader) -> AsyncIterator[Answer]:
        """Read answers. Raises ``EngineError`` where the receiver refuses what is sent, ``_BrokenError`` at its end."""
        frames = decoder(self._to.framing)
        while data := await reader.read(_READ):
            for payload in frames.feed(data):
                try:
                    answer = Answer.of(payload)
                except ValueError as error:
                    if self._to.is_plain:
                        continue
                    raise EngineError(
                        f"{self._to.endpoint} answers what is no answer: {payload[:80]!r}. If the receiver there is not"
                        f" muster's, say {self._to.option('plain')}."
                    ) from error
                if answer.error and answer.retry:
                    raise _ClosedError(f"it closed the connection: {answer.error}")
                if answer.error:
                    raise EngineError(
                        f"{self._to.endpoint} refuses what is sent: {answer.error}.{self._so_far()}".rstrip()
                    )
                yield answer
            if frames.fault and not self._to.is_plain:
                raise EngineError(
                    f"{self._to.endpoint} answers what is no frame: {frames.fault}. Have both ends one framing."
                )
        if not (self._to.is_plain and self._has_sent_all):
            raise _BrokenError("it closed the connection")

    async def _send(self, writer: asyncio.StreamWriter, after: int) -> None:
        due = time.monotonic()
        for rows in self._from(after):
            if rows is None:
                await self._more(writer)
                continue
            if self._to.rate < float("inf"):
                await asyncio.sleep(max(due - time.monotonic(), 0))
                due = max(due, time.monotonic() - _CATCHES_UP) + len(rows) / self._to.rate
            if writer.is_closing():
                raise _BrokenError("the connection broke")
            writer.write(self._frames(rows))
            self.sent += len(rows)
            await writer.drain()
            self._tell(self.sent, self.safe)
        self._has_sent_all = True
        writer.write(self._frames([END]))
        await writer.drain()
        if self._to.is_plain and writer.can_write_eof():
            writer.write_eof()

    async def _more(self, writer: asyncio.StreamWriter) -> None:
        """Wait for rows; have the receiver know meanwhile that somebody is there."""
        try:
            async with asyncio.timeout(_SIGN_EVERY):
                await self._rows.more()
        except TimeoutError:
            if not self._to.is_plain:
                writer.write(self._frames([b""]))
                await writer.drain()

    def _from(self, after: int) -> Iterator[list[bytes] | None]:
        """Go through the rows behind one, in turns; ``None`` where more may come.

        Raises ``EngineError`` where there is none of that number.
        """
        most = int(min(max(self._to.rate / _TURNS, 1), _LARGEST_TURN))
        passed, batches = self._rows.batches(after)
        self.sent = max(after, passed)
        self._tell(self.sent, self.safe)
        for rows in batches:
            if rows is None:
                self._check_has(passed, after)
                yield None
                continue
            skipped = min(max(after - passed, 0), len(rows))
            passed += len(rows)
            for at in range(skipped, len(rows), most):
                yield rows[at : at + most]
        self._check_has(passed, after)

    def _check_has(self, passed: int, after: int) -> None:
        """Raise ``EngineError`` where the receiver has more rows than there are."""
        if passed < after:
            other = "start over with --fresh" if self._to.in_python else "name another stream: --stream NAME"
            raise EngineError(
                f"{self._to.endpoint} has {count(after)} rows of stream {self._rows.stream!r}, and there are only"
                f" {count(passed)}. If these are other rows, {other}."
            )

    def _frames(self, payloads: list[bytes]) -> bytes:
        """Write frames. Raises ``DataError`` for a row that is none."""
        if max(map(len, payloads)) > self._to.largest:
            raise DataError(
                f"A frame would have {count(max(map(len, payloads)))} bytes, and may have {count(self._to.largest)}."
                f" {'Give shorter rows' if self._to.in_python else 'Allow more at both ends: --frame-bytes'}."
            )
        try:
            return encoded(payloads, self._to.framing)
        except ValueError as error:
            raise DataError(
                f"A row holds a line end, within quotes: {error.args[0][:80]!r}. Lines cannot carry it: say"
                f" {self._to.option('framing', 'length')} at both ends."
            ) from error


async def _from_the_first(first: "asyncio.Future[Answer]", answers: AsyncIterator[Answer]) -> AsyncIterator[Answer]:
    """Go through answers of which the first is waited for by others, too."""
    with contextlib.suppress(StopAsyncIteration):
        yield await first
        async for answer in answers:
            yield answer
