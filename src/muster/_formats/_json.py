"""Write single values as JSON, also those that JSON has no word for."""

import decimal
import json
import math
from typing import Final

import numpy as np


def as_json(value: object) -> str:
    """Write a value: what pandas' ``to_json`` writes a list for as one, what is missing or infinite as null.

    Moments, and whatever else JSON has no word for, are the text that ``to_csv`` writes for the value alone. Raises
    ``ValueError`` for bytes that are not UTF-8.
    """
    try:
        return _COMPACT.encode(value)
    except (ValueError, TypeError):  # a NaN inside, or a key that is no text
        return _COMPACT.encode(_finite(value))


def _plain(value: object) -> object:
    """Make of a value one that JSON knows, though perhaps not those inside it."""
    if isinstance(value, np.generic | np.ndarray):
        return _of_numpy(value)
    if isinstance(value, set | frozenset):
        return list(value)
    if isinstance(value, bytes | bytearray):
        return value.decode()
    if isinstance(value, complex):
        return {"imag": value.imag, "real": value.real}
    return _as_text(value)


def _of_numpy(value: "np.generic | np.ndarray") -> object:
    if isinstance(value, np.ndarray):
        return list(value) if value.ndim else value[()]
    if isinstance(value, np.datetime64 | np.timedelta64):
        return _as_text(value)
    if isinstance(value, np.floating):
        return float(value)  # for long doubles, of which ``item()`` makes nothing else
    return complex(value) if isinstance(value, np.complexfloating) else value.item()


def _as_text(value: object) -> str | None:
    import pandas as pd

    if isinstance(value, decimal.Decimal):
        return format(value, "f") if value.is_finite() else None
    return None if value is pd.NA or value is pd.NaT else str(value)


def _finite(value: object) -> object:
    if isinstance(value, dict):
        return {key if isinstance(key, str) else str(key): _finite(item) for key, item in value.items()}
    if isinstance(value, np.ndarray):
        value = _of_numpy(value)
    if isinstance(value, list | tuple | set | frozenset):
        return [_finite(item) for item in value]
    if isinstance(value, np.generic | complex):
        value = _plain(value)
    if isinstance(value, dict):
        return _finite(value)
    return None if isinstance(value, float) and not math.isfinite(value) else value


_COMPACT: Final = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":"), default=_plain)
