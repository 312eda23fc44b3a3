"""What a file is that is named as text and holds none: told by its first bytes, with what to do about it."""

import zipfile
from pathlib import Path
from typing import Final

from muster._model import Source
from muster._urls import is_remote
from muster.errors import UsageError

_BYTES: Final = 16
_PACKED: Final = (
    (b"\x1f\x8b", "gzip", ".gz"),
    (b"\x28\xb5\x2f\xfd", "Zstandard", ".zst"),
    (b"\xfd7zXZ\0", "xz", ".xz"),
    (b"PK\x03\x04", "zip", ".zip"),
)
_BZIP2: Final = (b"BZh", b"1AY&SY")
"""How it begins, and what follows a digit: a text may begin as the first."""

_PARQUET: Final = b"PAR1"
_OLD_EXCEL: Final = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
_EXCEL: Final = "is an Excel workbook. Save it as CSV; with pandas: pd.read_excel(...).to_csv(..., index=False)"


def check_is_text(source: Source) -> None:
    """Raise ``UsageError`` for a file of this computer that is named as plain text, and holds none."""
    if source.format == "parquet" or source.codec or is_remote(source.path):
        return
    try:
        with Path(source.path).open("rb") as file:
            told = _told(file.read(_BYTES), source)
    except OSError:  # who reads it says so
        return
    if told:
        raise UsageError(f"{source.name!r} {told}.")


def _told(beginning: bytes, source: Source) -> str:
    if beginning.startswith(_OLD_EXCEL):
        return _EXCEL
    if beginning.startswith(_BZIP2[0]) and beginning[4:].startswith(_BZIP2[1]):
        return _renamed("packed by bzip2", source, ".bz2")
    for mark, name, suffix in _PACKED:
        if beginning.startswith(mark):
            return (
                _EXCEL if suffix == ".zip" and _is_workbook(source) else _renamed(f"packed by {name}", source, suffix)
            )
    if beginning.startswith(_PARQUET) and _ends_as_parquet(source):
        better = Path(source.name).with_suffix(".parquet")
        return f"is no text, but Parquet. Give it a name that says so, such as {str(better)!r}"
    return ""


def _renamed(how: str, source: Source, suffix: str) -> str:
    better = source.name + suffix
    return f"is {how}, and its name does not say so. Rename it to {better!r}, and it is unpacked on the way"


def _is_workbook(source: Source) -> bool:
    try:
        with zipfile.ZipFile(source.path) as packed:
            return any(name.startswith("xl/") for name in packed.namelist())
    except (OSError, zipfile.BadZipFile):
        return False


def _ends_as_parquet(source: Source) -> bool:
    with Path(source.path).open("rb") as file:
        file.seek(max(source.size - len(_PARQUET), 0))
        return file.read() == _PARQUET
