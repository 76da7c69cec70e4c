"""Lineage in SQL: every token of a sequence has its document, and every document its record and its models."""

from __future__ import annotations

from pathlib import Path

import duckdb
import pytest

from catalog.errors import WatershedError
from catalog.lineage import documents as lineage
from catalog.sql.query import connect
from tests.small_lake import CRAWLED, CURATED, RUNS, WARC, doc_id, plant, write_lake

LAKE = (*CURATED, "moe.models", "moe.batches")
"""What lineage reads."""


@pytest.fixture(scope="module")
def connection(tmp_path_factory: pytest.TempPathFactory) -> duckdb.DuckDBPyConnection:
    """A connection to a lake, which no test changes."""
    return connect(write_lake(tmp_path_factory.mktemp("lake"), LAKE))


def test_the_documents_of_a_sequence_cover_its_tokens_without_gap(connection: duckdb.DuckDBPyConnection) -> None:
    first = lineage.documents_of_sequence(connection, "train", "shard_00000000", 0)
    assert [(p.doc_id, p.first_token, p.stop_token) for p in first] == [(doc_id(0), 0, 6), (doc_id(2), 6, 10)]
    second = lineage.documents_of_sequence(connection, "train", "shard_00000000", 1)
    assert [(p.doc_id, p.first_token, p.stop_token) for p in second] == [(doc_id(2), 0, 3), (doc_id(2), 3, 10)]
    assert second[0].warc == WARC
    assert second[0].record_offset == 2000


def test_the_sequences_of_a_document_are_the_same_pairs_seen_from_the_other_side(
    connection: duckdb.DuckDBPyConnection,
) -> None:
    backward = {
        (piece.doc_id, f"{split}/shard_00000000/{number}", piece.first_token, piece.stop_token)
        for split, number in (("train", 0), ("train", 1), ("heldout", 0))
        for piece in lineage.documents_of_sequence(connection, split, "shard_00000000", number)
    }
    forward = {
        (id_, place.name, place.first_token, place.stop_token)
        for id_ in map(doc_id, range(6))
        for place in lineage.sequences_of_document(connection, id_)
    }
    assert forward == backward
    assert len(forward) == 5


def test_the_incomplete_sequence_at_the_end_of_a_shard_is_left_out(connection: duckdb.DuckDBPyConnection) -> None:
    longest = max(place.sequence for place in lineage.sequences_of_document(connection, doc_id(2)))
    assert longest == 1
    with pytest.raises(WatershedError, match="train/shard_00000000 has no sequence 2"):
        lineage.documents_of_sequence(connection, "train", "shard_00000000", 2)


def test_a_document_names_its_record(connection: duckdb.DuckDBPyConnection) -> None:
    found = lineage.origin(connection, doc_id(2))
    assert (found.uri, found.record_offset, found.payload_digest) == (f"crawl/{WARC}", 2000, "sha1:2")
    assert found.crawled_at == CRAWLED


def test_a_document_is_found_by_the_beginning_of_its_id(connection: duckdb.DuckDBPyConnection) -> None:
    corpus, found = lineage.find_document(connection, doc_id(3))
    assert (corpus.documents, found) == ("dclm.documents", doc_id(3))
    with pytest.raises(WatershedError, match="several documents"):
        lineage.find_document(connection, "000")
    with pytest.raises(WatershedError, match="no document"):
        lineage.find_document(connection, "abc")


def test_decisions_about_a_document_are_reported_for_every_stage(connection: duckdb.DuckDBPyConnection) -> None:
    (taken,) = lineage.decisions_about(connection, doc_id(2))
    assert (taken.kept, taken.bucket, taken.split, taken.repeats) == (True, 2, "train", 2)
    (copy,) = lineage.decisions_about(connection, doc_id(1))
    assert (copy.duplicate_of, copy.cluster_size, copy.split) == (doc_id(0), 2, None)
    (dropped,) = lineage.decisions_about(connection, doc_id(3))
    assert (dropped.kept, dropped.first_rule) == (False, "language")


def test_a_data_set_names_the_models_that_read_it(connection: duckdb.DuckDBPyConnection) -> None:
    models = lineage.models_of_dataset(connection, "da7a5e7")
    assert sorted(model.run for model in models if model.table == "models.checkpoints") == sorted(RUNS)
    assert [model.run for model in models if model.table == "models.targets"] == ["80k-4xC"]
    assert all(model.accuracy == 1.0 for model in models)
    assert lineage.models_of_dataset(connection, "another") == []


def test_a_lake_without_shards_still_knows_where_documents_come_from(tmp_path: Path) -> None:
    connection = connect(write_lake(tmp_path, ("dclm.pool", "dclm.documents")))
    assert lineage.origin(connection, doc_id(0)).warc == WARC
    assert lineage.sequences_of_document(connection, doc_id(0)) == []
    assert lineage.decisions_about(connection, doc_id(0)) == [lineage.DocumentDecisions()]
    with pytest.raises(WatershedError, match=r"dclm\.shards is declared but not made yet"):
        lineage.documents_of_sequence(connection, "train", "shard_00000000", 0)


def test_a_step_is_traced_to_the_documents_of_its_batch(connection: duckdb.DuckDBPyConnection) -> None:
    batch, documents = lineage.documents_of_step(connection, "10k-1xC", 2)
    assert (batch.sequences, batch.shards, batch.dataset) == (1, 1, "da7a5e7")
    assert [(found.doc_id, found.tokens, found.sequences) for found in documents] == [(doc_id(2), 10, 1)]
    assert lineage.documents_of_step(connection, "models.checkpoints:10k-1xC", 2) == (batch, documents)
    _, documents = lineage.documents_of_step(connection, "moe.models:10k-1xC-moe", 1)
    assert [(found.doc_id, found.tokens, found.sequences) for found in documents] == [
        (doc_id(2), 14, 2),
        (doc_id(0), 6, 1),
    ]


def test_a_step_is_not_traced_to_shards_that_replaced_those_it_read(tmp_path: Path) -> None:
    settings = write_lake(tmp_path, LAKE)
    plant(settings, "dclm.shards", {0: {"dataset": "0ther"}, 1: {"dataset": "0ther"}})
    with pytest.raises(WatershedError, match=r"da7a5e7, which dclm\.shards does not hold any more"):
        lineage.documents_of_step(connect(settings), "10k-1xC", 2)


@pytest.mark.parametrize(("run", "step", "cause"), [("10k-1xC", 9, "has no step 9"), ("none", 1, "no run is called")])
def test_a_step_that_no_run_has_is_refused(
    connection: duckdb.DuckDBPyConnection, run: str, step: int, cause: str
) -> None:
    with pytest.raises(WatershedError, match=cause) as refused:
        lineage.documents_of_step(connection, run, step)
    assert refused.value.mend
