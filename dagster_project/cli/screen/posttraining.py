"""The end of `watershed demo posttrain`: verified replies by stage, curves, and replies before and after."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING

from rich.console import Console
from rich.markup import escape
from rich.table import Table

if TYPE_CHECKING:
    from catalog.settings import Settings
    from dagster_project.families.demo.posttrain import Seed

BARS = "▁▂▃▄▅▆▇█"
POINTS = 60
SHOWN = 6
"""Problems whose replies are printed."""


def print_posttraining(console: Console, seeds: Sequence[Seed]) -> None:
    """Print what each stage verified on held-out problems, the curves of verified rewards, and some replies."""
    from dagster_project.families.demo.posttrain import CONTROL

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
            console.print(compared(seeds, name, "sft"), soft_wrap=True)
    if all(CONTROL in seed.stages for seed in seeds):
        console.print(compared(seeds, "rlvr", CONTROL), soft_wrap=True)
    console.rule("[bold]Verified replies in training")
    for seed in seeds:
        for stage in seed.stages.values():
            if stage.curve:
                values = [value for _, value in stage.curve]
                console.print(f"seed {seed.seed}, {stage.name}: {curve(values)} {values[0]:.2f} to {values[-1]:.2f}")
    console.rule("[bold]Replies before and after")
    _replies(console, seeds[0])


def compared(seeds: Sequence[Seed], stage: str, before: str) -> str:
    """A sentence on the paired difference of two stages over the held-out problems of all seeds."""
    from spark_jobs.tulu.comparing import compare

    scores, baseline = ({k: v for seed in seeds for k, v in seed.scores(name).items()} for name in (stage, before))
    found = compare(scores, baseline)
    if found is None or found.low is None or found.high is None or found.seen is None:
        return f"{stage} over {before}: too few problems to compare"
    finding = "not distinguishable" if not found.clear else "better" if found.difference > 0 else "worse"
    return (
        f"{stage} over {before}, paired over {found.pairs} problems: {found.difference:+.1%}, 95% interval "
        f"{found.low:+.1%} to {found.high:+.1%}: {finding} ({found.seen:.1%} could have been seen)"
    )


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


QUERIES = {
    "Which source is hard, and where is the chosen reply preferred?": (
        "SELECT run, source, epoch, rows, round(loss, 3) AS loss, round(preferred, 3) AS preferred "
        "FROM tulu.losses_by_source WHERE run IN ('demo-sft-0', 'demo-dpo-0') ORDER BY run DESC, epoch, source"
    ),
    "Where do rewards rise?": (
        "SELECT source, phase, rollouts, round(verified, 3) AS verified, round(tokens, 1) AS tokens "
        "FROM tulu.rewards_by_source WHERE run = 'demo-rlvr-0' "
        "AND phase IN (0, (SELECT max(phase) FROM tulu.rollouts WHERE run = 'demo-rlvr-0')) ORDER BY source, phase"
    ),
    "Which held-out problems does each stage solve?": (
        "PIVOT (SELECT source, replace(run, 'demo-', '') AS run, verified FROM tulu.heldout_by_source "
        "WHERE run LIKE 'demo-%') ON run USING round(first(verified), 3) ORDER BY source"
    ),
}
"""What the tables of the runs answer, as SQL."""


def print_queries(console: Console, settings: Settings) -> None:
    """Print the queries with their rows, as `watershed sql` answers them."""
    from catalog.sql.query import connect

    with connect(settings) as database:
        for question, query in QUERIES.items():
            console.rule(f"[bold]{question}")
            console.print(f'watershed sql "{query}"', style="dim", soft_wrap=True, markup=False, highlight=False)
            found = database.sql(query)
            table = Table(box=None)
            for column in found.columns:
                table.add_column(column)
            for row in found.fetchall():
                table.add_row(*("" if value is None else escape(str(value)) for value in row))
            console.print(table)
