"""A scripted model that holds dialogues, and all stages of its dialogues one after another."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from scripted_endpoint import endpoint

from catalog.lake import Lake
from catalog.settings import load_settings
from spark_jobs.dialogues import stages
from spark_jobs.dialogues.recipe import DialogueRecipe, read_domains, read_principles

PLAN = "1. USER asks about bread\n2. AGENT invents a study\n3. USER thanks\n4. AGENT invents another study\nDONE\nGood."


def answer(body: dict[str, Any], digest: str) -> str:
    """Return the reply to a prompt of any stage, drawn from the digest of the request."""
    messages = body["messages"]
    first, last = messages[0]["content"], messages[-1]["content"]
    if first.startswith("You are the USER"):
        if len(messages) > 4:
            return "Thank you. DONE" if digest[0] < "8" else "DONE"
        return f"What about bread {digest[:6]}?" if digest[0] < "e" else f"Hm {digest[:6]}?\nAGENT: I speak for both."
    if first.startswith("You are the AGENT"):
        return f"AGENT: A study {digest[:6]} says bread is round."
    kinds = {
        "different subtopics": f"1. ovens {digest[:4]}\n2. dough {digest[4:8]}",
        "Describe in one sentence": f"The user wants to bake {digest[:6]}.",
        "You plan a conversation": PLAN,
        "Answer with yes or no": "Yes, it does." if digest[0] < "b" else "No.",
        "VIOLATED: [id, id]": "CRITIQUE: It invents a study.\nVIOLATED: [concise]\nDONE",
        "Write that message again": f"AGENT: I know of no study {digest[:6]}.",
    }
    return next(text for part, text in kinds.items() if part in last)


def recipe_of(count: int) -> DialogueRecipe:
    """Return a recipe of so many dialogues."""
    return DialogueRecipe(
        model="org/scripted", revision="1", count=count, principles=read_principles(), domains=read_domains()[:5]
    )


def all_stages(folder: Path, url: str, count: int, entries: dict[str, Any]) -> dict[str, list[dict[str, Any]]]:
    """Run every stage in the lake of a project; return the rows of each by its name."""
    stage = stages.Stage(Lake.of(load_settings(folder)), endpoint(url, **entries), "scripted", recipe_of(count), 0.001)
    topics = stages.topics(stage)
    goals = by_dialogue(stages.goals(stage, topics))
    plans = by_dialogue(stages.plans(stage, goals))
    spoken = by_dialogue(stages.conversations(stage, goals, plans))
    flags = by_dialogue(stages.flags(stage, goals, plans, spoken))
    critiques = by_dialogue(stages.critiques(stage, goals, spoken, flags))
    revisions = by_dialogue(stages.revisions(stage, goals, spoken, critiques))
    pairs = stages.preferences("scripted", spoken, flags, critiques, revisions)
    found = {"topics": topics, "preferences": pairs}
    named = {"goals": goals, "plans": plans, "conversations": spoken, "flags": flags, "critiques": critiques}
    return found | {name: list(rows.values()) for name, rows in (named | {"revisions": revisions}).items()}


def by_dialogue(rows: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Return rows by dialogue."""
    return {row["dialogue"]: row for row in rows}
