"""The choices of the main jobs that bear on what is made; all of them enter fingerprints.

Functions, because the modules that define recipes are imported when a recipe is used and not before.
"""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from catalog.errors import WatershedError
from catalog.settings import Settings

if TYPE_CHECKING:
    from spark_jobs.classifiers.quality import QualityRecipe
    from spark_jobs.classifiers.topics import Labelling
    from spark_jobs.evals.continuations import QuestionRecipe
    from spark_jobs.recipes.recipe import Recipe
    from spark_jobs.selection.recipe import MixtureRecipe
    from spark_jobs.shards.tokenizer import TokenizerRecipe
    from spark_jobs.shards.writer import ShardRecipe

RULES = "dclm-baseline"
"""The recipe whose verdicts go on to deduplication, scoring and the mixture."""

JUDGES = (RULES, "gopher", "language-only")
"""Recipes whose verdicts are kept; one or ten cost nearly the same, for they read stored statistics."""

CONTAMINATION_WORDS = 13
"""Words of an n-gram that a document and an evaluation example are told to share."""

VOCABULARY = 2048
"""Entries of the tokenizer. Small, as the ladder's models are: their output layer is most of their cost."""

SEQUENCE_LENGTH = 128
"""Tokens that a model predicts at once."""

QUESTIONS_PER_TASK = {"smoke": 120, "small": 400, "standard": 1000}
"""By ladder: more questions tell smaller differences, and take longer."""


def rule_recipes() -> list[Recipe]:
    """The recipes that judge documents."""
    from spark_jobs.recipes.reader import load_recipe

    return [load_recipe(name) for name in JUDGES]


def recipe_in_use() -> Recipe:
    """The recipe whose verdicts go on."""
    from spark_jobs.recipes.reader import load_recipe

    return load_recipe(RULES)


def paragraph_literals() -> Any:
    """What decides which paragraphs were met before."""
    return [RULES, [[step.method, dict(step.options)] for step in recipe_in_use().deduplicate]]


def quality_recipe() -> QualityRecipe:
    """How the quality classifier is trained."""
    from spark_jobs.classifiers.quality import QualityRecipe

    return QualityRecipe()


def labelling() -> Labelling | None:
    """How a document gets its topic; None where no topics are told."""
    return None


def topic_literals() -> Any:
    """What decides topics."""
    return chosen.identity if (chosen := labelling()) else None


def evaluation_files() -> list[Path]:
    """The evaluations that must not be trained on: the JSONL files in the folder that WATERSHED_EVALUATIONS names.

    Raises:
        WatershedError: the folder holds none.
    """
    folder = os.environ.get("WATERSHED_EVALUATIONS")
    if not folder:
        return []
    if not (files := sorted(Path(folder).glob("*.jsonl"))):
        raise WatershedError(
            f"{folder}, which WATERSHED_EVALUATIONS names, holds no JSONL file", "put one there for each evaluation"
        )
    return files


def contamination_literals() -> Any:
    """What decides which evaluation examples documents overlap with."""
    return [RULES, CONTAMINATION_WORDS, [[path.stem, _digest(path)] for path in evaluation_files()]]


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def mixture_recipe() -> MixtureRecipe:
    """What is taken for training: nothing that shares an n-gram with a declared evaluation."""
    from spark_jobs.selection.recipe import MixtureRecipe

    return MixtureRecipe(rules=RULES, max_contamination=0.0 if evaluation_files() else None)


def tokenizer_recipe() -> TokenizerRecipe:
    """How the vocabulary is learnt."""
    from spark_jobs.shards.tokenizer import TokenizerRecipe

    return TokenizerRecipe(vocab_size=VOCABULARY)


def shard_recipe() -> ShardRecipe:
    """How the token stream is cut."""
    from spark_jobs.shards.writer import ShardRecipe

    return ShardRecipe(sequence_length=SEQUENCE_LENGTH)


def question_recipe(settings: Settings) -> QuestionRecipe:
    """How many questions are asked, and how long they are."""
    from spark_jobs.evals.continuations import QuestionRecipe

    return QuestionRecipe(per_task=QUESTIONS_PER_TASK[settings.ladder.name])
