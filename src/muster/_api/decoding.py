"""Pipelines whose rows come as bytes that are no rows of CSV."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, Literal, TypeVar

from muster._dialects import Dialect, Reading
from muster._dialects.options import understood
from muster._job import Options
from muster._user_code import arguments, targets
from muster.errors import UsageError

Decode = Literal["csv", "json", "bytes"] | Callable[[bytes], Mapping[str, Any]]
P = TypeVar("P")

STEP: Final = "muster._worker.payloads:decode"
"""Makes rows of what came."""


def decoded(
    pipeline: P,
    decode: object,
    *,
    columns: Sequence[str],
    dtype: str | Mapping[str, str] | None,
    options: Mapping[str, Any],
) -> P:
    """Have a pipeline make rows in its first step of what its source keeps as it came, in base64.

    Raises ``UsageError`` for what decodes nothing, and for options that mean something for CSV alone.
    """
    one: Any = pipeline
    if decode not in {"json", "bytes"} and not callable(decode):
        raise UsageError(
            f"decode={decode!r}: it is 'csv', 'json', 'bytes', or a function that gets the bytes that came and returns"
            " a dict, a row."
        )
    if options:
        raise UsageError(f"{min(options)}= is for rows of CSV, and decode= makes rows otherwise. Leave one out.")
    if decode == "bytes" and (columns or dtype):
        raise UsageError("decode='bytes' gives one column, 'payload'. Leave columns= and dtype= out.")
    if isinstance(dtype, str):
        raise UsageError(f"dtype={dtype!r}: with decode=, name columns, as in dtype={{'zip': {dtype!r}}}.")
    step = targets.parse_target(STEP)
    told = {"decode": decode, "columns": [*columns], "dtype": dict(dtype or {})}
    dialect, reading = understood({"keep_default_na": False, "na_filter": False}, Dialect(), Reading())
    return dataclasses.replace(  # type: ignore[no-any-return]
        one,
        steps=(targets.with_arguments(step, arguments.given(told, step=step.name)),),
        options=Options(
            input_format="csv",
            dtype=dict.fromkeys(one.follow.sources[0].columns, "str"),
            dialect=dialect,
            reading=reading,
        ),
    )
