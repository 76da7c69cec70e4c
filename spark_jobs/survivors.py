"""Which documents go on, and with what text: kept by the recipe, as its edits left them, and no copy of another."""

from __future__ import annotations

from typing import TYPE_CHECKING

from catalog.lake import Lake
from spark_jobs import write

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession


def edited(spark: SparkSession, lake: Lake, recipe: str) -> DataFrame:
    """Rows of dclm.documents that have text, `text` and `text_bytes` as the edits of `recipe` left them."""
    from pyspark.sql import functions as F

    measured = write.read(spark, lake, "dclm.measurements").where(F.col("recipe") == recipe)
    edits = measured.select("doc_id", F.col("text").alias("edited_text"), F.col("text_bytes").alias("edited_bytes"))
    documents = write.read(spark, lake, "dclm.documents").where(F.col("text").isNotNull()).join(edits, "doc_id")
    return documents.withColumns({"text": F.coalesce("edited_text", "text"), "text_bytes": F.col("edited_bytes")}).drop(
        "edited_text", "edited_bytes"
    )


def texts_of(spark: SparkSession, lake: Lake, mixture: DataFrame) -> DataFrame:
    """`doc_id` and `text` of documents in rows of dclm.mixture, as the edits of the recipe that they name left it."""
    from pyspark.sql import functions as F

    wanted = mixture.select("doc_id", "recipe").distinct()
    measured = write.read(spark, lake, "dclm.measurements").select(
        "doc_id", "recipe", F.col("text").alias("edited_text")
    )
    documents = write.read(spark, lake, "dclm.documents").select("doc_id", F.col("text").alias("stored_text"))
    texts = documents.join(wanted.join(measured, ["doc_id", "recipe"]), "doc_id")
    return texts.select("doc_id", F.coalesce("edited_text", "stored_text").alias("text"))


def survivors(spark: SparkSession, lake: Lake, recipe: str) -> DataFrame:
    """Rows of dclm.documents that `recipe` kept, as its edits left them, and that dclm.duplicates does not drop."""
    from pyspark.sql import functions as F

    kept = write.read(spark, lake, "dclm.verdicts").where((F.col("recipe") == recipe) & F.col("kept"))
    dropped = write.read(spark, lake, "dclm.duplicates").where(~F.col("kept"))
    return (
        edited(spark, lake, recipe)
        .join(kept.select("doc_id"), "doc_id", "left_semi")
        .join(dropped.select("doc_id"), "doc_id", "left_anti")
    )
