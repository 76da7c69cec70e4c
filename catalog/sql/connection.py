"""The connection that `catalog.connect` returns: DuckDB's, with every statement checked and recorded before it runs."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from contextlib import suppress
from threading import Lock
from typing import Any

import duckdb

from catalog.reads import record_read, recording
from catalog.sql.declare import describe
from catalog.sql.statements import tables_of

TAKING_SQL = ("execute", "executemany", "sql", "query", "from_query", "table", "view", "get_table_names")
"""Methods of a connection whose first argument is SQL, or the name of a table."""

ASKS_FOR_COMMENTS = re.compile(r"comment|duckdb_|information_schema|pg_|\bexport\b", re.IGNORECASE)
"""SQL that may read the comments of views and columns."""


class Comments:
    """The comments of views, written when SQL first asks for them.

    Args:
        connection: a connection of DuckDB.
        names: the views.
    """

    def __init__(self, connection: duckdb.DuckDBPyConnection, names: Sequence[str]) -> None:
        self._connection = connection
        self._names = names
        self._writing = Lock()

    def write_for(self, sql: str) -> None:
        """Write the comments if `sql` asks for them."""
        if not ASKS_FOR_COMMENTS.search(sql):
            return
        # A view that somebody else changes now keeps its comments for the next question. The caller may be inside a
        # transaction, so that another cursor writes them.
        with self._writing, suppress(duckdb.Error):
            if self._names:
                describe(self._connection.cursor(), self._names)
                self._names = ()


class LakeConnection:
    """`connection` behind the methods of DuckDB's Python API; see `catalog.connect`.

    Args:
        connection: a connection of DuckDB.
        check: raises a WatershedError for SQL that is refused; None accepts all.
        comments: the comments of the views.
    """

    def __init__(
        self, connection: duckdb.DuckDBPyConnection, check: Callable[[str], None] | None, comments: Comments
    ) -> None:
        self._connection = connection
        self._check = check
        self._comments = comments
        self._recorded = recording()

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._connection, name)
        if name == "cursor":
            return lambda: LakeConnection(found(), self._check, self._comments)
        if name not in TAKING_SQL:
            return found

        def run(what: Any, *args: Any, **options: Any) -> Any:
            sql = what if isinstance(what, str) else what.query
            if self._check:
                self._check(sql)
            if self._recorded:
                record_read(*tables_of(sql))
            self._comments.write_for(sql)
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
