"""What Dagster's page of `dialogues.statistics` shows: the table of the paper beside ours, and dialogues to read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import dagster as dg

from catalog.printable import one_line
from dagster_project.engine.page import markdown
from spark_jobs.dialogues.statistics import in_words
from spark_jobs.dialogues.worth_reading import revised, worth_reading

SHOWN = 3
"""Dialogues on the page."""
LONGEST = 500
"""Most characters of a text on the page."""

Rows = Sequence[Mapping[str, Any]]


def statistics_page(rows: Rows, stages: Mapping[str, Rows]) -> dict[str, dg.MarkdownMetadataValue]:
    """Return the metadata of a model's statistics: its measures beside those of the paper, and dialogues to read."""
    dialogues = worth_reading(revised(stages), SHOWN)
    read = "\n\n---\n\n".join(map(dialogue_markdown, dialogues)) or "No dialogue has been revised."
    return {
        "beside the paper": dg.MetadataValue.md(statistics_markdown(rows)),
        "dialogues before and after": dg.MetadataValue.md(read),
    }


def statistics_markdown(rows: Rows) -> str:
    """Return rows of dialogues.statistics as a Markdown table."""
    lines = ["| measure | here | DBRX | Llama 2 70B | Mistral Large |", "|---|--:|--:|--:|--:|"]
    for row in rows:
        values = [in_words(row["measure"], row[name]) for name in ("value", "dbrx", "llama", "mistral")]
        lines.append(f"| {markdown(row['measure'])} | {' | '.join(map(markdown, values))} |")
    return "\n".join(lines)


def dialogue_markdown(row: Mapping[str, Any]) -> str:
    """Return a revised dialogue as Markdown: its turns, and the last one of the agent before and after."""
    last = max(place for place, each in enumerate(row["messages"]) if each["role"] == "assistant")
    turns = [(each["role"], each["content"]) for each in row["messages"][:last]]
    named = f" ({', '.join(row['violations'])})" if row["violations"] else ""
    turns += [("before", row["original"]), (f"critique{named}", row["critique"]), ("after", row["revision"])]
    head = f"**{_short(row['subtopic'])}** ({_short(row['domain'])}): {_short(row['goal'])}"
    return "\n\n".join([head, *(f"**{markdown(who)}:** {_short(text)}" for who, text in turns)])


def _short(text: str) -> str:
    return markdown(one_line(text, LONGEST).replace("⏎", " "))
