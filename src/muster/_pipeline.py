"""The lazy pipeline that ``read_csv`` and friends return, and the one call that runs a function over files."""

import dataclasses
import difflib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from os import PathLike, environ, fspath
from typing import TYPE_CHECKING, Any, Final, Unpack

from muster import _runner
from muster._allowance import Allowance
from muster._callers import cause_of, for_caller, warn_of_mixing, warn_of_rejects
from muster._csv_options import CsvOptions, checked_dialect, is_of_csv, understood
from muster._dialect import Dialect, Reading
from muster._formats._sources import FORMATS
from muster._job import Job, Options, Result, Snapshot
from muster._model import Target
from muster._signals import obeyed
from muster._user_code import targets
from muster._user_code.main_module import check_not_loading
from muster._user_code.rowwise import remarks_on, warning_of
from muster._user_code.world import a_run
from muster._with_files import named
from muster.errors import MusterError, UsageError

if TYPE_CHECKING:
    from muster._check import Check

SAMPLE: Final = 1000
"""How many rows a check takes."""

_INNER: Final = frozenset({"dialect", "reading", "input_format", "output_format", "part_bytes"})
"""Options that no user needs to type: a pipeline's methods set them, or tests."""

_LONGEST_TIMEOUT: Final = 31 * 24 * 3600.0

Function = Callable[..., Any]
Paths = str | PathLike[str] | Sequence[str | PathLike[str]]
Watch = Callable[[Snapshot], None]


@dataclass(frozen=True, slots=True)
class Pipeline:
    """Inputs, functions and an output, put together step by step; nothing happens before :meth:`run`.

    Every method returns a new pipeline, so that one can be kept and used twice.
    """

    inputs: tuple[str, ...] = ()
    steps: tuple[Target, ...] = ()
    output: str = ""
    options: Options = field(default_factory=Options)
    remarks: tuple[str, ...] = ()
    """Which lines of the functions seem to mix rows."""

    def map_batches(self, function: Function | str) -> "Pipeline":
        """Apply a function to every batch: a DataFrame in, a DataFrame out.

        ``function`` may be a function, a lambda, a closure, a class (built once per worker, then called), or a target
        such as ``"file.py:function"``. Its first parameter's annotation decides what it gets: a pandas DataFrame, or a
        ``pyarrow.Table`` or ``polars.DataFrame``. The frame's index is the rows' number in their file.
        """
        if not isinstance(function, str) and not callable(function):
            raise UsageError(
                f"{function!r} is no function. Pass a function, a class, or text such as 'file.py:function'."
            )
        target = targets.parse_target(function) if isinstance(function, str) else targets.of_function(function)
        remarks = remarks_on(None if isinstance(function, str) else function, target)
        return dataclasses.replace(self, steps=(*self.steps, target), remarks=self.remarks + remarks)

    def write_csv(self, path: str | PathLike[str]) -> "Pipeline":
        """Write CSV: a file, or a folder of numbered parts when the path ends in ``/``."""
        return self._write(path, "csv")

    def write_parquet(self, path: str | PathLike[str]) -> "Pipeline":
        """Write Parquet: a file, or a folder of numbered parts when the path ends in ``/``."""
        return self._write(path, "parquet")

    def write_json(self, path: str | PathLike[str]) -> "Pipeline":
        """Write JSON lines: a file, or a folder of numbered parts when the path ends in ``/``."""
        return self._write(path, "jsonl")

    def _write(self, path: str | PathLike[str], format_: str) -> "Pipeline":
        return dataclasses.replace(
            self, output=fspath(path), options=dataclasses.replace(self.options, output_format=format_)
        )

    def run(self, *, watch: Watch | None = None, **options: Any) -> Result:  # noqa: ANN401 (the fields of Options)
        """Run to the end; ``options`` are those of :func:`muster.run`. Raises ``MusterError``."""
        try:
            result = start(self, watch=watch or _unwatched, remark=warn_of_mixing, **options)
        except MusterError as error:
            raise for_caller(error) from cause_of(error)
        warn_of_rejects(result)
        return result


def start(pipeline: Pipeline, *, watch: Watch, remark: Callable[[str], None], **options: Any) -> Result:  # noqa: ANN401 (the fields of Options)
    """Run a pipeline to its end. Raises ``MusterError``, in the words of the command line, as are remarks."""
    check_not_loading()
    if not pipeline.steps:
        raise UsageError("This pipeline has no function. Add one with .map_batches(function).")
    if not pipeline.inputs:
        raise UsageError("This pipeline has no input. Begin it with muster.read_csv(...), or name inputs.")
    if not pipeline.output:
        raise UsageError("This pipeline has no output. Add .write_csv(path), .write_parquet or .write_json.")
    chosen = _chosen(pipeline, options)
    if pipeline.remarks and chosen.batch_rows is None:
        remark(warning_of(" | ".join(step.name for step in pipeline.steps), pipeline.remarks))
    with a_run(), obeyed():
        return _runner.run(Job(pipeline.steps, pipeline.inputs, pipeline.output, chosen), watch=watch, remark=remark)


def _chosen(pipeline: Pipeline, options: dict[str, Any]) -> Options:
    """Lay options over those of a pipeline. Raises ``UsageError``."""
    csv_options = {name: options.pop(name) for name in list(options) if is_of_csv(name)}
    dialect, reading = options.pop("dialect", pipeline.options.dialect), pipeline.options.reading
    options |= dict(zip(("dialect", "reading"), understood(csv_options, dialect, reading), strict=True))
    names = {field.name for field in dataclasses.fields(Options)}
    if unknown := ", ".join(sorted(options.keys() - names)):
        near = difflib.get_close_matches(unknown, names, n=1)
        meant = f"; did you mean {near[0]}?" if near else "."
        raise UsageError(f"There is no option {unknown}{meant} There are: {', '.join(sorted(names - _INNER))}.")
    return checked(dataclasses.replace(pipeline.options, **options))


def _unwatched(_: Snapshot) -> None:
    pass


def checked(options: Options) -> Options:
    """Raise ``UsageError`` for an option out of its range."""
    for name, least in {"workers": 0, "batch_rows": 1, "part_bytes": 1, "machines": 1}.items():
        value = getattr(options, name)
        if value is not None and (not isinstance(value, int) or value < least):
            raise UsageError(f"{name}={value!r}: it must be a whole number, {least} or more.")
    try:
        Allowance.of(options.max_bad_rows)
    except ValueError as error:
        raise UsageError(
            f"max_bad_rows={options.max_bad_rows!r}: it must be a whole number of rows, 0 or more, or a share of them,"
            " such as '1%'."
        ) from error
    timeout = options.timeout
    if timeout is not None and not (isinstance(timeout, int | float) and 0 < timeout <= _LONGEST_TIMEOUT):
        raise UsageError(f"timeout={timeout!r}: it must be a number of seconds, more than 0 and at most a month.")
    if options.format not in {None, *FORMATS.values()}:
        raise UsageError(f"format={options.format!r}: it must be csv, jsonl or parquet.")
    _check_cluster(options)
    _check_storage(options)
    checked_dialect(options.dialect)
    with_files = tuple(fspath(path) for path in options.with_files)
    named(with_files)  # or it raises
    stores = dict(options.storage_options or {})
    return dataclasses.replace(options, dtype=_names_of(options.dtype), with_files=with_files, storage_options=stores)


def _check_cluster(options: Options) -> None:
    if isinstance(options.env, str) or not all(isinstance(name, str) and name for name in options.env):
        raise UsageError(f"env={options.env!r}: it must be a list of names, such as ['API_KEY'].")
    for name in options.env:
        if name not in environ:
            raise UsageError(f"--env {name}: it is not set. Set it, or leave it out, then type the command again.")
    if isinstance(options.with_files, str | PathLike):
        raise UsageError(
            f"with_files={options.with_files!r}: it must be a list of files and folders, such as ['data/']."
        )
    if options.cluster is not None and (options.machines is not None or options.on is not None):
        raise UsageError("Name a cluster that is there, or say how many machines to make for this run: not both.")
    if options.on is not None and options.machines is None:
        raise UsageError(f"on={options.on!r}: say with --machines how many machines to make there.")
    if (options.cluster or options.machines) and options.workers is not None:
        raise UsageError("A cluster's workers are chosen when it is made: leave out workers, or the cluster.")


def _check_storage(options: Options) -> None:
    given = options.storage_options
    if given is not None and not (isinstance(given, Mapping) and all(isinstance(name, str) for name in given)):
        raise UsageError("storage_options: it must be a mapping of names, such as {'anon': True} or {'s3': {...}}.")


def _names_of(dtype: Any) -> str | dict[str, str] | None:  # noqa: ANN401 (what people pass to pandas)
    """Take types as pandas takes them: ``str``, ``int``, ``np.int64``, or their names."""
    if isinstance(dtype, Mapping):
        return {str(name): str(_names_of(one)) for name, one in dtype.items()}
    if dtype is None or isinstance(dtype, str):
        return dtype
    return str(getattr(dtype, "__name__", None) or getattr(dtype, "name", None) or dtype)


def _paths(paths: Paths) -> tuple[str, ...]:
    return (fspath(paths),) if isinstance(paths, str | PathLike) else tuple(fspath(path) for path in paths)


def read_csv(
    paths: Paths,
    *,
    dtype: str | Mapping[str, str] | None = None,
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

    docs/read-csv.md says of each what it takes, and of the others why they are not there.
    """
    inputs = _paths(paths)
    dialect, reading = understood(options, Dialect(default_delimiter(inputs)), Reading())
    chosen = Options(
        input_format="csv", dtype=dtype, dialect=dialect, reading=reading, storage_options=storage_options or {}
    )
    return Pipeline(inputs, options=chosen)


def read_parquet(paths: Paths, *, storage_options: Mapping[str, Any] | None = None) -> Pipeline:
    """Begin a pipeline over Parquet: files, globs, folders or URLs, in name order."""
    return Pipeline(_paths(paths), options=Options(input_format="parquet", storage_options=storage_options or {}))


def read_json(
    paths: Paths,
    *,
    dtype: Mapping[str, str] | None = None,
    storage_options: Mapping[str, Any] | None = None,
) -> Pipeline:
    """Begin a pipeline over JSON lines, one object a line: files, globs, folders or URLs, in name order."""
    options = Options(input_format="jsonl", dtype=dtype, storage_options=storage_options or {})
    return Pipeline(_paths(paths), options=options)


def default_delimiter(inputs: Sequence[str]) -> str:
    """Tell what separates columns when nobody says: a tab for ``.tsv``, else a comma."""
    return "\t" if inputs and ".tsv" in inputs[0].lower().rpartition("/")[2] else ","


def run(
    function: Function | str,
    inputs: Paths,
    output: str | PathLike[str],
    *,
    watch: Watch | None = None,
    **options: Any,  # noqa: ANN401 (the fields of Options)
) -> Result:
    """Run a function over every row of the inputs, on all cores, and write one output.

    ``function`` takes a pandas DataFrame and returns one; it may also be a class, or a target such as
    ``"file.py:function"``. ``inputs`` are files, globs, folders or URLs; formats follow the suffixes.
    ``watch`` is called with a :class:`muster.Snapshot` now and then, in the caller's thread. Options:

    - ``workers``: processes; 0 runs in this one. Default: all cores.
    - ``batch_rows``: exactly so many rows in each call. Default: as many as is fast.
    - ``dtype``: ``"str"``, or a type for each column.
    - ``max_bad_rows``: how many rows may be rejected before the run stops: ``100``, or a share, ``"1%"`` or ``0.01``.
      Default: 1000 or 10%, whichever is less, but 10 in any case. ``strict``: none.
    - ``fresh``: forget an unfinished run of the same output.
    - ``accept_changes``: go on with an unfinished run although what its rows depend on has changed.
    - ``timeout``: seconds that one call may take.
    - ``format``: ``csv``, ``jsonl`` or ``parquet``, where the inputs' suffix does not say.
    - those of :func:`muster.read_csv`, where the inputs are CSV: ``sep``, ``na_values``, ``usecols`` and so on.
    - ``dialect``: a :class:`muster.Dialect`, which those are laid over.
    - ``storage_options``: what stores are opened with, as pandas has it: ``{"anon": True}``; or those of one protocol,
      ``{"s3": {"requester_pays": True}}``. They are in memory alone.
    - ``env``: names of environment variables that go to hosts; machines of this computer have all.
    - ``with_files``: files and folders that the function reads: they go along to hosts, and a resume compares them.
    - ``cluster``: the name of a cluster that ``muster up`` made, to run on.
    - ``machines``: how many to call up for this run alone.
    - ``on``: where to call them up, ``"local"`` (the default) or a YAML file of hosts.

    Where rows could not be processed, it warns with ``RejectedRowsWarning``: they are missing in the output.
    Raises ``UsageError``, ``DataError``, ``UserCodeError`` or ``EngineError``, all of them ``MusterError``. The output
    appears complete or not at all; after an error, the same call again goes on where this one stopped.
    """
    names = _paths(inputs)
    if "dialect" not in options:
        options["dialect"] = Dialect(delimiter=default_delimiter(names))
    return Pipeline(names, output=fspath(output)).map_batches(function).run(watch=watch, **options)


def check(
    function: Function | str,
    inputs: Paths,
    *,
    sample: int = SAMPLE,
    **options: Any,  # noqa: ANN401 (the fields of Options)
) -> "Check":
    """Check whether a function treats each row by itself, on the first ``sample`` rows of the inputs.

    It is called four times, in a worker: with these rows, with them again, and with each half of them. Columns that are
    other ones in the second call are random. ``options`` are those of :func:`muster.run` that say how to read.
    """
    pipeline = Pipeline(_paths(inputs)).map_batches(function)
    try:
        return checked_rows(pipeline, sample=sample, **options)
    except MusterError as error:
        raise for_caller(error) from cause_of(error)


def checked_rows(pipeline: Pipeline, *, sample: int, **options: Any) -> "Check":  # noqa: ANN401 (the fields of Options)
    """Check a pipeline's functions. Raises ``MusterError``, in the words of the command line."""
    check_not_loading()
    from muster import _check  # noqa: PLC0415 (it loads Arrow, which a run leaves to its workers)

    with a_run():
        return _check.check(pipeline.steps, pipeline.inputs, _chosen(pipeline, options), sample=sample)


def of_command(
    target: Target, inputs: Sequence[str], output: str, options: Options, *, csv: Mapping[str, Any]
) -> Pipeline:
    """Make the pipeline of a command line; ``csv`` are its options of CSV, by pandas' names."""
    dialect, reading = understood(csv, Dialect(default_delimiter(inputs)), Reading())
    chosen = dataclasses.replace(options, dialect=dialect, reading=reading)
    return Pipeline(tuple(inputs), (target,), output, chosen, remarks_on(None, target))


def with_command(
    pipeline: Pipeline, inputs: Sequence[str], output: str | None, options: Options, *, csv: Mapping[str, Any]
) -> Pipeline:
    """Lay what a command line says over a pipeline that a file defines: its inputs, output and options count first.

    Of the options of CSV, only those in ``csv`` do. Other inputs have the delimiter that goes with their name, unless
    the pipeline has chosen one of its own.
    """
    defined = pipeline.options
    dialect = defined.dialect
    if inputs and dialect.delimiter == default_delimiter(pipeline.inputs):
        dialect = dataclasses.replace(dialect, delimiter=default_delimiter(inputs))
    dialect, reading = understood(csv, dialect, defined.reading)
    chosen = dataclasses.replace(
        options,
        dtype=options.dtype or defined.dtype,
        input_format=None if inputs else defined.input_format,
        output_format=None if output else defined.output_format,
        storage_options={**defined.storage_options, **options.storage_options},
        dialect=dialect,
        reading=reading,
    )
    return dataclasses.replace(
        pipeline, inputs=tuple(inputs) or pipeline.inputs, output=output or pipeline.output, options=chosen
    )
