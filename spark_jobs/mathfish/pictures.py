"""Plots: accuracy by grade and by strategy beside chance, and the coherence map with a model's errors drawn on it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from catalog.tables.mathfish.curriculum import GRADES
from spark_jobs.mathfish.curriculum import Curriculum

BLUE, GREY, LIGHT = "#2277aa", "#888888", "#dddddd"
SPACING = 0.86
"""Share of a cell of the map that standards fill."""


def bars(axes: Any, title: str, rows: Sequence[Mapping[str, Any]]) -> None:
    """Draw a bar for each row of mathfish.results, with its group, value, number of rows and chance."""
    shown = [row for row in rows if row["value"] is not None]
    places = list(range(len(shown)))
    axes.bar(places, [row["value"] for row in shown], color=BLUE, width=0.7)
    for place, row in zip(places, shown, strict=True):
        if row["chance"] is not None:
            axes.hlines(row["chance"], place - 0.45, place + 0.45, color="black", linestyle=":")
    labels = [f"{row['group'] or 'all'}\n({row['rows']})" for row in shown]
    long = any(len(row["group"]) > 8 for row in shown)
    axes.set_xticks(places, labels, rotation=20 if long else 0, ha="right" if long else "center", fontsize=8)
    axes.set_ylim(0, 1)
    axes.set_title(f"{title}; dotted: chance", fontsize=10, loc="left")


def map_places(tree: Curriculum) -> dict[str, tuple[float, float]]:
    """Where each standard stands in the map: a column for each grade, a row for each domain group, a grid within."""
    groups = [group.name for group in tree.groups if group.domains]
    cells: dict[tuple[int, int], list[str]] = defaultdict(list)
    for standard in tree.standards:
        group = tree.group(standard)
        row = groups.index(group) if group in groups else len(groups)
        cells[GRADES.index(tree.grade(standard)), row].append(standard)
    found = {}
    for (column, row), members in cells.items():
        wide = max(1, round(len(members) ** 0.5 * 1.2))
        high = -(-len(members) // wide)
        for place, standard in enumerate(members):
            x = (place % wide + 0.5) / wide - 0.5
            y = (place // wide + 0.5) / high - 0.5
            found[standard] = (column + SPACING * x, -(row + SPACING * y))
    return found


def errors_of(
    tasks: Mapping[str, Mapping[str, Any]], answers: Sequence[Mapping[str, Any]]
) -> dict[str, tuple[int, int]]:
    """Wrong and all verifications of a model, by the standard that was asked about."""
    found: dict[str, list[int]] = defaultdict(lambda: [0, 0])
    for answer in answers:
        task = tasks[answer["task"]]
        if task["kind"] == "verification":
            found[task["standard"]][0] += answer["score"] < 1
            found[task["standard"]][1] += 1
    return {standard: (wrong, count) for standard, (wrong, count) in found.items()}


def draw_map(axes: Any, tree: Curriculum, errors: Mapping[str, tuple[int, int]], title: str) -> Any:
    """Draw the coherence map: standards by grade and domain group, edges between them, and errors as colours.

    Args:
        axes: of Matplotlib.
        tree: the curriculum.
        errors: wrong and all answers by standard; standards without any are hollow.
        title: of the picture.

    Returns:
        The coloured points, for a colour bar; None if there are no errors to show.
    """
    from matplotlib.collections import LineCollection

    places = map_places(tree)
    for relation, style in (("progress", "-"), ("related", ":")):
        lines = [[places[one], places[other]] for one, other, kind in tree.edges if kind == relation]
        axes.add_collection(LineCollection(lines, colors=LIGHT, linewidths=0.6, linestyles=style, zorder=1))
    quiet = [places[standard] for standard in tree.standards if standard not in errors]
    if quiet:
        xs, ys = zip(*quiet, strict=True)
        axes.scatter(xs, ys, s=9, facecolors="white", edgecolors=GREY, linewidths=0.5, zorder=2)
    points = None
    if asked := [standard for standard in tree.standards if standard in errors]:
        xs, ys = zip(*(places[standard] for standard in asked), strict=True)
        shares = [errors[standard][0] / errors[standard][1] for standard in asked]
        sizes = [14 + 8 * errors[standard][1] ** 0.5 for standard in asked]
        points = axes.scatter(xs, ys, s=sizes, c=shares, cmap="RdYlGn_r", vmin=0, vmax=1, zorder=3)
    groups = [group.name for group in tree.groups if group.domains]
    axes.set_xticks(range(len(GRADES)), GRADES, fontsize=8)
    axes.set_yticks([-row for row in range(len(groups))], groups, fontsize=7)
    axes.set_xlim(-0.6, len(GRADES) - 0.4)
    axes.set_ylim(-len(groups) + 0.4, 0.6)
    axes.set_title(title, fontsize=10, loc="left")
    return points


def map_figure(tree: Curriculum, errors: Mapping[str, tuple[int, int]], title: str) -> Any:
    """The coherence map as a figure of Matplotlib, with a bar of colours."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 6), layout="constrained")
    axes = figure.add_subplot()
    points = draw_map(axes, tree, errors, title)
    if points is not None:
        figure.colorbar(points, ax=axes, label="share of wrong verifications", shrink=0.6)
    return figure


def bars_figure(parts: Sequence[tuple[str, Sequence[Mapping[str, Any]]]]) -> Any:
    """Bars of several titles below one another, as a figure of Matplotlib."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 2.8 * max(len(parts), 1)), layout="constrained")
    for place, (title, rows) in enumerate(parts, start=1):
        axes = figure.add_subplot(max(len(parts), 1), 1, place)
        axes.spines[["top", "right"]].set_visible(False)
        bars(axes, title, rows)
    return figure


def result_parts(rows: Sequence[Mapping[str, Any]]) -> list[tuple[str, list[Mapping[str, Any]]]]:
    """The accuracies that the plots show, of rows of mathfish.results: by grade and by strategy."""
    wanted = (
        ("verification: accuracy by grade", "verification", "grade"),
        ("verification: accuracy by strategy", "verification", "strategy"),
        ("tagging, the right branch given: exact accuracy by grade", "tagging", "grade"),
        ("tagging, self-guided: exact accuracy by grade", "traversal", "grade"),
    )
    found = []
    for title, task, by in wanted:
        own = [row for row in rows if (row["task"], row["by"], row["measure"]) == (task, by, "acc")]
        if own:
            found.append((title, own))
    return found
