"""The assets of the family `dclm`: training shards from web archives."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from catalog.tables.dclm import (
    CONTAMINATION,
    CONTAMINATION_REPORT,
    DOCUMENTS,
    DUPLICATES,
    MEASUREMENTS,
    MIXTURE,
    MIXTURE_BUCKETS,
    PARAGRAPHS,
    POOL,
    QUALITY_MODEL,
    SCORES,
    SHARDS_TABLE,
    SPANS,
    TOKENIZER,
    VERDICTS,
)
from dagster_project.engine.making import Making
from dagster_project.engine.table_asset import table_asset
from dagster_project.families.dclm.archives import archive_bytes, changed_archives, pool_rows, shards_of
from dagster_project.families.dclm.partitions import POOL_SHARDS
from dagster_project.families.dclm.recipes import (
    contamination_literals,
    contamination_recipe,
    duplicates_recipe,
    mixture_recipe,
    paragraph_literals,
    quality_recipe,
    recipe_in_use,
    rule_recipes,
    score_literals,
    score_recipe,
    shard_recipe,
    tokenizer_recipe,
)

if TYPE_CHECKING:
    import pyarrow as pa


def _digests(rows: pa.Table) -> list[dict[str, Any]]:
    return rows.select(["warc", "digest", "state"]).sort_by("warc").to_pylist()


@table_asset(
    POOL,
    code_version="1",
    recipe=pool_rows,
    identity=_digests,
    cut=POOL_SHARDS,
    keys=shards_of,
    changes=changed_archives,
    together=archive_bytes,
)
def pool(making: Making) -> list[dict[str, Any]]:
    """Registers the archives that `[crawl] inputs` names. No record is read."""
    import pyarrow as pa

    rows = [making.recipe_of(part) for part in making.parts]
    making.lake.replace_parts(POOL, pa.concat_tables(rows), making.parts)
    return [{"archives": each.num_rows} for each in rows]


@table_asset(DOCUMENTS, code_version="3", cut=POOL_SHARDS, keys=shards_of, together=archive_bytes, engine="spark")
def documents(making: Making) -> list[dict[str, Any]]:
    """Reads records, extracts text, identifies the language, measures, and computes MinHashes, in one Spark stage."""
    from spark_jobs.dclm.documents import write_documents

    return write_documents(making.spark, making.lake, making.parts)


@table_asset(
    MEASUREMENTS,
    code_version="2",
    recipe=rule_recipes,
    identity=lambda recipes: [recipe.measuring() for recipe in recipes],
    cut=POOL_SHARDS,
    keys=shards_of,
    together=archive_bytes,
    engine="spark",
)
def measurements(making: Making) -> list[dict[str, Any]]:
    """Applies the edits of the recipes, and computes the statistics that their rules need, whatever the thresholds."""
    from spark_jobs.dclm.measurements import write_measurements

    return write_measurements(making.spark, making.lake, making.parts, making.recipe)


@table_asset(
    VERDICTS,
    code_version="2",
    recipe=rule_recipes,
    identity=lambda recipes: [recipe.fingerprint() for recipe in recipes],
    cut=POOL_SHARDS,
    keys=shards_of,
    together=archive_bytes,
    engine="spark",
)
def verdicts(making: Making) -> list[dict[str, Any]]:
    """Applies the rules to the stored statistics. No text is read again when a threshold changes."""
    from spark_jobs.dclm.verdicts import write_verdicts

    return write_verdicts(making.spark, making.lake, making.parts, making.recipe)


@table_asset(DUPLICATES, code_version="2", recipe=duplicates_recipe, engine="spark")
def duplicates(making: Making) -> dict[str, Any]:
    """Finds equal texts by hash, and near-duplicates by MinHash-LSH over the stored signatures and their texts.

    On one machine, only changed shards are compared with an index of the others. A Spark cluster compares all shards.
    Both find the same clusters.
    """
    from spark_jobs.dclm.duplicates import write_duplicates
    from spark_jobs.dclm.incremental_duplicates import update_duplicates

    spark = making.settings.spark
    rules, options = making.recipe
    if spark.remote or not spark.master.startswith("local"):
        return write_duplicates(making.spark, making.lake, rules, making.fingerprint, options)
    counts = update_duplicates(making.lake, rules, making.fingerprint, options)
    making.wrote(making.lake.folder(DUPLICATES.name, "index"))
    return counts


@table_asset(
    PARAGRAPHS,
    code_version="2",
    recipe=recipe_in_use,
    identity=paragraph_literals,
    cut=POOL_SHARDS,
    keys=shards_of,
    together=archive_bytes,
    engine="spark",
)
def paragraphs(making: Making) -> list[dict[str, Any]]:
    """Removes paragraphs that repeat earlier text of the shard, by a Bloom filter over 13-grams."""
    from spark_jobs.dclm.paragraphs import write_paragraphs

    return write_paragraphs(making.spark, making.lake, making.parts, making.recipe)


@table_asset(QUALITY_MODEL, code_version="1", recipe=quality_recipe, engine="spark")
def quality_model(making: Making) -> dict[str, Any]:
    """Trains a fastText classifier on the declared positives and negatives, and evaluates it on held-out documents."""
    from spark_jobs.dclm.quality_model import write_quality_model

    rules, recipe = making.recipe
    counts = write_quality_model(making.spark, making.lake, rules, recipe, making.fingerprint)
    making.wrote(making.lake.folder(QUALITY_MODEL.name, f"{making.fingerprint}.bin"))
    return counts


@table_asset(SCORES, code_version="2", recipe=score_recipe, identity=score_literals, engine="spark")
def scores(making: Making) -> dict[str, Any]:
    """Scores documents that passed the rules, one of each cluster of copies, and labels topics if configured."""
    from spark_jobs.dclm.scores import write_scores

    rules, labelling = making.recipe
    return write_scores(making.spark, making.lake, rules, making.fingerprint, labelling)


@table_asset(
    CONTAMINATION,
    CONTAMINATION_REPORT,
    code_version="1",
    recipe=contamination_recipe,
    identity=contamination_literals,
    engine="spark",
)
def contamination(making: Making) -> dict[str, Any]:
    """Searches the remaining documents for examples of declared evaluations. Without any, it does nothing."""
    from spark_jobs.dclm.contamination import write_contamination

    rules, options, files = making.recipe
    return write_contamination(making.spark, making.lake, rules, files, making.fingerprint, options)


@table_asset(MIXTURE, MIXTURE_BUCKETS, code_version="2", recipe=mixture_recipe, engine="spark")
def mixture(making: Making) -> dict[str, Any]:
    """Selects documents by score, holds some out for evaluation, and sets how often each bucket is read."""
    from spark_jobs.dclm.mixture import write_mixture

    return write_mixture(making.spark, making.lake, making.recipe, making.fingerprint)


@table_asset(TOKENIZER, code_version="1", recipe=tokenizer_recipe, engine="spark")
def tokenizer(making: Making) -> dict[str, Any]:
    """Trains a byte-level BPE tokenizer on a sample of the training split."""
    from spark_jobs.dclm.tokenizer import write_tokenizer

    counts = write_tokenizer(making.spark, making.lake, making.recipe, making.fingerprint)
    making.wrote(making.lake.folder(TOKENIZER.name, making.fingerprint))
    return counts


@table_asset(SHARDS_TABLE, SPANS, code_version="1", recipe=shard_recipe, engine="spark")
def shards(making: Making) -> dict[str, Any]:
    """Tokenises the mixture in a seeded order, writes tar shards, and records the position of every document."""
    from spark_jobs.dclm.shards import write_shards

    counts = write_shards(making.spark, making.lake, making.recipe, making.fingerprint)
    making.wrote(making.lake.folder(SHARDS_TABLE.name, making.fingerprint))
    return counts
