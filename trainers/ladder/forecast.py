"""From a ladder to `predictions.json`: the mode's protocols, the forecast of each target, its band, its warnings.

A ladder of at least `FEWEST_FOR_HOLDOUTS` runs in three sizes and three multiples is forecast by protocols, with bands
that its hold-outs calibrate. A smaller one is forecast by laws with fewer parameters, with bootstrap bands
(`trainers/ladder/few_runs.py`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

import numpy as np

from trainers.ladder.bands import LEVEL, Bands, Coverage, calibrate, checkpoint_scatter, measurement_noise
from trainers.ladder.few_runs import fit_step1, fit_step2, predict
from trainers.ladder.holdout import Error, HoldOuts, fixed_forecasts, reach
from trainers.ladder.laws import one_thread
from trainers.ladder.protocols import PAPER, Fitted, Fitter, Protocol, power_law
from trainers.ladder.runs import LAST, RESERVED, LadderRuns, Target
from trainers.ladder.tasks import BITS_PER_BYTE
from trainers.names import close, find
from trainers.process.errors import TrainerError

Mode = Literal["paper", "auto"]
NOISE_SHARE = 0.1
"""Noise between the last checkpoints over the whole rise of the ladder, above which a task says too little."""
LEAST_RANK = 0.9
"""Spearman correlation of final loss with final accuracy below which one does not follow the other."""
NEAR_CHANCE = 0.1
"""Part of the way from chance to 1 that the best run must have gone, else step 2 sees only its foot."""
WIDEST = 0.5
"""Part of the way from chance to 1 that a 90% band may span, else the forecast says too little."""
FEWEST_RUNS = 3
FEWEST_FOR_HOLDOUTS, LEAST_LEVELS = 12, 3
FEW = Protocol(points="finals")
"""What pictures show of a ladder of few runs."""


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
    """Averaged in the forecast, best on hold-outs first; empty of a ladder of few runs."""
    errors: tuple[Error, ...]
    """On hold-outs; of `auto`, each with protocols chosen by the fitted runs alone."""
    coverage: Coverage | None
    bands: Bands | None
    note: str
    """Why there are no hold-outs, or nothing."""
    fits: Mapping[str, Fitted]
    """By task: the first protocol's steps."""
    forms: Mapping[str, str]
    """By task: the form of both steps of `fits`, in words."""

    @property
    def shown(self) -> Protocol:
        """The protocol of `fits`."""
        return self.protocols[0] if self.protocols else FEW

    def as_dict(self) -> dict[str, Any]:
        """For JSON: targets first, then `protocol`."""
        tasks = dict.fromkeys(error.task for error in self.errors)
        names = dict.fromkeys(error.split for error in self.errors)
        return {name: {task: asdict(p) for task, p in found.items()} for name, found in self.targets.items()} | {
            "protocol": {
                "mode": self.mode,
                "level": LEVEL,
                "best": asdict(self.protocols[0]) if self.protocols else {},
                "averaged": [asdict(protocol) for protocol in self.protocols],
                "holdout_error": {task: self._mean_error(task=task) for task in tasks},
                "holdout_error_by_split": {name: self._mean_error(split=name) for name in names},
                "holdout_forecasts": len(self.errors),
                "coverage": {name: _finite(value) for name, value in asdict(self.coverage).items()}
                if self.coverage
                else {},
                "note": self.note,
            }
        }

    def _mean_error(self, **at: str) -> float:
        alike = [e for e in self.errors if all(getattr(e, name) == value for name, value in at.items())]
        return float(np.mean([abs(error.error) for error in alike]))


def _finite(value: Any) -> Any:
    """None for a number that JSON has no word for."""
    return None if isinstance(value, float) and not np.isfinite(value) else value


def parse_target(text: str, known: Mapping[str, Target]) -> Target:
    """`NAME=PARAMS,TOKENS`, or the name of a target that came with the runs.

    Raises:
        TrainerError: it is neither, or its numbers are not positive and finite.
    """
    name, equals, numbers = text.partition("=")
    if not equals:
        found = find(name, known)
        if found is None:
            cause = f"no target is called {name!r}{close(name, known)}"
            raise TrainerError(cause, f"write {name}=PARAMS,TOKENS; known: {', '.join(known)}")
        return known[found]
    match = re.fullmatch(r"([^,]+),([^,]+)", numbers)
    try:
        n, d = (float(value) for value in match.groups()) if match else (0.0, 0.0)
    except ValueError:
        n, d = 0.0, 0.0
    if name == RESERVED:
        raise TrainerError(f"a target is called {name!r}, which predictions.json uses itself", "rename it")
    if not name or not (np.isfinite(n) and np.isfinite(d) and n > 0 and d > 0):
        raise TrainerError(f"target {text!r} is not NAME=PARAMS,TOKENS", "write --targets 7B-4T=6.89e9,3.95e12")
    return Target(name=name, parameters=n, tokens=d, flops_per_token=6 * n)


def fit_ladder(ladder: LadderRuns, targets: Sequence[Target], mode: Mode = "auto") -> Forecast:
    """Forecast every target on every task of the ladder.

    Raises:
        TrainerError: fewer than three runs, no target, or a target that takes less compute than the largest run.
    """
    _check(ladder, targets)
    targets = [_with_flops(target, ladder) for target in targets]
    verdicts = {task: predictability(ladder, task) for task in ladder.chance}
    good = {task: found for task, (found, _) in verdicts.items()}
    sizes, multiples = ({getattr(run, name) for run in ladder.runs} for name in ("size", "multiple"))
    if len(ladder.runs) < FEWEST_FOR_HOLDOUTS or min(len(sizes), len(multiples)) < LEAST_LEVELS:
        counts = f"{len(ladder.runs)} runs of {len(sizes)} sizes and {len(multiples)} multiples"
        least = f"{FEWEST_FOR_HOLDOUTS} runs of {LEAST_LEVELS} of each"
        note = f"{counts}, where hold-outs need {least}: laws of few parameters, bootstrap bands"
        return _few(ladder, targets, mode, verdicts, note)
    with one_thread():
        judged = [task for task in good if good[task]] or list(good)
        protocols, errors = _protocols(ladder, mode, judged)
        fitter = Fitter(ladder.runs, dict(ladder.chance))
        fitted = {task: [fits for p in protocols if (fits := fitter.fit(p, task))] for task in ladder.chance}
        losses = {task: _loss_laws(fitter, protocols, task) for task in ladder.chance}
    if not errors or not all(fitted.values()):
        note = "no protocol can be fitted to the runs of a hold-out: laws of few parameters, bootstrap bands"
        return _few(ladder, targets, mode, verdicts, note)
    noise = {task: measurement_noise(ladder, task) for task in ladder.chance}
    farthest = max(reach(target.flops, ladder.runs) for target in targets)
    bands, coverage = calibrate(errors, noise, good, ahead=farthest)
    found = {
        target.name: {
            task: _predict(fits, losses[task], bands, target, task, ahead, ladder.chance[task], verdicts[task])
            for task, fits in fitted.items()
        }
        for target in targets
        for ahead in (reach(target.flops, ladder.runs),)
    }
    return Forecast(
        mode=mode,
        targets=found,
        protocols=tuple(protocols),
        errors=tuple(errors),
        coverage=coverage,
        bands=bands,
        note="",
        fits={task: fits[0] for task, fits in fitted.items()},
        forms=dict.fromkeys(fitted, f"{mode}: {protocols[0].step1} of {protocols[0].intermediate}, sigmoid"),
    )


def predictability(ladder: LadderRuns, task: str) -> tuple[bool, str]:
    """Whether the ladder says enough of a task, and why (not)."""
    noise = checkpoint_scatter(ladder, task)
    accuracies = np.array([run.measured(task) for run in ladder.runs])
    losses = np.array([run.intermediates[BITS_PER_BYTE][task][-LAST:].mean() for run in ladder.runs])
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
    if not ladder.chance:
        raise TrainerError("the ladder has no task to forecast", "name one with --tasks")
    names = [target.name for target in targets]
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise TrainerError(f"two targets are called {twice}", "give targets names of their own")
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
    return replace(target, flops_per_token=share * target.parameters)


def _protocols(ladder: LadderRuns, mode: Mode, judged: Sequence[str]) -> tuple[list[Protocol], list[Error]]:
    """The mode's protocols, of `auto` chosen by the tasks `judged`, and the errors that it makes on hold-outs."""
    if mode == "paper":
        return [PAPER], fixed_forecasts(ladder, PAPER)
    holdouts = HoldOuts(ladder, judged)
    return [holdouts.candidates[index] for index in holdouts.chosen(ladder.runs)], holdouts.forecasts()


def _loss_laws(fitter: Fitter, protocols: Sequence[Protocol], task: str) -> list[Fitted]:
    """Laws of bits per byte: of the protocols that have it between their steps, else of the others as if they had."""
    own = [protocol for protocol in protocols if protocol.intermediate == BITS_PER_BYTE]
    like = own or [*dict.fromkeys(replace(protocol, intermediate=BITS_PER_BYTE) for protocol in protocols)]
    return [fits for protocol in like if (fits := fitter.fit(protocol, task))]


def _predict(  # noqa: PLR0917 - all of one fit
    fits: Sequence[Fitted],
    laws: Sequence[Fitted],
    bands: Bands,
    target: Target,
    task: str,
    ahead: float,
    chance: float,
    verdict: tuple[bool, str],
) -> Prediction:
    accuracy = float(np.mean([fitted.accuracy(target) for fitted in fits]))
    half = bands.half_width(task, ahead)
    low, high = max(0.0, accuracy - half), min(1.0, accuracy + half)
    predictable, reason = _within(low, high, chance, verdict)
    return Prediction(
        accuracy=accuracy,
        low=low,
        high=high,
        task_loss=float(np.mean([fitted.loss(target) for fitted in laws])),
        predictable=predictable,
        reason=reason,
    )


def _within(low: float, high: float, chance: float, verdict: tuple[bool, str]) -> tuple[bool, str]:
    """The verdict on a task, or that its band for one target is too wide to say anything."""
    share = (high - low) / (1 - chance)
    if share <= WIDEST:
        return verdict
    wide = f"the 90% band is {100 * (high - low):.0f} points wide, {share:.0%} of the way from chance to 1"
    return False, wide if verdict[0] else f"{verdict[1]}; {wide}"


def _few(
    ladder: LadderRuns, targets: Sequence[Target], mode: Mode, verdicts: Mapping[str, tuple[bool, str]], note: str
) -> Forecast:
    """The forecast of a ladder too small for hold-outs: laws with fewer parameters, bootstrap bands."""
    found: dict[str, dict[str, Prediction]] = {target.name: {} for target in targets}
    fits: dict[str, Fitted] = {}
    forms: dict[str, str] = {}
    n, d = ([getattr(run, name) for run in ladder.runs] for name in ("parameters", "tokens"))
    for task, chance in ladder.chance.items():
        loss = [float(run.intermediates[BITS_PER_BYTE][task][-LAST:].mean()) for run in ladder.runs]
        step1 = fit_step1(n, d, loss)
        accuracy = [run.measured(task) for run in ladder.runs]
        step2 = fit_step2(loss, accuracy, chance, questions=ladder.questions.get(task))
        forms[task] = f"{step1.protocol}, {step2.protocol}"
        fits[task] = Fitted(law=power_law(step1.parameters), curve=step2.curve, intermediate=BITS_PER_BYTE)
        for target in targets:
            predicted = predict(step1, step2, target.parameters, target.tokens)
            band = predicted.accuracy_low, predicted.accuracy_high
            predictable, reason = _within(*band, chance, verdicts[task])
            found[target.name][task] = Prediction(
                accuracy=predicted.accuracy,
                low=predicted.accuracy_low,
                high=predicted.accuracy_high,
                task_loss=predicted.loss,
                predictable=predictable,
                reason=reason,
            )
    return Forecast(
        mode=mode,
        targets=found,
        protocols=(),
        errors=(),
        coverage=None,
        bands=None,
        note=note,
        fits=fits,
        forms=forms,
    )
