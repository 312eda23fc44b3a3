"""What a stream reads from and where its rows go, which is not files: TCP, or a source and a sink of the user's own."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, NamedTuple, Protocol


class StreamRows(NamedTuple):
    """Rows that a source gives. ``text``: whole rows of CSV in UTF-8, each with its line end.

    Empty, it says that nothing has come just now. ``position``: the one behind the last row.
    """

    text: bytes
    position: str


class StreamSource(Protocol):
    """Where a stream takes rows from. :func:`muster.read_from` takes any object with these four methods.

    The rows have an order, and each place between two of them has a position: text of the source's own, such as an
    offset, which muster keeps on the disk together with the rows before it. Positions are what makes the stream exactly
    once: the same position always has the same rows behind it, also in another process.

    All methods are called in one thread. ``ConnectionError`` and ``TimeoutError`` say that the other end is away: it is
    closed and opened again until it answers. Any other error stops the stream; the same command goes on with it.
    """

    def open(self) -> None:
        """Get ready, such as by connecting. An object that was closed may be opened again."""

    def read(self, position: str, limit: int) -> StreamRows | None:
        """Give rows behind a position; ``""`` is the start. At least one, if it is there, and about ``limit`` bytes.

        Where nothing is there, wait for a moment, a tenth of a second at the most. ``None``: nothing ever comes any
        more. Unless ``columns`` are named, the first row at the start is the header, as in a file.
        """

    def acknowledge(self, position: str) -> None:
        """Know that all rows up to a position are done for good: nobody reads from before it any more.

        It may be told again. Where rows are kept in any case, do nothing.
        """

    def close(self) -> None:
        """Give back what ``open`` has taken."""


class StreamSink(Protocol):
    """Where a stream puts rows. :meth:`Pipeline.write_to` takes any object with these four methods.

    Rows come in files, one after the other, each with a ``number``: how many rows of the stream there are up to its
    end. The sink keeps the number with the rows, in one step. So it can tell after any crash which it has, and gets
    each file once.

    All methods are called in one thread. ``ConnectionError`` and ``TimeoutError`` say that the other end is away: it is
    closed and opened again until it answers. Any other error stops the stream; the same command goes on with it.
    """

    def open(self, stream: str) -> int:
        """Get ready; tell the greatest number that was committed for a stream of this name, 0 for none.

        What was prepared and not committed counts for nothing. An object that was closed may be opened again.
        """

    def prepare(self, number: int, rows: Path) -> None:
        """Take the rows of a file, so that nobody sees them yet. The file is gone once they are committed.

        After a crash it comes again, with the same rows.
        """

    def commit(self, number: int) -> None:
        """Show what was prepared, and keep the number: both in one step, or neither."""

    def close(self) -> None:
        """Give back what ``open`` has taken."""


class Encoding(NamedTuple):
    """What makes bytes of a row, where a function of the user's own does."""

    function: Callable[[Mapping[str, Any]], bytes]
    key: str = ""
    """The column whose value goes along."""
    framing: str = ""
    """How the bytes are framed; empty where any may come."""


@dataclass(frozen=True, slots=True)
class ListenTcp:
    """Where rows are listened for, and how."""

    place: str
    """``HOST:PORT``, as the user says it."""
    framing: Literal["length", "lines"] = "length"
    columns: tuple[str, ...] = ()
    """The names of columns that no sender sends; empty where the first frame of each connection has them."""
    connections: int = 5000
    idle: float = 600.0
    """Seconds after which a connection is closed from which nothing comes."""
    spool_bytes: int = 256_000_000
    """How much may wait on the disk to be done, beyond which senders wait."""
    tls_cert: str | None = None
    tls_key: str | None = None
    token: str | None = None
    """A file that holds it."""
    has_payloads: bool = field(default=False, kw_only=True)
    """Frames are no rows yet: the first step makes one of each."""

    @property
    def name(self) -> str:
        """Name the place."""
        return self.place or ":"

    @property
    def call(self) -> str:
        """Write the call that asks for it, for messages."""
        return f"listen_tcp({self.place!r})"

    @property
    def identity(self) -> str:
        """Say what tells the stream from others: rows over TCP are the same ones at any place."""
        return "rows over TCP"


@dataclass(frozen=True, slots=True)
class ReadFrom:
    """A source of the user's own."""

    source: StreamSource
    name: str
    columns: tuple[str, ...] = ()
    """The names of columns; empty where the first row has them."""
    spool_bytes: int = 256_000_000
    """How much may wait on the disk to be done, beyond which nothing is read."""
    by: str = "read_from"
    """What the user has called to ask for it."""

    @property
    def call(self) -> str:
        """Write the call that asks for it, for messages."""
        return f"{self.by}({self.name})"

    @property
    def identity(self) -> str:
        """Say what tells the stream from others."""
        return f"rows of {self.name}"


@dataclass(frozen=True, slots=True)
class SendTcp:
    """Where rows are sent, and how."""

    place: str
    """``HOST:PORT``, as the user says it."""
    framing: Literal["length", "lines"] = "length"
    is_plain: bool = False
    """The receiver knows no hello, and acknowledges nothing."""
    spool_bytes: int = 256_000_000
    """How much may wait on the disk to be acknowledged, beyond which no epoch begins."""
    tls: bool = False
    tls_ca: str | None = None
    token: str | None = None
    """A file that holds it."""
    called: str = field(default="", kw_only=True)
    """Its name among the files of the stream."""
    has_payloads: bool = field(default=False, kw_only=True)
    """The last step makes bytes of each row, which go there as they are."""

    @property
    def call(self) -> str:
        """Write the call that asks for it, for messages."""
        return f"send_tcp({self.place!r})"


@dataclass(frozen=True, slots=True)
class WriteTo:
    """A sink of the user's own."""

    sink: StreamSink
    name: str
    spool_bytes: int = 256_000_000
    """How much may wait on the disk to be committed there, beyond which no epoch begins."""
    by: str = "write_to"
    """What the user has called to ask for it."""
    called: str = field(default="", kw_only=True)
    """Its name among the files of the stream."""
    has_payloads: bool = field(default=False, kw_only=True)
    """The last step makes bytes of each row, which go there as they are."""

    @property
    def call(self) -> str:
        """Write the call that asks for it, for messages."""
        return f"{self.by}({self.name})"
