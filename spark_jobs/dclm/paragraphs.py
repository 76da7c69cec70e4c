"""dclm.paragraphs: what is left of each document after text that occurred earlier in its shard is removed.

A Bloom filter finds repeated paragraphs and documents (bff). If the recipe names `substrings`, repeated substrings are
removed after them, byte for byte.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from catalog.errors import WatershedError
from catalog.lake import Lake, Part
from catalog.tables.dclm import PARAGRAPHS
from spark_jobs.dclm.shard_paragraphs import deduplicate_shards
from spark_jobs.dclm.survivors import judged
from spark_jobs.dedup.paragraphs import ParagraphOptions
from spark_jobs.dedup.substrings import SubstringOptions
from spark_jobs.recipes import deduplications
from spark_jobs.recipes.recipe import Recipe
from spark_jobs.spark import tables as write

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


def paragraph_options(recipe: Recipe) -> tuple[ParagraphOptions, float]:
    """How the recipe removes paragraphs, and the false-positive rate of its Bloom filter.

    Raises:
        WatershedError: the recipe removes no paragraphs.
    """
    for step in recipe.deduplicate:
        if step.method == "paragraphs":
            return deduplications.paragraph_options(step)
    raise WatershedError(
        f"recipe {recipe.name} removes no paragraphs", "give it `deduplicate: [{method: paragraphs, source: ...}]`"
    )


def substring_options(recipe: Recipe) -> SubstringOptions | None:
    """How the recipe removes repeated substrings after paragraphs; None if it does not.

    Raises:
        WatershedError: it removes them before paragraphs.
    """
    methods = [step.method for step in recipe.deduplicate]
    for step in recipe.deduplicate:
        if step.method == "substrings":
            if "paragraphs" in methods[methods.index("substrings") :]:
                raise WatershedError(
                    f"recipe {recipe.name}: the lake removes paragraphs first, then substrings",
                    "list `substrings` after `paragraphs` in `deduplicate`",
                )
            return deduplications.substring_options(step)
    return None


def write_paragraphs(spark: SparkSession, lake: Lake, parts: Sequence[Part], recipe: Recipe) -> list[dict[str, Any]]:
    """Replace partitions of dclm.paragraphs, in one transaction, by what is left of the documents of each.

    Returns:
        of each part documents compared, and those kept.

    Raises:
        WatershedError: a table that this one is made from is missing, or the filter would not fit into memory.
    """
    from pyspark.sql import functions as F

    options, rate = paragraph_options(recipe)
    documents = write.within(judged(spark, lake, recipe.name), parts)
    left = deduplicate_shards(documents, options, substrings=substring_options(recipe), false_positive_rate=rate)
    frame = left.select(
        *(name for name in PARAGRAPHS.schema.names if name not in ("text", "text_bytes")),
        F.when((F.size("removed_spans") > 0) | (F.col("repeated_bytes") > 0), F.col("text")).alias("text"),
        F.octet_length("text").cast("long").alias("text_bytes"),
    )
    write.replace_parts(frame, PARAGRAPHS, lake, parts)
    tallies = write.counts_by_part(lake, PARAGRAPHS.name, "kept", parts)
    return [{"documents": sum(tally.values()), "kept": tally.get("True", 0)} for tally in tallies]
