"""Papers that a model names from memory, and whether the datastore has them.

A model without passages cites by a list of references or by author and year, and often cites what was never written
(arXiv 2411.14199, section 4). A reference counts as a paper of the datastore if it holds the title or the DOI of one, a
mention of author and year if a paper has both. What the datastore lacks may exist elsewhere: shares of papers that do
not exist are comparable between models over one datastore.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from spark_jobs.scholar.citations import cited_numbers

HEADING = re.compile(r"\W*(?:references|sources|bibliography|citations|works cited)\W*", re.IGNORECASE)
LISTED = re.compile(r"\s*(?:[-*•]\s+)?(?:\[(\d{1,4})\]|(\d{1,4})[.)])\s*:?\s*(\S.*)")
IN_BRACKETS = re.compile(
    r"\(([A-Z][\w'’-]{1,40})(?: et al\.?| (?:and|&) [A-Z][\w'’-]{1,40})?,? ((?:19|20)\d\d)[a-z]?\)"
)
IN_TEXT = re.compile(r"\b([A-Z][\w'’-]{1,40})(?: et al\.?| (?:and|&) [A-Z][\w'’-]{1,40}) \(((?:19|20)\d\d)[a-z]?\)")
DOI = re.compile(r"\b10\.\d{4,9}/[^\s\"<>]{1,200}")
SHORTEST_TITLE, LONGEST_TITLE = 3, 40
"""Words of a title that is looked for inside a reference; a shorter one must be the whole reference."""
MOST, MOST_WORDS = 200, 60
"""Names of an answer, and words of a reference, that are read."""


@dataclass(frozen=True)
class Named:
    """What an answer names: references in full, mentions of author and year, and numbers that no reference has."""

    references: tuple[str, ...]
    mentions: tuple[tuple[str, int], ...]
    dangling: tuple[int, ...]

    @property
    def papers(self) -> int:
        """How many papers are cited, existing or not."""
        return len(self.references) + len(self.mentions) + len(self.dangling)


def named_papers(answer: str) -> Named:
    """Return the papers that an answer names.

    Example:
        >>> named_papers("Ice flows [1, 3]. So say others (Nye, 1953).\\n\\nReferences:\\n[1] On ice. A. Glen, 1955.")
        Named(references=('On ice. A. Glen, 1955.',), mentions=(('Nye', 1953),), dangling=(3,))
    """
    body: list[str] = []
    listed: dict[str, int | None] = {}
    below = False
    for line in answer.splitlines():
        if HEADING.fullmatch(line.strip()):
            below = True
        elif (match := LISTED.fullmatch(line)) and (below or match[1]):
            listed.setdefault(match[3].strip(), int(match[1] or match[2]))
        elif below and line.strip():
            listed.setdefault(line.strip().lstrip("-*• "), None)
        else:
            body.append(line)
    text = "\n".join(body)
    mentions = dict.fromkeys(
        (match[1], int(match[2])) for pattern in (IN_BRACKETS, IN_TEXT) for match in pattern.finditer(text)
    )
    numbers = set(listed.values())
    dangling = dict.fromkeys(number for number in cited_numbers(text) if number not in numbers)
    return Named(tuple(listed)[:MOST], tuple(mentions)[:MOST], tuple(dangling)[:MOST])


def title_key(text: str) -> str:
    """The words of a title in lower case, with single spaces."""
    return " ".join(re.findall(r"\w+", text.casefold()))


def known_papers(found: Sequence[Named], papers: Iterable[Mapping[str, Any]]) -> list[int]:
    """Return how many of the papers that each answer names the datastore has.

    Args:
        found: what the answers name.
        papers: rows of `scholar.papers` with `title`, `doi`, `authors` and `year`, read once, of any number.
    """
    titles: dict[str, set[tuple[int, int]]] = {}
    dois: dict[str, set[tuple[int, int]]] = {}
    people: dict[tuple[str, int], set[tuple[int, int]]] = {}
    for answer, named in enumerate(found):
        for place, reference in enumerate(named.references):
            for key in _spans(reference):
                titles.setdefault(key, set()).add((answer, place))
            for doi in DOI.findall(reference):
                dois.setdefault(doi.rstrip(".,;)").lower(), set()).add((answer, place))
        for place, (author, year) in enumerate(named.mentions):
            people.setdefault((author.casefold(), year), set()).add((answer, place))
    known: set[tuple[str, int, int]] = set()
    for paper in papers:
        hits = titles.get(title_key(paper["title"] or ""), set()) | dois.get((paper["doi"] or "").lower(), set())
        known |= {("reference", *each) for each in hits}
        for name in paper["authors"] or ():
            # Sources write both "Ada Lovelace" and "Lovelace, A.".
            for word in {*name.replace(",", " ").split()}:
                known |= {("mention", *each) for each in people.get((word.casefold(), paper["year"] or 0), ())}
    return [sum(answer == place for _, answer, _ in known) for place in range(len(found))]


def _spans(reference: str) -> set[str]:
    words = title_key(reference).split()[:MOST_WORDS]
    inside = {
        " ".join(words[begin:end])
        for begin in range(len(words))
        for end in range(begin + SHORTEST_TITLE, min(begin + LONGEST_TITLE, len(words)) + 1)
    }
    return {*inside, " ".join(words)} - {""}
