"""Dialogues on the screen: their statistics beside those of the paper, and some of them before and after revision."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console

    from catalog.settings import Settings

PAPER = ("dbrx", "llama", "mistral")

LONGEST = 700
"""Most characters of a message that are shown."""

READ_SQL = """
SELECT c.model, c.dialogue, g.domain, g.subtopic, g.goal, to_json(c.messages) AS messages, k.critique,
    to_json(k.violations) AS violations, r.original, r.revision, p.id IS NOT NULL AS paired
FROM dialogues.revisions r
JOIN dialogues.conversations c USING (dialogue)
JOIN dialogues.goals g USING (dialogue)
JOIN dialogues.critiques k USING (dialogue)
LEFT JOIN dialogues.preferences p ON p.id = r.dialogue
WHERE r.failure IS NULL AND ($model = '' OR c.model = $model)
ORDER BY paired DESC, c.ended = 'done' DESC, len(k.violations) DESC, c.turns DESC, c.dialogue
LIMIT $count
"""


def print_statistics(console: Console, settings: Settings) -> None:
    """Print dialogues.statistics: a row for each measure, a column for each model, and those of the paper."""
    from rich.table import Table

    from catalog.lake import Lake

    rows = Lake.of(settings).read("dialogues.statistics").to_pylist()
    models = sorted({row["model"] for row in rows})
    values = {(row["measure"], row["model"]): row["value"] for row in rows}
    paper = {row["measure"]: [row[name] for name in PAPER] for row in rows}
    names = (*models, *(f"paper: {name}" for name in PAPER))
    table = Table("measure", *names, title="dialogues.statistics", title_justify="left")
    for measure, published in paper.items():
        ours = [values.get((measure, model)) for model in models]
        table.add_row(measure, *(_number(measure, value) for value in (*ours, *published)))
    console.print(table)


def _number(measure: str, value: float | None) -> str:
    if value is None:
        return ""
    shared = measure.endswith("_rate") or measure.startswith(("distinct", "adherence"))
    return f"{value:.3f}" if shared else f"{value:,.0f}" if value == int(value) else f"{value:,.2f}"


def print_dialogues(console: Console, settings: Settings, model: str, count: int) -> None:
    """Print dialogues with the last turn of the agent before and after its revision, pairs of preferences first."""
    from catalog.sql.query import connect

    found = connect(settings).execute(READ_SQL, {"model": model, "count": count}).to_arrow_table().to_pylist()
    for row in found:
        _print(console, row)
    if not found:
        console.print("No dialogue has a revision yet. `watershed demo dialogues` makes some.")


def _print(console: Console, row: dict[str, Any]) -> None:
    from rich.text import Text

    console.rule(Text(f"{row['model']} {row['dialogue']}: {row['subtopic']} ({row['domain']})"), align="left")
    console.print(Text(f"goal: {_short(row['goal'])}", "dim"))
    messages = json.loads(row["messages"])
    last = max(place for place, each in enumerate(messages) if each["role"] == "assistant")
    for each in messages[:last]:
        console.print(Text.assemble((f"{each['role']}: ", "bold"), _short(each["content"])))
    console.print(Text.assemble(("before: ", "bold red"), _short(row["original"])))
    console.print(Text.assemble(("critique: ", "dim"), (_short(row["critique"]), "dim")))
    console.print(Text.assemble(("after: ", "bold green"), _short(row["revision"])))


def _short(text: str) -> str:
    # Control characters of a model would move the cursor of a terminal.
    line = "".join(each if each.isprintable() else " " for each in text)
    return line if len(line) <= LONGEST else f"{line[:LONGEST]} ..."
