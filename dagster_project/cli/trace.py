"""The command `watershed trace`: follows a document to the models, or a training sequence or step to its documents."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import click

from catalog.errors import WatershedError
from dagster_project.cli.screen.errors import user_errors
from dagster_project.cli.screen.say import say

if TYPE_CHECKING:
    import duckdb
    from rich.console import Console

    from catalog.lineage.documents import (
        DocumentDecisions,
        DocumentInSequence,
        DocumentInStep,
        Origin,
        TrainedModel,
    )
    from catalog.settings import Settings

PLACES_SHOWN = 8
LABEL = 11


@click.command("trace")
@click.argument("what", metavar="DOC_ID|SPLIT/SHARD/SEQUENCE", required=False)
@click.option("--run", metavar="NAME", help="A training run, as the table models.batches names it. It needs --step.")
@click.option("--step", type=click.IntRange(1), metavar="NUMBER", help="The optimiser step of the run, counted from 1.")
@click.option(
    "--text",
    is_flag=True,
    help="Reads each text from its WARC archive again, prints it, and compares it with the text in the lake.",
)
@user_errors()
def trace_command(what: str | None, run: str | None, step: int | None, text: bool) -> None:
    """Follow a document to the models that read it, or a training sequence or step to its web pages.

    \b
    Examples:
      # A document, by its id or by the beginning of its id.
      watershed trace 3f0c12ab
      # The 18th sequence of the first training shard, then with the text of its documents.
      watershed trace train/0/17
      watershed trace train/0/17 --text
      # The documents in the third batch of a run.
      watershed trace --run 70k-1xC --step 3
    """
    if (what is None) == (run is None) or (run is None) != (step is None):
        raise click.UsageError("name a document, a sequence, or --run and --step together")
    from catalog.settings import load_settings
    from catalog.sql.query import connect
    from dagster_project.cli.screen.render import console

    settings = load_settings()
    connection = connect(settings)
    screen = console()
    if run is not None and step is not None:
        documents = _trace_step(screen, connection, run, step)
    elif what is not None and "/" in what:
        documents = _trace_sequence(screen, connection, *_parse(what))
    else:
        documents = [_trace_document(screen, connection, what or "")]
    for doc_id in dict.fromkeys(documents) if text else ():
        _print_text(screen, settings, connection, doc_id)


def read_again(settings: Settings, found: Origin) -> tuple[str, str]:
    """Read a document again from its archive, and return its payload digest and text.

    Raises:
        WatershedError: The archive does not exist, or the record has no text.
    """
    from spark_jobs.archives.extract import extract
    from spark_jobs.archives.records import read_record

    uri = found.uri if "://" in found.uri else str(settings.project / Path(found.uri))
    record = read_record(uri, found.record_offset)
    extracted = extract(record.payload, record.content_type, record.charset) if record and record.payload else None
    if record is None or extracted is None or extracted.text is None:
        state = extracted.state if extracted else record.state if record else "no record"
        raise WatershedError(
            f"{found.warc} at byte {found.record_offset:,}: no text ({state}); the catalog says {found.state}",
            "see the columns state and reason of dclm.documents",
        )
    return record.payload_digest or "", extracted.text


def _parse(what: str) -> tuple[str, str, int]:
    found = re.fullmatch(r"(\w+)/(?:shard_)?(\d+)/(\d+)", what)
    if not found:
        raise WatershedError(f"{what!r} is not of the form SPLIT/SHARD/SEQUENCE", "write it as train/0/17")
    return found[1], f"shard_{int(found[2]):08}", int(found[3])


def _trace_document(screen: Console, connection: duckdb.DuckDBPyConnection, prefix: str) -> str:
    from catalog.lineage import documents as lineage

    doc_id = lineage.find_document(connection, prefix)
    found = lineage.origin(connection, doc_id)
    _title(screen, "document", doc_id)
    _print_origin(screen, found)
    for decided in lineage.decisions_about(connection, doc_id):
        _print_fate(screen, decided)
    places = lineage.sequences_of_document(connection, doc_id)
    if not places:
        _line(screen, "sequences", "none: the document is in no shard")
        return doc_id
    for place in places[:PLACES_SHOWN]:
        _line(screen, "sequence", f"{place.name}  tokens {place.first_token:,} to {place.stop_token - 1:,}")
    if len(places) > PLACES_SHOWN:
        _line(screen, "", f"and {len(places) - PLACES_SHOWN:,} more")
    for dataset in dict.fromkeys(place.dataset for place in places):
        _print_readers(screen, dataset, lineage.models_of_dataset(connection, dataset))
    return doc_id


def _trace_sequence(
    screen: Console, connection: duckdb.DuckDBPyConnection, split: str, shard: str, sequence: int
) -> list[str]:
    from catalog.lineage import documents as lineage

    held = lineage.shard_of(connection, split, shard)
    pieces = lineage.documents_of_sequence(connection, split, shard, sequence)
    _title(screen, "sequence", f"{split}/{shard}/{sequence}")
    length = held.sequence_length + 1
    _line(screen, "tokens", f"{sequence * length:,} to {(sequence + 1) * length - 1:,} of the shard")
    _line(screen, "shard", f"{held.path}  sha256 {held.sha256}")
    _print_pieces(screen, pieces)
    _print_readers(screen, held.dataset, lineage.models_of_dataset(connection, held.dataset))
    return [piece.doc_id for piece in pieces]


def _trace_step(screen: Console, connection: duckdb.DuckDBPyConnection, run: str, step: int) -> list[str]:
    from catalog.lineage import documents as lineage

    batch, documents = lineage.documents_of_step(connection, run, step)
    _title(screen, "batch", f"{run}, step {step}")
    _line(screen, "read", f"{batch.sequences:,} sequences of {batch.shards:,} shards, {len(documents):,} documents")
    _line(screen, "data set", batch.dataset)
    _print_read(screen, documents)
    return [document.doc_id for document in documents]


def _print_read(screen: Console, documents: list[DocumentInStep]) -> None:
    for document in documents:
        where = f"{document.warc} at byte {document.record_offset:,}"
        _line(
            screen,
            "document",
            f"{document.doc_id}  {document.tokens:>6,} tokens  {where}  {document.url or ''}".rstrip(),
        )


def _print_origin(screen: Console, found: Origin) -> None:
    from dagster_project.cli.screen.render import moment

    crawled = f", crawled {moment(found.crawled_at)} UTC" if found.crawled_at else ""
    _line(screen, "page", f"{found.url or 'no address'}{crawled}")
    _line(screen, "archive", f"{found.uri} at byte {found.record_offset:,}  {found.payload_digest or ''}".rstrip())
    language = f", {found.language} {found.language_score or 0:.2f}" if found.language else ""
    why = f"none: {found.state}{f' ({found.reason})' if found.reason else ''}"
    _line(screen, "text", f"{found.text_bytes:,} bytes{language}" if found.state == "ok" else why)


def _print_fate(screen: Console, decided: DocumentDecisions) -> None:
    if decided.recipe:
        _line(screen, "verdict", f"{decided.recipe}: {'kept' if decided.kept else f'dropped by {decided.first_rule}'}")
    if decided.duplicate_of:
        _line(screen, "duplicate", f"of {decided.duplicate_of}, one of {decided.cluster_size} copies")
    elif decided.cluster_size:
        _line(screen, "duplicate", f"represents a cluster of {decided.cluster_size} copies")
    if decided.score is not None:
        _line(screen, "score", f"{decided.score:.3f}, bucket {decided.bucket}")
    if decided.split:
        times = "once" if decided.repeats == 1 else f"{decided.repeats} times"
        _line(screen, "mixture", f"{decided.split}, read {times} in a pass")


def _print_pieces(screen: Console, pieces: list[DocumentInSequence]) -> None:
    for piece in pieces:
        span = f"{piece.first_token:,} to {piece.stop_token - 1:,}"
        where = f"{piece.warc} at byte {piece.record_offset:,}"
        _line(screen, "document", f"{piece.doc_id}  tokens {span:<14}  {where}  {piece.url or ''}".rstrip())


def _print_readers(screen: Console, dataset: str, readers: list[TrainedModel]) -> None:
    _line(screen, "data set", f"{dataset}, read by {len(readers) or 'no'} {'model' if len(readers) == 1 else 'models'}")
    width = max((len(reader.run) for reader in readers), default=0)
    for reader in readers:
        accuracy = f"  accuracy {reader.accuracy:.1%}" if reader.accuracy is not None else ""
        kind = "target" if reader.table == "models.targets" else "model"
        size = f"{reader.parameters:>12,} parameters {reader.tokens:>14,} tokens"
        _line(screen, kind, f"{reader.run:<{width}}  {size}  {reader.heldout_bits_per_byte:.3f} bits/byte{accuracy}")


def _print_text(screen: Console, settings: Settings, connection: duckdb.DuckDBPyConnection, doc_id: str) -> None:
    from catalog.lineage import documents as lineage

    found = lineage.origin(connection, doc_id)
    digest, text = read_again(settings, found)
    stored = lineage.text_of(connection, doc_id)
    same = "the same as in dclm.documents" if text == stored else "NOT the text in dclm.documents"
    screen.print()
    _title(screen, "text", doc_id)
    _line(screen, "read again", f"{found.uri} at byte {found.record_offset:,}: {len(text.encode()):,} bytes, {same}")
    if digest != (found.payload_digest or ""):
        _line(screen, "payload", f"{digest}, NOT the digest in dclm.documents")
    say()
    say(text)


def _title(screen: Console, kind: str, name: str) -> None:
    from rich.text import Text

    screen.print(Text(f"{kind} ", style="dim") + Text(name, style="bold"), soft_wrap=True)


def _line(screen: Console, label: str, value: str) -> None:
    from rich.text import Text

    screen.print(Text(f"  {label:<{LABEL}}", style="dim") + Text(value), soft_wrap=True)
