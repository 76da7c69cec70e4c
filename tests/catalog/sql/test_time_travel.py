"""Time travel in SQL by version and by time, wherever AT is allowed."""

from __future__ import annotations

import datetime
import json
import shutil
from pathlib import Path

import duckdb
import pytest

from catalog.errors import WatershedError
from catalog.lake import Lake
from catalog.settings import Settings
from catalog.sql.query import connect, query
from catalog.storage.records import RECORDS
from tests.small_lake import good_rows, tables_of, write_lake, write_rows

HOURS = tuple(datetime.datetime(2026, 1, 1, hour, tzinfo=datetime.UTC) for hour in (10, 11, 12, 13, 14))


@pytest.fixture(scope="module")
def lake(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """dclm.scores with 3, 1 and 2 rows at versions 2, 3 and 4, an hour apart; versions 0 and 1 are empty."""
    settings = write_lake(tmp_path_factory.mktemp("lake"), ("dclm.scores",))
    scores = good_rows()["dclm.scores"]
    write_rows(settings, {"dclm.scores": scores[:1]})
    write_rows(settings, {"dclm.scores": scores[:2]})
    _set_times(settings)
    return settings


@pytest.fixture(scope="module")
def connection(lake: Settings) -> duckdb.DuckDBPyConnection:
    """A connection to it, which tests read with."""
    return connect(lake)


def _set_times(settings: Settings) -> None:
    log = Path(Lake.of(settings).path("dclm.scores")) / "_delta_log"
    for hour, commit in zip(HOURS, sorted(log.glob("*.json")), strict=True):
        lines = [json.loads(line) for line in commit.read_text().splitlines()]
        for line in lines:
            if "commitInfo" in line:
                line["commitInfo"]["timestamp"] = int(hour.timestamp() * 1000)
        commit.write_text("\n".join(map(json.dumps, lines)) + "\n")
    # They are of the entries as they were written.
    shutil.rmtree(log.parent / RECORDS)


def count(connection: duckdb.DuckDBPyConnection, sql: str) -> int:
    """The single number that the query returns."""
    found = query(connection, sql)
    assert found is not None
    return found.fetchall()[0][0]


@pytest.mark.parametrize(
    ("at", "rows"),
    [
        ("", 2),
        ("AT (VERSION => 2)", 3),
        ("at(version=>3)", 1),
        ("AT (VERSION => 1 + 1)", 3),
        ("AT (TIMESTAMP => '2026-01-01 12:00')", 3),
        ("AT (TIMESTAMP => '2026-01-01 12:59:59')", 3),
        ("AT (TIMESTAMP => TIMESTAMP '2026-01-01 13:30:00')", 1),
        ("AT (TIMESTAMP => '2026-01-01 14:30:00+01:00')", 1),
        ("AT (TIMESTAMP => now())", 2),
        ("AT (VERSION => 2) AS s", 3),
        ("AT (VERSION => 2) s", 3),
        ("AS s AT (VERSION => 2)", 3),
        ("s AT (VERSION => 2)", 3),
        ("/* as it was */ AT /* then */ (VERSION => -- the third\n 2)", 3),
    ],
)
def test_at_gives_the_rows_of_that_version_or_time(connection: duckdb.DuckDBPyConnection, at: str, rows: int) -> None:
    assert count(connection, f"SELECT count(*) FROM dclm.scores {at}") == rows


def test_two_versions_of_a_table_are_compared_in_one_query(connection: duckdb.DuckDBPyConnection) -> None:
    sql = """
    SELECT count(*) FROM dclm.scores AT (VERSION => 2) AS before
    ANTI JOIN "dclm"."scores" AS after AT (VERSION => 3) USING (doc_id)
    """
    assert count(connection, sql) == 2


def test_columns_may_be_qualified_by_the_table(connection: duckdb.DuckDBPyConnection) -> None:
    sql = "SELECT count(dclm.scores.doc_id) + count(scores.score) FROM dclm.scores AT (VERSION => 2)"
    assert count(connection, sql) == 6


def test_at_works_inside_other_statements(
    lake: Settings, connection: duckdb.DuckDBPyConnection, tmp_path: Path
) -> None:
    copying = connect(lake, write=True)
    query(copying, f"COPY (FROM dclm.scores AT (VERSION => 2)) TO '{tmp_path}/old.parquet'")
    assert count(copying, f"SELECT count(*) FROM '{tmp_path}/old.parquet'") == 3
    assert (
        count(connection, "CREATE TEMP TABLE was AS FROM dclm.scores AT (VERSION => 3); SELECT count(*) FROM was") == 1
    )


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT 'é dclm.scores AT (VERSION => 99)', count(*) FROM dclm.scores AT (VERSION => 3)",
        "SELECT '', count(*) FROM dclm.scores AT (VERSION => 3) -- dclm.scores AT (VERSION => 99)",
        "SELECT '(', count(*) FROM dclm.scores AT (VERSION => (1 + (2)))",
    ],
)
def test_strings_and_comments_are_left_alone(connection: duckdb.DuckDBPyConnection, sql: str) -> None:
    found = query(connection, sql)
    assert found is not None
    assert found.fetchall()[0][1] == 1


@pytest.mark.parametrize("at", ["VERSION => 5", "VERSION => -1", "TIMESTAMP => '2026-01-01 09:59'"])
def test_out_of_range_lists_the_available_versions_and_times(connection: duckdb.DuckDBPyConnection, at: str) -> None:
    with pytest.raises(WatershedError) as refused:
        query(connection, f"FROM dclm.scores AT ({at})")
    assert "versions 0 (2026-01-01 10:00:00 UTC) to 4 (2026-01-01 14:00:00 UTC)" in refused.value.cause
    assert "watershed.history" in refused.value.mend


def test_a_view_has_no_versions(tmp_path: Path) -> None:
    with pytest.raises(WatershedError, match=r"dclm\.funnel is a view"):
        query(connect(write_lake(tmp_path, tables_of("dclm"))), "FROM dclm.funnel AT (VERSION => 0)")


def test_the_table_macro_gives_a_version_to_any_client(connection: duckdb.DuckDBPyConnection) -> None:
    assert connection.execute("SELECT count(*) FROM dclm.scores_at(2)").fetchall() == [(3,)]
    newest = "SELECT max(version) FROM watershed.history WHERE written_at < '2026-01-01 14:00:00Z'"
    connection.execute(f"SET VARIABLE v = ({newest})")
    assert connection.execute("SELECT count(*) FROM dclm.scores_at(getvariable('v'))").fetchall() == [(1,)]


def test_history_lists_every_write(connection: duckdb.DuckDBPyConnection) -> None:
    found = query(
        connection, "SELECT version, written_at::VARCHAR, fingerprint FROM watershed.history ORDER BY version"
    )
    assert found is not None
    assert found.fetchall() == [
        (version, f"2026-01-01 {10 + version}:00:00+00", "f" * 16 if version > 1 else None) for version in range(5)
    ]
