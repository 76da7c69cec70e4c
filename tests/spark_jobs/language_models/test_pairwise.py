"""Ratings from choices: the same maximum as a general optimiser finds, known strengths, ties, groups and intervals."""

from __future__ import annotations

import random

import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.special import expit, log_expit

from spark_jobs.language_models.pairwise import SCALE, Comparison, rated


def drawn(strengths: dict[str, float], count: int, *, ties: float = 0.2, each: int = 1) -> list[Comparison]:
    """Choices drawn from Bradley-Terry strengths on Elo's scale; a share of them become ties."""
    chance, names, found = random.Random(4), sorted(strengths), []
    for number in range(count):
        one, other = chance.sample(names, 2)
        for _ in range(each):
            won = chance.random() < expit((strengths[one] - strengths[other]) / SCALE)
            points = 0.5 if chance.random() < ties else float(won)
            found.append(Comparison(f"q{number}", one, other, points))
    return found


def by_optimiser(choices: list[Comparison]) -> dict[str, float]:
    """Ratings by a general optimiser, from the definition alone."""
    names = sorted({name for each in choices for name in (each.one, each.other)})
    one = np.array([names.index(each.one) for each in choices])
    other = np.array([names.index(each.other) for each in choices])
    points = np.array([each.points for each in choices])

    def loss(x: np.ndarray) -> float:
        apart = x[one] - x[other]
        prior = 0.5 * (log_expit(x) + log_expit(-x)).sum()
        return -(points * log_expit(apart) + (1 - points) * log_expit(-apart)).sum() - prior

    found = minimize(loss, np.zeros(len(names)), method="BFGS", options={"gtol": 1e-9}).x
    return dict(zip(names, 1000 + 400 / np.log(10) * (found - found.mean()), strict=True))


@pytest.mark.parametrize("count", [3, 40, 400])
def test_ratings_are_the_maximum_of_the_likelihood(count: int) -> None:
    choices = drawn({"a": 900, "b": 1000, "c": 1300, "d": 600}, count)
    models, _ = rated(choices, resamples=2)
    assert {each.model: each.elo for each in models} == pytest.approx(by_optimiser(choices), abs=1e-3)


def test_known_strengths_lie_in_the_intervals_and_the_order_decides_nothing() -> None:
    true = {"a": 800.0, "b": 1000.0, "c": 1200.0}
    choices = drawn(true, 600, ties=0.0)
    models, pairs = rated(choices)
    assert [each.model for each in models] == ["c", "b", "a"]
    for each in models:
        assert each.elo_low is not None and each.elo_high is not None
        assert each.elo_low < true[each.model] < each.elo_high and each.elo_low < each.elo < each.elo_high
        assert 40 < each.elo_high - each.elo_low < 200
    shuffled = list(choices)
    random.Random(1).shuffle(shuffled)
    turned = [Comparison(each.question, each.other, each.one, 1 - each.points) for each in shuffled]
    again, pairs_again = rated(turned)
    assert [vars(each) for each in again] == [pytest.approx(vars(each)) for each in models]
    assert [(each.one, each.wins, each.losses) for each in pairs_again] == [
        (each.one, each.wins, each.losses) for each in pairs
    ]


def test_wins_ties_and_losses_are_counted_from_each_side() -> None:
    points = [("b", "a", 1.0), ("a", "b", 1.0), ("a", "b", 0.5), ("b", "a", 1.0)]
    models, (pair,) = rated([Comparison(str(n), one, other, p) for n, (one, other, p) in enumerate(points)])
    assert [(each.model, each.wins, each.ties, each.losses, each.win_rate) for each in models] == [
        ("b", 2, 1, 1, 0.625),
        ("a", 1, 1, 2, 0.375),
    ]
    assert (pair.one, pair.other, pair.wins, pair.ties, pair.losses, pair.win_rate) == ("a", "b", 1, 1, 2, 0.375)


def test_choices_about_one_question_are_no_independent_ones() -> None:
    once, often = drawn({"a": 900, "b": 1100}, 60), drawn({"a": 900, "b": 1100}, 60)
    often = [each for each in often for _ in range(9)]
    widths = []
    for choices in (once, often):
        (best, _), _ = rated(choices)
        assert best.win_low is not None and best.win_high is not None
        widths.append(best.win_high - best.win_low)
    assert widths[0] == pytest.approx(widths[1]), "nine raters who say the same add no question"
    (only, _), (pair,) = rated([Comparison("q", "a", "b", 1.0)] * 5)
    assert (only.elo_low, only.win_low, pair.win_low) == (None, None, None)


def test_a_model_that_never_lost_is_finite_and_unconnected_models_are_said() -> None:
    choices = [Comparison(str(n), "a", "b", 1.0) for n in range(500)] + [Comparison("x", "c", "d", 1.0)]
    models, _ = rated(choices, resamples=20)
    assert all(np.isfinite([each.elo, each.elo_low, each.elo_high]).all() for each in models)
    group = {each.model: each.group for each in models}
    assert group["a"] == group["b"] != group["c"] == group["d"]
    assert rated([]) == ([], [])
    for wrong in (("a", "a", 1.0), ("a", "b", 0.7), ("a", "b", float("nan"))):
        with pytest.raises(ValueError, match="no choice"):
            Comparison("q", *wrong)
