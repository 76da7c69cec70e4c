"""Which of two data sets is better at a larger scale, and how sure that is.

Both are trained on the same small runs. Of every run and seed the difference d of a measure is taken, positive where
the first data set is better. The model is

    d = delta + beta x + gamma x^2 / 2 + noise,    x = log(C / C_target),

so that delta is the difference at the target. delta has no prior. beta, how much the difference changes per factor e
of compute, and gamma, by how much that itself changes, are shrunk to zero, for differences persist: over 25 corpora no
fit of scaling laws decided better than the ranking of the small runs (DataDecide, arXiv 2504.11393). The noise of
seeds is unknown and has a weak prior; its posterior is summed over a grid. What comes out for delta is Student's t
where nothing else is unknown: wide where there are few runs, and wider the further the target is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from trainers.process.errors import TrainerError

Array = NDArray[np.float64]

NOISE_GRID = np.geomspace(0.02, 50.0, 240)
"""Standard deviations of the noise that are summed over, in units of the prior's."""
NOISE_FREEDOM = 2.0
"""Differences that the prior of the noise is worth."""


@dataclass(frozen=True, kw_only=True)
class Measure:
    """A number that models are compared by, and what is known of its differences before any run."""

    name: str
    better: int
    """1 where more is better, -1 where less is."""
    relative: bool
    """Whether the two numbers below are shares of the measure's level."""
    slope_sd: float
    """Standard deviation of the change of a difference per factor e of compute."""
    noise_sd: float
    """Typical standard deviation of a difference between two runs of the same seed."""


BITS_PER_BYTE = Measure(name="bits_per_byte", better=-1, relative=True, slope_sd=0.01, noise_sd=0.005)
"""Two corpora's losses fall with exponents of compute that differ by about a hundredth."""
ACCURACY = Measure(name="accuracy", better=1, relative=False, slope_sd=0.01, noise_sd=0.015)
"""A point per factor e; noise as of some hundred questions."""
BEND = 0.2
"""Standard deviation of gamma over that of beta: a difference of power laws with exponents of .1 to .2 bends so."""
MEASURES = (BITS_PER_BYTE, ACCURACY)
SURE = 0.99
"""The least probability of a decision. Of two data sets that do not differ, 1 to 3% of comparisons come out surer."""
Answer = Literal["better", "worse", "cannot tell"]


@dataclass(frozen=True, kw_only=True)
class Prediction:
    """What the small runs say of the difference at one scale; positive: the first data set is better."""

    difference: float
    """Posterior mean of the true difference, in units of the measure."""
    low: float
    high: float
    """Ends of the band that holds the true difference with probability `level`."""
    measured_low: float
    measured_high: float
    """The same for the mean difference of `seeds` runs of each, which has noise of its own."""
    probability: float
    """That the first is truly better."""
    noise_sd: float
    """Posterior mean of a single difference's noise."""
    visible: float
    """The smallest difference, of either sign, that these runs could have been sure of."""
    level: float

    @property
    def answer(self) -> Answer:
        """What the first data set is, if the runs are sure of it."""
        if self.probability >= SURE:
            return "better"
        return "worse" if self.probability <= 1 - SURE else "cannot tell"


@dataclass(frozen=True, kw_only=True)
class Share:
    """How many decisions held, with an interval of the share that would in the long run."""

    right: float
    of: int
    low: float
    high: float
    level: float

    @property
    def share(self) -> float:
        """`right` / `of`, or NaN if `of` is 0."""
        return self.right / self.of if self.of else float("nan")


def paired_differences(first: ArrayLike, second: ArrayLike, measure: Measure) -> Array:
    """(R, S): for R runs and S seeds by how much the first is better.

    Args:
        first: of the first data set, a row a run and an entry a seed; the same seeds in the same order for both.
        second: of the second.
    """
    a, b = (np.asarray(values, dtype=float) for values in (first, second))
    if a.shape != b.shape or a.ndim != 2 or not a.size:
        raise TrainerError(
            f"runs of two data sets to compare have shapes {a.shape} and {b.shape}",
            "train both on the same runs with the same seeds",
        )
    bad = ~np.isfinite(a) | ~np.isfinite(b)
    if bad.any():
        run, seed = np.argwhere(bad)[0].tolist()
        raise TrainerError(
            f"{measure.name} of run {run}, seed {seed} is not finite", "leave out runs that diverged, for both"
        )
    return measure.better * (a - b)


def level_of(first: ArrayLike, second: ArrayLike, measure: Measure) -> float:
    """What the measure's prior is a share of."""
    return float(np.mean(np.array([first, second], dtype=float))) if measure.relative else 1.0


def predict_difference(
    flops: Sequence[float],
    differences_RS: Array,
    target_flops: float,
    measure: Measure,
    *,
    scale: float = 1.0,
    seeds: int = 1,
    level: float = 0.9,
) -> Prediction:
    """The difference at the target's compute, with bands and the probability that the first is better.

    Args:
        flops: training FLOPs of each of the R runs.
        differences_RS: as `paired_differences` gives them.
        target_flops: of the target; any scale may be asked for, also one of the runs'.
        measure: what was measured, with its priors.
        scale: as `level_of` gives it.
        seeds: runs of each data set that a measurement at the target would be the mean of.
        level: probability of the bands.

    Raises:
        TrainerError: there are fewer than three differences, or a FLOPs count is not positive.
    """
    compute, d = np.asarray(flops, dtype=float), np.asarray(differences_RS, dtype=float)
    if len(compute) != len(d) or not (compute > 0).all() or not target_flops > 0:
        raise TrainerError(f"{len(d)} runs have FLOPs {compute.tolist()}", "give the FLOPs of each run, above zero")
    if d.size < 3:
        raise TrainerError(f"{d.size} differences are too few to estimate noise", "train more seeds or more sizes")
    x = np.repeat(np.log(compute / target_flops), d.shape[1])
    noises = scale * measure.noise_sd * NOISE_GRID
    weight, mean, variance = _posterior(x, d.ravel(), noises, scale * measure.slope_sd, scale * measure.noise_sd)
    tail = (1.0 - level) / 2.0
    measured = variance + noises**2 / seeds
    return Prediction(
        difference=float(weight @ mean),
        low=_quantile(tail, weight, mean, variance),
        high=_quantile(1.0 - tail, weight, mean, variance),
        measured_low=_quantile(tail, weight, mean, measured),
        measured_high=_quantile(1.0 - tail, weight, mean, measured),
        probability=1.0 - _below(0.0, weight, mean, variance),
        noise_sd=float(weight @ noises),
        visible=(_quantile(SURE, weight, mean, variance) - _quantile(1 - SURE, weight, mean, variance)) / 2,
        level=level,
    )


def _posterior(x: Array, d: Array, noises: Array, slope_sd: float, noise_sd: float) -> tuple[Array, Array, Array]:
    """For each noise its weight, and mean and variance of delta given it.

    Given the noise, everything is normal: least squares with two more equations, beta = 0 and gamma = 0.
    """
    n = len(d)
    terms = np.stack([np.ones(n), x, x**2 / 2.0])
    shrunk = np.diag([0.0, slope_sd**-2, (BEND * slope_sd) ** -2])
    precision_K33 = terms @ terms.T / noises[:, None, None] ** 2 + shrunk
    right_K3 = (terms @ d) / noises[:, None] ** 2
    covariance_K33 = np.linalg.inv(precision_K33)
    mean_K3 = np.einsum("kij,kj->ki", covariance_K33, right_K3)
    misfit_K = (d @ d) / noises**2 - np.sum(mean_K3 * right_K3, axis=1)
    prior_K = -(NOISE_FREEDOM + 1.0) * np.log(noises) - NOISE_FREEDOM * noise_sd**2 / (2.0 * noises**2)
    # The grid is even in log(noise), whence one more.
    weights_K = prior_K + np.log(noises) - n * np.log(noises) - misfit_K / 2.0
    weights_K -= np.linalg.slogdet(precision_K33)[1] / 2.0
    weights_K = np.exp(weights_K - weights_K.max())
    return weights_K / weights_K.sum(), mean_K3[:, 0], covariance_K33[:, 0, 0]


def _below(value: float, weight: Array, mean: Array, variance: Array) -> float:
    from scipy.special import ndtr

    return float(weight @ ndtr((value - mean) / np.sqrt(variance)))


def _quantile(part: float, weight: Array, mean: Array, variance: Array) -> float:
    from scipy.optimize import brentq

    reach = 60.0 * float(np.sqrt(variance.max())) + float(np.ptp(mean))
    middle = float(weight @ mean)
    return float(
        brentq(lambda value: _below(value, weight, mean, variance) - part, middle - reach, middle + reach, xtol=1e-12)
    )


def share_right(right: int, of: int, *, level: float = 0.8) -> Share:
    """Independent decisions that held: Jeffreys' interval, which is right for few of them too.

    Args:
        right: decisions that held.
        of: decisions that were checked; with none the interval is everything.
    """
    from scipy.stats import beta

    if not 0 <= right <= of:
        raise TrainerError(f"{right} of {of} decisions cannot have held", "count those that held among those checked")
    tail = (1.0 - level) / 2.0
    low = float(beta.ppf(tail, right + 0.5, of - right + 0.5)) if right else 0.0
    high = float(beta.ppf(1.0 - tail, right + 0.5, of - right + 0.5)) if right < of else 1.0
    return Share(right=right, of=of, low=low, high=high, level=level)


def decision_accuracy(
    small: Sequence[float], target: Sequence[float], *, level: float = 0.8, samples: int = 2000, seed: int = 0
) -> Share:
    """How many pairs of data sets stand in the same order at a small scale and at the target (DataDecide).

    Pairs share data sets, so they are not independent: the interval redraws data sets, not pairs. Equal scores at the
    target decide nothing and are left out; equal small ones are half right.

    Args:
        small: score of each data set at the small scale.
        target: of the same data sets, in the same order.
        level: probability of the interval.
        samples: redrawings.
        seed: of the redrawing.
    """
    a, b = (np.asarray(scores, dtype=float) for scores in (small, target))
    if a.shape != b.shape or a.ndim != 1 or not (np.isfinite(a).all() and np.isfinite(b).all()):
        raise TrainerError(
            f"{a.size} small scores and {b.size} target scores", "give one finite score a data set at both scales"
        )
    order = np.sign(b[:, None] - b)
    counts = np.triu(order != 0, 1)
    if not counts.any():
        raise TrainerError("no two data sets differ at the target", "give at least two with different scores there")
    right = np.where(np.sign(a[:, None] - a) == order, 1.0, np.where(a[:, None] == a, 0.5, 0.0))
    random = np.random.default_rng(seed)
    shares = []
    for _ in range(samples):
        times = np.bincount(random.integers(len(a), size=len(a)), minlength=len(a))
        pairs = np.outer(times, times) * counts
        if pairs.any():
            shares.append((pairs * right).sum() / pairs.sum())
    tail = (1.0 - level) / 2.0
    low, high = np.quantile(shares, [tail, 1.0 - tail])
    total = float((right * counts).sum())
    return Share(right=total, of=int(counts.sum()), low=float(low), high=float(high), level=level)
