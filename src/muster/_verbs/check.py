"""``muster check``: whether a function treats each row by itself; with ``--profile``, what takes it its time."""

import argparse
import dataclasses
import json

from muster._api import pipeline as pipelines
from muster._job import Options

from . import _csv_flags, _flags
from ._answer import tell
from ._parser import Parser
from ._target import of_target


def add(verb: Parser) -> None:
    verb.set_defaults(call=call)
    verb.description = (
        "Tell whether a function treats each row by itself. It is called in a worker: with the first rows of the input,"
        " with the same again, with each half of them, and with about 40 small batches of 1 to 10 rows and what lies"
        " between these, fewer where a call takes long. Nothing is written."
    )
    verb.epilog = "exit codes: 0 row-wise; 1 not, or the function fails; 2 the command was wrong; 3 workers failed"
    verb.usage = "muster check TARGET INPUT... [flags]"
    verb.examples = (
        ("muster check score.py:score in.csv", "call it with the first rows, whole, in halves, and in small batches"),
        ("muster check score.py:score in.csv --sample 200 --json", "with fewer rows, answered as JSON"),
    )
    add = verb.add_argument
    _flags.add_target(verb)
    _flags.add_arguments(verb)
    add("--sample", type=int, default=pipelines.SAMPLE, metavar="N", help="how many rows (default: %(default)s)")
    add("--dtype", **_flags.DTYPE)
    add("--timeout", type=_flags.seconds, metavar="60s", help=_flags.TIMEOUT)
    add("--format", choices=("csv", "parquet", "jsonl"), help="where a suffix does not say (default: csv)")
    _csv_flags.add_to(verb)
    _flags.add_storage(verb)
    _flags.add_profile(verb, besides="instead of the verdict, ")
    _flags.add_json(verb)


def call(parsed: argparse.Namespace) -> int:
    """Return the exit code."""
    options = Options(
        dtype=parsed.dtype,
        timeout=parsed.timeout,
        format=parsed.format,
        storage_options=_flags.storage_options(parsed.storage_option),
    )
    pipeline = of_target(
        parsed, options, output="", lacks="" if parsed.inputs else "Name what to read: muster check TARGET INPUT..."
    )
    if parsed.profile:
        profile = pipelines.profiled(pipeline, rows=parsed.sample)
        tell(json.dumps(dataclasses.asdict(profile)) if parsed.json else str(profile))
        return 0
    verdict = pipelines.checked_rows(pipeline, sample=parsed.sample)
    tell(json.dumps(dataclasses.asdict(verdict)) if parsed.json else str(verdict))
    return 0 if verdict.row_wise else 1
