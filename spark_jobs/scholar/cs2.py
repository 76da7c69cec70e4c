"""ScholarQA-CS2's four metrics, from recorded judgements (allenai/asta-bench, astabench/evals/sqa).

- Ingredient recall: the mean, by weight, of the scores of the ingredients that an answer should have.
- Answer precision: the share of the paragraphs that no text that was judged irrelevant matches.
- Citation recall: supported claims, less half a claim for each that rests on titles alone, over all claims. A section
  without any citation adds its sentences to the claims that are not supported.
- Citation precision: the mean over claims with citations of (supporting - half of those with a title alone) / all.

The global score is the mean of the four.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from catalog.errors import WatershedError
from spark_jobs.scholar.citations import sentences

MATCHES = 0.85
"""The ratio of difflib from which a text that was judged irrelevant is a paragraph of the answer."""
BRACKETS = str.maketrans("", "", "[]()")


def ingredient_recall(ingredients: Sequence[Mapping[str, Any]]) -> float:
    """The weighted mean of `score` (0 to 1) over ingredients `{"score", "weight"}`; the default weight is 1.

    Example:
        >>> ingredient_recall([{"score": 1, "weight": 3}, {"score": 0}])
        0.75
    """
    pairs = [(_between(each, "score", 0.0, 1.0), _between(each, "weight", 0.0, 1e9, 1.0)) for each in ingredients]
    total = sum(weight for _, weight in pairs)
    if not total:
        raise WatershedError("there is no ingredient with a weight above 0", "give the ingredients and their scores")
    return sum(score * weight for score, weight in pairs) / total


def answer_precision(answer: str, irrelevant: Iterable[str]) -> float:
    """1 less the share of the paragraphs that were judged irrelevant; 0 for an empty answer.

    Example:
        >>> answer_precision("On cats.\\n\\nOn dogs.", ["On dogs."])
        0.5
    """
    if not answer.strip():
        return 0.0
    paragraphs = re.split(r"\n\s*\n", answer.strip())
    found: set[int] = set()
    for text in irrelevant:
        for index, paragraph in enumerate(paragraphs):
            if difflib.SequenceMatcher(None, text.strip(), paragraph).ratio() >= MATCHES:
                found.add(index)
                break
    return 1 - len(found) / len(paragraphs)


def citation_scores(sections: Sequence[Mapping[str, Any]]) -> tuple[float, float]:
    """Citation recall and precision over sections `{"text", "title_only": [ids], "claims": [...]}`.

    A claim is `{"supporting": [ids], "non_supporting": [ids], "is_fully_supported": bool}`. A section without `claims`
    has no citations.
    """
    supported = claims = 0
    half = 0.0
    precisions: list[float] = []
    for section in sections:
        if not isinstance(section, Mapping):
            raise WatershedError("a section is not an object", 'write {"text", "claims", "title_only"}')
        if section.get("claims") is None:
            claims += len(sentences(str(section.get("text", ""))))
            continue
        titles = {_bare(each) for each in section.get("title_only") or ()}
        for claim in section["claims"]:
            supporting, others = _ids(claim, "supporting"), _ids(claim, "non_supporting")
            with_title = len({_bare(each) for each in supporting} & titles)
            holds = claim.get("is_fully_supported") is True and bool(supporting)
            claims += 1
            supported += holds
            half += 0.5 * (holds and len(supporting) == with_title)
            if supporting or others:
                precisions.append((len(supporting) - 0.5 * with_title) / (len(supporting) + len(others)))
    recall = (supported - half) / claims if claims else 0.0
    return recall, sum(precisions) / len(precisions) if precisions else 0.0


def score_answer(row: Mapping[str, Any]) -> dict[str, float]:
    """The four metrics of a row and their mean, `score`.

    Args:
        row: `response`, `ingredients`, `irrelevant` (texts) and `sections`.
    """
    recall, precision = citation_scores(row["sections"])
    parts = {
        "ingredient_recall": ingredient_recall(row["ingredients"]),
        "answer_precision": answer_precision(row["response"], [str(each) for each in row.get("irrelevant") or ()]),
        "citation_precision": precision,
        "citation_recall": recall,
    }
    if not row["response"].strip():
        parts = dict.fromkeys(parts, 0.0)
    return {"score": sum(parts.values()) / len(parts), **parts}


def _ids(claim: Any, name: str) -> list[str]:
    found = claim.get(name) if isinstance(claim, Mapping) else 0
    if found is None:
        return []
    if not isinstance(found, list):
        raise WatershedError(f"a claim's {name!r} is not a list", 'write {"supporting": [], "non_supporting": []}')
    return [str(each) for each in found]


def _bare(citation: object) -> str:
    return str(citation).translate(BRACKETS)


def _between(each: Any, name: str, least: float, most: float, default: float | None = None) -> float:
    value = each.get(name, default) if isinstance(each, Mapping) else None
    if isinstance(value, bool) or not isinstance(value, int | float) or not least <= value <= most:
        raise WatershedError(f"an ingredient's {name} is {value!r}", f"give a number from {least:g} to {most:g}")
    return float(value)
