"""Ask a worker about some rows, read as a run would read them, without a run: nothing is written."""

import contextlib
from collections.abc import Callable, Sequence
from typing import Any, Final

from muster._files.temporary import temporary
from muster._formats.excerpt import excerpt
from muster._formats.inputs import Inputs, as_named
from muster._formats.sources import find_sources
from muster._job import Options
from muster._model import Briefing, Part, Target, Task
from muster._private.secrets import set_options, shown
from muster._run.asking.questions import Asker
from muster._user_code.questions import Describe
from muster._user_code.shared_objects import with_files_of_large_objects
from muster._user_code.state import packed
from muster.errors import UsageError

from .assembly import engine_of_this_computer

_NO_ROWS: Final = "The input has no rows to call the function with. Name another."

Question = Callable[[Briefing, Task], Any]
"""Makes a question about a task's rows. Its answer has ``misfits`` where types turned out too narrow."""


def ask_about_rows(  # noqa: PLR0913 (what is asked, of whom, about which rows)
    steps: tuple[Target, ...], inputs: Sequence[str], options: Options, *, rows: int, middle: bool, question: Question
) -> tuple[str, Task, Any]:
    """Ask about some of the first rows, or of those of the middle: returns their file, their task, and the answer.

    They are neighbours in one file, so that they may be fewer. Raises ``MusterError``.
    """
    set_options(options.storage_options)
    with (
        temporary() as folder,
        with_files_of_large_objects(steps) as held,
        contextlib.closing(engine_of_this_computer(1)) as engine,
    ):
        asker = Asker(lambda: engine, tick=lambda: None, hear=lambda _: None)
        sources = find_sources([*map(shown, inputs)], forced=options.input_format, default=options.format)
        source = Inputs(sources, as_named(options, sources), folder)
        described = asker.ask([Describe(held, options.timeout)])[0]
        state = packed([fact for step in described for fact in step.set_there])
        parts = _read(source, asker, None if middle else rows)
        task = _task(_middle(source, asker, parts, rows) if middle else parts, rows)
        answer = None
        while answer is None or answer.misfits:
            if answer is not None:
                source.widen(asker.ask, parts, answer.misfits)
            briefing = Briefing(
                sources=sources,
                dialect=source.worker_dialect,
                reading=options.reading,
                steps=held,
                format="csv",  # any value can be shown as text
                folder=str(folder),
                columns=source.columns,
                orders=source.orders,
                agreed=source.agreed,
                timeout=options.timeout,
                state=state,
            )
            answer = asker.ask([question(briefing, task)])[0]
    return sources[task.file].name, task, answer


def _read(source: Inputs, asker: Asker, rows: int | None) -> list[Part]:
    """Find enough parts, or all, and settle the types as a run does."""
    source.copy(asker.ask, asker.tick)
    source.survey(asker.ask)
    parts: list[Part] = []
    for more in source.feed():
        parts += more
        if rows is not None and sum(part.rows for part in parts) >= rows:
            break
    if not parts:
        raise UsageError(_NO_ROWS)
    source.observe(asker.ask, source.surveyed or parts, everything=False)
    return parts


def _middle(source: Inputs, asker: Asker, parts: Sequence[Part], rows: int) -> list[Part]:
    """Cut all parts down to the rows in the middle of the input."""
    good = [part for part in parts if not part.fault]
    total = sum(part.rows for part in good)
    first = max((total - rows) // 2, 0)
    stretch = [(first, min(first + rows, total))]
    return excerpt(good, stretch, asker.ask, sources=source.readable(), dialect=source.worker_dialect)


def _task(parts: Sequence[Part], rows: int) -> Task:
    """Make a task of the first rows of the first file."""
    good = [part for part in parts if not part.fault and part.rows]
    if not good:
        raise UsageError(_NO_ROWS)
    first = last = good[0]
    for part in good[1:]:
        if (part.file, part.local_copy, part.start) != (first.file, first.local_copy, last.stop):
            break
        if last.row + last.rows - first.row >= rows:
            break
        last = part
    count = last.row + last.rows - first.row
    return Task(
        number=0,
        first=0,
        last=1,
        file=first.file,
        start=first.start,
        stop=last.stop,
        row=first.row,
        rows=count,
        lo=first.row,
        hi=first.row + min(count, rows),
        local_copy=first.local_copy,
    )
