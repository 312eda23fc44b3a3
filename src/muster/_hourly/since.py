"""``--since-last``: the files that are new go into one output, named by the time; each file once, whatever happens."""

import dataclasses
import itertools
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from muster._api import pipeline as pipelines
from muster._api.options import checked
from muster._api.pipeline import Pipeline, check_ends
from muster._files.home import home
from muster._files.witness import FileState
from muster._formats.sources import find_sources
from muster._job import Result, Snapshot
from muster._model import Source
from muster._output.folder import WorkFolder
from muster._output.manifest import MANIFEST
from muster._private.secrets import set_options, shown
from muster._run.beginning.busy import begin_once_free
from muster._run.beginning.overlaps import check_apart
from muster._run.staffing.assembly import Means
from muster._run.staffing.lent import shared
from muster._urls import objects
from muster._urls.identity import identity, local, upwards
from muster._urls.urls import is_remote
from muster.errors import MusterError, UsageError

from .book import Book
from .contents import is_as_it_was, looked_at
from .each import make_folder_of
from .ledger import BegunOutput
from .pattern import PLACES, named

Watch = Callable[[Snapshot], None]
Say = Callable[[str], None]


class SinceLast:
    """One command: it ends what an earlier one has begun, then does what is new."""

    def __init__(self, pipeline: Pipeline, *, watch: Watch, remark: Say, printed: Say) -> None:
        """Know the pattern of the outputs. Raises ``UsageError`` for one that does not change with the time."""
        check_ends(pipeline, what="--since-last does the files that are new, and ends")
        if not any(place in pipeline.output for place in PLACES):
            raise UsageError(
                f"-o {pipeline.output}: with --since-last it has {' or '.join(PLACES)} in it, such as"
                " 'out/{date}.csv': each time there is something new, that is another output."
            )
        self._options = checked(pipeline.options)
        if self._options.limit or self._options.sample:
            raise UsageError(
                "--since-last counts a file as done, and --limit and --sample do some of its rows. Leave them out; or"
                " try the function on one file: muster run TARGET FILE -o try.csv --limit 1000"
            )
        set_options(self._options.storage_options)
        pipeline = dataclasses.replace(
            pipeline, inputs=tuple(map(shown, pipeline.inputs)), output=shown(pipeline.output)
        )
        self._pipeline = pipeline
        self._how: dict[str, Any] = {"watch": watch, "remark": remark, "printed": printed}
        self._watch = watch
        self._tell: Say = lambda text: watch(Snapshot("starting", note=text))
        self._book = Book(pipeline, options=self._options)
        self.left: list[str] = []
        """Files that somebody was writing, so that they are left for the next time."""
        self.duplicates: list[str] = []
        """Files that are new by their name, and left out, as their content was done before."""
        self.was_skipped = False
        """Whether nothing was done, as another process works on this pattern."""

    def run(self) -> Iterator[tuple[Result, int]]:
        """Yield the result of each output, and of how many files it is made. Raises ``MusterError``."""
        make_folder_of(self._book.place)
        choice = self._options.if_running
        if not begin_once_free(lambda: True, work=self._book.work, choice=choice, tell=self._tell):
            self.was_skipped = True
            return
        cluster = shared(self._options, say=lambda phase: self._watch(Snapshot(phase)))
        with self._book.opened(), cluster as access:
            self._how["means"] = Means(access=access)
            yield from self._ended()
            yield from self._done(self._new())

    # What is new

    def _sources(self) -> list[Source]:
        """Find the files that are there now; none is no error where there may be some one day."""
        options = self._options
        found = find_sources(
            self._pipeline.inputs, forced=options.input_format, default=options.format, may_be_empty=True
        )
        made = {identity(output.rstrip("/")) for output in self._book.ledger.done.values()}
        return [source for source in found if made.isdisjoint((identity(source.path), *upwards(source.path)))]

    def _new(self) -> dict[str, FileState]:
        """Find what is new, by content; of several files with one content the first alone counts."""
        contents = dict(self._book.ledger.done)
        seen: dict[str, FileState] = {}
        new: dict[str, FileState] = {}
        for source in self._sources():
            before = self._book.ledger.seen.get(source.path)
            try:
                now = looked_at(source, before)
            except FileNotFoundError:  # as if it had never been there
                continue
            if now is None:
                self._leave(source.name, "somebody is writing it")
            elif now.content not in contents:
                new[source.path], contents[now.content] = now, source.name
            elif source.path not in new:
                seen[source.path] = now
                if before is None or before.content != now.content:
                    self._leave_out(source.name, contents[now.content])
        if seen != self._book.ledger.seen:
            self._book.write(dataclasses.replace(self._book.ledger, seen=seen))
        return new

    def _leave_out(self, name: str, same: str) -> None:
        self.duplicates.append(name)
        self._tell(f"left out {name!r}: its content was done before, in {same!r}")

    def _leave(self, name: str, why: str) -> None:
        self.left.append(name)
        self._tell(f"left for the next time: {name!r}: {why}")

    # What is done

    def _done(self, new: dict[str, FileState]) -> Iterator[tuple[Result, int]]:
        if new:
            output = self._free_name()
            check_apart([WorkFolder(output, home=home())], sources=(), given=self._pipeline.inputs, recurs=True)
            self._book.write(self._book.ledger.with_begun(BegunOutput(output, new)))
            yield from self._ended()

    def _ended(self) -> Iterator[tuple[Result, int]]:
        """End what is begun. Where its files have changed since, what is done is done, and the rest is new."""
        while (job := self._book.ledger.begun) is not None:
            changed = self._changed(job)
            if not changed:
                try:
                    result = self._run(job)
                except MusterError:  # where a file is gone, any
                    if not self._changed(job):
                        raise
                    continue
                self._book.write(self._book.ledger.with_done(job))
                yield result, len(job.files)
            else:
                self._forget_work(job)  # which removes parts that no manifest names
                if _is_whole(job.output):
                    self._book.write(self._book.ledger.with_done(job))
                else:
                    self._begin_without(changed, job)

    def _begin_without(self, changed: Sequence[str], job: BegunOutput) -> None:
        for name in changed:
            self._leave(name, "it has changed, or is gone")
        rest = {name: seen for name, seen in job.files.items() if name not in changed}
        self._book.write(self._book.ledger.with_begun(BegunOutput(job.output, rest) if rest else None))

    def _run(self, job: BegunOutput) -> Result:
        make_folder_of(job.output)
        pipeline = dataclasses.replace(self._pipeline, output=job.output, only=job.files)
        return pipelines.start(pipeline, **self._how)

    def _changed(self, job: BegunOutput) -> list[str]:
        """Name the files that are not as they were."""
        there = {source.path: source for source in self._sources()}
        return [name for name, seen in job.files.items() if name not in there or _has_changed(there[name], seen)]

    def _forget_work(self, job: BegunOutput) -> None:
        """Remove what an unfinished run keeps, which nobody can end."""
        if not is_remote(job.output) and not Path(job.output.rstrip("/")).absolute().parent.is_dir():
            return
        work = WorkFolder(job.output, home=home())
        work.take()
        try:
            work.clear()
            work.remove()
        finally:
            work.release()

    def _free_name(self) -> str:
        """Name an output that is not there yet: the second of a day has a number."""
        taken, pattern = set(self._book.ledger.done.values()), self._pipeline.output
        return next(
            name
            for name in (named(pattern, number=number) for number in itertools.count(1))
            if not (name in taken or _is_there(name))
        )


def _is_there(output: str) -> bool:
    output = local(output).rstrip("/")
    return objects.kind_at(output) != "" if is_remote(output) else os.path.lexists(output)


def _is_whole(output: str) -> bool:
    """Tell whether an output was published: a folder in a store may be there by half, and has no manifest then."""
    if is_remote(output) and output.endswith("/"):
        return objects.kind_at(f"{local(output).rstrip('/')}/{MANIFEST}") == "file"
    return _is_there(output)


def _has_changed(source: Source, seen: FileState) -> bool:
    """Tell whether a file is not as it was, or gone since it was listed."""
    try:
        return not is_as_it_was(source, seen)
    except FileNotFoundError:
        return True
