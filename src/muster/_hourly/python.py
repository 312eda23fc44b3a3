"""What callers in Python have for ``--each`` and ``--since-last``."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from os import PathLike
from typing import Any, Unpack

from muster._api import pipeline as pipelines
from muster._api.options import RunOptions, laid_over, spelled_out
from muster._api.pipeline import Function, Paths, Pipeline, Watch
from muster._job import Result
from muster._show.callers import from_the_callers_line, of_python, warn_of_mixing, warn_of_rejects
from muster._show.terminal import Shown
from muster._user_code.world import begin_anew
from muster._words import plural
from muster.errors import RejectedRowsWarning

from .each import Each, EachEnded, worst
from .since import SinceLast


@dataclass(frozen=True, slots=True)
class Runs:
    """What several runs amount to, of one call; it can be looped over, and has a length."""

    results: tuple[Result, ...]
    """What each came to, in the order of the inputs."""
    left: tuple[str, ...] = ()
    """Files that somebody was writing, or that changed, so that they are left for the next time."""
    duplicates: tuple[str, ...] = ()
    """Files that were left out, as their content was done before, under another name."""
    skipped: bool = False
    """Nothing was done, as another process worked on these outputs."""

    def __iter__(self) -> Iterator[Result]:
        """Go through the results."""
        return iter(self.results)

    def __len__(self) -> int:
        """Count the results."""
        return len(self.results)

    @property
    def rows_in(self) -> int:
        """Add up the rows of the inputs."""
        return sum(result.rows_in for result in self.results)

    @property
    def rows_out(self) -> int:
        """Add up the rows of the outputs."""
        return sum(result.rows_out for result in self.results)

    @property
    def bad_rows(self) -> int:
        """Add up the rows in the rejects."""
        return sum(result.bad_rows for result in self.results)


@spelled_out(RunOptions)
@from_the_callers_line
def run_each(  # noqa: PLR0913 (what all users of it type)
    function: Function | str,
    inputs: Paths,
    output: str | PathLike[str],
    *,
    args: Mapping[str, Any] | None = None,
    watch: Watch | None = None,
    progress: bool | None = None,
    **options: Unpack[RunOptions],
) -> Runs:
    """Run a function over many files, each into an output of its own, on one set of workers.

    ``output`` is a folder that ends in ``/``, where each output has the name of its input; or a pattern such as
    ``"out/{name}.parquet"``. All else is as in :func:`muster.run`, for each file alone: an output that is unchanged is
    left alone, and its result says so.

    One file that fails keeps none of the others from being done. Then, once all are done, this raises the worst error:
    of the infrastructure before that of the call, before that of data or function. The same call again does the rest.
    """
    with _asked(function, inputs, output, args, options, watch=watch, progress=progress) as (pipeline, shown, tell):
        ended: list[EachEnded] = []
        for one in Each(pipeline).run(watch=tell, remark=warn_of_mixing, printed=shown.printed):
            ended.append(one)
            if one.result is not None and not (one.result.unchanged or one.result.skipped):
                shown.remark(str(one.result))
    runs = Runs(tuple(of_python(one.result) for one in ended if one.result is not None))
    failed = [one for one in ended if one.error is not None]
    for result in runs:
        with suppress(*[RejectedRowsWarning] * bool(failed)):  # as an error it would hide the worse one
            warn_of_rejects(result)
    code = worst([one.code for one in failed])
    for one in failed:
        if one.error is not None and one.code == code:
            one.error.add_note(
                f"So ended {one.input!r}, and {len(failed)} of {plural(len(ended), 'input')} failed. The outputs of the"
                " others are there."
            )
            raise one.error
    return runs


@spelled_out(RunOptions)
@from_the_callers_line
def run_since_last(  # noqa: PLR0913 (what all users of it type)
    function: Function | str,
    inputs: Paths,
    output: str | PathLike[str],
    *,
    args: Mapping[str, Any] | None = None,
    watch: Watch | None = None,
    progress: bool | None = None,
    **options: Unpack[RunOptions],
) -> Runs:
    """Run a function over the files that are new since the last call, all into one output; each file once.

    ``output`` has ``{date}`` or ``{time}`` in it, such as ``"out/{date}.csv"``. What was done is known by content, and
    stands in a file beside the outputs. Where nothing is new there is no result. There are two where an earlier call
    was killed: the first is of the files that it had begun. ``limit`` and ``sample`` cannot be given. All else is as in
    :func:`muster.run`.
    """
    with _asked(function, inputs, output, args, options, watch=watch, progress=progress) as (pipeline, shown, tell):
        since = SinceLast(pipeline, watch=tell, remark=warn_of_mixing, printed=shown.printed)
        results = []
        for result, _ in since.run():
            results.append(result)
            shown.remark(str(result))
    for result in results:
        warn_of_rejects(result)
    return Runs(tuple(map(of_python, results)), tuple(since.left), tuple(since.duplicates), since.was_skipped)


@contextmanager
def _asked(  # noqa: PLR0913 (what is asked, and who is told)
    function: Function | str,
    inputs: Paths,
    output: str | PathLike[str],
    args: Mapping[str, Any] | None,
    options: RunOptions,
    *,
    watch: Watch | None,
    progress: bool | None,
) -> Iterator[tuple[Pipeline, Shown, Watch]]:
    begin_anew()
    pipeline = pipelines.of_call(function, inputs, output, args=args)
    pipeline = replace(pipeline, options=laid_over(pipeline.options, options))
    with pipelines.telling(watch, progress, is_live=pipeline.options.workers != 0) as (shown, tell):
        yield pipeline, shown, tell
