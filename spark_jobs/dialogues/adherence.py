"""How far a dialogue follows its plan, measured by words, without a model."""

from __future__ import annotations

import re
from collections.abc import Sequence

from spark_jobs.dialogues.reading import steps_of

COVERED = 0.4
"""The share of the content words of a step that a message must have to cover it, 0..1."""

_WORD = re.compile(r"[^\W\d_]{4,}")
_COMMON = frozenset(
    "about after again also another asks because been before being could does doing each even from gives have into "
    "just like make more most much only other over says should some such than that their them then there these they "
    "this those through tells very wants were what when where which while will with would your agent user".split()
)


def content_words(text: str) -> frozenset[str]:
    """Return the words of at least four letters that are not common ones, without their endings."""
    return frozenset(word[:6] for word in (each.casefold() for each in _WORD.findall(text)) if word not in _COMMON)


def adherence(plan: str, texts: Sequence[str]) -> float | None:
    """Return the share of the plan's steps that a message covers, 0..1; None if the plan has no steps.

    A message covers a step if it has at least COVERED of the step's content words.
    """
    steps = [words for step in steps_of(plan) if (words := content_words(step))]
    if not steps:
        return None
    spoken = [content_words(text) for text in texts]
    covered = sum(any(len(step & words) >= COVERED * len(step) for words in spoken) for step in steps)
    return covered / len(steps)
