"""A few rows of a table as text: cut, and without what may be personal data."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from catalog.cards.site.html import short
from catalog.contract import Column, Contract
from catalog.personal import masked

if TYPE_CHECKING:
    import duckdb

ROWS = 4
CELL = 90
"""Characters of a value."""
READ = 400
"""Characters of a value that are read, before it is cut."""
SORTED = 200_000
"""Rows of a table whose sample is its first rows by key; of a larger one, it is any rows."""
MASKED = "masked"


def sample_rows(
    connection: duckdb.DuckDBPyConnection, contract: Contract, present: set[str], rows: int, hidden: Mapping[str, str]
) -> list[dict[str, str | None]]:
    """The first rows by primary key, each value as text; None for null, and MASKED for what is hidden.

    Args:
        present: the columns that the table in the lake has.
        rows: the rows of the table.
        hidden: columns that may hold personal data; they are not read.
    """
    columns = [column for column in contract.columns if column.name in present]
    parts = [f'{_cut(column, column.name in hidden)} AS "{column.name}"' for column in columns]
    key = [name for name in contract.primary_key if name in present and name not in hidden]
    order = "ORDER BY " + ", ".join(f'"{name}"' for name in key) if key and rows <= SORTED else ""
    found = connection.execute(f"SELECT {', '.join(parts)} FROM {contract.name} {order} LIMIT {ROWS}").fetchall()
    return [{column.name: _shown(value) for column, value in zip(columns, row, strict=True)} for row in found]


def _cut(column: Column, hidden: bool) -> str:
    name = f'"{column.name}"'
    if hidden:
        return f"CASE WHEN {name} IS NOT NULL THEN '{MASKED}' END"
    if pa.types.is_binary(column.type):
        return f"octet_length({name})::VARCHAR || ' bytes'"
    if pa.types.is_list(column.type):
        return f"CASE WHEN {name} IS NOT NULL THEN left({name}[1:8]::VARCHAR, {READ}) END"
    return f"left({name}::VARCHAR, {READ})"


def _shown(value: Any) -> str | None:
    return None if value is None else short(masked(str(value)), CELL)
