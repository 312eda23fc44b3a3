"""The command line: parse, call the face, print."""

import argparse
import contextlib
import dataclasses
import json
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final

from muster import __version__, _csv_flags, _history, _pipeline, _show, _standard
from muster._ending import Parser, ended
from muster._generate import generate
from muster._model import Options, Result, Snapshot, Target
from muster._pipeline import Pipeline
from muster._signals import obey
from muster._unseen import shown
from muster._user_code import main_module, targets
from muster.errors import EngineError, UsageError

_SOME_REJECTED: Final = 4
_PORT: Final = 4000
_HIGHEST_PORT: Final = 65535
_SECONDS: Final = {"": 1.0, "ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return its exit code."""
    given = sys.argv[1:] if arguments is None else arguments
    parsed = argparse.Namespace(json="--json" in given)

    for text in given:
        shown(text)  # what its secrets are is known before anything is said, also of a command that is wrong

    def call() -> int:
        parser().parse_args(given, parsed)
        obey()
        return int(parsed.call(parsed))

    return ended(call, parsed=parsed)


def parser() -> Parser:
    """Make the parser of all verbs; the reference in ``docs/cli.md`` is made of it."""
    made = Parser("muster", description="Run the pandas function you have over files that have outgrown it.")
    made.add_argument("--version", action="version", version=f"muster {__version__}")
    verbs = made.add_subparsers(required=True, metavar="VERB", title="verbs")
    _add_run(verbs.add_parser("run", help="run a function over every row of the inputs", allow_abbrev=False))
    _add_check(verbs.add_parser("check", help="tell whether a function is row-wise", allow_abbrev=False))
    _add_up(verbs.add_parser("up", help="make a cluster, or make it larger or smaller", allow_abbrev=False))
    _add_status(verbs.add_parser("status", help="show the clusters and their machines", allow_abbrev=False))
    _add_down(verbs.add_parser("down", help="end a cluster and all that runs on it", allow_abbrev=False))
    _add_generate(verbs.add_parser("generate", help="write synthetic rows to try things on", allow_abbrev=False))
    _add_runs(verbs.add_parser("runs", help="list the runs, newest first", allow_abbrev=False))
    _add_watch(verbs.add_parser("watch", help="serve a live page of the runs", allow_abbrev=False))
    _add_report(verbs.add_parser("report", help="write a report of a run", allow_abbrev=False))
    return made


def _add_run(run: argparse.ArgumentParser) -> None:
    run.set_defaults(call=_run, what_now="What was done is kept: type the same command again to go on.")
    run.description = (
        "Run a function over every row of the inputs, in parallel, and write one output, rows in input order. The"
        " output appears complete or not at all; the same command again resumes an unfinished run."
    )
    run.epilog = (
        "exit codes: 0 every row done; 1 the data or the function stopped the run; 2 the command was wrong; 3 workers,"
        " disk or network failed; 4 finished, but some rows are in OUTPUT.rejects.jsonl; 130 after Ctrl-C,"
        " 128 + its number after another signal"
    )
    add = run.add_argument
    add("target", metavar="TARGET", help="file.py:function, package.module:function, or a file that defines pipeline")
    add("inputs", metavar="INPUT", nargs="*", help="files, globs, folders, or URLs that fsspec knows (s3://...)")
    add("-o", "--output", metavar="OUTPUT", help="a file, or a folder ending in / for numbered part files")
    add("--workers", type=int, metavar="N", help="processes; 0 runs in this one, for a debugger (default: all cores)")
    add("--batch-rows", type=int, metavar="N", help="hand the function exactly N rows each time (default: as is fast)")
    add("--dtype", metavar="TYPES", help="str to read every cell as text, or COL=TYPE,... to fix some columns")
    add(
        "--max-bad-rows",
        metavar="N|N%",
        help="stop when more rows are bad (default: 1000 or 10%%, whichever is less, but 10 in any case)",
    )
    add("--strict", action="store_true", help="stop at the first bad row")
    add("--fresh", action="store_true", help="forget an unfinished run of this output, and start over")
    add("--accept-changes", action="store_true", help="go on with an unfinished run although code or data has changed")
    add("--timeout", type=_seconds, metavar="60s", help="how long one call of the function may take")
    add("--format", choices=("csv", "parquet", "jsonl"), help="where a suffix does not say; also of a folder's files")
    _csv_flags.add_to(run)
    add("--cluster", metavar="NAME", help="run on the machines that muster up made")
    add("--machines", type=int, metavar="N", help="make a cluster of N machines for this run, and end it with the run")
    add("--on", metavar="CLOUD", help="local (the default): this computer; or a YAML file of hosts")
    _add_storage(run)
    add("--env", metavar="NAME,...", help="environment variables that go to hosts; machines of this computer have all")
    add(
        "--with",
        dest="with_files",
        action="append",
        default=[],
        metavar="PATH",
        help="a file or folder that the function reads: it goes to hosts, and a resume compares it; may be repeated",
    )
    add("--watch", action="store_true", help="serve a live page while it works; needs muster[watch]")
    add("--port", type=_port, default=_PORT, metavar="N", help="where --watch serves it (default: %(default)s)")
    add(
        "--json", action="store_true", help="print one JSON object as the last line of standard output, also on failure"
    )
    add("--quiet", action="store_true", help="say nothing but errors, and that rows were rejected")


def _add_storage(verb: argparse.ArgumentParser) -> None:
    verb.add_argument(
        "--storage-option",
        type=_storage_option,
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="what stores of URLs are opened with: anon=true, requester_pays=true, s3.KEY=VALUE for one protocol",
    )


def _storage_option(text: str) -> tuple[str, Any]:
    name, sign, value = text.partition("=")
    if not (name and sign):
        raise argparse.ArgumentTypeError("it is no KEY=VALUE; type for example --storage-option anon=true")
    try:
        return name, json.loads({"True": "true", "False": "false", "None": "null"}.get(value, value))
    except ValueError:
        return name, value


def _storage_options(chosen: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    """Put options of one protocol together: ``s3.anon=true`` becomes ``{"s3": {"anon": True}}``."""
    found: dict[str, Any] = {}
    for name, value in chosen:
        protocol, dot, inner = name.partition(".")
        if dot:
            found[protocol] = {**found.get(protocol, {}), inner: value}
        else:
            found[name] = value
    return found


def _add_check(verb: argparse.ArgumentParser) -> None:
    verb.set_defaults(call=_check)
    verb.description = (
        "Tell whether a function treats each row by itself. It is called four times in a worker: with the first rows of"
        " the input, with the same again, and with each half of them. Nothing is written."
    )
    verb.epilog = "exit codes: 0 row-wise; 1 not, or the function fails; 2 the command was wrong; 3 workers failed"
    add = verb.add_argument
    add("target", metavar="TARGET", help="file.py:function, package.module:function, or a file that defines pipeline")
    add("inputs", metavar="INPUT", nargs="*", help="files, globs, folders, or URLs that fsspec knows (s3://...)")
    add("--sample", type=int, default=_pipeline.SAMPLE, metavar="N", help="how many rows (default: %(default)s)")
    add("--dtype", metavar="TYPES", help="str to read every cell as text, or COL=TYPE,... to fix some columns")
    add("--timeout", type=_seconds, metavar="60s", help="how long one call of the function may take")
    add("--format", choices=("csv", "parquet", "jsonl"), help="where a suffix does not say")
    _csv_flags.add_to(verb)
    _add_storage(verb)
    add(
        "--json", action="store_true", help="print one JSON object as the last line of standard output, also on failure"
    )


def _add_up(verb: argparse.ArgumentParser) -> None:
    verb.set_defaults(
        call=_up,
        what_now="What was started so far stays until its lease ends: type the same command again to go on, or muster"
        " down {name} to end it.",
    )
    verb.description = (
        "Make a cluster of machines, each a Ray node of its own. Typed again with another number it makes the cluster"
        " larger or smaller, also while a run works on it; what is not said stays as it is. Machines that nobody renews"
        " end by themselves: a run on the cluster renews their lease, and so does --keep."
    )
    verb.add_argument("name", nargs="?", default="default", metavar="NAME", help="default: %(default)s")
    verb.add_argument("--machines", type=int, required=True, metavar="N", help="how many")
    verb.add_argument("--on", metavar="CLOUD", help="local (the default): this computer; or a YAML file of hosts")
    verb.add_argument(
        "--workers-per-machine", type=int, metavar="W", help="default: as it is, or the cores of this computer"
    )
    verb.add_argument(
        "--lease",
        type=_seconds,
        metavar="15m",
        help="how long they may live unrenewed (default: as it is, or 15m)",
    )
    verb.add_argument("--keep", action="store_true", help="stay, and renew their lease until Ctrl-C")


def _add_status(verb: argparse.ArgumentParser) -> None:
    verb.set_defaults(call=_status)
    verb.description = "Show machines, workers, memory, disk, what is left of the lease, and versions."
    verb.add_argument("name", nargs="?", metavar="NAME", help="default: all clusters")
    verb.add_argument("--json", action="store_true", help="print one JSON array")


def _add_down(verb: argparse.ArgumentParser) -> None:
    verb.set_defaults(call=_down, what_now="Some machines may still live: type the same command again to end them.")
    verb.description = (
        "End a cluster's machines and all that runs on them. A run on it stops, and can be resumed. Nothing of muster's"
        " is left on hosts but the environments that it installed there, in ~/.muster/environments: the next cluster"
        " uses them again, and one that none has used for a month goes when another is made. --purge removes them now."
    )
    verb.add_argument("name", nargs="?", default="default", metavar="NAME", help="default: %(default)s")
    verb.add_argument("--all", action="store_true", help="end all clusters of this user")
    verb.add_argument(
        "--purge",
        action="store_true",
        help="also remove from its hosts the environments that muster installed there, but for those in use",
    )


def _add_generate(verb: argparse.ArgumentParser) -> None:
    verb.set_defaults(call=_generate)
    verb.description = "Write the synthetic rows of the seed system: ID,SKU,FLUX,MANUFACTURER_NAME,DESCRIPTION."
    verb.add_argument("--rows", type=int, required=True, metavar="N", help="how many")
    verb.add_argument("-o", "--output", required=True, metavar="FILE", help="the CSV file to write")


def _add_runs(verb: argparse.ArgumentParser) -> None:
    verb.set_defaults(call=_runs)
    verb.description = (
        "List the runs of this user, newest first: those that go on, those that the same command would resume, and the"
        " last hundred that finished."
    )
    verb.add_argument("--json", action="store_true", help="print one JSON array")


def _add_watch(verb: argparse.ArgumentParser) -> None:
    verb.set_defaults(call=_watch)
    verb.description = (
        "Serve a live page of this user's runs on 127.0.0.1, with Prometheus metrics at /metrics, until Ctrl-C. It only"
        " reads journals: closing it, or opening it late, changes nothing in a run."
    )
    verb.add_argument("run", nargs="?", metavar="RUN", help="the id of a run, or its beginning (default: all runs)")
    verb.add_argument(
        "--port", type=_port, default=_PORT, metavar="N", help="the next free one if taken (default: %(default)s)"
    )


def _add_report(verb: argparse.ArgumentParser) -> None:
    verb.set_defaults(call=_report)
    verb.description = "Write what a run did, how long it took and where the time went into one self-contained page."
    verb.add_argument("run", nargs="?", metavar="RUN", help="the id of a run, or its beginning (default: the newest)")
    verb.add_argument("-o", "--output", required=True, metavar="FILE", help="the HTML file to write")


def _port(text: str) -> int:
    if not (text.isdecimal() and int(text) <= _HIGHEST_PORT):
        raise argparse.ArgumentTypeError(f"{text!r} is no port; type a number from 0 (any free one) to {_HIGHEST_PORT}")
    return int(text)


def _seconds(text: str) -> float:
    match = re.fullmatch(r"([0-9]*\.?[0-9]+)(ms|s|m|h|)", text)
    if match is None:
        raise argparse.ArgumentTypeError(f"{text!r} is no time; type for example 60s, 5m or 1h")
    return float(match[1]) * _SECONDS[match[2]]


def _run(parsed: argparse.Namespace) -> int:
    if (parsed.output or "").lower().startswith("memory:"):
        raise UsageError(f"-o {parsed.output}: that is this process's memory, which ends with it. Name a file instead.")
    pipeline = _pipeline_of(parsed)
    with _show.show(quiet=parsed.quiet, is_live=parsed.workers != 0) as shown, _page(parsed) as with_page:

        def watch(snapshot: Snapshot) -> None:
            parsed.run_id = snapshot.run
            shown.watch(with_page(snapshot))

        result = _pipeline.start(pipeline, watch=watch, remark=shown.remark)
        shown.finish(result)
    if parsed.json:
        _print_result(result, after_a_line=parsed.workers != 0)
    return _SOME_REJECTED if result.bad_rows else 0


def _check(parsed: argparse.Namespace) -> int:
    options = Options(
        dtype=parsed.dtype,
        timeout=parsed.timeout,
        format=parsed.format,
        storage_options=_storage_options(parsed.storage_option),
    )
    pipeline = _of_target(
        parsed, options, output="", lacks="" if parsed.inputs else "Name what to read: muster check TARGET INPUT..."
    )
    verdict = _pipeline.checked_rows(pipeline, sample=parsed.sample)
    _tell(json.dumps(dataclasses.asdict(verdict)) if parsed.json else str(verdict))
    return 0 if verdict.row_wise else 1


def _print_result(result: Result, *, after_a_line: bool) -> None:
    """Print a result as the last line; where the function may have left one unfinished, on a line of its own."""
    try:
        _standard.say(("" if after_a_line else "\n") + json.dumps(dataclasses.asdict(result)))
    except OSError as error:
        raise EngineError(
            f"Cannot print the result to standard output: {error.strerror}. The run is finished, and {result.output!r}"
            " is complete. For the same figures, type: muster runs --json"
        ) from error


def _tell(text: str) -> None:
    """Print what the user asked for; as with ``| head``, whoever reads it may have had enough."""
    try:
        _standard.say(text)
    except BrokenPipeError:
        pass
    except OSError as error:
        raise EngineError(
            f"Cannot print to standard output: {error.strerror}. Send it elsewhere, and type the same command again."
        ) from error


@contextlib.contextmanager
def _page(parsed: argparse.Namespace) -> Iterator[Callable[[Snapshot], Snapshot]]:
    """Serve a page beside the run where it is asked for; what is yielded tells where, in a snapshot's note."""
    if not parsed.watch:
        yield lambda snapshot: snapshot
        return
    from muster._watch.beside import beside  # noqa: PLC0415 (the page takes time to load, and most runs have none)

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
        format=parsed.format,
        cluster=parsed.cluster,
        machines=parsed.machines,
        on=parsed.on,
        env=tuple(parsed.env.split(",")) if parsed.env else (),
        with_files=tuple(parsed.with_files),
        storage_options=_storage_options(parsed.storage_option),
    )
    is_whole = parsed.inputs and parsed.output
    lacks = "" if is_whole else "Name what to read and where to write: muster run TARGET INPUT... -o OUTPUT"
    return _of_target(parsed, options, output=parsed.output, lacks=lacks)


def _of_target(parsed: argparse.Namespace, options: Options, *, output: str | None, lacks: str) -> Pipeline:
    """Make a pipeline of the function that a command line names, or take the one that the file defines.

    ``lacks`` says what is lacking where a function is named, if anything is.
    """
    target = targets.parse_target(parsed.target)
    _be_as_if_run(target)
    path = list(sys.path)
    defined = targets.find(target) if target.name == "pipeline" else None
    if not isinstance(defined, Pipeline):  # but a function may have that name, too
        sys.path[:] = path  # workers look into its folder once they have loaded what is muster's
        if defined is not None and not callable(defined):
            raise UsageError(f"'pipeline' in {target.place} is a {type(defined).__name__}, not a muster pipeline.")
        if lacks:
            raise UsageError(lacks)
        return _pipeline.of_command(target, tuple(parsed.inputs), output or "", options, csv=_csv_flags.chosen(parsed))
    return _pipeline.with_command(defined, tuple(parsed.inputs), output, options, csv=_csv_flags.chosen(parsed))


def _be_as_if_run(target: Target) -> None:
    """Let the user's file find what it finds when it is run as ``python file.py``: its name, and no arguments."""
    file = target.place if target.kind == "file" else main_module.script_of_this_process().file
    main_module.become(main_module.Script(file))
    sys.argv[:] = [target.place]


def _up(parsed: argparse.Namespace) -> int:
    from muster._cluster import Cluster  # noqa: PLC0415 (clusters take time to load, and most commands need none)

    cluster = Cluster(parsed.name)
    status = cluster.up(parsed.machines, workers=parsed.workers_per_machine, lease=parsed.lease, on=parsed.on)
    print(_show.cluster(status))
    if parsed.keep:
        parsed.what_now = "The machines end with their lease, unless a run renews it: muster down {name} ends them now."
        print("Renewing the lease until Ctrl-C.", flush=True)
        cluster.keep(lambda text: print(f"muster: {text}", file=sys.stderr, flush=True))
    return 0


def _status(parsed: argparse.Namespace) -> int:
    from muster._cluster import Cluster, names  # noqa: PLC0415 (likewise)

    found = [Cluster(name).status() for name in ([parsed.name] if parsed.name else names())]
    if parsed.json:
        _tell(json.dumps([dataclasses.asdict(status) for status in found]))
    else:
        _tell("\n".join(map(_show.cluster, found)) or "There is no cluster. Make one with muster up --machines N.")
    return 0


def _down(parsed: argparse.Namespace) -> int:
    from muster._cluster import Cluster, names  # noqa: PLC0415 (likewise)

    for name in names() if parsed.all else [parsed.name]:
        seen = Cluster(name).down(purge=parsed.purge)
        if seen is None:
            print(f"{name}: there is no such cluster. There are: {', '.join(names()) or 'none'}.")
        else:
            print("\n".join([f"{name}: gone", *(f"  {line}" for line in seen)]))
    return 0


def _generate(parsed: argparse.Namespace) -> int:
    generate(parsed.rows, parsed.output)
    return 0


def _watch(parsed: argparse.Namespace) -> int:
    from muster._watch.server import serve  # noqa: PLC0415 (likewise)

    serve(parsed.run, port=parsed.port)
    return 0


def _report(parsed: argparse.Namespace) -> int:
    from muster._watch.report import report  # noqa: PLC0415 (likewise)

    page = report(parsed.run)
    try:
        Path(parsed.output).write_text(page, encoding="utf-8")
    except OSError as error:
        raise UsageError(f"Cannot write {parsed.output!r}: {error.strerror}. Choose another file.") from error
    print(f"{parsed.output}: {len(page) / 1e3:,.0f} kB; open it in a browser.")
    return 0


def _runs(parsed: argparse.Namespace) -> int:
    found = list(_history.runs())
    if parsed.json:
        _tell(json.dumps(found))
    else:
        _tell(_show.table(found))
    return 0


if __name__ == "__main__":
    sys.exit(main())
