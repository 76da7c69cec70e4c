"""Where every token came from and where every document went, as plain SQL over the tables.

Backward: a training sequence to its documents, a document to its WARC record. Forward: a document to the sequences
that hold it, the models that were trained on them, and what those scored.
"""

from __future__ import annotations

import datetime
from dataclasses import dataclass
from typing import Any, TypeVar

import duckdb

from catalog.errors import WatershedError
from catalog.sql.declare import MADE
from catalog.sql.query import query

Row = TypeVar("Row")


@dataclass(frozen=True)
class Origin:
    """The WARC record of a document: where its archive is, and where in it."""

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
class Piece:
    """A document's part of a sequence: tokens [first_token, stop_token) of the sequence."""

    doc_id: str
    first_token: int
    stop_token: int
    url: str | None
    warc: str
    record_offset: int


@dataclass(frozen=True)
class Place:
    """A sequence that holds tokens [first_token, stop_token) of a document's stream."""

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
class Read:
    """A document of which a training step read `tokens` tokens, in `sequences` of its sequences."""

    doc_id: str
    tokens: int
    sequences: int
    url: str | None
    warc: str
    record_offset: int


@dataclass(frozen=True)
class Batch:
    """A training step: how many sequences it read, of which data set."""

    run: str
    step: int
    sequences: int
    shards: int
    dataset: str


@dataclass(frozen=True)
class Shard:
    """The tar file of a sequence."""

    split: str
    shard: str
    path: str
    sha256: str
    dataset: str
    sequences: int
    sequence_length: int


@dataclass(frozen=True)
class Fate:
    """What was decided about a document, at each stage that has been made; None where it was not asked."""

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
class Reader:
    """A model that was trained on a data set; `accuracy` is its mean over the tasks that it was asked."""

    table: str
    run: str
    parameters: int
    tokens: int
    heldout_bits_per_byte: float
    accuracy: float | None


ORIGIN = """
SELECT d.doc_id, d.warc, p.uri, d.record_offset, d.payload_digest, d.url, d.crawled_at, d.state, d.reason,
       d.text_bytes, d.language, d.language_score
FROM dclm.documents d JOIN dclm.pool p USING (warc) WHERE d.doc_id = $doc_id
"""

DOCUMENTS_OF_SEQUENCE = """
SELECT p.doc_id, greatest(p.start - w.start, 0) AS first_token, least(p.stop, w.stop) - w.start AS stop_token,
       d.url, d.warc, d.record_offset
FROM dclm.spans p
JOIN (SELECT split, shard, $sequence * (sequence_length + 1) AS start, ($sequence + 1) * (sequence_length + 1) AS stop
      FROM dclm.shards WHERE $sequence BETWEEN 0 AND sequences - 1) w USING (split, shard)
JOIN dclm.documents d USING (doc_id)
WHERE split = $split AND shard = $shard AND p.start < w.stop AND p.stop > w.start
ORDER BY p.start
"""

SEQUENCES_OF_DOCUMENT = """
SELECT split, shard, sequence, greatest(start - sequence * length, 0) AS first_token,
       least(stop - sequence * length, length) AS stop_token, dataset
FROM (SELECT split, shard, start, stop, sequence_length + 1 AS length, dataset, sequences,
             unnest(range(start // (sequence_length + 1), (stop - 1) // (sequence_length + 1) + 1)) AS sequence
      FROM dclm.spans JOIN dclm.shards USING (split, shard) WHERE doc_id = $doc_id)
WHERE sequence < sequences
ORDER BY split DESC, shard, sequence, first_token
"""

READ_IN_STEP = """
SELECT doc_id, sum(least(p.stop, b.stop) - greatest(p.start, b.start))::BIGINT AS tokens,
       count(DISTINCT (b.shard, b.start)) AS sequences, d.url, d.warc, d.record_offset
FROM (SELECT split, shard, place * (sequence_length + 1) AS start, (place + 1) * (sequence_length + 1) AS stop
      FROM (SELECT split, shard, dataset, unnest(sequences)::BIGINT AS place
            FROM {batches} WHERE run = $run AND step = $step)
      JOIN (SELECT split, shard, dataset, sequence_length FROM dclm.shards) USING (split, shard, dataset)) b
JOIN dclm.spans p ON p.split = b.split AND p.shard = b.shard AND p.start < b.stop AND p.stop > b.start
JOIN dclm.documents d USING (doc_id)
GROUP BY ALL ORDER BY tokens DESC, doc_id
"""

BATCH = """
SELECT run, step, sum(len(sequences))::BIGINT AS sequences, count(*) AS shards, any_value(dataset) AS dataset
FROM {batches} WHERE run = $run AND step = $step GROUP BY ALL
"""
BATCHES = ("models.batches", "moe.batches")

SHARD = """
SELECT split, shard, path, sha256, dataset, sequences, sequence_length
FROM dclm.shards WHERE split = $split AND shard = $shard
"""

READERS = """
SELECT '{models}' AS "table", m.run, m.parameters, m.tokens, m.heldout_bits_per_byte, {accuracy} AS accuracy
FROM {models} m {scores} WHERE m.dataset = $dataset
"""
SCORES_OF = {"models.checkpoints": "evals.results", "models.targets": "evals.target_results"}

FATES = {
    "dclm.verdicts": "SELECT recipe, kept, first_rule FROM dclm.verdicts WHERE doc_id = $doc_id ORDER BY recipe",
    "dclm.duplicates": "SELECT CASE WHEN NOT kept THEN kept_doc_id END AS duplicate_of, cluster_size "
    "FROM dclm.duplicates WHERE doc_id = $doc_id",
    "dclm.scores": "SELECT score, bucket FROM dclm.scores WHERE doc_id = $doc_id",
    "dclm.mixture": "SELECT split, repeats FROM dclm.mixture WHERE doc_id = $doc_id",
}


def origin(connection: duckdb.DuckDBPyConnection, doc_id: str) -> Origin:
    """The WARC record that the document was made from.

    Raises:
        WatershedError: no document has that id.
    """
    found = _rows(connection, Origin, ORIGIN, doc_id=doc_id)
    if not found:
        raise WatershedError(f"no document is called {doc_id}", "find one with SELECT doc_id, url FROM dclm.documents")
    return found[0]


def find_document(connection: duckdb.DuckDBPyConnection, prefix: str) -> str:
    """The doc_id that begins with `prefix`.

    Raises:
        WatershedError: none does, or several do.
    """
    sql = "SELECT doc_id FROM dclm.documents WHERE starts_with(doc_id, $prefix) LIMIT 2"
    found = [row["doc_id"] for row in _dicts(connection, sql, prefix=prefix.lower())]
    if len(found) == 1:
        return found[0]
    several = "several documents are" if found else "no document is"
    raise WatershedError(f"{several} called {prefix}", "find one with SELECT doc_id, url FROM dclm.documents")


def documents_of_sequence(connection: duckdb.DuckDBPyConnection, split: str, shard: str, sequence: int) -> list[Piece]:
    """The documents whose tokens make up a sequence, in order; `shard` as dclm.shards names it.

    Raises:
        WatershedError: there is no such shard, or it has fewer sequences.
    """
    held = shard_of(connection, split, shard)
    if not 0 <= sequence < held.sequences:
        raise WatershedError(
            f"{split}/{shard} has no sequence {sequence}", f"choose one of its {held.sequences}, counted from 0"
        )
    return _rows(connection, Piece, DOCUMENTS_OF_SEQUENCE, split=split, shard=shard, sequence=sequence)


def batch_of(connection: duckdb.DuckDBPyConnection, run: str, step: int) -> tuple[Batch, list[Read]]:
    """What step `step` of `run` read: its size, and its documents, those with most tokens first.

    Raises:
        WatershedError: no run has that name, it has no such step, or its shards were made anew since.
    """
    made = [table for table in BATCHES if _made(connection, table)]
    for table in made:
        found = _rows(connection, Batch, BATCH.format(batches=table), run=run, step=step)
        if found:
            documents = _rows(connection, Read, READ_IN_STEP.format(batches=table), run=run, step=step)
            if not documents:
                raise WatershedError(
                    f"{run} read the data set {found[0].dataset}, which dclm.shards does not hold any more",
                    f"make {table} again, or look at an earlier version of the tables",
                )
            return found[0], documents
    known = {
        row["run"]: row["steps"]
        for table in made
        for row in _dicts(connection, f"SELECT run, max(step) AS steps FROM {table} GROUP BY run ORDER BY run")
    }
    if run in known:
        raise WatershedError(f"{run} has no step {step}", f"choose one from 1 to {known[run]}")
    raise WatershedError(
        f"no run is called {run}" if known else "models.batches is not made yet",
        f"choose one of {', '.join(known)}" if known else "make it with `watershed make models.batches`",
    )


def shard_of(connection: duckdb.DuckDBPyConnection, split: str, shard: str) -> Shard:
    """The shard called `shard` in `split`.

    Raises:
        WatershedError: there is no such shard.
    """
    found = _rows(connection, Shard, SHARD, split=split, shard=shard)
    if not found:
        raise WatershedError(f"no shard is called {split}/{shard}", "see SELECT split, shard FROM dclm.shards")
    return found[0]


def text_of(connection: duckdb.DuckDBPyConnection, doc_id: str) -> str | None:
    """The document's text as dclm.documents holds it."""
    found = _dicts(connection, "SELECT text FROM dclm.documents WHERE doc_id = $doc_id", doc_id=doc_id)
    return found[0]["text"] if found else None


def sequences_of_document(connection: duckdb.DuckDBPyConnection, doc_id: str) -> list[Place]:
    """Every sequence that holds a part of the document; none where it is not trained on or no shards are made."""
    if not _made(connection, "dclm.spans", "dclm.shards"):
        return []
    return _rows(connection, Place, SEQUENCES_OF_DOCUMENT, doc_id=doc_id)


def fate(connection: duckdb.DuckDBPyConnection, doc_id: str) -> list[Fate]:
    """What each recipe decided about the document, and what came of it; one entry where no recipe has yet."""
    known: dict[str, Any] = {}
    verdicts: list[dict[str, Any]] = [{}]
    for table, sql in FATES.items():
        if not _made(connection, table):
            continue
        rows = _dicts(connection, sql, doc_id=doc_id)
        if table == "dclm.verdicts":
            verdicts = rows or verdicts
        elif rows:
            known |= rows[0]
    return [Fate(**verdict, **known) for verdict in verdicts]


def readers_of_dataset(connection: duckdb.DuckDBPyConnection, dataset: str) -> list[Reader]:
    """The models that were trained on the shards with this fingerprint, small ones first."""
    found: list[Reader] = []
    for models, results in SCORES_OF.items():
        if not _made(connection, models):
            continue
        scored = _made(connection, results)
        scores = f"LEFT JOIN (SELECT run, avg(correct::INT) AS accuracy FROM {results} GROUP BY run) s USING (run)"
        sql = READERS.format(
            models=models, accuracy="s.accuracy" if scored else "NULL::DOUBLE", scores=scores if scored else ""
        )
        found += _rows(connection, Reader, sql, dataset=dataset)
    return sorted(found, key=lambda reader: (reader.table, reader.parameters, reader.tokens, reader.run))


def _made(connection: duckdb.DuckDBPyConnection, *names: str) -> bool:
    states = dict(connection.execute("SELECT name, state FROM watershed.tables").fetchall())
    return all(states.get(name) == MADE for name in names)


def _rows(connection: duckdb.DuckDBPyConnection, kind: type[Row], sql: str, **parameters: Any) -> list[Row]:
    return [kind(**row) for row in _dicts(connection, sql, **parameters)]


def _dicts(connection: duckdb.DuckDBPyConnection, sql: str, **parameters: Any) -> list[dict[str, Any]]:
    found = query(connection, sql, parameters)
    assert found is not None
    return [dict(zip(found.columns, row, strict=True)) for row in found.fetchall()]
