"""The files that are there now of inputs that are followed."""

from muster._formats.sources import find_sources
from muster._job import Job
from muster._model import Source
from muster.errors import UsageError


def sources_now(job: Job) -> tuple[Source, ...]:
    """Find the files that are there now; of those that are named, some may not be there yet."""
    kind = job.options.input_format
    found = [source for text in job.files for source in find_sources([text], forced=kind, may_be_missing=True)]
    for source in found:
        if source.codec:
            raise UsageError(
                f"{source.name!r} is compressed, and such a file cannot be followed. Follow the plain one; or run the"
                " function over whole files: muster run --since-last."
            )
    return tuple(found)
