"""Show a run in the terminal: a live bar, or a line now and then, and a closing summary."""

import contextlib
import importlib.util
import shlex
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, Protocol, Self, TextIO

from muster import _notebook
from muster._bad_rows import to_mend
from muster._callers import in_python
from muster._job import Estimate, MachinePace, Result, Snapshot
from muster._words import crew, duration, left, moment, plural, size

if TYPE_CHECKING:
    from rich.console import Group

    from muster._cluster import Status

_LINE_EVERY: Final = 10.0
_SHORT: Final = 10.0
"""Seconds below which nobody asks where the time of a run went."""

_MOST_MACHINES: Final = 16
_WORTH_TELLING: Final = 0.01
_the_bar: Final = threading.Lock()
"""Held by the run that has the bar: two would wipe out each other."""


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
    """Choose how to show a run to who called it in Python; ``None``: where somebody looks on.

    Warnings tell of rejects, so nothing of this does.
    """
    stream = sys.stderr
    is_seen = _notebook.is_here() or (stream is not None and stream.isatty())
    if progress is False or stream is None or not (progress or is_seen):
        yield _Silent(stream) if not _notebook.is_here() else _notebook.Quiet()
    elif _notebook.is_here():
        with _notebook.cell() as cell:
            yield cell
    else:
        with _on(stream, is_live=is_live, of_python=True) as shown:
            yield shown


@contextlib.contextmanager
def _on(stream: TextIO, *, is_live: bool, of_python: bool) -> Iterator[Shown]:
    """Show a bar where it is one terminal's only one, else lines."""
    if not (is_live and stream.isatty() and _the_bar.acquire(blocking=False)):
        yield _Lines(stream, of_python=of_python)
        return
    try:
        with _Bar(stream, of_python=of_python) as bar:
            yield bar
    finally:
        _the_bar.release()


class _Printing:
    """Passes on what workers print, as it comes."""

    def __init__(self, stream: TextIO | None) -> None:
        self._stream = stream

    def printed(self, text: str) -> None:
        with contextlib.suppress(OSError, ValueError):  # it is closed, or nobody reads it
            print(text, end="", file=self._stream, flush=True)


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
    """Says nothing, but that results may be wrong, and what an exit code other than 0 is about."""

    def warn(self, text: str) -> None:
        print(f"muster: {text}", file=self._stream, flush=True)

    def finish(self, result: Result) -> None:
        if result.bad_rows:
            print(f"muster: {rejected(result)}", file=self._stream, flush=True)


def _machine(pace: MachinePace) -> str:
    return f"  {pace.machine}: {pace.rows_per_second:,.0f} rows/s, {crew(pace.workers)}, busy {pace.busy:.0%}"


class _Lines(_Printing):
    def __init__(self, stream: TextIO, *, of_python: bool) -> None:
        super().__init__(stream)
        self._of_python = of_python
        self._said = time.monotonic()
        self._last: Snapshot | None = None

    def watch(self, snapshot: Snapshot) -> None:
        self._last = snapshot
        if snapshot.note:
            self._say(snapshot.note)
        elif time.monotonic() - self._said >= _LINE_EVERY:
            self._say(str(snapshot))

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
            redirect_stdout=sys.stdout is not None
            and sys.stdout.isatty(),  # what goes to a file is not for the terminal
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
        self._live.start()  # not before there is a run to show; it may be called again
        if snapshot.note:
            self.remark(snapshot.note)
        self._bar.update(
            self._task,
            completed=snapshot.rows_done,
            total=snapshot.rows_total,
            phase=snapshot.phase,
            description=str(snapshot) if snapshot.phase == "working" else "",
        )

    def remark(self, text: str) -> None:
        self._live.console.print(f"muster: {text}", markup=False)

    warn = remark

    def printed(self, text: str) -> None:
        """Print above the bar, as it came: neither wrapped nor coloured."""
        from rich.segment import Segment, Segments

        self._live.console.print(Segments([Segment(text)]), crop=False, end="")

    def finish(self, result: Result) -> None:
        self._live.stop()
        if text := summary(result, self._last, of_python=self._of_python):
            print(text, file=self._stream, flush=True)


def summary(result: Result, last: Snapshot | None, *, of_python: bool = False) -> str:
    """Say what a run came to, and what to do about its rejects, of which callers in Python are told by a warning."""
    if result.skipped:  # a note has said so
        return ""
    if result.unchanged:
        told = f"{result.output} is unchanged since it was written: nothing to do. --fresh does it all again."
        text = f"{told}\n{rejected(result)}" if result.bad_rows and not of_python else told
        return in_python(text) if of_python else text
    lines = [str(result)]
    is_worth_it = last is not None and _is_worth_telling(result, last)
    if last is not None and last.worker_seconds and is_worth_it:
        lines.append(_where_time_went(last))
    if result.resumed_parts:
        lines.append(
            f"{result.resumed_parts:,} of {result.parts:,} parts were done by an earlier attempt, whose time these"
            " figures leave out."
        )
    if result.estimate:
        lines.append(_of_all(result.estimate))
    if dropped := result.dropped:
        lines.append(f"{plural(dropped, 'row')} {'was' if dropped == 1 else 'were'} dropped by the function.")
    if result.bad_rows and not of_python:
        lines.append(rejected(result))
    if last is not None and last.run and is_worth_it and not of_python and _has_reports():
        lines.append(f"Where the time went: muster report {last.run} -o report.html")
    text = "\n".join(lines)
    return in_python(text) if of_python else text


def _is_worth_telling(result: Result, last: Snapshot) -> bool:
    """Tell whether anybody asks where the time went: of a run that took some, or in which something went wrong."""
    return result.seconds >= _SHORT or bool(result.bad_rows) or last.lost_seconds > 0


def _has_reports() -> bool:
    """Tell whether ``muster report`` has what it needs."""
    return importlib.util.find_spec("jinja2") is not None


def _where_time_went(last: Snapshot) -> str:
    """Say what the workers' time went into, as the page does; of what went wrong only where it was much."""
    parts = (
        ("was your function", last.function_seconds),
        ("went into sorting out bad rows", last.sorting_seconds),
        ("was lost to crashes and time limits", last.lost_seconds),
    )
    shares = [(told, min(seconds / last.worker_seconds, 1.0)) for told, seconds in parts]
    (function, at_work), *others = shares
    lines = [f"{at_work:.0%} of the workers' time {function}"]
    lines += [f"{share:.0%} {told}" for told, share in others if share >= _WORTH_TELLING]
    return ", ".join(lines) + "."


def _of_all(estimate: Estimate) -> str:
    """Say what all rows would take."""
    which = f"spread over all {estimate.rows:,}" if estimate.is_spread else f"the first of {estimate.rows:,}"
    bad = f", {_some(*estimate.bad_rows)} of them bad" if estimate.bad_rows[0] else ""
    return (
        f"These rows are {which}. A run of all would take {left(estimate.seconds)} on {crew(estimate.workers)}{bad},"
        f" and write {_some(*estimate.rows_out)} rows, {_sizes(*estimate.bytes)}."
        + ("" if estimate.is_spread else " That holds if the rest is like its beginning: --sample looks everywhere.")
    )


def _some(low: int, high: int) -> str:
    return f"{low:,}" if low == high else f"{low:,} to {high:,}"


def _sizes(low: int, high: int) -> str:
    return size(high) if size(low) == size(high) else f"{size(low)} to {size(high)}"


def rejected(result: Result) -> str:
    """Say how many rows are missing, and where they are."""
    bad = "1 bad row is" if result.bad_rows == 1 else f"{result.bad_rows:,} bad rows are"
    again = f"muster retry {shlex.quote(result.output)}"
    what = to_mend(result.rejects or "", result.bad_rows, again=f"type: {again}")
    return f"{bad} in {result.rejects}, with the text and the reason. {what}"


def table(runs: Sequence[Mapping[str, Any]]) -> str:
    """Lay out runs in columns."""
    if not runs:
        return "No runs yet."
    heads = ("RUN", "WHEN", "STATE", "FUNCTION", "ROWS", "BAD", "TOOK", "OUTPUT")
    cells = [
        (
            str(run["run"]),
            moment(run["at"]),
            str(run["status"]),
            " | ".join(step[0] for step in run["target"]),
            _rows_of(run),
            f"{run['bad_rows']:,}" if "bad_rows" in run else "-",
            duration(run["seconds_at_work"]) if "seconds_at_work" in run else "-",
            str(run["output"]),
        )
        for run in runs
    ]
    advice = [text for run in runs if (text := run.get("go_on"))]
    return "\n".join([_columns(heads, *cells), *advice])


def _rows_of(run: Mapping[str, Any]) -> str:
    if "rows_in" in run:
        return f"{run['rows_in']:,}"
    if "rows_done" not in run:
        return "-"
    total = run["rows_total"]
    return f"{run['rows_done']:,} of {total:,}" if total is not None else f"{run['rows_done']:,} so far"


def cluster(status: "Status") -> str:
    """Lay out a cluster's machines in columns, under a line about the whole."""
    machines = status.machines
    held = f", working for process {status.held_by}" if status.held_by else ""
    workers = sum(machine.workers for machine in machines)
    count = f"{plural(len(machines), 'machine')}, {plural(workers, 'worker')}"
    title = f"{status.name}: {count}, on {status.on}{held}"
    silent = [f"{name}: {why}" for name, why in status.silent.items()]
    if not machines and not silent:
        title += ": its machines have ended"
        title += f"; muster up {status.name} --machines N makes it again, muster down {status.name} forgets it"
    heads = ("MACHINE", "ADDRESS", "BUSY", "MEMORY", "DISK FREE", "LEASE LEFT", "VERSIONS")
    cells = [
        (
            machine.name + (" (head)" if machine.is_head else ""),
            machine.address,
            f"{machine.busy} of {machine.workers}",
            f"{machine.memory / 1e6:,.0f} MB",
            f"{machine.disk / 1e9:,.0f} GB",
            f"{duration(machine.left)} of {duration(machine.lease)}",
            ", ".join(f"{name} {version}" for name, version in machine.versions.items()),
        )
        for machine in machines
    ]
    return "\n".join([title, *([_columns(heads, *cells)] if cells else []), *silent])


def _columns(*rows: Sequence[str]) -> str:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    )
