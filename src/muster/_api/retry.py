"""Run what is missing: the bad rows of an output through the function as it is now, and their results into place."""

import contextlib
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from os import PathLike
from pathlib import Path
from typing import Any, Final, NamedTuple, Unpack

from muster._api.given import inputs_of, output_of
from muster._api.options import RetryOptions, checked, spelled_out
from muster._api.pipeline import Function, Paths, Pipeline, Watch, telling
from muster._api.retrying_groups import check_can_be_retried, exchanges_of, with_groups
from muster._dialects.values import flag
from muster._files.home import home
from muster._job import Job, Result
from muster._model import Arguments, Target
from muster._output.folder import WorkFolder
from muster._private.secrets import HIDDEN, shown, whole
from muster._process.signals import obeyed
from muster._run import runner
from muster._run.history.earlier import earlier
from muster._run.history.job_fields import job_of
from muster._run.history.past import Past
from muster._run.history.retrying import lacking
from muster._run.staffing.assembly import to_the_terminal
from muster._show.callers import from_the_callers_line, of_python, warn_of_mixing, warn_of_rejects
from muster._user_code import arguments, loading, targets
from muster._user_code.at_the_top import may_be_pipeline
from muster._user_code.main_module import check_not_loading
from muster._user_code.rowwise import remarks_on, warnings_of
from muster._user_code.world import a_run, begin_anew
from muster._words import plural
from muster.errors import UsageError

_WHERE: Final = {"workers": None, "cluster": None, "machines": None, "on": None}
"""The options that say where tasks run: who gives one of them gives all."""


class RetryResult(NamedTuple):
    """What a retry came to, and how many rows were bad before it."""

    result: Result
    bad_before: int

    @property
    def mended(self) -> int:
        """Count the rows that were bad and are not any more."""
        return self.bad_before - self.result.bad_rows

    @property
    def summary(self) -> str:
        """Say what came of the bad rows."""
        those = plural(self.bad_before, "bad row")
        if self.mended <= 0:
            return f"of {those} none succeeded"
        places = "its place" if self.mended == 1 else "their places"
        return f"{self.mended:,} of {those} succeeded, and took {places} in the output"


@spelled_out(RetryOptions)
@from_the_callers_line
def retry(  # noqa: PLR0913 (what is asked, and who is told)
    output: str | PathLike[str],
    function: Function | str | Pipeline | None = None,
    *,
    args: Mapping[str, Any] | None = None,
    inputs: Paths = (),
    watch: Watch | None = None,
    progress: bool | None = None,
    **options: Unpack[RetryOptions],
) -> Result:
    """Run the bad rows of an output through the function as it is now, and put what comes of them into place.

    ``output`` is that of an earlier run; its input must be what it was. Where all of its bad rows succeed, the output
    is the one that a run of this function over the whole input would write, byte for byte, if the function is
    row-wise. Rows that fail again stay in the rejects, with their new reason.

    ``function`` need not be given where the run named it as text, such as ``"file.py:function"``; of a run with several
    steps, or groups, give the pipeline. Each option is that of the earlier run unless you give it; :func:`muster.run`
    says what each means, and what ``args``, ``watch`` and ``progress`` are. ``args`` that were given in Python, or have
    the name of a secret, were not kept: give them again. Likewise ``storage_options``, and as ``inputs`` those URLs
    that have a secret.

    Returns the counts of all rows of the output. Warns and raises as :func:`muster.run` does; also raises
    ``UsageError`` where there is nothing to retry, where no run is known that made the output, and where output,
    rejects or input have changed since.
    """
    begin_anew()
    names = inputs_of(inputs)
    chosen = None if args is None else arguments.given(args, step="the function")
    with telling(watch, progress, is_live=options.get("workers") != 0) as (shown, tell):
        done = start(
            *(output, function, options),
            given=chosen,
            inputs=names,
            watch=tell,
            remark=warn_of_mixing,
            printed=shown.printed,
        )
        shown.finish(done.result)
    warn_of_rejects(done.result)
    return of_python(done.result)


def start(  # noqa: PLR0913 (what is asked, and who is told)
    output: str | PathLike[str],
    function: Function | str | Pipeline | None,
    options: RetryOptions,
    *,
    given: Arguments | None,
    inputs: Sequence[str],
    watch: Watch,
    remark: Callable[[str], None],
    printed: Callable[[str], None] = to_the_terminal,
    as_script: Callable[[Target], None] = lambda _: None,
) -> RetryResult:
    """Retry to the end; ``printed`` is told what workers print.

    Raises ``MusterError``, in the words of the command line, as are remarks.

    ``as_script`` makes this process look like the one that runs a target's file as a program.
    """
    check_not_loading()
    if unknown := sorted(options.keys() - RetryOptions.__annotations__.keys()):
        raise UsageError(
            f"A retry has no option {unknown[0]}: it could change rows that are done, which stay as they are. There"
            f" are: {', '.join(sorted(RetryOptions.__annotations__))}. To choose another {unknown[0]}, run the whole."
        )
    work = WorkFolder(shown(output_of(output)), home=home())
    past = earlier(work, fresh=flag("fresh", options.get("fresh", False)))
    named = _steps_given(function, as_script) if function is not None else None
    over = _from_here(options)
    with _in_folder(past.asked["folder"]):
        check_can_be_retried(past, work)
        job = _job(past, inputs=inputs, options=over)
        pipeline = named or _steps_of(job, as_script)
        has_arguments = bool(job.typed or pipeline.inputs)  # those that stand where the whole pipeline does
        steps = (
            pipeline.steps
            if has_arguments
            else _with_arguments(pipeline.steps, lacks=lacking(past.asked), job=job, given=given)
        )
        exchanges = pipeline.exchanges or exchanges_of(past, steps)
        job = replace(job, steps=with_groups(steps, exchanges), exchanges=exchanges)
        remarks = tuple(text for step in job.chains[0].steps for text in remarks_on(None, step))
        warnings = warnings_of(job.steps, remarks if job.options.batch_rows is None else ())
        with a_run(), obeyed():
            result = runner.run(job, watch=watch, remark=remark, printed=printed, earlier=past, warnings=warnings)
    return RetryResult(result, _bad_rows(past))


def _bad_rows(past: Past) -> int:
    return int(past.finished.result["bad_rows"]) if past.finished else 0


def _job(past: Past, *, inputs: Sequence[str], options: dict[str, Any]) -> Job:
    """Ask for what was asked for, with some options laid over."""
    before = job_of(dict(past.asked))
    names = [shown(name) for name in inputs]
    if others := [name for name in names if name not in before.inputs]:
        raise UsageError(f"{others[0]!r} is no input of run {past.run}. It read: {', '.join(before.inputs)}.")
    if secret := [name for name in before.inputs if HIDDEN in name and whole(name) == name]:
        raise UsageError(
            f"The input {secret[0]!r} had a secret in its URL, which was not kept. Give it again: --input URL."
        )
    if (stores := past.asked["storage"]) and not options.get("storage_options"):
        raise UsageError(
            f"Run {past.run} had options for stores, which were not kept, as they may be secret: {', '.join(stores)}."
            " Give them again: --storage-option KEY=VALUE."
        )
    where = _WHERE if _WHERE.keys() & options.keys() else {}
    return replace(before, options=checked(replace(before.options, **{**where, **options})), retry=past.run)


def _from_here(chosen: RetryOptions) -> dict[str, Any]:
    """Make paths absolute that count from the folder that this process is in."""
    options: dict[str, Any] = dict(chosen)
    if "with_files" in options and not isinstance(options["with_files"], str | PathLike):
        options["with_files"] = tuple(os.path.abspath(path) for path in options["with_files"])  # noqa: PTH100 (URLs are refused later)
    if options.get("on") and Path(options["on"]).is_file():
        options["on"] = str(Path(options["on"]).absolute())
    return options


@contextlib.contextmanager
def _in_folder(folder: str) -> Iterator[None]:
    """Be where the earlier run was, for paths and files that the function opens."""
    try:
        there = contextlib.chdir(folder)
        there.__enter__()
    except OSError as error:
        raise UsageError(
            f"The run was started in {folder!r}, which cannot be entered: {error.strerror}. Its paths count from there."
            " Make it available; or run the whole again, with muster run."
        ) from error
    try:
        yield
    finally:
        there.__exit__(None, None, None)


def _steps_given(function: Function | str | Pipeline, as_script: Callable[[Target], None]) -> Pipeline:
    if isinstance(function, Pipeline):
        return function
    if isinstance(function, str):
        return _named(function, as_script)
    return Pipeline().map_batches(function)


def _steps_of(job: Job, as_script: Callable[[Target], None]) -> Pipeline:
    """Find the functions of the earlier run again."""
    if job.typed:
        return _named(job.typed, as_script)
    if lost := [step.name for step in job.steps if step.kind == "pickle"]:
        raise UsageError(
            f"The function {lost[0]!r} was handed over by a Python program, and is not kept. Name it:"
            " muster retry OUTPUT file.py:function, or muster.retry(output, function)."
        )
    named = (_named(f"{step.place}:{step.name}", as_script) for step in job.steps)
    return Pipeline(steps=tuple(step for one in named for step in one.steps))


def _with_arguments(
    steps: tuple[Target, ...], *, lacks: Sequence[str], job: Job, given: Arguments | None
) -> tuple[Target, ...]:
    """Give functions the arguments that they had, with those laid over that are given now."""
    if given is not None and len(steps) > 1:
        raise UsageError(
            "Arguments go to one function, and this run had several. Leave them out, or run the whole again."
        )
    if given is not None and given.values:
        return (targets.with_arguments(steps[0], given),)
    over = dict(given.typed) if given is not None else {}
    if lost := [name for name in lacks if name not in over]:
        raise UsageError(
            f"The argument {lost[0]!r} of the function was not kept: a secret, or a value of a Python program. Give it"
            f" again: --arg {lost[0]}=VALUE."
        )
    if len(steps) != len(job.steps):
        return steps
    kept = (dict(step.arguments.typed) | over for step in job.steps)
    return tuple(
        targets.with_arguments(step, Arguments(tuple(typed.items()))) for step, typed in zip(steps, kept, strict=True)
    )


def _named(text: str, as_script: Callable[[Target], None]) -> Pipeline:
    """Find the function that a text names, or the pipeline that a file defines."""
    target = targets.parse_target(text)
    as_script(target)
    if not may_be_pipeline(target):
        return Pipeline(steps=(target,))
    path = list(sys.path)
    defined = loading.find(target)
    if isinstance(defined, Pipeline):
        return defined
    sys.path[:] = path
    return Pipeline(steps=(target,))
