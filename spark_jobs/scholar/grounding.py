"""The final answer: its citations as numbered references, each sentence with whether these support it.

Models cite passages by the number under which they saw them, from 0. References are numbered from 1 in the order of
their first citation. A number that no passage has is removed, and the sentence counts as not supported.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from spark_jobs.scholar.citations import GROUP, SHORTEST, cited_numbers, sentences

MARKS = {"not_supported": "[not supported]", "not_cited": "[no source]"}
"""What is printed behind a sentence that is not supported."""


@dataclass(frozen=True, kw_only=True)
class Sentence:
    """A sentence of an answer."""

    text: str
    """The sentence without its citations."""
    cited: tuple[int, ...]
    """Passages that it cites, by the number under which the model saw them, from 0."""
    missing: tuple[int, ...]
    """Numbers that no passage has."""
    judged: bool
    """Whether it makes a claim: it cites, or is not short."""


@dataclass(frozen=True)
class Support:
    """What was decided of a sentence, and by which request."""

    verdict: str
    """supported, not_supported, not_cited or not_checked."""
    request: str | None = None


Judge = Callable[[Sequence[tuple[str, tuple[int, ...]]]], Sequence[tuple[bool | None, str | None]]]
"""Whether passages, together, support a claim, for several claims, and the request that decided it; None: undecided."""


def read_sentences(answer: str, passages: int) -> list[Sentence]:
    """Return the sentences of an answer with the passages that they cite."""
    found = []
    for each in (sentence for paragraph in _paragraphs(answer) for sentence in paragraph):
        numbers = cited_numbers(each)
        text = " ".join(GROUP.sub("", each).split())
        cited = tuple(number for number in numbers if number < passages)
        missing = tuple(number for number in numbers if number >= passages)
        judged = bool(numbers) or len(text) >= SHORTEST
        found.append(Sentence(text=text, cited=cited, missing=missing, judged=judged))
    return found


def supports(found: Sequence[Sentence], judge: Judge | None) -> list[Support | None]:
    """Return what is decided of each sentence; None for one that makes no claim."""
    asked = [each for each in found if each.judged and each.cited and not each.missing]
    verdicts = dict(zip(map(id, asked), judge([(e.text, e.cited) for e in asked]), strict=True)) if judge else {}
    decided: list[Support | None] = []
    for each in found:
        if not each.judged:
            decided.append(None)
        elif each.missing:
            decided.append(Support("not_supported"))
        elif not each.cited:
            decided.append(Support("not_cited"))
        else:
            verdict, request = verdicts.get(id(each), (None, None))
            names = {True: "supported", False: "not_supported", None: "not_checked"}
            decided.append(Support(names[verdict], request))
    return decided


def reference_numbers(found: Sequence[Sentence]) -> dict[int, int]:
    """Return the number of the reference of each passage that is cited, in the order of their first citation."""
    order = dict.fromkeys(number for each in found for number in each.cited)
    return {number: place for place, number in enumerate(order, start=1)}


def printed(answer: str, found: Sequence[Sentence], decided: Sequence[Support | None], numbers: dict[int, int]) -> str:
    """Return the answer with numbered references, and a mark behind each sentence that is not supported."""
    paragraphs, place = [], 0
    for paragraph in _paragraphs(answer):
        parts = []
        for sentence in paragraph:
            each, support = found[place], decided[place]
            place += 1
            cited = [numbers[number] for number in each.cited]
            body = _without_citations(sentence)
            mark = f" {MARKS[support.verdict]}" if support and support.verdict in MARKS else ""
            parts.append(f"{_with_citations(body, cited)}{mark}")
        paragraphs.append(" ".join(parts))
    return "\n\n".join(paragraphs)


def _paragraphs(answer: str) -> list[list[str]]:
    return [found for paragraph in re.split(r"\n+", answer) if (found := sentences(paragraph))]


def _with_citations(body: str, cited: list[int]) -> str:
    """Return a sentence with its citations before its final point."""
    if not cited:
        return body
    end = len(body.rstrip(".!?"))
    return f"{body[:end]} [{', '.join(map(str, cited))}]{body[end:]}"


def _without_citations(sentence: str) -> str:
    """Return a sentence without its citations, with single spaces and its final point in place."""
    text = " ".join(GROUP.sub("", sentence).split())
    return re.sub(r"\s+([.,;:!?])", r"\1", text)
