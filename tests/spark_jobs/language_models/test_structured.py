"""Structured replies: what fits is read, what can be repaired is repaired and says so, and the rest is asked again."""

from __future__ import annotations

import json
from typing import Any

import pytest
from pydantic import BaseModel, Field
from scripted_endpoint import Serve

from benchmarks.model_server import Script
from catalog.lake import Lake
from spark_jobs.language_models.judge import Rubric, judge, prefer
from spark_jobs.language_models.request import Request
from spark_jobs.language_models.structured import ask_structured, check_of


class River(BaseModel):
    """A river."""

    name: str
    kilometres: int = Field(ge=0)


GOOD = '{"name": "Elbe", "kilometres": 1094}'


@pytest.mark.parametrize(
    ("text", "repair"),
    [
        (GOOD, None),
        (f"  {GOOD}\n", None),
        (f"Here it is:\n```json\n{GOOD}\n```\nBye.", "fenced"),
        (f"Sure! {GOOD} I hope that helps.", "surrounded"),
        ("{'name': 'Elbe', 'kilometres': 1094,}", "json_repair"),
        ('{"name": "Elbe", "kilometres": 1094', "json_repair"),
    ],
)
def test_a_reply_is_read_after_the_least_repair(text: str, repair: str | None) -> None:
    found = check_of(River)(text)
    assert found.parsed is not None
    assert json.loads(found.parsed) == json.loads(GOOD)
    assert (found.repair, found.problem) == (repair, None)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "the reply is empty"),
        ("no object", "the reply holds no JSON"),
        ('{"name": "Elbe"}', "kilometres: Field required"),
        ('{"name": "Elbe", "kilometres": -3}', "kilometres: Input should be greater"),
        ("[" * 200_000, "the reply holds no JSON"),
        ('{"a":' * 50_000, "the reply holds no JSON"),
        ('{"name": ' + "{'a'" * 30_000, "the reply holds no JSON"),
    ],
    ids=range(7),
)
def test_a_reply_that_cannot_be_read_says_why(text: str, problem: str) -> None:
    found = check_of(River)(text)
    assert found.parsed is None
    assert found.problem and found.problem.startswith(problem)


def test_a_reply_that_does_not_fit_is_asked_for_again_and_both_are_rows(lake: Lake, served: Serve) -> None:
    bodies: list[dict[str, Any]] = []

    def answer(body: dict[str, Any], digest: str) -> str:
        bodies.append(body)
        return "I would rather not." if len(bodies) <= 2 else f"```\n{GOOD}\n```"

    asked = [Request.chat(f"A river, number {n}?") for n in range(2)]
    found = ask_structured(lake, served(Script(answer=answer), concurrency=1), asked, River, purpose="test", tries=2)
    assert [each.value for each in found] == [River(name="Elbe", kilometres=1094)] * 2
    assert "must match this JSON schema" in bodies[0]["messages"][-1]["content"]
    rows = lake.read("models.requests").sort_by("asked_at").to_pylist()
    assert [row["problem"] for row in rows] == ["the reply holds no JSON"] * 2 + [None] * 2
    assert [row["repair"] for row in rows] == [None, None, "fenced", "fenced"]
    assert len({row["request"] for row in rows}) == 4


def test_a_server_with_schemas_is_given_the_schema_and_the_plain_prompt(lake: Lake, served: Serve) -> None:
    bodies: list[dict[str, Any]] = []

    def answer(body: dict[str, Any], digest: str) -> str:
        bodies.append(body)
        return GOOD

    (found,) = ask_structured(
        lake, served(Script(answer=answer), json_schema=True), [Request.chat("A river?")], River, purpose="test"
    )
    assert found.value == River(name="Elbe", kilometres=1094)
    assert bodies[0]["messages"][-1]["content"] == "A river?"
    assert bodies[0]["response_format"]["json_schema"]["schema"] == River.model_json_schema()


def test_a_judge_scores_within_the_scale_and_its_order_does_not_matter(lake: Lake, served: Serve) -> None:
    def answer(body: dict[str, Any], digest: str) -> str:
        text = body["messages"][-1]["content"]
        if "<first>" in text:
            first, second = text.split("</first>")[0], text.split("<second>")[1].split("</second>")[0]
            if "same" in text:
                return '{"reason": "always", "better": "first"}'
            return json.dumps({"reason": "longer", "better": "first" if len(first) > len(second) else "second"})
        return json.dumps({"reason": "length", "score": 9 if "too much" in text else 4})

    model = served(Script(answer=answer))
    rubric = Rubric(name="clarity", question="How clear is it?", levels=("not", "a bit", "half", "mostly", "wholly"))
    found = judge(lake, model, ["a text", "too much"], rubric)
    assert [each.score for each in found] == [4, None]
    assert found[1].attempt.problem and "less than or equal to 5" in found[1].attempt.problem
    pairs = [("long " * 20, "short"), ("short", "long " * 20), ("same", "same text")]
    assert prefer(lake, model, pairs, "Which is longer?", purpose="test") == [0, 1, None]
