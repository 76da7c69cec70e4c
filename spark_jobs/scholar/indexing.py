"""The indexes of the lake's papers: built once, and then brought up to date by what was added, deleted and changed."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from catalog.files import write_whole
from catalog.lake import Lake
from catalog.tables.scholar import EMBEDDINGS, INDEX, PAPERS, PASSAGES
from spark_jobs.compute import pc
from spark_jobs.retrieval.bm25 import DiskBm25
from spark_jobs.retrieval.codes import CodeChoices
from spark_jobs.retrieval.index import IndexChoices, VectorIndex
from spark_jobs.scholar.datastore import VECTORS, WORDS, build, documents, measured
from spark_jobs.scholar.tables import stamp_of, vector_batches

FACTS = ("year", "citations", "url", "retracted")
"""What is stored with a passage of its paper."""
KNOWN = "papers.json"
REBUILT = 0.5
"""The share of the passages from which on the indexes are built again rather than changed."""


def index_folder(lake: Lake) -> Path:
    """Return the folder of the indexes."""
    return lake.folder(INDEX.name)


def index_passages(
    lake: Lake, kind: str = "auto", encode: Callable[[list[str]], np.ndarray] | None = None
) -> tuple[pa.Table, dict[str, int]]:
    """Build the indexes, or bring those that are there up to date; return the row of `scholar.index`, and what changed.

    Vectors of another encoder, or another kind of index, make it anew. The indexes that are there answer meanwhile.

    Args:
        lake: the lake.
        kind: the kind of the index of vectors.
        encode: embeds questions. With it, the width of searches is measured with sentences of passages, which are as
            far from the passages as questions are; without it, with passages.
    """
    folder, choices = index_folder(lake), IndexChoices(codes=CodeChoices(kind=kind))
    facts = _facts(lake)
    first = lake.table(EMBEDDINGS.name).to_pyarrow_dataset().head(1).to_pylist()
    known = _known(folder)
    found: dict[str, Any]
    if not first:
        row, changes = _row(lake, folder, None), {"added": 0, "deleted": 0, "changed": 0}
        return row, changes
    stamp = stamp_of(first[0])
    plan = _plan(lake, folder, stamp.digest, kind, known)
    if plan is None:
        queries = encode(_sentences(lake)) if encode else None
        found = build(folder, _passages(lake, facts), _embeddings(lake), stamp, choices, queries=queries)
        changes = {"added": found["passages"], "deleted": 0, "changed": 0}
    else:
        added, gone = plan
        altered = {paper for paper, digest in _digests(facts).items() if known["papers"].get(paper, digest) != digest}
        index = VectorIndex(folder / VECTORS, choices)
        began = time.monotonic()
        index.delete(sorted(gone))
        if added:
            index.add(vector_batches(_embeddings(lake, added), stamp), stamp)
        vector_seconds, began = time.monotonic() - began, time.monotonic()
        rows = (row for row in _passages(lake, facts) if row["passage"] in added or row["paper"] in altered)
        DiskBm25(folder / WORDS).change(add=documents(rows), delete=sorted(gone))
        found = measured(folder, index, _text_bytes(lake), vector_seconds, time.monotonic() - began)
        changes = {"added": len(added), "deleted": len(gone), "changed": len(altered)}
    state = {"stamp": stamp.digest, "kind": kind, "papers": _digests(facts)}
    write_whole(folder / KNOWN, json.dumps(state).encode())
    return _row(lake, folder, found), changes


def _sentences(lake: Lake) -> list[str]:
    """Return the beginnings of passages, evenly spaced, each as long as a question."""
    dataset = lake.table(PASSAGES.name).to_pyarrow_dataset()
    step = max(dataset.count_rows() // ASKED, 1)
    found, place = [], 0
    for batch in dataset.to_batches(columns=["text"]):
        chosen = batch["text"].take(pa.array(range(-place % step, len(batch), step), pa.int64()))
        found += [" ".join(text.split()[:ASKED_WORDS]) for text in chosen.to_pylist()]
        place += len(batch)
    return found[:ASKED]


ASKED, ASKED_WORDS = 256, 12


def _plan(
    lake: Lake, folder: Path, stamp: str, kind: str, known: Mapping[str, Any]
) -> tuple[set[str], set[str]] | None:
    """Return the passages to add and to delete; None if the indexes are to be built anew."""
    if known.get("stamp") != stamp or known.get("kind") != kind:
        return None
    there = VectorIndex(folder / VECTORS)
    before = {row.tobytes().hex() for each in there.segments for ids, _ in each.living() for row in ids}
    words = DiskBm25(folder / WORDS)
    now = set(lake.read(EMBEDDINGS.name, ["passage"])["passage"].to_pylist())
    added, gone = now - before, before - now
    # A kill between the two indexes leaves them apart.
    if len(words) != len(before) or len(added) + len(gone) > REBUILT * max(len(now), 1):
        return None
    return added, gone


def forget_known(folder: Path, forgotten: Callable[[str], bool]) -> None:
    """Leave papers out of the list of those that are indexed."""
    known = _known(folder)
    if any(map(forgotten, known.get("papers", ()))):
        papers = {paper: digest for paper, digest in known["papers"].items() if not forgotten(paper)}
        write_whole(folder / KNOWN, json.dumps({**known, "papers": papers}).encode())


def _known(folder: Path) -> dict[str, Any]:
    try:
        return dict(json.loads((folder / KNOWN).read_text()))
    except FileNotFoundError:
        return {}


def _facts(lake: Lake) -> dict[str, dict[str, Any]]:
    rows = lake.read(PAPERS.name, ["paper", *FACTS]).to_pylist()
    return {row["paper"]: {name: row[name] for name in FACTS} for row in rows}


def _digests(facts: Mapping[str, Mapping[str, Any]]) -> dict[str, str]:
    return {
        paper: hashlib.sha256(json.dumps(each, sort_keys=True).encode()).hexdigest()[:16]
        for paper, each in facts.items()
    }


def _passages(lake: Lake, facts: Mapping[str, Mapping[str, Any]]) -> Iterator[dict[str, Any]]:
    for batch in lake.table(PASSAGES.name).to_pyarrow_dataset().to_batches(batch_size=4096):
        for row in batch.to_pylist():
            yield {**row, **facts[row["paper"]]}


def _embeddings(lake: Lake, wanted: set[str] | None = None) -> Iterator[pa.RecordBatch]:
    chosen = None if wanted is None else pa.array(sorted(wanted), pa.string())
    for batch in lake.table(EMBEDDINGS.name).to_pyarrow_dataset().to_batches(batch_size=16_384):
        yield batch if chosen is None else batch.filter(pc.is_in(batch["passage"], value_set=chosen))


def _text_bytes(lake: Lake) -> int:
    batches = lake.table(PASSAGES.name).to_pyarrow_dataset().to_batches(columns=["text"])
    return sum(pc.sum(pc.binary_length(batch["text"])).as_py() or 0 for batch in batches)


def _row(lake: Lake, folder: Path, found: Mapping[str, Any] | None) -> pa.Table:
    if found is None:
        return INDEX.schema.empty_table()
    return pa.Table.from_pylist([{"path": lake.relative(folder), **found}], schema=INDEX.schema)
