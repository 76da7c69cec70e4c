"""The documents that survive each stage of curation, with the text that the stages left of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from catalog.lake import Lake
from spark_jobs.spark import tables as write

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame, SparkSession


def judged(spark: SparkSession, lake: Lake, recipe: str) -> DataFrame:
    """Rows of dclm.documents that `recipe` kept, as its edits left them, and that dclm.duplicates does not drop."""
    from pyspark.sql import functions as F

    kept = write.read(spark, lake, "dclm.verdicts").where((F.col("recipe") == recipe) & F.col("kept"))
    dropped = write.read(spark, lake, "dclm.duplicates").where(~F.col("kept"))
    documents = _edited(spark, lake, recipe).join(kept.select("doc_id"), "doc_id", "left_semi")
    return documents.join(dropped.select("doc_id"), "doc_id", "left_anti")


def survivors(spark: SparkSession, lake: Lake, recipe: str) -> DataFrame:
    """Rows of dclm.documents that dclm.paragraphs keeps, `text` and `text_bytes` as all stages left them."""
    from pyspark.sql import functions as F

    left = write.read(spark, lake, "dclm.paragraphs").where("kept")
    left = left.select("doc_id", F.col("text").alias("left_text"), F.col("text_bytes").alias("left_bytes"))
    documents = _edited(spark, lake, recipe).join(left, "doc_id")
    return documents.withColumns({"text": _first("left_text", "text"), "text_bytes": F.col("left_bytes")}).drop(
        "left_text", "left_bytes"
    )


def texts_of(spark: SparkSession, lake: Lake, mixture: DataFrame) -> DataFrame:
    """`doc_id` and `text` of the documents in rows of dclm.mixture, as the recipe that they name left it."""
    from pyspark.sql import functions as F

    wanted = mixture.select("doc_id", "recipe").distinct()
    measured = write.read(spark, lake, "dclm.measurements").select(
        "doc_id", "recipe", F.col("text").alias("edited_text")
    )
    left = write.read(spark, lake, "dclm.paragraphs").select("doc_id", F.col("text").alias("left_text"))
    documents = write.read(spark, lake, "dclm.documents").select("doc_id", F.col("text").alias("stored_text"))
    texts = documents.join(wanted.join(measured, ["doc_id", "recipe"]), "doc_id").join(left, "doc_id")
    return texts.select("doc_id", _first("left_text", "edited_text", "stored_text").alias("text"))


def _edited(spark: SparkSession, lake: Lake, recipe: str) -> DataFrame:
    """Rows of dclm.documents that have text, `text` and `text_bytes` as the edits of `recipe` left them."""
    from pyspark.sql import functions as F

    measured = write.read(spark, lake, "dclm.measurements").where(F.col("recipe") == recipe)
    edits = measured.select("doc_id", F.col("text").alias("edited_text"), F.col("text_bytes").alias("edited_bytes"))
    documents = write.read(spark, lake, "dclm.documents").where(F.col("text").isNotNull()).join(edits, "doc_id")
    return documents.withColumns({"text": _first("edited_text", "text"), "text_bytes": F.col("edited_bytes")}).drop(
        "edited_text", "edited_bytes"
    )


def _first(*columns: str) -> Column:
    from pyspark.sql import functions as F

    return F.coalesce(*columns)
