"""The choices of the main jobs that bear on what is made; all of them enter fingerprints.

Functions, because the modules that define recipes are imported when a recipe is used and not before.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from catalog.settings import Settings

if TYPE_CHECKING:
    from spark_jobs.mixture import MixtureRecipe
    from spark_jobs.quality_model import QualityRecipe
    from spark_jobs.questions import QuestionRecipe
    from spark_jobs.recipe import Recipe
    from spark_jobs.shards import ShardRecipe
    from spark_jobs.tokenizer import TokenizerRecipe

RULES = "dclm-baseline"
"""The recipe whose verdicts go on to deduplication, scoring and the mixture."""

JUDGES = (RULES, "gopher", "language-only")
"""Recipes whose verdicts are kept; one or ten cost nearly the same, for they read stored statistics."""

VOCABULARY = 2048
"""Entries of the tokenizer. Small, as the ladder's models are: their output layer is most of their cost."""

SEQUENCE_LENGTH = 128
"""Tokens that a model predicts at once."""

QUESTIONS_PER_TASK = {"smoke": 120, "small": 400, "standard": 1000}
"""By ladder: more questions tell smaller differences, and take longer."""


def rule_recipes() -> list[Recipe]:
    """The recipes that judge documents."""
    from spark_jobs.recipe_file import load_recipe

    return [load_recipe(name) for name in JUDGES]


def recipe_in_use() -> Recipe:
    """The recipe whose verdicts go on."""
    from spark_jobs.recipe_file import load_recipe

    return load_recipe(RULES)


def paragraph_literals() -> Any:
    """What decides which paragraphs were met before."""
    return [RULES, [[step.method, dict(step.options)] for step in recipe_in_use().deduplicate]]


def quality_recipe() -> QualityRecipe:
    """How the quality classifier is trained."""
    from spark_jobs.quality_model import QualityRecipe

    return QualityRecipe()


def mixture_recipe() -> MixtureRecipe:
    """What is taken for training."""
    from spark_jobs.mixture import MixtureRecipe

    return MixtureRecipe(rules=RULES)


def tokenizer_recipe() -> TokenizerRecipe:
    """How the vocabulary is learnt."""
    from spark_jobs.tokenizer import TokenizerRecipe

    return TokenizerRecipe(vocab_size=VOCABULARY)


def shard_recipe() -> ShardRecipe:
    """How the token stream is cut."""
    from spark_jobs.shards import ShardRecipe

    return ShardRecipe(sequence_length=SEQUENCE_LENGTH)


def question_recipe(settings: Settings) -> QuestionRecipe:
    """How many questions are asked, and how long they are."""
    from spark_jobs.questions import QuestionRecipe

    return QuestionRecipe(per_task=QUESTIONS_PER_TASK[settings.ladder.name])
