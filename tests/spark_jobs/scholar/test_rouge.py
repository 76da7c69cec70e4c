"""ROUGE-L beside the package rouge-score."""

from __future__ import annotations

import random

import pytest

from spark_jobs.scholar.rouge import rouge_l


def test_rouge_l_equals_rouge_score_on_300_pairs() -> None:
    scorer = pytest.importorskip("rouge_score.rouge_scorer").RougeScorer(["rougeL"], use_stemmer=False)
    draw = random.Random(0)
    words = ["The", "cat", "sat", "on", "mats", "COVID-19", "it's", "3.5", "é", "—", "dog,", ""]
    for _ in range(300):
        one, other = (" ".join(draw.choices(words, k=draw.randint(0, 30))) for _ in range(2))
        assert rouge_l(one, [other]) == pytest.approx(scorer.score(other, one)["rougeL"].fmeasure), (one, other)


def test_the_best_reference_counts_and_an_empty_answer_scores_nothing() -> None:
    assert rouge_l("a b", ["c", "a b"]) == 1.0
    assert rouge_l("", ["", "a"]) == 0.0
    assert rouge_l("a " * 100_000, ["a " * 100_000]) == 1.0
