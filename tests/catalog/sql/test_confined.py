"""SQL reads the lake and nothing else, until files or writing are allowed by name."""

from __future__ import annotations

from pathlib import Path

import duckdb
import pyarrow as pa
import pytest

from catalog.errors import WatershedError
from catalog.settings import Settings
from catalog.sql.query import connect, query
from catalog.sql.statements import check_confined
from tests.small_lake import write_lake


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """A lake of one table. No statement of this module may change it."""
    return write_lake(tmp_path_factory.mktemp("confined"), ("dclm.pool",))


@pytest.fixture(scope="module")
def connection(lake: Settings) -> duckdb.DuckDBPyConnection:
    """A connection as `catalog.connect` opens it."""
    return connect(lake)


def contents(lake: Settings) -> dict[str, bytes]:
    """Every file of the lake."""
    return {str(path): path.read_bytes() for path in Path(lake.lake_root).rglob("*") if path.is_file()}


@pytest.mark.parametrize(
    "sql",
    [
        "COPY (SELECT 1) TO 'LAKE/rows.parquet'",
        "/* rows */ COPY (SELECT 1) TO 'LAKE/rows.parquet'",
        "EXPLAIN ANALYZE COPY (SELECT 1) TO 'LAKE/rows.parquet'",
        "EXPLAIN /* COPY */ ANALYZE COPY (SELECT 1) TO 'LAKE/rows.parquet'",
        "PREPARE writing AS COPY (SELECT 1) TO 'LAKE/rows.parquet'",
        "SELECT 1; COPY (SELECT 1) TO 'LAKE/rows.parquet'",
        "EXPORT DATABASE 'LAKE/export'",
        "ATTACH 'LAKE/new.duckdb'",
        "ATTACH 'LAKE/dclm/pool' AS pool (TYPE delta)",
        "PRAGMA copy_database('memory', 'other')",
        "CALL enable_logging(storage = 'file', storage_path = 'LAKE/logs')",
        "FROM enable_logging(storage = 'file', storage_path = 'LAKE/logs')",
        "LOAD httpfs",
        "INSTALL httpfs",
        "UPDATE EXTENSIONS",
        "CREATE OR REPLACE TEMPORARY SECRET other (TYPE s3)",
    ],
)
def test_statements_that_write_or_load_are_refused_before_they_run(
    lake: Settings, connection: duckdb.DuckDBPyConnection, sql: str
) -> None:
    before = contents(lake)
    statement = sql.replace("LAKE", lake.lake_root)
    with pytest.raises(WatershedError, match="is not allowed, because the connection"):
        connection.execute(statement)
    with pytest.raises(WatershedError, match="is not allowed, because the connection"):
        query(connection, statement)
    assert contents(lake) == before


@pytest.mark.parametrize(
    "sql",
    [
        "FROM read_csv('/etc/passwd')",
        "FROM read_text('/etc/hostname')",
        "FROM '/etc/*.csv'",
        "FROM glob('/etc/*')",
        "FROM read_text('LAKE/../watershed.toml')",
        "FROM read_text('LAKE-beside/rows.txt')",
        "FROM delta_scan('OUTSIDE') LIMIT 0",
        "FROM \"delta_scan\" /* of */ ('http://127.0.0.1:1/table')",
        "CREATE MACRO other() AS TABLE FROM delta_scan('OUTSIDE')",
        "FROM query('FROM delta_' || 'scan(''OUTSIDE'')')",
        "SELECT * FROM json_execute_serialized_sql('{}')",
    ],
)
def test_files_outside_the_lake_are_refused(connection: duckdb.DuckDBPyConnection, lake: Settings, sql: str) -> None:
    with pytest.raises(WatershedError) as refused:
        query(connection, sql.replace("LAKE", lake.lake_root).replace("OUTSIDE", f"{lake.lake_root}/../other"))
    assert "connect(files=True)" in refused.value.mend or "see `watershed tables`" in refused.value.mend


@pytest.mark.parametrize("sql", ["SET threads = 1", "SET allowed_directories = ['/']", "RESET memory_limit"])
def test_settings_are_locked(connection: duckdb.DuckDBPyConnection, sql: str) -> None:
    with pytest.raises(WatershedError, match="the configuration has been locked"):
        query(connection, sql)


def test_what_only_reads_or_changes_memory_is_allowed(connection: duckdb.DuckDBPyConnection, lake: Settings) -> None:
    for sql in (
        "FROM dclm.pool",
        "FROM dclm.pool AT (VERSION => 0)",
        f"FROM read_parquet('{lake.lake_root}/dclm/pool/**/*.parquet')",
        "SELECT 'COPY' AS copy, 'delta_scan(''x'')' AS query",
        "CREATE TABLE mine AS SELECT * FROM dclm.pool; INSERT INTO mine SELECT * FROM mine; DELETE FROM mine",
        "PREPARE reading AS SELECT $1 AS given; EXECUTE reading(3)",
        "EXPLAIN ANALYZE FROM dclm.pool",
        "BEGIN; DROP TABLE IF EXISTS mine; COMMIT",
        "SET VARIABLE chosen = 3; SELECT getvariable('chosen')",
        "DESCRIBE dclm.pool",
        "PIVOT dclm.pool ON snapshot USING count(*)",
    ):
        query(connection, sql)


def test_a_data_frame_is_a_table_only_if_it_is_registered(lake: Settings) -> None:
    mine = pa.table({"snapshot": ["local"]})
    for connection in (connect(lake), connect(lake, files=True), connect(lake, write=True)):
        with pytest.raises(duckdb.CatalogException):
            connection.execute("SELECT count(*) FROM mine")
        connection.register("mine", mine)
        assert connection.execute("SELECT count(*) FROM mine").fetchall() == [(1,)]


def test_files_and_writing_are_allowed_by_name(lake: Settings, tmp_path: Path) -> None:
    source, target = tmp_path / "rows.csv", tmp_path / "copy.csv"
    source.write_text("a\n1\n")
    copy = f"COPY (FROM '{source}') TO '{target}'"
    reading = connect(lake, files=True)
    assert reading.execute(f"FROM '{source}'").fetchall() == [(1,)]
    with pytest.raises(WatershedError, match="COPY: the statement is not allowed"):
        reading.execute(copy)
    connect(lake, write=True).execute(copy)
    assert target.read_text() == source.read_text()


def test_an_attached_database_must_be_read_only(lake: Settings, tmp_path: Path) -> None:
    path = tmp_path / "mine.duckdb"
    duckdb.connect(path).execute("CREATE TABLE rows AS SELECT 3 AS a").close()
    reading = connect(lake, files=True)
    with pytest.raises(WatershedError, match="ATTACH"):
        reading.execute(f"ATTACH '{path}' AS mine")
    reading.execute(f"ATTACH '{path}' AS mine (READ_ONLY)")
    assert reading.execute("FROM mine.rows").fetchall() == [(3,)]


def test_memory_and_threads_are_settings_of_the_project(tmp_path: Path) -> None:
    (tmp_path / "watershed.toml").write_text('[sql]\nmemory_limit = "100MB"\nthreads = 1\n')
    from catalog.settings import load_settings

    connection = connect(load_settings(tmp_path))
    current = "SELECT current_setting('memory_limit'), current_setting('threads')"
    assert connection.execute(current).fetchall() == [("95.3 MiB", 1)]
    (tmp_path / "watershed.toml").write_text('[sql]\nmemory_limit = "plenty"\n')
    with pytest.raises(WatershedError, match=r"\[sql\] memory_limit = 'plenty'"):
        connect(load_settings(tmp_path))


def test_a_statement_that_cannot_be_parsed_is_left_to_duckdb(connection: duckdb.DuckDBPyConnection) -> None:
    check_confined("SELEC 1")
    with pytest.raises(WatershedError, match="syntax error"):
        query(connection, "SELEC 1")
