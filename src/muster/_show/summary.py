"""What a run came to, in words, once it has ended; and what to do about its bad rows."""

import importlib.util
from typing import Final

from muster._job import Estimate, Result, Snapshot
from muster._job.remedy import Remedy
from muster._show.arguments import in_python
from muster._show.mending import to_mend
from muster._words import left, plural, size, worker_count

_SHORT: Final = 10.0
"""Seconds below which nobody asks where the time of a run went."""
_WORTH_TELLING: Final = 0.01
"""The smallest share of the time that is mentioned."""


def summary(result: Result, last: Snapshot | None, *, of_python: bool = False) -> str:
    """Say what a run came to, and what to do about its rejects, of which callers in Python are told by a warning."""
    if result.skipped:  # a note has said so
        return ""
    if result.unchanged:
        text = f"{result.output} is unchanged since it was written: nothing to do. --fresh does it all again."
        if result.bad_rows and not of_python:
            text += f"\n{rejected(result)}"
        return in_python(text, quoted=(result.output, result.rejects or "")) if of_python else text
    lines = [str(result)]
    is_worth_it = last is not None and _is_worth_telling(result, last)
    if last is not None and last.worker_seconds and is_worth_it:
        lines.append(_where_time_went(last))
    if result.resumed_parts and not result.epochs:
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
    return in_python(text, quoted=(result.output, result.rejects or "")) if of_python else text


def _is_worth_telling(result: Result, last: Snapshot) -> bool:
    """Tell whether anybody asks where the time went: of a run that took some, or in which something went wrong."""
    return result.seconds >= _SHORT or bool(result.bad_rows) or last.lost_seconds > 0


def _has_reports() -> bool:
    return importlib.util.find_spec("jinja2") is not None


def _where_time_went(last: Snapshot) -> str:
    """Say what the workers' time went into, as the page does; of what went wrong only where it was much."""
    parts = (
        ("was your function", last.function_seconds),
        ("went into sorting out bad rows", last.sorting_seconds),
        ("was lost to crashes and time limits", last.lost_seconds),
    )
    shares = [(what, min(seconds / last.worker_seconds, 1.0)) for what, seconds in parts]
    (function, at_work), *others = shares
    clauses = [f"{at_work:.0%} of the workers' time {function}"]
    clauses += [f"{share:.0%} {what}" for what, share in others if share >= _WORTH_TELLING]
    return ", ".join(clauses) + "."


def _of_all(estimate: Estimate) -> str:
    which = f"spread over all {estimate.rows:,}" if estimate.is_spread else f"the first of {estimate.rows:,}"
    bad = f", {_some(*estimate.bad_rows)} of them bad" if estimate.bad_rows[0] else ""
    return (
        f"These rows are {which}. A run of all would take {left(estimate.seconds)} on {worker_count(estimate.workers)}"
        f"{bad}, and write {_some(*estimate.rows_out)} rows, {_sizes(*estimate.bytes)}."
        + ("" if estimate.is_spread else " That holds if the rest is like its beginning: --sample looks everywhere.")
    )


def _some(low: int, high: int) -> str:
    return f"{low:,}" if low == high else f"{low:,} to {high:,}"


def _sizes(low: int, high: int) -> str:
    return size(high) if size(low) == size(high) else f"{size(low)} to {size(high)}"


def rejected(result: Result) -> str:
    """Say how many rows are missing, and where they are."""
    bad = "1 bad row is" if result.bad_rows == 1 else f"{result.bad_rows:,} bad rows are"
    what = to_mend(None if result.epochs else result.remedy or Remedy(), result.bad_rows, output=result.output)
    return f"{bad} in {result.rejects}, with the text and the reason. {what}"
