"""What Dagster's pages of the family show: the table of alignment, metrics by grade, plots and the coherence map."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import dagster as dg

from dagster_project.engine.page import markdown
from dagster_project.engine.pictures import markdown_figure

if TYPE_CHECKING:
    from spark_jobs.mathfish.curriculum import Curriculum

VERDICTS = {"full": "full", "partial": "partial", "none": "none", "not_math": "no problem"}
MEASURES = (
    "acc",
    "balanced_acc",
    "weak_acc",
    "option_acc",
    "precision_none",
    "recall_none",
    "in_gold_group",
    "in_gold_grade",
)
MEASURES += ("min_distance", "agreement", "cohen_kappa", "ok_format", "malformed")
"""The measures that a page shows."""

Rows = Sequence[Mapping[str, Any]]


def alignment_page(rows: Rows) -> dict[str, dg.MarkdownMetadataValue]:
    """Return the metadata of mathfish.alignment: how many problems of each model are aligned."""
    if not rows:
        return {}
    counts = Counter((row["model"] or "(not found)", row["verdict"]) for row in rows)
    lines = [f"| model | {' | '.join(VERDICTS.values())} |", f"|---|{'--:|' * len(VERDICTS)}"]
    models = sorted({model for model, _ in counts}, key=lambda model: -counts[model, "full"])
    for model in models:
        lines.append(f"| {markdown(model)} | {' | '.join(str(counts[model, verdict]) for verdict in VERDICTS)} |")
    sums = Counter(row["verdict"] for row in rows)
    lines.append(f"| all | {' | '.join(str(sums[verdict]) for verdict in VERDICTS)} |")
    return {"alignment by model": dg.MetadataValue.md("\n".join(lines))}


def wordings_page(rows: Rows) -> dict[str, dg.MarkdownMetadataValue]:
    """Return the metadata of mathfish.wordings: the score of each wording, best first; nothing if none was compared."""
    compared = [row for row in rows if row["prompts"]]
    if not compared:
        return {}
    lines = ["| kind | wording | measure | score | chance | well formed | of |", "|---|---|---|--:|--:|--:|--:|"]
    for row in compared:
        name = f"**{row['wording']}**" if row["chosen"] else row["wording"]
        values = " | ".join(number(row[each]) for each in ("score", "chance", "ok_format"))
        lines.append(f"| {row['kind']} | {name} | {row['measure']} | {values} | {row['prompts']:,} |")
    return {"wordings": dg.MetadataValue.md("\n".join(lines))}


def results_page(
    tree: Curriculum, rows: Rows, tasks: Mapping[str, Mapping[str, Any]], answers: Rows
) -> dict[str, dg.MarkdownMetadataValue]:
    """Return the metadata of a model's results: metrics, accuracy by grade, plots, and the map of its errors."""
    from spark_jobs.mathfish.pictures import bars_figure, errors_of, map_figure, result_parts

    found = {"metrics": dg.MetadataValue.md(metrics_markdown(rows))}
    if parts := result_parts(rows):
        found["accuracy by grade"] = dg.MetadataValue.md(grades_markdown(rows))
        found["accuracy by grade and strategy"] = markdown_figure(bars_figure(parts), "accuracy by grade and strategy")
    if errors := errors_of(tasks, answers):
        figure = map_figure(tree, errors, "Wrong verifications on the coherence map")
        found["coherence map"] = markdown_figure(figure, "wrong verifications on the coherence map")
    return found


def metrics_markdown(rows: Rows) -> str:
    """Return the metrics over all rows of each task as a Markdown table."""
    lines = ["| task | measure | value | chance | of |", "|---|---|--:|--:|--:|"]
    for row in rows:
        if row["by"] == "all" and row["measure"] in MEASURES:
            value, chance = number(row["value"]), number(row["chance"])
            lines.append(f"| {row['task']} | {row['measure']} | {value} | {chance} | {row['rows']:,} |")
    return "\n".join(lines)


def grades_markdown(rows: Rows) -> str:
    """Return the accuracy by grade of each task, with that of chance in brackets, as a Markdown table."""
    tasks = ("verification", "tagging", "traversal")
    lines = ["| grade | verification | tagging, right branch | tagging, self-guided |", "|---|--:|--:|--:|"]
    by_grade = [row for row in rows if row["by"] == "grade" and row["measure"] == "acc"]
    for grade in dict.fromkeys(row["group"] for row in by_grade):
        cells = []
        for task in tasks:
            own = [row for row in by_grade if (row["task"], row["group"]) == (task, grade)]
            cells.append(f"{number(own[0]['value'])} ({number(own[0]['chance'])})" if own else "")
        lines.append(f"| {grade} | {' | '.join(cells)} |")
    return "\n".join(lines)


def number(value: float | None) -> str:
    """Return a value with at most three decimals; a dash for none."""
    return "–" if value is None else f"{value:.3f}".rstrip("0").rstrip(".")
