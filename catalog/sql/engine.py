"""A DuckDB connection that reads Delta tables, offline, and the object store of the lake.

Extensions are installed as Python wheels (`duckdb-extension-delta`) and loaded by path, so that nothing is downloaded
and the lock file sets their version.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping, Sequence
from pathlib import Path
from urllib.parse import urlsplit

import duckdb

from catalog.errors import WatershedError
from catalog.lake import Lake
from catalog.literals import sql_literal
from catalog.object_store import full_options, is_object_store, virtual_hosts

SECRET = "watershed_lake"


def open_engine(lake: Lake, database: str | Path = ":memory:") -> duckdb.DuckDBPyConnection:
    """A connection that can `delta_scan` the tables of `lake`; times are shown in UTC.

    Raises:
        WatershedError: an extension is not installed, or the object store of the lake does not answer.
    """
    # Hashing the extension's 80 MB to check DuckDB's signature takes half a second; the lock file has its hash already.
    connection = duckdb.connect(str(database), config={"allow_unsigned_extensions": "true"})
    load_extension(connection, "delta")
    connection.execute("SET TimeZone = 'UTC'")
    if is_object_store(lake.root):
        # Without this, DuckDB would report an error of the server once for every table.
        lake.reach()
        load_extension(connection, "httpfs")
        connection.execute(secret_sql(lake.root, lake.storage_options))
    return connection


def confine(connection: duckdb.DuckDBPyConnection, folders: Sequence[str] | None) -> None:
    """Let SQL of `connection` use no files but those in `folders`, and lock its settings.

    `catalog.sql.statements.check_confined` refuses what DuckDB does not: writing in these folders, for one.

    Args:
        folders: folders and URL prefixes; None allows all files.
    """
    connection.execute("SET autoinstall_known_extensions = false; SET autoload_known_extensions = false")
    if folders is not None:
        connection.execute(f"SET allowed_directories = [{', '.join(map(sql_literal, folders))}]")
        connection.execute("SET enable_external_access = false")
    connection.execute("SET lock_configuration = true")


def load_extension(connection: duckdb.DuckDBPyConnection, name: str) -> None:
    """Load a DuckDB extension from its wheel, or from where DuckDB itself has installed it."""
    spec = importlib.util.find_spec(f"duckdb_extension_{name}")
    folders = [Path(place) / "extensions" for place in (spec.submodule_search_locations or ())] if spec else []
    binary = next((path for folder in folders for path in folder.glob(f"v{duckdb.__version__}/*.duckdb_extension")), "")
    try:
        connection.load_extension(str(binary or name))
    except duckdb.Error as error:
        raise WatershedError(
            f"DuckDB {duckdb.__version__} cannot load its extension {name}: {str(error).splitlines()[0]}",
            f"install duckdb-extension-{name}=={duckdb.__version__}",
        ) from error


def secret_sql(root: str, storage_options: Mapping[str, str]) -> str:
    """The CREATE SECRET that lets DuckDB read the object store of `root`.

    Options have the names that delta-rs gives them. Missing ones are taken from the AWS_ variables of the environment.
    """
    known = full_options(root, storage_options)
    entries = {
        "TYPE": "s3",
        "SCOPE": root,
        "KEY_ID": known.get("AWS_ACCESS_KEY_ID"),
        "SECRET": known.get("AWS_SECRET_ACCESS_KEY"),
        "SESSION_TOKEN": known.get("AWS_SESSION_TOKEN"),
        "REGION": known.get("AWS_REGION"),
    }
    if endpoint := known.get("AWS_ENDPOINT_URL"):
        parts = urlsplit(endpoint)
        entries |= {
            "ENDPOINT": parts.netloc + parts.path.rstrip("/"),
            "USE_SSL": str(parts.scheme == "https").lower(),
            "URL_STYLE": "vhost" if virtual_hosts(known) else "path",
        }
    options = ", ".join(f"{key} {sql_literal(value)}" for key, value in entries.items() if value)
    return f"CREATE OR REPLACE SECRET {SECRET} ({options})"
