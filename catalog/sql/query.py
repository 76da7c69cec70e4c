"""SQL over the lake with DuckDB.

A connection is in memory and reads the files of Delta tables, so that a query never waits for a lock. A query sees a
table that is being replaced either before or after the replacement.
"""

from __future__ import annotations

import re
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, cast

import duckdb

from catalog.errors import WatershedError
from catalog.files import whole_file
from catalog.lake import Lake
from catalog.literals import sql_literal
from catalog.settings import Settings, load_settings
from catalog.sql.connection import Comments, LakeConnection, unchecked
from catalog.sql.declare import MADE, NOT_MADE, damaged_table, declare, describe
from catalog.sql.engine import confine, open_engine
from catalog.sql.statements import check_confined
from catalog.sql.time_travel import resolve
from catalog.tables import CONTRACTS

_NAME = re.compile(r'"?\b([a-z_][a-z0-9_]*)"?\."?([a-z_][a-z0-9_]*)\b"?')
_PLACE = re.compile(r"^LINE (\d+): (.*)\n( *)\^", re.MULTILINE)

_MENDS: dict[type[duckdb.Error], str] = {
    duckdb.ParserException: "correct the statement at this place",
    duckdb.CatalogException: "see `watershed tables` for the tables of the lake",
    duckdb.BinderException: "see `watershed describe TABLE` for a table's columns",
    duckdb.OutOfMemoryException: "select fewer rows or columns, or set [sql] memory_limit in watershed.toml",
    duckdb.PermissionException: "name a table of the lake; `watershed sql --files`, or connect(files=True) in Python, "
    "reads other files",
    duckdb.InterruptException: "run it again",
    duckdb.Error: "correct the statement, or check the tables that it reads with `watershed check`",
}


def connect(
    settings: Settings | None = None,
    *,
    files: bool = False,
    write: bool = False,
    scratch: Path | None = None,
) -> duckdb.DuckDBPyConnection:
    """Open an in-memory DuckDB connection in which every table of the lake is a view: `dclm.documents` and so on.

    Views read the latest versions of their tables. The descriptions of the contracts are comments of views and columns,
    written when SQL first asks for comments (`duckdb_columns()`, `information_schema.columns`). The table
    `watershed.tables` lists all tables with their states, and the view `watershed.history` their versions.

    SQL only reads the lake and changes what the connection holds in memory: other files, COPY TO, EXPORT, ATTACH and
    extensions are refused, and settings are locked (`[sql]` in watershed.toml sets the memory and the threads). This
    protects the lake from mistakes and from SQL by others. It covers the SQL that the connection is given, not
    Python's own access to files, which includes a relation's methods `write_parquet` and `write_csv`. A name in SQL
    never refers to a Python variable: `connection.register("name", frame)` makes a data frame a table.

    Args:
        settings: the settings of the lake; by default those of the project around the working directory.
        files: SQL may also read files outside the lake.
        write: SQL may do everything that DuckDB can, including writing files, those of the lake too.
        scratch: a folder that relations may be written to.

    Returns:
        A connection of DuckDB's Python API. Close it, or use it in a `with` block.

    Raises:
        WatershedError: the settings are not valid, a DuckDB extension is missing, or the object store of the lake does
            not answer.

    Example:
        >>> from catalog import connect
        >>> with connect() as connection:
        ...     connection.execute("SELECT url, words FROM dclm.documents WHERE language = 'fr'").fetchall()
        [('https://lake.example/3', 1)]
    """
    settings = settings or load_settings()
    lake = Lake.of(settings)
    connection = open_engine(lake)
    names = declare(connection, lake.root)
    for name, value in (("memory_limit", settings.sql.memory_limit), ("threads", settings.sql.threads)):
        if value:
            _set(connection, name, value)
    connection.execute("SET python_enable_replacements = false")
    if not write:
        confine(connection, None if files else [lake.root, str(lake.files), *([str(scratch)] if scratch else [])])
    check = None if write else partial(check_confined, files=files)
    # It has the same methods.
    return cast(duckdb.DuckDBPyConnection, LakeConnection(connection, check, Comments(connection, names)))


def _set(connection: duckdb.DuckDBPyConnection, name: str, value: str | int) -> None:
    try:
        connection.execute(f"SET {name} = {sql_literal(str(value))}")
    except duckdb.Error as error:
        raise WatershedError(
            f"[sql] {name} = {value!r}: {str(error).splitlines()[0]}",
            'write it as in memory_limit = "8GB", threads = 2',
        ) from error


def query(
    connection: duckdb.DuckDBPyConnection, sql: str, parameters: Mapping[str, Any] | None = None
) -> duckdb.DuckDBPyRelation | None:
    """Run one or more SQL statements on the lake.

    Beyond what the connection itself does, this resolves time travel, declares tables that were made after the
    connection was opened, and turns DuckDB's errors into a `WatershedError` with a cause and a mend.

    Args:
        connection: a connection from `connect`.
        sql: statements separated by semicolons. `FROM dclm.documents AT (VERSION => 3)` and
            `AT (TIMESTAMP => '2026-01-01 10:00')` read an earlier version of a table.
        parameters: values for the names `$name` in `sql`.

    Returns:
        The rows of the last statement as a DuckDB relation, or None if it has no rows. Rows are computed when they are
        fetched: fetch them inside `explained` to turn those errors into a `WatershedError` too.

    Raises:
        WatershedError: a statement is not valid, or names a table that is not made yet or a version that does not
            exist.

    Example:
        >>> from catalog import connect, query
        >>> connection = connect()
        >>> best = query(connection, "FROM dclm.scores WHERE bucket >= $bucket ORDER BY score", {"bucket": 2})
        >>> best.select("score, bucket, topic").fetchall()
        [(0.4, 2, 'rivers'), (1.0, 5, 'rivers')]
        >>> query(connection, "FROM dclm.scores WHERE")
        Traceback (most recent call last):
        ...
        catalog.errors.WatershedError: syntax error at end of input; correct the statement at this place
    """
    _declare_new(connection, sql)
    with explained(connection, sql):
        return connection.sql(resolve(connection, sql), params=dict(parameters) if parameters else None)


@contextmanager
def explained(connection: duckdb.DuckDBPyConnection, sql: str) -> Generator[None]:
    """Turn DuckDB's errors inside the block into a WatershedError with the place in `sql`, the cause and the mend.

    Ctrl+C during a query raises KeyboardInterrupt.
    """
    try:
        yield
    except duckdb.Error as error:
        raise _explain(connection, sql, error) from error
    except RuntimeError as error:
        # DuckDB's error for a query that Ctrl+C ended.
        if isinstance(error.__cause__, KeyboardInterrupt):
            raise error.__cause__ from None
        raise


def export_duckdb(settings: Settings, path: Path) -> Path:
    """Write a DuckDB file with a view per table, for any client that has DuckDB's delta extension.

    The file holds no rows, only absolute paths. It holds no secret either: for a lake in an object store, a client
    creates its own.

    Args:
        settings: the settings of the lake.
        path: the file to write; it is replaced as a whole.

    Returns:
        The absolute path of the file.

    Raises:
        WatershedError: the file cannot be written, or the object store of the lake does not answer.

    Example:
        >>> from pathlib import Path
        >>> from catalog import export_duckdb, load_settings
        >>> export_duckdb(load_settings(), Path("lake.duckdb")).name
        'lake.duckdb'
    """
    path = path.absolute()
    lake = Lake.of(settings)
    with whole_file(path) as file:
        connection = open_engine(lake, file)
        try:
            describe(connection, declare(connection, lake.root))
        finally:
            connection.close()
    return path


def _mentioned(connection: duckdb.DuckDBPyConnection, sql: str) -> list[tuple[str, str, str | None]]:
    """The tables and views that `sql` may name and that are not declared: name, state, path."""
    names = {".".join(match) for match in _NAME.findall(sql.lower())}
    # Literals, not parameters: the first parameter makes DuckDB import pandas, which takes a second.
    absent = connection.execute(f"SELECT name, state, path FROM watershed.tables WHERE state <> '{MADE}'").fetchall()
    return [row for row in absent if names & {row[0], f"{row[0]}_at"}]


def _declare_new(connection: duckdb.DuckDBPyConnection, sql: str) -> None:
    """Declare the tables in `sql` that were made after the connection was opened."""
    absent = _mentioned(connection, sql)
    if absent:
        (name, path), *_ = connection.execute("SELECT name, path FROM watershed.tables WHERE kind = 'table'").fetchall()
        # On another cursor, as the caller may be inside a transaction.
        cursor = unchecked(connection).cursor()
        describe(cursor, declare(cursor, path.removesuffix("/" + name.replace(".", "/"))))


def _explain(connection: duckdb.DuckDBPyConnection, sql: str, error: duckdb.Error) -> WatershedError:
    message = str(error)
    if isinstance(error, duckdb.CatalogException):
        for name, state, path in _mentioned(connection, sql):
            if state == NOT_MADE:
                command = CONTRACTS[name].command
                return WatershedError(
                    f"{name} is declared but not made yet: {path} does not exist",
                    f"run `{command}`" if command else f"materialise {name} in Dagster, or run `watershed demo`",
                )
            if path:
                return damaged_table(name, state)
            return WatershedError(f"{name}: {state}", "make or repair what it needs; see `watershed tables`")
    place = _PLACE.search(message)
    where = ""
    # For what is computed when rows are fetched, DuckDB reports a line that it wrote itself.
    if place and place[2] and place[2] in sql:
        where = f"line {place[1]}, column {len(place[3]) - len(f'LINE {place[1]}: ') + 1}: "
    cause = re.sub(r"^[A-Z]\w+(?: \w+)? Error: ", "", message.splitlines()[0])
    return WatershedError(where + cause, _mend(error, message))


def _mend(error: duckdb.Error, message: str) -> str:
    offered = re.search(r'(?:Did you mean|Candidate bindings:) (".*)', message)
    if offered:
        return f"did you mean {offered[1].rstrip('?')}?"
    if "time travel" in message:
        return "AT follows the name of a table of the lake: FROM family.table AT (VERSION => 3)"
    return next((mend for kind, mend in _MENDS.items() if isinstance(error, kind)), _MENDS[duckdb.Error])
