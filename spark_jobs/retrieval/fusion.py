"""One ranking of several, by reciprocal ranks (Cormack, Clarke and Büttcher, SIGIR 2009)."""

from __future__ import annotations

from collections.abc import Sequence

CONSTANT = 60
"""The constant of the paper: the rank at which a passage counts half of what the first one counts is about here."""


def reciprocal_ranks(
    rankings: Sequence[Sequence[str]], weights: Sequence[float] | None = None, constant: int = CONSTANT
) -> list[tuple[str, float]]:
    """Return the passages of all rankings with their fused scores, best first; equal scores are ordered by id.

    A passage scores the sum of weight / (constant + rank) over the rankings that it is in; ranks are from 1.

    Example:
        >>> [passage for passage, _ in reciprocal_ranks([["a", "b"], ["b", "c"]])]
        ['b', 'a', 'c']
    """
    scores: dict[str, float] = {}
    for ranking, weight in zip(rankings, weights or [1.0] * len(rankings), strict=True):
        for rank, passage in enumerate(dict.fromkeys(ranking), start=1):
            scores[passage] = scores.get(passage, 0.0) + weight / (constant + rank)
    return sorted(scores.items(), key=lambda each: (-each[1], each[0]))
