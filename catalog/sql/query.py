"""SQL over the lake with DuckDB.

A connection is in memory and reads Delta's files as they stand, so a query never meets a lock, and a table that is
being replaced is seen as it was before or as it is after.
"""

from __future__ import annotations

import re
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import duckdb

from catalog.errors import WatershedError
from catalog.files import whole_file
from catalog.lake import Lake
from catalog.reads import recording
from catalog.settings import Settings, load_settings
from catalog.sql.declare import MADE, NOT_MADE, declare
from catalog.sql.engine import open_engine
from catalog.sql.recorded import RecordedConnection
from catalog.sql.time_travel import resolve
from catalog.tables import CONTRACTS

_NAME = re.compile(r'"?\b([a-z_]+)"?\."?([a-z_]+)\b"?')
_PLACE = re.compile(r"^LINE (\d+): (.*)\n( *)\^", re.MULTILINE)

_MENDS: dict[type[duckdb.Error], str] = {
    duckdb.ParserException: "correct the statement there",
    duckdb.CatalogException: "see `watershed tables` for the tables that there are",
    duckdb.BinderException: "see `watershed describe TABLE` for a table's columns",
    duckdb.OutOfMemoryException: "ask for less, or SET memory_limit = '8GB' first",
    duckdb.InterruptException: "run it again",
    duckdb.Error: "mend the statement, or see `watershed check` for the tables that it reads",
}


def connect(settings: Settings | None = None) -> duckdb.DuckDBPyConnection:
    """An in-memory DuckDB with every table of the lake as a view, `dclm.documents` and so on.

    Args:
        settings: which lake; by default that of the project around the working directory.
    """
    lake = Lake.of(settings or load_settings())
    connection = open_engine(lake)
    declare(connection, lake.root)
    # A stand-in with the same methods.
    return cast(duckdb.DuckDBPyConnection, RecordedConnection(connection)) if recording() else connection


def query(
    connection: duckdb.DuckDBPyConnection, sql: str, parameters: Mapping[str, Any] | None = None
) -> duckdb.DuckDBPyRelation | None:
    """Run `sql`, time travel included; the rows of its last statement, or None where that gives none.

    Args:
        parameters: values of `$name` in `sql`.

    Rows are computed when they are fetched: fetch them inside `explained` to have those errors explained too.

    Raises:
        WatershedError: the statement is wrong, or names a table that is not made yet.
    """
    _declare_new(connection, sql)
    with explained(connection, sql):
        return connection.sql(resolve(connection, sql), params=dict(parameters) if parameters else None)


@contextmanager
def explained(connection: duckdb.DuckDBPyConnection, sql: str) -> Generator[None]:
    """DuckDB's errors inside the block become a WatershedError: the place, the cause and the mend."""
    try:
        yield
    except duckdb.Error as error:
        raise _explain(connection, sql, error) from error


def export_duckdb(settings: Settings, path: Path) -> Path:
    """Write a DuckDB file with a view a table, for any client that has DuckDB's delta extension.

    The file holds no rows, only absolute paths, and is replaced whole. For a lake in an object store, a client needs
    a secret of its own: none is written.

    Returns:
        The absolute path of the file.
    """
    path = path.absolute()
    lake = Lake.of(settings)
    with whole_file(path) as partial:
        connection = open_engine(lake, partial)
        try:
            declare(connection, lake.root)
        finally:
            connection.close()
    return path


def _mentioned(connection: duckdb.DuckDBPyConnection, sql: str) -> list[tuple[str, str, str | None]]:
    """The tables and views that `sql` may be speaking of and that have no view: name, state, path."""
    names = {".".join(match) for match in _NAME.findall(sql.lower())}
    # Literals, not parameters: the first parameter makes DuckDB import pandas, which takes a second.
    absent = connection.execute(f"SELECT name, state, path FROM watershed.tables WHERE state <> '{MADE}'").fetchall()
    return [row for row in absent if row[0] in names]


def _declare_new(connection: duckdb.DuckDBPyConnection, sql: str) -> None:
    """A table that was made since the connection was opened gets its view now."""
    absent = _mentioned(connection, sql)
    if absent:
        (name, path), *_ = connection.execute("SELECT name, path FROM watershed.tables WHERE kind = 'table'").fetchall()
        # A cursor of its own: the caller may be inside a transaction.
        declare(connection.cursor(), path.removesuffix("/" + name.replace(".", "/")))


def _explain(connection: duckdb.DuckDBPyConnection, sql: str, error: duckdb.Error) -> WatershedError:
    said = str(error)
    if isinstance(error, duckdb.CatalogException):
        for name, state, path in _mentioned(connection, sql):
            if state == NOT_MADE:
                command = CONTRACTS[name].command
                return WatershedError(
                    f"{name} is declared but not made yet: there is no table at {path}",
                    f"run `{command}`" if command else f"materialise {name} in Dagster, or run `watershed demo`",
                )
            return WatershedError(f"{name}: {state}", "materialise what it needs; see `watershed tables`")
    place = _PLACE.search(said)
    where = ""
    # What is computed late is reported on a line as DuckDB writes it, not as it was typed.
    if place and place[2] and place[2] in sql:
        where = f"line {place[1]}, column {len(place[3]) - len(f'LINE {place[1]}: ') + 1}: "
    cause = re.sub(r"^[A-Z]\w+(?: \w+)? Error: ", "", said.splitlines()[0])
    return WatershedError(where + cause, _mend(error, said))


def _mend(error: duckdb.Error, said: str) -> str:
    offered = re.search(r'(?:Did you mean|Candidate bindings:) (".*)', said)
    if offered:
        return f"did you mean {offered[1].rstrip('?')}?"
    if "time travel" in said:
        return "AT follows the name of a table of the lake: FROM dclm.documents AT (VERSION => 3)"
    return next((mend for kind, mend in _MENDS.items() if isinstance(error, kind)), _MENDS[duckdb.Error])
