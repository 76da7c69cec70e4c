"""Dialogues on the screen: their statistics beside those of the paper, and some of them before and after revision."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console

    from catalog.settings import Settings

PAPER = {"dbrx": "DBRX", "llama": "Llama 2 70B", "mistral": "Mistral Large"}
"""The models of the paper, by the columns of dialogues.statistics."""

LONGEST = 600
"""Most characters of a message that are shown."""

CANDIDATES = 500
"""Dialogues of which those most worth reading are chosen."""

READ = ("goals", "conversations", "flags", "critiques", "revisions", "preferences")
"""The tables that `READ_SQL` reads."""

READ_SQL = """
SELECT c.model, c.dialogue, g.domain, g.subtopic, g.goal, to_json(c.messages) AS messages, c.ended, k.critique,
    k.violations, r.original, r.revision, p.id IS NOT NULL AS paired, f.adherence, f.truncated
FROM dialogues.revisions r
JOIN dialogues.conversations c USING (dialogue)
JOIN dialogues.goals g USING (dialogue)
JOIN dialogues.flags f USING (dialogue)
JOIN dialogues.critiques k USING (dialogue)
LEFT JOIN dialogues.preferences p ON p.id = r.dialogue
WHERE r.failure IS NULL AND ($model = '' OR c.model = $model)
QUALIFY row_number() OVER (PARTITION BY c.model ORDER BY paired DESC, len(k.violations) DESC, c.dialogue) <= $count
"""


def print_statistics(console: Console, settings: Settings) -> None:
    """Print dialogues.statistics: a row for each measure, a column for each model, and those of the paper."""
    from rich.table import Table

    from catalog.lake import Lake
    from spark_jobs.dialogues.statistics import in_words

    rows = Lake.of(settings).read("dialogues.statistics").to_pylist()
    models = sorted({row["model"] for row in rows})
    values = {(row["measure"], row["model"]): row["value"] for row in rows}
    published = {row["measure"]: row for row in rows}
    table = Table(title="dialogues.statistics: our models beside those of arXiv 2407.18421", title_justify="left")
    table.add_column("measure")
    for name in (*models, *PAPER.values()):
        table.add_column(name, justify="right")
    table.add_column("what it is", style="dim")
    for measure, row in published.items():
        ours = [in_words(measure, values.get((measure, model))) for model in models]
        table.add_row(measure, *ours, *(in_words(measure, row[name]) for name in PAPER), row["meaning"])
    console.print(table)


def print_dialogues(console: Console, settings: Settings, model: str, count: int) -> None:
    """Print dialogues with the last turn of the agent before and after its revision, pairs of preferences first.

    Raises:
        WatershedError: there are no dialogues, or `model` has made none.
    """
    from catalog.errors import WatershedError
    from catalog.lake import Lake
    from catalog.names import close
    from catalog.sql.query import connect
    from spark_jobs.dialogues.worth_reading import worth_reading

    if lacking := [name for name in READ if not Lake.of(settings).exists(f"dialogues.{name}")]:
        raise WatershedError(
            f"there are no revised dialogues yet: dialogues.{lacking[0]} has not been made",
            "run `watershed demo dialogues`; or name models in [dialogues], and `watershed make dialogues.statistics`",
        )
    connection = connect(settings)
    if model:
        known = [name for (name,) in connection.execute("SELECT DISTINCT model FROM dialogues.goals").fetchall()]
        if model not in known:
            raise WatershedError(f"no model {model!r} has made dialogues{close(model, known)}", f"use {_either(known)}")
    found = connection.execute(READ_SQL, {"model": model, "count": CANDIDATES}).to_arrow_table().to_pylist()
    rows = worth_reading(({**row, "messages": json.loads(row["messages"])} for row in found), count)
    for row in rows:
        _print(console, row)
    if not rows:
        console.print("No dialogue has a revision: no model flagged a well-formed dialogue as a violation.")


def _either(names: list[str]) -> str:
    return (
        f"one of {', '.join(sorted(names))}" if len(names) > 1 else names[0] if names else "`watershed demo dialogues`"
    )


def _print(console: Console, row: Mapping[str, Any]) -> None:
    from rich.text import Text

    console.print()
    console.rule(
        Text.assemble((_short(row["subtopic"]), "bold"), f" ({_short(row['domain'])}), {row['model']}"), align="left"
    )
    console.print(Text(f"goal: {_short(row['goal'])}", "dim"))
    last = max(place for place, each in enumerate(row["messages"]) if each["role"] == "assistant")
    for each in row["messages"][:last]:
        console.print(Text.assemble((f"{each['role']}: ", "bold"), _short(each["content"])))
    named = f" ({', '.join(row['violations'])})" if row["violations"] else ""
    console.print(Text.assemble(("before: ", "bold red"), _short(row["original"])))
    console.print(Text.assemble((f"critique{named}: ", "dim"), (_short(row["critique"]), "dim")))
    console.print(Text.assemble(("after: ", "bold green"), _short(row["revision"])))
    console.print(Text(f"dialogue {row['dialogue']}", "dim"))


def _short(text: str) -> str:
    from catalog.printable import one_line

    return one_line(text, LONGEST).replace("⏎", " ")
