"""Every surviving document scored by the quality model, its tenth of the pool, and its topic."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from catalog.files import stored_file
from catalog.lake import Lake
from catalog.tables.dclm import SCORES
from spark_jobs.classifiers.labels import GOOD
from spark_jobs.classifiers.reading import probabilities
from spark_jobs.classifiers.topics import Labelling, TopicClassifier, topics_of
from spark_jobs.dclm.survivors import survivors
from spark_jobs.selection.quantiles import ALL, quantile_cuts, quantile_place
from spark_jobs.spark import tables as write
from spark_jobs.spark.failures import mendable

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

BUCKETS = 10


def score_documents(
    batches: Iterator[pa.RecordBatch], model: Path, labelling: Labelling | None = None
) -> Iterator[pa.RecordBatch]:
    """From (doc_id, text, host) to (doc_id, score, topic): the probability of GOOD, to a millionth, and the topic.

    Without a labelling, `topic` is null and `host` is not read.
    """
    for batch in batches:
        text = batch.column("text")
        topics = (
            topics_of(text, batch.column("host"), labelling) if labelling else pa.nulls(batch.num_rows, pa.string())
        )
        columns = {"doc_id": batch.column("doc_id"), "score": probabilities(text, model, GOOD), "topic": topics}
        yield pa.RecordBatch.from_pydict(columns)


def write_scores(
    spark: SparkSession, lake: Lake, recipe: str, fingerprint: str, labelling: Labelling | None = None
) -> dict[str, Any]:
    """Replace dclm.scores: the documents that survived `recipe` and its deduplication, scored.

    Args:
        recipe: name of the recipe whose survivors are scored.
        labelling: how a document gets its topic; without it, topics are null.

    Raises:
        WatershedError: there is no quality model, its file was changed, or a worker failed.
    """
    from pyspark.errors import PySparkException
    from pyspark.sql import functions as F
    from pyspark.storagelevel import StorageLevel

    model, row = stored_file(lake, "dclm.quality_model")
    if isinstance(labelling, TopicClassifier):
        labelling.check()

    def scored(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        return score_documents(batches, model, labelling)

    documents = survivors(spark, lake, recipe).select("doc_id", "text", "host")
    scores = documents.mapInArrow(scored, "doc_id string, score double, topic string")
    scores = scores.withColumn("group", F.lit(ALL)).persist(StorageLevel.MEMORY_AND_DISK)
    try:
        cuts = quantile_cuts(scores, [Fraction(bucket, BUCKETS) for bucket in range(1, BUCKETS)])
        frame = scores.select(
            "doc_id",
            F.lit(row["model_id"]).alias("model_id"),
            "score",
            (quantile_place(cuts) if cuts else F.lit(0)).cast("int").alias("bucket"),
            "topic",
        )
        written = write.replace(frame, SCORES, lake, fingerprint)
    except PySparkException as error:
        raise mendable(error, "dclm.scores") from error
    finally:
        scores.unpersist()
    found = cuts.get(ALL)
    topics = write.counts(lake, SCORES.name, "topic") if labelling else {}
    cut_scores = [cut.score for cut in found.cuts] if found else []
    return {"documents": written, "scored": found.total if found else 0, "cuts": cut_scores, "topics": topics}
