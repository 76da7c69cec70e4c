"""How much better than expected a token or a reply was."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Scaling = Literal["group", "batch", "none"]
EPSILON = 1e-4
"""Added to standard deviations, as TRL does."""


def gae(reward_T: Floats, value_T: Floats, gamma: float, decay: float) -> tuple[Floats, Floats]:
    """Generalised advantage estimation (arXiv 1506.02438, equation 16) of one reply, and its returns.

    A_t = sum_l (gamma lambda)^l (r_{t+l} + gamma v_{t+l+1} - v_{t+l}), the value after the last token being 0; the
    return of a token is its advantage plus its value.

    Args:
        decay: lambda.

    Example:
        >>> gae(np.array([0.0, 1.0]), np.array([0.5, 0.5]), 1.0, 1.0)[0].tolist()
        [0.5, 0.5]
    """
    advantage_T, after, following = np.zeros_like(reward_T), 0.0, 0.0
    for t in range(len(reward_T) - 1, -1, -1):
        after = reward_T[t] + gamma * following - value_T[t] + gamma * decay * after
        advantage_T[t], following = after, value_T[t]
    return advantage_T, advantage_T + value_T


def whitened(values: Floats, *, centred: bool = True) -> Floats:
    """Values with mean 0 (or their own mean) and variance 1, over all tokens of a batch."""
    mean, variance = values.mean(), values.var(ddof=1) if len(values) > 1 else 0.0
    scaled = (values - mean) / np.sqrt(variance + 1e-8)
    return scaled if centred else scaled + mean


def group_advantages(reward_GK: Floats, scaling: Scaling) -> Floats:
    """(G, K): reward minus the mean of its group, over a standard deviation.

    Args:
        reward_GK: K replies to each of G prompts.
        scaling: "group": over the deviation within the group (GRPO); "batch": over that of all rewards; "none": not
            divided (Dr. GRPO): a group's deviation weights questions by how hard they are.

    Example:
        >>> group_advantages(np.array([[1.0, 0.0], [1.0, 1.0]]), "none").tolist()
        [[0.5, -0.5], [0.0, 0.0]]
    """
    centred_GK = reward_GK - reward_GK.mean(1, keepdims=True)
    if scaling == "none" or reward_GK.shape[1] < 2:
        return centred_GK
    deviation = reward_GK.std(1, ddof=1, keepdims=True) if scaling == "group" else reward_GK.std(ddof=1)
    return centred_GK / (deviation + EPSILON)
