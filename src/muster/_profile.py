"""Say in ten lines what takes a function its time: on a batch of the middle of the input, with nothing written."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from muster import _words as words
from muster._job import Options
from muster._model import Target
from muster._run.aside import asked
from muster._worker.profiled import Function, Line, Profile, Profiled
from muster.errors import UsageError

_MOST_LINES: Final = 3
_MOST_FUNCTIONS: Final = 2
_WORTH_TELLING: Final = 0.02
_STANDS_OUT: Final = 0.4
"""Share of the time from which on a line is worth a sentence: less, and another run may put another line first."""

_WAITS: Final = 0.5
_LONGER: Final = 0.2
_LONGER_SECONDS: Final = 0.1
_WIDEST: Final = 70

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
"""What a line that takes most of the time has in it, and what follows; the first that fits is said."""


@dataclass(frozen=True, slots=True)
class ProfileOfBatch:
    """What takes a function its time, on one batch of the middle of the input."""

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
    lines: tuple[Line, ...]
    functions: tuple[Function, ...]

    def __str__(self) -> str:
        """Say it in ten lines at most."""
        return "\n".join([*self._heading(), *self._table(), *self._verdict()])

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
        for one in [one for one in self.lines if one.share >= _WORTH_TELLING][:_MOST_LINES]:
            yield f"{one.share:>10.0%}  {one.own:>4.0%}  {one.file}:{one.line}  {_cut(one.text)}"
        for one_of in self.functions[:_MOST_FUNCTIONS]:
            calls, where = words.plural(one_of.calls, "call"), f"{one_of.file}:{one_of.line}"
            yield f"{one_of.share:>10.0%}  {one_of.own:>4.0%}  all of {one_of.name} ({where}), {calls}"

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

    def _culprit(self) -> tuple[Line, str]:
        """Pick the line to work on: one with a known cure, from the outside in; else the one that takes most itself."""
        for line in self.lines:
            cure = next((cure for marks, cure in _CURES if any(mark in line.text for mark in marks)), "")
            if cure and line.share >= _STANDS_OUT:
                return line, cure
        return max(self.lines, key=lambda one: one.own), ""


def _cut(text: str) -> str:
    return text if len(text) <= _WIDEST else f"{text[: _WIDEST - 1]}…"


def profile(steps: tuple[Target, ...], inputs: Sequence[str], options: Options, *, rows: int) -> ProfileOfBatch:
    """Profile a function on some rows of the middle of the input. Raises ``MusterError``."""
    if rows < 1:
        raise UsageError(f"sample={rows}: it must be 1 row or more.")
    file, task, found = asked(steps, inputs, options, rows=rows, middle=True, question=Profile)
    return _told(" | ".join(step.name for step in steps), file, task.lo, found)


def _told(step: str, file: str, first_row: int, found: Profiled) -> ProfileOfBatch:
    second = max(found.second, 1e-9)
    return ProfileOfBatch(
        step,
        file,
        first_row,
        found.rows,
        found.rows / second,
        found.loading,
        found.first,
        found.second,
        min(found.cpu / second, 1.0),
        found.lines,
        found.functions,
    )
