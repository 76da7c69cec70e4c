"""Several wordings of the prompts, and the choice of one for a model on problems that are not asked afterwards."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from spark_jobs.mathfish.asking import AskRecipe, ReplyText
from spark_jobs.mathfish.choosing import asked_problems, chosen_problems, development_problems, in_development
from spark_jobs.mathfish.comparing import chosen_wordings, compared, not_compared, reworded
from spark_jobs.mathfish.curriculum import Curriculum
from spark_jobs.mathfish.labels import problem_and_label_rows
from spark_jobs.mathfish.made import made_curriculum, made_problems
from spark_jobs.mathfish.prompts import filled
from spark_jobs.mathfish.tasks import TaskRecipe, tasks_of
from spark_jobs.mathfish.wordings import ASKED, PLAIN, WORDINGS, tagging_template

Row = dict[str, Any]
Messages = tuple[tuple[str, str], ...]


@pytest.fixture(scope="module")
def tree() -> Curriculum:
    """The made curriculum."""
    return made_curriculum()


@pytest.fixture(scope="module")
def problems(tree: Curriculum) -> list[Row]:
    """Rows of mathfish.problems."""
    rows = [
        {"problem": row["id"], "text": row["text"], "elements": "{}", "labels": row["standards"], "answer": None}
        for row in made_problems(12)
    ]
    made, _ = problem_and_label_rows(tree, rows)
    return [{**row, "collection": "made"} for row in made]


@dataclass
class Knowing:
    """A model that knows every answer, but gives it only to the words that it understands.

    `understands` has what a prompt must contain, by the kind of the prompt.
    """

    answers: dict[str, tuple[str, str]]
    understands: dict[str, str]
    asked: dict[str, list[str]] = field(default_factory=dict)

    def each(self, purpose: str, prompts: Sequence[tuple[str, Messages]], tokens: int) -> list[ReplyText]:
        self.asked.setdefault(purpose, []).extend(task for task, _ in prompts)
        replies = []
        for task, ((_, text),) in prompts:
            kind, right = self.answers[task]
            replies.append(ReplyText(right if self.understands[kind] in text else "Hm."))
        return replies


def knowing(tree: Curriculum, problems: list[Row], understands: dict[str, str]) -> Knowing:
    """The model for all prompts about problems."""
    from spark_jobs.mathfish.tasks import letters

    found = {}
    for task in tasks_of(tree, problems, TaskRecipe()):
        right = task.answer if task.kind == "verification" else ", ".join(letters(task.correct)) or "none"
        found[task.task] = (task.kind, right)
    return Knowing(found, understands)


def test_every_wording_has_the_places_of_the_published_format_once() -> None:
    assert next(iter(WORDINGS)) == PLAIN and len(WORDINGS) >= 5
    places = {"problem_activity": "P!", "few_shots": "F!", "standard_description": "S!", "options": "O!"}
    prompts = []
    for name, wording in WORDINGS.items():
        verify = filled(wording.verify, places)
        assert [verify.count(mark) for mark in ("P!", "F!", "S!", "O!")] == [1, 1, 1, 0], name
        for level in ASKED:
            tag = filled(tagging_template(level, name), places)
            assert [tag.count(mark) for mark in ("P!", "F!", "S!", "O!")] == [1, 1, 0, 1], name
            assert ASKED[level][0] in tag and not set("{}[]") & set(tag), name
            prompts.append(tag)
        prompts.append(verify)
    assert len(set(prompts)) == len(prompts)


def test_wordings_differ_in_their_words_alone(tree: Curriculum, problems: list[Row]) -> None:
    recipe = TaskRecipe(shots=3)
    first = list(tasks_of(tree, problems[:6], recipe))
    rows = [task.row() for task in first]
    assert [row["wording"] for row in reworded(tree, rows, problems[:6], recipe)] == [PLAIN] * len(rows)
    other = reworded(tree, rows, problems[:6], replace(recipe, verification="whole", tagging="reviewer"))
    for before, after, task in zip(rows, other, first, strict=True):
        assert after["wording"] == {"verification": "whole", "tagging": "reviewer"}[task.kind]
        assert {**after, "messages": [], "wording": ""} == {**before, "messages": [], "wording": ""}
        assert after["messages"] != before["messages"]
        assert task.text in after["messages"][0]["content"] and task.few_shots in after["messages"][0]["content"]


def test_the_wording_that_a_model_understands_is_chosen(tree: Curriculum, problems: list[Row]) -> None:
    own = problems[:6]
    model = knowing(tree, own, {"verification": "the whole of a standard", "tagging": "You review lessons"})
    rows = compared(model, "m", tree, own, tasks=TaskRecipe(), recipe=AskRecipe())
    assert [(row["kind"], row["wording"]) for row in rows if row["chosen"]] == [
        ("verification", "whole"),
        ("tagging", "reviewer"),
    ]
    assert sorted(row["rank"] for row in rows) == sorted([*range(1, len(WORDINGS) + 1)] * 2)
    for row in rows:
        assert row["score"] == row["acc"] == row["ok_format"] == float(row["chosen"])
        assert row["malformed"] == (0 if row["chosen"] else row["prompts"])
        assert row["problems"] == 6 and row["prompts"] > 6
    recipe = chosen_wordings(rows, TaskRecipe(shots=1))
    assert recipe == TaskRecipe(shots=1, verification="whole", tagging="reviewer")
    assert set(model.asked) == {"wordings"}


def test_the_first_of_equal_wordings_is_chosen_and_none_without_problems(tree: Curriculum, problems: list[Row]) -> None:
    model = knowing(tree, problems[:3], {"verification": "never", "tagging": "never"})
    rows = compared(model, "m", tree, problems[:3], tasks=TaskRecipe(), recipe=AskRecipe())
    assert [row["wording"] for row in rows if row["chosen"]] == [PLAIN, PLAIN]
    assert compared(model, "m", tree, [], tasks=TaskRecipe(), recipe=AskRecipe()) == not_compared("m")
    assert chosen_wordings(not_compared("m"), TaskRecipe()) == TaskRecipe()


def test_a_model_that_always_says_no_does_not_choose_the_wording(tree: Curriculum, problems: list[Row]) -> None:
    """Five of six verifications are rightly answered no; the score is one half all the same."""
    own = problems[:6]
    model = knowing(tree, own, {"verification": "", "tagging": ""})
    model.answers = {
        task: (kind, "No." if kind == "verification" else right) for task, (kind, right) in model.answers.items()
    }
    rows = compared(model, "m", tree, own, tasks=TaskRecipe(), recipe=AskRecipe())
    found = [row for row in rows if row["kind"] == "verification"]
    assert {row["score"] for row in found} == {0.5} == {row["chance"] for row in found}
    assert min(row["acc"] for row in found) > 0.7


def test_results_are_never_about_problems_on_which_wordings_were_compared(problems: list[Row]) -> None:
    development = development_problems(problems, 0) or development_problems(problems, len(problems))
    held = {row["problem"] for row in problems if in_development(row)}
    assert 0.05 < len(held) / len(problems) < 0.4
    assert {row["problem"] for row in development} == held
    asked = {row["problem"] for row in asked_problems(problems, 0, compared=True)}
    assert not asked & held and asked | held == {row["problem"] for row in problems if row["standards"]}
    assert asked_problems(problems, 7, compared=False) == chosen_problems(problems, 7)
    # The split of a problem does not depend on the others, and a larger choice keeps the smaller one.
    few = [row["problem"] for row in development_problems(problems, 2)]
    assert set(few) <= {row["problem"] for row in development_problems(problems, 3)} and len(few) == 2
    assert not in_development({"problem": sorted(held)[0], "standards": []})
