"""Documents, training sequences and training steps on the terminal, as `watershed trace` follows them."""

from __future__ import annotations

from collections.abc import Mapping

import duckdb
from rich.console import Console

from catalog.family import Corpus
from catalog.lineage import documents as lineage
from catalog.lineage.corpora import batches_of
from catalog.lineage.documents import (
    DocumentDecisions,
    DocumentInSequence,
    DocumentInStep,
    Origin,
    TrainedModel,
)
from catalog.lineage.readings import Reading, document_tables, documents_among, readings_of_keys
from catalog.lineage.rows import follow
from dagster_project.cli.screen.render import moment
from dagster_project.cli.screen.traced import line, print_readings, title

PLACES_SHOWN = 8


def print_document(screen: Console, connection: duckdb.DuckDBPyConnection, doc_id: str, corpus: Corpus) -> str:
    """Print where a document of a crawl comes from, what was decided about it, and which models read it.

    Returns:
        Its id.
    """
    found = lineage.origin(connection, doc_id, corpus)
    title(screen, "document", doc_id)
    _print_origin(screen, found)
    for decided in lineage.decisions_about(connection, doc_id):
        _print_fate(screen, decided)
    key = {"doc_id": doc_id}
    downstream = follow(connection, corpus.documents, key, "downstream", document_tables())
    documents = documents_among(corpus.documents, key, downstream)
    readings = readings_of_keys(connection, documents)
    mine = batches_of(corpus)
    places = print_places(screen, connection, doc_id, corpus)
    for dataset in dict.fromkeys(place.dataset for place in places):
        own = {reading.run: reading for reading in readings if reading.table in mine}
        _print_readers(screen, dataset, lineage.models_of_dataset(connection, dataset), own)
    # Mixtures that took the document have documents of their own.
    others = [reading for reading in readings if reading.table not in mine]
    print_readings(screen, others, len(documents) - 1 if others else 0)
    return doc_id


def print_places(
    screen: Console, connection: duckdb.DuckDBPyConnection, doc_id: str, corpus: Corpus
) -> list[lineage.SequenceOfDocument]:
    """Print the training sequences that hold a document, and return them."""
    places = lineage.sequences_of_document(connection, doc_id, corpus)
    if not places:
        line(screen, "sequences", "none: the document is in no shard")
    for place in places[:PLACES_SHOWN]:
        line(screen, "sequence", f"{place.name}  tokens {place.first_token:,} to {place.stop_token - 1:,}")
    if len(places) > PLACES_SHOWN:
        line(screen, "", f"and {len(places) - PLACES_SHOWN:,} more")
    return places


def print_sequence(  # noqa: PLR0917
    screen: Console, connection: duckdb.DuckDBPyConnection, split: str, shard: str, sequence: int, corpus: Corpus
) -> list[str]:
    """Print the documents of a training sequence and the models that read it; return their ids."""
    held = lineage.shard_of(connection, split, shard, corpus)
    pieces = lineage.documents_of_sequence(connection, split, shard, sequence, corpus)
    title(screen, "sequence", f"{split}/{shard}/{sequence}")
    length = held.sequence_length + 1
    line(screen, "tokens", f"{sequence * length:,} to {(sequence + 1) * length - 1:,} of the shard")
    line(screen, "shard", f"{held.path}  sha256 {held.sha256}")
    _print_pieces(screen, pieces)
    _print_readers(screen, held.dataset, lineage.models_of_dataset(connection, held.dataset))
    return [piece.doc_id for piece in pieces] if corpus.archives else []


def print_step(screen: Console, connection: duckdb.DuckDBPyConnection, run: str, step: int) -> list[str]:
    """Print what a training step read; return the ids of its documents."""
    batch, documents = lineage.documents_of_step(connection, run, step)
    title(screen, "batch", f"{run}, step {step}")
    line(screen, "read", f"{batch.sequences:,} sequences of {batch.shards:,} shards, {len(documents):,} documents")
    line(screen, "data set", batch.dataset)
    _print_read(screen, documents)
    return [document.doc_id for document in documents if document.warc]


def _print_read(screen: Console, documents: list[DocumentInStep]) -> None:
    for document in documents:
        line(screen, "document", f"{document.doc_id}  {document.tokens:>6,} tokens  {_where(document)}")


def _print_origin(screen: Console, found: Origin) -> None:
    crawled = f", crawled {moment(found.crawled_at)} UTC" if found.crawled_at else ""
    line(screen, "page", f"{found.url or 'no address'}{crawled}")
    line(screen, "archive", f"{found.uri} at byte {found.record_offset:,}  {found.payload_digest or ''}".rstrip())
    language = f", {found.language} {found.language_score or 0:.2f}" if found.language else ""
    why = f"none: {found.state}{f' ({found.reason})' if found.reason else ''}"
    line(screen, "text", f"{found.text_bytes:,} bytes{language}" if found.state == "ok" else why)


def _print_fate(screen: Console, decided: DocumentDecisions) -> None:
    if decided.recipe:
        line(screen, "verdict", f"{decided.recipe}: {'kept' if decided.kept else f'dropped by {decided.first_rule}'}")
    if decided.duplicate_of:
        line(screen, "duplicate", f"of {decided.duplicate_of}, one of {decided.cluster_size} copies")
    elif decided.cluster_size:
        line(screen, "duplicate", f"represents a cluster of {decided.cluster_size} copies")
    if decided.score is not None:
        line(screen, "score", f"{decided.score:.3f}, bucket {decided.bucket}")
    if decided.split:
        times = "once" if decided.repeats == 1 else f"{decided.repeats} times"
        line(screen, "mixture", f"{decided.split}, read {times} in a pass")


def _print_pieces(screen: Console, pieces: list[DocumentInSequence]) -> None:
    for piece in pieces:
        span = f"{piece.first_token:,} to {piece.stop_token - 1:,}"
        line(screen, "document", f"{piece.doc_id}  tokens {span:<14}  {_where(piece)}")


def _where(document: DocumentInSequence | DocumentInStep) -> str:
    """Return where a document comes from: a row of a table or file, or a record of an archive."""
    if document.warc is None:
        return document.row or ""
    return f"{document.warc} at byte {document.record_offset or 0:,}  {document.url or ''}".rstrip()


def _print_readers(
    screen: Console, dataset: str, readers: list[TrainedModel], readings: Mapping[str, Reading] | None = None
) -> None:
    """Print the models that read a data set, and how often each read the document that `readings` are of."""
    line(screen, "data set", f"{dataset}, read by {len(readers) or 'no'} {'model' if len(readers) == 1 else 'models'}")
    width = max((len(reader.run) for reader in readers), default=0)
    for reader in readers:
        accuracy = f"  accuracy {reader.accuracy:.1%}" if reader.accuracy is not None else ""
        kind = "target" if reader.table == "models.targets" else "model"
        size = f"{reader.parameters:>12,} parameters {reader.tokens:>14,} tokens"
        often = ""
        if readings is not None:
            reading = readings.get(reader.run)
            count = (
                "1 sequence"
                if reading and reading.sequences == 1
                else f"{reading.sequences if reading else 0:,} sequences"
            )
            often = (
                f"  read {count} with {reading.tokens:,} of its tokens" if reading else "  never read it in training"
            )
        loss = f"{reader.heldout_bits_per_byte:.3f} bits/byte"
        line(screen, kind, f"{reader.run:<{width}}  {size}  {loss}{accuracy}{often}")
