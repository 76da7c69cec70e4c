"""Exact search of a domain's documents for its queries, ranked and scored as trec_eval does."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from spark_jobs.retrieval.metrics import ndcg, ranking

K = 10


@dataclass(frozen=True)
class Corpus:
    """The documents of a domain: ids, and vectors (documents, dimensions)."""

    ids: tuple[str, ...]
    vectors: np.ndarray


@dataclass(frozen=True)
class Query:
    """A judged query; its text is None if its domain does not have it."""

    domain: str
    id: str
    split: str
    text: str | None
    grades: Mapping[str, int]


def found_documents(corpus: Corpus, vector: np.ndarray, query: str) -> list[tuple[str, float]]:
    """Return the first ten documents with their scores, in trec_eval's order.

    A document with the id of the query is left out, as BEIR does: in some data sets the queries are documents.
    """
    scores = (corpus.vectors @ vector).astype(np.float32)
    if len(scores) > K + 1:
        # Those of equal scores at the border are all ranked, so that ties end as trec_eval breaks them.
        border = np.partition(scores, len(scores) - K - 1)[len(scores) - K - 1]
        places = np.flatnonzero(scores >= border)
    else:
        places = np.arange(len(scores))
    named = {corpus.ids[place]: float(scores[place]) for place in places if corpus.ids[place] != query}
    return [(document, named[document]) for document in ranking(named)[:K]]


def ranking_rows(
    run: str, queries: Sequence[Query], vectors: np.ndarray, corpora: Mapping[str, Corpus]
) -> list[dict[str, Any]]:
    """Return rows of `router.rankings`.

    Args:
        run: the expert and its seed.
        queries: the queries.
        vectors: the vectors of those that have a text, in their order.
        corpora: the documents by domain.
    """
    rows, place = [], 0
    for query in queries:
        found: list[tuple[str, float]] = []
        if query.text is not None:
            found = found_documents(corpora[query.domain], vectors[place], query.id)
            place += 1
        documents = [document for document, _ in found]
        rows.append(
            {
                "run": run,
                "domain": query.domain,
                "split": query.split,
                "query": query.id,
                "documents": documents,
                "scores": [score for _, score in found],
                "ndcg": ndcg(documents, query.grades, K),
                "answered": query.text is not None,
            }
        )
    return rows
