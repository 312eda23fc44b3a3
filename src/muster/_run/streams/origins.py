"""What a stream reads from: files, what comes otherwise, or several of these."""

import contextlib
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING

from muster._job import Follow, Job
from muster._run.beginning.sources_now import sources_now
from muster._streams.file_source import FileSource
from muster._streams.merged_source import FILES, Member, MergedSource
from muster._streams.shared_columns import SharedColumns
from muster._streams.source import EpochSource
from muster._streams.stretches import Text

if TYPE_CHECKING:
    from muster._run.beginning.run import Run


def source_of(run: "Run") -> EpochSource:
    """Make what the stream reads from. Raises ``UsageError`` where another program has the place."""
    follow = run.job.follow or Follow()
    if follow.is_merged:
        return _merged(run, follow)
    if not follow.sources:
        return _files_of(run)
    from muster._run.beginning.follow_checks import check_takes
    from muster._streams.inflows import source_of_rows

    fits = partial(check_takes, run.job)
    text = _text_of(run.job)
    return source_of_rows(follow.sources[0], text, fits=fits, inbox=run.work.inbox, output=run.work.output)


def _text_of(job: Job) -> Text:
    """Say how the text is written."""
    return Text(job.options.input_format or "csv", job.options.dialect, job.options.reading.usecols or ())


def _files_of(run: "Run") -> FileSource:
    return FileSource(partial(sources_now, run.job), _text_of(run.job), run.work.spool)


def _merged(run: "Run", follow: Follow) -> EpochSource:
    """Make one source of several. Where windows go by the times of rows, each epoch has rows of one of them."""
    from muster._run.beginning.follow_checks import check_takes
    from muster._streams.inflows import sources_of_rows

    job = run.job
    columns = SharedColumns(job.options.reading.usecols)

    def fits(source: str, names: Sequence[str]) -> None:
        check_takes(job, names)
        columns.check(source, names)

    members = {FILES: Member(", ".join(job.files), _files_of(run))} if follow.has_files else {}
    with contextlib.ExitStack() as made:
        for device, name, source in sources_of_rows(
            follow.identities, _text_of(job), fits=fits, inbox=run.work.inbox, output=run.work.output
        ):
            made.callback(source.close)
            members[device] = Member(name, source)
        made.pop_all()
    return MergedSource(members, columns, takes_turns=any(one.by.goes_by_times for one in job.exchanges))
