"""How widely codes are searched: the least work by which a sample of queries finds what an exact search finds."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from spark_jobs.retrieval.codes import Codes, exact_neighbours

NEIGHBOURS = 10
CANDIDATES = (20, 50, 100, 200, 400)
WIDTHS = (64, 128, 256, 512)
"""Widths of the search in a graph."""
CODE_COST, VECTOR_COST = 4.0, 150.0
"""Nanoseconds that a code, and a vector that is read for re-ranking, take: their ratio decides what is cheaper."""


@dataclass(frozen=True, kw_only=True)
class Width:
    """How widely a segment is searched, and the recall@10 that was measured with it."""

    probes: int = 0
    candidates: int = 0
    recall: float = 1.0


def calibrated(
    codes: Codes, vectors: np.ndarray, queries: np.ndarray, target: float, *, own: np.ndarray | None = None
) -> Width:
    """Return the cheapest width of which recall@10 reaches the target, or the one with the highest recall.

    Args:
        codes: codes of the vectors.
        vectors: the table (n, dimensions).
        queries: vectors to search for (queries, dimensions) in float32.
        target: recall@10 against exact search, 0..1.
        own: the position of each query in the table, if it is one of the vectors; it then is not a neighbour of itself.
    """
    spare = 0 if own is None else 1
    true = _without(exact_neighbours(vectors, queries, NEIGHBOURS + spare)[0], own)[:, :NEIGHBOURS]
    most = min(CANDIDATES[-1], len(vectors))
    tried: list[tuple[float, Width]] = []
    for probes in _probes(codes):
        found = _without(codes.candidates(queries, most + spare, None, probes), own)
        for count in sorted({min(count, most) for count in CANDIDATES}):
            hits = (true[:, :, None] == found[:, None, :count]).any(axis=2) & (true >= 0)
            recall = float(hits.sum() / max((true >= 0).sum(), 1))
            scanned = probes * len(vectors) / codes.lists if codes.lists else probes * 30
            cost = scanned * CODE_COST + count * VECTOR_COST
            tried.append((cost, Width(probes=probes, candidates=count, recall=round(recall, 4))))
        # Wider searches cost more than what has been found already.
        enough = [cost for cost, width in tried if width.recall >= target]
        if enough and scanned * CODE_COST > min(enough):
            break
    enough = [each for each in tried if each[1].recall >= target]
    if not enough:
        return max(tried, key=lambda each: (each[1].recall, -each[0]))[1]
    return min(enough, key=lambda each: (each[0], each[1].probes))[1]


def _probes(codes: Codes) -> list[int]:
    if not codes.lists:
        return list(WIDTHS)
    found = [1]
    while found[-1] < codes.lists:
        found.append(min(found[-1] * 2, codes.lists))
    return [probes for probes in found if probes >= 4] or found


def _without(found: np.ndarray, own: np.ndarray | None) -> np.ndarray:
    """Return rankings without each query's own vector, one column shorter."""
    if own is None:
        return found
    kept = found != own[:, None]
    # A ranking without its own vector loses its last place.
    kept[kept.all(axis=1), -1] = False
    return found[kept].reshape(len(found), -1)
