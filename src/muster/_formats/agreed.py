"""The one schema of all Parquet files of a run: types that hold the values of each, and one set of categories.

A template is a record batch without rows: its schema and its dictionaries say what columns look like.
"""

import functools
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from muster._model import Column
from muster._progress.schema import numbered
from muster._words import bare
from muster.errors import DataError

from ._orders import absence
from .frames import frame_of
from .layouts import Agreed, FileLayout

AS_IS: Final = "as is"
"""The fixed type of a column whose pandas dtype does not depend on which rows are read."""

_Key = tuple[str, int]
"""A column: its name, and how many columns before it have the same name."""


class _Held(NamedTuple):
    """A column as one file has it."""

    file: str
    cells: pa.Array
    is_hollow: bool


def pack(batch: pa.RecordBatch) -> bytes:
    """Write a template as Arrow's stream format has it."""
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, batch.schema) as stream:
        stream.write_batch(batch)
    return bytes(sink.getvalue().to_pybytes())


@functools.lru_cache(maxsize=8)
def unpack(template: bytes) -> pa.RecordBatch:
    """Read what ``pack`` wrote; the newest eight are kept, as each task reads the same."""
    return pa.ipc.open_stream(template).read_next_batch()


def categories(arrays: Sequence[pa.DictionaryArray]) -> pa.DictionaryArray:
    """Make one array without rows of several: it has the categories of all, in the order they appear in."""
    ordered = arrays[0].type.ordered
    empty = [
        pa.DictionaryArray.from_arrays(pa.array([], pa.int32()), array.dictionary, ordered=ordered) for array in arrays
    ]
    return pa.chunked_array(empty).unify_dictionaries().chunk(0)


def agree(files: Sequence[tuple[str, FileLayout]], columns: Sequence[str] | None = None) -> Agreed:
    """Find the schema that files share, in the order of ``columns`` where that is given.

    Raises ``DataError`` where no type holds the values of all unchanged.
    """
    held = _by_column(files)
    if columns is not None:
        held = dict(sorted(held.items(), key=lambda one: columns.index(one[0][0])))
    cells = {key: functools.reduce(functools.partial(_common, key[0]), own).cells for key, own in held.items()}
    fields = [pa.field(name, array.type) for (name, _), array in cells.items()]
    schema = pa.schema(fields, _metadata(unpack(layout.template) for _, layout in files))
    dtypes = frame_of(schema.empty_table()).dtypes
    gaps = _gaps(held, files)
    found, arrays = [], []
    for at, (key, array) in enumerate(cells.items()):
        fixed = _fixed(array.type) if key in gaps and isinstance(dtypes.iloc[at], np.dtype) else AS_IS
        found.append(Column(key[0], fixed=fixed))
        arrays.append(pa.array([], pa.float64()) if fixed == "float64" else array)
    fields = [pa.field(column.name, array.type) for column, array in zip(found, arrays, strict=True)]
    batch = pa.record_batch(arrays, schema=pa.schema(fields, schema.metadata))
    return Agreed(tuple(found), pack(batch), tuple(_notes(held, files, batch)))


def _by_column(files: Sequence[tuple[str, FileLayout]]) -> dict[_Key, list[_Held]]:
    """List what each column is in the files that differ, in the order in which columns appear."""
    alike: dict[bytes, tuple[str, frozenset[str]]] = {}
    for file, layout in files:
        first, hollow = alike.get(layout.template, (file, layout.hollow))
        alike[layout.template] = first, hollow & layout.hollow
    held: dict[_Key, list[_Held]] = {}
    for template, (file, hollow) in alike.items():
        batch = unpack(template)
        for key, cells in zip(numbered(batch.schema.names), batch.columns, strict=True):
            held.setdefault(key, []).append(_Held(file, cells, key[0] in hollow or _says_nothing(cells)))
    return held


def _says_nothing(cells: pa.Array) -> bool:
    return cells.type == pa.null() or (pa.types.is_dictionary(cells.type) and not len(cells.dictionary))


def _gaps(held: Iterable[_Key], files: Sequence[tuple[str, FileLayout]]) -> set[_Key]:
    """Name the columns that have a missing value anywhere: in a file, or because a file lacks them."""
    layouts = [layout for _, layout in files if sum(layout.groups)]
    within = frozenset[str]().union(*(layout.gaps | layout.hollow for layout in layouts))
    everywhere = frozenset(held).intersection(*(_columns(layout.template) for layout in layouts))
    return {key for key in held if key[0] in within or key not in everywhere}


@functools.lru_cache(maxsize=1024)
def _columns(template: bytes) -> frozenset[_Key]:
    return frozenset(numbered(unpack(template).schema.names))


def _fixed(kind: pa.DataType) -> str:
    """Name what pandas makes of a column of this type that has gaps."""
    if pa.types.is_boolean(kind):
        return "bool?"
    return "float64" if pa.types.is_integer(kind) else AS_IS


def _common(name: str, first: _Held, second: _Held) -> _Held:
    """Find a type for the values of two files."""
    if first.is_hollow and not second.is_hollow:
        return second._replace(file=first.file)
    if second.is_hollow:
        return first
    both = [first.cells, second.cells]
    if all(pa.types.is_dictionary(cells.type) for cells in both) and (cells := _categories(*both)) is not None:
        return first._replace(cells=cells)
    kind = _wider(*(_plain(cells.type) for cells in both))
    if kind is None:
        raise DataError(
            f"Column {name!r} is {first.cells.type} in {first.file!r} and {second.cells.type} in {second.file!r}, and"
            " no type holds the values of both as they are. Run these files apart, or convert one of them."
        )
    return first._replace(cells=pa.nulls(0, kind))


def _categories(one: pa.Array, other: pa.Array) -> pa.Array | None:
    """Put the categories of two files together; ``None`` where their order, or their type, is not the same."""
    if one.type != other.type or (one.type.ordered and not one.dictionary.equals(other.dictionary)):
        return None
    return categories([one, other])


def _plain(kind: pa.DataType) -> pa.DataType:
    return kind.value_type if pa.types.is_dictionary(kind) else kind


def _wider(one: pa.DataType, other: pa.DataType) -> pa.DataType | None:
    """Find the type that shows the values of two types as ``pandas.concat`` would; ``None`` where there is none."""
    if one == other:
        return one
    rule = next((rule for is_so, rule in _RULES if is_so(one) and is_so(other)), None)
    return rule(one, other) if rule else None


def _promoted(one: pa.DataType, other: pa.DataType) -> pa.DataType | None:
    try:
        schemas = [pa.schema([("", one)]), pa.schema([("", other)])]
        return pa.unify_schemas(schemas, promote_options="permissive").field(0).type
    except (pa.ArrowTypeError, pa.ArrowInvalid):
        return None


def _finer(one: pa.DataType, other: pa.DataType) -> Any:  # noqa: ANN401 (a unit, of a type that has no types)
    return max(one.unit, other.unit, key=("s", "ms", "us", "ns").index)


_Rule = tuple[Callable[[pa.DataType], bool], Callable[[pa.DataType, pa.DataType], pa.DataType | None]]
_RULES: Final[tuple[_Rule, ...]] = (
    (
        lambda kind: pa.types.is_integer(kind) or pa.types.is_floating(kind),
        lambda one, other: pa.from_numpy_dtype(np.result_type(one.to_pandas_dtype(), other.to_pandas_dtype())),
    ),
    (
        lambda kind: pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind),
        lambda *_: pa.large_string(),
    ),
    (
        lambda kind: pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or pa.types.is_fixed_size_binary(kind),
        lambda *_: pa.large_binary(),
    ),
    (pa.types.is_date, lambda *_: pa.date32()),
    (
        pa.types.is_timestamp,
        lambda one, other: pa.timestamp(_finer(one, other), one.tz) if one.tz == other.tz else None,
    ),
    (pa.types.is_duration, lambda one, other: pa.duration(_finer(one, other))),
    (pa.types.is_time, lambda one, other: pa.time64("ns" if "ns" in {one.unit, other.unit} else "us")),
    (pa.types.is_decimal, _promoted),
    (pa.types.is_nested, _promoted),
)
"""How types of one sort become one."""


def _metadata(templates: Iterable[pa.RecordBatch]) -> dict[bytes, bytes] | None:
    """Take what pandas wrote of each column: of several files, from one where it is of a type that is pandas' own."""
    described: dict[str, Any] = {}
    first: dict[bytes, bytes] | None = None
    for batch in templates:
        schema = batch.schema
        first = schema.metadata if first is None else first
        for column in (schema.pandas_metadata or {}).get("columns", []):
            name, numpy_type = column.get("field_name"), str(column.get("numpy_type"))
            if name not in described or numpy_type[:1].isupper():
                described[name] = column
    if not first or b"pandas" not in first:
        return first
    metadata = {**json.loads(first[b"pandas"]), "columns": list(described.values())}
    return {**first, b"pandas": json.dumps(metadata).encode()}


def _notes(
    held: Mapping[_Key, Sequence[_Held]], files: Sequence[tuple[str, FileLayout]], agreed: pa.RecordBatch
) -> Iterable[str]:
    """Yield a sentence for each column that is not the same in all files."""
    names = [(name, _columns(layout.template)) for name, layout in files]
    for at, (key, columns) in enumerate(held.items()):
        if lacking := [name for name, keys in names if key not in keys]:
            yield absence(key[0], lacking)
        kinds = {str(_plain(column.cells.type)): column.file for column in reversed(columns) if not column.is_hollow}
        if len(kinds) > 1:
            types = " and ".join(f"{kind} in {file!r}" for kind, file in reversed(kinds.items()))
            yield f"column {key[0]!r} is {types}: it is read as {_plain(agreed.column(at).type)} everywhere"


def fit(table: pa.Table, agreed: pa.RecordBatch, columns: Sequence[Column]) -> pa.Table:
    """Give rows of one file the columns and types of all. Raises ``DataError`` where a value would change."""
    cells = dict(zip(numbered(table.column_names), table.columns, strict=True))
    arrays = [
        _cast(cells.get(key, pa.chunked_array([pa.nulls(len(table))])), like, column)
        for key, like, column in zip(numbered(agreed.schema.names), agreed.columns, columns, strict=True)
    ]
    return pa.table(arrays, schema=agreed.schema)


def _cast(cells: pa.ChunkedArray, like: pa.Array, column: Column) -> pa.ChunkedArray | pa.Array:
    kind = like.type
    try:
        if pa.types.is_dictionary(kind):
            return _recoded(cells, like)
        if cells.type == kind:
            return cells
        if cells.null_count == len(cells):
            return pa.nulls(len(cells), kind)
        return cells.cast(_plain(cells.type)).cast(kind, safe=column.fixed != "float64")
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise DataError(
            f"Column {column.name!r} is {cells.type} in one file and {kind} in all together, and a value would change:"
            f" {bare(error)}. Run these files apart, or convert one of them."
        ) from error


def _recoded(cells: pa.ChunkedArray, like: pa.Array) -> pa.Array:
    """Express cells by the codes of the categories of all files."""
    if cells.null_count == len(cells):
        codes = pa.nulls(len(cells), pa.int32())
    else:
        codes = pc.index_in(cells.cast(like.type.value_type).combine_chunks(), value_set=like.dictionary)
    return pa.DictionaryArray.from_arrays(codes, like.dictionary, ordered=like.type.ordered)
