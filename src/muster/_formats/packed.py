"""Files that are named as text and hold something else, by their first bytes; and what to do about them."""

import zipfile
from pathlib import Path
from typing import Any, Final

from muster._urls.urls import is_remote
from muster.errors import UsageError

from .reader import opened, reader

BYTES: Final = 16
"""How many bytes at the start of a file are looked at."""
_PACKED: Final = (
    (b"\x1f\x8b", "gzip", ".gz"),
    (b"\x28\xb5\x2f\xfd", "Zstandard", ".zst"),
    (b"\xfd7zXZ\0", "xz", ".xz"),
    (b"PK\x03\x04", "zip", ".zip"),
)
_BZIP2: Final = (b"BZh", b"1AY&SY")
"""How it begins, and what follows after a digit: text, too, may begin with ``BZh``."""

_PARQUET: Final = b"PAR1"
_OLD_EXCEL: Final = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
_EXCEL: Final = "is an Excel workbook. Save it as CSV; with pandas: pd.read_excel(...).to_csv(..., index=False)"


def check_is_text(beginning: bytes, path: str, *, size: int, name: str) -> None:
    """Raise ``UsageError`` for a file that is named as plain text, and holds none, by its first bytes.

    ``name`` is what the user calls it.
    """
    if kind := _told(beginning, path, size=size, name=name):
        raise UsageError(f"{name!r} {kind}.")


def _told(beginning: bytes, path: str, *, size: int, name: str) -> str:
    if beginning.startswith(_OLD_EXCEL):
        return _EXCEL
    if beginning.startswith(_BZIP2[0]) and beginning[4:].startswith(_BZIP2[1]):
        return _renamed("packed by bzip2", name, ".bz2")
    for mark, what, suffix in _PACKED:
        if beginning.startswith(mark):
            return (
                _EXCEL if suffix == ".zip" and _is_workbook(path, size) else _renamed(f"packed by {what}", name, suffix)
            )
    if beginning.startswith(_PARQUET) and reader(path).read(max(size - len(_PARQUET), 0), size) == _PARQUET:
        better = Path(name).with_suffix(".parquet")
        return f"is no text, but Parquet. Give it a name that says so, such as {str(better)!r}"
    return ""


def _renamed(how: str, name: str, suffix: str) -> str:
    better = name + suffix
    return f"is {how}, and its name does not say so. Rename it to {better!r}, and it is unpacked on the way"


def _is_workbook(path: str, size: int) -> bool:
    try:
        file: Any = opened(path, size=size) if is_remote(path) else path
        with zipfile.ZipFile(file) as packed:
            return any(name.startswith("xl/") for name in packed.namelist())
    except (OSError, zipfile.BadZipFile):
        return False
