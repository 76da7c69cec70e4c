"""Two models on the same instances: the paired difference, its interval, and what could have been seen.

Scores of one instance by two models are correlated, so the difference is taken instance by instance. Its variance, not
those of the models, says how many instances are needed ("Adding Error Bars to Evals", arXiv 2411.00640).
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist, fmean, variance
from typing import Any

CONFIDENCE = 0.95
POWER = 0.8


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """A comparison on one task; fields are columns of tulu.comparisons."""

    pairs: int
    mean: float
    baseline_mean: float
    difference: float
    low: float | None
    """Ends of the 95% interval by Student's t; None for a single pair."""
    high: float | None
    seen: float | None
    """The smallest true difference that a two-sided test at 5% would see with a power of 80%."""
    unpaired_seen: float | None
    clear: bool


def pairs_needed(difference: float, variance: float, *, confidence: float = CONFIDENCE, power: float = POWER) -> int:
    """How many pairs show a difference, given the variance of paired differences.

    Args:
        difference: the true mean difference, above 0.
        variance: the variance of the differences of single instances.
        confidence: one minus the error of the first kind of a two-sided test.
        power: the probability that the difference is seen.

    Raises:
        ValueError: the difference is not above 0, or the variance is negative.

    Example:
        >>> pairs_needed(0.03, 1 / 9)
        969
    """
    if not difference > 0 or not variance >= 0:
        raise ValueError("a difference above 0 and a variance of at least 0 are needed")
    return max(1, math.ceil(_quantiles(confidence, power) ** 2 * variance / difference**2))


def smallest_seen(pairs: int, variance: float, *, confidence: float = CONFIDENCE, power: float = POWER) -> float:
    """The smallest true difference that so many pairs show.

    Raises:
        ValueError: there is no pair.

    Example:
        >>> round(smallest_seen(969, 1 / 9), 4)
        0.03
    """
    if pairs < 1:
        raise ValueError("at least one pair is needed")
    return _quantiles(confidence, power) * math.sqrt(variance / pairs)


def _quantiles(confidence: float, power: float) -> float:
    normal = NormalDist()
    return normal.inv_cdf((1 + confidence) / 2) + normal.inv_cdf(power)


def compare(scores: Mapping[str, float], baseline: Mapping[str, float]) -> Comparison | None:
    """Compare scores by instance; None if the models share no instance.

    Example:
        >>> found = compare({"a": 1.0, "b": 1.0, "c": 0.0}, {"a": 0.0, "b": 1.0, "c": 0.0})
        >>> found.pairs, round(found.difference, 3), found.clear
        (3, 0.333, False)
    """
    shared = sorted(scores.keys() & baseline.keys())
    if not shared:
        return None
    ours, theirs = [scores[name] for name in shared], [baseline[name] for name in shared]
    differences = [one - other for one, other in zip(ours, theirs, strict=True)]
    count, difference = len(shared), fmean(differences)
    low = high = seen = unpaired = None
    if count > 1:
        from scipy.stats import t

        spread = variance(differences)
        half = float(t.ppf((1 + CONFIDENCE) / 2, count - 1)) * math.sqrt(spread / count)
        low, high = difference - half, difference + half
        seen = smallest_seen(count, spread)
        unpaired = smallest_seen(count, variance(ours) + variance(theirs))
    return Comparison(
        pairs=count,
        mean=fmean(ours),
        baseline_mean=fmean(theirs),
        difference=difference,
        low=low,
        high=high,
        seen=seen,
        unpaired_seen=unpaired,
        clear=low is not None and high is not None and (low > 0 or high < 0),
    )


def by_instance(
    rows: Sequence[Mapping[str, Any]], k: int = 1, pass_at_k: Callable[[int, int, int], float] | None = None
) -> dict[str, float]:
    """The score of each instance: the mean of its samples, or pass@k.

    Args:
        rows: rows of tulu.results of one model and task.
        k: samples of pass@k.
        pass_at_k: from the numbers of samples, of right ones, and k; needed for k above 1.

    Example:
        >>> by_instance([{"instance": "a", "score": 1.0}, {"instance": "a", "score": 0.0}])
        {'a': 0.5}
    """
    samples: dict[str, list[float]] = defaultdict(list)
    for row in rows:
        samples[row["instance"]].append(row["score"])
    if k == 1 or pass_at_k is None:
        return {name: fmean(each) for name, each in samples.items()}
    return {name: pass_at_k(len(each), sum(score >= 1 for score in each), k) for name, each in samples.items()}
