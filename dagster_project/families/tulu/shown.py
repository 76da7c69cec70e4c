"""What Dagster's page of a post-training run shows: its curves, and replies before and after it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import dagster as dg

from catalog.printable import one_line
from dagster_project.engine.page import markdown
from dagster_project.engine.small_plots import line_plot

PLOTTED = {
    "loss": "",
    "verified": "of replies in training",
    "reward": "a reply",
    "margin": "",
    "heldout_verified": "of held-out replies",
}
"""Metrics that are plotted if a run has them, and their units."""
SHOWN = 6
"""Problems whose replies are shown."""
LONGEST = 160
"""Most characters of a text on the page."""

Rows = Sequence[Mapping[str, Any]]


def run_page(curves: Rows, heldout: Rows, before: str, replies_before: Rows) -> dict[str, Any]:
    """The metadata of a run.

    Args:
        curves: its rows of tulu.curves.
        heldout: its rows of tulu.heldout.
        before: the run that it began from; empty for none.
        replies_before: the rows of tulu.heldout of that run.
    """
    page: dict[str, Any] = {}
    for metric, unit in PLOTTED.items():
        points = sorted((row["step"], row["value"]) for row in curves if row["metric"] == metric)
        if len(points) > 1:
            page[f"{metric} over steps"] = line_plot(
                metric.replace("_", " "), [step for step, _ in points], [value for _, value in points], unit
            )
    last = last_replies(heldout)
    if last:
        page["verified held-out replies"] = round(sum(row["score"] for row in last) / len(last), 4)
        page["sample replies"] = dg.MetadataValue.md(replies_markdown(last, before, last_replies(replies_before)))
    return page


def last_replies(heldout: Rows) -> list[Mapping[str, Any]]:
    """The first replies to each problem by the policy of the most steps."""
    last = max((row["step"] for row in heldout), default=0)
    return [row for row in heldout if row["step"] == last and row["sample"] == 0]


def replies_markdown(after: Rows, before: str, replies_before: Rows) -> str:
    """Replies to some problems of each source as a Markdown table, with those of the run before beside them."""
    by_problem = {row["problem"]: row for row in replies_before}
    by_source: dict[str, list[Mapping[str, Any]]] = {}
    for row in after:
        by_source.setdefault(row["source"], []).append(row)
    chosen = [rows[place] for place in range(SHOWN) for rows in by_source.values() if place < len(rows)][:SHOWN]
    named = [before] if before and by_problem else []
    lines = ["| " + " | ".join(["problem", *map(markdown, named), "reply"]) + " |", "|---" * (len(named) + 2) + "|"]
    for row in chosen:
        shown = [by_problem.get(row["problem"])] if named else []
        cells = [_short(row["prompt"]), *("" if each is None else _marked(each) for each in shown), _marked(row)]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _marked(row: Mapping[str, Any]) -> str:
    return f"{'✓' if row['score'] >= 1 else '✗'} {_short(row['reply'])}"


def _short(text: str) -> str:
    return markdown(one_line(text, LONGEST).replace("⏎", " ")).replace("|", "\\|")
