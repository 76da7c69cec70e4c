r"""Citation recall and precision at the level of sentences, as ScholarQABench computes them (arXiv 2411.14199).

An answer cites passages by their index from 0: `... is common [2].` Recall is the share of the sentences whose cited
passages, together, entail them. Precision is the share of the citations that are needed: in a sentence that is
entailed, a citation counts when it alone entails the sentence, or when the others without it do not; every citation of
a sentence that is not entailed counts as wrong.

Two rules:

- `published`: sentences of fewer than 50 characters are left out; a sentence without a citation inherits those of the
  sentence before; three citations of a sentence are kept; of `[1, 2]` the first number alone is read. An answer without
  a sentence to judge has no score and is left out of the mean.
- `strict` (the default): every sentence counts that cites or has at least 50 characters; nothing is inherited, so a
  sentence without a citation is not supported; every number of `[1, 2]` and `[1-3]` is read and all are kept. An answer
  without a sentence scores 0.

A citation of a passage that does not exist makes its sentence unsupported under both rules.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from catalog.errors import WatershedError

Rule = Literal["strict", "published"]
Entails = Callable[[str, tuple[int, ...]], bool]
"""Whether the passages of these indices, sorted, together entail a claim."""

SHORTEST = 50
MOST_CITED = 3
FIRST_NUMBER = re.compile(r"\[(\d{1,6})")
GROUP = re.compile(r"\s?\[(\d{1,6}(?:\s?[,;|–-]\s?\d{1,6}){0,50})\]")
ENDS = re.compile(r"(?<=[.!?])((?:\s?\[[\d,;|–\s-]{1,60}\])*)\s+(?=[\"“(\[]?[A-Z0-9])|\n+")
ABBREVIATION = re.compile(r"(?:\b(?:e\.g|i\.e|et al|vs|Fig|Eq|Dr|cf|etc|approx|No|ref|refs)|\b[A-Z])\.$")


@dataclass(frozen=True)
class Claim:
    """A sentence of an answer, without its citations, and the indices that it cites, each once."""

    text: str
    cited: tuple[int, ...]


@dataclass(frozen=True)
class CitationScore:
    """The score of one answer."""

    recall: float | None
    precision: float | None
    claims: int
    supported: int
    citations: int
    out_of_range: int

    @property
    def f1(self) -> float | None:
        """The harmonic mean of precision and recall."""
        if self.recall is None or self.precision is None:
            return None
        total = self.recall + self.precision
        return 2 * self.recall * self.precision / total if total else 0.0


def sentences(answer: str) -> list[str]:
    """The sentences of an answer; citations behind the final point belong to the sentence before them.

    Example:
        >>> sentences("Cells grow, e.g. in light. [1] They rest at night [2]. Then:")
        ['Cells grow, e.g. in light. [1]', 'They rest at night [2].', 'Then:']
    """
    found, begins = [], 0
    for end in ENDS.finditer(answer):
        before = answer[max(begins, end.start() - 20) : end.start()]
        if not end.group().startswith("\n") and not end[1] and ABBREVIATION.search(before):
            continue
        found.append(answer[begins : end.end(1) if end[1] else end.start()])
        begins = end.end()
    return [text for each in [*found, answer[begins:]] if (text := each.strip())]


def claims(answer: str, rule: Rule = "strict") -> list[Claim]:
    """The sentences that are judged, with what they cite.

    Example:
        >>> claims("Plants need light and water to grow at all [0, 2-3].")[0].cited
        (0, 2, 3)
    """
    found: list[Claim] = []
    inherited: tuple[int, ...] = ()
    for sentence in sentences(answer):
        text = " ".join(GROUP.sub("", sentence).split())
        cited = cited_numbers(sentence, rule)
        if rule == "published":
            if len(sentence) < SHORTEST:
                continue
            cited = cited or inherited
            inherited = cited
            found.append(Claim(text, cited[:MOST_CITED]))
        elif cited or len(text) >= SHORTEST:
            found.append(Claim(text, cited))
    return found


def cited_numbers(sentence: str, rule: Rule = "strict") -> tuple[int, ...]:
    """The numbers that a sentence cites, each once, in their order.

    Example:
        >>> cited_numbers("It grows [2, 0] in light [3-4].")
        (2, 0, 3, 4)
    """
    if rule == "published":
        return tuple(dict.fromkeys(int(number) for number in FIRST_NUMBER.findall(sentence)))
    found: dict[int, None] = {}
    for group in GROUP.findall(sentence):
        for part in re.split(r"\s?[,;|]\s?", group):
            first, *rest = (int(number) for number in re.split(r"\s?[–-]\s?", part))
            last = rest[-1] if rest else first
            found |= dict.fromkeys(range(first, last + 1) if first <= last <= first + 50 else (first, last))
    return tuple(found)


def score_citations(answer: str, passages: int, entails: Entails, rule: Rule = "strict") -> CitationScore:
    """Score the citations of an answer.

    Args:
        answer: with citations `[i]`, i from 0.
        passages: how many passages there are to cite.
        entails: the judgement of a model, or a recorded one.
        rule: see the module.

    Example:
        >>> score_citations("Plants need light and water to grow at all [0].", 1, lambda claim, cited: True).f1
        1.0
    """
    judged = claims(answer, rule)
    supported = needed = cited = outside = 0
    for claim in judged:
        cited += len(claim.cited)
        wrong = sum(index >= passages for index in claim.cited)
        outside += wrong
        if not claim.cited or wrong or not entails(claim.text, tuple(sorted(claim.cited))):
            continue
        supported += 1
        needed += sum(_is_needed(claim, index, entails) for index in claim.cited)
    if not judged:
        empty = None if rule == "published" else 0.0
        return CitationScore(empty, empty, 0, 0, 0, 0)
    precision = needed / cited if cited else 0.0
    return CitationScore(supported / len(judged), precision, len(judged), supported, cited, outside)


def _is_needed(claim: Claim, index: int, entails: Entails) -> bool:
    """Whether a passage alone entails a claim, or the others without it do not. All together entail it."""
    others = tuple(sorted(other for other in claim.cited if other != index))
    return not others or entails(claim.text, (index,)) or not entails(claim.text, others)


def recorded(entailments: Sequence[Mapping[str, Any]]) -> Entails:
    """Entailments that were recorded: `{"claim": text, "citations": [0, 2], "entailed": true}`.

    The function raises WatershedError when a judgement is needed that was not recorded.
    """
    known: dict[tuple[str, tuple[int, ...]], bool] = {}
    for each in entailments:
        try:
            key = (" ".join(each["claim"].split()), tuple(sorted({int(index) for index in each["citations"]})))
            entailed = each["entailed"]
        except (KeyError, TypeError, ValueError, AttributeError):
            entailed = None
        if not isinstance(entailed, bool):
            raise WatershedError(
                "an entailment is malformed", 'write {"claim": TEXT, "citations": [0], "entailed": true}'
            )
        if known.setdefault(key, entailed) != entailed:
            raise WatershedError(f"two entailments of {key[0][:60]!r} contradict each other", "keep one of them")

    def entails(claim: str, cited: tuple[int, ...]) -> bool:
        if (claim, cited) not in known:
            raise WatershedError(
                f"there is no entailment of {claim[:60]!r} by {list(cited)}",
                "record one for each claim and citations: together, each alone, and all but one",
            )
        return known[claim, cited]

    return entails
