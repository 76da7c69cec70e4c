"""The choices of the questions that are made from held-out documents."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from catalog.settings import Settings

if TYPE_CHECKING:
    from spark_jobs.evals.continuations import QuestionRecipe

QUESTIONS_PER_TASK = {"smoke": 120, "small": 400, "standard": 1000}
"""By ladder: more questions tell smaller differences, and take longer."""


def question_recipe(settings: Settings, *_: Any) -> QuestionRecipe:
    """How many questions are asked, and how long they are."""
    from spark_jobs.evals.continuations import QuestionRecipe

    return QuestionRecipe(per_task=QUESTIONS_PER_TASK[settings.ladder.name])
