"""Frames of a stream that are no rows of CSV: the steps that make rows of them, and them of rows.

Between the network and these steps a payload is a text of base64 in a column: whatever bytes it has, it is a row of CSV
then, which is kept, split and read as any other. Rejects show that row; beside the payload it may have its place.
"""

import json
from binascii import a2b_base64
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, cast

import pandas as pd

from muster._model import NOTHING, PAYLOAD

_SHOWN: Final = 100
"""Bytes of a payload that an error shows."""


class Decode:
    """Makes a row of each payload."""

    def __init__(
        self,
        *,
        decode: Callable[[bytes], Mapping[str, Any]] | str,
        columns: Sequence[str],
        dtype: Mapping[str, str],
    ) -> None:
        """Take a function, or ``"json"``, or ``"bytes"`` where payloads stay as they are.

        ``columns`` names those of the rows, in order: all that the first rows have, where it is empty.
        """
        self._decode = _from_json if decode == "json" else decode
        self._columns = [*columns] or None
        self._dtype = dtype

    def __call__(self, df: pd.DataFrame) -> pd.DataFrame:
        """Make rows of payloads. Raises what the function does, and ``TypeError`` where it gives no row."""
        payloads = [*map(_payload, df[PAYLOAD])]
        decode = self._decode
        if not callable(decode):
            return pd.DataFrame({PAYLOAD: pd.Series(payloads, index=df.index, dtype=object)})
        rows = [decode(payload) for payload in payloads]
        for row, payload in zip(rows, payloads, strict=True):
            if not isinstance(row, Mapping):
                raise TypeError(f"decode gave {type(row).__name__} and no dict, a row, for {payload[:_SHOWN]!r}")
        made = pd.DataFrame(rows, index=df.index, columns=self._columns)
        for name, kind in self._dtype.items():
            made[name] = (
                made[name].map(str, na_action="ignore") if kind == "str" else made[name].astype(cast("Any", kind))
            )
        return made


def _payload(text: str) -> bytes:
    if text == NOTHING:
        raise ValueError("there is no value")
    return a2b_base64(text)


def _from_json(payload: bytes) -> Any:  # noqa: ANN401 (whatever JSON holds)
    try:
        return json.loads(payload)
    except ValueError as error:
        raise ValueError(f"the payload is no JSON: {error}: {payload[:_SHOWN]!r}") from error


decode = Decode
"""What users call the step."""
