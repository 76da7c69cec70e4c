"""The end of `watershed demo posttrain`: verified replies by stage, curves, and replies before and after."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING

from rich.console import Console
from rich.markup import escape
from rich.table import Table

if TYPE_CHECKING:
    from dagster_project.families.demo.posttrain import Seed

BARS = "▁▂▃▄▅▆▇█"
POINTS = 60
SHOWN = 6
"""Problems whose replies are printed."""


def print_posttraining(console: Console, seeds: Sequence[Seed]) -> None:
    """Print what each stage verified on held-out problems, the curves of verified rewards, and some replies."""
    from dagster_project.families.demo.posttrain import CONTROL, difference

    console.rule("[bold]Held-out problems whose likeliest reply is verified")
    table = Table(box=None)
    for column in ("seed", "stage", "verified", "95% interval", "problems"):
        table.add_column(column, justify="left" if column == "stage" else "right")
    for seed in seeds:
        for stage in seed.stages.values():
            low, high = stage.interval
            count = str(len(stage.answers))
            table.add_row(str(seed.seed), stage.name, f"{stage.verified:.1%}", f"{low:.1%} to {high:.1%}", count)
    console.print(table)
    for name in ("dpo", "rlvr", CONTROL):
        if all(name in seed.stages for seed in seeds):
            before, after = ([s for seed in seeds for s in seed.scores(which)] for which in ("sft", name))
            mean, low, high = difference(before, after)
            console.print(
                f"{name} over sft, paired over {len(before)} problems: {mean:+.1%}, "
                f"95% interval {low:+.1%} to {high:+.1%}",
                soft_wrap=True,
            )
    console.rule("[bold]Verified replies in training")
    for seed in seeds:
        for stage in seed.stages.values():
            if stage.curve:
                values = [value for _, value in stage.curve]
                console.print(f"seed {seed.seed}, {stage.name}: {curve(values)} {values[0]:.2f} to {values[-1]:.2f}")
    console.rule("[bold]Replies before and after")
    _replies(console, seeds[0])


def curve(values: Sequence[float], points: int = POINTS) -> str:
    """Values from 0 to 1 as bars, the mean of each of `points` runs of them.

    Example:
        >>> curve([0.0, 0.5, 1.0])
        '▁▅█'
    """
    count = min(points, len(values))
    edges = [len(values) * i // count for i in range(count + 1)]
    means = [sum(values[a:b]) / (b - a) for a, b in pairwise(edges)]
    return "".join(BARS[min(len(BARS) - 1, int(max(0.0, mean) * len(BARS)))] for mean in means)


def _replies(console: Console, seed: Seed) -> None:
    table = Table(box=None)
    for column in ("problem", *seed.stages):
        table.add_column(column)
    stages = list(seed.stages.values())
    by_source: dict[str, list[int]] = {}
    for number, answer in enumerate(stages[0].answers):
        by_source.setdefault(answer["source"], []).append(number)
    chosen = [numbers[k] for k in range(SHOWN) for numbers in by_source.values() if k < len(numbers)][:SHOWN]
    for number in chosen:
        asked = stages[0].answers[number]["prompt"].replace("<|user|>", "").replace("<|assistant|>", "").strip()
        marks = ((stage.answers[number]["text"], stage.answers[number]["score"] >= 1) for stage in stages)
        table.add_row(
            escape(asked), *(f"{'[green]✓[/]' if right else '[red]✗[/]'} {escape(text)}" for text, right in marks)
        )
    console.print(table)
