"""dclm.mixture: the training documents, repeated by topic and quality as the recipe's curve says, and a held-out share.

Every choice is by a hash of the document, so new documents in the lake change the choice of others only if their
quantile changes. dclm.mixture_buckets reports the result.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from catalog.errors import WatershedError
from catalog.lake import Lake
from catalog.tables.dclm import MIXTURE, MIXTURE_BUCKETS
from spark_jobs.dclm.survivors import survivors
from spark_jobs.hash_order import hash_key_column, key_of_share
from spark_jobs.selection.buckets import bucket_rows, split_counts
from spark_jobs.selection.quantiles import ALL, quantile_cuts, quantile_place
from spark_jobs.selection.recipe import MixtureRecipe, Threshold, Within
from spark_jobs.spark import tables as write

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame, SparkSession


def write_mixture(spark: SparkSession, lake: Lake, recipe: MixtureRecipe, fingerprint: str) -> dict[str, Any]:
    """Replace dclm.mixture by a choice of the scored documents, and dclm.mixture_buckets by a row for each bucket.

    Raises:
        WatershedError: no document is left to train on or to hold out; `max_source_share` cannot be met; a weighted
            topic has no document; or `max_contamination` is set and no evaluation is declared.
    """
    from pyspark.sql import functions as F

    pool = _pool(spark, lake, recipe)
    times = _times(recipe)
    whole = F.array(*(F.lit(math.floor(each)) for each in times))[F.col("times_index")]
    more = F.array(*(F.lit(key_of_share(float(each % 1))) for each in times))[F.col("times_index")]
    again = hash_key_column(recipe.seed, "part of a time", "doc_id") < more
    heldout = hash_key_column(recipe.seed, "split", "doc_id") < key_of_share(recipe.heldout_share)
    pool = pool.withColumns(
        {
            "recipe": F.lit(recipe.rules),
            "split": F.when(heldout, "heldout").otherwise("train"),
            "repeats": F.when(F.col("good"), whole + again.cast("int")).otherwise(0).cast("int"),
        }
    )
    shares = source_shares(pool.where("repeats > 0"), recipe)
    once = F.when(F.col("split") == "heldout", F.least("repeats", F.lit(1))).otherwise(F.col("repeats"))
    pool = pool.withColumn("repeats", F.when(_within_share(shares, recipe), once).otherwise(0).cast("int"))
    tally = _tally(pool)
    counts = split_counts(tally)
    _refuse_empty(tally, recipe)
    rows = bucket_rows(tally, recipe.boundaries(), recipe.times)
    lake.replace(MIXTURE_BUCKETS, pa.Table.from_pylist(rows, MIXTURE_BUCKETS.schema), fingerprint)
    write.replace(pool.where("repeats > 0"), MIXTURE, lake, fingerprint)
    return counts


def _pool(spark: SparkSession, lake: Lake, recipe: MixtureRecipe) -> DataFrame:
    """All scored documents with `place` (of the bucket), `times_index` (into `_times`) and `good` (may be taken)."""
    from pyspark.sql import functions as F

    group = F.lit(ALL) if recipe.quantiles is Within.POOL else F.coalesce("topic", F.lit(ALL))
    scores = write.read(spark, lake, "dclm.scores").withColumn("group", group)
    beginnings = recipe.boundaries()[1:]
    cuts = quantile_cuts(scores.select("doc_id", "score", "group"), beginnings) if beginnings else {}
    place = quantile_place(cuts) if cuts else F.lit(0)
    named = [F.when(F.col("topic") == topic, at) for at, (topic, _) in enumerate(recipe.topic_weights, start=1)]
    weighted = F.coalesce(*named, F.lit(0))
    documents = survivors(spark, lake, recipe.rules).select(
        "doc_id", F.coalesce("host", F.lit("unknown")).alias("source"), "text_bytes"
    )
    # `MixtureRecipe.times` is 0 for documents below a top fraction.
    good = F.lit(True)
    if isinstance(recipe.keep, Threshold):
        score, least = F.col("score"), recipe.keep.threshold
        good = score >= least if recipe.keep.comparison == ">=" else score > least
    scores = scores.select(
        "doc_id",
        "bucket",
        "topic",
        place.alias("place"),
        (weighted * (len(beginnings) + 1) + place).alias("times_index"),
        good.alias("good"),
    )
    return _clean(spark, lake, scores, recipe).join(documents, "doc_id")


def _times(recipe: MixtureRecipe) -> list[Fraction]:
    """Times by weighted topic (first those of topics without a weight), and within a topic by bucket."""
    topics = (None, *(topic for topic, _ in recipe.topic_weights))
    return [recipe.times(boundary, topic) for topic in topics for boundary in recipe.boundaries()]


def _clean(spark: SparkSession, lake: Lake, scores: DataFrame, recipe: MixtureRecipe) -> DataFrame:
    """Set `good` to false for documents that hold too much of an evaluation example."""
    from pyspark.sql import functions as F

    if recipe.max_contamination is None:
        return scores
    if not lake.read("dclm.contamination_report", columns=["evaluation"]).num_rows:
        raise WatershedError(
            f"mixture {recipe.name} drops documents with evaluation examples, but no evaluation is declared",
            "name a folder of JSONL files in WATERSHED_EVALUATIONS, or leave out `max_contamination`",
        )
    found = write.read(spark, lake, "dclm.contamination").where(F.col("share") >= recipe.max_contamination)
    held = found.select("doc_id").distinct().withColumn("held", F.lit(True))
    return scores.join(held, "doc_id", "left").withColumn("good", F.col("good") & F.col("held").isNull())


def source_shares(taken: DataFrame, recipe: MixtureRecipe) -> dict[str, float]:
    """The share of documents to keep of each source that exceeds `max_source_share`.

    With cap c and bytes b, the total T solves T = sum of min(b, c T). At most 1/c sources are cut, the largest ones.
    """
    from pyspark.sql import functions as F

    cap = recipe.max_source_share
    if cap == 1:
        return {}
    by_source = taken.groupBy("source").agg(F.sum("text_bytes").alias("bytes"))
    largest = by_source.orderBy(F.desc("bytes"), "source").limit(math.ceil(1 / cap)).collect()
    all_bytes = by_source.agg(F.sum("bytes")).collect()[0][0] or 0
    total, cut, rest = float(all_bytes), 0, float(all_bytes)
    while cut < len(largest) and largest[cut]["bytes"] > cap * total:
        rest -= largest[cut]["bytes"]
        cut += 1
        if cap * cut >= 1 or rest <= 0:
            raise WatershedError(
                f"mixture {recipe.name}: too few sources for none to give more than {cap:.0%} of the bytes",
                "raise `max_source_share` of its MixtureRecipe",
            )
        total = rest / (1 - cap * cut)
    return {row["source"]: cap * total / row["bytes"] for row in largest[:cut]}


def _within_share(shares: dict[str, float], recipe: MixtureRecipe) -> Column:
    from pyspark.sql import functions as F

    key = hash_key_column(recipe.seed, "source share", "doc_id")
    condition = F.lit(True)
    for source, share in shares.items():
        condition = condition & ((F.col("source") != source) | (key < key_of_share(share)))
    return condition


def _tally(pool: DataFrame) -> list[dict[str, Any]]:
    """By topic, bucket and split: documents and bytes of the pool, good enough, and taken, and the bytes read."""
    from pyspark.sql import functions as F

    def of(condition: Column, name: str) -> Iterable[Column]:
        yield F.count(F.when(condition, 1)).alias(f"{name}_documents")
        yield F.coalesce(F.sum(F.when(condition, F.col("text_bytes"))), F.lit(0)).alias(f"{name}_bytes")

    return [
        row.asDict()
        for row in pool.groupBy("topic", "place", "split")
        .agg(
            *of(F.lit(True), "pool"),
            *of(F.col("good"), "good"),
            *of(F.col("repeats") > 0, "taken"),
            F.sum(F.col("text_bytes") * F.col("repeats")).alias("read_bytes"),
        )
        .collect()
    ]


def _refuse_empty(tally: list[dict[str, Any]], recipe: MixtureRecipe) -> None:
    left = {row["split"] for row in tally if row["taken_documents"]}
    if len(left) < 2:
        raise WatershedError(
            f"mixture {recipe.name}: no document is left for {'heldout' if 'train' in left else 'train'}",
            "raise `heldout_share`, keep more, or give it a larger crawl",
        )
    topics = sorted({row["topic"] or ALL for row in tally})
    for topic, _ in recipe.topic_weights:
        if topic not in topics:
            raise WatershedError(
                f"mixture {recipe.name} weights the topic {topic!r}, which no document has",
                f"name some of {', '.join(topics)}",
            )
