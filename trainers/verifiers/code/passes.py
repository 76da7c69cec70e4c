"""pass@k, unbiased (arXiv 2107.03374, equation 1)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction


def pass_at_k(samples: int, right: int, k: int) -> float:
    """The probability that at least one of `k` samples, drawn without replacement, is right: 1 - C(n-c, k) / C(n, k).

    Args:
        samples: n, the number of samples of one problem.
        right: c, how many of them pass.
        k: at least 1 and at most n.

    Raises:
        ValueError: the numbers do not fit.

    Example:
        >>> pass_at_k(10, 3, 1), pass_at_k(5, 1, 5)
        (0.3, 1.0)
    """
    if not 0 <= right <= samples or not 1 <= k <= samples:
        raise ValueError(f"pass@{k} of {right} right among {samples} samples is not defined")
    return float(1 - Fraction(math.comb(samples - right, k), math.comb(samples, k)))


def mean_pass_at_k(problems: Sequence[tuple[int, int]], k: int) -> float | None:
    """The mean of pass@k over problems `(samples, right)`; None where a problem has fewer than k samples.

    Example:
        >>> mean_pass_at_k([(2, 2), (2, 0)], 1)
        0.5
    """
    if not problems or any(samples < k for samples, _ in problems):
        return None
    return sum(pass_at_k(samples, right, k) for samples, right in problems) / len(problems)
