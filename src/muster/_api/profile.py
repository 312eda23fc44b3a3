"""Say in ten lines which lines of a function take the time, on a batch from the middle of the input."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from muster import _words as words
from muster._job import Options
from muster._model import Target
from muster._run.staffing.about_rows import ask_about_rows
from muster._worker.profiled import Function, Profile, Profiled, SourceLine
from muster.errors import UsageError

_MOST_LINES: Final = 3
"""What takes most of the time is nearly always one line or two."""

_MOST_FUNCTIONS: Final = 2
"""Of libraries, beside the lines: which of them takes the time shows in one or two."""

_WORTH_TELLING: Final = 0.02
"""A share of the time: whoever saves a fiftieth notices nothing."""

_STANDS_OUT: Final = 0.4
"""Share of the time from which on a line is worth a sentence: less, and another run may put another line first."""

_WAITS: Final = 0.5
"""Share of a core below which a call waits for something else most of the time."""
_LONGER: Final = 0.2
"""By which share the first call must be longer than the second for a hint that it loads something."""
_LONGER_SECONDS: Final = 0.1
"""A shorter difference is noise of the machine."""

_WIDEST: Final = 70
"""A line of code and its share fit into a terminal of 80 letters."""

_ROW_BY_ROW: Final = (
    "It calls Python once for each row. The same on whole columns (df.a + df.b, np.where, .str, .map with a dict) is 10"
    " to 100 times as fast."
)
_EACH_CALL: Final = (
    "It reads a file in every call. Load it once, in the __init__ of a class whose __call__ takes batches."
)
_ELSEWHERE: Final = "It waits for something else. More workers than cores would help: --workers."
_EACH_VALUE: Final = (
    "It calls Python once for each value. What .str, .dt or arithmetic on the column can do is 10 to 100 times as fast."
)
_CURES: Final = (
    (("axis=1", "axis='columns'", 'axis="columns"', ".iterrows(", ".itertuples("), _ROW_BY_ROW),
    (("read_csv(", "read_parquet(", "read_json(", ".load(", "open("), _EACH_CALL),
    (("sleep(", "requests.", "urlopen(", "httpx.", ".execute("), _ELSEWHERE),
    ((".apply(", ".map(", ".applymap(", ".transform("), _EACH_VALUE),
)
"""Text in a line that takes most of the time, and what to do about it; the first that matches is said."""


@dataclass(frozen=True, slots=True)
class ProfileOfBatch:
    """Which lines of a function take the time, on one batch from the middle of the input."""

    step: str
    file: str
    first_row: int
    """Of the file, counted from 0."""
    rows: int
    rows_per_second: float
    """In the function alone, on one worker."""
    loading_seconds: float
    first_call_seconds: float
    second_call_seconds: float
    processor: float
    """The share of a core that the second call kept busy, or would have, had no other program had it."""
    lines: tuple[SourceLine, ...]
    functions: tuple[Function, ...]
    others: tuple[str, ...] = ()
    """Steps behind the first ``group_by`` or ``key_by``, which were not called."""

    def __str__(self) -> str:
        """Say it in ten lines at most."""
        others = [f"Steps behind group_by or key_by were not called: {', '.join(self.others)}."] if self.others else []
        return "\n".join([*self._heading(), *self._table(), *self._verdict(), *others])

    def _heading(self) -> Iterator[str]:
        last = self.first_row + self.rows - 1
        took, pace = words.latency(self.second_call_seconds), words.pace(self.rows_per_second)
        which = f"{words.plural(self.rows, 'row')} of the middle, {self.first_row:,} to {last:,} of {self.file}"
        yield f"{self.step} on {which}: {took} a call, {pace} rows/s on one worker."
        longer = self.first_call_seconds - self.second_call_seconds
        if longer > max(_LONGER * self.second_call_seconds, _LONGER_SECONDS):
            cure = "what it loads then can be loaded once, in the __init__ of a class"
            yield f"The first call took {words.latency(longer)} longer: {cure}."
        elif self.loading_seconds > _LONGER_SECONDS:
            yield f"Loading it took {words.latency(self.loading_seconds)}, once in each worker."

    def _table(self) -> Iterator[str]:
        yield "with calls   own"
        for line in [line for line in self.lines if line.share >= _WORTH_TELLING][:_MOST_LINES]:
            yield f"{line.share:>10.0%}  {line.own:>4.0%}  {line.file}:{line.line}  {_cut(line.text)}"
        for function in self.functions[:_MOST_FUNCTIONS]:
            calls, where = words.plural(function.calls, "call"), f"{function.file}:{function.line}"
            yield f"{function.share:>10.0%}  {function.own:>4.0%}  all of {function.name} ({where}), {calls}"

    def _verdict(self) -> Iterator[str]:
        if not self.lines:
            yield "None of it is code of yours that can be seen: all is in libraries."
            return
        line, cure = self._culprit()
        waits = self.processor < _WAITS and self.second_call_seconds > _LONGER_SECONDS
        if waits:
            yield f"It waits: a call keeps {self.processor:.0%} of a core busy. More --workers than cores would help."
        elif line.share < _STANDS_OUT:
            yield f"No line stands out: the first has {line.share:.0%} of the time. More workers would help most."
            return
        yield f"{line.share:.0%} of the time is line {line.line} of {line.file}: {_cut(line.text)}"
        if cure and not waits:
            yield cure

    def _culprit(self) -> tuple[SourceLine, str]:
        """Pick the line to work on: one with a known cure, from the outside in; else the one that takes most itself."""
        for line in self.lines:
            cure = next((cure for marks, cure in _CURES if any(mark in line.text for mark in marks)), "")
            if cure and line.share >= _STANDS_OUT:
                return line, cure
        return max(self.lines, key=lambda line: line.own), ""


def _cut(text: str) -> str:
    return text if len(text) <= _WIDEST else f"{text[: _WIDEST - 1]}…"


def profile(steps: tuple[Target, ...], inputs: Sequence[str], options: Options, *, rows: int) -> ProfileOfBatch:
    """Profile a function on some rows of the middle of the input. Raises ``MusterError``."""
    if rows < 1:
        raise UsageError(f"sample={rows}: it must be 1 row or more.")
    file, task, profiled = ask_about_rows(steps, inputs, options, rows=rows, middle=True, question=Profile)
    return _told(" | ".join(step.name for step in steps), file, task.lo, profiled)


def _told(step: str, file: str, first_row: int, profiled: Profiled) -> ProfileOfBatch:
    second = max(profiled.second, 1e-9)
    return ProfileOfBatch(
        step=step,
        file=file,
        first_row=first_row,
        rows=profiled.rows,
        rows_per_second=profiled.rows / second,
        loading_seconds=profiled.loading,
        first_call_seconds=profiled.first,
        second_call_seconds=profiled.second,
        processor=min(profiled.cpu / second, 1.0),
        lines=profiled.lines,
        functions=profiled.functions,
    )
