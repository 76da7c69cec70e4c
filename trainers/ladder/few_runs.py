"""The two-step scaling law of model ladders: (N, D) to task loss, task loss to accuracy, and their chain.

Step 1 is L(N, D) = e^a / N^alpha + e^b / D^beta + E, step 2 is acc(L) = a / (1 + exp(-k (L - L0))) + b.
Source: Bhagia et al., Establishing Task Scaling Laws via Compute-Efficient Model Ladders (arXiv 2412.04403);
start values, bounds and the objective as in its published code.

Both steps need enough runs for their parameters. With fewer, each falls back on a law with fewer of them, and
the result says which protocol was used:

| step | protocol | when | parameters |
|-|-|-|-|
| 1 | `five-parameter` | at least 7 runs, 3 sizes and 3 token counts | a, b, alpha, beta, E |
| 1 | `weighed-forms` | at least 3 runs | the mean of a posterior over laws, in forms with one exponent or two |
| 2 | `four-parameter` | at least 8 points | a, L0, k, b |
| 2 | `fixed-asymptotes` | at least 3 points | L0, k; chance above, 1 below |

The forms of `weighed-forms` are those of `trainers/ladder/loss_law.py`, each weighed by its evidence in the runs.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from trainers.ladder.laws import (
    Array,
    Numbers,
    fit_five_parameters,
    fit_profiled,
    fit_sigmoid,
    loss_at,
    one_thread,
    sigmoid,
)
from trainers.ladder.loss_holdout import LossFit, fit_losses
from trainers.process.errors import TrainerError

MIN_RUNS = 3
MIN_RUNS_FIVE = 7
MIN_LEVELS_FIVE = 3
MIN_POINTS = 3
MIN_POINTS_FOUR = 8
TASK_WIDTH = 1.5
"""Factor of the posterior's distances from its median, in logs, at which the bands of task losses hold about 90%.

Of forecasts of 1B models from three to six of the published runs below 1B, 92% are held (`coverage` in
`tests/trainers/ladder/test_scaling_few.py`). The losses of tasks scatter more about a law than cross-entropy does, for
which `WIDTH` of `trainers/ladder/loss_holdout.py` serves."""
HUBER_WIDENING = float(np.sqrt(np.pi / 2.0))
"""A Huber fit whose delta lies far below the noise is a fit of least absolute deviations, whose parameters
scatter this much more than those of least squares. The bootstrap refits by least squares, which is fast and
always converges, and widens the noise instead."""
LOSS_NOISE = 0.003
"""Relative standard deviation of a run's loss from seed to seed, at the least."""
ACCURACY_NOISE = 0.005
"""Standard deviation of a run's accuracy from seed to seed, at the least."""
PRIOR_FREEDOM = 2
"""How many runs' worth of belief stands behind `LOSS_NOISE` and `ACCURACY_NOISE` when residuals are few."""
BOOTSTRAP_SEED = 20_412
FIVE_PARAMETER, WEIGHED_FORMS = "five-parameter", "weighed-forms"
FOUR_PARAMETER, FIXED_ASYMPTOTE = "four-parameter", "fixed-asymptotes"


@dataclass(frozen=True)
class Step1:
    """L(N, D) = e^a / N^alpha + e^b / D^beta + E as fitted, with the runs it was fitted to."""

    a: float
    b: float
    alpha: float
    beta: float
    E: float
    protocol: str
    """`five-parameter` or `weighed-forms`."""
    residual_sd: float
    """Standard deviation of log(measured / fitted), degrees of freedom taken off; at least the seed noise."""
    degrees_of_freedom: int
    """Runs less fitted parameters."""
    n: tuple[float, ...]
    d: tuple[float, ...]
    loss: tuple[float, ...]
    laws: LossFit | None = field(default=None, repr=False, compare=False)
    """The posterior of `weighed-forms`, whose mean the parameters are."""

    @property
    def parameters(self) -> Array:
        """(5,): a, b, alpha, beta, E, as trainers/ladder/laws.py takes them."""
        return np.array([self.a, self.b, self.alpha, self.beta, self.E])

    def at(self, n: float | Array, d: float | Array) -> Array:
        """Loss in bits per byte at N parameters and D tokens."""
        return loss_at(self.parameters, n, d)


@dataclass(frozen=True)
class Step2:
    """acc(L) = a / (1 + exp(-k (L - L0))) + b as fitted, with the points it was fitted to."""

    a: float
    L0: float
    k: float
    b: float
    chance: float
    """Accuracy of guessing."""
    protocol: str
    """`four-parameter` or `fixed-asymptotes`."""
    residual_sd: float
    """Standard deviation of measured - fitted accuracy; at least `noise`."""
    noise: float
    """Standard deviation of an accuracy from seed to seed and from the number of questions."""
    degrees_of_freedom: int
    """Points less fitted parameters; the ideal point is not a measurement and does not count."""
    loss: tuple[float, ...]
    accuracy: tuple[float, ...]
    ideal_point: bool
    """Whether (loss 0, accuracy 1) took part in the fit."""

    @property
    def curve(self) -> Array:
        """(4,): a, L0, k, b, as trainers/ladder/laws.py takes them."""
        return np.array([self.a, self.L0, self.k, self.b])

    def at(self, loss: float | Array) -> Array:
        """Accuracy at a loss in bits per byte."""
        return sigmoid(np.asarray(loss, dtype=float), *self.curve)


@dataclass(frozen=True)
class Chained:
    """A forecast for one target: loss from step 1, accuracy from step 2 at that loss, each with its band."""

    n: float
    d: float
    loss: float
    loss_low: float
    loss_high: float
    accuracy: float
    accuracy_low: float
    accuracy_high: float
    level: float
    """Part of the bootstrap forecasts between low and high."""
    protocol: str
    """Both steps' protocols, `five-parameter + four-parameter`."""
    samples: int
    seed: int


def fit_step1(n: Numbers, d: Numbers, loss: Numbers) -> Step1:
    """Fit the task loss to model size and training tokens; one entry a run in all three.

    Args:
        n: parameters.
        d: training tokens.
        loss: bits per byte of the correct answer.

    Raises:
        TrainerError: fewer than three runs, one size or one token count only, or a value that is not finite.
    """
    sizes, tokens, losses = _columns("step 1", n=n, d=d, loss=loss)
    if len(losses) < MIN_RUNS:
        raise TrainerError(
            f"step 1 of the scaling law has {len(losses)} runs and needs at least {MIN_RUNS}",
            "add runs to the ladder: two sizes at two token multiples are the least that makes sense",
        )
    for name, values, more in (("size", sizes, "another size"), ("number of tokens", tokens, "another token multiple")):
        if np.unique(values).size == 1:
            raise TrainerError(f"all {len(values)} runs of the ladder have the same {name}", f"add runs of {more}")
    laws = None
    if min(np.unique(sizes).size, np.unique(tokens).size) >= MIN_LEVELS_FIVE and len(losses) >= MIN_RUNS_FIVE:
        protocol, free = FIVE_PARAMETER, 5
        parameters = fit_five_parameters(sizes, tokens, losses)
    else:
        # Of a posterior's five parameters, the runs determine about three: the level and a slope along N and D each.
        protocol, free = WEIGHED_FORMS, 3
        laws = fit_losses(sizes, tokens, losses)
        parameters = laws.mean_law()
    residuals = np.log(losses) - np.log(loss_at(parameters, sizes, tokens))
    spread = _residual_sd(residuals, free, LOSS_NOISE)
    a, b, alpha, beta, floor = (float(value) for value in parameters)
    return Step1(
        a,
        b,
        alpha,
        beta,
        floor,
        protocol,
        spread,
        len(losses) - free,
        tuple(map(float, sizes)),
        tuple(map(float, tokens)),
        tuple(map(float, losses)),
        laws,
    )


def fit_step2(
    loss: Numbers, accuracy: Numbers, chance: float, *, ideal_point: bool = True, questions: int | None = None
) -> Step2:
    """Fit task accuracy to task loss; one entry a measured checkpoint or run.

    Args:
        loss: bits per byte of the correct answer.
        accuracy: part of the questions answered rightly, 0..1.
        chance: accuracy of guessing, where the fit sets out from (and ends, with fixed asymptotes).
        ideal_point: let (loss 0, accuracy 1) take part, which ties the curve to a perfect model.
        questions: how many each accuracy was measured on; few questions scatter it, which widens the band.

    Raises:
        TrainerError: fewer than three points, one loss only, or a value that is not finite.
    """
    losses, accuracies = _columns("step 2", positive=("loss",), loss=loss, accuracy=accuracy)
    if not 0.0 < chance < 1.0:
        raise TrainerError(f"chance accuracy is {chance}", "give the accuracy of guessing, between 0 and 1")
    if np.any((accuracies < 0) | (accuracies > 1)):
        raise TrainerError("step 2 of the scaling law has an accuracy outside 0..1", "give accuracies as parts of one")
    if len(losses) < MIN_POINTS or np.unique(losses).size == 1:
        raise TrainerError(
            f"step 2 of the scaling law has {np.unique(losses).size} different losses and needs at least {MIN_POINTS}",
            "evaluate more checkpoints or more runs of the ladder",
        )
    protocol = FOUR_PARAMETER if len(losses) >= MIN_POINTS_FOUR else FIXED_ASYMPTOTE
    parameters = fit_sigmoid(losses, accuracies, chance, ideal_point, protocol == FOUR_PARAMETER)
    free = 4 if protocol == FOUR_PARAMETER else 2
    residuals = accuracies - sigmoid(losses, *parameters)
    share = float(np.mean(accuracies))
    noise = float(np.hypot(ACCURACY_NOISE, np.sqrt(share * (1.0 - share) / questions) if questions else 0.0))
    a, middle, k, b = (float(value) for value in parameters)
    return Step2(
        a,
        middle,
        k,
        b,
        float(chance),
        protocol,
        _residual_sd(residuals, free, noise),
        noise,
        len(losses) - free,
        tuple(map(float, losses)),
        tuple(map(float, accuracies)),
        ideal_point,
    )


def predict(
    step1: Step1,
    step2: Step2,
    n: float,
    d: float,
    *,
    level: float = 0.9,
    samples: int = 200,
    seed: int = BOOTSTRAP_SEED,
) -> Chained:
    """Forecast a target of N parameters and D tokens, with bootstrap bands.

    The point forecast is step 2 at step 1's loss. For the bands, both steps are fitted again to data redrawn
    from their residuals, with the residuals' own uncertainty and with the noise of the one run to come. The error
    that step 1 makes at its largest size when it has not seen it is added, for extrapolation errs more than
    interpolation. Where step 1 is `weighed-forms`, its laws are drawn from the posterior instead, and their
    distances from the median are widened by `TASK_WIDTH`. So few runs give a wide band.

    Args:
        n: parameters of the target.
        d: training tokens of the target.
        level: part of the forecasts that the band holds.
        samples: refits or draws.
        seed: of the redrawing.
    """
    if not (np.isfinite(n) and np.isfinite(d) and n > 0 and d > 0):
        raise TrainerError(
            f"the target has N = {n} and D = {d}", "give the target's parameters and tokens, both positive"
        )
    losses, accuracies = bootstrap(step1, step2, n, d, samples=samples, seed=seed)
    tail = (1.0 - level) / 2.0
    loss = float(step1.at(n, d))
    accuracy = float(step2.at(loss))
    loss_low, loss_high = np.quantile(losses, [tail, 1.0 - tail])
    accuracy_low, accuracy_high = np.quantile(accuracies, [tail, 1.0 - tail])
    return Chained(
        n=float(n),
        d=float(d),
        loss=loss,
        loss_low=min(float(loss_low), loss),
        loss_high=max(float(loss_high), loss),
        accuracy=accuracy,
        accuracy_low=min(float(accuracy_low), accuracy),
        accuracy_high=max(float(accuracy_high), accuracy),
        level=level,
        protocol=f"{step1.protocol} + {step2.protocol}",
        samples=samples,
        seed=seed,
    )


def bootstrap(
    step1: Step1, step2: Step2, n: float, d: float, *, samples: int = 200, seed: int = BOOTSTRAP_SEED
) -> tuple[Array, Array]:
    """Forecasts of the target's loss and accuracy, each of shape (samples,), as `predict` describes."""
    random = np.random.default_rng(seed)
    with one_thread():
        losses = _drawn_losses(step1, n, d, samples, random)
        accuracies = np.array([_redrawn_accuracy(step2, float(loss), random) for loss in losses])
    return losses, accuracies


def extrapolation_error(step1: Step1) -> float:
    """Root mean square of log(measured / forecast) at the largest size, forecast from the smaller ones.

    0 where the smaller sizes alone are too few for five parameters.
    """
    sizes, tokens, losses = (np.array(column) for column in (step1.n, step1.d, step1.loss))
    seen = sizes < sizes.max()
    if seen.sum() < MIN_RUNS_FIVE or np.unique(sizes[seen]).size < 2 or np.unique(tokens[seen]).size < 2:
        return 0.0
    parameters = fit_five_parameters(sizes[seen], tokens[seen], losses[seen])
    errors = np.log(losses[~seen]) - np.log(loss_at(parameters, sizes[~seen], tokens[~seen]))
    return float(np.sqrt(np.mean(errors**2)))


def _drawn_losses(step1: Step1, n: float, d: float, samples: int, random: np.random.Generator) -> Array:
    if step1.laws is not None:
        logs = step1.laws.draw(n, d, samples, random)
        middle = np.median(logs)
        return np.exp(middle + TASK_WIDTH * (logs - middle) + LOSS_NOISE * random.standard_normal(samples))
    held_out = extrapolation_error(step1)
    return np.array([_redrawn_loss(step1, n, d, held_out, random) for _ in range(samples)])


def _redrawn_loss(step1: Step1, n: float, d: float, held_out: float, random: np.random.Generator) -> float:
    sizes, tokens = np.array(step1.n), np.array(step1.d)
    spread = _redrawn_sd(step1.residual_sd, step1.degrees_of_freedom, LOSS_NOISE, random)
    redrawn = step1.at(sizes, tokens) * np.exp(HUBER_WIDENING * spread * random.standard_normal(len(sizes)))
    parameters = fit_profiled(sizes, tokens, redrawn, (step1.alpha, step1.beta))
    noise = spread * random.standard_normal() + held_out * random.standard_normal()
    return float(loss_at(parameters, n, d) * np.exp(noise))


def _redrawn_accuracy(step2: Step2, loss: float, random: np.random.Generator) -> float:
    losses = np.array(step2.loss)
    spread = _redrawn_sd(step2.residual_sd, step2.degrees_of_freedom, step2.noise, random)
    accuracies = np.clip(step2.at(losses) + spread * random.standard_normal(len(losses)), 0.0, 1.0)
    start = (step2.a, step2.L0, step2.k, step2.b)
    parameters = fit_sigmoid(
        losses, accuracies, step2.chance, step2.ideal_point, step2.protocol == FOUR_PARAMETER, start=start
    )
    forecast = sigmoid(np.asarray(loss), *parameters) + spread * random.standard_normal()
    return float(np.clip(forecast, 0.0, 1.0))


def _redrawn_sd(residual_sd: float, degrees_of_freedom: int, seed_noise: float, random: np.random.Generator) -> float:
    """A standard deviation that the residuals could come from: they are few, so it is uncertain itself.

    A draw from the scaled inverse chi-square that follows from the residuals and a prior worth
    `PRIOR_FREEDOM` runs that only differ by seed.
    """
    residual_freedom = max(degrees_of_freedom, 0)
    squares = residual_freedom * residual_sd**2 + PRIOR_FREEDOM * seed_noise**2
    return float(np.sqrt(squares / random.chisquare(residual_freedom + PRIOR_FREEDOM)))


def _columns(what: str, *, positive: tuple[str, ...] = ("n", "d", "loss"), **columns: Numbers) -> list[Array]:
    arrays = {name: np.asarray(values, dtype=float).ravel() for name, values in columns.items()}
    lengths = {len(array) for array in arrays.values()}
    if len(lengths) > 1:
        raise TrainerError(f"{what} has columns of {sorted(lengths)} entries", "give one entry a run in every column")
    for name, array in arrays.items():
        bad = ~np.isfinite(array) | ((array <= 0) & (name in positive))
        if bad.any():
            raise TrainerError(
                f"{what}: {name} of entry {int(np.argmax(bad))} is {array[bad][0]}",
                "leave out runs that diverged or were not measured",
            )
    return list(arrays.values())


def _residual_sd(residuals: Array, parameters: int, least: float) -> float:
    freedom = max(len(residuals) - parameters, 1)
    return max(least, float(np.sqrt(np.sum(residuals**2) / freedom)))
