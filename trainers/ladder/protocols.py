"""The choices in a ladder's forecast, as data, and the forecast that follows from them.

A protocol says which runs count, what stands between the two steps, how checkpoints are averaged, and the form of
both steps. `PAPER` is that of Bhagia et al. (arXiv 2412.04403); `CANDIDATES` are the ones that `auto` averages.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy.optimize import least_squares, nnls

from trainers.ladder.laws import (
    EXPONENT_BOUNDS,
    Array,
    fit_five_parameters,
    fit_sigmoid,
    sigmoid,
)
from trainers.ladder.runs import LAST, Run, Target
from trainers.ladder.tasks import BITS_PER_BYTE, INTERMEDIATES, VALIDATION
from trainers.process.errors import TrainerError

Step1Form = Literal["huber", "least-squares", "flops"]
Points = Literal["smoothed", "blocks", "late-blocks", "finals"]
START_EXPONENT = 0.15
SIGMOID_ZOOMS, POWER_ZOOMS = 5, 4
FEWEST = {"huber": 7, "least-squares": 7, "flops": 4}
"""Runs that each form of step 1 needs."""


@dataclass(frozen=True, kw_only=True)
class Protocol:
    """How a ladder is turned into a forecast."""

    shortest: bool = True
    """Whether each size's shortest run counts: it misleads forecasts of models trained for long."""
    intermediate: str = BITS_PER_BYTE
    """One of `INTERMEDIATES`."""
    step1: Step1Form = "huber"
    """`huber` and `least-squares`: e^a / N^alpha + e^b / D^beta + E; `flops`: A / C^alpha + E. On relative errors."""
    weighted: bool = False
    """Whether a run counts in step 1 as its Chinchilla multiple (`huber` cannot)."""
    points: Points = "smoothed"
    """Of step 2. `smoothed`: every checkpoint after the first tenth, moving average of five; `blocks`: means of five
    checkpoints that do not overlap; `late-blocks`: the same from each run's second half; `finals`: one a run."""
    ideal_point: bool = True
    """Whether (loss 0, accuracy 1) takes part in step 2."""

    def chosen(self, runs: Sequence[Run]) -> list[Run]:
        """The runs that count."""
        if self.shortest:
            return list(runs)
        least = {run.size: min(other.tokens for other in runs if other.size == run.size) for run in runs}
        return [run for run in runs if run.tokens > least[run.size]]


PAPER = Protocol()
CANDIDATES: tuple[Protocol, ...] = tuple(
    Protocol(
        shortest=shortest,
        intermediate=kind,
        step1="least-squares",
        weighted=weighted,
        points=points,
        ideal_point=ideal,
    )
    for (shortest, weighted), kind, points, ideal in itertools.product(
        ((True, True), (False, True), (False, False)),
        INTERMEDIATES,
        ("blocks", "late-blocks", "finals"),
        (True, False),
    )
)
"""Short runs count for less or not at all, for they mislead forecasts of models trained for long; and step 1 knows
parameters and tokens apart, for FLOPs alone do not separate such a model from a larger one."""


@dataclass(frozen=True, kw_only=True)
class Term:
    """e^log_scale / x^exponent."""

    of: Literal["parameters", "tokens", "flops"]
    """What x is."""
    log_scale: float
    exponent: float


@dataclass(frozen=True, kw_only=True)
class Law:
    """Step 1: the sum of its terms and a floor."""

    terms: tuple[Term, ...]
    floor: float

    def at(self, parameters: float, tokens: float, flops: float) -> float:
        """The intermediate loss."""
        x = {"parameters": parameters, "tokens": tokens, "flops": flops}
        return float(sum(np.exp(t.log_scale - t.exponent * np.log(x[t.of])) for t in self.terms) + self.floor)


@dataclass(frozen=True, kw_only=True)
class Fitted:
    """Both steps of one task under one protocol."""

    law: Law
    curve: Array
    """a, L0, k, b of step 2."""
    intermediate: str
    """What stands between them: one of `INTERMEDIATES`."""

    def loss(self, target: Target | Run) -> float:
        """The intermediate loss that step 1 says."""
        return self.law.at(target.parameters, target.tokens, target.flops)

    def accuracy(self, target: Target | Run) -> float:
        """0..1, both steps chained."""
        return float(np.clip(sigmoid(np.asarray(self.loss(target)), *self.curve), 0.0, 1.0))


class Fitter:
    """Fits protocols to one set of runs; steps that protocols share are fitted once."""

    def __init__(self, runs: Sequence[Run], chance: dict[str, float]) -> None:
        self.runs = list(runs)
        self.chance = chance
        self._laws: dict[tuple[object, ...], Law | None] = {}
        self._curves: dict[tuple[object, ...], Array | None] = {}

    def fit(self, protocol: Protocol, task: str) -> Fitted | None:
        """Both steps; None where the runs are too few for the protocol or lack its intermediate."""
        p = protocol
        kind = (p.shortest, p.intermediate)
        # The validation loss is the same for every task.
        law_key = (*kind, p.step1, p.weighted, "" if p.intermediate == VALIDATION else task)
        curve_key = (*kind, p.points, p.ideal_point, task)
        chosen = p.chosen(self.runs)
        if len(chosen) < FEWEST[p.step1] or any(p.intermediate not in run.intermediates for run in chosen):
            return None
        if law_key not in self._laws:
            self._laws[law_key] = fit_law(chosen, p, task)
        if curve_key not in self._curves:
            self._curves[curve_key] = fit_curve(chosen, p, task, self.chance[task])
        law, curve = self._laws[law_key], self._curves[curve_key]
        if law is None or curve is None:
            return None
        return Fitted(law=law, curve=curve, intermediate=p.intermediate)


def final_loss(run: Run, protocol: Protocol, task: str) -> float:
    """A run's point in step 1: the mean of its last five checkpoints."""
    return float(run.intermediates[protocol.intermediate][task][-LAST:].mean())


def fit_law(runs: Sequence[Run], protocol: Protocol, task: str) -> Law:
    """Step 1."""
    n, d, c = (np.array([getattr(run, name) for run in runs]) for name in ("parameters", "tokens", "flops"))
    loss = np.array([final_loss(run, protocol, task) for run in runs])
    weights = np.sqrt([run.multiple for run in runs]) if protocol.weighted else np.ones(len(runs))
    if protocol.step1 == "huber":
        return power_law(fit_five_parameters(n, d, loss))
    if protocol.step1 == "flops":
        exponent, scale, floor = _profiled_power(c / c[0], loss, weights)
        return Law(terms=_terms(("flops", c[0], scale, exponent)), floor=floor)
    (alpha, beta), (size, data, floor) = _profiled([n, d], loss, weights)
    return Law(terms=_terms(("parameters", n[0], size, alpha), ("tokens", d[0], data, beta)), floor=float(floor))


def power_law(parameters: Array) -> Law:
    """Step 1 of a, b, alpha, beta and E: e^a / N^alpha + e^b / D^beta + E."""
    a, b, alpha, beta, floor = (float(value) for value in parameters)
    size = Term(of="parameters", log_scale=a, exponent=alpha)
    return Law(terms=(size, Term(of="tokens", log_scale=b, exponent=beta)), floor=floor)


def _terms(*parts: tuple[Literal["parameters", "tokens", "flops"], float, float, float]) -> tuple[Term, ...]:
    """Terms of (x, its unit, scale at one unit, exponent); a term without scale is left out."""
    return tuple(
        Term(of=of, log_scale=float(np.log(scale) + exponent * np.log(unit)), exponent=float(exponent))
        for of, unit, scale, exponent in parts
        if scale > 0
    )


def _profiled(variables: list[Array], loss: Array, weights: Array) -> tuple[Array, Array]:
    """Exponents and non-negative scales of sum_i s_i (x_i / x_i[0])^-e_i + floor, least squares of relative errors."""

    def solved(exponents: Array) -> tuple[Array, Array]:
        terms = [(x / x[0]) ** -e for x, e in zip(variables, exponents, strict=True)]
        design = np.column_stack([*terms, np.ones_like(loss)]) / loss[:, None] * weights[:, None]
        scale, _ = nnls(design, weights)
        return scale, design @ scale - weights

    start = np.full(len(variables), START_EXPONENT)
    found = least_squares(lambda e: solved(e)[1], start, bounds=EXPONENT_BOUNDS, x_scale=0.1, max_nfev=100)
    return found.x, solved(found.x)[0]


def _profiled_power(x: Array, loss: Array, weights: Array) -> tuple[float, float, float]:
    """Exponent, scale and floor of s x^-e + floor, neither negative, at the least squares of relative errors."""
    exponents = np.geomspace(*EXPONENT_BOUNDS, 60)
    best = (START_EXPONENT, 0.0, 0.0)
    for _ in range(POWER_ZOOMS):
        term = x ** -exponents[:, None]
        u = weights / loss
        tt, t1, oo = (term**2) @ u**2, term @ u**2, float(u @ u)
        ty, oy = term @ (u * weights), float(u @ weights)
        determinant = np.maximum(tt * oo - t1**2, 1e-18)
        floor = (tt * oy - t1 * ty) / determinant
        floor = np.maximum(floor, 0.0)
        scale = np.maximum((ty - floor * t1) / tt, 0.0)
        error = np.sum(((scale[:, None] * term + floor[:, None]) * u - weights) ** 2, axis=1)
        least = int(np.argmin(error))
        best = (float(exponents[least]), float(scale[least]), float(floor[least]))
        ratio = exponents[1] / exponents[0]
        exponents = np.geomspace(exponents[least] / ratio, exponents[least] * ratio, 21)
    return best


def curve_points(runs: Sequence[Run], protocol: Protocol, task: str) -> tuple[Array, Array]:
    """Losses and accuracies that step 2 is fitted to."""
    losses, accuracies = [], []
    for run in runs:
        loss, accuracy = run.intermediates[protocol.intermediate][task], run.accuracy[task]
        if protocol.points == "finals":
            x, y = loss[-LAST:].mean(keepdims=True), accuracy[-LAST:].mean(keepdims=True)
        elif protocol.points == "smoothed":
            x, y = _trailing_means(loss), _trailing_means(accuracy)
        else:
            x, y = _blocks(loss, accuracy, 0.5 if protocol.points == "late-blocks" else 0.1)
        losses.append(x)
        accuracies.append(y)
    return np.concatenate(losses), np.concatenate(accuracies)


def _trailing_means(values: Array) -> Array:
    """Mean of each checkpoint after the first tenth and up to four before it, as the published code smooths."""
    left = values[int(np.ceil(0.1 * len(values))) :]
    return np.array([left[max(0, end - LAST) : end].mean() for end in range(1, len(left) + 1)])


def _blocks(loss: Array, accuracy: Array, drop: float) -> tuple[Array, Array]:
    """Means of five checkpoints, counted from the end of the run."""
    left = len(loss) - int(np.ceil(drop * len(loss)))
    whole = left // LAST
    if whole == 0:
        return loss[-left:].mean(keepdims=True), accuracy[-left:].mean(keepdims=True)
    x, y = (values[-whole * LAST :].reshape(whole, LAST).mean(axis=1) for values in (loss, accuracy))
    return x, y


def fit_curve(runs: Sequence[Run], protocol: Protocol, task: str, chance: float) -> Array | None:
    """Step 2's a, L0, k, b; None where it does not converge."""
    loss, accuracy = curve_points(runs, protocol, task)
    if len(loss) < 4:
        return None
    if protocol.points == "smoothed":
        try:
            return fit_sigmoid(loss, accuracy, chance, protocol.ideal_point, True)
        except TrainerError:
            return None
    x, y = (np.append(loss, 0.0), np.append(accuracy, 1.0)) if protocol.ideal_point else (loss, accuracy)
    return _profiled_sigmoid(x, y)


def fit_curve_over(x: Array, y: Array) -> Array:
    """a, L0, k and b of step 2's form over any variable that falls as the model gets better."""
    return _profiled_sigmoid(x, y)


def _profiled_sigmoid(x: Array, y: Array) -> Array:
    """a, L0, k, b at the least squares: a grid over L0 and k that narrows, a and b solved exactly at each.

    Same bounds as the published fit. As good as a descent, and a tenth of its time where a and b are ill determined.
    """
    spread = float(np.ptp(x)) or 1.0
    middles = np.linspace(max(0.0, x.min() - 0.5 * spread), x.max() + 0.5 * spread, 20)
    steeps = np.geomspace(0.5, 100.0, 20) / spread
    best = np.zeros(4)
    for _ in range(SIGMOID_ZOOMS):
        at, k = (grid.ravel() for grid in np.meshgrid(middles, steeps))
        share = 1.0 / (1.0 + np.exp(np.clip(k[:, None] * (x - at[:, None]), -500.0, 500.0)))
        a, b = _line(share, y)
        error = np.sum((a[:, None] * share + b[:, None] - y) ** 2, axis=1)
        least = int(np.argmin(error))
        # The share above falls with the loss, the law's rises: acc = b + a s = (a + b) - a (1 - s).
        best = np.array([-a[least], at[least], k[least], a[least] + b[least]])
        gap, ratio = middles[1] - middles[0], steeps[1] / steeps[0]
        middles = np.linspace(max(0.0, at[least] - gap), at[least] + gap, 9)
        steeps = np.geomspace(k[least] / ratio, k[least] * ratio, 9)
    return best


def _line(share: Array, y: Array) -> tuple[Array, Array]:
    """Height and floor of y = a share + b for every row of `share`, 0 <= a <= 1, b >= 0, a + b <= 1."""
    mean = share.mean(axis=1)
    centred = share - mean[:, None]
    variance = np.maximum(np.sum(centred**2, axis=1), 1e-12)
    a = np.clip(centred @ (y - y.mean()) / variance, 0.0, 1.0)
    b = np.maximum(y.mean() - a * mean, 0.0)
    above = a + b > 1.0
    # Tied to a top of 1: y - 1 = -a (1 - share).
    tied = np.clip((1.0 - share) @ (1.0 - y) / np.maximum(np.sum((1.0 - share) ** 2, axis=1), 1e-12), 0.0, 1.0)
    return np.where(above, tied, a), np.where(above, 1.0 - tied, b)
