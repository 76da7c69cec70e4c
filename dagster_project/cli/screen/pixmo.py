"""The end of `watershed demo pixmo`: the models, and their scores beside those of a baseline without pictures."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console

    from catalog.lake import Lake

SPLITS = {
    "heldout": "new scenes",
    "pairs": "a colour that the kind never had in training",
    "places": "a half where training never had the kind in this colour",
}
TASKS = {
    "pointing": "F1 of points",
    "counting": "right counts",
    "caption": "F1 of what captions name",
    "question": "right answers",
    "clock": "right times",
}


def print_pixmo(console: Console, lake: Lake) -> None:
    """Print the models that were trained, and the table of scores."""
    from rich.table import Table

    from catalog.tables.pixmo import CAPTIONERS, REPLIES, SCORES
    from dagster_project.families.pixmo.drawn import PAGE

    for row in lake.read(CAPTIONERS.name).to_pylist():
        console.print(
            f"{row['stage']}: {row['parameters']:,} parameters, {row['steps']:,} steps, {row['tokens']:,} tokens, "
            f"{row['seconds']:,.0f} s, loss {row['train_loss']:.3f}",
            soft_wrap=True,
            markup=False,
        )
    table = Table("scenes", "measure", "answers", "model", "95% interval", "without pictures", title="scores")
    for row in lake.read(SCORES.name).to_pylist():
        table.add_row(
            SPLITS[row["split"]],
            TASKS[row["task"]],
            f"{row['rows']:,}",
            f"{row['score']:.3f}",
            f"{row['low']:.3f} to {row['high']:.3f}",
            f"{row['baseline']:.3f}",
        )
    console.print(table)
    console.print(f"points on pictures: {lake.folder(REPLIES.name) / PAGE}", soft_wrap=True, markup=False)
