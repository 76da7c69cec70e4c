"""Searches compared: words, vectors and both, on questions whose answer is known, and the index with exact search."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from spark_jobs.retrieval.codes import exact_neighbours
from spark_jobs.retrieval.encoders import Encoder
from spark_jobs.retrieval.fusion import reciprocal_ranks
from spark_jobs.retrieval.index import VectorIndex
from spark_jobs.retrieval.metrics import score_run
from spark_jobs.scholar.datastore import Datastore

DEPTH = 100


@dataclass(frozen=True, kw_only=True)
class Compared:
    """The measures of one kind of search, averaged over the questions."""

    search: str
    ndcg: float
    """nDCG@10."""
    recall: float
    """Recall@10."""
    mrr: float


def compared_searches(store: Datastore, questions: Mapping[str, str]) -> list[Compared]:
    """Return the measures of BM25, vectors and both.

    Args:
        store: the datastore.
        questions: questions, each with the paper whose passages are relevant.
    """
    runs: dict[str, dict[str, dict[str, float]]] = {"BM25": {}, "vectors": {}, "hybrid": {}}
    judged: dict[str, dict[str, int]] = {}
    for question, paper in questions.items():
        dense, words = store.ranked(question, DEPTH)
        rankings = {"BM25": words, "vectors": dense}
        rankings["hybrid"] = [name for name, _ in reciprocal_ranks([dense, words])][:DEPTH]
        found = store.passages({*dense, *words})
        for search, names in rankings.items():
            # A paper counts once, by its best passage: how many passages it has is no merit of a search.
            papers = dict.fromkeys(found[name].paper for name in names)
            runs[search][question] = {name: 1.0 / rank for rank, name in enumerate(papers, start=1)}
        judged[question] = {paper: 1}
    measures = {search: score_run(run, judged)[1] for search, run in runs.items()}
    return [
        Compared(search=search, ndcg=each["ndcg@10"], recall=each["recall@10"], mrr=each["mrr"])
        for search, each in measures.items()
    ]


def index_recall(index: VectorIndex, encoder: Encoder, questions: Sequence[str]) -> float:
    """Return recall@10 of an index against exact search in its own vectors, on these questions."""
    queries = encoder.queries(questions)
    found = index.search(queries, encoder.stamp, 10)
    best: list[list[tuple[float, str]]] = [[] for _ in questions]
    for segment in index.segments:
        places, scores = exact_neighbours(segment.vectors, queries, 10, segment.alive)
        for row, (near, values) in enumerate(zip(places, scores, strict=True)):
            kept = near >= 0
            best[row] += zip(map(float, values[kept]), segment.named(near[kept]), strict=True)
    hits: list[float] = []
    for row, each in enumerate(best):
        true = {name for _, name in sorted(each, reverse=True)[:10]}
        hits.append(len(true.intersection(found[row].ids)) / max(len(true), 1))
    return float(np.mean(hits)) if hits else 1.0
