"""What the user writes to name a place in a bucket of S3: ``s3://BUCKET``, or ``s3://BUCKET/FOLDER``."""

import re
from dataclasses import dataclass
from typing import Final

_URL: Final = re.compile(r"s3://([a-z0-9][a-z0-9.-]{1,61}[a-z0-9])((?:/[A-Za-z0-9._-]+)*)/?")
_MOST_LETTERS: Final = 500
"""Of a folder: S3 allows 1,024 for a name, and Pulumi adds folders of its own."""


@dataclass(frozen=True, slots=True)
class Bucket:
    """A bucket, and what the names of objects in it begin with: nothing, or such as ``teams/data/``."""

    name: str
    prefix: str = ""


def bucket_in(url: str) -> Bucket:
    """Read it. Raises ``ValueError`` that says what it must be."""
    match = _URL.fullmatch(url)
    folder = match[2].lstrip("/") if match else ""
    if match is None or len(folder) > _MOST_LETTERS or {".", ".."} & set(folder.split("/")):
        raise ValueError(
            f"{url!r} names no place in S3. Write s3://BUCKET or s3://BUCKET/FOLDER, with letters, digits, dots, dashes"
            " and, in folders, underscores"
        )
    return Bucket(match[1], f"{folder}/" if folder else "")
