"""From prompts to preference pairs against a scripted server: several models, a judge that misbehaves, and pairs."""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

import pytest

from benchmarks.model_server import Script, running
from catalog.errors import WatershedError
from catalog.lake import Lake
from catalog.settings import EndpointSettings, load_settings
from spark_jobs.language_models.endpoint import Endpoint
from spark_jobs.tulu.aspects import QUESTIONS, JudgeRecipe, judgements
from spark_jobs.tulu.completions import CompletionRecipe, completions
from spark_jobs.tulu.pairs import PairRecipe, mean_scores, pairs
from spark_jobs.tulu.personas import (
    PersonaRecipe,
    load_skill,
    plan,
    read_constraints,
    read_personas,
    write_prompts,
)
from spark_jobs.tulu.prompts import read_prompts
from trainers.verifiers.instructions.follow import read_instructions
from trainers.verifiers.instructions.register import all_kinds

MODELS = ("small", "large", "tuned", "other", "spare")
GIVEN, WRITTEN = 12, 30


def answer(body: dict[str, Any], digest: str) -> str:
    """Replies of the generators, the writer and the judge, drawn from the digest of the request."""
    messages = body["messages"]
    system, last = messages[0]["content"], messages[-1]["content"]
    if "You compare" in system:
        numbers = [int(each) for each in re.findall(r"<text number=(\d+)>", last)]
        if digest[0] == "0":
            numbers = numbers[:-1]
        scores = [
            {"text": n, "reason": "so", "score": "N/A" if digest[n] < "3" else 1 + int(digest[n], 16) % 5}
            for n in numbers
        ]
        if digest[0] == "1":
            scores[0]["score"] = 7
        if digest[0] == "2":
            scores[0]["score"] = "4"
        return json.dumps({"scores": scores})
    if "Imagine" in last:
        return json.dumps({"prompt": f"Tell me about tide {digest[:6]}.", "answer": "18"})
    length = 1 + int(digest[0], 16)
    return f"{body['model']} says {' '.join(digest[:6] for _ in range(length))}"


@dataclass
class Made:
    """All rows of a run, and the requests that it sent."""

    prompts: list[dict[str, Any]]
    completions: list[dict[str, Any]]
    judgements: list[dict[str, Any]]
    sent: int
    again: int
    recipe: PersonaRecipe


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    folder = tmp_path_factory.mktemp("preferences")
    given = folder / "wild.jsonl"
    rows = [{"prompt": f"What is lake {n}?", "pool": "unused", "licence": "MIT"} for n in range(GIVEN)]
    given.write_text("".join(json.dumps(row) + "\n" for row in [*rows, rows[0]]))
    script = Script(answer=answer)
    recipe = PersonaRecipe(
        model="writer",
        revision="1",
        count=WRITTEN,
        skills=(load_skill("instructions"), load_skill("word-problems")),
        personas=read_personas(),
        constraints=read_constraints(),
    )
    with running(script) as url:
        lake = Lake.of(load_settings(folder))

        def endpoint(name: str) -> Endpoint:
            settings = EndpointSettings(concurrency=8, timeout=60.0)
            return Endpoint(name=name, url=url, model=name, revision="1", settings=settings)

        @contextmanager
        def opened(name: str) -> Generator[Endpoint]:
            yield endpoint(name)

        def run() -> tuple[list[dict[str, Any]], ...]:
            asked = read_prompts("pairs", [given]) + write_prompts(lake, endpoint("writer"), recipe, "pairs")
            models = tuple((name, name, "1") for name in MODELS)
            replies = CompletionRecipe(models=models, replies=4, on_policy="tuned", tokens=200)
            found = completions(lake, opened, replies, asked)
            judge = JudgeRecipe(judge="judge", model="judge", revision="1")
            return asked, found, judgements(lake, endpoint("judge"), judge, asked, found)

        first = run()
        sent = sum(script.seen.values())
        assert run() == first
        again = sum(script.seen.values()) - sent
    return Made(*first, sent=sent, again=again, recipe=recipe)


def test_every_prompt_has_replies_of_the_models_drawn_for_it_and_nothing_is_asked_twice(made: Made) -> None:
    assert len(made.prompts) == GIVEN + WRITTEN and len({row["prompt_id"] for row in made.prompts}) == GIVEN + WRITTEN
    by_prompt = defaultdict(set)
    for row in made.completions:
        by_prompt[row["prompt_id"]].add(row["model"])
        assert row["on_policy"] == (row["model"] == "tuned") and row["request"] and not row["failure"]
    assert all(len(models) == 4 and "tuned" in models for models in by_prompt.values())
    assert len({frozenset(models) for models in by_prompt.values()}) == 4
    assert made.again == 0


def test_a_judge_is_asked_once_for_each_prompt_and_aspect_with_the_replies_in_another_order(made: Made) -> None:
    calls = defaultdict(list)
    for row in made.judgements:
        calls[row["prompt_id"], row["aspect"]].append(row)
    assert len(calls) == (GIVEN + WRITTEN) * len(QUESTIONS)
    places = defaultdict(set)
    for (prompt, _), rows in calls.items():
        assert sorted(row["place"] for row in rows) == [1, 2, 3, 4]
        places[prompt].add(tuple(row["model"] for row in sorted(rows, key=lambda row: row["place"])))
    assert sum(len(orders) > 1 for orders in places.values()) > len(places) / 2


def test_scores_are_read_strictly_and_na_is_no_number(made: Made) -> None:
    assert {row["failure"] for row in made.judgements} == {None, "wrong_texts", "not_a_judgement"}
    for row in made.judgements:
        if row["failure"]:
            assert row["score"] is None and not row["not_applicable"]
        else:
            assert (row["score"] is None) == row["not_applicable"]
            assert row["score"] in (None, 1, 2, 3, 4, 5)
    assert any(row["not_applicable"] for row in made.judgements)
    scores = mean_scores(made.judgements, tuple(QUESTIONS))
    grouped = defaultdict(list)
    for row in made.judgements:
        grouped[row["prompt_id"], row["model"]].append(row)
    for key, rows in grouped.items():
        numbers = [row["score"] for row in rows if row["score"] is not None]
        if any(row["failure"] for row in rows) or not numbers:
            assert key not in scores
        else:
            assert scores[key] == fmean(numbers) and 1 <= scores[key] <= 5


@pytest.mark.parametrize("rule", ["random_other", "worst"])
def test_the_chosen_reply_is_the_best_and_the_rejected_one_is_worse(made: Made, rule: Any) -> None:
    recipe = PairRecipe(rule=rule, aspects=tuple(QUESTIONS))
    found, without = pairs(recipe, made.prompts, made.completions, made.judgements)
    scores = mean_scores(made.judgements, tuple(QUESTIONS))
    replies = {(row["prompt_id"], row["model"]): row["completion"] for row in made.completions}
    assert len(found) + sum(without.values()) == len(made.prompts) and len(found) > 5
    assert set(without) <= {"fewer than two replies have scores", "all replies have the same score"}
    for row in found:
        own = {model: score for (prompt, model), score in scores.items() if prompt == row["prompt_id"]}
        assert row["chosen_score"] == own[row["chosen_model"]] == max(own.values())
        assert row["rejected_score"] == own[row["rejected_model"]] < row["chosen_score"]
        assert rule == "random_other" or row["rejected_score"] == min(own.values())
        assert row["chosen"] == replies[row["prompt_id"], row["chosen_model"]]
        assert row["on_policy"] == ("tuned" in (row["chosen_model"], row["rejected_model"]))
        assert row["rule"] == rule and row["longer"] == len(row["chosen"].split()) - len(row["rejected"].split())
    assert {row["on_policy"] for row in found} == {True, False}
    assert found == pairs(recipe, made.prompts[::-1], made.completions[::-1], made.judgements[::-1])[0][::-1]


def test_delta_learning_pairs_need_no_judge_and_long_chosen_replies_are_left_out(made: Made) -> None:
    recipe = PairRecipe(rule="delta", strong="large", weak="small")
    found, without = pairs(recipe, made.prompts, made.completions, [])
    both = [row["prompt_id"] for row in made.completions if row["model"] == "large"]
    both = [prompt for prompt in both if (prompt, "small") in {(r["prompt_id"], r["model"]) for r in made.completions}]
    assert [row["prompt_id"] for row in found] == [row["prompt_id"] for row in made.prompts if row["prompt_id"] in both]
    assert without == {"a model did not reply": len(made.prompts) - len(both)}
    assert {(row["chosen_model"], row["rejected_model"], row["chosen_score"]) for row in found} == {
        ("large", "small", None)
    }
    short, left_out = pairs(
        PairRecipe(rule="delta", strong="large", weak="small", most_longer=2), made.prompts, made.completions, []
    )
    assert short == [row for row in found if row["longer"] <= 2]
    assert left_out["chosen is too much longer"] == len(found) - len(short) > 0
    with pytest.raises(WatershedError, match="delta names no two models"):
        PairRecipe(rule="delta", strong="large")


def test_prompts_of_personas_have_constraints_that_can_be_verified(made: Made) -> None:
    written = [row for row in made.prompts if row["pool"] == "persona"]
    assert len(written) == WRITTEN and all(row["persona"] and row["request"] for row in written)
    with_constraints = [row for row in written if row["source"] == "instructions"]
    for row in with_constraints:
        bound = read_instructions([{"id": e["id"], "kwargs": json.loads(e["kwargs"])} for e in row["instructions"]])
        assert 1 <= len(bound) <= 3 and row["verifier"] == "ifeval"
        text = row["messages"][0]["content"]
        assert text.startswith("Tell me about tide") and len(text.split("\n\n")) == 2
        assert "{" not in text
    assert {row["answer"] for row in written if row["source"] == "word-problems"} == {"18"}
    assert not any(row["instructions"] for row in written if row["source"] == "word-problems")


def test_every_kind_of_ifeval_is_drawn_and_no_two_of_a_group(made: Made) -> None:
    constraints = {each.id: each for each in read_constraints()}
    ifeval = {id for id, kind in all_kinds().items() if kind.check.__module__.endswith("ifeval")}
    assert constraints.keys() == ifeval and len(ifeval) == 25
    seen = set()
    for number in range(0, 2_000, 2):
        _, _, chosen = plan(made.recipe, number)
        groups = [constraints[id].group for id, _, _ in chosen]
        assert len(set(groups)) == len(groups)
        assert "alone" not in groups or len(groups) == 1
        for id, sentence, kwargs in chosen:
            read_instructions([{"id": id, "kwargs": kwargs}])
            assert "{" not in sentence.replace("{prompt}", "")
            seen.add(id)
    assert seen == ifeval
    # A larger count adds prompts and changes none.
    assert plan(made.recipe, 7) == plan(made.recipe, 7)


def test_a_wrong_prompt_names_its_line(tmp_path: Path) -> None:
    path = tmp_path / "prompts.jsonl"
    for line, says in (
        ("{", "not JSON"),
        ('{"prompt": " "}', "is not the user's, or is empty"),
        ('{"prompt": "Hi", "pool": "mine"}', "pool is 'mine'"),
        ('{"prompt": "Hi", "instructions": [1]}', "is of a wrong type"),
    ):
        path.write_text('{"prompt": "Hi"}\n' + line + "\n")
        with pytest.raises(WatershedError) as error:
            read_prompts("pairs", [path])
        assert f"{path}:2" in error.value.cause and says in error.value.cause
