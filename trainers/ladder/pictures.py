"""Three pictures of a fit: step 1 and step 2 of every task under one protocol, and the forecasts with bands."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from trainers.ladder.forecast import Forecast
from trainers.ladder.laws import sigmoid
from trainers.ladder.protocols import curve_points, final_loss
from trainers.ladder.runs import LadderRuns, Target
from trainers.process.files import whole_file

COLUMNS = 5
GREY = "#7f8c8d"
TARGET_COLOURS = ("#c0392b", "#2471a3", "#117a65", "#7d3c98")


def plot_forecast(ladder: LadderRuns, targets: Sequence[Target], forecast: Forecast, out: Path) -> list[Path]:
    """Write `OUT-step1.png`, `OUT-step2.png` and `OUT-forecast.png` beside `out`, OUT its name without ending.

    Args:
        ladder: the runs that were fitted.
        targets: as forecast.
        forecast: of that ladder.
        out: the JSON file.
    """
    paths = []
    with mpl.rc_context({"font.size": 9, "axes.spines.top": False, "axes.spines.right": False}):
        for name, draw in (("step1", _draw_step1), ("step2", _draw_step2)):
            figure, panels = _grid(tuple(forecast.fits))
            for task, axes in panels.items():
                draw(axes, ladder, targets, forecast, task)
            handles, labels = next(iter(panels.values())).get_legend_handles_labels()
            figure.legend(handles, labels, loc="outside lower center", ncols=8, frameon=False)
            paths.append(save(figure, out.with_name(f"{out.stem}-{name}.png")))
        figure = Figure(figsize=(9, 1.5 + 0.45 * len(forecast.fits)), dpi=130, layout="constrained")
        _draw_bands(figure.subplots(), ladder, targets, forecast)
        paths.append(save(figure, out.with_name(f"{out.stem}-forecast.png")))
    return paths


def _grid(tasks: Sequence[str]) -> tuple[Figure, dict[str, Axes]]:
    columns = min(COLUMNS, len(tasks))
    rows = -(-len(tasks) // columns)
    figure = Figure(figsize=(3.2 * columns, 2.9 * rows + 0.4), dpi=110, layout="constrained")
    panels = figure.subplots(rows, columns, squeeze=False).ravel()
    for empty in panels[len(tasks) :]:
        empty.set_axis_off()
    return figure, dict(zip(tasks, panels, strict=False))


def save(figure: Figure, path: Path) -> Path:
    """Write the figure as a PNG, whole; returns `path`."""
    with whole_file(path) as file:
        # No date and no version in the file: the same fit gives the same bytes.
        figure.savefig(file, format="png", metadata={"Software": None})
    return path


def size_colours(ladder: LadderRuns) -> dict[str, tuple[float, ...]]:
    """A colour a size, small ones dark."""
    sizes = list(dict.fromkeys(run.size for run in ladder.runs))
    shades = mpl.colormaps["viridis"](np.linspace(0.1, 0.8, len(sizes)))
    return {size: tuple(shade) for size, shade in zip(sizes, shades, strict=True)}


def _draw_step1(axes: Axes, ladder: LadderRuns, targets: Sequence[Target], forecast: Forecast, task: str) -> None:
    """Loss against tokens, a line a size: the law, and the runs that it was fitted to."""
    protocol, fitted = forecast.shown, forecast.fits[task]
    for size, colour in size_colours(ladder).items():
        runs = [run for run in protocol.chosen(ladder.runs) if run.size == size]
        if not runs:
            continue
        label = f"{size}, {runs[0].parameters:.3g} parameters"
        axes.plot([r.tokens for r in runs], [final_loss(r, protocol, task) for r in runs], "o", color=colour, ms=4)
        tokens = np.geomspace(runs[0].tokens / 1.3, runs[-1].tokens * 1.3, 40)
        law = [fitted.law.at(runs[0].parameters, d, d * runs[0].flops_per_token) for d in tokens]
        axes.plot(tokens, law, "-", color=colour, lw=1.1, label=label)
    for target, colour in zip(targets, TARGET_COLOURS * len(targets), strict=False):
        axes.plot([target.tokens], [fitted.loss(target)], "D", color=colour, ms=5, label=f"{target.name}, forecast")
    axes.set_xscale("log")
    axes.set(title=task, xlabel="tokens", ylabel=protocol.intermediate.replace("_", " "))


def _draw_step2(axes: Axes, ladder: LadderRuns, targets: Sequence[Target], forecast: Forecast, task: str) -> None:
    """Accuracy against loss, falling to the right."""
    protocol, fitted = forecast.shown, forecast.fits[task]
    everything: list[float] = []
    for size, colour in size_colours(ladder).items():
        runs = [run for run in protocol.chosen(ladder.runs) if run.size == size]
        if runs:
            loss, accuracy = curve_points(runs, protocol, task)
            axes.plot(loss, accuracy, ".", color=colour, ms=4, label=size)
            everything += loss.tolist()
    for target, colour in zip(targets, TARGET_COLOURS * len(targets), strict=False):
        predicted, loss = forecast.targets[target.name][task], fitted.loss(target)
        axes.errorbar(
            [loss],
            [predicted.accuracy],
            yerr=[[predicted.accuracy - predicted.low], [predicted.high - predicted.accuracy]],
            fmt="D",
            color=colour,
            capsize=3,
            ms=4,
            label=f"{target.name}, 90% band",
        )
        everything.append(loss)
    losses = np.linspace(min(everything), max(everything), 150)
    axes.plot(losses, sigmoid(losses, *fitted.curve), "-", color=GREY, lw=1.1)
    axes.axhline(ladder.chance[task], color=GREY, lw=0.8, ls=":")
    axes.invert_xaxis()
    axes.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    axes.set(title=task, xlabel=protocol.intermediate.replace("_", " "), ylabel="accuracy")


def _draw_bands(axes: Axes, ladder: LadderRuns, targets: Sequence[Target], forecast: Forecast) -> None:
    """Every task's forecasts with bands, beside the ladder's best run."""
    tasks = list(forecast.fits)
    for index, (target, colour) in enumerate(zip(targets, TARGET_COLOURS * len(targets), strict=False)):
        predicted = [forecast.targets[target.name][task] for task in tasks]
        axes.errorbar(
            [p.accuracy for p in predicted],
            np.arange(len(tasks)) + 0.22 * (index - (len(targets) - 1) / 2),
            xerr=[[p.accuracy - p.low for p in predicted], [p.high - p.accuracy for p in predicted]],
            fmt="D",
            color=colour,
            capsize=3,
            ms=5,
            label=f"{target.name}, 90% band",
        )
    best = max(ladder.runs, key=lambda run: run.flops)
    axes.plot([best.measured(t) for t in tasks], range(len(tasks)), "o", color=GREY, label=f"{best.name}, measured")
    chance = [ladder.chance[task] for task in tasks]
    axes.plot(chance, range(len(tasks)), "|", color=GREY, ms=12, label="chance")
    first = next(iter(forecast.targets.values()))
    axes.set_yticks(range(len(tasks)), [t if first[t].predictable else f"{t} (unpredictable)" for t in tasks])
    axes.invert_yaxis()
    axes.xaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    axes.set(xlabel="accuracy", title=f"Forecasts, mode {forecast.mode}")
    axes.legend(loc="best", frameon=False, fontsize=8)
