"""Show a run in the terminal: as a live bar, or as a line now and then."""

import contextlib
import sys
import threading
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final, Protocol, Self, TextIO

from muster._job import MachinePace, Result, Snapshot
from muster._show import notebook
from muster._show.summary import rejected, summary
from muster._words import worker_count

if TYPE_CHECKING:
    from rich.console import Group

_LINE_EVERY: Final = 10.0
"""Seconds between two lines where there is no terminal: a log of a run of hours stays short."""
_MOST_MACHINES: Final = 16
"""So many lines fit below the bar."""
_the_bar: Final = threading.Lock()
"""Held by the run that has the bar: two bars on one terminal would overwrite each other."""


class Shown(Protocol):
    """Somebody who is told how far a run is."""

    def watch(self, snapshot: Snapshot) -> None:
        """Take note."""

    def remark(self, text: str) -> None:
        """Say something that the user should know of the run."""

    def warn(self, text: str) -> None:
        """Say that results may be wrong, which is heard in any case."""

    def printed(self, text: str) -> None:
        """Pass on what workers print, in whole lines; this is called from another thread."""

    def aside(self) -> contextlib.AbstractContextManager[None]:
        """Leave the terminal to a question for as long as the context lasts."""

    def finish(self, result: Result) -> None:
        """Say how it ended."""


@contextlib.contextmanager
def show(*, quiet: bool, is_live: bool = True, to: TextIO | None = None) -> Iterator[Shown]:
    """Choose how to show a run: as a bar on a terminal, as lines elsewhere, not at all when ``quiet``.

    It is not ``is_live`` where the function itself may want the terminal: a bar would wipe out a debugger's prompt.
    """
    stream = to or sys.stderr
    if quiet:
        yield _Quiet(stream)
        return
    with _on(stream, is_live=is_live, of_python=False) as shown:
        yield shown


@contextlib.contextmanager
def showing(progress: bool | None, *, is_live: bool = True) -> Iterator[Shown]:  # noqa: FBT001 (as callers give it)
    """Choose how to show a run that was called in Python. ``None`` shows it on a terminal and in a notebook.

    Rejects are not mentioned: a warning tells of them.
    """
    stream = sys.stderr
    is_seen = notebook.is_here() or (stream is not None and stream.isatty())
    if progress is False or stream is None or not (progress or is_seen):
        yield _Silent(stream) if not notebook.is_here() else notebook.Quiet()
    elif notebook.is_here():
        with notebook.cell() as cell:
            yield cell
    else:
        with _on(stream, is_live=is_live, of_python=True) as shown:
            yield shown


@contextlib.contextmanager
def _on(stream: TextIO, *, is_live: bool, of_python: bool) -> Iterator[Shown]:
    """Show a bar where it is one terminal's only one, else lines."""
    if not (is_live and stream.isatty() and _the_bar.acquire(blocking=False)):
        yield _PlainLines(stream, of_python=of_python)
        return
    try:
        with _Bar(stream, of_python=of_python) as bar:
            yield bar
    finally:
        _the_bar.release()


class _Printing:
    def __init__(self, stream: TextIO | None) -> None:
        self._stream = stream

    def printed(self, text: str) -> None:
        with contextlib.suppress(OSError, ValueError):  # it is closed, or nobody reads it
            print(text, end="", file=self._stream, flush=True)

    def aside(self) -> contextlib.AbstractContextManager[None]:
        return contextlib.nullcontext()


class _Silent(_Printing):
    """Says nothing, where Python's own warnings tell what is wrong."""

    def watch(self, snapshot: Snapshot) -> None:
        pass

    def remark(self, text: str) -> None:
        pass

    def warn(self, text: str) -> None:
        pass

    def finish(self, result: Result) -> None:
        pass


class _Quiet(_Silent):
    """Says only that results may be wrong, and why the exit code is not 0."""

    def warn(self, text: str) -> None:
        print(f"muster: {text}", file=self._stream, flush=True)

    def finish(self, result: Result) -> None:
        if result.bad_rows:
            print(f"muster: {rejected(result)}", file=self._stream, flush=True)


def _machine(pace: MachinePace) -> str:
    return f"  {pace.machine}: {pace.rows_per_second:,.0f} rows/s, {worker_count(pace.workers)}, busy {pace.busy:.0%}"


class _PlainLines(_Printing):
    def __init__(self, stream: TextIO, *, of_python: bool) -> None:
        super().__init__(stream)
        self._of_python = of_python
        self._said = time.monotonic()
        self._last: Snapshot | None = None
        self._line = ""
        """How far it was, as said last."""

    def watch(self, snapshot: Snapshot) -> None:
        self._last = snapshot
        if snapshot.note:
            self._say(snapshot.note)
        elif time.monotonic() - self._said >= _LINE_EVERY:
            text = str(snapshot)
            if snapshot.stream is None or text != self._line:  # for which nothing may come for weeks
                self._line = text
                self._say(text)

    def remark(self, text: str) -> None:
        self._say(text)

    warn = remark

    def _say(self, text: str) -> None:
        self._said = time.monotonic()
        print(f"muster: {text}", file=self._stream, flush=True)

    def finish(self, result: Result) -> None:
        if text := summary(result, self._last, of_python=self._of_python):
            print(text, file=self._stream, flush=True)


class _Bar:
    """A bar, and below it a line for each machine when there are several."""

    def __init__(self, stream: TextIO, *, of_python: bool) -> None:
        from rich.console import Console
        from rich.live import Live
        from rich.progress import BarColumn, Progress, TextColumn

        self._stream = stream
        self._of_python = of_python
        self._last: Snapshot | None = None
        self._begins = threading.Lock()
        self._bar = Progress(
            TextColumn("{task.fields[phase]}"),
            BarColumn(),
            TextColumn("{task.percentage:>3.0f}%"),
            TextColumn("{task.description}"),
        )
        self._task = self._bar.add_task("", total=None, phase="starting")
        self._live = Live(
            console=Console(file=stream),
            transient=True,
            get_renderable=self._drawn,
            # What goes to a file must not appear on the terminal instead.
            redirect_stdout=sys.stdout is not None and sys.stdout.isatty(),
        )

    def _drawn(self) -> "Group":
        from rich.console import Group
        from rich.text import Text

        machines = self._last.machines if self._last else ()
        shown = sorted(machines, key=lambda pace: -pace.rows_per_second)[:_MOST_MACHINES] if len(machines) > 1 else []
        lines = [_machine(pace) for pace in sorted(shown, key=lambda pace: pace.machine)]
        if len(machines) > _MOST_MACHINES:
            lines.append(f"  and {len(machines) - _MOST_MACHINES} machines that are slower")
        return Group(self._bar, *map(Text, lines))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._live.stop()

    def watch(self, snapshot: Snapshot) -> None:
        self._last = snapshot
        self._begin()  # not before there is a run to show
        if snapshot.note:
            self.remark(snapshot.note)
        self._bar.update(
            self._task,
            completed=snapshot.rows_done,
            total=snapshot.rows_total,
            phase=snapshot.phase,
            description=str(snapshot) if snapshot.phase == "working" else "",
        )

    def _begin(self) -> None:
        """Draw the bar, if it is not there: what is printed while it is drawn first would come behind it."""
        with self._begins:
            self._live.start(refresh=True)

    def remark(self, text: str) -> None:
        with self._begins:
            self._live.console.print(f"muster: {text}", markup=False)

    warn = remark

    @contextlib.contextmanager
    def aside(self) -> Iterator[None]:
        self._live.stop()
        try:
            yield
        finally:
            self._begin()

    def printed(self, text: str) -> None:
        """Print above the bar, as it came: neither wrapped nor coloured."""
        from rich.segment import Segment, Segments

        with self._begins:
            self._live.console.print(Segments([Segment(text)]), crop=False, end="")

    def finish(self, result: Result) -> None:
        self._live.stop()
        if text := summary(result, self._last, of_python=self._of_python):
            print(text, file=self._stream, flush=True)
