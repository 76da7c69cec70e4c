"""Scores and tenths of the pool."""

from __future__ import annotations

from collections import Counter
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pytest
from made_documents import RECIPE, curated_lake, doc_id, listing, prose, teach_classifier

from catalog.errors import WatershedError
from catalog.lake import Lake
from spark_jobs.classifiers.labels import GOOD
from spark_jobs.classifiers.quality import QualityRecipe, line_of
from spark_jobs.classifiers.training import load
from spark_jobs.dclm.scores import score_documents, write_scores
from spark_jobs.selection.quantiles import quantile_cuts

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

TEXTS = [prose(seed) if seed % 2 else listing(seed) for seed in range(130)]
REJECTED, COPIES = (0, 1, 2), (3, 4)


@pytest.fixture(scope="module")
def scored(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> tuple[Lake, dict[str, Any], Path]:
    lake = curated_lake(tmp_path_factory.mktemp("scores"), TEXTS, rejected=REJECTED, copies=COPIES)
    model = teach_classifier(lake, TEXTS, QualityRecipe(dim=8, bucket=2_000))
    return lake, write_scores(spark, lake, RECIPE, "b" * 16), model


def test_every_survivor_is_scored_once_and_no_other_document(scored: tuple[Lake, dict[str, Any], Path]) -> None:
    lake, counts, _ = scored
    expected = {doc_id(number) for number in range(len(TEXTS)) if number not in (*REJECTED, *COPIES)}
    ids = lake.read("dclm.scores")["doc_id"].to_pylist()
    assert set(ids) == expected
    assert len(ids) == counts["documents"] == len(expected)


def test_a_score_is_fasttexts_probability_of_good_text(scored: tuple[Lake, dict[str, Any], Path]) -> None:
    lake, _, path = scored
    model = load(path)
    scores = {row["doc_id"]: row["score"] for row in lake.read("dclm.scores").to_pylist()}
    for number in (5, 6, 50, 51):
        labels, probabilities = model.predict(line_of(TEXTS[number]), k=2)
        assert scores[doc_id(number)] == pytest.approx(dict(zip(labels, probabilities, strict=True))[GOOD], abs=1e-6)


def test_a_text_is_scored_as_the_line_that_the_classifier_learnt_from(
    scored: tuple[Lake, dict[str, Any], Path],
) -> None:
    _, _, path = scored
    words = prose(7).split()
    texts = [
        glue.join(words) for glue in ("\n", "\r\n", "\x0b", "\x1c", "\x1e", "\x85", "\u2028", "\u2029", "\xa0", "\n\n ")
    ]
    texts += [
        f"\u3000\x1f {texts[0]}\u2003\x85",
        "__label__hq " * 9 + prose(8),
        f"x__label__{prose(9)}",
        "",
        "</s> river",
    ]
    (batch,) = score_documents(iter([pa.record_batch({"doc_id": texts, "text": texts})]), path)
    model = load(path)
    for text, score in zip(texts, batch.column("score").to_pylist(), strict=True):
        labels, probabilities = model.predict(line_of(text), k=2)
        assert score == pytest.approx(min(dict(zip(labels, probabilities, strict=True)).get(GOOD, 0), 1), abs=1e-5)


def test_buckets_are_tenths_in_the_order_of_scores(scored: tuple[Lake, dict[str, Any], Path]) -> None:
    lake, _, _ = scored
    rows = sorted(lake.read("dclm.scores").to_pylist(), key=lambda row: (row["score"], row["doc_id"]))
    buckets = [row["bucket"] for row in rows]
    assert buckets == sorted(buckets)
    assert [buckets.count(bucket) for bucket in range(10)] == [
        len(rows) * (bucket + 1) // 10 - len(rows) * bucket // 10 for bucket in range(10)
    ]


def test_documents_of_equal_score_are_ordered_by_their_ids(spark: SparkSession) -> None:
    ids = [doc_id(number) for number in range(1000)]
    table = pa.table({"doc_id": ids, "score": [0.25] * 400 + [1.0] * 600, "group": ["all"] * 1000})
    tenths = [Fraction(tenth, 10) for tenth in range(1, 10)]
    few, many = (quantile_cuts(spark.createDataFrame(table).repartition(parts), tenths) for parts in (1, 7))
    assert few == many
    assert few["all"].total == 1000
    cuts = few["all"].cuts
    assert [cut.score for cut in cuts] == [0.25] * 3 + [1.0] * 6
    below = Counter(
        sum((score, id_[:4]) >= (cut.score, cut.prefix) for cut in cuts)
        for id_, score in zip(ids, table["score"].to_pylist(), strict=True)
    )
    assert all(95 <= below[bucket] <= 105 for bucket in range(10))


def test_batches_of_any_size_score_alike(scored: tuple[Lake, dict[str, Any], Path]) -> None:
    _, _, path = scored
    table = pa.table({"doc_id": [doc_id(n) for n in range(20)], "text": [*TEXTS[:19], "\n \n"]})
    whole, pieces = (
        pa.Table.from_batches(score_documents(iter(table.to_batches(max_chunksize=size)), path)) for size in (20, 3)
    )
    assert whole.to_pylist() == pieces.to_pylist()
    assert whole["doc_id"].to_pylist() == table["doc_id"].to_pylist()


def test_without_a_model_nothing_is_scored(spark: SparkSession, tmp_path: Path) -> None:
    with pytest.raises(WatershedError, match=r"no Delta table here; materialise dclm.quality_model"):
        write_scores(spark, Lake(str(tmp_path), tmp_path / "_files", {}), RECIPE, "b" * 16)
