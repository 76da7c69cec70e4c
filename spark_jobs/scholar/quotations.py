"""Quotations: words between quotation marks that must stand in a passage, character by character.

A quotation is found if a passage has its words in order; white space and the shapes of quotation marks and dashes may
differ. What is printed is the passage's own characters, with their place. A quotation that no passage has is replaced
by a note, so that a fabricated one is never printed.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from spark_jobs.scholar.candidates import Passage

FEWEST_WORDS = 4
"""Words from which on marks make a quotation; fewer are a term, or irony."""
REMOVED = "[quotation removed: no passage has these words]"
MARKS = re.compile(
    r"\"([^\"\n]{3,4000})\"|“([^”\n]{3,4000})”|„([^“”\n]{3,4000})[“”]|«([^»\n]{3,4000})»|‘([^’\n]{3,4000})’(?!\w)"
    r"|``([^'\n]{3,4000})''|(?m:^[ \t]*>[ \t]?(.{3,4000})$)"
)
SAME = str.maketrans(
    {"“": '"', "”": '"', "„": '"', "«": '"', "»": '"', "‘": "'", "’": "'", "–": "-", "—": "-", "‐": "-", "‑": "-"}
)
ENDS = " \t.,;:!?…"
SENTENCE = re.compile(r"\S(?:.*?[.!?](?=\s+[\"“(\[]?[A-Z0-9])|.*\Z)", re.DOTALL)


@dataclass(frozen=True)
class Quotation:
    """A quotation of an answer, and where it stands; `passage` is None if it stands nowhere."""

    text: str
    passage: Passage | None = None
    begin: int = 0
    """First character, in the passage's text."""
    end: int = 0

    @property
    def printed(self) -> str:
        """The passage's own characters."""
        assert self.passage is not None
        return self.passage.text[self.begin : self.end]


def find(quoted: str, text: str) -> tuple[int, int] | None:
    """Return where a text has the words of a quotation, as its characters [begin, end); None if nowhere.

    Example:
        >>> find("ice  flows", "Slowly, ice flows.")
        (8, 18)
    """
    wanted = " ".join(quoted.translate(SAME).split()).strip(ENDS)
    if not wanted:
        return None
    pieces = (re.escape(piece) for piece in wanted.split(" "))
    match = re.search(r"\s+".join(pieces), text.translate(SAME))
    return match.span() if match else None


def checked_quotations(answer: str, passages: Sequence[Passage]) -> tuple[str, list[Quotation]]:
    """Return the answer with the passages' own words in its quotations, and all quotations in order.

    A quotation that no passage has is replaced by REMOVED.
    """
    found: list[Quotation] = []

    def replaced(match: re.Match[str]) -> str:
        inside = next(group for group in match.groups() if group is not None)
        words, citations = _split(inside)
        if len(words.split()) < FEWEST_WORDS:
            return match.group()
        for passage in passages:
            if place := find(words, passage.text):
                quotation = Quotation(words, passage, *place)
                found.append(quotation)
                printed = " ".join(quotation.printed.split())
                ending = words[len(words.rstrip(ENDS)) :].strip()
                return f"“{printed}{ending if len(ending) == 1 else ''}”{citations}"
        found.append(Quotation(words))
        return f"{REMOVED}{citations}"

    return MARKS.sub(replaced, answer), found


def _split(inside: str) -> tuple[str, str]:
    """Return a quotation without the citations at its end, and these."""
    match = re.search(r"(?:\s*\[[\d,;|–\s-]{1,60}\])+\s*$", inside)
    return (inside[: match.start()], inside[match.start() :].rstrip()) if match else (inside, "")


def best_sentence(question: str, text: str) -> tuple[int, int]:
    """Return the place [begin, end) of the sentence of a passage that shares most words with a question.

    Rare words count more: those that few sentences of the passage have. A passage of one sentence is that sentence,
    and a sentence of more than 600 characters is cut at a word.
    """
    sentences = [
        (paragraph.start() + match.start(), paragraph.start() + match.end())
        for paragraph in re.finditer(r"\S(?:.*?(?=\n[ \t]*\n)|.*\Z)", text, re.DOTALL)
        for match in SENTENCE.finditer(paragraph.group())
    ]
    if not sentences:
        return 0, len(text)
    wanted = set(re.findall(r"\w{3,}", question.lower()))
    words = [set(re.findall(r"\w{3,}", text[begin:end].lower())) for begin, end in sentences]
    counts = {word: sum(word in each for each in words) for word in wanted}
    scores = [sum(1 / counts[word] for word in wanted & each) for each in words]
    begin, end = sentences[max(range(len(scores)), key=lambda place: (scores[place], -place))]
    if end - begin > LONGEST:
        cut = text.rfind(" ", begin, begin + LONGEST)
        end = cut if cut > begin else begin + LONGEST
    return begin, end


LONGEST = 600
"""Characters of a sentence that are printed."""
