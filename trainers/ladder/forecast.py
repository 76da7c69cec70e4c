"""From a ladder to `predictions.json`: the mode's protocols, the forecast of each target, its band, its warnings."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np

from trainers.errors import TrainerError
from trainers.ladder.holdout import (
    LEVEL,
    Bands,
    Error,
    HoldOuts,
    calibrate,
    checkpoint_scatter,
    coverage,
    measurement_noise,
    reach,
)
from trainers.ladder.protocols import PAPER, Fitted, Fitter, Protocol
from trainers.ladder.runs import LadderRuns, Target
from trainers.ladder.tasks import BITS_PER_BYTE
from trainers.scaling import fit_step1, fit_step2, predict

Mode = Literal["paper", "auto"]
NOISE_SHARE = 0.1
"""Noise between the last checkpoints over the whole rise of the ladder, above which a task says too little."""
LEAST_RANK = 0.9
"""Spearman correlation of final loss with final accuracy below which one does not follow the other."""
NEAR_CHANCE = 0.1
"""Part of the way from chance to 1 that the best run must have gone, else step 2 sees only its foot."""
FEWEST_RUNS = 3


@dataclass(frozen=True, kw_only=True)
class Prediction:
    """One task of one target."""

    accuracy: float
    """0..1."""
    low: float
    high: float
    """Ends of the 90% band."""
    task_loss: float
    """Bits per byte of the correct answer, as step 1 says it."""
    predictable: bool
    reason: str
    """Why not, or the figures that speak for it."""


@dataclass(frozen=True, kw_only=True)
class Forecast:
    """All of a fit."""

    mode: Mode
    targets: Mapping[str, Mapping[str, Prediction]]
    protocols: tuple[Protocol, ...]
    """Averaged in the forecast, best first; empty where the ladder was too small for hold-outs."""
    errors: tuple[Error, ...]
    """On hold-outs; of `auto`, each with protocols chosen without its split."""
    coverage: Mapping[str, float]
    bands: Bands | None
    fits: Mapping[str, Fitted]
    """By task: the first protocol's steps, for pictures."""

    def as_dict(self) -> dict[str, Any]:
        """For JSON: targets first, then `protocol`."""
        by_task: dict[str, list[float]] = {}
        for e in self.errors:
            by_task.setdefault(e.task, []).append(abs(e.error))
        first = asdict(self.protocols[0]) if self.protocols else {}
        return {name: {task: asdict(p) for task, p in tasks.items()} for name, tasks in self.targets.items()} | {
            "protocol": {
                "mode": self.mode,
                "level": LEVEL,
                "best": first,
                "averaged": [asdict(protocol) for protocol in self.protocols],
                "holdout_error": {task: float(np.mean(errors)) for task, errors in by_task.items()},
                "holdout_forecasts": len(self.errors),
                "coverage": dict(self.coverage),
                "note": "" if self.protocols else "too few runs for hold-outs: trainers.scaling's steps and bootstrap",
            }
        }


def parse_target(said: str, known: Mapping[str, Target]) -> Target:
    """`NAME=PARAMS,TOKENS`, or the name of a target that came with the runs.

    Raises:
        TrainerError: neither, or numbers that are none.
    """
    name, equals, numbers = said.partition("=")
    if not equals:
        if name not in known:
            raise TrainerError(f"no target is called {name!r}", f"say {name}=PARAMS,TOKENS; known: {', '.join(known)}")
        return known[name]
    match = re.fullmatch(r"([^,]+),([^,]+)", numbers)
    try:
        n, d = (float(value) for value in match.groups()) if match else (0.0, 0.0)
    except ValueError:
        n, d = 0.0, 0.0
    if not name or not (np.isfinite(n) and np.isfinite(d) and n > 0 and d > 0) or name == "protocol":
        raise TrainerError(f"target {said!r} is not NAME=PARAMS,TOKENS", "write --targets 7B-4T=6.89e9,3.95e12")
    return Target(name=name, parameters=n, tokens=d, flops_per_token=6 * n)


def fit_ladder(ladder: LadderRuns, targets: Sequence[Target], mode: Mode = "auto") -> Forecast:
    """Forecast every target on every task of the ladder.

    Raises:
        TrainerError: fewer than three runs, no target, or a target that takes less compute than the largest run.
    """
    _check(ladder, targets)
    targets = [_with_flops(target, ladder) for target in targets]
    verdicts = {task: predictability(ladder, task) for task in ladder.chance}
    holdouts = HoldOuts(ladder)
    protocols, chosen = _protocols(holdouts, mode, [task for task, (good, _) in verdicts.items() if good])
    fitter = Fitter(ladder.runs, dict(ladder.chance))
    errors = tuple(holdouts.errors(chosen)) if protocols else ()
    if not errors or any(fitter.fit(protocols[0], task) is None for task in ladder.chance):
        return _small(ladder, targets, mode, verdicts)
    noise = {task: measurement_noise(ladder, task) for task in ladder.chance}
    groups = {task: good for task, (good, _) in verdicts.items()}
    bands = calibrate(errors, noise, groups)
    found = {
        target.name: {
            task: _predict(fitter, protocols, bands, ladder, target, task, verdicts[task]) for task in ladder.chance
        }
        for target in targets
    }
    fits = {task: fitted for task in ladder.chance if (fitted := fitter.fit(protocols[0], task))}
    return Forecast(
        mode=mode,
        targets=found,
        protocols=tuple(protocols),
        errors=errors,
        coverage=coverage(errors, noise, groups),
        bands=bands,
        fits=fits,
    )


def predictability(ladder: LadderRuns, task: str) -> tuple[bool, str]:
    """Whether the ladder says enough of a task, and why (not)."""
    noise = checkpoint_scatter(ladder, task)
    accuracies = np.array([run.measured(task) for run in ladder.runs])
    losses = np.array([run.intermediates[BITS_PER_BYTE][task][-5:].mean() for run in ladder.runs])
    rise = float(np.ptp(accuracies))
    chance = ladder.chance[task]
    way = (float(accuracies.max()) - chance) / (1 - chance)
    rank = -_rank_correlation(losses, accuracies)
    faults = []
    if noise > NOISE_SHARE * rise:
        faults.append(f"the last checkpoints scatter by {100 * noise:.1f} points of a rise of {100 * rise:.1f}")
    if rank < LEAST_RANK:
        faults.append(f"accuracy follows loss with a rank correlation of {rank:.2f} only")
    if way < NEAR_CHANCE:
        faults.append(f"the best run is {100 * way:.0f}% of the way from chance to 1")
    if faults:
        return False, "; ".join(faults)
    return True, f"noise {100 * noise:.1f} of {100 * rise:.1f} points, rank correlation {rank:.2f}, {100 * way:.0f}% up"


def _rank_correlation(x: np.ndarray, y: np.ndarray) -> float:
    from scipy.stats import spearmanr

    if np.ptp(x) == 0 or np.ptp(y) == 0:
        return 0.0
    return float(spearmanr(x, y).statistic)


def _check(ladder: LadderRuns, targets: Sequence[Target]) -> None:
    if len(ladder.runs) < FEWEST_RUNS:
        raise TrainerError(
            f"the ladder has {len(ladder.runs)} runs and a fit needs at least {FEWEST_RUNS}", "train or name more runs"
        )
    if not targets:
        raise TrainerError("there is no target to forecast", "name one with --targets NAME=PARAMS,TOKENS")
    largest = max(ladder.runs, key=lambda run: run.parameters * run.tokens)
    for target in targets:
        if target.parameters * target.tokens < largest.parameters * largest.tokens:
            raise TrainerError(
                f"target {target.name} is smaller than the ladder's largest run, {largest.name}",
                "name a target that takes more compute; what lies inside the ladder is measured, not forecast",
            )


def _with_flops(target: Target, ladder: LadderRuns) -> Target:
    """A target given by N and D alone counts FLOPs as the ladder's largest model does: by its excess over 6 N."""
    if target.flops_per_token != 6 * target.parameters:
        return target
    largest = max(ladder.runs, key=lambda run: run.parameters)
    share = largest.flops_per_token / largest.parameters
    return Target(
        name=target.name,
        parameters=target.parameters,
        tokens=target.tokens,
        flops_per_token=share * target.parameters,
    )


def _protocols(
    holdouts: HoldOuts, mode: Mode, tasks: Sequence[str]
) -> tuple[list[Protocol], dict[str, Sequence[Protocol]]]:
    """The mode's protocols, and those that each split's errors are measured with."""
    if mode == "paper":
        return [PAPER], {split.name: [PAPER] for split in holdouts.splits}
    judged = tasks or holdouts.tasks
    return holdouts.select(judged), {
        split.name: holdouts.select(judged, leave_out=split.name) for split in holdouts.splits
    }


def _predict(  # noqa: PLR0917 - all of one fit
    fitter: Fitter,
    protocols: Sequence[Protocol],
    bands: Bands,
    ladder: LadderRuns,
    target: Target,
    task: str,
    verdict: tuple[bool, str],
) -> Prediction:
    fits = [fitted for protocol in protocols if (fitted := fitter.fit(protocol, task))]
    accuracy = float(np.mean([fitted.accuracy(target) for fitted in fits]))
    half = bands.half_width(task, reach(target.flops, ladder.runs))
    loss = fitter.fit(PAPER, task) or fits[0]
    predictable, reason = verdict
    return Prediction(
        accuracy=accuracy,
        low=max(0.0, accuracy - half),
        high=min(1.0, accuracy + half),
        task_loss=loss.loss(target),
        predictable=predictable,
        reason=reason,
    )


def _small(
    ladder: LadderRuns, targets: Sequence[Target], mode: Mode, verdicts: Mapping[str, tuple[bool, str]]
) -> Forecast:
    """The forecast of a ladder too small for hold-outs: laws with fewer parameters, bootstrap bands."""
    found: dict[str, dict[str, Prediction]] = {target.name: {} for target in targets}
    for task, chance in ladder.chance.items():
        n, d = ([getattr(run, name) for run in ladder.runs] for name in ("parameters", "tokens"))
        loss = [float(run.intermediates[BITS_PER_BYTE][task][-5:].mean()) for run in ladder.runs]
        accuracy = [run.measured(task) for run in ladder.runs]
        step1 = fit_step1(n, d, loss)
        step2 = fit_step2(loss, accuracy, chance, questions=ladder.questions.get(task))
        for target in targets:
            said = predict(step1, step2, target.parameters, target.tokens)
            found[target.name][task] = Prediction(
                accuracy=said.accuracy,
                low=said.accuracy_low,
                high=said.accuracy_high,
                task_loss=said.loss,
                predictable=verdicts[task][0],
                reason=verdicts[task][1],
            )
    return Forecast(mode=mode, targets=found, protocols=(), errors=(), coverage={}, bands=None, fits={})
