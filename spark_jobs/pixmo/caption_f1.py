"""F1 of a caption by a judge: statements of the caption against what people said, and the other way round.

Molmo's cap-F1 (arXiv 2409.17146, section 4): a language model cuts texts into atomic statements, and says which ones
the other text supports. Precision is the share of the caption's statements that the references support, recall the
share of the references' statements that the caption supports. Its own prompts were not published; these are ours.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

LIST = (
    "Write every statement of the text below as a list: one short sentence a line, beginning with '- '. Each sentence "
    "says one fact about what is in the picture. Leave out opinions and repetitions.\n\nText:\n{text}"
)
JUDGE = (
    "Below are a text about a picture and numbered statements. For each statement write a line with its number and yes "
    "if the text says or implies it, or no if it does not.\n\nText:\n{text}\n\nStatements:\n{statements}"
)
MOST = 200
"""Statements of a text."""
VERDICT = re.compile(r"^\s*(\d{1,4})\s*[.:)\-]?\s*(yes|no)\b", flags=re.I | re.M)

Ask = Callable[[str], str]
"""Passes a prompt to a language model, and returns its reply."""


@dataclass(frozen=True)
class CaptionScore:
    """What a judge found."""

    precision: float
    recall: float
    f1: float
    unread: int
    """Statements without a verdict, which count as not supported."""


def statements(text: str, ask: Ask) -> list[str]:
    """The statements of a text, as the judge lists them."""
    lines = (line.strip() for line in ask(LIST.format(text=text)).splitlines())
    found = (re.sub(r"^(?:[-*•]|\d{1,3}[.)])\s+", "", line).strip() for line in lines if line)
    return list(dict.fromkeys(each for each in found if each))[:MOST]


def supported(listed: Sequence[str], text: str, ask: Ask) -> tuple[int, int]:
    """How many of some statements a text supports, and how many have no verdict."""
    if not listed:
        return 0, 0
    numbered = "\n".join(f"{number}. {each}" for number, each in enumerate(listed, start=1))
    verdicts = {
        int(number): word.lower() == "yes"
        for number, word in VERDICT.findall(ask(JUDGE.format(text=text, statements=numbered)))
    }
    known = [verdicts.get(number) for number in range(1, len(listed) + 1)]
    return sum(each is True for each in known), sum(each is None for each in known)


def caption_score(caption: str, references: Sequence[str], ask: Ask) -> CaptionScore:
    """Score a caption against what people said of the picture.

    Args:
        caption: of the model.
        references: transcripts or captions of people.
        ask: the judge.
    """
    described = "\n\n".join(references)
    own, theirs = statements(caption, ask), statements(described, ask)
    right, first = supported(own, described, ask)
    found, second = supported(theirs, caption, ask)
    precision = right / len(own) if own else 0.0
    recall = found / len(theirs) if theirs else 0.0
    f1 = 2 * precision * recall / (precision + recall) if precision + recall else 0.0
    return CaptionScore(precision, recall, f1, first + second)
