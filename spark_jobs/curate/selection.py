"""Selects documents by a quality model and topics, and decides how often each is read."""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from catalog.errors import WatershedError
from catalog.files import sha256_of
from catalog.progress import track
from spark_jobs.classifiers.reading import probabilities
from spark_jobs.classifiers.topics import TopicClassifier, topics_of
from spark_jobs.compute import pc
from spark_jobs.curate.stage import Stage
from spark_jobs.hash_order import hash_key, key_of_share
from spark_jobs.recipes.recipe import Selection
from spark_jobs.selection.buckets import bucket_rows
from spark_jobs.selection.quantiles import ALL
from spark_jobs.selection.recipe import MixtureRecipe, Threshold, Within

SCORES = pa.schema(
    [
        ("id", pa.string()),
        ("score", pa.float64()),
        ("topic", pa.string()),
        ("from_quantile", pa.float64()),
        ("times", pa.int32()),
        ("text_bytes", pa.int64()),
    ]
)
"""A row for each scored document; `times` is how often a pass reads it, and 0 if it is dropped."""
BUCKETS = pa.schema(
    [
        ("topic", pa.string()),
        ("from_quantile", pa.float64()),
        ("to_quantile", pa.float64()),
        ("documents", pa.int64()),
        ("bytes", pa.int64()),
        ("good_documents", pa.int64()),
        ("read_documents", pa.int64()),
        ("read_bytes", pa.int64()),
        ("requested_repeats", pa.float64()),
        ("effective_repeats", pa.float64()),
        ("requested_share", pa.float64()),
        ("effective_share", pa.float64()),
    ]
)
"""A row for each topic and step of the curve: the repeats that the recipe requests and those that are read."""


@dataclass(frozen=True, kw_only=True)
class Selected:
    """The scores, the buckets, and the documents that remain."""

    scores: pa.Table
    buckets: pa.Table
    dropped: int
    left: Stage


def select(stage: Stage, selection: Selection, work: Path, expected: int = 0) -> Selected:
    """Score the documents and select them by the recipe's curve; writes scores.parquet and buckets.parquet.

    A bucket begins at a quantile of the scores; among equal scores, the greater id ranks higher. The bucket's times say
    how often each of its documents is read. A fraction of a time is that share of the documents, chosen by a hash of
    the seed and the id.

    Args:
        expected: approximate number of documents, for the progress bar.

    Raises:
        WatershedError: a file is not a model of two labels, or lacks the label; or a weighted topic has no documents.
    """
    recipe = MixtureRecipe(name="select", **selection.choice)
    table = _scored(stage, selection, expected)
    groups = table["topic"].fill_null(ALL) if recipe.quantiles is Within.TOPIC else pa.array([ALL] * len(table))
    boundaries = recipe.boundaries()
    place = _places(table, groups.to_pylist(), boundaries)
    good = _good(table["score"].to_numpy(), recipe)
    topics = table["topic"].to_pylist()
    _refuse_unknown_topics(recipe, topics)
    asked = {
        (topic, at): recipe.times(boundary, topic)
        for topic in dict.fromkeys(topics)
        for at, boundary in enumerate(boundaries)
    }
    ids = table["id"].to_pylist()
    times = np.array(
        [
            _times(asked[topic, at], recipe.seed, id_) if fine else 0
            for topic, at, fine, id_ in zip(topics, place.tolist(), good.tolist(), ids, strict=True)
        ],
        np.int32,
    )
    begins = np.array([float(boundary) for boundary in boundaries])
    columns = {**{name: table[name] for name in ("id", "score", "topic", "text_bytes")}, "times": pa.array(times)}
    scores = pa.table({**columns, "from_quantile": pa.array(begins[place])}).select(SCORES.names).cast(SCORES)
    buckets = _buckets(scores, place, good, recipe)
    pq.write_table(scores, work / "scores.parquet", compression="zstd")
    pq.write_table(buckets, work / "buckets.parquet", compression="zstd")
    gone = scores.filter(pa.array(times == 0))["id"]
    return Selected(scores=scores, buckets=buckets, dropped=len(gone), left=stage.less(gone))


def check_model(selection: Selection) -> None:
    """Score one text, so that a model that cannot be used is refused before any document is judged.

    Raises:
        WatershedError: the file is not a model of two labels, lacks the label, or has weights that are not finite.
    """
    _probabilities(pa.array(["a text"]), selection)


def _probabilities(text: pa.StringArray, selection: Selection) -> np.ndarray:
    assert selection.model is not None
    try:
        return probabilities(text, selection.model, selection.label)
    except ValueError as error:
        raise WatershedError(
            f"{selection.model}: has no probability of {selection.label} ({error})",
            "give a fastText model of two labels, and name in `label:` the one whose probability counts",
        ) from error


def _scored(stage: Stage, selection: Selection, expected: int) -> pa.Table:
    """id, score, topic and text_bytes of the documents."""
    topics = selection.topics
    labelling = TopicClassifier(path=topics, sha256=sha256_of(topics)) if topics else None
    schema = pa.schema([SCORES.field(name) for name in ("id", "score", "topic", "text_bytes")])
    rows: list[pa.RecordBatch] = []
    with track("quality model", expected, "documents") as task:
        done = 0
        for batch in stage.batches(["id", "text", "text_bytes"]):
            text = batch.column("text")
            score = _probabilities(text, selection)
            topic = topics_of(text, text, labelling) if labelling else pa.nulls(len(text), pa.string())
            columns = [batch.column("id"), pa.array(score), topic, batch.column("text_bytes")]
            rows.append(pa.RecordBatch.from_arrays(columns, schema=schema))
            done += len(text)
            task.reach(done)
    return pa.Table.from_batches(rows, schema).combine_chunks()


def _places(table: pa.Table, groups: list[str], boundaries: list[Fraction]) -> np.ndarray:
    """The number of each document's bucket: quantile q begins at rank floor(q x documents) of its group."""
    order = pc.sort_indices(table, [("score", "ascending"), ("id", "ascending")]).to_numpy()
    known = {group: number for number, group in enumerate(dict.fromkeys(groups))}
    codes = np.array([known[group] for group in groups], np.int64)
    place = np.zeros(len(table), np.int64)
    for number in known.values():
        mine = order[codes[order] == number]
        ranks = np.arange(len(mine))
        for boundary in boundaries[1:]:
            place[mine] += ranks >= math.floor(boundary * len(mine))
    return place


def _good(score: np.ndarray, recipe: MixtureRecipe) -> np.ndarray:
    """Whether each score reaches the threshold. For a top fraction all do; the documents below it have times 0."""
    if isinstance(recipe.keep, Threshold):
        least = recipe.keep.threshold
        return score >= least if recipe.keep.comparison == ">=" else score > least
    return np.ones(len(score), np.bool_)


def _times(asked: Fraction, seed: int, id_: str) -> int:
    whole = math.floor(asked)
    part = asked - whole
    return whole + (part > 0 and hash_key(seed, "part of a time", id_) < key_of_share(float(part)))


def _refuse_unknown_topics(recipe: MixtureRecipe, topics: list[str | None]) -> None:
    known = sorted({topic or ALL for topic in topics})
    for topic, _ in recipe.topic_weights:
        if known and topic not in known:
            raise WatershedError(
                f"the recipe weights the topic {topic!r}, which no document has", f"name some of {', '.join(known)}"
            )


def _buckets(scores: pa.Table, place: np.ndarray, good: np.ndarray, recipe: MixtureRecipe) -> pa.Table:
    tally: dict[tuple[str | None, int], dict[str, Any]] = {}
    sizes, times = scores["text_bytes"].to_pylist(), scores["times"].to_pylist()
    names = [f"{what}_{of}" for what in ("pool", "good", "taken") for of in ("documents", "bytes")]
    for topic, at, fine, size, read in zip(
        scores["topic"].to_pylist(), place.tolist(), good.tolist(), sizes, times, strict=True
    ):
        row = tally.setdefault((topic, at), {"topic": topic, "place": at, "split": "train", "read_bytes": 0})
        for name in names:
            row.setdefault(name, 0)
        for what, counts in (("pool", True), ("good", fine), ("taken", read > 0)):
            row[f"{what}_documents"] += counts
            row[f"{what}_bytes"] += size * counts
        row["read_bytes"] += size * read
    rows = bucket_rows(list(tally.values()), recipe.boundaries(), recipe.times)
    for row in rows:
        row["read_documents"] = row.pop("trained_documents")
    return pa.Table.from_pylist(rows, BUCKETS)
