"""The choices that decide the rows of the family `dclm`; all of them enter fingerprints.

Each recipe is a function of the settings and the partition, called when an asset is made or its fingerprint is
computed, because the modules that define recipes are imported when a recipe is used and not before.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from catalog.errors import WatershedError

if TYPE_CHECKING:
    from spark_jobs.classifiers.topics import Labelling
    from spark_jobs.dclm.quality_model import QualityRecipe
    from spark_jobs.dclm.shards import ShardRecipe
    from spark_jobs.dclm.tokenizer import TokenizerRecipe
    from spark_jobs.recipes.recipe import Recipe
    from spark_jobs.selection.recipe import MixtureRecipe

RULES = "dclm-baseline"
"""The recipe whose verdicts decide deduplication, scoring and the mixture."""

JUDGES = (RULES, "gopher", "language-only")
"""The recipes whose verdicts are kept. Ten cost nearly as little as one, because they read stored statistics."""

CONTAMINATION_WORDS = 13
"""Words of an n-gram that a document and an evaluation example must share to count as overlapping."""

VOCABULARY = 2048
"""Entries of the tokenizer. Few, because the output layer is most of the cost of the ladder's small models."""

SEQUENCE_LENGTH = 128
"""Tokens that a model predicts at once."""


def rule_recipes(*_: Any) -> list[Recipe]:
    """The recipes that judge documents."""
    from spark_jobs.recipes.reader import load_recipe

    return [load_recipe(name) for name in JUDGES]


def recipe_in_use(*_: Any) -> Recipe:
    """The recipe named `RULES`."""
    from spark_jobs.recipes.reader import load_recipe

    return load_recipe(RULES)


def paragraph_literals(recipe: Recipe) -> Any:
    """What of a recipe decides which paragraphs are removed as repeated."""
    return [recipe.name, [[step.method, dict(step.options)] for step in recipe.deduplicate]]


def quality_recipe(*_: Any) -> tuple[str, QualityRecipe]:
    """The recipe whose survivors the quality classifier is trained on, and how it is trained."""
    from spark_jobs.dclm.quality_model import QualityRecipe

    return RULES, QualityRecipe()


def score_recipe(*_: Any) -> tuple[str, Labelling | None]:
    """The recipe whose survivors are scored, and how a document gets its topic (None: documents get no topic)."""
    return RULES, None


def score_literals(recipe: tuple[str, Labelling | None]) -> Any:
    """What of `score_recipe` decides scores and topics."""
    rules, labelling = recipe
    return [rules, labelling.identity if labelling else None]


def evaluation_files() -> list[Path]:
    """The evaluations that must not be trained on: the JSONL files in the folder that WATERSHED_EVALUATIONS names.

    Raises:
        WatershedError: The folder holds no JSONL file.
    """
    folder = os.environ.get("WATERSHED_EVALUATIONS")
    if not folder:
        return []
    if not (files := sorted(Path(folder).glob("*.jsonl"))):
        raise WatershedError(
            f"{folder}, which WATERSHED_EVALUATIONS names, holds no JSONL file", "put one there for each evaluation"
        )
    return files


def contamination_recipe(*_: Any) -> tuple[str, int, list[Path]]:
    """The recipe whose survivors are searched, the words of an n-gram, and the files of evaluation examples."""
    return RULES, CONTAMINATION_WORDS, evaluation_files()


def contamination_literals(recipe: tuple[str, int, Sequence[Path]]) -> Any:
    """What of `contamination_recipe` decides the rows: an evaluation counts by its content, not by its path."""
    rules, words, files = recipe
    return [rules, words, [[path.stem, _digest(path)] for path in files]]


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def mixture_recipe(*_: Any) -> MixtureRecipe:
    """What is taken for training: nothing that shares an n-gram with a declared evaluation."""
    from spark_jobs.selection.recipe import MixtureRecipe

    return MixtureRecipe(rules=RULES, max_contamination=0.0 if evaluation_files() else None)


def tokenizer_recipe(*_: Any) -> TokenizerRecipe:
    """How the vocabulary is trained."""
    from spark_jobs.dclm.tokenizer import TokenizerRecipe

    return TokenizerRecipe(vocab_size=VOCABULARY)


def shard_recipe(*_: Any) -> ShardRecipe:
    """How the token stream is cut into sequences."""
    from spark_jobs.dclm.shards import ShardRecipe

    return ShardRecipe(sequence_length=SEQUENCE_LENGTH)
