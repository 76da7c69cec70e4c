"""The recipe of the questions that are made from held-out documents."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from catalog.settings import Settings
from dagster_project.families.demo.sizes import size_of

if TYPE_CHECKING:
    from spark_jobs.evals.continuations import QuestionRecipe


def question_recipe(settings: Settings, *_: Any) -> QuestionRecipe:
    """Return the recipe of the questions: how many there are of each task, and how long they are."""
    from spark_jobs.evals.continuations import QuestionRecipe

    return QuestionRecipe(per_task=size_of(settings).questions_per_task)
