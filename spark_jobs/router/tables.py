"""Rows of the family's tables from domains, and what training and comparing read of them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from catalog.errors import WatershedError
from catalog.files import write_whole
from catalog.lake import Lake
from catalog.tables.router import BASE, DOCUMENTS, EXPERTS, MULTI_TASK, QUERIES, RANKINGS
from spark_jobs.retrieval.experts import ExpertEncoder
from spark_jobs.router.beir import Domain, embedded
from spark_jobs.router.comparing import Key, Measured
from spark_jobs.router.searching import Corpus, Query, ranking_rows

EMBEDDED = 512
"""Texts that are embedded at a time. Those of about one length are padded together."""


def domain_row(domain: Domain, expert: bool, digest: str) -> dict[str, Any]:
    """Return the row of `router.domains` of a domain."""
    return {
        "domain": domain.name,
        "expert": expert,
        "documents": len(domain.documents),
        "train_queries": len(domain.judgements.get("train", {})),
        "test_queries": len(domain.judgements.get("test", {})),
        "digest": digest,
    }


def domain_tables(
    domain: Domain, encoder: ExpertEncoder, advance: Callable[[int], object] = lambda count: None
) -> tuple[pa.Table, pa.Table]:
    """Return the rows of `router.documents` and `router.queries` of a domain.

    Args:
        domain: the domain.
        encoder: the frozen encoder.
        advance: called with the number of documents that were embedded.
    """
    stamp = encoder.stamp.digest
    vectors = _embedded([each.embedded for each in domain.documents], encoder.documents, advance)
    documents = [
        {
            "domain": domain.name,
            "document": each.id,
            "title": each.title,
            "text": each.text,
            "vector": _bytes(vector),
            "stamp": stamp,
        }
        for each, vector in zip(domain.documents, vectors, strict=True)
    ]
    judged = [(split, query, grades) for split, of in domain.judgements.items() for query, grades in of.items()]
    texts = sorted({domain.queries[query] for _, query, _ in judged if query in domain.queries})
    known = dict(zip(texts, _embedded(texts, encoder.queries), strict=True))
    queries = [
        {
            "domain": domain.name,
            "query": query,
            "split": split,
            "text": (text := domain.queries.get(query)),
            "judged": [{"document": name, "grade": grade} for name, grade in grades.items()],
            "vector": None if text is None else _bytes(known[text]),
            "stamp": stamp,
        }
        for split, query, grades in judged
    ]
    tables = (DOCUMENTS, documents), (QUERIES, queries)
    first, second = (pa.Table.from_pylist(rows, schema=contract.schema) for contract, rows in tables)
    return first, second


def _embedded(
    texts: Sequence[str],
    encode: Callable[[Sequence[str]], np.ndarray],
    advance: Callable[[int], object] = lambda count: None,
) -> np.ndarray:
    parts = []
    for start in range(0, len(texts), EMBEDDED):
        some = texts[start : start + EMBEDDED]
        parts.append(encode(some))
        advance(len(some))
    return np.concatenate(parts) if parts else np.zeros((0, 0), dtype=np.float32)


def _bytes(vector: np.ndarray) -> bytes:
    return vector.astype("<f4").tobytes()


def vectors_of(rows: Iterable[bytes]) -> np.ndarray:
    """Return (n, dimensions) vectors of a column of a table."""
    found = [np.frombuffer(row, dtype="<f4") for row in rows]
    return np.stack(found) if found else np.zeros((0, 0), dtype=np.float32)


def _rows(lake: Lake, name: str, column: str, values: Sequence[str], columns: list[str]) -> list[dict[str, Any]]:
    """Rows of the partitions `values`, in the order of the values, then as they were written."""
    table = lake.table(name).to_pyarrow_table(partitions=[(column, "in", list(values))], columns=columns)
    order = {value: place for place, value in enumerate(values)}
    return sorted(table.to_pylist(), key=lambda row: order[row[column]])


def corpora_of(lake: Lake, domains: Sequence[str]) -> dict[str, Corpus]:
    """Return the documents of domains, with their vectors."""
    rows = _rows(lake, DOCUMENTS.name, "domain", domains, ["domain", "document", "vector", "stamp"])
    _one_stamp(rows)
    found: dict[str, Corpus] = {}
    for domain in domains:
        of = [row for row in rows if row["domain"] == domain]
        found[domain] = Corpus(tuple(row["document"] for row in of), vectors_of(row["vector"] for row in of))
    return found


def _one_stamp(rows: Sequence[Mapping[str, Any]]) -> None:
    stamps = {row["stamp"] for row in rows}
    if len(stamps) > 1:
        raise WatershedError(
            "router.documents holds vectors of several encoders", "run `watershed make router.documents`"
        )


def queries_of(lake: Lake, domains: Sequence[str], *, pilots: Sequence[str]) -> list[Query]:
    """Return the test queries of domains, and the training queries of those that have an expert."""
    rows = _rows(lake, QUERIES.name, "domain", domains, ["domain", "query", "split", "text", "judged"])
    return [
        Query(row["domain"], row["query"], row["split"], row["text"], _grades(row))
        for row in rows
        if row["split"] == "test" or (row["split"] == "train" and row["domain"] in pilots)
    ]


def _grades(row: Mapping[str, Any]) -> dict[str, int]:
    return {each["document"]: each["grade"] for each in row["judged"]}


def adapter_folder(lake: Lake, run: str) -> Path:
    """Return the folder of a run's adapters.

    Raises:
        WatershedError: the run has none.
    """
    rows = _rows(lake, EXPERTS.name, "run", [run], ["run", "path"])
    if len(rows) != 1:
        raise WatershedError(f"router.experts has no run {run!r}", "run `watershed make router.experts`")
    return lake.files / rows[0]["path"]


def rankings(
    run: str, queries: Sequence[Query], corpora: Mapping[str, Corpus], encoder: ExpertEncoder, adapter: Path
) -> list[dict[str, Any]]:
    """Return the rows of `router.rankings` of a run. A text that several queries share is embedded once."""
    texts = sorted({query.text for query in queries if query.text is not None})
    vectors = dict(zip(texts, encoder.queries_by(adapter, texts), strict=True))
    found = [vectors[query.text] for query in queries if query.text is not None]
    return ranking_rows(run, queries, np.stack(found) if found else np.zeros((0, 0)), corpora)


def measured(
    lake: Lake, domains: Sequence[str], experts: Sequence[str], runs: Mapping[str, str], seed: int
) -> Measured:
    """Return what the experts of a seed found, and the frozen encoder.

    Args:
        lake: the lake.
        domains: all domains.
        experts: those that have an expert.
        runs: the run of each expert, and of MULTI_TASK.
        seed: the seed.

    Raises:
        WatershedError: there is no expert, or a domain with one has no training queries.
    """
    if not experts:
        raise WatershedError(
            "[router] domains is empty", "name folders in BEIR's layout, or run `watershed demo router`"
        )
    queries = queries_of(lake, domains, pilots=experts)
    vectors = _query_vectors(lake, domains)
    asked = [query for query in queries if query.text is not None]
    found = np.stack([vectors[query.split, (query.domain, query.id)] for query in asked])
    scores: dict[tuple[str, Key], dict[str, float]] = {}
    for row in ranking_rows(BASE, queries, found, corpora_of(lake, domains)):
        scores[row["split"], (row["domain"], row["query"])] = {BASE: row["ndcg"]}
    for expert, run in runs.items():
        for row in _rows(lake, RANKINGS.name, "run", [run], ["run", "domain", "split", "query", "ndcg"]):
            key = row["split"], (row["domain"], row["query"])
            if key in scores:
                scores[key][expert] = row["ndcg"]
    train = {key: each for (split, key), each in scores.items() if split == "train"}
    test = {key: each for (split, key), each in scores.items() if split == "test"}
    for name in experts:
        if not any(domain == name for domain, _ in train):
            raise WatershedError(
                f"the domain {name} has no judged training queries",
                "give qrels/train.tsv, or name it in [router] unseen",
            )
    # Queries of two splits may share an id; a router sees the text of its own.
    own = {key: vectors[split, key] for split in ("train", "test") for key in train | test if (split, key) in vectors}
    answered = {(query.domain, query.id): query.text is not None for query in queries if query.split == "test"}
    return Measured(seed, tuple(experts), train, test, answered, own)


def _query_vectors(lake: Lake, domains: Sequence[str]) -> dict[tuple[str, Key], np.ndarray]:
    rows = _rows(lake, QUERIES.name, "domain", domains, ["domain", "query", "split", "vector", "stamp"])
    _one_stamp(rows)
    return {
        (row["split"], (row["domain"], row["query"])): np.frombuffer(row["vector"], dtype="<f4")
        for row in rows
        if row["vector"] is not None
    }


def training_pairs(lake: Lake, domains: Sequence[str], folder: Path) -> dict[str, Path]:
    """Write a file of pairs for each domain, and one for MULTI_TASK with as many of each domain.

    A pair is a training query and a document with a grade above 0.

    Raises:
        WatershedError: a domain has no pair.
    """
    each = {domain: _pairs(lake, domain) for domain in domains}
    for domain, pairs in each.items():
        if not pairs:
            raise WatershedError(
                f"the domain {domain} has no training query with a relevant document",
                "give qrels/train.tsv, or name it in [router] unseen",
            )
    fewest = min(map(len, each.values()))
    files = {**each, MULTI_TASK: [pair for pairs in each.values() for pair in _sample(pairs, fewest)]}
    places = {name: folder / f"{number}.jsonl" for number, name in enumerate(files)}
    for name, pairs in files.items():
        lines = "".join(json.dumps({"query": query, "positive": document}) + "\n" for query, document in pairs)
        write_whole(places[name], lines.encode())
    return places


def _sample(pairs: Sequence[tuple[str, str]], count: int) -> list[tuple[str, str]]:
    ordered = sorted(pairs, key=lambda pair: hashlib.sha256("\0".join(pair).encode()).digest())
    return ordered[:count]


def _pairs(lake: Lake, domain: str) -> list[tuple[str, str]]:
    texts = {
        row["document"]: embedded(row["title"], row["text"])
        for row in _rows(lake, DOCUMENTS.name, "domain", [domain], ["domain", "document", "title", "text"])
    }
    rows = _rows(lake, QUERIES.name, "domain", [domain], ["domain", "query", "split", "text", "judged"])
    return [
        (row["text"], texts[name])
        for row in rows
        if row["split"] == "train" and row["text"] and row["text"].strip()
        for name, grade in _grades(row).items()
        if grade > 0 and texts.get(name, "").strip()
    ]


def write_vectors(lake: Lake, domains: Sequence[str], path: Path) -> None:
    """Write the vectors of the documents of domains by the SHA-256 of their text, as trainers/embedding/vectors.py
    reads them, so that training embeds queries alone."""
    from safetensors.numpy import save

    rows = _rows(lake, DOCUMENTS.name, "domain", domains, ["domain", "title", "text", "vector", "stamp"])
    _one_stamp(rows)
    found = {hashlib.sha256(embedded(row["title"], row["text"]).encode()).digest(): row["vector"] for row in rows}
    keys = np.frombuffer(b"".join(found), dtype=np.uint8).reshape(len(found), 32)
    write_whole(path, save({"keys": keys.copy(), "vectors": vectors_of(found.values())}))
