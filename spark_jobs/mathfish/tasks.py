"""Prompts of verification, tagging and solving, made of problems with labels (arXiv 2408.04226, section 4).

Verification asks whether a problem teaches a standard: one of its own, or one drawn by five strategies. Tagging asks
for the domain groups, the clusters and the standards that a problem teaches, in three steps; here the branch of each
step is the right one (assisted). `asking.traverse` follows the choices of a model instead. Solving asks for the answer
of a problem that has one.

Every draw has a seed of its own, made of the seed of the recipe and the id of the prompt, so that a prompt does not
depend on which other problems are asked.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from catalog.tables.mathfish.answers import STRATEGIES
from catalog.tables.mathfish.curriculum import GRADES
from spark_jobs.mathfish import prompts
from spark_jobs.mathfish.curriculum import MODELING, Curriculum
from spark_jobs.mathfish.replies import LETTERS
from spark_jobs.mathfish.wordings import PLAIN, WORDINGS, tagging_template

NEGATIVES = STRATEGIES[1:]
SAME_DOMAIN = {"N": "NS", "NS": "N", "A": "OA", "OA": "A", "S": "SP", "SP": "S"}
"""Categories of high school and domains of K-8 that count as the same domain. EE is not A's, as published."""


@dataclass(frozen=True, kw_only=True)
class Option:
    """An option of a tagging prompt: its words, and the domain group, clusters or standard that it stands for."""

    text: str
    ids: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class TaskRecipe:
    """The choices of the prompts.

    Attributes:
        shots: worked examples in a prompt: 0, 1 or 3.
        negatives: standards that each of the five strategies draws.
        problem_characters: the most characters of a problem's text; 0 for all.
        seed: of all draws.
        words: the version of the prompts.
        verification: the wording of verification prompts, one of `wordings.WORDINGS`.
        tagging: the wording of tagging prompts.
    """

    shots: int = 0
    negatives: int = 1
    problem_characters: int = 0
    seed: int = 0
    words: str = prompts.VERSION
    verification: str = PLAIN
    tagging: str = PLAIN


@dataclass(frozen=True, kw_only=True)
class Task:
    """A prompt and its right answer. `mathfish.tasks` describes the fields."""

    task: str
    kind: str
    problem: str
    template: str
    text: str
    few_shots: str = ""
    grade: str | None = None
    level: str = ""
    branch: str = ""
    strategy: str = ""
    standard: str | None = None
    description: str = ""
    options: tuple[Option, ...] = ()
    correct: tuple[int, ...] = ()
    answer: str = ""
    shots: int = 0
    messages: tuple[tuple[str, str], ...] = field(init=False)

    def __post_init__(self) -> None:
        values = {
            "problem_activity": self.text,
            "standard_description": self.description,
            "options": prompts.lettered([option.text for option in self.options]),
            "few_shots": self.few_shots,
        }
        object.__setattr__(self, "messages", (("user", prompts.filled(self.template, values)),))

    def row(self) -> dict[str, Any]:
        """The row of mathfish.tasks."""
        names = ("task", "kind", "problem", "grade", "level", "branch", "strategy", "standard", "answer", "shots")
        return {
            **{name: getattr(self, name) for name in names},
            "options": [{"text": option.text, "ids": list(option.ids)} for option in self.options],
            "correct": list(self.correct),
            "messages": [{"role": role, "content": content} for role, content in self.messages],
        }


def grade_of(tree: Curriculum, standards: Iterable[str]) -> str | None:
    """The lowest grade of standards; None for none."""
    return min((tree.grade(standard) for standard in standards), key=GRADES.index, default=None)


def negatives_of(tree: Curriculum, positives: Sequence[str], strategy: str) -> list[str]:
    """The standards that a strategy may draw for a problem, sorted.

    `neighbors` are those next to a positive in the coherence map. The others have the same or a different domain and
    grade as any positive; high school is one grade, and its category is the domain.
    """
    own = set(positives)
    if strategy == "neighbors":
        return sorted({other for each in own for other in tree.neighbours.get(each, ())} - own)
    domain, _, grade, _ = strategy.split("-")
    domains = {tree.domain(each) for each in own}
    domains |= {SAME_DOMAIN[each] for each in domains if each in SAME_DOMAIN}
    grades = {tree.grade(each) for each in own}
    return sorted(
        each
        for each in tree.standards
        if each not in own
        and (tree.domain(each) in domains) == (domain == "same")
        and (tree.grade(each) in grades) == (grade == "same")
    )


def verification_tasks(tree: Curriculum, problem: Mapping[str, Any], recipe: TaskRecipe) -> Iterator[Task]:
    """Yield the verification prompts of a problem of mathfish.problems; none without a positive label."""
    positives = list(problem["standards"])
    if not positives:
        return
    chosen = [("positive", f"pos_{number}", standard) for number, standard in enumerate(positives)]
    number = 0
    for strategy in NEGATIVES:
        pool = negatives_of(tree, positives, strategy)
        draw = random.Random(f"{recipe.seed} {problem['problem']} {strategy}")
        for standard in draw.sample(pool, min(recipe.negatives, len(pool))):
            chosen.append((strategy, f"{strategy}_{number}", standard))
            number += 1
    for strategy, name, standard in chosen:
        task = f"{problem['problem']}_{name}"
        draw = random.Random(f"{recipe.seed} {task} shots")
        yield Task(
            task=task,
            kind="verification",
            problem=problem["problem"],
            grade=grade_of(tree, positives),
            strategy=strategy,
            standard=standard,
            description=tree[standard].description,
            template=WORDINGS[recipe.verification].verify,
            text=text_of(problem, recipe),
            few_shots=prompts.verification_shots(tree, recipe.shots, draw),
            answer="yes" if strategy == "positive" else "no",
            shots=recipe.shots,
        )


def text_of(problem: Mapping[str, Any], recipe: TaskRecipe) -> str:
    """The text of a row of mathfish.problems as prompts show it."""
    return prompts.shown_text(problem["text"], json.loads(problem["elements"]), recipe.problem_characters)


def tagging_tasks(tree: Curriculum, problem: Mapping[str, Any], recipe: TaskRecipe) -> Iterator[Task]:
    """Yield the assisted tagging prompts of a problem of mathfish.problems; none without a positive label.

    There is one for the domain groups, one for each right group's clusters, and one for each right cluster's standards.
    """
    if not problem["standards"]:
        return
    number = 0
    yield tagging_task(tree, problem, recipe, "domain")
    groups = [each.name for each in tree.groups if each.name in tree.gold_groups(problem["standards"])]
    for group in groups:
        if group != MODELING:
            yield tagging_task(tree, problem, recipe, "cluster", group, number=number)
            number += 1
    clusters = dict.fromkeys(tree[standard].parent for standard in problem["standards"])
    for number, cluster in enumerate(clusters):
        yield tagging_task(tree, problem, recipe, "standard", cluster, number=number)


def tagging_task(
    tree: Curriculum, problem: Mapping[str, Any], recipe: TaskRecipe, level: str, branch: str = "", *, number: int = 0
) -> Task:
    """The tagging prompt of a problem at a level: the options of a branch, shuffled, and the places of the right ones.

    Args:
        tree: the curriculum.
        problem: a row of mathfish.problems; `standards` may be empty, and then no option is right.
        recipe: the choices.
        level: domain, cluster or standard.
        branch: the domain group or the cluster; empty for the level domain.
        number: number of the prompt among those of the problem and level.
    """
    task = f"{problem['problem']}_{level}_{number}"
    options = branch_options(tree, level, branch)
    # The order of the options belongs to the branch, and not to the way that led there.
    draw = random.Random(f"{recipe.seed} {problem['problem']} {level} {branch}")
    draw.shuffle(options)
    gold = set(problem["standards"])
    if level == "domain":
        gold = tree.gold_groups(problem["standards"])
    elif level == "cluster":
        gold = {tree[standard].parent for standard in problem["standards"]}
    return Task(
        task=task,
        kind="tagging",
        problem=problem["problem"],
        grade=grade_of(tree, problem["standards"]),
        level=level,
        branch=branch,
        template=tagging_template(level, recipe.tagging),
        text=text_of(problem, recipe),
        few_shots=prompts.tagging_shots(tree, level, recipe.shots, draw),
        options=tuple(options),
        correct=tuple(place for place, option in enumerate(options) if gold & set(option.ids)),
        shots=recipe.shots,
    )


def branch_options(tree: Curriculum, level: str, branch: str) -> list[Option]:
    """The options of a branch, in the order of the curriculum: groups, a group's clusters, or a cluster's standards."""
    if level == "domain":
        return [Option(text=prompts.group_text(tree, each.name), ids=(each.name,)) for each in tree.groups]
    if level == "cluster":
        return [Option(text=text, ids=ids) for text, ids in tree.cluster_options(branch)]
    return [Option(text=tree[each].description, ids=(each,)) for each in tree.below(branch)]


def solving_tasks(problem: Mapping[str, Any], recipe: TaskRecipe) -> Iterator[Task]:
    """Yield the prompt that asks for the answer of a problem of mathfish.problems; none without an answer."""
    if problem["answer"]:
        yield Task(
            task=f"{problem['problem']}_solve_0",
            kind="solving",
            problem=problem["problem"],
            template=prompts.SOLVE,
            text=prompts.shown_text(problem["text"], json.loads(problem["elements"])),
            answer=problem["answer"],
        )


def tasks_of(tree: Curriculum, problems: Iterable[Mapping[str, Any]], recipe: TaskRecipe) -> Iterator[Task]:
    """Yield all prompts of problems, in their order."""
    for problem in problems:
        yield from verification_tasks(tree, problem, recipe)
        yield from tagging_tasks(tree, problem, recipe)
        yield from solving_tasks(problem, recipe)


def letters(places: Iterable[int]) -> list[str]:
    """The letters of places of options."""
    return [LETTERS[place] for place in places]
