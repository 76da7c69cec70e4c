"""Mathematical answers, in worker processes."""

from __future__ import annotations

import os
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from verifiers.math_pairs import pairs

from trainers.verifiers.math.minerva import hendrycks_normal, minerva_normal
from trainers.verifiers.math.score import published_answers, score_math
from trainers.verifiers.workers import CLOCK, START_S

HOSTILE = [
    "9**9**9**9",
    r"\boxed{10^{10^{10}}!}",
    "\\boxed{" + "(" * 900 + "1" + ")" * 900 + "}",
    "9" * 1_000_000,
    "\\boxed{__import__('os').system('true')}",
    "\\boxed{\ud800\0}",
]


def test_150_pairs_are_equal_or_not_as_a_mathematician_says() -> None:
    known = pairs()
    assert len(known) == 150
    with ThreadPoolExecutor(2) as pool:
        scores = pool.map(lambda pair: score_math(f"Thus it is $\\boxed{{{pair[1]}}}$.", pair[0]).score, known)
        wrong = [(*pair, score) for pair, score in zip(known, scores, strict=True) if bool(score) != pair[2]]
    assert not wrong


def test_the_published_rule_accepts_one_unequal_pair_and_most_equal_ones() -> None:
    known = pairs()
    with ThreadPoolExecutor(2) as pool:
        scores = list(pool.map(lambda pair: score_math(f"\\boxed{{{pair[1]}}}", pair[0], "published").score, known))
    wrong = [pair[:2] for pair, score in zip(known, scores, strict=True) if score and not pair[2]]
    # sympy reads a mixed number as a product.
    assert wrong == [(r"3\frac{1}{2}", r"\frac{3}{2}")]
    assert sum(scores) >= 60


@pytest.mark.parametrize("reply", HOSTILE, ids=range(len(HOSTILE)))
def test_a_hostile_answer_is_wrong_and_costs_at_most_its_time(reply: str) -> None:
    began = time.monotonic()
    assert score_math(reply, "5", seconds=1).score == 0.0
    # The deadline on the clock, and the longest start of a worker.
    assert time.monotonic() - began < CLOCK + START_S
    assert score_math(r"\boxed{5}", "5").score == 1.0


def test_a_comparison_works_in_threads_and_after_a_fork() -> None:
    with ThreadPoolExecutor(3) as pool:
        assert set(pool.map(lambda n: score_math(f"\\boxed{{{n}+x}}", f"x+{n}").score, range(12))) == {1.0}
    child = os.fork()
    if child == 0:
        os._exit(0 if score_math(r"\boxed{x+2}", "2+x").score == 1.0 else 1)
    assert os.waitpid(child, 0)[1] == 0


def test_an_empty_reply_or_box_passes_nothing() -> None:
    for reply in ("", "  ", r"\boxed{}", r"\boxed{ }", "Final Answer: The final answer is . I hope it is correct."):
        assert score_math(reply, "0").score == 0.0, reply


def test_the_candidates_of_the_published_rule() -> None:
    minerva = "Final Answer: The final answer is $5$. I hope it is correct."
    assert published_answers(rf"\boxed{{4}} {minerva}") == ["4", "$5$"]
    assert published_answers("so $x$ is $5$") == ["5"]
    assert published_answers("5") == ["5"]


def test_normalisations_equal_those_of_the_evaluation_harness() -> None:
    minerva = pytest.importorskip("lm_eval.tasks.minerva_math.utils")
    hendrycks = pytest.importorskip("lm_eval.tasks.hendrycks_math.utils")
    texts = [text for pair in pairs() for text in pair[:2]]
    texts += ["x=\\frac12", "12 inches", "\\text{ 5 cm}", "\\sqrt[3]8", "5 \\text{ units}", "$5$ dollars", ".5", "k=.5"]
    texts += ["1,000,000", "0,1", "\\left(1,2\\right)", "2\\pi cm", "\\frac{1}{72}", "\\frac1{72}", "3 / 4", "an apple"]
    assert [minerva_normal(text) for text in texts] == [minerva.normalize_final_answer(text) for text in texts]
    compared = 0
    for text in texts:
        try:
            expected = hendrycks.strip_string(text)
        except Exception:
            # Theirs fails on a fraction of letters, and compares the texts as they are.
            continue
        assert hendrycks_normal(text) == expected
        compared += 1
    assert compared > 250
