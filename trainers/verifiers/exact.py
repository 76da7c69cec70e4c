"""Exact answers: the reply is the answer, letter for letter or after a normalisation.

- `strict` (the default): equal after white space at both ends is removed.
- `squad`: equal after SQuAD's normalisation (arXiv 1606.05250): lower case, without punctuation, articles and surplus
  white space. The part `f1` is SQuAD's overlap of words, under both rules.
"""

from __future__ import annotations

import re
import string
from collections import Counter
from collections.abc import Sequence
from typing import Literal

from trainers.verifiers.verdict import Verdict, shown, unreadable

Rule = Literal["strict", "squad"]
ARTICLES = re.compile(r"\b(a|an|the)\b")
PUNCTUATION = str.maketrans("", "", string.punctuation)


def score_exact(response: str, answers: Sequence[str], rule: Rule = "strict") -> Verdict:
    """Judge a reply by the nearest of the accepted answers.

    Example:
        >>> score_exact("The Seine.", ["Seine"], rule="squad").score
        1.0
    """
    if why := unreadable(response):
        return Verdict(0.0, why, {"f1": 0.0})
    f1 = max((word_f1(response, answer) for answer in answers), default=0.0)
    same = squad_normalised if rule == "squad" else str.strip
    reply = same(response)
    right = bool(reply) and any(reply == same(answer) for answer in answers)
    return Verdict(
        float(right), f"the reply {shown(response)!r} is {'an' if right else 'no'} accepted answer", {"f1": f1}
    )


def squad_normalised(text: str) -> str:
    """Lower case without punctuation, articles and surplus white space.

    Example:
        >>> squad_normalised("The  Answer, is 5.")
        'answer is 5'
    """
    return " ".join(ARTICLES.sub(" ", text.lower().translate(PUNCTUATION)).split())


def word_f1(reply: str, answer: str) -> float:
    """The harmonic mean of precision and recall of the words of `reply`, both normalised, counted with repeats.

    Example:
        >>> round(word_f1("the red house", "a red barn"), 2)
        0.5
    """
    ours, theirs = squad_normalised(reply).split(), squad_normalised(answer).split()
    if not ours or not theirs:
        return float(ours == theirs)
    common = sum((Counter(ours) & Counter(theirs)).values())
    return 2 * common / (len(ours) + len(theirs))
