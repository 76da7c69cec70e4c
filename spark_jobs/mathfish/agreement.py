"""Agreement between raters who sort the same things into categories: Cohen's and Fleiss' kappa."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence


def observed_agreement(pairs: Sequence[tuple[str, str]]) -> float | None:
    """The share of things that two raters sort alike; None for no things."""
    return sum(one == other for one, other in pairs) / len(pairs) if pairs else None


def cohen_kappa(pairs: Sequence[tuple[str, str]]) -> float | None:
    """Cohen's kappa of two raters: agreement beyond that of raters who draw from their own shares (Cohen, 1960).

    Args:
        pairs: the categories that both give to each thing.

    Returns:
        At most 1, and 0 for the agreement of chance; None for no things, and if both give one category alone.

    Example:
        >>> cohen_kappa([("full", "full"), ("none", "none"), ("full", "none"), ("none", "none")])
        0.5
    """
    if not pairs:
        return None
    one, other = Counter(pair[0] for pair in pairs), Counter(pair[1] for pair in pairs)
    # Whole numbers, so that equal shares give exactly 1.
    expected, total = sum(one[category] * other[category] for category in one), len(pairs) ** 2
    if expected == total:
        return None
    agreed = sum(first == second for first, second in pairs) * len(pairs)
    return (agreed - expected) / (total - expected)


def fleiss_kappa(ratings: Sequence[Sequence[str]]) -> float | None:
    """Fleiss' kappa of several raters, who need not be the same for each thing (Fleiss, 1971).

    Args:
        ratings: the categories of each thing. Those of fewer than two raters do not count. Where numbers of raters
            differ, each thing counts by the mean agreement of its pairs, and shares are those of all ratings.

    Returns:
        At most 1; None without two ratings of a thing, and if there is one category alone.

    Example:
        >>> fleiss_kappa([["full", "full", "full"], ["none", "none", "none"]])
        1.0
    """
    several = [each for each in ratings if len(each) > 1]
    everything = [category for each in several for category in each]
    if not several:
        return None
    agreed = 0.0
    for each in several:
        counts, size = Counter(each), len(each)
        agreed += sum(count * (count - 1) for count in counts.values()) / (size * (size - 1))
    total = len(everything)
    expected = sum(count * count for count in Counter(everything).values())
    if expected == total * total:
        return None
    chance = expected / (total * total)
    return (agreed / len(several) - chance) / (1 - chance)
