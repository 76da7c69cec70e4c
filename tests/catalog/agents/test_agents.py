"""What strangers may read of the lake: which SQL is run, what is masked, and what ends a query."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest

from catalog.agents.guard import check_query
from catalog.agents.reader import Limits, Reader
from catalog.agents.tools import Tools
from catalog.errors import WatershedError
from catalog.lake import Lake
from catalog.settings import Settings
from catalog.tables import CONTRACTS
from tests.small_lake import write_lake

TABLES = ("dclm.pool", "dclm.documents", "dclm.shards", "dclm.spans", "scholar.papers", "cheatsheet.resources")
MAIL = "Write to ann@example.org or +39 06 555 0199 from 10.0.0.1."


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """A lake whose documents and papers hold personal data."""
    settings = write_lake(tmp_path_factory.mktemp("agents"), TABLES)
    lake = Lake.of(settings)
    for name, column, value in (
        ("dclm.documents", "text", MAIL),
        ("dclm.documents", "url", "https://example.org/~ann"),
        ("scholar.papers", "authors", ["Ann Author"]),
    ):
        rows = lake.read(name)
        at = rows.schema.get_field_index(column)
        field = rows.schema.field(at)
        lake.replace(
            CONTRACTS[name], rows.set_column(at, field, pa.array([value] * rows.num_rows, field.type)), "f" * 16
        )
    return settings


@pytest.fixture(scope="module")
def reader(project: Settings) -> Reader:
    """A reader of it."""
    return Reader(project, Limits(rows=5))


REFUSED = {
    "another statement": "CREATE TABLE t AS SELECT 1",
    "two statements": "SELECT 1; SELECT 2",
    "a file": "SELECT * FROM '{lake}/dclm/documents/*.parquet'",
    "a function that reads a file": "SELECT * FROM read_parquet('{lake}/dclm/documents/*.parquet')",
    "a Delta table by its folder": "SELECT * FROM delta_scan('{lake}/dclm/documents')",
    "the same inside a query": "SELECT (SELECT max(text) FROM delta_scan('{lake}/dclm/documents'))",
    "the same in WITH": "WITH a AS (FROM parquet_scan('{lake}/dclm/documents/*')) FROM a",
    "a file behind the name of a WITH": "WITH \"{lake}/x.parquet\" AS (SELECT 1) FROM '{lake}/x.parquet'",
    "a text file": "SELECT content FROM read_text('/etc/passwd')",
    "a function of a value": "SELECT current_setting('memory_limit')",
    "SQL in a text": "FROM query('SELECT 1')",
    "an old version": "FROM dclm.documents_at(0)",
    "secrets": "FROM duckdb_secrets()",
    "settings": "SET memory_limit = '1TB'",
    "copying": "COPY (SELECT 1) TO '/tmp/copied.csv'",
    "attaching": "ATTACH '/tmp/other.duckdb'",
    "a table of DuckDB": "FROM information_schema.tables",
    "a table that is not declared": "FROM dclm.docs",
    "a table without its family": "FROM documents",
    "a table of another catalog": "FROM memory.dclm.documents",
    "a table that is not made": "FROM ladder.fits",
    "no SQL": "SELEC 1",
    "a wrong column": "SELECT nope FROM dclm.documents",
    "nothing": "",
}


@pytest.mark.parametrize("sql", REFUSED.values(), ids=REFUSED.keys())
def test_everything_but_a_query_of_known_tables_is_refused(reader: Reader, sql: str) -> None:
    with pytest.raises(WatershedError):
        reader.query(sql.format(lake=reader.lake.root))
    assert not Path("/tmp/copied.csv").exists()


@pytest.mark.parametrize(
    ("sql", "tables"),
    [
        ("SELECT 1", set()),
        ("WITH a AS (FROM dclm.documents) SELECT count(*) FROM a JOIN dclm.pool USING (warc)", {"documents", "pool"}),
        ("SELECT x FROM range(3) r(x) WHERE x IN (SELECT 1 FROM dclm.documents)", {"documents"}),
        ("DESCRIBE SELECT * FROM dclm.documents", {"documents"}),
        ("SELECT * FROM dclm.documents UNION ALL FROM DCLM.Documents ORDER BY 1 LIMIT 2", {"documents"}),
        ("SELECT unnest([1, 2]), list_transform([1], lambda x: x + 1)", set()),
    ],
)
def test_the_tables_of_a_query_are_known_before_it_runs(reader: Reader, sql: str, tables: set[str]) -> None:
    assert check_query(sql).tables == {f"dclm.{table}" for table in tables}
    reader.query(sql)


def test_personal_data_are_masked_before_a_query_sees_them(reader: Reader) -> None:
    answer = reader.query("SELECT DISTINCT text, url FROM dclm.documents WHERE text IS NOT NULL")
    assert [len(row) for row in answer.rows] == [2]
    assert all(str(value).startswith("[personal data: ") for row in answer.rows for value in row)
    assert reader.query("SELECT count(*) FROM dclm.documents WHERE text LIKE '%ann@%'").rows == [[0]]
    assert reader.query("SELECT DISTINCT authors FROM scholar.papers").rows == [[None]]
    assert "Ann" not in str(reader.query("FROM scholar.papers"))


def test_running_text_may_be_shown_without_addresses_and_numbers(project: Settings) -> None:
    reader = Reader(project, texts=True)
    ((text,),) = reader.query("SELECT DISTINCT text FROM dclm.documents").rows
    assert text == "Write to [e-mail address] or [telephone number] from [IP address]."
    assert "Ann" not in str(reader.query("FROM scholar.papers"))


def test_rows_time_and_lengths_are_limited(project: Settings) -> None:
    reader = Reader(project, Limits(rows=3, seconds=0.5, memory="200MB"))
    answer = reader.query("SELECT x FROM range(10) r(x)")
    assert (answer.rows, answer.more) == ([[0], [1], [2]], True)
    assert not reader.query("SELECT x FROM range(3) r(x)").more
    with pytest.raises(WatershedError, match=r"took more than 0\.5 s"):
        reader.query("SELECT count(*) FROM range(1000000000) a(x), range(1000000000) b(y) WHERE hash(x, y) = 0")
    with pytest.raises(WatershedError):
        reader.query("SELECT list(x) FROM range(1000000000) a(x)")
    ((text, number),) = reader.query("SELECT repeat('a', 100000), 'NaN'::DOUBLE").rows
    assert len(text) < 3000
    assert number == "nan"


def test_a_query_reads_the_table_as_it_is_now(project: Settings, reader: Reader) -> None:
    lake = Lake.of(project)
    rows = lake.read("cheatsheet.resources")
    before = reader.query("SELECT count(*) FROM cheatsheet.resources").rows[0][0]
    lake.replace(CONTRACTS["cheatsheet.resources"], rows.slice(0, 0), "0" * 16)
    assert reader.query("SELECT count(*) FROM cheatsheet.resources").rows == [[0]]
    lake.replace(CONTRACTS["cheatsheet.resources"], rows, "1" * 16)
    assert reader.query("SELECT count(*) FROM cheatsheet.resources").rows == [[before]]


def test_the_tools_search_describe_and_trace_without_personal_data(project: Settings) -> None:
    tools = Tools(project)
    assert tools.search("documents", None, "dclm", None, None, 3)["hits"][0]["name"] == "dclm.documents"
    described = tools.describe("dclm.Documents")
    assert described["facts"]["primary key"] == "doc_id"
    assert "ann@example.org" not in str(described)
    with pytest.raises(WatershedError, match=r"close: dclm\.documents"):
        tools.describe("dclm.documets")
    doc_id = Lake.of(project).read("dclm.documents", ["doc_id"])["doc_id"][0].as_py()
    traced = tools.trace(doc_id)
    assert traced["document"]["doc_id"] == doc_id
    assert "example.org" not in str(traced)
    for thing in ("train/0/0", "'; DROP TABLE x; --"):
        try:
            found = tools.trace(thing)
        except WatershedError:
            continue
        assert "example.org" not in str(found)
