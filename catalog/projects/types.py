"""Types of columns in contract files, as SQL names them, and as Arrow and Delta hold them."""

from __future__ import annotations

from functools import cache
from typing import Any

import pyarrow as pa

SIMPLE: dict[str, pa.DataType] = {
    "VARCHAR": pa.string(),
    "BOOLEAN": pa.bool_(),
    "TINYINT": pa.int8(),
    "SMALLINT": pa.int16(),
    "INTEGER": pa.int32(),
    "BIGINT": pa.int64(),
    "FLOAT": pa.float32(),
    "DOUBLE": pa.float64(),
    "DATE": pa.date32(),
    "TIMESTAMP": pa.timestamp("us"),
    "TIMESTAMP WITH TIME ZONE": pa.timestamp("us", tz="UTC"),
    "BLOB": pa.binary(),
}
"""SQL's names of types that Delta stores, and their Arrow types."""
ALIASES = {
    "TEXT": "VARCHAR",
    "STRING": "VARCHAR",
    "INT": "INTEGER",
    "LONG": "BIGINT",
    "REAL": "FLOAT",
    "TIMESTAMPTZ": "TIMESTAMP WITH TIME ZONE",
    "BOOL": "BOOLEAN",
}
LONGEST_TYPE = 20_000


@cache
def arrow_type(name: str) -> pa.DataType:
    """The Arrow type of a SQL type.

    Raises:
        ValueError: it is no type, or Delta cannot store it.

    Example:
        >>> from catalog.projects.types import arrow_type
        >>> arrow_type("STRUCT(city VARCHAR, code BIGINT)")
        StructType(struct<city: string, code: int64>)
    """
    plain = " ".join(name.upper().split())
    plain = ALIASES.get(plain, plain)
    if plain in SIMPLE:
        return SIMPLE[plain]
    if len(name) > LONGEST_TYPE:
        raise ValueError(f"a type of {len(name):,} characters")
    import duckdb

    try:
        return _arrow(duckdb.sqltype(name))
    except duckdb.Error as error:
        raise ValueError(f"{name!r} is not a type of SQL") from error


def _arrow(found: Any) -> pa.DataType:
    kind = found.id
    if kind in ("list", "array"):
        return pa.list_(_arrow(found.children[0][1]))
    if kind == "struct":
        return pa.struct([(name, _arrow(child)) for name, child in found.children])
    if kind == "map":
        (_, key), (_, value) = found.children
        return pa.map_(_arrow(key), _arrow(value))
    if kind == "decimal":
        inner = dict(found.children)
        return pa.decimal128(inner["precision"], inner["scale"])
    plain = str(found)
    plain = ALIASES.get(plain, plain)
    if plain not in SIMPLE:
        raise ValueError(f"{found} cannot be stored in a Delta table")
    return SIMPLE[plain]


def sql_type(found: pa.DataType) -> str:
    """The name in SQL of an Arrow type that Delta stores.

    Raises:
        ValueError: Delta cannot store it.

    Example:
        >>> import pyarrow as pa
        >>> from catalog.projects.types import sql_type
        >>> sql_type(pa.list_(pa.struct([("city", pa.string())])))
        'STRUCT("city" VARCHAR)[]'
    """
    if pa.types.is_list(found):
        return f"{sql_type(found.value_type)}[]"
    if pa.types.is_struct(found):
        fields = [found.field(at) for at in range(found.num_fields)]
        return f"STRUCT({', '.join(f'{quoted(each.name)} {sql_type(each.type)}' for each in fields)})"
    if pa.types.is_map(found):
        return f"MAP({sql_type(found.key_type)}, {sql_type(found.item_type)})"
    if pa.types.is_decimal(found):
        return f"DECIMAL({found.precision},{found.scale})"
    for name, each in SIMPLE.items():
        if each == found:
            return name
    raise ValueError(f"{found} cannot be stored in a Delta table")


def quoted(name: str) -> str:
    """A name as SQL quotes it."""
    return '"' + name.replace('"', '""') + '"'
