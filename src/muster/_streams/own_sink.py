"""Rows of a stream that go to a sink of the user's own: a thread hands it one part after the other from the outbox."""

import threading
from collections.abc import Callable
from pathlib import Path

from muster._job import WriteTo
from muster._output.folder import WorkFolder
from muster._private.files import private
from muster._words import count
from muster.errors import EngineError

from .outbox import Outbox, OutboxPart
from .outbox_sink import OutboxSink
from .own_code import AwayError, OwnCode
from .values import payload_of


class OwnSink(OutboxSink):
    """The rows that go to one sink."""

    def __init__(self, asked: WriteTo, work: WorkFolder, *, format_: str) -> None:
        """Open nothing yet; parts are written in a format."""
        super().__init__(asked.name, most=asked.spool_bytes)
        self._parts = HandedOutbox(work, asked.called, format_=format_, has_payloads=asked.has_payloads)
        self._code = OwnCode(asked.sink, asked.name)
        self._is_closing = threading.Event()

    @property
    def parts(self) -> "HandedOutbox":
        return self._parts

    @property
    def _safe(self) -> int:
        return self.parts.before

    def _carrier(self) -> Callable[[], None]:
        return self._carry

    def _carry(self) -> None:
        try:
            while not self._is_closing.is_set():
                try:
                    self._hand_over()
                except AwayError as error:
                    self._is_away(f"{error}. It is tried again until it is there")
                    self._code.close()
                    self._code.wait(self._is_closing)
                else:
                    return
        finally:
            self._code.close()

    def _hand_over(self) -> None:
        """Open the sink, and hand it what it has not; return at the end."""
        self._know(self._code.call("open", self.parts.stream))
        while not self._is_closing.is_set():
            self.parts.has_come.clear()
            is_last = self.parts.is_ending  # before a look at what is there, which may come until then
            if (part := self.parts.next(self.parts.before)) is not None:
                self._code.call("prepare", part.behind, self.parts.handed(part))
                self._code.call("commit", part.behind)
                self.parts.free(part.behind)
                self._code.is_there()
                self._moves()
            elif is_last:
                return
            else:
                self._is_there()
                self.parts.has_come.wait()

    def _know(self, committed: object) -> None:
        """Free what the sink has. Raises ``UserCodeError`` where that is not what it was given."""
        if not isinstance(committed, int) or isinstance(committed, bool):
            raise self._code.fault(
                f"open gave {committed!r:.60}",
                "It gives the greatest number that was committed for the stream, a whole number, and 0 for none.",
            )
        before, done = self.parts.before, self.parts.done
        if committed < before:
            raise EngineError(
                f"{self.name}: open says that {count(committed)} is the last number that was committed, and commit was"
                f" called with {count(before)}, whose rows are nowhere else. Was its other end put back, or does commit"
                " not keep the number? Restore it, and type the same command again; or type it with --fresh, to start"
                " over."
            )
        if committed > done or not (committed == done or self.parts.next(committed)):
            raise EngineError(
                f"{self.name}: open says that {count(committed)} is the last number that was committed, which it was"
                f" never given: the stream has {count(done)} rows. It keeps a number for each stream, by the name that"
                " open gets. Mend that, and type the same command again."
            )
        self.parts.free(committed)

    def _let_go(self) -> None:
        self._is_closing.set()
        self.parts.has_come.set()


class HandedOutbox(Outbox):
    """Parts that are handed over as they are, or as the payloads that their rows are."""

    def __init__(self, work: WorkFolder, called: str, *, format_: str, has_payloads: bool = False) -> None:
        """Know how parts are written, whose rows may be payloads; nothing is made or read yet."""
        super().__init__(work, called, format_=format_)
        self.has_come = threading.Event()
        """There may be another part, or no more come."""
        self._has_payloads = has_payloads

    def handed(self, part: OutboxPart) -> Path:
        """Give the file of a part; of payloads, one where they stand one behind the other."""
        if not self._has_payloads:
            return part.path
        path = self._place / "payloads"
        with part.path.open("rb") as rows, open(path, "wb", opener=private) as file:
            file.writelines(map(payload_of, rows))
        return path

    def _ring(self) -> None:
        self.has_come.set()

    def _see(self, path: Path) -> None:
        """Do nothing: a part says itself what its rows look like."""
