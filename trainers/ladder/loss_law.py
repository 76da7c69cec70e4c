"""Loss of a large model from a few runs: a posterior over scaling laws, and its forecast with a band.

The law is L(N, D) = E + A / N^alpha + B / D^beta. Five runs do not determine five parameters. Each form of the law is
therefore a prior, and a forecast has the quantiles of its posterior:

    tied    beta = alpha; then the law is E + (A + B M^-alpha) N^-alpha with M = D / N, and over-training enters by M
            alone (Gadre et al., arXiv 2403.08540); means and deviations as of the five fits below
    free    the same, with beta of its own
    broad   any loss, such as bits per byte of a task's answers: exponents, floor and level may lie far from these fits

The five published fits of language models' cross-entropy, as E, A, alpha, B, beta with N and D in units: 1.69, 406.4,
.34, 410.7, .28 (Hoffmann et al., arXiv 2203.15556); 1.82, 482, .348, 2085, .366 (its refit, arXiv 2404.10102); and
three of arXiv 2403.08540, E + (a M^eta + b M^-eta) C^-eta with alpha = 2 eta and C = 6 N D: 1.51, 141, 190, .121 (C4);
1.84, 212, 367, .136 (RedPajama); 1.73, 157, 246, .127 (RefinedWeb).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from trainers.ladder.laws import Array, Numbers

LEVEL = 0.9
FEWEST = 3
DRAWS, ROUNDS = 800, 3
SEED = 24_03
EXPONENTS = (0.02, 1.2)
NOISES = np.geomspace(0.0005, 0.05, 16)
NOISE, NOISE_SD = 0.01, 0.6
"""Median of the relative noise, and standard deviation of its log."""
BALANCE, BASE = 20.0, 160e6
"""Tokens a parameter, and parameters, at which the prior of the terms is stated."""


@dataclass(frozen=True, kw_only=True)
class Prior:
    """What is believed of a law before any run. Each line is a normal distribution: mean, standard deviation."""

    exponent: tuple[float, float]
    floor: tuple[float, float]
    """log of E over the two terms, at `BASE` parameters and `BALANCE` tokens a parameter."""
    floor_slope: float
    """How much the mean of `floor` rises with alpha."""
    split: tuple[float, float]
    """log of the size term over the data term there."""
    split_slope: float
    difference_sd: float
    """Standard deviation of beta - alpha; 0 ties the exponents."""
    level: tuple[float, float]
    """log of the loss at `BASE` parameters and `BALANCE` tokens a parameter."""
    weight: float
    """Probability of this prior among all."""


PRIORS: dict[str, Prior] = {
    "tied": Prior(
        exponent=(0.29, 0.06),
        floor=(0.03, 0.105),
        floor_slope=4.5,
        split=(0.13, 0.15),
        split_slope=-5.0,
        difference_sd=0.0,
        level=(1.21, 0.15),
        weight=0.4,
    ),
    "free": Prior(
        exponent=(0.29, 0.06),
        floor=(0.03, 0.105),
        floor_slope=4.5,
        split=(0.13, 0.15),
        split_slope=-5.0,
        difference_sd=0.035,
        level=(1.21, 0.15),
        weight=0.4,
    ),
    "broad": Prior(
        exponent=(0.28, 0.08),
        floor=(-0.2, 0.8),
        floor_slope=0.0,
        split=(0.0, 0.7),
        split_slope=0.0,
        difference_sd=0.06,
        level=(0.5, 1.2),
        weight=0.2,
    ),
}


@dataclass(frozen=True, kw_only=True)
class LossForecast:
    """One loss of one target."""

    loss: float
    low: float
    high: float
    """Ends of the 90% band of the loss that a run of the target's size has on average over seeds."""


@dataclass(frozen=True)
class Posterior:
    """Laws with their weights; K draws."""

    form: str
    alpha_K: Array
    beta_K: Array
    floor_K: Array
    """E over the loss at the largest run."""
    size_K: Array
    """The size term there, as a share of the loss."""
    data_K: Array
    level_K: Array
    """Mean of log(measured / law) over the runs: what a law of loss 1 at the largest run is raised by."""
    spread_K: Array
    """Standard deviation of `level_K`."""
    weight_K: Array
    evidence: float
    """Log of the probability of the runs under the form."""
    reference: tuple[float, float]
    """N and D of the largest run."""

    def log_loss(self, n: float, d: float) -> Array:
        """(K,)."""
        n0, d0 = self.reference
        return self.level_K + np.log(
            self.floor_K + self.size_K * (n / n0) ** -self.alpha_K + self.data_K * (d / d0) ** -self.beta_K
        )


def fit_form(n: Numbers, d: Numbers, loss: Numbers, form: str, *, draws: int = DRAWS, seed: int = SEED) -> Posterior:
    """The posterior of one form, by importance sampling in `ROUNDS` rounds; each round draws where the last had weight.

    Args:
        n: parameters, one entry a run.
        d: training tokens.
        loss: positive.
        form: one of `PRIORS`.
        draws: of each round.
        seed: of the draws.
    """
    n, d, y = np.asarray(n, dtype=float), np.asarray(d, dtype=float), np.log(np.asarray(loss, dtype=float))
    prior = PRIORS[form]
    largest = int(np.argmax(n * d))
    prior_sd = np.array([prior.exponent[1], prior.floor[1], prior.split[1], prior.difference_sd])
    prior_sd = prior_sd[prior_sd > 0]
    random, width = np.random.default_rng(seed), len(prior_sd)
    mean, factor = np.zeros(width), np.diag(prior_sd)
    for _ in range(ROUNDS):
        z_KP = _heavy_normal(random, draws, width)
        x_KP = mean + z_KP @ factor.T
        log_prior = -0.5 * np.sum((x_KP / prior_sd) ** 2, axis=1) - np.log(prior_sd).sum()
        log_prior -= 0.5 * width * np.log(2 * np.pi)
        log_proposal = _heavy_density(z_KP) - np.linalg.slogdet(factor)[1]
        parts = _parts(x_KP, prior, n[largest], d[largest])
        log_likelihood, level_K, spread_K = _likelihood(parts[:5], y, n, d, largest)
        # parts[5] is the law at the base over that at the largest run.
        log_likelihood += -0.5 * ((level_K + parts[5] - prior.level[0]) / prior.level[1]) ** 2 - np.log(prior.level[1])
        log_weight = log_likelihood + log_prior - log_proposal
        weight = np.exp(log_weight - log_weight.max())
        evidence = float(np.log(weight.mean()) + log_weight.max())
        weight /= weight.sum()
        mean = weight @ x_KP
        centred = x_KP - mean
        covariance = (centred * weight[:, None]).T @ centred + np.diag((0.05 * prior_sd) ** 2)
        factor = np.linalg.cholesky(1.5 * covariance)
    alpha, beta, floor, size, data, _ = parts
    return Posterior(
        form, alpha, beta, floor, size, data, level_K, spread_K, weight, evidence, (n[largest], d[largest])
    )


def _heavy_normal(random: np.random.Generator, draws: int, width: int) -> Array:
    """Student's t of 5 degrees of freedom, (K, P): its tails are wider than a posterior's."""
    return random.standard_normal((draws, width)) / np.sqrt(random.chisquare(5, (draws, 1)) / 5)


def _heavy_density(z_KP: Array) -> Array:
    from scipy.special import gammaln

    width = z_KP.shape[1]
    constant = gammaln((5 + width) / 2) - gammaln(2.5) - 0.5 * width * np.log(5 * np.pi)
    return constant - 0.5 * (5 + width) * np.log1p(np.sum(z_KP**2, axis=1) / 5)


def _parts(x_KP: Array, prior: Prior, n: float, d: float) -> tuple[Array, ...]:
    """alpha, beta, and the shares of floor, size and data in the loss at N and D.

    `x_KP` are differences from the means of the prior: of alpha, floor, split and, in a free form, beta - alpha.
    """
    alpha = np.clip(prior.exponent[0] + x_KP[:, 0], *EXPONENTS)
    beta = np.clip(alpha + x_KP[:, 3], *EXPONENTS) if x_KP.shape[1] > 3 else alpha
    away = alpha - prior.exponent[0]
    floor = np.exp(prior.floor[0] + prior.floor_slope * away + x_KP[:, 1])
    ratio = prior.split[0] + prior.split_slope * away + x_KP[:, 2]
    size = (n / BASE) ** -alpha / (1 + np.exp(-ratio))
    data = (d / BASE / BALANCE) ** -beta / (1 + np.exp(ratio))
    whole = floor + size + data
    return alpha, beta, floor / whole, size / whole, data / whole, np.log((floor + 1) / whole)


def _likelihood(parts: tuple[Array, ...], y: Array, n: Array, d: Array, largest: int) -> tuple[Array, Array, Array]:
    """Log-likelihood of each draw with level and noise summed over, and the level's mean and standard deviation."""
    alpha, beta, floor, size, data = parts
    log_n, log_d = np.log(n / n[largest]), np.log(d / d[largest])
    law_KR = floor[:, None] + size[:, None] * np.exp(-alpha[:, None] * log_n)
    law_KR = law_KR + data[:, None] * np.exp(-beta[:, None] * log_d)
    residual_KR = y - np.log(law_KR)
    level_K = residual_KR.mean(axis=1)
    squares_K = np.sum((residual_KR - level_K[:, None]) ** 2, axis=1)
    runs = len(y)
    prior_S = -0.5 * (np.log(NOISES / NOISE) / NOISE_SD) ** 2
    log_KS = prior_S - (runs - 1) * np.log(NOISES) - 0.5 * squares_K[:, None] / NOISES**2
    top_K = log_KS.max(axis=1)
    weight_KS = np.exp(log_KS - top_K[:, None])
    total_K = weight_KS.sum(axis=1)
    spread_K = np.sqrt((weight_KS @ NOISES**2) / total_K / runs)
    return np.log(total_K) + top_K, level_K, spread_K


def forecast_loss(posteriors: Sequence[tuple[Posterior, float]], n: float, d: float, width: float) -> LossForecast:
    """The forecast of the forms together, each with its weight.

    Args:
        posteriors: (form, weight); the weights sum to one.
        n: parameters of the target.
        d: its training tokens.
        width: factor of the distance, in log, from the median to each end of the posterior's 90% interval.
    """
    values, weights = [], []
    for posterior, share in posteriors:
        log_loss_K = posterior.log_loss(n, d)
        # Five points of a normal stand for the uncertainty of the level.
        for z, part in zip((-1.8, -0.8, 0.0, 0.8, 1.8), (0.08, 0.24, 0.36, 0.24, 0.08), strict=True):
            values.append(log_loss_K + z * posterior.spread_K)
            weights.append(share * part * posterior.weight_K)
    all_values, all_weights = np.concatenate(values), np.concatenate(weights)
    order = np.argsort(all_values)
    reached = np.cumsum(all_weights[order]) / all_weights.sum()
    tail = (1 - LEVEL) / 2
    low, middle, high = (all_values[order][np.searchsorted(reached, part)] for part in (tail, 0.5, 1 - tail))
    ends = (middle - width * (middle - low), middle, middle + width * (high - middle))
    return LossForecast(**dict(zip(("low", "loss", "high"), (float(np.exp(end)) for end in ends), strict=True)))
