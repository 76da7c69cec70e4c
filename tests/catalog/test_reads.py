"""Which tables are read is recorded, whatever reads them."""

from __future__ import annotations

import contextvars
import threading

import pyarrow as pa
import pytest

from catalog.errors import WatershedError
from catalog.lake import Lake
from catalog.reads import recording, recording_reads
from catalog.settings import Settings
from catalog.sql.query import connect, query
from catalog.tables import CONTRACTS
from tests.small_lake import good_rows, write_lake

NAMES = ("dclm.pool", "dclm.documents", "dclm.measurements", "dclm.paragraphs", "dclm.mixture", "dclm.scores")


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """The settings of a lake with a few tables."""
    return write_lake(tmp_path_factory.mktemp("lake"), NAMES)


def test_tables_that_are_opened_or_read_are_recorded(settings: Settings) -> None:
    lake = Lake.of(settings)
    with recording_reads() as names:
        lake.read("dclm.scores", ["doc_id"])
        lake.table("dclm.pool", version=0)
    assert names == {"dclm.scores", "dclm.pool"}
    lake.read("dclm.documents", ["doc_id"])
    assert names == {"dclm.scores", "dclm.pool"}, "nothing is recorded after the block"
    assert not recording()


def test_writing_a_table_and_asking_for_its_versions_is_not_reading_it(settings: Settings) -> None:
    lake, contract = Lake.of(settings), CONTRACTS["dclm.pool"]
    rows = pa.Table.from_pylist(good_rows()["dclm.pool"], schema=contract.schema)
    with recording_reads() as names:
        lake.replace(contract, rows, "a" * 16)
        assert lake.written("dclm.pool")
        assert lake.version("dclm.scores") is not None
        assert lake.exists("dclm.documents")
    assert names == set()


def test_a_table_that_does_not_exist_is_not_recorded(settings: Settings) -> None:
    with recording_reads() as names, pytest.raises(WatershedError):
        Lake.of(settings).read("ladder.fits")
    assert names == set()


def test_the_tables_of_sql_are_recorded_and_no_literal_or_column_is(settings: Settings) -> None:
    with recording_reads() as names:
        connection = connect(settings)
        assert names == set(), "opening a connection reads no rows"
        found = connection.execute(
            "SELECT 'dclm.scores', scores.text /* dclm.mixture */ FROM dclm.documents scores "
            'JOIN "dclm" . "pool" USING (warc) WHERE doc_id <> $id -- é dclm.paragraphs',
            {"id": "x"},
        ).fetchall()
    assert len(found) == 6
    assert names == {"dclm.documents", "dclm.pool"}


def test_sql_reads_the_same_rows_while_it_is_recorded(settings: Settings) -> None:
    sql = "CREATE TEMP TABLE few AS FROM dclm.documents LIMIT 2; SELECT count(*) FROM few, dclm.scores"
    plain = connect(settings).execute(sql).fetchall()
    local = pa.table({"n": [1, 2, 3]})
    with recording_reads() as names, connect(settings) as connection:
        assert connection.execute(sql).fetchall() == plain == [(6,)]
        connection.register("local", local)
        assert connection.sql("SELECT count(*) FROM local").fetchall() == [(local.num_rows,)]
        assert names == {"dclm.documents", "dclm.scores"}
        connection.cursor().execute("FROM dclm.pool")
        assert "dclm.pool" in names


def test_a_view_counts_as_its_tables_and_a_version_as_its_table(settings: Settings) -> None:
    with recording_reads() as names:
        assert query(connect(settings), "SELECT doc_id FROM dclm.texts") is not None
    assert names == {"dclm.documents", "dclm.measurements", "dclm.paragraphs", "dclm.mixture"}
    with recording_reads() as names:
        assert query(connect(settings), "FROM dclm.scores AT (VERSION => 1), dclm.pool_at(1)") is not None
    assert names == {"dclm.scores", "dclm.pool"}


def test_wrong_sql_fails_as_it_does_without_a_record(settings: Settings) -> None:
    with recording_reads() as names, pytest.raises(WatershedError, match="syntax error"):
        query(connect(settings), "SELEKT 1")
    assert names == set()


def test_nested_records_end_in_the_outer_one(settings: Settings) -> None:
    lake = Lake.of(settings)
    with recording_reads() as outer:
        lake.read("dclm.pool")
        with recording_reads() as inner:
            lake.read("dclm.scores")
        assert inner == {"dclm.scores"}
    assert outer == {"dclm.pool", "dclm.scores"}


def test_a_thread_is_recorded_if_it_runs_in_a_copy_of_the_context(settings: Settings) -> None:
    lake = Lake.of(settings)
    with recording_reads() as names:
        for context, name in ((contextvars.copy_context(), "dclm.scores"), (contextvars.Context(), "dclm.pool")):
            thread = threading.Thread(target=context.run, args=(lake.read, name))
            thread.start()
            thread.join()
    assert names == {"dclm.scores"}
