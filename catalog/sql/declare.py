"""The lake in DuckDB: a schema per family and a view per table, with the descriptions of the contract as comments.

The schema `watershed` describes the lake: `watershed.tables` lists the declared tables and their states, and
`watershed.history` their versions. `dclm.documents_at(3)` is version 3 of a table.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import duckdb

from catalog.contract import Contract
from catalog.errors import WatershedError
from catalog.literals import sql_literal
from catalog.sql.views import VIEWS
from catalog.storage.log import log_faults, missing_entries, repair_advice
from catalog.storage.records import LOG
from catalog.storage.store import Store
from catalog.tables import CONTRACTS

MADE, NOT_MADE, DAMAGED = "made", "not made yet", "damaged"
"""States of tables in `watershed.tables`. What is wrong with a damaged table follows the word."""

NO_TABLE = ("Path does not exist", "No files in log segment", "No table version found")

LISTINGS = 16
"""Listings of an object store at the same time."""

LOG_ENTRY = r"/([0-9]{20})\.json$"


def declare(connection: duckdb.DuckDBPyConnection, root: str) -> list[str]:
    """Create, or bring up to date, every view of the lake under `root`, without comments; returns the views' names.

    A table that is not made or cannot be read has no view; its state in `watershed.tables` says why.
    """
    for family in sorted({name.split(".")[0] for name in (*CONTRACTS, *VIEWS)} | {"watershed"}):
        connection.execute(f"CREATE SCHEMA IF NOT EXISTS {family}")
    logs = _logs(connection, root)
    states = {name: _declare_table(connection, contract, root, *logs[name]) for name, contract in CONTRACTS.items()}
    for name, view in VIEWS.items():
        missing = [table for table in view.tables if states[table] != MADE]
        damaged = [table for table in missing if states[table] != NOT_MADE]
        states[name] = f"needs {', '.join(damaged or missing)}, {DAMAGED if damaged else NOT_MADE}" if missing else MADE
        if missing:
            connection.execute(f"DROP VIEW IF EXISTS {name}")
        else:
            connection.execute(f"CREATE OR REPLACE VIEW {name} AS {view.sql}")
    _declare_catalog(connection, root, states)
    return [name for name, state in states.items() if state == MADE]


def describe(connection: duckdb.DuckDBPyConnection, names: Iterable[str]) -> None:
    """Write the descriptions of the views `names`, and of their columns, as comments.

    For the tables of all families this takes a third of the time of `declare`.
    """
    connection.execute(";\n".join(("BEGIN", *_comments(connection, names), "COMMIT")))


def damaged_table(name: str, state: str) -> WatershedError:
    """The error of a statement that reads the table `name`, whose `state` in `watershed.tables` begins with DAMAGED."""
    return WatershedError(f"{name} is {state}", repair_advice(name))


def table_path(root: str, name: str) -> str:
    """Folder or URL of the table `name`, as `catalog.lake.Lake.path` gives it."""
    return f"{root}/{name.replace('.', '/')}"


def _declare_table(
    connection: duckdb.DuckDBPyConnection, contract: Contract, root: str, logged: bool, fault: str | None
) -> str:
    path = table_path(root, contract.name)
    if fault or not logged:
        # What was declared before the damage must not answer either.
        connection.execute(f"DROP VIEW IF EXISTS {contract.name}; DROP MACRO TABLE IF EXISTS {contract.name}_at")
        return f"{DAMAGED}: {path}/{fault}" if fault else NOT_MADE
    scan = f"delta_scan({sql_literal(path)}"
    try:
        connection.execute(f"CREATE OR REPLACE VIEW {contract.name} AS FROM {scan})")
    except duckdb.Error as error:
        connection.execute(f"DROP VIEW IF EXISTS {contract.name}")
        message = str(error).splitlines()[0]
        return NOT_MADE if any(sign in message for sign in NO_TABLE) else f"{DAMAGED}: {message}"
    connection.execute(
        f"CREATE OR REPLACE MACRO {contract.name}_at(at_version) AS TABLE FROM {scan}, version => at_version::UBIGINT)"
    )
    return MADE


def _logs(connection: duckdb.DuckDBPyConnection, root: str) -> dict[str, tuple[bool, str | None]]:
    """Whether each table has a log, and the log's first fault: None for a sound log, and for no table at all."""

    def look(name: str) -> tuple[bool, str | None]:
        store = Store(table_path(root, name))
        if store.local:
            logged, faults = (Path(store.root) / LOG).is_dir(), log_faults(store)
        else:
            # DuckDB has the keys of the object store, and one listing holds the log and its records.
            found = connection.cursor().sql(f"FROM glob({sql_literal(f'{store.root}/_*/*')})").fetchall()
            names = [path.removeprefix(f"{store.root}/") for (path,) in found]
            # DuckDB's own look for a table that is not there takes several requests more.
            logged, faults = any(each.startswith(f"{LOG}/") for each in names), missing_entries(store, names)
        return logged, str(faults[0]) if faults else None

    if "://" not in root:
        return {name: look(name) for name in CONTRACTS}
    with ThreadPoolExecutor(LISTINGS) as pool:
        return dict(zip(CONTRACTS, pool.map(look, CONTRACTS), strict=True))


def _declare_catalog(connection: duckdb.DuckDBPyConnection, root: str, states: dict[str, str]) -> None:
    connection.execute(
        "CREATE OR REPLACE TABLE watershed.tables "
        "(name VARCHAR, kind VARCHAR, state VARCHAR, path VARCHAR, description VARCHAR, owner VARCHAR, licence VARCHAR)"
    )
    rows = [
        (c.name, "table", states[c.name], table_path(root, c.name), c.description, c.owner, c.licence)
        for c in CONTRACTS.values()
    ] + [(name, "view", states[name], None, view.description, None, None) for name, view in VIEWS.items()]
    values = ", ".join(f"({', '.join(map(sql_literal, row))})" for row in rows)
    connection.execute(f"INSERT INTO watershed.tables VALUES {values}")
    made = [name for name in CONTRACTS if states[name] == MADE]
    connection.execute(f"CREATE OR REPLACE VIEW watershed.history AS {_history_sql(root, made)}")
    connection.execute(f"CREATE OR REPLACE VIEW watershed.removals AS {_removals_sql(connection, root)}")


def _removals_sql(connection: duckdb.DuckDBPyConnection, root: str) -> str:
    """The list of removals: a row for each digest that an order names (`catalog.lineage.removal.orders`)."""
    columns = {
        "id": "VARCHAR",
        "ordered_at": "TIMESTAMPTZ",
        "done_at": "TIMESTAMPTZ",
        "reason": "VARCHAR",
        "keys": "JSON",
    }
    # DuckDB looks for the files of a view when the view is made.
    pattern = sql_literal(f"{_literal_glob(root)}/_removals/*.json")
    there = connection.cursor().sql(f"FROM glob({pattern}) LIMIT 1").fetchall()
    typed = ", ".join(f"{name}: '{kind}'" for name, kind in columns.items())
    none = ", ".join(f"NULL::{kind} AS {name}" for name, kind in columns.items())
    files = f"read_json({pattern}, columns = {{{typed}}}, format = 'unstructured')" if there else f"(SELECT {none})"
    return f"""
    SELECT id AS removal, ordered_at, done_at, reason, identity,
           unnest((keys -> ('$."' || identity || '"'))::VARCHAR[]) AS digest
    FROM (SELECT *, unnest(json_keys(keys)) AS identity FROM {files} WHERE id IS NOT NULL)
    """


def _history_sql(root: str, made: list[str]) -> str:
    """Versions of the tables from their Delta logs, newest first, with the note of `catalog.lake`: a row for each
    partition that the version replaced."""
    if not made:
        return (
            "SELECT NULL::VARCHAR AS name, NULL::BIGINT AS version, NULL::TIMESTAMPTZ AS written_at, "
            "NULL::VARCHAR AS operation, NULL::VARCHAR AS partition, NULL::VARCHAR AS fingerprint, "
            "NULL::VARCHAR AS code WHERE false"
        )
    logs = {name: f"{table_path(root, name)}/_delta_log/" for name in made}
    globs = ", ".join(sql_literal(f"{_literal_glob(log)}*.json") for log in logs.values())
    names = ", ".join(f"({sql_literal(name)}, {sql_literal(log)})" for name, log in logs.items())
    return f"""
    SELECT name, regexp_extract(filename, '{LOG_ENTRY}', 1)::BIGINT AS version,
           to_timestamp((commit ->> '$.timestamp')::BIGINT / 1000) AS written_at,
           commit ->> '$.operation' AS operation, part ->> '$.partition' AS partition,
           part ->> '$.fingerprint' AS fingerprint, note ->> '$.code' AS code
    FROM (
        SELECT filename, commit, note, unnest(coalesce((note -> '$.written')::JSON[], [note])) AS part
        FROM (
            SELECT filename, commitInfo AS commit, TRY_CAST(commitInfo ->> '$.userMetadata' AS JSON) AS note
            FROM read_json([{globs}], columns = {{commitInfo: 'JSON'}}, format = 'newline_delimited', filename = true,
                           ignore_errors = true)
            WHERE commitInfo IS NOT NULL AND regexp_matches(filename, '{LOG_ENTRY}')
        )
    ) JOIN (VALUES {names}) AS logs(name, log) ON starts_with(filename, log)
    ORDER BY name, version DESC, partition
    """


def _literal_glob(path: str) -> str:
    return path.replace("[", "[[]").replace("*", "[*]").replace("?", "[?]")


def _comments(connection: duckdb.DuckDBPyConnection, names: Iterable[str]) -> Iterator[str]:
    present = set(
        connection.execute(
            "SELECT schema_name || '.' || table_name, column_name FROM duckdb_columns() WHERE NOT internal"
        ).fetchall()
    )
    views = {name for name, _ in present}
    for name in names:
        contract = CONTRACTS.get(name)
        declared = contract or VIEWS.get(name)
        # Views may have been dropped, and another project's tables may have taken the place of those of this one.
        if declared is None or name not in views:
            continue
        yield f"COMMENT ON VIEW {name} IS {sql_literal(declared.description)}"
        for column in contract.columns if contract else ():
            if (name, column.name) in present:
                yield f"COMMENT ON COLUMN {name}.{column.name} IS {sql_literal(column.description)}"
