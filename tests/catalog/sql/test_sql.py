"""SQL over the lake: connections, their errors, and the file for other clients."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path

import duckdb
import pytest

from catalog.errors import WatershedError
from catalog.lake import Lake, Part
from catalog.settings import Settings
from catalog.sql.engine import load_extension, secret_sql
from catalog.sql.query import connect, explained, export_duckdb, query
from catalog.tables import CONTRACTS
from tests.small_lake import CURATED, doc_id, good_rows, settings_in, write_lake, write_rows


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> duckdb.DuckDBPyConnection:
    """A connection to a lake with every table, for tests that only read."""
    return connect(write_lake(tmp_path_factory.mktemp("whole")))


@pytest.fixture
def lake(tmp_path: Path) -> Settings:
    """A lake with the tables from a crawl to a forecast."""
    return write_lake(tmp_path, CURATED)


def rows(connection: duckdb.DuckDBPyConnection, sql: str) -> list[tuple]:
    """The rows of a query."""
    found = query(connection, sql)
    assert found is not None
    return found.fetchall()


def test_every_table_is_a_view_with_the_rows_that_were_written(whole: duckdb.DuckDBPyConnection) -> None:
    for name, written in good_rows().items():
        assert rows(whole, f"SELECT count(*) FROM {name}") == [(len(written),)], name


def test_views_and_columns_have_the_descriptions_of_the_contract(whole: duckdb.DuckDBPyConnection) -> None:
    for contract in CONTRACTS.values():
        view = f"schema_name = '{contract.family}' AND view_name = '{contract.table}'"
        assert rows(whole, f"SELECT comment FROM duckdb_views() WHERE {view}") == [(contract.description,)]
        columns = f"schema_name = '{contract.family}' AND table_name = '{contract.table}'"
        comments = dict(rows(whole, f"SELECT column_name, comment FROM duckdb_columns() WHERE {columns}"))
        assert comments == {column.name: column.description for column in contract.columns}


def test_the_funnel_is_a_view_that_counts_every_stage(whole: duckdb.DuckDBPyConnection) -> None:
    stages = dict(rows(whole, "SELECT stage, documents FROM dclm.funnel"))
    assert stages["records in the crawl"] == 6
    assert stages["with text"] == 5
    assert stages["not a duplicate"] == 3
    assert stages["new paragraphs in the shard"] == 3
    assert stages["trained on"] == 2


def test_a_table_that_is_not_made_has_no_view_and_is_reported_as_missing(tmp_path: Path) -> None:
    connection = connect(write_lake(tmp_path, ("dclm.pool",)))
    assert rows(connection, "SELECT name FROM watershed.tables WHERE state = 'made'") == [("dclm.pool",)]
    with pytest.raises(WatershedError) as refused:
        query(connection, "SELECT * FROM dclm.shards")
    assert refused.value.cause.startswith("dclm.shards is declared but not made yet")
    assert "materialise dclm.shards" in refused.value.mend
    with pytest.raises(WatershedError, match=r"ladder\.comparisons is declared but not made yet") as refused:
        query(connection, "SELECT * FROM ladder.comparisons")
    assert refused.value.mend == "run `watershed compare`"


def test_a_view_over_missing_tables_names_them(tmp_path: Path) -> None:
    with pytest.raises(WatershedError, match=r"dclm\.funnel: needs dclm\.documents, .*not made yet"):
        query(connect(write_lake(tmp_path, ("dclm.pool",))), "FROM dclm.funnel")


def test_a_project_without_a_lake_has_a_catalog_but_no_rows(tmp_path: Path) -> None:
    connection = connect(settings_in(tmp_path))
    assert rows(connection, "SELECT count(*) FROM watershed.tables WHERE state = 'made'") == [(0,)]
    assert rows(connection, "FROM watershed.history") == []


def test_history_has_a_row_for_each_partition_that_a_commit_replaced(tmp_path: Path) -> None:
    settings = settings_in(tmp_path)
    lake, results = Lake.of(settings), CONTRACTS["evals.results"]
    parts = [Part({"run": run}, run * 4) for run in ("one1", "two2")]
    version = lake.replace_parts(results, results.schema.empty_table(), parts)
    query = f"SELECT version, partition, fingerprint FROM watershed.history WHERE version >= {version - 1}"
    assert rows(connect(settings), query) == [
        (version, "run=one1", "one1" * 4),
        (version, "run=two2", "two2" * 4),
        (version - 1, None, None),
    ]


def test_a_table_made_after_the_connection_was_opened_is_found(tmp_path: Path) -> None:
    settings = settings_in(tmp_path)
    connection = connect(settings)
    write_rows(settings, {"dclm.pool": good_rows()["dclm.pool"]})
    assert rows(connection, "SELECT count(*) FROM dclm.pool") == [(1,)]


def test_an_open_connection_sees_what_was_written_since(lake: Settings) -> None:
    connection = connect(lake)
    write_rows(lake, {"dclm.scores": good_rows()["dclm.scores"][:1]})
    assert rows(connection, "SELECT count(*) FROM dclm.scores") == [(1,)]


def test_queries_and_a_writer_do_not_block_each_other(tmp_path: Path) -> None:
    settings = write_lake(tmp_path, ("dclm.scores",))
    connection, written = connect(settings), threading.Event()

    def write() -> None:
        for _ in range(8):
            write_rows(settings, {"dclm.scores": good_rows()["dclm.scores"]})
        written.set()

    writer = threading.Thread(target=write)
    writer.start()
    asked = 0
    while not written.is_set() or not asked:
        assert rows(connection, "SELECT count(*) FROM dclm.scores") == [(3,)]
        asked += 1
    writer.join()


def test_a_broken_table_is_reported_and_the_others_are_readable(lake: Settings) -> None:
    log = Path(lake.lake_root) / "dclm" / "scores" / "_delta_log"
    for commit in log.glob("*.json"):
        commit.write_text("{nonsense")
    connection = connect(lake)
    assert rows(connection, "SELECT count(*) FROM dclm.documents") == [(6,)]
    with pytest.raises(WatershedError, match=r"dclm\.scores is damaged: .*000\.json has 9 bytes"):
        query(connection, "FROM dclm.scores")


@pytest.mark.parametrize(
    ("sql", "cause", "mend"),
    [
        ("SELECT doc_id\nFROM FROM dclm.pool", 'line 2, column 6: syntax error at or near "FROM"', "correct"),
        ("SELECT warcc FROM dclm.pool", 'Referenced column "warcc" not found', 'did you mean "warc"'),
        ("FROM dclm.documets", "documets does not exist", 'did you mean "documents"'),
        ("FROM nowhere AT (VERSION => 1)", "time travel", "AT follows the name of a table of the lake"),
        ("FROM dclm.pool AT (VERSION => 'new')", r"AT \(VERSION => 'new'\): .*'new'", "write it as AT (VERSION => 3)"),
        ("FROM dclm.pool AT (TIMESTAMP => 'noon')", "AT .*noon", "AT (TIMESTAMP => '2026-01-01 10:00')"),
        ("FROM dclm.pool AT (VERSION => 1", "syntax error at end of input", "correct"),
    ],
)
def test_the_error_for_a_wrong_statement_names_position_and_cause(
    whole: duckdb.DuckDBPyConnection, sql: str, cause: str, mend: str
) -> None:
    with pytest.raises(WatershedError, match=cause) as refused:
        query(whole, sql)
    assert mend in refused.value.mend
    assert "\n" not in refused.value.cause + refused.value.mend


def test_an_error_while_rows_are_computed_is_explained_too(whole: duckdb.DuckDBPyConnection) -> None:
    found = query(whole, "SELECT warc::INT FROM dclm.pool")
    assert found is not None
    with pytest.raises(WatershedError, match="Could not convert"), explained(whole, ""):
        found.fetchall()


def test_times_are_in_utc_wherever_the_machine_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    shown = rows(
        connect(write_lake(tmp_path, ("dclm.documents",))), "SELECT crawled_at::VARCHAR FROM dclm.documents LIMIT 1"
    )
    assert shown == [("2026-01-02 03:04:05+00",)]


def test_the_exported_file_works_in_any_client_with_the_delta_extension(lake: Settings) -> None:
    path = export_duckdb(lake, lake.project / "lake.duckdb")
    with duckdb.connect(str(path), read_only=True, config={"allow_unsigned_extensions": "true"}) as client:
        load_extension(client, "delta")
        assert client.execute("SELECT count(*) FROM dclm.documents").fetchall() == [(6,)]
        assert client.execute("SELECT count(*) FROM dclm.documents_at(0)").fetchall() == [(0,)]
        assert client.execute("SELECT count(*) FROM dclm.funnel").fetchall() == [(8,)]
        described = client.execute(
            "SELECT comment FROM duckdb_views() WHERE schema_name = 'dclm' AND view_name = 'documents'"
        ).fetchall()
        assert described == [(CONTRACTS["dclm.documents"].description,)]


def test_the_exported_file_is_replaced_under_a_reader(lake: Settings) -> None:
    path = export_duckdb(lake, lake.project / "lake.duckdb")
    with duckdb.connect(str(path), read_only=True) as reader:
        export_duckdb(lake, path)
        assert reader.execute("SELECT count(*) FROM watershed.tables").fetchall()
    assert [each.name for each in path.parent.glob("*lake.duckdb*")] == ["lake.duckdb"]


def test_a_lake_in_a_folder_with_a_quote_and_a_space_is_read(tmp_path: Path) -> None:
    folder = tmp_path / "the river's lake é"
    folder.mkdir()
    connection = connect(write_lake(folder, ("dclm.pool",)))
    assert rows(connection, "SELECT count(*) FROM dclm.pool AT (VERSION => 2)") == [(1,)]


def test_an_object_store_gets_a_secret_named_as_delta_names_its_options(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_REGION", "eu-west-1")
    options = {
        "aws_access_key_id": "it's",
        "AWS_SECRET_ACCESS_KEY": "s",
        "AWS_ENDPOINT_URL": "http://127.0.0.1:9000",
    }
    secret = secret_sql("s3://bucket/lake", options)
    for part in (
        "SCOPE 's3://bucket/lake'",
        "KEY_ID 'it''s'",
        "REGION 'eu-west-1'",
        "ENDPOINT '127.0.0.1:9000'",
        "USE_SSL 'false'",
        "URL_STYLE 'path'",
    ):
        assert part in secret


def test_importing_the_catalog_loads_nothing_heavy() -> None:
    program = "import sys, catalog; print(sorted({'duckdb', 'pyarrow', 'deltalake', 'pandas'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout == "[]\n"


def test_connecting_does_not_load_pandas(lake: Settings) -> None:
    program = (
        "import sys; from pathlib import Path; from catalog import connect, load_settings, query\n"
        "found = query(connect(load_settings(Path(sys.argv[1]))), 'FROM dclm.pool AT (VERSION => 2)').fetchall()\n"
        "print(len(found), 'pandas' in sys.modules)"
    )
    finished = subprocess.run(
        [sys.executable, "-c", program, str(lake.project)], capture_output=True, text=True, check=True
    )
    assert finished.stdout == "1 False\n"


def test_a_document_is_found_by_its_id(whole: duckdb.DuckDBPyConnection) -> None:
    found = query(whole, "SELECT url FROM dclm.documents WHERE doc_id = $doc_id", {"doc_id": doc_id(3)})
    assert found is not None
    assert found.fetchall() == [("https://lake.example/3",)]
