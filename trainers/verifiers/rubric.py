"""Rubrics: weighted criteria that a judge has scored, as ScholarQABench's computer-science set (arXiv 2411.14199).

A configuration is one of the published `test_configs_snippets.json`: `other_properties` with `name`, `weight`,
`criterion` and `evidence`, and the weights of length, expertise, citations and excerpts, which may be absent. The
judge's scores, from 0 to 1, are
`{"expertise": 0.7, "most_important_item_0": 1.0, "most_important_item_0_evidence": 0.5}`.

- Length: 1 up to `low_length` words, 0 from `high_length` on, linear between.
- A property with both a criterion and evidence is half one and half the other; evidence counts nothing when the
  criterion's score is 0.
- Null, a reply of the judge that could not be read, counts 0 and is counted.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from trainers.process.errors import TrainerError
from trainers.verifiers.verdict import Verdict, unreadable

GENERAL = ("expertise", "citations", "excerpts")


def score_rubric(response: str, rubric: Mapping[str, Any], judgements: Mapping[str, Any]) -> Verdict:
    """The weighted score of a reply. The part `annotation` is the score of the properties alone, over their weight.

    Raises:
        TrainerError: the rubric is malformed, or a score is missing.

    Example:
        >>> rubric = {"other_properties": [{"name": "a", "criterion": "Says why.", "weight": 2.0}]}
        >>> score_rubric("Because.", rubric, {"a": 0.5}).score
        0.5
    """
    properties = rubric.get("other_properties")
    if not isinstance(properties, list) or not all(isinstance(each, Mapping) for each in properties):
        raise TrainerError(
            "the rubric has no list other_properties", "give a published configuration of ScholarQABench"
        )
    unread = [0]
    total = weights = annotation = annotation_weight = 0.0
    if weight := _weight(rubric, "length_weight"):
        low, high = _weight(rubric, "low_length", 300), _weight(rubric, "high_length", 600)
        total, weights = weight * length_score(len(response.split()), low, high), weight
    for name in GENERAL:
        if weight := _weight(rubric, f"{name}_weight"):
            total, weights = total + weight * _judged(judgements, name, unread), weights + weight
    for each in properties:
        weight = _weight(each, "weight")
        annotation += weight * _property(each, judgements, unread)
        annotation_weight += weight
    if not weights + annotation_weight:
        raise TrainerError("the rubric has no weight above 0", "give every property its weight")
    if why := unreadable(response):
        return Verdict(0.0, why, {"annotation": 0.0, "unread": unread[0]})
    score = (total + annotation) / (weights + annotation_weight)
    parts = {"annotation": annotation / annotation_weight if annotation_weight else None, "unread": unread[0]}
    return Verdict(score, f"{len(properties)} properties were judged", parts)


def length_score(words: int, low: float, high: float) -> float:
    """1 up to `low` words, 0 from `high` on, linear between.

    Example:
        >>> length_score(450, 300, 600)
        0.5
    """
    return min(1.0, max(0.0, (high - words) / (high - low))) if high > low else float(words <= low)


def _property(each: Mapping[str, Any], judgements: Mapping[str, Any], unread: list[int]) -> float:
    name = each.get("name")
    if not isinstance(name, str):
        raise TrainerError("a property of the rubric has no name", "give every property a name and a weight")
    criterion = _judged(judgements, name, unread) if each.get("criterion") else None
    if not each.get("evidence"):
        return criterion or 0.0
    evidence = _judged(judgements, f"{name}_evidence", unread)
    if criterion is None:
        return evidence
    return 0.5 * criterion + (0.5 * evidence if criterion else 0.0)


def _judged(judgements: Mapping[str, Any], name: str, unread: list[int]) -> float:
    if name not in judgements:
        raise TrainerError(
            f"the judgement {name!r} is missing", "record a score from 0 to 1, or null if it was not read"
        )
    value = judgements[name]
    if value is None:
        unread[0] += 1
        return 0.0
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
        raise TrainerError(f"the judgement {name!r} is {value!r}", "record a score from 0 to 1")
    return float(value)


def _weight(each: Mapping[str, Any], name: str, default: float = 0.0) -> float:
    value = each.get(name, default)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 1e9:
        raise TrainerError(f"{name} of the rubric is {value!r}", "give a number of at least 0")
    return float(value)
