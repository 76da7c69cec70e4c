"""What a ladder's runs are worth: the error of its forecasts by the compute that was spent on them.

The runs of the largest size are held out. What is left is cut down twice: sizes are dropped from the largest on, and
then of each ladder its longest multiples. Every such part forecasts the held-out runs

    in two steps    N and D to bits per byte, bits per byte to accuracy (`trainers/ladder/few_runs.py`)
    in one step     accuracy = a / (1 + exp(-k (log C - c0))) + b, of training compute C alone

as the ablations of Bhagia et al. do (arXiv 2412.04403, section 5). Nothing of a target is used.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from trainers.ladder.few_runs import MIN_RUNS, fit_step1, fit_step2
from trainers.ladder.laws import one_thread, sigmoid
from trainers.ladder.protocols import fit_curve_over
from trainers.ladder.runs import LAST, LadderRuns, Run
from trainers.ladder.tasks import BITS_PER_BYTE
from trainers.process.errors import TrainerError


@dataclass(frozen=True, kw_only=True)
class Ablation:
    """One part of the ladder."""

    sizes: int
    """Kept, from the smallest on."""
    multiples: int
    """Kept of each size, from the shortest on."""
    runs: int
    flops: float
    """Of these runs together."""
    share: float
    """Of the whole ladder's FLOPs, the held-out runs left out."""
    two_steps: float
    """Mean absolute error in accuracy over the held-out runs and all tasks, 0..1."""
    one_step: float
    by_task: Mapping[str, tuple[float, float]]
    """By task: the errors of two steps and of one."""


def ablate(ladder: LadderRuns) -> list[Ablation]:
    """The errors of every part that two steps can be fitted to, the least compute first.

    Raises:
        TrainerError: there are fewer than three sizes, so that no two are left to drop one of.
    """
    sizes = sorted({run.parameters for run in ladder.runs})
    if len(sizes) < 3:
        raise TrainerError(f"the ladder has {len(sizes)} sizes", "an ablation holds one out and needs two more")
    held = [run for run in ladder.runs if run.parameters == sizes[-1]]
    below = [run for run in ladder.runs if run.parameters < sizes[-1]]
    whole = sum(run.flops for run in below)
    found: dict[tuple[str, ...], Ablation] = {}
    with one_thread():
        for kept in range(2, len(sizes)):
            part = [run for run in below if run.parameters <= sizes[kept - 1]]
            for multiples in range(1, max(_ranks(part).values()) + 2):
                runs = [run for run in part if _ranks(part)[run.name] < multiples]
                names = tuple(run.name for run in runs)
                levels = (len({run.parameters for run in runs}), len({run.tokens for run in runs}))
                if names in found or len(runs) < MIN_RUNS or min(levels) < 2:
                    continue
                errors = {task: _errors(ladder, runs, held, task) for task in ladder.chance}
                found[names] = Ablation(
                    sizes=kept,
                    multiples=multiples,
                    runs=len(runs),
                    flops=sum(run.flops for run in runs),
                    share=sum(run.flops for run in runs) / whole,
                    two_steps=float(np.mean([two for two, _ in errors.values()])),
                    one_step=float(np.mean([one for _, one in errors.values()])),
                    by_task=errors,
                )
    return sorted(found.values(), key=lambda each: each.flops)


def as_dict(found: Sequence[Ablation]) -> list[dict[str, Any]]:
    """For JSON."""
    return [
        asdict(each)
        | {"by_task": {task: {"two_steps": two, "one_step": one} for task, (two, one) in each.by_task.items()}}
        for each in found
    ]


def _ranks(runs: Sequence[Run]) -> dict[str, int]:
    """By run: how many of its size are shorter."""
    return {run.name: sum(o.size == run.size and o.tokens < run.tokens for o in runs) for run in runs}


def _errors(ladder: LadderRuns, runs: Sequence[Run], held: Sequence[Run], task: str) -> tuple[float, float]:
    accuracy = np.array([run.measured(task) for run in runs])
    measured = np.array([run.measured(task) for run in held])
    n, d, c = (np.array([getattr(run, name) for run in runs]) for name in ("parameters", "tokens", "flops"))
    loss = np.array([run.intermediates[BITS_PER_BYTE][task][-LAST:].mean() for run in runs])
    step1 = fit_step1(n, d, loss)
    step2 = fit_step2(loss, accuracy, ladder.chance[task], questions=ladder.questions.get(task))
    far = [np.array([getattr(run, name) for run in held]) for name in ("parameters", "tokens", "flops")]
    two = np.clip(step2.at(step1.at(far[0], far[1])), 0, 1)
    # A loss that falls as compute grows, so that step 2's form serves.
    top = float(np.log(c.max()))
    one = np.clip(sigmoid(top - np.log(far[2]) + 1.0, *fit_curve_over(top - np.log(c) + 1.0, accuracy)), 0, 1)
    return float(np.abs(two - measured).mean()), float(np.abs(one - measured).mean())


def draw(found: Sequence[Ablation], path: Path) -> Path:
    """Draw errors over compute as a PNG, a line for one step and one for two; returns `path`."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    from trainers.ladder.pictures import GREY, TARGET_COLOURS, save

    with mpl.rc_context({"font.size": 9, "axes.spines.top": False, "axes.spines.right": False}):
        figure = Figure(figsize=(6.6, 4), dpi=130, layout="constrained")
        axes = figure.subplots()
        flops = [each.flops for each in found]
        for name, colour, label in (
            ("two_steps", TARGET_COLOURS[1], "two steps: N and D to loss, loss to accuracy"),
            ("one_step", GREY, "one step: compute to accuracy"),
        ):
            axes.plot(flops, [100 * getattr(each, name) for each in found], "o", color=colour, label=label)
        for each in found:
            axes.annotate(
                f"{each.sizes} x {each.multiples}",
                (each.flops, 100 * each.two_steps),
                fontsize=7,
                xytext=(3, 3),
                textcoords="offset points",
            )
        axes.set_xscale("log")
        axes.set_ylim(bottom=0)
        axes.set(xlabel="FLOPs of the small runs (sizes x multiples)", ylabel="mean error, points")
        axes.legend(frameon=False)
        return save(figure, path)
