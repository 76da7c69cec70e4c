"""One task of a ladder in one picture: step 1, step 2, and the forecast beside the measurement."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter, PercentFormatter

from trainers.ladder.bands import LEVEL
from trainers.ladder.forecast import Forecast, Prediction
from trainers.ladder.laws import sigmoid
from trainers.ladder.pictures import GREY, TARGET_COLOURS, save, size_colours
from trainers.ladder.protocols import Fitted, final_loss
from trainers.ladder.runs import LadderRuns, Run, Target

FORECAST, MEASURED = TARGET_COLOURS[0], "#1b1b1b"


@dataclass(frozen=True, kw_only=True)
class Measured:
    """The target once it is trained."""

    loss: float
    """Bits per byte of the correct answer."""
    accuracy: float
    """0..1."""


@dataclass(frozen=True, kw_only=True)
class _Scene:
    runs: tuple[Run, ...]
    losses: tuple[float, ...]
    accuracies: tuple[float, ...]
    colours: dict[str, tuple[float, ...]]
    fitted: Fitted
    target: Target
    predicted: Prediction
    measured: Measured | None
    chance: float
    form: str

    @property
    def yerr(self) -> list[list[float]]:
        return [[self.predicted.accuracy - self.predicted.low], [self.predicted.high - self.predicted.accuracy]]


def plot_task(  # noqa: PLR0917 - in the order of a ladder's own steps
    ladder: LadderRuns, target: Target, forecast: Forecast, task: str, measured: Measured | None, path: Path
) -> Path:
    """Draw one task's ladder and forecast as a PNG of three panels; returns `path`.

    Left: loss against training compute, a line a size, and the target's forecast. Middle: accuracy against loss with
    the fitted sigmoid. Right: what the chain of both steps says of every run against what was measured, the target
    with its band.

    Args:
        ladder: the runs that were fitted.
        target: one of the forecast's.
        forecast: of that ladder.
        task: one of the ladder's.
        measured: None draws the forecast alone.
        path: where the PNG goes; written beside it first, then renamed.
    """
    runs = tuple(forecast.shown.chosen(ladder.runs))
    scene = _Scene(
        runs=runs,
        losses=tuple(final_loss(run, forecast.shown, task) for run in runs),
        accuracies=tuple(run.measured(task) for run in runs),
        colours=size_colours(ladder),
        fitted=forecast.fits[task],
        target=target,
        predicted=forecast.targets[target.name][task],
        measured=measured,
        chance=ladder.chance[task],
        form=forecast.forms[task],
    )
    with mpl.rc_context({"font.size": 9, "axes.spines.top": False, "axes.spines.right": False}):
        figure = Figure(figsize=(13.2, 4.3), dpi=95, layout="constrained")
        left, middle, right = figure.subplots(1, 3)
        _draw_step1(left, scene)
        _draw_step2(middle, scene)
        _draw_chain(right, scene)
        figure.legend(*left.get_legend_handles_labels(), loc="outside lower center", ncols=8, frameon=False)
        return save(figure, path)


def _draw_step1(axes: Axes, scene: _Scene) -> None:
    law, target = scene.fitted.law, scene.target
    for size, colour in scene.colours.items():
        mine = [(run, loss) for run, loss in zip(scene.runs, scene.losses, strict=True) if run.size == size]
        if not mine:
            continue
        first = mine[0][0]
        axes.plot([run.flops for run, _ in mine], [loss for _, loss in mine], "o", color=colour, label=size, ms=5)
        tokens = np.geomspace(first.tokens / 1.3, mine[-1][0].tokens * 1.3, 60)
        line = [law.at(first.parameters, d, d * first.flops_per_token) for d in tokens]
        axes.plot(first.flops_per_token * tokens, line, "-", color=colour, lw=1.2)
    axes.plot(
        [target.flops], [scene.fitted.loss(target)], "D", color=FORECAST, ms=5, label=f"forecast, {LEVEL:.0%} band"
    )
    if scene.measured is not None:
        axes.plot([target.flops], [scene.measured.loss], "*", color=MEASURED, ms=11, label="measured", zorder=5)
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(LogLocator(numticks=6))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.margins(x=0.1)
    axes.set(xlabel="training compute (FLOPs)", ylabel="task loss (bits per byte)")
    axes.set_title(f"Steps: {scene.form}", fontsize=10)


def _draw_step2(axes: Axes, scene: _Scene) -> None:
    loss = scene.fitted.loss(scene.target)
    for run, x, y in zip(scene.runs, scene.losses, scene.accuracies, strict=True):
        axes.plot([x], [y], "o", color=scene.colours[run.size], ms=5)
    shown = [*scene.losses, loss, *([scene.measured.loss] if scene.measured else [])]
    beyond = 0.08 * (max(shown) - min(shown))
    losses = np.linspace(min(shown) - beyond, max(shown) + beyond, 200)
    axes.plot(losses, sigmoid(losses, *scene.fitted.curve), "-", color=GREY, lw=1.2)
    axes.set_xlim(losses[-1], losses[0])
    axes.axhline(scene.chance, color=GREY, lw=0.8, ls=":")
    axes.annotate(
        "chance", (0.01, scene.chance), xycoords=("axes fraction", "data"), va="bottom", color=GREY, fontsize=8
    )
    axes.errorbar([loss], [scene.predicted.accuracy], yerr=scene.yerr, fmt="D", color=FORECAST, capsize=4, ms=5)
    if scene.measured is not None:
        axes.plot([scene.measured.loss], [scene.measured.accuracy], "*", color=MEASURED, ms=11, zorder=5)
    axes.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    axes.set(xlabel="task loss (bits per byte), falling to the right", ylabel="accuracy")
    axes.set_title("Step 2: loss to accuracy", fontsize=10)


def _draw_chain(axes: Axes, scene: _Scene) -> None:
    predicted, measured = scene.predicted, scene.measured
    chained = [scene.fitted.accuracy(run) for run in scene.runs]
    for run, x, y in zip(scene.runs, scene.accuracies, chained, strict=True):
        axes.plot([x], [y], "o", color=scene.colours[run.size], ms=5)
    seen = [*scene.accuracies, *chained, predicted.low, predicted.high, *([measured.accuracy] if measured else [])]
    if measured is not None:
        axes.errorbar(
            [measured.accuracy], [predicted.accuracy], yerr=scene.yerr, fmt="D", color=FORECAST, capsize=4, ms=5
        )
        error = 100 * (predicted.accuracy - measured.accuracy)
        verdict = f"forecast {predicted.accuracy:.1%}, measured {measured.accuracy:.1%}, {error:+.1f} points"
    else:
        axes.axhspan(predicted.low, predicted.high, color=FORECAST, alpha=0.12, lw=0)
        axes.axhline(predicted.accuracy, color=FORECAST, lw=1.2)
        verdict = f"forecast {predicted.accuracy:.1%}, not measured yet"
    beyond = 0.06 * (max(seen) - min(seen)) or 0.01
    low, high = max(0.0, min(seen) - beyond), min(1.0, max(seen) + beyond)
    axes.plot([low, high], [low, high], "--", color=GREY, lw=0.9, zorder=0)
    axes.set(xlim=(low, high), ylim=(low, high), xlabel="measured accuracy", ylabel="accuracy by steps 1 and 2")
    percent = FuncFormatter(lambda value, _: f"{value:.0%}" if high - low > 0.06 else f"{value:.1%}")
    axes.xaxis.set_major_formatter(percent)
    axes.yaxis.set_major_formatter(percent)
    axes.set_title(f"{scene.target.name}: {verdict}", fontsize=9)
