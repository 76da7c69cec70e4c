"""How well held-out queries find the documents that answer them, before and after training.

The gain is that of the same queries: its interval resamples queries and keeps the two measures of each together.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

DEPTH = 10
"""Documents that nDCG reads."""
RESAMPLES, LEVEL, SEED = 2000, 0.95, 0
MEASURES = ("mrr", "ndcg")


def placed(scores: Sequence[float] | Floats, relevant: Sequence[int]) -> tuple[float, float]:
    """The reciprocal rank of the best relevant document, and nDCG@10; of one query.

    A relevant document stands behind all others of its score, so that equal scores earn nothing.

    Args:
        scores: of the documents.
        relevant: places of the relevant ones, at least one.

    Example:
        >>> placed([0.1, 0.9, 0.5], [2])
        (0.5, 0.6309297535714575)
    """
    values = np.asarray(scores, dtype=np.float64)
    is_relevant = np.zeros(len(values), dtype=bool)
    is_relevant[list(relevant)] = True
    order = np.lexsort((is_relevant, -values))
    ranks = np.flatnonzero(is_relevant[order]) + 1
    best = sum(1 / math.log2(rank + 1) for rank in range(1, min(len(ranks), DEPTH) + 1))
    return float(1 / ranks[0]), sum(1 / math.log2(rank + 1) for rank in ranks if rank <= DEPTH) / best


def gains(before: Floats, after: Floats) -> dict[str, float]:
    """The means of both measures before and after training, and the interval of their paired difference.

    Args:
        before: (queries, 2), as `placed` gives them.
        after: the same queries.

    Returns:
        `heldout_queries`; for `mrr` and `ndcg` the mean as `heldout_mrr`, that of before training as
        `heldout_mrr_before`, and, of two queries or more, the 95% interval of the gain as `heldout_mrr_low` and
        `heldout_mrr_high`.

    Example:
        >>> found = gains(np.array([[0.5, 0.6], [0.5, 0.6]]), np.array([[1.0, 1.0], [0.5, 0.6]]))
        >>> found["heldout_mrr"], found["heldout_mrr_before"], found["heldout_mrr_low"]
        (0.75, 0.5, 0.0)
    """
    found = {"heldout_queries": float(len(after))}
    difference = after - before
    if len(after) > 1:
        drawn = np.random.default_rng(SEED).integers(0, len(after), size=(RESAMPLES, len(after)))
        bounds = np.quantile(difference[drawn].mean(axis=1), [(1 - LEVEL) / 2, (1 + LEVEL) / 2], axis=0)
    for place, name in enumerate(MEASURES):
        found[f"heldout_{name}"] = float(after[:, place].mean())
        found[f"heldout_{name}_before"] = float(before[:, place].mean())
        if len(after) > 1:
            found[f"heldout_{name}_low"], found[f"heldout_{name}_high"] = map(float, bounds[:, place])
    return found


def gain_lines(result: Mapping[str, Any]) -> list[str]:
    """The gain as lines of text, from result.json; none if nothing was held out.

    Example:
        >>> gain_lines({"heldout_queries": 1.0, "heldout_mrr": 1.0, "heldout_mrr_before": 0.5})
        ['held-out MRR 0.500 before, 1.000 after: +0.500 (1 query)']
    """
    if "heldout_mrr_before" not in result:
        return []
    queries = round(result["heldout_queries"])
    lines = []
    for name, shown in (("mrr", "MRR"), ("ndcg", f"nDCG@{DEPTH}")):
        key = f"heldout_{name}"
        if key not in result:
            continue
        gain = result[key] - result[f"{key}_before"]
        low, high = result.get(f"{key}_low"), result.get(f"{key}_high")
        sure = "" if low is None else f", 95% interval {low:+.3f} to {high:+.3f}"
        many = f"{queries:,} {'query' if queries == 1 else 'queries'}"
        words = f"; in the order of BM25 {result[f'{key}_words']:.3f}" if f"{key}_words" in result else ""
        lines.append(
            f"held-out {shown} {result[f'{key}_before']:.3f} before, {result[key]:.3f} after: {gain:+.3f} "
            f"({many}{sure}){words}"
        )
    return lines
