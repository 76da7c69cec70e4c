"""Ladders of few runs: laws with fewer parameters, their forecasts and bands, and what they refuse."""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

from trainers.ladder.few_runs import bootstrap, fit_step1, fit_step2, predict
from trainers.ladder.forecast import fit_ladder
from trainers.ladder.laws import FIXED_EXPONENTS, fit_at_exponents, loss_at
from trainers.ladder.runs import LAST, LadderRuns, Run, Target, read_ladder
from trainers.ladder.task_picture import Measured, plot_task
from trainers.ladder.tasks import BITS_PER_BYTE
from trainers.process.errors import TrainerError

SIZES = np.array([190e6, 370e6, 760e6, 1.28e9])
MULTIPLES = np.array([1, 2, 5, 10])


class Point(NamedTuple):
    """One trained and measured model."""

    n: float
    d: float
    loss: float
    accuracy: float


def true_loss(n, d):
    return np.exp(3.0) / n**0.2 + np.exp(5.0) / d**0.28 + 0.5


def true_accuracy(loss):
    return -0.75 / (1 + np.exp(-6.0 * (loss - 0.95))) + 1.0


def grid(sizes=SIZES, multiples=MULTIPLES):
    n = np.repeat(sizes, len(multiples))
    return n, n * np.tile(20 * multiples, len(sizes))


def tiny_ladder(noise: float = 0.003) -> list[Point]:
    """Two sizes at two multiples, as a CPU trains them."""
    random = np.random.default_rng(7)
    points = []
    for n in (1e5, 4e5):
        for multiple in (20, 60):
            loss = 1.4 * (1e5 / n) ** 0.3 * 0.5 + 0.7 * (2e6 / (n * multiple)) ** 0.3 + 0.9
            loss *= float(np.exp(noise * random.standard_normal()))
            accuracy = 0.25 + 0.75 / (1 + np.exp(3 * (loss - 1.7)))
            points.append(Point(n, n * multiple, loss, float(accuracy)))
    return points


def fit_tiny(points: list[Point]):
    step1 = fit_step1([p.n for p in points], [p.d for p in points], [p.loss for p in points])
    return step1, fit_step2([p.loss for p in points], [p.accuracy for p in points], 0.25)


def test_step_1_recovers_the_law_behind_exact_points():
    n, d = grid()
    step1 = fit_step1(n, d, true_loss(n, d))
    assert step1.protocol == "five-parameter"
    assert (step1.a, step1.b) == pytest.approx((3.0, 5.0), rel=0.05)
    assert (step1.alpha, step1.beta, step1.E) == pytest.approx((0.2, 0.28, 0.5), rel=0.05)
    assert float(step1.at(13e9, 5e12)) == pytest.approx(true_loss(13e9, 5e12), rel=2e-3)


def test_one_run_gone_wrong_does_not_move_the_fit():
    n, d = grid()
    loss = true_loss(n, d) * np.exp(0.001 * np.random.default_rng(0).standard_normal(len(n)))
    clean = float(fit_step1(n, d, loss).at(7e9, 4e12))
    loss[5] *= 1.15
    assert float(fit_step1(n, d, loss).at(7e9, 4e12)) == pytest.approx(clean, rel=0.01)


def test_the_fit_does_not_depend_on_the_order_of_the_runs():
    n, d = grid()
    loss = true_loss(n, d) * np.exp(0.004 * np.random.default_rng(1).standard_normal(len(n)))
    order = np.random.default_rng(2).permutation(len(n))
    first, second = fit_step1(n, d, loss), fit_step1(n[order], d[order], loss[order])
    assert float(first.at(7e9, 4e12)) == pytest.approx(float(second.at(7e9, 4e12)), rel=2e-3)


def test_step_2_recovers_the_sigmoid_behind_exact_points():
    loss = np.linspace(0.6, 1.6, 40)
    step2 = fit_step2(loss, true_accuracy(loss), 0.25, ideal_point=False)
    assert step2.protocol == "four-parameter"
    assert (step2.a, step2.L0, step2.k, step2.b) == pytest.approx((-0.75, 0.95, 6.0, 1.0), rel=1e-3)


def test_the_ideal_point_ties_the_curve_to_a_perfect_model():
    loss = np.linspace(1.05, 1.3, 12)
    accuracy = true_accuracy(loss) + 0.01 * np.random.default_rng(3).standard_normal(12)
    tied = fit_step2(loss, accuracy, 0.25, ideal_point=True)
    assert float(tied.at(0.0)) == pytest.approx(1.0, abs=0.02)


@pytest.mark.parametrize(
    ("sizes", "multiples", "protocol"),
    [(2, 2, "weighed-forms"), (2, 4, "weighed-forms"), (3, 2, "weighed-forms"), (3, 3, "five-parameter")],
)
def test_the_number_of_runs_decides_the_protocol(sizes, multiples, protocol):
    n, d = grid(SIZES[:sizes], MULTIPLES[:multiples])
    step1 = fit_step1(n, d, true_loss(n, d))
    assert step1.protocol == protocol
    assert step1.degrees_of_freedom == len(n) - (5 if protocol == "five-parameter" else 3)


def test_few_runs_go_through_their_points_and_the_forecast_says_so():
    points = tiny_ladder()
    step1, step2 = fit_tiny(points)
    assert [float(step1.at(p.n, p.d)) for p in points] == pytest.approx([p.loss for p in points], rel=0.01)
    forecast = predict(step1, step2, 1.6e6, 6.4e7)
    assert forecast.protocol == "weighed-forms + fixed-asymptotes"
    assert forecast.loss < min(p.loss for p in points)
    assert forecast.loss_low < forecast.loss < forecast.loss_high
    assert 0.25 < forecast.accuracy_low < forecast.accuracy < forecast.accuracy_high <= 1.0


@pytest.mark.parametrize(
    ("floor", "a", "b", "eta"), [(1.51, 141, 190, 0.121), (1.84, 212, 367, 0.136), (1.73, 157, 246, 0.127)]
)
def test_the_exponents_of_few_runs_are_not_fixed(floor, a, b, eta):
    """Laws of C4, RedPajama and RefinedWeb (arXiv 2403.08540), from five runs, to 39 times the size."""
    n = np.array([11e6, 79e6, 154e6, 411e6, 11e6])
    d = n * np.array([20, 20, 20, 20, 320])

    def law(n, d):
        return floor + (a * (d / n) ** eta + b * (d / n) ** -eta) * (6 * n * d) ** -eta

    target = 16e9, 64 * 16e9
    fixed = loss_at(fit_at_exponents(n, d, law(n, d), *FIXED_EXPONENTS), *target)
    error = abs(float(fit_step1(n, d, law(n, d)).at(*target)) / law(*target) - 1)
    assert error < 0.02
    assert error < 0.4 * abs(float(fixed) / law(*target) - 1)


def coverage(ladder: LadderRuns, subsets: int, random: np.random.Generator) -> tuple[float, float]:
    """Share of the bands of loss and of accuracy that hold the largest run, forecast from 3 to 6 runs below 1B."""
    small = [run for run in ladder.runs if run.parameters < 1e9]
    largest = max(ladder.runs, key=lambda run: run.parameters * run.tokens)
    held = []
    for number in range(subsets):
        runs = [small[i] for i in random.choice(len(small), 3 + number % 4, replace=False)]
        if len({run.size for run in runs}) < 2 or len({run.multiple for run in runs}) < 2:
            continue
        for task, chance in ladder.chance.items():
            losses, accuracies = [mean_loss(run, task) for run in runs], [run.measured(task) for run in runs]
            step1 = fit_step1([run.parameters for run in runs], [run.tokens for run in runs], losses)
            step2 = fit_step2(losses, accuracies, chance, questions=ladder.questions.get(task))
            found = predict(step1, step2, largest.parameters, largest.tokens, samples=60)
            held.append(
                (
                    found.loss_low <= mean_loss(largest, task) <= found.loss_high,
                    found.accuracy_low <= largest.measured(task) <= found.accuracy_high,
                )
            )
    loss, accuracy = np.mean(held, axis=0)
    return float(loss), float(accuracy)


def mean_loss(run: Run, task: str) -> float:
    return float(run.intermediates[BITS_PER_BYTE][task][-LAST:].mean())


@pytest.mark.campaign
def test_bands_of_few_published_runs_hold_the_largest():
    place = Path(os.environ.get("WATERSHED_SHARED", "")) / "data/ladder"
    if not (place / "models.json").is_file():
        pytest.skip("the published runs are read from $WATERSHED_SHARED/data/ladder")
    ladder = read_ladder(place / "runs", place / "models.json")
    loss, accuracy = coverage(ladder, 20, np.random.default_rng(3))
    assert loss >= 0.8
    assert accuracy >= 0.8


def test_fewer_runs_and_noisier_runs_widen_the_band():
    def width(sizes: int, multiples: int, noise: float) -> float:
        n, d = grid(SIZES[:sizes], MULTIPLES[:multiples])
        loss = true_loss(n, d) * np.exp(noise * np.random.default_rng(5).standard_normal(len(n)))
        step2 = fit_step2(loss, true_accuracy(loss), 0.25)
        forecast = predict(fit_step1(n, d, loss), step2, 4e9, 1.6e11, samples=60)
        return forecast.loss_high - forecast.loss_low

    assert width(2, 2, 0.002) > 1.5 * width(4, 4, 0.002)
    assert width(4, 4, 0.02) > 1.5 * width(4, 4, 0.002)


def test_fewer_questions_widen_the_band_of_the_accuracy():
    points = tiny_ladder()
    step1, _ = fit_tiny(points)

    def width(questions: int) -> float:
        losses, accuracies = [p.loss for p in points], [p.accuracy for p in points]
        forecast = predict(step1, fit_step2(losses, accuracies, 0.25, questions=questions), 8e5, 3.2e7)
        return forecast.accuracy_high - forecast.accuracy_low

    assert width(100) > 1.5 * width(10_000)


def test_a_target_further_away_has_a_wider_band():
    step1, step2 = fit_tiny(tiny_ladder())
    near, far = predict(step1, step2, 8e5, 3.2e7), predict(step1, step2, 5e7, 2e10)
    assert far.loss_high - far.loss_low > near.loss_high - near.loss_low


@pytest.mark.parametrize(("worlds", "least"), [(8, 6), pytest.param(30, 24, marks=pytest.mark.campaign)])
def test_bands_of_tiny_ladders_hold_what_comes(worlds, least):
    random = np.random.default_rng(11)
    held = 0
    for _ in range(worlds):
        n, d = grid(np.array([1e5, 4e5, 1.6e6]), np.array([1, 3]))
        alpha, beta = random.uniform(0.15, 0.5, 2)
        floor, share = random.uniform(0.4, 1.4), random.uniform(0.2, 0.8)
        terms = share * (1e5 / n) ** alpha + (1 - share) * (2e6 / d) ** beta
        loss = ((2.3 - floor) * terms + floor) * np.exp(0.003 * random.standard_normal(len(n)))
        accuracy = 0.25 + 0.75 / (1 + np.exp(3 * (loss - 1.5)))
        step1, step2 = fit_step1(n[:4], d[:4], loss[:4]), fit_step2(loss[:4], accuracy[:4], 0.25)
        forecast = predict(step1, step2, n[5], d[5], samples=60)
        held += forecast.loss_low <= loss[5] <= forecast.loss_high
    assert held >= least


def test_a_forecast_is_the_same_every_time():
    step1, step2 = fit_tiny(tiny_ladder())
    assert predict(step1, step2, 1.6e6, 6.4e7) == predict(step1, step2, 1.6e6, 6.4e7)
    losses, accuracies = bootstrap(step1, step2, 1.6e6, 6.4e7, samples=10, seed=1)
    assert losses.shape == accuracies.shape == (10,)


@pytest.mark.parametrize(
    ("n", "d", "loss", "cause"),
    [
        ([1e6, 2e6], [1e7, 2e7], [2.0, 1.9], "2 runs"),
        ([1e6] * 4, [1e7, 2e7, 3e7, 4e7], [2.0, 1.9, 1.8, 1.7], "the same size"),
        ([1e6, 2e6, 3e6], [1e7] * 3, [2.0, 1.9, 1.8], "the same number of tokens"),
        ([1e6, 2e6, 3e6], [1e7, 2e7, 3e7], [2.0, float("nan"), 1.8], "loss of entry 1 is nan"),
        ([1e6, 0.0, 3e6], [1e7, 2e7, 3e7], [2.0, 1.9, 1.8], "n of entry 1 is 0.0"),
        ([1e6, 2e6, 3e6], [1e7, 2e7], [2.0, 1.9, 1.8], "columns"),
        ([], [], [], "0 runs"),
    ],
)
def test_ladders_that_cannot_be_fitted_say_why_and_what_to_do(n, d, loss, cause):
    with pytest.raises(TrainerError) as error:
        fit_step1(n, d, loss)
    assert cause in error.value.cause
    assert error.value.mend


@pytest.mark.parametrize(
    ("loss", "accuracy", "chance", "cause"),
    [
        ([1.0, 1.1], [0.5, 0.4], 0.25, "needs at least 3"),
        ([1.0, 1.0, 1.0], [0.5, 0.4, 0.3], 0.25, "needs at least 3"),
        ([1.0, 1.1, 1.2], [50.0, 40.0, 30.0], 0.25, "outside 0..1"),
        ([1.0, 1.1, 1.2], [0.5, 0.4, 0.3], 0.0, "chance"),
        ([1.0, 1.1, 1.2], [0.5, float("inf"), 0.3], 0.25, "accuracy of entry 1 is inf"),
    ],
)
def test_accuracies_that_cannot_be_fitted_say_why_and_what_to_do(loss, accuracy, chance, cause):
    with pytest.raises(TrainerError) as error:
        fit_step2(loss, accuracy, chance)
    assert cause in error.value.cause
    assert error.value.mend


def test_runs_at_chance_accuracy_still_give_a_forecast():
    points = tiny_ladder()
    step1, _ = fit_tiny(points)
    step2 = fit_step2([p.loss for p in points], [0.24, 0.26, 0.25, 0.25], 0.25)
    forecast = predict(step1, step2, 1.6e6, 6.4e7, samples=40)
    assert 0.2 <= forecast.accuracy_low <= forecast.accuracy <= forecast.accuracy_high <= 1.0


def test_a_target_without_size_is_refused():
    step1, step2 = fit_tiny(tiny_ladder())
    with pytest.raises(TrainerError, match="N = 0"):
        predict(step1, step2, 0, 1e7)


def as_runs(points: list[Point], questions: int = 500) -> LadderRuns:
    runs = tuple(
        Run(
            name=f"{p.n / 1e3:.0f}k-{p.d / p.n / 20:g}xC",
            size=f"{p.n / 1e3:.0f}k",
            parameters=p.n,
            tokens=p.d,
            flops_per_token=6 * p.n,
            accuracy={"continuation": np.array([p.accuracy])},
            intermediates={BITS_PER_BYTE: {"continuation": np.array([p.loss])}},
        )
        for p in points
    )
    return LadderRuns(runs=runs, chance={"continuation": 0.25}, targets={}, questions={"continuation": questions})


TARGET = Target(name="1600k", parameters=1.6e6, tokens=6.4e7, flops_per_token=9.6e6)


def test_a_lakes_ladder_is_forecast_by_the_laws_of_few_parameters():
    points = tiny_ladder()
    forecast = fit_ladder(as_runs(points), [TARGET])
    step1, _ = fit_tiny(points)
    step2 = fit_step2([p.loss for p in points], [p.accuracy for p in points], 0.25, questions=500)
    expected = predict(step1, step2, TARGET.parameters, TARGET.tokens)
    found = forecast.targets["1600k"]["continuation"]
    assert (found.accuracy, found.low, found.high) == pytest.approx(
        (expected.accuracy, expected.accuracy_low, expected.accuracy_high)
    )
    assert forecast.forms == {"continuation": "weighed-forms, fixed-asymptotes"}
    assert forecast.fits["continuation"].loss(TARGET) == pytest.approx(expected.loss)


@pytest.mark.parametrize(("worlds", "least"), [(3, 2), pytest.param(8, 6, marks=pytest.mark.campaign)])
@pytest.mark.parametrize(("sizes", "multiples"), [(2, 2), (3, 2)])
def test_bands_of_accuracy_hold_what_small_ladders_of_many_worlds_come_to(sizes, multiples, worlds, least):
    random = np.random.default_rng(5)
    assert sum(held_in_band(random, sizes, multiples) for _ in range(worlds)) >= least


def held_in_band(random: np.random.Generator, sizes: int, multiples: int) -> bool:
    """Whether the band of one made world's ladder holds what its target then measures on 500 questions."""
    alpha, beta = random.uniform(0.15, 0.5, 2)
    floor, share, steep = random.uniform(0.4, 1.4), random.uniform(0.2, 0.8), random.uniform(2, 5)
    middle = floor + 0.6 * (2.3 - floor)

    def measured(n: float, d: float) -> Point:
        terms = share * (6e4 / n) ** alpha + (1 - share) * (2.5e5 / d) ** beta
        loss = ((2.3 - floor) * terms + floor) * np.exp(0.003 * random.standard_normal())
        right = 0.25 + 0.75 / (1 + np.exp(steep * (loss - middle)))
        return Point(n, d, float(loss), float(random.binomial(500, right) / 500))

    n = (6.3e4, 1.2e5, 2.3e5)[:sizes]
    points = [measured(one, 20 * one * multiple) for one in n for multiple in (0.2, 0.4, 0.8)[:multiples]]
    target = Target(name="target", parameters=2.2 * n[-1], tokens=33 * n[-1], flops_per_token=13.2 * n[-1])
    found = fit_ladder(as_runs(points), [target]).targets["target"]["continuation"]
    truth = measured(target.parameters, target.tokens).accuracy
    return found.low <= truth <= found.high


@pytest.mark.parametrize("measured", [None, Measured(loss=1.45, accuracy=0.72)])
def test_the_picture_of_a_task_is_a_png_and_the_same_every_time(tmp_path, measured):
    ladder = as_runs(tiny_ladder())
    forecast = fit_ladder(ladder, [TARGET])
    first, second = (
        plot_task(ladder, TARGET, forecast, "continuation", measured, tmp_path / name).read_bytes()
        for name in ("first.png", "second.png")
    )
    assert first.startswith(b"\x89PNG\r\n")
    assert first == second
    assert len(first) > 20_000
    assert sorted(path.name for path in tmp_path.iterdir()) == ["first.png", "second.png"]
