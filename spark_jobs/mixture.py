"""What is trained on: the best buckets, split into train and held-out text, each document as often as its bucket says.

Every choice is by hash of the document, so adding documents to the lake moves none that were there before.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from catalog.errors import WatershedError
from catalog.lake import Lake
from catalog.tables.dclm import MIXTURE
from spark_jobs import write
from spark_jobs.hash_order import hash_key_column, key_of_share
from spark_jobs.scores import BUCKETS
from spark_jobs.survivors import survivors

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame, SparkSession


@dataclass(frozen=True, kw_only=True)
class MixtureRecipe:
    """What is taken from where, and how often."""

    name: str = "documentation"
    rules: str = "dclm-baseline"
    """Recipe whose edits the texts carry."""
    keep_fraction: float = 0.8
    """Share of the pool that is taken, the best first, in tenths; DCLM-Baseline takes 0.1."""
    heldout_share: float = 0.1
    """Share of the taken documents that is never trained on."""
    repeats: tuple[int, ...] = (1, 1, 1, 1, 1, 1, 1, 1, 1, 2)
    """How often a pass over the training data reads a document of bucket 0, 1, ... 9."""
    max_source_share: float = 1.0
    """Most of the taken bytes that one host may give; a larger one is thinned by hash."""
    seed: int = 0

    def __post_init__(self) -> None:
        buckets = self.keep_fraction * BUCKETS
        wrong = [
            said
            for said, holds in (
                (f"keep_fraction {self.keep_fraction} is no tenth", 1 <= round(buckets) <= BUCKETS),
                (f"keep_fraction {self.keep_fraction} is no tenth", math.isclose(buckets, round(buckets))),
                (f"heldout_share {self.heldout_share} is not between 0 and 1", 0 < self.heldout_share < 1),
                (f"repeats has {len(self.repeats)} numbers, not {BUCKETS}", len(self.repeats) == BUCKETS),
                (f"repeats {self.repeats} are not all 1 to 100", all(1 <= times <= 100 for times in self.repeats)),
                (f"max_source_share {self.max_source_share} is not in (0, 1]", 0 < self.max_source_share <= 1),
            )
            if not holds
        ]
        if wrong:
            raise WatershedError(f"mixture {self.name}: {wrong[0]}", "correct its MixtureRecipe")

    @property
    def lowest_bucket(self) -> int:
        """Buckets from this one up are taken."""
        return BUCKETS - round(self.keep_fraction * BUCKETS)


def write_mixture(spark: SparkSession, lake: Lake, recipe: MixtureRecipe, fingerprint: str) -> dict[str, Any]:
    """Choose among the scored documents: dclm.mixture.

    Raises:
        WatershedError: nothing is left to train on or to hold out, or no mixture keeps under `max_source_share`.
    """
    from pyspark.sql import functions as F

    taken = _taken(spark, lake, recipe)
    shares = source_shares(taken, recipe)
    heldout = hash_key_column(recipe.seed, "split", "doc_id") < key_of_share(recipe.heldout_share)
    repeats = F.array(*(F.lit(times) for times in recipe.repeats))[F.col("bucket")]
    frame = taken.where(_within_share(shares, recipe)).select(
        "doc_id",
        F.lit(recipe.rules).alias("recipe"),
        "source",
        "bucket",
        F.when(heldout, "heldout").otherwise("train").alias("split"),
        F.when(heldout, 1).otherwise(repeats).cast("int").alias("repeats"),
        "text_bytes",
    )
    counts = _counts(frame, recipe)
    write.replace(frame, MIXTURE, lake, fingerprint)
    return counts


def _taken(spark: SparkSession, lake: Lake, recipe: MixtureRecipe) -> DataFrame:
    from pyspark.sql import functions as F

    scores = write.read(spark, lake, "dclm.scores").where(F.col("bucket") >= recipe.lowest_bucket)
    documents = survivors(spark, lake, recipe.rules).select(
        "doc_id", F.coalesce("host", F.lit("unknown")).alias("source"), "text_bytes"
    )
    return scores.select("doc_id", "bucket").join(documents, "doc_id")


def source_shares(taken: DataFrame, recipe: MixtureRecipe) -> dict[str, float]:
    """Share of its documents that each too large source keeps, so that none gives more than `max_source_share`.

    With cap c and bytes b the total T solves T = sum of min(b, c T): at most 1/c sources are cut, the largest ones.
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


def _counts(frame: DataFrame, recipe: MixtureRecipe) -> dict[str, Any]:
    from pyspark.sql import functions as F

    sums = (
        F.count("*").alias("documents"),
        F.sum("text_bytes").alias("bytes"),
        F.sum(F.col("text_bytes") * F.col("repeats")).alias("read_bytes"),
    )
    rows = frame.groupBy("split").agg(*sums).collect()
    found = {row["split"]: row for row in rows}
    if len(found) < 2:
        raise WatershedError(
            f"mixture {recipe.name}: no document is left for {'heldout' if 'train' in found else 'train'}",
            "raise `heldout_share` or `keep_fraction` of its MixtureRecipe, or give it a larger crawl",
        )
    return {
        f"{split}_{what}": int(found[split][what])
        for split in ("train", "heldout")
        for what in ("documents", "bytes", "read_bytes")
    }
