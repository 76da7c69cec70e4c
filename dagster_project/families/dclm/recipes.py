"""The recipes of the family `dclm`: the choices that decide its rows. All of them are part of fingerprints.

Each recipe is a function of the settings and the partition. It is called when an asset runs or its fingerprint is
computed. The modules that define a recipe are imported only then, so that Dagster's definitions load quickly.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from catalog.errors import WatershedError
from catalog.settings import Settings, load_settings

if TYPE_CHECKING:
    from spark_jobs.classifiers.quality import QualityRecipe
    from spark_jobs.classifiers.topics import Labelling
    from spark_jobs.contamination.rules import Decontamination
    from spark_jobs.dedup.near_copies import NearCopies
    from spark_jobs.recipes.recipe import Recipe
    from spark_jobs.selection.recipe import MixtureRecipe
    from spark_jobs.shards.tokenizer import TokenizerRecipe
    from spark_jobs.shards.writer import ShardRecipe

RULES = "dclm-baseline"
"""The recipe whose verdicts decide deduplication, scoring and the mixture."""

JUDGES = (RULES, "gopher", "language-only")
"""The recipes whose verdicts are stored. They read stored statistics, so ten cost hardly more than one."""

DECONTAMINATION = "fields"
"""The rule by which documents are compared with evaluations, a name in `spark_jobs.contamination.rules`."""

EARLIER_WORDS = 13
"""Words of the n-grams of earlier versions: part of the fingerprint of tables without evaluations."""

VOCABULARY = 2048
"""The number of entries of the tokenizer. Few, because the output layer dominates the cost of small models."""

SEQUENCE_LENGTH = 128
"""The number of tokens of a training sequence that a model predicts."""


def rule_recipes(settings: Settings | None = None, *_: Any) -> list[Recipe]:
    """Return the recipes whose rules judge documents."""
    return [_recipe(settings, name) for name in JUDGES]


def recipe_in_use(settings: Settings | None = None, *_: Any) -> Recipe:
    """Return the recipe named `RULES`."""
    return _recipe(settings, RULES)


def _recipe(settings: Settings | None, name: str) -> Recipe:
    """Return the recipe `name` of the project's folder `recipes`, or else the one that comes with Watershed.

    Raises:
        WatershedError: The project's file is not a valid recipe, or is called otherwise than the recipe in it.
    """
    own = (settings or load_settings()).recipes_folder / f"{name}.yaml"
    if not own.is_file():
        return _read(name, None)
    stat = own.stat()
    recipe = _read(str(own), (stat.st_mtime_ns, stat.st_ctime_ns, stat.st_size))
    if recipe.name != name:
        raise WatershedError(
            f"{own} holds a recipe that is called {recipe.name!r}", f"write `name: {name}` in it, or rename the file"
        )
    return recipe


@functools.lru_cache(maxsize=16)
def _read(name_or_path: str, stamp: tuple[int, ...] | None) -> Recipe:
    from spark_jobs.recipes.reader import load_recipe

    return load_recipe(name_or_path)


def duplicates_recipe(settings: Settings | None = None, *_: Any) -> tuple[str, NearCopies]:
    """Return the name of the rules whose kept documents are compared, and when two of them are near copies.

    The options are those of the recipe's `minhash` step, or the defaults if it has none.

    Raises:
        WatershedError: The step has an option that a table of the lake does not have.
    """
    from spark_jobs.recipes.deduplications import near_copies_of

    return RULES, near_copies_of(recipe_in_use(settings))


def paragraph_literals(recipe: Recipe) -> Any:
    """Return the part of a recipe that decides which paragraphs are removed as repeated."""
    return [recipe.name, [[step.method, dict(step.options)] for step in recipe.deduplicate]]


def quality_recipe(*_: Any) -> tuple[str, QualityRecipe]:
    """Return the name of the rules whose kept documents train the classifier, and the recipe of its training."""
    from spark_jobs.classifiers.quality import QualityRecipe

    return RULES, QualityRecipe()


def score_recipe(*_: Any) -> tuple[str, Labelling | None]:
    """Return the name of the rules whose kept documents are scored, and the labelling of topics, or None."""
    return RULES, None


def score_literals(recipe: tuple[str, Labelling | None]) -> Any:
    """Return the part of `score_recipe` that decides scores and topics."""
    rules, labelling = recipe
    return [rules, labelling.identity if labelling else None]


def evaluation_files() -> list[Path]:
    """Return the JSONL files of the evaluations that must not be trained on.

    They are in the folder that the environment variable WATERSHED_EVALUATIONS names; without it, the list is empty.

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


def contamination_recipe(*_: Any) -> tuple[str, Decontamination, list[Path]]:
    """Return the name of the rules whose kept documents are searched, how they are compared, and the example files."""
    from spark_jobs.contamination.rules import RULES as DECONTAMINATIONS

    return RULES, DECONTAMINATIONS[DECONTAMINATION], evaluation_files()


def contamination_literals(recipe: tuple[str, Decontamination, Sequence[Path]]) -> Any:
    """Return the part of `contamination_recipe` that decides the rows: names and contents of files, not folders."""
    rules, options, files = recipe
    if not files:
        # The tables are empty by any rule, so they are not due again after a change of the rule.
        return [rules, EARLIER_WORDS, []]
    return [rules, dataclasses.asdict(options), [[path.stem, _digest(path)] for path in files]]


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def mixture_recipe(*_: Any) -> MixtureRecipe:
    """Return the recipe of the mixture: documents that hold an example of a declared evaluation are left out."""
    from spark_jobs.contamination.rules import RULES as DECONTAMINATIONS
    from spark_jobs.selection.recipe import MixtureRecipe

    share = DECONTAMINATIONS[DECONTAMINATION].share
    return MixtureRecipe(rules=RULES, max_contamination=share if evaluation_files() else None)


def tokenizer_recipe(*_: Any) -> TokenizerRecipe:
    """Return the recipe of the tokenizer."""
    from spark_jobs.shards.tokenizer import TokenizerRecipe

    return TokenizerRecipe(vocab_size=VOCABULARY)


def shard_recipe(*_: Any) -> ShardRecipe:
    """Return the recipe of the training shards."""
    from spark_jobs.shards.writer import ShardRecipe

    return ShardRecipe(sequence_length=SEQUENCE_LENGTH)
