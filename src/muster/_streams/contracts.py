"""What a source and a sink must keep to, put to the test: for tests of those who write one."""

import csv
import io
import os
import pickle
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from types import FrameType
from typing import Any, Final

from muster._job import StreamRows, StreamSink, StreamSource
from muster._words.numbers import plural
from muster._words.quoted import named

_LIMITS: Final = (1 << 20, 100, 1)
"""Bytes that reads are limited to: all at once, some rows, and as few as a source gives."""

_STREAM: Final = "20260101-000000-contract"
"""A name of a stream, as a run has it."""

_MOST_LINES: Final = 300
"""After so many lines a commit is not killed any more: more are rather a loop."""

_MOST_READS: Final = 100_000
"""More than the rows of any test have: a source that gives more gives some of them again and again."""

_KILLED: Final = 77
"""The exit code of a process that has ended in the midst of a method."""


def check_source(make: Callable[[], StreamSource], *, rows: bytes) -> None:
    """Check that a source keeps to its contract. Raises ``AssertionError``, which says what it does otherwise.

    ``make`` makes a source; each call makes another one of the same rows, as another process would. From the start on
    they are ``rows``, three or more, with the header if it gives one, and nothing else comes while it is checked.
    """
    _check(rows.count(b"\n") > 2, "rows= has three rows or more, each with its line end")  # noqa: PLR2004 (three)
    for limit in _LIMITS:
        steps = _read(make(), "", limit=limit)
        told = b"".join(step.text for step in steps)
        _check(told == rows, f"read from the start with limit={limit} gives {_other(told, rows)}")
        for at, step in enumerate(steps[:-1]):
            rest = b"".join(later.text for later in steps[at + 1 :])
            found = b"".join(one.text for one in _read(make(), step.position, limit=limit))
            _check(found == rest, f"another source, read from {step.position!r}, gives {_other(found, rest)}")
    _check_rereads(make(), rows)
    _check_acknowledges(make, rows)


def _check_rereads(source: StreamSource, rows: bytes) -> None:
    for time in ("a second time", "after close and open"):
        for _ in range(2):
            found = b"".join(step.text for step in _read(source, "", limit=1 << 20))
            _check(found == rows, f"read from the start {time}, the same source gives {_other(found, rows)}")


def _check_acknowledges(make: Callable[[], StreamSource], rows: bytes) -> None:
    """Acknowledge one position after the other, some twice: what is behind stays."""
    source = make()
    steps = _read(make(), "", limit=1)
    source.open()
    left = rows
    for step in steps:
        left = left[len(step.text) :]
        source.acknowledge(step.position)
        source.acknowledge(step.position)
    source.close()
    found = b"".join(step.text for step in _read(make(), steps[len(steps) - 1].position, limit=1 << 20))
    _check(found == left, f"once all is acknowledged, a read from there gives {_other(found, left)}")


def _read(source: StreamSource, position: str, *, limit: int) -> list[StreamRows]:
    """Read all that there is behind a position."""
    steps = list[StreamRows]()
    source.open()
    try:
        while (given := source.read(position, limit)) is not None:
            if not (rows := _checked(given, behind=position)).text:
                break
            steps.append(rows)
            _check(len(steps) < _MOST_READS, "read gives rows without an end")
            position = rows.position
    finally:
        source.close()
    return steps


def _checked(given: Any, *, behind: str) -> StreamRows:  # noqa: ANN401 (whatever read gave)
    _check(isinstance(given, tuple) and len(given) == 2, f"read gives {given!r:.80}, no StreamRows and no None")  # noqa: PLR2004
    text, position = given
    _check(isinstance(text, bytes), f"read gives text of type {type(text).__name__}, which must be bytes")
    _check(isinstance(position, str), f"read gives a position of type {type(position).__name__}, which must be str")
    _check(not text or text.endswith(b"\n"), f"read gives rows that end with {text[-40:]!r}, and not with a line end")
    _check(not text or position != behind, f"read gives rows and the position before them, {behind!r}")
    return StreamRows(text, position)


def check_sink(make: Callable[[], StreamSink], *, parts: Sequence[bytes], seen: Callable[[], int]) -> None:
    """Check that a sink keeps to its contract. Raises ``AssertionError``, which says what it does otherwise.

    ``make`` makes a sink; each call makes another one of the same other end, which is empty. ``parts`` are files as the
    sink gets them: CSV with a header and rows that it can take. ``seen`` counts the rows that anybody sees at the other
    end. Sinks are opened in processes that are killed before each line of ``prepare`` and ``commit`` in turn.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "part.csv")
        done = _life(lambda: _opened(make))
        _check(done == 0, f"open gives {done!r} for a stream that it never saw, not 0")
        path.write_bytes(parts[0])
        _life(lambda: _handed(make, _rows_in(parts[0]), path, methods=("prepare",)))
        _check(seen() == 0, f"{plural(seen(), 'row')} can be seen that must not: prepared, and not committed")
        for method in ("prepare", "commit"):
            done = _killed_at_each_line(make, method, parts, path, done=done, seen=seen)
        other = _life(lambda: _opened(make, stream=f"{_STREAM}-2"))
        _check(other == 0, f"open gives {other!r} for another stream: it keeps a number for each")


def _killed_at_each_line(  # noqa: PLR0913 (what to do, and where it stands)
    make: Callable[[], StreamSink],
    method: str,
    parts: Sequence[bytes],
    path: Path,
    *,
    done: int,
    seen: Callable[[], int],
) -> int:
    """Hand parts over until one is through though its process was to be killed; tell the last number."""
    for line in range(1, _MOST_LINES):
        part = parts[line % len(parts)]
        path.write_bytes(part)
        before, number = done, done + _rows_in(part)
        was_killed = _life(lambda: _handed(make, number, path, dies_in=method, line=line)) == _KILLED  # noqa: B023 (called now)
        done, there = _life(lambda: _opened(make)), seen()
        at = f"killed in {method}, before its line {line}" if was_killed else f"after commit({number})"
        wanted = {number} if not was_killed else {before} if method == "prepare" else {before, number}
        _check(done in wanted, f"{at}: another sink's open gives {done!r}, not {' or '.join(map(str, sorted(wanted)))}")
        _check(
            there == done,
            f"{at}: {plural(there, 'row')} can be seen, and open tells {done}. Both become visible in one step",
        )
        if not was_killed:
            break
    return done


def _rows_in(part: bytes) -> int:
    return sum(1 for row in csv.reader(io.StringIO(part.decode())) if row) - 1


def _opened(make: Callable[[], StreamSink], stream: str = _STREAM) -> object:
    sink = make()
    told = sink.open(stream)
    sink.close()
    return told


def _handed(  # noqa: PLR0913 (each is given by its name)
    make: Callable[[], StreamSink],
    number: int,
    rows: Path,
    *,
    methods: Sequence[str] = ("prepare", "commit"),
    dies_in: str = "",
    line: int = 0,
) -> object:
    """Hand a file over; the process may end before a line of a method, and closes nothing in any case."""
    sink = make()
    sink.open(_STREAM)
    for method in methods:
        if method == dies_in:
            sys.settrace(_Killer(type(sink).__module__, line))
        getattr(sink, method)(*((number, rows) if method == "prepare" else (number,)))
        sys.settrace(None)
    return 0


class _Killer:
    """Ends the process before a line of a module, counted as they are run."""

    def __init__(self, module: str, line: int) -> None:
        self._module = module
        self._left = line

    def __call__(self, frame: FrameType, event: str, _: object) -> "_Killer | None":
        if frame.f_globals.get("__name__") != self._module:
            return None
        if event == "line":
            self._left -= 1
            if not self._left:
                os._exit(_KILLED)
        return self


def _life(call: Callable[[], object]) -> Any:  # noqa: ANN401 (what it gives)
    """Make a call in a process of its own, which ends without any clean-up; give what comes of it, or its exit code."""
    reading, writing = os.pipe()
    if not (process := os.fork()):
        try:
            said: tuple[bool, object] = (True, call())
        except BaseException as error:  # noqa: BLE001 (whatever it is: the test says it)
            said = (False, named(error))
        os.write(writing, pickle.dumps(said))
        os._exit(0)
    os.close(writing)
    with open(reading, "rb") as file:  # noqa: PTH123 (a descriptor)
        text = file.read()
    code = os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
    if not text:
        return code
    is_well, told = pickle.loads(text)  # noqa: S301 (of a process of ours)
    _check(is_well, f"it raises {told}")
    return told


def _other(found: bytes, expected: bytes) -> str:
    """Say in short how rows are others than they should be."""
    if found == expected:
        return ""
    some, all_of = found.splitlines(keepends=True), expected.splitlines(keepends=True)
    if some[: len(all_of)] == all_of:
        return f"{plural(len(some) - len(all_of), 'row')} more than there are: {some[len(all_of)]!r:.60}"
    at = next((at for at, (one, two) in enumerate(zip(some, all_of, strict=False)) if one != two), len(some))
    return f"{plural(len(some), 'row')} in place of {len(all_of)}; row {at} is {[*some, b'nothing'][at]!r:.60}"


def _check(is_so: object, why: str) -> None:
    """Raise ``AssertionError`` where something is not so, also under ``python -O``."""
    if not is_so:
        raise AssertionError(why)
