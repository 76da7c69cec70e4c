"""An index of real passages, measured: build, bytes, recall, speed, changes, a kill; and other indexes beside it.

    uv run --all-groups python -m benchmarks.retrieval [--passages 100000] [--kind ivf-rabitq] [--peers] [--out FILE]

Passages are windows of 100 words with a stride of 50 over the documentation of this machine (or `--texts FILE`),
embedded by wordllama (256 dimensions). Questions are summaries of documents, which are not part of their text. Exact
search over the same vectors in half precision is the truth. docs/retrieval.md has the results.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
import time
from dataclasses import asdict
from pathlib import Path

import click
import numpy as np

from benchmarks.retrieval_stages.changes import batches, changed, killed
from benchmarks.retrieval_stages.measures import as_table, measured
from benchmarks.retrieval_stages.peers import faiss_rows, lancedb_row
from benchmarks.retrieval_stages.texts import passages_and_questions
from spark_jobs.retrieval.codes import CodeChoices, exact_neighbours
from spark_jobs.retrieval.encoders import encoder_of
from spark_jobs.retrieval.index import IndexChoices, VectorIndex
from spark_jobs.retrieval.passages import passage_id


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--passages", "count", default=100_000, show_default=True, help="Passages.")
@click.option("--questions", default=1000, show_default=True, help="Questions.")
@click.option("--kind", default="ivf-rabitq", show_default=True, help="Kind of the index.")
@click.option(
    "--texts", type=click.Path(path_type=Path), help="A JSON-lines file with `text`, in place of this machine."
)
@click.option("--peers", is_flag=True, help="Measures faiss and LanceDB on the same vectors too.")
@click.option("--out", type=click.Path(path_type=Path), help="Writes the numbers as JSON.")
def main(*, count: int, questions: int, kind: str, texts: Path | None, peers: bool, out: Path | None) -> None:
    """Measure an index of real passages."""
    folder = Path(tempfile.mkdtemp(prefix="retrieval-"))
    try:
        _run(folder, count, questions, kind, texts=texts, peers=peers, out=out)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _run(
    folder: Path, count: int, questions: int, kind: str, *, texts: Path | None, peers: bool, out: Path | None
) -> None:
    began = time.perf_counter()
    passages, asked = passages_and_questions(count, questions, texts)
    click.echo(f"{len(passages):,} passages and {len(asked):,} questions in {time.perf_counter() - began:,.1f} s")
    encoder = encoder_of("wordllama", cache=folder)
    began = time.perf_counter()
    vectors = encoder.documents(passages).astype(np.float16)
    embed = time.perf_counter() - began
    click.echo(f"embedded at {len(passages) / embed:,.0f} passages a second")
    queries = encoder.queries(asked)
    true, _ = exact_neighbours(vectors, queries, 10)
    text_bytes = sum(len(text.encode()) for text in passages) / len(passages)
    ids = [passage_id("documentation", "1", number, number + 1) for number in range(len(passages))]
    choices = IndexChoices(codes=CodeChoices(kind=kind))
    began = time.perf_counter()
    index = VectorIndex.build(folder / "index", encoder.stamp, batches(ids, vectors), choices, queries=queries[::5])
    build = time.perf_counter() - began
    places = {name: place for place, name in enumerate(ids)}

    def search(these: np.ndarray) -> np.ndarray:
        found = index.search(these, encoder.stamp, 10)
        return np.array([[*(places[name] for name in each.ids), *[-1] * (10 - len(each.ids))] for each in found])

    each = index.code_bytes / len(index)
    # The width was measured with every fifth question, and is judged by the others.
    others = np.arange(len(queries)) % 5 != 0
    facts = index.facts[0]
    name = f"watershed {facts.kind}, probes {facts.probes}, candidates {facts.candidates}"
    rows = [measured(name, search, queries[others], true[others], build_seconds=build, bytes_a_vector=each)]
    click.echo(as_table(rows))
    before = [found.ids for found in index.search(queries, encoder.stamp, 10)]
    np.save(folder / "vectors.npy", vectors)
    killed(folder / "index", index, ids, folder / "vectors.npy")
    index.refresh()
    same = before == [found.ids for found in index.search(queries, encoder.stamp, 10)]
    click.echo(f"a build was killed when half of the vectors were written; the old index answers as before: {same}")
    changes = changed(index, ids, vectors)
    click.echo("changes: " + ", ".join(f"{key} {value:,.2f}" for key, value in changes.items()))
    words = _words(folder, ids, passages, asked)
    click.echo(f"words: {json.dumps(words)}")
    if peers:
        lists = choices.codes.lists_for(len(vectors))
        rows += [*faiss_rows(vectors, queries[others], true[others], lists)]
        rows.append(lancedb_row(vectors, queries[others], true[others], lists))
        click.echo(as_table(rows))
    if out:
        found = {
            "passages": len(passages),
            "processors": os.cpu_count(),
            "text_bytes": text_bytes,
            "embed_seconds": embed / len(passages),
            "indexes": [asdict(row) for row in rows],
            "same_after_kill": same,
            "changes": changes,
            "words": words,
        }
        out.write_text(json.dumps(found, indent=1))


def _words(folder: Path, ids: list[str], passages: list[str], asked: list[str]) -> dict[str, float]:
    from spark_jobs.retrieval.bm25 import DiskBm25

    began = time.perf_counter()
    index = DiskBm25(folder / "words")
    index.change(add=((name, "", text, text) for name, text in zip(ids, passages, strict=True)), every=True)
    build = time.perf_counter() - began
    times = []
    for question in asked[:300]:
        began = time.perf_counter()
        index.search([question], 10)
        times.append(time.perf_counter() - began)
    size = sum(path.stat().st_size for path in (folder / "words").rglob("*") if path.is_file())
    return {
        "build_seconds": round(build, 2),
        "bytes_a_passage": round(size / len(ids), 1),
        "queries_a_second": round(len(times) / sum(times), 1),
        "p99_ms": round(float(np.percentile(times, 99)) * 1000, 2),
    }


if __name__ == "__main__":
    main()
