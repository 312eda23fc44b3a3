"""``muster run --since-last``: a run over new files, reported as text and as JSON."""

import argparse
import sys
from collections.abc import Callable, Sequence
from typing import Any

from muster._api.pipeline import Pipeline
from muster._hourly.since import SinceLast
from muster._job import Result, Snapshot
from muster._private import secrets
from muster._show import terminal
from muster._words import plural

from ._results import code_of, keep_counts, print_result, sums_of, warnings_in


def run(
    pipeline: Pipeline, parsed: argparse.Namespace, shown: terminal.Shown, *, watch: Callable[[Snapshot], None]
) -> int:
    """Run over the new files, or say that there are none. Return the exit code."""
    since = SinceLast(pipeline, watch=watch, remark=shown.warn, printed=shown.printed)
    named = secrets.shown(pipeline.output)
    outputs: list[tuple[Result, int]] = []
    code = 0
    for result, files in since.run():
        outputs.append((result, files))
        shown.finish(result)
        code = max(code, code_of(result, parsed))
    keep_counts(parsed, [result for result, _ in outputs])
    if not (outputs or parsed.quiet or since.was_skipped):
        left = f", and {plural(len(since.left), 'file')} left for the next time" if since.left else ""
        print(f"muster: {named}: nothing new{left}: nothing to do", file=sys.stderr, flush=True)
    if parsed.json:
        fields = _as_fields(outputs, since)
        print_result({**fields, "exit_code": code}, output=named, after_a_line=parsed.workers != 0)
    return code


def _as_fields(outputs: Sequence[tuple[Result, int]], since: SinceLast) -> dict[str, Any]:
    results = [result for result, _ in outputs]
    return {
        "new_files": sum(files for _, files in outputs),
        "left_files": len(since.left),
        "duplicate_files": len(since.duplicates),
        "skipped": since.was_skipped,
        **sums_of(results),
        **warnings_in(results),
        "outputs": [{**result.as_fields(), "files": files} for result, files in outputs],
    }
