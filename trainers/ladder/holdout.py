"""Hold-outs inside a ladder: its smaller runs forecast its larger ones, which says what protocol to trust and how far.

A target's own measurement is never asked for. Three splits, each with the error that a real forecast makes:
    compute   runs of at most a tenth of the largest run's FLOPs forecast the runs above a third of it
    size      the smaller sizes forecast the largest one's longer runs
    multiple  shorter runs forecast the longest run of each size
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from trainers.ladder.protocols import CANDIDATES, Fitter, Protocol
from trainers.ladder.runs import LAST, LadderRuns, Run

TOLERANCE = 1.2
"""`auto` averages the protocols whose hold-out error is within this factor of the best one's."""
LEVEL = 0.9
NEAREST = float(np.log(2.0))
"""Least log of compute that a forecast counts as reaching ahead."""
SEED_NOISE = 0.01
"""Standard deviation of an accuracy from seed to seed and fit to fit, at the least; of the values tried, bands with
this one lie nearest to their level on the published ladder's hold-outs without narrowing where nothing was held out."""
OWN_SHARE = 0.5
"""How far a task's own squared hold-out errors speak for it; the rest is the mean of all tasks. Each has few."""


@dataclass(frozen=True, kw_only=True)
class Split:
    """Runs to fit and runs to forecast."""

    name: str
    fit: tuple[Run, ...]
    held: tuple[Run, ...]


@dataclass(frozen=True, kw_only=True)
class Error:
    """One forecast of a held-out run."""

    split: str
    run: str
    task: str
    error: float
    """Forecast less measured accuracy, 0..1."""
    reach: float
    """As `reach` says."""


def splits(runs: Sequence[Run]) -> list[Split]:
    """The splits that this ladder is large enough for."""
    flops, size = max(run.flops for run in runs), max(run.parameters for run in runs)
    longest = {run.size: max(other.multiple for other in runs if other.size == run.size) for run in runs}
    wanted = {
        "compute": ([r for r in runs if r.flops <= 0.105 * flops], [r for r in runs if r.flops > flops / 3]),
        "size": (
            [r for r in runs if r.parameters < size],
            [r for r in runs if r.parameters == size and r.multiple >= 0.4 * longest[r.size]],
        ),
        "multiple": (
            [r for r in runs if r.multiple < longest[r.size]],
            [r for r in runs if r.multiple == longest[r.size]],
        ),
    }
    return [Split(name=name, fit=tuple(fit), held=tuple(held)) for name, (fit, held) in wanted.items() if fit and held]


def reach(flops: float, runs: Sequence[Run]) -> float:
    """How far ahead of the largest fitted run: log of the ratio of FLOPs, at least log 2."""
    return max(float(np.log(flops / max(run.flops for run in runs))), NEAREST)


class HoldOuts:
    """Every protocol's forecasts of every split's held-out runs, fitted when asked for."""

    def __init__(self, ladder: LadderRuns) -> None:
        self.splits = splits(ladder.runs)
        self.tasks = tuple(ladder.chance)
        self._fitters = {split.name: Fitter(split.fit, dict(ladder.chance)) for split in self.splits}

    def forecast(self, protocol: Protocol, split: Split, task: str) -> list[float] | None:
        """Accuracies of the held-out runs; None where the protocol cannot be fitted."""
        fitted = self._fitters[split.name].fit(protocol, task)
        return [fitted.accuracy(run) for run in split.held] if fitted else None

    def mean_error(self, protocol: Protocol, split: Split, tasks: Sequence[str]) -> float:
        """Mean absolute error over runs and tasks; infinite where the protocol cannot be fitted."""
        errors = []
        for task in tasks:
            forecasts = self.forecast(protocol, split, task)
            if forecasts is None:
                return float("inf")
            errors += [abs(said - run.measured(task)) for said, run in zip(forecasts, split.held, strict=True)]
        return float(np.mean(errors))

    def select(
        self, tasks: Sequence[str], leave_out: str | None = None, candidates: Sequence[Protocol] = CANDIDATES
    ) -> list[Protocol]:
        """The protocols within `TOLERANCE` of the least error, best first; empty where none can be fitted.

        Each split counts the same. `leave_out` names a split that has no say, for an honest error on it.
        """
        used = [split for split in self.splits if split.name != leave_out]
        if not used:
            return []
        scores = [(float(np.mean([self.mean_error(p, s, tasks) for s in used])), p) for p in candidates]
        scores = sorted((score for score in scores if np.isfinite(score[0])), key=lambda score: score[0])
        return [protocol for score, protocol in scores if score <= TOLERANCE * scores[0][0]]

    def errors(self, chosen: Mapping[str, Sequence[Protocol]]) -> list[Error]:
        """Errors of the mean forecast of each split's chosen protocols, split by split."""
        found = []
        for split in self.splits:
            for task in self.tasks:
                said = [self.forecast(protocol, split, task) for protocol in chosen[split.name]]
                usable = [forecast for forecast in said if forecast is not None]
                if not usable:
                    continue
                for run, forecast in zip(split.held, np.mean(usable, axis=0), strict=True):
                    found.append(
                        Error(
                            split=split.name,
                            run=run.name,
                            task=task,
                            error=float(forecast - run.measured(task)),
                            reach=reach(run.flops, split.fit),
                        )
                    )
        return found


@dataclass(frozen=True, kw_only=True)
class Bands:
    """Half widths of the 90% band, as hold-outs calibrate them.

    A forecast's spread is sqrt(noise^2 + (growth x reach)^2): the noise of a measurement, and an error that grows
    with the log of how much more compute the target takes. The band is that many `factor`s of it wide on each side
    that hold-outs' errors stay within in 90% of the cases.
    """

    factor: float
    growth: Mapping[str, float]
    """By task."""
    noise: Mapping[str, float]
    """By task."""

    def half_width(self, task: str, ahead: float) -> float:
        """Of the accuracy, 0..1, at a reach."""
        return self.factor * float(np.hypot(self.noise[task], self.growth[task] * ahead))


def measurement_noise(ladder: LadderRuns, task: str) -> float:
    """Standard deviation of a run's accuracy: between seeds, and between its last checkpoints."""
    return float(np.hypot(SEED_NOISE, checkpoint_scatter(ladder, task)))


def checkpoint_scatter(ladder: LadderRuns, task: str) -> float:
    """Standard deviation of an accuracy between the last checkpoints of a run; 0 of runs with one checkpoint."""
    tails = [run.accuracy[task][-LAST:] for run in ladder.runs]
    within = [float(np.var(tail, ddof=1)) for tail in tails if len(tail) > 1]
    return float(np.sqrt(np.mean(within))) if within else 0.0


def calibrate(
    errors: Sequence[Error], noise: Mapping[str, float], predictable: Mapping[str, bool], level: float = LEVEL
) -> Bands:
    """Bands that would have held `level` of the hold-outs, with the usual correction for their number.

    Predictable tasks share what they know of the growth of errors, and so do the others.
    """
    squares = {
        task: float(np.mean([max(e.error**2 - noise[task] ** 2, 0.0) / e.reach**2 for e in errors if e.task == task]))
        for task in noise
    }
    growth = {}
    for task, own in squares.items():
        alike = [square for other, square in squares.items() if predictable[other] == predictable[task]]
        growth[task] = float(np.sqrt(OWN_SHARE * own + (1 - OWN_SHARE) * np.mean(alike)))
    scores = [abs(e.error) / np.hypot(noise[e.task], growth[e.task] * e.reach) for e in errors]
    rank = min(1.0, level * (1 + 1 / len(scores)))
    return Bands(factor=float(np.quantile(scores, rank, method="higher")), growth=growth, noise=dict(noise))


def coverage(
    errors: Sequence[Error], noise: Mapping[str, float], predictable: Mapping[str, bool], level: float = LEVEL
) -> dict[str, float]:
    """Part of the held-out runs inside bands that were calibrated without their split; by split, and `all`."""
    inside: dict[str, list[bool]] = {}
    names = list(dict.fromkeys(e.split for e in errors))
    for name in names if len(names) > 1 else []:
        bands = calibrate([e for e in errors if e.split != name], noise, predictable, level)
        mine = [e for e in errors if e.split == name]
        inside[name] = [abs(e.error) <= bands.half_width(e.task, e.reach) for e in mine]
    if not inside:
        return {}
    return {name: float(np.mean(held)) for name, held in inside.items()} | {
        "all": float(np.mean([one for held in inside.values() for one in held]))
    }
