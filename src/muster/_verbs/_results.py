"""What ``muster run`` says once it has results: its exit code, a line of JSON, what ``--on-failure`` is about."""

import argparse
import json
from collections.abc import Mapping, Sequence
from typing import Any

from muster._job import Result
from muster._process import stdio
from muster._show.ending import SOME_REJECTED
from muster._show.summary import rejected
from muster.errors import EngineError


def code_of(result: Result, parsed: argparse.Namespace) -> int:
    """Return the exit code; keep for ``--on-failure`` what it is about."""
    if not result.bad_rows:
        return 0
    parsed.kind, parsed.error = "rejects", f"{rejected(result)}"
    parsed.output = result.output
    keep_counts(parsed, [result])
    return SOME_REJECTED


def keep_counts(parsed: argparse.Namespace, results: Sequence[Result]) -> None:
    """Keep for ``--on-failure`` where the bad rows are, and how many rows there are of each kind."""
    parsed.rejects = "\n".join(result.rejects for result in results if result.rejects)
    for name in ("rows_in", "rows_out", "bad_rows"):
        setattr(parsed, name, sum(getattr(result, name) for result in results))


def sums_of(results: Sequence[Result]) -> dict[str, float | None]:
    """Add up what several runs came to; their cost is unknown, ``None``, where that of one is."""
    costs = [result.cost for result in results if result.cost is not None]
    return {
        **{name: sum(getattr(result, name) for result in results) for name in ("rows_in", "rows_out", "bad_rows")},
        "cost": sum(costs) if len(costs) == len(results) else None,
    }


def warnings_in(results: Sequence[Result]) -> dict[str, list[str]]:
    """Collect the warnings of several runs, each once."""
    texts = dict.fromkeys(text for result in results for text in result.warnings)
    return {"warnings": list(texts)} if texts else {}


def print_result(result: Mapping[str, Any], *, output: str, after_a_line: bool) -> None:
    """Print a result as the last line, on a line of its own even if the function has printed half a line before."""
    try:
        stdio.say(("" if after_a_line else "\n") + json.dumps(result))
    except OSError as error:
        raise EngineError(
            f"Cannot print the result to standard output: {error.strerror}. The run is finished, and {output!r}"
            " is complete. For the same figures, type: muster runs --json"
        ) from error
