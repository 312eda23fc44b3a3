"""Names of a result's columns: text for whatever pandas allows as a label.

A name is the text that pandas writes as the column's header. A label with several levels becomes a marked JSON list of
their texts, so that columns of different batches can be matched by name, and the header can still be written.
"""

import json
from collections import Counter
from collections.abc import Iterable
from itertools import zip_longest
from typing import TYPE_CHECKING, Final

from muster.errors import DataError

from .holders import HOLDERS

if TYPE_CHECKING:
    import pandas as pd

_MARK: Final = "\0"


def labels_of_header(columns: "pd.Index") -> list[str]:
    """Name columns so that :func:`header_rows` gives the header that ``to_csv`` writes; two may have one name."""
    import pandas as pd

    if isinstance(columns, pd.MultiIndex):
        levels = [map(_as_written, columns.get_level_values(at)) for at in range(columns.nlevels)]
        return [name_of(label) for label in zip(*levels, strict=True)]
    texts = list(columns) if all(type(label) is str for label in columns) else _header_texts(columns)
    return [name_of((text,)) for text in texts]


def name_of(levels: tuple[str, ...]) -> str:
    """Name a label by the text of each of its levels."""
    return levels[0] if len(levels) == 1 and not levels[0].startswith(_MARK) else _MARK + json.dumps(levels)


def shown_name(name: str) -> str:
    """Show a name to people as pandas shows the label: one of several levels as a tuple."""
    levels = _levels(name)
    return repr(levels if len(levels) > 1 else levels[0])


def header_rows(names: Iterable[str]) -> list[tuple[str, ...]]:
    """Give the rows of the header: one, or one for each level of the labels."""
    return list(zip_longest(*map(_levels, names), fillvalue="")) or [()]


def labels_of_keys(columns: Iterable[object], *, use: str) -> list[str]:
    """Name columns where a name can stand only once, by their text. Raises ``DataError`` where one stands twice."""
    names = [_as_written(label) for label in columns]
    twice = next((name for name, count in Counter(names).items() if count > 1), None)
    if twice is not None:
        holder = HOLDERS[use]
        raise DataError(
            f"The function returned two columns named {twice!r}, and {holder.name} {holder.holds} a name only once."
            f" Rename one of them, for example with df.columns = [...]{holder.instead}."
        )
    return names


def _levels(name: str) -> tuple[str, ...]:
    return tuple(json.loads(name.removeprefix(_MARK))) if name.startswith(_MARK) else (name,)


def _as_written(label: object) -> str:
    return str.__str__(label) if isinstance(label, str) else str(label)


def _header_texts(columns: "pd.Index") -> list[str]:
    import pandas as pd

    from . import csv_text

    return csv_text.cells(pd.Series(columns, dtype=columns.dtype))  # or pandas would make other types of objects
