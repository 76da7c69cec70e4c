"""Which documents go on: kept by the recipe, and not a copy that another document stands for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from catalog.lake import Lake
from spark_jobs import write

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession


def survivors(spark: SparkSession, lake: Lake, verdicts: str) -> DataFrame:
    """Rows of dclm.documents that the recipe `verdicts` kept and that dclm.duplicates does not drop."""
    from pyspark.sql import functions as F

    kept = write.read(spark, lake, "dclm.verdicts").where((F.col("recipe") == verdicts) & F.col("kept"))
    dropped = write.read(spark, lake, "dclm.duplicates").where(~F.col("kept"))
    documents = write.read(spark, lake, "dclm.documents").where(F.col("text").isNotNull())
    return documents.join(kept.select("doc_id"), "doc_id", "left_semi").join(
        dropped.select("doc_id"), "doc_id", "left_anti"
    )
