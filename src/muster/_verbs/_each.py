"""``muster run --each``: a run for each input, reported as text and as JSON."""

import argparse
import sys
from collections.abc import Callable
from typing import Any

from muster._api.pipeline import Pipeline
from muster._hourly.each import Each, EachEnded, worst
from muster._job import Snapshot
from muster._private import secrets
from muster._show import terminal
from muster._show.summary import rejected, summary
from muster._words import plural

from ._results import keep_counts, print_result, sums_of, warnings_in


def run(
    pipeline: Pipeline, parsed: argparse.Namespace, shown: terminal.Shown, *, watch: Callable[[Snapshot], None]
) -> int:
    """Run all; print a line for each that was done or failed, and one for all. Return the worst exit code."""
    each, named = Each(pipeline), secrets.shown(pipeline.output)
    ended: list[EachEnded] = []
    ids: list[str] = []
    parsed.run_id = ""  # an input may fail before its run has an id
    for last in each.run(watch=watch, remark=shown.warn, printed=shown.printed):
        ended.append(last)
        ids.append(parsed.run_id)
        parsed.run_id = ""
        _tell(last, shown, quiet=parsed.quiet, before=ended[-2] if len(ended) > 1 else None)
    code = worst([last.code for last in ended])
    text = _sum_up(ended, named)
    if not parsed.quiet or code:
        print(f"muster: {text}", file=sys.stderr, flush=True)
    if parsed.json:
        print_result(_as_fields(ended, code), output=named, after_a_line=parsed.workers != 0)
    _keep(ended, text, code, parsed)
    parsed.run_id = next((run for last, run in zip(ended, ids, strict=True) if code and last.code == code), "")
    return code


def _tell(last: EachEnded, shown: terminal.Shown, *, quiet: bool, before: EachEnded | None) -> None:
    """Say how a run ended, unless it had nothing to do. An error that is the same as the one before is not repeated."""
    result = last.result
    if last.error is not None:
        likewise = before is not None and str(before.error) == str(last.error)
        _say(f"{last.input}: {'the same as before' if likewise else last.error}", shown, quiet=quiet)
        if (details := getattr(last.error, "details", "")) and not likewise:
            print(details, file=sys.stderr, flush=True)
    elif result is not None and result.bad_rows:
        _say(f"{result.output}: {rejected(result)}", shown, quiet=quiet)
    elif result is not None and not (result.unchanged or result.skipped):
        shown.remark(summary(result, None).partition("\n")[0])


def _say(text: str, shown: terminal.Shown, *, quiet: bool) -> None:
    """Print a line that must not be lost, also with ``--quiet``."""
    if quiet:
        print(f"muster: {text}", file=sys.stderr, flush=True)
    else:
        shown.remark(text)


def _counts(ended: list[EachEnded]) -> dict[str, int]:
    results = [one.result for one in ended if one.result is not None]
    unchanged, skipped = sum(result.unchanged for result in results), sum(result.skipped for result in results)
    return {
        "inputs": len(ended),
        "done": len(results) - unchanged - skipped,
        "unchanged": unchanged,
        "skipped": skipped,
        "failed": len(ended) - len(results),
    }


def _sum_up(ended: list[EachEnded], output: str) -> str:
    counts = _counts(ended)
    said = [f"{count} {what}" for what, count in counts.items() if count and what != "inputs"]
    bad = sum(one.result.bad_rows for one in ended if one.result)
    more = f", {plural(bad, 'bad row')} in *.rejects.jsonl" if bad else ""
    return f"{output}: {plural(len(ended), 'input')}: {', '.join(said)}{more}"


def _as_fields(ended: list[EachEnded], code: int) -> dict[str, Any]:
    results = [one.result for one in ended if one.result is not None]
    return {
        **_counts(ended),
        **sums_of(results),
        **warnings_in(results),
        "exit_code": code,
        "outputs": [one.as_fields() for one in ended],
    }


def _keep(ended: list[EachEnded], text: str, code: int, parsed: argparse.Namespace) -> None:
    """Keep for ``--on-failure`` what it is about: the first of those that ended with the worst code."""
    if not code:
        return
    first = next(one for one in ended if one.code == code)
    why = str(first.error) if first.error else ""
    parsed.kind = first.error.kind if first.error else "rejects"
    parsed.error = f"{text}. {first.input}: {why}" if why else text
    keep_counts(parsed, [one.result for one in ended if one.result])
