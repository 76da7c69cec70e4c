"""Bands around a forecast, as wide as a ladder's own hold-outs ask for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from trainers.ladder.holdout import Error
from trainers.ladder.runs import LAST, LadderRuns

LEVEL = 0.9
SEED_NOISE = 0.01
"""Standard deviation of an accuracy from seed to seed and fit to fit, at the least."""
OWN_SHARE = 0.5
"""How far a task's own squared hold-out errors speak for it; the rest is the mean of all tasks. Each has few."""


@dataclass(frozen=True, kw_only=True)
class Spread:
    """How a forecast's error grows: its deviation is sqrt(noise^2 + (growth x reach)^2), reach as `reach` says."""

    noise: Mapping[str, float]
    """By task: of a measurement, between seeds and between its last checkpoints."""
    growth: Mapping[str, float]
    """By task: error per log of compute ahead."""

    def at(self, task: str, ahead: float) -> float:
        """Of the accuracy, 0..1."""
        return float(np.hypot(self.noise[task], self.growth[task] * ahead))


@dataclass(frozen=True, kw_only=True)
class Bands:
    """A spread, and how many of it the 90% band is wide on each side."""

    spread: Spread
    factor: float

    def half_width(self, task: str, ahead: float) -> float:
        """Of the accuracy, 0..1, at a reach."""
        return self.factor * self.spread.at(task, ahead)


@dataclass(frozen=True, kw_only=True)
class Coverage:
    """Parts of the held-out runs inside their bands, the spread fitted without their split."""

    overall: float
    by_split: Mapping[str, float]
    by_task: Mapping[str, float]
    strict: float
    """Overall, the factor too calibrated without the split."""
    stated: float
    """As `strict`, each forecast counted by how near its reach is to the target's. This is what may be expected there,
    as far as hold-outs say."""
    longest: float
    """The longest reach of a hold-out, log of compute."""


def measurement_noise(ladder: LadderRuns, task: str) -> float:
    """Standard deviation of a run's accuracy: between seeds, and between its last checkpoints."""
    return float(np.hypot(SEED_NOISE, checkpoint_scatter(ladder, task)))


def checkpoint_scatter(ladder: LadderRuns, task: str) -> float:
    """Standard deviation of an accuracy between the last checkpoints of a run; 0 of runs with one checkpoint."""
    tails = [run.accuracy[task][-LAST:] for run in ladder.runs]
    within = [float(np.var(tail, ddof=1)) for tail in tails if len(tail) > 1]
    return float(np.sqrt(np.mean(within))) if within else 0.0


def calibrate(
    errors: Sequence[Error],
    noise: Mapping[str, float],
    predictable: Mapping[str, bool],
    level: float = LEVEL,
    *,
    ahead: float | None = None,
) -> tuple[Bands, Coverage]:
    """Bands that hold `level` of the hold-outs, each scored with a spread that was fitted without its split.

    This is cross-conformal calibration (Vovk, arXiv 1208.0806) of errors scaled by their spread: the factor is the
    quantile of the scores, with the usual correction for their number, or, where it is larger, the quantile that counts
    scores by how near their reach is to `ahead`, the log of compute from the ladder to the target. Predictable tasks
    share what they know of the growth of errors, and so do the others.
    """
    splits = np.array([error.split for error in errors])
    tasks = np.array([error.task for error in errors])
    names = list(dict.fromkeys(error.split for error in errors))
    scores = np.empty(len(errors))
    for name in names:
        others = [error for error in errors if error.split != name] or list(errors)
        spread = fit_spread(others, noise, predictable)
        for index in np.flatnonzero(splits == name):
            error = errors[index]
            scores[index] = abs(error.error) / spread.at(error.task, error.reach)
    reaches = np.array([error.reach for error in errors])
    near = np.exp(-np.abs(np.log((ahead or 1.0) / reaches))) if ahead else np.ones(len(errors))
    factor = _factor(scores, near, level)
    inside = scores <= factor
    strict, counted = [], []
    for name in names if len(names) > 1 else []:
        held = splits == name
        strict.append(scores[held] <= _factor(scores[~held], near[~held], level))
        counted.append(near[held])
    covered = Coverage(
        overall=float(inside.mean()),
        by_split={name: float(inside[splits == name].mean()) for name in names},
        by_task={task: float(inside[tasks == task].mean()) for task in noise},
        strict=float(np.concatenate(strict).mean()) if strict else float("nan"),
        stated=float(np.average(np.concatenate(strict), weights=np.concatenate(counted))) if strict else float("nan"),
        longest=float(reaches.max()),
    )
    return Bands(spread=fit_spread(errors, noise, predictable), factor=factor), covered


def fit_spread(errors: Sequence[Error], noise: Mapping[str, float], predictable: Mapping[str, bool]) -> Spread:
    """The growth of every task's errors, half its own and half that of the tasks alike."""
    squares = {
        task: float(np.mean([max(e.error**2 - noise[task] ** 2, 0.0) / e.reach**2 for e in errors if e.task == task]))
        for task in noise
    }
    growth = {}
    for task, own in squares.items():
        alike = [square for other, square in squares.items() if predictable[other] == predictable[task]]
        growth[task] = float(np.sqrt(OWN_SHARE * own + (1 - OWN_SHARE) * np.mean(alike)))
    return Spread(noise=dict(noise), growth=growth)


def _factor(scores: np.ndarray, near: np.ndarray, level: float) -> float:
    """The larger of the quantile of the scores and of the one that counts them by their nearness."""
    order = np.argsort(scores)
    reached = np.cumsum(near[order]) / near.sum()
    far = float(scores[order][min(int(np.searchsorted(reached, level)), len(scores) - 1)])
    return max(_quantile(scores, level), far)


def _quantile(scores: np.ndarray, level: float) -> float:
    return float(np.quantile(scores, min(1.0, level * (1 + 1 / len(scores))), method="higher"))
