"""`watershed plan --papers N`: what a datastore of so many papers needs, from what one was measured to need."""

from __future__ import annotations

import json
import shutil
import time
from typing import TYPE_CHECKING

from catalog.errors import WatershedError
from catalog.settings import Settings
from dagster_project.cli.screen.say import data, say

if TYPE_CHECKING:
    from spark_jobs.retrieval.plan import DatastorePlan, Measured

FEWEST = 20_000
"""Passages of an index of the lake from which on it says what a large one needs."""
SAMPLED, ASKED = 1024, 200


def plan_papers(settings: Settings, papers: int, *, as_json: bool) -> None:
    """Print what a datastore of so many papers needs.

    The numbers per passage are those of the lake's index if it has FEWEST passages, and of the recorded benchmark
    otherwise.
    """
    import psutil

    from catalog.lake import Lake
    from spark_jobs.retrieval.plan import planned

    files = Lake.of(settings).files
    place = next(folder for folder in (files, *files.parents) if folder.exists())
    found = planned(
        papers,
        measured(settings),
        memory_bytes=psutil.virtual_memory().total,
        disk_bytes=shutil.disk_usage(place).free,
    )
    if as_json:
        data(json.dumps(found.as_dict()))
    else:
        _print(found)


def measured(settings: Settings) -> Measured:
    """Return what the index of the lake needs per passage, or else what the recorded benchmark measured."""
    from catalog.lake import Lake
    from catalog.tables.scholar import INDEX
    from spark_jobs.retrieval.plan import RECORDED

    lake = Lake.of(settings)
    rows = lake.read(INDEX.name).to_pylist() if lake.exists(INDEX.name) else []
    if not rows or rows[0]["passages"] < FEWEST:
        return RECORDED
    try:
        return _of_lake(settings, rows[0])
    except WatershedError:
        return RECORDED


def _of_lake(settings: Settings, row: dict[str, object]) -> Measured:
    """Return the row of `scholar.index` per passage, with the time of some passages and questions measured now."""
    from catalog.lake import Lake
    from catalog.tables.scholar import PASSAGES
    from dagster_project.families.scholar.recipes import project_datastore, project_encoder
    from spark_jobs.retrieval.plan import Measured

    lake, encoder, store = Lake.of(settings), project_encoder(settings), project_datastore(settings)
    texts = lake.table(PASSAGES.name).to_pyarrow_dataset().head(SAMPLED, columns=["text"])["text"].to_pylist()
    encoder.documents(texts[:32])
    began = time.perf_counter()
    encoder.documents(texts)
    embed = (time.perf_counter() - began) / len(texts)
    queries = encoder.queries([text[:100] for text in texts[:ASKED]])
    began = time.perf_counter()
    for query in queries:
        store.vectors.search(query[None], encoder.stamp, 10)
    query_ms = (time.perf_counter() - began) / len(queries) * 1000
    count = float(str(row["passages"]))

    def each(name: str) -> float:
        return float(str(row[name])) / count

    return Measured(
        source=f"the index of this lake: {count:,.0f} passages, {encoder.stamp.model}",
        passages=int(count),
        words=settings.scholar.words,
        dimensions=encoder.stamp.dimensions,
        text_bytes=each("text_bytes"),
        code_bytes=each("code_bytes"),
        word_bytes=each("word_bytes"),
        embed_seconds=embed,
        vector_seconds=each("vector_seconds"),
        word_seconds=each("word_seconds"),
        query_ms=query_ms,
    )


def _print(found: DatastorePlan) -> None:
    from catalog.printable import human_bytes
    from spark_jobs.retrieval.plan import DAY

    each = found.measured

    def size(bytes_: float) -> str:
        return f"{human_bytes(round(bytes_)):>10}   {bytes_ / found.passages:,.0f} bytes a passage"

    def took(seconds: float) -> str:
        return f"{seconds / DAY:>10,.2f} days   {1 / max(seconds / found.passages, 1e-12):,.0f} passages a second"

    rows = (
        ("papers", f"{found.papers:>10,}"),
        ("passages", f"{found.passages:>10,}"),
        ("text", size(found.text_bytes)),
        ("vectors", f"{size(found.vector_bytes)}, {each.dimensions} dimensions in half precision"),
        ("codes and ids", size(found.code_bytes)),
        ("words", size(found.word_bytes)),
        ("all files", size(found.disk_bytes)),
        ("memory", f"{human_bytes(found.memory_bytes):>10}   codes, which every query reads"),
        ("embedding", took(found.embed_seconds)),
        ("index of vectors", took(found.vector_seconds)),
        ("index of words", took(found.word_seconds)),
        ("a query", f"{found.query_ms:>10,.0f} ms    {found.segments:,} segments, one after another"),
        ("engine", found.engine),
        ("measured on", each.source),
    )
    for name, value in rows:
        say(f"{name:<18} {value}")
    for note in found.notes:
        say(f"{'':<18} {note}")
