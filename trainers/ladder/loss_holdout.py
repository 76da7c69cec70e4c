"""Which forms of the loss law a set of runs is forecast by, and how wide the bands are: from hold-outs inside the runs.

Each form is weighed by its evidence: the product of the probabilities that it gives every run from the runs before it.
With `FEWEST_TO_HOLD_OUT` runs or more, forms are also held out in the order of compute: each is fitted to every prefix
of at least three runs and forecasts all runs behind it. An error counts by how near its reach, the log of compute
ahead, is to the target's. A form is dropped when its error is more than `TOLERANCE` times the best form's and the
difference is beyond two standard errors. Fewer hold-outs choose at random, which costs more than it gains: on made
ladders of five runs, the mean error of the forecast rises by a third.

The band of a posterior is `WIDTH` times the posterior's own 90% interval, at which it holds 90% of the forecasts of
made ladders of the five published laws (`python -m benchmarks.loss_bands`). Where the runs give at least
`CALIBRATING` held-out forecasts of every form, these calibrate it: the factor is the quantile of their errors in units
of their own intervals, counted by nearness of reach.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from trainers.ladder.laws import Array
from trainers.ladder.loss_law import FEWEST, LEVEL, PRIORS, LossForecast, Posterior, fit_form, forecast_loss

TOLERANCE = 1.2
WIDTH = 0.75
CALIBRATING = 20
FEWEST_TO_HOLD_OUT = 8
MOST_PREFIXES = 8
HELD_OUT_DRAWS = 400
NEAREST = float(np.log(2.0))


@dataclass(frozen=True, kw_only=True)
class HeldOut:
    """A form's forecast of a run from the runs below it."""

    form: str
    error: float
    """Of log loss: forecast less measured."""
    half: float
    """Half of the posterior's 90% interval of log loss."""
    reach: float
    """Log of the run's compute over that of the largest fitted run, at least log 2."""


@dataclass(frozen=True)
class LossFit:
    """All of the fits to one column of losses."""

    posteriors: dict[str, Posterior]
    held_out: tuple[HeldOut, ...]
    largest: float
    """N D of the largest run."""

    def weights(self, n: float, d: float) -> dict[str, float]:
        """The weight of every kept form for a target."""
        kept = self.kept(n, d)
        logs = np.array([self.posteriors[form].evidence + np.log(PRIORS[form].weight) for form in kept])
        shares = np.exp(logs - logs.max())
        return dict(zip(kept, (shares / shares.sum()).tolist(), strict=True))

    def kept(self, n: float, d: float) -> list[str]:
        """The forms that hold-outs do not speak against."""
        errors = self.errors(n, d)
        if not errors:
            return list(self.posteriors)
        best = min(errors, key=lambda form: errors[form])
        absolute = {form: np.array([abs(e.error) for e in self.held_out if e.form == form]) for form in errors}
        worse = {}
        for form in errors:
            gap = absolute[form] - absolute[best]
            beyond = gap.mean() > 2 * gap.std() / np.sqrt(len(gap))
            worse[form] = beyond and errors[form] > TOLERANCE * errors[best]
        return [form for form in errors if not worse[form]]

    def errors(self, n: float, d: float) -> dict[str, float]:
        """The mean held-out error of log loss of every form, weighted by nearness of reach to the target's."""
        found = {}
        for form in self.posteriors:
            mine = [each for each in self.held_out if each.form == form]
            if mine:
                found[form] = float(np.average([abs(e.error) for e in mine], weights=self._near(mine, n, d)))
        return found

    def calibration(self, n: float, d: float) -> tuple[float, float | None]:
        """The factor of the band, and the share of held-out forecasts of like reach that bands of it hold."""
        kept = self.weights(n, d)
        mine = [each for each in self.held_out if each.form in kept]
        if len(mine) < CALIBRATING * len(kept):
            return WIDTH, None
        ratios, near = np.array([abs(e.error) / e.half for e in mine]), self._near(mine, n, d)
        order = np.argsort(ratios)
        reached = np.cumsum(near[order]) / near.sum()
        factor = float(ratios[order][min(np.searchsorted(reached, LEVEL), len(ratios) - 1)])
        # Runs near each other tell little of a far target: a factor below a half is not believed.
        factor = max(factor, WIDTH / 2)
        return factor, float(near[ratios <= factor].sum() / near.sum())

    def forecast(self, n: float, d: float) -> LossForecast:
        """The loss of a model of N parameters and D tokens."""
        forms = [(self.posteriors[form], weight) for form, weight in self.weights(n, d).items()]
        return forecast_loss(forms, n, d, self.calibration(n, d)[0])

    def mean_law(self) -> Array:
        """(5,): a, b, alpha, beta, E of the law whose exponents, level and terms are the posterior's mean.

        The terms are averaged at the largest run, as shares of the loss. `loss_at` in trainers/ladder/laws.py takes
        the parameters.
        """
        parts, (n0, d0) = np.zeros(6), next(iter(self.posteriors.values())).reference
        for form, weight in self.weights(n0, d0).items():
            each = self.posteriors[form]
            columns = (each.alpha_K, each.beta_K, each.floor_K, each.size_K, each.data_K, each.level_K)
            parts += weight * np.array([each.weight_K @ column_K for column_K in columns])
        alpha, beta, floor, size, data, level = parts
        scales = (np.log(size) + level + alpha * np.log(n0), np.log(data) + level + beta * np.log(d0))
        return np.array([*scales, alpha, beta, floor * np.exp(level)])

    def draw(self, n: float, d: float, count: int, random: np.random.Generator) -> Array:
        """Draw `count` losses of a model of N parameters and D tokens from the posterior; returns their logs."""
        weights = self.weights(n, d)
        logs = np.concatenate([self.posteriors[form].log_loss(n, d) for form in weights])
        spreads = np.concatenate([self.posteriors[form].spread_K for form in weights])
        shares = np.concatenate([weight * self.posteriors[form].weight_K for form, weight in weights.items()])
        chosen = random.choice(len(logs), count, p=shares / shares.sum())
        return logs[chosen] + spreads[chosen] * random.standard_normal(count)

    def _near(self, held: Sequence[HeldOut], n: float, d: float) -> Array:
        aim = max(float(np.log(n * d / self.largest)), NEAREST)
        return np.array([np.exp(-abs(np.log(aim / each.reach))) for each in held])


def fit_losses(n: Array, d: Array, loss: Array) -> LossFit:
    """Fit every form, and forecast runs from those below them.

    Args:
        n: parameters, an entry a run.
        d: training tokens.
        loss: positive.
    """
    order = np.argsort(n * d, kind="stable")
    n, d, loss = n[order], d[order], loss[order]
    prefixes = range(FEWEST, len(loss)) if len(loss) >= FEWEST_TO_HOLD_OUT else range(0)
    held = []
    for count in prefixes[-MOST_PREFIXES:]:
        # Prefixes of one size only, or of one token count, say nothing of the other term.
        if len(set(n[:count])) < 2 or len(set(d[:count])) < 2:
            continue
        for form in PRIORS:
            posterior = fit_form(n[:count], d[:count], loss[:count], form, draws=HELD_OUT_DRAWS)
            held += [
                _held_out(posterior, form, *run, (n * d)[:count].max())
                for run in zip(n[count:], d[count:], loss[count:], strict=True)
            ]
    return LossFit({form: fit_form(n, d, loss, form) for form in PRIORS}, tuple(held), float((n * d).max()))


def _held_out(posterior: Posterior, form: str, n: float, d: float, loss: float, largest: float) -> HeldOut:  # noqa: PLR0917 - a run
    found = forecast_loss([(posterior, 1.0)], n, d, 1.0)
    return HeldOut(
        form=form,
        error=float(np.log(found.loss / loss)),
        half=float(np.log(found.high / found.low)) / 2,
        reach=max(float(np.log(n * d / largest)), NEAREST),
    )
