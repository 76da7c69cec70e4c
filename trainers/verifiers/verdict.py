"""What a verifier says about one reply: a score from 0 to 1, its parts, and the reason in a sentence."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

LONGEST_REPLY = 1_000_000
"""Characters. A longer reply passes nothing, so the cost of a verdict is bounded whatever a model writes."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """The verdict on one reply.

    Example:
        >>> Verdict(1.0, "the last number is 18").passed
        True
    """

    score: float
    """From 0 to 1."""
    reason: str
    """One sentence: what was found in the reply, or what is missing."""
    parts: Mapping[str, Any] = field(default_factory=dict)
    """Named values of which the score is made, ready for JSON."""

    @property
    def passed(self) -> bool:
        """Whether the score is 1."""
        return self.score >= 1.0

    def row(self) -> dict[str, Any]:
        """The verdict as the columns of a row: `score`, the parts, `reason`."""
        return {"score": self.score, **self.parts, "reason": self.reason}


def unreadable(reply: str) -> str:
    """Why a reply is not judged at all: it is empty or longer than LONGEST_REPLY. "" when it is judged.

    Example:
        >>> unreadable("  ")
        'the reply is empty'
    """
    if not reply.strip():
        return "the reply is empty"
    if len(reply) > LONGEST_REPLY:
        return f"the reply has {len(reply):,} characters, more than {LONGEST_REPLY:,}"
    return ""


def shown(text: str, longest: int = 80) -> str:
    """A text of a reply as a reason quotes it: on one line, cut after `longest` characters."""
    line = " ".join(text[: 4 * longest].split())
    return line if len(line) <= longest and len(text) <= 4 * longest else line[: longest - 1] + "…"
