"""Measures of one query's ranking, exactly as trec_eval computes them.

A ranking is sorted by score as a 32-bit float, largest first, and equal scores by document id, last in the alphabet
first: so trec_eval breaks ties, whatever the order of the file. A document is relevant when its grade is above 0; the
gain of nDCG is the grade, discounted by log2(rank + 1). A document that is not judged has grade 0.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np


def ranking(scores: Mapping[str, float]) -> list[str]:
    """The documents of a query in trec_eval's order.

    Example:
        >>> ranking({"a": 1.0, "b": 1.0, "c": 2.0})
        ['c', 'b', 'a']
    """
    documents = sorted(scores, key=lambda document: document.encode(), reverse=True)
    with np.errstate(over="ignore"):
        keys = np.array([scores[document] for document in documents], dtype=np.float32)
    return [documents[index] for index in np.argsort(-keys, kind="stable")]


def ndcg(ranked: Sequence[str], grades: Mapping[str, int], k: int | None = None) -> float:
    """Normalised discounted cumulative gain of the first k documents; 0 for a query without a relevant document.

    Example:
        >>> ndcg(["a", "b"], {"b": 1}, 10) == 1 / math.log2(3)
        True
    """
    gains = [max(grades.get(document, 0), 0) for document in ranked[:k]]
    ideal = sorted((grade for grade in grades.values() if grade > 0), reverse=True)[:k]
    best = _dcg(ideal)
    return _dcg(gains) / best if best else 0.0


def _dcg(gains: Sequence[int]) -> float:
    return sum(gain / math.log2(rank + 1) for rank, gain in enumerate(gains, start=1))


def recall(ranked: Sequence[str], grades: Mapping[str, int], k: int | None = None) -> float:
    """The share of the relevant documents among the first k; 0 for a query without one."""
    relevant = _relevant(grades)
    return len(relevant.intersection(ranked[:k])) / len(relevant) if relevant else 0.0


def reciprocal_rank(ranked: Sequence[str], grades: Mapping[str, int]) -> float:
    """1 over the rank of the first relevant document; 0 where there is none."""
    relevant = _relevant(grades)
    return next((1 / rank for rank, document in enumerate(ranked, start=1) if document in relevant), 0.0)


def average_precision(ranked: Sequence[str], grades: Mapping[str, int]) -> float:
    """The mean, over all relevant documents, of the precision at their ranks; 0 for one that is not retrieved."""
    relevant, hits, total = _relevant(grades), 0, 0.0
    for rank, document in enumerate(ranked, start=1):
        if document in relevant:
            hits += 1
            total += hits / rank
    return total / len(relevant) if relevant else 0.0


def _relevant(grades: Mapping[str, int]) -> set[str]:
    return {document for document, grade in grades.items() if grade > 0}


def query_measures(scores: Mapping[str, float], grades: Mapping[str, int], ks: Sequence[int]) -> dict[str, float]:
    """All measures of one query: `ndcg@k` and `recall@k` for each k, `mrr` and `map`."""
    ranked = ranking(scores)
    found = {f"ndcg@{k}": ndcg(ranked, grades, k) for k in ks}
    found |= {f"recall@{k}": recall(ranked, grades, k) for k in ks}
    return {**found, "mrr": reciprocal_rank(ranked, grades), "map": average_precision(ranked, grades)}


def score_run(
    run: Mapping[str, Mapping[str, float]], judgements: Mapping[str, Mapping[str, int]], ks: Sequence[int] = (10,)
) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Score a run: a row for each judged query, and the averages.

    Two averages are computed: over all judged queries, of which one that the run does not answer counts 0 (as
    ir_measures averages), and over those that the run answers (as trec_eval without -c does). Queries that are not
    judged are counted and left out.

    Example:
        >>> score_run({"q": {"a": 1.0}}, {"q": {"a": 1}, "r": {"b": 1}})[1]["ndcg@10"]
        0.5
    """
    rows: list[dict[str, Any]] = []
    for query, grades in judgements.items():
        measures = query_measures(run.get(query, {}), grades, ks)
        rows.append({"id": query, "score": measures[f"ndcg@{ks[0]}"], "answered": query in run, **measures})
    answered = [row for row in rows if row["answered"]]
    names = [name for name in (rows[0] if rows else {}) if name not in ("id", "score", "answered")]
    found: dict[str, Any] = {name: math.fsum(row[name] for row in rows) / len(rows) for name in names}
    for name in names:
        found[f"{name}_answered"] = math.fsum(row[name] for row in answered) / len(answered) if answered else None
    found |= {"queries": len(rows), "answered": len(answered), "unjudged": len(run.keys() - judgements.keys())}
    return rows, found
