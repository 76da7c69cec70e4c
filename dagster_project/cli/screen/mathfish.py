"""The results of MathFish on the terminal, and its plots as files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console

    from catalog.lake import Lake
    from catalog.settings import Settings

TASKS = {"verification": "verify", "tagging": "tag, branch given", "traversal": "tag, self-guided"}
"""The tasks whose accuracy is shown by grade, and the heads of their columns."""
MEASURES = (
    ("verification", "balanced_acc"),
    *(("traversal", "weak_acc"), ("traversal", "in_gold_group"), ("traversal", "in_gold_grade")),
    *(("traversal", "min_distance"), ("tagging", "weak_acc"), ("tagging", "option_acc")),
    *(("judging", "agreement"), ("judging", "cohen_kappa"), ("solving", "acc")),
    *(("verification", "ok_format"), ("tagging", "ok_format")),
)
"""The other measures that are shown."""


def print_results(console: Console, settings: Settings) -> None:
    """Print accuracy by grade and by strategy of every model beside that of random answers, and other measures."""
    from rich.table import Table

    from catalog.lake import Lake

    lake = Lake.of(settings)
    rows = lake.read("mathfish.results").to_pylist()
    rows = [row for row in rows if row["model"] in settings.mathfish.models]
    models = [name for name in settings.mathfish.models if any(row["model"] == name for row in rows)]
    table = Table(title="Accuracy by grade (of how many prompts or problems)", title_justify="left")
    table.add_column("grade")
    for head in TASKS.values():
        for name in (*models, "random"):
            table.add_column(f"{head}\n{name}", justify="right")
    for grade in ("all", *_groups(rows, "grade")):
        by, group = ("all", "") if grade == "all" else ("grade", grade)
        cells = [cell for task in TASKS for cell in _cells(rows, models, (task, by, group, "acc"), counts=True)]
        table.add_row(grade, *cells)
    console.print(table)
    table = Table(title="Verification: accuracy by strategy of the negatives", title_justify="left")
    table.add_column("the standard is")
    for name in (*models, "random"):
        table.add_column(name, justify="right")
    for strategy in _groups(rows, "strategy"):
        cells = _cells(rows, models, ("verification", "strategy", strategy, "acc"), counts=True)
        table.add_row(strategy, *cells)
    console.print(table)
    table = Table(title="Other measures", title_justify="left")
    table.add_column("measure")
    for name in (*models, "random"):
        table.add_column(name, justify="right")
    for task, measure in MEASURES:
        cells = _cells(rows, models, (task, "all", "", measure), counts=False)
        if any(cell != "–" for cell in cells):
            table.add_row(f"{task}: {measure}", *cells)
    console.print(table)
    _print_wordings(console, lake, models)
    _print_query(console, settings, "malformed", "Replies that state no answer")
    if lake.read("mathfish.alignment", ["row"]).num_rows:
        _print_query(console, settings, "alignment_by_model", "Problems that models wrote, by teachers' verdicts")
    _print_query(console, settings, "difficulty", "Word problems by the standard that a model gave them")


def _print_wordings(console: Console, lake: Lake, models: Sequence[str]) -> None:
    """Print the scores of the wordings that were compared, if any were."""
    from rich.table import Table

    rows = lake.read("mathfish.wordings").to_pylist() if lake.exists("mathfish.wordings") else []
    rows = [row for row in rows if row["prompts"] and row["model"] in models]
    table = Table(title="Wordings on the development split (* is chosen)", title_justify="left")
    for head in ("model", "kind", "wording", "measure"):
        table.add_column(head)
    for head in ("score", "random", "well formed", "prompts"):
        table.add_column(head, justify="right")
    for row in sorted(rows, key=lambda row: (models.index(row["model"]), row["kind"], row["rank"])):
        values = (_number(row[name]) for name in ("score", "chance", "ok_format"))
        wording = f"{row['wording']} *" if row["chosen"] else row["wording"]
        table.add_row(row["model"], row["kind"], wording, row["measure"], *values, f"{row['prompts']:,}")
    if rows:
        console.print(table)


def _groups(rows: Sequence[Mapping[str, Any]], by: str) -> list[str]:
    from spark_jobs.mathfish.results import ORDER

    return sorted({row["group"] for row in rows if row["by"] == by}, key=lambda group: ORDER.get(group, -1))


def _cells(
    rows: Sequence[Mapping[str, Any]], models: Sequence[str], place: tuple[str, str, str, str], *, counts: bool
) -> list[str]:
    """The cells of a measure: a value for each model, and that of random answers."""
    found = {row["model"]: row for row in rows if (row["task"], row["by"], row["group"], row["measure"]) == place}
    cells = []
    for name in models:
        value = _number(found[name]["value"]) if name in found else "–"
        cells.append(f"{value} ({found[name]['rows']:,})" if counts and name in found else value)
    return [*cells, _number(next(iter(found.values()))["chance"]) if found else "–"]


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"


MOST_ROWS = 16
"""Rows of a view that are printed."""


def _print_query(console: Console, settings: Settings, view: str, title: str) -> None:
    from rich.table import Table

    from catalog.printable import one_line
    from catalog.sql.query import connect

    found = connect(settings).execute(f"SELECT * FROM mathfish.{view}").to_arrow_table().to_pylist()
    if not found:
        return
    table = Table(title=f"{title}: mathfish.{view}", title_justify="left")
    for name in found[0]:
        table.add_column(name, justify="right" if isinstance(found[0][name], int | float) else "left")
    for row in found[:MOST_ROWS]:
        table.add_row(*(one_line("–" if value is None else str(value), 60) for value in row.values()))
    console.print(table)
    if len(found) > MOST_ROWS:
        console.print(f"[dim]{len(found) - MOST_ROWS:,} more rows[/]")


def write_plots(settings: Settings, folder: Path) -> list[Path]:
    """Write the plots of every model as PNG files: accuracy by grade and strategy, and the map of its errors."""
    from catalog.files import write_whole
    from catalog.lake import Lake
    from dagster_project.engine.pictures import png_of
    from dagster_project.families.mathfish.recipes import curriculum_in
    from spark_jobs.mathfish.pictures import bars_figure, errors_of, map_figure, result_parts

    lake = Lake.of(settings)
    tree = curriculum_in(lake, settings)
    tasks = {row["task"]: row for row in lake.read("mathfish.tasks").to_pylist()}
    results, answers = (lake.read(f"mathfish.{name}").to_pylist() for name in ("results", "answers"))
    written = []
    for model in settings.mathfish.models:
        own = [row for row in answers if row["model"] == model]
        title = f"Wrong verifications of {model} on the coherence map"
        parts = result_parts([row for row in results if row["model"] == model])
        figures = {"accuracy": bars_figure(parts), "map": map_figure(tree, errors_of(tasks, own), title)}
        for name, figure in figures.items():
            path = folder / f"{name}-{model}.png"
            write_whole(path, png_of(figure))
            written.append(path)
    return written
