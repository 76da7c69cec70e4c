"""Replies as models write them, and what is read from them; adherence, forms and diversity without a model."""

from __future__ import annotations

from pathlib import Path

import pytest

from catalog.errors import WatershedError
from spark_jobs.dialogues.adherence import adherence
from spark_jobs.dialogues.diversity import distinct, near_duplicates
from spark_jobs.dialogues.forms import faults_of, last_agent_turn
from spark_jobs.dialogues.reading import critique_of, lines_of, message_of, plan_of, speaks_for_both, verdict_of
from spark_jobs.dialogues.recipe import DialogueRecipe, read_domains, read_principles

ASK, ANSWER = {"role": "user", "content": "Where does it end?"}, {"role": "assistant", "content": "In the sea."}


def test_a_list_is_read_without_bullets_numbers_and_repeats() -> None:
    reply = "Here are some:\n1. Bread ovens\n2) Rye dough\n- **Yeast**\n* rye dough\n\n4. \n" + "x" * 300
    assert lines_of(reply, 10) == ["Bread ovens", "Rye dough", "Yeast"]
    assert lines_of(reply, 2) == ["Bread ovens", "Rye dough"]


def test_a_plan_ends_at_its_mark() -> None:
    assert plan_of("1. USER: asks\n2. AGENT: lies\nDONE\nThis plan is good.") == "1. USER: asks\n2. AGENT: lies"


@pytest.mark.parametrize(
    ("reply", "text", "done"),
    [
        ("AGENT: In the sea.", "In the sea.", False),
        ("**User**: Thanks. DONE", "Thanks.", True),
        ("DONE", "", True),
        ("I have DONEDEAL.", "I have DONEDEAL.", False),
        ("Hello.\nAGENT: In the sea.\nUSER: Fine.", "Hello.", False),
    ],
)
def test_a_message_is_one_sides_words(reply: str, text: str, done: bool) -> None:
    assert message_of(reply) == (text, done)
    assert speaks_for_both(reply) == ("\nAGENT" in reply)


@pytest.mark.parametrize(
    ("reply", "verdict"), [("Yes.", True), ("No, yes", False), ("It is nothing", None), ("", None)]
)
def test_a_verdict_is_the_first_yes_or_no(reply: str, verdict: bool | None) -> None:
    assert verdict_of(reply) is verdict


def test_a_critique_names_known_principles_only() -> None:
    reply = "CRITIQUE: It lies, not concise.\nVIOLATED: [honest-facts-2, concise, made-up, honest]\nDONE"
    assert critique_of(reply, ["honest", "concise", "honest-facts"]) == ("It lies, not concise.", ["concise", "honest"])
    assert critique_of("It is bad. DONE or not", ["concise"]) == ("It is bad.", [])


def test_faults_of_form_are_named() -> None:
    assert faults_of([ASK, ANSWER]) == []
    assert faults_of([ASK]) == ["no_agent_turn"]
    assert faults_of([ANSWER, ASK]) == ["role_order"]
    assert faults_of([ASK, {"role": "assistant", "content": " "}]) == ["empty_message"]
    assert faults_of([ASK, {"role": "assistant", "content": "Yes.\nUSER: Thanks"}]) == ["label_in_text"]
    assert faults_of([ASK, ANSWER, ASK, ANSWER]) == ["repeated_message"]
    assert faults_of([ASK, {"role": "assistant", "content": "a\ufffdb\x00"}]) == ["broken_characters"]
    assert faults_of([ASK, ANSWER], failed=True, spoke_for_both=True) == ["failed_request", "spoke_for_both"]
    assert last_agent_turn([ASK, ANSWER, ASK]) == 1
    assert last_agent_turn([ASK]) is None


def test_adherence_is_the_share_of_steps_that_a_message_covers() -> None:
    plan = "1. USER asks about baking bread at home\n2. AGENT invents a scientific study on yeast\n3. USER is thankful"
    assert adherence(plan, ["How is bread baked at home?", "A scientific study of yeast says so."]) == pytest.approx(
        2 / 3
    )
    assert adherence(plan, ["Nothing of that."]) == 0
    assert adherence("", ["a"]) is None


def test_near_duplicates_and_distinct_n_grams_are_counted() -> None:
    long = " ".join(f"word{n}" for n in range(100))
    near = long.replace("word50", "other")
    assert near_duplicates([long, near, long, "something else entirely", "a"]) == 2
    assert distinct(["a b a b"], 1) == 0.5
    assert distinct(["a b a b"], 2) == pytest.approx(2 / 3)
    assert distinct(["a"], 2) is None


def test_the_first_dialogues_do_not_depend_on_the_count() -> None:
    principles, domains = read_principles(), read_domains()
    assert len(principles) >= 50 and len(domains) >= 100
    few, many = (
        DialogueRecipe(model="m", revision="", count=n, principles=principles, domains=domains) for n in (3, 400)
    )
    for number in range(3):
        assert few.topic_of(number) == many.topic_of(number)
        assert few.drawn_principles(number) == many.drawn_principles(number)
    topics = [many.topic_of(number) for number in range(400)]
    assert len(set(topics)) == 400
    assert len({domain for domain, _ in topics[: len(domains)]}) == len(domains)


@pytest.mark.parametrize(
    ("text", "cause"),
    [
        ("", "is empty"),
        ('{"id": "a"}\n', "line 1 has no id and text"),
        ('{"id": "a", "text": "b"}\n' * 2, "has the id 'a' twice"),
        ("[" * 100_000, "line 1 has no id and text"),
    ],
    ids=range(4),
)
def test_a_file_of_principles_that_is_none_is_named(text: str, cause: str, tmp_path: Path) -> None:
    path = tmp_path / "principles.jsonl"
    path.write_text(text)
    with pytest.raises(WatershedError) as refused:
        read_principles(path)
    assert cause in refused.value.cause
