"""dclm.verdicts: which documents each recipe keeps, decided from dclm.measurements; no text is read."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from catalog.lake import Lake, Part
from catalog.tables.dclm import VERDICTS
from spark_jobs.compute import pc
from spark_jobs.dclm.measurements import SHARD_COLUMNS, values_of
from spark_jobs.recipes.judge import classify
from spark_jobs.recipes.recipe import Recipe
from spark_jobs.spark import tables as write

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


def verdict_batches(measurements: Iterable[pa.RecordBatch], recipes: Sequence[Recipe]) -> Iterator[pa.RecordBatch]:
    """Rows of dclm.verdicts: a row per document and recipe.

    Args:
        measurements: rows of dclm.measurements.
        recipes: each with its own name; rows of other recipes are skipped.
    """
    for batch in measurements:
        for recipe in recipes:
            rows = batch.filter(pc.equal(batch.column("recipe"), recipe.name))
            if not rows.num_rows:
                continue
            verdicts = classify(values_of(rows, recipe), recipe)
            columns = {
                **{column: rows.column(column) for column in ("doc_id", *SHARD_COLUMNS, "recipe")},
                "kept": verdicts.kept,
                "first_rule": verdicts.first_rule(),
                "broken": verdicts.broken,
            }
            arrays = [columns[field.name].cast(field.type) for field in VERDICTS.schema]
            yield pa.RecordBatch.from_arrays(arrays, schema=VERDICTS.schema)


def write_verdicts(
    spark: SparkSession, lake: Lake, parts: Sequence[Part], recipes: Sequence[Recipe]
) -> list[dict[str, Any]]:
    """Replace partitions of dclm.verdicts, in one transaction: every document judged by every recipe.

    Returns:
        for each part, the number of verdicts, and of documents kept by each recipe.

    Raises:
        WatershedError: there are no measurements yet, or the table could not be written.
    """
    measurements = write.within(write.read(spark, lake, "dclm.measurements"), parts)

    def judge(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        return verdict_batches(batches, recipes)

    columns = ("doc_id", *SHARD_COLUMNS, "recipe", "state", "language", "values")
    frame = measurements.select(*columns).mapInArrow(judge, write.spark_schema(VERDICTS.schema))
    write.replace_parts(frame, VERDICTS, lake, parts)
    judged = write.rows_of(lake, VERDICTS.name, parts)
    kept = write.counts_by_part(lake, VERDICTS.name, "recipe", parts, where=pc.field("kept"))
    return [
        {"verdicts": rows, "kept": {recipe.name: tally.get(recipe.name, 0) for recipe in recipes}}
        for rows, tally in zip(judged, kept, strict=True)
    ]
