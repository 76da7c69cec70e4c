"""One picture of a ladder: step 1, step 2, and the forecast beside the measurement."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter, PercentFormatter

from trainers.scaling import Chained, LadderPoint, Step1, Step2

FORECAST, MEASURED = "#c0392b", "#1b1b1b"
GREY = "#7f8c8d"
MAX_POINTS_STEP2 = 400
"""Checkpoints drawn behind the sigmoid; of more, every so many."""


def plot_ladder(  # noqa: PLR0917 - in the order of the ladder's own steps
    points: Sequence[LadderPoint],
    step1: Step1,
    step2: Step2,
    prediction: Chained,
    measured: LadderPoint | None,
    path: Path,
) -> Path:
    """Draw the ladder and its forecast as one PNG of three panels; returns `path`.

    Left: task loss against training compute, one line a size, and the target's forecast with its band.
    Middle: accuracy against task loss with the fitted sigmoid. Right: what the chain of both steps says of
    every run against what was measured, the target with its band.

    Args:
        points: the ladder's runs.
        step1: fitted to the runs' losses.
        step2: fitted to accuracies at losses.
        prediction: of the target.
        measured: the target once it is trained; None draws the forecast alone.
        path: where the PNG goes; written beside it first, then renamed.
    """
    with mpl.rc_context({"font.size": 9, "axes.spines.top": False, "axes.spines.right": False}):
        figure = Figure(figsize=(13.2, 4.3), dpi=130, layout="constrained")
        left, middle, right = figure.subplots(1, 3)
        scene = _Scene(points, step1, step2, prediction, measured, _colours(points))
        _draw_step1(left, scene)
        _draw_step2(middle, scene)
        _draw_chain(right, scene)
        figure.legend(*left.get_legend_handles_labels(), loc="outside lower center", ncols=8, frameon=False)
        part = path.with_name(f"{path.name}.part")
        # No date and no version in the file: the same ladder gives the same bytes.
        figure.savefig(part, format="png", metadata={"Software": None})
    part.replace(path)
    return path


@dataclass(frozen=True)
class _Scene:
    points: Sequence[LadderPoint]
    step1: Step1
    step2: Step2
    prediction: Chained
    measured: LadderPoint | None
    colours: dict[str, tuple[float, ...]]
    """By size, small sizes dark."""


def _colours(points: Sequence[LadderPoint]) -> dict[str, tuple[float, ...]]:
    sizes = sorted({(point.n, point.size) for point in points})
    shades = mpl.colormaps["viridis"](np.linspace(0.1, 0.8, len(sizes)))
    return {size: tuple(shade) for (_, size), shade in zip(sizes, shades, strict=True)}


def _draw_step1(axes: Axes, scene: _Scene) -> None:
    prediction, measured = scene.prediction, scene.measured
    for size, colour in scene.colours.items():
        runs = sorted((point for point in scene.points if point.size == size), key=lambda point: point.d)
        axes.plot([run.compute for run in runs], [run.loss for run in runs], "o", color=colour, label=size, ms=5)
        tokens = np.geomspace(runs[0].d / 1.3, runs[-1].d * 1.3, 60)
        axes.plot(6 * runs[0].n * tokens, scene.step1.at(runs[0].n, tokens), "-", color=colour, lw=1.2)
    compute = 6 * prediction.n * prediction.d
    tokens = np.geomspace(prediction.d / 8, prediction.d, 30)
    axes.plot(6 * prediction.n * tokens, scene.step1.at(prediction.n, tokens), ":", color=FORECAST, lw=1.2)
    axes.errorbar(
        [compute],
        [prediction.loss],
        yerr=[[prediction.loss - prediction.loss_low], [prediction.loss_high - prediction.loss]],
        fmt="D",
        color=FORECAST,
        capsize=4,
        ms=5,
        label=f"forecast, {prediction.level:.0%} band",
    )
    if measured is not None:
        axes.plot([measured.compute], [measured.loss], "*", color=MEASURED, ms=11, label="measured", zorder=5)
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(LogLocator(numticks=6))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.margins(x=0.1)
    axes.set(xlabel="training compute, 6 N D (FLOPs)", ylabel="task loss (bits per byte)")
    axes.set_title(f"Step 1: loss ({scene.step1.protocol})", fontsize=10)


def _draw_step2(axes: Axes, scene: _Scene) -> None:
    prediction, measured = scene.prediction, scene.measured
    every = max(1, len(scene.step2.loss) // MAX_POINTS_STEP2)
    if len(scene.step2.loss) > len(scene.points):
        axes.plot(scene.step2.loss[::every], scene.step2.accuracy[::every], ".", color=GREY, ms=2, alpha=0.4, zorder=1)
    for point in scene.points:
        axes.plot([point.loss], [point.accuracy], "o", color=scene.colours[point.size], ms=5)
    shown = [*(point.loss for point in scene.points), prediction.loss_low, prediction.loss_high]
    shown += [measured.loss] if measured is not None else []
    reach = 0.08 * (max(shown) - min(shown))
    losses = np.linspace(min(shown) - reach, max(shown) + reach, 200)
    axes.plot(losses, scene.step2.at(losses), "-", color=GREY, lw=1.2)
    axes.set_xlim(losses[-1], losses[0])
    axes.axhline(scene.step2.chance, color=GREY, lw=0.8, ls=":")
    axes.annotate(
        "chance", (0.01, scene.step2.chance), xycoords=("axes fraction", "data"), va="bottom", color=GREY, fontsize=8
    )
    axes.errorbar(
        [prediction.loss],
        [prediction.accuracy],
        xerr=[[prediction.loss - prediction.loss_low], [prediction.loss_high - prediction.loss]],
        yerr=[[prediction.accuracy - prediction.accuracy_low], [prediction.accuracy_high - prediction.accuracy]],
        fmt="D",
        color=FORECAST,
        capsize=4,
        ms=5,
    )
    if measured is not None:
        axes.plot([measured.loss], [measured.accuracy], "*", color=MEASURED, ms=11, zorder=5)
    axes.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    axes.set(xlabel="task loss (bits per byte), falling to the right", ylabel="accuracy")
    axes.set_title(f"Step 2: accuracy ({scene.step2.protocol})", fontsize=10)


def _draw_chain(axes: Axes, scene: _Scene) -> None:
    prediction, measured = scene.prediction, scene.measured
    chained = [float(scene.step2.at(scene.step1.at(point.n, point.d))) for point in scene.points]
    for point, accuracy in zip(scene.points, chained, strict=True):
        axes.plot([point.accuracy], [accuracy], "o", color=scene.colours[point.size], ms=5)
    seen = [*(point.accuracy for point in scene.points), *chained, prediction.accuracy_low, prediction.accuracy_high]
    if measured is not None:
        seen.append(measured.accuracy)
        axes.errorbar(
            [measured.accuracy],
            [prediction.accuracy],
            yerr=[[prediction.accuracy - prediction.accuracy_low], [prediction.accuracy_high - prediction.accuracy]],
            fmt="D",
            color=FORECAST,
            capsize=4,
            ms=5,
        )
        error = 100 * (prediction.accuracy - measured.accuracy)
        verdict = f"forecast {prediction.accuracy:.1%}, measured {measured.accuracy:.1%} ({error:+.1f} points)"
    else:
        axes.axhspan(prediction.accuracy_low, prediction.accuracy_high, color=FORECAST, alpha=0.12, lw=0)
        axes.axhline(prediction.accuracy, color=FORECAST, lw=1.2)
        verdict = f"forecast {prediction.accuracy:.1%}, not measured yet"
    reach = 0.06 * (max(seen) - min(seen)) or 0.01
    low, high = max(0.0, min(seen) - reach), min(1.0, max(seen) + reach)
    axes.plot([low, high], [low, high], "--", color=GREY, lw=0.9, zorder=0)
    axes.set(xlim=(low, high), ylim=(low, high), xlabel="measured accuracy", ylabel="accuracy by steps 1 and 2")
    percent = FuncFormatter(lambda value, _: f"{value:.0%}" if high - low > 0.06 else f"{value:.1%}")
    axes.xaxis.set_major_formatter(percent)
    axes.yaxis.set_major_formatter(percent)
    axes.set_title(verdict, fontsize=10)
