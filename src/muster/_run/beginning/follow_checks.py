"""What a stream can be asked for: options and places that it does not go together with are refused in words."""

import dataclasses
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final

from muster._dialects import Dialect
from muster._formats.chosen import fixed_types, used_columns
from muster._formats.inputs import as_named
from muster._formats.lanes import check_key
from muster._job import Job
from muster._model import Keyed, Source
from muster._output.folder import WorkFolder
from muster._urls.urls import is_remote
from muster.errors import UsageError

_REFUSED: Final = {
    "batch_rows": "a batch would end where an epoch does, with any number of rows",
    "limit": "a stream has no end that it is a part of",
    "sample": "a stream has no end, so no rows are spread over the whole of it",
}

_NAMES: Final = {"quote": "quotechar", "delimiter": "sep"}


def check_can_follow(job: Job, work: WorkFolder) -> None:
    """Raise ``UsageError`` for what a stream cannot have yet."""
    for name, why in _REFUSED.items():
        if getattr(job.options, name) is not None:
            raise UsageError(f"A stream cannot have --{name.replace('_', '-')}: {why}. Leave it out.")
    behind = zip((None, *job.exchanges), job.exchanges, strict=False)
    if not all(one.has_state or _are_windows(before, one) for before, one in behind):
        raise UsageError(
            "A stream has no groups but those of windows: nobody knows when all rows of a key are there. Cut them into"
            " windows, group_by(...).window('1h', time='at'); keep a state for each key, with key_by and state=; or run"
            " groups over the parts that the stream has written."
        )
    if remote := [text for text in (*job.files, job.output) if is_remote(text)]:
        raise UsageError(f"{remote[0]!r}: a stream follows files of this computer, and writes them here. Name a path.")
    if not work.is_folder:
        raise UsageError(
            f"{job.output!r}: a stream writes a folder, to which it adds a part after the other. Type"
            f" {job.output + '/'!r}."
        )
    if job.follow is not None and job.follow.sources:
        _check_is_usual(job.options.dialect)
    from muster._formats.streams import is_splittable

    if not is_splittable(job.options.dialect.encoding):
        raise UsageError(
            f"encoding={job.options.dialect.encoding!r}: files that grow are followed where a newline is one byte, as"
            " in utf-8. Write them so; or run the function over whole files."
        )


def _are_windows(before: Keyed | None, one: Keyed) -> bool:
    """Tell whether groups are those of windows: right before them is what keeps rows until their window is closed."""
    if before is None or not before.has_state or before.by.window is None or one.at != before.at + 1:
        return False
    return {*before.by.window.columns} <= {*one.by.columns}


def _check_is_usual(dialect: Dialect) -> None:
    """Raise ``UsageError`` where nobody can tell of some bytes whether they are whole rows."""
    usual = Dialect(dialect.delimiter, dialect.quote or '"')
    for field in dataclasses.fields(Dialect):
        name, value = field.name, getattr(dialect, field.name)
        is_usual = value == getattr(usual, name) if name != "quote" else value in {"", '"'}
        if not is_usual:
            raise UsageError(
                f"{_NAMES.get(name, name)}={value!r}: rows that come over TCP, or from a source of your own,"
                " are CSV in UTF-8 as most programs write it, whose cells may stand in double quotes. Have them come"
                " so; of how they are written, only sep= and quoting= can be said, and columns= where no header comes."
            )


def check_takes(job: Job, names: Sequence[str]) -> None:
    """Raise ``UsageError`` where rows with columns of these names are none that a job can take, whatever they hold."""
    options = job.options
    fixed_types(options.dtype, names)
    used = used_columns(options.reading.usecols, names) or tuple(names)
    used_columns(options.reading.parse_dates, used, option="parse_dates")
    if job.exchanges and not job.exchanges[0].at:  # no step before it makes columns
        check_key(job.exchanges[0].by.columns, used)


def with_delimiter(job: Job, sources: Sequence[Source]) -> Job:
    """Say what separates cells, where the user has not: a tab in files named ``.tsv``."""
    options = as_named(job.options, sources)
    if not options.dialect.delimiter:
        is_tsv = bool(job.files) and all(".tsv" in Path(text).name.lower() for text in job.files)
        options = replace(options, dialect=replace(options.dialect, delimiter="\t" if is_tsv else ","))
    if options != job.options and options.dialect.delimiter == "\t" and job.follow is not None and job.follow.sources:
        raise UsageError(
            f"{job.files[0]!r} has tabs between its cells, by its name, and the rows of {job.inputs[0]} have commas; a"
            " stream reads all rows in one way. Say what all of them have, sep='\\t' or sep=','; or follow the files by"
            " themselves."
        )
    return replace(job, options=options)
