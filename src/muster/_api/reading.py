"""Pipelines over files that are there: CSV, JSON lines and Parquet."""

from collections.abc import Mapping, Sequence
from typing import Any, Unpack

from muster._api.given import inputs_of
from muster._api.options import DType, DTypes, names_of, spelled_out
from muster._api.pipeline import AS_NAMED, Paths, Pipeline
from muster._dialects import Reading
from muster._dialects.options import CsvOptions, understood
from muster._dialects.values import columns as column_names
from muster._job import Options
from muster._show.callers import from_the_callers_line


@spelled_out(CsvOptions)
@from_the_callers_line
def read_csv(
    paths: Paths,
    *,
    dtype: DTypes | None = None,
    storage_options: Mapping[str, Any] | None = None,
    **options: Unpack[CsvOptions],
) -> Pipeline:
    """Begin a pipeline over CSV or TSV: files, globs, folders or URLs, in name order.

    ``dtype`` is ``"str"`` for all columns, or a type per column; without it types are inferred as pandas would infer
    them from the whole input; ``storage_options`` are those of :func:`muster.run`. The other
    options are those of ``pandas.read_csv``, with its names and its meaning:

    - how the text is written: ``sep`` (or ``delimiter``; a comma, for ``.tsv`` a tab), ``quotechar``, ``quoting``,
      ``doublequote``, ``escapechar``, ``comment``, ``skipinitialspace``, ``encoding``, ``encoding_errors``;
    - its top: ``header``, ``names``, ``skiprows``, ``usecols``, ``index_col=False``;
    - its cells: ``na_values``, ``keep_default_na``, ``na_filter``, ``true_values``, ``false_values``, ``decimal``,
      ``thousands``, ``parse_dates``, ``date_format``, ``dayfirst``.

    `muster help read-csv` says of each what it takes, and of the others why they are not there.
    """
    dialect, reading = understood(options, AS_NAMED, Reading())
    chosen = Options(
        input_format="csv",
        dtype=names_of(dtype),
        dialect=dialect,
        reading=reading,
        storage_options=storage_options or {},
    )
    return Pipeline(inputs_of(paths), options=chosen)


@from_the_callers_line
def read_parquet(
    paths: Paths, *, columns: Sequence[str] | None = None, storage_options: Mapping[str, Any] | None = None
) -> Pipeline:
    """Begin a pipeline over Parquet: files, globs, folders or URLs, in name order.

    ``columns`` names those to read, in the order in which the function gets them; what others hold is not read.
    """
    chosen = Options(
        input_format="parquet",
        reading=Reading(usecols=column_names("columns", columns)),
        storage_options=storage_options or {},
    )
    return Pipeline(inputs_of(paths), options=chosen)


@from_the_callers_line
def read_json(
    paths: Paths,
    *,
    dtype: Mapping[str, DType] | None = None,
    storage_options: Mapping[str, Any] | None = None,
) -> Pipeline:
    """Begin a pipeline over JSON lines, one object a line: files, globs, folders or URLs, in name order."""
    options = Options(input_format="jsonl", dtype=names_of(dtype), storage_options=storage_options or {})
    return Pipeline(inputs_of(paths), options=options)
