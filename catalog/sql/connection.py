"""The connection that `catalog.connect` returns: DuckDB's, with every statement checked and recorded before it runs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import duckdb

from catalog.reads import record_read, recording
from catalog.sql.statements import tables_of

TAKING_SQL = ("execute", "executemany", "sql", "query", "from_query", "table", "view", "get_table_names")
"""Methods of a connection whose first argument is SQL, or the name of a table."""


class LakeConnection:
    """`connection` behind the methods of DuckDB's Python API; see `catalog.connect`.

    Args:
        connection: a connection of DuckDB.
        check: raises a WatershedError for SQL that is refused; None accepts all.
    """

    def __init__(self, connection: duckdb.DuckDBPyConnection, check: Callable[[str], None] | None) -> None:
        self._connection = connection
        self._check = check
        self._recorded = recording()

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._connection, name)
        if name == "cursor":
            return lambda: LakeConnection(found(), self._check)
        if name not in TAKING_SQL:
            return found

        def run(what: Any, *args: Any, **options: Any) -> Any:
            sql = what if isinstance(what, str) else what.query
            if self._check:
                self._check(sql)
            if self._recorded:
                record_read(*tables_of(sql))
            answer = found(what, *args, **options)
            return self if answer is self._connection else answer

        return run

    def __enter__(self) -> LakeConnection:
        return self

    def __exit__(self, *failure: object) -> None:
        self._connection.close()


def unchecked(connection: duckdb.DuckDBPyConnection | LakeConnection) -> duckdb.DuckDBPyConnection:
    """DuckDB's own connection, for statements of this package."""
    return connection._connection if isinstance(connection, LakeConnection) else connection
