"""The options of a run, as callers of Python give them: their names, types and defaults; what may be chosen."""

import dataclasses
import inspect
import re
import shlex
from collections.abc import Callable, Mapping, Sequence
from os import PathLike, environ, fspath
from typing import Any, Final, Literal, Protocol, TypedDict, TypeVar

from muster._dialects import Dialect
from muster._dialects.options import DEFAULTS as OF_CSV
from muster._dialects.options import LEFT_OUT, CsvOptions, checked_dialect, is_of_csv, understood
from muster._dialects.values import flag
from muster._formats.sources import FORMATS
from muster._job import Options
from muster._progress.allowance import Allowance
from muster._run.beginning.busy import CHOICES
from muster._user_code.with_files import named
from muster._words.near import with_guess
from muster.errors import UsageError

_LEAST: Final = {
    "workers": 0,
    **dict.fromkeys(("batch_rows", "part_bytes", "machines", "limit", "sample", "calls_per_worker"), 1),
}
_SWITCHES: Final = ("strict", "fresh", "accept_changes")
_LONGEST_TIMEOUT: Final = 31 * 24 * 3600.0
"""A month: whoever asks for more means no limit, and timers of a system end somewhere."""

_Made = TypeVar("_Made", bound=Callable[..., Any])


class NamedType(Protocol):
    """A type that is an object with a name, as those of NumPy and pandas are."""

    @property
    def name(self) -> str: ...


DType = str | type[Any] | NamedType
"""What names a column's type, as in pandas: ``str``, ``"int64"``, ``np.dtype("int64")``."""

DTypes = DType | Mapping[str, DType]
"""A type for all columns, or for some of them by name."""


class RetryOptions(TypedDict, total=False):
    """All options of :func:`muster.retry`: those that change no row."""

    workers: int | None
    max_bad_rows: float | str | None
    strict: bool
    fresh: bool
    accept_changes: bool
    timeout: float | None
    calls_per_worker: int | None
    storage_options: Mapping[str, Any] | None
    env: Sequence[str]
    with_files: Sequence[str | PathLike[str]]
    cluster: str | None
    machines: int | None
    on: str | PathLike[str] | None


class _OwnOptions(RetryOptions, total=False):
    """The options of a run that are not those of ``pandas.read_csv``; :func:`muster.run` says what they mean.

    Each is a field of ``Options``, which has its default, and a flag of ``muster run``.
    """

    batch_rows: int | None
    dtype: DTypes | None
    if_running: Literal["fail", "skip", "wait"]
    format: Literal["csv", "jsonl", "parquet"] | None
    dialect: Dialect | None
    part_bytes: int | None


class CheckOptions(_OwnOptions, CsvOptions, total=False):
    """All options of :func:`muster.check`, besides its own ``sample``."""


class RunOptions(CheckOptions, total=False):
    """All options of :func:`muster.run` and :meth:`muster.Pipeline.run`."""

    limit: int | None
    sample: int | None


DEFAULTS: Final[Mapping[str, object]] = {
    **{field.name: getattr(Options(), field.name) for field in dataclasses.fields(Options)},
    "dialect": None,
    "storage_options": None,
    **OF_CSV,
}


def spelled_out(options: Any) -> Callable[[_Made], _Made]:  # noqa: ANN401 (a TypedDict has no type of its own)
    """Put the options of a ``TypedDict`` one by one into a function's signature, each with its default."""

    def spell_out(function: _Made) -> _Made:
        signature = inspect.signature(function)
        own = [
            parameter
            for parameter in signature.parameters.values()
            if parameter.kind is not inspect.Parameter.VAR_KEYWORD
        ]
        listed = [
            inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=DEFAULTS[name], annotation=kind)
            for name, kind in options.__annotations__.items()
        ]
        shown = [parameter.replace(annotation=_in_short(parameter.annotation)) for parameter in (*own, *listed)]
        function.__signature__ = signature.replace(  # type: ignore[attr-defined]
            parameters=shown, return_annotation=_in_short(signature.return_annotation)
        )
        return function

    return spell_out


def check_names(options: Mapping[str, Any], of: Callable[..., Any]) -> None:
    """Raise ``UsageError`` for an option that a public function does not have, with all that it has."""
    names = inspect.signature(of).parameters  # with those that are spelled out
    for name in options:
        if name not in names and name not in LEFT_OUT:
            raise UsageError(f"There is no option {with_guess(name, names)}. There are: {', '.join(names)}.")


def _in_short(annotation: Any) -> Any:  # noqa: ANN401 (whatever an annotation may be)
    """Write a type without the names of modules, for ``help()``."""
    text = re.sub(r"\b(?:\w+\.)+(?=\w)", "", inspect.formatannotation(annotation))
    return annotation if annotation is inspect.Parameter.empty or "." not in repr(annotation) else text


def laid_over(defined: Options, chosen: Mapping[str, Any]) -> Options:
    """Replace options of a pipeline by those that were chosen. Raises ``UsageError``."""
    _refuse_unknown(chosen)
    options = dict(chosen)
    csv_options = {name: options.pop(name) for name in list(options) if is_of_csv(name)}
    dialect = options.pop("dialect", None)
    base = defined.dialect if dialect is None else dialect
    options |= dict(zip(("dialect", "reading"), understood(csv_options, base, defined.reading), strict=True))
    return checked(dataclasses.replace(defined, **options))


def _refuse_unknown(chosen: Mapping[str, Any]) -> None:
    names = RunOptions.__annotations__
    if unknown := [name for name in sorted(chosen) if name not in names and not is_of_csv(name)]:
        said = ", ".join(with_guess(name, names) for name in unknown)
        own, of_csv = sorted(names.keys() - CsvOptions.__annotations__), ", ".join(CsvOptions.__annotations__)
        raise UsageError(f"There is no option {said}. There are: {', '.join(own)}; and those of read_csv: {of_csv}.")


def check_whole(name: str, value: object, *, least: int) -> None:
    """Raise ``UsageError`` for what is no whole number, or too small a one."""
    if not isinstance(value, int) or isinstance(value, bool) or value < least:
        raise UsageError(f"{name}={value!r}: it must be a whole number, {least} or more.")


def check_framing(framing: object) -> None:
    """Raise ``UsageError`` for what is no way to tell rows over TCP apart."""
    if framing not in {"length", "lines"}:
        raise UsageError(f"framing={framing!r}: it is 'length' or 'lines'.")


def checked(options: Options) -> Options:
    """Raise ``UsageError`` for an option out of its range."""
    for name, least in _LEAST.items():
        if (value := getattr(options, name)) is not None:
            check_whole(name, value, least=least)
    for name in _SWITCHES:
        flag(name, getattr(options, name))
    try:
        Allowance.of(options.max_bad_rows)
    except ValueError as error:
        raise UsageError(
            f"max_bad_rows={options.max_bad_rows!r}: it must be a whole number of rows, 0 or more, or a share of them,"
            " such as '1%'."
        ) from error
    if options.limit is not None and options.sample is not None:
        raise UsageError("Say either how many of the first rows to do, --limit, or how many of all over, --sample.")
    timeout = options.timeout
    is_number = isinstance(timeout, int | float) and not isinstance(timeout, bool)
    if timeout is not None and not (is_number and 0 < timeout <= _LONGEST_TIMEOUT):
        raise UsageError(f"timeout={timeout!r}: it must be a number of seconds, more than 0 and at most a month.")
    if options.if_running not in CHOICES:
        raise UsageError(f"if_running={options.if_running!r}: it must be {', '.join(CHOICES[:-1])} or {CHOICES[-1]}.")
    if options.format not in {None, *FORMATS.values()}:
        raise UsageError(f"format={options.format!r}: it must be csv, jsonl or parquet.")
    _check_cluster(options)
    _check_storage(options)
    checked_dialect(options.dialect)
    with_files = tuple(fspath(path) for path in options.with_files)
    named(with_files)  # raises for a file that is not there
    stores = dict(options.storage_options or {})
    on = None if options.on is None else fspath(options.on)
    return dataclasses.replace(
        options, dtype=names_of(options.dtype), with_files=with_files, storage_options=stores, on=on
    )


def _check_cluster(options: Options) -> None:
    if isinstance(options.env, str) or not all(isinstance(name, str) and name for name in options.env):
        raise UsageError(f"env={options.env!r}: it must be a list of names, such as ['API_KEY'].")
    for name in options.env:
        if name not in environ:
            raise UsageError(
                f"--env {shlex.quote(name)}: it is not set. Set it, or leave it out, then type the command again."
            )
    if isinstance(options.with_files, str | PathLike):
        raise UsageError(
            f"with_files={options.with_files!r}: it must be a list of files and folders, such as ['data/']."
        )
    if options.cluster is not None and (options.machines is not None or options.on is not None):
        raise UsageError("Name a cluster that is there, or say how many machines to make for this run: not both.")
    if options.on is not None and options.machines is None:
        raise UsageError(f"on={options.on!r}: say with --machines how many machines to make there.")
    if options.calls_per_worker and options.workers == 0:
        raise UsageError("--calls-per-worker needs workers, and --workers 0 has none: leave out one of both.")
    if (options.cluster or options.machines) and options.workers is not None:
        raise UsageError("A cluster's workers are chosen when it is made: leave out --workers, or the cluster.")


def _check_storage(options: Options) -> None:
    stores = options.storage_options
    if stores is not None and not (isinstance(stores, Mapping) and all(isinstance(name, str) for name in stores)):
        raise UsageError("storage_options: it must be a mapping of names, such as {'anon': True} or {'s3': {...}}.")


def names_of(dtype: DTypes | None) -> str | dict[str, str] | None:
    """Take types as pandas takes them: ``str``, ``int``, ``np.int64``, or their names."""
    if isinstance(dtype, Mapping):
        return {str(name): str(names_of(kind)) for name, kind in dtype.items()}
    if dtype is None or isinstance(dtype, str):
        return dtype
    return str(getattr(dtype, "__name__", None) or getattr(dtype, "name", None) or dtype)
