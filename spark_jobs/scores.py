"""Every surviving document scored by the quality model, and its tenth of the pool."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from catalog.lake import Lake
from catalog.tables.dclm import SCORES
from spark_jobs import write
from spark_jobs.quality_model import GOOD
from spark_jobs.stored_files import stored_file
from spark_jobs.survivors import survivors

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame, SparkSession

    from spark_jobs.kernels.fasttext import Model

BUCKETS = 10
DECIMALS = 6
"""Scores are stored to a millionth, so that a histogram of at most a million and one cells orders a pool exactly."""
PREFIX = 4
"""Hex digits of doc_id that order documents of one score."""

_BROKEN_LABELS = pc.ReplaceSubstringOptions("__label__", "__label __")
"""As `line_of` breaks up words that would be labels."""


@dataclass(frozen=True)
class Cut:
    """Where a bucket begins: at `score`, and there at documents whose doc_id begins with `prefix` or more."""

    score: float
    prefix: str


def score_documents(batches: Iterator[pa.RecordBatch], model: Path) -> Iterator[pa.RecordBatch]:
    """(doc_id, text) in, (doc_id, score) out: the probability of GOOD, to a millionth; the model is loaded once."""
    classifier = _load_once(model)
    for batch in batches:
        scores = _probabilities(classifier, batch.column("text"))
        yield pa.RecordBatch.from_arrays([batch.column("doc_id"), pa.array(scores)], names=["doc_id", "score"])


@lru_cache(maxsize=1)
def _load_once(model: Path) -> Model:
    from spark_jobs.kernels.fasttext import load

    return load(model)


def _probabilities(classifier: Model, text: pa.StringArray) -> NDArray[np.float64]:
    """Of GOOD, each text read as `line_of` makes it."""
    lines = pc.call_function("utf8_trim_whitespace", [text])
    letters = lines.buffers()[2]
    # Hardly any text spells it, and to look for it with pyarrow would take as long as to score.
    if letters is not None and b"__label__" in letters.to_pybytes():
        lines = pc.call_function("replace_substring", [lines], _BROKEN_LABELS)
    # A line without a known word gets no label: nothing speaks for it.
    said = classifier.probability(lines, GOOD, joined=True).fill_null(0).to_numpy()
    return np.round(np.clip(said.astype(np.float64), 0, 1), DECIMALS)


def write_scores(spark: SparkSession, lake: Lake, verdicts: str, fingerprint: str) -> dict[str, Any]:
    """Score the documents that the recipe `verdicts` kept and that are no dropped duplicates: dclm.scores.

    Raises:
        WatershedError: there is no model, its file was changed, or a worker failed.
    """
    from pyspark.errors import PySparkException
    from pyspark.sql import functions as F
    from pyspark.storagelevel import StorageLevel

    model, row = stored_file(lake, "dclm.quality_model")

    def scored(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        return score_documents(batches, model)

    documents = survivors(spark, lake, verdicts).select("doc_id", "text")
    scores = documents.mapInArrow(scored, "doc_id string, score double").persist(StorageLevel.MEMORY_AND_DISK)
    try:
        total, cuts = bucket_cuts(scores)
        frame = scores.select(
            "doc_id",
            F.lit(row["model_id"]).alias("model_id"),
            "score",
            _bucket(cuts).cast("int").alias("bucket"),
        )
        written = write.replace(frame, SCORES, lake, fingerprint)
    except PySparkException as error:
        raise write.mendable(error, "dclm.scores") from error
    finally:
        scores.unpersist()
    return {"documents": written, "scored": total, "cuts": [cut.score for cut in cuts]}


def bucket_cuts(scores: DataFrame) -> tuple[int, list[Cut]]:
    """How many documents there are, and where buckets 1..9 begin in the order of (score, doc_id).

    Two histograms of bounded size: over the scores, and over doc_id prefixes within the scores where a cut falls.
    """
    from pyspark.sql import functions as F

    levels = scores.groupBy("score").count().toArrow().sort_by("score")
    if levels.num_rows == 0:
        return 0, []
    values, counts = levels["score"].to_numpy(), levels["count"].to_numpy()
    ends = np.cumsum(counts)
    total = int(ends[-1])
    ranks = [total * bucket // BUCKETS for bucket in range(1, BUCKETS)]
    places = np.searchsorted(ends, ranks, side="right")
    at_cut = sorted({float(values[place]) for place in places})
    ties = (
        scores.where(F.col("score").isin(at_cut))
        .groupBy("score", F.substring("doc_id", 1, PREFIX).alias("prefix"))
        .count()
        .toArrow()
        .sort_by([("score", "ascending"), ("prefix", "ascending")])
    )
    cuts = []
    for rank, place in zip(ranks, places, strict=True):
        tied = ties.filter(pc.field("score") == float(values[place]))
        before = rank - int(ends[place] - counts[place])
        prefix_place = int(np.searchsorted(np.cumsum(tied["count"].to_numpy()), before, side="right"))
        cuts.append(Cut(float(values[place]), tied["prefix"][prefix_place].as_py()))
    return total, cuts


def _bucket(cuts: list[Cut]) -> Column:
    """Cuts at or below the document."""
    from pyspark.sql import functions as F

    bucket = F.lit(0)
    for cut in cuts:
        tied = (F.col("score") == cut.score) & (F.substring("doc_id", 1, PREFIX) >= cut.prefix)
        bucket = bucket + F.when((F.col("score") > cut.score) | tied, 1).otherwise(0)
    return bucket
