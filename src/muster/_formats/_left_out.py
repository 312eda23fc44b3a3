"""Types of pandas that ``dtype`` does not offer: what to read instead, and how the function converts it."""

import re
from typing import Final

_WHOLE: Final = re.compile(r"U?Int(8|16|32|64)|u?int(8|16|32|64)\[pyarrow\]")
_DECIMAL: Final = re.compile(r"Float(32|64)|(float|double|halffloat|float16|float32|float64)\[pyarrow\]")
_TEXT: Final = re.compile(r"string(\[(python|pyarrow|pyarrow_numpy)\])?|large_string\[pyarrow\]|StringDtype")
_OTHER: Final = re.compile(r"boolean|category|\w+(\[[^\]]*\])?\[pyarrow\]|\w+Dtype")


def instead_of(name: str, kind: str) -> str:
    """Say what to do instead of reading a column as one of pandas' types; nothing for what is none of these."""
    if _WHOLE.fullmatch(kind):
        how = "Read it as float64, which has NaN where a cell is missing (as str, if numbers are beyond 2**53)"
    elif _DECIMAL.fullmatch(kind):
        how = "Read it as float64, which has NaN where a cell is missing"
    elif _TEXT.fullmatch(kind):
        how = "Read it as str, which has NaN where a cell is missing"
    elif _OTHER.fullmatch(kind):
        how = "Leave it out of --dtype"
    else:
        return ""
    return (
        f"that type of pandas is made in the function alone. {how}, and convert it there:"
        f" df[{name!r}] = df[{name!r}].astype({kind!r})."
    )
