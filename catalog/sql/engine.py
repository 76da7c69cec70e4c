"""A DuckDB that reads Delta tables, offline, and object stores where the lake lies in one.

Extensions come as Python wheels (`duckdb-extension-delta`), whose binaries are loaded by path: no download, and
the version is the one that the lock file names.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

import duckdb

from catalog.errors import WatershedError
from catalog.lake import Lake, sql_literal
from catalog.object_store import full_options, is_object_store, virtual_hosts

SECRET = "watershed_lake"


def open_engine(lake: Lake, database: str | Path = ":memory:") -> duckdb.DuckDBPyConnection:
    """A connection that can `delta_scan` the tables of `lake`; times are shown in UTC.

    Raises:
        WatershedError: an extension is not installed, or the lake's object store does not serve.
    """
    # Hashing the extension's 80 MB to check DuckDB's signature takes half a second; the lock file has its hash already.
    connection = duckdb.connect(str(database), config={"allow_unsigned_extensions": "true"})
    load_extension(connection, "delta")
    connection.execute("SET TimeZone = 'UTC'")
    if is_object_store(lake.root):
        # DuckDB would say of every table by itself what is wrong with the server.
        lake.reach()
        load_extension(connection, "httpfs")
        connection.execute(secret_sql(lake.root, lake.storage_options))
    return connection


def load_extension(connection: duckdb.DuckDBPyConnection, name: str) -> None:
    """Load a DuckDB extension from its wheel, or else from where DuckDB itself installed it."""
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

    Options are named as delta-rs names them; what is missing is taken from the environment's AWS_ variables.
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
    said = ", ".join(f"{key} {sql_literal(value)}" for key, value in entries.items() if value)
    return f"CREATE OR REPLACE SECRET {SECRET} ({said})"
