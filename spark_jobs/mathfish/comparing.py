"""Which wording of the prompts a model answers best, on problems that are not asked about afterwards."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from spark_jobs.mathfish.asking import AskRecipe, Replies, answers
from spark_jobs.mathfish.curriculum import Curriculum
from spark_jobs.mathfish.results import result_rows
from spark_jobs.mathfish.tasks import TaskRecipe, tasks_of
from spark_jobs.mathfish.wordings import PLAIN, WORDINGS

Row = dict[str, Any]
COMPARED = {"verification": "balanced_acc", "tagging": "acc"}
"""The kinds of prompts whose wordings are compared, and the measure that decides.

Five verifications of six have the answer no, so that accuracy would choose the wording to which a model always says no.
"""


def not_compared(name: str) -> list[Row]:
    """Rows of mathfish.wordings for a model whose wordings are not compared: it is asked in the first one."""
    return [_row(name, kind, PLAIN, problems=0) | {"rank": 1, "chosen": True} for kind in COMPARED]


def compared(
    asker: Replies,
    name: str,
    tree: Curriculum,
    problems: Sequence[Mapping[str, Any]],
    *,
    tasks: TaskRecipe,
    recipe: AskRecipe,
) -> list[Row]:
    """Rows of mathfish.wordings: how well a model answers each wording, best first, and the choice.

    The wording with the best score is chosen; of equal ones that with more well-formed replies, then the earlier one
    of `wordings.WORDINGS`.

    Args:
        asker: where replies come from.
        name: the entry of `[models]`.
        tree: the curriculum.
        problems: rows of mathfish.problems of the development split.
        tasks: the choices of the prompts. Shots, negatives and draws are the same in every wording.
        recipe: how replies are sampled.

    Raises:
        WatershedError: see `asking.answers`.
    """
    measured: dict[str, list[Row]] = {kind: [] for kind in COMPARED}
    for wording in WORDINGS:
        worded = replace(tasks, verification=wording, tagging=wording)
        asked = [task.row() for task in tasks_of(tree, problems, worded) if task.kind in COMPARED]
        if not asked:
            return not_compared(name)
        given = answers(asker, name, asked, recipe, _unsolved, purpose="wordings")
        found = result_rows(name, tree, {row["task"]: row for row in asked}, given, traversals=[], judgements=[])
        for kind, score in COMPARED.items():
            of = {row["measure"]: row for row in found if (row["task"], row["by"]) == (kind, "all")}
            row = _row(name, kind, wording, problems=len({task["problem"] for task in asked if task["kind"] == kind}))
            values = {name: of[name]["value"] if name in of else None for name in (score, "acc", "weak_acc")}
            row |= {"prompts": of["acc"]["rows"], "score": values[score], "acc": values["acc"]}
            row |= {"weak_acc": values["weak_acc"], "chance": of[score]["chance"] if score in of else None}
            row |= {"ok_format": of["ok_format"]["value"], "malformed": int(of["malformed"]["value"])}
            measured[kind].append(row)
    rows = []
    for own in measured.values():
        for rank, row in enumerate(sorted(own, key=lambda row: (-(row["score"] or 0.0), -row["ok_format"])), start=1):
            rows.append(row | {"rank": rank, "chosen": rank == 1})
    return rows


def chosen_wordings(rows: Iterable[Mapping[str, Any]], tasks: TaskRecipe) -> TaskRecipe:
    """The choices of the prompts with the wordings that rows of mathfish.wordings, of one model, choose."""
    return replace(tasks, **{row["kind"]: row["wording"] for row in rows if row["chosen"]})


def reworded(
    tree: Curriculum, asked: Sequence[Mapping[str, Any]], problems: Iterable[Mapping[str, Any]], tasks: TaskRecipe
) -> list[Row]:
    """Rows of mathfish.tasks in other words, with the wording of each; all else is the same.

    Args:
        tree: the curriculum.
        asked: rows of mathfish.tasks, in the first wording.
        problems: rows of mathfish.problems that they were made of.
        tasks: the choices of the prompts, with the wordings.
    """
    words = {"verification": tasks.verification, "tagging": tasks.tagging, "solving": None}
    if (tasks.verification, tasks.tagging) == (PLAIN, PLAIN):
        return [{**row, "wording": words[row["kind"]]} for row in asked]
    messages = {task.task: task.row()["messages"] for task in tasks_of(tree, problems, tasks)}
    return [{**row, "wording": words[row["kind"]], "messages": messages[row["task"]]} for row in asked]


def _row(name: str, kind: str, wording: str, *, problems: int) -> Row:
    row: Row = {"model": name, "kind": kind, "wording": wording, "problems": problems, "prompts": 0}
    row |= {"measure": COMPARED[kind], "malformed": 0}
    return row | dict.fromkeys(("score", "chance", "acc", "weak_acc", "ok_format"))


def _unsolved(reply: str, answer: str) -> tuple[str | None, float]:
    raise AssertionError(f"no solving prompt is compared: {reply!r}, {answer!r}")
