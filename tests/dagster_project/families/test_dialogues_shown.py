"""What is shown of dialogues, and what the tiny model is taught: the form that each stage asks for and reads."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from dagster_project.cli import main
from dagster_project.engine.page import markdown
from dagster_project.families.dialogues import tiny_texts
from dagster_project.families.dialogues.shown import statistics_page
from dagster_project.families.dialogues.tiny_texts import KINDS, TEMPLATE, Documented, Lesson, Messages, in_form
from spark_jobs.dialogues.prompts import DONE
from spark_jobs.dialogues.reading import (
    critique_of,
    first_paragraph,
    lines_of,
    message_of,
    plan_of,
    steps_of,
    verdict_of,
)
from spark_jobs.dialogues.recipe import Principle
from spark_jobs.dialogues.statistics import statistics
from spark_jobs.dialogues.worth_reading import worth_reading
from trainers.serving.chat import ChatTemplate

PRINCIPLES = [Principle("no-lies", "Do not lie."), Principle("brief", "Be brief.")]
EACH = Documented("json", "json.dumps", ("Serialize an object to a string.", "Options are keywords."))
OTHER = Documented("os", "os.getcwd", ("Return the working directory.",))


def lesson(kind: str, seed: int = 0) -> Messages:
    made = Lesson(EACH, OTHER, PRINCIPLES, ["json.dumps", "json.loads"], random.Random(seed))
    return getattr(tiny_texts, f"{kind}_lesson")(made)


@pytest.mark.parametrize("kind", KINDS)
def test_a_lesson_is_what_the_template_makes_of_its_messages(kind: Any) -> None:
    messages = kind(Lesson(EACH, OTHER, PRINCIPLES, ["json.dumps", "json.loads"], random.Random(0)))
    template = ChatTemplate(TEMPLATE, {}, "tiny")
    as_dicts = [{"role": role, "content": content} for role, content in messages]
    assert template.render(as_dicts, add_generation_prompt=False) == in_form(messages)
    # A reply begins with its space: tokens of a text have the space before a word, not after the one before it.
    prompt = template.render(as_dicts[:-1])
    assert in_form(messages).removeprefix(prompt) == f" {messages[-1][1]}\n" and not prompt.endswith(" ")


def test_the_replies_of_lessons_are_read_as_what_they_teach() -> None:
    replies = {name: lesson(name)[-1][1] for name in ("topics", "goal", "plan", "critique", "revision", "user")}
    assert set(lines_of(replies["topics"], 5)) == {"json.dumps", "json.loads"}
    assert first_paragraph(replies["goal"]) == "The user wants to know what json.dumps does."
    assert len(steps_of(plan_of(replies["plan"]))) == 4
    text, violated = critique_of(replies["critique"], ["brief", "no-lies"])
    assert (text, violated) == ("The message is about os.getcwd and not about json.dumps.", ["no-lies"])
    assert replies["revision"] == "Options are keywords."
    assert message_of(replies["user"]) == ("", True) and replies["user"] == DONE
    verdicts = {seed: lesson("flag", seed) for seed in range(8)}
    wrong = {seed for seed, messages in verdicts.items() if OTHER.answer in messages[0][1]}
    assert 0 < len(wrong) < 8
    assert {seed for seed, messages in verdicts.items() if verdict_of(messages[-1][1])} == wrong


def dialogue(model: str, number: int, **other: Any) -> dict[str, Any]:
    said = [("user", f"What is {number}?"), ("assistant", f"It is {number}, I swear."), ("user", "Thanks.")]
    messages = [{"role": role, "content": content} for role, content in said]
    row: dict[str, Any] = {
        "model": model,
        "dialogue": f"{model}{number}",
        "domain": "numbers",
        "subtopic": "<b>n</b>",
        "goal": "to know",
    }
    row |= {"messages": messages, "critique": "It swears.", "violations": ["no-lies"], "ended": "done"}
    row |= {"original": said[1][1], "revision": f"It may be {number} | {number + 1}.", "paired": True}
    return row | {"adherence": 0.5, "truncated": False} | other


def test_dialogues_worth_reading_come_first_and_models_take_turns() -> None:
    rows = [dialogue("a", 1), dialogue("a", 2, paired=False), dialogue("a", 3, violations=[]), dialogue("b", 4)]
    rows += [dialogue("b", 5, revision="It is 5, I swear."), dialogue("b", 6, truncated=True)]
    assert [row["dialogue"] for row in worth_reading(rows, 4)] == ["b4", "a1", "b5", "a3"]
    assert len(worth_reading(rows, 100)) == len(rows)
    assert worth_reading([], 3) == []


def test_the_page_shows_the_paper_beside_ours_and_dialogues_as_text() -> None:
    row = dialogue("a", 1)
    spoken = {"turns": 3, "failure": None, "cut": [], "requests": [], "prompt_tokens": 9, "reply_tokens": 9} | row
    stages: dict[str, list[dict[str, Any]]] = {
        "goals": [row | {"failure": None}],
        "plans": [],
        "conversations": [spoken],
        "flags": [row | {"violation": True, "ill_formed": []}],
        "critiques": [row | {"failure": None}],
        "revisions": [row | {"failure": None}],
        "preferences": [row | {"id": "a1"}],
    }
    page = statistics_page(statistics("a", stages), stages)
    beside, read = (page[name].value for name in ("beside the paper", "dialogues before and after"))
    assert f"| {markdown('violation_rate')} | 100.0% | 35.5% | 21.6% |  |" in beside
    assert f"| {markdown('turns_with_plan')} | 4 | 8.47 | 13.24 | 8.02 |" in beside
    assert "**before:** It is 1, I swear." in read
    assert f"**{markdown('critique (no-lies)')}:** It swears." in read
    # What a model wrote is not markup of the page.
    assert r"**after:** It may be 1 \| 2." in read and "<b>" not in read
    nothing = statistics_page(statistics("a", stages), stages | {"revisions": []})
    assert nothing["dialogues before and after"].value == "No dialogue has been revised."


def test_without_dialogues_the_command_says_how_to_make_some(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WATERSHED_PROJECT", str(tmp_path))
    done = CliRunner().invoke(main, ["dialogues", "show"])
    assert done.exit_code == 2
    assert "dialogues.goals has not been made" in done.output and "watershed demo dialogues" in done.output
