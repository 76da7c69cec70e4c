"""The command `watershed trace`: what a thing of the lake was made from, and what was made from it."""

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

    from catalog.family import Corpus
    from catalog.lineage.documents import Origin
    from catalog.lineage.trace import Thing
    from catalog.settings import Settings


@click.command("trace")
@click.argument("what", metavar="THING", required=False)
@click.option("--run", metavar="NAME", help="A training run: its name, or TABLE:NAME. It needs --step.")
@click.option("--step", type=click.IntRange(1), metavar="NUMBER", help="The optimiser step of the run, counted from 1.")
@click.option(
    "--text",
    is_flag=True,
    help="Reads each text from its WARC archive again, prints it, and compares it with the text in the lake.",
)
@click.option("--json", "as_json", is_flag=True, help="Prints the trace as JSON.")
@click.option(
    "--graph",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Draws the trace into a file that ends in .svg or .html.",
)
@click.option(
    "--openlineage",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Writes an OpenLineage event for each commit of the table, or of all tables, one a line.",
)
@user_errors()
def trace_command(  # noqa: PLR0917
    what: str | None,
    run: str | None,
    step: int | None,
    text: bool,
    as_json: bool,
    graph: Path | None,
    openlineage: Path | None,
) -> None:
    """Say what a thing was made from and what was made from it: rows, versions, code, sources and licences.

    THING is the name of a row: a document (or the beginning of its id), a model, the target of a forecast, the uuid of
    an evaluation, an answer. TABLE:NAME chooses the table if several have a row of that name. Otherwise THING is a
    table, TABLE@VERSION, a column TABLE.COLUMN, a shard SPLIT/SHARD, or a training sequence SPLIT/SHARD/SEQUENCE. The
    shards of a mixture are TABLE:SPLIT/SHARD, with the table mixture.NAME_shards.

    The trace follows the commits of the lake and the links between rows that the contracts declare. It does not need
    the runs that Dagster has recorded.

    \b
    Examples:
      # From a forecast to the documents that it rests on.
      watershed trace ladder.predictions:130k-0.2xC
      # A document, by its id or by the beginning of its id: who made it, and which models read it, how often.
      watershed trace 3f0c12ab
      # A version of a table, with the versions of all that it was made from; a column; both as a picture.
      watershed trace dclm.mixture@3
      watershed trace dclm.mixture.bucket
      watershed trace dclm.mixture --graph mixture.html
      # The 18th sequence of the first training shard, then with the text of its documents.
      watershed trace train/0/17
      watershed trace train/0/17 --text
      # The documents in the third batch of a run.
      watershed trace --run 70k-1xC --step 3
      # Every commit of the lake, for another catalogue.
      watershed trace --openlineage events.jsonl
    """
    if (what is not None) + (run is not None) > 1 or (run is None) != (step is None):
        raise click.UsageError("name one thing, or --run and --step together")
    if what is None and run is None and openlineage is None:
        raise click.UsageError("name a thing, --run and --step, or --openlineage FILE")
    if (as_json or graph) and what is None:
        raise click.UsageError("--json and --graph need a THING")
    from catalog.settings import load_settings
    from catalog.sql.query import connect
    from dagster_project.cli.screen.render import console

    settings = load_settings()
    connection = connect(settings)
    screen = console()
    documents: list[str] = []
    if run is not None and step is not None:
        from dagster_project.cli.screen.traced_documents import print_step

        documents = print_step(screen, connection, run, step)
    elif what is not None and (as_json or graph):
        _write(connection, what, as_json, graph)
    elif what is not None:
        documents = _trace_thing(screen, connection, what)
    for doc_id in dict.fromkeys(documents) if text else ():
        _print_text(screen, settings, connection, doc_id)
    if openlineage:
        _write_events(settings, connection, what, openlineage)


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


_SEQUENCE = re.compile(r"(?:(?P<table>\w+\.\w+):)?(?P<split>\w+)/(?:shard_)?(?P<shard>\d+)(?:/(?P<sequence>\d+))?")


def _trace_thing(screen: Console, connection: duckdb.DuckDBPyConnection, what: str) -> list[str]:
    """Print the trace of a thing, and return the documents in it whose text can be read again."""
    from catalog.lineage.columns import downstream_columns, known_column, upstream_columns
    from catalog.lineage.corpora import corpus_of_documents
    from catalog.lineage.trace import trace
    from dagster_project.cli.screen.traced import print_columns, print_others, print_trace
    from dagster_project.cli.screen.traced_documents import print_document, print_places, print_sequence

    if (place := _place(what)) and place["sequence"]:
        corpus, (split, shard) = _corpus(connection, place), (place["split"], _shard(place["shard"]))
        return print_sequence(screen, connection, split, shard, int(place["sequence"]), corpus)
    if what.count(".") == 2 and known_column(what):
        print_columns(screen, what, upstream_columns(what), downstream_columns(what))
        return []
    thing, *others = _things(connection, what)
    documents: list[str] = []
    corpus = corpus_of_documents(thing.table) if thing.key is not None and list(thing.key) == ["doc_id"] else None
    if corpus and corpus.archives and thing.key:
        documents = [print_document(screen, connection, str(thing.key["doc_id"]), corpus)]
    else:
        print_trace(screen, trace(connection, thing))
        if corpus and thing.key:
            print_places(screen, connection, str(thing.key["doc_id"]), corpus)
    print_others(screen, others)
    return documents


def _place(what: str) -> re.Match[str] | None:
    """Return the parts of the name of a shard or sequence; None for the name of anything else."""
    from catalog.lineage.corpora import corpus_of_shards

    place = _SEQUENCE.fullmatch(what)
    return place if place and (place["table"] is None or corpus_of_shards(place["table"])) else None


def _corpus(connection: duckdb.DuckDBPyConnection, place: re.Match[str]) -> Corpus:
    """Return the corpus that a shard or sequence is of."""
    from catalog.lineage.corpora import corpus_of_shards, first_corpus

    return corpus_of_shards(place["table"] or "") or first_corpus(connection)


def _things(connection: duckdb.DuckDBPyConnection, what: str) -> list[Thing]:
    """Return what `what` may mean, the likeliest first.

    Raises:
        WatershedError: It means nothing in the lake.
    """
    from catalog.lineage import documents as lineage
    from catalog.lineage.corpora import corpora, model_tables
    from catalog.lineage.trace import Thing, named_things

    if place := _place(what):
        key = {"split": place["split"], "shard": _shard(place["shard"])}
        corpus = _corpus(connection, place)
        lineage.shard_of(connection, key["split"], key["shard"], corpus)
        return [Thing(corpus.shards, key)]
    if "/" in what and "." not in what and not (found := named_things(connection, what)):
        raise WatershedError(f"{what!r} is not of the form SPLIT/SHARD/SEQUENCE", "write it as train/0/17")
    if re.fullmatch("[0-9a-f]{32}", what):
        for each in corpora():
            if lineage.find_documents(connection, what, each):
                return [Thing(each.documents, {"doc_id": what})]
    if found := named_things(connection, what):
        # A model is more often meant than the forecast of it.
        return sorted(found, key=lambda thing: thing.table not in model_tables())
    _refuse_removed(connection, what)
    corpus, doc_id = lineage.find_document(connection, what)
    return [Thing(corpus.documents, {"doc_id": doc_id})]


def _refuse_removed(connection: duckdb.DuckDBPyConnection, name: str) -> None:
    """Say that what has this name was removed by order, if it was."""
    found = connection.execute(
        "SELECT any_value(removal), strftime(min(ordered_at), '%Y-%m-%d') FROM watershed.removals "
        "WHERE digest = sha256(identity || chr(10) || $name)",
        {"name": name},
    ).fetchall()
    if found and found[0][0]:
        raise WatershedError(
            f"{name} was removed from the lake, by the order {found[0][0]} of {found[0][1]}",
            "the order's file in the lake's folder _removals lists the runs that had read it",
        )


def _shard(number: str) -> str:
    return f"shard_{int(number):08}"


def _write(connection: duckdb.DuckDBPyConnection, what: str, as_json: bool, graph: Path | None) -> None:
    """Print a trace as JSON, and draw it."""
    import json

    from catalog.lineage import documents as lineage
    from catalog.lineage.columns import downstream_columns, known_column, upstream_columns
    from catalog.lineage.drawing import write_graph
    from catalog.lineage.trace import trace
    from dagster_project.cli.screen.say import data

    if what.count(".") == 2 and known_column(what) and not graph:
        found = {"column": what, "upstream": upstream_columns(what), "downstream": downstream_columns(what)}
        data(json.dumps(found))
        return
    place = _place(what)
    sequence = int(place["sequence"]) if place and place["sequence"] else None
    thing, *others = _things(connection, what if sequence is None else what.rpartition("/")[0])
    found = trace(connection, thing)
    if graph:
        write_graph(found, graph)
        say(f"{graph}: {len(found.upstream) + len(found.downstream) or len(found.read) + len(found.readers):,} tables")
    if as_json:
        printed = {**found.as_json(), "also": [other.name for other in others]}
        if sequence is not None and place and thing.key:
            split, shard = str(thing.key["split"]), str(thing.key["shard"])
            pieces = lineage.documents_of_sequence(connection, split, shard, sequence, _corpus(connection, place))
            printed["documents"] = [vars(piece) for piece in pieces]
        data(json.dumps(printed))


def _write_events(settings: Settings, connection: duckdb.DuckDBPyConnection, what: str | None, path: Path) -> None:
    from catalog.lineage.openlineage import write_events
    from catalog.lineage.versions import Versions
    from catalog.tables import CONTRACTS

    tables = [_things(connection, what)[0].table] if what else list(CONTRACTS)
    count = write_events(Versions(connection), settings.lake_root, path, tables)
    say(f"{path}: {count:,} events")


def _print_text(screen: Console, settings: Settings, connection: duckdb.DuckDBPyConnection, doc_id: str) -> None:
    from catalog.lineage import documents as lineage
    from dagster_project.cli.screen.traced import line, title

    found = lineage.origin(connection, doc_id)
    digest, text = read_again(settings, found)
    stored = lineage.text_of(connection, doc_id)
    same = "the same as in dclm.documents" if text == stored else "NOT the text in dclm.documents"
    screen.print()
    title(screen, "text", doc_id)
    line(screen, "read again", f"{found.uri} at byte {found.record_offset:,}: {len(text.encode()):,} bytes, {same}")
    if digest != (found.payload_digest or ""):
        line(screen, "payload", f"{digest}, NOT the digest in dclm.documents")
    say()
    say(text)
