"""Where every token came from and where every document went, in SQL over the tables.

A training sequence or step is traced back to its documents, and a document to its WARC record. A document is traced
forward to the sequences that hold it, to the models that were trained on them, and to the accuracy of these models. The
tables are those that families declare (`catalog.family.Lineage`).
"""

from __future__ import annotations

import dataclasses
import datetime
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import duckdb

from catalog.errors import WatershedError
from catalog.sql.declare import MADE
from catalog.sql.query import query
from catalog.tables import FAMILIES

Row = TypeVar("Row")


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
    warc: str
    record_offset: int


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
    warc: str
    record_offset: int


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


@dataclass(frozen=True)
class Reading:
    """What a run has read of a document in training."""

    run: str
    sequences: int
    """Sequences with a part of it, each as often as it was read."""
    tokens: int
    """Tokens of it, each as often as it was read."""


(CORPUS,) = (family.lineage.corpus for family in FAMILIES if family.lineage.corpus)
"""The tables of documents and shards. A doc_id, or `train/0/17`, names no family, so one family alone declares them."""
DECISIONS = tuple(decision for family in FAMILIES for decision in family.lineage.decisions)
BATCHES = tuple(table for family in FAMILIES for table in family.lineage.batches)
MODELS = tuple(table for family in FAMILIES for table in family.lineage.models)
ANSWERS = {models: answers for family in FAMILIES for models, answers in family.lineage.answers.items()}

ORIGIN = """
SELECT d.doc_id, d.warc, p.uri, d.record_offset, d.payload_digest, d.url, d.crawled_at, d.state, d.reason,
       d.text_bytes, d.language, d.language_score
FROM {documents} d JOIN {archives} p USING (warc) WHERE d.doc_id = $doc_id
"""

DOCUMENTS_OF_SEQUENCE = """
SELECT p.doc_id, greatest(p.start - w.start, 0) AS first_token, least(p.stop, w.stop) - w.start AS stop_token,
       d.url, d.warc, d.record_offset
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
       count(DISTINCT (b.shard, b.start)) AS sequences, d.url, d.warc, d.record_offset
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

READINGS = """
SELECT run, count(*) AS sequences, sum(tokens)::BIGINT AS tokens
FROM (SELECT run, split, shard, dataset, unnest(sequences)::BIGINT AS sequence FROM {batches})
JOIN (SELECT split, shard, dataset, sequence, sum(stop_token - first_token) AS tokens FROM ({places}) GROUP BY ALL)
     USING (split, shard, dataset, sequence)
GROUP BY run ORDER BY run
"""

FIND_DOCUMENT = f"find one with SELECT doc_id, url FROM {CORPUS.documents}"


def origin(connection: duckdb.DuckDBPyConnection, doc_id: str) -> Origin:
    """The WARC record that the document was made from.

    Raises:
        WatershedError: no document has that id.
    """
    found = _rows(connection, Origin, ORIGIN, doc_id=doc_id)
    if not found:
        raise WatershedError(f"no document is called {doc_id}", FIND_DOCUMENT)
    return found[0]


def find_documents(connection: duckdb.DuckDBPyConnection, prefix: str) -> list[str]:
    """Up to two doc_ids that begin with `prefix`; none if there are no documents."""
    if not _made(connection, CORPUS.documents):
        return []
    sql = "SELECT doc_id FROM {documents} WHERE starts_with(doc_id, $prefix) LIMIT 2"
    return [row["doc_id"] for row in _dicts(connection, sql, prefix=prefix.lower())]


def find_document(connection: duckdb.DuckDBPyConnection, prefix: str) -> str:
    """The doc_id that begins with `prefix`.

    Raises:
        WatershedError: no doc_id begins with it, or several do.
    """
    sql = "SELECT doc_id FROM {documents} WHERE starts_with(doc_id, $prefix) LIMIT 2"
    found = [row["doc_id"] for row in _dicts(connection, sql, prefix=prefix.lower())]
    if len(found) == 1:
        return found[0]
    several = "several documents are" if found else "no document is"
    raise WatershedError(f"{several} called {prefix}", FIND_DOCUMENT)


def documents_of_sequence(
    connection: duckdb.DuckDBPyConnection, split: str, shard: str, sequence: int
) -> list[DocumentInSequence]:
    """The documents whose tokens make up a sequence, in order.

    Args:
        shard: the name of the shard in its table: `shard_00000000`.

    Raises:
        WatershedError: the shard does not exist, or it has fewer sequences.
    """
    found = shard_of(connection, split, shard)
    if not 0 <= sequence < found.sequences:
        raise WatershedError(
            f"{split}/{shard} has no sequence {sequence}", f"choose one of its {found.sequences}, counted from 0"
        )
    return _rows(connection, DocumentInSequence, DOCUMENTS_OF_SEQUENCE, split=split, shard=shard, sequence=sequence)


def documents_of_step(
    connection: duckdb.DuckDBPyConnection, run: str, step: int
) -> tuple[TrainingStep, list[DocumentInStep]]:
    """What training step `step` of `run` read: its size, and its documents by falling number of tokens.

    Raises:
        WatershedError: no run has that name, the run has no such step, or its shards have been replaced since.
    """
    made = [table for table in BATCHES if _made(connection, table)]
    for table in made:
        found = _rows(connection, TrainingStep, STEP, {"batches": table}, run=run, step=step)
        if found:
            documents = _rows(connection, DocumentInStep, DOCUMENTS_OF_STEP, {"batches": table}, run=run, step=step)
            if not documents:
                raise WatershedError(
                    f"{run} read the data set {found[0].dataset}, which {CORPUS.shards} does not hold any more",
                    f"make {table} again, or look at an earlier version of the tables",
                )
            return found[0], documents
    last_steps = {
        row["run"]: row["steps"]
        for table in made
        for row in _dicts(connection, f"SELECT run, max(step) AS steps FROM {table} GROUP BY run ORDER BY run")
    }
    if run in last_steps:
        raise WatershedError(f"{run} has no step {step}", f"choose one from 1 to {last_steps[run]}")
    raise WatershedError(
        f"no run is called {run}" if last_steps else f"{BATCHES[0]} is not made yet",
        f"choose one of {', '.join(last_steps)}" if last_steps else f"make it with `watershed make {BATCHES[0]}`",
    )


def shard_of(connection: duckdb.DuckDBPyConnection, split: str, shard: str) -> ShardFile:
    """The shard called `shard` in `split`.

    Raises:
        WatershedError: no shard has that name.
    """
    found = _rows(connection, ShardFile, SHARD, split=split, shard=shard)
    if not found:
        raise WatershedError(f"no shard is called {split}/{shard}", f"see SELECT split, shard FROM {CORPUS.shards}")
    return found[0]


def text_of(connection: duckdb.DuckDBPyConnection, doc_id: str) -> str | None:
    """The text of the document in its table; None if it has no text or does not exist."""
    found = _dicts(connection, "SELECT text FROM {documents} WHERE doc_id = $doc_id", doc_id=doc_id)
    return found[0]["text"] if found else None


def sequences_of_document(connection: duckdb.DuckDBPyConnection, doc_id: str) -> list[SequenceOfDocument]:
    """Every sequence that holds a part of the document; empty if it is in no shard or the shards are not made."""
    if not _made(connection, CORPUS.spans, CORPUS.shards):
        return []
    return _rows(connection, SequenceOfDocument, SEQUENCES_OF_DOCUMENT, doc_id=doc_id)


def readings_of_document(connection: duckdb.DuckDBPyConnection, doc_id: str) -> list[Reading]:
    """How often each run has read the document, by the records of its training steps."""
    return readings_of_documents(connection, [doc_id])


def readings_of_documents(connection: duckdb.DuckDBPyConnection, doc_ids: Sequence[str]) -> list[Reading]:
    """How often each run has read one of the documents, by the records of its training steps."""
    if not doc_ids or not _made(connection, CORPUS.spans, CORPUS.shards):
        return []
    named = "doc_id IN (SELECT unnest($doc_ids::VARCHAR[]))"
    places = SEQUENCES_OF_DOCUMENT.format(**dataclasses.asdict(CORPUS)).replace("doc_id = $doc_id", named)
    found = [
        _rows(connection, Reading, READINGS, {"batches": table, "places": places}, doc_ids=list(doc_ids))
        for table in BATCHES
        if _made(connection, table)
    ]
    return sorted((reading for each in found for reading in each), key=lambda reading: reading.run)


def decisions_about(connection: duckdb.DuckDBPyConnection, doc_id: str) -> list[DocumentDecisions]:
    """What was decided about the document, one entry for each recipe; a single entry if no recipe judged it."""
    shared: dict[str, Any] = {}
    by_recipe: list[dict[str, Any]] = []
    for decision in DECISIONS:
        if not _made(connection, decision.table):
            continue
        rows = _dicts(connection, decision.sql, doc_id=doc_id)
        if decision.by_recipe:
            by_recipe += rows
        elif rows:
            shared |= rows[0]
    return [DocumentDecisions(**each, **shared) for each in by_recipe or [{}]]


def models_of_dataset(connection: duckdb.DuckDBPyConnection, dataset: str) -> list[TrainedModel]:
    """The models that were trained on the shards with the fingerprint `dataset`, the smallest first in each table."""
    found: list[TrainedModel] = []
    for models in MODELS:
        if not _made(connection, models):
            continue
        accuracy, scores = "NULL::DOUBLE", ""
        answers = ANSWERS.get(models)
        if answers and _made(connection, answers):
            accuracy = "s.accuracy"
            scores = f"LEFT JOIN (SELECT run, avg(correct::INT) AS accuracy FROM {answers} GROUP BY run) s USING (run)"
        places = {"models": models, "accuracy": accuracy, "scores": scores}
        found += _rows(connection, TrainedModel, MODELS_OF_DATASET, places, dataset=dataset)
    return sorted(found, key=lambda model: (model.table, model.parameters, model.tokens, model.run))


def _made(connection: duckdb.DuckDBPyConnection, *names: str) -> bool:
    states = dict(connection.execute("SELECT name, state FROM watershed.tables").fetchall())
    return all(states.get(name) == MADE for name in names)


def _rows(
    connection: duckdb.DuckDBPyConnection,
    kind: type[Row],
    sql: str,
    places: Mapping[str, str] | None = None,
    **parameters: Any,
) -> list[Row]:
    """The rows of `sql` as objects of `kind`; `places` fills its braces, beside the tables of the corpus."""
    return [kind(**row) for row in _dicts(connection, sql, places, **parameters)]


def _dicts(
    connection: duckdb.DuckDBPyConnection, sql: str, places: Mapping[str, str] | None = None, **parameters: Any
) -> list[dict[str, Any]]:
    found = query(connection, sql.format(**dataclasses.asdict(CORPUS), **(places or {})), parameters)
    assert found is not None
    return [dict(zip(found.columns, row, strict=True)) for row in found.fetchall()]
