"""Pipelines of a command line: of a function that it names, or of a file that defines one."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from muster._api.pipeline import AS_NAMED, Pipeline
from muster._api.sending import check_names_no_sinks
from muster._dialects import Reading
from muster._dialects.options import understood
from muster._job import Options
from muster._model import Target
from muster._user_code.rowwise import remarks_on
from muster.errors import UsageError


def of_command(
    target: Target, inputs: Sequence[str], output: str, options: Options, *, csv: Mapping[str, Any]
) -> Pipeline:
    """Make the pipeline of a command line; ``csv`` are its options of CSV, by pandas' names."""
    dialect, reading = understood(csv, AS_NAMED, Reading())
    chosen = dataclasses.replace(options, dialect=dialect, reading=reading)
    return Pipeline(tuple(inputs), (target,), output, chosen, remarks_on(None, target))


def with_command(
    pipeline: Pipeline, inputs: Sequence[str], output: str | None, options: Options, *, csv: Mapping[str, Any]
) -> Pipeline:
    """Lay what a command line says over a pipeline that a file defines: its inputs, output and options count first.

    Of the options of CSV, only those in ``csv`` do.
    """
    if inputs and pipeline.follow is not None and (sources := pipeline.follow.sources):
        calls = " and ".join(source.call for source in sources)
        raise UsageError(f"{inputs[0]!r}: the rows of this pipeline come by {calls}. Leave the inputs out.")
    if output:
        check_names_no_sinks(pipeline.follow, what=f"-o {output}")
    defined = pipeline.options
    dialect, reading = understood(csv, defined.dialect, defined.reading)
    chosen = dataclasses.replace(
        options,
        dtype=options.dtype or defined.dtype,
        input_format=None if inputs and not pipeline.follow else defined.input_format,
        output_format=None if output else defined.output_format,
        storage_options={**defined.storage_options, **options.storage_options},
        dialect=dialect,
        reading=reading,
    )
    return dataclasses.replace(
        pipeline, inputs=tuple(inputs) or pipeline.inputs, output=output or pipeline.output, options=chosen
    )
