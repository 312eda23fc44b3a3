"""Find the types that all results of a run share in Parquet: those that pandas would give the whole."""

from collections.abc import Sequence
from functools import reduce
from typing import Final

import pyarrow as pa

from muster._model import Schema
from muster._progress.schema import ABSENT, EMPTY, MISSING, VOID, by_column, form, numbered, solid
from muster.errors import DataError

from ._dtypes import DTYPE, described
from ._dtypes import united as united_dtypes
from ._hollow import emptied
from ._narrow import restored
from ._numbers import is_exact, is_number, wider
from .holders import BETWEEN, HOLDERS
from .results import Reply

_KINDS: Final = b"muster.kinds"
_ROWS: Final = b"muster.rows"
_SEPARATOR: Final = b"\n"


def piece(replies: Sequence[Reply], *, use: str = "parquet") -> pa.Table:
    """Put the results of a task together, in a table that says of which kinds they are, and how many rows it has.

    Integers beside missing values stay integers here; what the other pieces hold decides what they become.
    """
    tables = [_labelled(reply) for reply in replies]
    schema = together([table.schema for table in tables], use=use)
    whole = pa.concat_tables([typed(table, schema, use=use) for table in tables])
    rows = sum(reply.rows for reply in replies)
    return whole.replace_schema_metadata({_ROWS: str(rows).encode()}).combine_chunks()


def _labelled(reply: Reply) -> pa.Table:
    kinds = reply.schema.kinds if reply.schema else ()
    fields = [
        field.with_metadata({**(field.metadata or {}), _KINDS: _SEPARATOR.join(kind.encode() for kind in own)})
        for field, own in zip(reply.table.schema, kinds, strict=True)
    ]
    return pa.table(reply.table.columns, schema=pa.schema(fields, {_ROWS: str(reply.rows).encode()}))


def shared(schemas: Sequence[pa.Schema], *, use: str = "parquet") -> pa.Schema:
    """Find the schema of the whole from those of its pieces, in the order of the input.

    Raises ``DataError`` where a column holds what one column cannot. ``use`` is ``parquet``, or ``between``.
    """
    return as_written(together(schemas, use=use), use=use)


def as_written(united: pa.Schema, *, use: str) -> pa.Schema:
    """Say how columns are written whose schemas were put together."""
    return described(pa.schema([field.with_type(_in_the_output(field, use)) for field in united]))


def typed(
    table: pa.Table, schema: pa.Schema, *, first: int = 0, last: int | None = None, use: str = "parquet"
) -> pa.Table:
    """Give a piece the columns and types of a schema, of which those from ``first`` to ``last`` are made.

    Of the others it need have none but those with a name that one of these has too. Raises ``DataError`` where a value
    does not fit.
    """
    rows = rows_of(table.schema) or len(table)
    columns = dict(zip(numbered(table.column_names), zip(table.columns, table.schema, strict=True), strict=True))
    arrays = [
        _cast(*columns[column], field, use) if column in columns else pa.nulls(rows, field.type)
        for column, field in list(zip(numbered(schema.names), schema, strict=True))[first:last]
    ]
    return pa.table(arrays, schema=pa.schema(list(schema)[first:last], schema.metadata))


def as_it_was(table: pa.Table, schema: pa.Schema, *, own: Schema | None, rows: int) -> pa.Table | None:
    """Make rows of the output a piece again, of the schema that it had; ``None`` where that cannot be done exactly.

    ``own`` says what these rows look like where they are only some of those of the piece.
    """
    columns = dict(zip(numbered(table.column_names), table.columns, strict=True))
    kinds = by_column(own) if own is not None else None
    arrays, fields = [], []
    for name, field in zip(numbered(schema.names), schema, strict=True):
        if kinds is not None and name not in kinds:
            continue
        array = restored(columns[name], field.type)
        if array is None:
            return None
        said = {} if kinds is None else {_KINDS: _SEPARATOR.join(kind.encode() for kind in kinds[name])}
        arrays.append(array)
        fields.append(field.with_metadata({**(field.metadata or {}), **said}))
    return pa.table(arrays, schema=pa.schema(fields, {_ROWS: str(rows).encode()}))


def _cast(column: pa.ChunkedArray, own: pa.Field, field: pa.Field, use: str) -> pa.ChunkedArray | pa.Array:
    if column.type == field.type:
        return column
    if column.null_count == len(column):
        return pa.nulls(len(column), field.type)
    becomes_float = pa.types.is_integer(own.type) and pa.types.is_floating(field.type)
    if becomes_float and "object" in _kinds(own) and not is_exact(column, field.type):
        raise _refused(field.name, own.type, field.type, use, why=" with all digits")
    try:
        return column.cast(field.type, safe=not pa.types.is_floating(field.type))  # pandas takes the nearest float, too
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise _refused(field.name, column.type, field.type, use, why=f" ({error})") from error


def together(schemas: Sequence[pa.Schema], *, use: str) -> pa.Schema:
    """Unite columns by name, in the order of their first appearance. Their metadata lists the kinds of all.

    Of several schemas that were put together so, more can be made of one: it is as if all had been there at once.
    """
    fields: dict[tuple[str, int], list[pa.Field]] = {}
    for schema in schemas:
        for column, field in zip(numbered(schema.names), schema, strict=True):
            fields.setdefault(column, []).append(field)
    with_rows = sum(rows_of(schema) > 0 for schema in schemas)
    return pa.schema([_field(same, use, with_rows=with_rows) for same in fields.values()])


def _field(fields: Sequence[pa.Field], use: str, *, with_rows: int) -> pa.Field:
    kinds = {kind for field in fields for kind in _kinds(field)}
    if sum(not all(kind.startswith(EMPTY) for kind in _kinds(field)) for field in fields) < with_rows:
        kinds.add(ABSENT)
    name = fields[0].name
    united = reduce(lambda one, other: _wider(one, other, name, use), dict.fromkeys(_telling(fields)))
    metadata = {_KINDS: _SEPARATOR.join(kind.encode() for kind in sorted(kinds)), DTYPE: _dtype(fields, united)}
    return pa.field(name, united, metadata=metadata)


def _dtype(fields: Sequence[pa.Field], kind: pa.DataType) -> str:
    """Find the pandas dtype that a column has in all batches; batches without a value do not count."""
    telling = [field for field in fields if any(_level(own) in {"", VOID} for own in _kinds(field))] or fields
    names = {(field.metadata or {}).get(DTYPE, b"").decode() for field in telling}
    if len(names) > 1 and any("object" in _kinds(field) for field in telling):
        return ""
    return united_dtypes(names, kind)


def _telling(fields: Sequence[pa.Field]) -> list[pa.DataType]:
    """List the types that count: those of pieces with values, or else of those that say most without one."""
    for level in ("", VOID, MISSING, EMPTY):
        types = [field.type for field in fields if any(_level(kind) == level for kind in _kinds(field))]
        if types:
            break
    return types if not level else ([kind for kind in types if not pa.types.is_null(kind)] or types)[:1]


def _level(kind: str) -> str:
    return next((level for level in (VOID, MISSING, EMPTY) if kind.startswith(level)), "")


def _wider(one: pa.DataType, other: pa.DataType, name: str, use: str) -> pa.DataType:
    """Find the type that holds the values of both. Raises ``DataError`` where none does."""
    one, other = (kind.value_type if pa.types.is_dictionary(kind) else kind for kind in (one, other))
    if (number := wider(one, other)) is not None:
        return number
    if len({_sort(one), _sort(other)} - {""}) > 1:  # Arrow would make decimals inexact, and bytes of text
        raise _refused(name, one, other, use)
    if pa.types.is_timestamp(one) and pa.types.is_timestamp(other) and one.tz and other.tz:
        other = pa.timestamp(other.unit, one.tz)  # the same moments
    try:
        schemas = [pa.schema([(name, kind)]) for kind in (one, other)]
        return pa.unify_schemas(schemas, promote_options="permissive").field(0).type
    except (pa.ArrowTypeError, pa.ArrowInvalid) as error:
        raise _refused(name, one, other, use) from error


def _sort(kind: pa.DataType) -> str:
    if is_number(kind):
        return "numbers"
    if pa.types.is_decimal(kind):
        return "decimals"
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        return "texts"
    return "bytes" if pa.types.is_binary(kind) or pa.types.is_large_binary(kind) else ""


def _in_the_output(field: pa.Field, use: str) -> pa.DataType:
    kind = emptied(_as_in_pandas(field))
    if kind is None:
        raise DataError(
            f"Column {field.name!r} of the results holds dicts without a key in any row, which {HOLDERS[use].name}"
            f" cannot hold. Leave them out, or make them text: df[{field.name!r}] = df[{field.name!r}].astype(str)."
        )
    return kind


def _as_in_pandas(field: pa.Field) -> pa.DataType:
    """Make floats of integers where pandas would, because the column is missing in some batch."""
    kinds = tuple(_kinds(field))
    telling = solid(kinds) or frozenset(kind.removeprefix(EMPTY) for kind in kinds if kind.startswith(EMPTY))
    decimal = {kind for kind in telling if form(kind, kinds) == "float64"}
    if is_number(field.type) and decimal:
        stays_short = field.type == pa.float32() and not any("float" in kind.lower() for kind in decimal)
        return pa.float32() if stays_short else pa.float64()
    return pa.float64() if pa.types.is_null(field.type) and ABSENT in kinds else field.type


def _kinds(field: pa.Field) -> list[str]:
    joined = (field.metadata or {}).get(_KINDS, b"")
    return [kind.decode() for kind in joined.split(_SEPARATOR)] if joined else []


def of_rows(schema: pa.Schema, rows: int) -> pa.Schema:
    """Have a schema say how many rows there are of it, and nothing else."""
    return schema.with_metadata({_ROWS: str(rows).encode()})


def rows_of(schema: pa.Schema) -> int:
    """Say how many rows a piece of this schema has."""
    return int((schema.metadata or {}).get(_ROWS, b"0"))


def _refused(name: str, one: pa.DataType, other: pa.DataType, use: str, why: str = "") -> DataError:
    which, instead = " in others, which one Parquet column cannot hold", ", or write CSV or JSON lines"
    if use == BETWEEN:
        which, instead = " in others, which one column between two stages cannot hold", ""
    return DataError(
        f"Column {name!r} of the results is {one} in some batches and {other}{which}{why}. Have the function"
        f" return one type, for example df[{name!r}] = df[{name!r}].astype(str){instead}. More: muster help types"
    )
