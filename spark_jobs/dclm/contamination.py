"""dclm.contamination: which documents hold which evaluation examples, and how much of them.

Nothing is dropped here. A mixture drops documents above its `MixtureRecipe.max_contamination`, so a changed threshold
needs no text to be read again. dclm.contamination_report has a row for every evaluation, even one that is not found.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from catalog.lake import Lake
from catalog.tables.dclm import CONTAMINATION, CONTAMINATION_REPORT
from spark_jobs.compute import pc
from spark_jobs.contamination.examples import example_batches
from spark_jobs.contamination.fields import all_text, parts_of
from spark_jobs.contamination.index import Index, build_index
from spark_jobs.contamination.rules import Decontamination
from spark_jobs.contamination.search import MATCH, find_contamination
from spark_jobs.dclm.survivors import survivors
from spark_jobs.spark import tables as write

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


def write_contamination(  # noqa: PLR0917 - one for each input of the table
    spark: SparkSession,
    lake: Lake,
    recipe: str,
    evaluations: Sequence[Path],
    fingerprint: str,
    options: Decontamination | None = None,
) -> dict[str, Any]:
    """Find evaluation examples in the survivors of `recipe`; replaces dclm.contamination and its report.

    Args:
        evaluations: JSONL files, one for each evaluation.
        options: the rule; by default `fields`.

    Returns:
        the number of evaluations and overlaps, overlapping documents by evaluation, and warnings of what cannot be
        found.

    Raises:
        WatershedError: a file has no examples, no example can be found, or an upstream table is missing.
    """
    if not evaluations:
        lake.replace(CONTAMINATION_REPORT, CONTAMINATION_REPORT.schema.empty_table(), fingerprint)
        lake.replace(CONTAMINATION, CONTAMINATION.schema.empty_table(), fingerprint)
        return {"evaluations": 0}
    options = options or Decontamination()
    notes: list[str] = []
    index = build_index(example_batches(evaluations, parts_of if options.fields else all_text, notes), options)

    def find(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        return contamination_batches(batches, index)

    frame = survivors(spark, lake, recipe).select("doc_id", "text")
    frame = frame.mapInArrow(find, write.spark_schema(CONTAMINATION.schema))
    overlaps = write.replace(frame, CONTAMINATION, lake, fingerprint)
    report = contamination_report(spark, lake, index)
    lake.replace(CONTAMINATION_REPORT, pa.Table.from_pylist(report, CONTAMINATION_REPORT.schema), fingerprint)
    return {
        "evaluations": len(index.evaluations),
        "overlaps": overlaps,
        "documents": {row["evaluation"]: row["documents_overlapping"] for row in report},
        "warnings": [*notes, *index.cannot_be_found()],
    }


def contamination_batches(documents: Iterator[pa.RecordBatch], index: Index) -> Iterator[pa.RecordBatch]:
    """Rows of dclm.contamination from batches of doc_id and text: a row for each example that a document overlaps."""
    renamed = (pa.record_batch({"id": each.column("doc_id"), "text": each.column("text")}) for each in documents)
    for found in find_contamination(renamed, index):
        matches = found.column("matches")
        owners = np.repeat(np.arange(found.num_rows), np.diff(matches.offsets.to_numpy()))
        match = matches.flatten()
        columns = {
            "doc_id": found.column("id").take(pa.array(owners)),
            "n": pa.array(np.full(len(owners), index.options.n, np.int32)),
            **{field.name: match.field(field.name) for field in MATCH},
            "ngram": pc.binary_join_element_wise(match.field("before"), match.field("found"), match.field("after"), ""),
        }
        arrays = [columns[field.name].cast(field.type) for field in CONTAMINATION.schema]
        yield pa.RecordBatch.from_arrays(arrays, schema=CONTAMINATION.schema)


def contamination_report(spark: SparkSession, lake: Lake, index: Index) -> list[dict[str, Any]]:
    """Rows of dclm.contamination_report, in the order of evaluations."""
    from pyspark.sql import functions as F

    largest = F.struct((-F.col("share")).alias("share"), "example_id", "doc_id", "ngram")
    overlaps = write.read(spark, lake, CONTAMINATION.name).groupBy("evaluation")
    found = {
        row["evaluation"]: row
        for row in overlaps.agg(
            F.countDistinct("example_id").alias("examples_overlapping"),
            F.countDistinct("doc_id").alias("documents_overlapping"),
            F.min(largest).alias("largest"),
        ).collect()
    }
    rows = []
    for number, name in enumerate(index.evaluations):
        own, row = index.evaluation == number, found.get(name)
        rows.append(
            {
                "evaluation": name,
                "n": index.options.n,
                "examples": int(own.sum()),
                "examples_without_ngrams": int((~index.found[own]).sum()),
                "examples_overlapping": row["examples_overlapping"] if row else 0,
                "documents_overlapping": row["documents_overlapping"] if row else 0,
                "largest_share": -row["largest"]["share"] if row else 0.0,
                **{each: row["largest"][each] if row else None for each in ("example_id", "doc_id", "ngram")},
            }
        )
    return rows
