"""Read parts of JSON lines, one object a line."""

import json
import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.json

from muster._model import Column

from .encodings import Garbled
from .kinds import ARROW_TYPES, settled_type
from .newlines import each_line
from .rows import Rows, type_of

_BOM: Final = "\ufeff"
_KINDS: Final = {bool: "truth", int: "integer", float: "decimal", str: "string", type(None): "missing"}
_STRING: Final = re.compile(r'"(?:[^"\\]|\\.)*"')

_DEEPEST: Final = 500
"""How many levels deep a line may be nested. Python's own limit depends on how deep its stack is when it parses."""

_EXACT: Final = 2.0**63
"""From here on a number in a decimal column may be an integer that only a Python object holds."""


def read(data: bytes, *, row: int, count: int, columns: tuple[Column, ...], encoding: str = "utf-8") -> Rows:
    """Read ``count`` lines as rows of the settled types; the first is data row ``row`` of its file.

    First by Arrow alone; where Arrow finds what does not fit, or does not know the type, line by line.
    """
    table = _by_arrow(data, count, columns, encoding)
    return Rows(table, np.arange(row, row + count)) if table is not None else _carefully(data, row, columns, encoding)


def read_together(
    stretches: Sequence[bytes], *, count: int, columns: tuple[Column, ...], encoding: str = "utf-8"
) -> pa.Table | None:
    """Read lines of several files, ``count`` in all, as one table of the settled types.

    ``None`` where Arrow alone cannot do that: then each is to be read by itself.
    """
    data = b"".join(stretch if stretch.endswith(b"\n") else stretch + b"\n" for stretch in stretches)
    return _by_arrow(data, count, columns, encoding)


def _by_arrow(data: bytes, count: int, columns: tuple[Column, ...], encoding: str) -> pa.Table | None:
    """Read by Arrow alone; ``None`` where it cannot, or may miss what does not fit."""
    types = {column.name: type_of(column) for column in columns}
    if any(column.fixed for column in columns) or "object" in types.values():
        return None
    table = _at_once(data, types, encoding)
    return table if table is not None and len(table) == count and not _is_doubtful(table, types) else None


def _at_once(data: bytes, types: dict[str, str], encoding: str) -> pa.Table | None:
    schema = pa.schema([(name, ARROW_TYPES[type_name]) for name, type_name in types.items()])
    try:
        data = data if encoding == "utf-8" else data.decode(encoding).encode()
        if not _is_one_object_a_line(data):
            return None
        table = pyarrow.json.read_json(
            pa.py_buffer(data),
            pyarrow.json.ReadOptions(use_threads=False, block_size=len(data) + 1),
            pyarrow.json.ParseOptions(explicit_schema=schema, unexpected_field_behavior="error"),
        ).select(list(types))
        table.validate(full=True)  # Arrow does not look whether strings are UTF-8 unless it is asked
    except (ValueError, KeyError):
        return None
    return table


def _is_one_object_a_line(data: bytes) -> bool:
    """Tell whether every line begins and ends as an object does; what is between, Arrow sees.

    Arrow reads values whatever lines they are on, takes a lone ``null`` for a row, crashes on one at the very start,
    and stops at a zero byte. If every line looks like an object, and Arrow finds as many rows, each line holds one.
    """
    if not data.startswith(b"{") or b"\0" in data:
        return False
    text = np.frombuffer(data, np.uint8)
    ends = np.flatnonzero(text == ord("\n"))
    starts, lasts = ends[ends < len(text) - 1] + 1, ends - 1
    lasts = lasts - (text[lasts] == ord("\r"))
    return bool((text[starts] == ord("{")).all() and (text[lasts] == ord("}")).all())


def observe(data: bytes, *, encoding: str = "utf-8") -> dict[str, frozenset[str]]:
    """Name the kinds of value under each key of these lines."""
    kinds: dict[str, set[str]] = {}
    seen: dict[str, int] = {}
    objects = 0
    for _, value in _parsed(data, encoding):
        if isinstance(value, dict):
            objects += 1
            for key, item in value.items():
                kinds.setdefault(key, set()).add(_kind(item))
                seen[key] = seen.get(key, 0) + 1
    return {key: frozenset(own | ({"missing"} if seen[key] < objects else set())) for key, own in kinds.items()}


def _kind(value: object) -> str:
    if isinstance(value, int) and not -(2**63) <= value < 2**63:
        return "nested"
    return "missing" if _is_missing(value) else _KINDS.get(type(value), "nested")


def _is_missing(value: object) -> bool:
    """Tell whether a value is null, or the NaN that Python's ``json`` writes in its place."""
    return value is None or value != value  # noqa: PLR0124 (what NaN is known by)


def _is_doubtful(table: pa.Table, types: dict[str, str]) -> bool:
    """Tell whether Arrow may have read a value otherwise than Python: a missing one, NaN, infinity, a huge integer."""
    for name, type_name in types.items():
        cells = table[name]
        if type_name in {"int64", "bool"} and cells.null_count:
            return True
        if type_name == "float64" and not pc.all(pc.less(pc.abs(cells), _EXACT)).as_py():
            return True
    return False


def _parsed(data: bytes, encoding: str) -> Iterator[tuple[int, Any]]:
    """Yield what each line holds, a ``ValueError`` where it is not JSON."""
    for at, (start, end) in enumerate(each_line(data)):
        value: object
        try:
            text = data[start:end].decode(encoding).removeprefix(_BOM)
            _check_depth(text)
            value = json.loads(text)
            if "\\u" in text:
                json.dumps(value, ensure_ascii=False).encode()  # half a surrogate pair is in no Unicode text
        except ValueError as error:
            value = error
        yield at, value


def _check_depth(text: str) -> None:
    if text.count("[") + text.count("{") <= _DEEPEST:
        return
    depth = 0
    for sign in _STRING.sub("", text):
        depth += (sign in "[{") - (sign in "]}")
        if depth > _DEEPEST:
            raise ValueError(f"nested more than {_DEEPEST} levels deep")


def _carefully(data: bytes, row: int, columns: tuple[Column, ...], encoding: str) -> Rows:
    rows = Rows(pa.table({}), np.empty(0, np.int64))
    kinds_seen = observe(data, encoding=encoding)
    names = {column.name for column in columns}
    for column in columns:
        kinds = kinds_seen.get(column.name, frozenset({"missing"}))
        if not column.fixed and settled_type(kinds | column.kinds) != settled_type(column.kinds):
            rows.misfits[column.name] = kinds
    rows.misfits.update({name: kinds | {"missing"} for name, kinds in kinds_seen.items() if name not in names})
    numbers: list[int] = []
    cells: list[list[object]] = [[] for _ in columns]
    for at, value in _parsed(data, encoding):
        try:
            typed = _typed(value, columns, misfits=rows.misfits)
        except ValueError as error:
            garbled = isinstance(error, UnicodeDecodeError)
            rows.bad[row + at] = Garbled("not valid in the input's encoding") if garbled else str(error)
            continue
        numbers.append(row + at)
        for values, cell in zip(cells, typed, strict=True):
            values.append(cell)
    if not rows.misfits:
        arrays = [pa.array(cell, ARROW_TYPES[type_of(column)]) for cell, column in zip(cells, columns, strict=True)]
        rows.table = pa.table(arrays, names=[column.name for column in columns])
        rows.numbers = np.array(numbers, np.int64)
    return rows


def _typed(value: object, columns: tuple[Column, ...], *, misfits: dict[str, frozenset[str]]) -> list[object]:
    if isinstance(value, ValueError):
        raise value
    if not isinstance(value, dict):
        raise ValueError(f"expected an object, found {json.dumps(value)[:80]}")  # noqa: TRY004 (it is data, not a type)
    if misfits:
        return [None] * len(columns)
    return [_cell(value.get(column.name), type_of(column), column.name) for column in columns]


def _cell(value: object, type_name: str, name: str) -> object:
    value = None if _is_missing(value) else value
    if type_name == "object":
        return None if value is None else json.dumps(value, ensure_ascii=False)
    if type_name == "str":
        return value if isinstance(value, str | None) else json.dumps(value, ensure_ascii=False)
    fits: Callable[[object], bool] = {
        "f": lambda v: isinstance(v, int | float | None) and not isinstance(v, bool),
        "b": lambda v: isinstance(v, bool) or (v is None and type_name == "bool?"),
        "i": lambda v: isinstance(v, int) and not isinstance(v, bool),
        "u": lambda v: isinstance(v, int) and not isinstance(v, bool),
    }.get(type_name[0], lambda v: isinstance(v, str | None))
    if fits(value):
        try:
            if isinstance(value, str):
                return pa.scalar(value).cast(ARROW_TYPES[type_name]).as_py()
            if isinstance(value, int) and type_name.startswith("float"):
                return float(value)  # Arrow refuses an integer beyond 53 bits; pandas takes the nearest
            return pa.scalar(value, ARROW_TYPES[type_name]).as_py()
        except (pa.ArrowInvalid, OverflowError):
            pass
    raise ValueError(f"key {name!r}: {json.dumps(value)[:80]} is not {type_name}")
