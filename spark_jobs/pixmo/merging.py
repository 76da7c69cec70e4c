"""Several transcripts of one description as one text: by their agreement, and by a language model that reads them.

Agreement is ROVER's (Fiscus 1997): transcripts are aligned one after another into a row of slots, each with one word or
no word of every transcript, and each slot takes what most say. The first is the transcript that is nearest to all
others, and its word is taken where no other has more votes. Words are compared without case and punctuation.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

MOST_WORDS = 3_000
"""Words of a transcript; alignment costs their product."""
STRIPPED = re.compile(r"^[^\w]+|[^\w]+$")

Slot = list[str | None]
"""A word of each transcript that has been aligned, in order; None where it has none."""


def plain_words(text: str) -> list[str]:
    """Words as they are compared: lower case, without punctuation around them.

    Example:
        >>> plain_words("A red-brick house, isn't it?")
        ['a', 'red-brick', 'house', "isn't", 'it']
    """
    return [plain for word in text.split() if (plain := STRIPPED.sub("", word.lower()))]


@dataclass(frozen=True)
class WordErrors:
    """Word errors of a text against a reference."""

    substitutions: int
    deletions: int
    insertions: int
    words: int
    """Words of the reference."""

    @property
    def rate(self) -> float:
        """Errors over words of the reference."""
        return (self.substitutions + self.deletions + self.insertions) / max(self.words, 1)


def word_errors(reference: str, text: str) -> WordErrors:
    """Count the fewest substitutions, deletions and insertions that turn the reference into the text.

    Example:
        >>> word_errors("a red bicycle", "the red bicycle leaning").rate
        0.6666666666666666
    """
    truth, words = plain_words(reference), plain_words(text)
    # (errors, substitutions, deletions, insertions) of the best path to each place.
    before = [(place, 0, 0, place) for place in range(len(words) + 1)]
    for row, mine in enumerate(truth, start=1):
        current = [(row, 0, row, 0)]
        for column, theirs in enumerate(words, start=1):
            off = mine != theirs
            cost, s, d, i = before[column - 1]
            best = (cost + off, s + off, d, i)
            cost, s, d, i = before[column]
            best = min(best, (cost + 1, s, d + 1, i))
            cost, s, d, i = current[-1]
            current.append(min(best, (cost + 1, s, d, i + 1)))
        before = current
    _, substitutions, deletions, insertions = before[-1]
    return WordErrors(substitutions, deletions, insertions, len(truth))


def merge_by_agreement(transcripts: Sequence[str]) -> str:
    """One text of several transcripts of the same words, by the vote of each place.

    Example:
        >>> merge_by_agreement(["The rent bicycle leans.", "a red bicycle leans", "the red bicycle leads"])
        'The red bicycle leans.'
    """
    written = [text.split()[:MOST_WORDS] for text in transcripts if text.strip()]
    if len(written) < 2:
        return " ".join(written[0]) if written else ""
    compared = [[STRIPPED.sub("", word.lower()) for word in words] for words in written]
    first = min(range(len(written)), key=lambda one: (sum(_distance(compared[one], each) for each in compared), one))
    order = [first, *(place for place in range(len(written)) if place != first)]
    slots: list[Slot] = [[word] for word in compared[first]]
    forms: Counter[tuple[str, str]] = Counter()
    for place in order:
        forms.update(zip(compared[place], written[place], strict=True))
    for count, place in enumerate(order[1:], start=1):
        slots = _aligned(slots, compared[place], count)
    chosen = [word for slot in slots if (word := _vote(slot)) is not None]
    own = dict(zip(compared[first], written[first], strict=True))
    return " ".join(own.get(word) or max(_forms(forms, word), key=lambda form: forms[word, form]) for word in chosen)


def _forms(forms: Counter[tuple[str, str]], word: str) -> list[str]:
    return sorted(form for plain, form in forms if plain == word)


def _vote(slot: Slot) -> str | None:
    votes = Counter(slot)
    most = max(votes.values())
    # The first transcript decides a tie.
    return next(word for word in slot if votes[word] == most)


def _distance(one: Sequence[str], other: Sequence[str]) -> int:
    before = list(range(len(other) + 1))
    for row, mine in enumerate(one, start=1):
        current = [row]
        for column, theirs in enumerate(other, start=1):
            current.append(min(before[column] + 1, current[-1] + 1, before[column - 1] + (mine != theirs)))
        before = current
    return before[-1]


def _aligned(slots: Sequence[Slot], words: Sequence[str], count: int) -> list[Slot]:
    """The slots with one more transcript: its words in them, new slots where it has more.

    A word costs in a slot the share of transcripts that say otherwise there, and 1 in a slot of its own.
    """
    width = len(words) + 1
    costs = [[0.0] * width for _ in range(len(slots) + 1)]
    steps = [[""] * width for _ in range(len(slots) + 1)]
    for column in range(1, width):
        costs[0][column], steps[0][column] = column, "new"
    for row, slot in enumerate(slots, start=1):
        skip = 1 - slot.count(None) / count
        costs[row][0], steps[row][0] = costs[row - 1][0] + skip, "none"
        for column, word in enumerate(words, start=1):
            choices = (
                (costs[row - 1][column - 1] + 1 - slot.count(word) / count, "word"),
                (costs[row - 1][column] + skip, "none"),
                (costs[row][column - 1] + 1, "new"),
            )
            costs[row][column], steps[row][column] = min(choices, key=lambda choice: choice[0])
    found: list[Slot] = []
    row, column = len(slots), len(words)
    while row or column:
        step = steps[row][column]
        if step == "new":
            column -= 1
            found.append([*[None] * count, words[column]])
        else:
            row -= 1
            column -= step == "word"
            found.append([*slots[row], words[column] if step == "word" else None])
    return found[::-1]


INSTRUCTIONS = (
    "People described the same picture aloud, and a program wrote down what they said, with mistakes. Write one "
    "detailed description of the picture in plain sentences. Use every detail that they give and nothing else. Where "
    "they contradict each other, follow the majority. Correct what was obviously misheard. Do not mention speakers, "
    "transcripts, or that you have not seen the picture."
)


def merge_prompt(transcripts: Sequence[str]) -> str:
    """What a language model, which does not see the picture, is asked for one caption of several transcripts.

    Example:
        >>> merge_prompt(["a bike", "red bicycle"]).splitlines()[-1]
        'Transcript 2: red bicycle'
    """
    lines = [f"Transcript {number}: {' '.join(text.split())}" for number, text in enumerate(transcripts, start=1)]
    return "\n\n".join((INSTRUCTIONS, *lines))
