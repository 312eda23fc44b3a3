"""What all steps of a job with groups give for no rows, where not a row came through: that has columns, perhaps."""

from dataclasses import replace
from typing import Any

import numpy as np

from muster._formats.results import reply_of
from muster._formats.rows import to_pandas
from muster._model import Briefing, Exchange, Outcome, Target, Task
from muster._process.limit import TimeLimit
from muster._user_code import arguments, frames, loading
from muster._user_code.signature import takes_key

from .aggregates.step import agg
from .calling import as_kind, given_back
from .key_columns import KeyColumns
from .reading import reader_of
from .states import States
from .writing import Writer


def blank(briefing: Briefing, task: Task, exchange: Exchange) -> Outcome:
    """Call each step on what the one before gave for no rows; a step that cannot take none leaves no columns."""
    own = replace(briefing, columns=exchange.columns, exchange=None)
    table = reader_of(own, task).empty()
    frame: Any = to_pandas(table, np.empty(0, np.int64), own.columns, header=own.has_header)
    made: list[str] = []
    try:
        for step in exchange.steps:
            function: Any = loading.load(step)
            with TimeLimit(briefing.timeout):
                rows = frame if isinstance(function, agg) or not made else frame.drop(columns=made)
                frame = _called(function, step, rows)
            made = [*function.functions] if isinstance(function, KeyColumns) else []
        reply = reply_of(frame, use=briefing.format)
    except Exception:  # noqa: BLE001 (whatever the function may raise)
        return Outcome(task, 0, 0)
    written = Writer(briefing, task).write([reply], apart=False)
    return Outcome(task, 0, 0, output=written.piece, schema=written.schema)


def _called(function: Any, step: Target, frame: Any) -> Any:  # noqa: ANN401 (frames of three kinds)
    given = as_kind(frame, frames.wants(function))
    if step.has_state:
        return given_back(function(given, States(arguments.state_of(step))))
    return given_back(function(given, None) if step.is_of_groups and takes_key(function) else function(given))
