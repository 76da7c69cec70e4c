"""Pictures of a mixture's routing: one PNG an analysis."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from trainers.process.files import whole_file
from trainers.routing.counts import VARIANTS, Floats, RoutingCounts

COLOURS = "YlGnBu"
LAYERS_SHOWN = 3
"""Of a deep model: the first, the middle and the last."""
EXPERTS_SHOWN = 32
"""Of a wide layer: those of its strongest pairs, so that a cell can be seen."""


def plot_all(counts: RoutingCounts, saturations: Sequence[dict[str, Any]], out: Path) -> list[Path]:
    """Write coactivation.png and vocabulary.png, domains.png where domains are known, saturation.png where earlier
    checkpoints were compared; returns their paths."""
    with mpl.rc_context({"font.size": 9, "axes.spines.top": False, "axes.spines.right": False}):
        made = [_coactivation(counts, out), _vocabulary(counts, out)]
        if counts.domains:
            made.append(_domains(counts, out))
        if saturations:
            made.append(_saturation(saturations, out))
    return made


def shown_layers(layers: int) -> list[int]:
    """First, middle and last."""
    return sorted({0, layers // 2, layers - 1}) if layers > LAYERS_SHOWN else list(range(layers))


def strongest(share_EE: Floats) -> list[int]:
    """The experts of the strongest pairs, strongest first, at most EXPERTS_SHOWN."""
    pairs = np.column_stack(np.unravel_index(np.argsort(-share_EE, axis=None, kind="stable"), share_EE.shape))
    return list(dict.fromkeys(int(expert) for expert in pairs.ravel()))[:EXPERTS_SHOWN]


def _coactivation(counts: RoutingCounts, out: Path) -> Path:
    layers = shown_layers(counts.layers)
    orders = [strongest(share_EE) for share_EE in counts.coactivation()[layers]]
    figure = Figure(figsize=(4.2 * len(layers), 7.6), dpi=130, layout="constrained")
    grid = figure.subplots(2, len(layers), squeeze=False)
    for row, (adjacent, title) in enumerate(((False, "all pairs"), (True, "neighbours in rank"))):
        shares = counts.coactivation(adjacent=adjacent)[layers]
        for axes, layer, order, share_EE in zip(grid[row], layers, orders, shares, strict=True):
            _heat(axes, share_EE[np.ix_(order, order)], float(shares.max()))
            axes.set_title(f"layer {layer}, {title}")
            axes.set_xlabel("also chosen")
            axes.set_ylabel("chosen expert")
            for ticks, labels in ((axes.set_xticks, axes.set_xticklabels), (axes.set_yticks, axes.set_yticklabels)):
                ticks(range(len(order)))
                labels(order, fontsize=5)
            axes.tick_params(axis="x", rotation=90)
        figure.colorbar(grid[row][-1].images[0], ax=list(grid[row]), label="share of the expert's tokens")
    return _save(figure, out / "coactivation.png")


def _domains(counts: RoutingCounts, out: Path) -> Path:
    layers, even = shown_layers(counts.layers), counts.k / counts.experts
    share_DLE = counts.domain_specialisation()
    height = 1.0 + (0.9 + 0.25 * len(counts.domains)) * len(layers)
    figure = Figure(figsize=(9, height), dpi=130, layout="constrained")
    grid = figure.subplots(len(layers), 1, squeeze=False)[:, 0]
    for axes, layer in zip(grid, layers, strict=True):
        _heat(axes, share_DLE[:, layer], float(share_DLE.max()))
        axes.set_yticks(range(len(counts.domains)))
        axes.set_yticklabels(counts.domains)
        axes.set_ylabel(f"layer {layer}")
    grid[-1].set_xlabel("expert")
    figure.colorbar(
        grid[-1].images[0], ax=list(grid), label=f"share of the domain's tokens ({even:.1%} if spread evenly)"
    )
    return _save(figure, out / "domains.png")


def _vocabulary(counts: RoutingCounts, out: Path) -> Path:
    figure = Figure(figsize=(6, 3.6), dpi=130, layout="constrained")
    axes = figure.add_subplot()
    for variant in VARIANTS:
        shares = counts.vocabulary_specialisation(variant)
        axes.plot(range(counts.layers), shares, marker="o", label=f"{variant} token")
    axes.axhline(1 / counts.experts, color="0.7", linestyle=":", label="chance")
    axes.set_xlabel("layer")
    axes.set_ylabel("mean share of the commonest first expert")
    axes.set_xticks(range(counts.layers))
    axes.set_ylim(0, 1)
    axes.legend(frameon=False)
    return _save(figure, out / "vocabulary.png")


def _saturation(rows: Sequence[dict[str, Any]], out: Path) -> Path:
    """Lines a layer over the checkpoints, all k experts beside the first alone."""
    checkpoints = list(dict.fromkeys(row["checkpoint"] for row in rows))
    tops = sorted({row["top_k"] for row in rows}, reverse=True)
    layers = sorted({row["layer"] for row in rows})
    figure = Figure(figsize=(5 * len(tops), 3.8), dpi=130, layout="constrained")
    grid = figure.subplots(1, len(tops), sharey=True, squeeze=False)[0]
    colours = mpl.colormaps["viridis"](np.linspace(0, 0.9, len(layers)))
    for axes, top in zip(grid, tops, strict=True):
        for layer, colour in zip(layers, colours, strict=True):
            here = {r["checkpoint"]: r["saturation"] for r in rows if (r["top_k"], r["layer"]) == (top, layer)}
            axes.plot(
                checkpoints, [here[name] for name in checkpoints], marker="o", color=colour, label=f"layer {layer}"
            )
        axes.set_title("the first expert" if top == 1 else f"all {top} experts")
        axes.set_xticks(range(len(checkpoints)))
        axes.set_xticklabels([name.removeprefix("step_").lstrip("0") or name for name in checkpoints], rotation=45)
        axes.set_xlabel("checkpoint")
    grid[0].set_ylabel("share as at the end")
    grid[0].set_ylim(0, 1)
    grid[0].legend(frameon=False, fontsize=7, ncols=2)
    return _save(figure, out / "saturation.png")


def _heat(axes: Axes, values: Floats, largest: float) -> None:
    axes.imshow(values, cmap=COLOURS, vmin=0, vmax=largest or 1.0, aspect="auto", interpolation="nearest")


def _save(figure: Figure, path: Path) -> Path:
    """Whole or not at all; no date and no version in the file, so that the same counts give the same bytes."""
    with whole_file(path) as file:
        figure.savefig(file, format="png", metadata={"Software": None})
    return path
