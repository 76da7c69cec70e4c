"""Scores worked answers of word problems by the verifier of GSM8K."""

from __future__ import annotations


def solve(reply: str, answer: str) -> tuple[str | None, float]:
    """Return the number that a reply ends with, None if there is none, and 1.0 if it is the answer.

    Example:
        >>> solve("9 * 2 = 18\\n#### 18", "18")
        ('18', 1.0)
    """
    from trainers.verifiers.gsm8k import score_gsm8k

    verdict = score_gsm8k(reply, answer, "strict")
    return verdict.parts["extracted"], float(verdict.score)
