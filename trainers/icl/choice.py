"""Multiple choice from log-probabilities: which option a model prefers, and how the right one ranks.

Both evaluations use this: trainers/answer_questions.py (the lake's own questions) and trainers/evaluate.py (DCLM's).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]

Normalisation = Literal["bytes", "none", "unconditional"]
"""What an option's log-probability is judged by: divided by its UTF-8 bytes, as it is, or less the log-probability of
the same option after nothing (OLMES, arXiv 2406.08446, section 3.2: character, none, pmi)."""
NORMALISATIONS: tuple[Normalisation, ...] = ("bytes", "none", "unconditional")


@dataclass(frozen=True)
class Choice:
    """A model's answer to one question of C options."""

    predicted: int
    """The option of the highest score; of equal ones the first."""
    gold: int
    """The right option."""
    gold_rank: int
    """Options that score higher than the right one, or as high and stand before it: 0 when the answer is correct."""
    probability_C: Floats
    """Softmax of the scores."""

    @property
    def correct(self) -> bool:
        """Whether the right option was chosen."""
        return self.predicted == self.gold


def choose(
    logprob_C: ArrayLike, gold: int, *, lengths_C: ArrayLike | None = None, alone_C: ArrayLike | None = None
) -> Choice:
    """Rank the options of a question.

    Args:
        logprob_C: (C,) log-probability in nats of each option after the question.
        gold: the right option, from 0.
        lengths_C: (C,) tokens or bytes that each log-probability is divided by; None: by nothing.
        alone_C: (C,) log-probability of each option after nothing, which is taken away; None: nothing is.
    """
    score_C = np.asarray(logprob_C, dtype=np.float64)
    if lengths_C is not None:
        score_C = score_C / np.asarray(lengths_C)
    if alone_C is not None:
        score_C = score_C - np.asarray(alone_C)
    before = np.arange(len(score_C)) < gold
    ahead = (score_C > score_C[gold]) | ((score_C == score_C[gold]) & before)
    weight_C = np.exp(score_C - score_C.max())
    return Choice(int(np.argmax(score_C)), gold, int(ahead.sum()), weight_C / weight_C.sum())
