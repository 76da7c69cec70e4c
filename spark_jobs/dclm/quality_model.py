"""dclm.quality_model: the quality classifier, trained on two classes of the documents that a recipe kept."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc

from catalog.errors import WatershedError
from catalog.lake import Lake
from catalog.tables.dclm import QUALITY_MODEL
from spark_jobs.classifiers.labels import GOOD, OTHER
from spark_jobs.classifiers.quality import QualityRecipe, train_classifier
from spark_jobs.dclm.survivors import survivors
from spark_jobs.hash_order import hash_key_column, key_of_share

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession


def write_quality_model(
    spark: SparkSession, lake: Lake, recipe: str, quality: QualityRecipe, fingerprint: str
) -> dict[str, Any]:
    """Train the classifier on the survivors of `recipe` and replace dclm.quality_model, which names its file.

    Raises:
        WatershedError: a predicate is not valid SQL over dclm.documents, or a class has too few documents.
    """
    labelled = _labelled(survivors(spark, lake, recipe), quality)
    found = {row["label"]: row["count"] for row in labelled.groupBy("label").count().collect()}
    good, other = found.get(GOOD, 0), found.get(OTHER, 0)
    if min(good, other) < quality.at_least:
        raise WatershedError(
            f"dclm.quality_model: {good} documents are positives and {other} negatives; "
            f"a classifier needs {quality.at_least} of each",
            "widen the predicates `positives` and `negatives` of its QualityRecipe, or give it a larger crawl",
        )
    examples = _examples(labelled, found, min(quality.per_class, good, other))
    path = lake.folder("dclm.quality_model") / f"{fingerprint}.bin"
    trained = train_classifier(examples, quality, path)
    row = {
        "model_id": trained.sha256[:16],
        "positives": quality.positives,
        "negatives": quality.negatives,
        "positive_documents": trained.trained_on[GOOD],
        "negative_documents": trained.trained_on[OTHER],
        "heldout_documents": trained.heldout,
        "heldout_accuracy": trained.accuracy,
        "seed": quality.seed,
        "path": lake.relative(path),
        "bytes": trained.bytes,
        "sha256": trained.sha256,
    }
    lake.replace(QUALITY_MODEL, pa.Table.from_pylist([row], schema=QUALITY_MODEL.schema), fingerprint)
    return {
        "positives_found": good,
        "negatives_found": other,
        "positive_documents": row["positive_documents"],
        "negative_documents": row["negative_documents"],
        "heldout_documents": trained.heldout,
        "heldout_accuracy": trained.accuracy,
        "bytes": trained.bytes,
    }


def _labelled(documents: DataFrame, recipe: QualityRecipe) -> DataFrame:
    """Documents of either class, with the class as `label` and a `key` that gives the hash order."""
    from pyspark.errors import AnalysisException, ParseException
    from pyspark.sql import functions as F

    try:
        is_good = F.coalesce(F.expr(recipe.positives), F.lit(False))
        is_other = F.coalesce(F.expr(recipe.negatives), F.lit(False))
        label = F.when(is_good, F.lit(GOOD)).when(is_other, F.lit(OTHER))
        key = hash_key_column(recipe.seed, "quality", "doc_id")
        labelled = documents.select("doc_id", "text", label.alias("label"), key.alias("key"))
        _ = labelled.schema
    except (AnalysisException, ParseException) as error:
        raise WatershedError(
            f"dclm.quality_model: {recipe.positives!r} or {recipe.negatives!r} is not a predicate over dclm.documents: "
            f"{str(error).splitlines()[0]}",
            "correct `positives` and `negatives` of its QualityRecipe",
        ) from error
    return labelled.where(F.col("label").isNotNull())


def _examples(labelled: DataFrame, found: dict[str, int], count: int) -> pa.Table:
    """The first `count` documents of each class in hash order.

    Spark returns only the share of keys that should hold them, enlarged by five standard deviations; the first `count`
    are then taken from these.
    """
    from pyspark.sql import functions as F

    chosen = F.lit(False)
    for label, documents in found.items():
        share = (count + 5 * math.sqrt(count)) / documents
        chosen = chosen | ((F.col("label") == label) & (F.col("key") < key_of_share(share)))
    rows = labelled.where(chosen).select("key", "label", "text").toArrow().sort_by("key")
    return pa.concat_tables([rows.filter(pc.field("label") == label).slice(0, count) for label in (GOOD, OTHER)])
