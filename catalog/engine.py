"""A DuckDB that reads Delta tables, offline, and object stores where the lake lies in one.

Extensions come as Python wheels (`duckdb-extension-delta`), whose binaries are loaded by path: no download, and
the version is the one that the lock file names.
"""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

import duckdb

from catalog.errors import WatershedError
from catalog.lake import Lake, sql_literal

SECRET = "watershed_lake"


def open_engine(lake: Lake, database: str | Path = ":memory:") -> duckdb.DuckDBPyConnection:
    """A connection that can `delta_scan` the tables of `lake`; times are shown in UTC.

    Raises:
        WatershedError: an extension is not installed.
    """
    # Hashing the extension's 80 MB to check DuckDB's signature takes half a second; the lock file has its hash already.
    connection = duckdb.connect(str(database), config={"allow_unsigned_extensions": "true"})
    load_extension(connection, "delta")
    connection.execute("SET TimeZone = 'UTC'")
    if "://" in lake.root:
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
    known = {**os.environ, **{key.upper(): value for key, value in storage_options.items()}}

    def option(*names: str) -> str | None:
        return next((known[name] for name in names if known.get(name)), None)

    endpoint = option("AWS_ENDPOINT_URL", "AWS_ENDPOINT", "ENDPOINT_URL")
    entries = {
        "TYPE": "s3",
        "SCOPE": root,
        "KEY_ID": option("AWS_ACCESS_KEY_ID", "ACCESS_KEY_ID"),
        "SECRET": option("AWS_SECRET_ACCESS_KEY", "SECRET_ACCESS_KEY"),
        "SESSION_TOKEN": option("AWS_SESSION_TOKEN", "SESSION_TOKEN"),
        "REGION": option("AWS_REGION", "AWS_DEFAULT_REGION", "REGION"),
    }
    if endpoint:
        parts = urlsplit(endpoint if "://" in endpoint else f"https://{endpoint}")
        virtual_hosts = (option("AWS_VIRTUAL_HOSTED_STYLE_REQUEST") or "false").lower() == "true"
        entries |= {
            "ENDPOINT": parts.netloc + parts.path.rstrip("/"),
            "USE_SSL": str(parts.scheme == "https").lower(),
            "URL_STYLE": "vhost" if virtual_hosts else "path",
        }
    said = ", ".join(f"{key} {sql_literal(value)}" for key, value in entries.items() if value)
    return f"CREATE OR REPLACE SECRET {SECRET} ({said})"
