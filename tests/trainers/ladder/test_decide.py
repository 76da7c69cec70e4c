"""Deciding between two data sets: stated probabilities must be right that often on laws whose truth is known."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import stats

from trainers.ladder.decide import (
    ACCURACY,
    BITS_PER_BYTE,
    Measure,
    decision_accuracy,
    level_of,
    paired_differences,
    predict_difference,
    share_right,
)
from trainers.process.errors import TrainerError

FLOPS = (1e18, 4e18, 1.6e19)
TARGET = 1.6e20
PAIRS = 400


def made_pair(random: np.random.Generator, seeds: int = 3) -> tuple[NDArray, NDArray, float, float]:
    """Losses (R, S) of two corpora under power laws of their own, by how much the first is better at the target, and
    the mean difference that `seeds` runs of each show there.

    Floors, factors and exponents of the two differ, so that some pairs cross between ladder and target; the noise of
    seeds spans a factor of ten. None of it is the model that the decision assumes.
    """
    noise = np.exp(random.uniform(np.log(0.002), np.log(0.02)))
    floors = 0.6 + 0.02 * random.standard_normal(2)
    factors = 1.2 * np.exp(0.02 * random.standard_normal(2))
    exponents = 0.12 * np.exp(0.06 * random.standard_normal(2))

    def losses(compute: float) -> NDArray:
        return floors + factors * (compute / FLOPS[0]) ** -exponents

    at_runs_RM = np.array([losses(compute) for compute in FLOPS])
    runs_RMS = at_runs_RM[:, :, None] + noise * random.standard_normal((len(FLOPS), 2, seeds))
    truth = losses(TARGET)
    measured = truth[:, None] + noise * random.standard_normal((2, seeds))
    return runs_RMS[:, 0], runs_RMS[:, 1], float(truth[1] - truth[0]), float(measured[1].mean() - measured[0].mean())


def simulated(measure: Measure) -> tuple[NDArray, NDArray, NDArray]:
    """Over `PAIRS` pairs: the stated probability, whether the first was better, whether the measured band held."""
    random = np.random.default_rng(20)
    probability, truth, held = [], [], []
    for _ in range(PAIRS):
        first, second, better, measured = made_pair(random)
        found = predict_difference(
            FLOPS,
            paired_differences(first, second, measure),
            TARGET,
            measure,
            scale=level_of(first, second, measure),
            seeds=3,
        )
        probability.append(found.probability)
        truth.append(better > 0)
        held.append(found.measured_low <= measured <= found.measured_high)
    return np.array(probability), np.array(truth), np.array(held)


def surprise(probability: NDArray, truth: NDArray, low: float, high: float) -> float:
    """How many standard deviations the decisions right lie from those promised, of decisions sure by low..high."""
    sure = np.maximum(probability, 1 - probability)
    here = (sure >= low) & (sure < high)
    assert here.sum() >= 30, "too few pairs to tell"
    right = ((probability > 0.5) == truth)[here]
    return float((right.sum() - sure[here].sum()) / np.sqrt((sure[here] * (1 - sure[here])).sum()))


def test_decisions_of_probability_p_are_right_in_that_share_of_cases() -> None:
    probability, truth, held = simulated(BITS_PER_BYTE)
    for low, high in ((0.5, 0.7), (0.7, 0.9), (0.9, 0.99)):
        assert abs(surprise(probability, truth, low, high)) < 2.5, (low, high)
    surest = np.maximum(probability, 1 - probability) >= 0.99
    assert surest.sum() >= 30
    assert np.mean((probability > 0.5)[surest] == truth[surest]) > 0.97
    assert 0.86 <= held.mean() <= 0.97


def test_a_slope_held_to_be_zero_is_too_sure_of_itself() -> None:
    """The same pairs show that the test above can fail."""
    naive = Measure(name="bits_per_byte", better=-1, relative=True, slope_sd=1e-6, noise_sd=0.005)
    probability, truth, held = simulated(naive)
    assert surprise(probability, truth, 0.7, 0.999) < -2.5
    assert held.mean() < 0.8


def test_with_no_trend_allowed_the_posterior_is_students_t() -> None:
    """With the slope held to be zero, and many differences beside the prior's two, the textbook's interval."""
    d = np.random.default_rng(3).normal(0.02, 0.01, (3, 40))
    flat = Measure(name="m", better=1, relative=False, slope_sd=1e-9, noise_sd=0.01)
    found = predict_difference(FLOPS, d, TARGET, flat, level=0.9)
    squares = ((d - d.mean()) ** 2).sum() + 2 * 0.01**2
    freedom = d.size - 1 + 2
    half = stats.t.ppf(0.95, freedom) * np.sqrt(squares / freedom / d.size)
    assert found.difference == pytest.approx(d.mean())
    assert found.low == pytest.approx(d.mean() - half, rel=1e-3)
    assert found.high == pytest.approx(d.mean() + half, rel=1e-3)
    t = d.mean() / np.sqrt(squares / freedom / d.size)
    assert found.probability == pytest.approx(stats.t.cdf(t, freedom), abs=1e-6)


def test_the_band_widens_with_distance_and_narrows_with_seeds() -> None:
    d = np.array([[0.030, 0.034], [0.028, 0.033], [0.031, 0.029]])

    def width(d: NDArray, target: float) -> float:
        found = predict_difference(FLOPS, d, target, BITS_PER_BYTE)
        return found.high - found.low

    near, far = width(d, 2e19), width(d, 1e22)
    assert near < width(d, TARGET) < far
    assert width(np.tile(d, 4), TARGET) < width(d, TARGET)


def test_a_trend_is_followed_part_of_the_way() -> None:
    d = np.array([[0.06], [0.04], [0.02]]) + np.array([[-0.001, 0, 0.001]])
    found = predict_difference(FLOPS, d, TARGET, BITS_PER_BYTE)
    line = 0.02 - 0.02 * np.log(10) / np.log(4)
    assert line < found.difference < 0.02
    assert 0.05 < found.probability < 0.95


def test_turning_the_pair_round_turns_the_answer_round() -> None:
    random = np.random.default_rng(1)
    first, second, *_ = made_pair(random)
    scale = level_of(first, second, BITS_PER_BYTE)
    ab = predict_difference(FLOPS, paired_differences(first, second, BITS_PER_BYTE), TARGET, BITS_PER_BYTE, scale=scale)
    ba = predict_difference(FLOPS, paired_differences(second, first, BITS_PER_BYTE), TARGET, BITS_PER_BYTE, scale=scale)
    assert ab.difference == pytest.approx(-ba.difference)
    assert ab.probability == pytest.approx(1 - ba.probability)
    assert (ab.low, ab.high) == pytest.approx((-ba.high, -ba.low))


def test_less_loss_and_more_accuracy_are_better() -> None:
    assert (paired_differences([[1.0]], [[1.5]], BITS_PER_BYTE) == 0.5).all()
    assert (paired_differences([[0.75]], [[0.5]], ACCURACY) == 0.25).all()


@pytest.mark.parametrize(
    ("first", "second", "cause"),
    [
        ([[1.0, 2.0]], [[1.0]], "shapes"),
        ([[1.0, float("nan")]], [[1.0, 1.0]], "run 0, seed 1"),
        ([], [], "shapes"),
    ],
    ids=("uneven", "diverged", "nothing"),
)
def test_runs_that_do_not_pair_are_refused(first: list, second: list, cause: str) -> None:
    with pytest.raises(TrainerError, match=cause):
        paired_differences(first, second, BITS_PER_BYTE)


def test_too_few_differences_are_refused() -> None:
    with pytest.raises(TrainerError, match="2 differences"):
        predict_difference(FLOPS[:2], np.zeros((2, 1)), TARGET, BITS_PER_BYTE)


def test_the_interval_of_past_decisions_holds_the_truth_as_often_as_it_says() -> None:
    """Over all truths, by the binomial law itself."""
    held = []
    for truth in np.linspace(0.3, 0.98, 69):
        counts = np.arange(21)
        inside = [(found := share_right(int(k), 20)).low <= truth <= found.high for k in counts]
        held.append(stats.binom.pmf(counts, 20, truth) @ inside)
    assert 0.78 < np.mean(held) < 0.86
    assert (share_right(0, 0).low, share_right(0, 0).high) == (0.0, 1.0)
    three = share_right(3, 3)
    assert three.share == 1 and three.high == 1
    assert 0.5 < three.low < 0.8


def test_decision_accuracy_counts_pairs_in_the_same_order() -> None:
    random = np.random.default_rng(5)
    target = random.standard_normal(12).round(1)
    small = target + 0.8 * random.standard_normal(12)
    found = decision_accuracy(small.tolist(), target.tolist())
    pairs = [(i, j) for i, j in itertools.combinations(range(12), 2) if target[i] != target[j]]
    right = sum((small[i] < small[j]) == (target[i] < target[j]) for i, j in pairs)
    assert (found.right, found.of) == (right, len(pairs))
    assert 0.5 < found.low < found.share < found.high < 1
    assert decision_accuracy(target.tolist(), target.tolist()).share == 1
    assert decision_accuracy((-target).tolist(), target.tolist()).share == 0
    assert decision_accuracy([1, 1], [0, 1]).share == 0.5


def test_decision_accuracy_needs_scores_that_pair() -> None:
    with pytest.raises(TrainerError, match="2 small scores and 3"):
        decision_accuracy([1, 2], [1, 2, 3])
    with pytest.raises(TrainerError, match="no two"):
        decision_accuracy([1, 2], [1, 1])


def test_two_mixtures_that_do_not_differ_are_seldom_told_apart_and_a_visible_difference_is():
    """Of 20 pairs of identical mixtures at most one is decided, in six rounds but one."""
    random = np.random.default_rng(20)
    decided = []
    for _ in range(6):
        answers = []
        for noise in random.choice((0.002, 0.005, 0.01), size=20):
            differences = 2.0 * noise * random.standard_normal((2, 3))
            found = predict_difference([1e12, 3e12], differences, 9e12, BITS_PER_BYTE, scale=2.0, seeds=3)
            answers.append(found.answer)
            shifted = predict_difference(
                [1e12, 3e12], differences - found.difference + 1.2 * found.visible, 9e12, BITS_PER_BYTE, scale=2.0
            )
            assert shifted.answer == "better"
            turned = predict_difference([1e12, 3e12], -differences, 9e12, BITS_PER_BYTE, scale=2.0, seeds=3)
            assert (found.answer, turned.answer) in {("better", "worse"), ("worse", "better"), ("cannot tell",) * 2}
        decided.append(sum(answer != "cannot tell" for answer in answers))
    assert np.mean(decided) < 0.5
    assert sum(count > 1 for count in decided) <= 1
    same = predict_difference([1e12, 3e12], np.zeros((2, 3)), 9e12, BITS_PER_BYTE, scale=2.0, seeds=3)
    assert same.answer == "cannot tell"
    assert same.visible > 0
