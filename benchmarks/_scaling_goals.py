"""Tell what the goals of scaling came to, each a line: what was measured, what was asked for, and if that is met."""

from collections.abc import Iterator
from typing import Any

HARDEST = 112, 100_000
"""Workers and rows: the job is over before the last worker has loaded."""
TASKS_A_SECOND = 25_000
Results = dict[str, Any]


def goals(results: Results) -> Iterator[str]:
    workers, rows = HARDEST
    for one in results.get("scaling", {"found": []})["found"]:
        if (one["workers"], one["rows"]) == HARDEST:
            what = f"{rows:,} rows on {workers} workers"
            yield _line(f"{what}: efficiency", one["efficiency"], 0.85)
            yield _line(f"{what}: with loading", one["with_loading"], 0.7)
    for one in results.get("simulation", {"found": []})["found"][-1:]:
        pace = one["tasks"] / one["seconds"]
        met = "met" if pace >= TASKS_A_SECOND else "not met"
        yield f"- {one['workers']:,} simulated workers: {pace:,.0f} tasks a second (goal: {TASKS_A_SECOND:,}; {met})"


def _line(what: str, measured: float, asked: float) -> str:
    return f"- {what} {measured:.1%} (goal: at least {asked:.0%}; {'met' if measured >= asked else 'not met'})"
