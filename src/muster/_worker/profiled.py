"""Time a function on a batch, in a worker: by its own lines and functions, with what libraries do for each of them."""

import cProfile
import linecache
import pstats
import sys
import sysconfig
import time
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import CodeType, FrameType
from typing import Any, Final

from muster._formats.rows import Rows
from muster._model import Briefing, Task
from muster._user_code.loading import load

from .calling import called
from .reading import reader_of

_LIBRARIES: Final = tuple({sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")})
_MUSTER: Final = str(Path(__file__).parents[1])


@dataclass(frozen=True, slots=True)
class SourceLine:
    """A line of the user's: its place and text, and its share of the time with all that it calls.

    ``own`` is without the user's own functions that it calls, whose lines have that time; but what libraries do for it
    is its own.
    """

    file: str
    line: int
    text: str
    share: float
    own: float


@dataclass(frozen=True, slots=True)
class Function:
    """A function of the user's: shares of the time, with all it calls and of its own code, and how often it ran."""

    file: str
    line: int
    name: str
    share: float
    own: float
    calls: int


@dataclass(frozen=True, slots=True)
class Profiled:
    """What came of calls on a batch; seconds are those in the user's function."""

    rows: int = 0
    loading: float = 0.0
    """Seconds that it took to import the code, and to build what is a class."""
    first: float = 0.0
    """Seconds of the first call."""
    second: float = 0.0
    cpu: float = 0.0
    """Seconds of the second call in which it computed, or stood in line to: in the rest it waited for something."""
    lines: tuple[SourceLine, ...] = ()
    functions: tuple[Function, ...] = ()
    bad_rows: int = 0
    misfits: Mapping[str, frozenset[str]] = field(default_factory=dict)
    """Columns whose types turned out too narrow: then nothing was called."""


@dataclass(frozen=True, slots=True)
class Profile:
    """Ask a worker to profile the steps, on the rows of a task."""

    briefing: Briefing
    task: Task

    def answer(self) -> Profiled:
        """Make four calls. Raises ``UserCodeError`` where one of them fails."""
        rows = reader_of(self.briefing, self.task).read()
        if rows.misfits:
            return Profiled(misfits=rows.misfits)
        began = time.perf_counter()
        for step in self.briefing.steps:
            load(step)
        loading = time.perf_counter() - began
        first = self._call(rows)
        before = _at_work()
        second = self._call(rows)
        used = _at_work() - before
        clock = _LineClock()
        with clock:
            self._call(rows)
        return Profiled(
            rows=len(rows.numbers),
            loading=loading,
            first=first,
            second=second,
            cpu=used,
            lines=clock.lines(),
            functions=self._functions(rows),
            bad_rows=len(rows.bad),
        )

    def _call(self, rows: Rows) -> float:
        return called(self.briefing, rows, file=self.task.file)[1]

    def _functions(self, rows: Rows) -> tuple[Function, ...]:
        """Call it once more under cProfile, and keep the functions that are the user's."""
        profile = cProfile.Profile()
        profile.enable()
        try:
            self._call(rows)
        finally:
            profile.disable()
        stats: Any = pstats.Stats(profile)
        told = {key: one for key, one in stats.stats.items() if _is_the_users(key[0])}
        whole = max((spent for _, _, _, spent, _ in told.values()), default=0.0) or 1.0
        found = [
            Function(
                file=_short(file), line=line, name=name, share=min(spent / whole, 1.0), own=own / whole, calls=calls
            )
            for (file, line, name), (_, calls, own, spent, _) in told.items()
        ]
        return tuple(sorted(found, key=lambda one: (-one.share, -one.own)))


def _at_work() -> float:
    """Count the seconds that this process computed, or stood in line to, as on a crowded computer."""
    try:
        waited = int(Path("/proc/self/schedstat").read_text().split()[1]) / 1e9
    except (OSError, ValueError, IndexError):  # not on Linux
        waited = 0.0
    return time.process_time() + waited


def _is_the_users(file: str) -> bool:
    return not file.startswith((*_LIBRARIES, _MUSTER, "<frozen", "<__array", "~")) and file != "<string>"


def _short(file: str) -> str:
    return Path(file).name if not file.startswith("<") else file


class _LineClock:
    """Tell how long each line of the user's took, with what libraries did for it.

    Tracing is on in the user's frames alone, so that of a library's function no more than its call costs.
    """

    def __init__(self) -> None:
        """Begin with nothing."""
        self._own: dict[tuple[str, int], float] = defaultdict(float)
        self._spent: dict[tuple[str, int], float] = defaultdict(float)
        self._stack: list[tuple[str, int]] = []
        self._since = 0.0
        self._is_users: dict[CodeType, bool] = {}

    def __enter__(self) -> None:
        """Trace from now on."""
        self._before = sys.gettrace()
        sys.settrace(self._entered)

    def __exit__(self, *_: object) -> None:
        """Trace no more."""
        sys.settrace(self._before)

    def lines(self) -> tuple[SourceLine, ...]:
        """List the lines, what took longest first."""
        whole = sum(self._own.values()) or 1.0
        return tuple(
            SourceLine(
                _short(file), line, linecache.getline(file, line).strip(), spent / whole, self._own[file, line] / whole
            )
            for (file, line), spent in sorted(self._spent.items(), key=lambda one: -one[1])
        )

    def _entered(self, frame: FrameType, event: str, _: object) -> Any:  # noqa: ANN401 (what tracing takes)
        code = frame.f_code
        if (users := self._is_users.get(code)) is None:
            users = self._is_users[code] = _is_the_users(code.co_filename)
        if not users or event != "call":
            return None
        self._count()
        self._stack.append((code.co_filename, frame.f_lineno))
        return self._went_on

    def _went_on(self, frame: FrameType, event: str, _: object) -> Any:  # noqa: ANN401 (likewise)
        if event == "line":
            self._count()
            if self._stack:
                self._stack[-1] = (frame.f_code.co_filename, frame.f_lineno)
        elif event == "return":
            self._count()
            if self._stack:
                self._stack.pop()
        return self._went_on

    def _count(self) -> None:
        """Add what has passed to the innermost line of the user's, if any is at work, and to those that led there."""
        passed = time.perf_counter() - self._since
        if self._stack:
            self._own[self._stack[-1]] += passed
            for place in set(self._stack):
                self._spent[place] += passed
        self._since = time.perf_counter()
