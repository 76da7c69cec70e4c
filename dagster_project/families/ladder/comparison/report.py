"""The report of a comparison: a JSON file, a picture beside it, and both in Dagster."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from catalog.lake import Lake
from dagster_project.families.ladder.comparison.decide import (
    DECIDES,
    MEAN,
    Comparison,
    Decided,
    better,
    decided_right,
    decision,
    standard_error,
)
from trainers.ladder.decide import MEASURES, predict_difference

if TYPE_CHECKING:
    import dagster as dg
    from matplotlib.axes import Axes

    from trainers.ladder.decide import Share

COLOUR, GREY, MEASURED = "#2471a3", "#7f8c8d", "#c0392b"
AXES = {"bits_per_byte": ("bits per byte", 1.0), "accuracy": ("accuracy, points", 100.0)}


def as_dict(comparison: Comparison, past: Share) -> dict[str, Any]:
    """Return the JSON object of the report. Differences are positive if the first mixture is better."""
    plan = comparison.plan
    mean = comparison.of(MEAN)
    tasks: dict[str, dict[str, Any]] = {}
    for each in comparison.decided:
        tasks.setdefault(each.task, {})[each.measure] = _decided(comparison, each)
    return {
        "comparison": comparison.id,
        "first": plan.first.name,
        "second": plan.second.name,
        "questions": plan.asked,
        "target": plan.target,
        "target_flops": comparison.target_flops,
        "seeds": plan.seeds,
        "runs": dict(zip(plan.runs, mean.flops, strict=True)),
        "mixtures": {
            dataset.mixture.name: dataset.as_dict() | {"epochs_at_target": comparison.target_tokens / dataset.tokens}
            for dataset in comparison.datasets
        },
        "decision": {
            "answer": mean.prediction.answer,
            "better": chosen.name if (chosen := better(plan, mean)) else None,
            "smallest_visible_difference": mean.prediction.visible,
            "probability": max(mean.prediction.probability, 1 - mean.prediction.probability),
            "by": DECIDES,
            "checked": decided_right(mean),
        },
        "tasks": tasks,
        "past_decisions": asdict(past),
    }


def _decided(comparison: Comparison, each: Decided) -> dict[str, Any]:
    decided = {
        "differences": dict(zip(comparison.plan.runs, each.differences_RS.tolist(), strict=True)),
        **asdict(each.prediction),
        "answer": each.prediction.answer,
        "better": chosen.name if (chosen := better(comparison.plan, each)) else None,
    }
    if each.measured_S is None:
        return decided
    mean = float(each.measured_S.mean())
    return decided | {
        "measured": {
            "differences": each.measured_S.tolist(),
            "difference": mean,
            "standard_error": standard_error(each.measured_S),
            "in_band": each.prediction.measured_low <= mean <= each.prediction.measured_high,
            "decided_right": decided_right(each),
        }
    }


def write(comparison: Comparison, past: Share, out: Path) -> list[Path]:
    """Write the JSON file `out` and a picture of the same name beside it, and return both paths."""
    out.parent.mkdir(parents=True, exist_ok=True)
    part = out.with_name(f"{out.name}.part")
    part.write_text(json.dumps(as_dict(comparison, past), indent=1) + "\n", encoding="utf-8")
    part.replace(out)
    return [out, draw(comparison, out.with_suffix(".png"))]


def draw(comparison: Comparison, path: Path) -> Path:
    """Draw the mean differences over compute, one panel per measure, with the band up to the target; return `path`."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    plan = comparison.plan
    with mpl.rc_context({"font.size": 9, "axes.spines.top": False, "axes.spines.right": False}):
        figure = Figure(figsize=(9.5, 3.8), dpi=130, layout="constrained")
        for axes, measure in zip(figure.subplots(1, len(AXES)), AXES, strict=True):
            _panel(axes, comparison, comparison.of(MEAN, measure))
        handles, labels = figure.axes[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=4, frameon=False)
        figure.suptitle(f"{plan.first.name} against {plan.second.name}; above zero {plan.first.name} is better")
        part = path.with_name(f"{path.name}.part")
        # The file has no date and no version, so that the same runs give the same bytes.
        figure.savefig(part, format="png", metadata={"Software": None})
        part.replace(path)
    return path


def _panel(axes: Axes, comparison: Comparison, each: Decided) -> None:
    import numpy as np

    words, unit = AXES[each.measure]
    measure = next(one for one in MEASURES if one.name == each.measure)
    seeds, target = comparison.plan.seeds, comparison.target_flops
    grid = np.geomspace(each.flops[0], target * 1.05, 40)
    band = [
        predict_difference(each.flops, each.differences_RS, at, measure, scale=each.scale, seeds=seeds) for at in grid
    ]
    low, middle, high = (
        unit * np.array([getattr(one, name) for one in band]) for name in ("low", "difference", "high")
    )
    axes.axhline(0, color=GREY, lw=0.8)
    axes.fill_between(grid, low, high, color=COLOUR, alpha=0.15, lw=0, label="90% band")
    axes.plot(grid, middle, color=COLOUR, lw=1.1, label="prediction")
    places = np.repeat(each.flops, seeds)
    axes.plot(places, unit * each.differences_RS.ravel(), "o", color=COLOUR, ms=4, label="small runs, by seed")
    if each.measured_S is not None:
        axes.plot(np.full(seeds, target), unit * each.measured_S, "D", color=MEASURED, ms=4, label="target, by seed")
    axes.axvline(target, color=GREY, lw=0.8, ls=":")
    axes.set_xscale("log")
    axes.set_xticks([*each.flops, target], [*comparison.plan.runs, comparison.plan.target], fontsize=8, rotation=15)
    axes.set_xticks([], minor=True)
    axes.set(xlabel="run, by training FLOPs", ylabel=f"difference in {words}", title=f"mean of tasks, {words}")


def report_to_dagster(instance: dg.DagsterInstance, lake: Lake, comparison: Comparison, picture: Path) -> None:
    """Report a materialisation of both tables to Dagster, with the decision and its picture."""
    import dagster as dg

    from catalog.tables.ladder import COMPARISON_RUNS, COMPARISONS
    from dagster_project.engine.pictures import markdown_file

    plan, mean = comparison.plan, comparison.of(MEAN)
    shown = {
        "comparison": comparison.id,
        "pair": f"{plan.first.name} against {plan.second.name}",
        "target": plan.target,
        "decision": decision(plan, mean),
        "probability that the first is better": mean.prediction.probability,
        "differences": markdown_file(picture, "differences over compute"),
    }
    for contract in (COMPARISON_RUNS, COMPARISONS):
        metadata = {**shown, "lake version": lake.version(contract.name)}
        instance.report_runless_asset_event(dg.AssetMaterialization(contract.name.split("."), metadata=metadata))
