"""dclm.verdicts: what recipes think of documents, told from stored statistics; no text is read."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from catalog.lake import Lake
from catalog.tables.dclm import VERDICTS
from spark_jobs import write
from spark_jobs.rules import Recipe, classify

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

SHARD_COLUMNS = ("global_shard", "local_shard")


def verdict_batches(documents: Iterable[pa.RecordBatch], recipes: Sequence[Recipe]) -> Iterator[pa.RecordBatch]:
    """Rows of dclm.verdicts: a row per document and recipe.

    Args:
        documents: rows of dclm.documents with the columns of `columns_for(recipes)`.
        recipes: each with its own name.
    """
    for batch in documents:
        for recipe in recipes:
            verdicts = classify(batch, recipe)
            columns = {
                "doc_id": batch.column("doc_id"),
                **{column: batch.column(column) for column in SHARD_COLUMNS},
                "recipe": pa.array([recipe.name] * batch.num_rows, pa.string()),
                "kept": verdicts.kept,
                "first_rule": verdicts.first_rule(),
                "broken": verdicts.broken,
            }
            arrays = [columns[field.name].cast(field.type) for field in VERDICTS.schema]
            yield pa.RecordBatch.from_arrays(arrays, schema=VERDICTS.schema)


def columns_for(recipes: Sequence[Recipe]) -> list[str]:
    """Columns of dclm.documents that the recipes look at, with those that name a document."""
    return list(dict.fromkeys(["doc_id", *SHARD_COLUMNS, "state", *(c for r in recipes for c in r.statistics)]))


def write_verdicts(
    spark: SparkSession, lake: Lake, partition: Mapping[str, int], recipes: Sequence[Recipe], fingerprint: str
) -> dict[str, Any]:
    """Replace one partition of dclm.verdicts: every document of the partition judged by every recipe.

    Returns:
        verdicts, and of each recipe how many documents it kept.

    Raises:
        WatershedError: there are no documents yet, or the table could not be written.
    """
    from pyspark.sql import functions as F

    documents = write.read(spark, lake, "dclm.documents")
    for column, value in partition.items():
        documents = documents.where(F.col(column) == value)

    def judge(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        return verdict_batches(batches, recipes)

    frame = documents.select(*columns_for(recipes)).mapInArrow(judge, write.spark_schema(VERDICTS.schema))
    written = write.replace(frame, VERDICTS, lake, fingerprint, partition)
    kept = _kept(lake, partition)
    return {"verdicts": written, "kept": {recipe.name: kept.get(recipe.name, 0) for recipe in recipes}}


def _kept(lake: Lake, partition: Mapping[str, int]) -> dict[str, int]:
    import pyarrow.compute as pc

    chosen = [(column, "=", str(value)) for column, value in partition.items()]
    tally: dict[str, int] = {}
    dataset = lake.table("dclm.verdicts").to_pyarrow_dataset(partitions=chosen)
    for batch in dataset.to_batches(columns=["recipe"], filter=pc.field("kept")):
        for found in batch.column("recipe").value_counts():
            name = found["values"].as_py()
            tally[name] = tally.get(name, 0) + found["counts"].as_py()
    return tally
