"""The two-step scaling law: fits, forecasts and their bands, and what it refuses."""

from __future__ import annotations

import csv
import json
import os
from pathlib import Path

import numpy as np
import pytest

from trainers.errors import TrainerError
from trainers.ladder_plot import plot_ladder
from trainers.scaling import (
    LadderPoint,
    Step1,
    bootstrap,
    fit_step1,
    fit_step2,
    predict,
    smoothed_checkpoints,
)

SHARED = os.environ.get("WATERSHED_SHARED")
SIZES = np.array([190e6, 370e6, 760e6, 1.28e9])
MULTIPLES = np.array([1, 2, 5, 10])


def true_loss(n, d):
    return np.exp(3.0) / n**0.2 + np.exp(5.0) / d**0.28 + 0.5


def true_accuracy(loss):
    return -0.75 / (1 + np.exp(-6.0 * (loss - 0.95))) + 1.0


def grid(sizes=SIZES, multiples=MULTIPLES):
    n = np.repeat(sizes, len(multiples))
    return n, n * np.tile(20 * multiples, len(sizes))


def tiny_ladder(noise: float = 0.003) -> list[LadderPoint]:
    """Two sizes at two multiples, as a CPU trains them."""
    random = np.random.default_rng(7)
    points = []
    for n in (1e5, 4e5):
        for multiple in (20, 60):
            loss = 1.4 * (1e5 / n) ** 0.3 * 0.5 + 0.7 * (2e6 / (n * multiple)) ** 0.3 + 0.9
            loss *= float(np.exp(noise * random.standard_normal()))
            accuracy = 0.25 + 0.75 / (1 + np.exp(3 * (loss - 1.7)))
            points.append(LadderPoint(f"{n / 1e3:.0f}k", n, n * multiple, loss, float(accuracy)))
    return points


def fit_tiny(points: list[LadderPoint]):
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
    [(2, 2, "fixed-exponents"), (2, 4, "fixed-exponents"), (3, 2, "fixed-exponents"), (3, 3, "five-parameter")],
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
    assert (step1.alpha, step1.beta) == (0.34, 0.28)
    forecast = predict(step1, step2, 1.6e6, 6.4e7)
    assert forecast.protocol == "fixed-exponents + fixed-asymptotes"
    assert forecast.loss < min(p.loss for p in points)
    assert forecast.loss_low < forecast.loss < forecast.loss_high
    assert 0.25 < forecast.accuracy_low < forecast.accuracy < forecast.accuracy_high <= 1.0


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


def test_bands_of_tiny_ladders_hold_what_comes():
    random = np.random.default_rng(11)
    held = 0
    for _ in range(30):
        n, d = grid(np.array([1e5, 4e5, 1.6e6]), np.array([1, 3]))
        alpha, beta = random.uniform(0.15, 0.5, 2)
        floor, share = random.uniform(0.4, 1.4), random.uniform(0.2, 0.8)
        terms = share * (1e5 / n) ** alpha + (1 - share) * (2e6 / d) ** beta
        loss = ((2.3 - floor) * terms + floor) * np.exp(0.003 * random.standard_normal(len(n)))
        accuracy = 0.25 + 0.75 / (1 + np.exp(3 * (loss - 1.5)))
        step1, step2 = fit_step1(n[:4], d[:4], loss[:4]), fit_step2(loss[:4], accuracy[:4], 0.25)
        forecast = predict(step1, step2, n[5], d[5], samples=60)
        held += forecast.loss_low <= loss[5] <= forecast.loss_high
    assert held >= 24


def test_a_forecast_is_the_same_every_time():
    step1, step2 = fit_tiny(tiny_ladder())
    assert predict(step1, step2, 1.6e6, 6.4e7) == predict(step1, step2, 1.6e6, 6.4e7)
    losses, accuracies = bootstrap(step1, step2, 1.6e6, 6.4e7, samples=10, seed=1)
    assert losses.shape == accuracies.shape == (10,)


def test_checkpoints_lose_their_first_tenth_and_are_averaged_by_five():
    loss, accuracy = smoothed_checkpoints(np.arange(1.0, 21.0), np.linspace(0, 1, 20))
    assert loss[0] == pytest.approx(5.0)
    assert loss[-1] == pytest.approx(18.0)
    assert len(loss) == len(accuracy) == 14
    assert smoothed_checkpoints([2.0, 1.0], [0.2, 0.4])[0] == pytest.approx([1.0])


@pytest.mark.parametrize(
    ("n", "d", "loss", "said"),
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
def test_ladders_that_cannot_be_fitted_say_why_and_what_to_do(n, d, loss, said):
    with pytest.raises(TrainerError) as error:
        fit_step1(n, d, loss)
    assert said in error.value.cause
    assert error.value.mend


@pytest.mark.parametrize(
    ("loss", "accuracy", "chance", "said"),
    [
        ([1.0, 1.1], [0.5, 0.4], 0.25, "needs at least 3"),
        ([1.0, 1.0, 1.0], [0.5, 0.4, 0.3], 0.25, "needs at least 3"),
        ([1.0, 1.1, 1.2], [50.0, 40.0, 30.0], 0.25, "outside 0..1"),
        ([1.0, 1.1, 1.2], [0.5, 0.4, 0.3], 0.0, "chance"),
        ([1.0, 1.1, 1.2], [0.5, float("inf"), 0.3], 0.25, "accuracy of entry 1 is inf"),
    ],
)
def test_accuracies_that_cannot_be_fitted_say_why_and_what_to_do(loss, accuracy, chance, said):
    with pytest.raises(TrainerError) as error:
        fit_step2(loss, accuracy, chance)
    assert said in error.value.cause
    assert error.value.mend


def test_accuracy_of_no_run_above_chance_still_gives_a_forecast():
    points = tiny_ladder()
    step1, _ = fit_tiny(points)
    step2 = fit_step2([p.loss for p in points], [0.24, 0.26, 0.25, 0.25], 0.25)
    forecast = predict(step1, step2, 1.6e6, 6.4e7, samples=40)
    assert 0.2 <= forecast.accuracy_low <= forecast.accuracy <= forecast.accuracy_high <= 1.0


def test_a_target_without_size_is_refused():
    step1, step2 = fit_tiny(tiny_ladder())
    with pytest.raises(TrainerError, match="N = 0"):
        predict(step1, step2, 0, 1e7)


@pytest.mark.parametrize("with_measurement", [False, True])
def test_the_plot_is_a_png_and_the_same_every_time(tmp_path, with_measurement):
    points = tiny_ladder()
    step1, step2 = fit_tiny(points)
    forecast = predict(step1, step2, 1.6e6, 6.4e7, samples=20)
    measured = LadderPoint("1600k", 1.6e6, 6.4e7, 1.45, 0.72) if with_measurement else None
    first = plot_ladder(points, step1, step2, forecast, measured, tmp_path / "first.png").read_bytes()
    second = plot_ladder(points, step1, step2, forecast, measured, tmp_path / "second.png").read_bytes()
    assert first.startswith(b"\x89PNG\r\n")
    assert first == second
    assert len(first) > 20_000
    assert sorted(path.name for path in tmp_path.iterdir()) == ["first.png", "second.png"]


def read_published_ladder() -> tuple[Step1, list[float], list[float], dict]:
    folder = Path(SHARED or "") / "data" / "ladder"
    models = json.loads((folder / "models.json").read_text())
    n, d, last, loss, accuracy = [], [], [], [], []
    for model in models["models"].values():
        for name in model["runs"]:
            with (folder / "runs" / name).open() as file:
                rows = list(csv.DictReader(file))
            bits = np.array([float(row["eval/downstream_bpb/hellaswag_val_rc_5shot_bpb"]) for row in rows])
            right = np.array([float(row["eval/downstream/hellaswag_val_rc_5shot_len_norm"]) for row in rows])
            n.append(model["params"])
            d.append(float(rows[-1]["throughput/total_tokens"]))
            last.append(bits[-5:].mean())
            smooth = smoothed_checkpoints(bits, right)
            loss.extend(smooth[0])
            accuracy.extend(smooth[1])
    return fit_step1(n, d, last), loss, accuracy, models["targets"]


@pytest.mark.skipif(not SHARED, reason="WATERSHED_SHARED names no folder with the published ladder runs")
def test_the_published_ladder_is_fitted_and_forecasts_hellaswag():
    step1, loss, accuracy, targets = read_published_ladder()
    assert len(step1.n) == 16
    assert step1.protocol == "five-parameter"
    assert step1.residual_sd < 0.01
    step2 = fit_step2(loss, accuracy, 0.25)
    forecasts = {
        name: predict(step1, step2, target["params"], target["tokens"], samples=20) for name, target in targets.items()
    }
    assert forecasts["7B-4T"].accuracy == pytest.approx(0.82, abs=0.03)
    assert forecasts["13B-5T"].accuracy > forecasts["7B-4T"].accuracy
    assert forecasts["13B-5T"].loss < min(step1.loss)
