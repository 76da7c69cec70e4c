"""Where every token came from and where every document went, in SQL over the tables.

A training sequence or step is traced back to its documents, and a document to its WARC record. A document is traced
forward to the sequences that hold it, to the models that were trained on them, and to the accuracy of these models; how
often each has read it, `catalog.lineage.readings` counts. The tables are those of a corpus (`catalog.lineage.corpora`):
of the first one, where none is given.
"""

from __future__ import annotations

import datetime
from dataclasses import dataclass
from typing import Any

import duckdb

from catalog.errors import WatershedError
from catalog.family import Corpus
from catalog.lineage.corpora import (
    answers_of,
    batch_tables,
    corpora,
    corpus_of_batches,
    decisions,
    dicts,
    first_corpus,
    made,
    model_tables,
    readable,
    rows,
)
from catalog.lineage.links import links
from catalog.tables import CONTRACTS


@dataclass(frozen=True)
class Origin:
    """The WARC record that a document was made from, and what was made of it."""

    doc_id: str
    warc: str
    uri: str
    record_offset: int
    payload_digest: str | None
    url: str | None
    crawled_at: datetime.datetime | None
    state: str
    reason: str | None
    text_bytes: int
    language: str | None
    language_score: float | None


@dataclass(frozen=True)
class DocumentInSequence:
    """A document, or a part of it, in a sequence: tokens [first_token, stop_token) of the sequence."""

    doc_id: str
    first_token: int
    stop_token: int
    url: str | None
    warc: str | None
    record_offset: int | None
    row: str | None
    """The row of another table, or of a file, that the document was made from; None if it is the record of an
    archive."""


@dataclass(frozen=True)
class SequenceOfDocument:
    """A sequence that holds a document, or a part of it, as its tokens [first_token, stop_token)."""

    split: str
    shard: str
    sequence: int
    first_token: int
    stop_token: int
    dataset: str

    @property
    def name(self) -> str:
        """`split/shard/sequence`."""
        return f"{self.split}/{self.shard}/{self.sequence}"


@dataclass(frozen=True)
class DocumentInStep:
    """A document in a training step: the step read `tokens` of its tokens, in `sequences` sequences."""

    doc_id: str
    tokens: int
    sequences: int
    url: str | None
    warc: str | None
    record_offset: int | None
    row: str | None
    """As in `DocumentInSequence`."""


@dataclass(frozen=True)
class TrainingStep:
    """A training step: how many sequences it read, and from which data set."""

    run: str
    step: int
    sequences: int
    shards: int
    dataset: str


@dataclass(frozen=True)
class ShardFile:
    """A tar file of token sequences."""

    split: str
    shard: str
    path: str
    sha256: str
    dataset: str
    sequences: int
    sequence_length: int


@dataclass(frozen=True)
class DocumentDecisions:
    """What each stage of curation decided about a document; None for a stage that has not decided."""

    recipe: str | None = None
    kept: bool | None = None
    first_rule: str | None = None
    duplicate_of: str | None = None
    cluster_size: int | None = None
    score: float | None = None
    bucket: int | None = None
    split: str | None = None
    repeats: int | None = None


@dataclass(frozen=True)
class TrainedModel:
    """A model that was trained on a data set; `accuracy` is its mean over the examples that it answered."""

    table: str
    run: str
    parameters: int
    tokens: int
    heldout_bits_per_byte: float
    accuracy: float | None


ORIGIN = """
SELECT d.doc_id, d.warc, p.uri, d.record_offset, d.payload_digest, d.url, d.crawled_at, d.state, d.reason,
       d.text_bytes, d.language, d.language_score
FROM {documents} d JOIN {archives} p USING (warc) WHERE d.doc_id = $doc_id
"""

DOCUMENTS_OF_SEQUENCE = """
SELECT p.doc_id, greatest(p.start - w.start, 0) AS first_token, least(p.stop, w.stop) - w.start AS stop_token,
       {origin}
FROM {spans} p
JOIN (SELECT split, shard, $sequence * (sequence_length + 1) AS start, ($sequence + 1) * (sequence_length + 1) AS stop
      FROM {shards} WHERE $sequence BETWEEN 0 AND sequences - 1) w USING (split, shard)
JOIN {documents} d USING (doc_id)
WHERE split = $split AND shard = $shard AND p.start < w.stop AND p.stop > w.start
ORDER BY p.start
"""

SEQUENCES_OF_DOCUMENT = """
SELECT split, shard, sequence, greatest(start - sequence * length, 0) AS first_token,
       least(stop - sequence * length, length) AS stop_token, dataset
FROM (SELECT split, shard, start, stop, sequence_length + 1 AS length, dataset, sequences,
             unnest(range(start // (sequence_length + 1), (stop - 1) // (sequence_length + 1) + 1)) AS sequence
      FROM {spans} JOIN {shards} USING (split, shard) WHERE doc_id = $doc_id)
WHERE sequence < sequences
ORDER BY split DESC, shard, sequence, first_token
"""

DOCUMENTS_OF_STEP = """
SELECT doc_id, sum(least(p.stop, b.stop) - greatest(p.start, b.start))::BIGINT AS tokens,
       count(DISTINCT (b.shard, b.start)) AS sequences, {origin}
FROM (SELECT split, shard, place * (sequence_length + 1) AS start, (place + 1) * (sequence_length + 1) AS stop
      FROM (SELECT split, shard, dataset, unnest(sequences)::BIGINT AS place
            FROM {batches} WHERE run = $run AND step = $step)
      JOIN (SELECT split, shard, dataset, sequence_length FROM {shards}) USING (split, shard, dataset)) b
JOIN {spans} p ON p.split = b.split AND p.shard = b.shard AND p.start < b.stop AND p.stop > b.start
JOIN {documents} d USING (doc_id)
GROUP BY ALL ORDER BY tokens DESC, doc_id
"""

STEP = """
SELECT run, step, sum(len(sequences))::BIGINT AS sequences, count(*) AS shards, any_value(dataset) AS dataset
FROM {batches} WHERE run = $run AND step = $step GROUP BY ALL
"""

SHARD = """
SELECT split, shard, path, sha256, dataset, sequences, sequence_length
FROM {shards} WHERE split = $split AND shard = $shard
"""

MODELS_OF_DATASET = """
SELECT '{models}' AS "table", m.run, m.parameters, m.tokens, m.heldout_bits_per_byte, {accuracy} AS accuracy
FROM {models} m {scores} WHERE m.dataset = $dataset
"""


def origin(connection: duckdb.DuckDBPyConnection, doc_id: str, corpus: Corpus | None = None) -> Origin:
    """The WARC record that the document was made from.

    Args:
        connection: what `catalog.connect` returned.
        doc_id: the document.
        corpus: a corpus with archives.

    Raises:
        WatershedError: no document has that id.
    """
    corpus = corpus or corpora()[0]
    found = rows(connection, Origin, ORIGIN, corpus, doc_id=doc_id)
    if not found:
        raise WatershedError(f"no document is called {doc_id}", _find(corpus))
    return found[0]


def find_documents(connection: duckdb.DuckDBPyConnection, prefix: str, corpus: Corpus) -> list[str]:
    """Up to two doc_ids of a corpus that begin with `prefix`; none if there are no documents."""
    if not readable(connection, corpus.documents):
        return []
    sql = "SELECT doc_id FROM {documents} WHERE starts_with(doc_id, $prefix) LIMIT 2"
    return [row["doc_id"] for row in dicts(connection, sql, corpus, prefix=prefix.lower())]


def find_document(connection: duckdb.DuckDBPyConnection, prefix: str) -> tuple[Corpus, str]:
    """The document whose doc_id begins with `prefix`, and the corpus that it is of: the first that has one.

    Raises:
        WatershedError: no doc_id begins with it, several do, or a table of documents cannot be read.
    """
    for corpus in corpora():
        found = find_documents(connection, prefix, corpus)
        if len(found) == 1:
            return corpus, found[0]
        if found:
            raise WatershedError(f"several documents are called {prefix}", _find(corpus))
    if not any(made(connection, corpus.documents) for corpus in corpora()):
        # The error names the table that is to be made.
        dicts(connection, "SELECT 1 AS found FROM {documents} LIMIT 1", corpora()[0])
    raise WatershedError(f"no document is called {prefix}", _find(first_corpus(connection)))


def _find(corpus: Corpus) -> str:
    shown = [name for name in ("doc_id", "url", "source") if name in CONTRACTS[corpus.documents].schema.names]
    return f"find one with SELECT {', '.join(shown)} FROM {corpus.documents}"


def documents_of_sequence(
    connection: duckdb.DuckDBPyConnection, split: str, shard: str, sequence: int, corpus: Corpus | None = None
) -> list[DocumentInSequence]:
    """The documents whose tokens make up a sequence, in order.

    Args:
        connection: what `catalog.connect` returned.
        split: the split of the shard.
        shard: the name of the shard in its table: `shard_00000000`.
        sequence: the number of the sequence in the shard, from 0.
        corpus: the corpus that the shard is of.

    Raises:
        WatershedError: the shard does not exist, or it has fewer sequences.
    """
    corpus = corpus or first_corpus(connection)
    found = shard_of(connection, split, shard, corpus)
    if not 0 <= sequence < found.sequences:
        raise WatershedError(
            f"{split}/{shard} has no sequence {sequence}", f"choose one of its {found.sequences}, counted from 0"
        )
    place: dict[str, Any] = {"split": split, "shard": shard, "sequence": sequence}
    return rows(connection, DocumentInSequence, DOCUMENTS_OF_SEQUENCE, corpus, **place)


def documents_of_step(
    connection: duckdb.DuckDBPyConnection, run: str, step: int
) -> tuple[TrainingStep, list[DocumentInStep]]:
    """What training step `step` of `run` read: its size, and its documents by falling number of tokens.

    Args:
        connection: what `catalog.connect` returned.
        run: the name of the run, or TABLE:NAME with a table of models or batches, where runs of several have the name.
        step: the step, from 1.

    Raises:
        WatershedError: no run has that name, the run has no such step, or its shards have been replaced since.
    """
    table, _, name = run.rpartition(":")
    named = {link.table for link in links() if link.upstream == table and link.columns == ("run",)}
    of_table = [each for each in batch_tables() if each == table or each in named]
    run = name if table and of_table else run
    there = [each for each in of_table if table] or list(batch_tables())
    there = [each for each in there if made(connection, each)]
    for batches in there:
        corpus, places = corpus_of_batches(batches), {"batches": batches}
        found = rows(connection, TrainingStep, STEP, corpus, places, run=run, step=step)
        if found:
            documents = rows(connection, DocumentInStep, DOCUMENTS_OF_STEP, corpus, places, run=run, step=step)
            if not documents:
                raise WatershedError(
                    f"{run} read the data set {found[0].dataset}, which {corpus.shards} does not hold any more",
                    f"make {batches} again, or look at an earlier version of the tables",
                )
            return found[0], documents
    last_steps = {
        row["run"]: row["steps"]
        for each in there
        for row in dicts(
            connection,
            "SELECT run, max(step) AS steps FROM {batches} GROUP BY run ORDER BY run",
            corpus_of_batches(each),
            {"batches": each},
        )
    }
    if run in last_steps:
        raise WatershedError(f"{run} has no step {step}", f"choose one from 1 to {last_steps[run]}")
    first = (of_table if table and of_table else batch_tables())[0]
    raise WatershedError(
        f"no run is called {run}" if last_steps else f"{first} is not made yet",
        f"choose one of {', '.join(last_steps)}" if last_steps else f"make it with `watershed make {first}`",
    )


def shard_of(connection: duckdb.DuckDBPyConnection, split: str, shard: str, corpus: Corpus | None = None) -> ShardFile:
    """The shard called `shard` in `split`.

    Raises:
        WatershedError: no shard has that name.
    """
    corpus = corpus or first_corpus(connection)
    found = rows(connection, ShardFile, SHARD, corpus, split=split, shard=shard)
    if not found:
        raise WatershedError(f"no shard is called {split}/{shard}", f"see SELECT split, shard FROM {corpus.shards}")
    return found[0]


def text_of(connection: duckdb.DuckDBPyConnection, doc_id: str) -> str | None:
    """The text of the document in the table of the first corpus; None if it has no text or does not exist."""
    found = dicts(connection, "SELECT text FROM {documents} WHERE doc_id = $doc_id", corpora()[0], doc_id=doc_id)
    return found[0]["text"] if found else None


def sequences_of_document(
    connection: duckdb.DuckDBPyConnection, doc_id: str, corpus: Corpus | None = None
) -> list[SequenceOfDocument]:
    """Every sequence that holds a part of the document; empty if it is in no shard or the shards are not made."""
    corpus = corpus or corpora()[0]
    if not readable(connection, corpus.spans, corpus.shards):
        return []
    return rows(connection, SequenceOfDocument, SEQUENCES_OF_DOCUMENT, corpus, doc_id=doc_id)


def decisions_about(connection: duckdb.DuckDBPyConnection, doc_id: str) -> list[DocumentDecisions]:
    """What was decided about the document, one entry for each recipe; a single entry if no recipe judged it."""
    shared: dict[str, Any] = {}
    by_recipe: list[dict[str, Any]] = []
    for decision in decisions():
        if not made(connection, decision.table):
            continue
        found = dicts(connection, decision.sql, corpora()[0], doc_id=doc_id)
        if decision.by_recipe:
            by_recipe += found
        elif found:
            shared |= found[0]
    return [DocumentDecisions(**each, **shared) for each in by_recipe or [{}]]


def models_of_dataset(connection: duckdb.DuckDBPyConnection, dataset: str) -> list[TrainedModel]:
    """The models that were trained on the shards with the fingerprint `dataset`, the smallest first in each table."""
    found: list[TrainedModel] = []
    for models in model_tables():
        if not made(connection, models):
            continue
        accuracy, scores = "NULL::DOUBLE", ""
        answers = answers_of(models)
        if answers and made(connection, answers):
            accuracy = "s.accuracy"
            scores = f"LEFT JOIN (SELECT run, avg(correct::INT) AS accuracy FROM {answers} GROUP BY run) s USING (run)"
        places = {"models": models, "accuracy": accuracy, "scores": scores}
        found += rows(connection, TrainedModel, MODELS_OF_DATASET, corpora()[0], places, dataset=dataset)
    return sorted(found, key=lambda model: (model.table, model.parameters, model.tokens, model.run))
