"""``--each``: one run, with an output of its own, for each input; all on one set of workers."""

import dataclasses
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from muster._api import pipeline as pipelines
from muster._api.options import checked
from muster._api.pipeline import Pipeline, check_ends
from muster._files.home import home
from muster._formats.sources import find_each
from muster._job import Result, Snapshot
from muster._model import Source
from muster._output.folder import WorkFolder
from muster._private.secrets import set_options, shown
from muster._run.beginning.overlaps import check_apart
from muster._run.staffing.assembly import Means, engine_of_this_computer, workers_for
from muster._run.staffing.kept_workers import KeptWorkers
from muster._run.staffing.lent import shared
from muster._show.ending import SOME_REJECTED
from muster._urls.identity import identity
from muster._urls.urls import is_remote
from muster.errors import MusterError, UsageError

from .names import outputs_of

Say = Callable[[str], None]

_BY_WEIGHT: Final = (0, SOME_REJECTED, 1, 2, 3)
"""Exit codes, the worst last."""


@dataclass(frozen=True, slots=True)
class EachEnded:
    """How the run of one input ended: with a result, or with an error."""

    input: str
    output: str
    result: Result | None = None
    error: MusterError | None = None

    @property
    def code(self) -> int:
        """The exit code that it would have had alone."""
        if self.error is not None:
            return self.error.exit_code
        return SOME_REJECTED if self.result and self.result.bad_rows else 0

    def as_fields(self) -> dict[str, Any]:
        """Say it as ``--json`` does."""
        if self.error is not None:
            said = {"output": self.output, "error": str(self.error), "kind": self.error.kind}
        else:
            said = self.result.as_fields() if self.result else {}
        return {"input": self.input, **said, "exit_code": self.code}


def worst(codes: "list[int]") -> int:
    """Choose the exit code of several runs."""
    return max(codes, key=_BY_WEIGHT.index, default=0)


class Each:
    """The runs that one command amounts to."""

    def __init__(self, pipeline: Pipeline) -> None:
        """Name the output of each input. Raises ``UsageError`` where that cannot be, before anything is done."""
        check_ends(pipeline, what="--each has a run for each input, which ends")
        self._options = checked(pipeline.options)
        set_options(self._options.storage_options)
        pipeline = dataclasses.replace(
            pipeline, inputs=tuple(map(shown, pipeline.inputs)), output=shown(pipeline.output)
        )
        self._pipeline = pipeline
        options = self._options
        self.sources = _each_once(find_each(pipeline.inputs, forced=options.input_format, default=options.format))
        chosen = options.output_format or options.format
        self.outputs = outputs_of(self.sources, pipeline.output, chosen=chosen)
        works = [WorkFolder(output, home=home()) for output in self.outputs]
        check_apart(works, sources=self.sources, given=pipeline.inputs, recurs=True)

    def run(self, *, watch: Callable[[Snapshot], None], remark: Say, printed: Say) -> Iterator[EachEnded]:
        """Run one after another; one that fails keeps none of the others from being done.

        Where the function cannot be loaded, this raises that, before the first of them.
        """
        options = self._options
        workers = workers_for(self.sources, chosen=options.workers)
        kept_workers = KeptWorkers(lambda: engine_of_this_computer(workers, printed))
        said: set[str] = set()

        def once(text: str) -> None:
            if text not in said:
                said.add(text)
                remark(text)

        with shared(options, say=lambda phase: watch(Snapshot(phase))) as access:
            make = kept_workers.begin if workers else engine_of_this_computer
            try:
                for source, output in zip(self.sources, self.outputs, strict=True):
                    how = {"watch": watch, "remark": once, "printed": printed, "means": Means(make, access)}
                    ended = self._one(source, output, **how)
                    if ended.error is not None and ended.error.is_of_function and source is self.sources[0]:
                        raise ended.error
                    yield ended
            finally:
                kept_workers.end()

    def _one(self, source: Source, output: str, **how: Any) -> EachEnded:  # noqa: ANN401 (how it is run and watched)
        alone = dataclasses.replace(self._pipeline, inputs=(source.name,), output=output)
        try:
            make_folder_of(output)
            return EachEnded(source.name, output, result=pipelines.start(alone, **how))
        except MusterError as error:
            return EachEnded(source.name, output, error=error)


def _each_once(sources: Sequence[Source]) -> list[Source]:
    """Leave out what is named a second time."""
    return list({identity(source.path): source for source in reversed(sources)}.values())[::-1]


def make_folder_of(output: str) -> None:
    """Make the folder that an output goes to; stores have none that would have to be made. Raises ``UsageError``."""
    if is_remote(output):
        return
    folder = os.path.dirname(output.rstrip("/"))  # noqa: PTH120 (as text)
    try:
        os.makedirs(folder or ".", exist_ok=True)  # noqa: PTH103 (likewise)
    except OSError as error:
        raise UsageError(
            f"Cannot make the folder {folder!r} for {output!r}: {error.strerror}. Choose a place where you may write."
        ) from error
