"""Bytes of a user's own form that rows of a stream come as, and go on as: the steps that make one of the other.

Between the network and these steps a payload is a text of base64 in a column: whatever bytes it has, it is a row of CSV
then, which is kept, split and read as any other. Rejects show that row; beside the payload it may have its place.
"""

import json
from binascii import a2b_base64, b2a_base64
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, cast

import pandas as pd

from muster._model import END, KEY, NOTHING, PAYLOAD

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


class Encode:
    """Makes a payload of each row, as text in base64: the last step before rows go on."""

    def __init__(self, *, encode: Callable[[Mapping[str, Any]], bytes], key: str, framing: str) -> None:
        """``key`` names the column that goes along as it is; ``framing`` says what a payload may not be."""
        self._encode = encode
        self._key = key
        self._framing = framing

    def __call__(self, df: pd.DataFrame) -> pd.DataFrame:
        """Make payloads of rows. Raises what the function does, and likewise for what cannot go on as a row."""
        if self._key and self._key not in df.columns:
            names = ", ".join(map(str, df.columns))
            raise ValueError(f"key={self._key!r} is no column of the rows, which have {names}")
        rows = df.astype(object).where(df.notna(), None).to_dict("records")
        texts = [b2a_base64(self._checked(self._encode(row)), newline=False).decode() for row in rows]  # type: ignore[arg-type]
        made = pd.DataFrame({PAYLOAD: pd.Series(texts, index=df.index, dtype=object)})
        return made.assign(**{KEY: df[self._key]}) if self._key else made

    def _checked(self, payload: object) -> bytes:
        if not isinstance(payload, bytes):
            raise TypeError(f"encode gave {type(payload).__name__} and no bytes")
        if self._framing and payload in {b"", END}:
            raise ValueError(f"encode gave {payload!r}, which as a frame is no row")
        if self._framing == "lines" and b"\n" in payload:
            raise ValueError(f"encode gave a newline, which ends a frame of framing='lines': {payload[:_SHOWN]!r}")
        return payload


decode, encode = Decode, Encode
"""What users call the steps."""
