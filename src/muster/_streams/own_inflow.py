"""Rows that a source of the user's own gives: a thread reads them beside the epochs, and writes them to the spool.

With them it writes their position. So whatever is killed, the source is read on from behind the last row that is safe.
"""

import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from queue import SimpleQueue
from typing import Final

from muster._files.whole import reason
from muster._job import ReadFrom
from muster._words.numbers import plural
from muster.errors import DataError, EngineError, UsageError, UserCodeError

from .epochs import LONGEST_RECORD
from .lines import is_torn, split_header
from .own_code import AwayError, OwnCode
from .spooled import Spooled
from .spooled_source import ENDS_WITHIN

_AT_ONCE: Final = 4 << 20
"""Bytes that one read should give at the most: so many are written to the disk about as fast as they are read."""

_TURN: Final = 0.05
"""Seconds between two reads at the least where nothing is there."""


class OwnInflow:
    """The rows of one source."""

    longest = LONGEST_RECORD

    def __init__(self, asked: ReadFrom, *, delimiter: str, why_no_header: Callable[[bytes], str]) -> None:
        """Read nothing yet. Without a ``delimiter``, quotes mean nothing in the rows."""
        self.name = asked.name
        self._code = OwnCode(asked.source, asked.name)
        self._rows = _Checked(self._code, asked, delimiter, why_no_header)
        self._thread: threading.Thread | None = None
        self._call = threading.Event()
        """There may be something to do: room, a position to acknowledge, or the end."""
        self._is_ending = self._is_closing = self._has_read = False
        self._fault: BaseException | None = None
        self._said = SimpleQueue[str]()
        self._beyond = self._skipped = 0
        self._is_away = False
        self._why_away = f"{self.name}: it was not opened"

    def begin(self, spooled: Spooled, ring: Callable[[], None]) -> str:
        args = (_Spooling(self._code, spooled, self._rows), ring)
        self._thread = threading.Thread(target=self._work, args=args, name="muster-read", daemon=True)
        self._thread.start()
        return ""

    def _work(self, spooling: "_Spooling", ring: Callable[[], None]) -> None:
        try:
            self._read(spooling)
            self._has_read = True
            ring()
            while not self._is_closing:
                self._acknowledge(spooling)
                self._wait_for_a_call()
            self._acknowledge(spooling, is_last=True)
        except BaseException as error:  # noqa: BLE001 (the stream's thread raises it)
            self._fault = error
            ring()
        finally:
            self._code.close()

    def _read(self, spooling: "_Spooling") -> None:
        """Read until the source ends, or somebody asks for the end, as often as it goes away meanwhile."""
        while not self._is_ending:
            try:
                if not self._code.is_open:
                    self._code.call("open")
                if not self._read_once(spooling):
                    return
                if self._is_away:
                    self._is_away = False
                    self._said.put(f"{self.name}: it is there again")
                self._code.is_there()
            except AwayError as error:
                if not self._is_away:
                    self._said.put(f"{error}. It is tried again until it is there")
                self._why_away, self._is_away = str(error), True
                self._code.close()
                self._code.wait(self._call)

    def _read_once(self, spooling: "_Spooling") -> bool:
        """Read, if there is room; tell whether more may come."""
        spooling.acknowledge()
        if not spooling.has_room():
            self._wait_for_a_call()
            return True
        began = time.monotonic()
        count = spooling.read()
        self._beyond = self._code.beyond()
        if (skipped := self._code.skipped()) and not self._skipped:  # how many there will be, status says
            self._said.put(f"{self.name}: {plural(skipped, 'row')} skipped: gone before they were read")
        self._skipped = skipped
        if count == 0:
            self._call.wait(max(0.0, _TURN - (time.monotonic() - began)))
            self._call.clear()
        return count is not None

    def _wait_for_a_call(self) -> None:
        self._call.wait()
        self._call.clear()

    def _acknowledge(self, spooling: "_Spooling", *, is_last: bool = False) -> None:
        """Acknowledge what is done once nothing is read any more. Who is away at the end hears of it the next time."""
        if self._code.is_open:
            try:
                spooling.acknowledge()
            except AwayError as error:
                self._why_away = str(error)
                self._code.close()
        if is_last and spooling.is_due:
            self._said.put(
                f"{self._why_away}: so what was done last is acknowledged when the same command is typed again"
            )

    def settle(self) -> None:
        self._is_ending = self._is_closing = True
        self._call.set()
        if self._thread is not None:
            self._thread.join(ENDS_WITHIN)
            if self._thread.is_alive():
                self._said.put(
                    f"{self.name}: it has not answered for {ENDS_WITHIN:.0f} s, so nobody knows whether what was done"
                    " last is acknowledged. It is told again when the same command is typed again"
                )
        self.check()

    def look_again(self) -> None:
        self._call.set()

    def has_failed(self) -> bool:
        fault = self._fault
        if fault is not None and not isinstance(fault, DataError | UsageError | UserCodeError):
            raise fault
        return fault is not None

    def check(self) -> None:
        if self._fault is not None:
            raise self._fault

    def end(self) -> None:
        self._is_ending = True
        self._call.set()

    def has_ended(self) -> bool:
        return self._has_read

    def remarks(self) -> Iterator[str]:
        while not self._said.empty():
            yield self._said.get()

    def away(self) -> str:
        return self._why_away if self._is_away else ""

    def beyond(self) -> int:
        return self._beyond

    def skipped(self) -> int:
        return self._skipped

    def close(self) -> bool:
        self._is_ending = self._is_closing = True
        self._call.set()
        if self._thread is None:
            return True
        self._thread.join(ENDS_WITHIN)
        return not self._thread.is_alive()


class _Checked:
    """Looks at what a source gives before any of it is kept."""

    def __init__(self, code: OwnCode, asked: ReadFrom, delimiter: str, why_no_header: Callable[[bytes], str]) -> None:
        self._code = code
        self._delimiter = delimiter
        self._has_columns = bool(asked.columns)
        self._why_no_header = why_no_header

    def rows(self, given: object, *, behind: str) -> tuple[bytes, str]:
        """Take text and position out of what ``read`` gave. Raises ``UserCodeError`` for what is none."""
        if not isinstance(given, tuple) or len(given) != 2:  # noqa: PLR2004 (what StreamRows has)
            raise self._fault(
                f"gave {_shown(given)}", "It gives muster.StreamRows(text, position), or None at the end."
            )
        text, position = given
        if not isinstance(text, bytes):
            raise self._fault(f"gave {_shown(text)} as text", "Rows are bytes: CSV in UTF-8, 'a,b\\n'.encode().")
        if not isinstance(position, str):
            raise self._fault(f"gave {_shown(position)} as position", "A position is text, such as str(offset).")
        if text and position == behind:
            raise self._fault(
                f"gave rows and the position before them, {position!r}",
                "Give the position behind the rows: else they would be read again and again.",
            )
        if text and not text.endswith(b"\n"):
            raise self._fault(
                f"gave rows that end with {text[-40:]!r}",
                "Each row needs its line end; give a row once all of it is there.",
            )
        if self._delimiter and b'"' in text and is_torn(text, delimiter=self._delimiter):
            raise self._fault(
                f"gave rows that end within a quoted cell, with {text[-40:]!r}",
                "Give whole rows, as the csv module writes them; or say quoting=csv.QUOTE_NONE.",
            )
        return text, position

    def header(self, text: bytes) -> tuple[str | None, bytes]:
        """Take the header off the first rows. Raises ``UserCodeError`` for what is none."""
        if self._has_columns or not text.strip():
            return None, text if self._has_columns else b""
        header, rest = split_header(text, delimiter=self._delimiter)
        if why := self._why_no_header(header):
            raise self._code.fault(f"{why}", "Have the first row name the columns, or name them with columns=.")
        return header.decode("utf-8", "surrogateescape").removesuffix("\n").removesuffix("\r"), rest

    def _fault(self, what: str, cure: str) -> UserCodeError:
        return self._code.fault(f"read {what}", cure)


class _Spooling:
    """Writes rows to the spool, and says which are done. The thread that reads has it."""

    def __init__(self, code: OwnCode, spooled: Spooled, checked: _Checked) -> None:
        self._code = code
        self._spooled = spooled
        self._checked = checked
        self._unacknowledged = deque[tuple[tuple[int, int], str]]()
        """Positions, and up to where rows before them are in the spool."""
        if spooled.state.position:
            self._unacknowledged.append((spooled.end, spooled.state.position))
        self.has_room = spooled.has_room

    def read(self) -> int | None:
        """Read once, and keep what comes: count its bytes; ``None`` at the end."""
        behind = self._spooled.state.position
        given = self._code.call("read", behind, _AT_ONCE)
        if given is None:
            return None
        text, position = self._checked.rows(given, behind=behind)
        if position != behind:
            self._keep(text, position)
        return len(text)

    def _keep(self, text: bytes, position: str) -> None:
        header, since = None, time.monotonic()
        if self._spooled.state.header is None:
            header, text = self._checked.header(text)
        try:
            self._spooled.commit(text, rows=text.count(b"\n"), header=header, since=since, position=position)
            self._unacknowledged.append((self._spooled.end, position))
            if self._spooled.full_in() <= 0:
                self._spooled.close_piece()
        except OSError as error:
            raise EngineError(
                f"Cannot write rows for {self._spooled.output!r}: {reason(error)}. What came before is safe. Make"
                " room, and type the same command again."
            ) from error

    @property
    def is_due(self) -> bool:
        """Tell whether rows are in epochs that are committed, and the source has not been told."""
        return bool(self._unacknowledged) and self._unacknowledged[0][0] <= self._spooled.done

    def acknowledge(self) -> None:
        """Tell the source up to where its rows are in epochs that are committed, where that is news."""
        last = None
        while self.is_due:
            last = self._unacknowledged.popleft()
        if last is not None:
            try:
                self._code.call("acknowledge", last[1])
            except AwayError:
                self._unacknowledged.appendleft(last)
                raise


def _shown(value: object) -> str:
    return f"{value!r:.60}" if value is None or isinstance(value, str | bytes | int | float) else type(value).__name__
