"""Show a run in the terminal: a live bar, or a line now and then, and a closing summary."""

import contextlib
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, Protocol, Self, TextIO

from muster._model import Result, Snapshot

if TYPE_CHECKING:
    from muster._cluster import Status

_LINE_EVERY: Final = 10.0
_MINUTE: Final = 60
_HOUR: Final = 3600


class Shown(Protocol):
    """Somebody who is told how far a run is."""

    def watch(self, snapshot: Snapshot) -> None:
        """Take note."""

    def finish(self, result: Result) -> None:
        """Say how it ended."""


@contextlib.contextmanager
def show(*, quiet: bool, to: TextIO | None = None) -> Iterator[Shown]:
    """Choose how to show a run: as a bar on a terminal, as lines elsewhere, not at all when ``quiet``."""
    stream = to or sys.stderr
    if quiet:
        yield _Nothing()
    elif stream.isatty():
        with _Bar(stream) as bar:
            yield bar
    else:
        yield _Lines(stream)


class _Nothing:
    def watch(self, snapshot: Snapshot) -> None:
        pass

    def finish(self, result: Result) -> None:
        pass


class _Pace:
    """How fast rows are done, from when the first are: starting up is no work."""

    def __init__(self) -> None:
        self._first: tuple[float, int] | None = None
        self.rows_per_second = 0.0

    def update(self, rows: int) -> None:
        now = time.monotonic()
        if self._first is None:
            if rows:
                self._first = (now, rows)
        elif now > self._first[0]:
            self.rows_per_second = (rows - self._first[1]) / (now - self._first[0])

    def left(self, snapshot: Snapshot) -> str:
        if snapshot.rows_total is None or not self.rows_per_second:
            return "?"
        return duration((snapshot.rows_total - snapshot.rows_done) / self.rows_per_second)


def _status(snapshot: Snapshot, pace: _Pace) -> str:
    total = f" of {snapshot.rows_total:,}" if snapshot.rows_total is not None else ""
    bad = f", {snapshot.bad_rows:,} bad" if snapshot.bad_rows else ""
    return (
        f"{snapshot.rows_done:,}{total} rows, {pace.rows_per_second:,.0f} rows/s, {pace.left(snapshot)} left,"
        f" {snapshot.workers} workers{bad}"
    )


class _Lines:
    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._pace = _Pace()
        self._said = time.monotonic()
        self._last: Snapshot | None = None

    def watch(self, snapshot: Snapshot) -> None:
        self._last = snapshot
        self._pace.update(snapshot.rows_done)
        if snapshot.note:
            self._say(snapshot.note)
        elif time.monotonic() - self._said >= _LINE_EVERY:
            self._say(_status(snapshot, self._pace) if snapshot.phase == "working" else snapshot.phase)

    def _say(self, text: str) -> None:
        self._said = time.monotonic()
        print(f"muster: {text}", file=self._stream, flush=True)

    def finish(self, result: Result) -> None:
        print(summary(result, self._last), file=self._stream, flush=True)


class _Bar:
    def __init__(self, stream: TextIO) -> None:
        from rich.console import Console  # noqa: PLC0415 (not on a terminal, nobody needs it)
        from rich.progress import BarColumn, Progress, TextColumn  # noqa: PLC0415 (likewise)

        self._stream = stream
        self._pace = _Pace()
        self._last: Snapshot | None = None
        self._progress = Progress(
            TextColumn("{task.fields[phase]}"),
            BarColumn(),
            TextColumn("{task.percentage:>3.0f}%"),
            TextColumn("{task.description}"),
            console=Console(file=stream),
            transient=True,
        )
        self._task = self._progress.add_task("", total=None, phase="starting")

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def watch(self, snapshot: Snapshot) -> None:
        self._last = snapshot
        self._pace.update(snapshot.rows_done)
        if snapshot.note:
            self._progress.console.print(f"muster: {snapshot.note}", markup=False)
        self._progress.update(
            self._task,
            completed=snapshot.rows_done,
            total=snapshot.rows_total,
            phase=snapshot.phase,
            description=_status(snapshot, self._pace) if snapshot.phase == "working" else "",
        )

    def finish(self, result: Result) -> None:
        self._progress.stop()
        print(summary(result, self._last), file=self._stream, flush=True)


def summary(result: Result, last: Snapshot | None) -> str:
    """Say what a run came to, and what to do about its rejects."""
    took, pace = duration(result.seconds), f"{result.rows_per_second:,.0f} rows/s, {result.workers} workers"
    lines = [f"{result.output}: {result.rows_out:,} rows of {result.rows_in:,} in {took} ({pace})"]
    if last is not None and last.worker_seconds:
        share = last.function_seconds / last.worker_seconds
        lines.append(f"{share:.0%} of the workers' time was your function.")
    if result.resumed_parts:
        lines.append(f"{result.resumed_parts:,} of {result.parts:,} parts were done by an earlier attempt.")
    if result.bad_rows:
        bad = "1 bad row is" if result.bad_rows == 1 else f"{result.bad_rows:,} bad rows are"
        lines.append(
            f"{bad} in {result.rejects}, with the text and the reason. Mend the function or the data, run again."
        )
    return "\n".join(lines)


def duration(seconds: float) -> str:
    """Write seconds as a person would: ``0.4 s``, ``50 s``, ``3m20s``, ``1h05m``."""
    if seconds < _MINUTE:
        return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"  # noqa: PLR2004 (two digits are enough)
    minutes, rest = divmod(int(seconds), _MINUTE)
    return f"{minutes}m{rest:02d}s" if seconds < _HOUR else f"{minutes // _MINUTE}h{minutes % _MINUTE:02d}m"


def table(runs: Sequence[Mapping[str, Any]]) -> str:
    """Lay out finished runs in columns."""
    if not runs:
        return "No finished runs yet."
    heads = ("RUN", "WHEN", "FUNCTION", "ROWS", "BAD", "TOOK", "OUTPUT")
    cells = [
        (
            str(run["run"]),
            time.strftime("%Y-%m-%d %H:%M", time.localtime(run["at"])),
            " | ".join(step[0] for step in run["target"]),
            f"{run['rows_in']:,}",
            f"{run['bad_rows']:,}",
            duration(run["seconds"]),
            str(run["output"]),
        )
        for run in runs
    ]
    return _columns(heads, *cells)


def cluster(status: "Status") -> str:
    """Lay out a cluster's machines in columns, under a line about the whole."""
    machines = status.machines
    held = f", working for process {status.held_by}" if status.held_by else ""
    workers = sum(machine.workers for machine in machines)
    title = f"{status.name}: {len(machines)} machines, {workers} workers, on {status.on}{held}"
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
    return "\n".join([title, *([_columns(heads, *cells)] if cells else [])])


def _columns(*rows: Sequence[str]) -> str:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    )
