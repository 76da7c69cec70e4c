"""Which revised dialogues are shown to a reader: the sound and varied ones first, in turn by model."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from spark_jobs.dialogues.diversity import distinct, words

Row = Mapping[str, Any]
"""A revised dialogue: `model`, `dialogue`, `domain`, `subtopic`, `goal`, `messages`, `critique`, `violations`,
`original`, `revision`, `paired` (whether it is a preference pair), `ended`, `adherence` and `truncated`."""


def worth_reading(rows: Iterable[Row], count: int) -> list[Row]:
    """Return at most `count` dialogues, the one most worth reading first; models take turns."""
    by_model: dict[str, list[Row]] = {}
    for row in sorted(rows, key=merit, reverse=True):
        by_model.setdefault(row["model"], []).append(row)
    turns = [row for place in range(count) for each in by_model.values() for row in each[place : place + 1]]
    return turns[:count]


def merit(row: Row) -> tuple[float | str, ...]:
    """Return what dialogues are ordered by, the greatest most worth reading.

    A pair comes before a dialogue without one; then count whether the critique names a principle, whether no message
    is cut off, how much of the plan it has, how varied the words are, and how much the revision changed.
    """
    texts = [message["content"] for message in row["messages"]]
    varied = distinct(["\n".join([*texts, row["revision"]])], 3) or 0.0
    return (
        bool(row["paired"]),
        bool(row["violations"]),
        not row["truncated"],
        round(varied, 1),
        round(changed(row["original"], row["revision"]), 1),
        row["adherence"] or 0.0,
        row["dialogue"],
    )


def changed(original: str, revision: str) -> float:
    """Return the share of the words of both texts that only one of them has, 0..1."""
    one, other = set(words(original)), set(words(revision))
    return len(one ^ other) / len(one | other) if one | other else 0.0


def revised(stages: Mapping[str, Sequence[Row]]) -> list[dict[str, Any]]:
    """Return the revised dialogues in the rows of the stages, which go by the names of their tables."""
    goals, spoken, flags, critiques = (
        {row["dialogue"]: row for row in stages[name]} for name in ("goals", "conversations", "flags", "critiques")
    )
    paired = {row["id"] for row in stages["preferences"]}
    return [
        {
            **{name: goals[row["dialogue"]][name] for name in ("domain", "subtopic", "goal")},
            **{name: spoken[row["dialogue"]][name] for name in ("messages", "ended")},
            **{name: flags[row["dialogue"]][name] for name in ("adherence", "truncated")},
            **{name: critiques[row["dialogue"]][name] for name in ("critique", "violations")},
            **{name: row[name] for name in ("model", "dialogue", "original", "revision")},
            "paired": row["dialogue"] in paired,
        }
        for row in stages["revisions"]
        if not row["failure"]
    ]
