"""Which models have read a document, and how often, by the records of their training steps.

A row of any table is followed to the documents that it became, in every corpus: a note that was added, to the documents
of the mixtures that took it; an archive, to its documents.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import duckdb

from catalog.family import Corpus
from catalog.lineage.corpora import batches_of, corpora, filled, readable, rows
from catalog.lineage.documents import SEQUENCES_OF_DOCUMENT
from catalog.lineage.rows import Reached
from catalog.sql.connection import LakeConnection
from catalog.tables import CONTRACTS


@dataclass(frozen=True)
class Reading:
    """What a run has read of documents in training."""

    run: str
    sequences: int
    """Sequences with a part of it, each as often as it was read."""
    tokens: int
    """Tokens of it, each as often as it was read."""
    table: str
    """The table of the training steps: `models.batches`. Runs of two tables may have the same name."""


READINGS = """
SELECT run, count(*) AS sequences, sum(tokens)::BIGINT AS tokens, '{batches}' AS "table"
FROM (SELECT run, split, shard, dataset, unnest(sequences)::BIGINT AS sequence FROM {batches})
JOIN (SELECT split, shard, dataset, sequence, sum(stop_token - first_token) AS tokens FROM ({places}) GROUP BY ALL)
     USING (split, shard, dataset, sequence)
GROUP BY run ORDER BY run
"""


def readings_of_documents(
    connection: duckdb.DuckDBPyConnection, doc_ids: Sequence[str], corpus: Corpus | None = None
) -> list[Reading]:
    """How often each run has read one of the documents, by the records of its training steps.

    Args:
        connection: what `catalog.connect` returned.
        doc_ids: documents of the corpus.
        corpus: the corpus; by default the first one.
    """
    corpus = corpus or corpora()[0]
    if not doc_ids or not readable(connection, corpus.spans, corpus.shards):
        return []
    named = "doc_id IN (SELECT unnest($doc_ids::VARCHAR[]))"
    places = filled(SEQUENCES_OF_DOCUMENT, corpus).replace("doc_id = $doc_id", named)
    found = [
        rows(connection, Reading, READINGS, corpus, {"batches": table, "places": places}, doc_ids=list(doc_ids))
        for table in batches_of(corpus)
        if readable(connection, table)
    ]
    return sorted((each for some in found for each in some), key=lambda each: (each.run, each.table))


def readings_of_keys(
    connection: duckdb.DuckDBPyConnection | LakeConnection, documents: Mapping[str, Sequence[str]]
) -> tuple[Reading, ...]:
    """How often each run has read one of the documents, which are given by their table."""
    return tuple(
        reading
        for corpus in corpora()
        for reading in readings_of_documents(
            cast(duckdb.DuckDBPyConnection, connection), documents.get(corpus.documents, ()), corpus
        )
    )


def documents_among(table: str, key: Mapping[str, Any], downstream: Iterable[Reached]) -> dict[str, list[str]]:
    """The doc_ids that a trace has reached, by their table: of the traced rows, and of those that they became.

    Args:
        table: the table of the traced rows.
        key: the columns that name them, and their values.
        downstream: the rows that they became, with all keys of documents.
    """
    found = {
        each.table: [str(one["doc_id"]) for one in each.keys] for each in downstream if each.table in document_tables()
    }
    if table in document_tables() and list(key) == ["doc_id"]:
        found[table] = [str(key["doc_id"])]
    return found


def document_tables() -> frozenset[str]:
    """The tables of documents whose readings are counted: those whose rows are named by their doc_id alone."""
    names = (each.documents for each in corpora())
    return frozenset(name for name in names if CONTRACTS[name].primary_key == ("doc_id",))
