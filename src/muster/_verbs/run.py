"""``muster run``: a function over every row of the inputs."""

import argparse
import contextlib
import dataclasses
import json
import sys
from collections.abc import Callable, Iterator
from typing import Final

from muster._api import pipeline as pipelines
from muster._api.given import check_no_pattern
from muster._api.pipeline import Pipeline
from muster._job import Options, Result, Snapshot
from muster._show import terminal
from muster.errors import UsageError

from . import _csv_flags, _flags, _rented, _run_flags
from ._answer import tell
from ._parser import Parser
from ._results import code_of, print_result
from ._target import of_target

_LONG: Final = 10.0
"""Seconds from which on a run may end with advice."""

_PLACES: Final = {"{name}": "--each", "{date}": "--since-last", "{time}": "--since-last"}
"""What fills in places in the name of an output."""

_DESCRIPTION: Final = (
    "Run a function over every row of the inputs, in parallel, and write one output, rows in input order. The"
    " output appears complete or not at all; the same command again resumes an unfinished run."
)
_EPILOG: Final = (
    "exit codes: 0 every row done; 1 the data or the function stopped the run; 2 the command was wrong; 3 workers,"
    " disk or network failed; 4 finished, but some rows are in OUTPUT.rejects.jsonl; 130 after Ctrl-C,"
    " 128 + its number after another signal"
)
_EXAMPLES: Final = (
    (
        "muster run score.py:score in.csv -o out.csv",
        "on all cores; typed again, it goes on where it stopped",
    ),
    ("muster run score.py:score in/*.parquet -o out/ --workers 2", "many files into a folder of numbered parts"),
    (
        "muster run score.py:score in.csv -o out.csv --dtype zip=str --parse-dates day",
        "as pandas reads it",
    ),
    ("muster run score.py:score in.csv -o out.csv --machines 3 --on hosts.yml", "on three hosts, over SSH"),
)


def add(verb: Parser) -> None:
    verb.set_defaults(call=call, what_now="What was done is kept: type the same command again to go on.")
    verb.description, verb.epilog, verb.examples = _DESCRIPTION, _EPILOG, _EXAMPLES
    verb.usage = "muster run TARGET INPUT... -o OUTPUT [flags]"
    _flags.add_target(verb)
    _flags.add_arguments(verb)
    _run_flags.add(verb, _run_flags.ROWS)
    _csv_flags.add_to(verb)
    _run_flags.add(verb, _run_flags.CLUSTER)
    _rented.add(verb)
    _flags.add_storage(verb)
    _run_flags.add(verb, _run_flags.SENT)
    _flags.add_watch(verb)
    _flags.add_profile(verb, besides="instead of a run, ")
    _run_flags.add(verb, _run_flags.LAST, names=["--on-failure"])
    _flags.add_json(verb)
    _run_flags.add(verb, _run_flags.LAST, names=["--quiet"])


def call(parsed: argparse.Namespace) -> int:
    """Return the exit code."""
    if (parsed.output or "").lower().startswith("memory:"):
        raise UsageError(f"-o {parsed.output}: that is this process's memory, which ends with it. Name a file instead.")
    if parsed.each and parsed.since_last:
        raise UsageError("--each has an output for each input, and --since-last one for all that are new: choose one.")
    pipeline = _pipeline_of(parsed)
    if parsed.profile:
        profile = pipelines.profiled(pipeline, rows=parsed.sample or pipelines.SAMPLE)
        tell(json.dumps(dataclasses.asdict(profile)) if parsed.json else str(profile))
        return 0
    if not (parsed.each or parsed.since_last):
        check_no_pattern(pipeline.output, instead=_PLACES)
    with (
        terminal.show(quiet=parsed.quiet, is_live=parsed.workers != 0) as shown,
        _rented.asking(parsed, say=shown.remark, aside=shown.aside),
        page(parsed) as with_page,
    ):

        def watch(snapshot: Snapshot) -> None:
            parsed.run_id = snapshot.run
            shown.watch(with_page(snapshot))

        if parsed.each:
            from . import _each

            return _each.run(pipeline, parsed, shown, watch=watch)
        if parsed.since_last:
            from . import _since

            return _since.run(pipeline, parsed, shown, watch=watch)
        result = pipelines.start(pipeline, watch=watch, remark=shown.warn, printed=shown.printed)
        shown.finish(result)
        for text in _advice(parsed, result):
            shown.remark(text)
    if parsed.json:
        print_result(result.as_fields(), output=result.output, after_a_line=parsed.workers != 0)
    return code_of(result, parsed)


def _advice(parsed: argparse.Namespace, result: Result) -> list[str]:
    """Say what to do about a run that took long, from its journal."""
    if parsed.quiet or result.unchanged or result.seconds < _LONG:
        return []
    from muster._watch.ended import closing_of

    return closing_of(parsed.run_id)


@contextlib.contextmanager
def page(parsed: argparse.Namespace) -> Iterator[Callable[[Snapshot], Snapshot]]:
    """Serve the live page where it is asked for; what is yielded adds its address to a snapshot's note."""
    if not parsed.watch:
        yield lambda snapshot: snapshot
        return
    from muster._watch.serving.beside_a_run import beside

    with beside(parsed.port) as page:
        try:
            yield page.told
        finally:
            if page.run and not parsed.quiet:
                print(page.farewell(), file=sys.stderr)


def _pipeline_of(parsed: argparse.Namespace) -> Pipeline:
    options = Options(
        workers=parsed.workers,
        batch_rows=parsed.batch_rows,
        dtype=parsed.dtype,
        max_bad_rows=parsed.max_bad_rows,
        strict=parsed.strict,
        fresh=parsed.fresh,
        accept_changes=parsed.accept_changes,
        timeout=parsed.timeout,
        limit=parsed.limit,
        sample=parsed.sample,
        calls_per_worker=parsed.calls_per_worker,
        if_running=parsed.if_running,
        format=parsed.format,
        cluster=parsed.cluster,
        machines=parsed.machines,
        on=parsed.on,
        env=tuple(parsed.env.split(",")) if parsed.env else (),
        with_files=tuple(parsed.with_files),
        storage_options=_flags.storage_options(parsed.storage_option),
    )
    is_whole = parsed.inputs and (parsed.output or parsed.profile)
    lacks = "" if is_whole else "Name what to read and where to write: muster run TARGET INPUT... -o OUTPUT"
    return of_target(parsed, options, output=parsed.output, lacks=lacks)
