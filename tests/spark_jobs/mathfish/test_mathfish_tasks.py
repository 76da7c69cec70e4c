"""Prompts of verification and tagging, and the format of allenai/mathfish-tasks."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from catalog.errors import WatershedError
from spark_jobs.mathfish.choosing import chosen_problems
from spark_jobs.mathfish.curriculum import MODELING, Curriculum
from spark_jobs.mathfish.labels import problem_and_label_rows
from spark_jobs.mathfish.made import made_curriculum, made_problems, made_stories, write_made
from spark_jobs.mathfish.prompts import examples, filled, shown_text
from spark_jobs.mathfish.reading import read_problems
from spark_jobs.mathfish.task_files import published, read_tasks, write_tasks
from spark_jobs.mathfish.tasks import NEGATIVES, TaskRecipe, negatives_of, tasks_of

Row = dict[str, Any]


@pytest.fixture(scope="module")
def tree() -> Curriculum:
    """The made curriculum."""
    return made_curriculum()


@pytest.fixture(scope="module")
def problems(tree: Curriculum, tmp_path_factory: pytest.TempPathFactory) -> list[Row]:
    """Rows of mathfish.problems for the made problems."""
    made = write_made(tmp_path_factory.mktemp("made"))
    places = [str(made[name]) for name in ("problems.jsonl", "stories.jsonl")]
    return problem_and_label_rows(tree, read_problems(places))[0]


def test_negatives_are_drawn_as_each_strategy_says(tree: Curriculum) -> None:
    for standard in tree.standards:
        pools = {strategy: set(negatives_of(tree, [standard], strategy)) for strategy in NEGATIVES}
        domains = {tree.domain(standard), {"N": "NS", "A": "OA", "OA": "A", "S": "SP"}.get(tree.domain(standard), "")}
        for other in set(tree.standards) - {standard}:
            same = (
                "same"
                if tree.domain(other) in domains
                or (tree.domain(other), tree.domain(standard))
                in (
                    ("N", "NS"),
                    ("S", "SP"),
                )
                else "different"
            )
            grade = "same" if tree.grade(other) == tree.grade(standard) else "different"
            held = {name for name, pool in pools.items() if other in pool} - {"neighbors"}
            assert held == {f"{same}-domain-{grade}-grade"}, (standard, other)
        neighbours = {end for edge in tree.edges for end in edge[:2] if standard in edge[:2]} - {standard}
        assert pools["neighbors"] == neighbours
    assert "A-REI.B.4" in negatives_of(tree, ["3.OA.A.3"], "same-domain-different-grade")
    assert "6.EE.B.7" in negatives_of(tree, ["A-REI.B.4"], "different-domain-different-grade"), "EE is not A's"


@pytest.mark.parametrize("shots", [0, 1, 3])
def test_prompts_have_their_examples_options_and_right_answers(
    tree: Curriculum, problems: list[Row], shots: int
) -> None:
    tasks = list(tasks_of(tree, problems, TaskRecipe(shots=shots, negatives=2)))
    assert len({task.task for task in tasks}) == len(tasks)
    by_problem = {row["problem"]: row for row in problems}
    for task in tasks:
        ((_, text),) = task.messages
        gold = by_problem[task.problem]["standards"]
        assert "{" not in text
        if task.kind != "solving":
            assert text.count("Example") == {0: 0, 1: 1, 3: 3}[shots]
        if task.kind == "verification":
            assert task.standard and tree[task.standard].description in text
            assert (task.answer == "yes") == (task.standard in gold) == (task.strategy == "positive")
        if task.kind == "tagging":
            right = {each for place in task.correct for each in task.options[place].ids}
            expected = {
                "domain": tree.gold_groups(gold),
                "cluster": {tree[each].parent for each in gold},
                "standard": set(gold),
            }[task.level]
            assert right and right & expected and all(option.text in text for option in task.options)
            assert all(
                not set(option.ids) & expected or place in task.correct for place, option in enumerate(task.options)
            )
    kinds = {(task.kind, task.level) for task in tasks}
    assert kinds == {
        ("verification", ""),
        ("solving", ""),
        *(("tagging", each) for each in ("domain", "cluster", "standard")),
    }
    # A problem without a positive label has no gold answer, and is not asked about.
    assert not {task.problem for task in tasks if task.kind != "solving"} & {
        row["problem"] for row in problems if not row["positive"]
    }


def test_a_prompt_does_not_depend_on_the_other_problems(tree: Curriculum, problems: list[Row]) -> None:
    recipe = TaskRecipe(shots=1)
    together = {task.task: task for task in tasks_of(tree, problems, recipe)}
    for problem in problems[5:8]:
        for task in tasks_of(tree, [problem], recipe):
            assert together[task.task] == task
    orders = [task.options for task in together.values() if task.level == "domain"]
    assert len(set(orders)) > 1, "options are shuffled"
    assert all(MODELING in {option.ids[0] for option in options} for options in orders)


def test_the_examples_are_written_for_standards_of_their_grade(tree: Curriculum) -> None:
    assert len(examples()) == 12
    for key, example in examples().items():
        assert tree.grade(example.standard) == key.split("_")[0]


def test_tasks_survive_the_published_format(tree: Curriculum, problems: list[Row], tmp_path: Path) -> None:
    tasks = [task for task in tasks_of(tree, problems, TaskRecipe(shots=3)) if task.kind != "solving"]
    path = tmp_path / "data_verification-made.jsonl"
    assert write_tasks(tasks, path) == len(tasks)
    found = {task.id: task for task in read_tasks(path)}
    for task in tasks:
        other = found[task.task]
        assert other.messages == task.messages
        assert (other.kind, other.answer, other.correct) == (task.kind, task.answer, task.correct)
        assert other.group == (task.strategy or task.level)


def published_row(**changes: Any) -> Row:
    """A row in the form of the files of the data set."""
    user = {"role": "user", "prompt_template": "{problem_activity}\n{options}", "options": ["x", "y"]}
    reply = {"role": "assistant", "response_template": "{option}", "correct_option_index": [1]}
    return {"id": "fl_1_domain_0", "messages": [{**user, "problem_activity": "{options} __class__"}, reply], **changes}


def test_a_published_row_is_read_and_a_problem_is_never_a_template() -> None:
    task = published(published_row(), "here")
    assert task.messages == (("user", "{options} __class__\nA. x\nB. y\n"),)
    turns = [*published_row()["messages"]]
    earlier = [turns[0], {"role": "assistant", "content": "A"}]
    assert published(published_row(messages=[*earlier, *turns]), "here").messages[1] == ("assistant", "A")
    assert filled("{a.b} {0} {x!r}", {"x": "1"}) == "{a.b} {0} {x!r}"


@pytest.mark.parametrize(
    ("row", "cause"),
    [
        (5, "id"),
        (published_row(messages=[]), "two turns"),
        (published_row(messages=[{"role": "user"}, 5]), "not an object"),
        (published_row(messages=[{"role": "user"}, {"role": "assistant", "aligns": "yes"}]), "prompt_template"),
        (published_row(messages=[published_row()["messages"][0], {"correct_option_index": [2]}]), "names no option"),
        (published_row(messages=[published_row()["messages"][0], {"aligns": "maybe"}]), "neither yes nor no"),
        (published_row(messages=[published_row()["messages"][0]] * 2 + [{"aligns": "no"}]), "alternate"),
    ],
)
def test_a_row_of_another_format_is_refused(row: Any, cause: str) -> None:
    with pytest.raises(WatershedError, match=cause):
        published(row, "here")


def test_tables_and_images_are_shown_as_text() -> None:
    elements = {"###TABLE0###": "<table><tr><th>a</th><td>1 &amp; 2</td></tr><tr><td>b</td></tr></table>"}
    assert shown_text("See ###TABLE0### and ###IMAGE1###", elements) == "See a | 1 & 2\nb and [image]"
    assert shown_text("abcdef", {}, 4) == "abc…"


def test_chosen_problems_are_spread_over_grades_and_grow_by_themselves(problems: list[Row]) -> None:
    chosen = [row["problem"] for row in chosen_problems(problems, 10)]
    grades = [row["grades"][0] for row in chosen_problems(problems, 10) if row["grades"]]
    assert len(chosen) == 20 and len(set(grades)) == 9
    assert set(chosen) < {row["problem"] for row in chosen_problems(problems, 14)}
    assert len(chosen_problems(problems, 0)) == sum(bool(row["standards"] or row["answer"]) for row in problems)


def test_made_problems_are_the_same_every_time() -> None:
    assert json.dumps(made_problems()) == json.dumps(made_problems())
    assert all(row["standards"][0] == "Answering" for row in made_stories())
