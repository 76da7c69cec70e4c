"""Paired comparisons and their power, and the declared tasks."""

from __future__ import annotations

import random
from collections import Counter
from statistics import NormalDist, fmean, stdev

import pytest

from catalog.errors import WatershedError
from spark_jobs.tulu.comparing import by_instance, compare, pairs_needed, smallest_seen
from spark_jobs.tulu.suites import suite_of, tasks
from spark_jobs.tulu.task_scores import SCORES, answer, contains, f1, mc2, refusal, win_rate
from trainers.verifiers.code.passes import pass_at_k


def test_the_worked_example_of_the_power_calculation_is_exact() -> None:
    # (1.959964 + 0.841621)^2 / 9 / 0.03^2 = 968.997: three points at a variance of differences of 1/9.
    assert pairs_needed(0.03, 1 / 9) == 969
    assert smallest_seen(969, 1 / 9) <= 0.03 < smallest_seen(968, 1 / 9)
    assert pairs_needed(0.01, 1 / 9) == 8_721
    assert pairs_needed(0.03, 1 / 9, power=0.9) == 1_298
    assert pairs_needed(0.03, 0.0) == 1
    for wrong in ((0.0, 0.1), (-0.1, 0.1), (0.1, -1.0)):
        with pytest.raises(ValueError, match="are needed"):
            pairs_needed(*wrong)


def test_so_many_pairs_see_the_difference_with_the_stated_power() -> None:
    draw, seen, pairs = random.Random(1), 0, pairs_needed(0.2, 0.5)
    for _ in range(150):
        # Differences of -1, 0 and 1 with the mean 0.2 and the variance 0.5.
        differences = draw.choices((1, 0, -1), (0.37, 0.46, 0.17), k=pairs)
        ours = {str(n): float(d == 1) for n, d in enumerate(differences)}
        theirs = {str(n): float(d == -1) for n, d in enumerate(differences)}
        found = compare(ours, theirs)
        assert found is not None
        seen += found.clear and found.difference > 0
    assert 0.7 < seen / 150 < 0.9


def test_a_difference_is_paired_over_shared_instances() -> None:
    draw = random.Random(4)
    hard = [draw.random() for _ in range(300)]
    ours = {str(n): float(h < 0.60) for n, h in enumerate(hard)} | {"only ours": 1.0}
    theirs = {str(n): float(h < 0.55) for n, h in enumerate(hard)} | {"only theirs": 0.0}
    found = compare(ours, theirs)
    assert found is not None and found.low is not None and found.high is not None
    differences = [ours[str(n)] - theirs[str(n)] for n in range(300)]
    assert (found.pairs, found.difference) == (300, pytest.approx(fmean(differences)))
    half = NormalDist().inv_cdf(0.975) * stdev(differences) / 300**0.5
    assert found.low == pytest.approx(found.difference - half, rel=0.02)
    assert found.high - found.difference == pytest.approx(found.difference - found.low)
    assert found.clear and found.seen is not None and found.unpaired_seen is not None
    assert found.seen < found.unpaired_seen / 2
    assert compare({"a": 1.0}, {"b": 1.0}) is None
    single = compare({"a": 1.0}, {"a": 0.0})
    assert single is not None and (single.low, single.clear) == (None, False)


def test_pass_at_k_is_unbiased() -> None:
    rows = [{"instance": "a", "score": float(n < 3)} for n in range(20)]
    assert by_instance(rows, 10, pass_at_k) == {"a": pytest.approx(1 - (10 * 9 * 8) / (20 * 19 * 18))}
    assert by_instance(rows) == {"a": 0.15}


def test_the_suites_are_those_of_the_paper() -> None:
    found = tasks()
    assert Counter(task.suite for task in found.values()) == {"development": 11, "safety": 6, "unseen": 8}
    settings = {name: (t.shots, t.chain_of_thought, t.metric) for name, t in found.items()}
    assert settings["mmlu"] == (0, True, "exact match")
    assert settings["popqa"] == (15, False, "exact match")
    assert settings["truthfulqa"] == (6, False, "MC2")
    assert settings["bbh"] == (3, True, "exact match")
    assert settings["drop"] == (3, False, "F1") and not found["drop"].chat
    assert settings["gsm8k"] == (8, True, "exact match")
    assert settings["math"] == (4, True, "flexible exact match")
    assert settings["humaneval"] == settings["bigcodebench"] == (0, False, "pass@10")
    assert settings["ifeval"] == settings["ifeval_ood"] == (0, False, "prompt-level loose accuracy")
    assert found["ifeval_ood"].rule == "loose"
    assert {name for name, task in found.items() if task.sealed} == {
        *("mmlu_pro", "gpqa", "agieval_english", "deepmind_math"),
        *("bigcodebench", "bigcodebench_hard", "ifeval_ood", "href"),
    }
    assert (suite_of("gsm8k"), suite_of("xstest"), suite_of("href"), suite_of("mine")) == (
        *("development", "development", "unseen", "other"),
    )


@pytest.mark.parametrize(
    ("score", "row", "expected"),
    [
        (contains, {"response": "He was a Politician!", "answer": ["politician"]}, 1.0),
        (contains, {"response": "A politicians' club", "answer": ["politician"]}, 0.0),
        (contains, {"response": "", "answer": [""]}, 0.0),
        (answer, {"response": "The answer is no. Wait. So the answer is Yes.", "answer": "yes"}, 1.0),
        (answer, {"response": "", "answer": "yes"}, 0.0),
        (f1, {"response": "1994", "answer": ["1994"]}, 1.0),
        (f1, {"response": "1995", "answer": ["in 1994"]}, 0.0),
        (f1, {"response": "", "answer": ["1994"]}, 0.0),
        (mc2, {"response": "", "choice_logprobs": [0.0, 0.0], "true": [True, False]}, 0.5),
        (win_rate, {"response": "x", "judgements": [{"better": "second", "model_first": False}]}, 1.0),
        (win_rate, {"response": "x", "judgements": [{"better": "equal", "model_first": False}]}, 0.5),
        (win_rate, {"response": "", "judgements": [{"better": "first", "model_first": True}]}, 0.0),
        (refusal, {"response": "No.", "harmful": False, "refused": True}, 0.0),
        (refusal, {"response": "", "harmful": True, "refused": True}, 0.0),
    ],
)
def test_scores_of_tasks_without_a_verifier(score, row: dict, expected: float) -> None:
    assert score(row) == expected


@pytest.mark.parametrize("name", SCORES)
def test_a_row_that_lacks_what_is_scored_is_an_error(name: str) -> None:
    with pytest.raises(WatershedError, match="row 7"):
        SCORES[name]({"id": 7, "response": "x", "judgements": [], "choice_logprobs": [], "true": [True]})
