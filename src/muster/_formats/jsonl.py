"""Read parts of JSON lines, one object a line, and write them."""

import json
import math
from collections.abc import Callable, Iterator
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.json

from muster._model import Column

from . import _kinds
from ._lines import records
from ._rows import IS_JSON, Rows, type_of

_KINDS: Final = {bool: "truth", int: "integer", float: "decimal", str: "string", type(None): "missing"}


def read(data: bytes, *, row: int, count: int, columns: tuple[Column, ...]) -> Rows:
    """Read ``count`` lines as rows of the settled types; the first is data row ``row`` of its file."""
    names = [column.name for column in columns]
    types = {column.name: type_of(column) for column in columns}
    if not any(column.fixed for column in columns) and not {"object"} & set(types.values()):
        schema = pa.schema([(name, _kinds.ARROW[type_name]) for name, type_name in types.items()])
        try:
            table = pyarrow.json.read_json(
                pa.py_buffer(data),
                pyarrow.json.ReadOptions(use_threads=False, block_size=len(data) + 1),
                pyarrow.json.ParseOptions(explicit_schema=schema, unexpected_field_behavior="error"),
            ).select(names)
        except (pa.ArrowInvalid, KeyError):
            table = None
        if table is not None and len(table) == count and not _has_holes(table, types):
            return Rows(table, np.arange(row, row + count))
    return _carefully(data, row, columns)


def observe(data: bytes) -> dict[str, frozenset[str]]:
    """Name the kinds of value under each key of these lines."""
    kinds: dict[str, set[str]] = {}
    seen: dict[str, int] = {}
    objects = 0
    for _, value in _parsed(data):
        if isinstance(value, dict):
            objects += 1
            for key, item in value.items():
                kinds.setdefault(key, set()).add(_kind(item))
                seen[key] = seen.get(key, 0) + 1
    return {key: frozenset(found | ({"missing"} if seen[key] < objects else set())) for key, found in kinds.items()}


def _kind(value: object) -> str:
    if isinstance(value, int) and not -(2**63) <= value < 2**63:
        return "nested"
    return _KINDS.get(type(value), "nested")


def _has_holes(table: pa.Table, types: dict[str, str]) -> bool:
    return any(table[name].null_count for name, type_name in types.items() if type_name in {"int64", "bool"})


def _parsed(data: bytes) -> Iterator[tuple[int, Any]]:
    for at, (start, end) in enumerate(records(data, delimiter="", quote="")):
        try:
            yield at, json.loads(data[start:end])
        except ValueError as error:
            yield at, error


def _carefully(data: bytes, row: int, columns: tuple[Column, ...]) -> Rows:
    rows = Rows(pa.table({}), np.empty(0, np.int64))
    found = observe(data)
    names = {column.name for column in columns}
    for column in columns:
        kinds = found.get(column.name, frozenset({"missing"}))
        if not column.fixed and _kinds.settle(kinds | column.kinds) != _kinds.settle(column.kinds):
            rows.misfits[column.name] = kinds
    rows.misfits.update({name: kinds | {"missing"} for name, kinds in found.items() if name not in names})
    numbers: list[int] = []
    cells: list[list[object]] = [[] for _ in columns]
    for at, value in _parsed(data):
        try:
            typed = _typed(value, columns, misfits=rows.misfits)
        except ValueError as error:
            rows.bad[row + at] = str(error)
            continue
        numbers.append(row + at)
        for values, cell in zip(cells, typed, strict=True):
            values.append(cell)
    if not rows.misfits:
        arrays = [pa.array(cell, _kinds.ARROW[type_of(column)]) for cell, column in zip(cells, columns, strict=True)]
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
                return pa.scalar(value).cast(_kinds.ARROW[type_name]).as_py()
            return pa.scalar(value, _kinds.ARROW[type_name]).as_py()
        except (pa.ArrowInvalid, OverflowError):
            pass
    raise ValueError(f"key {name!r}: {json.dumps(value)[:80]} is not {type_name}")


def render(table: pa.Table) -> bytes:
    """Write rows as JSON lines: every number with all its digits, missing values as null."""
    if not len(table):
        return b""
    columns = [_values(field, table.column(at)) for at, field in enumerate(table.schema)]
    names = [json.dumps(name, ensure_ascii=False) for name in table.column_names]
    lines = (
        "{" + ",".join(f"{name}:{cell}" for name, cell in zip(names, cells, strict=True)) + "}\n"
        for cells in zip(*columns, strict=True)
    )
    return "".join(lines).encode()


def _values(field: pa.Field, column: pa.ChunkedArray) -> list[str]:
    if field.metadata and field.metadata.get(b"muster") == IS_JSON["muster"].encode():
        return ["null" if cell is None else cell for cell in column.to_pylist()]
    if pa.types.is_floating(field.type):
        column = pc.if_else(pc.is_finite(column), column, pa.scalar(None, field.type))
    return [json.dumps(_plain(cell), ensure_ascii=False, default=str) for cell in column.to_pylist()]


def _plain(value: object) -> object:
    return None if isinstance(value, float) and not math.isfinite(value) else value
