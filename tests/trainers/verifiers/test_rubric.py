"""Rubrics of ScholarQABench."""

from __future__ import annotations

import json
import os
import random
from pathlib import Path
from typing import Any

import pytest

from trainers.process.errors import TrainerError
from trainers.verifiers.rubric import length_score, score_rubric

SHARED = os.environ.get("WATERSHED_SHARED")
RUBRIC: dict[str, Any] = {
    **{"low_length": 300, "high_length": 600, "length_weight": 0.05, "expertise_weight": 0.05},
    **{"citations_weight": 0.2, "excerpts_weight": 0.1},
    "other_properties": [
        {"name": "a", "criterion": "Says why.", "weight": 0.4, "evidence": ["because"]},
        {"name": "b", "criterion": "Says how.", "weight": 0.2},
    ],
}


def slow(words: int, judged: dict[str, float]) -> float:
    """The published formula, written out."""
    length = 1.0 if words <= 300 else 0.0 if words >= 600 else 1 - (words - 300) / 300
    evidence = judged["a_evidence"] if judged["a"] > 0 else 0.0
    general = 0.05 * length + 0.05 * judged["expertise"] + 0.2 * judged["citations"] + 0.1 * judged["excerpts"]
    return general + 0.4 * (judged["a"] + evidence) / 2 + 0.2 * judged["b"]


def test_the_score_equals_the_published_formula_on_200_answers() -> None:
    for seed in range(200):
        draw = random.Random(seed)
        names = ("expertise", "citations", "excerpts", "a", "a_evidence", "b")
        judged = {name: draw.choice([0.0, 0.0, 0.5, 1.0, draw.random()]) for name in names}
        words = draw.choice([1, 299, 300, 301, 450, 599, 600, 900])
        verdict = score_rubric("word " * words, RUBRIC, judged)
        assert verdict.score == pytest.approx(slow(words, judged))
        evidence = judged["a_evidence"] if judged["a"] else 0.0
        annotation = (0.4 * (judged["a"] + evidence) / 2 + 0.2 * judged["b"]) / 0.6
        assert verdict.parts["annotation"] == pytest.approx(annotation)


def test_a_missing_judgement_is_an_error_and_one_that_was_not_read_counts_nothing() -> None:
    rubric = {"other_properties": RUBRIC["other_properties"][1:]}
    assert score_rubric("Yes.", rubric, {"b": None}).row() | {"reason": ""} == {
        **{"score": 0.0, "annotation": 0.0, "unread": 1, "reason": ""}
    }
    for judgements, cause in (({}, "'b' is missing"), ({"b": 5}, "'b' is 5"), ({"b": True}, "'b' is True")):
        with pytest.raises(TrainerError) as error:
            score_rubric("Yes.", rubric, judgements)
        assert cause in error.value.cause
    assert score_rubric("", rubric, {"b": 1.0}).score == 0.0


def test_length_is_linear_between_its_bounds() -> None:
    assert [length_score(words, 300, 600) for words in (0, 300, 400, 600, 700)] == pytest.approx([1, 1, 2 / 3, 0, 0])


@pytest.mark.skipif(not SHARED, reason="WATERSHED_SHARED names no folder of published files")
def test_every_published_rubric_is_read_and_a_perfect_judge_gives_one() -> None:
    configs = json.loads(
        (Path(str(SHARED)) / "data/scholarqabench/scholarqa_cs/test_configs_snippets.json").read_text()
    )
    assert len(configs) == 110
    for config in configs:
        rubric = config["metric_config"]["config"]
        names = [each["name"] for each in rubric["other_properties"]]
        judged = dict.fromkeys(
            [*names, *(f"{name}_evidence" for name in names), "expertise", "citations", "excerpts"], 1
        )
        assert score_rubric("Short.", rubric, judged).score == pytest.approx(1.0)
